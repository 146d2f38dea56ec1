"""Convert a base model to plain safetensors, once per user: from GGUF, or after quantisation."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr
from hashlib import sha256
from pathlib import Path

from aqa.backends.llama_qlora.merging import write_model
from aqa.backends.llama_qlora.models import never_quantized
from aqa.backends.local.loading import load_whole
from aqa.backends.local.reader import LocalReader
from aqa.backends.model_files import ModelFiles, cached_model, converted_folder, write_once
from aqa.config.backend_options import LlamaQloraOptions
from aqa.config.options import RunConfig
from aqa.library_output import quiet
from aqa.progress import Progress
from aqa.runs.files import Hashed


def convert_gguf(files: ModelFiles, progress: Progress) -> ModelFiles:
    """Convert a GGUF model, which transformers loads but refuses to save.

    Raises:
        ModelError: transformers cannot read it, or weights are missing.
    """
    if files.gguf_file is None:
        return files
    target = converted_folder(Path(files.base, files.gguf_file))
    folder = write_once(target, lambda draft: _convert(files, draft, progress))
    return ModelFiles(files.spec, str(folder), files.adapter)


def _convert(files: ModelFiles, draft: Path, progress: Progress) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file, no_bar = {"gguf_file": files.gguf_file}, redirect_stderr(io.StringIO())
    title = f"Converting {files.gguf_file} (once)"
    with progress.task(title, 1, "models") as task, quiet(), no_bar:  # hides transformers' own
        tokenizer = AutoTokenizer.from_pretrained(files.base, **file)
        model = load_whole(AutoModelForCausalLM, files, dtype=torch.bfloat16, **file)
        del model.config.quantization_config
        never_quantized(model).save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        task.advance()


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
    """Write the dequantised base of `files`, for an engine that would load the original weights.

    `open_reader` must dequantise; `source` identifies the base.
    """
    base = config.backend.model_copy(update={"model": files.spec, "engine": "transformers"})
    names = {"revision", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant"}
    settings = base.model_dump(include=names)
    facts = json.dumps([source.name, source.sha256, dtype, settings], sort_keys=True)
    name = f"{Path(files.spec).name}-4bit-{sha256(facts.encode()).hexdigest()[:16]}"

    def write(draft: Path) -> None:
        with open_reader(config.model_copy(update={"backend": base})) as reader:
            write_model(reader, reader.model, draft)

    folder = write_once(cached_model(name), write)
    return ModelFiles(files.spec, str(folder), files.adapter)
