import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from fault_server import Fault, Server, failure, serving
from gpt4_runs import configured, run
from tiny_llama import make_tokenizer

from aqa.backends.openai_api.tokens import TABLE, TokenCounter, byte_bound
from aqa.errors import ModelError
from aqa.progress import SilentProgress
from aqa.records import Evidence, Message, Prompt, Template
from aqa.verbs.predict import dry_run

TEMPLATE = Template("t", (Message("user", "{question}"),))
CHAT = [Message("system", "Read: 서울은 수도이다."), Message("user", "Which city?")]


def test_without_tables_it_guesses_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is empty, so nothing may be downloaded, either: tests may open no sockets."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    counter = TokenCounter("gpt-4.1", is_openai=True)
    assert not counter.exact
    assert 10 < counter.count(CHAT) < counter.at_most(CHAT) == byte_bound(CHAT)


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a token per byte instead of using OpenAI's tables, whose file only has to exist."""
    ranks = {bytes([n]): n for n in range(256)}
    letters = tiktoken.Encoding("x", pat_str=r"[\s\S]", mergeable_ranks=ranks, special_tokens={})
    found: dict[str, Any] = {"o200k_base": letters}
    monkeypatch.setattr(tiktoken, "get_encoding", found.__getitem__)
    key = hashlib.sha1(TABLE.format("o200k_base").encode(), usedforsecurity=False).hexdigest()
    (tmp_path / key).touch()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))


@pytest.mark.usefixtures("letters")
def test_with_tables_it_counts() -> None:
    counter = TokenCounter("gpt-4.1", is_openai=True)
    assert counter.exact
    in_bytes = sum(len(turn.content.encode()) for turn in CHAT)
    assert counter.count(CHAT) == in_bytes + 2 * 4 + 3
    assert not TokenCounter("gpt-4.1", is_openai=False).exact
    assert not TokenCounter("a-local-model", is_openai=True).exact


def test_a_schema_that_is_sent_along_counts_too() -> None:
    schema = '{"description": "답변과 근거 passages"}'
    plain, structured = TokenCounter("m", False), TokenCounter("m", False, schema)
    chat = [Message("user", "who ?")]
    assert structured.at_most(chat) == plain.at_most(chat) + len(schema.encode())
    assert plain.count(chat) < structured.count(chat) < structured.at_most(chat)


def test_a_chat_is_tokenized_once_however_often_it_is_counted() -> None:
    counted: list[int] = []

    def count(chat: Sequence[Message]) -> int:
        counted.append(len(chat))
        return 7

    counter = TokenCounter("m", is_openai=False, chat_count=count)
    prompts = [Prompt(str(n), n, f"who {n}", Evidence(()), TEMPLATE) for n in (1, 2, 1)]
    assert [counter.count(prompt.messages) for prompt in prompts] == [7, 7, 7]
    assert counted == [1, 1]


# A dry run compared with what a server counted in the end.


def check_dry_run(folder: Path, server: Server, exact: bool = True, **backend: object) -> None:
    config = configured(folder, server, 30, **backend)
    told = dry_run(config, folder / "out", SilentProgress())
    assert run(config, folder / "out").answered == 30
    assert told.exact == exact
    assert (told.input_tokens == server.prompt_tokens) == exact
    assert told.cost is not None
    low, high = told.cost
    assert low - 1e-9 <= server.cost(1, 2) <= high + 1e-9  # sums of floats
    assert told.output_tokens[0] <= server.answer_tokens <= told.output_tokens[1]


@pytest.mark.parametrize("folds_system", [False, True])
def test_a_served_models_tokenizer_counts_what_the_server_does(
    tmp_path: Path, tiny: Path, tiny_no_system: Path, folds_system: bool
) -> None:
    """The server counts by the chat template, and refuses the system role if it has none."""
    tokenizer = make_tokenizer()

    def count(body: dict[str, Any]) -> int:
        ids = tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True)
        return len(ids["input_ids"])

    refused = "'messages[0].role' does not support 'system' role with this model."
    with serving(Server(count=count)) as server:
        if folds_system:
            server.script = lambda number, body: (
                Fault(400, failure(refused)) if body["messages"][0]["role"] == "system" else None
            )
        named = tiny_no_system if folds_system else tiny
        check_dry_run(tmp_path, server, tokenizer=str(named))


def test_text_completions_are_counted_without_a_chat_template(tmp_path: Path, tiny: Path) -> None:
    tokenizer = make_tokenizer()

    def count(body: dict[str, Any]) -> int:
        return len(tokenizer(body["prompt"])["input_ids"])

    with serving(Server(count=count)) as server:
        check_dry_run(tmp_path, server, tokenizer=str(tiny), api="completions")


@pytest.mark.usefixtures("letters")
def test_openais_tables_count_what_the_server_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_openai(model: str, is_openai: bool, *others: Any) -> TokenCounter:
        return TokenCounter(model, True, *others)

    monkeypatch.setattr("aqa.backends.openai_api.service.TokenCounter", as_openai)

    def count(body: dict[str, Any]) -> int:
        return sum(len(turn["content"].encode()) + 4 for turn in body["messages"]) + 3

    with serving(Server(count=count)) as server:
        check_dry_run(tmp_path, server, model="gpt-4o")


def test_an_estimate_is_called_one(tmp_path: Path) -> None:
    """The real price is still within its range if a token is about four letters."""

    def count(body: dict[str, Any]) -> int:
        return round(sum(len(turn["content"]) / 3.9 + 4 for turn in body["messages"]))

    with serving(Server(count=count)) as server:
        check_dry_run(tmp_path, server, exact=False)


def test_a_tokenizer_that_can_not_count_chats(tmp_path: Path, tiny_no_template: Path) -> None:
    with serving(Server()) as server:
        for name, sentence in ((tiny_no_template, "no chat template"), ("no/such", "no/such")):
            config = configured(tmp_path, server, 1, tokenizer=str(name))
            with pytest.raises(ModelError, match=sentence):
                run(config, tmp_path / "out")
            with pytest.raises(ModelError, match=sentence):
                dry_run(config, tmp_path / "out", SilentProgress())
    assert not (tmp_path / "out").exists()
