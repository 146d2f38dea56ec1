"""What an ensemble is trained on: its members' runs, with their answers beside the references."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from aqa.backends import make_reader
from aqa.backends.ensemble.backend import MemberAnswer, read_answer
from aqa.backends.ensemble.learned import Member
from aqa.config.ensemble_options import EnsembleOptions
from aqa.config.load import as_raw
from aqa.config.options import RunConfig
from aqa.config.paths import resolve_path
from aqa.errors import ConfigError, DataError, UsageError
from aqa.evaluation.alignment import System, system_names
from aqa.evaluation.ensembles import Answered, has_confidence, possible_rules
from aqa.evaluation.inputs import Aligned, Scoring, align
from aqa.evaluation.partial_runs import early_stops
from aqa.evaluation.predictions import RUN_FILES, AnsweredRow, read_predictions, without_fields
from aqa.metrics.normalize import second_score
from aqa.metrics.votes import Votes
from aqa.progress import Progress, SilentProgress
from aqa.prompting.build import Inputs
from aqa.prompting.templates import load_template
from aqa.runs.fingerprints import differences
from aqa.runs.folder import read_manifest
from aqa.verbs.existing_answers import located, member_config, runs_in
from aqa.verbs.run_config import make_config

OF_READER = ("backend", "prompt", "reader")  # the parts of a run's fingerprint that identify it
RULES = {
    "member": "the best member",
    "majority": "majority",
    "mbr": "minimum risk (mbr)",
    "weighted": "weighted by confidence",
    "cascade": "cascade",
}


@dataclass(frozen=True, slots=True)
class MemberRun:
    """A member, where its answers to the data are, and the answers by question id.

    `plan` is its evidence plan and `config` its reader's; both are None for another tool's file.
    """

    member: Member
    file: Path
    rows: Mapping[str, AnsweredRow]
    plan: Mapping[str, Any] | None = None
    config: RunConfig | None = None


def find_members(options: EnsembleOptions, inputs: Inputs) -> list[MemberRun]:
    """Find each member's answers to the data, in its run folder or in a run inside it.

    Raises:
        AqaError: there are too few members, one appears twice or has no such answers, or they
            were given different evidence.
    """
    paths = list(map(Path, options.members))
    resolved = [resolve_path(path) for path in paths]
    for path, location in zip(paths, resolved, strict=True):
        if resolved.count(location) > 1:
            raise UsageError(f"backend.members names {path} twice; name each member once")
    if len(paths) < 2 and (not paths or options.nbest == 1):
        raise UsageError(
            "an ensemble needs two members or more, as in --set backend.members='[runs/a, runs/b]';"
            " one will do if its n-best lists count (backend.nbest)"
        )
    names = [name.strip("/").replace("/", "_") for name in system_names(paths)]
    runs: list[MemberRun] = []
    for name, path in zip(names, paths, strict=True):
        first = next((member_run for member_run in runs if member_run.plan is not None), None)
        member_run = _find_member(name, path, inputs, first)
        for other in runs:
            if _run_of(other.file) == _run_of(member_run.file):
                raise UsageError(
                    f"backend.members names the answers in {member_run.file} twice, as"
                    f" {other.member.given} and {path}; name each member once"
                )
        runs.append(member_run)
    return runs


def _run_of(file: Path) -> Path:
    """Return the run folder that a file of answers belongs to, or the file itself."""
    path = resolve_path(file)
    return path.parent if path.name in RUN_FILES else path


def _find_member(name: str, path: Path, inputs: Inputs, first: MemberRun | None) -> MemberRun:
    manifests = {folder: read_manifest(folder) for folder in runs_in(path)}
    runs = {folder: manifest for folder, manifest in manifests.items() if "verb" in manifest}
    if not runs:
        if not path.exists():
            raise DataError(f"{path}: there is no such run folder or file of predictions")
        pairs = ((example.id, example.question) for _, example in inputs.examples())
        ids, questions = zip(*pairs, strict=True)
        rows = without_fields()(read_predictions)(path, ids, questions)
        return MemberRun(Member(name, str(path), str(Path.cwd())), path, rows)
    single = {
        folder: manifest
        for folder, manifest in runs.items()
        if manifest["config"]["backend"]["name"] != "ensemble"
    }
    if not single or (path in runs and path not in single):
        ensemble = next(folder for folder in runs if folder not in single)
        raise UsageError(f"{ensemble} is of an ensemble; name the members of that one instead")
    fitting = {folder: run for folder, run in single.items() if _is_of_data(run, inputs)}
    if not fitting:
        raise DataError(
            f"{path} holds no answers to {inputs.source.path}; predict with that reader and these"
            " data first, or name the run folder that holds them"
        )
    folder = _choose(path, fitting, first)
    member = _member(name, path, folder, fitting[folder])
    evidence, config = fitting[folder]["evidence"], member_config(member)
    rows = {key: _restored(row) for key, row in read_predictions(folder).items()}
    return MemberRun(member, folder, rows, evidence, config)


def _choose(path: Path, runs: Mapping[Path, Mapping[str, Any]], first: MemberRun | None) -> Path:
    """Choose the run with the first member's evidence; DataError for none or several readers."""
    folders = list(runs)
    if first is not None:
        changes = {run: differences(first.plan or {}, runs[run]["evidence"]) for run in runs}
        folders = [folder for folder in runs if not changes[folder]]
        if not folders:
            changed = ", ".join(next(iter(changes.values())))
            raise DataError(
                f"{first.member.given} and {path} were given different evidence ({changed});"
                " predict with the same evidence, so that they can answer as one"
            )
    folder = folders[0]
    others = (run for run in folders if _reader_of(runs[run]) != _reader_of(runs[folder]))
    other = next(others, None)
    if other is not None and folder != path:
        raise DataError(
            f"{path} holds the answers of several readers ({folder.name}, {other.name}); name the"
            f" run of one, such as {folder}"
        )
    return folder


