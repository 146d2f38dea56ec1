"""Choose what a judge sees of each system's answers, and turn its verdicts into scores."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aqa.errors import DataError, UsageError
from aqa.evaluation.alignment import first_ids, manifest_of
from aqa.evaluation.inputs import Aligned
from aqa.evaluation.judge.cases import Case, Cases, Judged
from aqa.evaluation.judge.labels import Labels
from aqa.evaluation.predictions import AnsweredRow, evidence_of
from aqa.metrics.agreement import Agreement, agreement
from aqa.metrics.pairs import Pairs
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.label_sampling import correct
from aqa.metrics.verdicts import VERDICTS, Verdicts, most_given
from aqa.records import Evidence, Example
from aqa.runs.cleaning import is_blank

if TYPE_CHECKING:
    from aqa.evaluation.judge.panel import Panel


def judge_systems(
    judge: "Panel", examples: Iterable[Example], aligned: Aligned, labels: Labels | None
) -> tuple[Aligned, dict[str, Any]]:
    """Ask the judge about every system's answers, and compare it with people's labels.

    Returns the systems with their verdicts, and facts about the judge.

    Raises:
        AqaError: it can't be asked, or there are no matching labels.
    """
    judged = judge.ask(cases_of(examples, aligned, judge.joined))
    ids = list(aligned.expected)
    by_system = {
        name: _verdicts(name, pairs, judge.signature, judged, ids)
        for name, pairs in aligned.pairs.items()
    }
    facts = dict(judged.facts)
    if labels is not None:
        facts["human_labels"] = compare_labels(labels, by_system, ids).to_json()
        for name, verdicts in by_system.items():
            by_system[name] = _corrected(name, verdicts, labels, ids, aligned.clusters)
    for name, verdicts in by_system.items():
        aligned.warnings.extend(_failures(name, verdicts))
    pairs = {name: replace(old, verdicts=by_system[name]) for name, old in aligned.pairs.items()}
    return replace(aligned, pairs=pairs), facts


def _failures(system: str, verdicts: Verdicts) -> Iterator[str]:
    if verdicts.failed:
        none = "; there are no others, so there is no judge score" * verdicts.are_none
        yield (
            f"{system}: {verdicts.failed} verdicts of the judge failed and count 0 (the first:"
            f" {verdicts.first_failure}); run the same command again to retry them{none}"
        )
    for name, judge in verdicts.judges.items():
        if judge.failed:
            yield (
                f"{system}: {judge.failed} verdicts of the judge {name} failed and have no vote"
                f" (the first: {judge.first_failure})"
            )


def _verdicts(
    system: str, pairs: Pairs, signature: str, judged: Judged, ids: Sequence[str]
) -> Verdicts:
    """Order a system's verdicts like its pairs, for a panel also per judge."""
    verdicts = tuple(judged.verdicts.get((system, key), ()) for key in ids)
    judges = judged.judges.items()
    by_judge = {name: _verdicts(system, pairs, name, judge, ids) for name, judge in judges}
    return Verdicts(verdicts, pairs.abstention_scores, judged.repeats, signature, by_judge)


def _corrected(
    system: str, verdicts: Verdicts, labels: Labels, ids: Sequence[str], clusters: Clusters
) -> Verdicts:
    """Add the score corrected by people's labels, as far as they cover this system."""
    by_index = {index: _label(labels, system, key) for index, key in enumerate(ids)}
    counted = {index: VERDICTS[label] for index, label in by_index.items() if label is not None}
    judged = list(map(bool, verdicts.examples))
    return replace(verdicts, corrected=correct(verdicts.values, judged, counted, clusters))


def _label(labels: Labels, system: str, key: str) -> str | None:
    return labels.get((system, key)) or labels.get((None, key))


def cases_of(examples: Iterable[Example], aligned: Aligned, joined: bool) -> Cases:
    """Return a function that yields a case for every non-empty answer.

    A case shows the passages that its reader saw, or all of the example's if that is unknown.

    Raises:
        UsageError: a run used a retriever's passages, which were not joined here.
    """
    systems, pairs = aligned.systems, aligned.pairs
    if not joined:
        check_passages({system.name: manifest_of(system) for system in systems})
    indices = {key: index for index, key in enumerate(aligned.expected)}

    def cases() -> Iterator[Case]:
        for example in (example for example in examples if example.id in indices):
            if not example.question:
                raise DataError(
                    f'the data has no question for "{example.id}", which the judge needs'
                )
            index = indices[example.id]
            for system in systems:
                answers = pairs[system.name]
                answer = answers.predictions[index]
                if answer is None or is_blank(answer):
                    continue
                if not answers.abstention_scores[index]:
                    yield Case(
                        system.name,
                        example.id,
                        example.question,
                        evidence_seen(example, system.rows.get(example.id)),
                        answers.expected[index],
                        answer,
                        "en" if answers.profiles[index].name == "squad" else "ko",
                    )

    return cases


def evidence_seen(example: Example, row: AnsweredRow | None) -> Evidence:
    """Return the passages that a reader saw, or all of them if its row does not say."""
    by_rank = {passage.rank: passage for passage in example.passages}
    ranks = evidence_of(row).get("ranks")
    if ranks is not None and all(rank in by_rank for rank in ranks):
        return Evidence(tuple(by_rank[rank] for rank in ranks))
    return Evidence(tuple(example.passages))


def check_passages(manifests: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UsageError for systems that used a retriever's passages, which were not joined."""
    for name, manifest in manifests.items():
        sources = manifest.get("sources")
        passages = sources.get("passages") if isinstance(sources, dict) else None
        if passages:
            raise UsageError(
                f"{name} was given the passages of {passages['name']}; name them with --passages"
                " (and --corpus), so that the judge sees them, too"
            )


def compare_labels(labels: Labels, judged: Mapping[str, Verdicts], ids: Sequence[str]) -> Agreement:
    """Compare the verdicts with people's labels of the same answers.

    Raises:
        DataError: no labelled answer was judged, or the labels' systems are not known.
    """
    if len(judged) > 1 and any(system is None for system, _ in labels):
        raise DataError("the labels need a column system, since several systems are evaluated")
    pairs = []
    for system, verdicts in judged.items():
        for key, repeats in zip(ids, verdicts.examples, strict=True):
            label = _label(labels, system, key)
            verdict = most_given(repeats)
            if label is not None and verdict is not None:
                pairs.append((label, verdict))
    if not pairs:
        raise DataError(
            "no labelled answer was judged: the labels are for"
            f" {first_ids(key for _, key in labels)}; the answers for {first_ids(ids)}"
        )
    return agreement(pairs)
