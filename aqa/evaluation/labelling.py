"""Choose the answers that people should label, and estimate a difference from their labels."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from math import isclose, sqrt
from pathlib import Path
from random import Random
from statistics import fmean

import numpy as np

from aqa.errors import DataError, UsageError
from aqa.evaluation.judge.judging import evidence_seen
from aqa.evaluation.judge.labels import BLIND_KEY, Sampled, blinded
from aqa.evaluation.predictions.answered_row import AnsweredRow, question_of
from aqa.evaluation.results import LabelledDifference, Report, SystemScores
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.label_sampling import (
    inclusion_probabilities,
    labelled_mean,
    systematic_sample,
)
from aqa.metrics.verdicts import VERDICTS
from aqa.records import Example
from aqa.runs.files import atomic
from aqa.tables.forms import in_a_sheet

COLUMNS = (
    BLIND_KEY, "id", "question", "passages", "references", "answer", "label", "probability",
    "chosen",
)  # fmt: skip
SURELY, PERHAPS = 0.98, 0.1  # probability that an answer with the full score, or 0, is right
FEWEST = 4  # answers on which the systems differ, to estimate anything
SCORES = ("f1", "rouge_w", "em")  # proxies for people's verdicts; the first available is used


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that people may label: a system's, to the example at index `index`.

    `sign` is how it counts in b - a. `proxy` is the expected verdict, 0..100; `doubt` is the
    standard deviation of the real one from it, as a share.
    """

    system: str
    index: int
    sign: int
    text: str
    proxy: float
    doubt: float


def expected(scores: Sequence[float]) -> float:
    """Return the probability that people call an answer right, given its scores, 0..100.

    They rarely disagree with a full score; an answer that scores 0 may still be right.
    """
    return fmean(
        SURELY if score == 100 else PERHAPS + (1 - 2 * PERHAPS) * score / 100 for score in scores
    )


def doubt(probability: float) -> float:
    """Return the doubt about an answer with this probability to be right; highest at 0.5."""
    return sqrt(probability * (1 - probability))


def choose(
    report: Report, count: int, seed: int, examples: Iterable[Example] = ()
) -> list[list[str | float]]:
    """Choose the answers to label and return the rows of their sheet, see `COLUMNS`.

    Rows hide whose answer it is; passages come from the `examples` that were read.

    Raises:
        UsageError: there are not exactly two systems.
        DataError: they answer alike everywhere, or nearly.
    """
    answers = [answer for answer in _answers(report) if answer.doubt]
    if len(answers) < FEWEST:
        raise DataError(
            f"the systems differ in {len(answers)} answer{'s' * (len(answers) != 1)}, which is too"
            f" few to estimate a difference by labels; at least {FEWEST} are needed"
        )
    probabilities = inclusion_probabilities(np.array([answer.doubt for answer in answers]), count)
    chosen = systematic_sample(probabilities, Random(seed))  # noqa: S311  (nothing secret)
    rows_of = {system.name: system.rows for system in report.systems}
    ids = {report.ids[answers[index].index] for index in chosen}
    by_id = {example.id: example for example in examples if example.id in ids}
    rows: list[tuple[int, list[str | float]]] = []
    for index in chosen:
        answer, probability = answers[index], float(probabilities[index])
        key, row = report.ids[answer.index], rows_of[answer.system][answer.index]
        example = by_id.get(key) or Example(key, question_of([row]), ())
        cells = [blinded(answer.system, key), key, example.question, _passages(example, row)]
        references = json.dumps(report.references[answer.index], ensure_ascii=False)
        rows.append((answer.index, [*cells, references, answer.text, "", probability, len(chosen)]))
    return [cells for _, cells in sorted(rows)]


def _passages(example: Example, row: AnsweredRow | None) -> str:
    read = evidence_seen(example, row).passages
    texts = ("\n".join(filter(None, (passage.title, passage.text))) for passage in read)
    return "\n\n".join(f"[{number}] {text}" for number, text in enumerate(texts, 1))


def write_choice(path: Path, rows: Iterable[Sequence[str | float]]) -> None:
    """Write a sheet of answers to label, with a BOM so that spreadsheets read it as UTF-8."""
    sheet = StringIO(newline="")
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([in_a_sheet(cell) for cell in row] for row in rows)
    with atomic(path, locked=False) as file:
        file.write(sheet.getvalue().encode("utf-8-sig"))


