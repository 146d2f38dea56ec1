"""What tells one asked model from another: all that decides its answers."""

from aqa.backends.openai_api.access import azure_version, server_url
from aqa.backends.openai_api.schemas import ResponseSchema
from aqa.config.backend_options import Gpt4Options
from aqa.config.options import GenerationOptions


def identity_of(
    options: Gpt4Options,
    generation: GenerationOptions,
    seed: int,
    limit: int,
    schema: ResponseSchema | None,
) -> dict[str, object]:
    """The model, the server and what decides an answer; `limit` is of prompt and answer."""
    # What few runs have is left out of the others.
    chosen: dict[str, object] = {}
    if schema is not None:
        chosen["schema"] = schema.identity()
    if options.api != "chat":
        chosen["api"] = options.api
    if options.provider == "azure":
        chosen["api_version"] = azure_version(options)
    if generation.samples > 1:
        chosen["samples"] = generation.samples
    for name in ("reasoning_tokens", "tokenizer", "logprobs", "extra_body", "extra_headers"):
        if given := getattr(options, name):
            chosen[name] = dict(given) if isinstance(given, dict) else given
    return {
        **chosen,
        "model": options.model,
        "server": server_url(options),
        "reasoning_effort": options.reasoning_effort,
        "max_seq_length": limit,
        "max_new_tokens": generation.max_new_tokens,
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "seed": seed,
    }
