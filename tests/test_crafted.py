"""Reports and traces that somebody made, with checksums that fit: one line, and nothing is written."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from small_folders import contents, refused, rewrite

from studyhall.envs.errors import StudyhallWarning
from studyhall.rollouts import Result


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def scenario_with(**changes):
    return lambda report: report["scenario"].update(changes)


def with_(**changes):
    return lambda report: report.update(changes)


def curve_of(make):
    return lambda report: report["curve"].update(
        exam_accuracy={"open": make(report["curve"]["exam_accuracy"]["open"])}
    )


DECIDED = {"step": 1, "agent": "a", "what": "w", "why": "y"}


@pytest.mark.parametrize(
    "change",
    [
        scenario_with(summary=None),
        scenario_with(name=5),
        scenario_with(env_kwargs=[1]),
        scenario_with(claims=[{}]),
        with_(scenario="x"),
        with_(seeds=["a", "b"]),
        with_(seeds={"0": 1, "1": 2}),
        with_(metrics={}),
        with_(metrics={"open": {}}),
        with_(metrics={"open": {"mean": [10**400, 1]}}),
        with_(curve={"steps": [], "exam_accuracy": {}}),
        with_(students={"open": [[0.5], [0.5, 0.6]]}),
        with_(seconds=10**400),
        with_(diverged={"open": {"0": {"student_0": "x"}}}),
        with_(decisions={"open": {"0": [5]}}),
        with_(decisions={"open": {"0": [{**DECIDED, "step": "x"}]}}),
        with_(decisions={"open": {"0": [{**DECIDED, "why": 5}]}}),
        curve_of(lambda points: [[[0.5]] for _ in points]),
        curve_of(lambda points: [[[0.5], [0.5, 0.6]] for _ in points]),
        lambda report: report["curve"].update(steps=[10**400 + i for i in range(4)]),
    ],
)
@pytest.mark.parametrize("command", ["report", "compare"])
def test_a_crafted_report_is_one_line(call, ended, change, command):
    shutil.copytree(ended, "run")
    rewrite(Path("run/report.json"), change)
    before = contents(Path("run"))
    arguments = ("report", "run") if command == "report" else ("compare", str(ended), "run")
    assert "run/report.json is " in refused(call, *arguments)
    assert contents(Path("run")) == before


def array(shape: str, content: bytes = b"", kind: str = "<f4") -> bytes:
    """What ``np.save`` would write of an array that says of itself what we say."""
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + content


ARRAYS = {
    "nothing": b"",
    "of a size beyond all memory": array("(1000000000000000,)"),
    "of a size below zero": array("(-1, -1)", b"\0" * 4),
    "one number": array("()", b"\0" * 4),
    "a head that is no Python": b"\x93NUMPY\x01\x00\x10\x00" + b"{" + b"(" * 14 + b"\n",
    "objects": array("(1,)", b"\0" * 8, "|O"),
}


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in ARRAYS.items()])
def test_a_crafted_array_of_a_trace_is_left_out(ended, content):
    shutil.copytree(ended, "run")
    with zipfile.ZipFile(ended / "trace.zip") as whole, zipfile.ZipFile("run/trace.zip", "w") as crafted:
        for name in whole.namelist():
            crafted.writestr(name, content if name == "figure/bytes.npy" else whole.read(name))
    with pytest.warns(StudyhallWarning, match=r"run/trace.zip cannot be read \(.+\): going on without it"):
        assert Result.load("run").trace is None


def test_half_a_character_in_a_trace_is_written_out(call, ended):
    shutil.copytree(ended, "run")
    with zipfile.ZipFile(ended / "trace.zip") as whole, zipfile.ZipFile("run/trace.zip", "w") as crafted:
        for name in whole.namelist():
            content = whole.read(name)
            if name == "trace.json":
                content = json.dumps(json.loads(content) | {"title": "\ud800"}).encode()
            crafted.writestr(name, content)
    assert call("report", "run")[0] == 0
    assert "\\ud800" in Path("run/report.html").read_text(encoding="utf-8")
