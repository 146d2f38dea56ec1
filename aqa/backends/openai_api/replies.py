"""A server's reply, whichever API was asked: its text or error, and its token counts."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from aqa.backends.openai_api.error_bodies import error_text
from aqa.backends.openai_api.logprobs import Token
from aqa.backends.openai_api.schemas import BadObjectError, ResponseSchema
from aqa.records import StructuredAnswer
from aqa.runs.cleaning import is_blank, strip_thoughts
from aqa.runs.tool_calls import CALLED, is_tool_call
from aqa.spent import Spent

LARGEST_COUNT = 10**8  # tokens; higher counts are wrong
MAX_TOKEN_PRICE = 1e-3  # dollars per token, plus one per request: no model costs more

# Names of tokens read from a server's cache, and of those written to it.
CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
CACHE_WRITES = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")

# Why an answer is incomplete.
End = Literal["filter", "length"]
# Servers' names for these reasons, in lower case, up to a colon.
LENGTH = (
    "length max_tokens max_output_tokens model_length max_length token_limit"
    " model_context_window_exceeded"
)
FILTER = (
    "content_filter content_filtered safety image_safety recitation spii prohibited_content"
    " blocklist sensitive refusal guardrail_intervened error_toxic"
)
ENDS: Mapping[str, End] = {
    **dict.fromkeys(LENGTH.split(), "length"),
    **dict.fromkeys(FILTER.split(), "filter"),
}
# Reasons for interrupted answers, from vLLM, OpenRouter, DeepSeek and Zhipu.
BROKEN_OFF = {"error", "abort", "cancelled", "canceled", "timeout", "network_error",
              "server_error", "insufficient_system_resource"}  # fmt: skip
TOOLS = {"tool_calls", "tool_use", "function_call"}
WORD_END = re.compile(r"[- ]|(?<=[a-z])(?=[A-Z])")
NO_ROOM = "no token was left for the answer"
ROOM = "raise generation.max_new_tokens, or backend.reasoning_tokens of a model that thinks"


class BadBodyError(Exception):
    """A body is not an answer: cut off, not JSON, or incomplete."""


class PageError(BadBodyError):
    """A body is a web page, perhaps a gateway's, and never was an answer."""


class ForeignBodyError(BadBodyError):
    """A body is whole, but no `kind`: probably another API's."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"the server's answer is not {kind}; see backend.base_url and backend.api")


class ErrorInBodyError(BadBodyError):
    """A body contains an error although its status is that of an answer.

    `reported` is the error as the server wrote it.
    """

    def __init__(self, reported: object) -> None:
        super().__init__(f"the server's answer is an error: {error_text(reported)}")
        self.reported = reported


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply: a text, or the reason why there is none, and its token counts."""

    text: str | None
    error: str | None
    model: str
    spent: Spent | None  # includes the cost if the server reports it; None without token counts
    tier: str = ""  # the service tier used
    empty: bool = False  # the reply has no place for a text
    misfit: bool = False  # the text should match the schema but does not
    rejected: str | None = None  # a text that is not an answer
    structured: StructuredAnswer | None = None  # what matters in an object of the schema
    cut: bool = False  # the answer reached its limit
    tokens: tuple[Token, ...] = ()  # all tokens written, if the server lists them


@dataclass(frozen=True, slots=True)
class RawReply:
    """An answer as read, before it is judged: its text, or what took its place."""

    text: object = None
    refusal: object = None
    ending: object = None  # the server's reason for its end
    thought: bool = False  # the reply also has the model's reasoning
    tokens: tuple[Token, ...] = ()
    failure: str = ""
    empty: bool = False

    @property
    def end(self) -> End | None:
        """Why the answer is incomplete; None if it is complete."""
        return ENDS.get(ending_of(self.ending))


def ending_of(reason: object) -> str:
    """Return a server's reason for the end of an answer in our spelling, without additions.

    SGLang writes an object.
    """
    reason = reason.get("type") if isinstance(reason, Mapping) else reason
    text = reason.partition(":")[0].strip() if isinstance(reason, str) else ""
    return WORD_END.sub("_", text).lower()


def unread(content: bytes, kind: str) -> BadBodyError:
    """Return the error for a body that is not of this kind."""
    if content.lstrip()[:1] == b"<":
        title = error_text(content.decode(errors="replace"))
        return PageError(f"the server sent a web page instead of {kind}: {title}")
    return BadBodyError(f"the server's answer is cut off or is not {kind}")


