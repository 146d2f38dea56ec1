"""A run's inputs: its data, checked in advance, and the prompts made from them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from aqa.backends.base import Backend
from aqa.backends.tokenizers import token_counter
from aqa.config.options import DataOptions, RunConfig
from aqa.data import Source, read_examples, survey
from aqa.errors import ConfigError, PromptError, UsageError
from aqa.progress import Progress, Task
from aqa.prompting.gold_passages import answer_finder, gold_ranks
from aqa.prompting.stress.evidence import Pools, StressedEvidence
from aqa.prompting.templates import prepare
from aqa.prompting.training_evidence import TrainingEvidence
from aqa.records import Example, Prompt, Template
from aqa.runs.cluster_labels import cluster_labels
from aqa.runs.files import Hashed
from aqa.runs.fingerprints import EVIDENCE_RULES


@dataclass(frozen=True, slots=True)
class Unfit:
    """An example whose prompt can't fit even without passages. `index` is that in the data."""

    index: int
    example: Example
    error: str


def that_fit(
    prompts: Iterable[Prompt | Unfit], leave_out: Callable[[Unfit], object]
) -> Iterator[Prompt]:
    """Pass the prompts on to a reader; those that can't fit go to `leave_out` instead."""
    for prompt in prompts:
        if isinstance(prompt, Unfit):
            leave_out(prompt)
        else:
            yield prompt


class Inputs:
    """The data or validation data of a run, and the template of their prompts.

    All data are read once here, before anything expensive, and notes about them are passed on;
    unless `like` are the inputs of another run on the same data.

    Raises:
        AqaError: no data are named, or something is wrong with them.
    """

    def __init__(
        self,
        config: RunConfig,
        template: Template,
        progress: Progress,
        dev: bool = False,
        like: "Inputs | None" = None,
    ) -> None:
        self.template = replace(template, answer=config.evaluation.answer or template.answer)
        self._config = config
        self._evidence = config.evidence
        self.source = source_of(config.data, dev)
        if like is None:
            with progress.task(f"Checking {Path(str(self.source.path)).name}") as task:
                self.survey = survey(self.source, task.advance)
            for note in self.survey.notes:
                progress.note(note)
            if not dev and self.survey.korean * 2 > self.survey.count and self._is_english():
                progress.note(
                    f"{self.survey.korean:,} of {self.survey.count:,} questions are Korean, and the"
                    f" template {template.name} is English; kor_v1 asks in Korean (--prompt)."
                )
        else:
            self.survey = like.survey
        limit = config.data.dev_limit if dev else config.data.limit
        self.total = min(self.survey.count, limit or self.survey.count)
        self.left_out = 0  # because of training evidence or a stress test
        self._pools: Pools = Pools(self._as_they_are) if like is None else like._pools
        self._stressed: StressedEvidence | None = None
        if config.evidence.stress.condition is not None:
            self._stress(progress)

    def _stress(self, progress: Progress) -> None:
        """Keep only the examples that the stress condition applies to, with its evidence."""
        stressed = StressedEvidence(self._config.evidence, self._pools)
        condition = self._config.evidence.stress.condition
        with progress.task(f"Preparing {condition}", total=self.total) as task:
            count = stressed.count(_counted(islice(self._as_they_are(), self.total), task))
        self.left_out, self.total = self.total - count, count
        self._evidence, self._stressed = stressed.options, stressed
        for reason, number in stressed.left_out.items():
            progress.note(f"{condition}: {number:,} questions are left out: {reason}.")

    def _is_english(self) -> bool:
        """Whether questions are asked in English only because nobody chose a template."""
        chosen = self._config.asks_for("prompt", called=True)
        return self.template.name.startswith("eng_") and not chosen

    def _as_they_are(self) -> Iterator[Example]:
        return read_examples(self.source, self.survey)

    @cached_property
    def unlabelled(self) -> int:
        """Count the examples up to the limit that have no reference."""
        return self._count(self.survey.unlabelled, lambda example: example.answers is None)

    @cached_property
    def unanswerable(self) -> int:
        """Count the examples up to the limit that are known to have no answer."""
        return self._count(self.survey.unanswerable, lambda example: example.answers == ())

    def _count(self, of_all: int, counts: Callable[[Example], bool]) -> int:
        if self.total == self.survey.count and self._stressed is None:
            return of_all
        return sum(counts(example) for _, example in self.examples())

    def examples(self) -> Iterator[tuple[int, Example]]:
        """Yield the examples up to the limit with their indices in the data."""
        return islice(self.all_examples(), self.total)

    def all_examples(self) -> Iterator[tuple[int, Example]]:
        """Yield all examples with their indices, regardless of the limit."""
        examples = self._as_they_are()
        return enumerate(examples if self._stressed is None else self._stressed.changed(examples))

    def examples_at(self, indices: Iterable[int]) -> Iterator[tuple[int, Example]]:
        """Yield the examples at these ascending indices, regardless of the limit."""
        examples, start = self.all_examples(), 0
        for index in indices:
            yield from islice(examples, index - start, index - start + 1)
            start = index + 1

    def training_examples(
        self, first: int = 0, end: int | None = None
    ) -> Iterator[tuple[int, Example]]:
        """Yield examples `first` to `end` with training passages; see `TrainingEvidence`.

        Some are left out. Passages of other questions are drawn from all the data up to the limit.
        """
        options = self._config.evidence
        others = (example for _, example in self.examples())
        evidence = TrainingEvidence(options.train, options.top_k, self._config.seed, others)
        self.left_out = 0
        for index, example in islice(self.examples(), first, end):
            changed = evidence.apply(example)
            if changed is None:
                self.left_out += 1
            else:
                yield index, changed

    def prompt(
        self, reader: Backend, index: int, example: Example, with_target: bool = False
    ) -> Prompt:
        """Make an example's prompt with `templates.prepare`, and find the ranks of its answer."""
        options, count = self._evidence, self._count_tokens
        prompt = prepare(example, index, self.template, options, reader, with_target, count)
        holds = answer_finder(example)
        remaining = gold_ranks(prompt.evidence.passages, holds, options.title)
        return replace(
            prompt,
            gold_ranks=gold_ranks(example.passages, holds),
            gold_in_evidence=None if remaining is None else bool(remaining),
            evidence_tokens=count(prompt.evidence.context) if count else None,
            clusters=cluster_labels(example),
        ).carrying(prompt.encoding)

    @cached_property
    def _count_tokens(self) -> Callable[[str], int] | None:
        name = self._config.evidence.tokenizer
        return None if name is None else token_counter(name)

    def check_room(self, reader: Backend) -> None:
        """Check that the template leaves room for a question, and that tokens can be counted.

        Raises:
            ConfigError: even the empty template does not fit into the reader.
            ModelError: the tokenizer named for the evidence can't be loaded.
        """
        empty = Example(f"the template {self.template.name}", "", ())
        try:
            prepare(empty, 0, self.template, self._evidence, reader, False, self._count_tokens)
        except PromptError as error:
            raise ConfigError(str(error)) from error

    def prompts(
        self, reader: Backend, examples: Iterable[tuple[int, Example]], with_target: bool = False
    ) -> Iterator[Prompt | Unfit]:
        """Yield the prompts that a reader gets, and an `Unfit` for each example that can't fit.

        With targets, an example may yield one prompt per answer (`training.targets`).
        """
        several = with_target and self._config.training.targets != "first"
        for index, example in examples:
            for variant in self._each_answer(example) if several else (example,):
                try:
                    yield self.prompt(reader, index, variant, with_target)
                except PromptError as error:
                    yield Unfit(index, variant, str(error))

    def _each_answer(self, example: Example) -> Iterator[Example]:
        """Yield the example once per answer, with a numbered id if there are several."""
        answers = dict.fromkeys(example.answers or ())
        if len(answers) < 2:
            yield example
            return
        for number, answer in enumerate(answers, 1):
            yield replace(example, id=f"{example.id}#{number}", answers=(answer,), target=None)

    def texts(self) -> Iterator[str]:
        """Yield questions, passages and answers for a tokenizer to learn from."""
        for _, example in self.examples():
            yield from read_texts(example)
            yield from self.template.targets(example.answers)

    def evidence_plan(self) -> dict[str, Any]:
        """Return what decides each question's evidence; runs with equal plans can be compared."""
        return {**self._config.evidence.plan(), "passages": self.survey.passages_sha256}

    def sources(self) -> dict[str, Hashed]:
        """Return the data files by what they contain, with their hashes."""
        return {
            kind: Hashed(str(name), self.survey.files.get(kind))
            for kind, name in self.source.names().items()
        }

    def fingerprint(self, reader: Backend) -> dict[str, Any]:
        """Return what must stay the same for a run to be resumed."""
        rules = None if self._stressed is None else self._stressed.rules
        return {
            **({} if rules is None else {EVIDENCE_RULES: rules}),
            "backend": self._config.backend.name,
            "data": self.data_fingerprint(),
            "evidence": self.evidence_plan(),
            "prompt": {"name": self.template.name, "sha256": self.template.sha256},
            "reader": dict(reader.identity()),
        }

    def data_fingerprint(self) -> dict[str, Any]:
        """Return what must be the same for two runs to have the same questions."""
        data = self._config.data
        return {
            "sha256": self.survey.sha256,
            "passages": self.survey.passages_sha256,
            "missing_passages": data.missing_passages,
            "split": data.split,
            "fields": dict(data.fields),
            "on_duplicate_id": data.on_duplicate_id,
            "normalize": data.normalize,
        }


