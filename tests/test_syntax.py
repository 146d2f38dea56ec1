"""What is wrong with text, by the parsers' own errors."""

import json

import pytest
import yaml

from aqa.syntax import json_fault, yaml_fault

MORE = "more text after a closing quotation mark"
UNLIKE = "this line is not indented like those before it"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('a: "x" y', MORE),
        ("a: 'it's'", MORE),
        ("a: [1] 2", MORE),
        ('a: "x",\nb: 1', "a comma after a value: remove it"),
        ("a:\n    b: 1\n  c: 2", UNLIKE),
        ("- a\nb: 1", UNLIKE),
        ("a: 1\n- b", UNLIKE),
        (" a: 1\nb: 2", "this line is indented less than the first"),
        ("a: 1: 2", "a colon too many"),
        ("a: [1, 2", "a comma is missing, or a bracket is not closed"),
        ('a: "x\nb: 1', "a quotation mark is not closed"),
    ],
)
def test_a_fault_of_yaml_is_the_right_one(text: str, fault: str) -> None:
    """Text after a quotation mark was blamed on the indentation."""
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.safe_load(text)
    assert yaml_fault(caught.value).startswith(fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": None}', "a value is missing: null, true, false"),
        ('{"a": .5}', "a value is missing: null, true, false, a number"),
        ('{"a": "b"c"}', 'a comma is missing here, or a bracket before; in texts, write " as \\"'),
        ('{"a" 1}', "a colon is missing"),
        ('{"a": 1', "it ends too early"),
        ("{} {}", "something follows the value"),
    ],
)
def test_a_fault_of_json_is_the_right_one(text: str, fault: str) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(text)
    assert json_fault(caught.value).startswith(fault)
