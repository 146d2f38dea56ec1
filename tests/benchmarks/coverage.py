"""Simulate whether intervals cover, tests keep their level, and verdicts are true.

Intervals: 95 % intervals of mean scores and of paired differences, over data sets with a known true
mean. It is drawn from a range for each data set: a few right or wrong answers have few possible
values, so no interval covers each fixed share in 95 %. Tests: false alarms between equally good
systems, for one pair, and for all pairs of 3, 10 and 40 systems. Power: how often a true difference
of the size that the verdict prints is detected.

Targets: coverage of 93.5 to 97.5 % for at least 10 clusters, and of 90 % or more below; false
alarms of at most 5.5 %; power of 77 to 83 %. Differences over 10 questions have the lower target:
if a quarter of the answers differ, intervals that exclude 0 at five wins to none cover 99 %;
narrower ones would have to exclude it at four to none, which happens by chance in one of eight
cases.

Each cell has random numbers of its own, so it can be drawn again alone, or with more data sets: the
printed standard error says how exact its figure is.

Run: python tests/benchmarks/coverage.py [--only intervals|differences|alarms|families|power]
     [--cells WORDS OF A CELL'S NAME] [--sets 4000]
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from zlib import crc32

import numpy as np
from arms import Parser
from numpy.typing import NDArray
from scipy import special

from aqa.evaluation.comparison import compare
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.intervals import difference_intervals, mean_intervals
from aqa.metrics.statistics.sign_flips import holm, sign_flip_tests

Matrix = NDArray[np.float64]
Shape = tuple[int, int, bool]

CELLS = 4_000_000  # in a batch of data sets
LEVELS = {"middle": (0.4, 0.7), "high": (0.75, 0.9), "edge": (0.92, 0.98)}
KINDS = ("right or wrong", "f1", "graded")
# Clusters, their mean size, and whether sizes vary: with a log standard deviation of 0.7, 1..400.
SHAPES = (
    *((count, 1, False) for count in (5, 10, 20, 100, 1000, 5000)),
    *((5, 10, False), (10, 5, False), (12, 400, False), (48, 25, False)),
    *((10, 40, True), (20, 20, True), (48, 25, True), (140, 40, True), (400, 5, True)),
)
ALIKE = (0.0, 0.1, 0.5)  # intra-class correlations


@dataclass(frozen=True)
class Simulation:
    """The source of random numbers, and the number of data sets per cell."""

    generator: np.random.Generator
    sets: int

    def clusters(self, shape: Shape) -> Clusters:
        count, size, differ = shape
        sizes = np.full(count, float(size))
        if differ:
            spread = np.exp(self.generator.normal(0, 0.7, count))
            sizes = np.clip(np.round(spread / spread.mean() * size), 1, 400)
        return Clusters.of(np.repeat(np.arange(count), sizes.astype(int)).tolist(), "title")

    def batches(self, shape: Shape) -> Iterator[tuple[Clusters, int]]:
        """Yield clusters, with a number of data sets; sizes that vary are drawn a hundred times."""
        left = self.sets
        while left:
            clusters = self.clusters(shape)
            most = -(-self.sets // 100) if shape[2] else self.sets
            size = max(1, min(left, most, CELLS // clusters.examples))
            yield clusters, size
            left -= size

    def shares(self, mean: Matrix, alike: float, clusters: Clusters) -> Matrix:
        """Draw each example's probability of being right, from a beta distribution per cluster."""
        if not alike:
            return np.broadcast_to(mean, (clusters.examples, len(mean)))
        scale = (1 - alike) / alike
        shape = (clusters.count, len(mean))
        drawn = self.generator.beta(mean * scale, (1 - mean) * scale, shape)
        return drawn[clusters.codes]

    def scores(self, kind: str, mean: Matrix, alike: float, clusters: Clusters) -> Matrix:
        """Draw scores 0..100, (examples, data sets); `mean` is that of right answers, 0..1."""
        shares = self.shares(mean, alike, clusters)
        if kind == "graded":
            low = np.maximum(8 * shares, 1e-3), np.maximum(8 * (1 - shares), 1e-3)
            return 100 * self.generator.beta(*low)
        right = self.generator.random(shares.shape) < shares
        if kind == "f1":  # half of the wrong answers are partly right
            part = self.generator.beta(2, 2, shares.shape)
            part[self.generator.random(shares.shape) < 0.5] = 0
            return 100 * np.where(right, 1.0, part)
        return 100.0 * right

    def systems(
        self, kind: str, count: int, alike: float, clusters: Clusters, sets: int = 1
    ) -> Matrix:
        """Draw scores of systems that find the same questions hard, (examples, sets, systems).

        Questions in a cluster are correlated, and so are a system's answers to them.
        """

        def effects(columns: int) -> Matrix:
            of_clusters = self.generator.normal(0, alike**0.5, (clusters.count, sets, columns))
            own = self.generator.normal(0, (1 - alike) ** 0.5, (clusters.examples, sets, columns))
            return of_clusters[clusters.codes] + own

        quality = special.ndtr((effects(1) + 0.8 * effects(count)) / 1.64**0.5)
        if kind == "right or wrong":
            return 100.0 * (quality > 0.35)
        return 20 + 60 * quality if kind == "graded" else 100 * np.clip(quality / 0.3 - 0.6, 0, 1)


