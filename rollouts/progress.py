"""A run's live figures on standard error: a progress bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from .figures import figure
from .names import human, is_fraction
from .output import console
from .terminal import redraws

if TYPE_CHECKING:
    from .run import Live


_SELDOM = 10.0  # seconds at least between two lines, which are ten in all at most


class LiveProgress:
    """Give an instance to :meth:`Rollout.run` as ``on_step``; use it in a ``with`` statement.

    Args:
        title: Stands before the bar.
        steps: Steps of the run.
        done: Steps made before, where a run is taken up again.
    """

    def __init__(self, title: str, steps: int, done: int = 0) -> None:
        self._live = redraws()
        self._told, self._when = done, time.monotonic()
        self._bar = _TwoLines(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            console=console(stderr=True),
            disable=not self._live,
        )
        self._task = self._bar.add_task(title, total=steps, completed=done)

    def __enter__(self) -> LiveProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, live: Live) -> None:
        """Show the figures of a step."""
        self._bar.figures = figures(live)
        self._bar.update(self._task, completed=live.step)
        now = time.monotonic()
        if not self._live and 10 * (live.step - self._told) >= live.steps and now - self._when >= _SELDOM:
            self._told, self._when = live.step, now
            print(f"studyhall: {figures(live)}", file=sys.stderr)


class _TwoLines(Progress):
    """The bar, and the figures below it, so that both fit a terminal of 80 columns."""

    figures = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield f"  {self.figures}"


def figures(live: Live) -> str:
    """The live figures as one line; those that the world lacks are left out."""
    name = human(live.headline, live.headline).removesuffix(" accuracy")
    percent = is_fraction(live.headline, live.headline)
    highest = "best" if percent else "max"  # more is better: known of accuracies only
    shown = (lambda value: f"{value:.1%}") if percent else figure
    parts = (
        (live.mean, f"{name} {shown(live.mean)}"),
        (live.best, f"{highest} {shown(live.best)}"),
        (live.budget, f"budget {live.budget:.0%}"),
        (live.kib, f"{live.kib:,.0f} KiB"),
    )
    said = [text for value, text in parts if not math.isnan(value)]
    return " · ".join([f"step {live.step}/{live.steps}", *said, f"{live.steps_per_second:.0f} steps/s"])
