"""The flags that lead from comparing readers to shipping one."""

from pathlib import Path
from typing import Annotated

import typer

Plan = Annotated[
    float | None,
    typer.Option(
        "--plan",
        metavar="POINTS",
        min=0.01,
        max=100,
        help="Say how many questions a difference of so many points would need.",
        rich_help_panel="Comparison",
    ),
]
ChooseThreshold = Annotated[
    str | None,
    typer.Option(
        "--choose-threshold",
        metavar="risk=PERCENT",
        help="Find the confidence under which to stay silent, so that so few answers are wrong;"
        " --output names its file.",
        rich_help_panel="Silence",
    ),
]
Level = Annotated[
    float,
    typer.Option(
        "--level", min=50, max=99.9, help="Confidence in that, in %.", rich_help_panel="Silence"
    ),
]
WrongUnder = Annotated[
    str,
    typer.Option(
        "--wrong-under",
        metavar="SCORE=LIMIT",
        help="An answer with less is wrong.",
        rich_help_panel="Silence",
    ),
]
AbstainBelow = Annotated[
    Path | None,
    typer.Option(
        "--abstain-below",
        metavar="FILE",
        help="Withhold answers as this contract of silence says (aqa evaluate --choose-threshold).",
    ),
]
AllowOtherReader = Annotated[
    bool,
    typer.Option("--allow-other-reader", help="Take a contract made with another reader."),
]
