"""Read and align predictions and references as the user's options ask."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aqa.config.ranges import check_list
from aqa.data import Source, read_examples, survey
from aqa.evaluation import alignment, clustering
from aqa.evaluation.alignment import References, System
from aqa.evaluation.clustering import AUTO
from aqa.evaluation.contexts import Contexts, label_by_rows
from aqa.evaluation.judge import labels as people
from aqa.evaluation.partial_runs import restrict_to_common, stopped_runs
from aqa.evaluation.predictions import Fields, NamedPredictions, read_predictions
from aqa.evaluation.predictions.answered_row import citation_of
from aqa.evaluation.score_warnings import profile_warnings
from aqa.metrics.base import MetricOptions
from aqa.metrics.languages import example_languages
from aqa.metrics.normalize import choose_profile
from aqa.metrics.pairs import Pairs
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.sign_flips import SEED
from aqa.metrics.unicode_forms import unicode_form
from aqa.progress import Progress
from aqa.records import AnswerPart, Example
from aqa.runs.cleaning import clean_answer, means_no_answer
from aqa.runs.journal_rows import cleaned_again

if TYPE_CHECKING:
    from aqa.evaluation.judge.panel import Panel


READS_QUESTIONS = "language"  # the only metric that does
Predicted = Path | NamedPredictions | System  # what to score: in a file or in memory


def file_of(each: Predicted) -> Path | None:
    """Return the file or run folder of predictions; None if they are in memory."""
    found = each.found if isinstance(each, NamedPredictions) else each
    return found if isinstance(found, Path) else None


@dataclass(frozen=True, slots=True)
class Scoring:
    """What to score, and how.

    Without `metrics`, they depend on the examples' languages, see `default_metrics`. `normalize`
    is "none", "nfc" or "nfkc", for both sides. `no_answer` phrases count as "". `answer` says how
    much of a run's raw text is the answer; None keeps the run's own choice. `prediction_fields`
    name columns of the files, see `predictions.fields`. Systems are compared pairwise, or each
    with the `baseline`, a system's name or file. `slices` are the columns to group scores by; the
    metric "evidence" is one, too: whether the answer was in what the reader saw. `plan` is the
    difference, in points, to plan questions for. `cluster`: see `clustering`. `seed` is for
    tests. The metric "judge" asks the `judge`, whose verdicts are compared with `judge_labels`.
    """

    metrics: Sequence[str] = ()
    profile: str = "auto"
    normalize: str = "none"
    no_answer: Sequence[str] = ()
    answer: AnswerPart | None = None
    prediction_fields: Sequence[str] = ()
    metric_options: MetricOptions | None = None
    slices: Sequence[str] = ()
    cluster: str = AUTO
    plan: float | None = None
    baseline: str | None = None
    allow_different_evidence: bool = False
    seed: int = SEED
    judge: "Panel | None" = None
    judge_labels: people.Labels | None = None

    def __post_init__(self) -> None:
        for name in ("metrics", "no_answer", "prediction_fields", "slices"):
            check_list(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class Aligned:
    """Systems aligned with their references, and warnings.

    `columns` are those of the data that were asked for, by example.
    """

    systems: Sequence[System]
    expected: References
    profile: str
    languages: Sequence[str]
    pairs: Mapping[str, Pairs]
    warnings: list[str]
    clusters: Clusters
    columns: Sequence[Mapping[str, Any]]


def align(
    sources: Sequence[Predicted],
    references: Iterable[Example] | None,
    scoring: Scoring,
    columns: Sequence[str] = (),
) -> Aligned:
    """Read the predictions, align them with their references, and collect warnings."""
    warnings: list[str] = []
    form = unicode_form(scoring.normalize)
    contexts = Contexts()
    given, without = None, list[str]()
    if references is not None:
        kept = contexts.kept(references, scoring.cluster, columns)
        given, without = alignment.data_references(kept, form)
    systems = _read_systems(sources, given, contexts.questions, scoring, warnings)
    expected = alignment.file_references(systems, form) if given is None else given
    alignment.check_ids(systems, expected, given is not None, without)
    stopped = stopped_runs(systems)
    systems, expected, notes = restrict_to_common(stopped, systems, expected)
    warnings += notes
    if stopped:
        profile, cluster = stopped[0].settled(scoring.profile, scoring.cluster)
        scoring = replace(scoring, profile=profile, cluster=cluster)
    warnings += alignment.check_alignment(systems, expected, given is not None, form)
    warnings += alignment.compare_evidence(systems, expected, scoring.allow_different_evidence)
    contexts = contexts.of(expected, given, systems)
    questions = contexts.questions
    languages = example_languages(list(expected.values()), questions, contexts.languages)
    profile = choose_profile(scoring.profile, languages)
    warnings += profile_warnings(profile, languages)
    asked = questions if READS_QUESTIONS in scoring.metrics else ()
    common = partial(replace, questions=asked, known_languages=languages)
    pairs = {own.name: common(_pairs(own, expected, profile, scoring)) for own in systems}
    labels, cluster = contexts.labels, scoring.cluster
    warnings += label_by_rows(labels, expected, systems, cluster)
    clusters = clustering.choose_clusters(cluster, labels)
    warnings += clustering.cluster_warnings(cluster, labels, clusters)
    if stopped:
        clusters = replace(clusters, sequence=stopped[0].sequence)
    own = contexts.columns or [{}] * len(expected)
    return Aligned(systems, expected, profile, languages, pairs, warnings, clusters, own)


def _read_systems(
    sources: Sequence[Predicted],
    references: References | None,
    questions: Sequence[str],
    scoring: Scoring,
    warnings: list[str],
) -> list[System]:
    ids = None if references is None else list(references)
    fields = Fields.parse(scoring.prediction_fields)
    systems = []
    for each in _named(sources):
        if isinstance(each, NamedPredictions):
            at_hand = not isinstance(each.found, Path)
            file = each.name if at_hand else str(each.found)
            rows = read_predictions(each, ids, questions, fields, warnings.append)
            each = System(each.name, file, rows, {} if at_hand else None)
        systems.append(each)
    if scoring.answer is None:
        return systems
    return [_cleaned_again(system, scoring.answer, warnings) for system in systems]


def _named(sources: Sequence[Predicted]) -> Iterator[System | NamedPredictions]:
    """Name each file with `system_names`; the others already have names."""
    files = [each for each in sources if isinstance(each, Path)]
    names = iter(alignment.system_names(files) if files or not sources else ())
    for each in sources:
        yield NamedPredictions(next(names), each) if isinstance(each, Path) else each


def read_references(source: Source, progress: Progress) -> Iterable[Example]:
    """Return the data's examples, checked and re-iterable; DataError if they are bad."""
    found = survey(source)
    for note in found.notes:
        progress.note(note)
    return Anew(partial(read_examples, source, found))


