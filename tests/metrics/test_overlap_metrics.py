import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_pairs import COUNT, Pair, english_pairs, korean_pairs
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from aqa.errors import MissingExtraError
from aqa.metrics import load_metric
from aqa.metrics.languages import LATIN, language_of
from aqa.metrics.pairs import Pairs
from aqa.metrics.rouge import Tokenizer, by_morphemes, characters, split_like
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.intervals import mean_intervals
from aqa.records import Score

NAMES = ["rouge1", "rouge2", "rougeL", "sentence_bleu", "chrf"]


def score(name: str, prediction: str | None, *references: str) -> float:
    return load_metric(name)(Pairs([prediction], [references], "squad")).value


class Aligned:
    """Gives rouge-score, which asks for the reference first, the pair's tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._expected: Sequence[str] | None = None

    def tokenize(self, text: str) -> Sequence[str]:
        tokens = self._tokenizer(text)
        if self._expected is None:
            self._expected = tokens
            return tokens
        expected, self._expected = self._expected, None
        return split_like(tokens, expected)


def one_by_one(name: str, pairs: list[Pair], tokenizer: Tokenizer | None = None) -> list[float]:
    """The scores of rouge-score and sacrebleu, pair by pair."""
    if name.startswith("rouge"):
        from rouge_score.rouge_scorer import RougeScorer  # a slow import

        rouge = RougeScorer([name], tokenizer=Aligned(tokenizer) if tokenizer else None)
        return [100 * rouge.score(expected, said)[name].fmeasure for said, expected in pairs]
    tokens = "13a" if tokenizer is None else "char"
    metric = CHRF() if name == "chrf" else BLEU(effective_order=True, tokenize=tokens)
    return [metric.sentence_score(said, [expected]).score for said, expected in pairs]


def together(name: str, pairs: list[Pair], profile: str) -> tuple[float, ...]:
    predictions, references = zip(*pairs, strict=True)
    return load_metric(name)(
        Pairs(predictions, [[text] for text in references], profile)
    ).per_example


@pytest.mark.parametrize("name", NAMES)
def test_english_equals_the_packages_on_real_pairs(name: str, shared_data: Path) -> None:
    pairs = english_pairs(shared_data)
    assert len(pairs) == COUNT
    ours = together(name, pairs, "squad")
    assert ours == pytest.approx(one_by_one(name, pairs), abs=1e-9)
    assert len(set(ours)) > 50


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tokenizer", [by_morphemes, characters])
def test_korean_equals_the_packages_on_real_pairs(
    name: str, tokenizer: Tokenizer, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aqa.metrics.rouge.has_kiwi", lambda: tokenizer is by_morphemes)
    pairs = korean_pairs(shared_data)
    assert len(pairs) == COUNT
    ours = together(name, pairs, "korquad")
    assert ours == pytest.approx(one_by_one(name, pairs, tokenizer), abs=1e-9)
    assert len(set(ours)) > 20


LETTERS = st.text(st.sampled_from("abAB 12.'İßſK\u0130é서울 \t\n"), max_size=30)


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
@pytest.mark.parametrize(("language", "tokenizer"), [("en", None), ("ja", characters)])
@given(pairs=st.lists(st.tuples(LETTERS, LETTERS), min_size=1, max_size=4))
def test_rouge_equals_rouge_score_on_any_text(
    name: str, language: str, tokenizer: Tokenizer | None, pairs: list[Pair]
) -> None:
    metric = load_metric(name)
    # If rouge-score finds no word in the reference, or it is Korean, ours tokenizes differently.
    wanted = "[a-z0-9]" if tokenizer is None else r"\S"
    known = [
        pair
        for pair in pairs
        if pair[0].strip()
        and re.search(wanted, pair[1].lower())
        and (tokenizer or language_of(pair[1]) in ("", LATIN))
    ]
    ours = [
        metric(Pairs([said], [[expected]], "squad", known_languages=[language])).value
        for said, expected in known
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


@pytest.mark.parametrize("name", ["rouge1", "rougeL"])
@pytest.mark.parametrize(
    ("prediction", "reference", "value"),
    [
        ("3월 1일 벚꽃 축제", "3월 1일 만세 운동", 100 * 4 / 6),
        ("서울.", "서울", 100),
        ("《서울》!", "서울", 100),
        ("김 구", "김구", 100),
        ("김구 선생", "김 구", 100 * 2 * 2 / (3 + 2)),
        ("시데하라기주로", "시데하라 기주로", 100),
        ("스테파니브룩스가", "스테파니 브룩스", 100 * 2 * 2 / (3 + 2)),
        ("평양", "서울", 0),
        ("東京。", "東京", 100),
    ],
)
def test_korean_marks_and_spaces(name: str, prediction: str, reference: str, value: float) -> None:
    assert score(name, prediction, reference) == pytest.approx(value)


@pytest.mark.parametrize(
    ("language", "prediction", "reference", "value"),
    [
        (LATIN, "3월 1일 축제", "3월 1일 만세", 80),  # ROUGE's own tokenizer sees 3 and 1: 100
        (LATIN, "Кот 5", "Дом 5", 50),
        (LATIN, "Rome 5", "Roma 5", 50),
        ("devanagari", "की", "का", 50),  # one letter with different vowels
        ("thai", "ที่", "ทำ", 40),
        ("thai", "ทำ!", "ทำ", 100),
    ],
)
def test_rouge_sees_all_that_a_reference_says(
    language: str, prediction: str, reference: str, value: float
) -> None:
    pairs = Pairs([prediction], [[reference]], "squad", known_languages=[language])
    assert load_metric("rouge1")(pairs).value == pytest.approx(value)


@pytest.mark.parametrize("answer", ['"차붐"', "차붐.", "〈봄〉", "BTV.", "1981."])
def test_marks_around_an_answer_change_no_word_of_it(answer: str) -> None:
    pairs = Pairs([answer], [[answer.strip('".〈〉')]], "korquad", known_languages=["ko"])
    assert load_metric("rouge1")(pairs).value == 100


def test_rouge_reads_each_example_in_its_language() -> None:
    predictions = ["Marlowe", "3월 1일 벚꽃 축제", "COVID-19 치료제", "モスクワ", "old Rome"]
    references = ["William Shakespeare", "3월 1일 만세 운동", "COVID-19 백신", "Москва", "Rome"]
    pairs = Pairs(predictions, [[text] for text in references], "mixed")
    found = load_metric("rouge1")(pairs)
    assert found.per_example[:2] == pytest.approx((0, 100 * 4 / 6))
    assert 0 < found.per_example[2] < 100
    assert found.per_example[3:] == pytest.approx((0, 100 * 2 / 3))
    assert "|tokenizer:default+kiwi-" in found.signature
    assert "+characters|" in found.signature


@pytest.mark.parametrize(
    ("tokens", "model", "parts"),
    [
        ("김구 는", "김 구", "김 구 는"),
        ("김 구 는", "김구", "김구 는"),
        ("시데하라기주 로", "시데하라 기주로", "시데하라 기주로"),
        ("New York", "NewYork", "New York"),
        ("임시 정부", "임시 정부", "임시 정부"),
        ("", "김", ""),
    ],
)
def test_parts_of_another_text(tokens: str, model: str, parts: str) -> None:
    assert list(split_like(tokens.split(), model.split())) == parts.split()


@pytest.mark.parametrize(("name", "order"), [("bleu", 4), ("bleu1", 1)])
@pytest.mark.parametrize("language", ["English", "Korean"])
def test_corpus_bleu_equals_sacrebleu(
    name: str, order: int, language: str, shared_data: Path
) -> None:
    pairs = (english_pairs if language == "English" else korean_pairs)(shared_data)
    predictions = ["", *(said for said, _ in pairs)]
    # Some have several references, including the prediction itself, and some have none.
    references = [[pairs[0][1]], *([expected] for _, expected in pairs)]
    for place in range(2, 60, 3):
        references[place] += [predictions[place][:-2] or "x", predictions[place + 1]]
    metric = BLEU(max_ngram_order=order, tokenize="13a" if language == "English" else "char")
    streams = [
        [texts[number] if number < len(texts) else None for texts in references]
        for number in range(3)
    ]
    expected = metric.corpus_score(predictions, streams).score
    found = load_metric(name)(
        Pairs([None, *predictions[1:]], references, "squad" if language == "English" else "korquad")
    )
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert 5 < expected < 95
    assert found.per_example == ()


@pytest.mark.parametrize("brevity", [False, True])
def test_the_influence_on_bleu_is_its_derivative(brevity: bool, shared_data: Path) -> None:
    """BLEU changes as predicted when one example gets more weight, with the bootstrap's spread."""
    pairs = korean_pairs(shared_data)[:200]
    said = [text[:-3] if brevity and len(text) > 7 else text for text, _ in pairs]
    expected = [text for _, text in pairs]

    def bleu(weights: list[int]) -> Score:
        places = [place for place, weight in enumerate(weights) for _ in range(weight)]
        texts = [[expected[place]] for place in places]
        found = load_metric("bleu")(Pairs([said[at] for at in places], texts, "korquad"))
        assert found.influence
        return found

    whole = bleu([1] * 200)
    assert fmean(whole.influence) == pytest.approx(whole.value)
    for place in (0, 150):
        moved = bleu([20 + (at == place) for at in range(200)]).value - whole.value
        told = (whole.influence[place] - whole.value) / 200 / 20
        assert moved == pytest.approx(told, rel=0.02)
    metric = BLEU(tokenize="char")
    resampled = metric.corpus_score(said, [expected], n_bootstrap=1000)
    found = mean_intervals(np.array([whole.influence]).T, Clusters.apart(200), (0, 100))
    assert found.highs[0] - found.lows[0] == pytest.approx(2 * resampled._ci, rel=0.1)


