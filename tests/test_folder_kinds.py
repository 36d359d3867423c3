"""Folders of runs, trainings, sweeps and exports are told apart, and a place that cannot be used is one line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from small_folders import SMALL, refused

import studyhall
from studyhall.rollouts.storage.folders import own_folder


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Path:
    """Where a sweep and a training are."""
    base = tmp_path_factory.mktemp("others")
    small = {"seeds": 0, "steps": 2, "controls": (), "agents": 2, "exam_size": 10}
    studyhall.sweep("classroom-digits", drop=[0, 0.5], out=base / "sweep", **small)
    studyhall.train("halves-digits", updates=1, worlds=1, eval_worlds=1, slice_size=8, out=base / "training")
    return base


@pytest.mark.parametrize("command", ["report", "export", "generate", "test", "run --resume"])
def test_a_folder_of_another_kind_is_called_what_it_is(call, others, command):
    said = refused(call, *command.split(), str(others / "sweep"))
    assert f"{others}/sweep is the folder of a sweep, not of a run: its runs or trainings are the " in said
    if command != "export":  # which takes the policy of a training
        said = refused(call, *command.split(), str(others / "training"))
        assert "is the folder of a training, not of a run: it goes on with: studyhall train --resume" in said


def test_what_goes_on_is_of_the_kind_that_is_asked_for(call, others, stopped):
    for command, kind in (("sweep", "sweep"), ("train", "training")):
        said = refused(call, command, "--resume", "run")
        assert f"run is the folder of a run, not of a {kind}: it goes on with: studyhall run" in said
    assert "is the folder of a training, not of a sweep" in refused(
        call, "sweep", "--resume", str(others / "training")
    )


def test_a_file_in_place_of_its_folder_is_one_line(call, ended):
    file = str(ended / "config.json")
    for command in (("report",), ("compare", str(ended)), ("export",), ("run", "--resume")):
        assert f"{file} is a file: give the folder of a run" in refused(call, *command, file)
    shutil.copytree(ended, "run")
    for name in ("report.json", "config.json"):
        Path("run", name).unlink()
        Path("run", name).mkdir()
        assert f"run/{name} cannot be read (Is a directory)" in refused(call, "run", "--resume", "run")
        shutil.copy(ended / name, "kept")
        Path("run", name).rmdir()
        shutil.move("kept", Path("run", name))


def test_exported_learners_are_no_run_to_be_taken_up(call, ended):
    assert call("export", str(ended), "--out", "mine")[0] == 0
    said = refused(call, "export", str(ended), "--out", "mine")
    assert "mine is not empty (it holds seed_0, seed_1): choose a new or an empty folder" in said


def test_a_place_that_takes_no_checkpoints_is_one_line(call, stopped):
    shutil.rmtree("run/checkpoints")
    Path("run/checkpoints").touch()
    code, _, err = call("run", "--resume", "run")
    assert code == 2
    assert err.endswith("studyhall: cannot write to run/checkpoints (File exists): make it writable\n")


def test_leftovers_of_a_run_in_a_sweep_are_left_to_who_takes_it_up(others):
    """It may be written to just now, by a process that holds its lock and not the sweep's."""
    shutil.copytree(others / "sweep", "sweep")
    (theirs,) = Path("sweep").glob("001-*")
    for folder in (Path("sweep"), theirs, theirs / "checkpoints"):
        (folder / ".studyhall-0.part").touch()
    with own_folder(Path("sweep"), "sweep"):
        left = sorted(str(path.parent) for path in Path("sweep").rglob(".studyhall-*.part"))
        assert left == [str(theirs), str(theirs / "checkpoints")]
    with own_folder(theirs, "run"):
        assert not list(Path("sweep").rglob(".studyhall-*.part"))


def test_a_name_that_is_no_text_is_refused_before_anything_is_run(call):
    said = refused(call, "run", *SMALL, "--out", os.fsdecode(b"mine\xff"))
    assert "is no text in UTF-8" in said
    assert not list(Path().iterdir())
