"""Everything a training needs before it begins: data, template and reader, checked together."""

from collections.abc import Iterable, Iterator
from typing import Any

from aqa.backends import make_reader
from aqa.backends.base import Trainable
from aqa.backends.cuts import Cuts
from aqa.config.options import RunConfig
from aqa.data.formats import check_files
from aqa.data.leaks import same_questions
from aqa.errors import ConfigError, DataError, ModelError
from aqa.processes import is_first_process, process_count
from aqa.progress import Progress
from aqa.prompting.build import Inputs, Unfit, source_of, that_fit
from aqa.prompting.templates import load_template
from aqa.prompting.tokenizer_coverage import check_known
from aqa.prompting.training_evidence import RULES
from aqa.records import Example, Prompt
from aqa.runs.fingerprints import EVIDENCE_RULES

PATHS = ("path", "dev_path")


class TrainingPlan:
    """Data, template and reader of one training, checked before anything expensive."""

    def __init__(self, config: RunConfig, progress: Progress) -> None:
        reader = make_reader(config, progress)
        if not isinstance(reader, Trainable):
            raise ModelError(
                f"{config.backend.name} can't be trained here: its weights are not available; use"
                " `aqa predict` with it, or train t5 or llama-qlora"
            )
        self.config, self.progress, self.reader = config, progress, reader
        template = load_template(config.prompt)
        path = config.data.dev_path
        for dev in (False, True) if path else (False,):
            check_files(source_of(config.data, dev))
        of_call = [config.asks_for(f"data.{name}", called=True) for name in PATHS]
        if path is not None and of_call == [True, False]:
            progress.note(
                f"The best weights are chosen on {path}, which the config names, not on your own"
                " data; name that with --dev-data."
            )
        self.data = Inputs(config, template, progress)
        self.dev = Inputs(config, template, progress, dev=True) if config.data.dev_path else None
        self._check()
        reader.learn_tokenizer(self.data.texts())
        reader.check()
        reader.check_training()
        self.data.check_room(reader)
        for inputs in filter(None, (self.data, self.dev)):
            check_known(inputs, reader, progress)

    def both(self) -> tuple[Iterator[Example], Iterator[Example]]:
        """Return the examples to train on and to validate on, unchanged."""
        of_dev = self.dev.examples() if self.dev else ()
        return (example for _, example in self.data.examples()), (example for _, example in of_dev)

    def note_same_questions(self) -> None:
        """Note how many validation questions are also in the training data."""
        if self.dev is None or not is_first_process():
            return
        if count := same_questions(*self.both()):
            self.progress.note(
                f"Of the {self.dev.total:,} validation questions, {count:,} are also in the"
                " training data, word for word; `aqa train --dry-run` also looks for near"
                " duplicates."
            )

    def _check(self) -> None:
        if self.config.workers.count > 1 or self.config.workers.engine == "ray":
            raise ConfigError(
                "workers.count and workers.engine are for prediction; several processes train by"
                " torchrun or srun: see the README, or leave them out"
            )
        if self.config.merge and not self.reader.merges:
            raise ConfigError(
                f"{self.config.backend.name} trains a whole model, so there is nothing to merge;"
                " leave out --merge"
            )
        if self.config.export:
            if not self.reader.merges:
                raise ConfigError(
                    f"--export writes merged models, and {self.config.backend.name} has none to"
                    " merge; leave it out"
                )
            self.reader.check_export()
        if not self.data.template.no_answer:
            self._check_answerable()
        training = self.config.training
        evaluates = self.dev is not None and training.eval_strategy != "no"
        if training.early_stopping_patience and not evaluates:
            raise ConfigError(
                "training.early_stopping_patience needs evaluations; give --dev-data and set"
                " training.eval_strategy to epoch or steps, or leave it out"
            )
        for kind, inputs in (("training", self.data), ("validation", self.dev)):
            if inputs is not None and inputs.unlabelled:
                raise ConfigError(
                    f"{inputs.unlabelled} of {inputs.total} {kind} examples have no reference"
                    " answer; name the column with --field answers=NAME"
                )

    def _check_answerable(self) -> None:
        """Check that no example needs a no-answer phrase that the template lacks."""
        evidence = self.config.evidence.train
        lost = (
            evidence.passages == "mixed"
            and evidence.gold_probability < 1
            and evidence.unanswerable_probability > 0
        )
        by_loss = self.config.training.metric_for_best_model == "loss"
        for unanswerable, use in (
            (self.data.unanswerable or ("some" if lost else 0), "train on"),
            (self.dev.unanswerable if self.dev and by_loss else 0, "take the loss of"),
        ):
            if unanswerable:
                raise ConfigError(
                    f"{unanswerable} questions have no answer, but the template"
                    f" {self.data.template.name} has no no_answer phrase to {use}; add one, or"
                    " take another template"
                )

    def train_prompts(self, cuts: Cuts, first: int = 0, end: int | None = None) -> Iterator[Prompt]:
        """Yield prompts with targets and training evidence, for examples from `first` to `end`."""
        examples = self.data.training_examples(first, end)
        yield from self._prompts(self.data, examples, cuts, with_target=True)
        cuts.without_gold = self.data.left_out

    def train_part(self, number: int, count: int, cuts: Cuts) -> Iterator[Prompt]:
        """Yield the prompts of part `number` of `count`, with a progress bar; see `TrainJob`."""
        first, end = (self.data.total * part // count for part in (number, number + 1))
        with self.progress.task("Tokenizing", total=end - first) as task:
            for prompt in self.train_prompts(cuts, first, end):
                yield prompt
                task.advance()

    def dev_prompts(self, cuts: Cuts, unfit: list[Unfit]) -> list[Prompt]:
        """Return the validation prompts, without targets; those that can't fit go to `unfit`.

        Raises:
            DataError: none fits, so the best weights can't be chosen.
        """
        if self.dev is None:
            return []
        prompts = list(self._prompts(self.dev, self.dev.examples(), cuts, unfit))
        if not prompts:
            raise DataError(f"no validation example fits: {cuts.unfit_reason}")
        return prompts

    def _prompts(
        self,
        inputs: Inputs,
        examples: Iterable[tuple[int, Example]],
        cuts: Cuts,
        unfit: list[Unfit] | None = None,
        with_target: bool = False,
    ) -> Iterator[Prompt]:
        def leave_out(left_out: Unfit) -> None:
            cuts.leave_out(left_out.error)
            if unfit is not None:
                unfit.append(left_out)

        for prompt in that_fit(inputs.prompts(self.reader, examples, with_target), leave_out):
            cuts.shortened += prompt.evidence.shortened
            cuts.lost_gold += bool(prompt.gold_ranks) and prompt.gold_in_evidence is False
            yield prompt

    def fingerprint(self) -> dict[str, Any]:
        """Return what must stay the same for a training to be resumed."""
        training = self.config.training
        rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
        return {
            **self.data.fingerprint(self.reader),
            "dev": self.dev.survey.sha256 if self.dev else None,
            "dev_split": self.config.data.dev_split,
            "profile": self.config.evaluation.profile,  # by which the best weights are chosen
            "limits": [self.config.data.limit, self.config.data.dev_limit],
            "options": self.config.backend.model_dump(exclude=set(self.config.backend.by_effect)),
            "training": self.config.training.model_dump(
                exclude={
                    "per_device_train_batch_size",
                    "gradient_accumulation_steps",
                    "save_steps",
                    "ddp_timeout",
                    "use_liger_kernel",
                    "torch_compile",
                    # Trainings from before this option existed can be resumed.
                    *([] if self.config.training.packing else ["packing"]),
                }
            ),
            # Rows per optimizer step; a resumed run may have a different number of processes.
            "batch": rows * process_count(),
            "training_evidence": self.config.evidence.train.model_dump(),
            **({EVIDENCE_RULES: RULES} if self.config.evidence.train.passages == "mixed" else {}),
            "seed": self.config.seed,
            # Trainings from before this option existed can be resumed.
            **({} if self.data.template.answer == "line" else {"answer": "text"}),
        }
