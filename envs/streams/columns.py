"""What the columns of a table are: the label, and the pictures, arrays, texts or numbers to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, short, warn
from . import pictures
from .arrays import as_items
from .labels import Labels, few, read_labels
from .tables import Table
from .text import Lexicon

if TYPE_CHECKING:
    import pyarrow

LABEL_NAMES = ("label", "labels", "y", "target", "class")
"""Names, in any case, by which a column is known to be the label."""

_RENAME = f"rename the one to learn to {LABEL_NAMES[0]!r} (or to {', '.join(map(repr, LABEL_NAMES[1:]))})"


def read_columns(
    table: Table, where: str, image_size: tuple[int, int] | None, lexicon: Lexicon
) -> tuple[Tensor, Labels, tuple[str, ...]]:
    """Items and labels of a table.

    The label is the column of one of :data:`LABEL_NAMES`, else the one whose classes are named, else the only one
    of whole numbers beside a column of items. Items are the one column of pictures, else of arrays, else the column
    ``text``; where there is none of these, all columns of numbers but the label side by side, as float32.

    Args:
        table: The table.
        where: What it is, for errors.
        image_size: Height and width that pictures are resized to.
        lexicon: Numbers the words of texts.

    Returns:
        Items, labels, and the names of the columns that are side by side in the items.

    Raises:
        DataError: It is not plain which column is what, or one cannot be used.
    """
    if not table.columns.num_rows:
        raise DataError(f"{where} has no rows")
    kinds = {name: _kind(name, type) for name, type in table.types.items() if name not in table.index}
    named = [name for name in kinds if name.strip().casefold() in LABEL_NAMES]
    given = {name: kind for name, kind in kinds.items() if name not in named}
    item = next(filter(None, (_only(given, kind, where) for kind in ("picture", "array", "text"))), None)
    label = _label(table, kinds, named, item, where)
    labels = read_labels(
        _plain(table.columns[label]), f"column {short(label)} of {where}", table.classes.get(label)
    )
    if item is None:
        items, side_by_side = _numbers(table, kinds, label, where)
        return items, labels, side_by_side
    column, what = table.columns[item], f"column {item!r} of {where}"
    if kinds[item] == "picture":
        return _pictures(column, where, image_size), labels, ()
    if kinds[item] == "text":
        return lexicon.read(column.to_pylist(), where), labels, ()
    return as_items(_nested(column, what), what), labels, ()


def _kind(name: str, type: pyarrow.DataType) -> str:
    """What a column holds: "picture", "array", "text", "number" or "other"."""
    import pyarrow
    from pyarrow import types

    if isinstance(type, pyarrow.BaseExtensionType):
        if not _is_list(type.storage_type):
            return "other"  # intervals, periods, …
        type = type.storage_type  # Hugging Face's arrays of fixed shape are lists of lists
    if types.is_binary(type) or types.is_large_binary(type):
        return "picture"
    if types.is_struct(type):
        return "picture" if {"bytes", "path"} >= {part.name for part in type} else "other"
    if _is_list(type):
        while _is_list(type):
            type = type.value_type
        return "array" if _is_number(type) else "other"
    if name == "text" and str(type) in ("string", "large_string", "string_view"):
        return "text"
    return "number" if _is_number(type) else "other"


def _is_list(type: pyarrow.DataType) -> bool:
    from pyarrow import types

    return types.is_list(type) or types.is_large_list(type) or types.is_fixed_size_list(type)


def _is_number(type: pyarrow.DataType) -> bool:
    from pyarrow import types

    return (
        types.is_integer(type) or types.is_floating(type) or types.is_boolean(type) or types.is_decimal(type)
    )


def _only(kinds: Mapping[str, str], kind: str, where: str) -> str | None:
    """The one column of a kind; None where there is none."""
    found = [name for name, held in kinds.items() if held == kind]
    if len(found) > 1:
        raise DataError(f"{where} has more than one column of {kind}s ({few(found)}): drop all but one")
    return found[0] if found else None


def _label(table: Table, kinds: Mapping[str, str], named: list[str], item: str | None, where: str) -> str:
    """The column of labels."""
    others = [name for name in kinds if name != item]
    classes = [name for name in others if name in table.classes]
    whole = [name for name in others if item is not None and _is_whole(table.types[name])]
    for found in (named, classes, whole):
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(
                f"{where} has more than one column that could be the label ({few(found)}): {_RENAME}"
            )
    raise DataError(f"{where} has no label column among {few(kinds)}: {_RENAME}")


def _is_whole(type: pyarrow.DataType) -> bool:
    from pyarrow import types

    return types.is_integer(type)


def _plain(column: pyarrow.ChunkedArray) -> Any:
    """Numbers as an array; anything else as a list, categories as what they stand for."""
    return column.to_numpy() if _is_number(column.type) else column.to_pylist()


def _numbers(
    table: Table, kinds: Mapping[str, str], label: str, where: str
) -> tuple[Tensor, tuple[str, ...]]:
    """All columns of numbers but the label, float32 ``[n, columns]``, and their names; others are warned of."""
    import pyarrow
    from pyarrow import compute

    used = [name for name, kind in kinds.items() if kind == "number" and name != label]
    left_out = [name for name, kind in kinds.items() if kind != "number" and name != label]
    if not used:
        raise DataError(
            f"{where} has nothing to learn from beside the label {short(label)} (its columns are {few(kinds)}): give "
            "columns of numbers, of pictures or of arrays, or strings in a column 'text'"
        )
    if left_out:
        warn(f"{where}: left out {few(left_out)}, since no numbers are in them")
    items = np.empty((table.columns.num_rows, len(used)), dtype=np.float32)
    for place, name in enumerate(used):
        values = compute.cast(table.columns[name], pyarrow.float64(), safe=False).to_numpy()
        with np.errstate(over="ignore"):
            items[:, place] = values
        wrong = np.flatnonzero(~np.isfinite(items[:, place]))
        if len(wrong):
            raise DataError(
                f"column {short(name)} of {where} is empty, infinite or no number in row {wrong[0]} ({len(wrong)} of "
                f"{len(items)} rows): fill or drop them"
            )
    return torch.from_numpy(items), tuple(used)


def _nested(column: pyarrow.ChunkedArray, what: str) -> np.ndarray[Any, Any]:
    """Lists (of lists, …) of equal length as an array."""
    from pyarrow import compute

    values = column.combine_chunks()
    values = getattr(values, "storage", values)
    shape = [len(values)]
    while _is_list(values.type):
        lengths = compute.unique(compute.list_value_length(values)).to_pylist()
        if len(lengths) > 1 or None in lengths:
            raise DataError(
                f"{what} holds arrays of unequal length, or none in some rows: bring them to one shape"
            )
        shape.append(lengths[0] if lengths else 0)
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False).reshape(shape)


def _pictures(column: pyarrow.ChunkedArray, where: str, image_size: tuple[int, int] | None) -> Tensor:
    """Encoded pictures, decoded."""

    def decoded() -> Iterator[pictures.Pixels]:
        for i, row in enumerate(_rows(column)):
            try:
                yield pictures.decode(_encoded(row), image_size)
            except (OSError, pictures.PictureError) as fault:
                raise DataError(f"picture {i} of {where} {fault}") from fault

    return pictures.stack_all(decoded(), where)


def _rows(column: pyarrow.ChunkedArray) -> Iterator[Any]:
    """The rows of a column, one at a time."""
    for chunk in column.chunks:
        for value in getattr(chunk, "storage", chunk):
            yield value.as_py()


def _encoded(row: Any) -> bytes:
    """A picture as Hugging Face stores it: bytes, or the path of a file."""
    if isinstance(row, bytes):
        return row
    stored = row or {}
    if stored.get("bytes") is not None:
        return bytes(stored["bytes"])
    path = Path(stored.get("path") or "")
    if not path.is_file():
        raise pictures.PictureError("is neither there as bytes nor as a file")
    return path.read_bytes()
