"""Properties of every score for any texts: the cheap metrics and all profiles."""

import sys
import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqa.metrics import load_metric
from aqa.metrics.languages import language_of
from aqa.metrics.normalize import PROFILES
from aqa.metrics.pairs import Pairs

METRICS = [("em", name) for name in PROFILES] + [("f1", name) for name in PROFILES]
METRICS += [(name, "squad") for name in ("rouge1", "rouge2", "rougeL", "sentence_bleu", "chrf")]
METRICS += [(name, profile) for name in ("precision", "recall", "match") for profile in PROFILES]
SYMMETRIC = [
    (name, profile) for name, profile in METRICS if name in ("em", "f1") or name.startswith("rouge")
]

WORDS = ["old", "Rome", "the", "in", "서울", "한강", "東京", "1848", "U.S.", "《송환》", "!", "$"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
EXAMPLES = st.lists(
    st.tuples(st.one_of(st.none(), TEXTS), st.lists(TEXTS, max_size=3).map(tuple)),
    min_size=1,
    max_size=6,
)
few = settings(max_examples=25, deadline=None)
Examples = Sequence[tuple[str | None, tuple[str, ...]]]


def scripts() -> dict[str, str]:
    """Two words of three letters in each script, by the first word of the letters' names."""
    letters: dict[str, list[str]] = {}
    for number in range(sys.maxunicode + 1):
        if unicodedata.category(chr(number)).startswith("L"):
            name = unicodedata.name(chr(number), "UNNAMED").split()[0]
            letters.setdefault(name, []).append(chr(number))
    spread = {name: own[:: max(1, len(own) // 6)][:6] for name, own in letters.items()}
    return {name: " ".join(("".join(own[:3]), "".join(own[3:]))) for name, own in spread.items()}


def per_example(name: str, profile: str, examples: Examples) -> tuple[float, ...]:
    predictions, references = zip(*examples, strict=True)
    return load_metric(name)(Pairs(predictions, references, profile)).per_example


@pytest.mark.parametrize(("name", "profile"), METRICS)
def test_identical_texts_are_full_in_every_script(name: str, profile: str) -> None:
    texts = scripts()
    assert len(texts) > 160
    assert {"LATIN", "HANGUL", "CJK", "ARABIC", "DEVANAGARI", "THAI", "ADLAM"} <= texts.keys()
    for text in texts.values():
        known = f"x{text} {text}" if name == "rouge2" else text  # it needs bigrams
        assert per_example(name, profile, [(known, ("?", known))]) == pytest.approx((100,)), text
    together = per_example(name, profile, [(text, (text,)) for text in texts.values()])
    if name != "rouge2":
        assert together == pytest.approx([100] * len(texts))


@pytest.mark.parametrize(("name", "profile"), METRICS)
@few
@given(examples=EXAMPLES)
def test_bounds(name: str, profile: str, examples: Examples) -> None:
    for value, (prediction, references) in zip(
        per_example(name, profile, examples), examples, strict=True
    ):
        assert 0 <= value <= 100
        if prediction is None:
            assert value == 0
        if name != "rouge2" and prediction is not None and prediction in references[:1]:
            normalized = [PROFILES[profile].normalize(text) for text in references]
            if all(normalized):
                assert value == pytest.approx(100)


@pytest.mark.parametrize(("name", "profile"), METRICS)
@few
@given(examples=EXAMPLES, random=st.randoms())
def test_the_order_of_examples_and_references(
    name: str, profile: str, examples: Examples, random
) -> None:
    values = per_example(name, profile, examples)
    order = random.sample(range(len(examples)), len(examples))
    turned = [(examples[at][0], examples[at][1][::-1]) for at in order]
    assert per_example(name, profile, turned) == pytest.approx([values[at] for at in order])


@pytest.mark.parametrize(("name", "profile"), METRICS)
@few
@given(prediction=TEXTS, references=st.lists(TEXTS, min_size=1, max_size=4))
def test_the_best_reference_counts(
    name: str, profile: str, prediction: str, references: list[str]
) -> None:
    said = [text for text in references if PROFILES[profile].normalize(text)] or ["Rome"]
    # One language for all, so that all get the same tokenizer.
    one_by_one = per_example(name, profile, [(prediction, (text,)) for text in said])
    (together,) = per_example(name, profile, [(prediction, tuple(said))])
    if len(set(map(language_of, said))) == 1:
        assert together == pytest.approx(max(one_by_one))


@pytest.mark.parametrize(("name", "profile"), SYMMETRIC)
@few
@given(one=TEXTS, other=TEXTS)
def test_prediction_and_reference_may_change_places(
    name: str, profile: str, one: str, other: str
) -> None:
    if name.startswith("rouge"):  # whose tokenizer depends on the reference's language
        one, other = (f"x {text.encode('ascii', 'ignore').decode()}" for text in (one, other))
    there = per_example(name, profile, [(one, (other,))])
    assert there == pytest.approx(per_example(name, profile, [(other, (one,))]))
