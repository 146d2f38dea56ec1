"""Clustering dependent questions by the data, by rows of predictions, and by a column."""

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aqa.errors import UsageError
from aqa.evaluation.clustering import (
    Labels,
    choose_clusters,
    cluster_warnings,
    clusters_note,
    row_labels,
)
from aqa.evaluation.inputs import Scoring
from aqa.evaluation.predictions import AnsweredRow
from aqa.evaluation.results import Report
from aqa.evaluation.scoring import evaluate
from aqa.metrics.statistics.clusters import Clusters
from aqa.progress import SilentProgress
from aqa.records import Example, Passage
from aqa.runs.journal_rows import failure_row


def labelled(titles: int, passages: int, count: int = 60) -> list[dict[str, str]]:
    return [{"title": f"t{at % titles}", "passage": f"p{at % passages}"} for at in range(count)]


@pytest.mark.parametrize(
    ("titles", "passages", "by", "count"),
    [
        (12, 30, "title", 12),
        (10, 30, "title", 10),
        (9, 30, "passage", 30),  # too few titles
        (9, 9, "none", 60),
        (60, 30, "passage", 30),  # all titles are distinct
        (60, 60, "none", 60),
    ],
)
def test_auto_takes_the_coarsest_of_at_least_ten(
    titles: int, passages: int, by: str, count: int
) -> None:
    found = choose_clusters("auto", Labels(labelled(titles, passages)))
    assert (found.by, found.count) == (by, count)


def test_an_example_without_a_label_is_a_cluster_of_its_own() -> None:
    found = choose_clusters("auto", Labels([*labelled(12, 12), {}, {}]))
    assert (found.by, found.count, found.examples) == ("title", 14, 62)
    assert choose_clusters("auto", Labels([{}] * 20)).by == "none"


@pytest.mark.parametrize(("key", "count"), [("none", 60), ("title", 3), ("passage", 30)])
def test_what_is_asked_for_is_taken_however_few(key: str, count: int) -> None:
    found = choose_clusters(key, Labels(labelled(3, 30)))
    assert (found.by, found.count) == (key, count)


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match='--cluster author: no example has "author" as a word'):
        choose_clusters("author", Labels(labelled(3, 30)))
    with pytest.raises(UsageError, match='--cluster title: all examples have the same "title"'):
        choose_clusters("title", Labels(labelled(1, 30)))


def test_what_is_said_of_them() -> None:
    titles = choose_clusters("auto", Labels(labelled(12, 30)))
    assert clusters_note(titles) == (
        "Clusters: 60 questions in 12 by title; intervals and tests use them."
    )
    own_passages = choose_clusters("auto", Labels(labelled(60, 60)))  # many, but none shared
    assert clusters_note(own_passages) == (
        "Clusters: none, as questions share fewer than 10 titles or passages; each question counts"
        " as independent."
    )
    for enough in (titles, Clusters.apart(3)):
        assert list(cluster_warnings("auto", Labels(), enough)) == []
    few = choose_clusters("title", Labels(labelled(3, 30)))
    (warning,) = cluster_warnings("auto", Labels(), few)
    assert warning.startswith("there are only 3 clusters by title")


TITLES, EACH = 12, 5


def examples(**metadata: Any) -> list[Example]:
    return [
        Example(
            f"q{title}-{at}",
            "who?",
            (Passage(f"text {title} {at // 3}", f"t{title}"),),
            ("x",),
            {name: values[title % len(values)] for name, values in metadata.items()},
        )
        for title in range(TITLES)
        for at in range(EACH)
    ]


def predict(path: Path, known: Sequence[Example], rows_know: bool = False) -> Path:
    """Answer all questions on some articles correctly, and none on the others."""
    rows = {}
    for example in known:
        text = "x" if int(example.id[1:].split("-")[0]) % 3 else "y"
        kept = failure_row(example, "") if rows_know else {}
        rows[example.id] = {**kept, "error": None, "predicted_answer": text, "answers": ["x"]}
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def run(file: Path, data: Sequence[Example] | None, cluster: str = "auto") -> Report:
    return evaluate([file], data, Scoring(["em"], cluster=cluster), SilentProgress())


def width(report: Report) -> float:
    found = report.systems[0].scores["em"]
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low


