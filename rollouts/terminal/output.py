"""Consoles, and JSON on standard output."""

from __future__ import annotations

import io
import unicodedata
from typing import TYPE_CHECKING, Any

from ..storage.text import as_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_WIDE = 160  # columns where the output is a file or a pipe, so that tables are not folded


def console(*, stderr: bool = False) -> Console:
    """A console on standard output, or on standard error."""
    from rich.console import Console

    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDE)


def as_text(shown: RenderableType) -> str:
    """What a console prints of something, without colours."""
    from rich.console import Console

    to = Console(
        file=io.StringIO(), width=console().width, highlight=False, color_system=None, force_jupyter=False
    )
    with to.capture() as captured:
        to.print(shown)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def as_html(shown: RenderableType) -> str:
    """What a console prints of something, for a notebook's cell."""
    from rich.console import Console

    to = Console(file=io.StringIO(), width=_WIDE, highlight=False, record=True, force_jupyter=False)
    to.print(shown)
    return to.export_html(inline_styles=True, code_format='<pre style="line-height: normal">{code}</pre>')


def print_json(value: Any) -> None:
    """Print JSON on standard output; in ASCII, so that it is the same in any code page."""
    print(as_json(value, ascii=True))


def harmless(text: str) -> str:
    """A text with its control characters, but line feeds and tabs, written out, so that no terminal obeys them."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in text)
