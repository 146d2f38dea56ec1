"""LoRA adapters: put a fresh or a trained one over a base model."""

import re
import warnings
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from aqa.backends.local.loading import check_keys, placement
from aqa.backends.model_errors import explained
from aqa.config.backend_options import LlamaQloraOptions, LoraOptions
from aqa.errors import ConfigError, ModelError
from aqa.library_output import quiet

ADAPTER_WEIGHTS = "adapter_model.safetensors"
LEARNT_PROMPT = "prompt_embeddings"  # the weights of prompt and prefix tuning
TWICE = re.compile(r"\.(modules_to_save|original_module)\.")
# The whole embedding or output layer, by the names that models have for them.
EMBEDDING = re.compile(
    r"\.(embed_tokens|wte|word_embeddings|embed_in|lm_head|embed_out)"
    r"(\.modules_to_save|(\.token_adapter)?\.base_layer)?\.weight$"
)


def add_adapter(model: Any, options: LoraOptions, base: str) -> Any:
    """Freeze a base model and put a fresh LoRA adapter over its linear layers.

    Over the weights of experts peft has no dropout, so there is none in such a model.
    """
    from peft import LoraConfig, get_peft_model

    model.requires_grad_(False)
    of_all, unread = options.target_modules == "all-linear", _unread(model)
    config = LoraConfig(
        r=options.r,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=options.target_modules,
        exclude_modules=[*routers(model), *(unread if of_all else ())] or None,
        use_rslora=options.variant == "rslora",
        use_dora=options.variant == "dora",
        init_lora_weights=_beginning(options),
        task_type="CAUSAL_LM",
    )
    if adapts_experts(model, config):
        if options.variant == "pissa":
            raise ConfigError(
                f"{base}: backend.lora.variant = pissa knows no weights of experts; choose another"
            )
        config.lora_dropout = 0.0
    adapted = get_peft_model(model, config)
    local = Path(base).is_dir()  # the adapter must find it from other folders, too
    adapted.peft_config["default"].base_model_name_or_path = (
        str(Path(base).resolve()) if local else base
    )
    return adapted


def check_readable(model: Any, base: str) -> None:
    """See that what a fresh adapter is written down as is what peft reads again.

    On the way it renames layers as transformers does, and of some kinds of models to no layer's
    name, which it then leaves out without a word.

    Raises:
        ModelError: it is not.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    if lost := set_peft_model_state_dict(model, own).unexpected_keys:
        kinds = sorted({name.partition(".lora_")[0].rpartition(".")[2] for name in lost})
        raise ModelError(
            f"{base}: peft can't read again what an adapter learns over {', '.join(kinds)} in a"
            f" model of this kind (it looks for {lost[0]}); name other layers in"
            " backend.lora.target_modules"
        )


def _beginning(options: LoraOptions) -> bool | str:
    """How an adapter begins, in peft's words."""
    if options.variant == "pissa":
        return f"pissa_niter_{options.pissa_niter}" if options.pissa_niter else "pissa"
    return True if options.init == "default" else options.init


def check_pissa(options: LlamaQloraOptions, quantized: bool) -> None:
    """Refuse, by a ConfigError, quantised weights that an adapter would begin as a part of."""
    if options.lora.variant == "pissa" and (quantized or options.quantization == "4bit"):
        raise ConfigError(
            "backend.lora.variant = pissa takes a part out of the weights, which quantised ones"
            " would be rounded without, so that the adapter would not fit them as they are; choose"
            " --set backend.quantization=none and a model that is not quantised, or another variant"
        )


def trained_weights(model: Any) -> dict[str, Any]:
    """What of a model is trained, by its names."""
    return {name: weights for name, weights in model.named_parameters() if weights.requires_grad}


def beyond_beginning(config: Any, trained: dict[str, Any], begun: dict[str, Any]) -> Any:
    """Give a pissa adapter's config and weights for a base from which nothing was taken out.

    What it learnt is s B A - s B0 A0 = s [B, -B0] [A; A0]: an adapter of twice the rank.
    """
    import torch

    weights = {
        name: torch.cat([learnt, begun[name].to(learnt.device)], 0)
        if ".lora_A." in name
        else torch.cat([learnt, -begun[name].to(learnt.device)], 1)
        for name, learnt in trained.items()
    }
    twice = {"r": 2 * config.r, "lora_alpha": 2 * config.lora_alpha}  # so the scaling stays
    return replace(config, **twice, init_lora_weights=True), weights


def routers(model: Any) -> list[str]:
    """The linear layers that choose experts and give more than their product, as Llama 4's do."""
    from torch.nn import Linear

    return [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, Linear) and "Router" in type(layer).__name__
    ]


def _unread(model: Any) -> list[str]:
    """The linear layers whose weights kernels read, past an adapter over them: those of Mamba."""
    return [
        f"{name}.out_proj"
        for name, mixer in model.named_modules()
        if all(hasattr(mixer, part) for part in ("A_log", "D", "out_proj"))
    ]


