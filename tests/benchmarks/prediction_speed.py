"""Speed of predicting 64 SQuAD questions with a trained SmolLM2: aqa and the usual way.

All arms get the same token ids (whole paragraphs, the built-in prompt) and use the same NF4 base
model and adapter, greedily, for at most 64 new tokens. Loading is not timed; each arm has answered
one batch before, since bitsandbytes repacks weights in its first forward pass.

aqa        LlamaQloraBackend.generate as `aqa predict` calls it, with every default
usual      from_pretrained in NF4 with PeftModel, with these libraries' defaults; `generate` in file
           order, left-padded batches of 5, cache on
no cache   the same with use_cache=False, as in aqa's predecessor: once, on a few questions, next to
           the usual way on the same ones, and scaled by that ratio

Then the greedy answers of aqa and the usual way are compared; with --exact, also in float32, in
which rounding does not break ties.

Run: python tests/benchmarks/prediction_speed.py [--run FOLDER] [--consecutive] [--exact]
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import torch
from arms import (
    Costs,
    Parser,
    interleave,
    load_nf4,
    measure,
    print_table,
    print_verdict,
    ratio,
    run_config,
    save_tiny_llama,
    smollm2_config,
    squad_prompts,
    typical,
)

from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.llama_qlora.fresh_adapters import add_adapter
from aqa.backends.llama_qlora.models import load_model
from aqa.config.options import RunConfig
from aqa.library_output import quiet
from aqa.progress import SilentProgress
from aqa.records import Prompt
from aqa.runs.names import ADAPTER

TARGET = 5.0
SAME_TARGET = 95.0  # per cent
BATCH = 5
MAX_NEW_TOKENS = 64

Answers = dict[str, str]


class UsualWay:
    """NF4 and PEFT with their defaults, `generate` in file order."""

    def __init__(self, reader: LlamaQloraBackend, dtype: torch.dtype) -> None:
        from peft import PeftModel
        from transformers import AutoTokenizer

        self._reader = reader
        files = reader.files
        with quiet():
            self._tokenizer = AutoTokenizer.from_pretrained(files.base)
            base = load_nf4(files.base, dtype)
            self._model = PeftModel.from_pretrained(base, str(files.adapter)).eval()

    def answer(self, prompts: Sequence[Prompt], use_cache: bool = True) -> Answers:
        """Answer in file order, `BATCH` at a time."""
        return {
            prompt.id: text
            for start in range(0, len(prompts), BATCH)
            for prompt, text in self._batch(prompts[start : start + BATCH], use_cache)
        }

    def _batch(self, batch: Sequence[Prompt], use_cache: bool) -> Iterator[tuple[Prompt, str]]:
        ids = [list(prompt.encoding.prompt_ids) for prompt in batch if prompt.encoding]
        inputs = self._tokenizer.pad(
            {"input_ids": ids}, padding_side="left", return_tensors="pt"
        ).to(self._model.device)
        with torch.no_grad():
            output = self._model.generate(
                **inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, use_cache=use_cache
            )
        new = output[:, inputs["input_ids"].shape[1] :]
        texts = self._tokenizer.batch_decode(new, skip_special_tokens=True)
        return zip(batch, texts, strict=True)


def aqa_answers(reader: LlamaQloraBackend, prompts: Sequence[Prompt]) -> Answers:
    """Answer as `aqa predict` does; every prompt must get an answer."""
    answers = {prediction.id: prediction.raw for _, prediction in reader.generate(prompts)}
    assert all(text is not None for text in answers.values()), answers
    return {name: text for name, text in answers.items() if text is not None}


def same(one: Answers, other: Answers) -> tuple[int, list[str]]:
    """Count the identical answers; return the ids of the others."""
    assert one.keys() == other.keys()
    different = [name for name in one if one[name].strip() != other[name].strip()]
    return len(one) - len(different), different


def compare_exactly(config: RunConfig, prompts: Sequence[Prompt]) -> None:
    """Answer both ways in float32 and count identical answers."""
    options = config.backend.model_copy(update={"compute_dtype": "float32"})
    with LlamaQloraBackend(config.model_copy(update={"backend": options}), SilentProgress()) as aqa:
        own = aqa_answers(aqa, prompts)
        other = UsualWay(aqa, torch.float32).answer(prompts)
    count, different = same(own, other)
    print(f"in float32 the same greedy answers on {count} of {len(own)}")
    for name in different:
        print(f"  {name}: aqa {own[name]!r}, usual {other[name]!r}")


def main() -> None:
    sizes = {"questions": (64, BATCH + 1), "rounds": (3, 1), "uncached": (10, 1)}
    parser = Parser(__doc__, **sizes, threads=(None, None))
    parser.add_argument("--run", type=Path, default=Path("runs/llama_smollm2"))
    parser.add_argument("--exact", action="store_true", help="Compare in float32, too (slow).")
    parser.add_argument(
        "--consecutive",
        action="store_true",
        help="Questions as they stand in the file, several to a paragraph; else one to each.",
    )
    options = parser.parse_args()
    if not options.quick:
        compare(make_config(options.run), options)
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(make_config(save_untrained(Path(folder))), options)


def make_config(folder: Path) -> RunConfig:
    """The config of a trained run, with this benchmark's answer length."""
    generation: dict[str, object] = {"max_new_tokens": MAX_NEW_TOKENS, "batch_tokens": None}
    return run_config(folder, generation=generation)


