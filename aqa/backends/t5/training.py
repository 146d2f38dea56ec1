"""Fine-tune all weights of an encoder-decoder; with fid, gradients flow into all passages."""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch
from datasets import Dataset
from torch.distributed.fsdp import register_fsdp_forward_method

from aqa.backends.local.batches import pad_right
from aqa.backends.local.devices import compute_dtype
from aqa.backends.local.loading import load_whole
from aqa.backends.local.reader import LocalReader
from aqa.backends.local.sharding import Calls, gather_weights, shard_like
from aqa.backends.local.trainer import AnswerTrainer
from aqa.backends.local.training_batches import IGNORED, Batch, Collator
from aqa.backends.model_files import ModelFiles
from aqa.backends.t5.fusion import ENCODE, decode, encode, lay_side_by_side
from aqa.processes import is_first_process
from aqa.runs.names import MODEL


def answer_loss(
    model: Any, inputs: Batch, label_smoothing: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the summed cross-entropy over the answers' tokens, and their number."""
    unwrapped = getattr(model, "module", model)  # unwrap DistributedDataParallel
    states, mask = lay_side_by_side(
        encode(unwrapped, inputs["input_ids"], inputs["attention_mask"]),
        inputs["attention_mask"],
        inputs["part_counts"].tolist(),
    )
    labels = inputs["labels"]
    decoder_ids = shifted(labels, unwrapped.generation_config.decoder_start_token_id)
    logits = decode(model, states, mask, decoder_ids)
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(),
        labels.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return loss, (labels != IGNORED).sum()


def shifted(labels: torch.Tensor, first: int) -> torch.Tensor:
    """Return the decoder inputs for the labels, starting with the `first` token of prediction.

    Models' own shifts differ: mBART's starts with a token other than that of its prediction.
    """
    begun = torch.nn.functional.pad(labels[:, :-1], (1, 0), value=first)
    return begun.masked_fill(begun == IGNORED, first)


class Seq2SeqCollator(Collator):
    """Right-pads the input parts and the answers to the longest of their batch.

    `part_counts` says how many consecutive parts belong to each row.
    """

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return tensors of shape (parts, longest part) and (rows, longest answer)."""
        parts: list[list[int]] = []
        for row in rows:
            ids = iter(row["input_ids"])
            parts += [list(islice(ids, length)) for length in row["part_lengths"]]
            self.tokens += row["length"]
        ids, mask = pad_right(parts)
        targets = [row["input_ids"][row["prompt_length"] :] or [IGNORED] for row in rows]
        labels, _ = pad_right(targets, filling=IGNORED)
        counts = torch.tensor([len(row["part_lengths"]) for row in rows])
        return {"input_ids": ids, "attention_mask": mask, "part_counts": counts, "labels": labels}


class Seq2SeqTrainer(AnswerTrainer):
    """Trains and saves all weights."""

    folder_name: ClassVar[str] = MODEL
    make_collator: type[Collator] = Seq2SeqCollator
    answer_loss: ClassVar[Any] = staticmethod(answer_loss)

    def prepare(self, reader: LocalReader, rows: Dataset | None) -> None:
        """Remember the model's class before the model is wrapped."""
        self._kind = type(reader.model)

    def read(self, folder: Path) -> None:
        """Read the weights, which some families save under other names."""
        stored = load_whole(self._kind, ModelFiles(str(folder), str(folder)))
        weights = self.model.state_dict()
        self.model.load_state_dict(shard_like(weights, stored.state_dict()))

    def calls(self, model: Any) -> Calls:
        """Call the encoder separately, and the decoder through the whole model."""
        token = torch.ones(1, 1, dtype=torch.long, device=self.args.device)
        states = torch.zeros(1, 1, model.config.d_model, device=self.args.device)
        setattr(model, ENCODE, lambda **inputs: model.get_encoder()(**inputs))
        register_fsdp_forward_method(model, ENCODE)
        return {
            ENCODE: lambda: getattr(model, ENCODE)(input_ids=token, attention_mask=token),
            "forward": lambda: decode(model, states, token, token),
        }

    def write(self, folder: Path) -> None:
        """Write the weights."""
        weights = gather_weights(self.model, trained_only=False)
        if is_first_process():
            self.model.save_pretrained(folder, state_dict=weights)

    def write_trained(self, folder: Path) -> None:
        """Write the weights and the tokenizer."""
        self.write(folder)
        if is_first_process():
            self._reader.save_tokenizer(folder)

    def settle(self) -> None:
        """Convert the model to what is loaded for prediction."""
        if not self._reader.is_sharded:
            self.model.to(compute_dtype(self._reader.options))
        super().settle()
