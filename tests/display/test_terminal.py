"""Text from data, models and servers can't control the terminal."""

import io
import json
from pathlib import Path

import pytest
from calls import Call
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from aqa.display.terminal import SafeConsole, rich_table, safe_json, safe_text
from aqa.tables import Row, figures, texts
from aqa.tables import Table as Columns

LINK = "\x1b]8;;http://example.org\x1b\\here\x1b]8;;\x1b\\"
EVIL = f"\x1b[2J{LINK}\x9b2Jdrawn\u202e\u2066\x07\x7f[red]kept[/][/no] :bomb:"
SHOWN = "2Jdrawn[red]kept[/][/no] :bomb:"  # what remains of its end
DATA = "data[red]\x1b[2J.json"


def check(text: str) -> None:
    """Allow only what Rich itself sends: colours, and the cursor movements of its bars."""
    for steering in ("\x1b[2J", "\x1b]", "\x9b", "\x07", "\x7f", "\u202e", "\u2066"):
        assert steering not in text, steering.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain 한글 é \t\n two lines", "plain 한글 é \t\n two lines"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        (LINK, "]8;;http://example.org\\here]8;;\\"),
        ("a\x9b31mb\x85c", "a31mbc"),
        ("a\rb\x08c\x00", "abc"),
        ("user\u202etxt.exe\u202c \u2067x\u2069", "usertxt.exe x"),
        ("half \ud83d", "half "),
        ("מילה \u200f👩\u200d🔬", "מילה 👩\u200d🔬"),  # joiners stay, bidi marks go
    ],
)
def test_safe_text(text: str, shown: str) -> None:
    assert safe_text(text) == shown


def test_json_stays_what_it_was() -> None:
    value = {EVIL: [EVIL, "한글", "half \ud83d"]}
    text = safe_json(value)
    check(text)
    assert "한글" in text
    assert json.loads(text) == value
    text.encode()


@pytest.mark.parametrize("form", ["text", "table", "title"])
def test_a_console_shows_text_as_it_stands(form: str) -> None:
    file = io.StringIO()
    console = SafeConsole(file)
    console._force_terminal = True
    table = Table(title=EVIL, expand=True)
    table.add_column(EVIL)
    table.add_row(EVIL)
    printed = {"text": EVIL, "table": table, "title": Text(EVIL, style="bold")}
    console.print(printed[form], soft_wrap=True, width=200)
    check(file.getvalue())
    assert SHOWN in file.getvalue()
    if form == "table":  # its frame is intact, although it contained removed characters
        lines = [line for line in file.getvalue().splitlines() if "│" in line or "┃" in line]
        assert len({len(line) for line in lines}) == 1


def write_evil(folder: Path) -> None:
    rows = [
        {
            "id": f"{EVIL}{n}",
            "question": f"who {EVIL}",
            "passages": [{"title": EVIL, "text": f"{EVIL} text"}],
            "answers": [EVIL],
            "kind": EVIL,
        }
        for n in range(4)
    ]
    folder.joinpath(DATA).write_text(json.dumps(rows), encoding="utf-8")
    for name in ("a", "b"):
        answers = {row["id"]: f"{EVIL} {name}" for row in rows}
        folder.joinpath(f"{name}[red]\x1b[2J.json").write_text(json.dumps(answers))


COMMANDS = {
    "preview": ["prompt-preview", "gpt4", "--data", DATA, "--tokens"],
    "predict": ["predict", "stub", "--data", DATA, "-o", "out[red]\x1b[2J"],
    "evaluate": ["evaluate", "a[red]\x1b[2J.json", "b[red]\x1b[2J.json", "-d", DATA],
    "dry run": ["predict", "gpt4", "--data", DATA, "--dry-run", "-m", EVIL],
    "no file": ["predict", "stub", "--data", EVIL],
    "no backend": ["predict", EVIL],
    "no model": ["predict", "llama", "--data", DATA, "--model", EVIL],
    "no key": ["predict", "stub", "--data", DATA, "--set", "x[red]\x1b[2J=1"],
}


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_lets_it_through(
    command: str, terminal: bool, tmp_path: Path, call_aqa: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_evil(tmp_path)
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    words = COMMANDS[command]
    done = call_aqa(*words)
    fails = command.startswith("no ")
    assert done.returncode == (2 if command in ("no backend", "no key") else int(fails))
    check(done.stdout + done.stderr)
    assert "[red]" in done.stdout + done.stderr
    assert ("\x1b[" in done.stderr + done.stdout) == terminal
    if not fails:
        again = call_aqa(*(word for word in words if word != "--tokens"), "--json")
        check(again.stdout)
        assert "\\u001b" in json.dumps(json.loads(again.stdout)), again.stderr


def test_forms_for_papers(tmp_path: Path, call_aqa: Call) -> None:
    write_evil(tmp_path)
    for form in ("--csv", "--markdown", "--latex"):
        printed = call_aqa(*COMMANDS["evaluate"], form).stdout
        check(printed)
        assert "red" in printed


@pytest.mark.parametrize(("width", "lines"), [(60, 1), (20, 2)])
def test_a_title_is_wrapped_only_by_the_terminal(width: int, lines: int) -> None:
    """Not by a narrow table below it."""
    file = io.StringIO()
    console = SafeConsole(file)
    console.width = width
    table = Columns(texts("id"), [Row(["q1"])], "Disagreement: 한글, the widest")
    console.print(rich_table(table, console.width))
    titles = file.getvalue().split("┏")[0].splitlines()
    assert len(titles) == lines


@pytest.mark.parametrize("width", [40, 80])
def test_a_narrow_table_keeps_all_of_its_numbers(width: int) -> None:
    """Rich would cut off the last column in 80 columns, and break numbers in 40."""
    file = io.StringIO()
    console = SafeConsole(file)
    console.width = width
    counts = ["1,234", "5,678", "-91.25"]
    systems = [f"llama_3_1_8b-instruct_lora_r16_seed_{n}" for n in range(len(counts))]
    kind = "wrong; the file does not record the evidence"
    heads = [*texts("kind"), *figures(*systems)]
    console.print(rich_table(Columns(heads, [Row([kind, *counts])]), console.width))
    lines = file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    printed = [{part.strip() for part in line.split("│")} for line in lines]
    assert any(set(counts) <= parts for parts in printed)
    columns = list(zip(*(line.split("│")[1:-1] for line in lines if "│" in line), strict=True))
    assert "".join("".join(columns[0]).split()) == kind.replace(" ", "")


def test_long_names_make_room_for_words() -> None:
    file = io.StringIO()
    console = SafeConsole(file)
    console.width = 50
    heads = [*texts("condition", "a", "b"), *figures("p (Holm)")]
    names = [f"llama_3_1_8b-instruct_lora_r16_seed_{n}" for n in "ab"]
    table = Columns(heads, [Row(["position-middle", *names, "1.0000"])])
    console.print(rich_table(table, console.width))
    assert "│ position-middle │" in file.getvalue()
    assert "│ 1.0000 │" in file.getvalue()
