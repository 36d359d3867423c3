"""Comparing runs, given as folders or as what :func:`~studyhall.rollout` returned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...envs.errors import ConfigError, text
from ...envs.validation import flag
from ..reports.compare import Comparison
from ..reports.compare import compare as compared
from ..reports.report import Report
from .result import Result


def compare(
    *runs: str | Path | Report | Mapping[str, str | Path | Report],
    metric: str | None = None,
    mode: str = "open",
    lower: bool = False,
) -> Comparison:
    """Hold runs of the same world and seeds against the first of them, as ``studyhall compare`` does.

    Args:
        *runs: Folders of runs that have ended, what ``rollout`` returned, or one mapping of names to these.
        metric: What is compared; None takes the mean test accuracy of a class, of any other world the headline.
        mode: Of the channel: "open", or a control that ran in all.
        lower: Whether a lower value is the better one.

    Returns:
        What was found; it prints as a table.

    Raises:
        ConfigError: There are fewer than two runs, they are of different worlds or seeds, or one cannot be read.
        UnknownName: A run has no such metric or mode; lists the near ones.
    """
    flag("lower", lower)
    named: dict[str, Report] = {}
    for place, run in enumerate(runs):
        entries = run if isinstance(run, Mapping) else {_name(run, place): run}
        for name, entry in entries.items():
            text("the name of a run", name, "mine")
            if name in named:
                raise ConfigError(f"{name} is named twice: every run is compared once")
            named[name] = entry if isinstance(entry, Report) else Result.load(entry)
    return compared(named, metric=metric, mode=mode, lower=lower)


def _name(run: str | Path | Report, place: int) -> str:
    return f"run {place + 1}" if isinstance(run, Report) else str(run)
