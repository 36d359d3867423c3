"""A progress bar on standard error, with a line of figures below it, where standard error is a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from .output import console
from .streams import redraws

if TYPE_CHECKING:
    from typing_extensions import Self


class ProgressBar:
    """Use it in a ``with`` statement; nothing is drawn where lines cannot be drawn over.

    Args:
        title: Stands before the bar.
        total: What there is to do.
        done: What was done before.

    Attributes:
        drawn: Whether there is a bar to see.
    """

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self.drawn = redraws()
        self._bar = _TwoLines(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            console=console(stderr=True),
            disable=not self.drawn,
        )
        self._task = self._bar.add_task(title, total=total, completed=done)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, done: int, figures: str) -> None:
        """Draw what is done by now, and the figures."""
        self._bar.figures = figures
        self._bar.update(self._task, completed=done)


class _TwoLines(Progress):
    """The bar, and the figures below it, so that both fit a terminal of 80 columns."""

    figures = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield f"  {self.figures}"
