import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from files import write
from real_pairs import korean_pairs
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest

from aqa.errors import AqaError, DataError, UsageError
from aqa.evaluation.inputs import Scoring
from aqa.evaluation.results import Report
from aqa.evaluation.scoring import evaluate
from aqa.metrics.pairs import Pairs
from aqa.progress import SilentProgress
from aqa.records import Example
from aqa.runs.files import write_json
from aqa.version import __version__


def examples(references: dict[str, Sequence[str] | None]) -> list[Example]:
    return [
        Example(key, "?", (), None if texts is None else tuple(texts))
        for key, texts in references.items()
    ]


def run(
    files: Path | Sequence[Path],
    references: dict[str, Sequence[str] | None] | None = None,
    profile: str = "auto",
    **options: Any,
) -> Report:
    return evaluate(
        [files] if isinstance(files, Path) else files,
        None if references is None else examples(references),
        Scoring(**{"metrics": ["em", "f1"], "profile": profile, **options}),
        SilentProgress(),
    )


GOLD = {"q1": ["Paris"], "q2": ["old Rome"], "q3": [], "q4": ["Berlin"]}


def test_the_shape_of_metrics_json(tmp_path: Path) -> None:
    rows = {
        "q1": {"predicted_answer": "paris"},
        "q2": {"predicted_answer": "Rome"},
        "q3": {"predicted_answer": ""},
        "q4": {"predicted_answer": None, "error": "time-out"},
    }
    file = write(tmp_path, "reader.json", rows)
    found = run(file, {**GOLD, "q5": ["Oslo"]}).to_json()
    (system,) = found.pop("systems")
    cluster = {"by": "none", "clusters": 5}
    assert found == {"version": 1, "profile": "squad", "n": 5, "cluster": cluster}
    scores = system.pop("scores")
    assert list(scores) == ["em", "f1"]
    assert scores["em"].keys() == {"value", "low", "high", "design_effect", "signature"}
    assert scores["em"]["value"] == pytest.approx(40)
    assert scores["f1"]["value"] == pytest.approx((100 + 200 / 3 + 100) / 5)
    assert 0 <= scores["f1"]["low"] < scores["f1"]["value"] < scores["f1"]["high"] <= 100
    assert scores["f1"]["signature"] == (
        f"f1|profile:squad|refs:max|missing:1|failed:1|v:{__version__}"
        "|ci:wilson-beta-t|cluster:none|clusters:5"
    )
    assert system == {
        "name": "reader",
        "file": str(file),
        "missing": 1,
        "failed": 1,
        "groups": {
            "has_answer": {"n": 4, "em": 25.0, "f1": pytest.approx((100 + 200 / 3) / 4)},
            "no_answer": {"n": 1, "em": 100.0, "f1": 100.0},
        },
        "errors": {"missing": 2, "exact": 2, "partial": 1},
        "abstention": {
            "abstained": 1,
            "unanswerable": 1,
            "rightly": 1,
            "precision": {"value": 100.0, "low": pytest.approx(20.65, abs=0.01), "high": 100.0},
            "recall": {"value": 100.0, "low": pytest.approx(20.65, abs=0.01), "high": 100.0},
        },
    }
    json.dumps(found, allow_nan=False)


def rounded(found: Any) -> Any:
    """Round all figures as in the README."""
    if isinstance(found, dict):
        return {name: rounded(value) for name, value in found.items()}
    if isinstance(found, list):
        return list(map(rounded, found))
    return round(found, 1) if isinstance(found, float) else found


def test_the_shape_that_the_readme_tells(tmp_path: Path) -> None:
    files = []
    for name, texts in (("a", ("Paris", "")), ("b", ("Rome", "Rome"))):
        rows = {
            f"q{at}": {"predicted_answer": text, "confidence": -at} for at, text in enumerate(texts)
        }
        files.append(write(tmp_path, f"{name}.json", rows))
    report = run(files, {"q0": ["Paris"], "q1": []}, metrics=["em"], slices=["answerable"])
    found = report.to_json()
    del found["systems"][1]
    found["systems"][0]["file"] = "a.json"
    of_slices = (found["systems"][0].pop("slices"), found.pop("slice_comparisons"))
    assert [set(each["answerable"]) for each in of_slices] == [{"no", "yes"}] * 2
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    told = readme.partition("### metrics.json")[2].partition("```json\n")[2].partition("```")[0]
    assert json.loads(told) == rounded(found)


