"""Decide wave by wave whether a run may stop, comparing it with a reference run."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Literal

import numpy as np

from aqa.errors import DataError, UsageError
from aqa.evaluation.comparison import compare, metric_label
from aqa.evaluation.inputs import Aligned
from aqa.evaluation.planning import Sensitivity
from aqa.metrics import load_metric
from aqa.metrics.normalize import second_score
from aqa.metrics.pairs import Pairs
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.confidence_sequences import ConfidenceSequence, Verdict, verdicts
from aqa.metrics.statistics.intervals import FEW, mean_intervals
from aqa.metrics.statistics.power import detectable_difference, detectable_share
from aqa.metrics.statistics.waves import draw_order, wave_ends
from aqa.runs.files import Facts

UNDECIDED: Verdict = "undecided"
FEWEST = 50  # questions in common


@dataclass(frozen=True, slots=True)
class StopRule:
    """Stop once it is decided whether this run is better than the `reference`.

    Compared by EM or F1 (the profile's second score). With a `margin`, in points, a run also
    stops once the difference is known to be smaller.
    """

    reference: Path
    margin: float | None = None
    score: Literal["em", "f1"] = "f1"

    @classmethod
    def asked(
        cls, reference: Path | None, margin: float | None, score: Literal["em", "f1"]
    ) -> "StopRule | None":
        """Make the rule of these options; UsageError for some that need a reference."""
        if reference is not None:
            return cls(reference, margin, score)
        if margin is not None or score != "f1":
            raise UsageError(
                "--margin and --decide-by need --stop-when-decided; give it the run to compare with"
            )
        return None


@dataclass(frozen=True, slots=True)
class Decision(Facts):
    """The outcome of a run that stops by itself: b is the run, a the reference.

    `difference`, `low` and `high` are of b - a, in points, after `asked` of `questions`. Interval
    and verdict hold with 95 % confidence whenever the run stops.
    """

    a: str
    b: str
    score: str
    margin: float | None
    verdict: Verdict
    difference: float
    low: float
    high: float
    p: float
    asked: int
    questions: int
    failed: tuple[int, int] = (0, 0)  # by a and b, among those asked

    @property
    def is_final(self) -> bool:
        """Whether nothing more has to be asked."""
        return self.verdict != UNDECIDED

    def __str__(self) -> str:
        score = metric_label(self.score)
        words = {
            "b better": f"{self.b} is better than {self.a}",
            "a better": f"{self.a} is better than {self.b}",
            "no difference above the margin": (
                f"{self.a} and {self.b} differ by less than {self.margin or 0:g} {score}"
            ),
            UNDECIDED: f"it is not decided whether {self.a} or {self.b} is better",
        }[self.verdict]
        pairs = zip((self.a, self.b), self.failed, strict=True)
        failed = " and ".join(f"{count:,} of {name}" for name, count in pairs if count)
        return (
            f"after {self.asked:,} of {self.questions:,} questions: {words} ({self.b} - {self.a}:"
            f" {self.difference:+z.1f} {score}; 95 %, valid at any time: {self.low:z.1f} to"
            f" {self.high:z.1f}{f'; failed answers count 0: {failed}' if failed else ''})"
        )


class SequentialTest:
    """The questions that the reference answered, in the order in which a run asks them.

    The order depends on the seed. Questions of one article or passage stay together, and
    languages and unanswerable questions are spread evenly over it.
    """

    def __init__(self, rule: StopRule, names: tuple[str, str], aligned: Aligned, seed: int) -> None:
        """Take the only system of `aligned` as the reference; `names` are its own and the run's.

        Raises:
            DataError: the reference answered too few questions.
        """
        (system,), (self.a, self.b), self._margin = aligned.systems, names, rule.margin
        common = [index for index, key in enumerate(aligned.expected) if key in system.rows]
        self.questions = len(common)
        self.left_out = len(aligned.expected) - len(common)
        clusters = self._apart = aligned.clusters.at(common)
        if len(common) < FEWEST or clusters.count < FEW:
            spread = "" if clusters.are_examples else f", in {clusters.count} by {clusters.by}"
            raise DataError(
                f"{system.file} answers {len(common)} of these questions{spread}, but a comparison"
                f" needs at least {FEWEST} in {FEW} clusters; name a run that answers more of them"
            )
        self._pairs, self._metric = aligned.pairs[system.name], load_metric(rule.score)
        self.score = "em" if rule.score == "em" else second_score(aligned.profile)
        self._common = np.array(common)
        predictions = self._pairs.predictions
        self._theirs_lost = np.array([text is None for text in predictions])
        self._theirs, self._ours = np.full((2, len(aligned.expected)), np.nan)
        self._theirs[common] = self._scores({index: predictions[index] for index in common})
        self._lost = np.zeros(len(aligned.expected), dtype=bool)
        order = draw_order(self._strata(clusters), seed)
        self._order = self._common[np.argsort(np.argsort(order)[clusters.codes], kind="stable")]
        self._sizes = clusters.sizes[order]
        self._ends = np.cumsum(self._sizes).astype(np.intp)  # of clusters in the order
        self._sequence = ConfidenceSequence(int(self._sizes.max()), clusters.count)
        self.plan = {
            "reference": {
                "name": system.file,
                "sha256": self._digest(list(aligned.expected)),
            },
            "score": self.score,
            "profile": aligned.profile,
            "margin": rule.margin,
            "seed": seed,
            "questions": self.questions,
            "cluster": clusters.by,
            "clusters": clusters.count,
            "largest_cluster": self._sequence.largest,
            "method": self._sequence.kind,
        }

    @property
    def indices(self) -> Sequence[int]:
        """The ascending data indices of all questions."""
        return list(map(int, self._common))

    def waves(self, growth: float) -> Iterator[Sequence[int]]:
        """Yield the data indices of each wave's questions; see `wave_ends`."""
        start = 0
        for count in wave_ends(self._sizes.tolist(), growth):
            end = int(self._ends[count - 1])
            yield self._order[start:end].tolist()
            start = end

    def decide(self, answers: Mapping[int, str | None]) -> Decision:
        """Decide after a wave by all answers so far; the answer None has failed."""
        indices = list(answers)
        self._ours[indices] = self._scores(answers)
        self._lost[indices] = [text is None for text in answers.values()]
        differences = (self._ours - self._theirs)[self._order]
        totals = np.add.reduceat(differences, np.append(0, self._ends[:-1])) / 100
        done = ~np.isnan(totals)  # nan: not all of a cluster is answered
        counted = self._order[np.repeat(done, self._sizes.astype(np.intp))]
        totals, sizes = totals[done], self._sizes[done]
        margin = None if self._margin is None else self._margin / 100
        (verdict,) = verdicts(self._sequence, totals, sizes, np.array([len(sizes)]), margin)
        low, high = self._sequence.interval(totals, sizes)
        return Decision(
            self.a,
            self.b,
            self.score,
            self._margin,
            verdict,
            100 * float(totals.sum() / sizes.sum()),
            100 * low,
            100 * high,
            self._sequence.p_value(totals, sizes),
            int(sizes.sum()),
            self.questions,
            (int(self._theirs_lost[counted].sum()), int(self._lost[counted].sum())),
        )

    def sensitivity(self, answers: Mapping[int, str | None]) -> tuple[Sensitivity, bool]:
        """Return what these questions can detect, and whether both readers' answers were used.

        With too few common answers, both are assumed to vary like the reference, independently.
        """
        theirs = self._theirs[self._common]
        both = [at for at, index in enumerate(self._common.tolist()) if index in answers]
        clusters = self._apart.at(both)
        if len(both) >= FEWEST and clusters.count >= FEW:
            indices = self._common[both].tolist()
            ours = self._scores({index: answers[index] for index in indices})
            values = {"a": {"score": theirs[both].tolist()}, "b": {"score": ours}}
            (pair,) = compare(values, clusters)
            return Sensitivity(pair.detectable, len(both), clusters.count, pair.differing), True
        clusters = self._apart
        error = float(mean_intervals(theirs[:, None], clusters).errors[0]) * sqrt(2)
        if error == 0:  # no variation: assume only that of the difference, one cluster each
            share = detectable_share(clusters.count, 0)
            return Sensitivity(share and 100 * share, len(theirs), clusters.count, 0.0), False
        detectable = detectable_difference(error, clusters.count)
        return Sensitivity(detectable, len(theirs), clusters.count), False

    def _scores(self, answers: Mapping[int, str | None]) -> Sequence[float]:
        all_of, indices = self._pairs, list(answers)
        pairs = Pairs(
            list(answers.values()),
            [all_of.references[index] for index in indices],
            all_of.profile,
            known_languages=[all_of.languages[index] for index in indices],
        )
        return self._metric(pairs).per_example

    def _strata(self, clusters: Clusters) -> list[tuple[str, bool]]:
        """Return each cluster's stratum: its language, and whether most of it is answerable."""
        _, first = np.unique(clusters.codes, return_index=True)
        answerable = np.array(self._pairs.answerable)[self._common]
        most = 2 * np.bincount(clusters.codes, answerable) > clusters.sizes
        languages = [self._pairs.languages[index] for index in self._common[first].tolist()]
        return list(zip(languages, most.tolist(), strict=True))

    def _digest(self, ids: Sequence[str]) -> str:
        """Return the SHA-256 of the reference's scores, as JSON of pairs of id and score."""
        digest, mark = hashlib.sha256(), "["
        for index in self._common.tolist():
            digest.update((mark + json.dumps([ids[index], float(self._theirs[index])])).encode())
            mark = ", "
        digest.update(b"]")
        return digest.hexdigest()
