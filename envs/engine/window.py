"""Pictures shown to a person, one after the other in one place: a window, or a notebook's cell."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from ..errors import ConfigError


class Screen:
    """Where pictures of one world are shown; it opens with the first of them.

    A notebook shows them in the cell that is running. Elsewhere they have a window of matplotlib's, of the backend that
    ``MPLBACKEND`` names or else of the first that works. ``MPLBACKEND=agg`` draws and shows nothing, for machines
    without a display.

    Args:
        title: Of the window.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._opened: _Cell | _Window | None = None

    def show(self, picture: np.ndarray) -> bool:
        """Show a picture, uint8 ``[H, W, 3]``, instead of the last one.

        Returns:
            Whether somebody looks: False once the window has been closed.

        Raises:
            ConfigError: There is no window to be had here; says what to do instead.
        """
        if self._opened is None:
            self._opened = _Cell() if in_notebook() else _Window(self._title)
        return self._opened.show(picture)

    def close(self) -> None:
        """Close the window; the next picture opens another."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None


def in_notebook() -> bool:
    """Whether this is the process behind a notebook, whose cells show HTML and pictures."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class _Cell:
    """A notebook's cell: one picture, which is replaced."""

    def __init__(self) -> None:
        self._shown: Any = None

    def show(self, picture: np.ndarray) -> bool:
        from .drawing import as_png

        self._png = as_png(picture)
        if self._shown is None:
            self._shown = sys.modules["IPython"].display.display(self, display_id=True)  # type: ignore[attr-defined]
        else:
            self._shown.update(self)
        return True

    def _repr_png_(self) -> bytes:
        return self._png

    def close(self) -> None:
        """The picture stays."""


class _Window:
    """A window of matplotlib's, the one thing that needs pyplot."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._figure: Any = None

    def show(self, picture: np.ndarray) -> bool:
        from matplotlib import pyplot

        if self._figure is None:
            self._open(picture)
        if not pyplot.fignum_exists(self._figure.number):
            return False
        self._image.set_data(picture)
        self._image.set_extent((0, picture.shape[1], picture.shape[0], 0))
        if self._seen:
            pyplot.pause(0.001)  # lets the window draw, and take what the user does with it
        else:
            self._figure.canvas.draw()
        return True

    def _open(self, picture: np.ndarray) -> None:
        from matplotlib import pyplot

        from .drawing import PER_INCH, style

        high, wide = picture.shape[:2]
        try:
            with style():
                self._figure = pyplot.figure(figsize=(wide / PER_INCH, high / PER_INCH))
        except _faults() as fault:
            raise _no_window(str(fault).partition("\n")[0]) from fault
        self._seen = self._figure.canvas.required_interactive_framework is not None
        if not self._seen and "MPLBACKEND" not in os.environ:  # what matplotlib falls back to
            self.close()
            raise _no_window("there is no display, or no library of windows such as tkinter or PyQt")
        self._figure.canvas.manager.set_window_title(self._title)
        axes = self._figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        self._image = axes.imshow(picture)
        if self._seen:
            pyplot.show(block=False)

    def close(self) -> None:
        from matplotlib import pyplot

        if self._figure is not None:
            pyplot.close(self._figure)


def _faults() -> tuple[type[Exception], ...]:
    """What libraries of windows raise where there is no display; tkinter's is known once matplotlib has tried it."""
    tkinter = sys.modules.get("_tkinter")
    return (ImportError, RuntimeError, *((tkinter.TclError,) if tkinter else ()))


def _no_window(reason: str) -> ConfigError:
    return ConfigError(
        f"no window can be opened here ({reason}): take render_mode='rgb_array', or studyhall watch --video FILE"
    )
