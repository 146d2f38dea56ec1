"""Store a trained ensemble: its rule and its members."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aqa.errors import ModelError
from aqa.metrics.votes import Rule, readers_of, rule_from_json, rule_to_json
from aqa.runs.files import write_json
from aqa.runs.names import ENSEMBLE

KIND = "ensemble"


@dataclass(frozen=True, slots=True)
class Member:
    """A reader of an ensemble; `given` is how the user named it.

    `config` is that of its run, for running it again; relative paths in it start at `directory`.
    `reader` holds the parts of the run's fingerprint that identify backend, prompt and reader. Both
    are None for another tool's file.
    """

    name: str
    given: str
    directory: str
    config: Mapping[str, Any] | None = None
    reader: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class LearnedEnsemble:
    """A rule over each member's `candidates`, best first: its answer, then n-best ones.

    `profile` says how answers are compared; `facts` are what the training found.
    """

    rule: Rule
    members: tuple[Member, ...]
    candidates: int
    profile: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needed(self) -> list[int]:
        """The indices of the members that the rule needs, in the order of asking."""
        return list(dict.fromkeys(reader // self.candidates for reader in readers_of(self.rule)))

    def sha256(self) -> str:
        """Return the hash of everything that determines its answers."""
        decisive = {
            "rule": rule_to_json(self.rule),
            "members": [member.reader or member.given for member in self.members],
            "candidates": self.candidates,
            "profile": self.profile,
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def write(self, folder: Path) -> Path:
        """Write it to its run folder."""
        path = folder / ENSEMBLE
        members = {**asdict(self), "rule": rule_to_json(self.rule)}
        write_json(path, {"kind": KIND, "version": 1, **members})
        return path


def read_learned(folder: Path) -> LearnedEnsemble:
    """Read a trained ensemble from its run folder; ModelError if there is none."""
    path = folder / ENSEMBLE
    try:
        stored = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"{folder} holds no ensemble ({ENSEMBLE}: {error.strerror}); train one with `aqa train"
            " ensemble`, and name its run folder with --model"
        ) from error
    except ValueError:
        stored = None
    try:
        if stored["kind"] != KIND:
            raise KeyError(KIND)
        members = tuple(Member(**member) for member in stored["members"])
        candidates, profile = int(stored["candidates"]), str(stored["profile"])
        rule = rule_from_json(stored["rule"])
        return LearnedEnsemble(rule, members, candidates, profile, dict(stored["facts"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} was written by another version of aqa; train the ensemble again"
        ) from error
