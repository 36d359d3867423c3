"""The loop of every training: update, evaluate on held-out worlds, keep the best, save, stop, and go on.

A kind of training says what an update is, what an evaluation, and what is kept; see :class:`Training`.
"""

from __future__ import annotations

import contextlib
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch

from ...envs.engine.fits import Misfit, check_fits
from ...envs.errors import ConfigError, StudyhallError
from ..reports.figures import figure
from ..reports.loggers import NO_LOGGERS, Loggers, opened
from ..storage.checkpoints import Checkpoints, say_no_checkpoint
from ..storage.folders import ANEW, new_folder, own_folder, write_config
from ..terminal.interrupts import stop_requests
from ..terminal.progress import ProgressBar
from .config import TrainingConfig
from .curves import Curves
from .trained import Trained, check_figures

EVAL_SEED = 10_000
"""Held-out worlds have seeds from here on, far from those a run measures: a best chosen on these would be a
claim that chose itself."""

_EVENTS = 20  # of TensorBoard between two evaluations, at most
_SHOWN_EVERY = 0.1  # seconds
_WHOLE = 1000  # of the progress bar


class Training(ABC):
    """One training, which can be saved between two updates and taken up again.

    Attributes:
        config: What is trained.
        figure: What held-out worlds are evaluated by: the "return" of an agent, another metric, or the "loss".
        train_figure: Name of the figure of :meth:`update` that is drawn.
        device: Where a checkpoint's tensors go.
        start: What a training that was stopped before its first checkpoint begins from, in words.
    """

    config: TrainingConfig
    figure: str
    train_figure: ClassVar[str]
    start: ClassVar[str]
    device: str | torch.device = "cpu"

    @property
    @abstractmethod
    def timesteps(self) -> int:
        """Agent-steps made."""

    @property
    def done(self) -> int:
        """What was made, in the unit of the config's ``length``: agent-steps, unless a training counts otherwise."""
        return self.timesteps

    @property
    @abstractmethod
    def progress(self) -> float:
        """Share of the training that is done; from 1 on it is over."""

    @property
    def per_update(self) -> int | None:
        """Agent-steps of an update, where updates are what is counted."""
        return None

    @property
    def own_policy(self) -> str | None:
        """Name of the policy that is trained, where it is a user's own."""
        return None

    @property
    @abstractmethod
    def live(self) -> str:
        """How training goes, for the progress bar."""

    @abstractmethod
    def update(self, show: Callable[[], None]) -> dict[str, float]:
        """Make one update.

        Args:
            show: May be called on the way, so that the progress bar moves.

        Returns:
            Figures by name, "train/loss" and the like.
        """

    @abstractmethod
    def evaluate(self, stop: Callable[[], bool] = lambda: False) -> float | None:
        """The figure of held-out worlds, always the same ones; None where ``stop`` said so on the way."""

    @abstractmethod
    def save_weights(self, path: Path, **about: Any) -> None:
        """Write what was learnt so far as a policy that runs, and what else is to be said about it."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here."""

    @abstractmethod
    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`.

        Raises:
            Misfit, ConfigError: It is not one of this training; nothing has changed then.
        """


class MovingAverage:
    """An exponential moving average, corrected for its start as those of Adam are (Kingma & Ba 2015, §3).

    Args:
        rate: Weight of the newest value.

    Attributes:
        state: float64 ``[2]``: the average of the values, and of their weights.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.state = torch.zeros(2, dtype=torch.float64)

    def add(self, value: float) -> None:
        """Take in a value."""
        self.state = (1 - self.rate) * self.state + self.rate * torch.tensor(
            [value, 1.0], dtype=torch.float64
        )

    @property
    def value(self) -> float:
        """The average; NaN before the first value."""
        return float(self.state[0] / self.state[1])


def train(
    kind: Callable[[Any], Training],
    config: TrainingConfig,
    out: Path | None,
    *,
    resume: bool,
    log: Loggers = NO_LOGGERS,
) -> Trained:
    """Train, evaluate on the way, and keep the best and the last.

    A first Ctrl-C stops after the running update; what was best by then is kept, and ``resume`` goes on.

    Args:
        kind: Makes the training of a config.
        config: What to train.
        out: The folder; None takes the first free ``runs/<scenario>-<algorithm>-<n>``.
        resume: Whether ``out`` holds a training of the same config that is to be taken up again.
        log: Loggers that are told, as of :func:`~studyhall.rollouts.reports.loggers.loggers_of`.

    Raises:
        ConfigError: It cannot be set up, the folder not be written, or its checkpoint not be read.
    """
    torch.set_num_threads(config.threads)
    training = _set_up(kind, config)
    with _folder(out, config, resume=resume) as folder:
        found = Trained(
            folder,
            training.figure,
            config.scenario.name,
            config.run_with,
            training.own_policy,
            training.per_update,
        )
        loop = _Loop(training, found)
        if resume:
            loop.take_up()
            write_config(folder, config.as_json())
        loop.run(log)
    return found


def _set_up(kind: Callable[[Any], Training], config: TrainingConfig) -> Training:
    """Make the training; what torch and SB3 say of settings that cannot be is one line."""
    try:
        return kind(config)
    except StudyhallError:
        raise
    except (TypeError, ValueError, RuntimeError) as fault:
        raise ConfigError(f"the training cannot be set up: {str(fault).partition(chr(10))[0]}") from fault


@contextlib.contextmanager
def _folder(out: Path | None, config: TrainingConfig, *, resume: bool) -> Iterator[Path]:
    """The folder of a training, kept from other processes until the block ends; a new one gets its ``config.json``."""
    if resume:
        assert out is not None
        with own_folder(out, "training"):
            yield out
    else:
        with new_folder(out, f"{config.scenario.name}-{config.algorithm}") as path:
            write_config(path, config.as_json())
            yield path


class _Loop:
    """What goes on around a training's updates.

    Args:
        training: What is trained.
        found: Is told what came of it, and says where to keep it.
    """

    def __init__(self, training: Training, found: Trained) -> None:
        self.training, self.found, self.config = training, found, training.config
        self.checkpoints = Checkpoints(found.folder, self.config.decides, ANEW["training"])
        self.figures: dict[str, float] = {}  # of the last update
        self._told = training.done  # when events were written last
        self._shown = 0.0

    def take_up(self) -> None:
        """Put the training where its last checkpoint left it; where there is none, it begins."""
        if not self.checkpoints.exist:
            say_no_checkpoint(self.training.start)
            return
        saved = self.checkpoints.read(self.training.device)
        try:
            self.found.go_on_from(saved.pop("curve", None))
            figures, seconds = check_figures(saved.pop("figures", None)), saved.pop("seconds", None)
            check_fits(seconds, 0.0, "seconds")
            self.training.load_state_dict(saved)
        except (Misfit, ConfigError) as fault:
            raise self.checkpoints.misfit(fault) from fault
        self.figures, self.found.seconds, self._told = figures, seconds, self.training.done

    def run(self, log: Loggers) -> None:
        """Update until the end, or until asked to stop; loggers are told the curve."""
        training, config = self.training, self.config
        self._before, self._begun = self.found.seconds, time.perf_counter()
        self._first = training.timesteps
        every = max(1, config.eval_every // _EVENTS)
        title = f"{config.scenario.name}, {config.algorithm}"
        folder, about = self.found.folder, config.as_json()
        shown: dict[str, Any] = {"title": title, "train_figure": training.train_figure, "done": training.done}
        with (
            stop_requests() as stop,
            ProgressBar(config.scenario.name, _WHOLE) as self.bar,
            opened(log, name=folder.name, group=folder.name, config=about, folder=folder) as logs,
            Curves(self.found, logs=logs, **shown) as curves,
        ):
            curves.write()  # of a training that is taken up again, what its checkpoint says
            while True:
                over = training.progress >= 1
                evaluated = (over or self._due()) and self._evaluate(curves, stop)
                if over or stop():
                    break
                self.figures = training.update(self._show)
                self._show()
                if training.done - self._told >= every:
                    curves.event(training.done, self.figures)
                    self._told = training.done
            self.found.stopped = stop() and not (over and evaluated)
            self._keep()
            training.save_weights(self.found.folder / "last.zip")

    def _due(self) -> bool:
        """Whether it is time for an evaluation."""
        if not self.found.evaluations:
            return True
        last = self.found.evaluations[-1][0] // (self.training.per_update or 1)
        return self.training.done // self.config.eval_every > last // self.config.eval_every

    def _evaluate(self, curves: Curves, stop: Callable[[], bool]) -> bool:
        """Evaluate the weights as they are now, unless that was just done, and keep them if they are the best.

        Returns:
            Whether they are evaluated; False where it was asked to stop on the way.
        """
        found, training = self.found, self.training
        if found.evaluations and found.evaluations[-1][0] == training.timesteps:
            return True
        value = training.evaluate(stop)
        if value is None:
            return False
        self._count()
        best = found.evaluated(value, self.figures)
        untold = self.figures if self._told < training.done else {}
        curves.event(training.done, {f"eval/{found.figure}": value, **untold})
        self._told = training.done
        curves.write()
        if not self.bar.drawn:
            said = f"{found.measure} {figure(value)} after {found.counted(found.timesteps)}"
            print(f"studyhall: {said}", file=sys.stderr)
        if best:
            training.save_weights(found.folder / "best.zip", **{f"eval_{found.figure}": value})
        self._keep()
        return True

    def _count(self) -> None:
        self.found.timesteps = self.training.timesteps
        self.found.seconds = self._before + time.perf_counter() - self._begun

    def _keep(self) -> None:
        """Write the checkpoint, whole or not at all."""
        self._count()
        told = {"curve": self.found.curve, "figures": self.figures, "seconds": self.found.seconds}
        self.checkpoints.write({**self.training.state_dict(), **told})

    def _show(self) -> None:
        """Show how training goes, some ten times a second."""
        now = time.perf_counter()
        if now - self._shown < _SHOWN_EVERY:
            return
        self._shown = now
        last = figure(self.found.evaluations[-1][1]) if self.found.evaluations else "–"
        rate = (self.training.timesteps - self._first) / (now - self._begun)
        figures = f"{self.training.live} · {self.found.measure} {last} · {rate:,.0f} agent-steps/s"
        self.bar.show(round(_WHOLE * min(1.0, self.training.progress)), figures)
