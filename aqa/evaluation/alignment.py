"""Align systems' predictions with their references, and report what does not match."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unicodedata import normalize

from aqa.config.paths import resolve_path
from aqa.errors import DataError, UsageError
from aqa.evaluation.predictions import RUN_FILES, AnsweredRow, evidence_of
from aqa.evaluation.score_warnings import references_as_answers, same_rows
from aqa.metrics.unicode_forms import Form
from aqa.records import Example
from aqa.runs.folder import read_manifest

References = dict[str, tuple[str, ...]]

PASSAGE_FACTS = ("ids", "ranks", "characters", "cut_characters")  # in a row's evidence


@dataclass(frozen=True, slots=True)
class System:
    """The predictions of one file, under its display name.

    `plan` is the evidence plan of predictions in memory; None: read it from the run folder.
    """

    name: str
    file: str
    rows: Mapping[str, AnsweredRow]
    plan: Mapping[str, Any] | None = None


def system_names(files: Sequence[Path]) -> list[str]:
    """Name each system by its file or run folder, or by the nearest folder that distinguishes them.

    For example, runs/llama/predict-dev and runs/t5/predict-dev become "llama" and "t5". If no
    folder does, each gets its whole path.
    """
    if not files:
        raise UsageError("give at least one file of predictions")
    if len({resolve_path(file) for file in files}) < len(files):
        raise UsageError("the same file of predictions is given twice")
    paths = [_named_after(file).parts[::-1] for file in files]
    for names in zip(*paths, strict=False):
        if len(set(names)) == len(names):
            return list(names)
    return [str(file) for file in files]


def _named_after(file: Path) -> Path:
    path = resolve_path(file)
    if file.is_dir():
        return path
    return path.parent if file.stem == "predictions" else path.with_suffix("")


def data_references(examples: Iterable[Example], form: Form) -> tuple[References, list[str]]:
    """Return the data's references and the ids without; DataError for repeated ids or no data."""
    references: References = {}
    without = []
    for example in examples:
        if example.id in references:
            raise DataError(
                f'the data holds the id "{example.id}" twice; each id names one example'
            )
        if example.answers is None:
            without.append(example.id)
        references[example.id] = tuple(map(form, example.answers or ()))
    if not references:
        raise DataError("the data holds no examples to score")
    return references, without


def file_references(systems: Sequence[System], form: Form) -> References:
    """Return the files' own references; they must agree and cover every id."""
    references: dict[str, tuple[str, ...] | None] = {}
    different = []
    for system in systems:
        for row in system.rows.values():
            answers = None if row.answers is None else tuple(map(form, row.answers))
            answers = row.answers if answers == row.answers else answers  # held once
            earlier = references.setdefault(row.id, answers)
            if earlier is None:
                references[row.id] = answers
            elif answers is not None and _texts(earlier) != _texts(answers):
                different.append(row.id)
    if different:
        raise DataError(
            f"the files give different references for {counted_ids(different)}; compare answers to"
            " the same questions, or give the references with --data"
        )
    if without := [key for key, answers in references.items() if answers is None]:
        raise DataError(
            f"no file gives references for {counted_ids(without)}; give them with --data"
        )
    return {key: answers for key, answers in references.items() if answers is not None}


def _texts(references: Iterable[str]) -> set[str]:
    """Drop empty references: [""] and [] both mean that there is no answer."""
    return {text for text in references if text.strip()}


def check_ids(
    systems: Sequence[System], expected: References, has_data: bool, without: Sequence[str]
) -> None:
    """Check that each file shares an id with the rest, and that each example has references.

    Raises:
        DataError: a file shares none; or the data lack references for the examples `without`.
    """
    for system in systems:
        others = [other.rows.keys() for other in systems if other is not system]
        rest = expected.keys() if has_data else set().union(*others)
        if (has_data or others) and rest.isdisjoint(system.rows):
            where = "the data" if has_data else "the other files"
            wanted = first_ids(key for key in expected if key in rest)
            nfc = partial(normalize, "NFC")
            looks_alike = not set(map(nfc, rest)).isdisjoint(map(nfc, system.rows))
            hint = "; they look alike, but are in other forms of Unicode (NFC, NFD)"
            raise DataError(
                f"no id of {system.file} is in {where}: it has {first_ids(system.rows)}; there are"
                f" {wanted}{hint * looks_alike}; give predictions for these questions, or name the"
                " column of its ids with --prediction-field id=COLUMN"
            )
    if without:
        raise DataError(
            f"the data gives no references for {counted_ids(without)}; name their column with"
            " --field answers=NAME, or give data in which each example has answers, or an empty"
            " list of them where there is no answer ([] in a CSV)"
        )


def check_alignment(
    systems: Sequence[System], expected: References, has_data: bool, form: Form
) -> Iterator[str]:
    """Yield warnings on mismatches; DataError if references may have been read as answers."""
    yield from same_rows({system.name: system.rows for system in systems})
    for system in systems:
        missing = [key for key in expected if key not in system.rows]
        if missing:
            yield f"{system.name}: no prediction for {counted_ids(missing)}, counted as 0"
        failed = [key for key in expected if key in system.rows and system.rows[key].failed]
        if failed:
            yield f"{system.name}: failed answers to {counted_ids(failed)}, counted as 0"
        unknown = [key for key in system.rows if key not in expected]
        if unknown:
            yield f"{system.name}: not in the data, and so not scored: {counted_ids(unknown)}"
        if has_data:
            yield from _other_references(system, expected, form)
        yield from references_as_answers(system.name, system.rows, expected)
    yield from _unfinished_runs(systems)


