"""Weights sharded over the processes of a training run by FSDP2 or DeepSpeed's ZeRO stage 3.

All processes gather each layer when it is used, so they must run forward together, whether or not
each has something to compute.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as distributed
from torch.distributed.tensor import DTensor, distribute_tensor

from aqa.backends.local.devices import sharded_by
from aqa.processes import is_first_process

Tensors = dict[str, torch.Tensor]


def shard_fsdp(accelerator: Any, model: Any, optimizer: Any) -> Any:
    """Shard a model's weights in place; return the optimizer of this process's shards.

    A later training leaves them as they are.
    """
    embedding = model.get_input_embeddings()
    for name, module in list(model.named_modules()):
        # accelerate handles a tied output layer, but not T5's two stacks.
        if type(module) is type(embedding) and module.weight is embedding.weight:
            model.set_submodule(name, embedding)
    _, prepared = accelerator.prepare(model, optimizer)
    prepare = accelerator._prepare_fsdp2
    accelerator._prepare_fsdp2 = lambda *objects: (
        objects if any(item is prepared for item in objects) else prepare(*objects)
    )
    return prepared


def gather_weights(model: Any, trained_only: bool) -> Tensors | None:
    """Return the full weights by name, in the first process and on the CPU; None if not sharded.

    A collective call.
    """
    if sharded_by() is None:
        return None
    by_name: Tensors = {}
    gathered: dict[int, torch.Tensor] = {}  # by id of the parameter, which may have several names
    for name, value in model.state_dict(keep_vars=True).items():
        if trained_only and not value.requires_grad:
            continue
        if id(value) not in gathered:
            with _put_together(value) as full:
                gathered[id(value)] = full.detach().cpu().clone() if is_first_process() else full
        if is_first_process():
            by_name[name] = gathered[id(value)]
    return by_name


@contextmanager
def _put_together(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, DTensor):
        yield value.full_tensor()
    elif hasattr(value, "ds_id"):
        import deepspeed

        with deepspeed.zero.GatheredParameters([value]):
            yield value
    else:
        yield value


def shard_like(model_weights: Mapping[str, torch.Tensor], weights: Tensors) -> Tensors:
    """Convert full tensors by name to the form (sharded or not) of the model's weights."""
    converted = dict(weights)
    for name, weight in weights.items():
        if isinstance(placed := model_weights[name], DTensor):
            moved = weight.to(placed.device, placed.dtype)
            converted[name] = distribute_tensor(moved, placed.device_mesh, placed.placements)
    return converted


Calls = Mapping[str, Callable[[], object]]


class Lockstep:
    """Processes that run forward together; idle ones make a small call instead.

    In each round all call the same method of the model. `calls` has a small call of each method.
    """

    def __init__(self, model: Any, calls: Calls, stopped: Callable[[], bool], device: Any) -> None:
        self._device = device  # for this process's messages
        self._model, self._names, self._calls = model, [*calls], [*calls.values()]
        self._stopped = stopped
        self._fills_in = False
        self.ends = False  # whether any process was asked to stop

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within this context the model is called in rounds, until no process has calls left."""
        vars(self._model).pop("generate", None)  # a Trainer's own, which gathers weights too
        hook = self._model.register_forward_pre_hook(
            lambda *_: self._enter("forward"), prepend=True
        )
        others = {n: getattr(self._model, n) for n in self._names if n != "forward"}
        for name, method in others.items():
            setattr(self._model, name, self._entering(name, method))
        try:
            yield
            self._go_along(len(self._names))
        finally:
            hook.remove()
            for name, method in others.items():
                setattr(self._model, name, method)

    def _entering(self, name: str, method: Callable[..., object]) -> Callable[..., object]:
        def enter(*arguments: object, **words: object) -> object:
            self._enter(name)
            return method(*arguments, **words)

        return enter

    def _enter(self, name: str) -> None:
        if not self._fills_in:
            self._go_along(self._names.index(name))

    def _go_along(self, wanted: int) -> None:
        """Make small calls with the others until it is the turn of the wanted method."""
        while (turn := self._turn(wanted)) != wanted:
            self._fills_in = True
            try:
                with torch.no_grad():
                    self._calls[turn]()
            finally:
                self._fills_in = False

    def _turn(self, wanted: int) -> int:
        request = torch.tensor([wanted, -int(self._stopped())], device=self._device)
        distributed.all_reduce(request, op=distributed.ReduceOp.MIN)
        turn, stopped = request.tolist()
        self.ends |= bool(stopped)
        return int(turn)
