"""How far the batches of a run are, on the terminal."""

from aqa.backends.openai_api.batch.record import Part
from aqa.backends.openai_api.batch.server import Batch
from aqa.progress import Task


class Bar:
    """Shows how far the batches are, where that has changed: logs need no line for each look."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._seen: dict[int, tuple[int, str]] = {}

    def tell(self, part: Part, batch: Batch) -> None:
        """Move on by what the server has finished since the last look."""
        before, _ = known = self._seen.get(part.number, (0, ""))
        finished = part.requests if batch.ended else min(batch.finished, part.requests)
        now = max(finished, before), batch.status
        if now != known:
            self._seen[part.number] = now
            self._task.advance(now[0] - before, {"batch": batch.status.replace("_", " ")})
