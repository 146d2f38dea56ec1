"""Text that a tokenizer does not know is reported before it is read, trained on or written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from calls import Call
from tiny_llama import make_tokenizer
from tiny_t5 import bart_tokenizer, save_t5, t5_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from aqa.backends.tokenizers import unknown_characters

KOREAN = ("미라는 어디에 사나요?", "미라는 오스트리에 산다.", "오스트리")
ENGLISH = ("Where does Mira live?", "Mira lives in Ostry.", "Ostry")


@pytest.fixture(scope="module")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It has been trained on English only."""
    return save_t5(tmp_path_factory.mktemp("t5"), t5_tokenizer())


def words_only() -> Any:
    """Whole words, with an unknown token for others, like BERT for words with a rare character."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "Mira": 1, "lives": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def letters_only() -> Any:
    """Letters, dropping all others: a tokenizer without an unknown token."""
    tokenizer = Tokenizer(models.BPE({letter: n for n, letter in enumerate("Miralves")}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.mark.parametrize(
    ("make", "text", "unknown", "characters"),
    [
        (t5_tokenizer, "Mira lives in Ostry.", 0, 17),
        (t5_tokenizer, "Mira 미라 lives", 2, 11),
        (t5_tokenizer, KOREAN[1], 10, 11),  # the full stop is known
        (bart_tokenizer, KOREAN[1], 0, 11),  # bytes
        (make_tokenizer, KOREAN[1], 0, 11),
        (ByT5Tokenizer, KOREAN[1], 0, 11),
        (words_only, "Mira lives 어디에", 3, 12),
        (letters_only, "Mira 미라 lives", 2, 11),
        (t5_tokenizer, "", 0, 0),
    ],
)
def test_characters_without_a_token_of_their_own(
    make: Callable[[], Any], text: str, unknown: int, characters: int
) -> None:
    assert unknown_characters(make(), text) == (unknown, characters)


def test_decomposed_hangul_counts_as_it_is_read() -> None:
    import unicodedata

    decomposed = unicodedata.normalize("NFD", "미라")
    assert unknown_characters(t5_tokenizer(), decomposed) == (2, 2)
    assert unknown_characters(bart_tokenizer(), decomposed) == (0, 2)


def write(path: Path, *examples: tuple[str, str, str]) -> Path:
    rows = [
        {"id": str(n), "question": question, "context": context, "answers": [answer]}
        for n, (question, context, answer) in enumerate(examples)
    ]
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def words(verb: str, model: Path, data: Path, *more: str) -> list[str | Path]:
    return [verb, "t5", "--model", model, "--data", data, "--output-dir", "out", *more]


@pytest.mark.parametrize("verb", ["train", "predict"])
def test_a_language_that_the_model_does_not_know_is_refused(
    verb: str, tiny_t5: Path, tmp_path: Path, call_aqa: Call
) -> None:
    data = write(tmp_path / "ko.json", KOREAN, ENGLISH, KOREAN)
    found = call_aqa(*words(verb, tiny_t5, data))
    said = " ".join(found.stderr.split())
    assert found.returncode == 1
    assert "does not know 49% of the characters that are read and 62% of those of the" in said
    assert "choose a model that has" in said
    assert not (tmp_path / "out").exists()


def test_answers_alone_may_be_unknown(tiny_t5: Path, tmp_path: Path, call_aqa: Call) -> None:
    data = write(
        tmp_path / "mixed.json", ("Where is Mira?", "It is said that Mira is in 산.", "산")
    )
    found = call_aqa(*words("train", tiny_t5, data, "--dry-run"), code=1)
    assert "100% of those of the answers" in " ".join(found.stderr.split())


def test_a_part_of_it_is_warned_of(tiny_t5: Path, tmp_path: Path, call_aqa: Call) -> None:
    data = write(tmp_path / "en.json", *[ENGLISH] * 9, KOREAN)
    found = call_aqa(*words("train", tiny_t5, data, "--dry-run"), code=0)
    assert "does not know 6% of the characters that are read and 8% of" in " ".join(
        found.stderr.split()
    )


def test_what_a_tokenizer_knows_is_no_matter(tiny_t5: Path, tmp_path: Path, call_aqa: Call) -> None:
    bytes_model = save_t5(tmp_path / "bytes", bart_tokenizer())
    for model, examples in ((tiny_t5, [ENGLISH]), (bytes_model, [KOREAN])):
        found = call_aqa(
            *words("train", model, write(tmp_path / "d.json", *examples), "--dry-run"), code=0
        )
        assert "does not know" not in found.stderr