def test_values_per_example_follow_the_ids(tmp_path: Path) -> None:
    report = run(write(tmp_path, "a.json", {"q4": "Berlin", "q1": "Rome"}), GOLD)
    assert report.ids == ("q1", "q2", "q3", "q4")
    assert report.systems[0].scores["em"].per_example == (0.0, 0.0, 0.0, 100.0)
    assert report.systems[0].missing == 2
    assert report.warnings == ("a: no prediction for 2 ids (q2, q3), counted as 0",)


def test_ids_are_compared_before_references_are_missed(tmp_path: Path) -> None:
    gold = {"q1": ["Paris"], "q2": None}
    with pytest.raises(
        DataError, match=r"^no id of .*a\.json is in the data: it has p1; there are"
    ):
        run(write(tmp_path, "a.json", {"p1": "Paris"}), gold)
    with pytest.raises(DataError, match=r"no references for 1 id \(q2\); .* \(\[\] in a CSV\)$"):
        run(write(tmp_path, "a.json", {"q1": "Paris"}), gold)


def test_a_group_without_examples_has_no_scores(tmp_path: Path) -> None:
    report = run(write(tmp_path, "a.json", {"q1": "Paris"}), {"q1": ["Paris"]})
    assert report.systems[0].groups["no_answer"] == {"n": 0}


def test_klue_mrc_names_its_second_score(tmp_path: Path) -> None:
    file = write(tmp_path, "a.json", {"q1": "뉘른베르크에서"})
    report = run(file, {"q1": ["뉘른베르크"]}, "klue-mrc")
    assert list(report.systems[0].scores) == ["em", "rouge_w"]
    assert report.systems[0].groups["has_answer"]["rouge_w"] == pytest.approx(1000 / 12)


def test_references_of_the_files(tmp_path: Path) -> None:
    rows = {"q1": {"predicted_answer": "x", "answers": ["Paris", "x"]}}
    assert run(write(tmp_path, "a.json", rows)).systems[0].scores["em"].value == 100


def test_no_answer_phrases(tmp_path: Path) -> None:
    file = write(tmp_path, "a.json", {"q3": "No answer.", "q1": "no answer"})
    scores = run(file, {"q1": ["Paris"], "q3": []}, no_answer=["no answer"]).systems[0].scores
    assert scores["em"].per_example == (0.0, 100.0)


def test_plain_lines_follow_the_data(tmp_path: Path) -> None:
    report = run(write(tmp_path, "a.txt", "Paris\nold Rome\n\nBerlin\n"), GOLD)
    assert report.systems[0].scores["em"].value == 100


def test_systems_side_by_side(tmp_path: Path) -> None:
    one = {"q1": {"predicted_answer": "Paris", "answers": ["Paris", "paris"]}}
    two = {
        "q2": {"predicted_answer": "Rome", "answers": ["Rome"]},
        "q1": {"predicted_answer": "Oslo", "answers": ["paris", "Paris"]},
    }
    files = [write(tmp_path, "one.json", one), write(tmp_path, "two.json", two)]
    report = run(files)
    assert report.ids == ("q1", "q2")
    assert [system.missing for system in report.systems] == [1, 0]
    assert [system.scores["em"].per_example for system in report.systems] == [
        (100.0, 0.0),
        (0.0, 100.0),
    ]
    assert report.warnings == ("one: no prediction for 1 id (q2), counted as 0",)


