"""From a chat prompt to token ids, through the chat template of a causal model's tokenizer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aqa.errors import ModelError
from aqa.records import Encoding, Message, Prompt

PROBE = "aqa-probe"


@dataclass(frozen=True, slots=True)
class ChatEncoder:
    """Encodes prompts with one tokenizer. Make one with `make_chat_encoder`.

    `end_token_ids` are the tokens that end an answer; `folds_system` tells that the template has
    no system role, so that the system text opens the first user message.
    """

    tokenizer: Any
    end_token_ids: tuple[int, ...]
    folds_system: bool

    def encode(self, prompt: Prompt) -> Encoding:
        """Give the ids that are read, and those of the answer with its end-of-turn token.

        The answer is tokenized apart from the prompt, so that training meets the very prompt ids
        that prediction does. Nothing is truncated.
        """
        turns = self._turns(prompt.messages)
        head = self._head(turns)
        prompt_ids = self._begin() + self._ids(head)
        tail = self._tail(turns, head, prompt.target)
        if tail is None:
            return Encoding(tuple(prompt_ids))
        ids = self._ids(tail)
        ends = [place for place, token in enumerate(ids) if token in self.end_token_ids]
        if not ends:  # the template writes no end of turn, or it could not be told apart
            return Encoding(tuple(prompt_ids), (*ids, self.end_token_ids[0]))
        return Encoding(tuple(prompt_ids), tuple(ids[: ends[0] + 1]))

    def count(self, messages: Sequence[Message]) -> int:
        """How many ids of a chat are read."""
        return len(self._begin()) + len(self._ids(self._head(self._turns(messages))))

    def _head(self, turns: Sequence[dict[str, str]]) -> str:
        """The prompt as the template writes it."""
        if self.tokenizer.chat_template is None:
            return "\n\n".join(turn["content"] for turn in turns) + "\n"
        head: str = self.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        return head

    def _tail(self, turns: Sequence[dict[str, str]], head: str, target: str | None) -> str | None:
        """What the template writes for the answer."""
        if target is None or self.tokenizer.chat_template is None:
            return target
        whole: str = self.tokenizer.apply_chat_template(
            [*turns, {"role": "assistant", "content": target}], tokenize=False
        )
        return whole[len(head) :] if whole.startswith(head) else target

    def _turns(self, messages: Sequence[Message]) -> list[dict[str, str]]:
        turns = [{"role": turn.role, "content": turn.content} for turn in messages]
        if self.folds_system and turns[0]["role"] == "system":
            system = turns.pop(0)
            turns[0]["content"] = f"{system['content']}\n\n{turns[0]['content']}"
        return turns

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _begin(self) -> list[int]:
        """The begin-of-text token, where no chat template is there to write it."""
        begin = self.tokenizer.bos_token_id
        return [] if begin is None or self.tokenizer.chat_template is not None else [begin]


def make_chat_encoder(
    tokenizer: Any, generation_end: Sequence[int], note: Callable[[str], None]
) -> ChatEncoder:
    """Look once at what a tokenizer's chat template can do, and say what it can't.

    `generation_end` are the end tokens that the model's generation config names.

    Raises:
        ModelError: the tokenizer has no end-of-text token to stop at.
    """
    own_end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    end = tuple(dict.fromkeys([*own_end, *generation_end]))
    if not end:
        raise ModelError(
            f"the tokenizer of {tokenizer.name_or_path} has no end-of-text token, so an answer"
            " could not end; set eos_token in its tokenizer_config.json"
        )
    if tokenizer.chat_template is None:
        note("the model has no chat template: messages are joined by blank lines")
        return ChatEncoder(tokenizer, end, folds_system=False)
    folds = not _takes_system(tokenizer)
    if folds:
        note("the model's chat template has no system role: the system text opens the user turn")
    return ChatEncoder(tokenizer, end, folds_system=folds)


def _takes_system(tokenizer: Any) -> bool:
    from jinja2 import TemplateError

    turns = [{"role": "system", "content": PROBE}, {"role": "user", "content": "?"}]
    try:
        return PROBE in tokenizer.apply_chat_template(turns, tokenize=False)
    except TemplateError:
        return False
