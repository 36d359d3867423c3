"""JSON that any parser reads, and text files that exist whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...envs.files import whole_file


def as_json(value: Any, *, indent: int | None = None, ascii: bool = False) -> str:
    """JSON text; numbers that are not finite become null, which is all JSON knows."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=ascii, allow_nan=False)


def plain(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as JSON holds them; what JSON lacks, like a factory of modules, is named."""
    from ...envs.archive import name_of  # needs torch

    return json.loads(json.dumps(dict(kwargs), default=name_of))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; half a surrogate pair, which is no character, as JSON escapes it."""
    with whole_file(path) as file:
        file.write(text.encode(errors="backslashreplace"))


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a table of comma-separated values, with a head; empty where a row lacks a value, or it is NaN."""
    written = io.StringIO()
    table = csv.DictWriter(
        written, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n"
    )
    table.writeheader()
    table.writerows({key: "" if value != value else value for key, value in row.items()} for row in rows)
    return written.getvalue()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return value