def test_bleu_without_matches_has_no_influence() -> None:
    found = load_metric("bleu")(Pairs(["x y z u"], [["a b c d"]], "squad"))
    assert (found.value, found.influence) == (0, ())


def test_corpus_bleu_reads_each_example_in_its_language() -> None:
    pairs = Pairs(["old Rome city", "서울특별시"], [["old Rome"], ["서울시"]], "mixed")
    found = load_metric("bleu1")(pairs)
    # English words, Korean characters: 2 of 3 and 3 of 5, and no brevity penalty.
    assert found.value == pytest.approx(100 * 5 / 8)
    assert "|tok:13a+char|" in found.signature


def test_corpus_bleu_and_silence() -> None:
    silent = Pairs(["", "Rome"], [[], ["Rome"]], "squad")
    assert load_metric("bleu1")(silent).value == 100
    said = Pairs(["x", "Rome"], [[], ["Rome"]], "squad")
    assert load_metric("bleu1")(said).value == pytest.approx(50)
    short = Pairs(["Rome"], [["Rome"]], "squad")
    assert load_metric("bleu")(short).value == 0, "no answer has four tokens"


def test_plain_rouge_is_wrong_for_korean_and_ours_is_not() -> None:
    # metrics.md: rouge-score itself gives 0.0 and 1.0 here.
    assert score("rouge1", "서울특별시", "서울특별시") == 100
    assert 0 < score("rouge1", "1988년 서울 올림픽", "1988년 평양 축전") < 100