def make_reply(raw: RawReply, body: Mapping[str, Any], schema: ResponseSchema | None) -> Reply:
    """Judge an answer that was read from a body."""
    is_text = isinstance(raw.text, str | int | float) and not isinstance(raw.text, bool)
    # A bare number is JSON too. Half a surrogate pair, valid in JSON, cannot be written.
    text = _encodable(str(raw.text)) if is_text else ""
    spent = read_usage(body.get("usage"))
    if text and spent is not None and not spent.output:
        spent = None  # text without output tokens: as wrong as a prompt without tokens
    reason = _why_none(raw, text)
    model, tier = (str(body.get(name) or "") for name in ("model", "service_tier"))
    misfit = schema is not None and raw.end is None and not raw.failure
    failed = Reply(None, reason, model, spent, tier, raw.empty, misfit, text or None)
    if reason is not None:
        return failed
    reply, cut = Reply(text, None, model, spent, tier, tokens=raw.tokens), raw.end == "length"
    called = is_tool_call(text, cut)
    if schema is None:
        return replace(failed, error=CALLED) if called else replace(reply, cut=cut)
    try:
        return replace(reply, structured=schema.read(text))
    except BadObjectError as error:
        reason = f"the answer does not match the schema {schema.name}: {error}"
        if cut:
            reason = f"the answer was cut off inside its JSON object; {ROOM}"
        return replace(failed, error=CALLED if called else reason)


def _why_none(raw: RawReply, text: str) -> str | None:
    if raw.failure:
        return raw.failure
    if raw.end == "filter":
        return "the server's content filter blocked the answer"
    if not is_blank(strip_thoughts(text) or ""):
        return None
    if raw.refusal:
        return f"the model refused: {_encodable(str(raw.refusal))}"
    thought = raw.thought or not is_blank(text)
    if raw.end == "length":
        return f"the model's thought was cut off; {ROOM}" if thought else f"{NO_ROOM}; {ROOM}"
    if ending_of(raw.ending) in TOOLS:
        return CALLED
    return "the model thought, but gave no answer" if thought else "the model gave no answer"


def _encodable(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_usage(usage: object) -> Spent | None:
    """Parse tokens read, written, cached and written to the cache; None if unusable.

    Chat completions and responses name them differently.
    """
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details", usage.get("input_tokens_details"))
    parts = (details if isinstance(details, dict) else {}, usage)
    total = usage.get("total_tokens")
    total = total if type(total) is int and total <= LARGEST_COUNT else 0
    output = usage.get("completion_tokens", usage.get("output_tokens"))
    counts = [usage.get("prompt_tokens", usage.get("input_tokens"))]
    counts += [0 if output is None and total else output]  # Gemini leaves out thoughts alone
    for names in (CACHED, CACHE_WRITES):
        values = (part.get(name) for part in parts for name in names)
        counts += [next(filter(None, values), 0)]
    # Wrong numbers are useless: cost is then counted at its worst case.
    if not all(type(n) is int and 0 <= n <= LARGEST_COUNT for n in counts):
        return None
    read, written, cached, cache_writes = (int(n or 0) for n in counts)
    # Anthropic counts them in addition to the prompt, others as part of it.
    if max(cached, cache_writes) > read or total == read + written + cached + cache_writes:
        read += cached + cache_writes
    # No prompt is empty: a server that says so does not count.
    if not read:
        return None
    # Some servers (xAI, Gemini) include thoughts, which are billed, only in the total.
    written = max(written, total - read)
    cost = _reported_cost(usage, MAX_TOKEN_PRICE * (read + written) + 1)
    return Spent(read, written, cached, cost, cache_writes=min(cache_writes, read - cached))


def _reported_cost(usage: Mapping[str, Any], most: float) -> float | None:
    """Return the dollars reported by OpenRouter, Perplexity, DeepInfra or xAI, if plausible."""
    reported = usage.get("cost", usage.get("estimated_cost"))
    reported = reported.get("total_cost") if isinstance(reported, Mapping) else reported
    if type(ticks := usage.get("cost_in_usd_ticks")) is int:
        reported = ticks / 1e10
    details = usage.get("cost_details")
    # With the user's own key for the model's provider, the cost is only OpenRouter's fee.
    other = details.get("upstream_inference_cost") if isinstance(details, Mapping) else None
    costs = [reported, other or 0] if usage.get("is_byok") is True else [reported]
    if not all(type(cost) in (int, float) and 0 <= cost <= most for cost in costs):
        return None
    return float(sum(costs))


def joined_parts(content: object, name: Literal["text", "refusal"] = "text") -> object:
    """Join the text of a message that some servers (Mistral's thinking models) send in parts.

    Cloudflare sends an object that follows a schema as such.
    """
    if content and isinstance(content, Mapping) and not content.keys() & {"type", name}:
        return json.dumps(content, ensure_ascii=False)
    parts = [content] if isinstance(content, Mapping) else content
    return "".join(_of_part(part, name) for part in parts) if isinstance(parts, list) else content


def _of_part(part: object, name: str) -> str:
    if isinstance(part, str) and name == "text":
        return part
    if not isinstance(part, Mapping) or part.get("type", name) not in (name, f"output_{name}"):
        return ""
    value = part.get(name)
    value = value.get("value") if isinstance(value, Mapping) else value
    return value if isinstance(value, str) else ""
