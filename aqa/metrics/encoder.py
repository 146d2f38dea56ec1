"""The encoder behind BERTScore, which turns texts into normalised token states."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aqa.errors import ModelError
from aqa.heap import keep_freed_blocks
from aqa.hub import ready_hub
from aqa.library_output import LOADING, quiet
from aqa.runs.files import hash_files

if TYPE_CHECKING:
    from torch import Tensor

CPU_TOKENS = 512  # per batch and thread, including padding; more do not fit into its cache
CUDA_TOKENS = 65_536
MOST_WORKERS = 8  # batches at a time; with more threads, several share a batch
ROWS = 512  # per batch


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text's token states (tokens x width, of length 1), and a flag whether each counts."""

    states: "Tensor"
    counts: "Tensor"

    def to_bytes(self) -> bytes:
        """Serialise as safetensors."""
        from safetensors.torch import save

        return save({"states": self.states, "counts": self.counts})

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Embedded | None":
        """Undo `to_bytes`; None if the bytes are something else."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            return cls(**load(stored))
        except (SafetensorError, TypeError):
            return None


class Encoder:
    """A model and its tokenizer as bert-score loads them, without layers above the compared one."""

    def __init__(self, model: str, num_layers: int | None, bf16: bool) -> None:
        import torch
        import transformers

        keep_freed_blocks()
        self.num_layers = find_layer(model, num_layers)
        self._model, self._tokenizer = _load(model, self.num_layers)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model.to(self._device, torch.bfloat16 if bf16 else torch.float32)
        # bert-score gives the begin and end tokens no weight.
        self._unweighted = {self._tokenizer.sep_token_id, self._tokenizer.cls_token_id}
        # What an embedding depends on besides its text.
        commit = getattr(self._model.config, "_commit_hash", None)
        weights = hash_files(Path(model)) if Path(model).is_dir() else f"{model} {commit}"
        of = f"layer {self.num_layers} bf16 {bf16} transformers {transformers.__version__}"
        self._identity = f"{weights} {of}"

    def key(self, text: str) -> bytes:
        """The cache key of a text's embedding with this model and layer."""
        return hashlib.sha256(f"{self._identity}\n{text}".encode("utf-8", "surrogatepass")).digest()

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[str, Embedded]]:
        """Embed texts in batches of similar length, on a CPU one batch per thread at a time.

        Threads that share a batch wait for each other at every operation, which is slow when other
        processes are running.
        """
        import torch

        ids = self._token_ids(texts)
        order = sorted(range(len(texts)), key=lambda index: len(ids[index]), reverse=True)
        threads = torch.get_num_threads()
        workers = 1 if self._device == "cuda" else min(threads, MOST_WORKERS)
        cores = threads // workers
        room = CUDA_TOKENS if self._device == "cuda" else CPU_TOKENS * cores
        try:
            with ThreadPoolExecutor(workers, "encoder", torch.set_num_threads, (cores,)) as pool:
                batches = [[ids[index] for index in batch] for batch in _batches(order, ids, room)]
                embedded = chain.from_iterable(pool.map(self._embed, batches))
                yield from zip((texts[index] for index in order), embedded, strict=True)
        finally:
            torch.set_num_threads(threads)  # also for threads created later

    def _embed(self, batch: Sequence[Sequence[int]]) -> list[Embedded]:
        import torch

        lengths = [len(row) for row in batch]
        padding = self._tokenizer.pad_token_id or 0
        rows = [[*row, *[padding] * (lengths[0] - len(row))] for row in batch]
        mask = torch.arange(lengths[0]) < torch.tensor(lengths)[:, None]
        with torch.inference_mode():
            states = self._model(
                torch.tensor(rows, device=self._device), attention_mask=mask.long().to(self._device)
            )[0].float()
            states = (states / states.norm(dim=-1, keepdim=True)).cpu()
        return [
            Embedded(
                states[:length].clone(), torch.tensor([t not in self._unweighted for t in row])
            )
            for row, states, length in zip(batch, states, lengths, strict=True)
        ]

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        from bert_score.utils import sent_encode
        from transformers import GPT2Tokenizer, RobertaTokenizer

        if isinstance(self._tokenizer, GPT2Tokenizer | RobertaTokenizer):
            return [list(sent_encode(self._tokenizer, text)) for text in texts]
        if not texts:
            return []
        encoded: list[list[int]] = self._tokenizer(
            [text.strip() for text in texts],
            max_length=self._tokenizer.model_max_length,
            truncation=True,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        return encoded


def match(pairs: Sequence[tuple[Embedded, Embedded]]) -> list[float]:
    """BERTScore's F1 of (prediction, reference): each token is matched with its most similar one.

    Zhang et al. (2020), "BERTScore", section 3, without idf weights. A token dissimilar to all
    others scores 0, never less, as in bert-score whenever its batches are padded.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    device = "cuda" if torch.cuda.is_available() else "cpu"
    lengths = [(len(a.counts), len(b.counts)) for a, b in pairs]
    order = sorted(range(len(pairs)), key=lambda index: max(lengths[index]))
    values = [0.0] * len(pairs)
    for start in range(0, len(order), ROWS):
        indices = order[start : start + ROWS]
        sides, weights, masks = [], [], []
        for side in (0, 1):
            texts = [pairs[index][side] for index in indices]
            sides.append(pad_sequence([text.states for text in texts], batch_first=True).to(device))
            counts = pad_sequence([text.counts for text in texts], batch_first=True).to(device)
            weights.append(counts.float() / counts.sum(dim=1, keepdim=True).clamp(min=1))
            sizes = torch.tensor([lengths[index][side] for index in indices], device=device)
            masks.append(torch.arange(counts.shape[1], device=device) < sizes[:, None])
        likeness = torch.bmm(sides[0], sides[1].transpose(1, 2))
        likeness *= masks[0][:, :, None] & masks[1][:, None, :]
        precision, recall = likeness.amax(2).clamp(min=0), likeness.amax(1).clamp(min=0)
        p, r = (precision * weights[0]).sum(1), (recall * weights[1]).sum(1)
        f1 = torch.where(p + r == 0, 0.0, 2 * p * r / (p + r))
        for index, value in zip(indices, f1.tolist(), strict=True):
            values[index] = value
    return values


def find_layer(model: str, num_layers: int | None) -> int:
    """Return the layer to compare: the one asked for, or bert-score's choice for the model."""
    from bert_score.utils import model2layers

    layer: int | None = model2layers.get(model) if num_layers is None else num_layers
    if layer is None:
        absent = "" if Path(model).exists() else f"there is no folder {model}"
        if absent and (model.count("/") > 1 or model.startswith((".", "/", "~"))):
            raise ModelError(f"bertscore: {absent}; check the path")
        raise ModelError(
            f"{absent}{', and ' * bool(absent)}bertscore does not know which layer of {model} to"
            " compare: give the number of layers with --bert-num-layers (evaluation.bert_num_layers"
            " in a config), such as 9 for an encoder of 12"
        )
    return layer


def _load(model: str, num_layers: int) -> tuple[Any, Any]:
    from bert_score.utils import get_model, get_tokenizer

    if not Path(model).exists():
        ready_hub()
    try:
        with LOADING, quiet():
            _check_whole(model)
            tokenizer = get_tokenizer(model)
            encoder = get_model(model, num_layers)
    except AssertionError as error:  # raised by bert-score for a bad layer
        raise ModelError(f"bertscore can't use {model}: {error}.") from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"bertscore can't load the model {model}: give a local folder, or a model on the hub "
            f"while the hub can be reached ({str(error).splitlines()[0]})"
        ) from error
    longest = getattr(encoder.config, "max_position_embeddings", None)
    if longest and tokenizer.model_max_length > longest:  # a local folder that does not set it
        tokenizer.model_max_length = longest - 2  # RoBERTa reserves its first two positions
    return encoder, tokenizer


