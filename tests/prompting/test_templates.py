import hashlib
from pathlib import Path

import pytest
from aqa_stub import StubBackend

from aqa.config.load import build_config
from aqa.config.options import EvidenceOptions
from aqa.config.shipped import shipped_names
from aqa.errors import PromptError
from aqa.evaluation.judge.judge import JUDGE_VARIABLES
from aqa.metrics.verdicts import VERDICTS
from aqa.progress import SilentProgress
from aqa.prompting.templates import load_template, prepare
from aqa.records import Example, Message, Passage, Prompt

HANGUL = "가나다라마바사아자차카타파하"


def load(folder: Path, content: str | bytes, name: str = "t.txt"):  # type: ignore[no-untyped-def]
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_template(str(path))


def prepared(
    template: Path | str, example: Example, with_target: bool = False, **options: object
) -> Prompt:
    settings = {"backend": {"max_length": options.pop("max_length", 400)}}
    reader = StubBackend(build_config(StubBackend.Options, [settings]), SilentProgress())
    evidence = EvidenceOptions.model_validate(options)
    return prepare(example, 3, load_template(str(template)), evidence, reader, with_target)


@pytest.mark.parametrize("language", ["eng", "kor"])
def test_shipped_templates_of_the_judge(language: str) -> None:
    with pytest.raises(PromptError, match=r"unknown variable \{answer\}"):
        load_template(f"judge_{language}")
    template = load_template(f"judge_{language}", JUDGE_VARIABLES)
    text = "".join(turn.content for turn in template.messages)
    assert all(text.count(f"{{{name}}}") == 1 for name in JUDGE_VARIABLES)
    assert all(f"\n{verdict}: " in text for verdict in VERDICTS)
    assert (language == "kor") == any(letter in text for letter in HANGUL)
    assert template.no_answer


@pytest.mark.parametrize(
    "name", [name for name in shipped_names("prompts") if not name.startswith("judge_")]
)
def test_shipped_templates(name: str) -> None:
    template = load_template(Path(name).stem)
    assert template.messages[-1].role == "user"
    assert template.no_answer
    text = "".join(turn.content for turn in template.messages)
    # Instruction, target and scoring agree on it; t5_qa has no instruction, just training.
    assert template.no_answer[0] in text or name == "t5_qa.txt"
    assert text.count("{context}") == text.count("{question}") == 1
    assert name.startswith("kor") == any(letter in text for letter in HANGUL)
    if "fewshot" in name:
        assert {turn.role for turn in template.messages} >= {"user", "assistant"}
        shown = [turn.content for turn in template.messages if turn.role == "assistant"]
        assert template.no_answer[0] in shown
        assert len(set(shown)) > 1


SYSTEM_AND_USER = (Message("system", "Read:\n{context}"), Message("user", "{question}"))


@pytest.mark.parametrize(
    ("name", "content", "messages", "no_answer"),
    [
        ("t.txt", "Read:\n{context}\n", SYSTEM_AND_USER, ()),
        ("t.txt", b"\xef\xbb\xbfRead:\r\n{context}", SYSTEM_AND_USER, ()),
        ("t.txt", "---\nno_answer: 모름\n---\nRead:\n{context}\n", SYSTEM_AND_USER, ("모름",)),
        ("t.txt", "--- \nno_answer: 모름\n---\t\nRead:\n{context}\n", SYSTEM_AND_USER, ("모름",)),
        (
            "t.txt",
            '---\r\nno_answer: ["no", none at all]\r\n---\r\n{context} {question}',
            (Message("user", "{context} {question}"),),
            ("no", "none at all"),
        ),
        (
            "t.txt",
            '{context} {question} as {"answer": ...} or {} or { x }',
            (Message("user", '{context} {question} as {"answer": ...} or {} or { x }'),),
            (),
        ),
        (
            "t.yaml",
            "no_answer: 'no'\nmessages:\n- {role: user, content: 'x {context}'}\n"
            "- {role: assistant, content: y}\n- {role: user, content: '{question}'}\n",
            (
                Message("user", "x {context}"),
                Message("assistant", "y"),
                Message("user", "{question}"),
            ),
            ("no",),
        ),
    ],
)
def test_files_of_templates(
    tmp_path: Path,
    name: str,
    content: str | bytes,
    messages: tuple[Message, ...],
    no_answer: tuple[str, ...],
) -> None:
    template = load(tmp_path, content, name)
    assert (template.messages, template.no_answer, template.name) == (messages, no_answer, "t")
    assert template.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


