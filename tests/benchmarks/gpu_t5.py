"""Training and prediction of models of flan-t5-base's and flan-t5-xl's shape, with random weights.

Nothing is downloaded: the weights are drawn here, with a tokenizer of single bytes; then everything
goes through aqa: `T5Backend.train` trains rows of 512 tokens in bfloat16 over float32, `generate`
answers in batches.

Operations a row, for E weights in the encoder's matrices and D in the decoder's: 6 E for each token
that is read (8 E with gradient checkpointing) and as many D for each one of the answer. Embeddings,
the output layer and the products within attention are left out, so the fraction of the limit is a
lower bound.

Run on a GPU: python tests/benchmarks/gpu_t5.py --shape base|xl [--peak-tflops 989]
Anywhere:     python tests/benchmarks/gpu_t5.py --quick
"""

import argparse
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from arms import make_parser, print_table
from gpu_llama_8b import ANSWER, WARM_UP, Meter, make_tokenizer, require_gpu

from aqa.backends.base import TrainJob
from aqa.backends.local.training_arguments import checkpoints_gradients
from aqa.backends.t5.backend import T5Backend
from aqa.config.backend_options import T5Options
from aqa.config.load import build_config
from aqa.progress import SilentProgress
from aqa.records import Evidence, Message, Passage, Prompt, Template, TrainStep

SHAPES: dict[str, dict[str, int]] = {
    "small": {"d_model": 64, "d_ff": 128, "num_layers": 2, "num_heads": 4, "d_kv": 16},
    "base": {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12, "d_kv": 64},
    "xl": {"d_model": 2048, "d_ff": 5120, "num_layers": 24, "num_heads": 32, "d_kv": 64},
}
VOCABULARY = 32_128
TEMPLATE = Template("benchmark", (Message("user", "{context}{question}"),), ())


def save_model(folder: Path, shape: dict[str, int]) -> tuple[int, int]:
    """Draw the weights and save them; count those of encoder's and decoder's matrices."""
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


def make_prompts(count: int, length: int, with_target: bool) -> list[Prompt]:
    """Prompts of `length` tokens, their end token among them, with targets of ANSWER."""
    target = "y" * (ANSWER - 1) if with_target else None
    return [
        Prompt(
            str(number),
            number,
            "?",
            Evidence((Passage(f"{number:06d}".ljust(length - 2, "x")),)),
            TEMPLATE,
            target,
        )
        for number in range(count)
    ]


def train(reader: T5Backend, options: argparse.Namespace, folder: Path) -> tuple[float, str]:
    """Train through aqa's own trainer; give rows a second and the peak memory."""
    rows = options.steps * options.batch
    prompts = make_prompts(rows, options.length, with_target=True)
    assert reader.length(prompts[0]) == options.length
    meter, times = Meter(), []

    def on_step(step: TrainStep) -> None:
        if step.loss is not None:
            times.append(meter.now())
            assert step.loss == step.loss, "the loss is not a number"

    meter.reset()
    reader.train(TrainJob(lambda *_: prompts, [], lambda _: {}, folder, resume=False), on_step)
    assert len(times) == options.steps, times
    seconds = [end - start for start, end in pairwise(times[WARM_UP - 1 :])]
    return options.batch / median(seconds), meter.peak()


def predict(reader: T5Backend, options: argparse.Namespace) -> tuple[float, float, str]:
    """Answer prompts in batches; give read and new tokens a second, and the peak memory."""
    meter = Meter()
    prompts = make_prompts(options.questions, options.length, with_target=False)
    list(reader.generate(prompts[:2]))  # warms up
    meter.reset()
    started = meter.now()
    answers = [p for _, p in reader.generate(prompts)]
    seconds = meter.now() - started
    assert not [answer.error for answer in answers if answer.error]
    read = sum(answer.prompt_tokens for answer in answers)
    written = sum(answer.answer_tokens for answer in answers)
    return read / seconds, written / seconds, meter.peak()


def main() -> None:
    """Measure one shape and print a table."""
    parser = make_parser(__doc__)
    parser.add_argument("--shape", choices=list(SHAPES), default="base")
    parser.add_argument("--steps", type=int, default=12, help="Optimizer steps.")
    parser.add_argument("--length", type=int, default=512, help="Tokens that are read.")
    parser.add_argument("--batch", type=int, default=16, help="Rows of a step.")
    parser.add_argument("--questions", type=int, default=256, help="To answer.")
    parser.add_argument("--new-tokens", type=int, default=16)
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="989: H200, bf16, dense.")
    options = parser.parse_args()
    require_gpu(options.quick)
    if options.quick:
        options.shape, options.steps, options.length, options.batch = "small", 4, 64, 2
        options.questions, options.new_tokens = 4, 4
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = save_model(folder / "base", SHAPES[options.shape])
        measure(folder, weights, options)


def measure(folder: Path, weights: tuple[int, int], options: argparse.Namespace) -> None:
    """Train, predict, and compare with the limit."""
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
    rows, train_peak = train(reader, options, folder)
    read, written, predict_peak = predict(reader, options)
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
