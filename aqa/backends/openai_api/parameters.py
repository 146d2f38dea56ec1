"""Parameters of requests, as chat completions have them, and what a model may refuse."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from aqa.backends.openai_api.body_parsing import read_reply
from aqa.backends.openai_api.failures import Failure
from aqa.backends.openai_api.logprobs import MISSED, answer_logprobs
from aqa.backends.openai_api.replies import Reply
from aqa.backends.openai_api.schemas import ResponseSchema
from aqa.backends.openai_api.tokens import answer_room
from aqa.config.model_families import has_system_role, is_openai_thinker, takes_sampling
from aqa.config.options import RunConfig
from aqa.records import Message, Prompt

# Parameters that are dropped if refused, unless the config sets these keys.
OPTIONAL = {
    "temperature": "generation.temperature",
    "top_p": "generation.top_p",
    "seed": "seed",
    "reasoning_effort": "backend.reasoning_effort",
    "logprobs": "backend.logprobs",
}
MAX_TOKENS = re.compile(r"\bmax_(completion_)?tokens\b")
OTHER_LIMIT = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
# Words that say that a parameter is refused, rather than its value.
REFUSED = re.compile(
    r"unsupported|not support|unknown|unrecogni|unexpected|not (?:permit|allow)|extraneous"
    r"|deprecated|지원하지",
    re.I,
)
# How an error names a parameter: in quotation marks or brackets, like FastAPI servers (body.seed,
# seed: Extra inputs), like LiteLLM (temperature=0.5), or next to a telling word.
NAMED = (
    r"""['"`.\[]{}\b""",
    r"(?:^|[\n(,;] ?|-> ?|parameter |invalid |errors?: ){}\s*(?::|\n|=)",
    r"\b{}=",
    r"(?:parameter|argument|field|property|key|support(?:ed)?)s?(?: supplied)?:? {}\b",
    r"\b{} is (?:not (?:supported|permitted|allowed|enabled|available)|unsupported|deprecated)",
    r"\b{} ?(?:(?:must|should|has to) be\b|is out of\b|参数)",  # about its value
    r"(?:unsupported\w*|supported on this model|파라미터\S*|매개 ?변수\S*): {}\b",
)
# Words that say that a system message is refused, other than the name of its role.
NO_SYSTEM = re.compile(
    r"\b(?:system|developer)[ _](?:message|prompt|instruction)s?\b.{0,20}"
    r"\b(?:not|n't) (?:yet )?(?:supported|enabled|allowed|available)"
    r"|(?:not|n't) (?:yet )?(?:support|allow|accept)\w* (?:the )?(?:system|developer)[ _]"
    r"(?:message|prompt|instruction)|^(?!.*\bsystem\b).*\broles must alternate",
    re.I | re.S,
)
# How an error says that the server only streams.
STREAMS_ONLY = re.compile(
    r"only supports? stream|\bstream\w*[`'\"]? (?:must|has to|is required)"
    r"|(?:enable|set) (?:the )?[`'\"]?stream\b|non-?stream\w* (?:calls?|requests?|mode)\b",
    re.I,
)
# Words in errors about the answers' schema, which is essential.
SCHEMA = re.compile(r"response_format|json_schema|text\.format|structured[ _]output", re.I)


