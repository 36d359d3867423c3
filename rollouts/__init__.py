"""Rollouts: run, record and report.

Names are looked up when first used, so that the command line answers ``--help`` without loading torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .figures import spread
    from .report import Report
    from .run import Live, Rollout, Stopped, rollout
    from .stats import Interval, interval

_HOME = {
    "Interval": "stats",
    "Live": "run",
    "Report": "report",
    "Rollout": "run",
    "Stopped": "run",
    "interval": "stats",
    "rollout": "run",
    "spread": "figures",
}

__all__ = ["Interval", "Live", "Report", "Rollout", "Stopped", "interval", "rollout", "spread"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
