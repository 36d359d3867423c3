"""What networks are worth that were tested by themselves, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from .figures import figure

if TYPE_CHECKING:
    from ..runs.trial import Trial

_COLUMNS = ("expert", "general", "average", "global", "forgetting")

LEGEND = ("expert: on one's own classes; general: on the others'; average: of these two;", "global: on all")
_FORGETTING = "; forgetting: how much better the expert was on its own classes"


def trial_table(trial: Trial) -> Group:
    """A row an agent, and their mean where there are several."""
    first = trial.agents[0]
    shown = [name for name in _COLUMNS if name in first]
    shown += [name for name in first if name.startswith("top")]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"{trial.use}, %")
    for name in shown:
        table.add_column(name.replace("top", "top-"), justify="right")
    for found in trial.agents:
        named = "" if found["agent"] is None else f"agent {found['agent']}"
        table.add_row(named, *(_cell(found[name]) for name in shown))
    if len(trial.agents) > 1:
        table.add_section()
        table.add_row("mean", *(_cell(trial.mean[name]) for name in shown))
    seed = "" if trial.seed is None else f" · seed {trial.seed}"
    title = f"{trial.source}{seed} · {trial.data}: {trial.items:,} test items of {trial.classes} classes"
    *lines, last = LEGEND
    lines.append(last + _FORGETTING if "forgetting" in first else last)
    return Group(Text(title), table, *(Text(line, style="dim") for line in lines))


def _cell(value: float | None) -> str:
    return "–" if value is None else figure(100 * value, 2)
