"""The options of the engine vLLM, which runs in separate processes or on other machines."""

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from aqa.config.section import Section


class VllmOptions(Section):
    """Where vLLM is installed or already running, and how it is started.

    Options that vLLM also has are named as there.
    """

    python: str | None = None  # of the environment with vLLM; None: this one
    tensor_parallel_size: int = Field(1, ge=1)  # GPUs per layer
    pipeline_parallel_size: int = Field(1, ge=1)  # groups of GPUs, each with some of the layers
    quantization: str | None = None  # bitsandbytes, fp8, ...; None: as the model is saved
    # None: vLLM's default; on a CPU (main memory), half of what is free
    gpu_memory_utilization: float | None = Field(None, gt=0, le=1)
    arguments: list[str] = Field(default_factory=list)  # more arguments for `vllm serve`
    start_timeout: float = Field(1800.0, gt=0)  # seconds it may take to start
    urls: list[str] = Field(default_factory=list)  # of running servers; then none is started
    served_model: str | None = None  # the model's name there; None: found by its path
    allow_http: bool = False  # allow unencrypted connections to other machines
    max_concurrency: int = Field(256, ge=1)  # requests at a time, per server
    request_timeout: float = Field(600.0, gt=0)  # seconds per request

    @model_validator(mode="after")
    def _no_key_in_arguments(self) -> Self:
        if any(word.lstrip("-").replace("_", "-").startswith("api-key") for word in self.arguments):
            raise ValueError(
                "everybody on the machine can see arguments, and a server that aqa starts has its"
                " own key; leave api-key out"
            )
        return self

    def idle(self) -> Mapping[str, str]:
        """Options for a server started here, or for servers already running."""
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
        """The number of GPUs per server."""
        return self.tensor_parallel_size * self.pipeline_parallel_size

    def identity(self) -> dict[str, object]:
        """Return the options that decide the answers."""
        names = {"served_model"} if self.urls else {"quantization", "arguments"}
        return {"engine": "vllm", **self.model_dump(include=names)}
