from pathlib import Path

import pytest

from aqa.config.paths import expand_home


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("~", "/home/ada"),
        ("~/a b", "/home/ada/a b"),
        (Path("~/a"), "/home/ada/a"),
        ("a/~", "a/~"),
        ("~$answers.csv", "~$answers.csv"),
        ("~nobody-here/a", "~nobody-here/a"),
    ],
)
def test_the_home_folder_is_put_in(
    path: str | Path, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert expand_home(path) == Path(found)
