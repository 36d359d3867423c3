"""Fixtures for all tests: no test reads the user's data settings or touches the user's cache."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # the tests' tensors are small, and workers share the cores

_ASKED = os.environ.get("STUDYHALL_DATA")


@pytest.fixture(scope="session", autouse=True)
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache for this session, and data sets only where a test asks for them."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # the workers' common folder: each data set is decoded once
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDYHALL_CACHE", str(base / "studyhall-cache"))
        patch.delenv("STUDYHALL_DATA", raising=False)
        patch.setenv("MPLBACKEND", "agg")  # windows are drawn, and not shown
        yield


@pytest.fixture
def real_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real data sets as parquet, which STUDYHALL_DATA points to during the test."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(_ASKED).expanduser() if _ASKED else beside
    if not folder.is_dir():
        pytest.skip("no real data: set STUDYHALL_DATA to a folder with mnist/*.parquet, cifar100/*.parquet")
    monkeypatch.setenv("STUDYHALL_DATA", str(folder))
    return folder


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line: its exit code, standard output and standard error."""
    from studyhall.rollouts import cli

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture(scope="session")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run that has ended; nothing in it may be changed."""
    from small_folders import run_to_the_end

    return run_to_the_end(tmp_path_factory.mktemp("ended") / "run")


@pytest.fixture
def stopped(ended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it in an empty folder, but for its report, so that it can be taken up again."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ended, "run")
    Path("run/report.json").unlink()
    return Path("run")
