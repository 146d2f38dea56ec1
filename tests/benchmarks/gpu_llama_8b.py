"""QLoRA training and prediction with a model of Llama-3.1-8B's shape and random weights.

Nothing is downloaded: the weights are drawn on the device and saved (16 GB on disk), with a
tokenizer made on the spot; then everything goes through aqa itself: `load_model` quantises to NF4
while loading, `LlamaQloraBackend.train` trains on rows of 2,048 tokens, `generate` answers in
batches. Random weights cost as much as trained ones; their answers are meaningless, and hardly ever
end early.

Operations per token, for N weights in the decoder's matrices: 2 N forward, 2 N backward (gradients
of the inputs only, since the base is frozen), and 2 N forward again with gradient checkpointing.
Adapter, embeddings, the output layer (only applied to answers) and the products within attention
(about 4 % of 2 N at 2,048 tokens) are not counted, so the fraction of the peak is a lower bound.

Run on a GPU: python tests/benchmarks/gpu_llama_8b.py [--steps 12] [--peak-tflops 989]
Anywhere:     python tests/benchmarks/gpu_llama_8b.py --quick
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from arms import Parser, print_table

from aqa.backends.base import Trainable, TrainJob
from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.local.memory import free_memory
from aqa.config.backend_options import LlamaQloraOptions, LocalModelOptions
from aqa.config.load import build_config, find_config, read_config
from aqa.config.options import RunConfig
from aqa.progress import SilentProgress
from aqa.records import Evidence, Message, Passage, Prompt, Template, TrainStep

LLAMA_8B: dict[str, Any] = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
# The same proportions, to try this script on a CPU.
SMALL = {
    **LLAMA_8B,
    "hidden_size": 256,
    "intermediate_size": 896,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 4096,
}
Reader = Trainable[LocalModelOptions]
Size = tuple[int, int]  # usual, and with --quick

WARM_UP = 2  # uncounted steps, in which kernels are chosen and memory is allocated
NO_GPU = "there is no GPU here, so the figures say nothing"
ANSWER = 16  # tokens in each row's answer
TEMPLATE = Template(
    "benchmark", (Message("system", "{context}"), Message("user", "{question}")), ()
)
CHAT = (
    "{{ bos_token }}{% for message in messages %}<|start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def save_model(folder: Path, shape: Mapping[str, Any]) -> int:
    """Draw the weights and save them with config and tokenizer; count the decoder's matrices."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(**shape, bos_token_id=0, eos_token_id=1, pad_token_id=2)
    torch.manual_seed(1)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return sum(p.numel() for n, p in model.named_parameters() if ".layers." in n and p.dim() > 1)


def make_tokenizer() -> Any:
    """A byte tokenizer: an ASCII text has as many tokens as letters."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    special = ["<|begin|>", "<|end|>", "<|pad|>", "<|start|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|start|>"],
        chat_template=CHAT,
        clean_up_tokenization_spaces=False,
    )


def make_prompts(
    reader: Reader, count: int, length: int, with_target: bool, template: Template = TEMPLATE
) -> list[Prompt]:
    """Make prompts of exactly `length` tokens, for a causal model including the target."""

    def make(number: int, letters: int) -> Prompt:
        passage = Passage(f"{number:06d}".ljust(letters, "x"))
        target = "y" * (ANSWER - 1) if with_target else None
        return Prompt(str(number), number, "?", Evidence((passage,)), template, target)

    def tokens(prompt: Prompt) -> int:
        encoding = reader.encode(prompt)
        written = encoding.target_ids if isinstance(reader, LlamaQloraBackend) else ()
        return len(encoding.prompt_ids) + len(written)

    letters = length - (tokens(make(0, 100)) - 100)
    prompts = [make(number, letters) for number in range(count)]
    assert {tokens(prompt) for prompt in prompts} == {length}
    return prompts


class Meter:
    """Measures time and memory on the device."""

    def __init__(self) -> None:
        self.cuda = torch.cuda.is_available()

    @property
    def device(self) -> str:
        """The name of the GPU, or that there is none."""
        name: str = torch.cuda.get_device_name() if self.cuda else NO_GPU
        return name

    def reset(self) -> None:
        """Reset the peak."""
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()

    def now(self) -> float:
        """The time in seconds, after the device has finished its work."""
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def peak(self) -> str:
        """The peak memory of the GPU, or of this process (including drawing the weights)."""
        if self.cuda:
            return f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB"
        import resource

        return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9:.2f} GB of RAM"


def require_gpu(quick: bool) -> None:
    """Exit if there is no GPU to measure, unless `quick`."""
    if not quick and not torch.cuda.is_available():
        sys.exit("there is no GPU here; run this on one, or give --quick to try the script out")


def make_parser(description: str | None, length: int, batch: int, **sizes: Size) -> Parser:
    """Make the parser: steps, tokens per row, rows per step, questions, answers."""
    rows = {"steps": (12, 4), "length": (length, 128), "batch": (batch, 2), **sizes}
    parser = Parser(description, **rows)
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="989: H200, bf16, dense.")
    return parser


def train(reader: Reader, prompts: Sequence[Prompt], batch: int, folder: Path) -> tuple[float, str]:
    """Train with aqa's own trainer; return rows per second and the peak memory."""
    meter, times = Meter(), []

    def on_step(step: TrainStep) -> None:
        if step.loss is not None:
            times.append(meter.now())
            assert step.loss == step.loss, "the loss is not a number"

    meter.reset()
    job = TrainJob(lambda *_: prompts, [], lambda predictions: {}, folder, resume=False)
    reader.train(job, on_step)
    assert len(times) * batch == len(prompts), times
    seconds = [end - start for start, end in pairwise(times[WARM_UP - 1 :])]
    return batch / median(seconds), meter.peak()


