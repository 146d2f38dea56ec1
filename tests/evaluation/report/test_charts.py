from xml.etree import ElementTree

import pytest

from aqa.evaluation.report.charts import Interval, axis, curves, dots, fit_scale, stacked_bar


@pytest.mark.parametrize(
    ("values", "around", "ticks"),
    [
        ([61.2, 78.9], None, [60, 65, 70, 75, 80]),
        ([0, 100], None, [0, 50, 100]),
        ([12.31, 12.49], None, [12.3, 12.35, 12.4, 12.45, 12.5]),
        ([50, 50], None, [49, 49.5, 50, 50.5, 51]),
        ([-1.2, 8.4], 0.0, [-10, -5, 0, 5, 10]),
        ([0, 0], 0.0, [-1, -0.5, 0, 0.5, 1]),
        ([-30, -10], None, [-30, -25, -20, -15, -10]),
    ],
)
def test_scales_have_round_ends(values: list[float], around: float | None, ticks: list) -> None:
    scale = fit_scale(values, around)
    assert scale.ticks == pytest.approx(ticks)
    assert (scale.low, scale.high) == pytest.approx((ticks[0], ticks[-1]))
    assert min(values) >= scale.low - 1e-9
    assert max(values) <= scale.high + 1e-9


def test_places_on_a_scale() -> None:
    scale = fit_scale([0, 10])
    assert scale.place(5) == (scale.place(0) + scale.place(10)) / 2 == 100
    assert scale.place(-3) == scale.place(0)
    assert scale.place(99) == scale.place(10)


def shapes(markup: str, name: str) -> list[dict[str, str]]:
    return [dict(found.attrib) for found in ElementTree.fromstring(markup).iter(name)]


def test_dots_and_their_intervals() -> None:
    scale = fit_scale([0, 10])
    first, ninth = Interval(4, 2, 7, series=0), Interval(5, 5, 9, 8, is_hollow=True, detectable=2)
    drawn = dots([first, ninth], scale, zero=0.0)
    assert [(dot["class"], float(dot["cx"])) for dot in shapes(drawn, "circle")] == [
        ("dot s0", pytest.approx(scale.place(4))),
        ("dot hollow s0", pytest.approx(scale.place(5))),  # colours start again
    ]
    whiskers = [line for line in shapes(drawn, "line") if line["class"].startswith("whisker")]
    assert [(float(line["x1"]), float(line["x2"])) for line in whiskers] == [
        (pytest.approx(scale.place(one.low)), pytest.approx(scale.place(one.high)))
        for one in (first, ninth)
    ]
    assert whiskers[0]["y1"] == whiskers[0]["y2"] != whiskers[1]["y1"]
    (band,) = shapes(drawn, "rect")
    assert float(band["width"]) == pytest.approx(scale.place(2) - scale.place(0))
    assert [line["class"] for line in shapes(drawn, "line")].count("zero") == 1
    (picture,) = shapes(drawn, "svg")
    assert picture["aria-label"] == ("4.0, 95 % interval 2.0 to 7.0; 5.0, 95 % interval 5.0 to 9.0")


@pytest.mark.parametrize(
    ("values", "signed", "labels"),
    [
        ([-1.2, 8.4], True, ["−10", "−5", "0", "+5", "+10"]),
        ([60, 80], False, ["60", "65", "70", "75", "80"]),
        ([12.31, 12.49], False, ["12.30", "12.35", "12.40", "12.45", "12.50"]),
    ],
)
def test_labels_of_an_axis(values: list[float], signed: bool, labels: list[str]) -> None:
    scale = fit_scale(values, 0.0 if signed else None)
    svg = ElementTree.fromstring(axis(scale, signed))
    assert [text.text for text in svg.iter("text")] == labels
    places = [float(text.attrib["x"]) for text in svg.iter("text")]
    assert places == [pytest.approx(scale.place(tick)) for tick in scale.ticks]


def test_a_bar_is_full_and_its_texts_are_escaped() -> None:
    bar = stacked_bar({"exact": 3, "partial": 1}, {"exact": "<right>", "partial": '"half"'})
    widths = [float(part["width"]) for part in shapes(bar, "rect")]
    assert widths == [750, 250]
    assert [float(part["x"]) for part in shapes(bar, "rect")] == [0, 750]
    assert "<right>" not in bar
    titles = [title.text for title in ElementTree.fromstring(bar).iter("title")]
    assert titles == ["<right>: 3 (75.0 %)", '"half": 1 (25.0 %)']


def test_a_bar_of_nothing() -> None:
    assert shapes(stacked_bar({}, {}), "rect") == []


def test_curves() -> None:
    drawn = curves({0: [(1, 0), (50, 10), (100, 40)], 9: [(50, 20), (100, 20)]}, "how it went")
    first, second = shapes(drawn, "polyline")
    assert (first["class"], second["class"]) == ("curve s0", "curve again s1")
    points = [tuple(map(float, point.split(","))) for point in first["points"].split()]
    assert points == sorted(points)  # to the right
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)  # and up
    assert points[-1][1] == pytest.approx(10)  # 40 is a round end, at the top
    (level,) = {point.split(",")[1] for point in second["points"].split()}
    assert float(level) == pytest.approx((points[0][1] + points[-1][1]) / 2)
    labels = [text.text for text in ElementTree.fromstring(drawn).iter("text")]
    assert labels == [
        "0 %",
        "10 %",
        "20 %",
        "30 %",
        "40 %",
        *["0 %", "25 %", "50 %", "75 %", "100 %"],
    ]
    assert shapes(drawn, "svg")[0]["aria-label"] == "how it went"


def test_a_curve_without_errors() -> None:
    (line,) = shapes(curves({0: [(50, 0), (100, 0)]}, "nothing wrong"), "polyline")
    assert len({point.split(",")[1] for point in line["points"].split()}) == 1
