"""Encode chat prompts with a causal model's chat template, and decode its answers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aqa.backends.assistant_turn import AssistantTurn, WrittenTurn, learn_turn, make_written_turn
from aqa.backends.chat_rendering import PROBE, ChatTemplate, open_template, uses
from aqa.backends.special_names import SpecialNames
from aqa.config.backend_options import LlamaQloraOptions
from aqa.errors import ModelError
from aqa.records import Encoding, Message, Prompt


@dataclass(frozen=True, slots=True)
class ChatEncoder:
    """Encodes prompts with one tokenizer. Make one with `make_chat_encoder`.

    `end_token_ids` are the tokens that end an answer. `folds_system`: the template has no system
    role, so the system text is put at the start of the first user message. `turn` is what the
    template writes around an answer, and `written` strips that from a model's output.
    """

    tokenizer: Any
    end_token_ids: tuple[int, ...]
    folds_system: bool
    template: ChatTemplate | None
    names: SpecialNames
    turn: AssistantTurn
    written: WrittenTurn

    def encode(self, prompt: Prompt) -> Encoding:
        """Return the prompt's ids and, if it has a target, the target's with an end-of-turn token.

        The answer is tokenized separately, so that training sees exactly the prompt ids that
        prediction does. Names of special tokens in question, passages and answer are plain text.
        Nothing is truncated.
        """
        prompt_ids = tuple(self._read(prompt.messages_with(self.names.hide)))
        if prompt.target is None:
            return Encoding(prompt_ids)
        return Encoding(prompt_ids, self._answer_ids(self.names.hide(prompt.target)))

    def _answer_ids(self, answer: str) -> tuple[int, ...]:
        ids = self._ids_after_opening(self.turn.around(answer))
        ends = [index for index, token in enumerate(ids) if token in self.end_token_ids]
        if not ends:  # the end of turn is missing, or is not a token
            return (*ids, self.end_token_ids[0])
        return tuple(ids[: ends[0] + 1])

    def check_reads_answers(self) -> None:
        """Raise ModelError if what is learnt from an answer would not be read as this answer."""
        learnt, probe = self._answer_ids(PROBE), self.tokenizer.decode(self.names.ids(PROBE))
        if (self.written.answer(learnt[:-1]) or "").strip() != probe.strip():
            raise ModelError(
                f"{self.tokenizer.name_or_path}: answers can't be told apart from what its chat"
                f" template writes around them ({self.tokenizer.decode(learnt)!r}); use another"
                " chat_template.jinja"
            )

    def _ids_after_opening(self, text: str) -> list[int]:
        """Tokenize a text as the rest of a chat: at its start, SentencePiece adds a space."""
        opening = self.names.ids(self.turn.opening)
        ids = self.names.ids(self.turn.opening + text)
        continues = ids[: len(opening)] == opening  # no token reaches over the border
        return ids[len(opening) :] if continues else self.names.ids(text)

    @property
    def turn_end(self) -> int | None:
        """The token that ends an answer in the template; None if text ends it."""
        if self.written.stop_text:
            return None
        ends = [token for token in self.names.ids(self.turn.tail) if token in self.end_token_ids]
        return (ends or self.end_token_ids)[0]

    def count(self, messages: Sequence[Message]) -> int:
        """Count the prompt tokens of a chat."""
        return len(self._read(messages))

    def _read(self, messages: Sequence[Message]) -> list[int]:
        turns = [{"role": turn.role, "content": turn.content} for turn in messages]
        if self.folds_system and turns[0]["role"] == "system":
            system = turns.pop(0)
            turns[0]["content"] = f"{system['content']}\n\n{turns[0]['content']}"
        if self.template is not None:
            return self.names.ids(self.template.render(turns, opens_answer=True))
        begin = self.tokenizer.bos_token_id  # no template writes it
        joined = "\n\n".join(turn["content"] for turn in turns) + "\n"
        return ([] if begin is None else [begin]) + self.names.ids(joined)


def make_chat_encoder(
    tokenizer: Any,
    generation_end: Sequence[int],
    note: Callable[[str], None],
    options: LlamaQloraOptions | None = None,
) -> ChatEncoder:
    """Examine a tokenizer's chat template once, and note what it lacks.

    `generation_end` holds the end tokens in the model's generation config; `options` set the
    template's variables and date.

    Raises:
        ConfigError: an option names a variable that the template does not use.
        ModelError: the tokenizer has no end-of-text token to stop at, or its template is
            broken.
    """
    template = open_template(tokenizer, options)
    turn = learn_turn(template)
    names = SpecialNames(tokenizer, "" if template is None else template.source)
    own_end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    named = [*own_end, *generation_end]
    if not named:
        raise ModelError(
            f"the tokenizer of {tokenizer.name_or_path} has no end-of-text token, so an answer"
            " could not end; set eos_token in its tokenizer_config.json"
        )
    # A template's end of turn stops an answer even if the model's files do not list it.
    end = tuple(dict.fromkeys([*named, *_first_added(tokenizer, names.ids(turn.tail))]))
    system = [{"role": "system", "content": PROBE}, {"role": "user", "content": "?"}]
    folds = template is not None and not template.writes(system)
    for text in _lacking(tokenizer, template, turn, folds):
        note(text)
    written = make_written_turn(tokenizer, names, turn, end)
    return ChatEncoder(tokenizer, end, folds, template, names, turn, written)


def _lacking(
    tokenizer: Any, template: ChatTemplate | None, turn: AssistantTurn, folds: bool
) -> Iterator[str]:
    if template is None:
        yield "the model has no chat template: messages are joined by blank lines"
        return
    if folds:
        yield "the model's chat template has no system role: the system text opens the user turn"
    if template.needs_system:
        yield (
            "the model's chat template requires a system message: prompts without one get an empty"
            " one"
        )
    for name in ("bos_token", "eos_token"):
        if uses(template.source, name) and getattr(tokenizer, name) is None:
            yield (
                f"the model's chat template writes {name}, which its tokenizer lacks, so nothing is"
                " written there; check that its tokenizer_config.json is complete"
            )
    if not turn.is_known:
        yield (
            "the model's chat template does not show how it writes an answer: answers are"
            " trained on as they are, followed by the end-of-text token"
        )


def _first_added(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    """Return the added token that starts the text after an answer, if it starts with one."""
    for token_id in ids:
        if token_id in tokenizer.added_tokens_decoder:
            name = tokenizer.added_tokens_decoder[token_id].content
            if name.strip():
                return [token_id]
        elif tokenizer.decode([token_id]).strip():
            return []
    return []
