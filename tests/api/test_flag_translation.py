"""Messages of the Python API name keywords, those of the commands name flags."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import aqa
from aqa.api.flag_translation import (
    ASKED,
    SCORED,
    TRAINED,
    Names,
    TranslatingProgress,
    translate_flags,
)
from aqa.progress import SilentProgress

ROOT = Path(aqa.__file__).parent
# Only in commands: cancelling batches, limits on scores, and these files.
COMMANDS_ALONE = {"--cancel", "--fail-under", "--per-example"}

SENTENCES: list[tuple[str, Names, str]] = [
    ("give --data FILE, or data.path", ASKED, 'give data="FILE", or data.path'),
    ("name another --output-dir or --fresh", ASKED, 'name another output_dir or redo="everything"'),
    ("go on with --resume", TRAINED, "go on with resume=True"),
    ("it needs data.dev_path (--dev-data)", TRAINED, "it needs data.dev_path"),
    ("choose --set a.b=none to run", ASKED, 'choose settings={"a.b": "none"} to run'),
    ("--set a.b='[x, y]'; one will do", ASKED, 'settings={"a.b": ["x", "y"]}; one will do'),
    (
        "name it with --field answers=NAME",
        ASKED,
        'name it with settings={"data.fields.answers": "NAME"}',
    ),
    ("limit it with --max-cost 5", ASKED, 'limit it with settings={"backend.max_cost": 5}'),
    ("try --set a.b=true", ASKED, 'try settings={"a.b": True}'),
    ("leave --split out", ASKED, "leave data.split (settings) out"),
    ("leave --merge: it is whole", TRAINED, "leave merge (settings): it is whole"),
    ("--cluster a: no such", SCORED, 'cluster="a" (aqa.Scoring): no such'),
    ("--stress noise: no question", ASKED, 'stress=["noise"]: no question'),
    ("--judge-set generation.seed: no", SCORED, "generation.seed (settings): no"),
    ("allow it with --judge-set backend.cache", SCORED, "allow it with backend.cache (settings)"),
    ("or pipe it in with --data -", ASKED, 'or pipe it in with data="-"'),
    (
        "take --prediction-field 'model=GPT 4'",
        SCORED,
        'take prediction_fields=["model=GPT 4"] (aqa.Scoring)',
    ),
    ("give --corpus FILE", SCORED, 'give corpus="FILE" (aqa.Source)'),
    ('add --no-answer "I\'m not sure"', SCORED, 'add no_answer=["I\'m not sure"] (aqa.Scoring)'),
    ("as --prediction-field says: x", SCORED, "as prediction_fields (aqa.Scoring) says: x"),
    (
        "name it, --prediction-field id=a",
        SCORED,
        'name it, prediction_fields=["id=a"] (aqa.Scoring)',
    ),
    # Several values of one flag become one keyword.
    (
        'say --no-answer "none" --no-answer "not \'here\'"; x',
        SCORED,
        'say no_answer=["none", "not \'here\'"] (aqa.Scoring); x',
    ),
    (
        "such as --field question=instruction --field answers=output",
        ASKED,
        'such as settings={"data.fields.question": "instruction", "data.fields.answers": "output"}',
    ),
    (
        "such as --field question=instruction --field answers=output",
        SCORED,
        'such as fields={"question": "instruction", "answers": "output"} (aqa.Source)',
    ),
    ("give --data FILE --split NAME", ASKED, 'give data="FILE" settings={"data.split": "NAME"}'),
    ("or --slice KEY", SCORED, 'or slices=["KEY"] (aqa.Scoring)'),
    # Not a flag of ours, or a command.
    ("run it with --log_samples, a--data", ASKED, "run it with --log_samples, a--data"),
    ("another --max-model-len", ASKED, "another --max-model-len"),
    ("run `aqa train ... --merge`, --data", ASKED, "run `aqa train ... --merge`, data"),
    ("(aqa train ... --resume --merge)", ASKED, "(aqa train ... --resume --merge)"),
]


@pytest.mark.parametrize(("sentence", "names", "here"), SENTENCES)
def test_flags_become_keywords(sentence: str, names: Names, here: str) -> None:
    assert translate_flags(sentence, names) == here


@functools.cache
def sentences() -> list[str]:
    """All strings in the program below its commands, except docstrings."""
    return list(strings())


def strings() -> Iterator[str]:
    """Yield them one by one."""
    for path in ROOT.rglob("*.py"):
        if path.is_relative_to(ROOT / "cli") or path.is_relative_to(ROOT / "api"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                is_docstring = isinstance(node, ast.Expr)
                if isinstance(child, ast.Constant | ast.JoinedStr) and not is_docstring:
                    yield "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "X"
                        for part in (child.values if isinstance(child, ast.JoinedStr) else [child])
                    )


def test_no_sentence_names_a_flag_without_a_keyword() -> None:
    from typer.main import get_command

    from aqa.cli.app import app

    commands = vars(get_command(app))["commands"].values()
    flags = {name for each in commands for option in each.params for name in option.opts}
    names = {**ASKED, **TRAINED, **SCORED}
    texts = [re.sub(r"`[^`]*`|\(aqa [^)]*\)|aqa predict [^,]*", "", text) for text in sentences()]
    found = {
        flag for text in texts for flag in re.findall(r"(?<![\w-])--[a-z-]+(?=[ ,;:)]|$)", text)
    }
    left = {flag for flag in found & flags if translate_flags(flag, names) == flag}
    assert {"--data", "--set", "--cluster"} < found
    assert left == COMMANDS_ALONE


def test_keywords_with_values_are_python() -> None:
    given = re.compile(r'(?<![=\w])\w+=(?:\{"[^}]*\}|\[[^\]]*\]|"[^"]*")')
    found = {
        call
        for text in sentences()
        for names in (ASKED, TRAINED, SCORED)
        for call in set(given.findall(translate_flags(text, names))) - set(given.findall(text))
    }
    assert len(found) > 20
    for call in found:
        keyword = ast.parse(f"f({call})", mode="eval").body.keywords[0]  # type: ignore[attr-defined]
        ast.literal_eval(keyword.value)


def test_what_a_notebook_is_told(tmp_path: Path) -> None:
    row = {"id": "1", "question": "Who?", "context": "Ada did.", "answers": ["Ada"]}
    with pytest.raises(aqa.AqaError, match=r'no data is named; give data="FILE", or data\.path'):
        aqa.predict("stub")
    with pytest.raises(aqa.AqaError, match=r'cluster="colour" \(aqa\.Scoring\): no example has'):
        aqa.evaluate({"a": {"1": "Ada"}}, [row], scoring=aqa.Scoring(cluster="colour"))
    with pytest.raises(
        aqa.AqaError, match=r'choose settings={"data.on_duplicate_id": "keep-first"}'
    ):
        aqa.preview("stub", [row, row])
    with pytest.raises(aqa.AqaError, match="are for choose_threshold; add it"):
        aqa.evaluate({"a": {"1": "Ada"}}, [row], level=90)
    list(aqa.predict("stub", [row], output_dir=tmp_path / "out"))
    with pytest.raises(aqa.AqaError, match='another output_dir, or start over with redo="every'):
        list(aqa.predict("stub", [row | {"id": "2"}], output_dir=tmp_path / "out"))


def test_a_report_does_not_take_the_place_of_another_page(tmp_path: Path) -> None:
    result = aqa.evaluate({"a": {"1": "Ada"}}, [{"id": "1", "question": "?", "answers": ["Ada"]}])
    page = tmp_path / "page.html"
    page.write_text("<p>mine</p>", encoding="utf-8")
    with pytest.raises(aqa.AqaError, match=r"page\.html would be overwritten.* file with path, or"):
        result.write_report(page)
    assert page.read_text(encoding="utf-8") == "<p>mine</p>"
    result.write_report(tmp_path / "own.html")
    result.write_report(tmp_path / "own.html")


def test_predictions_with_a_name_are_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    file.write_text('{"1": "Ada"}', encoding="utf-8")
    row = {"id": "1", "question": "?", "answers": ["Ada"]}
    with pytest.raises(aqa.AqaError, match=r"output_dir .*metrics\.json would overwrite"):
        aqa.evaluate({"mine": file}, [row], output_dir=tmp_path)
    assert file.read_text(encoding="utf-8") == '{"1": "Ada"}'


def test_notes_name_keywords_too() -> None:
    silent = SilentProgress()
    progress = TranslatingProgress(silent, SCORED)
    with progress.task("Scoring") as task:
        task.advance(1)
    progress.note("compare with --normalize nfc")
    assert silent.notes == ['compare with normalize="nfc" (aqa.Scoring)']
