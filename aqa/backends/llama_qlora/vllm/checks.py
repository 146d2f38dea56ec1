"""What can be known of the engine before any server is started or asked."""

from aqa.backends.llama_qlora.vllm.arguments import check_adapter
from aqa.backends.llama_qlora.vllm.found import environment_key, key_header, server_urls
from aqa.backends.llama_qlora.vllm.process import find_vllm
from aqa.backends.model_files import ModelFiles
from aqa.config.backend_options import LlamaQloraOptions
from aqa.config.options import GenerationOptions
from aqa.errors import ConfigError


def check_engine(
    options: LlamaQloraOptions, files: ModelFiles, generation: GenerationOptions
) -> None:
    """See that the engine is there, or its servers' addresses are such, and that it can do it.

    Raises:
        AqaError: it isn't, they aren't, or it can't.
    """
    if generation.num_beams > 1 and generation.temperature:
        raise ConfigError(
            "generation.num_beams with a temperature: vLLM's beams draw no samples; set one of them"
            " to its default"
        )
    if options.vllm.urls:
        server_urls(options.vllm)
        key_header(environment_key())
        return
    find_vllm(options.vllm.python)
    if files.adapter is not None:
        check_adapter(files.adapter)


def engine_facts(options: LlamaQloraOptions, dtype: str) -> dict[str, str]:
    """The engine, its version and dtype, as far as it is started here."""
    if options.vllm.urls:
        return {"engine": "vllm"}
    return {"engine": f"vllm {find_vllm(options.vllm.python).version}", "dtype": dtype}
