"""The flags that lead from comparing readers to shipping one."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aqa.cli.flags import comparison
from aqa.config.ranges import LABELS, LEVEL, POINTS

if TYPE_CHECKING:
    from aqa.evaluation.deciding import StopRule

silence, stopping = (partial(typer.Option, rich_help_panel=it) for it in ("Silence", "Stopping"))
points = partial(stopping, metavar="POINTS", min=POINTS.least, max=POINTS.most)

Plan = Annotated[
    float | None,
    points(
        "--plan",
        rich_help_panel="Comparison",
        help="Say how many questions it takes to detect a difference of this many points.",
    ),
]
Label = Annotated[
    int | None,
    comparison(
        "--label",
        metavar="N",
        min=LABELS.least,
        help="Choose N answers whose verdicts by people would tell most of the difference;"
        " --output names the sheet, and --judge-labels reads it back.",
    ),
]
ChooseThreshold = Annotated[
    str | None,
    silence(
        "--choose-threshold",
        metavar="risk=PERCENT",
        help="Find the confidence under which to stay silent, so that so few answers are wrong;"
        " --output names its file.",
    ),
]
Level = Annotated[
    float,
    silence("--level", min=LEVEL.least, max=LEVEL.most, help="How sure to be of that, in %."),
]
WrongUnder = Annotated[
    str,
    silence("--wrong-under", metavar="SCORE=LIMIT", help="An answer that scores less is wrong."),
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
    bool, typer.Option("--allow-other-reader", help="Take a contract made with another reader.")
]
Stress = Annotated[
    str | None,
    typer.Option(
        "--stress",
        metavar="CONDITIONS",
        help="Ask under changed evidence, too, a run each: position, noise, missing, conflict,"
        " two_sources, duplicate, separated by commas.",
    ),
]
StressCards = Annotated[
    bool,
    comparison(
        "--stress", help="Show how changed evidence affects each reader (aqa predict --stress)."
    ),
]
StopWhenDecided = Annotated[
    Path | None,
    stopping(
        "--stop-when-decided",
        metavar="RUN",
        help="Ask wave by wave, until it is decided whether this reader or that of RUN is better.",
    ),
]
Margin = Annotated[
    float | None,
    points("--margin", help="Also stop once they surely differ by less."),
]
DecideBy = Annotated[Literal["em", "f1"], stopping("--decide-by", help="The score that decides.")]


ToSee = Annotated[
    float | None,
    points("--to-see", help="With --dry-run: what it costs to see so large a difference."),
]
Against = Annotated[
    Path | None, stopping("--against", metavar="RUN", help="The run that --to-see compares with.")
]


def stop_rule(params: Mapping[str, Any]) -> "StopRule | None":
    """Make the rule of these flags; of --against it is the run that is compared with.

    Raises:
        UsageError: some of them are there without those that they belong to.
    """
    from aqa.errors import UsageError
    from aqa.evaluation.deciding import StopRule

    reference = params["stop_when_decided"]
    sees, against = params["to_see"] is not None, params["against"] or reference
    if sees and not (params["dry_run"] and against):
        raise UsageError("--to-see is for --dry-run, and needs a run to compare with (--against)")
    if params["against"] and not sees:
        raise UsageError("--against is for --to-see; give the difference that is to be seen")
    if against is None and (params["margin"] is not None or params["decide_by"] != "f1"):
        raise UsageError("--margin and --decide-by are for --stop-when-decided; name a run there")
    return against and StopRule(against, params["margin"], params["decide_by"])
