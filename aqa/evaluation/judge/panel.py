"""Make one judge, or a panel that decides by majority."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from operator import add
from pathlib import Path

from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.config.backend_options import RawConfig
from aqa.config.flags import FLAGS
from aqa.config.load import build_config, set_value
from aqa.config.model_families import DEFAULT_MODEL
from aqa.config.options import (
    JUDGE_MAX_NEW_TOKENS,
    JUDGE_REPEATS_TEMPERATURE,
    JUDGE_SECTIONS,
    RunConfig,
)
from aqa.errors import AqaError, ConfigError, UsageError
from aqa.evaluation.judge.cases import Cases, Judged
from aqa.evaluation.judge.judge import Judging
from aqa.evaluation.judge.options import JudgeOptions
from aqa.metrics.agreement import panel_agreement
from aqa.metrics.verdicts import majority, most_given
from aqa.progress import Progress
from aqa.spent import CostEstimate

# What the words of `aqa predict` are for a judge, whose failed verdicts are always requested again.
_OF_JUDGES = {
    **{flag.names[0]: f"--judge-set {flag.key}" for flag in FLAGS if "backend." in flag.key},
    "--model": "--judge-model",
    "--max-cost": "--judge-max-cost",
    "--set": "--judge-set",
    "--output-dir": "--output",
    "config key": "--judge-set",
    ", with --retry-errors for what failed": "",
}
_WORDS = re.compile(
    r"[\w.]+ \((?P<flag>--[a-z-]+)\)|config key(?= backend\.| generation\.)"
    r"|, with --retry-errors for what failed|(?<![\w-])--[a-z-]+"
)


@contextmanager
def _in_words_of_judges() -> Iterator[None]:
    """Rephrase errors of the reader that asks a judge; also a decorator."""
    try:
        yield
    except AqaError as error:
        text = _WORDS.sub(lambda m: _OF_JUDGES.get(m["flag"] or m[0], m[0]), str(error))
        error.args = (text,)
        raise


class Panel:
    """Judges that are asked one after the other; each has its own journal and cost cap.

    They differ only in the model. `joined`: a retriever's passages were joined to the data.
    """

    def __init__(self, judges: Sequence[Judging], joined: bool) -> None:
        self._judges = {judge.model: judge for judge in judges}
        self.joined = joined

    @property
    def signature(self) -> str:
        """The signature of the panel's score."""
        first = next(iter(self._judges.values()))
        several = "|panel:majority" * (len(self._judges) > 1)
        return first.signature_of("+".join(self._judges)) + several

    @_in_words_of_judges()
    def check_access(self) -> None:
        """Raise ConfigError if one of the judges can't be asked."""
        for judge in self._judges.values():
            judge.check_access()

    @_in_words_of_judges()
    def ask(self, cases: Cases) -> Judged:
        """Get every judge's verdicts on all cases, and the majority's if there are several judges.

        Raises:
            AqaError: a server can't be asked, or a cost cap is reached; verdicts are kept.
        """
        judged = {model: judge.ask(cases) for model, judge in self._judges.items()}
        first = next(iter(judged.values()))
        if len(judged) == 1:
            return first
        results = list(judged.values())
        opinions = {key: [result.verdicts[key] for result in results] for key in first.verdicts}
        agreed = panel_agreement([list(map(most_given, votes)) for votes in opinions.values()])
        # Costs are added up only if all are known.
        spent = [result.facts["spent"] for result in results]
        shared = [name for name in spent[0] if all(name in costs for costs in spent)]
        facts = {
            "asked": sum(result.facts["asked"] for result in results),
            "spent": {name: sum(costs[name] for costs in spent) for name in shared},
            "folder": ", ".join(str(result.facts["folder"]) for result in results),
            "panel": agreed.to_json(),
            "judges": {model: dict(result.facts) for model, result in judged.items()},
        }
        verdicts = {key: (majority(verdicts),) for key, verdicts in opinions.items()}
        return Judged(verdicts, facts, judges=judged)

    @_in_words_of_judges()
    def estimate(self, cases: Cases) -> CostEstimate:
        """Estimate what all verdicts not yet known would cost."""
        return reduce(add, (judge.estimate(cases) for judge in self._judges.values()))


@_in_words_of_judges()
def make_judge(options: JudgeOptions, folder: Path, progress: Progress, joined: bool) -> Panel:
    """Make a panel of one judge or several, with its verdicts in the folder.

    `joined`: a retriever's passages were joined to the data.

    Raises:
        AqaError: the options are not valid.
    """
    if not options.models and "backend.model" not in options.settings:
        progress.note(
            f"the judge is {DEFAULT_MODEL}, the default; another judge would score differently:"
            " compare only scores with the same signature"
        )
    judges = []
    for model in dict.fromkeys(options.models) or (None,):
        config, template = _configure(options, model)
        judges.append(Judging(config, folder, progress, options.repeats, template))
    return Panel(judges, joined)


def _configure(options: JudgeOptions, model: str | None) -> tuple[RunConfig, str | None]:
    """Return one judge's config and template name, if one was given."""
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
            sections = ", ".join(JUDGE_SECTIONS)
            raise UsageError(f"--judge-set {section}: a judge's config has only {sections}")
    try:
        config = build_config(Gpt4Backend.Options, [chosen], ours)
    except ConfigError as error:
        flags = {"backend.model": "--judge-model", "backend.max_cost": "--judge-max-cost"}
        is_flag = error.key in flags and error.key not in options.settings
        flag = flags[error.key] if is_flag else f"--judge-set {error.key}".strip()
        raise UsageError(error.of(flag)) from error
    if config.generation.samples > 1:
        raise UsageError(
            "--judge-set generation.samples: the judge gives verdicts, not answers; use"
            " --judge-repeats to have each answer judged several times"
        )
    return config, chosen.get("prompt")
