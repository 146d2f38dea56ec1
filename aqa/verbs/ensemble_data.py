"""What an ensemble is learned from: members' answers to the same questions, beside references."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import fmean

import numpy as np

from aqa.backends.ensemble.answers import MemberAnswer, read_answer
from aqa.backends.ensemble.learned import Member
from aqa.config.ensemble_options import EnsembleOptions
from aqa.config.options import RunConfig
from aqa.errors import ConfigError, DataError
from aqa.evaluation.alignment import System
from aqa.evaluation.ensembles import Answered, has_confidence, possible_rules
from aqa.evaluation.inputs import Aligned, Scoring, align
from aqa.metrics.normalize import second_score
from aqa.metrics.votes import Votes
from aqa.progress import Progress
from aqa.prompting.build import Inputs
from aqa.verbs.member_runs import MemberRun

RULES = {
    "member": "the best member",
    "majority": "majority",
    "mbr": "minimum risk (mbr)",
    "weighted": "weighted by confidence",
    "cascade": "cascade",
}


@dataclass(frozen=True, slots=True)
class Learning:
    """Members and their answers to the same questions, at `places` of what is aligned.

    `answers` are a member's to each question, by its place among the members.
    """

    members: Sequence[Member]
    aligned: Aligned
    answers: Sequence[Sequence[MemberAnswer]]
    answered: Answered
    candidates: int
    places: Sequence[int]

    @property
    def metric(self) -> str:
        """The score that rules are chosen by."""
        return second_score(self.aligned.profile)

    @property
    def sample(self) -> str:
        """What the figures are made with."""
        clusters = self.answered.clusters
        groups = "" if clusters.are_examples else f" in {clusters.count:,} groups by {clusters.by}"
        return f"{clusters.examples:,} questions{groups}"


def read_answers(
    runs: Sequence[MemberRun], inputs: Inputs, config: RunConfig, progress: Progress
) -> Learning:
    """Put the members' answers beside the references.

    Raises:
        DataError: they have no question in common, or a reference is missing.
    """
    options = config.backend
    assert isinstance(options, EnsembleOptions)
    systems = [System(run.member.name, str(run.file), run.rows, {}) for run in runs]
    scoring = Scoring(
        profile=config.evaluation.profile, cluster=options.cluster, allow_different_evidence=True
    )
    aligned = align(systems, (example for _, example in inputs.examples()), scoring)
    for warning in aligned.warnings:
        progress.note(warning)
    answers = [
        [
            MemberAnswer()
            if (row := run.rows.get(key)) is None
            else read_answer(text, row.metadata)
            for key, text in zip(
                aligned.expected, aligned.pairs[run.member.name].predictions, strict=True
            )
        ]
        for run in runs
    ]
    places = [
        place for place, key in enumerate(aligned.expected) if all(key in run.rows for run in runs)
    ]
    if not places:
        raise DataError(
            "the members have answers to no common question; give those to the same data"
        )
    if len(places) < len(aligned.expected):
        left = len(aligned.expected) - len(places)
        progress.note(f"{left} questions that not all members were asked are left out")
    answered = _arrays(aligned, answers, options.nbest)
    kept = answered.at(np.array(places, dtype=np.intp))
    members = [run.member for run in runs]
    return Learning(members, aligned, answers, kept, options.nbest, places)


def _arrays(aligned: Aligned, answers: Sequence[Sequence[MemberAnswer]], most: int) -> Answered:
    """The answers as arrays, so many candidates of each member."""
    scores, candidates, costs = [], [], []
    for system, own in zip(aligned.systems, answers, strict=True):
        paid = [each.spent.cost for each in own if each.spent and each.spent.cost is not None]
        for number in range(most):
            said = [
                each.candidates[number] if number < len(each.candidates) else (None, None)
                for each in own
            ]
            pairs = replace(aligned.pairs[system.name], predictions=[text for text, _ in said])
            scores.append(pairs.agreement[1])
            candidates.append(said)
            costs.append(inf if number else fmean(paid) if paid else 0.0)
    rows = list(zip(*candidates, strict=True))
    votes = Votes.of(
        [[text for text, _ in row] for row in rows],
        [[sure for _, sure in row] for row in rows],
        pairs.profiles,
    )
    return Answered(votes, np.column_stack(scores), costs, aligned.clusters)


def wanted_rules(dev: Learning, options: EnsembleOptions, progress: Progress) -> list[str]:
    """The rules to choose from.

    Raises:
        ConfigError: one alone is wanted, and the answers do not allow it.
    """
    possible = possible_rules(dev.answered.votes, dev.answered.costs)
    sure = has_confidence(dev.answered.votes)[:: dev.candidates]
    unsure = [member.name for member, own in zip(dev.members, sure, strict=True) if not own]
    left_out = [RULES[name] for name in ("weighted", "cascade") if name not in possible]
    why = f"{', '.join(unsure)} gave answers without a confidence"
    if options.rule == "auto":
        if left_out:
            progress.note(f"left out, as {why}: {', '.join(left_out)}")
        return possible
    if options.rule not in possible:
        raise ConfigError(
            f"backend.rule = {options.rule} needs to know how sure readers are: {why}"
        )
    return [options.rule]
