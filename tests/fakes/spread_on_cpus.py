"""FSDP on CPUs: PyTorch's runs on gloo as on NCCL, but accelerate takes no notice of it there."""

import sys


def let_accelerate_spread() -> None:
    """Let accelerate do on CPUs what its environment asks for."""
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


def aqa(*words: str) -> None:
    """`aqa`, on such machines."""
    from aqa.__main__ import main

    let_accelerate_spread()
    sys.argv = ["aqa", *words]
    main()
