"""`hf:NAME`: metrics of Hugging Face evaluate, here small local modules."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from calls import Call

from aqa.errors import AqaError, ModelError, UsageError
from aqa.evaluation.inputs import Scoring
from aqa.evaluation.report.headline import finding
from aqa.evaluation.scoring import evaluate
from aqa.metrics import load_metric
from aqa.metrics.pairs import Pairs
from aqa.progress import SilentProgress
from aqa.records import Score

TEXT = "datasets.Value('string')"
ALL = f"datasets.Sequence({TEXT})"
SQUAD = (
    f"{{'id': {TEXT}, 'prediction_text': {TEXT}}}",
    f"{{'id': {TEXT}, 'answers': datasets.Sequence({{'text': {TEXT}, "
    "'answer_start': datasets.Value('int32')})}",
)
MODULE = """
import datasets
import evaluate

class Module(evaluate.Metric):
    def _info(self):
        features = datasets.Features({{"predictions": {predictions}, "references": {references}}})
        return evaluate.MetricInfo(description="", citation="", features=features)

    def _compute(self, predictions, references{parameters}):
        pairs = list(zip(predictions, references))
        {body}
"""
EQUAL = "equal = [float(p == r) for p, r in pairs]; mean = sum(equal) / len(equal)"

PREDICTIONS = ["Ada", "Bob", "", None, "Cleo", ""]
REFERENCES = [("Ada L.", "Ada"), ("Eve", "Dan"), (), ("Fay",), (), ("Gus",)]


@pytest.fixture(scope="module", autouse=True)
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the copies that evaluate makes of modules out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("modules")
        patch.setattr("evaluate.config.HF_MODULES_CACHE", str(folder))
        # Not those of an earlier test, which are in another folder.
        others = [path for path in sys.path if not Path(path, "evaluate_modules").is_dir()]
        patch.setattr(sys, "path", others)
        forget_modules()
        yield
        forget_modules()


def forget_modules() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "evaluate_modules"]:
        del sys.modules[name]


def make(
    folder: Path,
    body: str,
    predictions: str = TEXT,
    references: str = TEXT,
    parameters: str = "",
    name: str = "mine",
) -> str:
    """Write a metric and return the name by which aqa finds it."""
    path = folder / name / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = {"predictions": predictions, "references": references, "parameters": parameters}
    path.write_text(MODULE.format(body=body, **names), encoding="utf-8")
    return f"hf:{path.parent}"


def score(metric: str) -> Score:
    return load_metric(metric)(Pairs(PREDICTIONS, REFERENCES, "squad"))


def test_a_number_for_each_example(tmp_path: Path) -> None:
    found = score(make(tmp_path, f"{EQUAL}; return {{'mine': equal}}"))
    assert found.per_example == (100, 0, 100, 0, 0, 0)
    assert found.value == pytest.approx(200 / 6)
    assert found.signature.startswith("hf:mine|number:mine|scale:100x|evaluate:")
    assert re.search(r"\|module:[0-9a-f]{8}\|refs:max\|missing:1\|v:", found.signature)


def test_a_number_for_each_example_where_it_is_asked_for(tmp_path: Path) -> None:
    body = f"{EQUAL}; return {{'a': mean if use_aggregator else equal, 'b': 1}}"
    metric = make(tmp_path, body, parameters=", use_aggregator=True")
    assert score(f"{metric}#a").per_example == (100, 0, 100, 0, 0, 0)


def test_only_a_number_for_all(tmp_path: Path) -> None:
    """The best reference of each example is used; empty texts are compared as they are."""
    found = score(make(tmp_path, f"{EQUAL}; return {{'mine': mean}}"))
    assert (found.per_example, found.low) == ((), None)
    assert found.value == pytest.approx(200 / 6)  # Ada, and "" for the unanswerable question
    assert "|examples:together|" in found.signature


def test_all_references_at_once(tmp_path: Path) -> None:
    body = "return {'score': sum(p in r for p, r in pairs) * 100 / len(pairs), 'other': 3}"
    found = score(make(tmp_path, body, references=ALL))
    assert found.value == pytest.approx(200 / 6)
    assert "|number:score|scale:1x|" in found.signature


def test_references_as_squad_has_them(tmp_path: Path) -> None:
    body = (
        "right = sum(p['prediction_text'] in r['answers']['text'] for p, r in pairs);"
        "return {'exact': 100 * right / len(pairs), 'n': len(pairs)}"
    )
    metric = make(tmp_path, body, *SQUAD)
    assert score(f"{metric}#exact").value == pytest.approx(200 / 6)
    with pytest.raises(UsageError, match=r"several numbers \(exact, n\).*/mine#exact$"):
        score(metric)


def test_references_as_squad_2_has_them(tmp_path: Path) -> None:
    """Unanswerable questions have no texts, and abstentions a no-answer probability of 1."""
    body = (
        "import numpy; silent = [p['no_answer_probability'] for p, r in pairs];"
        "same = [s if not r['answers']['text'] else p['prediction_text'] in r['answers']['text']"
        " for s, (p, r) in zip(silent, pairs)];"
        "return {'exact': numpy.mean(same), 'note': 'x'}"
    )
    predictions = f"{{'no_answer_probability': datasets.Value('float32'), {SQUAD[0][1:]}"
    found = score(make(tmp_path, body, predictions, SQUAD[1]))
    assert found.value == pytest.approx(200 / 6)
    assert "|number:exact|scale:100x|" in found.signature


def test_where_nothing_is_said_nothing_is_compared(tmp_path: Path) -> None:
    metric = load_metric(make(tmp_path, "return {'mine': [1.0] * len(pairs)}"))
    found = metric(Pairs(["", None], [(), ("Ada",)], "squad"))
    assert found.per_example == (100, 0)


def test_a_number_for_all_stays_one_where_nothing_is_said(tmp_path: Path) -> None:
    """Otherwise one system would have values per example and the next would not."""
    metric = load_metric(make(tmp_path, f"{EQUAL}; return {{'mine': mean}}"))
    for prediction in ("Ada", None):
        assert metric(Pairs([prediction], [("Ada",)], "squad")).per_example == ()


def test_two_modules_of_one_name_are_refused(tmp_path: Path) -> None:
    names = [make(tmp_path / at, f"{EQUAL}; return {{'mine': mean}}") for at in ("one", "two")]
    (tmp_path / "a.json").write_text('{"q": {"predicted_answer": "x", "answers": ["x"]}}')
    with pytest.raises(UsageError, match="two metrics give the score hf:mine"):
        evaluate([tmp_path / "a.json"], None, Scoring(names), SilentProgress())
    found = evaluate([tmp_path / "a.json"], None, Scoring(["em", "em"]), SilentProgress())
    assert list(found.systems[0].scores) == ["em"]


def test_an_error_rate_stays_as_it_is(tmp_path: Path) -> None:
    """Lower is better, so the best reference is the one with the lowest rate."""
    body = "return 2.5 * sum(p != r for p, r in pairs) / len(pairs)"
    found = score(make(tmp_path, body))
    assert found.value == pytest.approx(2.5 * 4 / 6)
    assert found.per_example == ()
    assert "|scale:as-given|" in found.signature


@pytest.mark.parametrize(
    ("body", "predictions", "message"),
    [
        ("return {'note': 'fine'}", TEXT, "this metric gives no number"),
        ("return {'mine': float('nan')}", TEXT, '"mine" is not a finite number'),
        ("raise ValueError('give lang')", TEXT, r"can't score these texts \(give lang\)"),
        ("return {'mine': 1 / 0}", TEXT, r"can't score these texts \(division by zero\)"),
        ("return {'mine': 1}", "datasets.Value('int32')", "compares no texts with"),
        ("import nowhere_to_be_found", TEXT, "No module named 'nowhere"),
    ],
)
def test_metrics_that_can_not_be_used(
    tmp_path: Path, body: str, predictions: str, message: str
) -> None:
    with pytest.raises(AqaError, match=message) as error:
        score(make(tmp_path, body, predictions))
    assert error.value.exit_code == (2 if "compares no texts" in message else 1)


def test_a_number_that_the_metric_does_not_give(tmp_path: Path) -> None:
    metric = make(tmp_path, "return {'mine': 1.0, 'counts': [1, 2, 3, 4]}")
    for name in ("f1", "counts"):
        with pytest.raises(UsageError, match=f'gives no number "{name}".*gives mine, counts'):
            score(f"{metric}#{name}")


@pytest.mark.parametrize("name", ["hf:", "hf:no_such_metric", "hf:/no/such/folder"])
@pytest.mark.slow
def test_metrics_that_can_not_be_loaded(name: str) -> None:
    with pytest.raises(AqaError, match=r"names no metric|give the path of a local module") as e:
        score(name)
    assert "\n" not in str(e.value)


def test_a_module_that_is_no_python(tmp_path: Path) -> None:
    metric = make(tmp_path, "return (")
    with pytest.raises(ModelError, match="can't be loaded"):
        score(metric)


def test_systems_without_values_per_example_are_not_compared(tmp_path: Path) -> None:
    metric = make(tmp_path, f"{EQUAL}; return {{'mine': mean}}")
    files = []
    for name, text in (("a", "Ada"), ("b", "Bob")):
        files.append(tmp_path / f"{name}.json")
        rows = {"q1": {"predicted_answer": text, "answers": ["Ada"], "kind": "who"}}
        files[-1].write_text(json.dumps(rows), encoding="utf-8")
    scoring = Scoring(metrics=["em", metric], slices=["kind"])
    report = evaluate(files, None, scoring, SilentProgress())
    assert [system.scores["hf:mine"].value for system in report.systems] == [100, 0]
    assert {found.metric for found in report.comparisons} == {"em"}
    alone = evaluate(files, None, Scoring(metrics=[metric]), SilentProgress())
    assert alone.comparisons == ()
    found: dict[str, Any] = report.to_json()["systems"][0]
    assert found["scores"]["hf:mine"].keys() == {"value", "signature"}
    assert "hf:mine" not in found["groups"]["has_answer"]
    assert "hf:mine" not in found["slices"]["kind"]["who"]


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"], ["--markdown"], ["--latex"]])
def test_the_command(tmp_path: Path, call_aqa: Call, form: list[str]) -> None:
    metric = make(tmp_path, f"{EQUAL}; return {{'mine': mean}}")
    rows = {"q1": {"predicted_answer": "Ada", "answers": ["Ada"], "kind": "who"}}
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    words = ["--metrics", f"em,{metric}", "--slice", "kind", "--per-example", "each.jsonl"]
    done = call_aqa("evaluate", "a.json", *words, *form, "--fail-under", "hf:mine=99", code=0)
    assert "hf:mine" in done.stdout
    (row,) = (tmp_path / "each.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(row)["systems"]["a"]["scores"] == {"em": 100.0}


@pytest.mark.parametrize(
    ("body", "limit", "code", "told"),
    [
        ("return {'mine': 1 - mean}", "0.4", 4, "a: hf:mine 0.50 is over 0.4"),
        ("return {'mine': 1 - mean}", "0.5", 0, ""),
        ("return {'mine': 1 - mean}", "0.6", 0, ""),
        ("return {'mine': mean}", "60", 4, "a: hf:mine 50.00 is under 60"),
        ("return {'mine': mean}", "40", 0, ""),
        ("return {'mine': 7.0}", "3", 2, "it is not known whether a higher or a lower hf:mine"),
    ],
)
def test_a_limit_knows_which_direction_is_better(
    tmp_path: Path,
    call_aqa: Call,
    body: str,
    limit: str,
    code: int,
    told: str,
) -> None:
    metric = make(tmp_path, f"{EQUAL}; {body}")
    rows = {name: {"predicted_answer": name, "answers": ["Ada"]} for name in ("Ada", "Bob")}
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    done = call_aqa("evaluate", "a.json", "--metrics", metric, "--fail-under", f"hf:mine={limit}")
    assert done.returncode == code, done.stderr
    assert told in " ".join(done.stderr.split())


def test_the_report_names_the_system_of_the_lowest_error_rate(tmp_path: Path) -> None:
    metric = make(tmp_path, f"{EQUAL}; return {{'mine': 1 - mean}}")
    files = []
    for name in ("Ada", "Bob"):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps({"q": {"predicted_answer": name, "answers": ["Ada"]}}))
    report = evaluate(files, None, Scoring(metrics=[metric]), SilentProgress())
    assert finding(report)[0] == "Ada scores lowest: 0.0 hf:mine"
