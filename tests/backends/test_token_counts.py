from pathlib import Path
from typing import Any

import pytest
import tiktoken

from aqa.backends.token_counts import TokenCounter, byte_bound
from aqa.records import Message

CHAT = [Message("system", "Read: 서울은 수도이다."), Message("user", "Which city?")]


def test_without_tables_it_guesses_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is empty, so nothing may be fetched, either: no socket is open in tests."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    counter = TokenCounter("gpt-4.1", is_openai=True)
    assert not counter.exact
    assert 10 < counter.count(CHAT) < counter.at_most(CHAT) == byte_bound(CHAT)


def test_with_tables_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token a byte, in place of OpenAI's tables."""
    ranks = {bytes([n]): n for n in range(256)}
    letters = tiktoken.Encoding("x", pat_str=r"[\s\S]", mergeable_ranks=ranks, special_tokens={})
    found: dict[str, Any] = {"o200k_base": letters}
    monkeypatch.setattr(tiktoken, "get_encoding", found.__getitem__)
    monkeypatch.setattr("aqa.backends.token_counts._has_tables", found.__contains__)
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