def test_comparisons_in_metrics_json(tmp_path: Path) -> None:
    files = [
        write(tmp_path, name, {"q1": "Paris", "q2": second, "q3": "", "q4": "Berlin"})
        for name, second in (("a.json", "Athens"), ("b.json", "old Rome"), ("c.json", "Oslo"))
    ]
    found = run(files, GOLD).to_json()["comparisons"]
    assert [(one["metric"], one["a"], one["b"]) for one in found] == [
        (metric, *pair) for metric in ("em", "f1") for pair in ("ab", "ac", "bc")
    ]
    assert (
        found[0].items()
        >= {
            "difference": 25.0,
            "p": 1.0,
            "p_holm": 1.0,
            "test": "mcnemar-exact",
            "wins": 1,
            "ties": 3,
            "losses": 0,
        }.items()
    )
    assert found[3]["test"] == "mcnemar-exact"  # f1 is all or nothing here
    for baseline in ("b", str(files[1])):
        found = run(files, GOLD, baseline=baseline).to_json()["comparisons"]
        assert [(one["a"], one["b"]) for one in found[:2]] == [("b", "a"), ("b", "c")]


def test_a_file_without_references_takes_those_of_another(tmp_path: Path) -> None:
    one = write(tmp_path, "one.json", {"q1": "Paris"})
    two = write(tmp_path, "two.json", {"q1": {"predicted_answer": "Oslo", "answers": ["Paris"]}})
    assert [system.scores["em"].value for system in run([one, two]).systems] == [100, 0]


def test_different_references_are_refused(tmp_path: Path) -> None:
    files = [
        write(tmp_path, name, {"q1": {"predicted_answer": "x", "answers": [answer]}})
        for name, answer in (("one.json", "Paris"), ("two.json", "Rome"))
    ]
    with pytest.raises(DataError, match=r"different references for 1 id \(q1\)"):
        run(files)
    report = run(files, {"q1": ["Paris"]})
    assert report.warnings == ("two: its own references differ from the data's for 1 id (q1)",)


def test_no_answer_has_two_spellings(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "a.json", {"q": {"predicted_answer": "", "answers": []}}),
        write(tmp_path, "b.json", {"q": {"predicted_answer": "", "answers": [""]}}),
    ]
    assert run(files).warnings == ()
    assert run(files, {"q": [" "]}).warnings == ()


FOREIGN = [{"dropped": None}, {"dropped": 7}, {"ranks": [[1]]}, {"ranks": 3, "characters": "many"}]


@pytest.mark.parametrize("evidence", FOREIGN)
def test_a_foreign_column_named_evidence_tells_nothing(
    evidence: dict[str, Any], tmp_path: Path
) -> None:
    row = {"predicted_answer": "Rome", "answers": ["Paris"], "evidence": evidence}
    files = [write(tmp_path, f"{name}.json", {"q": row}) for name in "ab"]
    assert run(files).systems[0].errors == {"wrong": 1}
    with pytest.raises(UsageError, match='no file of predictions has "gold_rank"'):
        run(files, slices=["gold_rank"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline": "c"}, 'the baseline "c" is not one of the systems a, b'),
        ({"slices": ["colour"]}, 'no example has "colour"'),
    ],
)
def test_what_is_misspelt_is_refused_before_anything_is_scored(
    options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pairs, "agreement", property(lambda _: pytest.fail("it was scored")))
    files = [write(tmp_path, f"{name}.json", {"q1": "Paris"}) for name in "ab"]
    with pytest.raises(UsageError, match=message):
        run(files, {"q1": ["Paris"]}, **options)


@pytest.mark.parametrize("field", ["answer=reply", "id=key", "model=A"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", {"q1": "Paris"}),
        ("predictions.json", {"q1": {"predicted_answer": "Paris", "answers": ["Paris"]}}),
    ],
)
def test_a_field_of_no_file_is_refused(name: str, content: Any, field: str, tmp_path: Path) -> None:
    file = write(tmp_path, name, content)
    with pytest.raises(
        DataError, match=f"{field}: no predictions have a column .*; check its name"
    ):
        run(file, {"q1": ["Paris"]}, prediction_fields=[field])
    rows = write(tmp_path, "rows.json", [{"key": "q1", "reply": "Rome", "model": "A"}])
    fields = ["answer=reply", "id=key", "model=A"]
    found = run([file, rows], {"q1": ["Paris"]}, prediction_fields=fields)
    assert [system.scores["em"].value for system in found.systems] == [100, 0]


