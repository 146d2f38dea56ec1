"""The data for the report's script: examples and passages, as JSON that is safe within HTML."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from markupsafe import Markup

from aqa.evaluation.abstention import confidence_of
from aqa.evaluation.comparison import metric_label
from aqa.evaluation.mistakes import CATEGORIES
from aqa.evaluation.predictions import evidence_of
from aqa.evaluation.predictions.answered_row import question_of
from aqa.evaluation.report.cost import cost_json, cost_of
from aqa.evaluation.report.headline import example_scores, primary_score
from aqa.evaluation.report.panels import SHORT_CATEGORIES
from aqa.evaluation.results import Report
from aqa.records import Example, Passage
from aqa.runs.files import filled

BLOCK = 256  # passages that the page unpacks at once
_ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
_KINDS = list(SHORT_CATEGORIES)

Json = dict[str, Any]


def script_json(value: object) -> Markup:
    """Write JSON for a script element, escaping anything that could end it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPES))  # noqa: S704  (this is the escape)


def facts(report: Report) -> Json:
    """Return what concerns all examples: systems, scores, kinds of answers."""
    names = example_scores(report)
    primary = primary_score(report)
    return {
        "systems": [system.name for system in report.systems],
        "scores": [metric_label(name) for name in names],
        "primary": names.index(primary) if primary in names else None,
        "kinds": [
            {"name": name, "label": label, "meaning": CATEGORIES[name]}
            for name, label in SHORT_CATEGORIES.items()
        ],
        "slices": {key: _groups(report, key) for key in report.systems[0].slice_indices},
        "block": BLOCK,
    }


def _groups(report: Report, key: str) -> list[str]:
    columns = [system.slice_indices[key] for system in report.systems]
    return list(dict.fromkeys(group for groups in columns for group in groups))


def _slices(report: Report) -> list[tuple[list[int | None], ...]]:
    """Return the number of the group of each example, key and system, as listed in the facts."""
    columns = []
    for key in report.systems[0].slice_indices:
        column: list[list[int | None]] = [[None] * len(report.systems) for _ in report.ids]
        for number, name in enumerate(_groups(report, key)):
            for series, system in enumerate(report.systems):
                for index in system.slice_indices[key].get(name, ()):
                    column[index][series] = number
        columns.append(column)
    return list(zip(*columns, strict=True))


@dataclass(slots=True)
class Library:
    """The examples' questions, and the numbers of their passages among the distinct ones.

    Of passages seen, only digests are kept: memory holds the texts of one block at most.
    """

    questions: dict[str, str] = field(default_factory=dict)
    passages: dict[str, list[Json]] = field(default_factory=dict)
    _numbers: dict[bytes, int] = field(default_factory=dict)

    def blocks(self, examples: Iterable[Example], wanted: Iterable[str]) -> Iterator[Markup]:
        """Read the wanted examples; yield passages not seen before in blocks of `BLOCK`."""
        ids = set(wanted)
        block: list[tuple[str, str]] = []
        for example in examples:
            if example.id not in ids:
                continue
            self.questions[example.id] = example.question
            retrieved = [
                (p, filled({"rank": p.rank, "id": p.id or None, "score": _rounded(p.score)}))
                for p in example.passages
            ]
            texts = {(passage.title, passage.text) for passage in example.passages}
            gold = [
                (passage, {"gold": True})
                for passage in example.own_passages
                if (passage.title, passage.text) not in texts
            ]
            self.passages[example.id] = [
                {"place": self._number(passage, block), **row} for passage, row in retrieved + gold
            ]
            while len(block) >= BLOCK:
                yield script_json(block[:BLOCK])
                del block[:BLOCK]
        if block:
            yield script_json(block)

    def _number(self, passage: Passage, block: list[tuple[str, str]]) -> int:
        texts = (passage.title, passage.text)
        stored = "\0".join(texts).encode("utf-8", "surrogatepass")
        digest = blake2b(stored, digest_size=16).digest()
        if digest not in self._numbers:
            self._numbers[digest] = len(self._numbers)
            block.append(texts)
        return self._numbers[digest]


def rows(
    report: Report, library: Library, seconds: Sequence[Mapping[str, Any]]
) -> Iterator[Markup]:
    """Yield one object per example: its texts, and each system's answer, kind and scores."""
    names = example_scores(report)
    slices = _slices(report)
    verdicts = [system.verdicts for system in report.systems]
    for index, (key, references) in enumerate(zip(report.ids, report.references, strict=True)):
        answered = [system.rows[index] for system in report.systems]
        passages = library.passages.get(key, [])
        row: Json = {
            "id": key,
            "question": library.questions.get(key) or question_of(answered),
            "references": references,
            "answers": [system.predictions[index] for system in report.systems],
            "kinds": [_KINDS.index(system.categories[index]) for system in report.systems],
            "scores": [
                [round(system.scores[name].per_example[index], 2) for name in names]
                for system in report.systems
            ],
        }
        if passages:
            row["passages"] = passages
        if slices:
            row["slices"] = slices[index]
        by_system: dict[str, list[Any]] = {
            "evidence": [_evidence(evidence_of(answer), passages) for answer in answered],
            "confidence": [_rounded(confidence_of(answer)) for answer in answered],
            "costs": [cost_json(cost_of(*both)) for both in zip(answered, seconds, strict=True)],
            "verdicts": [
                [verdict.to_json() for verdict in judged.examples[index]] if judged else []
                for judged in verdicts
            ],
        }
        for name, values in by_system.items():
            if any(value not in (None, {}, []) for value in values):
                row[name] = values
        yield script_json(row)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _evidence(entry: Mapping[str, Any], passages: Sequence[Json]) -> Json:
    """Return what a system's reader saw: how much, which passages, and whether one has the answer.

    Ranks are omitted if these passages are not those that the reader got.
    """
    evidence: Json = {}
    if "characters" in entry:
        evidence["characters"] = entry["characters"]
    if "gold_in_evidence" in entry:
        evidence["gold"] = entry["gold_in_evidence"]
    ranks = entry.get("ranks")
    if ranks is not None:
        evidence["read"] = len(ranks)
        ids = entry.get("ids") or [None] * len(ranks)
        id_of = {passage.get("rank"): passage.get("id") for passage in passages}
        if all(
            rank in id_of and (name is None or id_of[rank] in (None, name))
            for rank, name in zip(ranks, ids, strict=False)
        ):
            evidence["ranks"] = ranks
    return evidence
