"""What tests of folders share: a run that has ended, what a command refuses, what is in a folder."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest

from studyhall.rollouts import cli
from studyhall.rollouts.storage.folders import read_sealed, write_sealed

SMALL = ("classroom-digits", "--steps", "4", "--seeds", "0-1", "--controls", "none")
SMALL = (*SMALL, "--set", "agents=2", "--set", "policy.hidden=[4]", "--set", "exam_size=10")


def refused(call, *arguments: str) -> str:
    """The one line that a command says, and nothing else."""
    code, out, err = call(*arguments)
    assert (code, out) == (2, ""), (code, out, err)
    assert err.startswith("studyhall: ")
    assert err.count("\n") == 1
    return err


def run_to_the_end(folder: Path) -> Path:
    """The folder of a run that has ended."""
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stdout(io.StringIO()):
        cli.main(["run", *SMALL, "--out", str(folder)])
    assert not ended.value.code
    return folder


def rewrite(path: Path, change) -> None:
    """Change a sealed file as somebody would who knows how it is sealed."""
    found = read_sealed(path, "")
    change(found)
    write_sealed(path, found)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