class Parameters:
    """The parameters of every request; what the model refuses is learnt once and left out."""

    endpoint: ClassVar[str] = "/v1/chat/completions"  # its name in batches
    spelling: ClassVar[Mapping[str, str]] = {}  # names in this API, if different
    limit_name: ClassVar[str] = ""  # the name of the answer's limit; "" if the model decides
    has_seed: ClassVar[bool] = True
    stream: ClassVar[Mapping[str, Any]] = {
        "stream": True, "stream_options": {"include_usage": True}
    }  # fmt: skip
    reads: ClassVar[Any] = staticmethod(read_reply)  # parses a body as a Reply

    def __init__(
        self,
        config: RunConfig,
        openai: bool,
        note: Callable[[str], None],
        schema: ResponseSchema | None = None,
    ) -> None:
        self.schema, self.note = schema, note
        self.read: Callable[[bytes], Reply] = partial(self.reads, schema=schema)
        self.learnt: list[str] = []  # as sentences
        self._asks_for = config.asks_for
        options: Any = config.backend
        self.asks_logprobs: bool = options.logprobs
        model, effort = options.model, options.reasoning_effort
        thinker = is_openai_thinker(model)
        by_model = "max_completion_tokens" if openai or thinker else "max_tokens"
        self._limit_name = self.limit_name or by_model
        self._limit = answer_room(config)
        self._extra: Mapping[str, Any] = options.extra_body
        if options.service_tier is not None:
            self._extra = {**self._extra, "service_tier": options.service_tier}
        self._refused_limits: set[str] = set()  # names, so that two are not tried in turn forever
        self._meant = self._wanted(config, effort)
        unfit = set() if takes_sampling(model, effort) else {"temperature", "top_p"}
        fit = [n for n in self._meant if n not in unfit or config.asks_for(OPTIONAL[n])]
        if not self.has_seed:
            fit.remove("seed")
        self._values: dict[str, Any] = {"model": model, **{n: self._meant[n] for n in fit}}
        # Names of the system role, best first; None: put its text before the user's.
        self._system: list[str | None] = ["system", None]
        if not has_system_role(model):
            self._system = [None]
        elif thinker and (openai or options.provider == "azure"):
            self._system = ["developer", "system", None]
        self._knows_developer = "developer" in self._system
        # `transformers serve` would stream by default.
        self._stream: Mapping[str, Any] = {"stream": False}

    def _wanted(self, config: RunConfig, effort: str | None) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            "seed": config.seed, "temperature": config.generation.temperature
        }  # fmt: skip
        if config.generation.top_p < 1:
            wanted["top_p"] = config.generation.top_p
        if self.asks_logprobs:
            wanted["logprobs"] = True
        return wanted if effort is None else {**wanted, "reasoning_effort": effort}

    @property
    def left_out(self) -> list[str]:
        """Names of parameters that are wanted but not sent, because the model refuses them."""
        return sorted(name for name in self._meant if name not in self._values)

    def recall(self, learnt: Iterable[str], left_out: Iterable[str]) -> None:
        """Restore what earlier sessions have learnt, and leave out what they left out."""
        self.learnt += learnt
        for name in left_out:
            if name in OPTIONAL and not self._asks_for(OPTIONAL[name]):
                self._values.pop(name, None)

    def body(self, messages: Sequence[Message], sample: int = 0) -> dict[str, Any]:
        """Return the whole request as plain values.

        Samples after the first get another seed, since with the same one a server may repeat
        itself.
        """
        values = {**self._values, self._limit_name: self._limit}
        if sample and "seed" in values:
            values["seed"] += sample
        return merged({**self._request_body(values, messages), **self._stream}, self._extra)

    def _request_body(self, values: dict[str, Any], messages: Sequence[Message]) -> dict[str, Any]:
        body = {**values, "messages": self.turns(messages)}
        if self.schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": self.schema.strict()}
        return body

    def sent(self, messages: Sequence[Message]) -> tuple[Sequence[Message], Mapping[str, object]]:
        """Return the messages in the request, and the whole request."""
        turns = [Message(turn["role"], turn["content"]) for turn in self.turns(messages)]
        return turns, self.body(messages)

    def logprobs(self, prompt: Prompt, reply: Reply) -> list[float]:
        """Return the log-probabilities of the answer's tokens, if asked for.

        If the server does not return them, the user is told once.
        """
        if not self.asks_logprobs or reply.text is None:
            return []
        values = answer_logprobs(reply.text, reply.structured, prompt.template.answer, reply.tokens)
        if not values and MISSED not in self.learnt:
            self._tell(MISSED)
        return values

    def turns(self, messages: Sequence[Message]) -> list[dict[str, str]]:
        """Return the messages in the roles that the model accepts."""
        role = self._system[0]
        if role is None:
            messages = _without_system(messages)
        roles = {"system": role or "system"}
        return [{"role": roles.get(t.role, t.role), "content": t.content} for t in messages]

    def learn(self, body: dict[str, Any], failure: Failure) -> Failure:
        """If a failure is about a parameter, stop sending it, and tell the user.

        `body` is the refused request: if another one would be sent now, the question can be asked
        again. Returns the failure, which is fatal if it is about something essential.
        """
        outcome = self._learn(body, failure)
        if isinstance(outcome, Failure):
            return outcome
        if outcome is not None:
            self._tell(outcome)
        return failure

    def _tell(self, sentence: str) -> None:
        self.learnt.append(sentence)
        self.note(sentence)

    def _learn(self, body: dict[str, Any], failure: Failure) -> str | Failure | None:
        param, message = failure.param, failure.reason
        text = f"{param or ''} {message}"
        if self._limit_name in body and MAX_TOKENS.search(text) and REFUSED.search(text):
            other = OTHER_LIMIT.get(self._limit_name)
            if other and other not in self._refused_limits:
                self._refused_limits.add(self._limit_name)
                self._limit_name = other
                return f"the model takes {other}, which is sent from now on"
        if STREAMS_ONLY.search(message) and not body["stream"] and self._stream is not self.stream:
            self._stream = self.stream
            return "the server only streams answers, so they are streamed from now on"
        for name, value in self._extra.items():
            if _is_about(name, param, message):
                key = name if name == "service_tier" else f"extra_body.{name}"
                return _refused_value(failure, f"backend.{key}", value)
        for name, key in OPTIONAL.items():
            spelt = self.spelling.get(name, name)
            if spelt in body and _is_about(spelt, param, message):
                if self._asks_for(key):
                    return _refused_value(failure, key, self._meant[name])
                if self._values.pop(name, None) is None:
                    return None  # learnt meanwhile
                return f"the model refuses {name}, which is left out from now on"
        if (learnt := self._learn_role(body, message)) is not None:
            return learnt
        if self.schema is not None and SCHEMA.search(text):
            reason = f"the server takes no JSON schema for answers ({message})"
            return replace(failure, kind="fatal", reason=reason)
        return None

    def _learn_role(self, body: dict[str, Any], message: str) -> str | None:
        sent = {turn["role"] for turn in body.get("messages") or body.get("input") or ()}
        for refused in ("developer", "system"):
            about = rf"\b{refused}\b.*\brole|\brole.*\b{refused}\b"
            if refused in sent and re.search(about, message, re.I | re.S):
                break
            if refused in sent and NO_SYSTEM.search(message):
                break
        else:
            return None
        if self._system[:1] != [refused]:
            return None  # learnt meanwhile
        self._system.pop(0)
        if refused == "system" and "developer" in message and not self._knows_developer:
            self._system.insert(0, "developer")
            self._knows_developer = True
        role = self._system[0]
        if role is None:
            return "the model has no system role; its text goes before the question from now on"
        return f"the model refuses the role {refused}; {role} is sent from now on"


def _refused_value(failure: Failure, key: str, value: object) -> Failure:
    """Return the failure of a value that was set in a file or on the command line."""
    refused = f"the server refuses {key} = {value!r}: {failure.reason}"
    return replace(failure, kind="fatal", reason=f"{refused}; give another value, or leave it out")


def _is_about(name: str, param: str | None, message: str) -> bool:
    if param and param.lower() not in ("none", "null"):  # LiteLLM's spelling
        return name in re.split(r"\W+", param)[:2]
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", message)  # xAI writes reasoningEffort
    return any(re.search(way.format(re.escape(name)), words, re.I) for way in NAMED)


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Merge extra fields into a request, recursively for mappings."""
    result = dict(body)
    for name, value in extra.items():
        inner = result.get(name)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            value = merged(inner, value)
        result[name] = value
    return result


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """Move the system text to the start of the first user message."""
    system = [turn.content for turn in messages if turn.role == "system"]
    rest = [turn for turn in messages if turn.role != "system"]
    first = next((index for index, turn in enumerate(rest) if turn.role == "user"), None)
    if first is None or not system:
        return list(messages)
    rest[first] = Message("user", "\n\n".join([*system, rest[first].content]))
    return rest
