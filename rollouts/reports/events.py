"""What a run found as events of TensorBoard, each mode a run of its own there, so that their lines lie together."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ...envs.files import unwritable
from .report import Report


def write_events(report: Report, folder: Path) -> None:
    """Write the headline over time, mean and highest of the agents, and what was measured; means over seeds.

    Args:
        report: Of a run that has ended.
        folder: Where each mode gets a folder of events; earlier ones are replaced.

    Raises:
        ConfigError: It cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter  # takes a second

    last = report.steps[-1] if report.steps else 0
    try:
        for mode in report.modes:
            for earlier in (folder / mode).glob("events.out.tfevents.*"):
                earlier.unlink()
            with SummaryWriter(str(folder / mode)) as events:
                curve = np.asarray(report.curves.get(mode, []), dtype=float)  # [points, seeds, N]
                for step, values in zip(report.steps, curve, strict=True):
                    for name, over_agents in (("mean", values.mean(-1)), ("highest", values.max(-1))):
                        events.add_scalar(f"{report.headline}/{name}", float(over_agents.mean()), step)
                for metric, seeds in report.metrics.get(mode, {}).items():
                    name, _, at = metric.partition("@")
                    finite = [value for value in seeds if math.isfinite(value)]
                    if finite:
                        events.add_scalar(f"measured/{name}", sum(finite) / len(finite), int(at or last))
    except OSError as fault:
        raise unwritable(fault.filename or str(folder), fault) from fault
