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


def file_of(predicted: Predicted) -> Path | None:
    """Return the file or run folder of predictions; None if they are in memory."""
    source = predicted.answers if isinstance(predicted, NamedPredictions) else predicted
    return source if isinstance(source, Path) else None


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
    from_data, without = None, list[str]()
    if references is not None:
        examples = contexts.recorded(references, scoring.cluster, columns)
        from_data, without = alignment.data_references(examples, form)
    systems = _read_systems(sources, from_data, contexts.questions, scoring, warnings)
    expected = alignment.file_references(systems, form) if from_data is None else from_data
    alignment.check_ids(systems, expected, from_data is not None, without)
    stopped = stopped_runs(systems)
    systems, expected, notes = restrict_to_common(stopped, systems, expected)
    warnings += notes
    if stopped:
        profile, cluster = stopped[0].settled(scoring.profile, scoring.cluster)
        scoring = replace(scoring, profile=profile, cluster=cluster)
    warnings += alignment.check_alignment(systems, expected, from_data is not None, form)
    warnings += alignment.compare_evidence(systems, expected, scoring.allow_different_evidence)
    contexts = contexts.of(expected, from_data, systems)
    questions = contexts.questions
    languages = example_languages(list(expected.values()), questions, contexts.languages)
    profile = choose_profile(scoring.profile, languages)
    warnings += profile_warnings(profile, languages)
    needed = questions if READS_QUESTIONS in scoring.metrics else ()
    common = partial(replace, questions=needed, known_languages=languages)
    pairs = {system.name: common(_pairs(system, expected, profile, scoring)) for system in systems}
    labels, cluster = contexts.labels, scoring.cluster
    warnings += label_by_rows(labels, expected, systems, cluster)
    clusters = clustering.choose_clusters(cluster, labels)
    warnings += clustering.cluster_warnings(cluster, labels, clusters)
    if stopped:
        clusters = replace(clusters, sequence=stopped[0].sequence)
    by_example = contexts.columns or [{}] * len(expected)
    return Aligned(systems, expected, profile, languages, pairs, warnings, clusters, by_example)


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
    for predicted in _named(sources):
        if isinstance(predicted, NamedPredictions):
            at_hand = not isinstance(predicted.answers, Path)
            file = predicted.name if at_hand else str(predicted.answers)
            rows = read_predictions(predicted, ids, questions, fields, warnings.append)
            predicted = System(predicted.name, file, rows, {} if at_hand else None)
        systems.append(predicted)
    fields.check_met()
    if scoring.answer is None:
        return systems
    return [_cleaned_again(system, scoring.answer, warnings) for system in systems]


def _named(sources: Sequence[Predicted]) -> Iterator[System | NamedPredictions]:
    """Name each file with `system_names`; the others already have names."""
    files = [source for source in sources if isinstance(source, Path)]
    names = iter(alignment.system_names(files) if files or not sources else ())
    for source in sources:
        yield NamedPredictions(next(names), source) if isinstance(source, Path) else source


def read_references(source: Source, progress: Progress) -> Iterable[Example]:
    """Return the data's examples, checked and re-iterable; DataError if they are bad."""
    surveyed = survey(source)
    for note in surveyed.notes:
        progress.note(note)
    return Anew(partial(read_examples, source, surveyed))


@dataclass(frozen=True, slots=True)
class Anew:
    """Examples that are read again on each iteration."""

    read: Callable[[], Iterator[Example]]

    def __iter__(self) -> Iterator[Example]:
        return self.read()


def _cleaned_again(system: System, part: AnswerPart, warnings: list[str]) -> System:
    """Clean a system's answers again, from raw texts where its rows have them."""
    raw = {key: cleaned_again(row.metadata, part) for key, row in system.rows.items()}
    if all(text is None for text in raw.values()):
        warnings.append(f"{system.name}: it has no raw texts, so its stored answers are cleaned")
    rows = {}
    for key, row in system.rows.items():
        text = raw[key]
        if text is None and row.prediction is not None:
            text = clean_answer(row.prediction, (), part).text
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
