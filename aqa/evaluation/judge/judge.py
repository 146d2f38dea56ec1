"""Ask a model for verdicts on answers, journal them, and estimate their cost."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from itertools import count
from operator import add
from pathlib import Path
from sys import maxsize
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.backends.openai_api.schemas import ResponseSchema, read_object
from aqa.config.load import as_raw
from aqa.config.options import RunConfig
from aqa.errors import ConfigError, PromptError
from aqa.evaluation.judge.cases import Case, Cases, Judged
from aqa.metrics.verdicts import VERDICTS, Verdict
from aqa.progress import Progress
from aqa.prompting.templates import VARIABLES, load_template
from aqa.records import Prediction, Prompt, StructuredAnswer, Template
from aqa.runs.files import filled
from aqa.runs.folder import open_run
from aqa.runs.journal import Journal, read_lines
from aqa.runs.journal_rows import cost_fields
from aqa.runs.names import JOURNAL
from aqa.spent import CostEstimate

TEMPLATES = {"en": "judge_eng", "ko": "judge_kor"}
JUDGE_VARIABLES = (*VARIABLES, "references", "answer")
TAG = re.compile(r"</?\w+>")
VERB = "judge"  # in the manifest of the judge's folder


class JudgeVerdict(BaseModel):
    """The reason, and then the verdict that follows from it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(description="Two sentences at most, in the language of the question.")
    verdict: Annotated[
        Literal["correct", "partially_correct", "incorrect", "unsupported"],
        BeforeValidator(lambda value: _plain(value) if isinstance(value, str) else value),
    ] = Field(description="As the instructions define it.")


def _plain(verdict: str) -> str:
    """Normalise a verdict, since servers that ignore the schema write "**Partially correct**."."""
    plain = re.sub(r"[\W_]+", "_", verdict.lower()).strip("_")
    return plain if plain in VERDICTS else verdict


VERDICT = ResponseSchema.of("verdict", JudgeVerdict, lambda value: StructuredAnswer(value.verdict))


Recorded = dict[str, tuple[int, Verdict]]  # by key: the index in the journal, and the verdict


