"""DeepSpeed with gloo: its own exchange between CPUs takes minutes to compile.

Run: a launcher, such as accelerate's, then deepspeed_on_cpus.py ARGUMENTS-OF-AQA
"""

import sys

import killed_processes


def leave_out_shared_memory() -> None:
    """Make DeepSpeed find nothing that it could compile for its collectives."""
    import deepspeed

    deepspeed.ops.__compatible_ops__ = {}


def aqa(*words: str) -> None:
    """Run `aqa`."""
    from aqa.__main__ import main

    leave_out_shared_memory()
    sys.argv = ["aqa", *words]
    main()


def killed(*words: str) -> None:
    """The same, but all processes are killed (`kill -9`) after two steps."""
    leave_out_shared_memory()
    killed_processes.main(2, *words)


if __name__ == "__main__":
    aqa(*sys.argv[1:])
