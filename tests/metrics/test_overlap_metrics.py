import random
import unicodedata

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from aqa.errors import MissingExtraError, UsageError
from aqa.metrics import load_metric
from aqa.metrics.lenient import without_particle
from aqa.metrics.pairs import Pairs

NAMES = ["rouge1", "rouge2", "rougeL", "bleu", "chrf"]
WORDS = "the a river flows north of old Rome , 1848 and Queen Victoria's gold !".split()  # noqa: SIM905
NFD = unicodedata.normalize("NFD", "서울에서")


def score(name: str, prediction: str | None, *references: str) -> float:
    return load_metric(name).score(Pairs([prediction], [references], "squad")).value


def texts(count: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(2, 12))) for _ in range(count)]


def test_equal_to_the_packages() -> None:
    predictions, references = texts(500, 1), texts(500, 2)
    pairs = Pairs(predictions, [[text] for text in references], "squad")
    rouge = RougeScorer(["rouge1", "rouge2", "rougeL"])
    bleu, chrf = BLEU(effective_order=True), CHRF()
    for name in NAMES:
        ours = load_metric(name).score(pairs).per_example
        if name.startswith("rouge"):
            theirs = [
                100 * rouge.score(reference, prediction)[name].fmeasure
                for prediction, reference in zip(predictions, references, strict=True)
            ]
        else:
            metric = bleu if name == "bleu" else chrf
            theirs = [
                metric.sentence_score(prediction, [reference]).score
                for prediction, reference in zip(predictions, references, strict=True)
            ]
        assert ours == pytest.approx(theirs, abs=1e-9)


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
        ("rougeL", "Rome", "rougeL|tokenizer:default|stemmer:no|rouge-score:0.1.2|refs:max|"),
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
