"""YAML and JSON whose plain values remember how they were written, so that texts stay texts."""

import json
import re
from typing import Any, TypeVar

import yaml


class _Written:
    text: str

    def __str__(self) -> str:
        return self.text


class WrittenInt(_Written, int):
    """A whole number that an option of text takes as it was written: 0123, 1_000."""


class WrittenFloat(_Written, float):
    """The same of other numbers: 1.10, 2e3."""


Number = TypeVar("Number", WrittenInt, WrittenFloat)


def _resolvers(*kinds: str) -> dict[str, Any]:
    return {
        first: [pair for pair in pairs if pair[0].rpartition(":")[2] in kinds]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _DistinctLoader(yaml.SafeLoader):
    """Refuses a key that appears twice in a mapping: the second would silence the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping, once its keys are seen to differ."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f'the key "{key.value}" appears twice'
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


class _TextLoader(_DistinctLoader):
    """Takes every plain scalar but null for text."""

    yaml_implicit_resolvers = _resolvers("null")


class _ValueLoader(_DistinctLoader):
    """Knows null, true, false and numbers; dates, and words such as `no` and `on`, are text."""

    yaml_implicit_resolvers = _resolvers("null", "int", "float")

    def construct_number(self, node: yaml.ScalarNode) -> WrittenInt | WrittenFloat:
        """A number with its spelling."""
        if node.tag.endswith(":int"):
            return _written(WrittenInt(self.construct_yaml_int(node)), node.value)
        return _written(WrittenFloat(self.construct_yaml_float(node)), node.value)


_ValueLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF")
)
for _kind in ("int", "float"):
    _ValueLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _ValueLoader.construct_number)


def _written(number: Number, text: str) -> Number:
    number.text = text
    return number


def read_yaml(text: str, as_texts: bool = False) -> Any:
    """Parse a YAML document, `as_texts` with all plain values but null as texts; else YAMLError."""
    return yaml.load(text, _TextLoader if as_texts else _ValueLoader)  # noqa: S506  (both are safe)


def read_json(text: str) -> Any:
    """Parse JSON; JSONDecodeError also where a key appears twice."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                place = text.rfind(json.dumps(key, ensure_ascii=False))
                raise json.JSONDecodeError(f'the key "{key}" appears twice', text, max(place, 0))
            found[key] = value
        return found

    return json.loads(
        text,
        object_pairs_hook=distinct,
        parse_int=lambda digits: _written(WrittenInt(digits), digits),
        parse_float=lambda digits: _written(WrittenFloat(digits), digits),
    )
