"""A run that stops when decided, through the Batch API: one batch per wave."""

import json
from pathlib import Path
from typing import Any

import gpt4_runs
import pytest
from fault_batches import BatchingServer
from fault_server import serving
from gpt4_runs import predictions, run

from aqa.evaluation.sequential_testing import StopRule
from aqa.runs.folder import read_manifest
from aqa.verbs.predict import Resume

pytestmark = pytest.mark.usefixtures("hurried")


@pytest.mark.parametrize("by_batch", [True, False])
def test_waves(by_batch: bool, tmp_path: Path) -> None:
    answers = {f"q{n}": {"predicted_answer": str(n) if n % 3 else "no"} for n in range(300)}
    reference = tmp_path / "a.json"
    reference.write_text(json.dumps(answers))
    with serving(BatchingServer()) as server:
        assert isinstance(server, BatchingServer)
        options: dict[str, Any] = {"batch": {"poll_seconds": 0.01}, "batch_api": by_batch}
        config = gpt4_runs.configured(tmp_path, server, 300, price=None, **options)
        result = run(config, tmp_path / "b", Resume(stop=StopRule(reference)))
        assert result.decision is not None
        assert result.decision.verdict == "b better"
        asked = result.decision.asked
        assert len(server.answered) == len(predictions(tmp_path / "b")) == result.examples == asked
        assert set(server.answered.values()) == {1}
        sizes = [len(batch.requests) for batch in server.batches.values()]
        assert sizes == ([64, 64][: len(sizes)] if by_batch else [])
        again = run(config, tmp_path / "b", Resume(stop=StopRule(reference)))
        assert (again.decision, again.resumed) == (result.decision, asked)
        assert len(server.answered) == asked
    found = read_manifest(tmp_path / "b")
    assert found["status"] == "done"
    assert found["deciding"]["plan"]["method"] == "betting"
    assert found["deciding"]["result"] == json.loads(json.dumps(result.decision.to_json()))
