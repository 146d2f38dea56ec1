"""The table of backends; other packages add theirs through the entry point group `aqa.backends`."""

import difflib
from importlib import import_module
from importlib.metadata import entry_points

from aqa.backends.base import Backend
from aqa.config.backend_options import ALIASES
from aqa.config.options import RunConfig
from aqa.errors import UsageError
from aqa.progress import Progress

BACKENDS = {
    "t5": "aqa.backends.t5.backend:T5Backend",
    "gpt4": "aqa.backends.openai_api.backend:Gpt4Backend",
    "llama-qlora": "aqa.backends.llama_qlora.backend:LlamaQloraBackend",
    "ensemble": "aqa.backends.ensemble.backend:EnsembleBackend",
}
GROUP = "aqa.backends"


def backend_names() -> list[str]:
    """Return the names of all backends, without aliases."""
    return sorted({*BACKENDS, *(point.name for point in entry_points(group=GROUP))})


def find_backend(name: str) -> type[Backend]:
    """Import a backend's class by name or alias; UsageError if there is none."""
    canonical = ALIASES.get(name, name)
    if canonical in BACKENDS:
        module, _, attribute = BACKENDS[canonical].partition(":")
        backend: type[Backend] = getattr(import_module(module), attribute)
        return backend
    for point in entry_points(group=GROUP, name=canonical):
        loaded = point.load()
        if not (isinstance(loaded, type) and issubclass(loaded, Backend)):
            raise UsageError(
                f"the backend {name} ({point.value}) is not a subclass of"
                " aqa.backends.base.Backend; update the package that provides it"
            )
        return loaded
    near = difflib.get_close_matches(name, [*backend_names(), *ALIASES], n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(backend_names())}"
    raise UsageError(f"unknown backend {name}; {hint}")


def make_reader(config: RunConfig, progress: Progress) -> Backend:
    """Make the reader that a config asks for; loads nothing yet."""
    return find_backend(config.backend.name)(config, progress)
