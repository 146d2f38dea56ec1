"""Servers that cut prompts off without a word: told by what they count of them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from aqa.backends.openai_api.tokens import TokenCounter
from aqa.records import Prediction, Prompt

SHARE = 0.9  # of a prompt's tokens: a server that counts fewer has not read it whole
SLACK = 16  # tokens that chat templates may differ by

Answers = Iterable[tuple[Prompt, Prediction]]


class Truncation:
    """Compares exact counts with those of the server; other counts are no grounds.

    `prompts` counts what was cut off.
    """

    def __init__(self, counter: TokenCounter, note: Callable[[str], None]) -> None:
        self._counter, self._note = counter, note
        self.prompts = 0

    def watched(self, answers: Answers) -> Iterator[tuple[Prompt, Prediction]]:
        """Give the answers; those to prompts that were cut off tell how many tokens are missing."""
        for prompt, prediction in answers:
            unread = self._unread(prompt, prediction)
            yield prompt, replace(prediction, unread=unread) if unread else prediction

    def _unread(self, prompt: Prompt, prediction: Prediction) -> int:
        theirs = prediction.prompt_tokens
        if not self._counter.exact or not theirs:
            return 0
        counted = self._counter.count(prompt.messages)
        if theirs >= counted * SHARE - SLACK:
            return 0
        self.prompts += 1
        if self.prompts == 1:
            self._note(
                f"the server read {theirs:,} of {counted:,} tokens of a prompt ({prompt.id}), so it"
                " cuts prompts off; raise its context, or lower backend.max_seq_length. Such rows"
                " say how much is missing (unread_tokens)"
            )
        return counted - theirs