def _reader_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {name: manifest["fingerprint"].get(name) for name in OF_READER}


def _restored(row: AnsweredRow) -> AnsweredRow:
    """Restore an answer that a contract withheld: a member that is asked has no contract."""
    withheld = row.metadata.get("withheld")
    if not isinstance(withheld, str):
        return row
    return replace(row, prediction=withheld, metadata={**row.metadata, "abstained": False})


def _is_of_data(manifest: Mapping[str, Any], inputs: Inputs) -> bool:
    """Whether a run answered these questions; a training run answered its dev data."""
    fingerprint = manifest.get("fingerprint") or {}
    if manifest["verb"] == "train":
        return "dev" in fingerprint and fingerprint["dev"] == inputs.survey.sha256
    return not differences(fingerprint.get("data") or {}, inputs.data_fingerprint())


def _member(name: str, path: Path, folder: Path, manifest: Mapping[str, Any]) -> Member:
    raw, directory = dict(manifest["config"]), str(manifest.get("directory", ""))
    if manifest["verb"] == "train":
        config = make_config(raw["backend"]["name"], None, [("backend.model", str(folder))])
        template = load_template(config.prompt)
        reader = make_reader(config, SilentProgress())
        parts: dict[str, Any] = {
            "backend": config.backend.name,
            "prompt": {"name": template.name, "sha256": template.sha256},
            "reader": dict(reader.identity()),
        }
        return Member(name, str(path), str(Path.cwd()), as_raw(config), parts)
    backend = dict(raw["backend"])
    backend["model"] = located(str(backend["model"]), directory)
    raw |= {"backend": backend, "prompt": located(str(raw["prompt"]), directory)}
    return Member(name, str(path), str(Path.cwd()), raw, _reader_of(manifest))


@dataclass(frozen=True, slots=True)
class Learning:
    """Members and their answers to the same questions; `answers` is indexed like `members`."""

    members: Sequence[Member]
    aligned: Aligned
    answers: Sequence[Sequence[MemberAnswer]]
    answered: Answered
    candidates: int

    @property
    def metric(self) -> str:
        """The score by which a rule is chosen."""
        return second_score(self.aligned.profile)

    @property
    def sample(self) -> str:
        """Describe the questions that the scores are computed on."""
        clusters = self.answered.clusters
        by = "" if clusters.are_examples else f" in {clusters.count:,} clusters by {clusters.by}"
        return f"{clusters.examples:,} questions{by}"


