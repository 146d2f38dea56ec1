"""What chat templates put around an answer is detected, trained on and removed again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from calls import Call
from model_kinds import CAUSAL_KINDS
from tiny_llama import (
    AT_THE_END,
    BEGIN,
    END_OF_TURN,
    TURNS,
    Training,
    make_prompts,
    make_reader,
    make_tokenizer,
    rows,
    save_tiny,
    write_all,
)

from aqa.backends.chat_template import ChatEncoder, make_chat_encoder
from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.local.decoding import StopConditions
from aqa.config.backend_options import LlamaQloraOptions
from aqa.config.load import build_config
from aqa.errors import ConfigError, ModelError
from aqa.records import Evidence, Example, Message, Passage, Prompt, Template
from aqa.runs.cleaning import clean_answer

OPENING = "<|start_header_id|>assistant<|end_header_id|>\n\n"
CHANNELS = (  # like gpt-oss: a channel's name in special tokens before the answer
    "{{ bos_token }}{% for turn in messages %}{{ '<|start_header_id|>' + turn.role }}"
    "{% if turn.role == 'assistant' %}{{ '<|pad|>final' }}{% endif %}"
    "{{ '<|end_header_id|>' + turn.content + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant' }}{% endif %}"
)
TEXT_END = (
    "{{ bos_token }}{% for turn in messages %}{{ '<|' + turn.role + '|>\\n' }}"
    "{{ turn.content + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
PARTS = TURNS.replace(
    "{{ turn.content }}",
    "{% for part in turn.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}"
    "{% endfor %}",
)
THINKS = TURNS.replace(f"{OPENING}{{% endif %}}", f"{OPENING}<think>\n{{% endif %}}")
EMPTY_THOUGHT = TURNS.replace(
    "{{ turn.content }}",
    "{% if turn.role == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{{ turn.content }}",
)
ANSWER_IN_THOUGHT = THINKS.replace(  # like Nemotron Nano 2, which continues an open thought
    "{{ turn.content }}", "{% if turn.role == 'assistant' %}<think>\n{% endif %}{{ turn.content }}"
)
LEFT_TRIMMED = TURNS.replace("turn.content", "turn.content.lstrip()")  # like Bielik 3
RIGHT_TRIMMED = TURNS.replace("turn.content", "turn.content.rstrip()")
CLOSED_BEFORE = TURNS.replace(  # like Kimi K3: one token closes a thought and an answer
    "{{ turn.content }}",
    "{% if turn.role == 'assistant' %}{{ '<think><|eot_id|>' }}{% endif %}{{ turn.content }}",
)
SWITCH = TURNS.replace(
    f"{OPENING}{{% endif %}}",
    f"{OPENING}{{% if enable_thinking is defined and not enable_thinking %}}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}",
)
BRACKETS = (  # like Mistral: no generation prompt, a space before the answer
    "{% for turn in messages %}{% if turn.role == 'user' %}{{ '[INST] ' + turn.content }}"
    "{{ ' [/INST]' }}{% else %}{{ ' ' + turn.content.strip() + '<|eot_id|>' }}{% endif %}"
    "{% endfor %}"
)
FULL_STOP = TURNS.replace("<|eot_id|>", "{% if turn.role == 'assistant' %}.{% endif %}{{ '\\n' }}")
DATED = "{{ 'Today: ' + strftime_now('%d %B %Y') + strftime_now(' (%Y-%m-%-d)') }}" + TURNS
OTHER_DATED = (
    "{% if date_string is not defined %}{% set date_string = 'today' %}{% endif %}"
    "{{ date_string }}" + TURNS
)
BY_HEART = (
    "training.num_train_epochs=30",
    "training.learning_rate=0.01",
    AT_THE_END,
    "backend.lora.dropout=0",
    "generation.max_new_tokens=30",
)


def encoder(chat_template: Any, tokenizer: Any = None, **options: Any) -> ChatEncoder:
    tokenizer = tokenizer or make_tokenizer()
    tokenizer.chat_template = chat_template
    asked = LlamaQloraOptions(model="m", **options)
    return make_chat_encoder(tokenizer, [], lambda note: None, asked)


def prompt_of(question: str, target: str | None = None, passage: str = "Rain.") -> Prompt:
    template = Template("t", (Message("system", "{context}"), Message("user", "{question}")))
    return Prompt("p", 0, question, Evidence((Passage(passage),)), template, target)


@pytest.mark.parametrize(
    ("chat_template", "label"),
    [
        (TURNS, "Ostry<|eot_id|>"),
        (CHANNELS, "<|pad|>final<|end_header_id|>Ostry<|eot_id|>"),
        (TEXT_END, "Ostry<|end|>\n<|eot_id|>"),
        (PARTS, "Ostry<|eot_id|>"),
        (THINKS, "\n</think>\n\nOstry<|eot_id|>"),
        (EMPTY_THOUGHT, "<think>\n\n</think>\n\nOstry<|eot_id|>"),
        (ANSWER_IN_THOUGHT, "\n</think>\n\nOstry<|eot_id|>"),
        (LEFT_TRIMMED, "Ostry<|eot_id|>"),
        (RIGHT_TRIMMED, "Ostry<|eot_id|>"),
        (BRACKETS, " Ostry<|eot_id|>"),
        (FULL_STOP, "Ostry.\n<|eot_id|>"),
        (None, "Ostry<|eot_id|>"),
    ],
)
def test_labels_are_the_answer_as_the_template_writes_it(
    chat_template: str | None, label: str
) -> None:
    made = encoder(chat_template)
    encoding = made.encode(prompt_of("Where?", "Ostry"))
    assert made.tokenizer.decode(encoding.target_ids) == label
    # A model that writes its label has written just the answer.
    written = encoding.target_ids[:-1]
    found = made.written.answer(written)
    assert found is not None
    assert found.strip() == "Ostry"


def test_an_answer_that_could_not_be_read_back_is_not_learnt(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(CLOSED_BEFORE)
    assert encoder(CLOSED_BEFORE, tokenizer).count(prompt_of("Where?").messages)  # as for an API
    reader = make_reader(save_tiny(tmp_path / "model", tokenizer))
    with pytest.raises(ModelError, match=r"answers can't be told apart .*<think><\|eot_id\|>"):
        reader.check()


def test_a_template_that_requires_a_system_message_gets_one() -> None:
    requires = "{% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}"
    noted: list[str] = []
    tokenizer = make_tokenizer()
    tokenizer.chat_template = requires + TURNS
    made = make_chat_encoder(tokenizer, [], noted.append)
    assert [note for note in noted if "prompts without one get an empty one" in note] == noted
    plain = encoder(TURNS)
    asked = prompt_of("Where?", "Ostry")
    assert made.encode(asked) == plain.encode(asked)
    template = Template("t", (Message("user", "{context} {question}"),))
    empty = Template("t", (Message("system", ""), *template.messages))
    found, wanted = (replace(asked, template=each) for each in (template, empty))
    assert made.encode(found) == plain.encode(wanted)


@pytest.mark.parametrize("chat_template", [CHANNELS, BRACKETS, EMPTY_THOUGHT])
def test_prompt_and_label_are_what_transformers_makes_of_the_chat(chat_template: str) -> None:
    made = encoder(chat_template)
    asked = prompt_of("Where?", "Ostry")
    encoding = made.encode(asked)
    chat = [{"role": "user", "content": "Rain.\n\nWhere?"}]
    if not made.folds_system:
        chat = [{"role": turn.role, "content": turn.content} for turn in asked.messages]
    answered = [*chat, {"role": "assistant", "content": "Ostry"}]
    prompt_text, whole = (
        made.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=opens)
        for turns, opens in ((chat, True), (answered, False))
    )
    assert made.tokenizer.decode(encoding.prompt_ids) == prompt_text
    assert made.tokenizer.decode((*encoding.prompt_ids, *encoding.target_ids)) == whole


@pytest.mark.parametrize("name", ["llama-2", "zephyr", "phi3", "gemma2"])
def test_a_label_begins_with_no_space_that_the_chat_lacks(name: str) -> None:
    """SentencePiece adds one to a text that is tokenized alone, such as an answer."""
    kind = CAUSAL_KINDS[name]
    made = encoder(kind.chat_template, kind.tokenizer())
    template = Template("t", (Message("user", "{context} {question}"),))
    encoding = made.encode(replace(prompt_of("Where?", "Ostry"), template=template))
    chat = [("user", "Rain. Where?"), ("assistant", "Ostry")]
    whole = made.tokenizer.apply_chat_template(
        [{"role": role, "content": content} for role, content in chat], return_dict=False
    )
    learnt = [*encoding.prompt_ids, *encoding.target_ids]
    assert learnt == whole[: len(learnt)]


@pytest.fixture(scope="module")
def trained(
    request: pytest.FixtureRequest, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> LlamaQloraBackend:
    """A reader with a chat template that has memorised the rows."""
    folder = tmp_path_factory.mktemp("by_heart")
    reader = make_reader(save_tiny(folder / "model", make_tokenizer(request.param)), *BY_HEART)
    Training(reader, template, folder / "run").run()
    return reader


@pytest.mark.slow
@pytest.mark.parametrize("trained", [CHANNELS, THINKS, TEXT_END], indirect=True)
def test_answers_known_by_heart_are_the_gold_ones(
    trained: LlamaQloraBackend, template: Template
) -> None:
    found = {p.id: p for _, p in trained.generate(make_prompts(trained, template, False))}
    for example in rows():
        raw = found[example.id].raw
        assert raw is not None
        assert raw.strip() == (example.answers or ("",))[0]
        assert found[example.id].answer_tokens < 30, "it did not stop by itself"


@pytest.mark.slow
@pytest.mark.parametrize("trained", [TEXT_END], indirect=True)
def test_text_that_ends_a_turn_stops_an_answer(
    trained: LlamaQloraBackend, template: Template
) -> None:
    """If no end token follows it, as with a model not trained by us."""
    prompts = make_prompts(trained, template, with_target=False)
    end = [trained._tokenizer.convert_tokens_to_ids("<|pad|>")]  # which ends nothing
    rows_of = [trained.encode(prompt).prompt_ids for prompt in prompts]
    cut = trained._encoder.written.cut
    for beams in (1, 3):
        options = trained.config.generation.model_copy(update={"num_beams": beams})
        answers = write_all(trained.model, rows_of, StopConditions(end, cut), options)
        for example, (written,) in zip(rows(), answers, strict=True):
            text = trained._tokenizer.decode(written.ids)
            assert text.endswith("<|end|>")
            assert trained._encoder.written.answer(written.ids) == (example.answers or ("",))[0]


@pytest.mark.parametrize(
    ("chat_template", "written", "answer"),
    [
        (CHANNELS, "<|pad|>thought<|end_header_id|>Hm.<|eot_id|>", None),
        (
            CHANNELS,
            "<|pad|>thought<|end_header_id|>Hm.<|eot_id|><|start_header_id|>assistant"
            "<|pad|>final<|end_header_id|>Ostry",
            "Ostry",
        ),
        (CHANNELS, "Ostry", "Ostry"),
        (THINKS, "Mira, where was she", None),
        (THINKS, "Hm.\n</think>\n\nOstry", "Ostry"),
        (TURNS, "<think>\nMira, where", None),
        (TURNS, "<think>\nHm.</think>\n\nOstry", "Ostry"),
        (EMPTY_THOUGHT, "<think>\nMira, where", None),
        (EMPTY_THOUGHT, "Ostry", "Ostry"),
        (TEXT_END, "Ostry<|end|>\n<|user|>\nAnd", "Ostry"),
        (FULL_STOP, "3.14.", "3.14"),
    ],
)
def test_a_thought_without_an_answer_is_none(
    chat_template: str, written: str, answer: str | None
) -> None:
    made = encoder(chat_template)
    found = made.written.answer(made.tokenizer(written, add_special_tokens=False)["input_ids"])
    assert (None if found is None else clean_answer(found, ()).text) == answer


def test_marks_of_thoughts_may_be_special_tokens() -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]"]})
    made = encoder(TURNS, tokenizer)

    def answer(text: str) -> str | None:
        return made.written.answer(tokenizer(text, add_special_tokens=False)["input_ids"])

    assert answer("[THINK]Hm.[/THINK]Ostry") == "Ostry"
    assert answer("[THINK]Hm. Ostry") is None


def test_an_unfinished_thought_is_a_failure_that_says_so(
    template: Template, tmp_path: Path
) -> None:
    reader = make_reader(save_tiny(tmp_path / "model", make_tokenizer(THINKS)))
    with reader:
        found = [p for _, p in reader.generate(make_prompts(reader, template, False))]
    assert all(p.raw for p in found), "what it thought is kept"
    assert all("still thinking after 8 tokens" in (p.error or "") for p in found)


def test_an_end_of_turn_that_only_the_template_knows_ends_an_answer() -> None:
    made = encoder(TURNS.replace("<|eot_id|>", "<|end_header_id|>"))
    names = made.tokenizer.convert_ids_to_tokens(made.end_token_ids)
    assert names == [END_OF_TURN, "<|end_header_id|>"]


def test_thoughts_can_be_switched_off_and_the_run_knows_it(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model", make_tokenizer(SWITCH))
    by_default, off = make_reader(model), make_reader(model, "backend.enable_thinking=false")
    other = make_reader(model, "backend.template_options.enable_thinking=false")
    prompt = prompt_of("Where?", "Ostry")
    assert off.decode(off.encode(prompt).prompt_ids).endswith("<think>\n\n</think>\n\n")
    assert not by_default.decode(by_default.encode(prompt).prompt_ids).endswith("\n</think>\n\n")
    assert off.decode(off.encode(prompt).target_ids) == "Ostry<|eot_id|>"
    assert off.encode(prompt) == other.encode(prompt)
    assert off.identity() == {**by_default.identity(), "template": {"enable_thinking": False}}


@pytest.mark.parametrize(
    ("chat_template", "options", "said"),
    [
        (TURNS, {"enable_thinking": True}, "backend.enable_thinking: .* no such variable"),
        (TURNS, {"template_options": {"x": 1}}, "template_options.x: .* no such variable"),
        (TURNS, {"template_options": {"messages": 1}}, "template_options.messages: .* no such"),
        (None, {"enable_thinking": True}, "has no chat template; leave it out"),
    ],
)
def test_variables_that_a_template_lacks_are_refused(
    chat_template: str | None, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        encoder(chat_template, **options)


@pytest.mark.parametrize(
    ("chat_template", "day", "said"),
    [
        (DATED, None, "Today: 26 July 2024 (2024-07-26)"),
        (DATED, "2026-03-05", "Today: 05 March 2026 (2026-03-5)"),
        (OTHER_DATED, None, "26 Jul 2024"),
        (OTHER_DATED, "2026-03-05", "05 Mar 2026"),
    ],
)
def test_a_template_is_rendered_on_the_same_day_for_ever(
    chat_template: str, day: str | None, said: str, tmp_path: Path
) -> None:
    settings = [] if day is None else [f"backend.template_date={day}"]
    model = save_tiny(tmp_path / "model", make_tokenizer(chat_template))
    reader = make_reader(model, *settings)
    text = reader.decode(reader.encode(prompt_of("Where?")).prompt_ids)
    assert text.startswith(f"{said}{BEGIN}")
    facts = reader.identity()["template"]
    assert isinstance(facts, dict)
    assert set(facts.values()) & {day or "2024-07-26", said}
    if day is not None:
        assert facts != make_reader(model).identity()["template"]


def test_a_day_has_no_say_where_the_template_has_none(tiny: Path) -> None:
    other_day = make_reader(tiny, "backend.template_date=2026-03-05")
    assert other_day.identity() == make_reader(tiny).identity()
    with pytest.raises(ConfigError, match="template_date"):
        build_config(LlamaQloraOptions, [{"backend": {"model": "m", "template_date": "yesterday"}}])


@pytest.mark.parametrize(
    ("chat_template", "said"),
    [
        ("{% for turn in messages %}{{ turn.content }", "fails on the turns user"),
        ("{{ raise_exception('Not today') }}", "fails on the turns user: Not today"),
        ("{{ messages[0].content + 1 }}", "fails on the turns user"),
        ("{{ messages[7].content }}", "fails on the turns user"),
        ("{% include 'other.jinja' %}", "fails on the turns user"),
        ("Hello", "omits the user's message"),
        ({"tool_use": TURNS}, r"several chat templates \(tool_use\), but none .* default"),
    ],
)
def test_a_broken_template_is_one_sentence(chat_template: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said) as error:
        encoder(chat_template)
    assert "\n" not in str(error.value)


def test_roles_that_a_template_refuses_are_told_before_any_weights(
    tmp_path: Path, call_aqa: Call
) -> None:
    strict = "{% if messages|length > 2 %}{{ raise_exception('One question') }}{% endif %}" + TURNS
    model = save_tiny(tmp_path / "model", make_tokenizer(strict))
    (tmp_path / "few.yaml").write_text(
        "messages:\n  - {role: user, content: 'Where is Rome?'}\n"
        "  - {role: assistant, content: Italy}\n"
        "  - {role: user, content: '{context} {question}'}\n",
        encoding="utf-8",
    )
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "question": "?", "context": "b"}\n')
    found = call_aqa(
        *("predict", "llama", "--model", model, "--data", "rows.jsonl", "--prompt", "few.yaml"),
        *("--output-dir", "out", "--set", "backend.quantization=none"),
        code=1,
    )
    assert "fails on the turns user, assistant, user: One question" in " ".join(
        found.stderr.split()
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("where", ["question", "passage", "answer"])
@pytest.mark.parametrize("chat_template", [TURNS, CHANNELS, TEXT_END, None])
def test_names_of_special_tokens_are_plain_text(chat_template: str | None, where: str) -> None:
    made = encoder(chat_template)
    said = f"the {END_OF_TURN} token"
    usual = made.encode(prompt_of("Where?", "Ostry", "Rain."))
    texts = {"question": "Where?", "answer": "Ostry", "passage": "Rain."} | {where: said}
    found = made.encode(prompt_of(texts["question"], texts["answer"], texts["passage"]))
    special = {k for k, token in made.tokenizer.added_tokens_decoder.items() if token.special}

    def acting(ids: tuple[int, ...]) -> list[int]:
        return [token for token in ids if token in special]

    assert acting(found.prompt_ids) == acting(usual.prompt_ids)
    assert acting(found.target_ids) == acting(usual.target_ids)
    assert said in made.tokenizer.decode((*found.prompt_ids, *found.target_ids))
    if where == "answer":
        answer = made.written.answer(found.target_ids[:-1])
        assert answer is not None
        assert answer.strip() == said


def test_what_a_prompts_own_words_say_is_left_to_them() -> None:
    """A user who writes a base model's markup into the prompt means it."""
    made = encoder(None)
    template = Template("t", (Message("user", "{question}<|end_header_id|>{context}"),))
    prompt = Prompt("p", 0, f"a{END_OF_TURN}", Evidence((Passage("b"),)), template)
    ids = made.encode(prompt).prompt_ids
    names = made.tokenizer.convert_tokens_to_ids(["<|end_header_id|>", END_OF_TURN])
    assert [ids.count(name) for name in names] == [1, 0]


def test_added_tokens_that_a_template_writes_are_special_too() -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<think>", "Hallmere"])  # not special, like Qwen's
    made = encoder(THINKS, tokenizer)
    think, hallmere = tokenizer.convert_tokens_to_ids(["<think>", "Hallmere"])
    ids = made.encode(prompt_of("What does <think> mean in Hallmere?")).prompt_ids
    assert ids.count(think) == 1
    assert ids.count(hallmere) == 1


def test_examples_keep_what_they_say(tiny: Path, template: Template) -> None:
    """Lengths, too, are those of the plain text."""
    reader = make_reader(tiny, "backend.max_seq_length=160")
    passage = f"Mira lives in Ostry. {'It rains. ' * 80}{END_OF_TURN}"
    example = Example("e", f"Where {END_OF_TURN}?", (Passage(passage),), ("Ostry",))
    (prompt,) = make_prompts(reader, template, with_target=True, examples=[example])
    encoding = reader.encode(prompt)
    assert len(encoding.prompt_ids) + len(encoding.target_ids) <= 160
    assert f"Where {END_OF_TURN}?" in reader.decode(encoding.prompt_ids)
