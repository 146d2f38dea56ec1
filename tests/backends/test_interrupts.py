import os
import signal
import threading

import pytest

from aqa.backends.interrupts import stops_at_interrupt


def test_the_first_interrupt_asks_and_the_second_breaks_off() -> None:
    asked = []
    before = signal.getsignal(signal.SIGINT)
    with stops_at_interrupt(lambda: asked.append(True)):
        os.kill(os.getpid(), signal.SIGINT)
        assert asked == [True]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert asked == [True]
    assert signal.getsignal(signal.SIGINT) is before


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
