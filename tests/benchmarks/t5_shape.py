"""Shared by the T5 benchmarks: a model of flan-t5-small's shape and real questions for it."""

import sys
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from arms import SEED, SHARED, SQUAD

from aqa.backends.t5.backend import T5Backend
from aqa.backends.t5.encoding import learn_tokenizer
from aqa.config.backend_options import T5Options
from aqa.config.load import build_config
from aqa.config.options import RunConfig
from aqa.data import Source, read_examples
from aqa.progress import SilentProgress
from aqa.prompting.evidence import select
from aqa.prompting.templates import load_template
from aqa.records import Example, Prompt

KORQUAD = SHARED / "korquad1" / "KorQuAD_v1.0_dev.json"
VOCABULARY = 32_128  # as flan-t5's; the tokenizer trained here uses about the first 16,000
LEARNED = 16_000


def questions(count: int) -> list[Example]:
    """Answerable questions, alternately of SQuAD and KorQuAD, one per paragraph."""
    for file in (SQUAD, KORQUAD):
        if not file.is_file():
            sys.exit(f"{file}: no such file; name the folder of the data sets in AQA_SHARED_DATA")
    pairs = zip(_first_of_each(SQUAD), _first_of_each(KORQUAD), strict=False)
    return list(islice(chain.from_iterable(pairs), count))


def _first_of_each(file: Path) -> Iterator[Example]:
    seen = set()
    for example in read_examples(Source(str(file))):
        text = example.passages[0].text
        if example.answers and text not in seen:
            seen.add(text)
            yield example


def make_model(folder: Path, examples: list[Example]) -> Path:
    """Save a model of flan-t5-small's shape with random weights, and a tokenizer of these texts."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    texts = (
        text for e in examples for text in (e.question, e.passages[0].text, *(e.answers or ()))
    )
    tokenizer = learn_tokenizer(texts, LEARNED)
    torch.manual_seed(SEED)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=VOCABULARY,
            d_model=512,
            d_kv=64,
            d_ff=1024,
            num_layers=8,
            num_decoder_layers=8,
            num_heads=6,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
            initializer_factor=0.05,  # with 1.0 the initial loss is above 100
            decoder_start_token_id=tokenizer.pad_token_id,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_reader(folder: Path, **layers: dict[str, object]) -> T5Backend:
    """A reader of that model with aqa's defaults, and sections overridden."""
    return T5Backend(make_config(folder, **layers), SilentProgress())


def make_config(folder: Path, **layers: dict[str, object]) -> RunConfig:
    """The config of such a reader."""
    model: dict[str, dict[str, object]] = {"backend": {"model": str(folder)}}
    return build_config(T5Options, [model, layers])


def make_prompts(reader: T5Backend, examples: list[Example], with_target: bool) -> list[Prompt]:
    """Prompts as aqa makes them, cut to the reader's size."""
    template = load_template(reader.config.prompt)
    return [
        reader.fit(
            Prompt(
                example.id,
                index,
                example.question,
                select(example, reader.config.evidence),
                template,
                target=template.target(example.answers) if with_target else None,
                answers=example.answers,
            )
        )
        for index, example in enumerate(examples)
    ]
