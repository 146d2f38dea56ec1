"""A T5 and a BART with 64 hidden units, made from scratch, and helpers for the reader t5."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tiny_llama
from tiny_llama import AT_THE_END, Training, byte_level, exact_config, rows, save, texts

from aqa.backends.t5.backend import T5Backend
from aqa.config.backend_options import T5Options
from aqa.config.options import RunConfig
from aqa.progress import SilentProgress
from aqa.prompting.templates import load_template
from aqa.records import Example, Passage, Prediction, Prompt

BY_HEART = ("training.num_train_epochs=40", "training.learning_rate=0.005", AT_THE_END)


def t5_tokenizer() -> Any:
    """Unigram with "▁" pieces, like T5's SentencePiece; "</s>" is a piece, too."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        initial_alphabet=[chr(code) for code in range(33, 127)],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts("question: context:"), trainer)
    end = tokenizer.token_to_id("</s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", end)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def bart_tokenizer(writes_specials: bool = True) -> Any:
    """Byte-level BPE; like BART's it adds <s> and </s> to a text, or nothing."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = byte_level(["<s>", "<pad>", "</s>"], texts("question: context:"))
    if writes_specials:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>"
    )


def save_t5(folder: Path, tokenizer: Any, dropout: float = 0.0) -> Path:
    """Save a T5 with random weights as safetensors, with its tokenizer."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(7)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=4,
        dropout_rate=dropout,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    return save(T5ForConditionalGeneration(config), tokenizer, folder)


def save_bart(folder: Path, tokenizer: Any) -> Path:
    """The same for BART, whose positions are learned and end at 1,024."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    torch.manual_seed(7)
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        max_position_embeddings=1024,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
    )
    return save(BartForConditionalGeneration(config), tokenizer, folder)


def make_config(model: str | Path, *settings: str) -> RunConfig:
    """A config for exact comparisons, in float32; `settings` are like those of --set."""
    return exact_config(T5Options, model, *settings)


def make_reader(model: str | Path, *settings: str) -> T5Backend:
    return T5Backend(make_config(model, *settings), SilentProgress())


def make_prompts(
    reader: T5Backend, with_target: bool = False, examples: Sequence[Example] | None = None
) -> list[Prompt]:
    template = load_template(reader.config.prompt)
    return tiny_llama.make_prompts(reader, template, with_target, examples)


def several(number: int, question: str = "Where does Mira live?") -> Example:
    """A question with many passages of different lengths."""
    passages = tuple(
        Passage(" ".join([f"Tom lives in Veld {n}."] * (1 + n % 4)), rank=n + 1)
        for n in range(number)
    )
    return Example(f"several-{number}", question, passages, ("Ostry",))


def answers(answered: Iterable[tuple[Prompt, Prediction]]) -> dict[str, str | None]:
    return {prompt.id: prediction.raw for prompt, prediction in answered}


def golds() -> dict[str, str]:
    return {e.id: (e.answers or ("",))[0] for e in rows()}


def t5_training(reader: T5Backend, folder: Path, **options: Any) -> Training:
    """One training of a reader on the rows, with the reader's template."""
    return Training(reader, load_template(reader.config.prompt), folder, **options)


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(folder / "model.safetensors")
    return found