def adapts_experts(model: Any, config: Any) -> bool:
    """Whether an adapter of this config lies over experts, whose weights are no layers."""
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    settled = deepcopy(config)
    convert_peft_config_for_transformers(settled, model, None)
    return bool(settled.target_parameters)


def load_adapter(model: Any, folder: Path, options: LlamaQloraOptions) -> Any:
    """Put a trained adapter over its base model, whose vocabulary it may have widened.

    Raises:
        ModelError: its weights are not there as safetensors, or do not fit the base, or that does
            not fit in memory.
    """
    from peft import PeftModel, set_peft_model_state_dict
    from safetensors.torch import load_file

    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelError(
            f"{folder}: this adapter has no {ADAPTER_WEIGHTS}; pickled weights are not read, so"
            " save it as safetensors"
        )
    if (
        "disk" in (getattr(model, "hf_device_map", None) or {}).values()
    ):  # peft would write the base anew
        raise ModelError(
            f"{folder}: not all of this adapter's base fits in memory, and peft can't leave it on"
            " the disk; let more of it lie in memory (backend.max_memory), or merge the two (aqa"
            " train ... --resume --merge) and name merged/"
        )
    unfit = (
        f"{folder}: this adapter does not fit its base model; it was trained on another one, or"
        " the base has changed since"
    )
    _widen(model, folder)
    with explained(str(folder)), quiet():
        # peft only warns of weights that are not there, and leaves them as they were drawn.
        warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
        try:
            placed = placement(options, training=False) if options.device_map else {}
            adapted = PeftModel.from_pretrained(model, folder, torch_device="cpu", **placed)
        except (UserWarning, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "size mismatch" not in str(error):
                raise
            raise ModelError(unfit) from error
        # Of weights that have no place it says nothing; it writes some layers down twice.
        found = set_peft_model_state_dict(adapted, load_file(folder / ADAPTER_WEIGHTS))
    unexpected = set(found.unexpected_keys) - {LEARNT_PROMPT}  # which it reads by itself
    if [name for name in unexpected if not TWICE.search(name)]:
        raise ModelError(unfit)
    return adapted


def check_fit(model_config: Any, folder: Path, options: LlamaQloraOptions) -> None:
    """See by the shapes alone that a trained adapter fits its base model.

    Of a model that transformers has no causal one for, or that brings its own code, nobody knows.

    Raises:
        ModelError: it does not, or its weights are not there as safetensors.
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


def fast_adapter(model: Any, dtype: Any, spread: bool) -> AbstractContextManager[None]:
    """Compute an adapter fused for a while, for peft does it in float32 beside the layers.

    Not where weights come to a process when they are needed, be they spread or on the disk.
    """
    places = (getattr(model, "hf_device_map", None) or {}).values()
    if spread or {"cpu", "disk"} & {*places} or not hasattr(model, "peft_config"):
        return nullcontext()
    from aqa.backends.llama_qlora.fused_lora import fused_adapter

    return fused_adapter(model, dtype)


def embedding_rows(folder: Path) -> int | None:
    """How many tokens the embedding has that an adapter brings along; None where it brings none.

    Raises:
        ModelError: its weights are no safetensors.
    """
    return max(_embeddings(folder).values(), default=None)


def _embeddings(folder: Path) -> dict[str, int]:
    """The whole embedding and output layers that an adapter brings along, with their tokens."""
    from safetensors import safe_open

    path = folder / ADAPTER_WEIGHTS
    if not path.is_file():
        return {}
    with explained(str(folder)), safe_open(path, framework="pt") as file:
        found = [(EMBEDDING.search(name), name) for name in file.keys()]  # noqa: SIM118
        return {at[1]: file.get_slice(name).get_shape()[0] for at, name in found if at}


def _widen(model: Any, folder: Path) -> None:
    """Give a base the tokens that were added to it before an adapter was trained.

    Raises:
        ModelError: their rows of a layer are not there, and would be drawn at random.
    """
    held, layer = _embeddings(folder), model.get_input_embeddings()
    rows = max(held.values(), default=layer.num_embeddings)
    if rows == layer.num_embeddings:
        return
    tied = layer.weight is model.get_output_embeddings().weight
    if len(held) < (1 if tied else 2):
        raise ModelError(
            f"{folder}: this adapter was trained over {rows} tokens, of which its base has"
            f" {layer.num_embeddings}, and it brings the others along for {', '.join(held)} alone;"
            " merge the two where it was trained"
        )
    model.resize_token_embeddings(rows, mean_resizing=False)


def read_adapter(model: Any, folder: Path) -> None:
    """Read an adapter's weights into one of a model; ModelError where they are not just its own."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    from aqa.backends.local.spread import held_like

    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    found = load_file(folder / ADAPTER_WEIGHTS)
    known = own.keys() & found.keys()
    reshaped = [name for name in known if own[name].shape != found[name].shape]
    check_keys(str(folder), own.keys() - known, reshaped, found.keys() - known)
    set_peft_model_state_dict(model, held_like(own, found))