@dataclass(frozen=True)
class Cell:
    """A setting with its target; `measure` returns the share in %.

    A slow one takes only one data set in `every`.
    """

    name: str
    target: str
    measure: Callable[[Simulation], float]
    every: int = 1


def intervals() -> Iterator[Cell]:
    for kind in KINDS:
        for shape in SHAPES:
            for alike in ALIKE if shape[1] > 1 else (0.0,):
                for level in LEVELS:
                    target = "over 90" if shape[0] < 10 else "93.5 to 97.5"
                    name = f"{kind}, {level}, {told(shape, alike)}"
                    yield Cell(name, target, partial(means_covered, kind, shape, alike, level))


def means_covered(
    kind: str, shape: Shape, alike: float, level: str, simulation: Simulation
) -> float:
    covered = 0
    for clusters, size in simulation.batches(shape):
        mean = simulation.generator.uniform(*LEVELS[level], size)
        truth = 100 * (mean + (1 - mean) / 4 if kind == "f1" else mean)
        found = mean_intervals(simulation.scores(kind, mean, alike, clusters), clusters)
        inside = (found.lows <= truth + 1e-9) & (truth <= found.highs + 1e-9)
        covered += int(inside.sum())
    return 100 * covered / simulation.sets


def differences() -> Iterator[Cell]:
    """The true difference is 0: both systems are equally good."""
    for kind in KINDS:
        for shape in SHAPES:
            for alike in (0.0, 0.3) if shape[1] > 1 else (0.0,):
                is_few = shape[0] * shape[1] <= 10 or shape[0] < 10
                target = "over 90" if is_few else "93.5 to 97.5"
                name = f"difference of {kind}, {told(shape, alike)}"
                yield Cell(name, target, partial(differences_covered, kind, shape, alike))


def differences_covered(kind: str, shape: Shape, alike: float, simulation: Simulation) -> float:
    covered = 0
    for clusters, size in simulation.batches(shape):
        found = difference_intervals(pairs(simulation, kind, alike, clusters, size), clusters)
        covered += int(((found.lows <= 0) & (found.highs >= 0)).sum())
    return 100 * covered / simulation.sets


def alarms() -> Iterator[Cell]:
    for kind in KINDS:
        for shape in (*SHAPES[:4], *SHAPES[6:8], *SHAPES[10:13]):
            for alike in (0.0, 0.3) if shape[1] > 1 else (0.0,):
                name = f"alarms of {kind}, {told(shape, alike)}"
                yield Cell(name, "at most 5.5", partial(false_alarms, kind, shape, alike))


def false_alarms(kind: str, shape: Shape, alike: float, simulation: Simulation) -> float:
    found = 0
    for clusters, size in simulation.batches(shape):
        tests = sign_flip_tests(pairs(simulation, kind, alike, clusters, size), clusters)
        found += sum(chance.p < 0.05 for chance in tests)
    return 100 * found / simulation.sets


def families() -> Iterator[Cell]:
    for systems in (3, 10, 40):
        for kind, shape, alike in (
            ("right or wrong", (100, 1, False), 0.0),
            ("f1", (40, 1, False), 0.0),
            ("f1", (20, 20, True), 0.3),
        ):
            name = f"alarms among {systems} systems, {kind}, {told(shape, alike)}"
            yield Cell(name, "at most 5.5", partial(family_alarms, kind, systems, shape, alike), 4)


