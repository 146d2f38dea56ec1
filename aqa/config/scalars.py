"""Parse YAML and JSON so that numbers remember their spelling, for options that take text."""

import json
import re
from typing import Any, TypeVar

import yaml


class _Written:
    text: str

    def __str__(self) -> str:
        return self.text


class WrittenInt(_Written, int):
    """An int with its spelling, such as 0123 or 1_000, which text options use."""


class WrittenFloat(_Written, float):
    """A float with its spelling, such as 1.10 or 2e3."""


Number = TypeVar("Number", WrittenInt, WrittenFloat)


def _resolvers(*kinds: str) -> dict[str, Any]:
    return {
        first: [pair for pair in pairs if pair[0].rpartition(":")[2] in kinds]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _DistinctLoader(yaml.SafeLoader):
    """Refuses duplicate keys, of which the last would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping without duplicate keys."""
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                problem = f'the key "{key.value}" appears twice'
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            keys.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


class _TextLoader(_DistinctLoader):
    """Reads all plain scalars except null as text."""

    yaml_implicit_resolvers = _resolvers("null")


class _ValueLoader(_DistinctLoader):
    """Reads null, true, false and numbers; dates and words such as `no` and `on` are text."""

    yaml_implicit_resolvers = _resolvers("null", "int", "float")

    def construct_number(self, node: yaml.ScalarNode) -> WrittenInt | WrittenFloat:
        """Construct a number with its spelling."""
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
    """Parse YAML, `as_texts` with all plain scalars except null as text; may raise YAMLError."""
    return yaml.load(text, _TextLoader if as_texts else _ValueLoader)  # noqa: S506  (both are safe)


def read_json(text: str) -> Any:
    """Parse JSON; JSONDecodeError also for duplicate keys."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for key, value in pairs:
            if key in members:
                start = text.rfind(json.dumps(key, ensure_ascii=False))
                raise json.JSONDecodeError(f'the key "{key}" appears twice', text, max(start, 0))
            members[key] = value
        return members

    return json.loads(
        text,
        object_pairs_hook=distinct,
        parse_int=lambda digits: _written(WrittenInt(digits), digits),
        parse_float=lambda digits: _written(WrittenFloat(digits), digits),
    )
