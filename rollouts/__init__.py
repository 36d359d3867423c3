"""Rollouts: run, record, train and report.

=============  ====================================================================================
``runs/``      a scenario run, all seeds and controls side by side; its folder; reproductions
``training/``  policies trained by reward or through the channel, and what is kept of a training
``reports/``   what was found: intervals, figures, tables, pictures
``metrics/``   what is measured: metrics and their names, languages, who diverged
``settings/``  what a user or a file may say of a scenario
``storage/``   folders, checkpoints, files written whole
``terminal/``  standard output and error, progress bars, Ctrl-C
``cli/``       the command line
=============  ====================================================================================

`train.py`, `backprop.py` and `language.py` hold names that scripts take from there.

Names are looked up when first used, so that the command line answers ``--help`` without loading torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .reports.figures import spread
    from .reports.report import Report
    from .reports.stats import Interval, interval
    from .runs.launch import rollout
    from .runs.result import Result
    from .runs.run import Live, Rollout
    from .terminal.interrupts import Stopped

_HOME = {
    "Interval": "reports.stats",
    "Live": "runs.run",
    "Report": "reports.report",
    "Result": "runs.result",
    "Rollout": "runs.run",
    "Stopped": "terminal.interrupts",
    "interval": "reports.stats",
    "rollout": "runs.launch",
    "spread": "reports.figures",
}

__all__ = ["Interval", "Live", "Report", "Result", "Rollout", "Stopped", "interval", "rollout", "spread"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
