"""What a run found as curves: events of TensorBoard, and what other loggers are told. Each mode is a run of its own."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...envs.files import unwritable
from .loggers import Loggers, Logs, opened
from .report import Report

Point = tuple[int, dict[str, float]]


def curve(report: Report, mode: str, first: int = 0) -> Iterator[Point]:
    """Steps and the headline there, mean and highest of the agents, means over seeds; from a point on."""
    points = zip(report.steps[first:], report.curves.get(mode, [])[first:], strict=True)
    for step, seeds in points:
        values = np.asarray(seeds, dtype=float)  # [seeds, N]
        over_agents = {"mean": values.mean(-1), "highest": values.max(-1)}
        yield step, {f"{report.headline}/{name}": float(found.mean()) for name, found in over_agents.items()}


def measured(report: Report, mode: str) -> Iterator[Point]:
    """Steps and what was measured there, means over the seeds that have a value."""
    last = report.steps[-1] if report.steps else 0
    for metric, seeds in report.metrics.get(mode, {}).items():
        name, _, at = metric.partition("@")
        finite = [value for value in seeds if math.isfinite(value)]
        if finite:
            yield int(at or last), {f"measured/{name}": sum(finite) / len(finite)}


def write_events(report: Report, folder: Path) -> None:
    """Write the headline over time and what was measured as events of TensorBoard.

    Args:
        report: Of a run that has ended.
        folder: Where each mode gets a folder of events; earlier ones are replaced.

    Raises:
        ConfigError: It cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter  # takes a second

    try:
        for mode in report.modes:
            for earlier in (folder / mode).glob("events.out.tfevents.*"):
                earlier.unlink()
            with SummaryWriter(str(folder / mode)) as events:
                for points in (curve(report, mode), measured(report, mode)):
                    for step, figures in points:
                        for name, value in figures.items():
                            events.add_scalar(name, value, step)
    except OSError as fault:
        raise unwritable(fault.filename or str(folder), fault) from fault


class Following:
    """Tells loggers what a running report has new.

    Args:
        report: Of the run; its curve may have points already, which are told first.
        logs: By mode.
    """

    def __init__(self, report: Report, logs: dict[str, Logs]) -> None:
        self._report, self._logs, self._told = report, logs, 0

    def __call__(self) -> None:
        """Tell the points of the curve that are new."""
        if len(self._report.steps) == self._told:
            return
        for mode, logs in self._logs.items():
            for step, figures in curve(self._report, mode, self._told):
                logs.tell(step, figures)
        self._told = len(self._report.steps)

    def end(self) -> None:
        """Tell what was measured."""
        self()
        for mode, logs in self._logs.items():
            for step, figures in measured(self._report, mode):
                logs.measure(step, figures)


@contextlib.contextmanager
def following(report: Report, log: Loggers, folder: Path | None) -> Iterator[Following]:
    """Loggers that are told of a run's report until the block ends, and what it measured if it ends well."""
    name = report.scenario.name
    group = name if folder is None else folder.name
    of_scenario = ("name", "env", "policy", "env_kwargs", "policy_kwargs")
    about = {what: getattr(report.scenario, what) for what in of_scenario}
    about |= {"seeds": list(report.seeds), "device": report.device}
    with contextlib.ExitStack() as stack:
        logs = {
            mode: stack.enter_context(
                opened(
                    log, name=f"{group} {mode}", group=group, config={**about, "mode": mode}, folder=folder
                )
            )
            for mode in (report.modes or ["open"])
        }
        found = Following(report, logs)
        yield found
        found.end()