def test_names_come_from_files_and_run_folders(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "first/predictions.json", {"q1": "x"}),
        write(tmp_path, "second/predictions.json", {"q1": "x"}).parent,
        write(tmp_path, "v1.5.json", {"q1": "x"}),
    ]
    assert [system.name for system in run(files, {"q1": ["x"]}).systems] == [
        "first",
        "second",
        "v1.5",
    ]


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["b/a.json", "c/a.json"], ["b", "c"]),
        (["llama/predict-dev", "t5/predict-dev/predictions.json"], ["llama", "t5"]),
        (["x/llama/predict-dev", "y/llama/predict-dev"], ["x", "y"]),
        (["a/predict-dev", "a/predict-test", "b/predict-dev"], None),
    ],
)
def test_systems_of_one_name_are_named_by_what_tells_them_apart(
    places: list[str], names: list[str] | None, tmp_path: Path
) -> None:
    files = [tmp_path / place for place in places]
    for file in files:
        write(file, "" if file.suffix else "predictions.json", {"q1": "x"})
    found = [system.name for system in run(files, {"q1": ["x"]}).systems]
    assert found == (names or list(map(str, files)))


def test_ids_beyond_the_data_are_told(tmp_path: Path) -> None:
    file = write(tmp_path, "a.json", {"q1": "x", "z1": "y", "z2": "y", "z3": "y", "z4": "y"})
    report = run(file, {"q1": ["x"]})
    assert report.systems[0].scores["em"].value == 100
    assert report.warnings == ("a: not in the data, and so not scored: 4 ids (z1, z2, z3, ...)",)


REFUSED: dict[str, tuple[Any, dict[str, Sequence[str] | None] | None, dict[str, Any], str]] = {
    "no references": ({"q1": "x"}, None, {}, r"no file gives references for 1 id \(q1\); .*--data"),
    "some without references": (
        {"q1": "x", "q2": {"predicted_answer": "x", "answers": ["x"]}},
        None,
        {},
        r"no file gives references for 1 id \(q1\)",
    ),
    "no id of the data": (
        {"a": "x", "b": "x", "c": "x", "d": "x"},
        GOLD,
        {},
        r"no id of .*a\.json is in the data: it has a, b, c, \.\.\.; there are q1, q2, q3, \.\.\.",
    ),
    "data without references": ({"q1": "x"}, {"q1": None}, {}, r"no references for 1 id \(q1\)"),
    "empty data": ({"q1": "x"}, {}, {}, "no examples"),
    "unknown metric": ({"q1": "x"}, GOLD, {"metrics": ["bertscor"]}, "did you mean 'bertscore'"),
    "unknown profile": ({"q1": "x"}, GOLD, {"profile": "korqad"}, "did you mean 'korquad'"),
    "unknown form": ({"q1": "x"}, GOLD, {"normalize": "nfd"}, 'unknown normalization "nfd"'),
}


@pytest.mark.parametrize("fault", list(REFUSED))
def test_refusals(fault: str, tmp_path: Path) -> None:
    content, references, options, message = REFUSED[fault]
    with pytest.raises(AqaError, match=message):
        run(write(tmp_path, "a.json", content), references, **options)


def test_files_with_no_id_in_common(tmp_path: Path) -> None:
    row = {"predicted_answer": "x", "answers": ["x"]}
    files = [write(tmp_path, f"{key}.json", {f"{key}{n}": row for n in range(4)}) for key in "pq"]
    message = r"in the other files: it has p0, p1, p2, \.\.\.; there are q0, q1, q2, \.\.\."
    with pytest.raises(DataError, match=message):
        run(files)


def test_ids_of_files_are_composed(tmp_path: Path) -> None:
    file = write(tmp_path, "a.json", {unicodedata.normalize("NFD", "질문"): "x"})
    assert run(file, {"질문": ["x"]}, metrics=["em"]).systems[0].scores["em"].value == 100


