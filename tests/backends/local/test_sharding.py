"""Weights spread over processes: who spreads them, and how all forward passes stay in step."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aqa.backends.local import devices, sharding
from aqa.backends.local.devices import FSDP, ZERO, sharded_by, weights_device
from aqa.backends.local.sharding import Lockstep
from aqa.errors import ConfigError

Ways = dict[str, Callable[[Any], object]]
WAYS: Ways = {"encode": lambda model: model.encode("-"), "forward": lambda model: model("-")}


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    return monkeypatch


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, None),
        ({"ACCELERATE_USE_FSDP": "false"}, None),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}, FSDP),
        ({"ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, None),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, None),
        ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}, None),
        ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, ZERO),
    ],
)
def test_accelerate_tells_what_spreads_weights(
    told: dict[str, str], expected: str | None, two_processes: pytest.MonkeyPatch
) -> None:
    for name, value in told.items():
        two_processes.setenv(name, value)
    assert sharded_by() == expected
    two_processes.setattr(devices, "local_device", lambda: "cuda:0")
    assert weights_device(training=True) == ("cpu" if expected else "cuda:0")
    assert weights_device(training=False) == "cuda:0"
    two_processes.setenv("WORLD_SIZE", "1")
    assert sharded_by() is None


@pytest.mark.parametrize(("stage", "expected"), [(2, None), (3, ZERO)])
def test_deepspeed_has_a_config_of_its_own(
    stage: int, expected: str | None, two_processes: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "deepspeed.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": stage}}), encoding="utf-8")
    two_processes.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    two_processes.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(file))
    assert sharded_by() == expected


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        ("FSDP_VERSION", "1", "set fsdp_version: 2"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true", "leave it to training.gradient_checkpointing"),
    ],
)
def test_what_fsdp_can_not_do_here_is_refused(
    name: str, value: str, refused: str, two_processes: pytest.MonkeyPatch
) -> None:
    for key, told in {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", name: value}.items():
        two_processes.setenv(key, told)
    with pytest.raises(ConfigError, match=refused):
        sharded_by()


class Traced(torch.nn.Module):
    """A model that records its calls and their arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.calls: list[str] = []
        self.mine: list[str] = []

    def forward(self, text: str) -> None:
        self._keep("forward", text)

    def encode(self, text: str) -> None:
        self._keep("encode", text)

    def _keep(self, way: str, text: str) -> None:
        self.calls.append(way)
        if text != "-":
            self.mine.append(text)


def run_together(
    works: list[Callable[[Traced, Lockstep], None]],
    monkeypatch: pytest.MonkeyPatch,
    stopped: int | None = None,
) -> list[tuple[Traced, Lockstep]]:
    """Do each piece of work in a thread, as if in its own process."""
    told: dict[int, torch.Tensor] = {}
    barrier = threading.Barrier(len(works), timeout=300)

    def all_reduce(tensor: torch.Tensor, op: object) -> None:
        told[threading.get_ident()] = tensor.clone()
        barrier.wait()
        least = torch.stack([*told.values()]).amin(0)
        barrier.wait()
        tensor.copy_(least)

    monkeypatch.setattr(sharding.distributed, "all_reduce", all_reduce)
    done: list[tuple[Traced, Lockstep]] = []
    threads = []
    for number, work in enumerate(works):
        model = Traced()
        calls = {way: lambda call=call, model=model: call(model) for way, call in WAYS.items()}
        lockstep = Lockstep(model, calls, lambda number=number: number == stopped, "cpu")
        done.append((model, lockstep))

        def run(work=work, model=model, lockstep=lockstep):  # type: ignore[no-untyped-def]
            with lockstep.together():
                work(model, lockstep)

        threads.append(threading.Thread(target=run))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
        assert not thread.is_alive()
    return done


def test_processes_with_less_to_do_compute_along(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(model: Traced, _: Lockstep) -> None:
        model.encode("a")
        for _number in range(3):
            model("b")

    def second(model: Traced, _: Lockstep) -> None:
        for text in ("c", "d"):
            model.encode(text)
            model(text)

    works = [first, second, lambda *_: None]
    found = [model for model, _ in run_together(works, monkeypatch)]
    assert found[0].calls == found[1].calls == found[2].calls
    assert [model.mine for model in found] == [["a", "b", "b", "b"], ["c", "c", "d", "d"], []]
    found[0]("alone")  # the patch was removed
    found[0].encode("alone")


def test_a_stop_in_one_process_is_told_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(model: Traced, lockstep: Lockstep) -> None:
        while not lockstep.ends:
            model("a")

    found = run_together([work, work], monkeypatch, stopped=1)
    assert [lockstep.ends for _, lockstep in found] == [True, True]
    assert found[0][0].calls == found[1][0].calls
