"""Training speed in tokens per second: aqa's trainer and a plain Trainer with peft, bitsandbytes.

Both arms train on the same rows with the same token ids and labels (answers only), base model in
NF4 with double quantisation, LoRA on all linear layers, optimizer, learning rate, schedule and
batches of 8, for one epoch. A round is timed from the start of the first step to the end of the
last; tokens are counted without padding. Loading and checkpoints are not timed.

aqa        AdapterTrainer with every default: batches of similar length, logits only for labels
plain      Trainer with the defaults of `from_pretrained` and `get_peft_model`: file order, padded
           to the longest of the batch, the model's default attention, its own loss over all logits.
           Neither arm evaluates, so bitsandbytes' repacking of weights on CPUs, which breaks
           training after an evaluation, does not matter.

Two further checks print tables: the losses of both arms in the same order, which must agree up to
bfloat16's rounding; and the peak memory of one step of 8 x 512 tokens, with aqa's logits and with
all of them.

Run: python tests/benchmarks/training_speed.py [--data squad] [--rows 96] [--rounds 2]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from arms import (
    SEED,
    Cost,
    Costs,
    Parser,
    load_nf4,
    plain_arguments,
    print_table,
    print_verdict,
    ratio,
    save_tiny_llama,
    smollm2_config,
    squad_prompts,
)
from transformers import PrinterCallback, Trainer, TrainerCallback

from aqa.backends.base import TrainJob
from aqa.backends.cuts import Cuts
from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.llama_qlora.conversion import convert_gguf
from aqa.backends.llama_qlora.fresh_adapters import add_adapter
from aqa.backends.llama_qlora.models import load_model
from aqa.backends.llama_qlora.training import AdapterTrainer, answer_loss
from aqa.backends.local.devices import compute_dtype
from aqa.backends.local.training_arguments import training_arguments
from aqa.backends.local.training_batches import Collator
from aqa.backends.local.training_rows import read_rows, write_rows
from aqa.library_output import quiet
from aqa.progress import SilentProgress
from aqa.records import Prompt, TrainStep
from aqa.verbs.train_plan import TrainingPlan

TARGET = 1.3
BATCH = 8
NOISE = 0.03  # in a loss: bfloat16 keeps 8 bits, and sums are in another order


class Clock(TrainerCallback):
    """Times the steps and records their losses."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self._started = (0.0, 0.0)
        self.cost = Cost(0.0, 0.0)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0:
            self._started = (time.perf_counter(), time.process_time())

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        wall, cpu = self._started
        self.cost = Cost(time.perf_counter() - wall, time.process_time() - cpu)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, float], **kwargs: Any
    ) -> None:
        if "loss" in logs:
            self.losses.append(logs["loss"])


class InFileOrder(AdapterTrainer):
    """aqa's trainer with the plain arm's order, for comparing losses."""

    def _get_train_sampler(self, train_dataset: object = None) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def make_reader(model: str | None, **layers: dict[str, object]) -> LlamaQloraBackend:
    """SmolLM2 with the built-in config, or another model instead."""
    if model is not None:
        layers["backend"] = {"model": model}
    reader = LlamaQloraBackend(smollm2_config(**layers), SilentProgress())
    reader.files = convert_gguf(reader.files, SilentProgress())
    return reader


class Arms:
    """The same rows for both arms, in a temporary folder."""

    def __init__(self, folder: Path, data: str, count: int, model: str | None) -> None:
        training = {"per_device_train_batch_size": BATCH, "num_train_epochs": 1}
        training |= {"eval_strategy": "no", "warmup_steps": 2}
        self.reader = make_reader(model, training=training)
        self.folder = folder
        prompts = self._prompts(data, count)
        path = folder / "rows.arrow"
        write_rows(((prompt, self.reader.encode(prompt)) for prompt in prompts), path)
        self.rows = read_rows([path])

    def _prompts(self, data: str, count: int) -> Sequence[Prompt]:
        if data == "squad":
            return squad_prompts(self.reader, count, with_target=True)
        limited = self.reader.config.data.model_copy(update={"limit": count})
        config = self.reader.config.model_copy(update={"data": limited})
        plan = TrainingPlan(config, SilentProgress())
        return list(plan.train_prompts(Cuts()))

    def aqa(self, trainer_type: type[AdapterTrainer] = AdapterTrainer, steps: int = -1) -> Clock:
        """Train one epoch, or some steps, with aqa's trainer."""
        reader, clock = self.reader, Clock()
        training = reader.config.training.model_copy(update={"max_steps": steps})
        reader.config = reader.config.model_copy(update={"training": training})
        job = TrainJob(list, [], _no_scores, self.folder, resume=False)
        with quiet():
            reader.model = load_model(reader.files, reader.options, training=True)
            arguments = training_arguments(reader.config, reader.options, job)
            torch.manual_seed(SEED)  # both arms start with the same adapter
            trainer = trainer_type(reader, job, _ignore, arguments, self.rows)
            trainer.add_callback(clock)
            trainer.train()
        reader.model = None
        return clock

    def plain(self, steps: int = -1) -> Clock:
        """Train one epoch, or some steps, with a plain Trainer."""
        clock, options = Clock(), self.reader.config
        bf16 = compute_dtype(self.reader.options) == torch.bfloat16
        with quiet():
            trainer = Trainer(
                model=plain_model(self.reader),
                args=plain_arguments(self.folder / "plain", options.training, bf16, steps),
                data_collator=pad,
                train_dataset=self.rows,
                callbacks=[clock],
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        return clock


def plain_model(reader: LlamaQloraBackend) -> Any:
    """NF4 and peft as their documentation shows them."""
    from peft import LoraConfig, get_peft_model

    lora = reader.options.lora
    base = load_nf4(reader.files.base, compute_dtype(reader.options))
    torch.manual_seed(SEED)
    return get_peft_model(
        base,
        LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=lora.target_modules,
            task_type="CAUSAL_LM",
        ),
    )


