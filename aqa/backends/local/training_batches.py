"""Order training rows, and collate them into batches."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset, concatenate_datasets
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from aqa.backends.local.batches import pad_right
from aqa.records import Encoding

IGNORED = -100  # the label that PyTorch's cross-entropy ignores

Batch = Mapping[str, torch.Tensor]


class EpochSampler(Sampler[int]):
    """Yields row numbers in an order that depends only on seed and epoch.

    So a resumed run continues in the interrupted run's order, whatever random numbers were drawn in
    between. `grouped` puts rows of similar length into a batch. `examples` holds each row's example
    number: an epoch then takes one random row per example. An epoch ends with the number of the
    blank row, as often as needed to make a `multiple`.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        seed: int,
        grouped: bool,
        examples: Sequence[int] | None = None,
        multiple: int = 1,
    ) -> None:
        self._lengths = list(lengths)
        alike: dict[int, list[int]] = {}
        for row, example in enumerate(range(len(lengths)) if examples is None else examples):
            alike.setdefault(example, []).append(row)
        self._choices = list(alike.values())
        self._blanks = [len(self._lengths)] * (-len(self._choices) % multiple)
        self._batch_size = batch_size
        self._seed = seed
        self._grouped = grouped
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that determines the order."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._choices) + len(self._blanks)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        rows = [self._draw(choice, generator) for choice in self._choices]
        if self._grouped:
            lengths = [self._lengths[row] for row in rows]
            order = get_length_grouped_indices(lengths, self._batch_size, generator=generator)
        else:
            order = torch.randperm(len(rows), generator=generator).tolist()
        return iter([*(rows[index] for index in order), *self._blanks])

    @staticmethod
    def _draw(rows: Sequence[int], generator: torch.Generator) -> int:
        if len(rows) == 1:
            return rows[0]
        return rows[int(torch.randint(len(rows), (), generator=generator))]


class Collator:
    """Right-pads rows to the longest of their batch; labels cover answers only.

    `label_positions` are the (row, position) indices whose logits predict a label. `tokens` counts
    all tokens so far, without padding.
    """

    tokens = 0

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return tensors of shape (rows, longest)."""
        ids, mask = pad_right([row["input_ids"] for row in rows])
        starts = torch.tensor([row["prompt_length"] for row in rows])[:, None]
        learnt = mask.bool() & (torch.arange(ids.shape[1]) >= starts)
        labels = ids.masked_fill(~learnt, IGNORED)
        self.tokens += int(mask.sum())
        positions = (labels[:, 1:] != IGNORED).nonzero().T
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "label_positions": positions,
        }


class PackingCollator(Collator):
    """Concatenates the rows of a batch, without padding.

    `position_ids` restart with each row, by which attention keeps rows apart.
    """

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return tensors of shape (1, tokens of all rows)."""
        ids = torch.tensor([token for row in rows for token in row["input_ids"]])
        positions = torch.cat([torch.arange(row["length"]) for row in rows])
        labels = torch.full_like(ids, IGNORED)
        begun = 0
        for row in rows:
            # A row's first token is preceded by another row, which does not predict it.
            start, stop = begun + max(row["prompt_length"], 1), begun + row["length"]
            labels[start:stop] = ids[start:stop]
            begun = stop
        self.tokens += begun
        learnt = (labels[None, 1:] != IGNORED).nonzero().T
        return {
            "input_ids": ids[None],
            "position_ids": positions[None],
            "labels": labels[None],
            "label_positions": learnt,
        }


def with_blank(rows: Dataset) -> Dataset:
    """Append a row without labels, which completes the last batches of several processes.

    accelerate would complete them with rows from the epoch's start, learnt twice.
    """
    row = {**as_row(Encoding((0, 0), part_lengths=(2,))), "example": -1}
    return concatenate_datasets([rows, Dataset.from_list([row], features=rows.features)])


def as_row(encoding: Encoding) -> dict[str, Any]:
    """Convert an encoding to a row for the collator."""
    ids = [*encoding.prompt_ids, *encoding.target_ids]
    return {
        "input_ids": ids,
        "prompt_length": len(encoding.prompt_ids),
        "part_lengths": list(encoding.part_lengths),
        "length": len(ids),
    }
