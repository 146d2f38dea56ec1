"""Ensembles in `predict`: which runs hold the answers of members, and asking for those missing.

What a member is asked is a run of its own, in a folder of its own below the ensemble's.
"""

from collections.abc import Collection
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from aqa.backends import make_reader
from aqa.backends.base import Remote
from aqa.backends.ensemble.backend import Answers, EnsembleBackend, read_answer, unsure
from aqa.config.options import RunConfig
from aqa.errors import DataError, RunError, UsageError
from aqa.evaluation.alignment import counted_ids
from aqa.metrics.votes import Cascade
from aqa.progress import Progress
from aqa.prompting.build import Inputs
from aqa.prompting.templates import load_template
from aqa.runs.journal import read_lines
from aqa.runs.names import JOURNAL, MEMBERS
from aqa.spent import CostEstimate, Spent
from aqa.verbs.answers_at_hand import AnswersAtHand, different, member_config
from aqa.verbs.predict import Questions, Resume, check, kept_answers
from aqa.verbs.predict import dry_run as dry_run_alone
from aqa.verbs.variants import spent_in


def connect(questions: Questions, folder: Path | None, progress: Progress, resume: Resume) -> None:
    """Let an ensemble ask its members, whose runs lie in its folder; AqaError where it can't."""
    reader = questions.reader
    if not isinstance(reader, EnsembleBackend):
        return
    if folder is None:
        raise UsageError(
            "an ensemble keeps the answers of its members in a run folder; name one (output_dir)"
        )
    reader.connect(AskedMembers(questions, folder, progress, resume).ask)


def dry_run(config: RunConfig, folder: Path, progress: Progress, resume: Resume) -> CostEstimate:
    """Tell what a prediction costs, of an ensemble what its members do; see `predict.dry_run`."""
    reader = make_reader(config, progress)
    if not isinstance(reader, EnsembleBackend):
        return dry_run_alone(config, folder, progress, resume)
    reader.check()
    inputs = Inputs(config, load_template(config.prompt), progress)
    questions = Questions(config, reader, inputs)
    return AskedMembers(questions, folder, progress, resume).estimate()


