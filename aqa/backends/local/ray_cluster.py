"""Connect to Ray, and start the actors that load readers, each in its own process."""

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

PATIENCE = 10.0  # seconds to wait for a connection
STORE = 256 * 2**20  # bytes of object store in a Ray started here


class Loaded(NamedTuple):
    """What an actor reports about the reader that it has loaded."""

    hardware: Mapping[str, str]
    notes: list[str]


class Reading:
    """The actor: a reader in its own process. `environment` is added to that process's."""

    def __init__(
        self, reader_type: type[Backend], config: RunConfig, environment: Mapping[str, str]
    ) -> None:
        os.environ.update(environment)
        self._reader_type, self._config, self._progress = reader_type, config, SilentProgress()

    def hardware(self) -> Mapping[str, str]:
        """Return the hardware that a reader would use here."""
        return dict(self._reader_type(self._config, self._progress).hardware())

    def load(self, directory: Path, folder: Path | None) -> Loaded:
        """Load the weights; both folders are the caller's, and used if they exist here."""
        with suppress(OSError):
            os.chdir(directory)
        self._reader = self._reader_type(self._config, self._progress)
        self._reader.folder = folder if folder is not None and folder.is_dir() else None
        self._reader.__enter__()
        return Loaded(dict(self._reader.hardware()), self._progress.notes)

    def answer(self, prompts: list[Prompt]) -> Iterator[tuple[int, Prediction]]:
        """Yield each answer as soon as it is known, with its prompt's index in the data."""
        for prompt, prediction in self._reader.generate(prompts):
            yield prompt.index, prediction

    def close(self) -> None:
        """Free the weights."""
        self._reader.__exit__(None, None, None)


def _check_listens(address: str | None) -> None:
    """Check that something listens at an address; Ray itself would retry for minutes."""
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
    """A connection to Ray at RAY_ADDRESS, or to a local Ray that ends with it.

    Raises:
        RunError: nothing answers at that address, or it lacks what a worker needs.
    """

    def __init__(self, reader_type: type[Backend], config: RunConfig) -> None:
        self._reader_type, self._workers = reader_type, config.workers
        self._config = config.model_copy(update={"data": DataOptions()})  # it may be large
        address = os.environ.get("RAY_ADDRESS")
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            self._connect(address)
        gpus = ray.cluster_resources().get("GPU", 0)
        wanted = self._workers.gpus
        self._gpus = min(gpus, 1) if wanted is None else wanted
        if self._gpus > gpus:
            self.leave()
            raise RunError(f"Ray has {gpus:g} GPUs, but workers.gpus = {wanted:g} for each worker")

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
        except Exception as error:  # Ray raises Exception itself, and many others
            where = f"RAY_ADDRESS={address} can't be used" if address else "Ray did not start"
            cause = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise RunError(f"{where}: {cause}") from error

    def start(self, rank: int) -> Any:
        """Start the actor with this rank."""
        count = self._workers.count
        environment = {"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": "0"}
        if not self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ""
        placed = {"num_cpus": self._cpus, "num_gpus": self._gpus, "scheduling_strategy": "SPREAD"}
        actor = ray.remote(Reading).options(max_restarts=0, **placed)
        return actor.remote(self._reader_type, self._config, environment)

    @cached_property
    def _cpus(self) -> int:
        """Processors (and threads) per actor: an equal share if there are no GPUs."""
        if self._gpus:
            return 1
        nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
        nodes = [number for number in nodes if number >= 1] or [1]
        per_node = -(-self._workers.count // len(nodes))
        return max(int(min(nodes)) // per_node, 1)

    def leave(self) -> None:
        """Disconnect, which ends all actors and a Ray started here."""
        if self._is_ours:
            ray.shutdown()
