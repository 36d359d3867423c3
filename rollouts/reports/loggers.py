"""Figures told to loggers of others, Weights & Biases and MLflow, while they are made.

Where they go is a matter of those libraries' own settings, e.g. ``WANDB_MODE=offline`` (what is logged is then in
``wandb/`` of the folder) and ``MLFLOW_TRACKING_URI=sqlite:///figures.db``. CSV and TensorBoard events are written
anyway. What is taken up again is logged whole, as another run of the logger: nothing has to be remembered of the first.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...envs.errors import ConfigError, one_of, short, warn
from ..storage.text import plain

Figures = Mapping[str, float]


class Log(ABC):
    """A run of a logger.

    Args:
        name: Of the run.
        group: Runs of one group are shown together.
        config: What is run, as JSON holds it.
        folder: Of the run; None where it has none.
    """

    @abstractmethod
    def __init__(self, name: str, group: str, config: Mapping[str, Any], folder: Path | None) -> None: ...

    @abstractmethod
    def tell(self, step: int, figures: Figures) -> None:
        """Log finite figures of a step; steps do not go back."""

    def measure(self, step: int, figures: Figures) -> None:
        """Log finite figures of any step, told in the end."""
        self.tell(step, figures)

    @abstractmethod
    def close(self, *, failed: bool) -> None:
        """End the run."""

    @staticmethod
    def faults() -> tuple[type[Exception], ...]:
        """What its library raises where settings, keys, files or networks are at fault."""
        return (OSError,)


class WandbLog(Log):
    """A run of Weights & Biases, in the project "studyhall" unless ``WANDB_PROJECT`` says another."""

    def __init__(self, name: str, group: str, config: Mapping[str, Any], folder: Path | None) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "studyhall"),
            name=name,
            group=group,
            config=dict(config),
            dir=None if folder is None else str(folder.resolve()),  # its own process may work elsewhere
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True),
        )
        if self._run.url:  # none offline
            print(f"studyhall: {self._run.url}", file=sys.stderr)

    def tell(self, step: int, figures: Figures) -> None:
        """As of :class:`Log`."""
        self._run.log(dict(figures), step=step)

    def measure(self, step: int, figures: Figures) -> None:
        """To the summary of the run, since steps do not go back."""
        self._run.summary.update({f"{name}@{step}": value for name, value in figures.items()})

    def close(self, *, failed: bool) -> None:
        """As of :class:`Log`."""
        self._run.finish(exit_code=int(failed))

    @staticmethod
    def faults() -> tuple[type[Exception], ...]:
        """As of :class:`Log`; its settings are checked by pydantic, whose error is a ValueError."""
        import wandb
        from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError  # its own process is gone

        return wandb.Error, HandleAbandonedError, MailboxClosedError, ValueError, OSError


class MlflowLog(Log):
    """A run of MLflow, in the experiment "studyhall" unless ``MLFLOW_EXPERIMENT_NAME`` says another."""

    def __init__(self, name: str, group: str, config: Mapping[str, Any], folder: Path | None) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient()
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", "studyhall")
        found = self._client.get_experiment_by_name(experiment)
        number = self._client.create_experiment(experiment) if found is None else found.experiment_id
        made = self._client.create_run(number, run_name=name, tags={"group": group})
        self._id = made.info.run_id
        told = [Param(_allowed(key), str(value)[:6000]) for key, value in _flat(config).items()]
        for first in range(0, len(told), 100):  # the most at once
            self._client.log_batch(self._id, params=told[first : first + 100])

    def tell(self, step: int, figures: Figures) -> None:
        """As of :class:`Log`."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(_allowed(name), value, now, step) for name, value in figures.items()]
        for first in range(0, len(metrics), 1000):
            self._client.log_batch(self._id, metrics=metrics[first : first + 1000])

    def close(self, *, failed: bool) -> None:
        """As of :class:`Log`."""
        self._client.set_terminated(self._id, "FAILED" if failed else "FINISHED")

    @staticmethod
    def faults() -> tuple[type[Exception], ...]:
        """As of :class:`Log`; drivers of databases that are named and not installed are ImportErrors."""
        from mlflow.exceptions import MlflowException

        found = MlflowException, ImportError, OSError
        if importlib.util.find_spec("sqlalchemy") is None:  # files and servers do without
            return found
        from sqlalchemy.exc import SQLAlchemyError

        return *found, SQLAlchemyError