def test_the_data_tell_and_the_intervals_follow(tmp_path: Path) -> None:
    file = predict(tmp_path / "a.json", examples())
    found, apart = run(file, examples()), run(file, examples(), "none")
    assert found.to_json()["cluster"] == {"by": "title", "clusters": 12}
    assert apart.to_json()["cluster"] == {"by": "none", "clusters": 60}
    score = found.systems[0].scores["em"]
    assert score.design_effect == pytest.approx(EACH, rel=0.1)  # articles are all right or wrong
    assert score.signature.endswith("|ci:wilson-beta-t|cluster:title|clusters:12|deff:5.36")
    assert width(found) > 1.7 * width(apart)
    assert found.sample == "60 questions in 12 clusters by title"
    assert apart.sample == "60 questions"


def test_the_rows_of_a_run_tell_without_the_data(tmp_path: Path) -> None:
    file = predict(tmp_path / "a.json", examples(), rows_know=True)
    assert run(file, None).to_json()["cluster"] == {"by": "title", "clusters": 12}
    assert run(file, None, "passage").to_json()["cluster"] == {"by": "passage", "clusters": 24}
    # Data with references alone have no labels, but the rows do.
    bare = [Example(each.id, "", (), each.answers) for each in examples()]
    assert width(run(file, bare)) == width(run(file, None)) == width(run(file, examples()))


def test_rows_that_tell_nothing_are_examples(tmp_path: Path) -> None:
    file = predict(tmp_path / "a.json", examples())
    assert run(file, None).to_json()["cluster"] == {"by": "none", "clusters": 60}


def test_a_column_of_the_data_or_of_the_predictions(tmp_path: Path) -> None:
    data = examples(source=["web", "news", "book"], year=[1999, 2000])
    file = predict(tmp_path / "a.json", data)
    report = run(file, data, "source")
    assert report.to_json()["cluster"] == {"by": "source", "clusters": 3}
    assert any("only 3 clusters by source" in warning for warning in report.warnings)
    assert run(file, data, "year").to_json()["cluster"] == {"by": "year", "clusters": 2}
    by_title = evaluate([file], data, Scoring(["em"], slices=["title"]), SilentProgress())
    assert len(by_title.systems[0].slices["title"]) == TITLES
    rows = json.loads(file.read_text(encoding="utf-8"))
    for place, row in enumerate(rows.values()):
        row["group"] = place % 20
    file.write_text(json.dumps(rows), encoding="utf-8")
    assert run(file, None, "group").to_json()["cluster"] == {"by": "group", "clusters": 20}
    with pytest.raises(UsageError, match='no example has "author"'):
        run(file, data, "author")


def test_labels_are_compared_as_they_look() -> None:
    name = unicodedata.normalize("NFD", "문서")
    values = [1, 1.0, "1", "2 ", 2, None, True, float("nan"), " "]
    rows = [AnsweredRow(str(n), "x", metadata={name: value}) for n, value in enumerate(values)]
    labels = [row_labels(row, "문서") for row in rows]
    assert labels == [{"문서": "1"}] * 3 + [{"문서": "2"}] * 2 + [{}] * 4
    assert choose_clusters("문서", Labels(labels)).count == 6
    apart = Clusters.apart(9)
    (warning,) = cluster_warnings("문서", Labels(labels), apart)
    assert warning == '4 of 9 examples have no "문서", and count as independent'
    for key, known in (("auto", labels), ("문서", labels[:5])):
        assert list(cluster_warnings(key, Labels(known), apart)) == []


def test_labels_that_nobody_asks_for_are_left_out() -> None:
    given = {"clusters": {"title": "a", "x9": "b", "y": "c"}, "n": 1}
    row = AnsweredRow("q", "x", metadata=given)
    assert row_labels(row, "auto") == {"title": "a"}
    assert row_labels(row, "y") == {"title": "a", "y": "c"}


def test_files_that_disagree_on_clusters(tmp_path: Path) -> None:
    files = []
    for name, titles in (("a", 12), ("b", 20), ("c", 12)):
        rows = [
            {"id": str(n), "answer": name, "answers": ["x"], "clusters": {"title": str(n % titles)}}
            for n in range(40)
        ]
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(rows))
    report = evaluate(files, None, Scoring(["em"]), SilentProgress())
    assert "the files put 28 ids (12, 13, 14, ...) into different clusters" in report.warnings[0]
    assert "clusters:12" in report.systems[0].scores["em"].signature
    assert not evaluate(files[::2], None, Scoring(["em"]), SilentProgress()).warnings
