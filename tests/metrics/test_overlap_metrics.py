import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_pairs import COUNT, Pair, english_pairs, korean_pairs
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from aqa.errors import MissingExtraError, UsageError
from aqa.metrics import load_metric
from aqa.metrics.lenient import without_particle
from aqa.metrics.pairs import Pairs
from aqa.metrics.rouge import Characters, Morphemes, Tokenizer

NAMES = ["rouge1", "rouge2", "rougeL", "bleu", "chrf"]
NFD = unicodedata.normalize("NFD", "서울에서")


def score(name: str, prediction: str | None, *references: str) -> float:
    return load_metric(name).score(Pairs([prediction], [references], "squad")).value


def one_by_one(name: str, pairs: list[Pair], tokenizer: Tokenizer | None = None) -> list[float]:
    """The scores of rouge-score and sacrebleu, pair by pair."""
    if name.startswith("rouge"):
        rouge = RougeScorer([name], tokenizer=tokenizer)
        return [100 * rouge.score(expected, said)[name].fmeasure for said, expected in pairs]
    tokens = "13a" if tokenizer is None else "char"
    metric = CHRF() if name == "chrf" else BLEU(effective_order=True, tokenize=tokens)
    return [metric.sentence_score(said, [expected]).score for said, expected in pairs]


def together(name: str, pairs: list[Pair], profile: str) -> tuple[float, ...]:
    predictions, references = zip(*pairs, strict=True)
    return (
        load_metric(name)
        .score(Pairs(predictions, [[text] for text in references], profile))
        .per_example
    )


@pytest.mark.parametrize("name", NAMES)
def test_english_equals_the_packages_on_real_pairs(name: str, shared_data: Path) -> None:
    pairs = english_pairs(shared_data)
    assert len(pairs) == COUNT
    ours = together(name, pairs, "squad")
    assert ours == pytest.approx(one_by_one(name, pairs), abs=1e-9)
    assert len(set(ours)) > 50


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tokenizer", [Morphemes, Characters])
def test_korean_equals_the_packages_on_real_pairs(
    name: str, tokenizer: type[Tokenizer], shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aqa.metrics.rouge.has_kiwi", lambda: tokenizer is Morphemes)
    pairs = korean_pairs(shared_data)
    assert len(pairs) == COUNT
    ours = together(name, pairs, "korquad")
    assert ours == pytest.approx(one_by_one(name, pairs, tokenizer()), abs=1e-9)
    assert len(set(ours)) > 20


LETTERS = st.text(st.sampled_from("abAB 12.'İßſK\u0130é서울 \t\n"), max_size=30)


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
@pytest.mark.parametrize("tokenizer", [None, Characters()])
@given(pairs=st.lists(st.tuples(LETTERS, LETTERS), min_size=1, max_size=4))
def test_rouge_equals_rouge_score_on_any_text(
    name: str, tokenizer: Tokenizer | None, pairs: list[Pair]
) -> None:
    metric = load_metric(name)
    # Where rouge-score finds no word in the reference, ours reads characters instead.
    wanted = "[a-z0-9]" if tokenizer is None else r"\S"
    known = [pair for pair in pairs if pair[0].strip() and re.search(wanted, pair[1].lower())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aqa.metrics.rouge._tokenizer", lambda *_: (tokenizer, "given"))
        ours = [
            metric.score(Pairs([said], [[expected]], "squad")).value for said, expected in known
        ]
    assert ours == pytest.approx(one_by_one(name, known, tokenizer), abs=1e-9)


@pytest.mark.parametrize("name", [*NAMES, "rougeL"])
@pytest.mark.parametrize(
    "text", ["old Rome in 1848", "서울특별시 종로구", "東京都 千代田区", "Москва и Волга"]
)
def test_identical_texts_are_full(name: str, text: str) -> None:
    assert score(name, text, "x", text) == pytest.approx(100)


@pytest.mark.parametrize("name", NAMES)
def test_all_references_count_and_what_says_nothing(name: str) -> None:
    one, two = score(name, "old Rome", "new Rome"), score(name, "old Rome", "old Rome city")
    assert score(name, "old Rome", "new Rome", "old Rome city") == max(one, two)
    assert score(name, None, "Rome") == 0
    assert score(name, "", "Rome") == 0
    assert score(name, "Rome", "") == 0
    assert score(name, " ") == 100


def test_plain_rouge_is_wrong_for_korean_and_ours_is_not() -> None:
    # metrics.md: rouge-score itself gives 0.0 and 1.0 here.
    assert score("rouge1", "서울특별시", "서울특별시") == 100
    assert 0 < score("rouge1", "1988년 서울 올림픽", "1988년 평양 축전") < 100


@pytest.mark.parametrize(
    ("name", "reference", "part"),
    [
        ("rougeL", "Rome", "rougeL|tokenizer:default|stemmer:no|rouge-score-rs:0.2.1|refs:max|"),
        ("rougeL", "$", "rougeL|tokenizer:default+characters|"),
        ("rougeL", "서울", "rougeL|tokenizer:kiwi-"),
        ("rougeL", "東京", "rougeL|tokenizer:characters|"),
        ("bleu", "Rome", "bleu|sentences:mean|case:mixed|eff:yes|tok:13a|smooth:exp|sacrebleu:"),
        ("bleu", "서울", "|tok:char|"),
        ("chrf", "", "chrf|sentences:mean|case:mixed|eff:yes|nc:6|nw:0|space:no|sacrebleu:"),
        ("lenient", "서울", "lenient|profile:korquad|particles:off|kiwi:"),
    ],
)
def test_signatures(name: str, reference: str, part: str) -> None:
    found = load_metric(name).score(Pairs(["x"], [[reference]], "squad"))
    assert part in found.signature


def test_korean_without_kiwi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aqa.metrics.rouge.has_kiwi", lambda: False)
    found = load_metric("rouge1").score(Pairs(["서울시"], [["서울 특별시"]], "korquad"))
    assert "tokenizer:characters" in found.signature
    assert found.value == pytest.approx(100 * 2 * 3 / (3 + 5))

    from aqa.metrics.kiwi import load_kiwi

    load_kiwi.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "kiwipiepy", None)
    with pytest.raises(MissingExtraError, match=r'pip install "aqa\[korean\]"'):
        load_metric("lenient").score(Pairs(["서울"], [["서울시"]], "korquad"))


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("뉘른베르크에서", "뉘른베르크"),
        ("서울특별시입니다.", "서울특별시"),
        ("이순신 장군이다", "이순신 장군"),
        ("박정희의", "박정희"),
        ("논의", "논의"),
        ("아이", "아이"),
        ("국가", "국가"),
        ("세종대왕 이도", "세종대왕 이도"),
        ("Paris", "Paris"),
        ("", ""),
        ("!", "!"),
        (NFD, NFD),
    ],
)
def test_particles(text: str, bare: str) -> None:
    assert without_particle(text) == bare


def test_lenient() -> None:
    pairs = Pairs(["뉘른베르크에서", "부산"], [["뉘른베르크"], ["서울특별시"]], "korquad")
    assert load_metric("lenient").score(pairs).per_example == (100, 0)
    assert load_metric("lenient_f1").score(pairs).per_example == (100, 0)
    with pytest.raises(UsageError, match="lenient is for Korean answers"):
        score("lenient", "x", "Paris")
