"""Writing: consoles, JSON that any parser reads, and files that exist whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..envs.files import whole_file

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 160  # columns where the output is a file or a pipe, so that tables are not folded


def console(*, stderr: bool = False) -> Console:
    """A console on standard output, or on standard error."""
    from rich.console import Console

    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDE)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """JSON text; numbers that are not finite become null, which is all JSON knows."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def print_json(value: Any) -> None:
    """Print JSON on standard output; in ASCII, so that it is the same in any code page."""
    print(json.dumps(_finite(value), allow_nan=False))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with whole_file(path) as file:
        file.write(text.encode())


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return value
