"""Real 4-bit weights of SmolLM2, and the pitfall of bitsandbytes on CPUs.

On CPUs with AVX512-BF16, bitsandbytes repacks the weights in place in the first forward pass in
evaluation mode; from then on gradients and dequantised weights are garbage.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_llama import make_config, make_prompts, make_reader

from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.llama_qlora.conversion import convert_gguf
from aqa.backends.llama_qlora.fresh_adapters import add_adapter
from aqa.backends.llama_qlora.models import linear_4bit, load_model
from aqa.backends.llama_qlora.training import answer_loss
from aqa.backends.local.training_batches import Collator
from aqa.backends.model_files import find_model
from aqa.data import Source, read_examples
from aqa.library_output import quiet
from aqa.progress import SilentProgress
from aqa.prompting.templates import load_template
from aqa.records import Example, Prompt, Template
from aqa.runs.cleaning import clean_answer

pytestmark = pytest.mark.slow

LAYERS = 4  # the first of thirty: enough for gradients, and much faster
FOUR_BIT = ("backend.quantization=4bit", "backend.compute_dtype=bfloat16", "backend.lora.dropout=0")


def sample(count: int) -> list[Example]:
    return list(read_examples(Source("package:aqa/samples/english_dev.json")))[:count]


@pytest.fixture(scope="module")
def eng_v1() -> Template:
    return load_template("eng_v1")


@pytest.fixture(scope="module")
def shallow(smollm2: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 with few layers."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    files = convert_gguf(find_model(make_config(smollm2).backend), SilentProgress())
    folder = tmp_path_factory.mktemp("shallow")
    with quiet():
        model = LlamaForCausalLM.from_pretrained(files.base, num_hidden_layers=LAYERS)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(files.base).save_pretrained(folder)
    return folder


def training_reader(model: Path) -> LlamaQloraBackend:
    """A reader loaded as for training, with an adapter that is not zero."""
    reader = make_reader(model, *FOUR_BIT)
    reader.model = load_model(reader.files, reader.options, training=True)
    with quiet():
        reader.model = add_adapter(reader.model, reader.options.lora, str(model))
    set_adapter(reader.model)
    return reader


def set_adapter(model: Any) -> None:
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_A" in name:
            parameter.data.normal_(std=0.02, generator=generator)
        if "lora_B" in name:
            parameter.data.normal_(std=0.002, generator=generator)


def gradients(reader: LlamaQloraBackend, prompts: list[Prompt]) -> torch.Tensor:
    """All gradients of the adapter in one vector, computed like the Trainer."""
    rows = []
    for prompt in prompts:
        encoding = reader.encode(prompt)
        ids = [*encoding.prompt_ids, *encoding.target_ids]
        rows.append(
            {"input_ids": ids, "prompt_length": len(encoding.prompt_ids), "length": len(ids)}
        )
    reader.model.train()
    reader.model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        total, count = answer_loss(reader.model, Collator()(rows))
    (total / count).backward()
    return torch.cat([p.grad.flatten() for p in reader.model.parameters() if p.requires_grad])


def evaluate(reader: LlamaQloraBackend, prompts: list[Prompt]) -> None:
    """Generate like an evaluation during training."""
    reader.model.eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert list(reader.generate(prompts))


@pytest.fixture(scope="module")
def prompts(shallow: Path, eng_v1: Template) -> tuple[list[Prompt], list[Prompt]]:
    """Two to train on, and two to ask."""
    reader = make_reader(shallow)
    examples = [example for example in sample(20) if example.answers]
    return (
        make_prompts(reader, eng_v1, with_target=True, examples=examples[:2]),
        make_prompts(reader, eng_v1, with_target=False, examples=examples[2:4]),
    )


@pytest.fixture(scope="module")
def expected(shallow: Path, prompts: tuple[list[Prompt], list[Prompt]]) -> torch.Tensor:
    """The gradients of the same model with dequantised weights."""
    reader = make_reader(shallow, *FOUR_BIT)
    with quiet():
        model = load_model(reader.files, reader.options, training=True).dequantize()
        reader.model = add_adapter(model, reader.options.lora, str(shallow))
    set_adapter(reader.model)
    assert not list(linear_4bit(reader.model))
    return gradients(reader, prompts[0])


@pytest.fixture
def loaded(shallow: Path) -> Iterator[LlamaQloraBackend]:
    reader = training_reader(shallow)
    assert len(list(linear_4bit(reader.model))) == LAYERS * 7
    yield reader
    reader.model = None


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return torch.nn.functional.cosine_similarity(one, other, dim=0).item()


def test_gradients_are_right_after_an_evaluation(
    loaded: LlamaQloraBackend, prompts: tuple[list[Prompt], list[Prompt]], expected: torch.Tensor
) -> None:
    # Holds on every CPU: nothing may be repacked.
    assert not any(module.support_avx512bf16_for_cpu for module in linear_4bit(loaded.model))
    trained, asked = prompts
    before = gradients(loaded, trained)
    evaluate(loaded, asked)
    after = gradients(loaded, trained)
    assert cosine(before, expected) >= 0.99
    assert cosine(after, expected) >= 0.99
    assert (after.norm() / expected.norm()).item() == pytest.approx(1, abs=0.05)


# bitsandbytes' fast kernel warns that its gradients may be wrong.
@pytest.mark.filterwarnings("ignore:bitsandbytes..gemv_4bit:UserWarning")
def test_without_the_guard_the_test_above_would_fail(
    loaded: LlamaQloraBackend, prompts: tuple[list[Prompt], list[Prompt]], expected: torch.Tensor
) -> None:
    from bitsandbytes.functional import has_avx512bf16

    trained, asked = prompts
    for module in linear_4bit(loaded.model):
        module.support_avx512bf16_for_cpu = has_avx512bf16()
    evaluate(loaded, asked)
    similar = cosine(gradients(loaded, trained), expected)
    assert similar < 0.5 if has_avx512bf16() else similar >= 0.99


def test_dequantised_weights_answer_like_4_bit_ones(smollm2: str, eng_v1: Template) -> None:
    answers = []
    for choice in ("true", "false"):
        settings = (*FOUR_BIT, f"backend.dequantize_on_cpu={choice}")
        with make_reader(smollm2, *settings, "generation.max_new_tokens=8") as reader:
            assert (list(linear_4bit(reader.model)) == []) is (choice == "true")
            asked = make_prompts(reader, eng_v1, with_target=False, examples=sample(8))
            found = {p.id: p.raw for _, p in reader.generate(asked)}
        answers.append({key: clean_answer(raw or "", ()).text for key, raw in found.items()})
    dequantised, four_bit = answers
    assert len(dequantised) == 8
    same = sum(dequantised[key] == four_bit[key] for key in four_bit)
    assert same >= 7, (dequantised, four_bit)
    assert len(set(dequantised.values())) > 4, "answers that tell something"


def test_training_never_dequantises(loaded: LlamaQloraBackend) -> None:
    assert loaded.options.dequantize_on_cpu
    first = next(linear_4bit(loaded.model))
    assert first.weight.quant_state.quant_type == "nf4"
    assert first.weight.quant_state.nested, "double quantisation"
    assert first.compute_dtype == torch.bfloat16
    trainable = {p.dtype for p in loaded.model.parameters() if p.requires_grad}
    assert trainable == {torch.float32}
