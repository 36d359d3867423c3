"""Consoles, and JSON on standard output."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..storage.text import as_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_WIDE = 160  # columns where the output is a file or a pipe, so that tables are not folded
_AS_IT_IS: Mapping[str, Any] = {"markup": False, "emoji": False, "highlight": False}
"""No text is code: names and paths may have brackets and colons. What is to be bold is a ``Text``."""


def console(*, stderr: bool = False) -> Console:
    """A console on standard output, or on standard error."""
    from rich.console import Console

    found = Console(stderr=stderr, **_AS_IT_IS)
    return found if found.is_terminal else Console(stderr=stderr, width=_WIDE, **_AS_IT_IS)


def say(line: str) -> None:
    """Print a line on standard output, however long."""
    console().print(harmless(line), soft_wrap=True)


def as_text(shown: RenderableType) -> str:
    """What a console prints of something, without colours."""
    from rich.console import Console

    to = Console(
        file=io.StringIO(), width=console().width, color_system=None, force_jupyter=False, **_AS_IT_IS
    )
    with to.capture() as captured:
        to.print(shown)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def as_html(shown: RenderableType) -> str:
    """What a console prints of something, for a notebook's cell."""
    from rich.console import Console

    to = Console(file=io.StringIO(), width=_WIDE, record=True, force_jupyter=False, **_AS_IT_IS)
    to.print(shown)
    return to.export_html(inline_styles=True, code_format='<pre style="line-height: normal">{code}</pre>')


def print_json(value: Any) -> None:
    """Print JSON on standard output; in ASCII, so that it is the same in any code page."""
    print(as_json(value, ascii=True))


def harmless(text: str) -> str:
    """A text with its control characters, but line feeds and tabs, written out, so that no terminal obeys them."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in text)
