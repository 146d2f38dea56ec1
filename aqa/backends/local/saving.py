"""What a training writes and reads: weights in safetensors alone, checkpoints that are whole."""

from pathlib import Path

import torch
from transformers import Trainer, TrainerState
from transformers.trainer import SCHEDULER_NAME, save_fsdp_optimizer
from transformers.trainer_callback import ExportableState

from aqa.backends.local.checkpoints import STATE
from aqa.processes import is_first_process


class SavingTrainer(Trainer):  # type: ignore[misc]  # transformers' types are not followed
    """A Trainer that writes a checkpoint before an evaluation, and reads weights strictly."""

    _saved = 0  # the step of the last checkpoint that was written before an evaluation

    def write(self, folder: Path) -> None:
        """Write what is trained, as a checkpoint holds it; all processes come here."""
        raise NotImplementedError

    def read(self, folder: Path) -> None:
        """Read what `write` wrote, each weight of it and no other."""
        raise NotImplementedError

    def read_best(self, checkpoint: Path) -> None:
        """Read the best weights that the last checkpoint of a training knows of."""
        self.state = TrainerState.load_from_json(str(checkpoint / STATE))
        self._find_best()
        best = self.state.best_model_checkpoint if self.args.load_best_model_at_end else None
        self.read(Path(best or checkpoint))

    def _find_best(self) -> None:
        """Name the best checkpoint where it is now, should the run folder have been moved."""
        best = Path(self.args.output_dir, f"checkpoint-{self.state.best_global_step}")
        self.state.best_model_checkpoint = str(best) if best.is_dir() else None

    def _load_callback_state(self) -> None:
        """Find the best checkpoint, too, of which a Trainer knows the old place."""
        super()._load_callback_state()
        self._find_best()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: object = None) -> None:
        """Read weights strictly; a Trainer logs what it does not find, and goes on."""
        self.read(Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        """The same for the best ones."""
        if self.is_deepspeed_enabled:
            super()._load_best_model()
        else:
            self.read(Path(self.state.best_model_checkpoint))

    def write_trained(self, folder: Path) -> None:
        """Write what prediction needs."""
        self.write(folder)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write weights alone: no pickled arguments, no tokenizer."""
        assert output_dir is not None
        self.write(Path(output_dir))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Write them without what a Trainer adds with FSDP: the weights once more, pickled."""
        if not self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        plugin = self.accelerator.state.fsdp_plugin
        save_fsdp_optimizer(plugin, self.accelerator, self.optimizer, self.model, output_dir)
        if is_first_process():
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir, SCHEDULER_NAME))

    @property
    def optimizer_kind(self) -> str | None:
        """What the optimizer's state is spread by, if anything."""
        return (
            "FSDP" if self.is_fsdp_enabled else "DeepSpeed" if self.is_deepspeed_enabled else None
        )

    def _evaluate(
        self, trial: object, ignore_keys_for_eval: object, skip_scheduler: bool = False
    ) -> dict[str, float]:
        """Evaluate, but first write what would be lost if that were broken off."""
        if self.control.should_save:
            super()._save_checkpoint(self.model, trial)
            self._saved = self.state.global_step
        scores: dict[str, float] = super()._evaluate(trial, ignore_keys_for_eval, skip_scheduler)
        return scores

    def _save_checkpoint(self, model: object, trial: object) -> None:
        """Write a checkpoint; where an evaluation followed on it, only what that changed."""
        if self._saved == self.state.global_step:
            self.write_state(Path(self.args.output_dir, f"checkpoint-{self._saved}"))
        else:
            super()._save_checkpoint(model, trial)

    def write_state(self, checkpoint: Path) -> None:
        """Put into a checkpoint what is known by now: the best one, and the patience that is left.

        The names are those that transformers gives.
        """
        self._find_best()
        if not is_first_process():
            return
        for kept in [*self.callback_handler.callbacks, self.control]:
            if isinstance(kept, ExportableState):
                self.state.stateful_callbacks[type(kept).__name__] = kept.state()
        draft = checkpoint / f".{STATE}.draft"
        self.state.save_to_json(str(draft))
        draft.replace(checkpoint / STATE)
