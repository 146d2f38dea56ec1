"""What an encoder-decoder reads: plain text, one end token, the whole answer."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_quantized import change_json
from tiny_t5 import make_prompts, make_reader, save_t5, several, t5_tokenizer
from transformers import ByT5Tokenizer

from aqa.backends.t5.encoding import make_text_encoder, text_of
from aqa.errors import ConfigError, ModelError, PromptError
from aqa.prompting.templates import load_template
from aqa.records import Evidence, Example, Message, Passage, Prompt, Template
from aqa.verbs.preview import show

MODELS = ["tiny_t5", "tiny_bart", "tiny_plain"]
TRICKY = Example(
    "tricky",
    "Where is </s> written?",
    (Passage("Here</s> and <pad> there </s>"), Passage("<s> nowhere </s></s>")),
    ("in </s> the text</s>",),
)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("fusion", ["concat", "fid"])
def test_one_end_token_at_the_end_of_all_that_is_read_and_of_the_answer(
    name: str, fusion: str, request: pytest.FixtureRequest
) -> None:
    reader = make_reader(request.getfixturevalue(name), f"backend.fusion={fusion}")
    (prompt,) = make_prompts(reader, with_target=True, examples=[TRICKY])
    encoding = reader.encode(prompt)
    end = reader._encoder.end_id
    ids = list(encoding.prompt_ids)
    parts = []
    for length in encoding.part_lengths:
        parts.append(ids[:length])
        del ids[:length]
    assert not ids
    assert len(parts) == (2 if fusion == "fid" else 1)
    for part in (*parts, list(encoding.target_ids)):
        assert part.count(end) == 1
        assert part[-1] == end
        assert reader._tokenizer.pad_token_id not in part
    assert reader.decode(encoding.target_ids).count("</s>") == 1
    assert "< /s>" in reader.decode(encoding.target_ids), "what the text says is kept"


def test_without_care_the_text_itself_would_end() -> None:
    """These tests' tokenizer does have the flaw that is guarded against."""
    tokenizer = t5_tokenizer()
    ids = tokenizer("a </s> b", add_special_tokens=False)["input_ids"]
    assert tokenizer.eos_token_id in ids


def test_a_begin_token_stands_where_the_tokenizer_writes_one(
    tiny_bart: Path, tiny_t5: Path
) -> None:
    bart, t5 = make_reader(tiny_bart), make_reader(tiny_t5)
    assert bart.encode(make_prompts(bart)[0]).prompt_ids[0] == bart.begin_token_id == 0
    assert t5.begin_token_id is None


def test_messages_are_joined_by_blank_lines(tiny_bart: Path) -> None:
    reader = make_reader(tiny_bart, "prompt=eng_v1")
    prompt = make_prompts(reader)[0]
    system, user = prompt.messages
    assert text_of(prompt) == f"{system.content}\n\n{user.content}"
    read = reader._tokenizer.decode(reader.encode(prompt).prompt_ids, skip_special_tokens=True)
    assert read == text_of(prompt)


def test_the_default_template_is_the_classic_one(tiny_t5: Path) -> None:
    reader = make_reader(tiny_t5)
    prompt = make_prompts(reader)[0]
    assert text_of(prompt) == "question: Where does Mira live? context: Mira lives in Ostry."
    assert load_template("t5_qa").no_answer[0] == "unanswerable"


def test_fid_reads_each_passage_under_the_same_template(tiny_bart: Path) -> None:
    reader = make_reader(tiny_bart, "backend.fusion=fid")
    (prompt,) = make_prompts(reader, examples=[several(3)])
    encoding = reader.encode(prompt)
    text = reader._tokenizer.decode(encoding.prompt_ids)
    parts = [part.removeprefix("<s>") for part in text.split("</s>")[:-1]]
    assert parts == [
        f"question: Where does Mira live? context: {passage.text}"
        for passage in several(3).passages
    ]


def test_fid_without_passages_is_one_part_with_an_empty_context(tiny_bart: Path) -> None:
    reader = make_reader(tiny_bart, "backend.fusion=fid")
    (prompt,) = make_prompts(reader, examples=[Example("none", "Who?", (), ())])
    assert text_of(prompt) == "question: Who? context: "
    assert len(reader.encode(prompt).part_lengths) == 1


@pytest.mark.parametrize("fusion", ["concat", "fid"])
def test_max_seq_length_is_of_the_whole_or_of_each_passage(fusion: str, tiny_t5: Path) -> None:
    limits = [f"backend.fusion={fusion}", "backend.max_seq_length=70"]
    long = replace(several(4), passages=(Passage("Far away. " * 40), *several(4).passages))
    reader = make_reader(tiny_t5, *limits)
    (prompt,) = make_prompts(reader, with_target=True, examples=[long])
    lengths = reader.encode(prompt).part_lengths
    assert max(lengths) <= 70
    kept = prompt.evidence.passages
    assert kept[0].text.endswith("away.")
    assert prompt.evidence.reader_cut_characters > 0
    assert len(kept) == (5 if fusion == "fid" else 1)
    with pytest.raises(PromptError, match="more than the 16 that fit"):
        make_prompts(make_reader(tiny_t5, limits[0], "backend.max_seq_length=16"))


