import os
import signal
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from aqa.backends import interrupts
from aqa.backends.interrupts import STOP_SIGNALS, resumed, stops_at_interrupt


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the clock shows, in seconds."""
    shown = [100.0]
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: shown[0])
    return shown


@pytest.fixture(autouse=True)
def terminal() -> Iterator[None]:
    """Tests may run under nohup, which ignores the signal of a closed terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_the_first_interrupt_asks_and_the_second_breaks_off() -> None:
    asked = []
    before = signal.getsignal(signal.SIGINT)
    with stops_at_interrupt(lambda: asked.append(True)):
        send(signal.SIGINT)
        assert asked == [True]
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert asked == [True]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("first", STOP_SIGNALS)
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGUSR1])
def test_what_comes_at_once_is_the_same(
    first: int, second: int, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLURM and torchrun send more than one; later ones are meant seriously."""
    asked, broken = [], []
    monkeypatch.setattr(interrupts.signal, "raise_signal", broken.append)
    with stops_at_interrupt(lambda: asked.append(True)):
        send(first)
        clock[0] += 4.9
        send(second)
        assert (asked, broken) == ([True], [])
        clock[0] += 0.2
        send(second)
        assert (asked, broken) == ([True], [second])
        assert signal.getsignal(second) is signal.SIG_DFL


def test_of_several_processes_a_second_ctrl_c_at_once_is_the_same(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal sends it to all, and torchrun again to each."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    asked = []
    with stops_at_interrupt(lambda: asked.append(True)):
        send(signal.SIGINT)
        send(signal.SIGINT)
        assert asked == [True]
        clock[0] += 6
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_closed_terminal_asks_unless_nohup_outlives_it(ignored: bool) -> None:
    asked: list[bool] = []
    handler = signal.SIG_IGN if ignored else signal.SIG_DFL
    signal.signal(signal.SIGHUP, handler)
    with stops_at_interrupt(lambda: asked.append(True)):
        assert (signal.getsignal(signal.SIGHUP) is handler) == ignored
        send(signal.SIGHUP)
    assert asked == [True] * (not ignored)
    assert signal.getsignal(signal.SIGHUP) is handler


def test_another_thread_leaves_the_signal_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    found = []

    def work() -> None:
        with stops_at_interrupt(lambda: None):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


def test_overlapping_work_may_end_in_any_order() -> None:
    """Two streams of answers in step: the first ends while the second is paused."""
    before = signal.getsignal(signal.SIGTERM)
    asked: list[str] = []
    first, second = (stops_at_interrupt(partial(asked.append, name)) for name in ("a", "b"))
    first.__enter__()
    second.__enter__()
    send(signal.SIGTERM)
    assert asked == ["a", "b"]
    first.__exit__(None, None, None)
    assert signal.getsignal(signal.SIGTERM) is not before
    second.__exit__(None, None, None)
    assert signal.getsignal(signal.SIGTERM) is before


def test_paused_work_leaves_ctrl_c_to_the_caller() -> None:
    asked: list[bool] = []

    def work() -> Iterator[int]:
        with stops_at_interrupt(lambda: asked.append(True)):
            yield from range(3)

    steps = work()
    for _ in range(2):
        with resumed():
            next(steps)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert not asked
    with resumed():
        send(signal.SIGINT)
    assert asked == [True]


def test_work_that_ended_in_another_thread_leaves_the_next_signal_alone() -> None:
    work = stops_at_interrupt(lambda: None)
    work.__enter__()
    thread = threading.Thread(target=work.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
