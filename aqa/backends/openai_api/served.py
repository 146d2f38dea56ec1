"""What all sessions of a run say of a server, for the manifest: who answered, what was learnt."""

from collections import Counter
from collections.abc import Iterable, Mapping


class Served:
    """The models that answered, by the server's names, and the requests by what came of them."""

    def __init__(self) -> None:
        self.models: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self._learnt: list[str] = []  # by earlier sessions, in words

    def resume(self, facts: Mapping[str, object]) -> None:
        """Go on counting from what the manifest of earlier sessions holds."""
        for name, counts in (("models", self.models), ("requests", self.requests)):
            before = facts.get(name)
            counts.update(before if isinstance(before, Mapping) else {})
        self._learnt = texts(facts.get("learnt"))

    def to_json(self, learnt: Iterable[str]) -> dict[str, object]:
        """What the manifest holds; what was `learnt` in this session among it."""
        return {
            "models": dict(sorted(self.models.items())),
            "requests": dict(sorted(self.requests.items())),
            "learnt": list(dict.fromkeys([*self._learnt, *learnt])),
        }


def texts(value: object) -> list[str]:
    """The texts of a list that a manifest holds; none where it holds no list."""
    return [str(part) for part in value] if isinstance(value, list) else []