def test_ids_that_only_look_alike(tmp_path: Path) -> None:
    file = write(tmp_path, "a.json", {"질문": "x"})
    with pytest.raises(DataError, match="they look alike, but are in other forms of Unicode"):
        run(file, {unicodedata.normalize("NFD", "질문"): ["x"]})


def test_a_baseline_is_named_by_its_file_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = [write(Path(), f"{name}.json", {"q1": "x"}) for name in "abc"]
    for name in ("./b.json", str(tmp_path / "b.json")):
        report = run(files, {"q1": ["x"]}, baseline=name, metrics=["em"])
        assert [(found.a, found.b) for found in report.comparisons] == [("b", "a"), ("b", "c")]


def test_a_baseline_alone_is_compared_with_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, "a.json", {"q1": "x"})
    with pytest.raises(UsageError, match='nothing to compare the baseline "a" with; add a file'):
        run(file, {"q1": ["x"]}, baseline="a")


def test_an_id_twice_in_the_data(tmp_path: Path) -> None:
    twice = [*examples(GOLD), *examples({"q1": ["x"]})]
    file = write(tmp_path, "a.json", {"q1": "x"})
    with pytest.raises(DataError, match='the data holds the id "q1" twice'):
        evaluate([file], twice, Scoring(["em"]), SilentProgress())


def test_scores_are_no_predictions(tmp_path: Path) -> None:
    report = run(write(tmp_path, "a.json", {"q1": "Paris"}), {"q1": ["Paris"]})
    with pytest.raises(DataError, match="holds scores of `aqa evaluate`, where predictions"):
        run(write(tmp_path, "metrics.json", report.to_json()), {"q1": ["Paris"]})


def test_files_must_be_given_once(tmp_path: Path) -> None:
    file = write(tmp_path, "a.json", {"q1": "x"})
    with pytest.raises(UsageError, match="given twice"):
        run([file, file], GOLD)
    with pytest.raises(UsageError, match="given twice"):
        run([file, tmp_path / "." / "x" / ".." / "a.json"], GOLD)
    with pytest.raises(UsageError, match="at least one"):
        run([], GOLD)


@pytest.mark.parametrize("decomposed", ["prediction", "reference"])
def test_decomposed_korean(decomposed: str, tmp_path: Path) -> None:
    texts = {"prediction": "이순신", "reference": "이순신"}
    texts[decomposed] = unicodedata.normalize("NFD", texts[decomposed])
    file = write(tmp_path, "a.json", {"q1": texts["prediction"], "q2": "Paris"})
    references = {"q1": [texts["reference"]], "q2": ["Paris"]}
    report = run(file, references)
    assert report.systems[0].scores["em"].value == 50
    (warning,) = report.warnings
    assert warning.startswith("a: in 1 example one of prediction and reference is in decomposed")
    assert "--normalize nfc" in warning
    put_right = run(file, references, normalize="nfc")
    assert put_right.warnings == ()
    assert put_right.systems[0].scores["em"].value == 100
    assert "|unicode:nfc|" in put_right.systems[0].scores["em"].signature


def test_corpus_bleu_is_compared_as_sacrebleu_does(tmp_path: Path, shared_data: Path) -> None:
    """Its approximate randomization swaps answers; ours flips each one's influence on BLEU."""
    pairs = korean_pairs(shared_data)[:120]
    answers = {
        "a": [said if place % 3 else said[:-1] for place, (said, _) in enumerate(pairs)],
        "b": [said if place % 4 else said[1:] for place, (said, _) in enumerate(pairs)],
    }
    references = {f"q{place}": [gold] for place, (_, gold) in enumerate(pairs)}
    files = [
        write(tmp_path, f"{name}.json", dict(zip(references, said, strict=True)))
        for name, said in answers.items()
    ]
    found = run(files, references, metrics=["bleu1"]).comparisons[0]
    peer = PairedTest(
        list(answers.items()),
        {"bleu": BLEU(max_ngram_order=1, tokenize="char")},
        [[gold for _, gold in pairs]],
        n_samples=2000,
    )
    _, scores = peer()
    first, second = scores[list(scores)[1]]  # after the systems' names
    assert found.difference == pytest.approx(second.score - first.score, abs=1e-9)
    assert 0.001 < second.p_value < 0.9
    assert found.p == pytest.approx(second.p_value, rel=0.5)  # ours uses the derivative
    assert found.low < found.difference < found.high