USER = "- {role: user, content: '{context} {question}'}"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.txt", "", "the variable {context} is missing"),
        ("t.txt", "{question}", "the variable {context} is missing"),
        ("t.txt", "{context} {name}", "unknown variable {name}; a template knows {context} and"),
        ("t.txt", b"\xb0\xa1 {context}", "not UTF-8 at byte 0"),
        ("t.txt", "---\nno_answer: x\n{context}", "not closed by a line of ---"),
        ("t.txt", "{{context}}", "{{context}} would leave braces around its text; write {context}"),
        (
            "t.txt",
            "---\nno_answer: [x\n---\n{context}",
            "not valid YAML: a comma is missing, or a bracket is not closed",
        ),
        ("t.txt", "---\nno_answers: x\n---\n{context}", "unknown key no_answers"),
        ("t.txt", "---\nno_answer: [[1]]\n---\n{context}", "no_answer must be a phrase or a list"),
        ("t.txt", "---\nno_answer: ['']\n---\n{context}", "no_answer must be a phrase or a list"),
        ("t.txt", "---\nanswer: all\n---\n{context}", "answer must be line or text"),
        ("t.txt", "---\nanswer: [line]\n---\n{context}", "answer must be line or text"),
        ("t.yaml", "", "a mapping of keys is expected"),
        ("t.yaml", "no_answer: x", "messages must be a list"),
        ("t.yaml", "messages: []", "messages must be a list"),
        ("t.yaml", "messages:\n- {role: user}", "message 1 must have just a role"),
        ("t.yaml", f"messages:\n{USER}\n- x", "message 2 must have just a role"),
        ("t.yaml", "messages:\n- {role: tool, content: x}", "message 1 must have just a role"),
        (
            "t.yaml",
            f"messages:\n- {{role: system, content: }}\n{USER}",
            "message 1 must have just a role",
        ),
        ("t.yaml", f"messages:\n{USER}\n- {{role: assistant, content: x}}", "must be the user's"),
        ("t.yaml", "messages:\n- {role: user, content: '{context}'}", "{question} is missing"),
        ("t.md", "{context}", "a template is a .txt or a .yaml file; rename it"),
    ],
)
def test_what_is_no_template(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    with pytest.raises(PromptError) as error:
        load(tmp_path, content, name)
    assert str(error.value).startswith(str(tmp_path / name))
    assert told in str(error.value)


def test_a_template_says_how_much_of_the_text_is_the_answer(tmp_path: Path) -> None:
    assert load(tmp_path, "---\nanswer: text\n---\n{context}", "t.txt").answer == "text"
    assert load(tmp_path, f"answer: text\nmessages:\n{USER}", "t.yaml").answer == "text"
    assert load(tmp_path, "{context}", "t.txt").answer == "line"
    assert {load_template(name).answer for name in ("eng_long", "kor_long")} == {"text"}


def test_names_of_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("eng_v1", "eng_v1.txt", "prompts/eng_v1.txt"):
        assert load_template(name).name == "eng_v1"
    for name, hint in {
        "eng_v9": "did you mean eng_v",
        "kor_v1.yaml": "did you mean kor_v1?",
        "elsewhere/eng_v1.txt": "did you mean eng_v1?",
        "elsewhere/eng_v1": "did you mean eng_v1?",
        "xyz": "shipped: eng_fewshot, eng_long, eng_v1, eng_v2, kor_fewshot, kor_long, kor_v1,",
    }.items():
        with pytest.raises(PromptError, match="no such template") as error:
            load_template(name)
        assert hint in str(error.value)
    Path("eng_v1.txt").write_text("mine {context}", encoding="utf-8")
    assert load_template("eng_v1.txt").messages[0].content == "mine {context}"
    assert load_template("eng_v1").messages[0].content != "mine {context}"


def test_braces_in_what_is_inserted_stay_text(tmp_path: Path) -> None:
    load(tmp_path, 'As {"a": 1}, {context}!\n{question}')
    passage = "A {question} {context} {0} {} {x!r} } { \\1 100%"
    prompt = prepared(tmp_path / "t.txt", Example("q", "{context}?", (Passage(passage),)))
    assert [turn.content for turn in prompt.messages] == [
        f'As {{"a": 1}}, {passage}!\n{{context}}?'
    ]


@pytest.mark.parametrize(
    ("answers", "no_answer", "target"),
    [
        (("first", "second"), "none", "first"),
        ((), "none", "none"),
        ((), None, None),
        (None, "none", None),
    ],
)
def test_the_target_is_there_for_training_only(
    tmp_path: Path, answers: tuple[str, ...] | None, no_answer: str | None, target: str | None
) -> None:
    head = f"---\nno_answer: {no_answer}\n---\n" if no_answer else ""
    load(tmp_path, head + "{context}")
    example = Example("q", "who?", (Passage("text"),), answers)
    assert prepared(tmp_path / "t.txt", example, with_target=True).target == target
    prompt = prepared(tmp_path / "t.txt", example)
    assert (prompt.target, prompt.answers, prompt.index) == (None, answers, 3)


@pytest.mark.parametrize(
    ("max_length", "max_chars", "kept"),
    [(400, None, 20), (14, None, 10), (400, 50, 10), (14, 100, 10), (14, 25, 5)],
)
def test_the_smaller_limit_counts(
    tmp_path: Path, max_length: int, max_chars: int | None, kept: int
) -> None:
    load(tmp_path, "{context}")
    example = Example("q", "who", (Passage("word " * 20),))
    prompt = prepared(tmp_path / "t.txt", example, max_length=max_length, max_chars=max_chars)
    assert len(prompt.evidence.context.split()) == kept
    with pytest.raises(PromptError, match="q: instructions, question and answer alone take 4"):
        prepared(tmp_path / "t.txt", example, max_length=3)
