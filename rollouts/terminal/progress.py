"""A progress bar with a line of figures: on standard error, where that is a terminal, or in a notebook's cell."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ...envs.engine.window import in_notebook
from .output import console
from .streams import redraws

if TYPE_CHECKING:
    from typing_extensions import Self

_CELL_EVERY = 0.5  # seconds: every change of a cell is a message to the browser


class ProgressBar:
    """Use it in a ``with`` statement; nothing is drawn where nothing can be drawn over.

    Args:
        title: Stands before the bar.
        total: What there is to do.
        done: What was done before.

    Attributes:
        drawn: Whether there is a bar to see.
    """

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self._bar: _TwoLines | None = None
        self._cell = _Cell(title, total, done) if in_notebook() else None
        if self._cell is None and redraws():
            self._bar = _TwoLines(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                TaskProgressColumn(),
                TimeRemainingColumn(compact=True),
                console=console(stderr=True),
            )
            self._task = self._bar.add_task(title, total=total, completed=done)
        self.drawn = self._bar is not None or self._cell is not None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._cell is not None:
            self._cell.draw()

    def show(self, done: int, figures: str) -> None:
        """Draw what is done by now, and the figures."""
        if self._bar is not None:
            self._bar.figures = figures
            self._bar.update(self._task, completed=done)
        if self._cell is not None:
            self._cell.show(done, figures)


class _TwoLines(Progress):
    """The bar, and the figures below it, so that both fit a terminal of 80 columns."""

    figures = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield f"  {self.figures}"


class _Cell:
    """The same in a notebook's cell: one piece of HTML, which is replaced."""

    def __init__(self, title: str, total: int, done: int) -> None:
        self.title, self.total, self.done, self.figures = title, total, done, ""
        self._display: Any = sys.modules["IPython"].display
        self._handle = self._display.display(self._html(), display_id=True)
        self._drawn = time.monotonic()

    def show(self, done: int, figures: str) -> None:
        self.done, self.figures = done, figures
        if time.monotonic() - self._drawn >= _CELL_EVERY:
            self.draw()

    def draw(self) -> None:
        self._handle.update(self._html())
        self._drawn = time.monotonic()

    def _html(self) -> Any:
        bar = f'<progress value="{self.done}" max="{self.total}"></progress>'
        return self._display.HTML(f"{html.escape(self.title)} {bar} {html.escape(self.figures)}")
