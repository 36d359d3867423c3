"""The README: its code runs as written, its commands and files exist, its figures are those of the JSON."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from studyhall.rollouts.cli import app
from studyhall.scenarios import registry

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.strip().splitlines()[-1][:30])
def test_code_runs_as_written(code):
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_the_first_block_is_ten_lines():
    assert len([line for line in blocks("python")[0].splitlines() if line.strip()]) <= 10


def test_commands_exist():
    commands = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    calls = [
        shlex.split(line, comments=True)
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("studyhall ")
    ]
    assert calls
    for call in calls:
        assert call[1] in commands
        assert call[1] != "run" or call[2] in {*registry, "--resume"}
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([\w-]+)", README):
        assert f"\n{target}:" in targets


def test_files_exist():
    named = re.findall(r"\b((?:docs|examples|benchmarks)/[\w./-]+\.\w+)", README)
    named += re.findall(r"`(\w+\.md)`", README)
    assert {"docs/classroom.png", "CONTRIBUTING.md"} <= set(named)
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    named += re.findall(r"\b((?:docs|examples|benchmarks)/[\w./-]+\.\w+)", results)
    missing = {name for name in named if not (ROOT / name).exists()}
    assert missing <= {"docs/results/classroom.json"}  # not before it is measured
    assert (ROOT / "docs" / "classroom.png").stat().st_size <= 150 * 1024


def test_results_are_those_of_the_json():
    script = ROOT / "benchmarks" / "readme.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
