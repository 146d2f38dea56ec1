"""Train a local reader, from rows to saved weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import set_seed

from aqa.backends.base import TrainJob
from aqa.backends.interrupts import stops_at_interrupt
from aqa.backends.local.checkpoints import (
    awaits_evaluation,
    check_optimizer,
    is_over,
    last_checkpoint,
)
from aqa.backends.local.devices import ZERO, sharded_by
from aqa.backends.local.failures import explained_work, is_lost
from aqa.backends.local.reader import LocalReader
from aqa.backends.local.trainer import AnswerTrainer
from aqa.backends.local.training_arguments import check_options, training_arguments
from aqa.backends.local.training_rows import TrainingRows, discard_rows
from aqa.backends.model_errors import is_out_of_memory
from aqa.contention import sharing_processors
from aqa.errors import ConfigError
from aqa.library_output import quiet
from aqa.processes import is_first_process
from aqa.records import TrainStep
from aqa.runs.files import atomic_folder
from aqa.runs.names import CHECKPOINTS


def train_reader(
    trainer_type: type[AnswerTrainer],
    reader: LocalReader,
    job: TrainJob,
    on_step: Callable[[TrainStep], None],
) -> Path:
    """Train, leave the best weights loaded and return the folder they were saved to.

    Raises:
        ConfigError: an option cannot be used.
        DataError: examples have nothing to train on.
        KeyboardInterrupt: the user stopped it; a checkpoint was written.
        RunError: the checkpoint's optimizer was sharded differently.
    """
    model = reader.options.model
    check_options(reader.config.training)
    start = last_checkpoint(job.folder / CHECKPOINTS) if job.resume else None
    if job.resume and start is None:
        reader.note("there is no checkpoint to resume from: training starts from the beginning")
    options = reader.config.training
    ended = start is not None and is_over(start, options.early_stopping_patience)
    training_rows = TrainingRows(reader, job, ended)
    training_rows.make()
    with explained_work(model, "waiting for the other processes"):
        with explained_options():
            arguments = training_arguments(reader.config, reader.options, job)
        rows = training_rows.all()
    set_seed(reader.config.seed)
    with quiet(), sharing_processors(), explained_work(model, "training"):
        with explained_options():
            trainer = trainer_type(reader, job, on_step, arguments, rows)
            if trainer.optimizer_kind is None:  # otherwise it is made from sharded weights
                trainer.create_optimizer()
        run_training(trainer, job, on_step, start)
        folder = save_trained(job.folder / trainer.folder_name, trainer.write_trained)
    trainer.settle()
    if job.dev:
        trainer.generated_scores(None)
    return folder


def run_training(
    trainer: AnswerTrainer,
    job: TrainJob,
    on_step: Callable[[TrainStep], None],
    start: Path | None,
) -> None:
    """Train, from a checkpoint if there is one; the best weights stay loaded."""
    if start:
        check_optimizer(start, trainer.optimizer_kind, trainer.args.world_size)
    with stops_at_interrupt(trainer.stopping.set):
        if start and awaits_evaluation(start) and trainer.args.eval_strategy != "no":
            trainer.evaluate_late(start)
        if start is None and job.dev and trainer.options.evaluate_before:
            if sharded_by() == ZERO:
                trainer.note(f"the untrained model is not scored: {ZERO} begins with the training")
            else:
                on_step(TrainStep(0, 0, 0.0, scores=trainer.generated_scores(None)))
        if start and is_over(start, trainer.options.early_stopping_patience):
            trainer.read_best(start)
        else:
            trainer.train(resume_from_checkpoint=str(start) if start else None)
    if trainer.stopping.is_set():
        raise KeyboardInterrupt


def save_trained(folder: Path, save: Callable[[Path], object]) -> Path:
    """Let `save` write weights; the folder appears only when it is complete.

    All processes call it; the first one writes.
    """
    if is_first_process():
        with atomic_folder(folder) as draft:
            save(draft)
        discard_rows(folder.parent)
    else:
        save(folder)
    return folder


@contextmanager
def explained_options() -> Iterator[None]:
    """Turn library errors about an optimizer, a tracker or a layer's name into a ConfigError."""
    try:
        yield
    except (ImportError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error) or is_lost(error):
            raise
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"training can't start with these options: {first}") from error
