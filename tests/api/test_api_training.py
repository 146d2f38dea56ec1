"""`aqa.train` with data in memory: what it returns can be passed to the next call."""

from pathlib import Path

import pytest
from tiny_llama import make_tokenizer, rows, save_tiny

import aqa

SETTINGS = {
    "backend.quantization": "none",
    "backend.compute_dtype": "float32",
    "backend.max_seq_length": 512,
    "generation.max_new_tokens": 8,
    "training.num_train_epochs": 2,
    "training.warmup_steps": 0,
}


@pytest.mark.slow
def test_a_training_answers(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "tiny", make_tokenizer())
    reader = aqa.load_config("llama", model=model, settings=SETTINGS)
    run = tmp_path / "run"
    trained = aqa.train(reader, rows(), rows()[:2], output_dir=run, quiet=True)
    assert (trained.folder, trained.weights.parent) == (run, run)
    assert trained.scores["f1"].low is not None
    assert set(trained.before) == {"em", "f1"}
    assert "before" in trained._repr_html_()
    assert f"trained: {run}" in str(trained)
    answers = aqa.predict("llama", rows()[:2], model=trained.folder)
    assert {answer.id for answer in answers} == {"q0", "q1"}
    with pytest.raises(aqa.AqaError, match="holds a training"):
        aqa.train(reader, rows(), rows()[:2], output_dir=run)
    again = aqa.train(reader, rows(), rows()[:2], output_dir=run, resume=True)
    assert again.scores["f1"].value == trained.scores["f1"].value


def test_what_can_not_be_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(aqa.AqaError, match="stub can't be trained here"):
        aqa.train("stub", rows(), output_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
