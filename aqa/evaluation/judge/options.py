"""Which models judge, and how: the words of a user become a judge that can be asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aqa.config.model_families import DEFAULT_MODEL
from aqa.config.ranges import check_list
from aqa.errors import ConfigError, UsageError
from aqa.progress import Progress

if TYPE_CHECKING:
    from aqa.config.backend_options import RawConfig
    from aqa.config.options import RunConfig
    from aqa.evaluation.judge.panel import Panel


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """Who judges answers, and how.

    No `models` mean the default one, several make a panel. `max_cost` is in US dollars, for each
    judge. `repeats` is how often each answer is judged. `settings` are values of the judge's own
    config by dotted keys. `labels` is a file of people's verdicts.
    """

    models: Sequence[str] = ()
    max_cost: float | None = None
    repeats: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    labels: Path | str | None = None

    def __post_init__(self) -> None:
        check_list("models", self.models)


def make_judge(options: JudgeOptions, folder: Path, progress: Progress, joined: bool) -> "Panel":
    """Make a panel of one judge or several, with its verdicts in the folder.

    `joined` says that a retriever's passages were joined to the data.

    Raises:
        AqaError: what the options ask for cannot be had.
    """
    from aqa.evaluation.judge.judge import Judging
    from aqa.evaluation.judge.panel import Panel

    if not options.models and "backend.model" not in options.settings:
        progress.note(
            f"the judge is {DEFAULT_MODEL}, the default; another judge would give other scores:"
            " compare only those with the same signature"
        )
    judges = []
    for model in dict.fromkeys(options.models) or (None,):
        config, template = _configure(options, model)
        judges.append(Judging(config, folder, progress, options.repeats, template))
    return Panel(judges, joined)


def _configure(options: JudgeOptions, model: str | None) -> "tuple[RunConfig, str | None]":
    """Make the config of one judge, and name its template where one was given."""
    from aqa.backends.openai_api.backend import Gpt4Backend
    from aqa.config.load import build_config, set_value
    from aqa.config.options import JUDGE_MAX_NEW_TOKENS, JUDGE_REPEATS_TEMPERATURE, JUDGE_SECTIONS

    chosen: RawConfig = {}
    ours: RawConfig = {"generation": {"max_new_tokens": JUDGE_MAX_NEW_TOKENS}}
    if options.repeats > 1:
        set_value(ours, "generation.temperature", JUDGE_REPEATS_TEMPERATURE)
    for key, value in {"backend.model": model, "backend.max_cost": options.max_cost}.items():
        if value is not None:
            set_value(chosen, key, value)
    for name, setting in options.settings.items():
        set_value(chosen, name, setting)
    for section in chosen:
        if section not in JUDGE_SECTIONS:
            known = ", ".join(JUDGE_SECTIONS)
            raise ConfigError(f"--judge-set {section}: a judge's config has only {known}")
    try:
        config = build_config(Gpt4Backend.Options, [chosen], ours)
    except ConfigError as error:
        flags = {"backend.model": "--judge-model", "backend.max_cost": "--judge-max-cost"}
        flag = flags.get(error.key)
        if flag is not None and error.key not in options.settings:
            raise UsageError(error.of(flag)) from error
        raise ConfigError(error.of(f"--judge-set {error.key}".strip())) from error
    if config.generation.samples > 1:
        raise ConfigError(
            "--judge-set generation.samples: verdicts are no answers; --judge-repeats has each"
            " answer judged several times"
        )
    return config, chosen.get("prompt")
