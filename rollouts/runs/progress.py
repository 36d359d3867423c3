"""A run's live figures on standard error: a progress bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import math
import sys
import time

from ..metrics.names import human, is_fraction
from ..reports.figures import figure
from ..terminal.progress import ProgressBar
from .run import Live

_SELDOM = 10.0  # seconds at least between two lines, which are ten in all at most


class LiveProgress(ProgressBar):
    """Give an instance to :meth:`Rollout.run` as ``on_step``; use it in a ``with`` statement.

    Args:
        title: Stands before the bar.
        steps: Steps of the run.
        done: Steps made before, where a run is taken up again.
    """

    def __init__(self, title: str, steps: int, done: int = 0) -> None:
        super().__init__(title, steps, done)
        self._told, self._when = done, time.monotonic()

    def __call__(self, live: Live) -> None:
        """Show the figures of a step."""
        self.show(live.step, figures(live))
        now = time.monotonic()
        if not self.drawn and 10 * (live.step - self._told) >= live.steps and now - self._when >= _SELDOM:
            self._told, self._when = live.step, now
            print(f"studyhall: {figures(live)}", file=sys.stderr)


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
