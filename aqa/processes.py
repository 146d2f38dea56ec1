"""Which of several processes this one is; torchrun and accelerate say it in the environment."""

import os


def process_rank() -> int:
    """The number of this process among all, over all machines; 0 where there is only one."""
    return int(os.environ["RANK"]) if process_count() > 1 else 0


def process_count() -> int:
    """How many processes work together; torchrun sets both, and a stray RANK makes no group."""
    if "RANK" not in os.environ:
        return 1
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """The number of this process on its machine: that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def is_first_process() -> bool:
    """Whether this is the one that writes files and shows progress."""
    return process_rank() == 0
