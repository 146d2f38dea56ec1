import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aqa_stub import StubBackend
from tiny_llama import (
    BEGIN,
    END_OF_TURN,
    INSTRUCTION,
    TURNS,
    make_config,
    make_prompts,
    make_reader,
    make_tokenizer,
    notes,
    rows,
    save_tiny,
    write_rows,
    write_template,
)

from aqa.backends.chat_template import make_chat_encoder
from aqa.backends.llama_qlora import training as causal_training
from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.truncation import fit
from aqa.config.load import build_config
from aqa.errors import ModelError, PromptError
from aqa.progress import SilentProgress
from aqa.prompting.build import Inputs
from aqa.prompting.templates import load_template
from aqa.records import Example, Passage, Template
from aqa.runs.journal_rows import evidence_fields
from aqa.verbs.predict import predict
from aqa.verbs.preview import preview
from aqa.verbs.train import train

VARIANTS = ["tiny", "tiny_no_system", "tiny_no_template", "tiny_pad_is_end"]
FEW_SHOT = """\
messages:
  - {role: system, content: Answer briefly.}
  - {role: user, content: "Where is Rome?"}
  - {role: assistant, content: Italy}
  - {role: user, content: "{context}\\n{question}"}
"""


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> LlamaQloraBackend:
    return make_reader(request.getfixturevalue(request.param))


@pytest.fixture(params=["plain", "few shot"])
def any_template(request: pytest.FixtureRequest, template: Template, tmp_path: Path) -> Template:
    if request.param == "plain":
        return template
    path = tmp_path / "few.yaml"
    path.write_text(FEW_SHOT, encoding="utf-8")
    return load_template(str(path))


def test_exactly_one_begin_of_text(variant: LlamaQloraBackend, any_template: Template) -> None:
    begin = variant.begin_token_id
    for prompt in make_prompts(variant, any_template, with_target=True):
        encoding = variant.encode(prompt)
        ids = [*encoding.prompt_ids, *encoding.target_ids]
        assert ids[0] == begin
        assert ids.count(begin) == 1


def test_the_tiny_tokenizer_would_write_two(tiny: Path, template: Template) -> None:
    """Otherwise the previous test could not fail."""
    reader = make_reader(tiny)
    tokenizer = reader._encoder.tokenizer
    text = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert tokenizer(text)["input_ids"][:2] == [reader.begin_token_id] * 2


