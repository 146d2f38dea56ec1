"""Compare what decides a run's answers with an earlier run's."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]

# What may change when failed examples are asked again.
TOKEN_LIMITS = ("reader.max_new_tokens", "reader.reasoning_tokens")

# Fields that earlier versions did not record; their runs can still be resumed.
ADDED = ("reader.dtype", "dev_split", "profile")
# Names and places of what a hash identifies: a reader may be moved, or a template copied.
HASHED = {"reader.model": "reader.weights", "prompt.name": "prompt.sha256"}
HASH = re.compile("[0-9a-f]{64}")  # a file's SHA-256, which means nothing to the user


# The version of the rules that draw evidence; version 1 was not recorded.
EVIDENCE_RULES = "evidence_rules"


def another_run(folder: Path, different: Mapping[str, str]) -> str:
    """Return the error that a folder holds another run, and how it differs."""
    named = "; ".join(list(different.values())[:3])
    may = not different.keys() - set(TOKEN_LIMITS)
    retry = "; with --retry-errors only failed examples use the new value" if may else ""
    return (
        f"{folder} holds another run: {named}. Name another --output-dir, or start over with"
        f" --fresh{retry}"
    )


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, str]:
    """Describe how a stored fingerprint differs from ours, by dotted key."""
    was, now = flat(theirs), flat(json.loads(json.dumps(ours)))
    ignored = {key for key in ADDED if key not in was}
    for name, content in HASHED.items():
        if _is_hash(was.get(content)) and was[content] == now.get(content):
            ignored.add(name)
    return {
        key: _difference(key, was.get(key), now.get(key))
        for key in {**now, **was}
        if was.get(key) != now.get(key) and key not in ignored
    }


def _difference(key: str, was: object, now: object) -> str:
    if key == EVIDENCE_RULES:
        return "its evidence was drawn by the rules of another version of aqa"
    if _is_hash(was) and _is_hash(now):
        return f"{key.removesuffix('.sha256')} has changed"
    return f"{key} was {_short(was)} and is now {_short(now)}"


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and HASH.fullmatch(value) is not None


def flat(fingerprint: Mapping[str, Any]) -> Json:
    """Flatten the fingerprint to dotted keys, so that a nested difference can be named."""
    dotted: Json = {}
    for key, value in fingerprint.items():
        if isinstance(value, dict):
            dotted |= {f"{key}.{name}": inner for name, inner in flat(value).items()}
        else:
            dotted[key] = value
    return dotted


def _short(value: object) -> str:
    if isinstance(value, str) and len(value) > 40:
        value = value[:37] + "..."
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
