"""All kinds of readers get the same evidence for the same questions of real data sets."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from aqa_stub import StubBackend

from aqa.backends.base import Backend
from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.backends.t5.backend import T5Backend
from aqa.config.load import build_config
from aqa.data import Source, read_examples
from aqa.progress import SilentProgress
from aqa.prompting.build import Inputs, Unfit, that_fit
from aqa.prompting.templates import load_template
from aqa.records import Prompt
from aqa.runs.files import hash_files
from aqa.runs.journal_rows import evidence_fields

COUNT = 250  # questions per data set
PASSAGES = 10


def with_distractors(file: Path, folder: Path) -> tuple[Path, Path]:
    """The first questions of a file, with the gold passage among nine others, scored."""
    examples = list(islice(read_examples(Source(str(file), on_duplicate_id="number")), COUNT))
    texts = list(dict.fromkeys(example.passages[0].text for example in examples))
    questions, retrieved = folder / "questions.jsonl", folder / "retrieved.jsonl"
    rows, rankings = [], []
    for number, example in enumerate(examples):
        gold = example.passages[0].text
        others = [text for text in texts if text != gold]
        found = [others[(number * 7 + n) % len(others)] for n in range(PASSAGES - 1)]
        found.insert(number % PASSAGES, gold)
        found.append(found[0])  # a duplicate
        passages = [{"text": text, "score": 100.0 - (n * 37 % 11)} for n, text in enumerate(found)]
        rows.append(
            {"id": example.id, "question": example.question, "answers": list(example.answers or ())}
        )
        rankings.append({"id": example.id, "passages": passages})
    for path, lines in ((questions, rows), (retrieved, rankings)):
        path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return questions, retrieved


def prompts_of(
    reader_type: type[Backend], model: str, data: tuple[Path, Path], **backend: object
) -> tuple[dict[str, Any], list[Prompt]]:
    layer = {
        "backend": {"model": model, **backend},
        "data": {"path": str(data[0]), "passages": str(data[1])},
        "evidence": {"order": "best_last", "top_k": 5, "max_chars": 1000},
        "prompt": "t5_qa",
    }
    config = build_config(reader_type.Options, [layer])
    inputs = Inputs(config, load_template(config.prompt), SilentProgress())
    reader = reader_type(config, SilentProgress())
    unfit: list[Unfit] = []
    prompts = list(that_fit(inputs.prompts(reader, inputs.examples()), unfit.append))
    assert not unfit
    return inputs.evidence_plan(), prompts


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["korquad1/KorQuAD_v1.0_dev.json", "nq-oracle/nq-open-oracle.jsonl.gz"]
)
def test_one_plan_gives_all_readers_the_same_passages(
    name: str, shared_data: Path, tmp_path: Path, tiny: Path, tiny_t5: Path
) -> None:
    data = with_distractors(shared_data / name, tmp_path)
    roomy = {"max_seq_length": 100_000}
    found = [
        prompts_of(StubBackend, "stub", data, max_length=100_000),
        prompts_of(Gpt4Backend, "gpt-4.1", data),
        prompts_of(LlamaQloraBackend, str(tiny), data, quantization="none", **roomy),
        prompts_of(T5Backend, str(tiny_t5), data, **roomy),
        prompts_of(T5Backend, str(tiny_t5), data, fusion="fid", **roomy),
    ]
    plan, prompts = found[0]
    assert plan["passages"] == hash_files(data[1])
    assert len(prompts) == COUNT
    for other_plan, others in found[1:]:
        assert other_plan == plan
        for one, other in zip(prompts, others, strict=True):
            assert other.evidence == one.evidence
            assert evidence_fields(other) == evidence_fields(one)
    # The evidence plan was active: passages were dropped for each reason, and cut.
    reasons = {drop.reason for prompt in prompts for drop in prompt.evidence.dropped}
    assert reasons == {"duplicate", "top_k", "budget"}
    assert any(prompt.evidence.cut_characters for prompt in prompts)
    assert all(len(prompt.evidence.context) <= 1000 for prompt in prompts)
    kept = [prompt.gold_in_evidence for prompt in prompts]
    assert 0.1 < sum(map(bool, kept)) / COUNT < 0.9