@pytest.mark.parametrize("name", ["tiny", "tiny_pad_is_end"])
def test_ids_are_those_of_the_chat_template(
    name: str, request: pytest.FixtureRequest, any_template: Template
) -> None:
    reader = make_reader(request.getfixturevalue(name))
    for prompt in make_prompts(reader, any_template, with_target=True):
        turns = [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
        expected = reader._encoder.tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        assert list(reader.encode(prompt).prompt_ids) == expected


def test_training_reads_the_very_prompt_that_prediction_reads(
    variant: LlamaQloraBackend, any_template: Template
) -> None:
    trained = make_prompts(variant, any_template, with_target=True)
    asked = make_prompts(variant, any_template, with_target=False)
    for one, other in zip(trained, asked, strict=True):
        assert variant.encode(one).prompt_ids == variant.encode(other).prompt_ids
        assert variant.encode(other).target_ids == ()


def test_the_target_is_the_answer_and_its_end_of_turn(
    variant: LlamaQloraBackend, any_template: Template
) -> None:
    for prompt in make_prompts(variant, any_template, with_target=True):
        target = variant.encode(prompt).target_ids
        assert variant.decode(target) == f"{prompt.target}{END_OF_TURN}"
        assert len(target) > 2, "an answer of several tokens tells more"


@pytest.mark.slow
def test_smollm2(smollm2: str, template: Template) -> None:
    reader = make_reader(smollm2)
    prompt = make_prompts(reader, template, with_target=True)[0]
    encoding = reader.encode(prompt)
    # The begin-of-text token is <|im_start|>, which opens every turn.
    assert encoding.prompt_ids[0] == reader.begin_token_id != encoding.prompt_ids[1]
    assert encoding.prompt_ids.count(reader.begin_token_id or 0) == 3
    assert reader.decode(encoding.prompt_ids) == (
        "<|im_start|>system\nAnswer from the context.\n\nContext:\nMira lives in Ostry.<|im_end|>\n"
        "<|im_start|>user\nWhere does Mira live?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert reader.decode(encoding.target_ids) == "Ostry<|im_end|>"


# A context that is far too long for 160 tokens, in three passages.
LONG = [
    Example(
        f"long{n}",
        "Where does Mira live?",
        tuple(Passage(f"Mira lives in Ostry. {'It rains. ' * (n * k)}", rank=k) for k in (1, 2, 3)),
        ("Ostry",),
    )
    for n in (8, 16, 40)
]


def test_a_long_context_cuts_no_instruction_question_or_answer(
    variant: LlamaQloraBackend, template: Template
) -> None:
    model = variant.options.model
    reader = make_reader(model, "backend.max_seq_length=160")
    for prompt in make_prompts(reader, template, with_target=True, examples=LONG):
        encoding = reader.encode(prompt)
        assert len(encoding.prompt_ids) + len(encoding.target_ids) <= 160
        text = reader.decode(encoding.prompt_ids)
        assert INSTRUCTION.split("\n", maxsplit=1)[0] in text
        assert prompt.question in text
        assert reader.decode(encoding.target_ids) == f"Ostry{END_OF_TURN}"
        kept, dropped = prompt.evidence.passages, prompt.evidence.dropped
        assert len(kept) + len(dropped) == 3
        assert dropped or prompt.evidence.reader_cut_characters


def test_answer_room_is_the_longer_of_target_and_new_tokens(tiny: Path, template: Template) -> None:
    roomy = make_reader(tiny, "generation.max_new_tokens=50")
    tight = make_reader(tiny, "generation.max_new_tokens=1")
    prompt = make_prompts(tight, template, with_target=True)[0]
    encoding = tight.encode(prompt)
    assert tight.length(prompt) == len(encoding.prompt_ids) + len(encoding.target_ids)
    assert roomy.length(prompt) == len(encoding.prompt_ids) + 50


def test_evidence_is_counted_by_the_named_tokenizer(
    tiny: Path, tmp_path: Path, template: Template
) -> None:
    """Only its tokenizer is needed, for any reader."""
    data = write_rows(tmp_path / "rows.jsonl", LONG)
    layer = {"data": {"path": str(data)}, "evidence": {"max_tokens": 20, "tokenizer": str(tiny)}}
    config = build_config(StubBackend.Options, [layer])
    inputs = Inputs(config, template, SilentProgress())
    reader = StubBackend(config, SilentProgress())
    count = make_reader(tiny)._encoder.tokenizer
    for index, example in inputs.examples():
        prompt = inputs.prompt(reader, index, example)
        tokens = len(count(prompt.evidence.context, add_special_tokens=False)["input_ids"])
        assert 10 < tokens <= 20
        assert evidence_fields(prompt)["tokens"] == tokens  # in the journal


def test_a_question_that_can_never_fit_is_named(tiny: Path, template: Template) -> None:
    reader = make_reader(tiny)
    (prompt,) = make_prompts(reader, template, with_target=True, examples=LONG[:1])
    with pytest.raises(PromptError, match=r"long8: .* more than the 20 that fit"):
        fit(prompt, reader.length, 20)


def test_a_template_without_system_role_folds_it_and_says_so(
    tiny_no_system: Path, template: Template
) -> None:
    reader = make_reader(tiny_no_system)
    prompt = make_prompts(reader, template, with_target=False)[0]
    assert reader.decode(reader.encode(prompt).prompt_ids) == (
        f"{BEGIN}<|start_header_id|>user<|end_header_id|>\n\n"
        "Answer from the context.\n\nContext:\nMira lives in Ostry.\n\n"
        f"Where does Mira live?{END_OF_TURN}"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert [note for note in notes(reader) if "no system role" in note] == notes(reader)
    assert len(notes(reader)) == 1, "said once, not for every prompt"


def test_a_template_that_drops_the_system_text_folds_it_too(
    tmp_path: Path, template: Template
) -> None:
    forgetful = TURNS.replace("messages %}", "messages if turn.role != 'system' %}")
    reader = make_reader(save_tiny(tmp_path / "model", make_tokenizer(forgetful)))
    prompt = make_prompts(reader, template, with_target=False)[0]
    assert "Mira lives in Ostry." in reader.decode(reader.encode(prompt).prompt_ids)


def test_without_chat_template_messages_are_joined_and_it_is_said(
    tiny_no_template: Path, template: Template
) -> None:
    reader = make_reader(tiny_no_template)
    prompt = make_prompts(reader, template, with_target=True)[0]
    encoding = reader.encode(prompt)
    assert reader.decode((*encoding.prompt_ids, *encoding.target_ids)) == (
        f"{BEGIN}Answer from the context.\n\nContext:\nMira lives in Ostry.\n\n"
        f"Where does Mira live?\nOstry{END_OF_TURN}"
    )
    assert notes(reader) == ["the model has no chat template: messages are joined by blank lines"]


def test_a_full_template_needs_no_note(tiny: Path, template: Template) -> None:
    reader = make_reader(tiny)
    make_prompts(reader, template, with_target=True)
    assert notes(reader) == []


def test_end_tokens_are_those_of_tokenizer_and_generation_config(tiny: Path) -> None:
    tokenizer = make_tokenizer()
    end_of_turn, end_of_text = tokenizer.convert_tokens_to_ids([END_OF_TURN, "<|end_of_text|>"])
    assert make_reader(tiny)._encoder.end_token_ids == (end_of_turn, end_of_text)


@pytest.mark.parametrize("named", [None, 3, [3, 4]])
def test_end_tokens_as_a_generation_config_may_name_them(
    tiny: Path, tmp_path: Path, named: object
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tiny.iterdir():
        if path.name != "generation_config.json":
            (folder / path.name).write_bytes(path.read_bytes())
    if named is not None:
        text = json.dumps({"eos_token_id": named})
        (folder / "generation_config.json").write_text(text, encoding="utf-8")
    expected = {None: (4,), 3: (4, 3)}.get(named if not isinstance(named, list) else 3, (4,))
    assert make_reader(folder)._encoder.end_token_ids == expected


def test_end_tokens_that_can_not_be_read_are_not_left_out(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "model")
    (folder / "generation_config.json").write_text('{"eos_token_id": [1', encoding="utf-8")
    with pytest.raises(ModelError, match=r"generation_config.json' is not a valid JSON file"):
        make_reader(folder)._encoder  # noqa: B018


@pytest.mark.parametrize(("name", "told"), [("bos_token", 1), ("pad_token", 0)])
def test_a_token_that_only_the_template_knows_is_told_of(name: str, told: int) -> None:
    """As without tokenizer_config.json: Jinja writes nothing in its place."""
    tokenizer, found = make_tokenizer(), list[str]()
    setattr(tokenizer, name, None)
    make_chat_encoder(tokenizer, [], found.append)
    assert [f"writes {name}" in text for text in found] == [True] * told


def test_a_tokenizer_without_end_token_is_refused() -> None:
    tokenizer = make_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end-of-text token"):
        make_chat_encoder(tokenizer, [], lambda note: None)


def test_preview_train_and_predict_use_the_same_ids(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is shown equals the training rows, and what `generate` gets."""
    data = write_rows(tmp_path / "rows.jsonl", [*rows(), *LONG])
    config = make_config(
        tiny,
        f"data.path={data}",
        f"prompt={write_template(tmp_path)}",
        "backend.max_seq_length=160",
        "training.eval_strategy='no'",
    )
    shown = {}
    for found in preview(config, SilentProgress(), number=100):
        assert found.encoding is not None
        assert found.begin_tokens == 1
        shown[found.prompt.id] = found.encoding
    assert len(shown) == len(rows()) + len(LONG)

    trained = _training_rows(config, tmp_path / "train", monkeypatch)
    assert trained == [
        ([*ids.prompt_ids, *ids.target_ids], len(ids.prompt_ids)) for ids in shown.values()
    ]

    fed = _generated_from(config, tmp_path / "predict", monkeypatch)
    assert sorted(fed) == sorted(list(ids.prompt_ids) for ids in shown.values())


def _training_rows(
    config: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[list[int], int]]:
    found: list[tuple[list[int], int]] = []

    class EnoughError(Exception):
        pass

    def catch(reader: object, job: object, on_step: object, arguments: object, rows: Any) -> None:
        found.extend((row["input_ids"], row["prompt_length"]) for row in rows)
        raise EnoughError

    monkeypatch.setattr(causal_training, "AdapterTrainer", catch)
    with pytest.raises(EnoughError):
        train(config, folder, SilentProgress())
    return found


def _generated_from(config: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    from aqa.backends.llama_qlora import backend
    from aqa.backends.llama_qlora.generation import write_continuously

    found: list[list[int]] = []

    def spy(model: Any, rows: Sequence[Sequence[int]], *others: Any) -> Any:
        found.extend(map(list, rows))
        return write_continuously(model, rows, *others)

    monkeypatch.setattr(backend, "write_continuously", spy)
    predict(config, folder, SilentProgress())
    return found
