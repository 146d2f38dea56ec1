"""Contracts (of silence): make one from a reader's scores, store it, and check it later."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from aqa.errors import ConfigError, DataError, UsageError
from aqa.evaluation.abstention import Rate, confidence_kinds, confidence_of
from aqa.evaluation.inputs import Predicted, file_of
from aqa.evaluation.partial_runs import check_whole
from aqa.evaluation.results import Report, SystemScores
from aqa.evaluation.risk_control import ContractResult, Promise, choose_threshold
from aqa.metrics.statistics.clusters import Clusters
from aqa.records import MEAN_LOGPROB
from aqa.runs.fingerprints import differences
from aqa.runs.folder import read_manifest
from aqa.runs.names import CONTRACT, MANIFEST

KIND, VERSION = "contract of silence", 1
DEFAULTS = (95.0, "em=100")  # confidence level, and the score that a right answer needs
OF_READER = ("backend", "evidence", "prompt", "reader")  # parts of a run's fingerprint


@dataclass(frozen=True, slots=True)
class Contract:
    """Withhold answers with a confidence below `threshold`: at most `risk` % of the rest are wrong.

    This holds with `level` % confidence for questions like the `questions` that it was made with,
    in `clusters` made `by` a label; `coverage` % of these are answered, of which `error` % are
    wrong: their `score` is less than `limit`. `reader` is the fingerprint that it holds for; None
    if the predictions were not a run's. `confidence_kind` is "" for predictions that don't name it;
    of runs, these are those of earlier versions, which all used mean log-probabilities.
    """

    threshold: float
    risk: float
    level: float
    score: str
    limit: float
    coverage: float
    error: float
    questions: int
    clusters: int
    by: str
    reader: Mapping[str, Any] | None = None
    confidence_kind: str = ""

    def __str__(self) -> str:
        return (
            f"of these {self.questions:,} questions {self.coverage:.1f} % are answered with a"
            f" confidence of {self.threshold:.4g} or more, {self.error:.1f} % of them wrongly; of"
            f" others like them at most {self.risk:g} % will be, with {self.level:g} % confidence"
        )

    def to_json(self) -> dict[str, Any]:
        """Return what its file and the manifest of a run that applies it contain."""
        return {"kind": KIND, "version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, content: object, source: str) -> "Contract":
        """Read what `to_json` returned; ConfigError for anything else."""
        from pydantic import TypeAdapter, ValidationError

        if not isinstance(content, dict) or content.get("kind") != KIND:
            raise ConfigError(
                f"{source} is not a contract; make one with `aqa evaluate RUN --choose-threshold"
                " risk=5 --output silence.json`"
            )
        fields = {name: value for name, value in content.items() if name not in ("kind", "version")}
        try:
            cls(**fields)  # rejects unknown names
            contract = TypeAdapter(cls).validate_json(json.dumps(fields), strict=True)
            shares = (contract.risk, contract.level, contract.limit)
            is_valid = isfinite(contract.threshold) and all(0 < share <= 100 for share in shares)
        except (TypeError, ValidationError):
            is_valid = False
        if not is_valid or content.get("version") != VERSION:
            raise ConfigError(
                f"{source} is a contract that was changed, or is of another version; make it again"
            )
        return contract

    def check_confidence(self, kind: str | None) -> None:
        """Raise ConfigError unless the reader's confidences are of this contract's kind."""
        if kind is None:
            raise ConfigError(
                "this reader's answers have no confidence, so all would be withheld; set"
                " backend.logprobs=true, or generation.samples with a temperature"
            )
        if kind and self.reader is None and not self.confidence_kind:
            raise ConfigError(
                "the contract was made from predictions that don't say what their confidences are,"
                f" so its threshold may not suit this reader's {kind}; add a column confidence_kind"
                " to them and make it again"
            )
        expected, actual = self.confidence_kind or MEAN_LOGPROB, kind or MEAN_LOGPROB
        if expected != actual:
            raise ConfigError(
                f"the contract was made with confidences of kind {expected}, but this reader gives"
                f" {actual}; make one for this reader"
            )

    def check_reader(self, fingerprint: Mapping[str, Any]) -> None:
        """Raise ConfigError unless reader, prompt and evidence plan are this contract's."""
        hint = "make one for this reader, or add --allow-other-reader"
        if self.reader is None:
            raise ConfigError(
                "the contract was made from predictions without a run folder, so its reader is not"
                f" known; {hint}"
            )
        changes = differences(_reader(self.reader), _reader(fingerprint))
        if changes:
            changed = "; ".join(list(changes.values())[:3])
            raise ConfigError(f"the contract was made with other settings: {changed}; {hint}")


def make_contract(report: Report, promise: Promise) -> Contract:
    """Find the threshold below which the single system of a report should abstain.

    Raises:
        UsageError: it has no such score for each example.
        DataError: its answers can't support that promise.
    """
    (system,) = report.systems
    clusters = report.clusters or Clusters.apart(len(report.ids))
    answered = _answered(system)
    confidences = [
        confidence_of(row) if is_answered else None
        for row, is_answered in zip(system.rows, answered, strict=True)
    ]
    _check_run(system)
    check_whole(system.file, system.manifest, len(report.ids))
    if not any(answered):
        raise DataError(f"{system.name} answers nothing, so there is nothing to promise")
    kinds = confidence_kinds(system.rows)
    if len(kinds) > 1:
        raise DataError(
            f"{system.name} has confidences of {len(kinds)} kinds ({', '.join(kinds)}), which have"
            " no threshold in common; make its predictions again with one of them"
        )
    if all(confidence is None for confidence in confidences):
        again = "predict again with backend.logprobs=true, or generation.samples at a temperature"
        hint = again if system.manifest else "add a column confidence, higher where it is surer"
        raise DataError(
            f"{system.name}: no answer has a confidence, so there is no threshold; {hint}"
        )
    threshold = choose_threshold(confidences, _wrong(system, promise), clusters, promise)
    fingerprint = system.manifest.get("fingerprint")
    return Contract(
        threshold=threshold.confidence,
        **asdict(promise),
        coverage=threshold.coverage,
        error=threshold.error,
        questions=len(report.ids),
        clusters=clusters.count,
        by=clusters.by,
        reader=_reader(fingerprint) if isinstance(fingerprint, dict) else None,
        confidence_kind=next(iter(kinds), ""),
    )


