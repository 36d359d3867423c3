"""Stopping between two steps: what is saved in the middle of one would not go on as it began."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ..._start import INTERRUPTED, quit_at_once

__all__ = ["INTERRUPTED", "Stopped", "quit_on_interrupt", "raise_on_interrupt", "stop_requests"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ASKED: list[threading.Event] = []  # that of the block which the main thread is in, if it is in one


class Stopped(Exception):  # noqa: N818  # no fault: the caller asked for it
    """A run or sweep that was asked to stop.

    Args:
        step: Where it stands, and what is kept of it.
        steps: How many there are.
        go_on: The command that goes on, where something is kept.
        what: What is counted.
    """

    def __init__(self, step: int, steps: int, go_on: str = "", what: str = "step") -> None:
        super().__init__(f"stopped at {what} {step} of {steps}{f'; go on with: {go_on}' if go_on else ''}")
        self.step, self.steps, self.go_on = step, steps, go_on


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Within it, the first Ctrl-C (or SIGTERM) is a request, which the yielded function reports.

    The second Ctrl-C is an interrupt as usual. Within another such block, as a run in a sweep is, a request is for
    both. Outside the main thread, where signals cannot be had, nothing is ever requested.
    """
    if threading.current_thread() is not threading.main_thread():
        yield threading.Event().is_set
        return
    if _ASKED:
        yield _ASKED[0].is_set
        return
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        _ASKED.append(asked)
        yield asked.is_set
    finally:
        _ASKED.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def quit_on_interrupt() -> Iterator[None]:
    """Within it, Ctrl-C ends the program at once, with a line.

    The package does so from its first line on, where it is run as a command.
    """
    with _on_interrupt(quit_at_once):
        yield


@contextmanager
def raise_on_interrupt() -> Iterator[None]:
    """Within it, Ctrl-C is a ``KeyboardInterrupt`` again."""
    with _on_interrupt(signal.default_int_handler):
        yield


@contextmanager
def _on_interrupt(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle Ctrl-C so, unless it is ignored, or this is not the main thread."""
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
