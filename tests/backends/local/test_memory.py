"""Work that runs out of memory continues with smaller batches, and remembers what fits."""

from collections.abc import Iterator, Sequence

import pytest
import torch

from aqa.backends.local.memory import TokenBudget, within
from aqa.backends.model_errors import is_out_of_memory


def test_what_was_done_is_not_done_again_and_what_fits_is_remembered() -> None:
    """At most 20 tokens fit; "big" never fits."""
    worked: list[str] = []
    tried: list[int] = []
    notes: list[str] = []

    def work(batch: Sequence[str]) -> Iterator[str]:
        tried.append(len(batch))
        for place, item in enumerate(batch):
            if item == "big" or (place == 1 and len(batch) > 2):
                raise MemoryError
            worked.append(item)
            yield item.upper()

    def tokens(item: str) -> int:
        return 10

    room = TokenBudget(1000, notes.append)
    items = ["a", "b", "c", "d", "big", "e", "f", "g"]
    found = list(within(room, [items], tokens, work, lambda item: f"no {item}"))
    assert found == ["A", "B", "C", "D", "no big", "E", "F", "G"]
    assert worked == ["a", "b", "c", "d", "e", "f", "g"]
    assert notes[0] == "out of memory with 7 prompts: half as many at a time from now on"
    tried.clear()
    assert len(list(within(room, [["h", "i", "j", "k"]], tokens, work, str))) == 4
    assert max(tried) <= 2, "what did not fit before is not tried again"


def test_one_that_never_fits_does_not_make_the_others_fewer() -> None:
    tried: list[int] = []

    def work(batch: Sequence[str]) -> list[str]:
        tried.append(len(batch))
        if "big" in batch:
            raise torch.OutOfMemoryError
        return list(batch)

    groups = [["big", *"abcdefg"], [*"hijklmno"]]
    found = list(within(TokenBudget(80, print), groups, lambda _: 10, work, str.upper))
    assert found == ["BIG", *"abcdefghijklmno"]
    assert tried == [8, 4, 2, 1, 7, 8]


def test_other_errors_are_raised() -> None:
    def work(batch: Sequence[int]) -> Iterator[int]:
        yield 1
        raise RuntimeError("shapes do not fit")

    found = within(TokenBudget(10, print), [[1, 2]], int, work, lambda item: item)
    assert next(found) == 1
    with pytest.raises(RuntimeError, match="shapes"):
        next(found)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED"), False),
        (ValueError("no"), False),
    ],
)
def test_what_tells_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def test_no_process_tries_again_where_others_wait_for_it() -> None:
    room = TokenBudget(8, note=lambda _: None, alone=False)

    def work(batch: Sequence[int]) -> list[int]:
        raise MemoryError

    with pytest.raises(MemoryError):
        list(within(room, [[1, 2]], lambda tokens: tokens, work, lambda item: item))
