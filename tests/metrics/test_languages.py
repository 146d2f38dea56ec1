"""The detected language of a text, and of an example with several texts."""

import json
import unicodedata
from pathlib import Path

import pytest

from aqa.metrics.languages import example_languages, has_hangul, language_of, language_of_passages


def test_hangul_is_seen_composed_or_not() -> None:
    assert has_hangul(["Paris", "서울"])
    assert has_hangul([unicodedata.normalize("NFD", "서울")])
    assert not has_hangul(["Paris", "東京", ""])


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Who wrote it?", "latin"),
        ("Où est né Ångström ?", "latin"),
        ("누가 썼나?", "ko"),
        (unicodedata.normalize("NFD", "누가 썼나?"), "ko"),
        ("Microsoft Windows 10의 출시일은?", "ko"),
        ("BTS의", "ko"),
        ("What does 한강 mean?", "latin"),
        ("1945", ""),
        ("3.14 %", ""),
        ("", ""),
        ("東京", "zh"),
        ("東京はどこ", "ja"),
        ("Где Москва?", "cyrillic"),
        ("ＡＢＣ", "fullwidth"),
        ("١٢٣", ""),
    ],
)
def test_a_text(text: str, language: str) -> None:
    assert language_of(text) == language


def test_passages_are_korean_by_few_words() -> None:
    games = "Trailer of the Year, Game of the Year, Best Story 상을 받은 바이오쇼크"
    assert (language_of(games), language_of_passages([games])) == ("latin", "ko")
    assert language_of_passages(["Seoul (서울) is the capital of South Korea."]) == "latin"
    assert language_of_passages(["1945", "", "한국어로 쓴 글이다."]) == "ko"
    assert language_of_passages([]) == ""


@pytest.mark.parametrize(
    ("question", "passage", "references", "language"),
    [
        ("몇 년?", "", ("1945",), "ko"),
        ("What year?", "", ("1945",), "latin"),
        ("", "ko", ("1945",), "ko"),
        ("무엇을 만들었나?", "ko", ("Windows",), "ko"),
        ("무엇을 만들었나?", "", ("Windows",), "ko"),
        ("무엇을 만들었나?", "latin", ("Windows",), "latin"),
        ("Who?", "", ("이순신",), "ko"),
        ("Who?", "latin", ("한글",), "latin"),
        ("Who is it?", "latin", ("Seoul", "서울", "Keijo"), "latin"),
        ("Who is it?", "", (), "latin"),
        ("누구?", "", (), "ko"),
        ("誰?", "", ("BTS",), "zh"),
    ],
)
def test_an_example(
    question: str, passage: str, references: tuple[str, ...], language: str
) -> None:
    assert example_languages([references], [question], [passage]) == [language]
    # Other examples change nothing.
    others = example_languages([references, ("x",)] * 3, [question, "?"] * 3, [passage, ""] * 3)
    assert others[::2] == [language] * 3


@pytest.mark.parametrize(
    ("references", "languages"),
    [
        ([("서울",), ("Paris",)], ["ko", "latin"]),
        ([("Seoul", "서울")], ["ko"]),
        ([("서울",), (), ("1945",)], ["ko"] * 3),
        ([("Paris",), (), ("1945",), ("서울",), ("Rome",)], ["latin"] * 3 + ["ko", "latin"]),
        ([(), ("7",)], ["latin"] * 2),
        ([], []),
        # Names in Latin letters among Korean answers, without other information.
        ([("서울",)] * 9 + [("Microsoft",)], ["ko"] * 10),
        ([("서울",)] * 8 + [("Microsoft",)], ["ko"] * 8 + ["latin"]),
        ([("Paris",)] * 9 + [("서울",)], ["latin"] * 9 + ["ko"]),
    ],
)
def test_references_alone(references: list[tuple[str, ...]], languages: list[str]) -> None:
    assert example_languages(references) == languages


def test_korquad_is_korean_throughout(shared_data: Path) -> None:
    articles = json.loads((shared_data / "korquad1/KorQuAD_v1.0_dev.json").read_bytes())["data"]
    asked = [
        (question["question"], paragraph["context"], [each["text"] for each in question["answers"]])
        for article in articles
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    questions, contexts, references = map(list, zip(*asked, strict=True))
    assert sum(not has_hangul(texts) for texts in references) == 262
    assert set(example_languages(references)) == {"ko"}
    assert set(example_languages(references, questions)) == {"ko"}
    passages = [language_of_passages([context]) for context in contexts]
    assert set(example_languages(references, questions, passages)) == {"ko"}


def test_squad_is_english_throughout(shared_data: Path) -> None:
    articles = json.loads((shared_data / "squad2-cs224n/dev-v2.0.json").read_bytes())["data"]
    asked = [
        (question["question"], [each["text"] for each in question["answers"]])
        for article in articles
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    questions, references = map(list, zip(*asked, strict=True))
    assert set(example_languages(references)) == {"latin"}
    assert set(example_languages(references, questions)) == {"latin"}
