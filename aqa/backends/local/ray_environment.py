"""What Ray reads from the environment when it is imported."""

import os
import secrets
from importlib.util import find_spec

from aqa.errors import MissingExtraError


def prepare_ray() -> None:
    """Let a Ray that is started here tell nobody, and obey nobody else; do it before the import.

    Its ports are open to other machines, and whoever reaches one may run programs. What the user
    says stays, and a cluster that runs already has rules of its own.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("ray", "ray")
    variables = {"RAY_USAGE_STATS_ENABLED": "0"}
    if "RAY_ADDRESS" not in os.environ:
        variables |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        variables["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # it talks to itself over loopback
        # What an actor started ends by itself, all of it: vLLM's servers do.
        variables["RAY_kill_child_processes_on_worker_exit"] = "0"
    for name, value in variables.items():
        os.environ.setdefault(name, value)
