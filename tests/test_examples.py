"""Every example runs, in its short form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))


SHORT = {
    **{name: ("--steps", "400", "--worlds", "2", "--horizon", "10") for name in ("cleanrl_ppo", "train_sb3")},
    "scripted_scenario": ("--steps", "2"),  # five runs of many seeds
}
"""Arguments of the short form, where it is not ``--steps 10``."""

ONE_AFTER_THE_OTHER = """
import contextlib, io, json, runpy, sys
for path, arguments in json.loads(sys.argv[1]):
    sys.argv[:] = [path, *arguments]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        runpy.run_path(path, run_name="__main__")
    print(json.dumps([path, said.getvalue()]))
"""


def test_every_example_runs(tmp_path):
    """In one process of their own, whose imports take longer than the examples."""
    asked = [(str(path), SHORT.get(path.stem, ("--steps", "10"))) for path in EXAMPLES]
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(asked)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = dict(json.loads(line) for line in done.stdout.splitlines())
    assert list(said) == [path for path, _ in asked]
    assert all(text.strip() for text in said.values())


def test_there_are_examples():
    names = {"cleanrl_ppo", "own_learner", "own_world", "quickstart", "scripted_scenario", "train_sb3"}
    assert names <= {path.stem for path in EXAMPLES}
