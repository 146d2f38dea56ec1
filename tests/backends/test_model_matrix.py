"""For every kind of local model, previews show what is trained on and read.

What each should read, lose and write is computed here by transformers, without aqa.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_llama
import tiny_t5
import torch
from model_kinds import CAUSAL_KINDS, SEQ2SEQ_KINDS, Kind
from safetensors.torch import load_file
from tiny_llama import rows

from aqa.backends.local import reader as local_reader
from aqa.backends.local.training_rows import TrainingRows
from aqa.library_output import quiet
from aqa.records import Message, Prompt, Template
from aqa.verbs.preview import show

pytestmark = pytest.mark.slow

STEPS = (
    "training.max_steps=4",
    "training.per_device_train_batch_size=8",
    "training.gradient_accumulation_steps=1",
    "training.learning_rate=0.01",
    "training={eval_strategy: steps, eval_steps: 2}",  # which also makes checkpoints
    "generation.max_new_tokens=6",
)
FIRST_CHECKPOINT, LAST_CHECKPOINT = "checkpoint-2", "checkpoint-4"
Pair = tuple[list[int], list[int]]  # input and target ids


@pytest.fixture
def rows_trained_on(monkeypatch: pytest.MonkeyPatch) -> list[Pair]:
    """The rows of trainings, as passed to the trainer."""
    found: list[Pair] = []
    read = TrainingRows.all

    def keep(rows: TrainingRows) -> Any:
        made = read(rows)
        for row in made:
            ids, length = row["input_ids"], row["prompt_length"]
            found.append((ids[:length], ids[length:]))
        return made

    monkeypatch.setattr(TrainingRows, "all", keep)
    return found


@pytest.fixture
def ids_written(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """The ids of answers, before anything is removed."""
    found: dict[str, list[int]] = {}
    make = local_reader.as_prediction

    def keep(prompt_id: str, tokens: int, answers: Any, *others: Any) -> Any:
        found[prompt_id] = list(answers[0].ids)
        return make(prompt_id, tokens, answers, *others)

    monkeypatch.setattr(local_reader, "as_prediction", keep)
    return found


def until_end(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    return list(ids[: next((n for n, token in enumerate(ids) if token in ends), len(ids))])


class ChatAlone:
    """A chat model using only transformers and peft."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.kind = kind
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def pair(self, messages: Sequence[Message], answer: str) -> Pair:
        """The ids of a chat up to the answer, and of the rest, up to the first end token."""
        tokenizer = self.tokenizer
        turns = [{"role": turn.role, "content": turn.content} for turn in messages]
        if self.kind.chat_template is None:
            opened = "\n\n".join(turn["content"] for turn in turns) + "\n"
            begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
            read, whole = self.ids(opened), self.ids(opened + answer)
            return begin + read, [*whole[len(read) :], tokenizer.eos_token_id]
        if "raise_exception" in self.kind.chat_template:  # no system role
            turns = [{"role": "user", "content": "\n\n".join(turn["content"] for turn in turns)}]
        # The fixed date that aqa uses instead of today.
        dated = self.kind.chat_template.replace("strftime_now('%Y-%m-%d')", "'2024-07-26'")
        opened, whole = (
            self.tokenizer.apply_chat_template(
                chat,
                chat_template=dated,
                tokenize=False,
                add_generation_prompt=opens,
                **self.kind.variables,
            )
            for chat, opens in (
                (turns, True),
                ([*turns, {"role": "assistant", "content": answer}], False),
            )
        )
        behind = whole.removeprefix(opened)
        if self.kind.variables.get("enable_thinking") is False:
            behind = f"{answer}<|im_end|>\n"  # this template repeats its empty reasoning
        assert behind != whole
        read = self.ids(opened)
        learnt = self.ids(opened + behind)
        assert learnt[: len(read)] == read
        learnt = learnt[len(read) :]
        ended = until_end(learnt, self.ends)
        end = learnt[len(ended)] if len(ended) < len(learnt) else tokenizer.eos_token_id
        return read, [*ended, end]

    def ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    @property
    def ends(self) -> list[int]:
        """The end-of-text token, and the template's end of turn if that is another one."""
        turn = "<|end|>" if "'<|end|>\n'" in (self.kind.chat_template or "") else None
        turn = "<end_of_turn>" if "<end_of_turn>" in (self.kind.chat_template or "") else turn
        others = [] if turn is None else [self.tokenizer.convert_tokens_to_ids(turn)]
        return [self.tokenizer.eos_token_id, *others]

    def loss(self, pairs: Sequence[Pair]) -> float:
        """The mean over the target tokens of all rows, each read separately."""
        total, tokens = 0.0, 0
        with torch.inference_mode():
            for read, learnt in pairs:
                logits = self.model(input_ids=torch.tensor([read + learnt])).logits[0]
                wanted = torch.tensor(learnt)
                predicted = logits[len(read) - 1 : -1].float()
                total += torch.nn.functional.cross_entropy(predicted, wanted, reduction="sum")
                tokens += len(learnt)
        return float(total) / tokens

    def answer(self, adapter: Path, read: list[int]) -> list[int]:
        """What the model with the adapter writes, greedily, one prompt at a time."""
        from peft import PeftModel

        if not hasattr(self.model, "peft_config"):
            with quiet():
                self.model = PeftModel.from_pretrained(self.model, adapter).eval()
        ids = torch.tensor([read])
        written = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=6,
            do_sample=False,
            eos_token_id=self.ends,
            pad_token_id=self.ends[0],
        )
        return until_end(written[0, len(read) :].tolist(), self.ends)


