"""Render chat templates, always with the same date."""

import inspect
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from typing import Any

from aqa.config.backend_options import LlamaQloraOptions
from aqa.errors import ConfigError, ModelError

PROBE = "aqa-probe"
DATE_FUNCTION, DATE_NAME = "strftime_now", "date_string"
DATE_FORMAT = "%d %b %Y"  # the format of `date_string` in Llama's templates

Turn = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """Renders messages with a tokenizer's chat template. Make one with `open_template`.

    `source` is the template, and `variables` are passed to it besides the messages. `takes_parts`:
    the template expects a message's content as a list of parts. `needs_system`: it fails on chats
    without a system message, which get an empty one.
    """

    tokenizer: Any
    source: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    takes_parts: bool = False
    needs_system: bool = False

    def render(self, turns: Sequence[Turn], opens_answer: bool) -> str:
        """Render messages; `opens_answer` adds the generation prompt. ModelError if it fails."""
        from jinja2 import TemplateError

        if self.needs_system and turns[0]["role"] != "system":
            turns = [{"role": "system", "content": ""}, *turns]
        chat = [{**turn, "content": self._content(turn["content"])} for turn in turns]
        try:
            text: str = self.tokenizer.apply_chat_template(
                chat,
                chat_template=self.source,
                tokenize=False,
                add_generation_prompt=opens_answer,
                **self.variables,
            )
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
            roles = ", ".join(turn["role"] for turn in turns)
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(
                f"{_name(self.tokenizer)}: its chat template fails on the turns {roles}: {first};"
                " fix chat_template.jinja (or chat_template in tokenizer_config.json), or use a"
                " prompt with other roles"
            ) from error
        return text

    def writes(self, turns: Sequence[Turn]) -> bool:
        """Whether the rendered text contains `PROBE`, the content of the first message given."""
        try:
            return PROBE in self.render(turns, opens_answer=False).lower()
        except ModelError:
            return False

    def _content(self, text: str) -> object:
        return [{"type": "text", "text": text}] if self.takes_parts else text


def open_template(tokenizer: Any, options: LlamaQloraOptions | None = None) -> ChatTemplate | None:
    """Return a tokenizer's chat template with the options applied; None if it has none.

    Raises:
        ConfigError: an option names a variable that the template does not use.
        ModelError: the template cannot be rendered, or omits the user's message.
    """
    source = _source(tokenizer)
    variables = {} if options is None else _chosen_variables(options, source, _name(tokenizer))
    if source is None:
        return None
    day = None if options is None else date.fromisoformat(options.template_date)
    if day is not None and DATE_NAME not in variables and uses(source, DATE_NAME):
        variables[DATE_NAME] = day.strftime(DATE_FORMAT)
    if day is not None and uses(source, DATE_FUNCTION):
        source = _date_macro(day) + source
    user = [{"role": "user", "content": PROBE}]
    for needs_system, parts in product((False, True), repeat=2):
        template = ChatTemplate(tokenizer, source, variables, parts, needs_system)
        if template.writes(user):
            return template
    # This may raise a more precise error.
    ChatTemplate(tokenizer, source, variables).render(user, opens_answer=True)
    raise ModelError(
        f"{_name(tokenizer)}: its chat template omits the user's message; fix chat_template.jinja"
        " (or chat_template in tokenizer_config.json)"
    )


def template_facts(template: ChatTemplate | None, options: LlamaQloraOptions) -> dict[str, object]:
    """Return the options that change what a template renders, for a run's fingerprint."""
    if template is None:
        return {}
    facts = dict(template.variables)
    if uses(template.source, DATE_FUNCTION):
        facts["date"] = options.template_date
    return {"template": facts} if facts else {}


def _source(tokenizer: Any) -> str | None:
    if tokenizer.chat_template is None:
        return None
    try:
        source: str = tokenizer.get_chat_template()
    except ValueError as error:
        names = ", ".join(tokenizer.chat_template)
        raise ModelError(
            f"{_name(tokenizer)}: it has several chat templates ({names}), but none called default;"
            " save the one to use as chat_template.jinja"
        ) from error
    return source


def _chosen_variables(options: LlamaQloraOptions, source: str | None, name: str) -> dict[str, Any]:
    """Return the variables that the config sets; each must be used by the template."""
    by_option = {f"template_options.{key}": key for key in options.template_options}
    values = dict(options.template_options)
    if options.enable_thinking is not None:
        by_option["enable_thinking"] = "enable_thinking"
        values["enable_thinking"] = options.enable_thinking
    for option, variable in by_option.items():
        if source is None:
            raise ConfigError(f"backend.{option}: {name} has no chat template; leave it out")
        if variable in _reserved() or not uses(source, variable):
            raise ConfigError(
                f"backend.{option}: the chat template of {name} has no such variable; leave it out,"
                " or look up its name in the template"
            )
    return values


def _reserved() -> set[str]:
    """Names that template variables cannot have: arguments of `apply_chat_template`."""
    from transformers import PreTrainedTokenizerBase

    parameters = inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters
    return {*parameters, "messages", DATE_FUNCTION}


def uses(source: str, variable: str) -> bool:
    """Whether a template mentions a variable or function of this name."""
    return re.search(rf"\b{re.escape(variable)}\b", source) is not None


def _date_macro(day: date) -> str:
    """Return a macro that replaces `strftime_now` and always formats midnight of `day`."""
    written = {letter: day.strftime(f"%{letter}") for letter in string.ascii_letters}
    filters = "".join(
        f"|replace('%{letter}', '{text}')|replace('%-{letter}', '{text.lstrip('0') or '0'}')"
        for letter, text in written.items()
    )
    # The newline belongs to the tag, so it adds nothing to the rendered text.
    return f"{{% macro {DATE_FUNCTION}(format) %}}{{{{ format{filters} }}}}{{% endmacro %}}\n"


def _name(tokenizer: Any) -> str:
    return str(tokenizer.name_or_path or "this tokenizer")
