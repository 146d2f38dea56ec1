"""Check the fields and headers that a config adds to requests."""

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator

# Fields that other options set, and fields that no option may set.
OWN_FIELDS = {
    "model": "backend.model",
    "temperature": "generation.temperature",
    "top_p": "generation.top_p",
    "seed": "seed",
    "reasoning_effort": "backend.reasoning_effort",
    "service_tier": "backend.service_tier",
    **dict.fromkeys(
        ("max_tokens", "max_completion_tokens", "max_output_tokens"), "generation.max_new_tokens"
    ),
    **dict.fromkeys(("messages", "input", "prompt"), "prompt"),
    **dict.fromkeys(("stream", "n", "best_of", "echo"), None),
}
SECRET_HEADER = re.compile(
    r"auth(?!or\b)|cookie|credential|jwt|key|passw|session|signature|token|secret", re.I
)
HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)


def _has_no_other_option(body: dict[str, Any]) -> dict[str, Any]:
    for name in body:
        if name in OWN_FIELDS:
            option = OWN_FIELDS[name]
            raise ValueError(f"{name} is set by {option}" if option else f"{name} can't be changed")
    try:
        # As it will be read back: YAML allows keys that are numbers.
        return dict(json.loads(json.dumps(body, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise ValueError(
            "it holds something that JSON can't express, such as a date or a set"
        ) from error


def _can_be_written_down(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if SECRET_HEADER.search(name):
            raise ValueError(
                f"{name} may hold a secret, and a config is written to files; put it into the"
                " environment variable OPENAI_CUSTOM_HEADERS, as NAME: VALUE"
            )
        if not HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        _can_be_sent(value)
    return headers


def _can_be_sent(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError(f"{value!r} can't be sent in a header; use plain ASCII")
    return value


ExtraBody = Annotated[dict[str, Any], AfterValidator(_has_no_other_option)]
ExtraHeaders = Annotated[dict[str, str], AfterValidator(_can_be_written_down)]
UserAgent = Annotated[str, AfterValidator(_can_be_sent)]