class AskedMembers:
    """Gives the answers of an ensemble's members: those at hand, and what is asked here."""

    def __init__(
        self, questions: Questions, folder: Path, progress: Progress, resume: Resume
    ) -> None:
        """See whether members whose answers are not at hand can be asked.

        Raises:
            AqaError: one can't, or its answers are of other data, evidence or another reader.
        """
        assert isinstance(questions.reader, EnsembleBackend)
        self._config, self._inputs = questions.config, questions.inputs
        self._learned, self._options = questions.reader.learned, questions.reader.options
        self._folder, self._progress = folder, progress
        self._begun: set[int] = set()  # the members whose runs began here
        self._resume = Resume(fresh=resume.fresh, retry_errors=resume.retry_errors)
        self._ids = {example.id: index for index, example in self._inputs.examples()}
        named = list(map(Path, self._options.answers))
        fingerprint = self._inputs.fingerprint(questions.reader)
        self._at_hand = AnswersAtHand(self._learned, self._ids, fingerprint).find(named)
        for place in self._learned.needed:
            if self._ids.keys() - self._at_hand[place].keys():
                self._check(place)

    def ask(self, place: int, ids: Collection[str] | None) -> Answers:
        """Give a member's answers to questions of these ids, to all where there are none given."""
        found, missing = self._at_hand[place], self._missing(place, ids)
        if not missing:
            return found
        questions = check(self._to_ask(place, missing), self._progress)
        questions = replace(questions, only=self._places(missing))
        if isinstance(questions.reader, Remote):
            questions.reader.count_elsewhere(self._elsewhere(place))
        self._begun.add(place)
        folder = self._folder_of(place)
        rows = kept_answers(questions, folder, self._progress, self._resume, "aqa predict ensemble")
        answers = {row["id"]: read_answer(row["predicted_answer"], row, True) for row in rows}
        return {**found, **answers}

    def estimate(self) -> CostEstimate:
        """Tell what paid members will cost, without asking; UsageError where none is paid."""
        rule, found = self._learned.rule, dict[str, CostEstimate]()
        for place in self._learned.needed:
            ids = None
            first = self._learned.needed[0]
            if isinstance(rule, Cascade) and place != first:
                ids = self._unsure(rule, first)
            missing = self._missing(place, ids)
            if not missing:
                continue
            config = self._to_ask(place, missing)
            if isinstance(make_reader(config, self._progress), Remote):
                folder = self._folder_of(place)
                name = self._learned.members[place].name
                asked = (folder, self._progress, self._resume)
                found[name] = dry_run_alone(config, *asked, only=self._places(missing))
        if not found:
            raise UsageError(
                "--dry-run estimates the cost of an API; no member of this ensemble has to ask one"
            )
        models = ", ".join(each.model for each in found.values())
        return replace(reduce(add, found.values()), model=models)

    def _unsure(self, rule: Cascade, first: int) -> list[str] | None:
        """What the dear reader will be asked, as far as that is known."""
        answers = {**self._at_hand[first], **self._own_rows(first)}
        if self._ids.keys() - answers.keys():
            share = self._learned.facts[Cascade.name]["asks_dear"]
            self._progress.note(
                f"how sure {self._learned.members[first].name} is of its answers isn't known yet:"
                f" all questions are counted; the expensive reader got {share:.0f} % on the data"
                " that the ensemble learned from"
            )
            return None
        return unsure(rule, {key: answers[key] for key in self._ids})

    def _own_rows(self, place: int) -> Answers:
        if self._resume.fresh:
            return {}
        lines = read_lines(self._folder_of(place) / JOURNAL)
        return {row["id"]: read_answer(row["predicted_answer"], row, True) for row in lines}

    def _missing(self, place: int, ids: Collection[str] | None) -> list[str]:
        """What a member has to be asked, in the data's order."""
        found, wanted = self._at_hand[place], self._ids if ids is None else set(ids)
        return [key for key in self._ids if key in wanted and key not in found]

    def _places(self, ids: Collection[str]) -> frozenset[int]:
        """Where these questions are in the data, which a member's run is over as a whole.

        So the same run goes on when more of them are asked, by a higher limit or by failures.
        """
        return frozenset(self._ids[key] for key in ids)

    def _folder_of(self, place: int) -> Path:
        return self._folder / MEMBERS / self._learned.members[place].name

    def _check(self, place: int) -> None:
        """See whether a member can be asked, and is still the reader that was learned from."""
        member = self._learned.members[place]
        if member.config is None:
            return  # a cascade may need no more answers than there are
        questions = check(self._to_ask(place, list(self._ids)), self._progress)
        found = questions.inputs.fingerprint(questions.reader)
        changed = different(
            member.reader or {}, {name: found[name] for name in member.reader or {}}
        )
        if changed:
            raise RunError(
                f"{member.given} is not the reader that the ensemble learned from:"
                f" {next(iter(changed.values()))}; train the ensemble again"
            )

    def _to_ask(self, place: int, ids: Collection[str]) -> RunConfig:
        """The config of a member's run, under the caps of the ensemble."""
        member = self._learned.members[place]
        if member.config is None:
            keys = sorted(set(ids), key=self._ids.__getitem__)
            raise DataError(
                f"the answers of {member.given} lack {counted_ids(keys)}, and it can't be asked"
                " here; add them to its file"
            )
        config = member_config(member)
        changed: dict[str, Any] = {"data": self._config.data, "evidence": self._config.evidence}
        backend = config.backend
        caps = [name for name in ("max_cost", "max_tokens_total") if hasattr(backend, name)]
        own = {name: getattr(self._options, name) for name in caps}
        changed["backend"] = backend.model_copy(update=own)
        return config.model_copy(update=changed)

    def _elsewhere(self, place: int) -> Spent:
        """What the other members took of what may be spent."""
        # What members spent before is forgotten where their runs start over.
        counted = self._begun if self._resume.fresh else set(self._learned.needed)
        return sum(map(spent_in, map(self._folder_of, counted - {place})), Spent())