@dataclass(frozen=True, slots=True)
class Anew:
    """Examples that are read again on each iteration."""

    read: Callable[[], Iterator[Example]]

    def __iter__(self) -> Iterator[Example]:
        return self.read()


def _cleaned_again(system: System, kept: AnswerPart, warnings: list[str]) -> System:
    """Clean a system's answers again, from raw texts where its rows have them."""
    raw = {key: cleaned_again(row.metadata, kept) for key, row in system.rows.items()}
    if all(text is None for text in raw.values()):
        warnings.append(f"{system.name}: it has no raw texts, so its stored answers are cleaned")
    rows = {}
    for key, row in system.rows.items():
        text = raw[key]
        if text is None and row.prediction is not None:
            text = clean_answer(row.prediction, (), kept).text
        rows[key] = row if text is None else replace(row, prediction=text)
    return replace(system, rows=rows)


def _pairs(system: System, expected: References, profile: str, scoring: Scoring) -> Pairs:
    form = unicode_form(scoring.normalize)
    predictions: list[str | None] = []
    citations = []
    failed = 0
    for key, references in expected.items():
        row = system.rows.get(key)
        text = None if row is None or row.prediction is None else form(row.prediction)
        failed += row is not None and row.failed
        predictions.append(
            "" if text is not None and means_no_answer(text, scoring.no_answer) else text
        )
        citations.append(citation_of(row, bool("".join(references).strip())))
    texts = list(expected.values())
    return Pairs(predictions, texts, profile, failed, scoring.normalize, citations=citations)
