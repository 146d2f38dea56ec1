"""What a chat template puts around an answer, learnt from the template itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from aqa.backends.chat_rendering import PROBE, ChatTemplate
from aqa.errors import ModelError
from aqa.runs.cleaning import THOUGHTS

CLOSING = "\n{}\n\n"  # how templates close a thought in which nothing was thought


@dataclass(frozen=True, slots=True)
class AssistantTurn:
    """The text between the generation prompt and an answer (`head`), and behind it (`tail`).

    `trims` tells that the template strips an answer. `thought` is the mark that closes the thought
    in which the generation prompt ends, "" where it ends in none. `known` tells whether all that
    could be learnt.
    """

    head: str = ""
    tail: str = ""
    trims: bool = False
    thought: str = ""
    known: bool = True

    def around(self, answer: str) -> str:
        """An answer as the template writes it behind the generation prompt."""
        return f"{self.head}{answer.strip() if self.trims else answer}{self.tail}"


def learn_turn(template: ChatTemplate | None) -> AssistantTurn:
    """See how a template writes an assistant's turn behind a user's."""
    if template is None:
        return AssistantTurn()
    user = [{"role": "user", "content": "?"}]
    padded = f"  {PROBE}  "
    opened = template.render(user, opens_answer=True)
    thought = next((end for start, end in THOUGHTS if opened.rstrip().endswith(start)), "")
    try:
        whole = template.render([*user, {"role": "assistant", "content": padded}], False)
    except ModelError:
        whole = ""
    for content in (padded, PROBE):
        place = whole.rfind(content)
        if place >= 0:
            head = _head(opened, whole[:place], thought)
            return AssistantTurn(head, whole[place + len(content) :], content is PROBE, thought)
    return AssistantTurn(CLOSING.format(thought) if thought else "", thought=thought, known=False)


def _head(opened: str, before: str, thought: str) -> str:
    """What is between the generation prompt and the answer."""
    if before.startswith(opened):
        return before[len(opened) :]
    return CLOSING.format(thought) if thought else ""  # the template takes old thoughts out


def place_behind(ids: Sequence[int], marks: Sequence[int]) -> int:
    """The place behind the last time that `marks` come one after another in ids; -1 if never."""
    size = len(marks)
    places = range(len(ids) - size, -1, -1)
    return next((at + size for at in places if list(ids[at : at + size]) == list(marks)), -1)
