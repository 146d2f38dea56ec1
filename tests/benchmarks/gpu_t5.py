"""Training and prediction with models of flan-t5-base's and flan-t5-xl's shape, random weights.

Nothing is downloaded: the weights are drawn here, with a byte tokenizer; then everything goes
through aqa: `T5Backend.train` trains on rows of 512 tokens in bfloat16 over float32, `generate`
answers in batches.

Operations per row, for E weights in the encoder's matrices and D in the decoder's: 6 E for each
input token (8 E with gradient checkpointing), and as many D for each answer token. Embeddings, the
output layer and the products within attention are not counted, so the fraction of the peak is a
lower bound.

Run on a GPU: python tests/benchmarks/gpu_t5.py --shape base|xl [--peak-tflops 989]
Anywhere:     python tests/benchmarks/gpu_t5.py --quick
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from arms import print_table
from gpu_llama_8b import (
    ANSWER,
    Meter,
    make_parser,
    make_prompts,
    make_tokenizer,
    predict,
    require_gpu,
    train,
)

from aqa.backends.local.training_arguments import checkpoints_gradients
from aqa.backends.t5.backend import T5Backend
from aqa.config.backend_options import T5Options
from aqa.config.load import build_config
from aqa.progress import SilentProgress
from aqa.records import Message, Template

SHAPES: dict[str, dict[str, int]] = {
    "small": {"d_model": 64, "d_ff": 128, "num_layers": 2, "num_heads": 4, "d_kv": 16},
    "base": {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12, "d_kv": 64},
    "xl": {"d_model": 2048, "d_ff": 5120, "num_layers": 24, "num_heads": 32, "d_kv": 64},
}
VOCABULARY = 32_128
TEMPLATE = Template("benchmark", (Message("user", "{context}{question}"),), ())


def save_model(folder: Path, shape: dict[str, int]) -> tuple[int, int]:
    """Draw the weights and save them; count those in the encoder's and decoder's matrices."""
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = make_tokenizer()
    config = T5Config(
        vocab_size=VOCABULARY,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        initializer_factor=0.05,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
        **shape,
    )
    torch.manual_seed(1)
    model = T5ForConditionalGeneration(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    encoder, decoder = (
        sum(p.numel() for n, p in part.named_parameters() if "block" in n and p.dim() > 1)
        for part in (model.encoder, model.decoder)
    )
    return encoder, decoder


def main() -> None:
    """Measure one shape and print a table."""
    parser = make_parser(__doc__, 512, 16, questions=(256, 4), new_tokens=(16, 4))
    parser.add_argument("--shape", choices=list(SHAPES), default="base")
    options = parser.parse_args()
    require_gpu(options.quick)
    options.shape = "small" if options.quick else options.shape
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = save_model(folder / "base", SHAPES[options.shape])
        measure(folder, weights, options)


def measure(folder: Path, weights: tuple[int, int], options: argparse.Namespace) -> None:
    """Train, predict, and compare with the peak."""
    training: dict[str, Any] = {
        "num_train_epochs": 1,
        "warmup_steps": 2,
        "per_device_train_batch_size": options.batch,
        "eval_strategy": "no",
        "evaluate_before": False,
    }
    layers: dict[str, Any] = {
        "backend": {"model": str(folder / "base"), "max_seq_length": options.length},
        "training": training,
        "generation": {"max_new_tokens": options.new_tokens},
    }
    reader = T5Backend(build_config(T5Options, [layers]), SilentProgress())
    prompts = make_prompts(reader, options.steps * options.batch, options.length, True, TEMPLATE)
    rows, train_peak = train(reader, prompts, options.batch, folder)
    asked = make_prompts(reader, options.questions, options.length, False, TEMPLATE)
    read, written, predict_peak = predict(reader, asked)
    encoder, decoder = weights
    passes = 8 if checkpoints_gradients(reader.config.training) else 6
    operations = passes * (encoder * options.length + decoder * ANSWER)
    limit = options.peak_tflops * 1e12 / operations
    print_table(
        [
            ["", "a second", "peak memory", "of the limit"],
            ["training, rows", f"{rows:,.1f}", train_peak, f"{rows / limit:.1%}"],
            ["training, tokens read", f"{rows * options.length:,.0f}", "", ""],
            ["prediction, tokens read", f"{read:,.0f}", predict_peak, ""],
            ["prediction, tokens written", f"{written:,.0f}", "", ""],
        ]
    )
    print(
        f"{Meter().device}; {options.shape}: {encoder:,} and {decoder:,} weights; batches of"
        f" {options.batch} x {options.length}; limit {limit:,.0f} rows/s"
    )


if __name__ == "__main__":
    main()
