"""What there is, and what the doctor found, as tables on a terminal."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ..reports.cells import marked, note
from ..terminal import output
from .catalogue import Rows
from .doctor import Check

if TYPE_CHECKING:
    from ..reports.sweeps import Swept

_LISTED = {
    "envs": "worlds",
    "policies": "policies",
    "scenarios": "scenarios",
    "data": "data sets",
    "suites": "suites",
}


def listing(kind: str, rows: Rows) -> Table:
    """Rows of the catalogue."""
    table = Table("id", "", title=_LISTED[kind], box=SIMPLE_HEAD, title_justify="left")
    signs = [kind == "policies" and _transductive(row["entry_point"]) for row in rows]
    for row, sign in zip(rows, signs, strict=True):
        table.add_row(marked(row["id"], sign), row["summary"])
    table.columns[0].no_wrap = True
    note(table, signs)
    return table


def _transductive(entry_point: str) -> bool:
    """Whether the policies that a class makes are transductive."""
    module, attribute = entry_point.split(":")
    return getattr(getattr(import_module(module), attribute), "transductive", False)


def show_sweep(found: Swept, as_json: bool) -> None:
    """Print what a sweep found."""
    if as_json:
        output.print_json(found.as_json())
        return
    from ..reports.sweeps import sweep_table

    output.console().print(sweep_table(found))
    output.say(f"everything is in {found.folder}")


def examination(checks: list[Check]) -> Table:
    """The doctor's table."""
    table = Table("", "", "found", "what to do", box=SIMPLE_HEAD)
    for check in checks:
        mark = Text("✓", style="green") if check.ok else Text("✗", style="red")
        table.add_row(mark, check.name, check.found, check.advice)
    return table
