"""Create LoRA adapters over a base model, and convert PiSSA ones for the original base."""

import difflib
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from aqa.backends.model_errors import message_of
from aqa.config.backend_options import LlamaQloraOptions, LoraOptions
from aqa.errors import ConfigError, ModelError


def add_adapter(model: Any, options: LoraOptions, base: str) -> Any:
    """Freeze a base model and add a fresh LoRA adapter to its linear layers.

    peft has no dropout over the weights of experts, so such models get none at all.

    Raises:
        ConfigError: the options name a layer that the model lacks, or do not suit experts.
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
    experts = adapts_experts(model, config)  # whose names of layers peft translates
    if not (of_all or experts):
        check_targets(model, options.target_modules)
    if experts:
        if options.variant == "pissa":
            raise ConfigError(
                f"{base}: backend.lora.variant = pissa does not support the weights of experts;"
                " choose another"
            )
        config.lora_dropout = 0.0
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:  # a layer of a kind that can't be adapted
        raise ConfigError(f"backend.lora.target_modules: {message_of(error)}") from error
    local = Path(base).is_dir()  # so that the adapter finds it from other folders too
    adapted.peft_config["default"].base_model_name_or_path = (
        str(Path(base).resolve()) if local else base
    )
    return adapted


def check_targets(model: Any, targets: str | list[str]) -> None:
    """Check that each name in a list is that of a layer, or that an expression matches one.

    Raises:
        ConfigError: one is not; peft would ignore it if others are.
    """
    names = [name for name, _ in model.named_modules()]
    if isinstance(targets, str):
        wrong = [] if any(map(_expression(targets).fullmatch, names)) else [targets]
    else:
        layers = [f".{name}" for name in names]
        wrong = [n for n in targets if not any(layer.endswith(f".{n}") for layer in layers)]
    if not wrong:
        return
    known = sorted({name.rpartition(".")[2] for name in names} - {""})
    near = difflib.get_close_matches(wrong[0], [*known, "all-linear"], 1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
    if near == wrong:
        hint = f"a text is a regular expression for whole names; give a list, [{near[0]}]"
    raise ConfigError(f"backend.lora.target_modules: the model has no layer {wrong[0]!r}; {hint}")


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ConfigError(
            f"backend.lora.target_modules: {text!r} is not a regular expression ({error}); give a"
            " list of names, such as [q_proj, v_proj]"
        ) from error


def check_rank(adapted: Any, rank: int) -> None:
    """Check that each layer has as many principal components as a PiSSA adapter asks for.

    Raises:
        ConfigError: one has fewer; the adapter would get fewer too, and could not be loaded.
    """
    from peft.tuners.lora import LoraLayer

    layers = [layer for layer in adapted.modules() if isinstance(layer, LoraLayer)]
    most = min(min(layer.in_features, layer.out_features) for layer in layers)
    if rank > most:
        raise ConfigError(
            f"backend.lora.r = {rank}: pissa can't have a rank above {most}, the width of the"
            " narrowest layer that it adapts; lower it, or choose another backend.lora.variant"
        )


def check_readable(model: Any, base: str) -> None:
    """Check that peft can reload a fresh adapter as it saves it.

    When loading, it renames layers as transformers does, for some kinds of models to names that do
    not exist, whose weights it silently drops.

    Raises:
        ModelError: it cannot.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    weights = get_peft_model_state_dict(model, save_embedding_layers=False)
    if lost := set_peft_model_state_dict(model, weights).unexpected_keys:
        kinds = sorted({name.partition(".lora_")[0].rpartition(".")[2] for name in lost})
        raise ModelError(
            f"{base}: peft could not load again what an adapter learns over {', '.join(kinds)} in a"
            f" model of this kind (it looks for {lost[0]}); name other layers in"
            " backend.lora.target_modules"
        )


def _beginning(options: LoraOptions) -> bool | str:
    if options.variant == "pissa":
        return f"pissa_niter_{options.pissa_niter}" if options.pissa_niter else "pissa"
    return True if options.init == "default" else options.init


def check_quantized_base(options: LlamaQloraOptions, quantized: bool) -> None:
    """Check that an adapter of this kind can begin over quantised weights.

    Raises:
        ConfigError: they are, and it is a PiSSA, which would take out part of them, or an
            orthogonal one, which peft makes in the type of the weights.
    """
    if not (quantized or options.quantization == "4bit"):
        return
    use = "use --set backend.quantization=none with a model that is not quantised, or another"
    if options.lora.variant == "pissa":
        raise ConfigError(
            "backend.lora.variant = pissa moves part of the weights into the adapter, which no"
            f" longer fits the rest once that is quantised; {use} variant"
        )
    if options.lora.init == "orthogonal":
        raise ConfigError(
            f"backend.lora.init = orthogonal does not support quantised weights; {use} init"
        )


def trained_weights(model: Any) -> dict[str, Any]:
    """Return the trainable weights of a model, by name."""
    return {name: weights for name, weights in model.named_parameters() if weights.requires_grad}


def beyond_beginning(config: Any, trained: dict[str, Any], begun: dict[str, Any]) -> Any:
    """Convert a PiSSA adapter's config and weights to an adapter for the original base.

    It learnt s B A - s B0 A0 = s [B, -B0] [A; A0]: an adapter of twice the rank.
    """
    import torch

    weights = {
        name: torch.cat([learnt, begun[name].to(learnt.device)], 0)
        if ".lora_A." in name
        else torch.cat([learnt, -begun[name].to(learnt.device)], 1)
        for name, learnt in trained.items()
    }
    twice = {"r": 2 * config.r, "lora_alpha": 2 * config.lora_alpha}  # keeps the scaling
    return replace(config, **twice, init_lora_weights=True), weights


def routers(model: Any) -> list[str]:
    """Return the linear layers that route to experts and return more than a product (Llama 4)."""
    from torch.nn import Linear

    return [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, Linear) and "Router" in type(layer).__name__
    ]


def _unread(model: Any) -> list[str]:
    """Return linear layers whose weights kernels read directly, bypassing adapters (Mamba)."""
    return [
        f"{name}.out_proj"
        for name, mixer in model.named_modules()
        if all(hasattr(mixer, part) for part in ("A_log", "D", "out_proj"))
    ]


def adapts_experts(model: Any, config: Any) -> bool:
    """Whether an adapter of this config covers the weights of experts, which are not layers."""
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    settled = deepcopy(config)
    convert_peft_config_for_transformers(settled, model, None)
    return bool(settled.target_parameters)