def read_answers(
    runs: Sequence[MemberRun], inputs: Inputs, config: RunConfig, progress: Progress
) -> Learning:
    """Align the members' answers with the references; DataError without a common question."""
    options = config.backend
    assert isinstance(options, EnsembleOptions)
    ids = {example.id for _, example in inputs.examples()}
    shared = ids.intersection(*(run.rows for run in runs))
    if not shared:
        unrelated = next((run.file for run in runs if ids.isdisjoint(run.rows)), None)
        what = "the members have answers to no common question"
        what = what if unrelated is None else f"no id of {unrelated} is in the data"
        raise DataError(f"{what}; give answers to the same data")
    if missed := ids - shared:
        progress.note(f"{len(missed)} questions that not all members were asked are left out")
    rows = [{key: row for key, row in run.rows.items() if key not in missed} for run in runs]
    members = [run.member for run in runs]
    systems = [
        System(run.member.name, str(run.file), system_rows, {})
        for run, system_rows in zip(runs, rows, strict=True)
    ]
    scoring = Scoring(
        profile=config.evaluation.profile, cluster=options.cluster, allow_different_evidence=True
    )
    examples = (example for _, example in inputs.examples() if example.id in shared)
    aligned = align(systems, examples, scoring)
    for warning in (*aligned.warnings, *early_stops([replace(one, plan=None) for one in systems])):
        progress.note(warning)
    answers = [
        [
            read_answer(text, system_rows[key].metadata)
            for key, text in zip(
                aligned.expected, aligned.pairs[member.name].predictions, strict=True
            )
        ]
        for member, system_rows in zip(members, rows, strict=True)
    ]
    answered = _arrays(aligned, answers, options.nbest)
    return Learning(members, aligned, answers, answered, options.nbest)


def _arrays(aligned: Aligned, answers: Sequence[Sequence[MemberAnswer]], most: int) -> Answered:
    scores, candidates, costs = [], [], []
    for system, replies in zip(aligned.systems, answers, strict=True):
        paid = [cost for reply in replies if reply.spent and (cost := reply.spent.cost) is not None]
        for number in range(most):
            numbered = [
                reply.candidates[number] if number < len(reply.candidates) else (None, None)
                for reply in replies
            ]
            pairs = replace(aligned.pairs[system.name], predictions=[text for text, _ in numbered])
            scores.append(pairs.agreement[1])
            candidates.append(numbered)
            costs.append(inf if number else fmean(paid) if paid else 0.0)
    rows = list(zip(*candidates, strict=True))
    votes = Votes.of(
        [[text for text, _ in row] for row in rows],
        [[confidence for _, confidence in row] for row in rows],
        pairs.profiles,
    )
    return Answered(votes, np.column_stack(scores), costs, aligned.clusters)


def wanted_rules(dev: Learning, options: EnsembleOptions, progress: Progress) -> list[str]:
    """Return the rules to choose from; ConfigError if the answers do not allow the wanted one."""
    votes, several = dev.answered.votes, dev.candidates
    if several > 1 and not any(len(answer.candidates) > 1 for row in dev.answers for answer in row):
        raise ConfigError(
            f"backend.nbest = {several}, but no member gave n-best lists; leave it out, or predict"
            f" again with generation.num_return_sequences={several}"
        )
    possible = possible_rules(votes, dev.answered.costs)
    sure = has_confidence(votes)
    unsure = [
        member.name
        for index, member in enumerate(dev.members)
        if not all(sure[index * several : (index + 1) * several])
    ]
    why = f"{', '.join(unsure)} gave answers without a confidence"
    if not unsure:
        why = "a cascade takes two members"
    if options.rule == "auto":
        left_out = [RULES[name] for name in ("weighted", "cascade") if name not in possible]
        if left_out:
            progress.note(f"left out: {', '.join(left_out)} ({why})")
        return possible
    if options.rule not in possible:
        raise ConfigError(f"backend.rule = {options.rule} can't be learned: {why}")
    return [options.rule]
