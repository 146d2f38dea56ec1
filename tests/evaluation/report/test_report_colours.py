"""The report's colours are readable and distinguishable, also for colour-blind people."""

import math
import re
from collections.abc import Sequence
from itertools import combinations
from operator import mul
from pathlib import Path

import pytest

import aqa.evaluation.report

STYLE = (Path(aqa.evaluation.report.__file__).parent / "page.css").read_text("utf-8")
TOKEN = re.compile(r"--([\w-]+): (#[0-9a-f]{6})\b")
LIGHT, DARK = (
    dict(TOKEN.findall(STYLE[STYLE.index(start) : STYLE.index(end)]))
    for start, end in ((":root", "@media screen"), ("@media screen", ".s0 {"))
)
THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
Triple = list[float]

# How people with this dichromacy see linear RGB: Machado, Oliveira & Fernandes (2009), "A
# Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE TVCG 15(6), table 1.
EYES = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def product(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(map(mul, one, other))


def linear(colour: str) -> Triple:
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares]


def contrast(one: str, other: str) -> float:
    """As defined by WCAG 2.2."""
    weights = (0.2126, 0.7152, 0.0722)
    low, high = sorted(product(weights, linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def seen(colour: str, eyes: str) -> Triple:
    """What these eyes see, in CIELAB."""
    rgb = [min(1, max(0, product(row, linear(colour)))) for row in EYES[eyes]]
    white = {"x": 0.95047, "y": 1.0, "z": 1.08883}
    rows = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    shares = [product(row, rgb) / one for row, one in zip(rows, white.values(), strict=True)]
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in shares)
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


def nearest(colours: list[str], eyes: str) -> float:
    """The smallest distance between any two; 2.3 is just noticeable side by side."""
    return min(math.dist(seen(a, eyes), seen(b, eyes)) for a, b in combinations(colours, 2))


@THEMES
def test_texts_can_be_read(theme: dict[str, str]) -> None:
    for text in ("ink", "soft", "faint", "accent", "warn", "right"):
        for ground in ("page", "raised", "hover"):
            assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
    assert contrast(theme["gold"], theme["gold-ink"]) >= 4.5


@THEMES
@pytest.mark.parametrize("eyes", EYES)
def test_systems_are_told_apart(theme: dict[str, str], eyes: str) -> None:
    colours = [theme[f"s{number}"] for number in range(8)]
    assert all(contrast(colour, theme["page"]) >= 3 for colour in colours)
    assert nearest(colours, eyes) > 12
    assert nearest(colours[:3], eyes) > 30


@THEMES
@pytest.mark.parametrize("eyes", EYES)
def test_kinds_of_answers_are_told_apart(theme: dict[str, str], eyes: str) -> None:
    kinds = {name: colour for name, colour in theme.items() if name.startswith("k-")}
    assert kinds.pop("k-wrong") == kinds["k-wrong_with_evidence"]  # if no file says which
    assert nearest(list(kinds.values()), eyes) > 20
