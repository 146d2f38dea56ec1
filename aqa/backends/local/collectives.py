"""What the processes of one training tell each other; nothing to do where there is only one."""

from collections.abc import Iterable, Iterator
from itertools import islice

import torch.distributed as distributed

from aqa.processes import process_count, process_rank
from aqa.records import Prediction, Prompt


def any_process(flag: bool) -> bool:
    """Whether the flag is up in any process; all must ask at the same place."""
    if not distributed.is_initialized():
        return flag
    flags: list[bool] = [False] * process_count()
    distributed.all_gather_object(flags, flag)
    return any(flags)


def share_of(prompts: Iterable[Prompt]) -> Iterator[Prompt]:
    """The prompts that this process answers: every n-th, beginning with its own number."""
    return islice(prompts, process_rank(), None, process_count())


def gather_answers(
    prompts: Iterable[Prompt], answers: Iterable[tuple[Prompt, Prediction]]
) -> Iterator[tuple[Prompt, Prediction]]:
    """The answers of all processes to the prompts, in every one of them."""
    mine = [answer for _, answer in answers]  # all know the prompts
    shares = [mine]
    if distributed.is_initialized():
        shares = [[] for _ in range(process_count())]
        distributed.all_gather_object(shares, mine)
    by_id = {prompt.id: prompt for prompt in prompts}
    return ((by_id[answer.id], answer) for share in shares for answer in share)
