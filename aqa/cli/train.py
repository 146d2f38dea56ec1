"""`aqa train`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from aqa.cli import flags
from aqa.cli.configure import configure

app = typer.Typer()


EXAMPLES = """Examples:

aqa train llama --config llama_smollm2

aqa train t5 --config t5_small --data train.json --dev-data dev.json

aqa train llama --config llama_smollm2 --set training.num_train_epochs=3

aqa train llama --config llama_smollm2 --resume --merge
"""


@app.command(epilog=EXAMPLES)
def train(
    context: typer.Context,
    backend: flags.TrainedBackend,
    config: flags.Config = None,
    data: flags.Data = None,
    dev_data: flags.DevData = None,
    passages: flags.Passages = None,
    dev_passages: flags.DevPassages = None,
    missing_passages: flags.Missing = None,
    corpus: flags.Corpus = None,
    output_dir: flags.OutputDir = None,
    model: flags.Model = None,
    prompt: flags.PromptName = None,
    settings: flags.Settings = None,
    fields: flags.Fields = None,
    split: flags.Split = None,
    on_duplicate_id: flags.OnDuplicate = None,
    normalize: flags.Normalize = None,
    limit: flags.Limit = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the last checkpoint.")
    ] = False,
    fresh: flags.Fresh = False,
    merge: flags.Merge = False,
    export: flags.Export = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what training would do; write nothing.")
    ] = False,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
) -> None:
    """Fine-tune a reader; write weights, predictions, and scores before and after."""
    from aqa.cli import tables
    from aqa.cli.score_tables import show_ensemble, show_training
    from aqa.config.ensemble_options import EnsembleOptions
    from aqa.display import console
    from aqa.errors import UsageError
    from aqa.processes import is_first_process
    from aqa.runs.folder import command_line
    from aqa.verbs.ensemble_training import train as train_ensemble
    from aqa.verbs.train import dry_run as run_dry
    from aqa.verbs.train import train as run_train

    if resume and fresh:
        raise UsageError("--resume and --fresh can't be used together")
    run_config = configure(context.params)
    folder = Path(run_config.output_dir or f"runs/train-{run_config.backend.name}")
    command = command_line(sys.argv)
    if isinstance(run_config.backend, EnsembleOptions):
        if dry_run:
            raise UsageError("an ensemble is trained within seconds; leave --dry-run out")
        with console.open_progress(quiet) as progress:
            learned = train_ensemble(run_config, folder, progress, resume, fresh, command)
        show_ensemble(learned, as_json)
        return
    if dry_run:
        with console.open_progress(quiet) as progress:
            needs = run_dry(run_config, progress)
        tables.show_dry_run(needs, as_json)
        return
    with console.open_progress(quiet, _how_to_continue(folder, fresh)) as progress:
        result = run_train(run_config, folder, progress, resume, fresh, command)
    if is_first_process():
        show_training(result, as_json)


def _how_to_continue(folder: Path, fresh: bool) -> Callable[[], str]:
    """Return what says how to continue: only a training that has begun can be resumed."""
    from aqa.runs.folder import read_manifest

    before = read_manifest(folder).get("started")

    def advice() -> str:
        started = read_manifest(folder).get("started")
        if started is None or (fresh and started == before):
            return "run the same command again"
        return "run the same command again with --resume" + " instead of --fresh" * fresh

    return advice