def describe_sources(
    config: RunConfig, reader: Backend, inputs: Inputs, dev: Inputs | None = None
) -> dict[str, dict[str, str]]:
    """Describe what a run is made from, for its manifest: data, template and model."""
    sources = {
        **inputs.sources(),
        **{f"dev_{kind}": hashed for kind, hashed in (dev.sources() if dev else {}).items()},
        "prompt": Hashed(config.prompt, inputs.template.sha256),
        **reader.sources(),
    }
    return {kind: hashed.to_json() for kind, hashed in sources.items()}


def read_texts(example: Example) -> Iterator[str]:
    """Yield the texts of an example that a reader may see."""
    yield example.question
    for passage in example.passages:
        yield from (passage.title, passage.text)


def _counted(examples: Iterable[Example], task: Task) -> Iterator[Example]:
    for example in examples:
        yield example
        task.advance(1)


def source_of(data: DataOptions, dev: bool) -> Source:
    """Return where the (validation) data come from; UsageError if none are named."""
    path = data.dev_path if dev else data.path
    if path is None:
        raise UsageError("no data is named; give --data FILE, or data.path in the config")
    passages = data.dev_passages if dev else data.passages
    retrieves = (data.passages or data.dev_passages) is not None
    return Source(
        path=path,
        split=data.dev_split if dev else data.split,
        fields=data.fields,
        corpus=None if retrieves and passages is None else data.corpus,  # it belongs to passages
        on_duplicate_id=data.on_duplicate_id,
        normalize=data.normalize,
        passages=passages,
        missing_passages=data.missing_passages,
    )