def test_corpus_bleu_has_an_interval_and_no_parts(tmp_path: Path) -> None:
    said = {f"q{n}": "old Rome" if n % 3 else "new Rome" for n in range(30)}
    references = {key: ["old Rome city" if key[-1] in "02468" else "old Rome"] for key in said}
    file = write(tmp_path, "a.json", said)
    other = write(tmp_path, "b.json", dict.fromkeys(said, "old Rome"))
    report = run([file, other], references, metrics=["bleu1", "em"], slices=["answer_length"])
    system = report.systems[0]
    found = system.scores["bleu1"]
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low < found.value < found.high <= 100
    assert found.signature.endswith("|ci:wilson-beta-t|cluster:none|clusters:30")
    assert "bleu1" not in system.groups["has_answer"]
    assert all("bleu1" not in group for group in system.slices["answer_length"].values())
    assert {one.metric for one in report.comparisons} == {"bleu1", "em"}
    compared = report.slice_comparisons["answer_length"].values()
    assert {one.metric for group in compared for one in group} == {"em"}


def test_citations_go_by_what_the_reader_saw(tmp_path: Path) -> None:
    """One of two gold passages was dropped; an unanswerable question has none."""
    seen = {"ranks": [1, 2, 3], "gold_ranks": [2, 9], "named_ranks": [2, 3]}
    none = {"ranks": [1, 2, 3], "gold_ranks": None, "named_ranks": []}
    rows = {
        "q1": {"predicted_answer": "x", "evidence": seen},
        "q2": {"predicted_answer": "x", "evidence": none},
        "q3": {"predicted_answer": "", "evidence": none},
        "q4": {"predicted_answer": "x", "evidence": {**seen, "named_ranks": "2"}},
        "q5": {"predicted_answer": None, "error": "time-out"},
    }
    file = write(tmp_path, "a.json", rows)
    references = {"q1": ["x"], "q2": ["x"], "q3": [], "q4": ["x"], "q5": ["x"]}
    scores = run(file, references, metrics=["citation"]).systems[0].scores
    assert scores["citation_precision"].per_example == (50, 0, 100, 0, 0)
    assert scores["citation_recall"].per_example == (100, 0, 100, 0, 0)


def test_word_f1_on_korean_is_warned_of(tmp_path: Path) -> None:
    file = write(tmp_path, "a.json", {"q1": "서울"})
    assert run(file, {"q1": ["서울"]}).warnings == ()
    (warning,) = run(file, {"q1": ["서울"]}, "squad").warnings
    assert "use korquad" in warning


