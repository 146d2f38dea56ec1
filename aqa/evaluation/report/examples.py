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
from aqa.evaluation.predictions import AnsweredRow, evidence_of
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
        "slices": {key: _groups(report, key) for key in report.systems[0].slice_places},
        "block": BLOCK,
    }


def _groups(report: Report, key: str) -> list[str]:
    return list(dict.fromkeys(name for own in report.systems for name in own.slice_places[key]))


def _slices(report: Report) -> list[tuple[list[int | None], ...]]:
    """Return the number of the group of each example, key and system, as listed in the facts."""
    found = []
    for key in report.systems[0].slice_places:
        columns: list[list[int | None]] = [[None] * len(report.systems) for _ in report.ids]
        for number, name in enumerate(_groups(report, key)):
            for series, system in enumerate(report.systems):
                for place in system.slice_places[key].get(name, ()):
                    columns[place][series] = number
        found.append(columns)
    return list(zip(*found, strict=True))


@dataclass(slots=True)
class Library:
    """The examples' questions, and the numbers of their passages among the distinct ones.

    Of passages seen, only digests are kept: memory holds the texts of one block at most.
    """

    questions: dict[str, str] = field(default_factory=dict)
    places: dict[str, list[Json]] = field(default_factory=dict)
    _known: dict[bytes, int] = field(default_factory=dict)

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
            self.places[example.id] = [
                {"place": self._place(passage, block), **row} for passage, row in retrieved + gold
            ]
            while len(block) >= BLOCK:
                yield script_json(block[:BLOCK])
                del block[:BLOCK]
        if block:
            yield script_json(block)

    def _place(self, passage: Passage, block: list[tuple[str, str]]) -> int:
        texts = (passage.title, passage.text)
        stored = "\0".join(texts).encode("utf-8", "surrogatepass")
        digest = blake2b(stored, digest_size=16).digest()
        if digest not in self._known:
            self._known[digest] = len(self._known)
            block.append(texts)
        return self._known[digest]


def rows(
    report: Report, library: Library, seconds: Sequence[Mapping[str, Any]]
) -> Iterator[Markup]:
    """Yield one object per example: its texts, and each system's answer, kind and scores."""
    names = example_scores(report)
    slices = _slices(report)
    for place, (key, references) in enumerate(zip(report.ids, report.references, strict=True)):
        answered = [system.rows[place] for system in report.systems]
        passages = library.places.get(key, [])
        row: Json = {
            "id": key,
            "question": library.questions.get(key) or _own_question(answered),
            "references": references,
            "answers": [system.predictions[place] for system in report.systems],
            "kinds": [_KINDS.index(system.categories[place]) for system in report.systems],
            "scores": [
                [round(system.scores[name].per_example[place], 2) for name in names]
                for system in report.systems
            ],
        }
        if passages:
            row["passages"] = passages
        if slices:
            row["slices"] = slices[place]
        by_system: dict[str, list[Any]] = {
            "evidence": [_evidence(evidence_of(one), passages) for one in answered],
            "confidence": [_rounded(confidence_of(one)) for one in answered],
            "costs": [cost_json(cost_of(*both)) for both in zip(answered, seconds, strict=True)],
            "verdicts": [
                [each.to_json() for each in own.verdicts.examples[place]] if own.verdicts else []
                for own in report.systems
            ],
        }
        for name, found in by_system.items():
            if any(each not in (None, {}, []) for each in found):
                row[name] = found
        yield script_json(row)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _own_question(answered: Sequence[AnsweredRow | None]) -> str:
    found = (one.metadata.get("question") for one in answered if one is not None)
    return next((text for text in found if isinstance(text, str)), "")


def _evidence(entry: Mapping[str, Any], passages: Sequence[Json]) -> Json:
    """Return what a system's reader saw: how much, which passages, and whether one has the answer.

    Ranks are omitted if these passages are not those that the reader got.
    """
    found: Json = {}
    if "characters" in entry:
        found["characters"] = entry["characters"]
    if "gold_in_evidence" in entry:
        found["gold"] = entry["gold_in_evidence"]
    ranks = entry.get("ranks")
    if ranks is not None:
        found["read"] = len(ranks)
        ids = entry.get("ids") or [None] * len(ranks)
        id_of = {passage.get("rank"): passage.get("id") for passage in passages}
        if all(
            rank in id_of and (name is None or id_of[rank] in (None, name))
            for rank, name in zip(ranks, ids, strict=False)
        ):
            found["ranks"] = ranks
    return found
