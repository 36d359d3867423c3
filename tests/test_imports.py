"""No two files of the package need each other, types included: each can be read after those that it imports."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from studyhall._moved import MOVED

ROOT = Path(__file__).resolve().parents[1]


def imported(file: Path) -> Iterator[Path]:
    """Files of the package that a file imports, wherever in it the line stands."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for name in node.names:
                inside = base / name.name
                places = (inside.with_suffix(".py"), inside / "__init__.py", base.with_suffix(".py"))
                yield next((place for place in places if place.is_file()), base / "__init__.py")


def test_no_two_files_need_each_other():
    rooms = ("envs", "learners", "policies", "rollouts", "scenarios", "testing")
    files = {file for room in rooms for file in (ROOT / room).rglob("*.py")}
    needs = {file: set(imported(file)) & files - {file} for file in files}
    assert len(needs) > 200
    while free := [file for file, others in needs.items() if not others & needs.keys()]:
        for file in free:
            del needs[file]
    assert not needs, sorted(str(file.relative_to(ROOT)) for file in needs)


@pytest.mark.parametrize("path", sorted(MOVED))
def test_a_module_that_moved_is_found_by_its_earlier_path(path):
    assert importlib.import_module(f"studyhall.{path}") is importlib.import_module(f"studyhall.{MOVED[path]}")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("studyhall.envs.objectives", "Objective"),
        ("studyhall.envs.hosted", "__doc__"),
        ("studyhall.policies.bids.sb3", "BidPolicy"),
        ("studyhall.policies.classroom", "classroom"),
        ("studyhall.policies.collective", "MoE"),
        ("studyhall.policies.panels", "PANELS"),
        ("studyhall.policies.protocols", "TwoPhase"),
        ("studyhall.policies.rules", "Rule"),
        ("studyhall.policies.sb3", "SetPolicy"),
        ("studyhall.policies.swarm", "Swarm"),
        ("studyhall.rollouts.language", "posdis"),
        ("studyhall.rollouts.train", "configure"),
    ],
)
def test_paths_that_documents_once_named_go_on_working(path, name):
    assert getattr(importlib.import_module(path), name)


def test_what_is_nowhere_is_not_found():
    for path in ("studyhall.envs.rngs", "studyhall.policies.bids.sb4", "studyhall.policies.rules.nothing"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(path)
