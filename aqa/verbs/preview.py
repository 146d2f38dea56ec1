"""The verb prompt-preview: show what the model will receive, token by token."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from aqa.backends import make_reader
from aqa.backends.base import Backend
from aqa.config.ensemble_options import EnsembleOptions
from aqa.config.options import RunConfig
from aqa.errors import DataError, UsageError
from aqa.progress import Progress
from aqa.prompting.build import Inputs
from aqa.prompting.templates import load_template, target_of
from aqa.records import Encoding, Message, Prompt


@dataclass(frozen=True, slots=True)
class Preview:
    """One prompt as train and predict would give it to the model.

    `read` and `trained` are the decoded tokens of the prompt and of the training target, one
    token per piece, or several if they share a character. A backend that sends text has neither;
    it has the `turns` sent (plain text is one turn without a role) and, for a server, the whole
    `request`.
    """

    prompt: Prompt
    turns: Sequence[Message] = ()
    request: Mapping[str, object] = field(default_factory=dict)
    encoding: Encoding | None = None
    read: tuple[str, ...] = ()
    trained: tuple[str, ...] = ()
    begin_tokens: int = 0

    @property
    def text(self) -> str:
        """All that is read and then what is trained on; turns are on lines of their own."""
        if self.encoding is not None:
            return "".join((*self.read, *self.trained))
        roles = (f"{turn.role}: " if turn.role else "" for turn in self.turns)
        return "\n".join(role + turn.content for role, turn in zip(roles, self.turns, strict=True))


def preview(
    config: RunConfig,
    progress: Progress,
    number: int = 3,
    example_id: str | None = None,
    training: bool = False,
) -> Iterator[Preview]:
    """Yield the first prompts of the data, or the one of `example_id`.

    With `training`, the evidence is that of training examples, which may leave some out.

    Raises:
        UsageError: the reader is an ensemble.
        DataError: no example has this id, or training would leave it out.
    """
    if isinstance(config.backend, EnsembleOptions):
        raise UsageError("an ensemble has no prompts; preview those of its members")
    inputs = Inputs(config, load_template(config.prompt), progress)
    reader = make_reader(config, progress)
    reader.learn_tokenizer(inputs.texts())
    examples = inputs.training_examples() if training else inputs.examples()
    if example_id is not None:
        chosen = [pair for pair in examples if pair[1].id == example_id]
        if not chosen and any(example.id == example_id for _, example in inputs.examples()):
            raise DataError(
                f"{inputs.source.path}: a training leaves {example_id} out: no passage holds its"
                " answer, or evidence.train left the gold one out"
            )
        if not chosen:
            raise DataError(f"{inputs.source.path}: no example has the id {example_id}")
    else:
        chosen = list(islice(examples, number))
    for index, example in chosen:
        prompt = inputs.prompt(reader, index, example, with_target=training)
        if not training:  # shown only: a prediction reserves no room for its target
            prompt = replace(prompt, target=target_of(example, inputs.template))
        yield show(prompt, reader)


def show(prompt: Prompt, reader: Backend) -> Preview:
    """Split a prompt into the reader's tokens."""
    encoding = prompt.encoding or reader.encode(prompt)
    if encoding is None:
        return Preview(prompt, *reader.sent(prompt))
    begin = reader.begin_token_id
    others = (index for index, token in enumerate(encoding.prompt_ids) if token != begin)
    return Preview(
        prompt.carrying(encoding),
        encoding=encoding,
        read=tuple(_pieces(encoding.prompt_ids, reader)),
        trained=tuple(_pieces(encoding.target_ids, reader)),
        begin_tokens=next(others, len(encoding.prompt_ids)) if begin is not None else 0,
    )


def _pieces(token_ids: Sequence[int], reader: Backend) -> Iterator[str]:
    """Decode token by token; tokens that are parts of one character are joined."""
    waiting: list[int] = []
    for token in token_ids:
        waiting.append(token)
        text = reader.decode(waiting)
        if not text.endswith("\ufffd"):
            yield text
            waiting = []
    if waiting:
        yield reader.decode(waiting)
