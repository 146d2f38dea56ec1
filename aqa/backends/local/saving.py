"""Save and restore training: weights as safetensors only, complete checkpoints."""

from pathlib import Path

import torch
from transformers import Trainer, TrainerState
from transformers.trainer import SCHEDULER_NAME, save_fsdp_optimizer
from transformers.trainer_callback import ExportableState

from aqa.backends.local.checkpoints import STATE
from aqa.processes import is_first_process


class SavingTrainer(Trainer):  # type: ignore[misc]  # transformers' types are not followed
    """A Trainer that writes a checkpoint before each evaluation and reads weights strictly."""

    _saved = 0  # the step of the last checkpoint written before an evaluation

    def write(self, folder: Path) -> None:
        """Write the trained weights, as in a checkpoint; a collective call."""
        raise NotImplementedError

    def read(self, folder: Path) -> None:
        """Read what `write` wrote: exactly those weights."""
        raise NotImplementedError

    def read_best(self, checkpoint: Path) -> None:
        """Read the best weights known to the last checkpoint."""
        self.state = TrainerState.load_from_json(str(checkpoint / STATE))
        self._find_best()
        best = self.state.best_model_checkpoint if self.args.load_best_model_at_end else None
        self.read(Path(best or checkpoint))

    def _find_best(self) -> None:
        """Correct the best checkpoint's path, in case the run folder was moved."""
        best = Path(self.args.output_dir, f"checkpoint-{self.state.best_global_step}")
        self.state.best_model_checkpoint = str(best) if best.is_dir() else None

    def _load_callback_state(self) -> None:
        """Also correct the best checkpoint's path, which the Trainer restores as it was."""
        super()._load_callback_state()
        self._find_best()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: object = None) -> None:
        """Read weights strictly; a Trainer only logs missing ones."""
        self.read(Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        if self.is_deepspeed_enabled:
            super()._load_best_model()
        else:
            self.read(Path(self.state.best_model_checkpoint))

    def write_trained(self, folder: Path) -> None:
        """Write what prediction needs."""
        self.write(folder)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write weights only: no pickled arguments, no tokenizer."""
        assert output_dir is not None
        self.write(Path(output_dir))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Leave out what a Trainer adds with FSDP: a pickled copy of the weights."""
        if not self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        plugin = self.accelerator.state.fsdp_plugin
        save_fsdp_optimizer(plugin, self.accelerator, self.optimizer, self.model, output_dir)
        if is_first_process():
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir, SCHEDULER_NAME))

    @property
    def optimizer_kind(self) -> str | None:
        """What shards the optimizer's state, if anything."""
        return (
            "FSDP" if self.is_fsdp_enabled else "DeepSpeed" if self.is_deepspeed_enabled else None
        )

    def _evaluate(
        self, trial: object, ignore_keys_for_eval: object, skip_scheduler: bool = False
    ) -> dict[str, float]:
        """Write a due checkpoint before evaluating, in case the evaluation is interrupted."""
        if self.control.should_save:
            super()._save_checkpoint(self.model, trial)
            self._saved = self.state.global_step
        scores: dict[str, float] = super()._evaluate(trial, ignore_keys_for_eval, skip_scheduler)
        return scores

    def _save_checkpoint(self, model: object, trial: object) -> None:
        """Write a checkpoint, or just its state if it was written before the evaluation."""
        if self._saved == self.state.global_step:
            self.write_state(Path(self.args.output_dir, f"checkpoint-{self._saved}"))
        else:
            super()._save_checkpoint(model, trial)

    def write_state(self, checkpoint: Path) -> None:
        """Update a checkpoint's state: the best checkpoint and the remaining patience.

        Names are transformers' own.
        """
        self._find_best()
        if not is_first_process():
            return
        for part in [*self.callback_handler.callbacks, self.control]:
            if isinstance(part, ExportableState):
                self.state.stateful_callbacks[type(part).__name__] = part.state()
        draft = checkpoint / f".{STATE}.draft"
        self.state.save_to_json(str(draft))
        draft.replace(checkpoint / STATE)
