"""The order of rows to train on, and batches of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from aqa.backends.local.batches import pad_right
from aqa.records import Encoding

IGNORED = -100  # the label that PyTorch's cross-entropy leaves out

Batch = Mapping[str, torch.Tensor]


class EpochSampler(Sampler[int]):
    """Gives row numbers in an order that depends on seed and epoch alone.

    So a resumed run goes on with the order that the interrupted one had, whatever random numbers
    were drawn in between. With `grouped`, batches hold rows of like length. With `examples`, the
    number of each row's example, an epoch takes one row of each example, drawn anew.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        seed: int,
        grouped: bool,
        examples: Sequence[int] | None = None,
    ) -> None:
        self._lengths = list(lengths)
        alike: dict[int, list[int]] = {}
        for row, example in enumerate(range(len(lengths)) if examples is None else examples):
            alike.setdefault(example, []).append(row)
        self._choices = list(alike.values())
        self._batch_size = batch_size
        self._seed = seed
        self._grouped = grouped
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._choices)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        rows = [self._draw(choice, generator) for choice in self._choices]
        if self._grouped:
            lengths = [self._lengths[row] for row in rows]
            order = get_length_grouped_indices(lengths, self._batch_size, generator=generator)
        else:
            order = torch.randperm(len(rows), generator=generator).tolist()
        return iter([rows[place] for place in order])

    @staticmethod
    def _draw(rows: Sequence[int], generator: torch.Generator) -> int:
        if len(rows) == 1:
            return rows[0]
        return rows[int(torch.randint(len(rows), (), generator=generator))]


class Collator:
    """Pads rows to the longest of their batch, on the right; labels are the answers alone.

    `label_places` are the places whose logits predict a label: rows, and positions in them.
    `tokens` counts the tokens that went by, padding left out.
    """

    tokens = 0

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Give tensors of shape (rows, longest)."""
        ids, mask = pad_right([row["input_ids"] for row in rows])
        starts = torch.tensor([row["prompt_length"] for row in rows])[:, None]
        learnt = mask.bool() & (torch.arange(ids.shape[1]) >= starts)
        labels = ids.masked_fill(~learnt, IGNORED)
        self.tokens += int(mask.sum())
        places = (labels[:, 1:] != IGNORED).nonzero().T
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "label_places": places,
        }


class PackingCollator(Collator):
    """Lays the rows of a batch one behind the other, so that there is no padding.

    `position_ids` begin anew with each row, by which attention keeps them apart.
    """

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Give tensors of shape (1, tokens of all rows)."""
        ids = torch.tensor([token for row in rows for token in row["input_ids"]])
        positions = torch.cat([torch.arange(row["length"]) for row in rows])
        labels = torch.full_like(ids, IGNORED)
        begun = 0
        for row in rows:
            # What stands before the first token of a row is another one, which predicts nothing.
            start, stop = begun + max(row["prompt_length"], 1), begun + row["length"]
            labels[start:stop] = ids[start:stop]
            begun = stop
        self.tokens += begun
        places = (labels[None, 1:] != IGNORED).nonzero().T
        return {
            "input_ids": ids[None],
            "position_ids": positions[None],
            "labels": labels[None],
            "label_places": places,
        }


def as_row(encoding: Encoding) -> dict[str, Any]:
    """An encoding as the collator takes it."""
    ids = [*encoding.prompt_ids, *encoding.target_ids]
    return {
        "input_ids": ids,
        "prompt_length": len(encoding.prompt_ids),
        "part_lengths": list(encoding.part_lengths),
        "length": len(ids),
    }
