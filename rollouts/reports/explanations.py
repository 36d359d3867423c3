"""Who wrote a text, as tables on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from .figures import figure

if TYPE_CHECKING:
    from ..runs.explanation import Explained

LEGEND = "%: weight of what an agent says, beside the trunk, which writes every token; a manager's is of all below it"


def explanation_table(found: Explained) -> Group:
    """A row a token, with those who had most weight; below it all agents, with their mean weights."""
    columns = max([len(written.by) for written in found.tokens], default=0)
    tokens = Table(box=SIMPLE_HEAD, pad_edge=False)
    tokens.add_column("token", no_wrap=True)
    for number in range(columns):
        tokens.add_column("then" if number else "written by", no_wrap=True)
        tokens.add_column("%", justify="right", no_wrap=True)
    for written in found.tokens:
        cells = [(" › ".join(map(str, asked.path)), _percent(asked.weight)) for asked in written.by]
        tokens.add_row(Text(repr(written.token)), *(cell for pair in cells for cell in pair))
    agents = Table(box=SIMPLE_HEAD, pad_edge=False)
    agents.add_column("agent", no_wrap=True)
    agents.add_column("of the text, %", justify="right")
    for asked in found.agents:
        indent = "  " * (len(asked.path) - 1)
        agents.add_row(f"{indent}{asked.kind} {asked.path[-1]}", _percent(asked.weight))
    return Group(tokens, agents, Text(LEGEND, style="dim"))


def _percent(weight: float) -> str:
    return figure(100 * weight, 1)
