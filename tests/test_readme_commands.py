"""Every `aqa ...` in the README's bash blocks, run in a folder with everything they name.

Words, config and files of each are checked by `aqa` itself. Commands that need no real model's
weights, second machine or API are run to their end; of the others only the verb is skipped.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytest
from calls import Call
from tiny_llama import make_tokenizer, save_tiny
from tiny_t5 import save_t5, t5_tokenizer

from aqa.cli.configure import configure
from aqa.errors import UsageError
from aqa.prompting.templates import load_template
from aqa.verbs.evaluate import EvaluationInputs

README = Path(__file__).parents[1] / "README.md"
BASH = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
LAUNCHERS = ("torchrun", "accelerate", "srun", "python")
METRIC = """
import datasets
import evaluate

class Mine(evaluate.Metric):
    def _info(self):
        features = datasets.Features(
            {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
        )
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="", features=features
        )
    def _compute(self, predictions, references):
        same = [a == b for a, b in zip(predictions, references)]
        return {"same": sum(same) / len(same)}
"""


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `aqa`, without comments, launchers and surrounding commands."""
    for block in BASH.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, ";"]:
                if set(word) <= set("&|;"):
                    yield from of_aqa(words)
                    words = []
                else:
                    words.append(word)


def of_aqa(words: list[str]) -> Iterator[list[str]]:
    """The words after `aqa`, if they start with it."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words[:1] == ["aqa"]:
        yield words[1:]
    elif words and words[0] in LAUNCHERS and "aqa" in words:
        yield words[words.index("aqa") + 1 :]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with the data, predictions and runs that the README assumes."""
    samples = files("aqa") / "samples"
    questions = json.loads((samples / "korean_dev.json").read_text(encoding="utf-8"))
    (tmp_path / "train.json").write_text((samples / "korean_train.json").read_text("utf-8"))
    for name in ("dev", "test", "questions"):
        (tmp_path / f"{name}.json").write_text(json.dumps(questions), encoding="utf-8")
    rows = gold(questions)
    fewer = {
        key: {**row, "predicted_answer": ""} if place % 4 == 0 else row
        for place, (key, row) in enumerate(rows.items())
    }
    for name in ("a", "b", "predictions"):
        found = fewer if name == "b" else rows
        (tmp_path / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
    bare = [{"id": "1", "question": "Who?", "answers": ["Ada"]}]
    (tmp_path / "KorQuAD_v1.0_dev.json").write_text(json.dumps(bare), encoding="utf-8")
    (tmp_path / "bm25.trec").write_text("1 Q0 d1 1 2.5 tag\n", encoding="utf-8")
    (tmp_path / "corpus.jsonl").write_text('{"id": "d1", "text": "Ada."}\n', encoding="utf-8")
    (tmp_path / "silence.json").write_text("{}", encoding="utf-8")
    metric = tmp_path / "metrics" / "my_metric" / "my_metric.py"
    metric.parent.mkdir(parents=True)
    metric.write_text(METRIC, encoding="utf-8")
    for name in ("llama_smollm2", "llama_smollm2/merged", "mine", "gold", "mixed"):
        save_tiny(tmp_path / "runs" / name, make_tokenizer())
    save_t5(tmp_path / "runs" / "t5_tiny", t5_tokenizer())
    for name in ("mine/predict-dev", "mine/predict-test", "gpt4", "a"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        sure = {key: {**row, "confidence": -0.1} for key, row in rows.items()}
        (tmp_path / "runs" / name / "predictions.json").write_text(json.dumps(sure))
    return tmp_path


def gold(questions: Any) -> dict[str, dict[str, Any]]:
    """Predictions that are all right."""
    return {
        each["id"]: {
            "predicted_answer": next((answer["text"] for answer in each["answers"]), ""),
            "answers": [answer["text"] for answer in each["answers"]],
        }
        for article in questions["data"]
        for paragraph in article["paragraphs"]
        for each in paragraph["qas"]
    }


def configured(params: Mapping[str, Any], trains: bool = True) -> None:
    """Make the config for a command's words, and check that its files exist."""
    config = configure(params, trains)
    load_template(config.prompt)
    data = config.data
    check_files(data.path, data.dev_path, data.passages, data.dev_passages, data.corpus)


def evaluated(what: EvaluationInputs, *others: object) -> None:
    """The same for an evaluation."""
    check_files(*what.sources)


def check_files(*paths: object) -> NoReturn:
    for path in paths:
        known = path is None or str(path).startswith("package:") or Path(str(path)).exists()
        if not known:
            raise UsageError(f"there is no {path}")
    raise SystemExit(0)


def is_run(words: list[str]) -> bool:
    """Whether a command is fast enough to run to its end, and needs nothing from outside."""
    verb, *rest = words
    if any(
        word in rest
        for word in ("ensemble", "backend.engine=vllm", "workers.engine=ray", "workers.count=2")
    ):
        return False
    if verb == "evaluate":
        return not {"--choose-threshold", "em,judge", "--judge-labels"} & set(rest)
    if verb == "predict" and rest[0] == "gpt4":
        return "--dry-run" in rest
    return verb == "predict" and "--abstain-below" not in rest


def more_words(words: list[str]) -> list[str]:
    """Words that keep a prediction short, and set its folder if the model is a training's."""
    if words[0] != "predict" or not is_run(words) or "--to-see" in words:
        return []
    named = dict(pairwise(words))
    if "-o" in named:
        return ["--limit", "4"]
    folder = Path(named["--model"], f"predict-{Path(named['--data']).stem}")
    return ["--limit", "4", "-o", str(folder)]


@pytest.mark.slow
def test_every_command_of_the_readme_can_be_given(
    world: Path, call_aqa: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    found = list(commands(README.read_text(encoding="utf-8")))
    assert {words[0] for words in found} == {"train", "predict", "evaluate", "prompt-preview"}
    failed = []
    for words in found:
        with monkeypatch.context() as patched:
            if not is_run(words):
                leave_verbs_out(patched)
            done = call_aqa(*words, *more_words(words))
        if done.returncode:
            failed.append(f"aqa {shlex.join(words)}: {done.stderr.strip()}")
    assert not failed, "\n".join(failed)


def leave_verbs_out(patched: pytest.MonkeyPatch) -> None:
    patched.setattr("aqa.verbs.predict.read_contract", lambda path: None)
    for command in ("train", "predict", "preview"):
        patched.setattr(f"aqa.cli.{command}.configure", configured)
    for verb in ("evaluate", "estimate_cost"):
        patched.setattr(f"aqa.verbs.evaluate.{verb}", evaluated)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("aqa predict llama \\\n  -o 'a b'  # so\n", [["predict", "llama", "-o", "a b"]]),
        ("cd x && A=1 aqa train t5; ls\n", [["train", "t5"]]),
        ("torchrun --nproc-per-node 8 -m aqa predict t5\n", [["predict", "t5"]]),
        ("pip install aqa\ncp -r aqa elsewhere\n", []),
    ],
)
def test_commands_are_found(text: str, found: list[list[str]]) -> None:
    assert list(commands(f"```bash\n{text}```\n")) == found


def test_links_and_paths_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
    linked = set(re.findall(r"\]\(([^)]+)\)", text))
    named = set(re.findall(r"`((?:aqa|configs|tests)/[\w/.]+)`", text))
    scripts = {f"tests/benchmarks/{name}" for name in re.findall(r"[|,] `(\w+\.py)[ `]", text)}
    assert "#glossary" in linked
    assert "tests/benchmarks/coverage.py" in scripts
    paths = (linked - anchors) | named | scripts
    assert not [path for path in paths if not (README.parent / path).exists()]
