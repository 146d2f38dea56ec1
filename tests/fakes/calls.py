"""The types of the fixtures `call_aqa` and `run_aqa`."""

from collections.abc import Callable
from subprocess import CompletedProcess

Call = Callable[..., CompletedProcess[str]]