def predict(reader: Reader, prompts: Sequence[Prompt]) -> tuple[float, float, str]:
    """Answer prompts in batches; return prompt and new tokens per second, and the peak memory."""
    meter = Meter()
    list(reader.generate(prompts[:2]))  # warms up
    meter.reset()
    started = meter.now()
    answers = [p for _, p in reader.generate(prompts)]
    seconds = meter.now() - started
    assert not [answer.error for answer in answers if answer.error]
    read, written = (
        sum(getattr(answer, kind) for answer in answers)
        for kind in ("prompt_tokens", "answer_tokens")
    )
    return read / seconds, written / seconds, meter.peak()


def make_config(folder: Path, options: argparse.Namespace) -> RunConfig:
    """The built-in config of Llama-3.1-8B, for the model made here."""
    layers = {
        "backend": {"model": str(folder), "max_seq_length": options.length + 128},
        "training": {
            "num_train_epochs": 1,
            "warmup_steps": 2,
            "per_device_train_batch_size": options.batch,
            "gradient_accumulation_steps": 1,
            "gradient_checkpointing": options.gradient_checkpointing,
            "eval_strategy": "no",
            "evaluate_before": False,
        },
        "generation": {"max_new_tokens": options.new_tokens},
    }
    return build_config(LlamaQloraOptions, [read_config(find_config("llama_3_1_8b")), layers])


def main() -> None:
    parser = make_parser(__doc__, 2048, 4, questions=(64, 4), new_tokens=(64, 4))
    parser.add_argument("--gradient-checkpointing", choices=["auto", "on", "off"], default="auto")
    parser.add_argument("--folder", type=Path, help="Where 16 GB fit; a temporary folder.")
    options = parser.parse_args()
    require_gpu(options.quick)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(Path(folder), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    started = time.perf_counter()
    weights = save_model(folder / "base", SMALL if options.quick else LLAMA_8B)
    free_memory()
    print(
        f"{weights:,} weights in the decoder's matrices,"
        f" drawn in {time.perf_counter() - started:.0f} s"
    )
    reader = LlamaQloraBackend(make_config(folder / "base", options), SilentProgress())
    rows = make_prompts(reader, options.steps * options.batch, options.length, with_target=True)
    trained, train_peak = train(reader, rows, options.batch, folder)
    trained *= options.length
    from aqa.backends.local.training_arguments import checkpoints_gradients

    passes = 3 if checkpoints_gradients(reader.config.training) else 2
    reader.model.eval()
    free_memory()  # free the trainer and its optimizer before measuring prediction's peak
    asked = make_prompts(reader, options.questions, options.length, with_target=False)
    read, written, predict_peak = predict(reader, asked)
    limit = options.peak_tflops * 1e12 / (2 * passes * weights)
    print_table(
        [
            ["", "tokens/s", "peak memory", "of the limit"],
            ["training", f"{trained:,.0f}", train_peak, f"{trained / limit:.1%}"],
            ["prediction, read", f"{read:,.0f}", predict_peak, ""],
            ["prediction, written", f"{written:,.0f}", "", ""],
        ]
    )
    print(
        f"{Meter().device}; batches of {options.batch} x {options.length} tokens; limit"
        f" {limit:,.0f} tokens/s = {options.peak_tflops:g} TFLOP/s"
        f" / ({2 * passes} x {weights:,}), checkpointing {'on' if passes == 3 else 'off'}"
    )
    print(f"training / physical limit: {trained / limit:.3f} (target: none set; report it)")


if __name__ == "__main__":
    main()
