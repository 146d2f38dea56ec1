"""Load and check a prompt template, and make an example's prompt."""

import difflib
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml

from aqa.backends.base import Backend
from aqa.config.options import EvidenceOptions
from aqa.config.paths import expand_home
from aqa.config.scalars import read_yaml
from aqa.config.shipped import find_shipped, shipped_names
from aqa.errors import PromptError
from aqa.prompting.evidence import select
from aqa.records import PLACEHOLDER, AnswerPart, Example, Message, Prompt, Template
from aqa.syntax import yaml_fault

VARIABLES = ("context", "question")
ROLES = ("system", "user", "assistant")
MARK = re.compile(r"^---[ \t]*(?:\n|\Z)", re.MULTILINE)  # before and after front matter
DOUBLED = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")  # a Jinja-style variable
SUFFIXES = (".txt", ".yaml", ".yml")


def prepare(
    example: Example,
    index: int,
    template: Template,
    options: EvidenceOptions,
    reader: Backend,
    with_target: bool = False,
    count_tokens: Callable[[str], int] | None = None,
) -> Prompt:
    """Make the prompt that a reader gets: select the evidence, then let the reader fit it.

    Training, prediction and preview all use this. `with_target` adds the text to train on (the
    example's target, its first reference or the template's no-answer phrase); prediction leaves
    it out, so no gold answer can leak. `count_tokens` measures evidence limited by `max_tokens`.

    Raises:
        PromptError: the prompt can't fit even without passages.
    """
    prompt = Prompt(
        id=example.id,
        index=index,
        question=example.question,
        evidence=select(example, options, count_tokens),
        template=template,
        target=target_of(example, template) if with_target else None,
        answers=example.answers,
    )
    return reader.fit(prompt)


def target_of(example: Example, template: Template) -> str | None:
    """Return the text to train on: the data's own, or the template's choice."""
    return example.target or template.target(example.answers)


def load_template(name: str, variables: Sequence[str] = VARIABLES) -> Template:
    """Load a template by path, or by the name of a built-in one.

    A `.txt` file is the system message, and the question the user's; if it contains {question},
    it is a single user message. Front matter between two `---` lines may set `no_answer` and
    `answer`. A `.yaml` file contains `messages` (role, content) and may set the same.
    A template must use all `variables` and no others.

    Raises:
        PromptError: no such template, or it is not valid.
    """
    path = find_template(name)
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise PromptError(f"{path}: can't read this template: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if path.suffix == ".txt":
        settings, body = _split_front_matter(text, path)
        asks = "{question}" in body
        messages = [Message("user" if asks else "system", body.strip())]
        if not asks:
            messages.append(Message("user", "{question}"))
    else:
        settings = _parse_yaml(text, path)
        messages = _read_messages(settings.pop("messages", None), path)
    no_answer = _read_no_answer(settings.pop("no_answer", []), path)
    answer = settings.pop("answer", "line")
    if answer not in get_args(AnswerPart):
        raise PromptError(f"{path}: answer must be {' or '.join(get_args(AnswerPart))}")
    if settings:
        raise PromptError(
            f"{path}: unknown key {next(iter(settings))}; known: messages (in .yaml), no_answer,"
            " answer"
        )
    _check_variables(messages, variables, path)
    digest = hashlib.sha256(content).hexdigest()
    return Template(path.stem, tuple(messages), no_answer, digest, answer)


def find_template(name: str) -> Path:
    """Return the path of a template file or built-in template; PromptError for neither."""
    path = expand_home(name)
    if path.suffix in SUFFIXES and path.is_file():
        return path
    if path.parent in (Path(), Path("prompts")):
        for suffix in SUFFIXES:
            shipped = find_shipped("prompts", path.stem + suffix)
            if shipped and path.suffix in ("", suffix):
                return shipped
    if path.is_file():
        raise PromptError(f"{name}: a template is a .txt or a .yaml file; rename it")
    names = sorted(Path(file).stem for file in shipped_names("prompts"))
    near = difflib.get_close_matches(path.stem, names, 1)
    listed = ", ".join(stem for stem in names if not stem.startswith("judge_"))
    hint = f"did you mean {near[0]}?" if near else f"shipped: {listed}"
    raise PromptError(f"{name}: no such template; {hint}")


def _split_front_matter(text: str, path: Path) -> tuple[dict[str, Any], str]:
    first = MARK.match(text)
    if first is None:
        return {}, text
    last = MARK.search(text, first.end())
    if last is None:
        raise PromptError(f"{path}: the front matter is not closed by a line of ---")
    head = text[first.end() : last.start()].rstrip("\n")
    return _parse_yaml("\n" + head, path), text[last.end() :]  # the newline stands for line 1


def _parse_yaml(text: str, path: Path) -> dict[str, Any]:
    try:
        parsed = read_yaml(text, as_texts=True)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise PromptError(f"{path}{where}: not valid YAML: {yaml_fault(error)}") from error
    if not isinstance(parsed, dict):
        raise PromptError(f"{path}: a mapping of keys is expected, such as no_answer: [...]")
    return parsed


def _read_messages(raw: object, path: Path) -> list[Message]:
    if not isinstance(raw, list) or not raw:
        raise PromptError(f"{path}: messages must be a list of role and content")
    messages = []
    for number, turn in enumerate(raw, 1):
        try:
            message = Message(**turn)
        except TypeError:  # no mapping, or one of other keys
            message = None
        if message is None or message.role not in ROLES or not isinstance(message.content, str):
            raise PromptError(
                f"{path}: message {number} must have just a role ({', '.join(ROLES)}) and content"
                " (text)"
            )
        messages.append(message)
    if messages[-1].role != "user":
        raise PromptError(f"{path}: the last message must be the user's, which the model answers")
    return messages


def _read_no_answer(raw: object, path: Path) -> tuple[str, ...]:
    phrases = [raw] if isinstance(raw, str) else raw
    if not isinstance(phrases, list) or not all(isinstance(p, str) and p.strip() for p in phrases):
        raise PromptError(f"{path}: no_answer must be a phrase or a list of phrases")
    return tuple(phrases)


def _check_variables(messages: list[Message], variables: Sequence[str], path: Path) -> None:
    used = {name for turn in messages for name in PLACEHOLDER.findall(turn.content)}
    for turn in messages:
        doubled = next((n for n in DOUBLED.findall(turn.content) if n in variables), None)
        if doubled:
            raise PromptError(
                f"{path}: {{{{{doubled}}}}} would leave braces around its text; write {{{doubled}}}"
            )
    unknown = sorted(used - set(variables))
    if unknown:
        raise PromptError(
            f"{path}: unknown variable {{{unknown[0]}}}; a template knows"
            f" {' and '.join(f'{{{name}}}' for name in variables)}"
        )
    for name in variables:
        if name not in used:
            raise PromptError(f"{path}: the variable {{{name}}} is missing")
