"""The parts of Ray that predictions use, within this process; its actors can be killed."""

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class FakeRayError(Exception):
    pass


class ActorError(FakeRayError):
    pass


class LostError(FakeRayError):
    pass


class TaskError(FakeRayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = pickle.loads(pickle.dumps(cause))


class Reference:
    """A call's result, once it is asked for."""

    def __init__(self, give: Callable[[], Any]) -> None:
        self.give = give


class Stream:
    """A generator's results, each as a reference; a dead actor's is an error, then nothing."""

    def __init__(self, ray: "FakeRay", actor: "Actor", values: Iterator[Any]) -> None:
        self._ray, self._actor, self._values, self._over = ray, actor, values, False

    def __next__(self) -> Reference:
        if self._over:
            raise StopIteration
        try:
            value = self._actor.alive() and next(self._values)
        except StopIteration:
            self._over = True
            raise
        except Exception as error:  # noqa: BLE001  (like Ray)
            self._over, failed = True, TaskError(error)
            return Reference(lambda: _raise(failed))
        if self._ray.given in self._ray.deaths:
            self._ray.deaths.remove(self._ray.given)
            self._actor.dead = True
        self._actor.dead |= bool(value) and value[1].id in self._ray.deadly
        if not self._actor.alive():
            self._over = True
            return Reference(lambda: _raise(ActorError("Killed.\nIt was killed.")))
        self._ray.given += 1
        return Reference(lambda: value)


class Method:
    def __init__(self, ray: "FakeRay", actor: "Actor", call: Callable[..., Any]) -> None:
        self._ray, self._actor, self._call, self._streams = ray, actor, call, False

    def options(self, num_returns: str) -> "Method":
        self._streams = num_returns == "streaming"
        return self

    def remote(self, *arguments: Any) -> Any:
        sent = pickle.loads(pickle.dumps(arguments))
        if self._streams:
            return Stream(self._ray, self._actor, self._call(*sent))
        return Reference(lambda: self._answer(sent))

    def _answer(self, sent: Any) -> Any:
        self._ray.loads += self._call.__name__ == "load"
        if self._ray.loads in self._ray.deaths_at_load or not self._actor.alive():
            raise ActorError("Killed.\nIt was killed.")
        try:
            return pickle.loads(pickle.dumps(self._call(*sent)))
        except Exception as error:
            raise TaskError(error) from error


class Actor:
    def __init__(self, ray: "FakeRay", made: Any, placed: dict[str, Any]) -> None:
        self._ray, self._made, self.placed, self.dead = ray, made, placed, False

    def alive(self) -> bool:
        return not self.dead

    def __getattr__(self, name: str) -> Method:
        return Method(self._ray, self, getattr(self._made, name))


class ActorClass:
    def __init__(self, ray: "FakeRay", made_of: type) -> None:
        self._ray, self._made_of = ray, made_of

    def options(self, **placed: Any) -> "ActorClass":
        self._placed = placed
        return self

    def remote(self, *arguments: Any) -> Actor:
        if len(self._ray.actors) == self._ray.most_actors:
            raise FakeRayError("no room for another actor")
        before = dict(os.environ)
        made = self._made_of(*pickle.loads(pickle.dumps(arguments)))
        self._ray.environments.append({**os.environ})
        os.environ.clear()
        os.environ.update(before)
        self._ray.actors.append(Actor(self._ray, made, self._placed))
        return self._ray.actors[-1]


class FakeRay(ModuleType):
    """The module. An actor dies instead of giving an answer whose number is in `deaths`, once,
    or whose id is `deadly`.
    """

    def __init__(self) -> None:
        super().__init__("ray")
        self.__spec__ = ModuleSpec("ray", None)
        self.exceptions = ModuleType("ray.exceptions")
        self.exceptions.RayError = FakeRayError  # type: ignore[attr-defined]
        self.exceptions.RayActorError = ActorError  # type: ignore[attr-defined]
        self.exceptions.RayTaskError = TaskError  # type: ignore[attr-defined]
        self.exceptions.ObjectLostError = LostError  # type: ignore[attr-defined]
        self.deaths: list[int] = []
        self.deadly: set[str] = set()
        self.deaths_at_load: Sequence[int] = ()
        self.given = self.loads = 0
        self.most_actors = -1  # any number
        self.actors: list[Actor] = []
        self.environments: list[dict[str, str]] = []
        self.told: dict[str, Any] | None = None  # while it is running
        self.ended = 0
        self.resources = {"CPU": 4.0}
        self.waits = 0
        self.interrupt_at = -1

    def is_initialized(self) -> bool:
        return self.told is not None

    def init(self, **told: Any) -> None:
        if os.environ.get("RAY_ADDRESS") == "nowhere":
            raise ConnectionError("Could not find any running Ray instance.\nMore words.")
        self.told = told

    def shutdown(self) -> None:
        self.told = None
        self.ended += 1

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": self.resources}]

    def remote(self, made_of: type) -> ActorClass:
        return ActorClass(self, made_of)

    def wait(
        self, given: Sequence[Any], num_returns: int, timeout: float | None = None
    ) -> tuple[list[Any], list[Any]]:
        """All are ready at once, in order."""
        self.waits += 1
        if self.waits == self.interrupt_at:
            raise KeyboardInterrupt
        first = self.waits % len(given)
        turned = [*given[first:], *given[:first]]
        return turned[:num_returns], turned[num_returns:]

    def get(self, reference: Reference) -> Any:
        return reference.give()

    def kill(self, actor: Actor) -> None:
        actor.dead = True


def _raise(error: Exception) -> Any:
    raise error