def test_an_answer_is_never_cut(tiny_t5: Path) -> None:
    reader = make_reader(tiny_t5, "backend.max_seq_length=60", "generation.max_new_tokens=2")
    answer = "far " * 50 + "away"
    (prompt,) = make_prompts(
        reader,
        with_target=True,
        examples=[Example("long", "Where?", (Passage("Far."),), (answer,))],
    )
    assert reader.decode(reader.encode(prompt).target_ids) == f" {answer}</s>"


def test_preview_keeps_the_spaces_between_words(tiny_t5: Path) -> None:
    """Token by token, a SentencePiece tokenizer would drop them."""
    reader = make_reader(tiny_t5)
    shown = show(make_prompts(reader, with_target=True)[0], reader)
    text = "".join((*shown.read, *shown.trained))
    assert text == (" question: Where does Mira live? context: Mira lives in Ostry.</s> Ostry</s>")


@pytest.mark.parametrize("answer", ["no , it 's Mira", "he does n't !"])
def test_answers_keep_the_spaces_that_were_written(answer: str, tmp_path: Path) -> None:
    """Many tokenizers ask transformers to remove those before "'s" and punctuation."""
    model = save_t5(tmp_path, t5_tokenizer())
    change_json(model / "tokenizer_config.json", clean_up_tokenization_spaces=True)
    reader = make_reader(model)
    assert reader.text_of(reader._encoder.ids(answer)[:-1]) == answer


def test_float16_is_refused_before_any_weights(tiny_t5: Path) -> None:
    with pytest.raises(ConfigError, match="activations overflow"):
        make_reader(tiny_t5, "backend.compute_dtype=float16").check()


def test_more_tokens_than_the_model_has_positions_are_refused(tiny_bart: Path) -> None:
    with pytest.raises(ConfigError, match="has only 1024 positions"):
        make_reader(tiny_bart, "backend.max_seq_length=1025").check()
    make_reader(tiny_bart, "backend.max_seq_length=1024").check()


def test_names_of_all_special_tokens_are_text_but_for_the_templates_own(tmp_path: Path) -> None:
    """T5's sentinels, BART's mask, mBART's languages."""
    tokenizer = t5_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<extra_id_0>", "ko_KR"]})
    sentinel, language = tokenizer.convert_tokens_to_ids(["<extra_id_0>", "ko_KR"])
    template = Template("t", (Message("user", "{question} {context} <extra_id_0>"),))
    evidence = Evidence((Passage("In ko_KR it is <extra_id_0>."),))
    prompt = Prompt("p", 0, "What is <extra_id_0> in ko_KR?", evidence, template, "<extra_id_0>")
    encoding = make_text_encoder(tokenizer).encode(prompt, by_passage=False)
    assert encoding.prompt_ids.count(sentinel) == 1
    assert encoding.prompt_ids[-2] == sentinel
    assert language not in encoding.prompt_ids
    assert sentinel not in encoding.target_ids


def test_byt5_reads_bytes_with_one_end_token() -> None:
    encoder = make_text_encoder(ByT5Tokenizer())
    ids = encoder.ids("훈민정음</s>")
    assert ids.count(1) == 1
    assert ids[-1] == 1
    assert len(ids) == len("훈민정음< /s>".encode()) + 1
    assert encoder.tokenizer.decode(ids, skip_special_tokens=True) == "훈민정음< /s>"


def test_a_length_that_t5_need_not_keep_to_is_not_warned_of(tmp_path: Path) -> None:
    """flan-T5's tokenizer says 512, and transformers would warn of errors beyond it."""
    tokenizer = t5_tokenizer()
    tokenizer.model_max_length = 5
    make_text_encoder(tokenizer).ids("where does Mira live " * 9)
    assert not any(tokenizer.deprecation_warnings.values())


def test_a_folder_without_a_tokenizer_is_refused(tiny_t5: Path, tmp_path: Path) -> None:
    """A checkpoint has none; transformers would make one to which every word is unknown."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_t5 / name, tmp_path)
    with pytest.raises(ModelError, match="this folder has no tokenizer; name the run folder"):
        make_reader(tmp_path).check()


@pytest.mark.parametrize(("token", "said"), [("eos_token", "no end"), ("pad_token", "no padding")])
def test_a_tokenizer_that_lacks_a_token_is_refused(token: str, said: str) -> None:
    tokenizer = t5_tokenizer()
    setattr(tokenizer, token, None)
    with pytest.raises(ModelError, match=said):
        make_text_encoder(tokenizer)


def test_a_causal_model_is_sent_to_the_other_backend(tiny: Path) -> None:
    with pytest.raises(ModelError, match="use the backend llama-qlora"):
        make_reader(tiny).check()


def test_more_answers_than_beams_are_refused(tiny_t5: Path) -> None:
    with pytest.raises(ConfigError, match=r"set generation.num_beams to 3 or more"):
        make_reader(tiny_t5, "generation.num_return_sequences=3")
    with pytest.raises(ConfigError, match="and one beam"):  # also for sampled beams
        make_reader(
            tiny_t5,
            "generation.num_return_sequences=3",
            "generation.num_beams=2",
            "generation.temperature=1",
        )
    make_reader(tiny_t5, "generation.num_return_sequences=3", "generation.temperature=1")
