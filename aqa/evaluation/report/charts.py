"""Charts as inline SVG: dots with intervals on a shared scale, stacked bars, curves.

Colours and strokes come from page.css, by class: `s0`, `s1`, ... for the systems. Each row of a
chart is a separate picture, so that its figures fit beside it in a table; grid lines span the
whole height and so continue across rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, log10
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from aqa.records import Score

SERIES = 8  # colours of systems; further systems repeat them, dashed
WIDTH = 200  # of a row's picture, in CSS pixels
ROW_HEIGHT = 26
STEP = 12  # between two systems in one row
_MARGIN = 16  # on both sides, for the labels of the axis
_RADIUS = 4.5
_CURVES = (560, 300)  # width and height of a picture of curves ...
_LEFT = 40  # ... and its margin for labels


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its interval; `low` and `high` equal the value if no interval is known.

    `series` is the system whose colour is used, None for black. A hollow dot marks a value that is
    not significant. Values nearer to 0 than `detectable` are seldom detected.
    """

    value: float
    low: float
    high: float
    series: int | None = None
    is_hollow: bool = False
    detectable: float | None = None

    @property
    def spoken(self) -> str:
        """The figures in words, for screen readers."""
        return f"{self.value:.1f}, 95 % interval {self.low:z.1f} to {self.high:z.1f}"


def score_interval(score: Score, series: int) -> Interval:
    """Return a system's score with its interval, if known."""
    low = score.value if score.low is None else score.low
    high = score.value if score.high is None else score.high
    return Interval(score.value, low, high, series)


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear scale from `low` to `high` with round ticks, over a length of the picture."""

    low: float
    high: float
    ticks: tuple[float, ...]
    start: float = _MARGIN
    end: float = WIDTH - _MARGIN

    def place(self, value: float) -> float:
        """Return a value's coordinate, clipped to the ends of the scale."""
        fraction = (value - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, fraction)) * (self.end - self.start)

    @property
    def labels(self) -> tuple[str, ...]:
        """Format the ticks with the digits needed to distinguish them."""
        digits = max(0, -floor(log10(self.ticks[1] - self.ticks[0]) + 1e-9))
        return tuple(f"{tick:.{digits}f}" for tick in self.ticks)


def fit_scale(values: Iterable[float], around: float | None = None) -> Scale:
    """Choose a scale with round ends and about five ticks, optionally symmetric about a value."""
    values = list(values)
    low, high = min(values), max(values)
    if around is not None:
        reach = max(abs(low - around), abs(high - around))
        low, high = around - reach, around + reach
    if high - low < 1e-9:
        low, high = low - 1, high + 1
    size = (high - low) / 4
    power: float = 10.0 ** floor(log10(size))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= size - 1e-9)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return Scale(first * step, last * step, tuple(tick * step for tick in range(first, last + 1)))


def dots(intervals: Sequence[Interval], scale: Scale, zero: float | None = None) -> Markup:
    """Draw one row: a dot and interval per system, one below another.

    `zero` marks a value with a stronger line. What is seldom detected is shaded.
    """
    height = ROW_HEIGHT + STEP * max(0, len(intervals) - 1)
    spoken = "; ".join(interval.spoken for interval in intervals)
    svg = _picture(height, spoken)
    for detectable in (interval.detectable for interval in intervals if interval.detectable):
        left, right = scale.place(-detectable), scale.place(detectable)
        _draw(svg, "rect", "band", x=left, y=0, width=right - left, height=height)
    for tick in scale.ticks:
        x = scale.place(tick)
        _draw(svg, "line", "zero" if tick == zero else "grid", x1=x, x2=x, y1=0, y2=height)
    for number, interval in enumerate(intervals):
        y = ROW_HEIGHT / 2 + STEP * number
        name = "ink" if interval.series is None else f"s{interval.series % SERIES}"
        left, right = scale.place(interval.low), scale.place(interval.high)
        _draw(svg, "line", f"whisker {name}", x1=left, x2=right, y1=y, y2=y)
        kind = "dot hollow" if interval.is_hollow else "dot"
        _draw(svg, "circle", f"{kind} {name}", cx=scale.place(interval.value), cy=y, r=_RADIUS)
    return _markup(svg)


def axis(scale: Scale, signed: bool = False) -> Markup:
    """Draw the labels of a scale's ticks."""
    svg = _picture(18, None)
    for tick, text in zip(scale.ticks, scale.labels, strict=True):
        label = _draw(svg, "text", "tick", x=scale.place(tick), y=13)
        sign = "+" if signed and tick > 0 else ""
        label.text = "0" if tick == 0 else sign + text.replace("-", "\N{MINUS SIGN}")
    return _markup(svg)