LOGGERS: dict[str, type[Log]] = {"wandb": WandbLog, "mlflow": MlflowLog}
"""By the name of their library, and of the extra that brings it."""


@dataclass(frozen=True)
class Loggers:
    """Loggers that are to be told; false where there are none.

    Args:
        names: Of :data:`LOGGERS`.
        group: Of their runs; None groups what is in one folder.
    """

    names: tuple[str, ...] = ()
    group: str | None = None

    def __bool__(self) -> bool:
        return bool(self.names)


NO_LOGGERS = Loggers()


def loggers_of(log: str | Iterable[str] | None) -> Loggers:
    """Loggers by their names, checked before anything is run.

    Raises:
        UnknownName: There is no such logger.
        ConfigError: It is no name, or its library is not installed.
    """
    if not isinstance(log, (str, Iterable, type(None))):
        raise ConfigError(f"log names loggers, e.g. 'wandb', got {short(log)}")
    names = () if log is None else (log,) if isinstance(log, str) else tuple(log)
    for name in names:
        one_of("logger", name, LOGGERS)
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"--log {name} needs its library: pip install 'studyhall[{name}]'")
    return Loggers(tuple(dict.fromkeys(names)))


class Logs:
    """Runs of all loggers that were asked for, told alike; one that fails is told nothing more.

    Args:
        logs: By the names of the loggers.
    """

    def __init__(self, logs: dict[str, Log]) -> None:
        self._logs = logs

    def tell(self, step: int, figures: Figures) -> None:
        """Log figures of a step, finite ones only; steps do not go back."""
        self._each(lambda log, finite: log.tell(step, finite), figures)

    def measure(self, step: int, figures: Figures) -> None:
        """Log figures of any step, told in the end; finite ones only."""
        self._each(lambda log, finite: log.measure(step, finite), figures)

    def close(self, *, failed: bool) -> None:
        """End the runs."""
        for name, log in self._logs.items():
            with _outlived(name, log):
                log.close(failed=failed)

    def _each(self, told: Callable[[Log, Figures], None], figures: Figures) -> None:
        finite = {name: float(value) for name, value in figures.items() if math.isfinite(value)}
        for name, log in list(self._logs.items()) if finite else ():
            with _outlived(name, log) as sound:
                told(log, finite)
                sound.append(True)
            if not sound:
                del self._logs[name]


@contextlib.contextmanager
def _outlived(name: str, log: Log) -> Iterator[list[bool]]:
    """Warns of what a logger raises, a network that is gone for example: what it is told of goes on."""
    try:
        yield []
    except log.faults() as fault:
        warn(f"{name} cannot log any more ({_line(fault)}): the run goes on, and its folder has all figures")


@contextlib.contextmanager
def opened(
    loggers: Loggers, *, name: str, group: str, config: Mapping[str, Any], folder: Path | None
) -> Iterator[Logs]:
    """Runs of loggers that end with the block.

    Args:
        loggers: Of what, as of :func:`loggers_of`.
        name: Of their runs.
        group: Of their runs, which are shown together, where the loggers have none.
        config: What is run.
        folder: Of the run or training; None where it has none.

    Raises:
        ConfigError: A logger cannot begin; says in one line why.
    """
    begun: dict[str, Log] = {}
    logs, failed = Logs(begun), True
    try:
        for one in loggers.names:
            logger = LOGGERS[one]
            try:
                begun[one] = logger(name, loggers.group or group, plain(config), folder)
            except logger.faults() as fault:
                raise ConfigError(f"{one} cannot log: {_line(fault)}") from fault
        yield logs
        failed = False
    finally:
        logs.close(failed=failed)


def _line(fault: Exception) -> str:
    """What went wrong, in a line."""
    return str(fault).strip().partition("\n")[0] or type(fault).__name__


def _flat(config: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    """A nested mapping as one of names with dots."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _flat(value, f"{head}{key}.") if isinstance(value, Mapping) else {f"{head}{key}": value}
    return found


def _allowed(name: str) -> str:
    """A name in letters that MLflow takes."""
    return re.sub(r"[^\w\-. :/]", "_", name)
