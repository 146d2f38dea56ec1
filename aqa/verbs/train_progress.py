"""What is shown of a training: its steps, evaluation scores and final table."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from aqa.metrics import score_pairs
from aqa.progress import Progress, Task
from aqa.prompting.build import Unfit
from aqa.records import Prediction, Prompt, Score, TrainStep
from aqa.runs.folder import Run
from aqa.runs.journal_rows import failure_row, journal_row
from aqa.tables import Figure, Row, Table, figures, shown_interval, texts


class DevScores:
    """Scores the generated answers to `count` dev prompts; keeps the latest rows."""

    def __init__(
        self, count: int, unfit: Sequence[Unfit], profile: str, progress: Progress
    ) -> None:
        self._count, self._profile, self._progress = count, profile, progress
        self._failed = {item.index: failure_row(item.example, item.error) for item in unfit}
        self.rows: dict[int, dict[str, Any]] = {}

    def score(self, answers: Iterable[tuple[Prompt, Prediction]]) -> Mapping[str, float]:
        """Return mean scores by name, 0..100; examples that can't fit count as 0."""
        self.rows = dict(self._failed)
        with self._progress.task("Evaluating", total=self._count) as task:
            for prompt, prediction in answers:
                self.rows[prompt.index] = journal_row(prompt, prediction)
                task.advance()
        rows = self.rows.values()
        scores = score_pairs(
            [row["predicted_answer"] for row in rows],
            [row["answers"] for row in rows],
            self._profile,
            [row["question"] for row in rows],
        )
        return {name: score.value for name, score in scores.items()}


class Steps:
    """Shows a training's progress and keeps its evaluations."""

    def __init__(self, progress: Progress, stack: ExitStack, run: Run) -> None:
        self._progress, self._stack, self._run = progress, stack, run
        self._task: Task | None = None
        self._done = 0
        self._history: list[dict[str, Any]] = run.manifest["history"]

    @property
    def before(self) -> dict[str, float]:
        """The untrained model's scores, if it was evaluated."""
        first = next((past for past in self._history if past["step"] == 0), {})
        return {name: value for name, value in first.items() if name not in ("step", "epoch")}

    def tell(self, step: TrainStep) -> None:
        """Record a step's or an evaluation's figures."""
        if step.scores:
            evaluation = {"step": step.step, "epoch": step.epoch, **step.scores}
            earlier = [past for past in self._history if past["step"] < step.step]
            self._history = [*earlier, evaluation]
            self._run.update({"history": self._history})
            scores = ", ".join(f"{name} {value:.2f}" for name, value in step.scores.items())
            self._progress.note(f"step {step.step}: {scores}")
            return
        if self._task is None:
            self._done = step.step  # steps of earlier sessions have no known duration
            task = self._progress.task("Training", step.total_steps, "steps", self._done)
            self._task = self._stack.enter_context(task)
        figures = {
            "loss": step.loss,
            "learning rate": step.learning_rate,
            "tokens/s": step.tokens_per_second,
        }
        known_figures = {name: value for name, value in figures.items() if value is not None}
        self._task.advance(step.step - self._done, known_figures)
        self._done = step.step


def training_table(before: Mapping[str, float], scores: Mapping[str, Score], title: str) -> Table:
    """Put the scores of the untrained and the trained model side by side."""
    rows = [
        Row(
            [
                name,
                Figure(before[name]) if name in before else None,
                Figure(score.value),
                shown_interval(score.low, score.high),
            ]
        )
        for name, score in scores.items()
    ]
    heads = [*texts("score"), *figures("before", "after", "95 % interval")]
    return Table(heads, rows, title)
