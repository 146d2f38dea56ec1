"""Decide wave by wave whether a run may stop, comparing it with a reference run."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Literal

import numpy as np

from aqa.errors import DataError
from aqa.evaluation.comparison import compare
from aqa.evaluation.inputs import Aligned
from aqa.evaluation.planning import Sight
from aqa.metrics import load_metric
from aqa.metrics.normalize import second_score
from aqa.metrics.pairs import Pairs
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
        words = {
            "b better": f"{self.b} is better than {self.a}",
            "a better": f"{self.a} is better than {self.b}",
            "no difference above the margin": (
                f"{self.a} and {self.b} differ by less than {self.margin or 0:g} {self.score}"
            ),
            UNDECIDED: f"it is not decided whether {self.a} or {self.b} is better",
        }[self.verdict]
        pairs = zip((self.a, self.b), self.failed, strict=True)
        failed = " and ".join(f"{count:,} of {name}" for name, count in pairs if count)
        return (
            f"after {self.asked:,} of {self.questions:,} questions: {words} ({self.b} - {self.a}:"
            f" {self.difference:+z.1f} {self.score}; 95 %, valid at any time: {self.low:z.1f} to"
            f" {self.high:z.1f}{f'; failed answers count 0: {failed}' if failed else ''})"
        )


class Contest:
    """The questions that the reference answered, in the order in which a run asks them.

    The order depends on the seed. Questions of one article or passage stay together, and
    languages and unanswerable questions are spread evenly over it.
    """

    def __init__(self, rule: StopRule, names: tuple[str, str], aligned: Aligned, seed: int) -> None:
        """Take the only system of `aligned` as the reference; `names` are its own and the run's.

        Raises:
            DataError: the reference answered too few questions.
        """
        (system,), (self.a, self.b) = aligned.systems, names
        self._margin = rule.margin
        common = [place for place, key in enumerate(aligned.expected) if key in system.rows]
        self.questions = len(common)
        self.left_out = len(aligned.expected) - len(common)
        clusters = self._apart = aligned.clusters.at(common)
        if len(common) < FEWEST or clusters.count < FEW:
            apart = "" if clusters.are_examples else f", in {clusters.count} by {clusters.by}"
            raise DataError(
                f"{system.file} answers {len(common)} of these questions{apart}, but a comparison"
                f" needs at least {FEWEST} in {FEW} clusters; name a run that answers more of them"
            )
        self._pairs, self._metric = aligned.pairs[system.name], load_metric(rule.score)
        self.score = "em" if rule.score == "em" else second_score(aligned.profile)
        self._known = self._scores({place: self._pairs.predictions[place] for place in common})
        self._answered, self._failed = dict[int, float](), set[int]()
        members: list[list[int]] = [[] for _ in range(clusters.count)]
        for place, code in zip(common, clusters.codes.tolist(), strict=True):
            members[code].append(place)
        self._clusters = [members[code] for code in draw_order(self._strata(members), seed)]
        self._sequence = ConfidenceSequence(max(map(len, members)), len(members))
        ids = list(aligned.expected)
        scores = [[ids[place], score] for place, score in self._known.items()]
        self.plan = {
            "reference": {
                "name": system.file,
                "sha256": hashlib.sha256(json.dumps(scores).encode()).hexdigest(),
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

    def waves(self, growth: float) -> Iterator[Sequence[int]]:
        """Yield the data indices of each wave's questions; see `wave_ends`."""
        start = 0
        for end in wave_ends(list(map(len, self._clusters)), growth):
            yield [place for own in self._clusters[start:end] for place in own]
            start = end

    def decide(self, answers: Mapping[int, str | None]) -> Decision:
        """Decide after a wave by all answers so far; the answer None has failed."""
        self._answered |= self._scores(answers)
        self._failed |= {place for place, answer in answers.items() if answer is None}
        done = [own for own in self._clusters if all(place in self._answered for place in own)]
        totals = np.array(
            [sum(self._answered[at] - self._known[at] for at in own) / 100 for own in done]
        )
        sizes = np.array(list(map(len, done)), dtype=np.float64)
        margin = None if self._margin is None else self._margin / 100
        (verdict,) = verdicts(self._sequence, totals, sizes, np.array([len(done)]), margin)
        low, high = self._sequence.interval(totals, sizes)
        asked = [place for own in done for place in own]
        theirs = sum(self._pairs.predictions[place] is None for place in asked)
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
            (theirs, sum(place in self._failed for place in asked)),
        )

    def sight(self, answers: Mapping[int, str | None]) -> tuple[Sight, bool]:
        """Return what these questions can detect, and whether both readers' answers were used.

        With too few common answers, both are assumed to vary like the reference, independently.
        """
        known = np.array(list(self._known.values()))
        both = [at for at, place in enumerate(self._known) if place in answers]
        clusters = self._apart.at(both)
        if len(both) >= FEWEST and clusters.count >= FEW:
            own = self._scores({place: answers[place] for place in self._known if place in answers})
            values = {"a": {"score": known[both].tolist()}, "b": {"score": list(own.values())}}
            (found,) = compare(values, clusters).comparisons
            return Sight(found.detectable, len(both), clusters.count, found.differing), True
        clusters = self._apart
        error = float(mean_intervals(known[:, None], clusters).errors[0]) * sqrt(2)
        if error == 0:  # no variation: assume only that of the difference, one cluster each
            share = detectable_share(clusters.count, 0)
            return Sight(share and 100 * share, len(known), clusters.count, 0.0), False
        detectable = detectable_difference(error, clusters.count)
        return Sight(detectable, len(known), clusters.count), False

    def _scores(self, answers: Mapping[int, str | None]) -> dict[int, float]:
        all_of, places = self._pairs, list(answers)
        pairs = Pairs(
            list(answers.values()),
            [all_of.references[place] for place in places],
            all_of.profile,
            known_languages=[all_of.languages[place] for place in places],
        )
        return dict(zip(places, self._metric(pairs).per_example, strict=True))

    def _strata(self, clusters: Iterable[Sequence[int]]) -> list[tuple[str, bool]]:
        """Return each cluster's stratum: its language, and whether most of it is answerable."""
        answerable, languages = self._pairs.answerable, self._pairs.languages
        return [
            (languages[own[0]], 2 * sum(answerable[place] for place in own) > len(own))
            for own in clusters
        ]
