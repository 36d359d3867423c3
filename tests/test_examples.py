"""Every example runs, in its short form."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))


SHORT = {
    name: ("--steps", "2000", "--worlds", "2", "--horizon", "20") for name in ("cleanrl_ppo", "train_sb3")
}
"""Arguments of the short form, where it is not ``--steps 20``."""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    done = subprocess.run(
        [sys.executable, path, *SHORT.get(path.stem, ("--steps", "20"))],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_there_are_examples():
    names = {"cleanrl_ppo", "own_learner", "quickstart", "scripted_scenario", "train_sb3"}
    assert names <= {path.stem for path in EXAMPLES}
