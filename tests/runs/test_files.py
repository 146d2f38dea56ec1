import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from aqa.errors import RunError
from aqa.runs.files import (
    atomic,
    atomic_folder,
    discard,
    filled,
    hash_files,
    made_folder,
    write_json,
)


def test_a_file_is_the_old_one_or_the_whole_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"답": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))

    (tmp_path / "reader").hardlink_to(path)  # a process that has the old file open
    write_json(path, {"답": 1, "more": 2})
    assert json.loads((tmp_path / "reader").read_bytes()) == {"답": 1}
    (tmp_path / "reader").unlink()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match=r"can't write there \(No space left on device\); free some"):
        write_json(path, {"답": 2})
    assert json.loads(path.read_bytes()) == {"답": 1, "more": 2}
    assert [found.name for found in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_is_the_old_one_or_the_whole_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    (tmp_path / ".model.draft").mkdir()  # left by a killed process
    (tmp_path / ".model.draft" / "old").touch()
    for name in ("first", "second"):
        with atomic_folder(folder) as draft:
            draft.mkdir()
            (draft / name).touch()
    with pytest.raises(FileNotFoundError), atomic_folder(folder) as draft:
        (draft / "third").touch()  # before the draft is made
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "model", "model/second",
    ]  # fmt: skip

    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # as if killed there
    discard(folder)
    assert not folder.exists()


def test_files_go_together_or_stay_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / name for name in ("a.json", "b.json", "c.json")]
    for path in files:
        path.write_text(path.name)
    rename = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if self == files[1]:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(PermissionError):
        discard(*files)
    assert {path: path.read_text() for path in tmp_path.iterdir()} == {
        path: path.name for path in files
    }
    monkeypatch.undo()
    discard(*files)
    assert not [*tmp_path.iterdir()]


def test_a_folder_stays_if_the_new_one_can_not_take_its_name(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    with pytest.raises(RunError, match="does not exist"), atomic_folder(tmp_path / "model"):
        pass  # no draft is made
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "model", "model/old",
    ]  # fmt: skip


def test_a_link_leads_to_the_file_and_stays(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old", encoding="utf-8")
    link = tmp_path / "link.json"
    link.symlink_to("real.json")
    write_json(link, 1)
    assert link.is_symlink()
    assert (tmp_path / "real.json").read_text(encoding="utf-8") == "1\n"


def test_two_that_write_a_file_at_once_leave_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    with atomic(path, locked=False) as first:
        first.write(b"the first, which is longer")
        with atomic(path, locked=False) as second:
            second.write(b"the second")
        assert path.read_bytes() == b"the second"
    assert path.read_bytes() == b"the first, which is longer"
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_killed_without_a_lock_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with atomic(path, locked=False) as file:
        file.write(b"half")
        file.flush()
        assert list(tmp_path.iterdir()) == []
    assert path.read_bytes() == b"half"


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with atomic(path):
        (draft,) = tmp_path.iterdir()
    draft.write_bytes(b"half")
    write_json(path, 1)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x" * 255, "답" * 85])
def test_a_name_as_long_as_may_be(name: str, tmp_path: Path) -> None:
    write_json(tmp_path / name, 1)
    assert (tmp_path / name).read_text(encoding="utf-8") == "1\n"


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none: can't write there, since it does not exist"):
        write_json(tmp_path / "none" / "a.json", 1)


def test_links_in_a_circle_hold_nothing_and_give_way(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to("b.json")
    (tmp_path / "b.json").symlink_to("a.json")
    write_json(tmp_path / "a.json", 1)
    assert (tmp_path / "b.json").read_text(encoding="utf-8") == "1\n"


def test_a_pipe_or_device_takes_what_comes_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)) as reader:
        write_json(pipe, "답")
        assert reader.read() == '"답"\n'
    assert pipe.is_fifo()


def interrupted(folder: Path, writes: str = "") -> None:
    with made_folder(folder):
        assert folder.is_dir()
        if writes:
            (folder.parent / writes).touch()
        raise KeyboardInterrupt


def test_a_folder_goes_with_work_that_fails(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    for name, writes in (("a/b", ""), ("kept", ""), ("c/d", "answers")):
        with pytest.raises(KeyboardInterrupt):
            interrupted(tmp_path / name, writes)
    assert {path.name for path in tmp_path.rglob("*")} == {"kept", "c", "answers"}


def test_what_is_not_known_is_left_out_also_beside_numpys_numbers() -> None:
    numbers = {"zero": np.float64(0), "one": np.float64(1), "none": False, "text": ""}
    empty = {"a": None, "b": (), "c": [], "d": {}}
    assert filled(numbers | empty) == numbers


def test_a_folders_hash_ignores_what_other_programs_add(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    alone = hash_files(tmp_path)
    (tmp_path / ".gitattributes").write_text("* filter=lfs", encoding="utf-8")
    (tmp_path / ".cache" / "huggingface").mkdir(parents=True)
    (tmp_path / ".cache" / "huggingface" / "x.metadata").write_text("1", encoding="utf-8")
    assert hash_files(tmp_path) == alone
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "config.json").write_text("{}", encoding="utf-8")
    assert hash_files(tmp_path) != alone
