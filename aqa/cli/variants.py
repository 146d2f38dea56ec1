"""Run and show the variants of `aqa predict`: several prompts or stress conditions."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import reduce
from operator import add
from pathlib import Path
from shlex import quote
from typing import Any

from aqa.cli.tables import check_answered, draw, prediction_facts, print_json, say, show_cost
from aqa.config.options import RunConfig
from aqa.config.stress_conditions import parse_conditions
from aqa.display import console
from aqa.errors import UsageError
from aqa.runs.folder import command_line
from aqa.tables import Row, Table, figures, texts
from aqa.verbs.predict import PredictResult, Resume
from aqa.verbs.session import result_of
from aqa.verbs.variants import (
    answers_of,
    check_variants,
    costs_table,
    dry_run_variants,
    make_variants,
)


def run_variants(
    params: Mapping[str, Any], config: RunConfig, folder: Path, resume: Resume
) -> None:
    """Make the runs that `aqa predict` is asked for, or show what they would cost."""
    for flag in ("cancel", "stop_when_decided", "to_see"):
        if params[flag] is not None and params[flag] is not False:
            name = flag.replace("_", "-")
            raise UsageError(f"--{name} works on a single run; name its folder and its prompt")
    conditions = [] if params["stress"] is None else parse_conditions(params["stress"])
    variants = make_variants(config, folder, params["prompt"] or (), conditions)
    go_on = "" if params["dry_run"] else console.AGAIN
    with console.open_progress(params["quiet"], go_on) as progress:
        if params["dry_run"]:
            estimates = dry_run_variants(variants, progress, resume)
        else:
            command = command_line(sys.argv)
            checked = check_variants(variants, progress)
            results = result_of(answers_of(checked, progress, resume, command))
    if params["dry_run"]:
        total = reduce(add, estimates.values())
        if params["as_json"]:
            runs = {name: asdict(estimate) for name, estimate in estimates.items()}
            print_json({**asdict(total), "runs": runs})
            return
        draw(costs_table(estimates))
        show_cost(total, as_json=False)
        return
    _show_results(folder, results, params)
    for name, result in results.items():
        check_answered(name, result)


def _show_results(
    folder: Path, results: Mapping[str, PredictResult], params: Mapping[str, Any]
) -> None:
    if params["as_json"]:
        runs = {name: prediction_facts(result) for name, result in results.items()}
        print_json({"folder": str(folder), "runs": runs})
        return
    rows = [
        Row([name, result.examples, result.answered, result.failed, result.resumed])
        for name, result in results.items()
    ]
    heads = [*texts("run"), *figures("examples", "answered", "failed", "from before")]
    draw(Table(heads, rows))
    say(f"runs: {folder}")
    stress = " --stress" if params["stress"] else ""
    say(f"next: aqa evaluate {quote(str(folder))}{stress}")
