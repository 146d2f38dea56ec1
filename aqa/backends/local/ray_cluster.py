"""Ray, and the actors in which readers are loaded, each in a process of its own."""

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import ray

from aqa.backends.base import Backend
from aqa.config.options import DataOptions, RunConfig
from aqa.errors import RunError
from aqa.progress import SilentProgress
from aqa.records import Prediction, Prompt

PATIENCE = 10.0  # seconds until something has to answer at an address
STORE = 256 * 2**20  # bytes of a Ray of our own for what is on its way between processes


class Loaded(NamedTuple):
    """What an actor tells of the reader that it loaded."""

    hardware: Mapping[str, str]
    notes: list[str]


class Reading:
    """The actor: a reader in a process of its own. `environment` is added to that process's."""

    def __init__(
        self, reader_type: type[Backend], config: RunConfig, environment: Mapping[str, str]
    ) -> None:
        os.environ.update(environment)
        self._reader_type, self._config, self._progress = reader_type, config, SilentProgress()

    def hardware(self) -> Mapping[str, str]:
        """What a reader runs on here."""
        return dict(self._reader_type(self._config, self._progress).hardware())

    def load(self, directory: Path, folder: Path | None) -> Loaded:
        """Load the weights; the folders are those of the process that asks, if they exist here."""
        with suppress(OSError):
            os.chdir(directory)
        self._reader = self._reader_type(self._config, self._progress)
        self._reader.folder = folder if folder is not None and folder.is_dir() else None
        self._reader.__enter__()
        return Loaded(dict(self._reader.hardware()), self._progress.notes)

    def answer(self, prompts: list[Prompt]) -> Iterator[tuple[int, Prediction]]:
        """Answer prompts, each as soon as the answer is known, by its place in the data."""
        for prompt, prediction in self._reader.generate(prompts):
            yield prompt.index, prediction

    def close(self) -> None:
        """Free what was loaded."""
        self._reader.__exit__(None, None, None)


def _check_listens(address: str | None) -> None:
    """See that something listens at an address; Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
        except (OSError, OverflowError) as error:
            raise RunError(
                f"RAY_ADDRESS={address} can't be used: nothing answers there; name the cluster's"
                " head and its port, or auto on one of its machines"
            ) from error


class Cluster:
    """Ray as RAY_ADDRESS names it, or else on this machine alone, and ended when it is left.

    Raises:
        RunError: there is none at that address, or it has not what a worker wants.
    """

    def __init__(self, reader_type: type[Backend], config: RunConfig) -> None:
        self._reader_type, self._workers = reader_type, config.workers
        self._config = config.model_copy(update={"data": DataOptions()})  # they may be at hand
        address = os.environ.get("RAY_ADDRESS")
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            self._connect(address)
        gpus = ray.cluster_resources().get("GPU", 0)
        wanted = self._workers.gpus
        self._gpus = min(gpus, 1) if wanted is None else wanted
        if self._gpus > gpus:
            self.leave()
            raise RunError(f"Ray has {gpus:g} GPUs, and workers.gpus = {wanted:g} for each worker")

    def _connect(self, address: str | None) -> None:
        if address and address.startswith("ray://"):
            raise RunError(
                f"RAY_ADDRESS={address} is for Ray's client, which can't stream answers; run the"
                " command on a machine of the cluster, with RAY_ADDRESS=auto"
            )
        _check_listens(address)
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address is None:
            settings |= {
                "address": "local",
                "num_cpus": max(os.cpu_count() or 1, self._workers.count),
                "include_dashboard": False,
                "object_store_memory": STORE,
            }
        try:
            ray.init(**settings)
        except Exception as error:  # Ray raises this very class, and many others
            where = f"RAY_ADDRESS={address} can't be used" if address else "Ray did not start"
            cause = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise RunError(f"{where}: {cause}") from error

    def start(self, rank: int) -> Any:
        """Start an actor, which is one of so many processes."""
        count = self._workers.count
        environment = {"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": "0"}
        if not self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ""
        placed = {"num_cpus": self._cpus, "num_gpus": self._gpus, "scheduling_strategy": "SPREAD"}
        actor = ray.remote(Reading).options(max_restarts=0, **placed)
        return actor.remote(self._reader_type, self._config, environment)

    @cached_property
    def _cpus(self) -> int:
        """Processors for each actor: all, where there are no GPUs; it has so many threads."""
        if self._gpus:
            return 1
        nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
        nodes = [number for number in nodes if number >= 1] or [1]
        each = -(-self._workers.count // len(nodes))
        return max(int(min(nodes)) // each, 1)

    def leave(self) -> None:
        """End the connection, and with it all actors and a Ray of our own."""
        if self._is_ours:
            ray.shutdown()
