"""Abstention, risk-coverage curves, and the calibration of confidences."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf
from operator import itemgetter
from statistics import fmean

from aqa.evaluation.predictions import AnsweredRow
from aqa.metrics.calibration import PROBABILITY, Calibration, as_probability, calibrate
from aqa.metrics.pairs import Pairs
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.intervals import mean_interval
from aqa.records import AGREEMENT, MEAN_LOGPROB
from aqa.runs.files import Facts

POINTS = 100  # in a curve; more can't be told apart


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of examples, 0..100, with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], clusters: Clusters) -> "Rate":
        """Average values, 0..100, of examples in clusters."""
        return cls(fmean(values), *mean_interval(values, clusters)[:2])


@dataclass(frozen=True, slots=True)
class Abstention(Facts):
    """How often a reader abstained, on answerable and on unanswerable questions.

    `precision` is the share of its abstentions that are unanswerable, `recall` the share of
    unanswerable questions on which it abstained; None if there are none. A missing or failed
    prediction is not an abstention.
    """

    abstained: int
    unanswerable: int
    rightly: int
    precision: Rate | None
    recall: Rate | None


@dataclass(frozen=True, slots=True)
class RiskCoverage(Facts):
    """Errors among the answers that remain when the least confident are left out.

    `coverage` holds shares of examples kept, and `risk` the share of each that is wrong by exact
    match, 0..100. `aurc` is the mean risk over all coverages, `best_aurc` the same if confidence
    ranked all right answers first; for an uninformative confidence it is the risk at full
    coverage. `confident` counts the examples with a confidence; the others are ranked last.
    """

    confident: int
    aurc: float
    best_aurc: float
    coverage: tuple[float, ...]
    risk: tuple[float, ...]

    def risk_at(self, share: float) -> float:
        """Return the risk when at least this share of the examples is kept."""
        points = zip(self.coverage, self.risk, strict=True)
        return next(risk for coverage, risk in points if coverage >= share)


def abstention(pairs: Pairs, clusters: Clusters) -> Abstention | None:
    """Count a reader's abstentions; None if it answered everything and all is answerable."""
    silent = [abstained is True for abstained in pairs.abstained]
    open_ended = [not answerable for answerable in pairs.answerable]
    if not any(silent) and not any(open_ended):
        return None
    both = list(zip(silent, open_ended, strict=True))
    return Abstention(
        sum(silent),
        sum(open_ended),
        both.count((True, True)),
        _rate(open_ended, silent, clusters),
        _rate(silent, open_ended, clusters),
    )


def risk_coverage(pairs: Pairs, rows: Sequence[AnsweredRow | None]) -> RiskCoverage | None:
    """Rank the answers by confidence; None if the file has none. `rows` match the pairs.

    The curve: El-Yaniv & Wiener (2010), "On the Foundations of Noise-free Selective
    Classification", JMLR 11. Its area (AURC) and the best one: Geifman, Uziel & El-Yaniv (2019),
    "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR. Every prediction
    counts, an abstention as the answer "", a missing one as wrong.
    """
    confidences = [confidence_of(row) for row in rows]
    confident = len(confidences) - confidences.count(None)
    if not confident:
        return None
    losses = [100.0 - value for value in pairs.agreement[0]]
    risks = selective_risks(losses, [-inf if value is None else value for value in confidences])
    count = len(risks)
    sizes = sorted({-(-count * step // POINTS) for step in range(1, POINTS + 1)})
    return RiskCoverage(
        confident,
        fmean(risks),
        fmean(selective_risks(losses, [-loss for loss in losses])),
        tuple(100 * size / count for size in sizes),
        tuple(risks[size - 1] for size in sizes),
    )


def calibration(
    pairs: Pairs, rows: Sequence[AnsweredRow | None], clusters: Clusters
) -> Calibration | None:
    """Compare confidences with exact match; None if their kind is not a probability.

    Runs of earlier versions record no kind; theirs are mean log-probabilities. Answers that a
    contract withheld are left out: the confidence was in them, not in the abstention.
    """
    kinds = confidence_kinds(rows)
    kind = kinds[0] if kinds else MEAN_LOGPROB
    claims = []
    for index, row in enumerate(rows):
        confidence = confidence_of(row)
        if row is not None and confidence is not None and not _is_withheld(row):
            is_known = bool(kinds) or "evidence" in row.metadata
            claimed = as_probability(kind, confidence) if is_known else None
            claims.append((index, claimed))
    if len(kinds) > 1 or not claims or any(claimed is None for _, claimed in claims):
        return None
    indices = [index for index, _ in claims]
    right = [pairs.agreement[0][index] == 100 for index in indices]
    return calibrate(kind, [claimed or 0.0 for _, claimed in claims], right, clusters.at(indices))


def confidence_warnings(name: str, rows: Sequence[AnsweredRow | None]) -> Iterator[str]:
    """Warn if confidences that should be probabilities can't be checked for calibration."""
    kinds = confidence_kinds(rows)
    if len(kinds) > 1:
        yield (
            f"{name}: its confidences are of {len(kinds)} kinds ({', '.join(kinds)}), which can't"
            " be ranked together: risk-coverage means little, and calibration is left out"
        )
    elif kinds and kinds[0] in (AGREEMENT, PROBABILITY):
        values = (confidence_of(row) for row in rows)
        beyond = [value for value in values if value is not None and not 0 <= value <= 1]
        if beyond:
            yield (
                f"{name}: {len(beyond):,} of its confidences, of kind {kinds[0]}, are not between 0"
                f" and 1 (such as {beyond[0]:g}), so its calibration is left out; write 0.87 for 87"
                " %"
            )


def selective_risks(losses: Sequence[float], confidences: Sequence[float]) -> list[float]:
    """Return the mean loss of the 1, 2, ... n most confident examples.

    Examples of equal confidence each count with their mean loss, which is the expectation over
    all their orders.
    """
    ranked = sorted(zip(confidences, losses, strict=True), key=itemgetter(0), reverse=True)
    risks: list[float] = []
    lost = 0.0
    for _, group in groupby(ranked, key=itemgetter(0)):
        tied = [loss for _, loss in group]
        more = sum(tied)
        for index in range(1, len(tied) + 1):
            risks.append((lost + more * index / len(tied)) / (len(risks) + 1))
        lost += more
    return risks


def _rate(facts: Sequence[bool], among: Sequence[bool], clusters: Clusters) -> Rate | None:
    indices = [index for index, is_among in enumerate(among) if is_among]
    values = [100.0 * facts[index] for index in indices]
    return Rate.of(values, clusters.at(indices)) if indices else None


def _is_withheld(row: AnsweredRow) -> bool:
    return not row.prediction and isinstance(row.metadata.get("withheld"), str)


def confidence_of(row: AnsweredRow | None) -> float | None:
    """Return a row's confidence; None if it has no usable one."""
    return None if row is None else row.confidence


def confidence_kinds(rows: Iterable[AnsweredRow | None]) -> list[str]:
    """Return the kinds of the rows' confidences; rows without a kind are assumed to match.

    So runs begun by an earlier version, which had one kind only, can be resumed.
    """
    kinds = {row.confidence_kind for row in rows if row is not None and row.confidence is not None}
    return sorted(kinds - {""})
