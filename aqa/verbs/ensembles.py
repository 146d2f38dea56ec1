"""Ensembles in `predict`: find the members' existing answers and ask for the missing ones.

Each member is asked in a run with its own folder, below the ensemble's.
"""

from array import array
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from aqa.backends import make_reader
from aqa.backends.base import Remote
from aqa.backends.ensemble.backend import EnsembleBackend, KeptAnswers, unsure
from aqa.backends.ensemble.learned import Member
from aqa.config.backend_options import BackendOptions
from aqa.config.options import RunConfig
from aqa.config.shipped import PREFIX
from aqa.errors import DataError, RunError, UsageError
from aqa.evaluation.alignment import counted_ids
from aqa.metrics.votes import Cascade
from aqa.progress import Progress
from aqa.prompting.build import Inputs
from aqa.prompting.templates import load_template
from aqa.runs.folder import NOT_INHERITED
from aqa.runs.names import JOURNAL, MEMBERS
from aqa.spent import CostEstimate, Spent
from aqa.verbs.existing_answers import ExistingAnswers, different, member_config
from aqa.verbs.predict import Questions, Resume, check, kept_answers
from aqa.verbs.predict import dry_run as dry_run_alone
from aqa.verbs.session import result_of
from aqa.verbs.variants import spent_in


def connect(questions: Questions, folder: Path | None, progress: Progress, resume: Resume) -> None:
    """Let an ensemble ask its members, in runs under `folder`; AqaError if it can't."""
    reader = questions.reader
    if not isinstance(reader, EnsembleBackend):
        return
    if folder is None:
        raise UsageError(
            "an ensemble keeps the answers of its members in a run folder; name one (output_dir)"
        )
    reader.connect(AskedMembers(questions, folder, progress, resume).ask)


def dry_run(config: RunConfig, folder: Path, progress: Progress, resume: Resume) -> CostEstimate:
    """Estimate a prediction's cost, for an ensemble that of its members; see `predict.dry_run`."""
    reader = make_reader(config, progress)
    if not isinstance(reader, EnsembleBackend):
        return dry_run_alone(config, folder, progress, resume)
    reader.check()
    inputs = Inputs(config, load_template(config.prompt), progress)
    questions = Questions(config, reader, inputs)
    return AskedMembers(questions, folder, progress, resume).estimate()


