"""Load trained adapters over their base models, and check that they fit."""

import json
import re
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from pathlib import Path
from typing import Any

from aqa.backends.llama_qlora.models import check_order
from aqa.backends.local.loading import check_keys, damaged, placement
from aqa.backends.model_errors import explained
from aqa.backends.model_files import ModelFiles
from aqa.config.backend_options import LlamaQloraOptions
from aqa.errors import ModelError
from aqa.library_output import quiet

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
LEARNT_PROMPT = "prompt_embeddings"  # weights of prompt and prefix tuning
NEED_A_TASK = ("MULTITASK_PROMPT_TUNING", "POLY")
TWICE = re.compile(r"\.(modules_to_save|original_module)\.")
# Names of embedding and output layers in various models.
EMBEDDING = re.compile(
    r"\.(embed_tokens|wte|word_embeddings|embed_in|lm_head|embed_out)"
    r"(\.modules_to_save|(\.token_adapter)?\.base_layer)?\.weight$"
)


def check_supported(folder: Path, note: Callable[[str], None]) -> None:
    """Check that an adapter's kind is supported, and note what peft ignores in its config.

    Raises:
        ModelError: peft does not know this kind of adapter, it needs to be told a task, or it
            repeats layers of its base.
    """
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING, __version__

    config = json.loads((folder / ADAPTER_CONFIG).read_bytes())
    kind = PEFT_TYPE_TO_CONFIG_MAPPING.get(config.get("peft_type"))
    if kind is None:
        raise ModelError(
            f"{folder}: peft {__version__} does not support adapters of kind"
            f" {config.get('peft_type')}; run pip install -U peft, or use another adapter"
        )
    if config["peft_type"] in NEED_A_TASK:
        raise ModelError(
            f"{folder}: this adapter ({config['peft_type']}) is for several tasks, of which each"
            " question would have to name one, which is not supported; use an adapter for one task"
        )
    if config.get("layer_replication"):
        raise ModelError(
            f"{folder}: this adapter repeats layers of its base (layer_replication), which is not"
            " supported; use an adapter without it"
        )
    parameters = signature(kind).parameters
    # Falsy values have no effect: they are options of a later peft that nobody set.
    if unknown := {key: value for key, value in config.items() if value and key not in parameters}:
        named = ", ".join(f"{key} = {json.dumps(value)}" for key, value in sorted(unknown.items()))
        note(
            f"{folder}: peft {__version__} does not know what {ADAPTER_CONFIG} asks for ({named})"
            " and ignores it, so answers may differ from those where it was trained; pip install"
            " -U peft"
        )


def prepare_model(model: Any, files: ModelFiles, options: LlamaQloraOptions, packs: bool) -> Any:
    """Prepare a model for prediction, with its adapter; `packs` must be False to save weights.

    Raises:
        ModelError: the adapter does not fit, or it makes the model see later tokens.
    """
    from aqa.backends.llama_qlora.attention import attend_in_blocks
    from aqa.backends.llama_qlora.prepacked_linear import pack

    attend_in_blocks(model, options)
    if files.adapter is not None:
        model = load_adapter(model, files.adapter, options)
        configs = model.peft_config.values()
        if not any(config.is_prompt_learning or config.peft_type == "LORA" for config in configs):
            check_order(model, files)  # those two never mix tokens
    if packs and options.device_map is None:
        pack(model)
    return model


