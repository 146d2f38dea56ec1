"""A reader is the same after its folder has been moved."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_llama import rows

import aqa


@pytest.fixture
def project(trained_t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a reader and its run on the rows, where the test runs."""
    folder = tmp_path / "project"
    shutil.copytree(trained_t5, folder / "reader")
    monkeypatch.chdir(folder)
    list(aqa.predict("t5", rows(), model="reader", output_dir="run", quiet=True))
    return folder


def test_a_run_knows_its_reader_after_it_moved(project: Path) -> None:
    before = Path("run/predictions.jsonl").read_bytes()
    Path("reader").rename("moved")
    Path("moved/model/.gitattributes").write_text("* filter=lfs", encoding="utf-8")
    model = project / "moved" / "model"
    list(aqa.predict("t5", rows(), model=model, output_dir="run", quiet=True))
    assert Path("run/predictions.jsonl").read_bytes() == before


def test_members_are_found_from_another_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [replace(row, id=f"{row.id} {n}") for row in rows() for n in (1, 2)]
    list(aqa.predict("t5", data, model="reader", output_dir="member", quiet=True))
    Path("b.json").write_text(json.dumps({row.id: "" for row in data}), encoding="utf-8")
    members = {"backend.members": ["member", "b.json"]}
    aqa.train("ensemble", data, settings=members, output_dir="ens", quiet=True)
    monkeypatch.chdir(project.parent)

    asked = aqa.predict("ensemble", rows(), model="project/ens", output_dir="out", quiet=True)
    assert len(list(asked)) == len(rows())

    file = project / "ens" / "ensemble.json"
    safe = file.read_text(encoding="utf-8")
    code = safe.replace('"trust_remote_code": false', '"trust_remote_code": true')
    file.write_text(code, encoding="utf-8")
    with pytest.raises(aqa.AqaError, match=r"member sets backend.trust_remote_code, by which"):
        aqa.predict("ensemble", rows(), model="project/ens", output_dir="unsafe", quiet=True)
    trusted = {"backend.trust_members": True}
    asked = aqa.predict("ensemble", rows(), model="project/ens", settings=trusted, output_dir="new")
    assert len(list(asked)) == len(rows())

    file.write_text(safe, encoding="utf-8")
    (project / "reader").rename("elsewhere")
    with pytest.raises(aqa.AqaError, match=r"member: its model reader is no longer there; put it"):
        aqa.predict("ensemble", rows(), model="project/ens", output_dir="more", quiet=True)
