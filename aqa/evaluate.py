"""The verb evaluate: files of predictions and their references become scores."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from aqa.answers import means_no_answer
from aqa.comparison import Comparison, compare
from aqa.data import OnDuplicateId, Source, read_examples, survey
from aqa.errors import DataError, UsageError
from aqa.metrics import Metric, MetricOptions, load_metric
from aqa.metrics.intervals import SIGNATURE, bootstrap_interval
from aqa.metrics.normalize import choose_profile, mostly_hangul
from aqa.metrics.pairs import Pairs
from aqa.metrics.unicode_forms import Form, count_mixed, unicode_form
from aqa.mistakes import CATEGORIES, categorize
from aqa.prediction_files import AnsweredRow, read_predictions
from aqa.progress import Progress, Task
from aqa.records import Example, Score
from aqa.runs import read_manifest
from aqa.slices import Slices, slice_scores

References = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class SystemScores:
    """One system's scores. `groups` holds `has_answer` and `no_answer`: n and the mean scores.

    `predictions` (as they were compared) and `categories` (see `aqa.mistakes`) follow the ids.
    """

    name: str
    file: str
    missing: int
    failed: int
    scores: Mapping[str, Score]
    groups: Mapping[str, Mapping[str, float]]
    slices: Slices = field(default_factory=dict)
    predictions: tuple[str | None, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def errors(self) -> dict[str, int]:
        """How many examples each category has, where it has any."""
        counts = {name: self.categories.count(name) for name in CATEGORIES}
        return {name: count for name, count in counts.items() if count}

    def to_json(self) -> dict[str, Any]:
        """Give what metrics.json holds."""
        found: dict[str, Any] = {
            "name": self.name,
            "file": self.file,
            "missing": self.missing,
            "failed": self.failed,
            "scores": {name: _score_json(score) for name, score in self.scores.items()},
            "groups": {name: dict(group) for name, group in self.groups.items()},
        }
        if self.slices:
            found["slices"] = self.slices
        return {**found, "errors": self.errors}


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation found; `references` and the values per example follow the `ids`."""

    profile: str
    ids: tuple[str, ...]
    systems: tuple[SystemScores, ...]
    warnings: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    references: tuple[tuple[str, ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give what metrics.json holds: unrounded, without the values per example."""
        systems = [system.to_json() for system in self.systems]
        found = {
            "version": 1,
            "profile": self.profile,
            "n": len(self.ids),
            "systems": systems,
        }
        if self.comparisons:
            found["comparisons"] = [comparison.to_json() for comparison in self.comparisons]
        return found


@dataclass(frozen=True, slots=True)
class System:
    """The predictions of one file, under the name it is shown by."""

    name: str
    file: str
    rows: Mapping[str, AnsweredRow]


def evaluate(
    files: Sequence[Path],
    references: Iterable[Example] | None,
    metrics: Sequence[str],
    profile: str,
    progress: Progress,
    normalize: str = "none",
    no_answer: Sequence[str] = (),
    metric_options: MetricOptions | None = None,
    allow_different_evidence: bool = False,
    baseline: str | None = None,
    slices: Sequence[str] = (),
) -> Report:
    """Score each file of predictions against the same references, side by side.

    `references` are those of the data, which then says what is scored; None takes those that the
    files give. `normalize` is "none" or "nfc", for both sides. `no_answer` phrases count as "".
    Systems are compared pair by pair, or each with the `baseline`, a system's name or file.
    `slices` are keys to score parts of the examples by. The metric "evidence" is such a key:
    whether the answer stood in what the reader saw.

    Raises:
        DataError: a file can't be read, or the files do not fit each other; runs with different
            evidence plans, too, unless that is allowed.
    """
    form = unicode_form(normalize)
    slices = [*slices, *(["gold_in_evidence"] if "evidence" in metrics else [])]
    scorers = [load_metric(name, metric_options) for name in metrics if name != "evidence"]
    columns: dict[str, Mapping[str, Any]] = {}
    if references is not None and slices:
        references = _keep_columns(references, slices, columns)
    given = None if references is None else _data_references(references, form)
    systems = [
        System(name, str(file), read_predictions(file, None if given is None else list(given)))
        for name, file in zip(_names(files), files, strict=True)
    ]
    expected = _file_references(systems, form) if given is None else given
    warnings = [*_alignment(systems, expected, given is not None, form)]
    warnings += compare_evidence(systems, allow_different_evidence)
    profile = choose_profile(profile, list(expected.values()))
    if profile == "squad" and mostly_hangul(list(expected.values())):
        warnings.append("the squad profile compares whole words: for Korean, use korquad")
    found = []
    with progress.task("Scoring", total=len(systems) * len(scorers), unit="scores") as task:
        for system in systems:
            pairs = _pairs(system, expected, profile, normalize, no_answer)
            if mixed := count_mixed(pairs):
                warnings.append(
                    f"{system.name}: in {mixed} examples one of prediction and reference is in "
                    "decomposed Unicode (NFD) and the other is not; compare with --normalize nfc"
                )
            scored = _score(system, pairs, scorers, task)
            rows = [system.rows.get(key) for key in expected]
            found.append(
                replace(
                    scored,
                    slices=slice_scores(
                        slices,
                        pairs,
                        rows,
                        [columns.get(key, {}) for key in expected],
                        scored.scores,
                    ),
                    predictions=tuple(pairs.predictions),
                    categories=categorize(pairs, rows),
                )
            )
    comparisons = compare(
        {
            system.name: {name: score.per_example for name, score in system.scores.items()}
            for system in found
        },
        _baseline(baseline, systems),
    )
    return Report(
        profile,
        tuple(expected),
        tuple(found),
        tuple(warnings),
        comparisons,
        tuple(expected.values()),
    )


def compare_evidence(systems: Sequence[System], allowed: bool) -> Iterator[str]:
    """Tell what keeps systems from being compared on equal evidence, as far as manifests say.

    Raises:
        DataError: their evidence plans differ, and that is not allowed.
    """
    if len(systems) < 2:
        return
    plans = {system.name: _evidence_plan(Path(system.file)) for system in systems}
    known = [(name, plan) for name, plan in plans.items() if plan]
    for name, plan in known[1:]:
        first_name, first = known[0]
        different = [key for key in {**first, **plan} if first.get(key) != plan.get(key)]
        if different:
            told = ", ".join(
                f"{key} {json.dumps(first.get(key))} and {json.dumps(plan.get(key))}"
                for key in different
            )
            told = f"{first_name} and {name} were given different evidence ({told})"
            if not allowed:
                raise DataError(
                    f"{told}, so their scores do not compare readers; predict with the same"
                    " evidence, or say --allow-different-evidence"
                )
            yield told
    for system in systems:
        cut = sum(_was_cut_by_reader(row) for row in system.rows.values())
        if cut:
            yield f"{system.name}: the reader itself had to cut the evidence of {cut} examples"


def _evidence_plan(file: Path) -> Mapping[str, Any]:
    plan = read_manifest(file if file.is_dir() else file.parent).get("evidence")
    return plan if isinstance(plan, dict) else {}


def _was_cut_by_reader(row: AnsweredRow) -> bool:
    evidence = row.metadata.get("evidence")
    if not isinstance(evidence, dict):
        return False
    return bool(evidence.get("reader_cut_characters") or "reader" in evidence.get("dropped", ()))


def read_references(
    path: str,
    fields: Mapping[str, str],
    split: str | None,
    on_duplicate_id: OnDuplicateId,
    progress: Progress,
) -> Iterator[Example]:
    """Read the examples whose references are to be scored against.

    Raises:
        DataError: the data can't be used as it is.
    """
    source = Source(path, split, fields, on_duplicate_id=on_duplicate_id)
    found = survey(source)
    for note in found.notes:
        progress.note(note)
    return read_examples(source, found)


def _score(system: System, pairs: Pairs, scorers: Sequence[Metric], task: Task) -> SystemScores:
    scores: dict[str, Score] = {}
    for scorer in scorers:
        score = _with_interval(scorer.score(pairs))
        scores[score.name] = score
        task.advance(1, {score.name: score.value})
    groups = _groups(pairs, scores)
    return SystemScores(system.name, system.file, pairs.missing, pairs.failed, scores, groups)


def _baseline(name: str | None, systems: Sequence[System]) -> str | None:
    return next((system.name for system in systems if name == system.file), name)


def _names(files: Sequence[Path]) -> list[str]:
    """Name each system by its file, or its run folder; by the whole path where that is unclear."""
    if not files:
        raise UsageError("give at least one file of predictions")
    whole = [str(file) for file in files]
    if len(set(whole)) < len(whole):
        raise UsageError("the same file of predictions is given twice")
    names = [_name(file) for file in files]
    return names if len(set(names)) == len(names) else whole


def _name(file: Path) -> str:
    if file.is_dir():
        return file.resolve().name
    return file.resolve().parent.name if file.stem == "predictions" else file.stem


def _keep_columns(
    examples: Iterable[Example], keys: Sequence[str], columns: dict[str, Mapping[str, Any]]
) -> Iterator[Example]:
    """Hand the examples on and keep their values of the keys, by id."""
    for example in examples:
        columns[example.id] = {
            key: example.metadata[key] for key in keys if key in example.metadata
        }
        yield example


def _data_references(examples: Iterable[Example], form: Form) -> References:
    found: References = {}
    without = []
    for example in examples:
        if example.id in found:
            raise DataError(
                f'the data holds the id "{example.id}" twice; each id names one example'
            )
        if example.answers is None:
            without.append(example.id)
        found[example.id] = tuple(map(form, example.answers or ()))
    if without:
        raise DataError(
            f"the data gives no references for {_ids(without)}; give data in which each example "
            "has answers, or an empty list of them where there is no answer"
        )
    if not found:
        raise DataError("the data holds no examples to score")
    return found


def _file_references(systems: Sequence[System], form: Form) -> References:
    """Take the references that the files give; they must agree, and leave no id without."""
    found: dict[str, tuple[str, ...] | None] = {}
    different = []
    for system in systems:
        for row in system.rows.values():
            answers = None if row.answers is None else tuple(map(form, row.answers))
            known = found.setdefault(row.id, answers)
            if known is None:
                found[row.id] = answers
            elif answers is not None and set(known) != set(answers):
                different.append(row.id)
    if different:
        raise DataError(
            f"the files give different references for {_ids(different)}; compare answers to the "
            "same questions, or give the references with --data"
        )
    complete = {key: answers for key, answers in found.items() if answers is not None}
    if len(complete) < len(found):
        without = [key for key, answers in found.items() if answers is None]
        raise DataError(f"no file gives references for {_ids(without)}; give them with --data")
    return complete


def _alignment(
    systems: Sequence[System],
    expected: References,
    has_data: bool,
    form: Form,
) -> Iterator[str]:
    """Tell what does not line up; refuse a file that has no id in common with the rest."""
    for system in systems:
        others = [other.rows.keys() for other in systems if other is not system]
        elsewhere = set().union(*others)
        rest = expected.keys() if has_data else elsewhere
        if (has_data or others) and rest.isdisjoint(system.rows):
            where = "the data" if has_data else "the other files"
            there = _first(key for key in expected if key in rest)
            raise DataError(
                f"no id of {system.file} is in {where}: "
                f"it has {_first(system.rows)}; there are {there}"
            )
        missing = [key for key in expected if key not in system.rows]
        if missing:
            yield f"{system.name}: no prediction for {_ids(missing)}; they count 0"
        unknown = [key for key in system.rows if key not in expected]
        if unknown:
            yield f"{system.name}: the data does not hold {_ids(unknown)}; they are not scored"
        alone = [key for key in system.rows if key not in elsewhere]
        if others and alone:
            yield f"{system.name}: only this file holds {_ids(alone)}"
        if has_data:
            yield from _other_references(system, expected, form)


def _other_references(system: System, expected: References, form: Form) -> Iterator[str]:
    different = [
        key
        for key, row in system.rows.items()
        if row.answers is not None
        and key in expected
        and set(map(form, row.answers)) != set(expected[key])
    ]
    if different:
        yield f"{system.name}: its own references differ from the data's for {_ids(different)}"


def _pairs(
    system: System, expected: References, profile: str, normalize: str, no_answer: Sequence[str]
) -> Pairs:
    form = unicode_form(normalize)
    predictions: list[str | None] = []
    failed = 0
    for key in expected:
        row = system.rows.get(key)
        text = None if row is None or row.prediction is None else form(row.prediction)
        failed += row is not None and row.failed
        predictions.append("" if text is not None and means_no_answer(text, no_answer) else text)
    return Pairs(predictions, list(expected.values()), profile, failed, normalize)


def _with_interval(score: Score) -> Score:
    low, high = bootstrap_interval(score.per_example)
    return replace(score, low=low, high=high, signature=f"{score.signature}|{SIGNATURE}")


def _groups(pairs: Pairs, scores: Mapping[str, Score]) -> dict[str, dict[str, float]]:
    """Split the means as SQuAD 2.0 does, by whether there is an answer."""
    answerable = pairs.answerable
    groups: dict[str, dict[str, float]] = {}
    for name, wanted in (("has_answer", True), ("no_answer", False)):
        groups[name] = {"n": answerable.count(wanted)}
        for score in scores.values():
            values = [
                value
                for value, group in zip(score.per_example, answerable, strict=True)
                if group is wanted
            ]
            if values:
                groups[name][score.name] = fmean(values)
    return groups


def _score_json(score: Score) -> dict[str, Any]:
    fields = {"value": score.value, "low": score.low, "high": score.high}
    known = {name: value for name, value in fields.items() if value is not None}
    return {**known, "signature": score.signature}


def _ids(ids: Sequence[str]) -> str:
    return f"{len(ids)} id{'s' * (len(ids) > 1)} ({_first(ids)})"


def _first(ids: Iterable[str]) -> str:
    found = list(ids)
    return ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