def save_untrained(folder: Path) -> Path:
    """Save a tiny model with an untrained adapter, laid out as a run."""
    base = save_tiny_llama(folder / "tiny")
    reader = LlamaQloraBackend(smollm2_config(backend={"model": str(base)}), SilentProgress())
    with quiet():
        model = load_model(reader.files, reader.options, training=True)
        add_adapter(model, reader.options.lora, str(base)).save_pretrained(folder / "run" / ADAPTER)
    return folder / "run"


def compare(config: RunConfig, options: argparse.Namespace) -> None:
    """Answer both ways in turn; print a table and the verdicts."""
    kept: dict[str, Answers] = {}
    with LlamaQloraBackend(config, SilentProgress()) as reader:
        prompts = squad_prompts(reader, options.questions, options.consecutive)
        usual = UsualWay(reader, torch.bfloat16)

        aqa_answers(reader, prompts[:BATCH])
        usual.answer(prompts[:BATCH])
        costs = interleave(
            {
                "aqa": lambda: kept.update(aqa=aqa_answers(reader, prompts)),
                "usual": lambda: kept.update(usual=usual.answer(prompts)),
            },
            options.rounds,
        )
        slowdown = uncached_slowdown(usual, prompts[: options.uncached])
        lengths = [len(reader.encode(prompt).prompt_ids) for prompt in prompts]
    report(costs, slowdown, lengths, options.uncached)
    count, different = same(kept["aqa"], kept["usual"])
    for name in different:
        print(f"  {name}: aqa {kept['aqa'][name]!r}, usual {kept['usual'][name]!r}")
    if options.exact:
        compare_exactly(config, prompts)
    print_verdict("same greedy answers, per cent", 100 * count / len(prompts), SAME_TARGET)
    print_verdict("usual / aqa, CPU seconds", ratio(costs, "usual", "aqa", "cpu"), TARGET)
    print_verdict("usual / aqa, seconds", ratio(costs, "usual", "aqa"), TARGET)


def uncached_slowdown(usual: UsualWay, prompts: Sequence[Prompt]) -> float:
    """How many times longer the usual way takes without a cache, on the same questions."""
    cached, uncached = (measure(lambda c=c: usual.answer(prompts, c)) for c in (True, False))
    return uncached.wall / cached.wall


def report(costs: Costs, slowdown: float, lengths: Sequence[int], uncached: int) -> None:
    own, usual = typical(costs["aqa"]), typical(costs["usual"])
    times = ratio(costs, "usual", "aqa")
    print(
        f"{len(lengths)} questions, prompts of {min(lengths)} to {max(lengths)} tokens"
        f" (median {median(lengths):.0f}), at most {MAX_NEW_TOKENS} new;"
        f" {torch.get_num_threads()} threads, {len(costs['aqa'])} rounds, loading excluded"
    )
    print_table(
        [
            ["arm", "seconds", "CPU seconds", "times aqa's", "by CPU"],
            ["aqa", f"{own.wall:.1f}", f"{own.cpu:.1f}", "1.00", "1.00"],
            [
                "usual: NF4, file order, batches of 5",
                f"{usual.wall:.1f}",
                f"{usual.cpu:.1f}",
                f"{times:.2f}",
                f"{ratio(costs, 'usual', 'aqa', 'cpu'):.2f}",
            ],
            [
                "no cache (scaled)",
                f"{usual.wall * slowdown:.0f}",
                "",
                f"{times * slowdown:.1f}",
                "",
            ],
        ]
    )
    print(f"without a cache: {slowdown:.1f}x the usual way's time on {uncached} questions")


if __name__ == "__main__":
    main()
