"""Answers of an ensemble's members that lie here already: in their runs, or where the user says."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqa.backends import find_backend
from aqa.backends.ensemble.backend import MemberAnswer, read_answer
from aqa.backends.ensemble.learned import LearnedEnsemble, Member
from aqa.config.load import build_config
from aqa.config.options import RunConfig
from aqa.errors import DataError, RunError, UsageError
from aqa.evaluation.predictions import read_predictions
from aqa.runs.fingerprints import differences
from aqa.runs.journal import read_header, read_lines
from aqa.runs.names import JOURNAL, MANIFEST

Fingerprint = Mapping[str, Any]


def runs_in(folder: Path) -> list[Path]:
    """The run folder itself, and the runs that lie in it."""
    inner = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
    return [folder, *inner] if folder.is_dir() else []


def different(found: Fingerprint, wanted: Fingerprint) -> dict[str, str]:
    """Tell in what two runs differ, but for the precision that their machines computed in."""
    changed = differences(found, wanted)
    changed.pop("reader.dtype", None)
    return changed


def located(path: str, directory: str) -> str:
    """A path as it was given in another directory; as it is where nothing lies there."""
    there = Path(directory, path)
    return str(there) if not Path(path).exists() and there.exists() else path


def member_config(member: Member) -> RunConfig:
    """The config that a member can be run with again."""
    raw = json.loads(json.dumps(member.config))
    backend = raw["backend"]
    backend["model"] = located(backend["model"], member.directory)
    raw["prompt"] = located(raw["prompt"], member.directory)
    raw = {name: raw[name] for name in raw if name not in ("data", "training", "output_dir")}
    return build_config(find_backend(backend["name"]).Options, [], raw)


@dataclass(frozen=True, slots=True)
class AnswersAtHand:
    """Where answers to questions of these ids may lie; `fingerprint` is that of the ensemble's run.

    Data and evidence of members' runs must be those of that one.
    """

    learned: LearnedEnsemble
    ids: Collection[str]
    fingerprint: Fingerprint

    def find(self, named: list[Path]) -> dict[int, dict[str, MemberAnswer]]:
        """Find the answers of each member that is needed, by its place.

        `named` are run folders and files that the user names.

        Raises:
            AqaError: what is named is of other data, evidence or readers; or a member that can't
                be asked has no answers.
        """
        found: dict[int, dict[str, MemberAnswer]] = {place: {} for place in self.learned.needed}
        files = [path for path in named if not (path / JOURNAL).is_file()]
        for place in sorted(found):
            member = self.learned.members[place]
            if member.reader is None:
                found[place] = self._from_file(member, files)
                continue
            for folder in runs_in(Path(located(member.given, member.directory))):
                found[place] |= self._from_run(folder, member)[0]
        if files:
            raise UsageError(
                f"backend.answers names {files[0]}, which is not a run folder, and no member is a"
                " file whose answers are wanted; leave it out"
            )
        for folder in named:
            if (folder / JOURNAL).is_file():
                self._take(folder, found)
        return found

    def _take(self, folder: Path, found: dict[int, dict[str, MemberAnswer]]) -> None:
        """Give a run that the user named to the member whose reader it is of."""
        reasons = []
        for place, member in enumerate(self.learned.members):
            if member.reader is not None:
                answers, why = self._from_run(folder, member)
                if not why:
                    found[place] = found.get(place, {}) | answers
                    return
                reasons.append(why)
        nearest = min(reasons, key=len, default={"": "no member is a run"})
        raise RunError(
            f"{folder} holds answers of no member to these questions:"
            f" {next(iter(nearest.values()))}; predict with a member's reader, the same data and"
            " the same evidence, or leave it out"
        )

    def _from_run(
        self, folder: Path, member: Member
    ) -> tuple[dict[str, MemberAnswer], dict[str, str]]:
        """The answers in a run folder, or in what it differs from a run of the member here."""
        path = folder / JOURNAL
        found = read_header(path).get("fingerprint")
        if not isinstance(found, dict):
            return {}, {"": "it holds no journal"}
        changed = different(found, {**self.fingerprint, **(member.reader or {})})
        rows = () if changed else (row for row in read_lines(path) if row["id"] in self.ids)
        return {row["id"]: read_answer(row["predicted_answer"], row) for row in rows}, changed

    def _from_file(self, member: Member, files: list[Path]) -> dict[str, MemberAnswer]:
        """The answers of a member that can't be asked: from the next file that the user names."""
        if not files:
            raise DataError(
                f"{member.given} is a file, and can't be asked; name the file of its answers to"
                " these questions with --set backend.answers='[FILE]'"
            )
        file = files.pop(0)
        rows = read_predictions(file, list(self.ids))
        found = {
            key: read_answer(row.prediction, row.metadata)
            for key, row in rows.items()
            if key in self.ids
        }
        if not found:
            raise DataError(
                f"{file} holds no answer to any of these questions; name the answers of"
                f" {member.given} to them"
            )
        return found
