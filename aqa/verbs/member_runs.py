"""The runs that an ensemble learns from: whose answers to the data they hold, by which reader."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqa.backends.ensemble.learned import Member
from aqa.config.ensemble_options import EnsembleOptions
from aqa.config.load import as_raw
from aqa.config.options import RunConfig
from aqa.errors import DataError, UsageError
from aqa.evaluation.alignment import system_names
from aqa.evaluation.predictions import RUN_FILES, AnsweredRow, read_predictions
from aqa.progress import SilentProgress
from aqa.prompting.build import Inputs
from aqa.prompting.templates import load_template
from aqa.runs.fingerprints import differences
from aqa.runs.folder import read_manifest
from aqa.verbs.answers_at_hand import located, member_config, runs_in
from aqa.verbs.run_config import make_config

OF_READER = ("backend", "prompt", "reader")  # of a run's fingerprint


@dataclass(frozen=True, slots=True)
class MemberRun:
    """A member, where its answers to the data lie, and these by the question's id.

    `plan` is what chose its evidence and `config` its reader's; None of a file of another tool.
    """

    member: Member
    file: Path
    rows: Mapping[str, AnsweredRow]
    plan: Mapping[str, Any] | None = None
    config: RunConfig | None = None


def find_members(options: EnsembleOptions, inputs: Inputs) -> list[MemberRun]:
    """Find each member's answers to the data: in its run folder, or in a run within.

    Raises:
        AqaError: there are too few members, one appears twice, or has no such answers, or they
            were given different evidence.
    """
    paths = list(map(Path, options.members))
    resolved = [path.resolve() for path in paths]
    for path, own in zip(paths, resolved, strict=True):
        if resolved.count(own) > 1:
            raise UsageError(f"backend.members names {path} twice; name each member once")
    if len(paths) < 2 and (not paths or options.nbest == 1):
        raise UsageError(
            "an ensemble needs two members or more, as in --set backend.members='[runs/a, runs/b]';"
            " one will do if its n-best lists count (backend.nbest)"
        )
    names = [name.strip("/").replace("/", "_") for name in system_names(paths)]
    found: list[MemberRun] = []
    for name, path in zip(names, paths, strict=True):
        first = next((run for run in found if run.plan is not None), None)
        run = _find(name, path, inputs, first)
        for other in found:
            if _run_of(other.file) == _run_of(run.file):
                raise UsageError(
                    f"backend.members names the answers in {run.file} twice, as"
                    f" {other.member.given} and {path}; name each member once"
                )
        found.append(run)
    return found


def _run_of(file: Path) -> Path:
    """The run folder that a file of answers is of, or the file."""
    whole = file.resolve()
    return whole.parent if whole.name in RUN_FILES else whole


def _find(name: str, path: Path, inputs: Inputs, first: MemberRun | None) -> MemberRun:
    manifests = {folder: read_manifest(folder) for folder in runs_in(path)}
    runs = {folder: found for folder, found in manifests.items() if "verb" in found}
    if not runs:
        if not path.exists():
            raise DataError(f"{path}: there is no such run folder or file of predictions")
        ids, questions = zip(
            *((example.id, example.question) for _, example in inputs.examples()), strict=True
        )
        rows = read_predictions(path, ids, questions)
        return MemberRun(Member(name, str(path), str(Path.cwd())), path, rows)
    own = {folder: found for folder, found in runs.items() if _is_of_data(found, inputs)}
    if not own:
        raise DataError(
            f"{path} holds no answers to {inputs.source.path}; predict with that reader and these"
            " data first, or name the run folder that holds them"
        )
    plan = None if first is None else first.plan
    same = [
        folder
        for folder, found in own.items()
        if plan is None or not differences(plan, found["evidence"])
    ]
    if not same:
        different = differences(plan or {}, next(iter(own.values()))["evidence"])
        which = ", ".join(different)
        assert first is not None
        raise DataError(
            f"{first.member.given} and {path} were given different evidence ({which}); predict with"
            " the same evidence, so that they can answer as one"
        )
    folder = same[0]
    member = _member(name, path, folder, own[folder])
    config, _ = member_config(member)
    return MemberRun(member, folder, read_predictions(folder), own[folder]["evidence"], config)


def _is_of_data(manifest: Mapping[str, Any], inputs: Inputs) -> bool:
    """Whether a run answered these questions: a prediction, or a training its dev data."""
    fingerprint = manifest.get("fingerprint") or {}
    if manifest["verb"] == "train":
        return "dev" in fingerprint and fingerprint["dev"] == inputs.found.sha256
    return not differences(fingerprint.get("data") or {}, inputs.data_fingerprint())


def _member(name: str, given: Path, folder: Path, manifest: Mapping[str, Any]) -> Member:
    """What is to be known of a run's reader, so that it can be asked again."""
    raw, directory = dict(manifest["config"]), str(manifest.get("directory", ""))
    if manifest["verb"] == "train":
        config, reader_type = make_config(
            raw["backend"]["name"], None, [("backend.model", str(folder))]
        )
        template = load_template(config.prompt)
        reader = reader_type(config, SilentProgress())
        parts: dict[str, Any] = {
            "backend": config.backend.name,
            "prompt": {"name": template.name, "sha256": template.sha256},
            "reader": dict(reader.identity()),
        }
        return Member(name, str(given), str(Path.cwd()), as_raw(config), parts)
    backend = dict(raw["backend"])
    backend["model"] = located(str(backend["model"]), directory)
    raw |= {"backend": backend, "prompt": located(str(raw["prompt"]), directory)}
    parts = {name: manifest["fingerprint"][name] for name in OF_READER}
    return Member(name, str(given), str(Path.cwd()), raw, parts)
