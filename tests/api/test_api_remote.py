"""The Python API with a server on loopback: as reader and as judge."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import Server, serving

import aqa
from aqa.api.predictions import Predictions

DATA = [
    aqa.Example(str(n), f"Who is number {n}?", [aqa.Passage(f"Number {n} is Ada.")], ("Ada",))
    for n in range(6)
]

pytestmark = pytest.mark.usefixtures("hurried")


def reply(body: dict[str, Any]) -> str:
    """A verdict for a judge's request, an answer for a reader's."""
    if "response_format" in body:
        return '{"reason": "It says so.", "verdict": "correct"}'
    return "Ada"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with serving(Server(answer=reply)) as found:
        yield found


def priced(server: Server, **settings: Any) -> dict[str, Any]:
    price = {"input": 1, "output": 2}
    own = {f"backend.{name}": value for name, value in settings.items()}
    return {"backend.base_url": server.url, "backend.price": price, **own}


def test_answers_without_a_folder(server: Server, tmp_path: Path) -> None:
    answers = aqa.predict("gpt4", DATA, model="m", settings=priced(server))
    assert server.requests == 0  # nothing is asked before an answer is taken
    assert {answer.text for answer in answers} == {"Ada"}
    assert server.requests == len(DATA)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("samples", [1, 3])
def test_closing_a_stream_keeps_what_was_asked(
    server: Server, tmp_path: Path, samples: int
) -> None:
    """Those in flight are paid for: none is asked again."""
    settings = priced(server) | {"generation.samples": samples, "generation.temperature": 1}

    def answers() -> Predictions:
        return aqa.predict("gpt4", DATA, model="m", settings=settings, output_dir=tmp_path / "run")

    server.latency = 0.1
    with answers() as begun:
        next(iter(begun))
    assert len(list(answers())) == len(DATA)
    assert server.requests == len(DATA) * samples


def test_a_cap_on_cost_ends_a_stream_that_is_not_whole(server: Server) -> None:
    # A request costs about 0.00004 dollars, but the first may cost up to 0.00042.
    capped = priced(server, max_cost=0.0005, max_concurrency=1)
    answers = aqa.predict("gpt4", DATA, model="m", settings=capped)
    with pytest.raises(aqa.AqaError, match=r"max.cost|limit|cap"):
        list(answers)
    taken = len(answers._rows)
    assert 0 < taken < len(DATA)
    with pytest.raises(aqa.AqaError):
        aqa.evaluate(answers, DATA, ["em"])


def test_batches_need_a_folder(server: Server) -> None:
    settings = priced(server, batch_api=True)
    with pytest.raises(aqa.AqaError, match="name a folder to find it again"):
        aqa.predict("gpt4", DATA, model="m", settings=settings)


def test_a_judge_reads_data_at_hand(server: Server, tmp_path: Path) -> None:
    answers = {example.id: "Ada" for example in DATA}
    judge = aqa.JudgeOptions(models=["j"], settings=priced(server))
    for _ in range(2):
        result = aqa.evaluate(
            {"mine": answers}, DATA, ["em", "judge"], judge=judge, output_dir=tmp_path / "scores"
        )
        assert result.scores["mine"]["judge"].value == 100.0
        assert result.report.judge is not None
    assert server.requests == len(DATA)  # each verdict is paid for once
    assert (tmp_path / "scores" / "metrics.json").is_file()


def test_what_it_would_cost(server: Server, tmp_path: Path) -> None:
    settings = {**priced(server), "backend.model": "m", "generation.max_new_tokens": 4}
    one = aqa.estimate_cost("gpt4", DATA, settings=settings)
    assert one.total.examples == len(one.to_frame()) * 6 == 6
    all_runs = aqa.estimate_cost(
        "gpt4", DATA, settings=settings, output_dir=tmp_path / "run", prompts=["eng_v1", "eng_v2"]
    )
    assert list(all_runs.runs) == ["eng_v1", "eng_v2"]
    assert all_runs.total.examples == 12
    assert "$" in all_runs._repr_html_()
    data = [{"id": str(n), "question": f"Who is {n}?", "answers": ["Ada"]} for n in range(60)]
    rows = [{**row, "context": f"{row['id']} is Ada."} for row in data]
    texts = {row["id"]: "Ada" if n % 3 else "Bob" for n, row in enumerate(data)}
    (tmp_path / "a.json").write_text(json.dumps(texts), encoding="utf-8")
    seen = aqa.estimate_cost("gpt4", rows, settings=settings, to_see=5, against=tmp_path / "a.json")
    assert seen.to_see is not None
    assert "to see a difference of 5" in seen._repr_html_()
    assert "to see a difference of 5" in str(seen)
    with pytest.raises(aqa.AqaError, match="give to_see and against together"):
        aqa.estimate_cost("gpt4", rows, settings=settings, to_see=5)
    assert not server.requests
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]
