"""Tables as Arrow columns: from data frames, Hugging Face data sets, CSV and parquet files."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from .labels import few, held_types

if TYPE_CHECKING:
    import pyarrow

SUFFIXES = (".csv", ".tsv", ".parquet")
"""How the names of files end that hold a table."""

_FREE_CELLS, _CELLS_PER_BYTE = 2**24, 64
"""Values of a parquet file that are read whatever its size, and for each of its bytes: runs of equal values take no
room in it, so that a few KB could fill the memory."""


@dataclass(frozen=True, eq=False)
class Table:
    """Columns, and what their source tells about them.

    Attributes:
        columns: The columns, each with a name of its own.
        classes: Names of the classes, of columns whose numbers stand for them.
        index: Columns that came with the rows and are no part of them: those that pandas wrote as their index, and
            those without a name.
    """

    columns: pyarrow.Table
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    index: frozenset[str] = frozenset()

    @property
    def types(self) -> dict[str, pyarrow.DataType]:
        """What each column holds."""
        return dict(zip(self.columns.column_names, self.columns.schema.types, strict=True))


def is_table_file(path: str | os.PathLike[str]) -> bool:
    """Whether a path is one of a table, by its name."""
    return Path(path).suffix.lower() in SUFFIXES


def as_table(data: Any, where: str) -> Table | None:
    """A data frame, Arrow table or Hugging Face data set as a table; None for anything else.

    Raises:
        DataError: A column cannot be read, or two have the same name.
    """
    # Nobody can hand over an object of these libraries without having imported them.
    datasets, pandas = sys.modules.get("datasets"), sys.modules.get("pandas")
    if datasets is not None and isinstance(data, datasets.Dataset):
        classes = {
            name: tuple(kind.names)
            for name, kind in data.features.items()
            if isinstance(kind, datasets.ClassLabel) and kind.names
        }
        return Table(data.with_format("arrow")[:], classes)
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return _data_frame(data, where)
    if hasattr(data, "__arrow_c_stream__") and hasattr(data, "columns"):  # Arrow, Polars, …; no single column
        import pyarrow

        return _described(pyarrow.table(data), where)
    return None


def read_file(path: Path) -> Table:
    """The table in a CSV, TSV or parquet file.

    Raises:
        DataError: It is not there, or cannot be read as what its name says.
    """
    if not path.is_file() or not is_table_file(path):
        raise DataError(
            f"there is no table {str(path)!r}: give the path of a file that ends in {', '.join(SUFFIXES)}, or of a "
            "folder of pictures"
        )
    import pyarrow

    form = path.suffix.lower().removeprefix(".")
    try:
        columns = _parquet(path) if form == "parquet" else _csv(path, "\t" if form == "tsv" else ",")
    except UnicodeDecodeError as fault:
        raise _not_utf8(path, "its column names are") from fault
    except (OSError, pyarrow.ArrowException) as fault:
        reason = "".join(c for c in str(fault).partition("\n")[0][:200] if c.isprintable())
        raise DataError(
            f"{str(path)!r} cannot be read as {form} ({reason}): check or fetch it again"
        ) from fault
    return _described(columns, repr(str(path)))


def _csv(path: Path, delimiter: str) -> pyarrow.Table:
    """A file of separated values whose first line names the columns."""
    import pyarrow
    from pyarrow import csv

    # In one block, so that a column's type is that of all its rows.
    block = min(max(path.stat().st_size, 1024), 2**31 - 1)
    columns = csv.read_csv(
        path,
        csv.ReadOptions(block_size=block),
        csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
    )
    for name, kind in zip(columns.column_names, columns.schema.types, strict=True):
        if pyarrow.types.is_binary(kind):
            raise _not_utf8(path, f"column {name!r} is")
    if columns.num_columns == 1:
        raise DataError(
            f"{str(path)!r} has one column, {columns.column_names[0][:80]!r}: separate columns by "
            f"{'tabs' if delimiter != ',' else 'commas'} and give a label beside what it is about"
        )
    return columns


def _not_utf8(path: Path, what: str) -> DataError:
    return DataError(f"{str(path)!r}: {what} not in UTF-8: save the file in that encoding")


def _parquet(path: Path) -> pyarrow.Table:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        cells = sum(group.column(c).num_values for group in groups for c in range(group.num_columns))
        size = path.stat().st_size
        if cells > max(_FREE_CELLS, _CELLS_PER_BYTE * size):
            raise DataError(
                f"{str(path)!r} says that its {size:,} bytes hold {cells:,} values, which would not fit in memory: "
                "keep fewer rows, or pass arrays"
            )
        return file.read()


def _data_frame(frame: Any, where: str) -> Table:
    """A pandas data frame without its index."""
    import pyarrow

    _check_names([str(name) for name in frame.columns], where)  # before one takes the place of the other
    columns = {}
    for name in frame.columns:
        try:
            columns[str(name)] = pyarrow.array(frame[name], from_pandas=True)
        except pyarrow.ArrowException as fault:
            raise DataError(
                f"column {str(name)!r} of {where} holds {held_types(frame[name].tolist()[:1000])}, which cannot be "
                "read as numbers or strings: clean or drop it"
            ) from fault
    return _described(pyarrow.table(columns), where)


def _described(columns: pyarrow.Table, where: str) -> Table:
    """A table with what pandas and Hugging Face wrote beside its columns."""
    _check_names(columns.column_names, where)
    try:
        index = [
            name
            for name in (columns.schema.pandas_metadata or {}).get("index_columns", ())
            if type(name) is str
        ]
        written = json.loads((columns.schema.metadata or {}).get(b"huggingface", b"{}"))
        kinds = written.get("info", {}).get("features", {})
        named = {name: kind for name, kind in kinds.items() if kind.get("_type") == "ClassLabel"}
        classes = {name: tuple(map(str, kind["names"])) for name, kind in named.items() if kind.get("names")}
    except (ValueError, TypeError, AttributeError) as fault:  # whatever else a file may say there
        raise DataError(
            f"the description of the columns of {where} cannot be read: write the table anew"
        ) from fault
    nameless = [
        name for name in columns.column_names if re.fullmatch(r"|Unnamed: \d+|__index_level_\d+__", name)
    ]
    return Table(columns, classes, frozenset(index + nameless))


def _check_names(names: list[str], where: str) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"{where} has more than one column named {few(twice)}: rename or drop all but one")
