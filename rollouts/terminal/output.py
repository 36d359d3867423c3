"""Consoles, and JSON on standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..storage.text import as_json

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 160  # columns where the output is a file or a pipe, so that tables are not folded


def console(*, stderr: bool = False) -> Console:
    """A console on standard output, or on standard error."""
    from rich.console import Console

    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDE)


def print_json(value: Any) -> None:
    """Print JSON on standard output; in ASCII, so that it is the same in any code page."""
    print(as_json(value, ascii=True))
