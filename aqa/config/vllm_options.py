"""Options of the engine vLLM, which answers in processes of its own or on other machines."""

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from aqa.config.section import Section


class VllmOptions(Section):
    """Where vLLM is, or runs already, and what it is started with.

    Those that vLLM has have its names.
    """

    python: str | None = None  # of the environment that has vLLM; None: this one
    tensor_parallel_size: int = Field(1, ge=1)  # GPUs that share each layer
    pipeline_parallel_size: int = Field(1, ge=1)  # groups of GPUs that share the layers
    quantization: str | None = None  # bitsandbytes, fp8, ...; None: as the model is saved
    # None: vLLM's default; on a CPU, whose memory it then is, half of what is free
    gpu_memory_utilization: float | None = Field(None, gt=0, le=1)
    arguments: list[str] = Field(default_factory=list)  # further ones of `vllm serve`
    start_timeout: float = Field(1800.0, gt=0)  # seconds until it has to be up
    urls: list[str] = Field(default_factory=list)  # of servers that run already; then none starts
    served_model: str | None = None  # what those call the model; None: found by where it lies
    allow_http: bool = False  # unencrypted to other machines
    max_concurrency: int = Field(256, ge=1)  # requests at a time, of each server
    request_timeout: float = Field(600.0, gt=0)  # seconds in which a server has to answer one

    @model_validator(mode="after")
    def _no_key_in_arguments(self) -> Self:
        if any(word.lstrip("-").replace("_", "-").startswith("api-key") for word in self.arguments):
            raise ValueError(
                "everybody on the machine can see arguments, and a server that aqa starts has its"
                " own key; leave api-key out"
            )
        return self

    def idle(self) -> Mapping[str, str]:
        """What concerns a server that is started here, or those that run already."""
        if not self.urls:
            reason = "it needs backend.vllm.urls"
            return {f"backend.vllm.{name}": reason for name in ("served_model", "allow_http")}
        started = (
            "python", "tensor_parallel_size", "pipeline_parallel_size", "quantization",
            "gpu_memory_utilization", "arguments", "start_timeout",
        )  # fmt: skip
        keys = ["backend.compute_dtype", *(f"backend.vllm.{name}" for name in started)]
        return dict.fromkeys(keys, "the servers of backend.vllm.urls are already running")

    @property
    def gpus(self) -> int:
        """GPUs that a server takes."""
        return self.tensor_parallel_size * self.pipeline_parallel_size

    def identity(self) -> dict[str, object]:
        """What of it decides the answers."""
        names = {"served_model"} if self.urls else {"quantization", "arguments"}
        return {"engine": "vllm", **self.model_dump(include=names)}
