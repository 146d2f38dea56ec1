"""What the fixtures `call_aqa` and `run_aqa` are."""

from collections.abc import Callable
from subprocess import CompletedProcess

Call = Callable[..., CompletedProcess[str]]
