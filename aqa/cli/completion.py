"""Shell completions for the values of flags; without any, most shells offer files."""

from collections.abc import Callable, Iterable
from pathlib import Path

Complete = Callable[[str], list[str]]  # from the beginning of a value to possible values


def offering(names: Callable[[], Iterable[str]], several: bool = False) -> Complete:
    """Complete a name, or with `several` the last one in a comma-separated list."""

    def complete(begun: str) -> list[str]:
        before, comma, word = begun.rpartition(",") if several else ("", "", begun)
        named = before.split(",")
        left = (name for name in names() if name not in named)
        return [f"{before}{comma}{name}" for name in left if name.startswith(word)]

    return complete


def _backends() -> list[str]:
    """Backends, including those of other packages."""
    from aqa.backends import backend_names
    from aqa.config.backend_options import ALIASES

    return [*backend_names(), *ALIASES]


def _metrics() -> list[str]:
    from aqa.metrics import METRICS, TOGETHER

    return [*METRICS, *TOGETHER]


def _conditions() -> Iterable[str]:
    from aqa.config.stress_conditions import CONDITIONS, FAMILIES

    return dict.fromkeys([*FAMILIES, *CONDITIONS])


def _shipped(kind: str) -> list[str]:
    from aqa.config.shipped import shipped_names

    return [Path(name).stem for name in shipped_names(kind)]


backends = offering(_backends)
configs = offering(lambda: _shipped("configs"))
prompts = offering(lambda: _shipped("prompts"))
metrics = offering(_metrics, several=True)
conditions = offering(_conditions, several=True)
