"""Finding examples in the training data despite differences in case, spaces or a letter."""

import random

import pytest

from aqa.data.leaks import NOT_SEEN, Leaks, find_leaks, plain, same_questions, with_seen
from aqa.data.near_duplicates import NEAR, letters, nearest_texts
from aqa.records import Example, Passage

TOWN = (
    "Sefton lies on the river Adda. Its mill was built in 1874 by Ann Lee, who had come from the"
    " north with nothing but a mule, and burned down in 1910, when nobody lived there any more."
)
방앗간 = "방앗간은 1874년에 강가에 지어졌고 1910년에 불타서 지금은 남아 있지 않다고 전해진다."


def example(key: str, question: str, answer: str = "", *texts: str) -> Example:
    passages = tuple(Passage(text) for text in texts)
    own = passages if len(passages) == 1 else ()
    return Example(key, question, passages, (answer,) if answer else (), own_passages=own)


TRAINING = [
    example("t1", "When was the mill of Sefton built?", "1874", TOWN),
    example("t2", "방앗간은 언제 지어졌는가?", "1874년", 방앗간),
    example("t3", "Who built it?", "Ann Lee", "Nothing of it.", TOWN),
]
KINDS = ("question", "answer", "no")
QUESTIONS = [
    ("When was the mill of Sefton built?", "same"),
    ("when was  the mill of SEFTON built", "same"),
    ("When was the mills of Sefton built?", "near"),
    ("When was the mill of Sefton burned?", None),
    ("방앗간은 언제 지어졌는가", "same"),
    ("방앗간은 언제 지어졌는가요?", "near"),
    ("방앗간은 어디에 있는가?", None),
    ("?", None),
]


@pytest.mark.parametrize(("question", "how"), QUESTIONS)
def test_questions(question: str, how: str | None) -> None:
    found = find_leaks(TRAINING, [example("d", question)])
    assert found.questions.get("d") == how
    assert found.answers == {}


ANSWERS = [
    ("1874", [TOWN], "same"),
    ("1874.", [TOWN.upper()], "same"),
    ("Ann Lee", ["x", "y", TOWN], "same"),
    ("1874", [f"{TOWN} It was never built again."], "near"),
    ("1910", [TOWN], None),  # the passage alone does not leak the answer
    ("1874", ["Another town, and another mill, built in 1874."], None),
    ("1874년", [방앗간.replace(" ", "")], "same"),
]


@pytest.mark.parametrize(("answer", "passages", "how"), ANSWERS)
def test_answers_with_their_passages(answer: str, passages: list[str], how: str | None) -> None:
    found = find_leaks(TRAINING, [example("d", "What else?", answer, *passages)])
    assert found.answers.get("d") == how


def test_what_is_counted_and_marked() -> None:
    rows = [
        example("q", "Who built it?"),
        example("a", "In which year was that?", "1874", TOWN),
        example("new", "Where is Sefton?", "the river Adda", "Sefton lies on the river Adda."),
    ]
    leaks = find_leaks(TRAINING, rows)
    assert leaks.counts() == {
        "examples": 3,
        "same_questions": 1,
        "near_questions": 0,
        "same_answers_with_passages": 1,
        "near_answers_with_passages": 0,
        "not_seen": 1,
    }
    assert [each.metadata["seen"] for each in with_seen(rows, leaks)] == [
        "question",
        "answer",
        "no",
    ]
    assert leaks.note("dev.json", "train.json").startswith(
        "Of the 3 questions of dev.json, 1 are in train.json as well and 0 nearly so;"
    )
    assert Leaks(3).note("a", "b") == "No question of a, and no answer with its passage, is in b."
    assert Leaks().kind("x") == NOT_SEEN


@pytest.mark.slow
def test_no_near_text_is_overlooked() -> None:
    """Compared with checking all pairs."""
    dice = random.Random(3)
    words = [
        "the",
        "mill",
        "of",
        "Sefton",
        "was",
        "built",
        "when",
        "who",
        "방앗간은",
        "언제",
        "1874",
    ]
    known = list({plain(" ".join(dice.choices(words, k=dice.randint(1, 9)))) for _ in range(300)})
    asked = [plain(" ".join(dice.choices(words, k=dice.randint(1, 9)))) for _ in range(200)]
    asked += [text + "s" for text in dice.sample(known, 60)] + ["", "a"]

    def share(first: str, second: str) -> float:
        own, other = set(letters(first).tolist()), set(letters(second).tolist())
        return len(own & other) / len(own | other) if own | other else 0.0

    found = nearest_texts(known, asked)
    for text, place in zip(asked, found, strict=True):
        best = max(share(text, other) for other in known)
        assert (place is not None) == (best >= NEAR)
        if place is not None:
            assert share(text, known[place]) == best
    assert any(place is None for place in found)
    assert any(place is not None for place in found)


def test_nothing_is_near_to_nothing() -> None:
    assert nearest_texts([], ["abc"]) == [None]
    assert nearest_texts(["abc"], []) == []
    assert nearest_texts([""], [""]) == [None]


def test_questions_that_are_the_same_are_counted_alone() -> None:
    asked = [example(str(place), question) for place, (question, _) in enumerate(QUESTIONS)]
    same = sum(how == "same" for _, how in QUESTIONS)
    assert same_questions(iter(TRAINING), iter(asked)) == same == 3
    assert same_questions(TRAINING, [*asked, *asked]) == 6
    assert same_questions(TRAINING, [example("other", "Who?")]) == 0
