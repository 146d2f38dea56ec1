"""Which of several processes this one is: torchrun, accelerate or SLURM tell in the environment."""

import re
from os import environ


def process_rank() -> int:
    """The number of this process among all, over all machines; 0 where there is only one."""
    return int(environ["RANK"]) if process_count() > 1 else 0


def process_count() -> int:
    """How many processes work together; torchrun sets both, and a stray RANK makes no group."""
    if "RANK" not in environ:
        return 1
    return int(environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """The number of this process on its machine: that of its GPU."""
    return int(environ.get("LOCAL_RANK", "0"))


def is_first_process() -> bool:
    """Whether this is the one that writes files and shows progress."""
    return process_rank() == 0


def join_slurm_step() -> None:
    """Tell of the tasks that `srun` started as torchrun tells of its processes.

    Only a step has SLURM_STEP_NUM_TASKS: the batch script itself is one process, however many
    tasks it may start. Where each task is given GPUs of its own, its first one is number 0.
    """
    count = int(environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if count == 1 or process_count() > 1 or "TORCHELASTIC_RUN_ID" in environ:
        return
    own_gpus = "SLURM_GPUS_PER_TASK" in environ or environ.get("CUDA_VISIBLE_DEVICES", "").isdigit()
    environ["RANK"] = environ["SLURM_PROCID"]
    environ["WORLD_SIZE"] = str(count)
    environ["LOCAL_RANK"] = "0" if own_gpus else environ.get("SLURM_LOCALID", "0")
    environ.setdefault("MASTER_ADDR", first_host(environ.get("SLURM_STEP_NODELIST", "localhost")))
    environ.setdefault("MASTER_PORT", str(20_000 + int(environ.get("SLURM_JOB_ID", "0")) % 10_000))


def first_host(hosts: str) -> str:
    """The first of SLURM's list of machines, such as gpu[03-05,9],big1."""
    return re.sub(r"^([^,\[]*)(?:\[(\w+)[^\]]*\])?([^,]*).*", r"\1\2\3", hosts)
