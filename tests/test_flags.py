"""What messages, help texts and pages say of the command line: every flag that they name is there, at its command."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from studyhall.rollouts.cli import app

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("envs", "learners", "policies", "rollouts", "scenarios")
CODE = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]

_SHORT = {"--help", "--version"}  # which are everywhere
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_COMMAND = re.compile(r"studyhall ([a-z]+)((?:(?!studyhall )[^`,:;()#\n])*)")
_OF_ROOM = {"trial": "test", "generation": "generate", "explanation": "generate", "training": "train"}


def flags() -> dict[str, set[str]]:
    """The flags of each command."""
    commands = typer.main.get_command(app).commands
    return {
        name: _SHORT | {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
        for name, command in commands.items()
    }


FLAGS = flags()


def texts(node: ast.AST) -> Iterator[str]:
    """All strings of code but docstrings; of those with values in them what stands around these."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        for child in ast.iter_child_nodes(node):
            yield from texts(child)


def own_command(path: Path) -> str | None:
    """The command whose messages a file has, where it is of one."""
    for name in (path.parent.name, path.stem):
        if _OF_ROOM.get(name, name) in FLAGS:
            return _OF_ROOM.get(name, name)
    return None


def wrong(text: str, own: str | None = None) -> list[str]:
    """The flags in a text that there are not, at the command that it names, else at its own, else anywhere."""
    found = []
    for command, rest in _COMMAND.findall(text):
        if command in FLAGS:
            found += [f"{command} {flag}" for flag in _FLAG.findall(rest) if flag not in FLAGS[command]]
    known = set().union(*FLAGS.values()) if own is None else FLAGS[own]
    elsewhere = _COMMAND.sub("", text)
    return found + [flag for flag in _FLAG.findall(elsewhere) if flag not in known]


def test_what_is_wrong_is_found():
    assert wrong("go on with: studyhall run --resume …") == []
    assert wrong("add --policy …, or studyhall export RUN --set policy=…") == ["export --set"]
    assert wrong("add --set policy=…", own="export") == ["--set"]
    assert wrong("leave out --sed") == ["--sed"]
    assert own_command(ROOT / "rollouts/runs/trial.py") == "test"
    assert own_command(ROOT / "rollouts/training/loop.py") == "train"
    assert own_command(ROOT / "rollouts/settings/parse.py") is None


def test_messages_and_help_texts_name_flags_that_there_are():
    named, faults = 0, {}
    for path in CODE:
        sentences = [text for text in texts(ast.parse(path.read_text(encoding="utf-8"))) if " " in text]
        named += sum("--" in text for text in sentences)
        if found := [one for text in sentences for one in wrong(text, own_command(path))]:
            faults[str(path.relative_to(ROOT))] = found
    assert not faults
    assert named > 50


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_name_flags_that_there_are(path):
    calls = _COMMAND.finditer(path.read_text(encoding="utf-8"))
    assert not [found for call in calls for found in wrong(call[0])]