def pad(rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """The usual collator: padded to the longest, labels of answers, all passed to the model."""
    batch = Collator()(rows)
    del batch["label_positions"]
    return batch


def _no_scores(predictions: object) -> dict[str, float]:
    return {}


def _ignore(step: TrainStep) -> None:
    """Ignore a step."""


def compare_speed(arms: Arms, rounds: int) -> float:
    """Train in turn, print tokens per second, and return the ratio."""
    runs: dict[str, Callable[[], Clock]] = {"aqa": arms.aqa, "plain": arms.plain}
    costs: Costs = {name: [] for name in runs}
    for number in range(rounds):
        for name in list(runs) if number % 2 == 0 else list(runs)[::-1]:
            costs[name].append(runs[name]().cost)
            print(f"  round {number + 1}, {name}: {costs[name][-1]}", file=sys.stderr)
    lengths = arms.rows["length"][:]
    padded = BATCH * sum(max(lengths[i : i + BATCH]) for i in range(0, len(lengths), BATCH))
    print(
        f"{len(lengths)} rows of {min(lengths)} to {max(lengths)} tokens (median"
        f" {median(lengths):.0f}; padding in file order {1 - sum(lengths) / padded:.0%}),"
        f" batches of {BATCH}, {torch.get_num_threads()} threads, {rounds} rounds"
    )
    rows = [["arm", "tokens/s", "tokens/s of CPU", "speed", "by CPU"]]
    for name in runs:
        own = costs[name]
        wall, cpu = (sum(lengths) / median(getattr(c, k) for c in own) for k in ("wall", "cpu"))
        faster = (ratio(costs, "plain", name, kind) for kind in ("wall", "cpu"))
        rows.append([name, f"{wall:.0f}", f"{cpu:.0f}", *(f"{one:.2f}" for one in faster)])
    print_table(rows)
    return ratio(costs, "plain", "aqa")


def compare_losses(arms: Arms, steps: int, checked: bool) -> None:
    """Train both arms in file order from the same adapter, and print their losses side by side."""
    own, other = arms.aqa(InFileOrder, steps).losses, arms.plain(steps).losses
    rows = [["step", *(str(number + 1) for number in range(steps))]]
    rows.append(["aqa", *(f"{loss:.4f}" for loss in own)])
    rows.append(["plain", *(f"{loss:.4f}" for loss in other)])
    print_table(rows)
    gap = max(abs(one - two) / two for one, two in zip(own, other, strict=True))
    print(f"losses in the same order differ by at most {gap:.1%} (bfloat16; allowed {NOISE:.0%})")
    assert gap <= NOISE or not checked, (own, other)


def measure_step(variant: str, model_name: str | None) -> None:
    """Do one step of 8 x 512 tokens, 16 per row labelled; print the memory as JSON."""
    reader = make_reader(model_name)
    with quiet():
        if variant == "plain":
            model = plain_model(reader)
        else:
            options = reader.options
            if variant.endswith("sdpa"):
                options = options.model_copy(update={"attn_implementation": "sdpa"})
            base = load_model(reader.files, options, training=True)
            model = add_adapter(base, reader.options.lora, reader.files.spec)
    ids = torch.randint(
        model.config.vocab_size, (BATCH, 512), generator=torch.Generator().manual_seed(SEED)
    )
    rows = [{"input_ids": row, "prompt_length": 496, "length": 512} for row in ids.tolist()]
    batch = Collator()(rows)
    model.train()
    before = resident()
    with torch.autocast(ids.device.type, torch.bfloat16):
        if variant.startswith("aqa"):
            loss, count = answer_loss(model, batch)
            loss = loss / count
        else:
            del batch["label_positions"]
            loss = model(**batch, use_cache=False).loss
    loss.backward()
    print(json.dumps({"before": before, "peak": peak(), "loss": loss.item()}))


def resident() -> int:
    """This process's current memory, in bytes."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """This process's peak memory, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def compare_memory(model: str | None) -> None:
    """Measure one step in a separate process for each variant, and print the peaks."""
    variants = {
        "aqa": "aqa: logits where labels are",
        "all": "the same, all logits",
        "aqa-sdpa": "aqa, PyTorch's attention",
        "plain": "plain: PyTorch's attention, all logits",
    }
    rows = [["one step of 8 x 512 tokens", "peak GB", "of the step", "loss"]]
    for variant, title in variants.items():
        command = [sys.executable, __file__, "--measure-step", variant]
        command += [] if model is None else ["--model", model]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(output.splitlines()[-1])
        sizes = (found["peak"], found["peak"] - found["before"])
        rows.append([title, *(f"{size / 1e9:.2f}" for size in sizes), f"{found['loss']:.3f}"])
    print_table(rows)


def main() -> None:
    sizes = {"rows": (96, BATCH), "rounds": (2, 1), "loss_steps": (5, 1), "threads": (None, None)}
    parser = Parser(__doc__, **sizes)
    parser.add_argument("--data", choices=["sample", "squad"], default="sample")
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--measure-step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure_step:
        measure_step(options.measure_step, options.model)
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.quick:
            options.model = str(save_tiny_llama(Path(folder, "tiny")))
        compare_memory(options.model)
        arms = Arms(Path(folder), options.data, options.rows, options.model)
        compare_losses(arms, options.loss_steps, checked=not options.quick)
        times = compare_speed(arms, options.rounds)
    print_verdict("aqa / plain, tokens a second", times, TARGET)


if __name__ == "__main__":
    main()
