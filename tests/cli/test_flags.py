"""Flags for config options match these, and the README names no others."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
from calls import Call
from pydantic import BaseModel

from aqa.backends import BACKENDS, find_backend
from aqa.cli.app import app
from aqa.config.flags import FLAGS, Flag
from aqa.config.options import RunConfig

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
# Flags of our scripts, and facts about a run's answers, which the README names, too.
OF_SCRIPTS = {
    "--quick", "--runs", "--threads", "--consecutive", "--peer-python", "--llama-server",
}  # fmt: skip
FACTS = {"evidence.named_ranks", "evidence.gold_ranks", "evidence.ranks"}
SECTIONS = [RunConfig, *(find_backend(name).Options for name in BACKENDS)]


def commands() -> dict[str, Any]:
    """The commands by name, as Typer makes them."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def find_option(section: type[BaseModel], key: str) -> object:
    """The field of a dotted key inside a section, or None."""
    name, _, rest = key.partition(".")
    field = section.model_fields.get(name)
    if field is None or not rest:
        return field
    inner = field.annotation
    for part in (inner, *getattr(inner, "__args__", ())):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return find_option(part, rest)
    return field if "dict" in str(inner) else None


def options_of(key: str) -> list[object]:
    """The fields of a key, for each backend if it is a backend's."""
    if key.startswith("backend."):
        found = [find_option(section, key.removeprefix("backend.")) for section in SECTIONS[1:]]
    else:
        found = [find_option(RunConfig, key)]
    return [field for field in found if field is not None]


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.key)
def test_a_flag_of_the_config_is_for_an_option(flag: Flag) -> None:
    assert options_of(flag.key)
    parameters = [
        parameter
        for command in commands().values()
        for parameter in command.params
        if flag.names[0] in parameter.opts and parameter.name == flag.parameter
    ]
    assert parameters
    assert {getattr(parameter, "help") for parameter in parameters} == {flag.help}  # noqa: B009


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(--[a-z][a-z0-9-]+)", README))))
def test_the_readme_names_no_flag_that_there_is_not(name: str) -> None:
    known = {
        word
        for command in commands().values()
        for parameter in command.params
        for word in (*parameter.opts, *parameter.secondary_opts)
    }
    assert name in known | {"--help", *OF_SCRIPTS}


@pytest.mark.parametrize("name", sorted(commands()))
def test_the_examples_of_help_are_commands(name: str) -> None:
    command = commands()[name]
    examples = command.epilog.split("\n\n")[1:]
    assert len(examples) >= 2
    for example in examples:
        aqa, verb, *words = shlex.split(example)
        assert (aqa, verb) == ("aqa", name)
        assert command.make_context(verb, words).params


KEYS = re.compile(
    r"(?:`|--set )((?:data|evidence|training|generation|evaluation|backend)\.[a-z_0-9.]*[a-z_0-9])"
)


SOURCES = (Path(__file__).parents[2] / "aqa").rglob("*.py")
EXAMPLES = re.compile(r"(?:--set |such as )\W?([a-z_]+\.[a-z_.]+)(?==)")
SAID = {key for path in SOURCES for key in EXAMPLES.findall(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("key", sorted(SAID))
def test_a_key_that_is_an_example_exists(key: str) -> None:
    assert {"evidence.top_k", "evidence.train"} <= SAID
    assert options_of(key)


@pytest.mark.parametrize("key", sorted(set(KEYS.findall(README)) - FACTS))
def test_the_readme_names_no_option_that_there_is_not(key: str) -> None:
    assert options_of(key)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("predict stub --fresh --retry-errors", "--fresh asks every question again"),
        ("predict gpt4 --cancel --fresh", "--fresh has no effect with --cancel"),
        ("predict gpt4 --cancel --dry-run", "--dry-run has no effect with --cancel"),
        ("predict stub --set seed=", "--set seed= has no value; give one (null for none)"),
        ("prompt-preview stub --id 1 --n 3", "--n has no effect with --id"),
        ("prompt-preview stub --tokens --json", "--tokens has no effect with --json"),
        ("evaluate a.json --verify --metrics em", "--metrics has no effect with --verify"),
        ("evaluate a.json --field question=x", "--field has no effect without --data; add it"),
        ("evaluate a.json --split dev", "--split has no effect without --data; add it"),
        ("evaluate a.json --on-duplicate-id number", "--on-duplicate-id has no effect without"),
        ("evaluate a.json --dry-run", "--dry-run has no effect without a judge"),
        ("evaluate a.json --judge-repeats 3", "--judge-repeats has no effect without a judge"),
        ("evaluate a.json --bert-model x", "--bert-model has no effect without BERTScore"),
        ("evaluate a.json --no-bert-cache", "--no-bert-cache has no effect without BERTScore"),
    ],
)
def test_what_has_no_effect_is_refused(words: str, told: str, call_aqa: Call) -> None:
    assert told in " ".join(call_aqa(*words.split(), code=2).stderr.split())


@pytest.mark.parametrize(
    "setting",
    [
        "training.max_steps=3",
        "training={}",
        "backend.lora.r=4",
        "evidence.train={}",
        "evidence={train: {distractors: 1}}",
        "data.dev_path=dev.json",
        "merge=true",
        "export=gguf",
    ],
)
def test_options_of_a_training_are_refused_where_there_is_none(
    setting: str, call_aqa: Call
) -> None:
    """The manifest named them, though they had no effect on the answers."""
    for verb in ("predict", "prompt-preview"):
        asked = call_aqa(verb, "llama", "-m", "m", "--data", "d.json", "--set", setting, code=2)
        assert f"--set {setting.partition('=')[0]}" in asked.stderr
        assert "has no effect without a training; leave it out" in " ".join(asked.stderr.split())
