"""Standard output and standard error wherever they lead: a terminal, a notebook's cell, a file, any code page."""

from __future__ import annotations

import codecs
import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...envs.errors import StudyhallWarning

_PLAIN = {
    "−": "-",
    "–": "-",
    "—": "-",
    "±": "+-",
    "×": "x",
    "·": "*",
    "…": "...",
    "→": "->",
    "✓": "+",
    "✗": "x",
    "†": "+",
    "²": "2",
    "√": "sqrt ",
    "≥": ">=",
    "≤": "<=",
    "Σ": "sum ",
    "λ": "lambda",
    "“": '"',
    "”": '"',
    "’": "'",
}
"""What is written instead of a glyph where it cannot be; of any other, a question mark."""


def fit_any_code_page() -> None:
    """Let both streams take any text: what their encoding lacks is spelt out in ASCII instead of being an error.

    UTF-8 lacks what Python makes of names of files that are no text. A stream that is closed takes everything.
    """
    codecs.register_error("studyhall", _spelt)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # as long as the process lives
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="studyhall")


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Within it, warnings of ours are a line of ours on standard error, without a place in the code."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_ours(message: Any, category: type[Warning], *place: Any, **options: Any) -> None:
            if issubclass(category, StudyhallWarning):
                print(f"studyhall: {message}", file=sys.stderr)
            else:
                show(message, category, *place, **options)

        warnings.showwarning = show_ours
        yield


def redraws() -> bool:
    """Whether standard error is a terminal on which lines can be drawn over; a notebook's ``!command`` is none.

    Jupyter gives commands a terminal, and colours, but its cells keep every line.
    """
    notebook = "JPY_PARENT_PID" in os.environ or "COLAB_RELEASE_TAG" in os.environ
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not notebook


def _spelt(fault: UnicodeError) -> tuple[str, int]:
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    lost = fault.object[fault.start : fault.end]
    return "".join(_PLAIN.get(glyph, "?") for glyph in lost), fault.end
