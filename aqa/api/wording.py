"""What the verbs say of the command line's flags, in the keywords of the Python API."""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from aqa.config.flags import FLAGS
from aqa.errors import AqaError
from aqa.progress import Progress, Task

Names = Mapping[str, str]  # what a flag is called here; {} is the place of its value


def _of(place: str, names: str, **others: str) -> dict[str, str]:
    """Flags that are called here as there, and others, as values of the place."""
    return {flag: f"{name} ({place})" for flag, name in (_keywords(names) | others).items()}


def _keywords(names: str) -> dict[str, str]:
    return {name: f"{name}={{}}" for name in names.split()}


SETTINGS: Names = {
    **_of("settings", "", **{flag.parameter: f"{flag.key}={{}}" for flag in FLAGS}),
    **_of("settings", "", set="{}", field="data.fields.{}"),
    **_keywords("config data model output_dir"),
}
ASKED: Names = {
    **SETTINGS,
    **_keywords("stress abstain_below stop_when_decided margin decide_by to_see against"),
    "prompt": "prompts",
    "fresh": 'redo="everything"',
    "retry_errors": 'redo="failures"',
    "allow_other_reader": "allow_other_reader=True",
    "dry_run": "aqa.estimate_cost",
}
TRAINED: Names = {
    **SETTINGS,
    **_keywords("dev_data"),
    **_of("settings", "", model="backend.model={}"),
    "resume": "resume=True",
    "fresh": "`aqa train --fresh`",
}
SCORED: Names = {
    **_keywords("data metrics plan label choose_threshold level wrong_under"),
    **_of(
        "aqa.Source", "split corpus passages on_duplicate_id missing_passages", field="fields {}"
    ),
    **_of(
        "aqa.Scoring",
        "profile normalize no_answer answer baseline cluster seed",
        slice="slices {}",
        prediction_field="prediction_fields {}",
        allow_different_evidence="allow_different_evidence=True",
        bert_model="metric_options",
        bert_num_layers="metric_options",
    ),
    **_of(
        "aqa.JudgeOptions",
        "",
        judge_model="models={}",
        judge_max_cost="max_cost={}",
        judge_repeats="repeats={}",
        judge_labels="labels={}",
        judge_set="settings {}",
    ),
    "train": "training",
    "output": "output_dir",
    "stress": "stress=True",
}
NO_VALUE = re.compile(r"[ =.]?\{\}")
# A command stays as it is. A flag may stand beside its key of a config, and may have a value.
FLAG = re.compile(
    r"`[^`]*`|\baqa (?:train|predict|evaluate|prompt-preview) [^,;)]*"
    r"|(?P<key>[\w.]+) \(--[a-z][a-z-]*\)"
    r"|\A--(?P<first>[a-z][a-z-]*) (?P<its>[^\s:]+)(?=: )"
    r"|(?<![\w-])--(?P<flag>[a-z][a-z-]*)(?![\w-])(?: \((?P<known>\w+\.[\w.]+)\))?"
    r"(?: (?P<value>[A-Z_]{2,}\b|\d[\d.]*\b|keep-first|empty|nfk?c|\"[^\"]*\"|-(?!\S)"
    r"|[\w.]+=(?:'[^']*'|[^\s,;)]*[\w\]])))?"
)


def reworded(text: str, names: Names) -> str:
    """The sentence with what these flags are called here in their places."""

    def word(found: re.Match[str]) -> str:
        flag, value = found["flag"] or found["first"] or "", found["value"] or found["its"]
        name = names.get(flag.replace("-", "_"))
        if name is None or found["known"]:
            return found["key"] or found["known"] or found[0]
        if value and "{}" in name:
            return name.replace("{}", value)
        short = NO_VALUE.sub("", name).strip()
        short = short.strip("()") if short.startswith("(") else short
        return f"{short} {value}" if value else short

    return FLAG.sub(word, text)


class WordedProgress:
    """Progress whose notes name keywords in the place of flags."""

    def __init__(self, progress: Progress, names: Names) -> None:
        self._progress, self._names = progress, names

    def task(
        self, title: str, total: int | None = None, unit: str = "examples", done: int = 0
    ) -> AbstractContextManager[Task]:
        """Show a task as it is."""
        return self._progress.task(title, total, unit, done)

    def note(self, text: str) -> None:
        """Say it in other words."""
        self._progress.note(reworded(text, self._names))


@contextmanager
def worded(names: Names) -> Iterator[None]:
    """Let errors name keywords in the place of flags; around a function, too."""
    try:
        yield
    except AqaError as error:
        error.args = (reworded(str(error), names),)
        raise
