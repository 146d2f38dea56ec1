import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqa.errors import UsageError
from aqa.metrics.normalize import PROFILES, choose_profile, profile_for, second_score


@pytest.mark.parametrize(
    ("profile", "text", "normalized"),
    [
        ("squad", "The Cat, an  A-team!", "cat ateam"),
        ("squad", "《송환》", "《송환》"),
        ("squad", "“the” cat", "“ ” cat"),
        ("korquad", "《송환》", "송환"),
        ("korquad", "서울(한국) ‘수도’", "서울 한국 수도"),
        ("korquad", "The A-team's", "the ateam s"),
        ("klue-mrc", "서울(한국)", "서울한국"),
        ("klue-mrc", "《송환》  A", "《송환》 a"),
    ],
)
def test_normalize(profile: str, text: str, normalized: str) -> None:
    assert PROFILES[profile].normalize(text) == normalized


def plain_squad(text: str) -> str:
    """The published steps, one by one."""
    kept = "".join(letter for letter in text.lower() if letter not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


WORDS = st.lists(
    st.sampled_from(
        ["a", "an", "the", "The", "cat", "Σ", "서울", "-", "'", " ", "“", "İ", "\0", "."]
    )
).map("".join)


@pytest.mark.slow
@given(st.one_of(st.text(), WORDS))
def test_squad_equals_the_published_steps(text: str) -> None:
    assert PROFILES["squad"].normalize(text) == plain_squad(text)


@pytest.mark.parametrize("profile", list(PROFILES))
@given(st.lists(st.one_of(st.text(), WORDS)))
def test_many_at_once_equal_one_by_one(profile: str, texts: list[str]) -> None:
    one_by_one = {text: PROFILES[profile].normalize(text) for text in texts}
    assert PROFILES[profile].normalize_all(texts) == one_by_one


def test_more_than_a_batch() -> None:
    texts = [f"the {number}." for number in range(10_000)]
    assert PROFILES["squad"].normalize_all(texts)["the 9999."] == "9999"


def test_a_text_with_the_separator_is_kept_apart() -> None:
    assert PROFILES["squad"].normalize_all(["x\0y", "b!"]) == {"x\0y": "x\0y", "b!": "b"}


@pytest.mark.parametrize(
    ("languages", "profile"),
    [
        (["ko", "ko"], "korquad"),
        (["latin", "zh"], "squad"),
        (["ko", "latin", "latin", "latin"], "mixed"),
        ([], "squad"),
    ],
)
def test_auto_profile(languages: list[str], profile: str) -> None:
    assert choose_profile("auto", languages) == profile


def test_mixed_goes_by_the_example() -> None:
    assert profile_for("mixed", "ko").name == "korquad"
    assert profile_for("mixed", "ja").name == "squad"
    assert profile_for("squad", "ko").name == "squad"
    assert (second_score("mixed"), second_score("klue-mrc")) == ("f1", "rouge_w")


def test_unknown_profiles() -> None:
    with pytest.raises(UsageError, match="did you mean 'korquad'"):
        choose_profile("korqad", [])
    with pytest.raises(UsageError, match="known are auto, mixed, squad"):
        choose_profile("xyz", [])
