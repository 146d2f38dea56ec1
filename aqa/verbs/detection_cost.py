"""Estimate what it costs to detect a difference from another run, and what a budget detects."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aqa.config.options import RunConfig
from aqa.evaluation.comparison import metric_label
from aqa.evaluation.planning import Need
from aqa.progress import Progress
from aqa.prompting.build import Inputs
from aqa.prompting.templates import load_template
from aqa.runs.journal import read_lines
from aqa.runs.names import JOURNAL
from aqa.spent import CostEstimate, Spent
from aqa.verbs.ensembles import dry_run
from aqa.verbs.predict import Resume
from aqa.verbs.sequential_stopping import open_sequential_test
from aqa.verbs.variants import spent_in


@dataclass(frozen=True, slots=True)
class DetectionCost:
    """The questions that show a difference in four of five tests, and their cost in US dollars.

    `cost` is the least and the most for the questions left to ask; None without a known price or
    a plan. `sees` is the difference, in points, that `capacity` questions can show, None for none:
    all that the other run answered, or the most that a cap pays for. `is_paired`: both readers'
    answers were available for planning.
    """

    need: Need
    is_paired: bool
    cost: tuple[float, float] | None
    capacity: int
    sees: float | None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        costs = {"cost": self.cost, "capacity": self.capacity, "sees": self.sees}
        return {**self.need.to_json(), "is_paired": self.is_paired, **costs}

    def __str__(self) -> str:
        sentence = str(self.need)
        if self.cost is not None:
            sentence += ", for ${:,.4f} to ${:,.4f} more".format(*self.cost)
        if self.need.questions is not None:
            points = "none" if self.sees is None else f"{self.sees:.1f}"
            sentence += (
                f"; the {self.capacity:,} available, or affordable under the cap, can show"
                f" {points}{'' if self.sees is None else f' {metric_label(self.need.metric)}'}"
            )
        if not self.is_paired:
            sentence += " (if both vary alike and independently; fewer will probably do)"
        return sentence


def estimate_detection(
    config: RunConfig, folder: Path, progress: Progress, resume: Resume, points: float
) -> tuple[CostEstimate, DetectionCost]:
    """Estimate a prediction, and what detecting a difference from `resume.stop`'s run would take.

    Raises:
        AqaError: as `dry_run`; or the other run answers too few of the questions, or others.
    """
    assert resume.stop is not None
    estimate = dry_run(config, folder, progress, replace(resume, stop=None))
    inputs = Inputs(config, load_template(config.prompt), progress)
    test = open_sequential_test(resume.stop, config, inputs, folder, progress)
    rows = read_lines(folder / JOURNAL) if estimate.answered else ()
    sensitivity, is_paired = test.sensitivity(
        {row["index"]: row["predicted_answer"] for row in rows}
    )
    need = sensitivity.need(test.a, test.b, test.score, points)
    affordable = _affordable(config, estimate, Spent() if resume.fresh else spent_in(folder))
    capacity = min(estimate.answered + affordable, test.questions)
    if need.questions is None:
        return estimate, DetectionCost(need, is_paired, None, capacity, None)
    more = max(0, need.questions - estimate.answered)
    cost = None
    if estimate.cost is not None and estimate.examples:
        least, most = (bound * more / estimate.examples for bound in estimate.cost)
        cost = (least, most)
    return estimate, DetectionCost(need, is_paired, cost, capacity, sensitivity.seen_by(capacity))


def _affordable(config: RunConfig, estimate: CostEstimate, spent: Spent) -> int:
    """How many of the remaining questions the caps pay for at the highest estimate.

    Caps cover all sessions together, so what they have `spent` is subtracted.
    """
    money, tokens = (
        getattr(config.backend, name, None) for name in ("max_cost", "max_tokens_total")
    )
    shares = [1.0]
    if money is not None and estimate.cost is not None and estimate.cost[1]:
        shares.append((money - (spent.cost or 0.0)) / estimate.cost[1])
    if tokens is not None and estimate.examples:
        tokens_left = tokens - spent.input - spent.output
        shares.append(tokens_left / (estimate.input_tokens + estimate.output_tokens[1]))
    return max(0, int(estimate.examples * min(shares)))
