"""The one config that a command's flags, its files and --set make."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqa.backends.base import Backend
    from aqa.config.backend_options import RawConfig
    from aqa.config.options import RunConfig
    from aqa.evaluation.judge.judge import Judging
    from aqa.evaluation.judge.panel import Panel
    from aqa.progress import Progress


def make_judge(
    models: list[str] | None,
    max_cost: float | None,
    repeats: int,
    settings: list[str] | None,
    folder: Path,
    progress: "Progress",
    joined: bool,
) -> "Judging | Panel":
    """Make the judge, or a panel of several, with its verdicts in the folder.

    `joined` tells that a retriever's passages were joined to the data.
    """
    from aqa.evaluation.judge.judge import Judging
    from aqa.evaluation.judge.panel import Panel

    wanted: list[str | None] = [*dict.fromkeys(models or ())] or [None]
    configs = [_configure_judge(model, max_cost, repeats, settings) for model in wanted]
    judges = [
        Judging(config, folder, progress, repeats, template, joined) for config, template in configs
    ]
    return judges[0] if len(judges) == 1 else Panel(judges)


def _configure_judge(
    model: str | None, max_cost: float | None, repeats: int, settings: list[str] | None
) -> "tuple[RunConfig, str | None]":
    """Make the judge's config, and name the template where one was given."""
    from aqa.backends.openai_api.backend import Gpt4Backend
    from aqa.config.load import build_config, parse_assignment, set_value
    from aqa.config.options import JUDGE_MAX_NEW_TOKENS, JUDGE_REPEATS_TEMPERATURE, JUDGE_SECTIONS
    from aqa.errors import ConfigError

    spoken: RawConfig = {}
    set_value(spoken, "generation.max_new_tokens", JUDGE_MAX_NEW_TOKENS)
    if repeats > 1:
        set_value(spoken, "generation.temperature", JUDGE_REPEATS_TEMPERATURE)
    for key, value in {"backend.model": model, "backend.max_cost": max_cost}.items():
        if value is not None:
            set_value(spoken, key, value)
    for text in settings or ():
        set_value(spoken, *parse_assignment(text))
    for section in spoken:
        if section not in JUDGE_SECTIONS:
            known = ", ".join(JUDGE_SECTIONS)
            raise ConfigError(f"--judge-set {section}: a judge's config has only {known}")
    return build_config(Gpt4Backend.Options, [spoken]), spoken.get("prompt")


def configure(
    backend: str,
    config: str | None,
    flags: dict[str, Any],
    settings: list[str] | None,
    fields: list[str] | None,
) -> "tuple[RunConfig, type[Backend]]":
    """Merge a run folder's config, a config file, flags and --set into one checked config."""
    from aqa.backends import find_backend
    from aqa.backends.base import Remote
    from aqa.config.load import build_config, find_config, parse_assignment, read_config, set_value
    from aqa.runs.folder import inherited_config

    reader_type = find_backend(backend)
    layers: list[RawConfig] = []
    inherited: RawConfig = {}
    if flags.get("backend.model"):
        inherited = inherited_config(Path(flags["backend.model"]))
        if issubclass(reader_type, Remote):
            # The server has the weights, under the name of their folder; what they were trained
            # to be asked, and how, is needed here.
            inherited.pop("backend", None)
    if config is not None:
        layers.append(read_config(find_config(config)))
    spoken: RawConfig = {}
    for key, value in flags.items():
        if value is not None:
            set_value(spoken, key, value)
    for text in settings or ():
        set_value(spoken, *parse_assignment(text))
    for ours, column in column_names(fields).items():
        set_value(spoken, f"data.fields.{ours}", column)
    return build_config(reader_type.Options, [*layers, spoken], inherited), reader_type


def column_names(fields: list[str] | None) -> dict[str, str]:
    """Read the pairs of --field: our name to the file's column."""
    from aqa.errors import UsageError

    pairs = {}
    for text in fields or ():
        ours, equals, column = text.partition("=")
        if not (ours and equals and column):
            raise UsageError(f"--field {text}: write it as OURS=COLUMN, such as question=Question")
        pairs[ours] = column
    return pairs
