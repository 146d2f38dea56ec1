"""Shell completions for the values of flags; without any, most shells offer files."""

from collections.abc import Iterable
from pathlib import Path


def backends(begun: str) -> list[str]:
    """Complete backends, including those of other packages."""
    from aqa.backends import ALIASES, backend_names

    return _beginning(begun, [*backend_names(), *ALIASES])


def configs(begun: str) -> list[str]:
    """Complete configs that come with aqa."""
    return _beginning(begun, _shipped("configs"))


def prompts(begun: str) -> list[str]:
    """Complete prompt templates that come with aqa."""
    return _beginning(begun, _shipped("prompts"))


def metrics(begun: str) -> list[str]:
    """Complete a list of metrics."""
    from aqa.metrics import METRICS, TOGETHER

    return _next(begun, [*METRICS, *TOGETHER])


def conditions(begun: str) -> list[str]:
    """Complete a list of stress conditions."""
    from aqa.config.stress_conditions import CONDITIONS, FAMILIES

    return _next(begun, dict.fromkeys([*FAMILIES, *CONDITIONS]))


def _shipped(kind: str) -> list[str]:
    from aqa.config.shipped import shipped_names

    return [Path(name).stem for name in shipped_names(kind)]


def _next(begun: str, names: Iterable[str]) -> list[str]:
    """Complete the last name in a comma-separated list."""
    before, comma, word = begun.rpartition(",")
    named = before.split(",")
    offered = _beginning(word, (name for name in names if name not in named))
    return [f"{before}{comma}{name}" for name in offered]


def _beginning(begun: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(begun)]
