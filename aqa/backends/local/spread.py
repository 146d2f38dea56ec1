"""Weights that are spread over the processes of a training: FSDP2, or DeepSpeed's ZeRO stage 3.

Each layer is put together when it is used, by all processes at once, so they must go forward
together, whether each has something to compute or not.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as distributed
from torch.distributed.tensor import DTensor, distribute_tensor

from aqa.backends.local.devices import spread_by
from aqa.processes import is_first_process

Tensors = dict[str, torch.Tensor]


def spread_fsdp(accelerator: Any, model: Any, optimizer: Any) -> Any:
    """Spread a model's weights in place; give the optimizer of what is left of them here.

    A training that follows finds it done.
    """
    embedding = model.get_input_embeddings()
    for name, module in list(model.named_modules()):
        # accelerate knows of an output layer with the same weights, not of T5's two stacks.
        if type(module) is type(embedding) and module.weight is embedding.weight:
            model.set_submodule(name, embedding)
    _, prepared = accelerator.prepare(model, optimizer)
    prepare = accelerator._prepare_fsdp2
    accelerator._prepare_fsdp2 = lambda *objects: (
        objects if any(one is prepared for one in objects) else prepare(*objects)
    )
    return prepared


def gathered(model: Any, trained_only: bool) -> Tensors | None:
    """The whole weights by name, in the first process, on the CPU; None where each has all.

    All processes must ask at the same place.
    """
    if spread_by() is None:
        return None
    found: Tensors = {}
    made: dict[int, torch.Tensor] = {}  # by the parameter, which may have several names
    for name, value in model.state_dict(keep_vars=True).items():
        if trained_only and not value.requires_grad:
            continue
        if id(value) not in made:
            with _put_together(value) as whole:
                made[id(value)] = whole.detach().cpu().clone() if is_first_process() else whole
        if is_first_process():
            found[name] = made[id(value)]
    return found


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


def held_like(own: Mapping[str, torch.Tensor], found: Tensors) -> Tensors:
    """Whole tensors by name, each such as the model holds its own of that name."""
    held = dict(found)
    for name, whole in found.items():
        if isinstance(ours := own[name], DTensor):
            moved = whole.to(ours.device, ours.dtype)
            held[name] = distribute_tensor(moved, ours.device_mesh, ours.placements)
    return held


Calls = Mapping[str, Callable[[], object]]


class Lockstep:
    """Processes that go forward together; those with nothing to compute compute something small.

    Of the methods by which a model is called they all take the same one in each round. `calls` have
    a small call of each.
    """

    def __init__(self, model: Any, calls: Calls, stopped: Callable[[], bool], device: Any) -> None:
        self._device = device  # which this process's messages lie on
        self._model, self._names, self._calls = model, [*calls], [*calls.values()]
        self._stopped = stopped
        self._fills_in = False
        self.ends = False  # a stop was asked for in any process

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within it the model is called in rounds, until no process has a call left."""
        vars(self._model).pop("generate", None)  # a Trainer's, which puts weights together unasked
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
        """Compute along with others until it is the turn of what is wanted here."""
        while (turn := self._turn(wanted)) != wanted:
            self._fills_in = True
            try:
                with torch.no_grad():
                    self._calls[turn]()
            finally:
                self._fills_in = False

    def _turn(self, wanted: int) -> int:
        told = torch.tensor([wanted, -int(self._stopped())], device=self._device)
        distributed.all_reduce(told, op=distributed.ReduceOp.MIN)
        turn, stopped = told.tolist()
        self.ends |= bool(stopped)
        return int(turn)
