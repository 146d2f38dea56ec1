"""The rank of this process among several, from the environment of torchrun, accelerate or SLURM."""

import re
from os import environ


def process_rank() -> int:
    """Return this process's number among all, on all machines; 0 for a single process."""
    return int(environ["RANK"]) if process_count() > 1 else 0


def process_count() -> int:
    """Return the number of processes; a RANK without WORLD_SIZE means a single one."""
    if "RANK" not in environ:
        return 1
    return int(environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Return this process's number on its machine, which is that of its GPU."""
    return int(environ.get("LOCAL_RANK", "0"))


def is_first_process() -> bool:
    """Whether this process writes files and shows progress."""
    return process_rank() == 0


def join_slurm_step() -> None:
    """Set torchrun's environment variables for tasks started by `srun`.

    Only a step has SLURM_STEP_NUM_TASKS: the batch script itself is one process, however many
    tasks it starts. If each task has its own GPUs, its first one is number 0.
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
    """Return the first host in SLURM's list, such as gpu[03-05,9],big1."""
    return re.sub(r"^([^,\[]*)(?:\[(\w+)[^\]]*\])?([^,]*).*", r"\1\2\3", hosts)