def _other_references(system: System, expected: References, form: Form) -> Iterator[str]:
    different = []
    for key, row in system.rows.items():
        in_file, in_data = _texts(map(form, row.answers or ())), _texts(expected.get(key, ()))
        has_both = row.answers is not None and key in expected
        # Many tools keep just one.
        if has_both and (not in_file <= in_data or bool(in_file) != bool(in_data)):
            different.append(key)
    if different:
        ids = counted_ids(different)
        yield f"{system.name}: its own references differ from the data's for {ids}"


def compare_evidence(
    systems: Sequence[System], expected: References, allowed: bool
) -> Iterator[str]:
    """Yield warnings if systems are not known to have had equal evidence.

    Only the `expected` questions are compared.

    Raises:
        DataError: evidence plans or the passages that they chose differ, and that is not allowed.
    """
    if len(systems) < 2:
        return
    plans = [(system, evidence_plan_of(system)) for system in systems]
    recorded = [(system, plan) for system, plan in plans if plan]
    for system, plan in recorded[1:]:
        first, first_plan = recorded[0]
        problem = different_plans(first_plan, plan) or _different_passages(first, system, expected)
        if problem:
            problem = f"{first.name} and {system.name} were given different evidence ({problem})"
            if not allowed:
                raise DataError(
                    f"{problem}, so their scores do not compare readers; predict with the same"
                    " evidence, or add --allow-different-evidence"
                )
            yield problem
    for system in systems:
        cut = sum(_was_cut_by_reader(row) for key, row in system.rows.items() if key in expected)
        if cut:
            problem = f"{cut} example{'s' * (cut > 1)}"
            yield f"{system.name}: the reader itself had to cut the evidence of {problem}"


def _unfinished_runs(systems: Sequence[System]) -> Iterator[str]:
    """Warn of systems whose prediction runs are unfinished, so that examples may be missing."""
    for system in systems:
        manifest = manifest_of(system)
        status = manifest.get("status", "done")
        if manifest.get("verb") == "predict" and status != "done":
            yield (
                f"{system.name}: its run is unfinished ({status}); unanswered questions count 0 if"
                " --data lists the examples, and are left out otherwise"
            )


def manifest_of(system: System) -> Mapping[str, Any]:
    """Return the manifest of a system's run; empty if it is not a run."""
    file = Path(system.file)
    is_run = system.plan is None and (file.is_dir() or file.name in RUN_FILES)
    return _manifest(file) if is_run else {}


def evidence_plan_of(system: System) -> Mapping[str, Any]:
    """Return the evidence plan of a system's answers; empty if unknown."""
    if system.plan is not None:
        return system.plan
    plan = _manifest(Path(system.file)).get("evidence")
    return plan if isinstance(plan, dict) else {}


def _manifest(file: Path) -> Mapping[str, Any]:
    return read_manifest(file if file.is_dir() else file.parent)


def different_plans(plan: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Describe how two evidence plans differ; "" if they don't."""
    return ", ".join(
        f"{key} {_of_plan(key, plan)} and {_of_plan(key, other)}"
        for key in {**plan, **other}
        if plan.get(key) != other.get(key)
    )


def _of_plan(key: str, plan: Mapping[str, Any]) -> str:
    if key != "passages":
        return json.dumps(plan.get(key))
    sha256 = plan.get(key)  # the hash of --passages and its corpus
    return f"of a file (SHA-256 {sha256[:8]}...)" if isinstance(sha256, str) else "of the data"


def _different_passages(system: System, other: System, expected: References) -> str:
    """Describe examples whose passages differ under one plan, because the data differ."""
    different = []
    for key in (key for key in expected if key in system.rows and key in other.rows):
        chosen, others = _chosen_passages(system.rows[key]), _chosen_passages(other.rows[key])
        if chosen and others and chosen != others:
            different.append(key)
    return f"other passages for {counted_ids(different)}" if different else ""


def _chosen_passages(row: AnsweredRow) -> Mapping[str, Any]:
    """The facts that identify a row's passages; none if the reader cut them further."""
    if _was_cut_by_reader(row):
        return {}
    evidence = evidence_of(row)
    return {key: evidence[key] for key in PASSAGE_FACTS if key in evidence}


def _was_cut_by_reader(row: AnsweredRow) -> bool:
    evidence = evidence_of(row)
    return bool(evidence.get("reader_cut_characters") or "reader" in evidence.get("dropped", ()))


def counted_ids(ids: Sequence[str]) -> str:
    """Format the number of ids and the first three."""
    return f"{len(ids)} id{'s' * (len(ids) > 1)} ({first_ids(ids)})"


def first_ids(ids: Iterable[str]) -> str:
    """Format the first three ids."""
    listed = list(ids)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