def _check_run(system: SystemScores) -> None:
    """Raise DataError for a training run, or answers to data that the reader was trained on."""
    manifest, file = system.manifest, system.file
    config = manifest.get("config")
    if not isinstance(config, dict):
        return
    backend = config["backend"]
    again = "(`aqa predict {} --model {} --data QUESTIONS`), and choose the threshold by that run"
    if manifest.get("verb") == "train":
        raise DataError(
            f"{file} is a training; predict questions that it has not seen with its reader"
            f" {again.format(backend['name'], file)}"
        )
    model = Path(str(manifest.get("directory", "")), str(backend["model"]))
    trained = read_manifest(model) if model.is_dir() else {}
    data = [_data_sha256(run.get("fingerprint")) for run in (trained, manifest)]
    if trained.get("verb") == "train" and data[0] == data[1] is not None:
        raise DataError(
            f"{file} answers the questions that its reader was trained on, which promise too much;"
            f" predict others {again.format(backend['name'], model)}"
        )


def _data_sha256(fingerprint: object) -> str | None:
    data = fingerprint.get("data") if isinstance(fingerprint, dict) else None
    return data.get("sha256") if isinstance(data, dict) else None


def check_promise(
    promise: Promise, predictions: Sequence[Predicted], available: Collection[str] | None
) -> None:
    """Raise UsageError for several systems or for a score that is not `available`."""
    if len(predictions) != 1:
        names = ", ".join(str(file_of(predicted) or predicted) for predicted in predictions[:3])
        raise UsageError(f"--choose-threshold is for one reader; give only one of {names}")
    if available is not None and promise.score not in available:
        raise _no_score(promise)


def check_contracts(
    systems: Sequence[SystemScores], clusters: Clusters
) -> tuple[list[ContractResult], list[str]]:
    """Report how runs that apply a contract kept it; also the reasons where that is unknown."""
    results, unknown = [], []
    for system in systems:
        if "silence" not in system.manifest:
            continue
        contract = Contract.from_json(system.manifest["silence"], f"{system.file}: its {MANIFEST}")
        indices = [index for index, is_answered in enumerate(_answered(system)) if is_answered]
        if not indices:
            unknown.append(f"{system.name} follows a contract, and gives no answer at all")
        elif not _has_score(contract.score, system):
            unknown.append(
                f"{system.name} follows a contract by {contract.score}, which was not computed; add"
                f" {contract.score} to --metrics to see whether it held"
            )
        else:
            promise = Promise(contract.risk, contract.level, contract.score, contract.limit)
            wrong = _wrong(system, promise)
            rate = Rate.of([100.0 * wrong[index] for index in indices], clusters.at(indices))
            results.append(ContractResult(system.name, contract.risk, len(indices), **asdict(rate)))
    return results, unknown


def _has_score(name: str, system: SystemScores) -> bool:
    return name in system.scores and bool(system.scores[name].per_example)


def read_contract(path: Path) -> Contract:
    """Read a contract file; ConfigError if it is unreadable or something else."""
    if path.is_dir():
        raise ConfigError(
            f"{path} is a folder; name the file of the contract, as {path / CONTRACT}"
        )
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: can't read this contract: {error.strerror}") from error
    except ValueError:
        content = None
    return Contract.from_json(content, str(path))


def parse_promise(risk: str | None, level: float, wrong: str) -> Promise | None:
    """Parse `risk=5` and `em=100`; None without a `risk`; UsageError for anything else."""
    if risk is None:
        if (level, wrong) != DEFAULTS:
            raise UsageError("--level and --wrong-under are for --choose-threshold; add it")
        return None
    name, share = named_number(risk)
    if name != "risk" or share is None or not 0 < share < 100:
        raise UsageError(
            f"--choose-threshold {risk}: write the share of wrong answers to promise, in %, such as"
            ' "risk=5"'
        )
    score, limit = named_number(wrong)
    if not score or limit is None or not 0 < limit <= 100:
        raise UsageError(
            f'--wrong-under {wrong}: write a score and the least it may be, such as "f1=50"'
        )
    return Promise(share, level, score, limit)


def named_number(word: str) -> tuple[str, float | None]:
    """Parse `f1=70`; the value is None if it is not a number."""
    name, _, text = word.partition("=")
    try:
        return name.strip(), float(text)
    except ValueError:
        return name.strip(), None


def _reader(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The fingerprint that a contract holds for, stress conditions not included."""
    parts = {name: fingerprint.get(name) for name in OF_READER}
    plan = dict(parts["evidence"] or {})
    plan.pop("stress", None)
    return {**parts, "evidence": plan}


def _wrong(system: SystemScores, promise: Promise) -> list[bool]:
    if not _has_score(promise.score, system):
        raise _no_score(promise)
    return [value < promise.limit for value in system.scores[promise.score].per_example]


def _no_score(promise: Promise) -> UsageError:
    return UsageError(
        f"--wrong-under {promise.score}: there is no such score for each example; name it in"
        " --metrics, too"
    )


def _answered(system: SystemScores) -> Sequence[bool]:
    """Whether the system answered each example, rather than failing or abstaining."""
    return [bool(prediction) for prediction in system.predictions]
