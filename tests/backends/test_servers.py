"""Common to all servers: keys are not shown, however they are written."""

import pytest

from aqa.backends.servers import without_secrets


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("sk-0123456789", "no sk-0123456789x", "no ***x"),
        ('a"b<c>&d/e f', r"a\"b<c>&d/e f, a&quot;b&lt;c&gt;&amp;d/e f, a%22b%3Cc%3E%26d%2Fe%20f",
         "***, ***, ***"),
        ("sk-1234", 'key="sk-1234", task-1234, sk-12345', 'key="***", task-1234, sk-12345'),
        ("none", "none of them", "none of them"),
        ("1234", "in 1234", "in 1234"),
        ("", "nothing", "nothing"),
    ],
)  # fmt: skip
def test_a_key_is_not_shown(secret: str, text: str, shown: str) -> None:
    assert without_secrets(text, [secret]) == shown
