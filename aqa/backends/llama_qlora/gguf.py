"""Convert a GGUF model to safetensors, once per user."""

import io
from contextlib import redirect_stderr
from pathlib import Path

from filelock import FileLock

from aqa.backends.local.loading import load_whole
from aqa.backends.model_files import ModelFiles, converted_folder
from aqa.library_output import quiet
from aqa.progress import Progress


def convert_gguf(files: ModelFiles, progress: Progress) -> ModelFiles:
    """Convert a GGUF model to safetensors, once for this user, while other processes wait.

    transformers refuses to save a model that it read from GGUF, so its weights are copied to a new
    model with the same config.

    Raises:
        ModelError: transformers cannot read it, or weights are missing.
    """
    if files.gguf_file is None:
        return files
    target = converted_folder(Path(files.base, files.gguf_file))
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not (target / "config.json").is_file():
            _convert(files, files.gguf_file, target, progress)
    return ModelFiles(files.spec, str(target), files.adapter)


def _convert(files: ModelFiles, gguf_file: str, target: Path, progress: Progress) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    draft = target.with_name(f"{target.name}.draft")
    no_bar = redirect_stderr(io.StringIO())  # hides transformers' own
    with progress.task(f"Converting {gguf_file} (once)", 3, "steps") as task, quiet(), no_bar:
        tokenizer = AutoTokenizer.from_pretrained(files.base, gguf_file=gguf_file)
        task.advance()
        source = load_whole(AutoModelForCausalLM, files, gguf_file=gguf_file, dtype=torch.bfloat16)
        task.advance()
        config = source.config
        del config.quantization_config
        model = type(source)(config).to(torch.bfloat16)
        model.load_state_dict(source.state_dict())
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        draft.replace(target)
        task.advance()
