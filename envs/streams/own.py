"""The user's own data: which parts it has, and that they fit each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError, short
from ..files import as_path
from .division import Part, Source
from .labels import few, number_classes
from .own_parts import PartReader, Read, Size
from .tables import SUFFIXES, is_table_file
from .text import Lexicon

_PART_NAMES = {
    "train": "train",
    "exam": "exam",
    "validation": "exam",
    "valid": "exam",
    "val": "exam",
    "test": "test",
}


def load_own(data: Any, image_size: Size, text_size: tuple[int, int]) -> Source:
    """Read the user's data into parts.

    Args:
        data: As :func:`studyhall.envs.streams.load_dataset` takes it, but for names and a ``Dataset``.
        image_size: Height and width that pictures are resized to.
        text_size: Words kept of a text, and numbers of a word.

    Raises:
        DataError: The data cannot be used; the message names the part, the item and the fault.
    """
    if isinstance(data, (str, os.PathLike)):
        path = as_path("data", data)
        name, given = path.stem if is_table_file(path) else path.name, _paths(path)
    elif isinstance(data, Mapping) and not _is_part(data):
        name, given = "own", _named_parts(data)
    else:
        name, given = "own", {"train": data}
    lexicon = Lexicon(*text_size)
    reader = PartReader(image_size, lexicon)
    read = {part: reader.read(held, part) for part, held in given.items()}
    read = {part: _in_order(one, read["train"].columns, part) for part, one in read.items()}
    first = read["train"].items
    for part, one in read.items():
        if one.items.shape[1:] != first.shape[1:] or one.items.dtype != first.dtype:
            raise DataError(
                f"{part} items are {_kind(one.items)}, train items are {_kind(first)}: make them alike"
            )
    classes, numbered = number_classes({part: one.labels for part, one in read.items()})
    parts = {part: Part(one.items, numbered[part]) for part, one in read.items()}
    texts = lexicon if first.dtype == torch.int32 else None
    return Source(name, classes, parts["train"], parts.get("exam"), parts.get("test"), lexicon=texts)


def _is_part(data: Mapping[str, Any]) -> bool:
    """Whether columns are given, and no parts."""
    return {"x", "y"} <= set(data) or "text" in data


def _kind(x: Tensor) -> str:
    if x.dtype == torch.int32:
        return "texts"
    return f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape[1:])}"


def _named_parts(data: Mapping[str, Any]) -> dict[str, Any]:
    """Parts by their names here."""
    parts: dict[str, Any] = {}
    for key, held in data.items():
        part = _PART_NAMES.get(key)
        if part is None or part in parts:
            raise DataError(
                f"part {short(key)} of the data is not understood: give 'train' and, if there, 'exam', 'test' "
                "(columns as pandas.DataFrame(columns))"
            )
        parts[part] = held
    if "train" not in parts:
        raise DataError(f"the data have no part 'train', only {', '.join(parts) or 'nothing'}")
    return parts


def _in_order(one: Read, columns: tuple[str, ...], part: str) -> Read:
    """A part with its columns of numbers in the order of *train*'s."""
    if one.columns == columns or not one.columns or not columns:
        return one
    lacking, more = (
        few(sorted(set(a) - set(b))) for a, b in ((columns, one.columns), (one.columns, columns))
    )
    if lacking or more:
        raise DataError(
            f"{part} and train must have the same columns of numbers: "
            + " and ".join(
                f"{of} has no {names}" for of, names in ((part, lacking), ("train", more)) if names
            )
        )
    return replace(one, items=one.items[:, [one.columns.index(name) for name in columns]])


def _paths(root: Path) -> dict[str, Path]:
    """Parts at a path: train/ and test/ of a folder all whose sub-folders are parts, else the whole of it."""
    if not root.is_dir() and not is_table_file(root):
        raise DataError(
            f"{str(root)!r} is no folder: give one whose sub-folders hold the pictures of a class each, or a table "
            f"({', '.join(SUFFIXES)})"
        )
    inside = {path.name: path for path in sorted(root.iterdir()) if path.is_dir()} if root.is_dir() else {}
    if "train" in inside and set(inside) <= set(_PART_NAMES):
        return _named_parts(inside)
    return {"train": root}