@pytest.mark.parametrize(
    ("name", "reference", "part"),
    [
        ("rougeL", "Rome", "rougeL|tokenizer:default|stemmer:no|rouge-score-rs:0.2.1|refs:max|"),
        ("rougeL", "$", "rougeL|tokenizer:characters|"),
        ("rougeL", "서울", "rougeL|tokenizer:kiwi-"),
        ("rougeL", "東京", "rougeL|tokenizer:characters|"),
        (
            "sentence_bleu",
            "Rome",
            "sentence_bleu|sentences:mean|case:mixed|eff:yes|tok:13a|smooth:exp|sacrebleu:",
        ),
        ("bleu", "Rome", "bleu|case:mixed|eff:no|tok:13a|smooth:exp|sacrebleu:2.6.0|refs:all|"),
        ("bleu", "서울", "|tok:char|"),
        ("chrf", "", "chrf|sentences:mean|case:mixed|eff:yes|nc:6|nw:0|space:no|sacrebleu:"),
        ("lenient", "서울", "lenient|profile:korquad|particles:forgiven|kiwi:"),
    ],
)
def test_signatures(name: str, reference: str, part: str) -> None:
    found = load_metric(name)(Pairs(["x"], [[reference]], "squad"))
    assert part in found.signature


def test_korean_without_kiwi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aqa.metrics.rouge.has_kiwi", lambda: False)
    found = load_metric("rouge1")(Pairs(["서울시"], [["서울 특별시"]], "korquad"))
    assert "tokenizer:characters" in found.signature
    assert found.value == pytest.approx(100 * 2 * 3 / (3 + 5))

    from aqa.metrics.kiwi import load_kiwi

    load_kiwi.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "kiwipiepy", None)
    with pytest.raises(MissingExtraError, match=r'pip install "aqa\[korean\]"'):
        load_metric("lenient")(Pairs(["서울"], [["서울시"]], "korquad"))
