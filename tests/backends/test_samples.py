"""Of several samples, the one that the others agree with is the answer."""

import pytest

from aqa.backends.samples import most_central
from aqa.config.options import GenerationOptions
from aqa.records import Evidence, Message, Passage, Prediction, Prompt, StructuredAnswer, Template

TEMPLATE = Template("t", (Message("user", "{context} {question}"),), ("I don't know", "모름"))


def prompt(question: str, passage: str) -> Prompt:
    return Prompt("q", 0, question, Evidence((Passage(passage),)), TEMPLATE)


ENGLISH = prompt("Where was he born?", "He was born in Paris.")
KOREAN = prompt("어디에서 태어났습니까?", "그는 서울에서 태어났다.")


def samples(*texts: str) -> list[Prediction]:
    return [
        Prediction(
            "q", raw=text, answer_tokens=2, confidence=-0.1 * n, confidence_kind="mean_logprob"
        )
        for n, text in enumerate(texts, 1)
    ]


def test_words_agree_in_english_and_characters_in_korean() -> None:
    found = most_central(ENGLISH, samples("Rome", "Answer: Paris", "**Paris**"), "auto")
    assert (found.raw, found.confidence, found.confidence_kind) == (
        "Answer: Paris",
        0.5,
        "agreement",
    )
    assert found.nbest == (("Paris", 0.5), ("Paris", 0.5), ("Rome", 0.0))
    assert dict(found.other_confidences) == {"mean_logprob": pytest.approx(-0.2)}
    assert found.answer_tokens == 6
    found = most_central(KOREAN, samples("부산", "서울특별시", "서울시"), "auto")
    assert (found.raw, found.confidence) == ("서울특별시", pytest.approx((0 + 6 / 8) / 2))


def test_silence_can_be_what_most_agree_on() -> None:
    found = most_central(ENGLISH, samples("Paris", "I don't know.", "I don't know"), "auto")
    assert (found.raw, found.confidence) == ("I don't know.", 0.5)
    found = most_central(KOREAN, samples("모름", "모름", "서울"), "korquad")
    assert (found.raw, found.confidence) == ("모름", 0.5)


def test_of_objects_the_answers_count() -> None:
    given = [
        Prediction("q", raw=raw, structured=StructuredAnswer(text))
        for raw, text in (('{"answer": "Rome"}', "Rome"), ('{"answer":"Paris"}', "Paris"))
    ]
    silent = Prediction("q", raw='{"answerable": false}', structured=StructuredAnswer("", True))
    assert most_central(ENGLISH, [*given, given[1]], "squad").raw == '{"answer":"Paris"}'
    assert most_central(ENGLISH, [given[0], silent, silent], "squad").raw == silent.raw


def test_samples_that_failed_agree_with_none() -> None:
    failed = Prediction("q", "…", "still thinking", answer_tokens=9)
    found = most_central(ENGLISH, [failed, *samples("Paris", "Paris")], "auto")
    assert (found.raw, found.confidence, found.answer_tokens) == ("Paris", 0.5, 13)
    found = most_central(ENGLISH, [failed, *samples("Paris"), failed], "auto")
    assert (found.raw, found.confidence) == ("Paris", 0)
    found = most_central(ENGLISH, [failed, failed], "auto")
    assert (found.error, found.confidence, found.answer_tokens) == ("still thinking", None, 18)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"samples": 5}, "samples needs a generation.temperature above 0"),
        ({"samples": 2, "temperature": 1, "num_beams": 2}, "without num_beams"),
        ({"samples": 2, "temperature": 1, "num_return_sequences": 2}, "without num_beams"),
        ({"samples": 0}, "greater than or equal to 1"),
    ],
)
def test_samples_that_can_not_differ_are_refused(settings: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        GenerationOptions(**settings)


def test_a_run_without_samples_is_known_as_before() -> None:
    assert "samples" not in GenerationOptions().identity(1)
    assert GenerationOptions(samples=3, temperature=1).identity(1)["samples"] == 3
