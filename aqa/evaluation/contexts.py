"""Collect what is known of each example besides its references, from data and predictions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aqa.data.columns import value_called
from aqa.evaluation import clustering
from aqa.evaluation.alignment import References, System, counted_ids
from aqa.evaluation.clustering import Labels
from aqa.evaluation.predictions.answered_row import question_of
from aqa.metrics.languages import language_of_passages
from aqa.records import Example


@dataclass(slots=True)
class Contexts:
    """Questions, passage languages, cluster labels and columns of examples, by index."""

    questions: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)  # of the passages
    labels: Labels = field(default_factory=Labels)
    columns: list[Mapping[str, Any]] = field(default_factory=list)  # empty if no keys are asked for

    def recorded(
        self, examples: Iterable[Example], cluster: str, keys: Sequence[str]
    ) -> Iterator[Example]:
        """Yield the examples unchanged, recording what is known of each."""
        for index, example in enumerate(examples):
            labels = clustering.example_labels(example, cluster)
            self.questions.append(example.question)
            passages = (passage.text for passage in example.passages)
            self.languages.append(language_of_passages(passages))
            self.labels.add(index, labels)
            if keys:
                cells = {**labels, **example.metadata}
                values = ((key, value_called(cells, key)) for key in keys)
                self.columns.append({key: value for key, value in values if value is not None})
            yield example

    def of(
        self, expected: References, from_data: References | None, systems: Sequence[System]
    ) -> "Contexts":
        """Select the expected among the given examples; without data, use the prediction rows."""
        if from_data is None:
            files = [system.rows for system in systems]
            return Contexts([question_of(rows.get(key) for rows in files) for key in expected])
        if len(expected) == len(from_data):
            return self
        indices = [index for index, key in enumerate(from_data) if key in expected]
        questions = [self.questions[index] for index in indices]
        languages = [self.languages[index] for index in indices]
        columns = [self.columns[index] for index in indices if self.columns]
        return Contexts(questions, languages, self.labels.at(indices), columns)


def label_by_rows(
    labels: Labels, expected: References, systems: Sequence[System], cluster: str
) -> Iterator[str]:
    """Add labels from the predictions if the data have none; yield a warning if files disagree."""
    different = []
    for index, key in enumerate(expected):
        rows = (row for system in systems if (row := system.rows.get(key)) is not None)
        joint, agree = clustering.agreed_labels(clustering.row_labels(row, cluster) for row in rows)
        if not agree and not labels.has_label(index):
            different.append(key)
        labels.add(index, joint)
    if different:
        ids = counted_ids(different)
        yield f"the files put {ids} into different clusters; the first file's are used"
