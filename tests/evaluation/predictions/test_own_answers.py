"""Ordinary rows that share columns with tools: their own answers are used."""

from pathlib import Path
from typing import Any

import pytest
from files import write

from aqa.errors import DataError
from aqa.evaluation.predictions import Fields, read_predictions

# Columns that tools also have, besides an answer with its own name.
BESIDE: dict[str, dict[str, Any]] = {
    "a chain of LangChain": {"query": "q", "answer": "x", "result": "correct"},
    "its documents": {"context": [{"page_content": "c"}], "answer": "x"},
    "Gemini": {"candidates": [{"content": "x"}]},
    "OpenAI's evals": {"datasource_item": {"question": "q"}, "sample": {"output": "x"}},
    "Haystack": {"answers": [{"answer": "x", "score": 1}]},
    "KILT": {"output": [{"answer": "x"}]},
    "TREC": {"answer": [{"text": "x", "citations": [1]}]},
    "lm-eval": {"doc": "c", "resps": [["x"]]},
    "promptfoo": {"vars": {"q": "x"}, "provider": "openai"},
}


@pytest.mark.parametrize("tool", BESIDE)
def test_an_answer_under_its_own_name_is_taken(tool: str, tmp_path: Path) -> None:
    path = write(tmp_path, "p.json", [{"id": "q1", **BESIDE[tool], "prediction": "Paris"}])
    assert read_predictions(path)["q1"].prediction == "Paris"


@pytest.mark.parametrize(
    "row",
    [
        {"vars": {"q": "x"}, "response": "Paris"},
        {"instance": "i-1", "request": "r", "result": "Paris"},
        {"predictions": [{"prediction": "Paris"}]},
    ],
)
def test_texts_where_tools_have_objects(row: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path, "p.json", [{"id": "q1", **row}])
    assert read_predictions(path)["q1"].prediction == "Paris"


@pytest.mark.parametrize("name", ["output", "outputs"])
def test_the_column_that_a_refused_trace_names_can_be_given(name: str, tmp_path: Path) -> None:
    row = {"id": "q1", "input": {"question": "q", "context": "c"}, name: {"answer": "Paris"}}
    path = write(tmp_path, "p.json", [row])
    with pytest.raises(DataError, match=rf"among the columns {name}\.answer, input\.question"):
        read_predictions(path)
    found = read_predictions(path, fields=Fields(answers=(f"{name}.answer",)))
    assert found["q1"].prediction == "Paris"


@pytest.mark.parametrize("name", ["extracted_answer", "parsed_output", "Cleaned-Prediction"])
def test_an_answer_taken_out_of_a_reply_is_asked_for(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, "p.json", [{"id": "q1", "response": "It is Paris.", name: "Paris"}])
    with pytest.raises(DataError, match=f"response and {name} may both be the answer"):
        read_predictions(path)
    found = read_predictions(path, fields=Fields(answers=(name,)))
    assert found["q1"].prediction == "Paris"