def _check_whole(model: str) -> None:
    """Check that the files contain all weights that bert-score loads: others would be random.

    bert-score loads anything with "t5" in its name or path as a T5.
    """
    from transformers import AutoModel, T5EncoderModel

    if model.startswith("scibert"):  # bert-score has its own files for these
        return
    kind: Any = T5EncoderModel if "t5" in model else AutoModel
    shapes, report = kind.from_pretrained(model, output_loading_info=True, device_map="meta")
    weights = {name for name, _ in shapes.named_parameters() if not name.startswith("pooler.")}
    if absent := sorted(report["missing_keys"] & weights):
        of_t5 = " (for bert-score a T5, as is every path with t5 in it)" * ("t5" in model)
        raise ModelError(
            f"bertscore can't use {model}{of_t5}: {len(absent)} of its weights are not in its files"
            f" ({', '.join(absent[:3])}{', ...' * (len(absent) > 3)}), and random ones would give"
            " random scores"
        )


def _batches(
    order: Sequence[int], ids: Sequence[Sequence[int]], padded_tokens: int
) -> Iterator[list[int]]:
    """Split a sequence, longest first, into batches of at most `padded_tokens`."""
    batch: list[int] = []
    for index in order:
        full = batch and (len(batch) + 1) * len(ids[batch[0]]) > padded_tokens
        if full or len(batch) == ROWS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
