"""The user's own data: which parts it has, and that they fit each other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError
from .division import Source
from .own_parts import PartReader, Read, Size
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
        name, given = Path(data).name, _folders(Path(data).expanduser())
    elif isinstance(data, Mapping) and not _is_part(data):
        name, given = "own", _named_parts(data)
    else:
        name, given = "own", {"train": data}
    lexicon = Lexicon(*text_size)
    reader = PartReader(image_size, lexicon)
    read = {part: reader.read(held, part) for part, held in given.items()}
    classes = _classes(read)
    first = read["train"].part.x
    for part, one in read.items():
        if one.part.x.shape[1:] != first.shape[1:] or one.part.x.dtype != first.dtype:
            raise DataError(
                f"{part} items are {_kind(one.part.x)}, train items are {_kind(first)}: make them alike"
            )
    parts = {part: one.part for part, one in read.items()}
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
                f"part {key!r} of the data is not understood: give 'train' and, if there, 'exam', 'test'"
            )
        parts[part] = held
    if "train" not in parts:
        raise DataError(f"the data have no part 'train', only {', '.join(parts) or 'nothing'}")
    return parts


def _folders(root: Path) -> dict[str, Path]:
    """Parts of a folder: train/ and test/ where all its sub-folders are parts, else the folder itself."""
    if not root.is_dir():
        raise DataError(
            f"{str(root)!r} is no folder: give one whose sub-folders hold the pictures of a class each"
        )
    inside = {path.name: path for path in sorted(root.iterdir()) if path.is_dir()}
    if "train" in inside and set(inside) <= set(_PART_NAMES):
        return _named_parts(inside)
    return {"train": root}


def _classes(read: Mapping[str, Read]) -> tuple[str, ...]:
    """Names of the classes, which all parts must share; numbers where nothing names them."""
    named = {part: one.classes for part, one in read.items() if one.classes is not None}
    highest = max(int(one.part.y.max()) for one in read.values())
    present = torch.cat([one.part.y for one in read.values()]).unique().tolist()
    if len(present) < 2:
        raise DataError(
            f"all items are of class {present[0]}: there is nothing to learn, give two classes or more"
        )
    if not named and len(present) <= highest:
        missing = min(set(range(highest + 1)) - set(present))
        raise DataError(
            f"labels must be 0…C−1, each of them there: {missing} is missing below {highest}; "
            "numpy.unique(labels, return_inverse=True)[1] renumbers them"
        )
    if not named:
        return tuple(str(c) for c in range(highest + 1))
    part, classes = next(iter(named.items()))
    for other, names in named.items():
        if names != classes:
            raise DataError(
                f"the classes of {part} and {other} differ: {_few(classes)} against {_few(names)}"
            )
    if highest >= len(classes):
        raise DataError(
            f"there is a label {highest}, but only {len(classes)} classes are named: {_few(classes)}"
        )
    return classes


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
