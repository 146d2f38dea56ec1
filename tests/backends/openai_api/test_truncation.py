"""Servers that read less of a prompt than they were sent."""

from pathlib import Path

import pytest
from fault_server import Server, turns
from gpt4_runs import configured, predictions, run

from aqa.backends.openai_api.service import Service
from aqa.backends.openai_api.tokens import TokenCounter

CONTEXT = 120  # words that the server reads: more than the template and a short passage


def words(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)


@pytest.mark.parametrize(("exact", "times"), [(True, 200), (False, 200), (False, 600)])
def test_a_prompt_that_is_cut_off_is_noticed(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, exact: bool, times: int
) -> None:
    counter = TokenCounter("m", False, "", lambda chat: words([turn.content for turn in chat]))
    counter.exact = exact
    monkeypatch.setattr(Service, "counter", counter)
    server.count = lambda body: min(CONTEXT, words([turn["content"] for turn in turns(body)]))
    config = configured(tmp_path, server, 3)
    path = Path(config.data.path or "")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[1] = lines[1].replace("some words", "some words " * times)
    path.write_text("".join(lines), encoding="utf-8")
    notes: list[str] = []
    run(config, tmp_path / "out", notes=notes)
    unread = [row.get("unread_tokens") for row in predictions(tmp_path / "out").values()]
    assert (unread[0], unread[2]) == (None, None)
    if not exact:  # an estimate only reveals the impossible
        assert (unread[1], len(notes)) == (None, times // 600)
        assert all(f"the server read {CONTEXT} of about 1,2" in note for note in notes)
        return
    assert (unread[1] or 0) > 50
    (note,) = notes
    assert note.startswith(f"the server read {CONTEXT} of ")
    assert "(q1), so it cuts prompts off" in note
