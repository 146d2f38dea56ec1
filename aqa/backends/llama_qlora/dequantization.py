"""Dequantise a 4-bit base to a folder, for an engine that would load the original weights."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from aqa.backends.llama_qlora.merging import write_model
from aqa.backends.local.reader import LocalReader
from aqa.backends.model_files import ModelFiles
from aqa.config.backend_options import LlamaQloraOptions
from aqa.config.options import RunConfig
from aqa.runs.files import Hashed, atomic_folder


def is_trained_over_4bit(options: LlamaQloraOptions, files: ModelFiles) -> bool:
    """Whether there is an adapter that was trained over 4 bits."""
    return files.adapter is not None and options.quantization == "4bit"


def is_dequantized(options: LlamaQloraOptions, files: ModelFiles) -> bool:
    """Whether vLLM loads such a base dequantised: not if it quantises, or is already running."""
    return is_trained_over_4bit(options, files) and not (
        options.vllm.urls or options.vllm.quantization
    )


def dequantize_once(
    open_reader: Callable[[RunConfig], LocalReader[LlamaQloraOptions]],
    config: RunConfig,
    files: ModelFiles,
    source: Hashed,
    dtype: str,
) -> ModelFiles:
    """Write the dequantised base of `files`, once per user.

    Other processes wait. `open_reader` must dequantise; `source` identifies the base.
    """
    base = config.backend.model_copy(update={"model": files.spec, "engine": "transformers"})
    names = {"revision", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant"}
    found = base.model_dump(include=names)
    facts = json.dumps([source.name, source.sha256, dtype, found], sort_keys=True)
    name = f"{Path(files.spec).name}-4bit-{sha256(facts.encode()).hexdigest()[:16]}"
    folder = user_cache_path("aqa") / "models" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            own = config.model_copy(update={"backend": base})
            with open_reader(own) as reader, atomic_folder(folder) as draft:
                write_model(reader, reader.model, draft)
    return ModelFiles(files.spec, str(folder), files.adapter)