def curves(
    lines: Mapping[int, Sequence[tuple[float, float]]], spoken: str, diagonal: bool = False
) -> Markup:
    """Draw a line per system over shares of the examples from 0 to 100 %.

    A line begins at its first point; values are in %, too. The `diagonal` is where both are
    equal.
    """
    across = Scale(0, 100, (0, 25, 50, 75, 100), _LEFT, _CURVES[0] - 12)
    highest = max(value for points in lines.values() for _, value in points)
    up = _upwards([0, 100 if diagonal else highest])
    svg = _frame(across, up, zip(across.ticks, across.labels, strict=True), spoken, " %")
    if diagonal:
        ends = {"x1": across.start, "x2": across.end, "y1": up.start, "y2": up.end}
        _draw(svg, "line", "zero", **ends)
    for series, points in lines.items():
        _curve(svg, series, [(across.place(x), up.place(y)) for x, y in points])
    return _markup(svg)


def trends(
    lines: Mapping[int, Sequence[tuple[int, float]]], labels: Sequence[str], spoken: str
) -> Markup:
    """Draw a line per system over labelled steps; points are (step, value)."""
    across = Scale(0, max(1, len(labels) - 1), (), 60, _CURVES[0] - 40)
    up = _upwards(value for points in lines.values() for _, value in points)
    svg = _frame(across, up, enumerate(labels), spoken)
    for series, points in lines.items():
        coordinates = [(across.place(step), up.place(value)) for step, value in points]
        _curve(svg, series, coordinates)
        for x, y in coordinates:
            _draw(svg, "circle", f"dot s{series % SERIES}", cx=x, cy=y, r=_RADIUS)
    return _markup(svg)


def scatter(points: Mapping[int, tuple[float, Interval]], spoken: str) -> Markup:
    """Draw each system's value with its interval over its cost, from 0."""
    dearest = max(price for price, _ in points.values())
    across = replace(fit_scale([0, dearest or 1]), start=_LEFT, end=_CURVES[0] - 30)
    up = _upwards(end for _, interval in points.values() for end in (interval.low, interval.high))
    svg = _frame(across, up, zip(across.ticks, across.labels, strict=True), spoken)
    for series, (price, interval) in points.items():
        x, low, high = across.place(price), up.place(interval.low), up.place(interval.high)
        _draw(svg, "line", f"whisker s{series % SERIES}", x1=x, x2=x, y1=low, y2=high)
        kind = "dot hollow" if series >= SERIES else "dot"
        y = up.place(interval.value)
        _draw(svg, "circle", f"{kind} s{series % SERIES}", cx=x, cy=y, r=_RADIUS)
    return _markup(svg)


def _upwards(values: Iterable[float]) -> Scale:
    return replace(fit_scale(values), start=_CURVES[1] - 30, end=10)


def _frame(
    across: Scale, up: Scale, labels: Iterable[tuple[float, str]], spoken: str, unit: str = ""
) -> Element:
    svg = _picture(_CURVES[1], spoken, _CURVES[0])
    for tick, text in zip(up.ticks, up.labels, strict=True):
        y = up.place(tick)
        kind = "zero" if unit and tick == 0 else "grid"
        _draw(svg, "line", kind, x1=_LEFT, x2=across.end, y1=y, y2=y)
        _draw(svg, "text", "tick end", x=_LEFT - 8, y=y + 4).text = text + unit
    for value, text in labels:
        _draw(svg, "text", "tick", x=across.place(value), y=_CURVES[1] - 12).text = text + unit
    return svg


def _curve(svg: Element, series: int, coordinates: Iterable[tuple[float, float]]) -> None:
    kind = "curve again" if series >= SERIES else "curve"
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in coordinates)
    SubElement(svg, "polyline", {"class": f"{kind} s{series % SERIES}", "points": points})


def stacked_bar(parts: Mapping[str, int], spoken: Mapping[str, str]) -> Markup:
    """Draw counts as parts of one bar, coloured by name; `spoken` describes each part."""
    total = sum(parts.values()) or 1
    listed = "; ".join(f"{spoken[name]}: {count}" for name, count in parts.items())
    svg = Element("svg", {"class": "bar", "viewBox": "0 0 1000 20", "preserveAspectRatio": "none"})
    svg.attrib |= {"role": "img", "aria-label": listed}
    start = 0.0
    for name, count in parts.items():
        width = 1000 * count / total
        part = _draw(svg, "rect", f"k-{name}", x=start, y=0, width=width, height=20)
        SubElement(part, "title").text = f"{spoken[name]}: {count} ({100 * count / total:.1f} %)"
        start += width
    return _markup(svg)


def _picture(height: float, spoken: str | None, width: float = WIDTH) -> Element:
    size = {"width": f"{width:g}", "height": f"{height:g}", "viewBox": f"0 0 {width:g} {height:g}"}
    role = {"aria-hidden": "true"} if spoken is None else {"role": "img", "aria-label": spoken}
    return Element("svg", {"class": "plot", **size, **role})


def _draw(parent: Element, shape: str, name: str, **numbers: float) -> Element:
    attributes = {key: f"{number:.2f}".rstrip("0").rstrip(".") for key, number in numbers.items()}
    return SubElement(parent, shape, {"class": name, **attributes})


def _markup(svg: Element) -> Markup:
    return Markup(tostring(svg, encoding="unicode"))  # noqa: S704  (ElementTree escapes)