def test_no_reader_and_no_library_of_models_is_loaded() -> None:
    code = (
        "import sys, aqa.evaluation.scoring\n"
        "heavy = {'torch', 'transformers', 'pydantic', 'evaluate', 'bert_score'}\n"
        "print(heavy & set(sys.modules), [m for m in sys.modules if m.startswith('aqa.backends')])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set() []\n"


# Metrics by default


@pytest.mark.parametrize(
    ("reference", "has_kiwi", "names"),
    [
        ("서울", True, ["em", "f1", "chrf", "lenient"]),
        ("서울", False, ["em", "f1", "chrf"]),
        ("Paris", True, ["em", "f1", "rougeL"]),
        ("東京", True, ["em", "f1", "chrf"]),
        ("", True, ["em", "f1", "rougeL"]),
    ],
)
def test_metrics_by_language(
    reference: str,
    has_kiwi: bool,
    names: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aqa.metrics.has_kiwi", lambda: has_kiwi)
    file = write(tmp_path, "a.json", {"q1": reference})
    scores = run(file, {"q1": [reference]}, metrics=[]).systems[0].scores
    assert list(scores) == names
    assert {score.value for score in scores.values()} == {100.0}


def test_evidence_alone_is_the_usual_metrics_by_evidence(tmp_path: Path) -> None:
    rows = {
        key: {"predicted_answer": text, "answers": ["a b"], "evidence": {"gold_in_evidence": seen}}
        for key, text, seen in (("1", "a b", True), ("2", "x", True), ("3", "x", False))
    }
    (system,) = run(write(tmp_path, "a.json", rows), metrics=["evidence"]).systems
    assert list(system.scores) == ["em", "f1", "rougeL"]
    found = system.slices["gold_in_evidence"]
    assert {name: (group["n"], group["em"]["value"]) for name, group in found.items()} == {
        "no": (1, 0.0),
        "yes": (2, 50.0),
    }


# Equal evidence


def run_of(folder: Path, reader_cut: int = 0, characters: int = 9, **plan: object) -> Path:
    """A run folder with one prediction, and the evidence plan in its manifest."""
    folder.mkdir()
    evidence = {"ranks": [1], "dropped": {}, "reader_cut_characters": reader_cut}
    evidence["characters"] = characters - reader_cut
    row = {"answers": ["Rome"], "predicted_answer": "Rome", "evidence": evidence}
    write_json(folder / "predictions.json", {"q": row})
    write_json(folder / "run.json", {"verb": "predict", "evidence": {"top_k": 5, **plan}})
    return folder


@pytest.mark.parametrize(("status", "told"), [("interrupted", True), ("done", False)])
def test_a_run_that_is_not_done_is_said_to_be(tmp_path: Path, status: str, told: bool) -> None:
    folder = run_of(tmp_path / "a")
    write_json(folder / "run.json", {"verb": "predict", "status": status})
    for file in (folder, folder / "predictions.json"):
        report = evaluate([file], None, Scoring(["em"]), SilentProgress())
        assert ("a: its run is unfinished (interrupted)" in "".join(report.warnings)) == told
    (folder / "other.json").write_text('{"q": {"predicted_answer": "x", "answers": ["x"]}}')
    assert not evaluate([folder / "other.json"], None, Scoring(["em"]), SilentProgress()).warnings


def test_different_evidence_is_refused(tmp_path: Path) -> None:
    files = [run_of(tmp_path / "a"), run_of(tmp_path / "b", top_k=10) / "predictions.json"]
    told = r"a and b were given different evidence \(top_k 5 and 10\)"
    with pytest.raises(DataError, match=told + r".*--allow-different-evidence"):
        evaluate(files, None, Scoring(["em"]), SilentProgress())
    report = evaluate(files, None, Scoring(["em"], allow_different_evidence=True), SilentProgress())
    assert re.search(told, report.warnings[0])
    assert [system.scores["em"].value for system in report.systems] == [100.0, 100.0]


def test_other_passages_under_the_same_plan_are_refused(tmp_path: Path) -> None:
    """If each data file has its own passages, the plans' options can't distinguish them."""
    files = [run_of(tmp_path / "a"), run_of(tmp_path / "b", characters=12)]
    told = r"a and b were given different evidence \(other passages for 1 id \(q\)\)"
    with pytest.raises(DataError, match=told):
        evaluate(files, None, Scoring(["em"]), SilentProgress())
    report = evaluate(files, None, Scoring(["em"], allow_different_evidence=True), SilentProgress())
    assert re.search(told, report.warnings[0])


def test_equal_evidence_is_compared_and_a_readers_cuts_are_told(tmp_path: Path) -> None:
    files = [run_of(tmp_path / "a"), run_of(tmp_path / "b", reader_cut=7)]
    report = evaluate(files, None, Scoring(["em"]), SilentProgress())
    assert report.warnings == ("b: the reader itself had to cut the evidence of 1 example",)
    rows = json.loads((files[1] / "predictions.json").read_text(encoding="utf-8"))
    write_json(files[1] / "predictions.json", {**rows, "unasked": rows["q"]})
    assert run(files, {"q": ["Rome"]}, metrics=["em"]).warnings[1:] == report.warnings


def test_files_without_a_manifest_are_compared(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    write_json(other, {"q": "Rome"})
    report = evaluate([run_of(tmp_path / "a"), other], None, Scoring(["em"]), SilentProgress())
    assert report.warnings == ()
