"""Folders with only a SentencePiece tokenizer file, like google/mt5-small and Llama-2."""

import json
import shutil
from pathlib import Path

import pytest
import sentencepiece
import tiny_llama
import tiny_t5

T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "vocab_size": 120}
LLAMA = {
    "model_type": "bpe",
    "byte_fallback": True,
    "vocab_size": 318,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
}


def learn(folder: Path, name: str, **options: object) -> sentencepiece.SentencePieceProcessor:
    """Train a SentencePiece model and put it into a folder instead of its tokenizer."""
    for path in folder.glob("tokenizer*"):
        path.unlink()
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    text = folder / "text.txt"
    text.write_text("\n".join(tiny_t5.texts("question: context:") * 9), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(folder / "learnt"),
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    shutil.move(folder / "learnt.model", folder / name)
    text.unlink()
    return sentencepiece.SentencePieceProcessor(str(folder / name))


@pytest.mark.parametrize("config", [None, {"tokenizer_class": "T5Tokenizer"}])
def test_t5_reads_the_pieces_of_sentencepiece(
    config: dict[str, str] | None, tmp_path: Path
) -> None:
    model = tiny_t5.save_t5(tmp_path / "model", tiny_t5.t5_tokenizer())
    pieces = learn(model, "spiece.model", **T5)
    if config is not None:
        (model / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    reader = tiny_t5.make_reader(model)
    (prompt, *_) = tiny_t5.make_prompts(reader, with_target=True)
    encoding = reader.encode(prompt)
    text = "question: Where does Mira live? context: Mira lives in Ostry."
    assert list(encoding.prompt_ids) == [*pieces.encode(text), 1]
    assert list(encoding.target_ids) == [*pieces.encode("Ostry"), 1]
    with reader:
        assert len(list(reader.generate([prompt]))) == 1


def test_llama_reads_the_pieces_of_sentencepiece(tmp_path: Path) -> None:
    model = tiny_llama.save_tiny(tmp_path / "model", tiny_llama.make_tokenizer(None))
    pieces = learn(model, "tokenizer.model", **LLAMA)
    config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}
    (model / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    reader = tiny_llama.make_reader(model)
    template = tiny_llama.tiny_template(tmp_path)
    (prompt, *_) = tiny_llama.make_prompts(reader, template, with_target=True)
    read = "\n\n".join(turn.content for turn in prompt.messages) + "\n"
    encoding = reader.encode(prompt)
    assert list(encoding.prompt_ids) == [pieces.bos_id(), *pieces.encode(read)]
    answer = pieces.encode(f"{read}Ostry")[len(pieces.encode(read)) :]
    assert list(encoding.target_ids) == [*answer, pieces.eos_id()]