class TextAlone:
    """An encoder-decoder using only transformers."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()

    def pair(self, messages: Sequence[Message], answer: str) -> Pair:
        """The ids of text and answer with the tokenizer's special tokens, which end an answer."""
        text = "\n\n".join(turn.content for turn in messages)
        read, learnt = (self.tokenizer(each)["input_ids"] for each in (text, answer))
        end = self.tokenizer.eos_token_id
        if end not in read:
            read.append(end)
        return read, [*until_end(learnt, [end]), end]

    def loss(self, pairs: Sequence[Pair]) -> float:
        """The mean over the target tokens of all rows, each read separately."""
        total, tokens = 0.0, 0
        with torch.inference_mode():
            for read, learnt in pairs:
                first = self.model.generation_config.decoder_start_token_id
                begun = torch.tensor([[first, *learnt[:-1]]])
                logits = self.model(
                    input_ids=torch.tensor([read]),
                    decoder_input_ids=begun,
                    decoder_attention_mask=torch.ones_like(begun),  # a first token may be padding
                    use_cache=False,  # or else FSMT looks ahead
                ).logits[0]
                total += torch.nn.functional.cross_entropy(
                    logits.float(), torch.tensor(learnt), reduction="sum"
                )
                tokens += len(learnt)
        return float(total) / tokens

    def answer(self, read: list[int]) -> list[int]:
        """What the model writes, greedily, one text at a time."""
        end = self.tokenizer.eos_token_id
        ids = torch.tensor([read])
        written = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=6,
            do_sample=False,
            num_beams=1,
            eos_token_id=end,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        return until_end(written[0, 1:].tolist(), [end])


def shown(prompts: Sequence[Prompt], reader: Any) -> list[Pair]:
    """What a preview shows of the prompts."""
    found = []
    for prompt in prompts:
        encoding = show(prompt, reader).encoding
        assert encoding is not None
        found.append((list(encoding.prompt_ids), list(encoding.target_ids)))
    return found


def resumed_weights_differ(train: Any, run: Path, weights: Path) -> bool:
    """Whether a training resumed from its first checkpoint ends with other weights."""
    whole = load_file(weights)
    shutil.rmtree(run / "checkpoints" / LAST_CHECKPOINT)
    shutil.rmtree(weights.parent)
    assert (run / "checkpoints" / FIRST_CHECKPOINT).is_dir()
    train(resume=True).run()
    again = load_file(weights)
    assert whole.keys() == again.keys()
    return any(not torch.equal(whole[name], again[name]) for name in whole)


