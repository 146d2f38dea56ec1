"""`aqa prompt-preview`."""

from typing import Annotated

import typer

from aqa.cli import flags
from aqa.cli.configure import configure, refuse_idle

app = typer.Typer()


EXAMPLES = """Examples:

aqa prompt-preview llama --data questions.json --tokens

aqa prompt-preview gpt4 --data questions.json --prompt kor_v1 --n 1 --json
"""


@app.command("prompt-preview", epilog=EXAMPLES)
def prompt_preview(
    context: typer.Context,
    backend: flags.BackendName = "llama-qlora",
    data: flags.Data = None,
    config: flags.Config = None,
    model: flags.Model = None,
    prompt: flags.PromptName = None,
    settings: flags.Settings = None,
    fields: flags.Fields = None,
    split: flags.Split = None,
    passages: flags.Passages = None,
    missing_passages: flags.Missing = None,
    corpus: flags.Corpus = None,
    on_duplicate_id: flags.OnDuplicate = None,
    normalize: flags.Normalize = None,
    top_k: flags.TopK = None,
    number: flags.Prompts = 3,
    example_id: Annotated[
        str | None, typer.Option("--id", help="Show the example with this id.", metavar="ID")
    ] = None,
    training: Annotated[
        bool, typer.Option("--training", help="Show what training reads (evidence.train).")
    ] = False,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Show tokens, in colour where trained on.")
    ] = False,
    as_json: flags.Json = False,
    quiet: flags.Quiet = False,
) -> None:
    """Show what the model will receive: messages, text, tokens, evidence."""
    from aqa.cli import tables
    from aqa.display import console
    from aqa.verbs.preview import preview

    if example_id is not None:
        refuse_idle(context, ["number"], "with --id; leave one of them out")
    if as_json:
        refuse_idle(context, ["tokens"], "with --json, which always includes them; leave it out")
    if config is None and model is None and backend in ("llama", "llama-qlora"):
        config = "llama_smollm2"
    run_config = configure({**context.params, "config": config}, trains=training)
    with console.open_progress(quiet) as progress:
        previews = list(preview(run_config, progress, number, example_id, training))
    tables.show_previews(previews, tokens, as_json)