class Judging:
    """A judge and the folder that holds its verdicts.

    Equal question, evidence, references and answer are judged only once, across systems and
    sessions; only failed verdicts are asked for again. Each configuration has its own folder
    inside `folder`.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        progress: Progress,
        repeats: int = 1,
        template: str | None = None,
    ) -> None:
        """Check what asking needs.

        `template` replaces the default for each language.
        """
        self._config, self._progress = config, progress
        self._repeats = repeats
        self._left_out: Sequence[str] = ()  # parameters that the server refused
        names = TEMPLATES if template is None else dict.fromkeys(TEMPLATES, template)
        self._templates = {
            language: load_template(name, JUDGE_VARIABLES) for language, name in names.items()
        }
        if getattr(config.backend, "batch_api", False):
            raise ConfigError("the judge asks one by one; leave backend.batch_api out")
        reader = self._reader(0)
        reader.check()
        self._fingerprint = {
            "reader": dict(reader.identity()),
            "prompts": {name: template.sha256 for name, template in self._templates.items()},
        }
        model = re.sub(r"[^\w.-]+", "-", config.backend.model)
        self.folder = folder / f"{model}-{_digest(self._fingerprint)}"

    @property
    def model(self) -> str:
        """The name of the judge's model."""
        return self._config.backend.model

    def signature_of(self, model: str) -> str:
        """Return the signature of judges with these names and this configuration."""
        templates = self._templates.values()
        prompts = "+".join(dict.fromkeys(f"{one.name}@{one.sha256[:8]}" for one in templates))
        temperature = f"{self._config.generation.temperature:g}"
        if "temperature" in self._left_out:
            temperature = "default"  # the model's own, the only one it accepts
        others = "+".join(name for name in self._left_out if name != "temperature")
        options: Any = self._config.backend
        top_p = self._config.generation.top_p
        chosen = {
            "top_p": f"{top_p:g}" if top_p < 1 else "",
            "effort": options.reasoning_effort,
            "extra_body": options.extra_body and _digest(options.extra_body),
            "without": others,
        }
        way = f"prompt:{prompts}|temperature:{temperature}|repeats:{self._repeats}"
        more = "".join(f"|{name}:{value}" for name, value in chosen.items() if value)
        return f"model:{model}|{way}{more}"

    def check_access(self) -> None:
        """Raise ConfigError if a key, an address or the price needed for a cap is missing."""
        self._reader(0).check_access()

    def ask(self, cases: Cases) -> Judged:
        """Get the verdicts on all cases, from the journal or from the judge.

        Raises:
            AqaError: the server can't be asked, or the cost cap is reached; verdicts are kept.
        """
        with (
            open_run(self.folder, VERB) as run,
            Journal(self.folder, self._fingerprint, fresh=False) as journal,
        ):
            recorded = _read_verdicts(journal.rows(maxsize))
            served = run.previous.get("served") or {}
            manifest = {"config": as_raw(self._config), "fingerprint": self._fingerprint}
            run.start({"verb": VERB, **manifest, "served": served})
            asked = 0
            keys: dict[tuple[str, str], list[str]] = {}
            for repeat in range(self._repeats):
                reader = self._reader(repeat)
                reader.resume(journal.spent, served, self.folder)
                todo = self._missing(cases, reader, repeat, recorded, keys)
                with run.recording(partial(_served, reader, journal)):
                    self._ask(reader, todo, recorded, journal)
                asked += len(todo)
                served = dict(reader.facts(journal.spent))
            run.update({"status": "done", "served": served})
        self._left_out = served.get("left_out", [])
        verdicts = {case: tuple(recorded[key][1] for key in keys[case]) for case in keys}
        facts = {"folder": str(self.folder), "asked": asked, **_drop_unknown(served)}
        return Judged(verdicts, facts, self._repeats)

    def estimate(self, cases: Cases) -> CostEstimate:
        """Estimate the cost of the verdicts not yet known; nothing is asked or written."""
        recorded = _read_verdicts(read_lines(self.folder / JOURNAL))
        estimates = []
        for repeat in range(self._repeats):
            reader = self._reader(repeat)
            todo = self._missing(cases, reader, repeat, recorded, {})
            estimates.append(reader.estimate_cost(prompt for _, prompt in todo.values()))
        return reduce(add, estimates)

    def _reader(self, repeat: int) -> Gpt4Backend:
        """Make the reader of a repeat; with the same seed, verdicts would be the same."""
        config = self._config.model_copy(update={"seed": self._config.seed + repeat})
        return Gpt4Backend(config, self._progress, VERDICT)

    def _missing(
        self,
        cases: Cases,
        reader: Gpt4Backend,
        repeat: int,
        recorded: Recorded,
        keys: dict[tuple[str, str], list[str]],
    ) -> dict[str, tuple[Case, Prompt]]:
        """Find the prompts without a known verdict, and record the key of every case."""
        todo: dict[str, tuple[Case, Prompt]] = {}
        numbers = count(1 + max((number for number, _ in recorded.values()), default=-1))
        for case in cases():
            template = self._templates[case.language]
            references = "\n".join(case.references or template.no_answer[:1])
            values = {"references": references, "answer": _without_tags(case.answer, template)}
            prompt = Prompt(case.id, 0, case.question, case.evidence, template, values=values)
            content = [repeat, [(turn.role, turn.content) for turn in prompt.messages]]
            key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
            keys.setdefault((case.system, case.id), []).append(key)
            if key in todo or (key in recorded and recorded[key][1].verdict is not None):
                continue
            number = recorded[key][0] if key in recorded else next(numbers)
            try:
                todo[key] = (case, replace(reader.fit(prompt), id=key, index=number))
            except PromptError as error:
                recorded[key] = (-1, Verdict(None, str(error)))
        return todo

    def _ask(
        self,
        reader: Gpt4Backend,
        todo: Mapping[str, tuple[Case, Prompt]],
        recorded: Recorded,
        journal: Journal,
    ) -> None:
        if not todo:
            return

        def line(prompt: Prompt, prediction: Prediction) -> dict[str, Any]:
            return _row(todo[prompt.id][0], prediction)

        prompts = (prompt for _, prompt in todo.values())
        with self._progress.task("Judging", len(todo), "verdicts") as bar, reader:
            for prompt, row in journal.record(reader.generate(prompts), line):
                recorded[prompt.id] = (prompt.index, _verdict_of(row))
                bar.advance(1, reader.live())


def _without_tags(answer: str, template: Template) -> str:
    """Write the template's tags in an answer as (tag), since <tag> could end its part."""
    ours = {tag for turn in template.messages for tag in TAG.findall(turn.content)}
    return TAG.sub(lambda tag: f"({tag[0][1:-1]})" if tag[0] in ours else tag[0], answer)


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def _drop_unknown(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Drop unknown values, such as money without a price."""
    return {
        name: _drop_unknown(value) if isinstance(value, Mapping) else value
        for name, value in facts.items()
        if value is not None
    }


def _served(reader: Gpt4Backend, journal: Journal) -> dict[str, Any]:
    return {"served": dict(reader.facts(journal.spent))}


def _row(case: Case, prediction: Prediction) -> dict[str, Any]:
    """Build the journal row of a verdict; its case is the first one it was asked for."""
    row = {"id": prediction.id, "example": case.id, "system": case.system, "answer": case.answer}
    if prediction.error is None and prediction.raw is not None:
        parsed = read_object(prediction.raw, JudgeVerdict)
        verdict = Verdict(parsed.verdict, parsed.reason).to_json()
    else:
        verdict = Verdict(None, prediction.error or "").to_json() | filled({"raw": prediction.raw})
    return row | verdict | filled({"model": prediction.model or None}) | cost_fields(prediction)


def _read_verdicts(rows: Iterable[Mapping[str, Any]]) -> Recorded:
    return {row["id"]: (row["index"], _verdict_of(row)) for row in rows}


def _verdict_of(row: Mapping[str, Any]) -> Verdict:
    return Verdict(row.get("verdict"), str(row.get("reason", row.get("error", ""))))
