"""Several runs of one reader on the same data: one per prompt and stress condition.

Each run has its own folder and is resumed separately. Data are read once, weights are loaded
once, and a cap on costs covers all runs together.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqa.backends.base import Backend, Remote
from aqa.config.ensemble_options import EnsembleOptions
from aqa.config.options import RunConfig
from aqa.config.stress_conditions import PLAIN
from aqa.errors import RunError, UsageError
from aqa.progress import Progress
from aqa.prompting.build import Inputs
from aqa.prompting.templates import load_template
from aqa.runs.files import check_removable
from aqa.runs.fingerprints import another_run
from aqa.runs.folder import check_own, open_run, read_manifest
from aqa.runs.journal import different_run
from aqa.runs.spending import SpendingRecord
from aqa.runs.variants import stress_folder, write_prompts
from aqa.spent import CostEstimate, Spent
from aqa.tables import Row as TableRow
from aqa.tables import Table, figures, texts
from aqa.verbs import predict
from aqa.verbs.launch import KeepLoaded, answering_reader, check_single, refuse_several
from aqa.verbs.predict import PredictResult, Questions, Resume, checked_inputs
from aqa.verbs.session import Row


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the runs: its name, config and folder."""

    name: str
    config: RunConfig
    folder: Path


@dataclass(frozen=True, slots=True)
class Variants:
    """The runs in order, and the folder that contains them all."""

    folder: Path
    runs: tuple[Variant, ...]
    prompts: tuple[str, ...] = ()  # their names, if there are several


def make_variants(
    config: RunConfig, folder: Path, prompts: Sequence[str], conditions: Sequence[str]
) -> Variants:
    """Plan a plain run for each prompt, and one for each of its stress conditions.

    Without prompts, the config's own is used and its runs go directly into `folder`.

    Raises:
        AqaError: a prompt can't be read, two have the same name, or the reader is an ensemble.
    """
    if isinstance(config.backend, EnsembleOptions):
        raise UsageError("--stress is for one reader; run the members of the ensemble one by one")
    names = [load_template(prompt).name for prompt in prompts]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"--prompt: two prompts are called {twice}; give each once, or rename one")
    several, runs = len(names) > 1, list[Variant]()
    for name, prompt in zip(names or [""], prompts or [config.prompt], strict=True):
        plain = config.model_copy(update={"prompt": prompt})
        base, title = (folder / name, f"{name}, ") if several else (folder, "")
        if conditions:
            runs.append(Variant(f"{title}{PLAIN}", plain, base))
        else:
            runs.append(Variant(name if several else "", plain, base))
        for condition in conditions:
            stress = config.evidence.stress.model_copy(update={"condition": condition})
            evidence = config.evidence.model_copy(update={"stress": stress})
            changed = plain.model_copy(update={"evidence": evidence})
            runs.append(Variant(f"{title}{condition}", changed, stress_folder(base, condition)))
    return Variants(folder, tuple(runs), tuple(names) if several else ())


@dataclass(frozen=True, slots=True)
class Checked:
    """The runs with their questions, and what to close after the last one."""

    variants: Variants
    questions: list[Questions]
    stack: ExitStack


def check_variants(
    variants: Variants, progress: Progress, reader: Backend | None = None
) -> Checked:
    """Check all runs without asking or writing anything.

    Weights are loaded when the first run needs them and freed at the end, except those of a
    given `reader`, which stay.

    Raises:
        AqaError: as `check`; or several processes would do the same work.
    """
    work = "a prediction under --stress or with several --prompt"
    check_single(work)
    if variants.runs[0].config.workers.processes > 1:
        refuse_several(work)
    checked = Checked(variants, [], ExitStack())
    like: Inputs | None = None
    for run in variants.runs:
        # A reader does not depend on prompt or evidence; a server gets a new one for each run.
        if reader is None or isinstance(reader, Remote):
            reader = answering_reader(run.config, progress, stays=True)
            if isinstance(reader, KeepLoaded):
                checked.stack.callback(reader.free)
        like = checked_inputs(run.config, reader, progress, like)
        checked.questions.append(Questions(run.config, reader, like, run=run.name))
    return checked


def answers_of(
    checked: Checked, progress: Progress, resume: Resume, command: str
) -> Generator[Row, None, dict[str, PredictResult]]:
    """Yield the answers of one run after another, each once it is journalled; see `kept_answers`.

    Raises:
        AqaError: as `predict`; runs that are already finished stay finished.
    """
    variants, results = checked.variants, {}
    with checked.stack:
        for run, questions in zip(variants.runs, checked.questions, strict=True):
            # Find what would stop a later run before the first one asks anything.
            check_own(run.folder, "predict")
            predict.contract_of(questions, resume)
            fingerprint = questions.inputs.fingerprint(questions.reader)
            different = different_run(run.folder, fingerprint, resume.retry_errors)
            if different and not resume.fresh:
                raise RunError(another_run(run.folder, different))
            if resume.fresh and run.folder.is_dir():
                with open_run(run.folder, "predict"):
                    names = predict.removed_if_fresh(questions.reader)
                    check_removable(*(run.folder / name for name in names))
        if variants.prompts:
            write_prompts(variants.folder, variants.prompts)
        runs = zip(variants.runs, checked.questions, strict=True)
        for number, (run, questions) in enumerate(runs, 1):
            progress.note(f"Run {number} of {len(variants.runs)}: {run.name} ({run.folder})")
            if isinstance(questions.reader, Remote):
                # Earlier spending of the following runs counts, too, unless `fresh` forgets it.
                others = [*variants.runs[: number - 1], *variants.runs[number:]]
                counted = variants.runs[: number - 1] if resume.fresh else others
                spent = sum((spent_in(other.folder) for other in counted), Spent())
                _count_elsewhere(questions.reader, spent, progress)
            arguments = (run.folder, progress, resume, command)
            results[run.name] = yield from predict.kept_answers(questions, *arguments)
    return results


def _count_elsewhere(reader: Remote[Any], spent: Spent, progress: Progress) -> None:
    options = reader.options
    caps = (getattr(options, name, None) for name in ("max_cost", "max_tokens_total"))
    tokens = spent.input + spent.output
    if all(cap is None for cap in caps) or not (tokens or spent.cost):
        return
    cost = f" and ${spent.cost:.4f}" if spent.cost else ""
    progress.note(f"Of the budget, the other runs have used {tokens:,} tokens{cost}.")
    reader.count_elsewhere(spent)


def spent_in(folder: Path) -> Spent:
    """What a run has spent according to its manifest, or may have spent if it was killed."""
    served = read_manifest(folder).get("served") or {}
    recorded = Spent.read(served.get("spent"))
    return recorded.highest(SpendingRecord(folder).read())


def dry_run_variants(
    variants: Variants, progress: Progress, resume: Resume
) -> dict[str, CostEstimate]:
    """Estimate what each run would cost, see `dry_run`; nothing is asked or written."""
    first = variants.runs[0].config
    like = Inputs(first, load_template(first.prompt), progress)
    return {
        run.name: predict.dry_run(run.config, run.folder, progress, resume, like)
        for run in variants.runs
    }


def costs_table(estimates: Mapping[str, CostEstimate]) -> Table:
    """Make a table of what each run would cost."""
    rows = []
    for name, estimate in estimates.items():
        price = "" if estimate.cost is None else "${:,.4f} to ${:,.4f}".format(*estimate.cost)
        rows.append(TableRow([name, f"{estimate.examples:,}", f"{estimate.input_tokens:,}", price]))
    return Table([*texts("run"), *figures("examples", "input tokens", "price")], rows)
