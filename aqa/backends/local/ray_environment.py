"""Set the environment variables that Ray reads when imported."""

import os
import secrets
from importlib.util import find_spec

from aqa.errors import MissingExtraError


def prepare_ray() -> None:
    """Keep a Ray started here from reporting usage and obeying others; call before importing it.

    Its ports are open to other machines, and whoever reaches one may run programs. The user's own
    settings stay, and a running cluster has its own rules.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("ray", "ray")
    variables = {"RAY_USAGE_STATS_ENABLED": "0"}
    if "RAY_ADDRESS" not in os.environ:
        variables |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        variables["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # keeps it on loopback
        # Child processes of an actor, vLLM's servers, end by themselves.
        variables["RAY_kill_child_processes_on_worker_exit"] = "0"
        # A busy machine may take longer than a minute to start one, which would be started again.
        variables["RAY_worker_register_timeout_seconds"] = "1800"
    for name, value in variables.items():
        os.environ.setdefault(name, value)
