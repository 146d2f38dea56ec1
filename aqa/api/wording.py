"""What the verbs say of the command line's flags, in the keywords of the Python API."""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from aqa.config.flags import FLAGS
from aqa.errors import AqaError
from aqa.progress import Progress, Task


class Name(NamedTuple):
    """What a flag is called here, without a value and with one, whose place is `{value}`.

    Where values are pairs, as those of --set, `{key}` is the place of what is before the =.
    """

    alone: str
    call: str = ""


Names = Mapping[str, Name]


def _keywords(names: str, place: str = "") -> dict[str, Name]:
    """Keywords that are called as their flags are: of the function, or of an object in a place."""
    where = place and f" ({place})"
    return {name: Name(f"{name}{where}", f"{name}={{value}}{where}") for name in names.split()}


def _pairs(keyword: str, place: str = "", prefix: str = "") -> Name:
    """A keyword that takes a mapping."""
    where = place and f" ({place})"
    return Name(f"{keyword}{where}", f'{keyword}={{{{"{prefix}{{key}}": {{value}}}}}}{where}')


def _setting(key: str) -> Name:
    """An option of the config."""
    return Name(f"{key} (settings)", f'settings={{{{"{key}": {{value}}}}}}')


SETTINGS: Names = {
    **{flag.parameter: _setting(flag.key) for flag in FLAGS},
    "set": _pairs("settings"),
    "field": _pairs("settings", prefix="data.fields."),
    **_keywords("config data model output_dir"),
}
ASKED: Names = {
    **SETTINGS,
    **_keywords("stress abstain_below stop_when_decided margin decide_by to_see against"),
    "prompt": Name("prompts", 'prompts=["{value}"]'),
    "fresh": Name('redo="everything"'),
    "retry_errors": Name('redo="failures"'),
    "allow_other_reader": Name("allow_other_reader=True"),
    "dry_run": Name("aqa.estimate_cost"),
}
TRAINED: Names = {
    **SETTINGS,
    **_keywords("dev_data"),
    "model": _setting("backend.model"),
    "resume": Name("resume=True"),
    "fresh": Name("`aqa train --fresh`"),
}
SCORED: Names = {
    **_keywords("data metrics plan label choose_threshold level wrong_under"),
    **_keywords("split corpus passages on_duplicate_id missing_passages", "aqa.Source"),
    "field": _pairs("fields", "aqa.Source"),
    **_keywords("profile normalize answer baseline cluster seed", "aqa.Scoring"),
    "no_answer": Name("no_answer (aqa.Scoring)", "no_answer=[{value}] (aqa.Scoring)"),
    "slice": Name("slices (aqa.Scoring)", 'slices=["{value}"] (aqa.Scoring)'),
    "prediction_field": _pairs("prediction_fields", "aqa.Scoring"),
    "allow_different_evidence": Name("allow_different_evidence=True (aqa.Scoring)"),
    "bert_model": Name("metric_options (aqa.Scoring)"),
    "bert_num_layers": Name("metric_options (aqa.Scoring)"),
    **{
        f"judge_{flag}": Name(f"{name} (aqa.JudgeOptions)", f"{name}={{value}} (aqa.JudgeOptions)")
        for flag, name in (
            ("model", "models"),
            ("max_cost", "max_cost"),
            ("repeats", "repeats"),
            ("labels", "labels"),
        )
    },
    "judge_set": _pairs("settings", "aqa.JudgeOptions"),
    "train": Name("training", "training={value}"),
    "output": Name("output_dir", "output_dir={value}"),
    "stress": Name("stress=True"),
}
PLAIN = re.compile(r"-?\d+(?:\.\d+)?|[\"\[{].*")  # a value that is written alike in Python
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
        alone = name.alone
        if not value:
            return alone.strip("()") if alone.startswith("(") else alone
        if "{{" not in name.call:
            return name.call.replace("{value}", value) if name.call else f"{alone} {value}"
        key, _, value = value.rpartition("=")
        return name.call.format(key=key, value=_literal(value))

    return FLAG.sub(word, text)


def _literal(value: str) -> str:
    """A value of a command line as Python has it."""
    value = value.strip("'")
    if value in ("true", "false"):
        return value.capitalize()
    return value if PLAIN.fullmatch(value) else f'"{value}"'


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
