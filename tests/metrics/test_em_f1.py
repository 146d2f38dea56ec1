import json
import os
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from aqa.errors import DataError, UsageError
from aqa.metrics import METRICS, RunningScores, load_metric, score_pairs
from aqa.metrics.normalize import f1, longest_run, shared_characters, shared_words
from aqa.metrics.pairs import Pairs
from aqa.version import __version__

NAMES = ["squad", "korquad", "klue-mrc", "mixed"]
SHARED = Path(os.environ.get("AQA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))

# Computed by the official scripts of SQuAD 1.1, KorQuAD 1.0 and KLUE.
VECTORS = [
    (
        "뉘른베르크에서",
        "뉘른베르크",
        {"squad": (0, 0), "korquad": (0, 83.33), "klue-mrc": (0, 83.33)},
    ),
    ("《송환》", "송환", {"squad": (0, 0), "korquad": (100, 100), "klue-mrc": (0, 66.67)}),
    (
        "복잡한감염병",
        "복잡한 감염병",
        {"squad": (0, 0), "korquad": (0, 100), "klue-mrc": (0, 46.15)},
    ),
    ("서울(한국)", "서울 한국", {"squad": (0, 0), "korquad": (100, 100), "klue-mrc": (0, 44.44)}),
    ("The 서울", "서울", {"squad": (100, 100), "korquad": (0, 57.14), "klue-mrc": (0, 50)}),
    (
        "서울특별시입니다",
        "서울특별시",
        {"squad": (0, 0), "korquad": (0, 76.92), "klue-mrc": (0, 76.92)},
    ),
]


def values(
    predictions: list[str | None], references: list[tuple[str, ...]], profile: str = "squad"
) -> list[float]:
    return [score.value for score in score_pairs(predictions, references, profile).values()]


@pytest.mark.parametrize(
    ("prediction", "reference", "profile", "expected"),
    [
        (prediction, reference, profile, scores)
        for prediction, reference, by_profile in VECTORS
        for profile, scores in by_profile.items()
    ],
)
def test_official_vectors(
    prediction: str, reference: str, profile: str, expected: tuple[float, float]
) -> None:
    assert values([prediction], [(reference,)], profile) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(
    ("prediction", "references", "expected"),
    [
        ("Paris", ("Rome", "paris!"), (100, 100)),
        ("old Paris", ("Rome", "Paris", "Paris of old"), (0, 80)),
        ("the the cat", ("cat cat",), (0, 200 / 3)),
        ("", (), (100, 100)),
        ("Paris", (), (0, 0)),
        ("", ("", ""), (100, 100)),
        ("...", ("",), (100, 100)),
        ("", ("Paris",), (0, 0)),
        (None, ("Paris",), (0, 0)),
        (None, (), (0, 0)),
        ("A", ("a",), (100, 100)),
        ("A", ("A",), (100, 100)),
        ("A", ("A", "Paris"), (0, 0)),  # in SQuAD 2.0's script, nothing is left of "A"
        ("", ("Paris", "."), (0, 0)),  # occurs in SQuAD 2.0
        (".", ("Paris", "."), (0, 0)),
        ("paris", ("Paris", "."), (100, 100)),
    ],
)
def test_squad_by_hand(
    prediction: str | None, references: tuple[str, ...], expected: tuple[float, float]
) -> None:
    assert values([prediction], [references]) == pytest.approx(expected)


@pytest.mark.parametrize(("overlap"), [shared_words, shared_characters])
def test_short_and_long_texts_are_counted_alike(overlap) -> None:
    prediction, reference = " ".join("abcab" * 20), " ".join("aabcd" * 20)
    assert f1(overlap(prediction, reference)) == pytest.approx(0.8)
    assert f1(overlap(prediction[:9], reference[:9])) == pytest.approx(0.8)


def test_rouge_w_keeps_the_autojunk_of_klue() -> None:
    reference = "가나다라마" * 50
    prediction = "바가나다라마"
    assert SequenceMatcher(None, prediction, reference, autojunk=False).find_longest_match().size
    assert longest_run(prediction, reference) == (0, 6, 250)
    assert longest_run(prediction, reference[:190])[0] > 0


def test_scores_carry_signature_name_and_values() -> None:
    scores = score_pairs(["서울", None], [("서울",), ("부산",)])
    assert list(scores) == ["em", "f1"]
    assert scores["f1"].signature == f"f1|profile:korquad|refs:max|missing:1|v:{__version__}"
    assert scores["f1"].per_example == (100.0, 0.0)
    assert scores["f1"].value == 50.0
    assert list(score_pairs(["서울"], [("서울",)], "klue-mrc")) == ["em", "rouge_w"]


def test_signature_tells_failures_and_the_unicode_form() -> None:
    pairs = Pairs([None, None, "x"], [("a",), ("b",), ("x",)], "squad", 1, "nfc")
    signature = load_metric("em")(pairs).signature
    assert signature == f"em|profile:squad|unicode:nfc|refs:max|missing:1|failed:1|v:{__version__}"


@pytest.mark.parametrize("profile", ["mixed", "auto"])
def test_mixed_takes_each_language_by_its_own_profile(profile: str) -> None:
    references = [("이순신 장군",), ("old Paris",), ("1945",)]
    predictions = ["이순신장군", "oldParis", "1945년"]
    both = score_pairs(predictions, references, profile, ["누구?", "Where?", "몇 년?"])
    assert both["f1"].per_example == pytest.approx((100, 0, 800 / 9))
    assert both["f1"].signature.startswith("f1|profile:mixed(korquad:2,squad:1)|refs:max|")


def test_nothing_to_score() -> None:
    with pytest.raises(DataError, match="no examples"):
        score_pairs([], [])


def test_unequal_lengths() -> None:
    with pytest.raises(ValueError, match="longer"):
        score_pairs(["a"], [("a",), ("b",)])


def test_metrics_by_name() -> None:
    assert {"em", "f1", "bertscore"} <= set(METRICS)
    with pytest.raises(UsageError, match="did you mean 'bertscore'"):
        load_metric("bert_score")
    with pytest.raises(UsageError, match="known are em, f1"):
        load_metric("xyz")


@pytest.mark.parametrize("profile", ["auto", *NAMES])
def test_running_scores_equal_the_whole(profile: str) -> None:
    predictions = ["서울(한국)", None, "부산시", "대구"]
    references = [("서울 한국",), ("인천",), ("부산", "부산광역시"), ("대구",)]
    running = RunningScores(profile)
    assert running.means() == {}
    single = [running.add(*pair) for pair in zip(predictions, references, strict=True)]
    whole = score_pairs(predictions, references, profile)
    assert running.means() == {name: score.value for name, score in whole.items()}
    assert [exact for exact, _ in single] == list(whole["em"].per_example)


def squad_shaped(relative: str) -> list[tuple[str, ...]]:
    path = SHARED / relative
    if not path.is_file():
        pytest.skip(f"{relative} is not there; name its folder in AQA_SHARED_DATA")
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    return [
        tuple(answer["text"] for answer in question["answers"])
        for article in articles
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


@pytest.mark.parametrize("profile", ["auto", "korquad", "klue-mrc"])
def test_korquad_gold_against_itself(profile: str) -> None:
    references = squad_shaped("korquad1/KorQuAD_v1.0_dev.json")
    assert len(references) == 5774
    assert values([texts[0] for texts in references], references, profile) == [100.0, 100.0]


def test_squad2_gold_and_silence() -> None:
    references = squad_shaped("squad2-cs224n/dev-v2.0.json")
    assert len(references) == 6078
    gold = [max(texts, key=len, default="") for texts in references]
    assert values(gold, references, "auto") == [100.0, 100.0]
    silent = values([""] * len(references), references)
    assert silent == pytest.approx([100 * 3168 / 6078] * 2)
