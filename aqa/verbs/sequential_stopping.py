"""Run in waves of questions until it is decided whether this run beats another one."""

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from aqa.backends.base import Remote
from aqa.config.options import RunConfig
from aqa.config.paths import resolve_path
from aqa.errors import DataError, RunError, UsageError
from aqa.evaluation.alignment import (
    different_plans,
    evidence_plan_of,
    first_ids,
    system_names,
)
from aqa.evaluation.contracts import Contract
from aqa.evaluation.inputs import Scoring, align
from aqa.evaluation.partial_runs import DECIDING, early_stops
from aqa.evaluation.predictions import without_fields
from aqa.evaluation.sequential_testing import Decision, SequentialTest, StopRule
from aqa.metrics.statistics.waves import BATCH, LIVE
from aqa.progress import Progress
from aqa.prompting.build import Inputs
from aqa.records import Example
from aqa.runs.fingerprints import differences
from aqa.runs.folder import read_manifest
from aqa.runs.journal_rows import cleaned_again, withheld
from aqa.runs.shelf import Shelf
from aqa.verbs.session import Session


def open_sequential_test(
    rule: StopRule, config: RunConfig, inputs: Inputs, folder: Path, progress: Progress
) -> SequentialTest:
    """Read the reference run's answers; AqaError if they don't fit this run."""
    reference = rule.reference
    if resolve_path(folder) in (resolve_path(reference), resolve_path(reference).parent):
        raise UsageError(f"{reference}: a run can't be compared with itself; name another one")
    scoring = Scoring(profile=config.evaluation.profile)
    with without_fields():
        aligned = align([reference], (example for _, example in inputs.examples()), scoring)
    (system,) = aligned.systems
    others = [
        example.id
        for _, example in inputs.examples()
        if (row := system.rows.get(example.id)) is not None
        and isinstance(question := row.metadata.get("question"), str)
        and question.strip() != example.question.strip()
    ]
    advice = "name a run on the same data and evidence"
    if others:
        raise DataError(
            f"{system.file} answers other questions under the ids {first_ids(others)}; {advice}"
        )
    plan, own_plan = evidence_plan_of(system), json.loads(json.dumps(inputs.evidence_plan()))
    if plan and (difference := different_plans(plan, own_plan)):
        raise DataError(
            f"{system.file} and this run are given different evidence ({difference}); {advice}"
        )
    for note in early_stops([system]):
        progress.note(note)
    a, b = system_names([reference, folder])
    test = SequentialTest(rule, (a, b), aligned, config.seed)
    if failed := sum(row.failed for row in system.rows.values()):
        progress.note(f"{reference}: {failed:,} failed answers count 0")
    if test.left_out:
        progress.note(
            f"{reference} has no answer to {test.left_out:,} of the questions, which are left out"
        )
    return test


def check_goes_on(test: SequentialTest, folder: Path) -> None:
    """Raise RunError if the run began with another seed, reference or margin."""
    earlier = read_manifest(folder).get(DECIDING)
    plan = dict(earlier.get("plan") or {}) if isinstance(earlier, dict) else {}
    changes = differences(plan, test.plan) if plan else {}
    changes.pop("reference.name", None)
    if "reference.sha256" in changes:
        changes["reference.sha256"] = "the reference gave other answers, or the data changed"
    if changes:
        changed = "; ".join(list(changes.values())[:3])
        raise RunError(
            f"{folder} stops when it is decided, and continues only as it began: {changed}. Give"
            " the same options again, name another --output-dir, or start over with --fresh"
        )


class ReadOnce:
    """Examples by index; those read on the way to one are kept on disk."""

    def __init__(self, examples: Iterable[tuple[int, Example]]) -> None:
        self._examples, self._shelf, self._offsets = iter(examples), Shelf(), array("Q")

    def examples_at(self, indices: Iterable[int]) -> Iterator[tuple[int, Example]]:
        """Yield the examples at these indices, which may be in any order."""
        for index in indices:
            for _, example in islice(self._examples, max(0, index + 1 - len(self._offsets))):
                self._offsets.append(self._shelf.put(example))
            yield index, self._shelf.get(self._offsets[index])


class SequentialRun:
    """Supplies a run's questions in waves, tests after each, and stops once that decides."""

    def __init__(self, test: SequentialTest, session: Session, contract: Contract | None) -> None:
        """With a contract, withheld answers count as the abstentions that they become."""
        self._test, self._session, self._contract = test, session, contract
        session.run.update({DECIDING: {"plan": test.plan}})
        self.examples_at = ReadOnce(session.inputs.all_examples()).examples_at
        self.decision: Decision | None = None
        self.is_done = False

    def waves(self) -> Iterator[Sequence[int]]:
        """Yield the indices of the questions to ask next, without those already answered.

        Each wave has to be answered before the next is taken.
        """
        journal, since = self._session.journal, self._session.since
        reader = self._session.reader
        growth = BATCH if isinstance(reader, Remote) and reader.asks_by_batch else LIVE
        for wave in self._test.waves(growth):
            if todo := [index for index in wave if not journal.is_done(index, since)]:
                yield todo
            if not all(journal.is_done(index, since) for index in wave):
                return
            self._look(wave)
            if self.decision is not None and self.decision.is_final:
                break
        self.is_done = True

    def _look(self, wave: Sequence[int]) -> None:
        rows = self._session.journal.rows_at(wave)
        self.decision = self._test.decide({row["index"]: self._answer(row) for row in rows})
        facts = {"plan": self._test.plan, "result": self.decision.to_json()}
        self._session.run.update({DECIDING: facts})

    def _answer(self, row: Mapping[str, Any]) -> str | None:
        """The answer that predictions.json will hold; None for a failure."""
        again = cleaned_again(row, self._session.inputs.template.answer)
        if again is not None:
            row = {**row, "predicted_answer": again}
        if self._contract is not None:
            row = withheld(row, self._contract.threshold)
        answer: str | None = row["predicted_answer"]
        return answer
