"""Labels that users hand over, as numbers, names, booleans or categories, and the classes they make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import DataError, short

_KINDS = "labels are whole numbers from 0, or names"
_MOST = 2**53  # whole numbers beyond are not exact as floats


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of one part.

    Attributes:
        values: ``[n]``: names as Python strings, or whole numbers from 0 as int64.
        classes: Names of all classes, where the source tells them; numbers are then places among them.
    """

    values: npt.NDArray[Any]
    classes: tuple[str, ...] | None = None


def read_labels(y: Any, what: str, classes: Sequence[Any] | None = None) -> Labels:
    """Labels in any form: numbers, strings, booleans, categories, of NumPy, torch, pandas, Arrow or lists.

    Args:
        y: One label an item, ``[n]``.
        what: What they are, for errors.
        classes: Names of the classes, where the source tells them.

    Raises:
        DataError: One is missing, negative, no whole number, or of another kind than the rest.
    """
    refuse_masked(y, what)
    values = _array(y, what)
    if values.ndim != 1:
        raise DataError(f"{what} has shape {values.shape}: give one label an item, [n]")
    missing = [] if values.dtype.kind in "biu" else [*map(_is_missing, values.tolist())]
    if any(missing):
        raise DataError(
            f"{what} has no label in row {missing.index(True)} ({sum(missing)} of {len(values)} rows): "
            "drop such rows"
        )
    if values.dtype.kind == "O":
        values = _unboxed(values, what)
    if values.dtype.kind == "b":
        values = values.astype(str)  # "False", "True"
    if values.dtype.kind in "UT":
        values = values.astype(object)  # else every name takes the room of the longest
    elif values.dtype.kind in "iuf":
        values = _whole(values, what)
    elif values.dtype.kind != "O":
        raise DataError(f"{what} holds {values.dtype}: {_KINDS}")
    return Labels(values, tuple(map(str, classes)) if classes is not None else None)


def number_classes(parts: Mapping[str, Labels]) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """The classes, which are those of *train*, and each part's labels as places among them.

    They are in the order in which the source names them, else sorted (as numbers where all are whole ones).

    Args:
        parts: Labels by part, *train* among them.

    Returns:
        Names of the C classes, and int64 ``[n]`` by part.

    Raises:
        DataError: There is one class only, or a part has one that *train* does not know.
    """
    train = parts["train"]
    numbers = train.values.dtype.kind == "i"
    named = train.classes or next((one.classes for one in parts.values() if one.classes and numbers), None)
    names = {part: _names(one, one.classes or named, part) for part, one in parts.items()}
    if len(set(names["train"][0])) < 2:
        raise DataError(
            f"all items are of class {few(names['train'][0])}: there is nothing to learn, give two classes or more"
        )
    classes = named or _sorted(names["train"][0])
    places = {name: place for place, name in enumerate(classes)}
    if len(places) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise DataError(f"two classes are named {short(twice)}: give each a name of its own")
    numbered = {}
    for part, (distinct, which) in names.items():
        unknown = [name for name in distinct if name not in places]
        if unknown:
            raise DataError(
                f"{part} has items of class {few(unknown)}, which train does not have (only "
                f"{few(classes)}): drop them, or add some to train"
            )
        numbered[part] = torch.from_numpy(np.array([places[name] for name in distinct])[which])
    return classes, numbered


def refuse_masked(values: Any, what: str) -> None:
    """Raise where NumPy's masks hide entries, or whole rows of a list: they would count as if they were there.

    Raises:
        DataError: Some do.
    """
    rows = values if isinstance(values, (list, tuple)) else [values]
    if any(isinstance(row, np.ma.MaskedArray) and np.ma.is_masked(row) for row in rows):
        raise DataError(f"{what} has masked entries: fill them (x.filled(…)) or drop their rows")


def _array(y: Any, what: str) -> npt.NDArray[Any]:
    """Labels as a NumPy array of any type."""
    if isinstance(y, Tensor):
        y = y.detach().cpu()
        return (y.double() if y.is_floating_point() else y).numpy()
    if isinstance(y, str) or not (hasattr(y, "__array__") or isinstance(y, Sequence)):
        raise DataError(f"{what} is of type {type(y).__name__}: give a list or an array, one label an item")
    try:
        if isinstance(y, Sequence) and any(isinstance(one, (str, bytes)) for one in y):
            return np.asarray(y, dtype=object)  # else NumPy would make strings of the numbers among them
        return np.asarray(y)
    except ValueError as fault:
        raise DataError(f"{what} has rows of unequal length ({fault}): give one label an item") from fault


def _is_missing(value: Any) -> bool:
    """None, NaN, pandas' NA and NaT, and the empty name."""
    if isinstance(value, (str, float, np.floating)):
        return value == "" or value != value
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _unboxed(values: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    """An array of Python objects as one of numbers, where it does not hold strings only."""
    held = values.tolist()
    if all(isinstance(value, str) for value in held):
        return values
    if not any(isinstance(value, (str, bytes)) for value in held):
        values = np.asarray(held)
        if values.dtype.kind in "biuf" and values.ndim == 1:
            return values
    raise DataError(f"{what} holds {held_types(held)}: {_KINDS}, all of one kind")


def _whole(values: npt.NDArray[Any], what: str) -> npt.NDArray[np.int64]:
    """Numbers that are whole and not negative."""
    for wrong, advice in (
        (values != np.floor(values), f"{_KINDS}; make groups of other numbers first"),
        (
            values < 0,
            "a negative number often marks items without a label: drop them, or give names if it is a class",
        ),
        (values >= _MOST, _KINDS),
    ):
        rows = np.flatnonzero(wrong)
        if len(rows):
            raise DataError(f"label {rows[0]} of {what} is {values[rows[0]]}: {advice}")
    return values.astype(np.int64)


def _names(labels: Labels, classes: Sequence[str] | None, part: str) -> tuple[list[str], npt.NDArray[Any]]:
    """Names of the distinct labels, and which of them each item has."""
    distinct, which = np.unique(labels.values, return_inverse=True)
    if classes is None or distinct.dtype.kind == "O":
        return [str(value) for value in distinct], which
    if len(distinct) and distinct[-1] >= len(classes):
        row = int(np.argmax(labels.values))
        raise DataError(
            f"label {row} of {part} is {distinct[-1]}, but only {len(classes)} classes are named: {few(classes)}"
        )
    return [classes[value] for value in distinct], which


def _sorted(names: Sequence[str]) -> tuple[str, ...]:
    """In alphabetical order, or by number where all are whole ones."""
    whole = all(re.fullmatch("-?[0-9]{1,300}", name) for name in names)
    return tuple(sorted(names, key=int if whole else None))


def held_types(values: Iterable[Any]) -> str:
    """The types of some values, in words."""
    return " and ".join(sorted({type(value).__name__ for value in values})) or "nothing"


def few(names: Iterable[str]) -> str:
    """The first of some names, for errors."""
    listed = [f"{name[:40]!r}" for name in names]
    return ", ".join(listed[:5]) + (", …" if len(listed) > 5 else "")
