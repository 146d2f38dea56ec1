"""Report training steps, and stop training after one on request."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import TrainerCallback

from aqa.records import TrainStep


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Reports steps and evaluations, and stops after a step on request.

    `save_steps` is the number of steps between checkpoints, if any; `tokens` returns how many were
    trained on so far, and `stops` whether any process was asked to stop.
    """

    def __init__(
        self,
        on_step: Callable[[TrainStep], None],
        save_steps: int | None,
        tokens: Callable[[], int],
        stops: Callable[[], bool],
    ) -> None:
        self._on_step, self._save_steps = on_step, save_steps
        self._tokens, self._stops = tokens, stops
        self._stopped = False
        self._seconds = 0.0  # spent on steps, without evaluations
        self._last = 0.0
        self._breaks_off = False
        self._random: list[torch.Tensor] = []

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, float], **kwargs: Any
    ) -> None:
        """Report a step's loss, or an evaluation's scores."""
        scores = {k.removeprefix("eval_"): v for k, v in logs.items() if k.startswith("eval_")}
        if "loss" not in logs and not scores:
            return
        speed = None
        if "loss" in logs:
            now = time.perf_counter()
            self._seconds += now - self._last
            self._last = now
            speed = self._tokens() / self._seconds
        self._on_step(
            TrainStep(
                state.global_step,
                state.max_steps,
                state.epoch or 0.0,
                logs.get("loss"),
                logs.get("learning_rate"),
                speed,
                scores,
            )
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock for the training speed."""
        self._last = time.perf_counter()

    def on_epoch_begin(
        self, args: Any, state: Any, control: Any, train_dataloader: Any, **kwargs: Any
    ) -> None:
        """Set the epoch's order: accelerate would not, if several processes resume it."""
        train_dataloader.set_epoch(int(state.epoch or 0))

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Exclude evaluation time from the training speed."""
        self._last = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write a checkpoint when one is due, and stop if asked to.

        At the end of an epoch the usual checkpoint follows, so that a resumed run has the same
        evaluations.
        """
        self._random = random_states()
        every = self._save_steps
        control.should_save |= every is not None and state.global_step % every == 0
        if self._stops():
            self._stopped = control.should_training_stop = True
            if args.save_strategy != "epoch" or not float(state.epoch).is_integer():
                control.should_save = True

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Abort a step of several batches if asked to stop."""
        if self._stops():
            self._breaks_off = control.should_training_stop = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Skip the evaluation if the epoch is not over.

        An aborted step leaves no trace: the checkpoint is of the step before, unless that belongs
        to an earlier session, which has saved it.
        """
        if self._breaks_off:
            control.should_evaluate = False
            control.should_save = bool(self._random)
            set_random_states(self._random)
        elif self._stopped and not float(state.epoch).is_integer():
            control.should_evaluate = control.should_save = False


def random_states() -> list[torch.Tensor]:
    """Return the random states of this process, on the CPU and on its GPU."""
    on_gpu = [torch.cuda.get_rng_state()] if torch.cuda.is_available() else []
    return [torch.get_rng_state(), *on_gpu]


def set_random_states(states: Sequence[torch.Tensor]) -> None:
    """Restore these random states."""
    for state in states[:1]:
        torch.set_rng_state(state)
    for state in states[1:]:
        torch.cuda.set_rng_state(state)