def difference_by_labels(
    report: Report, labels: Mapping[tuple[str, str], Sampled]
) -> LabelledDifference:
    """Estimate the difference by people's verdicts from their labels of `choose`'s answers.

    Raises:
        UsageError: there are not exactly two systems.
        DataError: labels are of other answers, or too few.
    """
    answers = list(_answers(report))
    doubtful = {(one.system, report.ids[one.index]): one for one in answers if one.doubt}
    texts = {
        (whose, key): (system.name, text)
        for system in report.systems
        for key, text in zip(report.ids, system.predictions, strict=True)
        for whose in (system.name, blinded(system.name, key))
    }
    indices, errors, probabilities = [], [], []
    for (whose, key), sampled in labels.items():
        name, text = texts.get((whose, key), ("", None))
        if text is None or not are_same(sampled.answer or text, text):
            what = "no answer that is compared here" if text is None else "another answer than now"
            raise DataError(
                f'the label of {whose}, id "{key}", is of {what}; give labels made for these'
                " predictions, or choose again with --label (a spreadsheet may have changed the"
                f" {'id' if text is None else 'answer'}, too: have it read all columns as text)"
            )
        if answer := doubtful.get((name, key)):
            indices.append(answer.index)
            errors.append(answer.sign * (VERDICTS[sampled.label] - answer.proxy))
            probabilities.append(sampled.probability)
    a, b = report.systems
    proxies = np.zeros(len(report.ids))  # the expected b - a of each example
    for answer in answers:
        proxies[answer.index] += answer.sign * answer.proxy
    clusters = report.clusters or Clusters.apart(len(proxies))
    sample = (np.array(indices), np.array(errors), np.array(probabilities))
    mean = labelled_mean(proxies, *sample, clusters)
    if mean is None:
        raise DataError(
            f"{len(errors)} labels of answers on which the systems differ are too few; at least"
            f" {FEWEST} are needed"
        )
    return LabelledDifference(a.name, b.name, mean.n, mean.value, mean.low, mean.high)


def are_same(cell: str, text: str) -> bool:
    """Whether `cell` is what a spreadsheet may have made of a text.

    Spreadsheets change line ends and numbers: 007 becomes 7, 1,204 becomes 1204, and long numbers
    are rounded.
    """
    if cell.split() == text.split() or cell.strip().casefold() == text.strip().casefold():
        return True
    try:
        a, b = (float(number.replace(",", "")) for number in (cell, text))
    except ValueError:
        return False
    return isclose(a, b, rel_tol=1e-5 if "e" in cell.casefold() else 1e-12)


def check_two(systems: Sequence[object]) -> None:
    """Raise UsageError unless there are exactly two systems."""
    if len(systems) != 2:
        raise UsageError(
            "labels are for the difference of two systems; give two files of predictions, not"
            f" {len(systems)}"
        )


def _answers(report: Report) -> Iterator[Answer]:
    """Yield each system's answer to each example.

    There is no doubt about abstentions, nor if both systems answer alike: they count as scored.
    """
    check_two(report.systems)
    a, b = report.systems
    scores = [list(zip(*_scores_of(system), strict=True)) for system in (a, b)]
    for index, texts in enumerate(zip(a.predictions, b.predictions, strict=True)):
        spoken = [(text or "").strip() for text in texts]
        differ = spoken[0].casefold() != spoken[1].casefold()
        for side, system in enumerate((a, b)):
            sign, text, proxies = 2 * side - 1, texts[side] or "", scores[side][index]
            if differ and spoken[side]:
                right = expected(proxies)
                yield Answer(system.name, index, sign, text, 100 * right, doubt(right))
            else:
                yield Answer(system.name, index, sign, text, proxies[0], 0.0)


def _scores_of(system: SystemScores) -> list[Sequence[float]]:
    """Return an answer's proxies: F1 or EM, and a judge's verdicts if there are any."""
    for name in SCORES:
        if name in system.scores:
            judged = [] if system.verdicts is None else [system.verdicts.values]
            return [system.scores[name].per_example, *judged]
    raise UsageError("labels are chosen by F1 or EM; name one of them in --metrics")