def check_training(
    train: Callable[..., tiny_llama.Training],
    expected: list[Pair],
    rows_trained_on: list[Pair],
    alone: "ChatAlone | TextAlone",
) -> Any:
    """Train on what is expected, with the libraries' own loss; return the reader."""
    training = train()
    training.run()
    assert rows_trained_on == expected
    assert training.losses[0] == pytest.approx(alone.loss(expected), rel=2e-3)
    assert training.losses[-1] < training.losses[0]
    return training.reader


def check_asked(reader: Any, asked: list[Prompt], expected: list[Pair]) -> None:
    """Check that prompts are the training's, and that all are answered."""
    assert [read for read, _ in shown(asked, reader)] == [read for read, _ in expected]
    assert len(list(reader.generate(asked))) == len(rows())


@pytest.mark.parametrize("name", CAUSAL_KINDS)
def test_causal(
    name: str,
    template: Template,
    tmp_path: Path,
    rows_trained_on: list[Pair],
    ids_written: dict[str, list[int]],
) -> None:
    kind = CAUSAL_KINDS[name]
    model, run = kind.save(tmp_path / "model"), tmp_path / "run"
    settings = (*STEPS, "backend.lora.dropout=0", *kind.settings)
    reader = tiny_llama.make_reader(model, *settings)
    alone = ChatAlone(kind, model)
    prompts = tiny_llama.make_prompts(reader, template, with_target=True)
    expected = [alone.pair(prompt.messages, prompt.target or "") for prompt in prompts]

    assert shown(prompts, reader) == expected

    def train(resume: bool = False) -> tiny_llama.Training:
        made = tiny_llama.make_reader(model, *settings)
        return tiny_llama.Training(made, template, run, with_dev=False, resume=resume)

    fresh = check_training(train, expected, rows_trained_on, alone)
    with tiny_llama.make_reader(run, *kind.settings, "generation.max_new_tokens=6") as trained:
        asked = tiny_llama.make_prompts(trained, template, with_target=False)
        check_asked(trained, asked, expected)
    for prompt, (read, _) in zip(prompts, expected, strict=True):
        assert ids_written[prompt.id] == alone.answer(run / "adapter", read)

    merged = fresh.merge(run, asked)
    assert (merged.compared, merged.different) == (len(rows()), 0)
    assert not resumed_weights_differ(train, run, run / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize("name", SEQ2SEQ_KINDS)
def test_encoder_decoder(
    name: str, tmp_path: Path, rows_trained_on: list[Pair], ids_written: dict[str, list[int]]
) -> None:
    kind = SEQ2SEQ_KINDS[name]
    model, run = kind.save(tmp_path / "model"), tmp_path / "run"
    settings = (*STEPS, "backend.max_seq_length=512")
    reader = tiny_t5.make_reader(model, *settings)
    alone = TextAlone(model)
    prompts = tiny_t5.make_prompts(reader, with_target=True)
    expected = [alone.pair(prompt.messages, prompt.target or "") for prompt in prompts]

    assert shown(prompts, reader) == expected

    def train(resume: bool = False) -> tiny_llama.Training:
        made = tiny_t5.make_reader(model, *settings)
        return tiny_t5.t5_training(made, run, with_dev=False, resume=resume)

    check_training(train, expected, rows_trained_on, alone)
    with tiny_t5.make_reader(run, *settings) as trained:
        check_asked(trained, tiny_t5.make_prompts(trained), expected)
    trained_alone = TextAlone(run / "model")
    for prompt, (read, _) in zip(prompts, expected, strict=True):
        assert ids_written[prompt.id] == trained_alone.answer(read)
    assert not resumed_weights_differ(train, run, run / "model" / "model.safetensors")
