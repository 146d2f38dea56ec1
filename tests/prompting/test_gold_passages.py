import pytest

from aqa.prompting.gold_passages import answer_finder, gold_ranks
from aqa.records import Example, Passage


def ranks(
    texts: list[str], answers: tuple[str, ...] | None, gold_ids: tuple[str, ...] = ()
) -> tuple[int, ...] | None:
    passages = tuple(Passage(text, id=str(n), rank=n) for n, text in enumerate(texts, 1))
    example = Example("q", "?", passages, answers, gold_ids=gold_ids)
    return gold_ranks(passages, answer_finder(example))


@pytest.mark.parametrize(
    ("texts", "answers", "found"),
    [
        (["He met Anna.", "She met him.", "An anna"], ("The Anna",), (1, 3)),
        (["Annapolis is a town"], ("Anna",), ()),  # whole words only
        (["서울은 수도이다", "부산"], ("서울",), (1,)),  # Hangul words take endings
        (["首都是东京。", "京都"], ("东京",), (1,)),  # no spaces between words
        (["คำตอบคือกรุงเทพมหานคร", "เมือง"], ("กรุงเทพ",), (1,)),
        (["全部で13人", "3人です"], ("3人",), (2,)),
        (["It costs $1,000.", "1000"], ("1,000",), (1, 2)),
        (["one", "two"], ("three", "two"), (2,)),
        (
            ["Rollo's arrival", "the Adriatic—fell", "in 1939–1940"],
            ("Rollo", "the Adriatic"),
            (1, 2),
        ),
        (["in 1939–1940", "in 19400"], ("1940",), (1,)),
        (
            ["중국 BTV에서는 2012년에", "NBTV에서"],
            ("BTV",),
            (1,),
        ),  # other words take endings, too
        (["약 45~46cm를 가리킴"], ("45~46cm",), (1,)),
        (["It costs $1,000.", "3.14"], ("000", "14"), ()),  # a number is one word
        (["13명이 왔다", "약3명", "그 3명만", "1,003명"], ("3명",), (2, 3)),  # also with a counter
        (["MBC방송", "BC방송과"], ("BC방송",), (2,)),
        (["1988년에", "19880년"], ("1988", "천구백"), (1,)),
        (["《한강》 가에", "한강가에", "북한강 가"], ("한강가",), (1, 2)),  # spaced differently
        (["회사 과장이", "회사과장이", "사 과"], ("사과",), (2, 3)),
        (["un cafe\u0301", "cafe"], ("Café",), (1,)),  # composed or not
        (["\u1109\u1165\u110b\u116e\u11af은", "부산"], ("서울",), (1,)),
        (["one"], (), None),
        (["one"], None, None),
        (["one"], ("",), None),
        (["one"], ("...",), ()),  # nothing is left to search for
    ],
)
def test_by_the_text(
    texts: list[str], answers: tuple[str, ...] | None, found: tuple[int, ...] | None
) -> None:
    assert ranks(texts, answers) == found


def test_a_title_counts() -> None:
    holds = answer_finder(Example("q", "?", (), ("Mira",)))
    assert holds is not None
    assert holds(Passage("She was born in Ostry.", title="Mira (poet)"))


def test_ids_decide_where_the_data_name_gold_ones() -> None:
    assert ranks(["says Anna", "other"], ("Anna",), gold_ids=("2",)) == (2,)
    # Without an id, a passage can only be judged by its text.
    example = Example("q", "?", (), ("Anna",), gold_ids=("2",))
    holds = answer_finder(example)
    assert holds is not None
    assert holds(Passage("says Anna"))


def test_a_copy_of_the_gold_passage_under_another_id_is_gold() -> None:
    """Of identical passages, the best ranked is kept, whichever was marked gold."""
    assert ranks(["It rained.", "It  rained.", "no"], ("wet",), gold_ids=("2",)) == (1, 2)


def test_a_gold_passage_cut_before_the_answer_is_none() -> None:
    whole = Passage("It rained. Anna came.", id="g")
    holds = answer_finder(Example("q", "?", (whole,), ("Anna",), gold_ids=("g",)))
    assert holds is not None
    assert holds(whole)
    assert not holds(Passage("It rained.", id="g"))
