"""Rephrase messages from command-line flags to keywords of the Python API."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

from aqa.config.flags import FLAGS
from aqa.errors import AqaError
from aqa.progress import Progress


class Name(NamedTuple):
    """What a flag is called in the API: a keyword, of the object named by `place` if any.

    It takes a value unchanged, `several` as a list, or `pairs` as a mapping, whose keys begin with
    `key` or are just that.
    """

    keyword: str
    place: str = ""
    takes: Literal["value", "several", "pairs"] = "value"
    key: str = ""

    def __str__(self) -> str:
        is_option = self.key and not self.key.endswith(".")
        name, place = (self.key, self.keyword) if is_option else (self.keyword, self.place)
        return f"{name} ({place})" if place else name

    def called(self, values: Sequence[str]) -> str:
        """Format the keyword with a command line's values, as in a Python call."""
        if self.takes == "pairs":
            if self.key[-1:] in ("", ".") and "=" not in values[0]:  # a key alone
                return f"{self.key}{values[0]} ({self.keyword})"
            pairs = (value.strip("'").rpartition("=") for value in values)
            listed = (f'"{self.key}{key}": {_literal(value)}' for key, _, value in pairs)
            written = f"{{{', '.join(listed)}}}"
        else:
            written = ", ".join(map(_literal, values))
            written = f"[{written}]" if self.takes == "several" else written
        return f"{self.keyword}={written}" + (f" ({self.place})" if self.place else "")


Names = Mapping[str, Name]


def _keywords(words: str, place: str = "") -> dict[str, Name]:
    return {word: Name(word, place) for word in words.split()}


SETTINGS: Names = {
    **{flag.parameter: Name("settings", takes="pairs", key=flag.key) for flag in FLAGS},
    "set": Name("settings", takes="pairs"),
    "field": Name("settings", takes="pairs", key="data.fields."),
    **_keywords("config data model output_dir"),
}
ASKED: Names = {
    **SETTINGS,
    **_keywords("abstain_below stop_when_decided margin decide_by to_see against"),
    "stress": Name("stress", takes="several"),
    "prompt": Name("prompts", takes="several"),
    "fresh": Name('redo="everything"'),
    "retry_errors": Name('redo="failures"'),
    "allow_other_reader": Name("allow_other_reader=True"),
    "dry_run": Name("aqa.estimate_cost"),
}
TRAINED: Names = {
    **SETTINGS,
    **_keywords("dev_data"),
    "model": Name("settings", takes="pairs", key="backend.model"),
    "resume": Name("resume=True"),
    "fresh": Name("`aqa train --fresh`"),
}
SCORED: Names = {
    **_keywords("data metrics plan label choose_threshold level wrong_under"),
    **_keywords("split corpus passages on_duplicate_id missing_passages", "aqa.Source"),
    "field": Name("fields", "aqa.Source", "pairs"),
    **_keywords("profile normalize answer baseline cluster seed", "aqa.Scoring"),
    "no_answer": Name("no_answer", "aqa.Scoring", "several"),
    "slice": Name("slices", "aqa.Scoring", "several"),
    "prediction_field": Name("prediction_fields", "aqa.Scoring", "several"),
    "allow_different_evidence": Name("allow_different_evidence=True", "aqa.Scoring"),
    "bert_model": Name("metric_options", "aqa.Scoring"),
    "bert_num_layers": Name("metric_options", "aqa.Scoring"),
    "judge_model": Name("models", "aqa.JudgeOptions"),
    "judge_max_cost": Name("max_cost", "aqa.JudgeOptions"),
    "judge_repeats": Name("repeats", "aqa.JudgeOptions"),
    "judge_labels": Name("labels", "aqa.JudgeOptions"),
    "judge_set": Name("settings", "aqa.JudgeOptions", "pairs"),
    "train": Name("training"),
    "output": Name("output_dir"),
    "report": Name("path"),  # of Evaluation.write_report
    "stress": Name("stress=True"),
}
PLAIN = re.compile(r"-?\d+(?:\.\d+)?|[\"\[{].*")  # a value written the same way in Python
VALUE = (
    r"(?:[A-Z_]{2,}\b|\d[\d.]*\b|keep-first|empty|nfk?c|\"[^\"]*\"|'[^']*'|-(?!\S)"
    r"|[\w.]+=(?:'[^']*'|[^\s,;)]*[\w\]])|(?:backend|generation)\.[\w.]*\w)"
)
# Commands are unchanged. A flag may follow its config key in parentheses, or have values, with the
# flag repeated before each.
FLAG = re.compile(
    r"`[^`]*`|\baqa (?:train|predict|evaluate|prompt-preview) [^,;)]*"
    r"|(?P<key>[\w.]+) \(--[a-z][a-z-]*\)"
    r"|\A--(?P<first>[a-z][a-z-]*) (?P<its>[^\s:]+)(?=: | has no effect)"
    r"|(?<![\w-])--(?P<flag>[a-z][a-z-]*)(?![\w-])"
    rf"(?: (?P<values>{VALUE}(?: --(?P=flag) {VALUE})*))?"
)


def translate_flags(text: str, names: Names) -> str:
    """Replace flags in a sentence by what they are called in the API."""

    def word(match: re.Match[str]) -> str:
        flag, values = match["flag"] or match["first"] or "", match["values"] or match["its"]
        name = names.get(flag.replace("-", "_"))
        if name is None:
            return match["key"] or match[0]
        return name.called(values.split(f" --{flag} ")) if values else str(name)

    return FLAG.sub(word, text)


def _literal(value: str) -> str:
    """Format a command-line value as a Python literal."""
    value = value.strip("'")
    if value in ("true", "false"):
        return value.capitalize()
    if value.startswith("["):
        return f"[{', '.join(map(_literal, value[1:-1].split(', ')))}]"
    return value if PLAIN.fullmatch(value) else f'"{value}"'


class TranslatingProgress:
    """Progress whose notes name keywords instead of flags."""

    def __init__(self, progress: Progress, names: Names) -> None:
        self.task = progress.task
        self._note, self._names = progress.note, names

    def note(self, text: str) -> None:
        """Pass the note on, rephrased."""
        self._note(translate_flags(text, self._names))


@contextmanager
def translate_errors(names: Names) -> Iterator[None]:
    """Rephrase errors to name keywords instead of flags; also a decorator."""
    try:
        yield
    except AqaError as error:
        error.args = (translate_flags(str(error), names),)
        raise
