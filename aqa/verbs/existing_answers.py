"""Find answers of an ensemble's members that already exist: in their runs or in named files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqa.backends import find_backend
from aqa.backends.ensemble.backend import KeptAnswers, read_answer
from aqa.backends.ensemble.learned import LearnedEnsemble, Member
from aqa.config.load import build_config
from aqa.config.options import RunConfig
from aqa.errors import DataError, RunError, UsageError
from aqa.evaluation.predictions import read_predictions, without_fields
from aqa.prompting.build import Inputs
from aqa.runs.fingerprints import differences
from aqa.runs.journal import read_header
from aqa.runs.names import JOURNAL, MANIFEST

Fingerprint = Mapping[str, Any]


def runs_in(folder: Path) -> list[Path]:
    """Return the run folder itself and the runs inside it."""
    inner = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
    return [folder, *inner] if folder.is_dir() else []


def different(existing: Fingerprint, here: Fingerprint) -> dict[str, str]:
    """Describe how two runs differ, ignoring the precision that their machines computed in."""
    changed = differences(existing, here)
    changed.pop("reader.dtype", None)
    return changed


def located(path: str, directory: str) -> str:
    """Resolve a path given in another directory; return it unchanged if nothing is there."""
    resolved = Path(directory, path)
    return str(resolved) if not Path(path).exists() and resolved.exists() else path


def member_config(member: Member) -> RunConfig:
    """Return the config to run the member with again."""
    raw = json.loads(json.dumps(member.config))
    backend = raw["backend"]
    backend["model"] = located(backend["model"], member.directory)
    raw["prompt"] = located(raw["prompt"], member.directory)
    raw = {name: raw[name] for name in raw if name not in ("data", "training", "output_dir")}
    return build_config(find_backend(backend["name"]).Options, [], raw)


@dataclass(frozen=True, slots=True)
class ExistingAnswers:
    """Finds existing answers to these questions; `fingerprint` is that of the ensemble's run.

    Members' runs must match its data and evidence.
    """

    learned: LearnedEnsemble
    inputs: Inputs
    fingerprint: Fingerprint

    def find(self, named: list[Path]) -> dict[int, KeptAnswers]:
        """Find the answers of each member that is needed, by the member's index.

        `named` are run folders and files that the user names.

        Raises:
            AqaError: something named has other data, evidence or readers; or a member that can't
                be asked has no answers.
        """
        answers = {number: KeptAnswers(self.inputs.total) for number in self.learned.needed}
        files = [path for path in named if not (path / JOURNAL).is_file()]
        for number in sorted(answers):
            member = self.learned.members[number]
            if member.reader is None:
                self._take_file(member, files, answers[number])
                continue
            for folder in runs_in(Path(located(member.given, member.directory))):
                self._take_run(folder, member, answers[number])
        if files:
            raise UsageError(
                f"backend.answers names {files[0]}, which is not a run folder, and no member is a"
                " file that it could add answers to; leave it out"
            )
        for folder in named:
            if (folder / JOURNAL).is_file():
                self._take(folder, answers)
        return answers

    def _take(self, folder: Path, answers: dict[int, KeptAnswers]) -> None:
        reasons = []
        for number, member in enumerate(self.learned.members):
            if member.reader is not None:
                own_answers = answers.get(number) or KeptAnswers(self.inputs.total)
                changes = self._take_run(folder, member, own_answers)
                if not changes:
                    answers[number] = own_answers
                    return
                reasons.append(changes)
        nearest = min(reasons, key=len, default={"": "no member is a run"})
        raise RunError(
            f"{folder} holds answers of no member to these questions:"
            f" {next(iter(nearest.values()))}; predict with a member's reader, the same data and"
            " the same evidence, or leave it out"
        )

    def _take_run(self, folder: Path, member: Member, answers: KeptAnswers) -> dict[str, str]:
        """Take the answers in a run folder, or return how it differs from the member's run here.

        Questions have the same indices in every run on the same data.
        """
        fingerprint = read_header(folder / JOURNAL).get("fingerprint")
        if not isinstance(fingerprint, dict):
            return {"": "it holds no journal"}
        changed = different(fingerprint, {**self.fingerprint, **(member.reader or {})})
        if not changed:
            answers.take_run(folder / JOURNAL)
        return changed

    def _take_file(self, member: Member, files: list[Path], answers: KeptAnswers) -> None:
        """Take the answers of a member that can't be asked from the next named file."""
        if not files:
            raise DataError(
                f"{member.given} is a file, and can't be asked; name the file of its answers to"
                " these questions with --set backend.answers='[FILE]'"
            )
        file = files.pop(0)
        indices = {example.id: index for index, example in self.inputs.examples()}
        with without_fields():
            rows = read_predictions(file, list(indices))
        if rows.keys().isdisjoint(indices):
            raise DataError(
                f"{file} holds no answer to any of these questions; name the answers of"
                f" {member.given} to them"
            )
        for key in rows.keys() & indices.keys():
            row = rows[key]
            answers.hold(indices[key], read_answer(row.prediction, row.metadata))
