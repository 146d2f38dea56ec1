"""Choose vLLM's arguments for a model and its adapter, and check beforehand that they work."""

import json
from pathlib import Path
from typing import Any

import psutil

from aqa.backends.chat_template import ChatEncoder
from aqa.backends.llama_qlora.adapters import check_fit, embedding_rows
from aqa.backends.llama_qlora.vllm.process import Vllm, find_vllm
from aqa.backends.llama_qlora.vllm.running_servers import environment_key, key_header, server_urls
from aqa.backends.local.loading import load_config
from aqa.backends.model_files import ModelFiles
from aqa.config.backend_options import LlamaQloraOptions
from aqa.config.options import GenerationOptions
from aqa.errors import ConfigError, ModelError
from aqa.processes import process_count

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # of adapters, as vLLM allocates them
LOGPROBS = 20  # per step, by default; beam search needs two per beam
# Keys of an adapter's config that vLLM ignores or refuses.
UNKNOWN = {
    "modules_to_save": "trains whole layers",
    "use_dora": "splits weights into direction and size",
    "alora_invocation_tokens": "acts only after certain tokens",
    "layer_replication": "uses layers several times",
    "trainable_token_indices": "trains single tokens",
    "lora_bias": "has its own biases",
}
BASE, ADAPTER = "base", "adapter"  # names in servers started here


def server_arguments(
    engine: Vllm, files: ModelFiles, options: LlamaQloraOptions, dtype: str, beams: int
) -> list[str]:
    """Return the arguments after the model's name; ours override the model's own files."""
    vllm = options.vllm
    memory = vllm.gpu_memory_utilization or (_own_memory() if engine.on_cpu else None)
    arguments = [
        *("--served-model-name", BASE),
        *("--dtype", dtype),
        *("--max-model-len", str(options.max_seq_length)),
        *("--tensor-parallel-size", str(vllm.tensor_parallel_size)),
        *("--pipeline-parallel-size", str(vllm.pipeline_parallel_size)),
        *("--generation-config", "vllm"),
        *("--max-logprobs", str(max(LOGPROBS, 2 * beams))),
        "--disable-uvicorn-access-log",
    ]
    if options.revision is not None:
        arguments += ["--revision", options.revision]
    if options.trust_remote_code:
        arguments.append("--trust-remote-code")
    if vllm.quantization is not None:
        arguments += ["--quantization", vllm.quantization]
    if memory is not None:
        arguments += ["--gpu-memory-utilization", str(memory)]
    if files.adapter is not None:
        highest = _highest(_config(files.adapter))
        rank = next(rank for rank in RANKS if rank >= highest)  # the smallest that fits
        arguments += ["--enable-lora", "--max-lora-rank", str(rank)]
        arguments += ["--lora-modules", f"{ADAPTER}={files.adapter.absolute()}"]
    return [*arguments, *vllm.arguments]


def _own_memory() -> float:
    """Return half of free memory, divided by processes that each start a server.

    On a CPU the default, 92 % of the machine's memory, is never free.
    """
    memory = psutil.virtual_memory()
    free: float = memory.available / memory.total
    return max(round(free / 2 / process_count(), 2), 0.01)


def check_adapter(folder: Path) -> None:
    """Raise a ModelError with a workaround if vLLM cannot load an adapter."""
    config = _config(folder)
    kind = str(config.get("peft_type", "LORA")).upper()
    problems = [f"{why} ({key})" for key, why in UNKNOWN.items() if config.get(key)]
    if kind != "LORA":
        problems = [f"is of kind {kind}"]
    elif config.get("bias", "none") != "none":
        problems.append("trains biases (bias)")
    elif embedding_rows(folder) is not None:
        problems.append("has its own vocabulary")
    elif _highest(config) > RANKS[-1]:
        problems.append(f"has a rank above {RANKS[-1]}")
    elif len(_scalings(config)) > 1:
        problems.append("gives layers different ranks or scales (rank_pattern, alpha_pattern)")
    if problems:
        raise ModelError(
            f"{folder}: vLLM can't read this adapter, which {problems[0]}; merge it into its base"
            " (aqa train ... --resume --merge) and name the run's merged/, or leave"
            " backend.engine=vllm out"
        )


def _scalings(config: dict[str, Any]) -> set[float]:
    """Return the factors of an adapter's products; vLLM allows one for all layers."""
    ranks, alphas = (config.get(f"{name}_pattern") or {} for name in ("rank", "alpha"))
    power = 0.5 if config.get("use_rslora") else 1.0
    r, alpha = config.get("r") or 1, config.get("lora_alpha") or 1
    pairs = {(ranks.get(key, r), alphas.get(key, alpha)) for key in {*ranks, *alphas}}
    return {round(alpha / rank**power, 9) for rank, alpha in {(r, alpha), *pairs}}


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_bytes())
    return config


def _highest(config: dict[str, Any]) -> int:
    patterns = config.get("rank_pattern") or {}
    return max(int(config.get("r") or 1), *map(int, patterns.values()), 1)


def check_engine(
    options: LlamaQloraOptions,
    files: ModelFiles,
    generation: GenerationOptions,
    encoder: ChatEncoder,
) -> None:
    """Check the engine, or its servers' addresses, and that it supports what is asked for.

    Raises:
        AqaError: the engine is missing, an address is invalid, or an option is not supported.
    """
    if generation.num_beams > 1 and generation.temperature:
        raise ConfigError(
            "generation.num_beams with a temperature: vLLM's beam search does not sample; set one"
            " of them to its default"
        )
    if generation.num_beams > 1 and encoder.turn_end != encoder.tokenizer.eos_token_id:
        raise ConfigError(
            "generation.num_beams: vLLM's beam search stops only at the tokenizer's eos_token, and"
            " this model ends its answers with another token; leave num_beams or"
            " backend.engine=vllm out"
        )
    if options.vllm.urls:
        server_urls(options.vllm)
        key_header(environment_key())
    else:
        find_vllm(options.vllm.python)
    if files.adapter is not None:
        check_adapter(files.adapter)
        # For a different base, vLLM would load whatever fits its matrices.
        check_fit(load_config(files, options), files.adapter, options)


def engine_facts(options: LlamaQloraOptions, dtype: str) -> dict[str, str]:
    """Return the engine and, if it is started here, its version and dtype."""
    if options.vllm.urls:
        return {"engine": "vllm"}
    return {"engine": f"vllm {find_vllm(options.vllm.python).version}", "dtype": dtype}
