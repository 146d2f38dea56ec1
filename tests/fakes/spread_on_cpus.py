"""FSDP on CPUs: PyTorch supports it with gloo, but accelerate ignores it there."""

import os
import sys


def let_accelerate_spread() -> None:
    """Make accelerate follow its environment on CPUs, too."""
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    begin = AcceleratorState.__init__

    def begin_spread(self, *arguments, fsdp_plugin=None, **words):  # type: ignore[no-untyped-def]
        begin(self, *arguments, fsdp_plugin=fsdp_plugin, **words)
        if fsdp_plugin is not None:
            self.fsdp_plugin = fsdp_plugin
            self.distributed_type = DistributedType.FSDP
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = begin_spread


def without_room(in_a_layer: bool, *words: str) -> None:
    """The same, but the second process runs out of memory while answering, or inside a layer."""
    from transformers.models.t5.modeling_t5 import T5LayerFF

    from aqa.backends.local.reader import LocalReader

    inner = T5LayerFF.forward

    def refuse(layer, *arguments):  # type: ignore[no-untyped-def]
        if not getattr(layer, "training", False):
            raise MemoryError
        return inner(layer, *arguments)

    if os.environ["RANK"] == "1":
        setattr(*((T5LayerFF, "forward") if in_a_layer else (LocalReader, "_answer")), refuse)
    aqa(*words)


def aqa(*words: str) -> None:
    """Run `aqa` on such machines."""
    from aqa.__main__ import main

    let_accelerate_spread()
    sys.argv = ["aqa", *words]
    main()
