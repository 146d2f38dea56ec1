"""What all sessions of a run tell of a server, for the manifest: who answered, what was learnt."""

from collections.abc import Mapping, Sequence

Facts = Mapping[str, object]


def counted(earlier: Facts, models: Mapping[str, int], requests: Mapping[str, int]) -> Facts:
    """The models that answered, by the names that the server gave, and the requests."""
    return {
        "models": added(earlier.get("models"), models),
        "requests": added(earlier.get("requests"), requests),
    }


def learnt(earlier: Facts, left_out: Sequence[str], learnt_now: Sequence[str]) -> Facts:
    """Parameters that are not sent, and what was found out in the course of the run, in words."""
    return {
        "left_out": list(left_out),
        "learnt": list(dict.fromkeys([*texts(earlier.get("learnt")), *learnt_now])),
    }


def added(earlier: object, now: Mapping[str, int]) -> dict[str, int]:
    """The counts of an earlier session, if there are any, and of this one."""
    before = earlier if isinstance(earlier, Mapping) else {}
    return {name: int(before.get(name, 0)) + now.get(name, 0) for name in sorted({*before, *now})}


def texts(value: object) -> list[str]:
    """The texts of a list that a manifest holds; none where it holds no list."""
    return [str(part) for part in value] if isinstance(value, list) else []
