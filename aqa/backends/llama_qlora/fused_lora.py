"""Fast adapters for prediction: one fused addition instead of several float32 passes.

peft computes an adapter in float32 beside the layer, which for a batch of 4,096 rows takes a CPU
two to four times as long as the layer, and makes a GPU read and write float32 states. Here it is a
rank-r update in the layer's dtype, added within a matrix product that sums in float32 and rounds
once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora import LoraLayer


class FusedLora(torch.nn.Module):
    """y = base(x) + (A x) (scaling B), for inference; A is (r, in), B (out, r)."""

    down: torch.Tensor
    up: torch.Tensor

    def __init__(self, layer: Any, adapter: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.base = layer.get_base_layer()
        down = layer.lora_A[adapter].weight.detach()
        up = layer.lora_B[adapter].weight.detach() * layer.scaling[adapter]
        self.register_buffer("down", down.to(dtype))
        self.register_buffer("up", up.to(dtype).t().contiguous())

    def __getattr__(self, name: str) -> Any:
        """Look up attributes in the base layer: Jamba, for one, uses its bias."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base"), name)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map states of shape (..., in) to (..., out).

        On GPUs, autocast during training produces float32 states after some kinds of norms.
        """
        rows = states.reshape(-1, states.shape[-1]).to(self.down.dtype)
        update = torch.nn.functional.linear(rows, self.down)
        mapped: torch.Tensor = self.base(rows)
        return mapped.addmm_(update, self.up).view(*states.shape[:-1], -1)


@contextmanager
def fused_adapter(model: Any, dtype: torch.dtype) -> Iterator[None]:
    """Replace plain LoRA layers by fused ones within this context; others stay as they are."""
    replaced = {name: layer for name, layer in model.named_modules() if _is_plain(layer)}
    for name, layer in replaced.items():
        model.set_submodule(name, FusedLora(layer, layer.active_adapters[0], dtype))
    try:
        yield
    finally:
        for name, layer in replaced.items():
            model.set_submodule(name, layer)


def _is_plain(layer: object) -> bool:
    """Whether it is a LoRA layer over a linear one, without variants (DoRA) or its own biases."""
    return (
        isinstance(layer, LoraLayer)
        and isinstance(layer.get_base_layer(), torch.nn.Linear)
        and len(layer.active_adapters) == 1
        and not layer.lora_variant
        and not getattr(layer, "fan_in_fan_out", False)
        # AdaLoRA's parts are not layers, and have no such attribute.
        and all(
            getattr(part, "bias", part) is None
            for part in (*layer.lora_A.values(), *layer.lora_B.values())
        )
    )
