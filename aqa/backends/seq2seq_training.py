"""Fine-tune all weights of an encoder-decoder; with fid, gradients flow into all passages."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutput

from aqa.backend_options import T5Options
from aqa.backends.base import TrainJob
from aqa.backends.fusion import encode, lay_side_by_side, pad_right
from aqa.backends.pretrained import compute_dtype, quiet
from aqa.backends.trainer import (
    AnswerTrainer,
    TrainableReader,
    explained_options,
    run_training,
    save_trained,
    training_rows,
)
from aqa.backends.training_arguments import training_arguments
from aqa.backends.training_rows import IGNORED, Batch
from aqa.records import TrainStep


def train_model(
    reader: TrainableReader, tokenizer: Any, job: TrainJob, on_step: Callable[[TrainStep], None]
) -> Path:
    """Train a model, leave the best weights loaded and give the folder they were saved to.

    Raises:
        ConfigError: an option can't be used.
        DataError: examples have nothing to train on.
        KeyboardInterrupt: the user stopped it; a checkpoint was written.
    """
    with explained_options():
        arguments = training_arguments(reader.config, job)
    rows = training_rows(reader, job, arguments)
    with quiet():
        with explained_options():
            trainer = Seq2SeqTrainer(reader, job, on_step, arguments, rows, Seq2SeqCollator)
        run_training(trainer, job, on_step)

        def save(folder: Path) -> None:
            reader.model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)

        folder = save_trained(job.folder / "model", save)
    options = reader.config.backend
    assert isinstance(options, T5Options)
    reader.model.to(compute_dtype(options)).eval()  # as it is loaded for prediction
    if job.dev:
        trainer.generated_scores(None)
    return folder


def answer_loss(
    model: Any, inputs: Batch, label_smoothing: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed cross-entropy over the answers' tokens, and how many they are."""
    whole = getattr(model, "module", model)  # out of the wrapper that adds up several processes'
    states, mask = lay_side_by_side(
        encode(whole, inputs["input_ids"], inputs["attention_mask"]),
        inputs["attention_mask"],
        inputs["part_counts"].tolist(),
    )
    labels = inputs["labels"]
    logits = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=states),
        attention_mask=mask,
        decoder_input_ids=whole.prepare_decoder_input_ids_from_labels(labels),
        use_cache=False,
    ).logits
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(),
        labels.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return loss, (labels != IGNORED).sum()


class Seq2SeqTrainer(AnswerTrainer):
    """Trains and saves all weights."""

    def answer_loss(
        self, model: Any, inputs: Batch, label_smoothing: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed cross-entropy over the answers' tokens, and how many they are."""
        return answer_loss(model, inputs, label_smoothing)

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        """Write the weights alone: no pickled arguments, no tokenizer."""
        self.model.save_pretrained(output_dir)


class Seq2SeqCollator:
    """Pads the parts that are read, and the answers, to the longest of their batch, on the right.

    `part_counts` tells how many of the parts, one after another, belong to each row. `tokens`
    counts the tokens that went by, padding left out.
    """

    def __init__(self) -> None:
        self.tokens = 0

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Give tensors of shape (parts, longest part) and (rows, longest answer)."""
        parts: list[list[int]] = []
        for row in rows:
            ids = iter(row["input_ids"])
            parts += [list(islice(ids, length)) for length in row["part_lengths"]]
            self.tokens += row["length"]
        ids, mask = pad_right(parts)
        targets = [row["input_ids"][row["prompt_length"] :] for row in rows]
        labels, _ = pad_right(targets, filling=IGNORED)
        counts = torch.tensor([len(row["part_lengths"]) for row in rows])
        return {"input_ids": ids, "attention_mask": mask, "part_counts": counts, "labels": labels}
