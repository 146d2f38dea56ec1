"""The attempts at one question: how many there may be, and what came of them."""

import math
from collections import Counter
from dataclasses import dataclass, field

from aqa.backends.openai_api.failures import Failure, Kind
from aqa.backends.openai_api.replies import Reply
from aqa.spent import Spent

# Requests for one question, by how they fail; without a number, the question's deadline decides.
ATTEMPTS: dict[Kind, int] = {
    "broken": 8,
    "empty": 5,  # by chance, one question of thousands gets some in a row
    "misfit": 3,
    "late": 2,  # another would take as long, and costs money
    "denied": 2,
    "fatal": 2,
    "own": 1,
}


@dataclass(slots=True)
class Attempts:
    """The attempts at one question, or at one `sample` of its answer, and their cost."""

    spent: Spent
    sample: int = 0
    until: float = math.inf  # its deadline
    ready: float = 0.0  # when it may be asked again
    failures: Counter[Kind] = field(default_factory=Counter)
    last: Failure | None = None
    reply: Reply | None = None  # to the last request
    is_final: bool = False  # asked once more because others were answered
    seconds: float = 0.0  # that the reply took
