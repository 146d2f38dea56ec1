"""What a shell offers for the value of a flag; where it is nothing, most shells offer files."""

from collections.abc import Iterable
from pathlib import Path


def backends(begun: str) -> list[str]:
    """Backends, those of other packages among them."""
    from aqa.backends import ALIASES, backend_names

    return _beginning(begun, [*backend_names(), *ALIASES])


def configs(begun: str) -> list[str]:
    """Configs that travel with aqa."""
    return _beginning(begun, _shipped("configs"))


def prompts(begun: str) -> list[str]:
    """Prompt templates that travel with aqa."""
    return _beginning(begun, _shipped("prompts"))


def metrics(begun: str) -> list[str]:
    """Metrics, one after the other."""
    from aqa.metrics import METRICS, TOGETHER

    return _next(begun, [*METRICS, *TOGETHER])


def conditions(begun: str) -> list[str]:
    """Conditions of changed evidence, one after the other."""
    from aqa.config.conditions import CONDITIONS, FAMILIES

    return _next(begun, dict.fromkeys([*FAMILIES, *CONDITIONS]))


def _shipped(kind: str) -> list[str]:
    from aqa.config.shipped import shipped_names

    return [Path(name).stem for name in shipped_names(kind)]


def _next(begun: str, names: Iterable[str]) -> list[str]:
    """What may follow in a list whose names are separated by commas."""
    before, comma, word = begun.rpartition(",")
    named = before.split(",")
    offered = _beginning(word, (name for name in names if name not in named))
    return [f"{before}{comma}{name}" for name in offered]


def _beginning(begun: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(begun)]