class AskedMembers:
    """Supplies the answers of an ensemble's members: existing ones, and new ones on demand."""

    def __init__(
        self, questions: Questions, folder: Path, progress: Progress, resume: Resume
    ) -> None:
        """Check that members whose answers are missing can be asked.

        Raises:
            AqaError: one can't be asked, or its answers have other data, evidence or readers.
        """
        assert isinstance(questions.reader, EnsembleBackend)
        self._config, self._inputs = questions.config, questions.inputs
        self._learned, self._options = questions.reader.learned, questions.reader.options
        self._folder, self._progress = folder, progress
        self._begun: set[int] = set()  # the members whose runs this session has started
        self._resume = Resume(fresh=resume.fresh, retry_errors=resume.retry_errors)
        named = list(map(Path, self._options.answers))
        fingerprint = self._inputs.fingerprint(questions.reader)
        self._at_hand = ExistingAnswers(self._learned, self._inputs, fingerprint).find(named)
        for number in self._learned.needed:
            if missing := self._missing(number, None):
                self._check(number, missing)

    def ask(self, number: int, indices: Iterable[int] | None) -> KeptAnswers:
        """Return a member's answers to the questions at these `indices` (None: all).

        The member's run covers the whole data, so it continues when more questions are wanted
        later, because of a higher limit or of failures.
        """
        answers, missing = self._at_hand[number], self._missing(number, indices)
        if not missing:
            return answers
        questions = check(self._to_ask(number, missing), self._progress)
        questions = replace(questions, only=missing)
        if isinstance(questions.reader, Remote):
            questions.reader.count_elsewhere(self._elsewhere(number))
        self._begun.add(number)
        folder = self._folder_of(number)
        arguments = (folder, self._progress, self._resume, "aqa predict ensemble")
        result_of(kept_answers(questions, *arguments))
        answers.take_run(folder / JOURNAL, is_new=True)
        return answers

    def estimate(self) -> CostEstimate:
        """Estimate what paid members will cost, without asking; UsageError if none is paid."""
        rule, estimates = self._learned.rule, dict[str, CostEstimate]()
        for number in self._learned.needed:
            indices = None
            first = self._learned.needed[0]
            if isinstance(rule, Cascade) and number != first:
                indices = self._unsure(rule, first)
            missing = self._missing(number, indices)
            if not missing:
                continue
            config = self._to_ask(number, missing)
            if isinstance(make_reader(config, self._progress), Remote):
                folder = self._folder_of(number)
                name = self._learned.members[number].name
                arguments = (folder, self._progress, self._resume)
                estimates[name] = dry_run_alone(config, *arguments, only=missing)
        if not estimates:
            raise UsageError(
                "--dry-run estimates the cost of an API; no member of this ensemble has to ask one"
            )
        models = ", ".join(estimate.model for estimate in estimates.values())
        return replace(reduce(add, estimates.values()), model=models)

    def _unsure(self, rule: Cascade, first: int) -> Iterable[int] | None:
        """The questions that the expensive reader will be asked, as far as that is known."""
        journal = self._folder_of(first) / JOURNAL
        if journal.is_file() and not self._resume.fresh:
            self._at_hand[first].take_run(journal, is_new=True)
        if self._missing(first, None):
            asked_dear = self._learned.facts[Cascade.name]["asks_dear"]
            self._progress.note(
                f"how sure {self._learned.members[first].name} is of its answers isn't known yet:"
                f" all questions are counted; the expensive reader got {asked_dear:.0f} % on the"
                " data that the ensemble learned from"
            )
            return None
        return unsure(rule, self._at_hand[first])

    def _missing(self, number: int, indices: Iterable[int] | None) -> "array[int]":
        """The indices that a member still has to be asked, in the data's order."""
        at_hand = self._at_hand[number]
        indices = range(self._inputs.total) if indices is None else indices
        return array("Q", (index for index in indices if index not in at_hand))

    def _folder_of(self, number: int) -> Path:
        return self._folder / MEMBERS / self._learned.members[number].name

    def _check(self, number: int, missing: Collection[int]) -> None:
        """Check that a member can be asked and is still the reader that the rule was made for."""
        member = self._learned.members[number]
        if member.config is None:
            return  # a cascade may not need the missing answers
        questions = check(self._to_ask(number, missing), self._progress)
        fingerprint = questions.inputs.fingerprint(questions.reader)
        changed = different(
            member.reader or {}, {name: fingerprint[name] for name in member.reader or {}}
        )
        if changed:
            raise RunError(
                f"{member.given} is not the reader that the ensemble learned from:"
                f" {next(iter(changed.values()))}; train the ensemble again"
            )

    def _to_ask(self, number: int, missing: Iterable[int]) -> RunConfig:
        """The config of a member's run, with the ensemble's caps."""
        member = self._learned.members[number]
        if member.config is None:
            keys = [example.id for _, example in self._inputs.examples_at(missing)]
            raise DataError(
                f"the answers of {member.given} lack {counted_ids(keys)}, and it can't be asked"
                " here; add them to its file"
            )
        config = member_config(member)
        _check_usable(member, config.backend, self._options.trust_members)
        changed: dict[str, Any] = {"data": self._config.data, "evidence": self._config.evidence}
        backend = config.backend
        caps = [name for name in ("max_cost", "max_tokens_total") if hasattr(backend, name)]
        limits = {name: getattr(self._options, name) for name in caps}
        changed["backend"] = backend.model_copy(update=limits)
        return config.model_copy(update=changed)

    def _elsewhere(self, number: int) -> Spent:
        """What the other members have spent of the budget."""
        # What members spent before doesn't count when their runs start over.
        counted = self._begun if self._resume.fresh else set(self._learned.needed)
        return sum(map(spent_in, map(self._folder_of, counted - {number})), Spent())


def _check_usable(member: Member, options: BackendOptions, is_trusted: bool) -> None:
    """Raise AqaError if a member's model is gone, or what it runs is nothing the user asked for."""
    was_local = (member.reader or {}).get("reader", {}).get("weights")
    if was_local and not options.model.startswith(PREFIX) and not Path(options.model).exists():
        raise DataError(
            f"{member.given}: its model {options.model} is no longer there; put it back, or predict"
            " with it and name that run with --set backend.answers='[RUN]'"
        )
    fields = type(options).model_fields
    for name in fields.keys() & set(NOT_INHERITED):
        default = fields[name].get_default(call_default_factory=True)
        if not is_trusted and getattr(options, name) != default:
            raise UsageError(
                f"{member.given} sets backend.{name}, by which an ensemble made by others could run"
                " their programs; if you trust it, add --set backend.trust_members=true"
            )
