"""The user's own texts: lists of strings, text files, and tables with a column of texts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, short, warn
from .documents import drop_blank
from .labels import few
from .tokenisers import utf8

if TYPE_CHECKING:
    import pyarrow

COLUMN = "text"
"""Where tables hold documents."""

_PROBED = 8192  # bytes looked at for NULs, as git does to tell binary files


def strings(rows: Any, what: str) -> Sequence[str]:
    """The rows, if they are strings.

    Raises:
        DataError: They are not.
    """
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Sequence):
        raise DataError(f"{what} is {short(rows)}: give a known name, a path, or a list of strings")
    for at, row in enumerate(rows):
        if not isinstance(row, str):
            raise DataError(f"row {at} of {what} is {short(row)}: give strings only")
        utf8(row)
    return rows


def digest_of(documents: Iterable[str]) -> str:
    """A digest of some documents."""
    digest = hashlib.blake2b(digest_size=12)
    for document in documents:
        encoded = document.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def folder_files(folder: Path) -> list[Path]:
    """The text files in a folder and those in it, in the order of their paths.

    Raises:
        DataError: There is none.
    """
    found = []
    for here, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not name.startswith(".")]
        found += [Path(here, name) for name in names if not name.startswith(".")]
    files = [path for path in found if path.is_file() and not path.is_symlink()]
    texts = [path for path in files if b"\0" not in _beginning(path)]
    if len(texts) < len(files):
        others = few([str(path.relative_to(folder)) for path in sorted(set(files) - set(texts))])
        warn(
            f"{len(files) - len(texts)} files in {str(folder)!r} hold NUL bytes and are left out ({others}): they are "
            "no text, or not in UTF-8"
        )
    if not texts:
        raise DataError(f"the folder {str(folder)!r} holds no text files: add some, in UTF-8")
    return sorted(texts, key=lambda path: path.relative_to(folder).as_posix())


def read_files(files: Iterable[Path]) -> list[str]:
    """Text files as documents.

    Raises:
        DataError: One cannot be read.
    """
    return drop_blank(_text(path) for path in files)


def read_file(path: Path) -> list[str]:
    """The rows of a table as documents, or a text file as one.

    Raises:
        DataError: It cannot be read.
    """
    return drop_blank(_table(path)) if path.suffix.lower() in _TABLES else read_files([path])


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_PROBED)
    except OSError as fault:
        raise _unreadable(path, fault) from fault


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise _not_utf8(path, f"byte {fault.start}") from fault
    except OSError as fault:
        raise _unreadable(path, fault) from fault


def _table(path: Path) -> Sequence[str]:
    import pyarrow

    form = path.suffix.lower()
    try:
        columns = _TABLES[form](path)
    except (OSError, pyarrow.ArrowException) as fault:
        said = str(fault).partition("\n")[0]
        if "UTF8" in said or "UTF-8" in said:
            raise _not_utf8(path, "a row") from fault
        raise DataError(
            f"{str(path)!r} cannot be read as {form[1:]} ({said}): check or write it again"
        ) from fault
    if COLUMN not in columns:
        raise DataError(
            f"{str(path)!r} has no column {COLUMN!r}, only {few(list(columns))}: name that of the documents so"
        )
    return strings(columns[COLUMN], f"column {COLUMN!r} of {str(path)!r}")


def _parquet(path: Path) -> dict[str, list[Any]]:
    from pyarrow import parquet

    names = parquet.read_schema(path).names
    held = [name for name in names if name == COLUMN]
    return {**{name: [] for name in names}, **parquet.read_table(path, columns=held).to_pydict()}


def _csv(path: Path) -> dict[str, list[Any]]:
    import pyarrow
    from pyarrow import csv

    columns: pyarrow.Table = csv.read_csv(
        path,
        csv.ReadOptions(block_size=min(max(path.stat().st_size, 1024), 2**31 - 1)),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(column_types={COLUMN: pyarrow.string()}),
    )
    return dict(zip(columns.column_names, (column.to_pylist() for column in columns), strict=True))


def _jsonl(path: Path) -> dict[str, list[Any]]:
    texts = []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as fault:
            raise DataError(f"line {number} of {str(path)!r} is no JSON: give one object a line") from fault
        if not isinstance(row, dict) or COLUMN not in row:
            held = f"only {few(row)}" if isinstance(row, dict) else f"but {short(row)}"
            raise DataError(
                f"line {number} of {str(path)!r} has no {COLUMN!r}, {held}: give objects with one"
            )
        texts.append(row[COLUMN])
    return {COLUMN: texts}


_TABLES: dict[str, Callable[[Path], dict[str, list[Any]]]] = {
    ".parquet": _parquet,
    ".jsonl": _jsonl,
    ".csv": _csv,
}


def _not_utf8(path: Path, what: str) -> DataError:
    return DataError(f"{what} of {str(path)!r} is not UTF-8: save the file in that encoding")


def _unreadable(path: Path, fault: OSError) -> DataError:
    return DataError(f"{str(path)!r} cannot be read ({fault.strerror}): check the file")
