"""What is known of API models by name: whether they think, what they refuse, when they retire."""

import re
from datetime import UTC, date, datetime

DEFAULT_MODEL = "gpt-6-luna"  # OpenAI's recommended successor of gpt-4.1 (October 2026)

OPENAI_THINKERS = re.compile(r"(?:^|[:.])(?:o\d|gpt-(?:[5-9]|\d\d)(?!.*chat))")
OTHER_THINKERS = re.compile(
    r"gpt-oss|deepseek-(?:r\d|v[4-9])|gemini-(?:2\.5|[3-9])|grok-(?:3-mini|[4-9])|qwq"
    r"|qwen-?3(?!.*(?:instruct|coder))|magistral|kimi-k(?:2\.[5-9]|[3-9])|glm-(?:4\.[5-9]|[5-9])"
    r"|minimax-m\d|thinking|reason(?:er|ing)"
)
# Tokens for thoughts by reasoning effort: several times what a question on passages needs.
ROOM_TO_THINK = {"minimal": 2048, "low": 4096, "medium": 8192, None: 8192, "high": 16_384}
MOST_ROOM = 32_768
NOT_THINKING = re.compile(r"non-?reasoning|non-?thinking|no-?think")
USER_ONLY = re.compile(r"(?:^|[:.])o1-(?:mini|preview)")  # without a system role
CLAUDE = re.compile(r"claude-[a-z]+-(\d+)(?:[-.](\d{1,2}))?(?!\d)")
CLAUDE_SAMPLES = (4, 6)  # the last version that accepts temperature and top_p
CLAUDE_THINKS = (5, 0)  # from this version on, unless it is switched off
SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4})$")

# OpenAI's deprecations page, November 2026. Fine-tuned models retire with their base.
ENDS = {
    "2026-10-23": "gpt-3.5-turbo gpt-4 gpt-4-turbo gpt-4.1-nano gpt-4o-2024-05-13 o1 o1-pro o3-mini"
    " o4-mini",
    "2026-12-11": "gpt-5 gpt-5-mini gpt-5-nano gpt-5-pro o3 o3-pro",
    "2027-01-14": "gpt-4.1 gpt-4.1-mini gpt-4o gpt-4o-mini",
    "2027-04-01": "gpt-5.1 gpt-5.3-codex gpt-5.4-nano",
}
END_OF = {
    model: date.fromisoformat(day) for day, models in ENDS.items() for model in models.split()
}


def plain_name(model: str) -> str:
    """Return the model's own name, without what fine-tuning and gateways add."""
    name = model.lower()
    if name.startswith("ft:"):
        return name.split(":")[1]
    return name.rpartition("/")[2]


def is_openai_thinker(model: str) -> bool:
    """Whether it is an OpenAI model that can think before answering."""
    return bool(OPENAI_THINKERS.search(plain_name(model)))


def thinks(model: str, effort: str | None) -> bool:
    """Whether a model thinks before it answers, as far as its family is known."""
    name = plain_name(model)
    if effort == "none" or NOT_THINKING.search(name):
        return False
    claude = _claude_version(name)
    return bool(
        OPENAI_THINKERS.search(name)
        or OTHER_THINKERS.search(name)
        or (claude is not None and claude >= CLAUDE_THINKS)
    )


def room_to_think(model: str, effort: str | None) -> int:
    """Return the token budget for thoughts, in addition to the answer's."""
    if not thinks(model, effort):
        return 0
    return ROOM_TO_THINK.get(effort, MOST_ROOM)


def takes_sampling(model: str, effort: str | None) -> bool:
    """Whether a model accepts temperature and top_p, as far as known: most do.

    OpenAI's thinking models accept them only when thinking is off.
    """
    name = plain_name(model)
    claude = _claude_version(name)
    if claude is not None:
        return claude <= CLAUDE_SAMPLES
    return effort == "none" or not OPENAI_THINKERS.search(name)


def has_system_role(model: str) -> bool:
    """Whether a model accepts a system message: all but OpenAI's first thinking models do."""
    return not USER_ONLY.search(plain_name(model))


def _claude_version(name: str) -> tuple[int, int] | None:
    match = CLAUDE.search(name)
    return None if match is None else (int(match[1]), int(match[2] or 0))


def end_of(model: str) -> str | None:
    """Say when OpenAI retires a model; None if unknown."""
    name = re.split(r"[:.](?=gpt-|o\d)", plain_name(model))[-1]
    end = END_OF.get(name) or END_OF.get(SNAPSHOT.sub("", name))
    if end is None:
        return None
    day = f"{end.day} {end:%B %Y}"
    verb = "was shut down" if end <= datetime.now(UTC).date() else "will be shut down"
    return (
        f"{model} {verb} by OpenAI on {day}; use another model, such as {DEFAULT_MODEL}, in a new"
        " run"
    )