def family_alarms(
    kind: str, systems: int, shape: Shape, alike: float, simulation: Simulation
) -> float:
    found = 0
    for _ in range(simulation.sets):
        clusters = simulation.clusters(shape)
        scores = simulation.systems(kind, systems, alike, clusters)[:, 0]
        a, b = np.triu_indices(systems, 1)
        tests = sign_flip_tests(scores[:, b] - scores[:, a], clusters)
        found += min(holm([chance.p for chance in tests])) < 0.05
    return 100 * found / simulation.sets


def power() -> Iterator[Cell]:
    """The true difference is adjusted until it is, on average, the one that verdicts print."""
    for kind in KINDS:
        for shape, alike in (((100, 1, False), 0.0), ((48, 25, True), 0.1), ((20, 20, True), 0.3)):
            for systems in (2, 4):
                name = f"power with {kind}, {systems} systems, {told(shape, alike)}"
                yield Cell(
                    name, "77 to 83", partial(found_at_printed, kind, systems, shape, alike), 4
                )


def found_at_printed(
    kind: str, systems: int, shape: Shape, alike: float, simulation: Simulation
) -> float:
    sets = simulation.sets
    seed = int(simulation.generator.integers(2**32))
    cell, better = (kind, systems, alike, shape), 0.1
    for tried in (*[sets // 4] * 4, *[sets] * 2):
        printed, true, found = verdicts(cell, better, tried, seed)
        better *= printed / true
    printed, true, found = verdicts(cell, better, sets, seed)
    print(f"  a true {true:.1f} where {printed:.1f} is printed")
    return found


def verdicts(
    cell: tuple[str, int, float, Shape], better: float, sets: int, seed: int
) -> tuple[float, float, float]:
    """Return the mean printed difference, the true one, and the share detected.

    The last system answers a share of the questions better than it would: rightly. Each call with
    the same seed draws the same samples.
    """
    kind, systems, alike, shape = cell
    simulation = Simulation(np.random.default_rng(seed), sets)
    printed, lost, found = [], [], []
    for _ in range(sets):
        clusters = simulation.clusters(shape)
        scores = simulation.systems(kind, systems, alike, clusters)[:, 0]
        lost.append(100 - scores.mean())
        scores[simulation.generator.random(clusters.examples) < better, -1] = 100.0
        values = {str(place): {"score": scores[:, place].tolist()} for place in range(systems)}
        last = [one for one in compare(values, clusters) if one.b == str(systems - 1)]
        printed += [one.detectable for one in last if one.detectable is not None]
        found += [one.is_real for one in last]
    return float(np.mean(printed)), better * float(np.mean(lost)), 100 * float(np.mean(found))


def pairs(simulation: Simulation, kind: str, alike: float, clusters: Clusters, sets: int) -> Matrix:
    """Draw differences of two equally good systems, a column for each data set."""
    scores = simulation.systems(kind, 2, alike, clusters, sets)
    return scores[:, :, 1] - scores[:, :, 0]


def told(shape: Shape, alike: float) -> str:
    count, size, differ = shape
    if size == 1:
        return f"{count} questions"
    sizes = f"about {size}" if differ else f"{size}"
    return f"{count} clusters of {sizes}, correlation {alike:g}"


PARTS = {
    "intervals": intervals,
    "differences": differences,
    "alarms": alarms,
    "families": families,
    "power": power,
}
LIMITS = {
    "93.5 to 97.5": (93.5, 97.5),
    "over 90": (90.0, 100.0),
    "at most 5.5": (0.0, 5.5),
    "77 to 83": (77.0, 83.0),
}


def main() -> None:
    parser = Parser(__doc__, sets=(4000, 20))
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--cells", default="")
    asked = parser.parse_args()
    for part in [asked.only] if asked.only else PARTS:
        cells = [cell for cell in PARTS[part]() if asked.cells in cell.name]
        met = 0
        for cell in cells:
            own = np.random.default_rng([1, crc32(cell.name.encode())])
            sets = max(4, asked.sets // cell.every)
            share = cell.measure(Simulation(own, sets))
            error = (share * (100 - share) / sets) ** 0.5
            low, high = LIMITS[cell.target]
            met += low <= share <= high
            note = "" if low <= share <= high else "  MISSED"
            print(f"{share:6.2f} % (±{error:.2f}; {cell.target}) {cell.name}{note}", flush=True)
        print(f"{part}: {met} of {len(cells)} cells within their targets")


if __name__ == "__main__":
    main()