def load_adapter(model: Any, folder: Path, options: LlamaQloraOptions) -> Any:
    """Load a trained adapter over its base model, extending the vocabulary if necessary.

    Raises:
        ModelError: it has no safetensors weights, it does not fit the base, or the base does
            not fit in memory.
    """
    from peft import PeftModel, set_peft_model_state_dict
    from safetensors.torch import load_file

    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelError(
            f"{folder}: this adapter has no {ADAPTER_WEIGHTS}; pickled weights are not read, so"
            " save it as safetensors"
        )
    # peft would rewrite a base on disk.
    if "disk" in (getattr(model, "hf_device_map", None) or {}).values():
        raise ModelError(
            f"{folder}: this adapter's base does not fit in memory, and peft can't keep part of it"
            " on disk; allow more memory (backend.max_memory), or merge the two (aqa train ..."
            " --resume --merge) and name merged/"
        )
    unfit = (
        f"{folder}: this adapter does not fit its base model; it was trained on another one, or"
        " the base has changed since"
    )
    _widen(model, folder)
    with explained(str(folder)), quiet():
        weights = load_file(folder / ADAPTER_WEIGHTS)
        check_keys(str(folder), damaged=damaged(weights.items()))
        # peft only warns about missing weights, and leaves them random.
        warnings.simplefilter("ignore", UserWarning)  # what it does not know is noted
        warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
        try:
            placed = placement(options, training=False) if options.device_map else {}
            adapted = PeftModel.from_pretrained(model, folder, torch_device="cpu", **placed)
        except (UserWarning, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "size mismatch" not in str(error):
                raise
            raise ModelError(unfit) from error
        # peft ignores unexpected weights; it also saves some layers twice.
        loaded = set_peft_model_state_dict(adapted, weights)
    unexpected = set(loaded.unexpected_keys) - {LEARNT_PROMPT}  # peft reads these separately
    if [name for name in unexpected if not TWICE.search(name)]:
        raise ModelError(unfit)
    return adapted


def check_fit(model_config: Any, folder: Path, options: LlamaQloraOptions) -> None:
    """Check that an adapter fits its base model, by shapes only.

    Skips models with their own code, and those without a causal class in transformers.

    Raises:
        ModelError: it does not fit, or has no safetensors weights.
    """
    import torch
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM

    own_code = options.trust_remote_code and hasattr(model_config, "auto_map")
    if own_code or type(model_config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return
    with torch.device("meta"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "for .*: copying from a non-meta parameter", UserWarning)
        model = AutoModelForCausalLM.from_config(model_config)
        load_adapter(model, folder, options)


def fast_adapter(model: Any, dtype: Any, is_sharded: bool) -> AbstractContextManager[None]:
    """Fuse an adapter within this context, since peft computes it in float32 beside the layers.

    Not if weights are sharded or offloaded, and so arrive only when needed.
    """
    devices = (getattr(model, "hf_device_map", None) or {}).values()
    if is_sharded or {"cpu", "disk"} & {*devices} or not hasattr(model, "peft_config"):
        return nullcontext()
    from aqa.backends.llama_qlora.fused_lora import fused_adapter

    return fused_adapter(model, dtype)


def embedding_rows(folder: Path) -> int | None:
    """Return the vocabulary size of an adapter's own embedding; None if it has none.

    Raises:
        ModelError: its weights are not safetensors.
    """
    return max(_embeddings(folder).values(), default=None)


def _embeddings(folder: Path) -> dict[str, int]:
    """Return the embedding and output layers in an adapter's file, with their vocabulary sizes."""
    from safetensors import safe_open

    path = folder / ADAPTER_WEIGHTS
    if not path.is_file():
        return {}
    with explained(str(folder)), safe_open(path, framework="pt") as file:
        matches = [(EMBEDDING.search(name), name) for name in file.keys()]  # noqa: SIM118
        return {match[1]: file.get_slice(name).get_shape()[0] for match, name in matches if match}


def _widen(model: Any, folder: Path) -> None:
    """Extend a base by the tokens that were added to it before an adapter was trained.

    Raises:
        ModelError: a layer's rows for them are missing, and would be random.
    """
    stored, layer = _embeddings(folder), model.get_input_embeddings()
    rows = max(stored.values(), default=layer.num_embeddings)
    if rows == layer.num_embeddings:
        return
    tied = layer.weight is model.get_output_embeddings().weight
    if len(stored) < (1 if tied else 2):
        raise ModelError(
            f"{folder}: this adapter was trained with {rows} tokens, but its base has only"
            f" {layer.num_embeddings}, and the adapter holds the others only for"
            f" {', '.join(stored)}; merge the two where it was trained"
        )
    model.resize_token_embeddings(rows, mean_resizing=False)


def read_adapter(model: Any, folder: Path) -> None:
    """Read weights into a model's adapter; ModelError unless they are exactly its own."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    from aqa.backends.local.sharding import shard_like

    expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    stored = load_file(folder / ADAPTER_WEIGHTS)
    common = expected.keys() & stored.keys()
    reshaped = [name for name in common if expected[name].shape != stored[name].shape]
    check_keys(str(folder), expected.keys() - common, reshaped, stored.keys() - common)
    set_peft_model_state_dict(model, shard_like(expected, stored))
