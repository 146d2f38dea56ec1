"""Fine-tune a LoRA adapter over a (4-bit) causal model; compute logits only for labels."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from datasets import Dataset

from aqa.backends.llama_qlora.adapters import read_adapter
from aqa.backends.llama_qlora.fresh_adapters import (
    add_adapter,
    beyond_beginning,
    check_readable,
    trained_weights,
)
from aqa.backends.llama_qlora.models import save_attention_memory
from aqa.backends.llama_qlora.prefill import logits_at
from aqa.backends.llama_qlora.prefixes import forget_lengths, steady_length
from aqa.backends.local.devices import sharded_by
from aqa.backends.local.reader import LocalReader
from aqa.backends.local.sharding import Calls, gather_weights
from aqa.backends.local.trainer import AnswerTrainer
from aqa.backends.local.training_batches import Batch, Collator, PackingCollator
from aqa.config.backend_options import LlamaQloraOptions
from aqa.processes import is_first_process
from aqa.runs.names import ADAPTER

# Plain attention, which trains faster on a CPU, needs memory quadratic in the length: at 512 tokens
# 3.8 GB more than PyTorch's.
PLAIN_ATTENTION_LENGTH = 256


def answer_loss(
    model: Any, inputs: Batch, label_smoothing: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the summed cross-entropy over the answers' tokens, and their number.

    Logits are computed only for labels: those of a whole batch are often its largest tensor, rows *
    length * vocabulary in float32. Padding is on the right, where no token sees it, so there is no
    mask, which would keep attention from its fastest kernel.
    """
    rows, positions = inputs["label_positions"]
    first, *others = _logits(model, inputs)
    logits = torch.cat([first, *others]) if others else first
    targets = inputs["labels"][rows, positions + 1]
    loss = torch.nn.functional.cross_entropy(
        logits.float(), targets, reduction="sum", label_smoothing=label_smoothing
    )
    return loss, torch.tensor(len(targets), device=loss.device)


def _logits(model: Any, inputs: Batch) -> Iterator[torch.Tensor]:
    """Yield the labels' logits: all at once, or by row if other rows would change positions.

    Sharded weights always use one call, since processes must call the model equally often.
    """
    unwrapped = getattr(model, "module", model)  # unwrap DistributedDataParallel
    (rows, positions), ids = inputs["label_positions"], inputs["input_ids"]
    if ids.shape[1] <= steady_length(unwrapped.config) or "position_ids" in inputs or sharded_by():
        read = {key: inputs[key] for key in ("input_ids", "position_ids") if key in inputs}
        with logits_at(unwrapped, rows, positions):
            yield model(**read, use_cache=False).logits[0]
        return
    for number, length in enumerate(inputs["attention_mask"].sum(1).tolist()):
        columns = positions[rows == number]
        forget_lengths(unwrapped)
        with logits_at(unwrapped, torch.zeros_like(columns), columns):
            yield model(input_ids=ids[number : number + 1, :length], use_cache=False).logits[0]


class AdapterTrainer(AnswerTrainer):
    """Trains and saves only the adapter."""

    folder_name: ClassVar[str] = ADAPTER
    make_collator: type[Collator] = Collator
    answer_loss: ClassVar[Any] = staticmethod(answer_loss)
    _begun: dict[str, torch.Tensor] | None = None  # the initial weights of a PiSSA adapter, by name

    def prepare(self, reader: LocalReader[LlamaQloraOptions], rows: Dataset | None) -> None:
        """Add the adapter to train."""
        options = reader.options
        if reader.config.training.packing:
            self.make_collator = PackingCollator
        longest = max(rows["length"][:]) if rows else 0
        if longest > PLAIN_ATTENTION_LENGTH and options.attn_implementation == "auto":
            save_attention_memory(reader.model)
        reader.model = add_adapter(reader.model, options.lora, reader.files.spec)
        check_readable(reader.model, reader.files.spec)
        config = reader.model.peft_config["default"]
        config.revision = options.revision
        if config.lora_dropout != options.lora.dropout:
            reader.note("LoRA dropout is set to 0: the weights of experts do not support it")
        if options.lora.variant == "pissa":
            trained = trained_weights(reader.model)
            self._begun = {n: weights.detach().cpu().clone() for n, weights in trained.items()}

    def read(self, folder: Path) -> None:
        """Read an adapter's weights into the model's adapter."""
        read_adapter(self.model, folder)

    def calls(self, model: Any) -> Calls:
        """Call the model as a whole."""
        token = torch.zeros(1, 1, dtype=torch.long, device=self.args.device)
        return {"forward": lambda: model(input_ids=token, use_cache=False)}

    def write(self, folder: Path) -> None:
        """Write the adapter; equal weights give equal bytes."""
        weights = gather_weights(self.model, trained_only=True)
        if is_first_process():
            self._write(folder, self.model.peft_config["default"], weights)

    def write_trained(self, folder: Path) -> None:
        """Write the adapter for the original base, even if PiSSA changed it."""
        if self._begun is None:
            super().write_trained(folder)
            return
        weights = gather_weights(self.model, trained_only=True)
        if is_first_process():
            config = self.model.peft_config["default"]
            trained = {n: w.detach() for n, w in (weights or trained_weights(self.model)).items()}
            self._write(folder, *beyond_beginning(config, trained, self._begun))

    def _write(self, folder: Path, config: Any, weights: dict[str, torch.Tensor] | None) -> None:
        for names in ("target_modules", "target_parameters"):
            if isinstance(targets := getattr(config, names), set):
                setattr(config, names, sorted(targets))  # otherwise in arbitrary order
        trained = self.model.peft_config["default"]
        self.model.peft_config["default"] = config
        self.model.save_pretrained(folder, state_dict=weights, save_embedding_layers=False)
        self.model.peft_config["default"] = trained
