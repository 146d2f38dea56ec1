"""When one of several processes ends, it waits for Gloo's threads, which still need Python."""

import hashlib
import threading
from pathlib import Path

import pytest
import torch.distributed as distributed

from aqa.backends.local.collectives import let_threads_finish


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux")
@pytest.mark.parametrize("in_group", [True, False])
def test_only_who_met_others_waits(in_group: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "is_initialized", lambda: in_group)
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        name = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
        name.write_text("pt_gloo_runloop", encoding="utf-8")
        begun.set()
        if in_group:
            hashlib.pbkdf2_hmac("sha256", b"a", b"b", 500_000)  # releases the GIL
        else:
            ended.wait()
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    let_threads_finish()
    assert ended.is_set() is in_group
    ended.set()
    thread.join()
