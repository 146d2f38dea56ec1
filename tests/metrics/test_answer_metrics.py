"""The metrics match, precision and recall, and the language of answers."""

import pytest

from aqa.errors import UsageError
from aqa.metrics import load_metric, metric_names, possible_scores
from aqa.metrics.pairs import Citation, Pairs


def score(
    name: str, prediction: str | None, *references: str, profile: str = "squad", question: str = ""
) -> float:
    pairs = Pairs([prediction], [references], profile, questions=[question])
    return load_metric(name)(pairs).value


@pytest.mark.parametrize(
    ("prediction", "reference", "profile", "value"),
    [
        ("It was in Paris, France.", "paris", "squad", 100),
        ("the Parisian", "Paris", "squad", 0),
        ("in 1945", "1945", "squad", 100),
        ("in 19450", "1945", "squad", 0),
        ("New York City", "York City", "squad", 100),
        ("york", "New York", "squad", 0),
        ("서울에서 열렸다", "서울", "korquad", 100),
        ("임시정부의 김구", "임시 정부", "korquad", 100),
        ("그 임시 정부의 김구", "임시정부", "korquad", 100),
        ("대한민국임시정부의 김구", "임시 정부", "korquad", 100),
        ("그는 회사 과장이다", "사과", "korquad", 0),
        ("모두 13명", "3명", "korquad", 0),
        ("1945년이다", "1945", "korquad", 100),
        ("《춘향전》이다", "춘향전", "korquad", 100),
        ("", "Paris", "squad", 0),
        (None, "Paris", "squad", 0),
        ("काम", "का", "squad", 0),  # a vowel is a combining mark, not the end of a word
        ("यह काम है", "काम", "squad", 100),
        ("答案是东京", "东京", "squad", 100),  # no spaces between words
        ("東京タワーです", "タワー", "mixed", 100),
        ("คำตอบคือกรุงเทพ", "กรุงเทพ", "squad", 100),
        ("ตาม", "ตา", "squad", 100),
        ("กี่", "ก", "squad", 0),  # a vowel
        ("全部で13人", "3人", "squad", 0),
        ("全部で13人", "13", "squad", 100),
    ],
)
def test_match(prediction: str | None, reference: str, profile: str, value: float) -> None:
    assert score("match", prediction, "xyz", reference, profile=profile) == value


def test_match_where_nothing_is_left_of_the_reference() -> None:
    assert score("match", "A", "A") == 100
    assert score("match", "Option A", "A") == 0


def test_match_of_the_unanswerable() -> None:
    assert score("match", "") == 100
    assert score("match", "Paris") == 0


@pytest.mark.parametrize(
    ("prediction", "references", "profile", "precision", "recall"),
    [
        ("old Paris", ["Paris"], "squad", 50, 100),
        ("Paris", ["old Paris town"], "squad", 100, 100 / 3),
        ("old Paris", ["Paris", "very old Paris town"], "squad", 100, 100),
        ("the Paris!", ["paris"], "squad", 100, 100),
        ("서울시", ["서울특별시"], "korquad", 100, 60),
        ("서울시", ["서울특별시"], "klue-mrc", 200 / 3, 40),
        ("", ["Paris"], "squad", 0, 0),
        ("...", ["Paris"], "squad", 0, 0),
        ("x", ["Paris"], "squad", 0, 0),
        ("", [], "squad", 100, 100),
        ("x", [], "squad", 0, 0),
        (None, ["Paris"], "squad", 0, 0),
        ("A", ["A"], "squad", 100, 100),
    ],
)
def test_precision_and_recall(
    prediction: str | None, references: list[str], profile: str, precision: float, recall: float
) -> None:
    assert score("precision", prediction, *references, profile=profile) == pytest.approx(precision)
    assert score("recall", prediction, *references, profile=profile) == pytest.approx(recall)


@pytest.mark.parametrize(
    ("question", "prediction", "references", "value"),
    [
        ("누구?", "이순신", ["이순신"], 100),
        ("누구?", "Yi Sun-sin", ["이순신"], 0),
        ("누구?", "Microsoft", ["Microsoft"], 100),
        ("누구?", "1945", ["이순신"], 100),
        ("누구?", "", ["이순신"], 100),
        ("누구?", None, ["이순신"], 0),
        ("Who?", "이순신", ["Yi Sun-sin"], 0),
        ("Who?", "Admiral Yi", ["Yi Sun-sin"], 100),
        ("Where?", "東京", ["Tokyo"], 0),
        ("どこ?", "東京", ["東京"], 100),
        ("どこ?", "Tokyo", ["東京"], 0),
    ],
)
def test_language(
    question: str, prediction: str | None, references: list[str], value: float
) -> None:
    assert score("language", prediction, *references, question=question) == value


def test_language_needs_questions() -> None:
    with pytest.raises(UsageError, match="name the data with --data"):
        score("language", "x", "y")


@pytest.mark.parametrize(
    ("named", "gold", "precision", "recall"),
    [
        ({1, 2}, {2}, 50, 100),
        ({1}, {1, 3}, 100, 50),
        ({3}, {1}, 0, 0),
        (set(), {1}, 0, 0),
        ({1}, set(), 0, 0),
        (set(), set(), 100, 100),
    ],
)
def test_citation(named: set[int], gold: set[int], precision: float, recall: float) -> None:
    cited = [Citation(frozenset(named), frozenset(gold)), None]
    pairs = Pairs(["x", "y"], [["x"], ["y"]], "squad", citations=cited)
    found = [load_metric(name)(pairs).per_example for name in metric_names(["citation"])]
    assert found == [(precision, 0), (recall, 0)]


def test_citation_by_name() -> None:
    assert metric_names(["em", "citation", "em"]) == ["em", "citation_precision", "citation_recall"]
    assert possible_scores(["citation"]) == ["citation_precision", "citation_recall"]
    with pytest.raises(UsageError, match="did you mean 'citation'"):
        load_metric("citations")
    with pytest.raises(UsageError, match=r"backend\.structured=true"):
        load_metric("citation_recall")(Pairs(["x"], [["x"]], "squad", citations=[None]))
