"""Servers that are already running: checks their addresses, and finds the model to ask."""

import os
from collections.abc import Sequence

from aqa.backends.llama_qlora.vllm.requests import Json
from aqa.backends.model_files import ModelFiles
from aqa.backends.servers import Setting, checked_address
from aqa.config.backend_options import LlamaQloraOptions
from aqa.config.vllm_options import VllmOptions
from aqa.errors import ConfigError

KEY = "AQA_VLLM_API_KEY"  # an environment variable


def server_urls(options: VllmOptions) -> list[str]:
    """Return the servers' addresses, without the path that all have.

    Raises:
        ConfigError: one is invalid, not encrypted, or repeated.
    """
    allow = None if options.allow_http else "allow it with --set backend.vllm.allow_http=true"
    setting = Setting("backend.vllm.urls", KEY, allow)
    urls = [
        checked_address(url, setting)[0].rstrip("/").removesuffix("/v1") for url in options.urls
    ]
    for url in urls:
        if urls.count(url) > 1:
            raise ConfigError(f"config key backend.vllm.urls: {url} appears twice")
    return urls


def choose_model(
    url: str, listed: Sequence[Json], options: LlamaQloraOptions, files: ModelFiles
) -> str:
    """Return a server's name for the model, from the options or by its location.

    Raises:
        ConfigError: it has no such model, or reads fewer tokens at once.
    """
    names = [str(model.get("id")) for model in listed]
    wanted = options.vllm.served_model
    if wanted is None:
        wanted = _by_location(listed, options, files)
    if wanted not in names:
        problem = f"none is called {wanted}; set"
        if wanted is None:
            problem = f"which of them is {options.model} is not clear; set"
        if wanted is None and files.adapter:
            problem += f" --enable-lora --lora-modules NAME={files.adapter} where it is started, or"
        raise ConfigError(
            f"{url} serves {', '.join(names) or 'nothing'}; {problem} backend.vllm.served_model to"
            " one of them"
        )
    known_lengths = (model.get("max_model_len") for model in listed)
    lengths = [length for length in known_lengths if isinstance(length, int) and length > 0]
    if lengths and min(lengths) < options.max_seq_length:
        raise ConfigError(
            f"{url} reads {min(lengths)} tokens at most, and backend.max_seq_length ="
            f" {options.max_seq_length}; lower that, or start the server with a larger"
            " --max-model-len"
        )
    return wanted


def _by_location(
    listed: Sequence[Json], options: LlamaQloraOptions, files: ModelFiles
) -> str | None:
    """Return the only model at our model's location; a base does not stand for its adapter."""
    ours = {str(files.adapter)} if files.adapter else {files.spec, files.base}
    locations = {*ours, options.model, *(os.path.realpath(path) for path in ours)}
    names = [
        str(model["id"])
        for model in listed
        if isinstance(root := model.get("root"), str)
        and (root in locations or (root and os.path.realpath(root) in locations))
    ]
    return names[0] if len(names) == 1 else None


def environment_key() -> str:
    """Return the servers' API key; "" if they need none."""
    return os.getenv(KEY, "").strip()


def key_header(key: str) -> dict[str, str]:
    """Return the header with the key, empty without one; ConfigError for an invalid key."""
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the environment variable {KEY} is not a valid key; copy it again")
    return {"Authorization": f"Bearer {key}"} if key else {}
