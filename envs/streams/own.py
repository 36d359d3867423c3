"""The user's own data: arrays, torch and Hugging Face data sets, folders of pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from . import pictures
from .division import Part, Source
from .torchvision_shim import import_torchvision

Size = tuple[int, int] | None
_PART_NAMES = {
    "train": "train",
    "exam": "exam",
    "validation": "exam",
    "valid": "exam",
    "val": "exam",
    "test": "test",
}
_CONTAINERS = "a pair (x, y), a dict of train/test pairs, a torch or Hugging Face data set, or a folder"


@dataclass(frozen=True, eq=False)
class _Read:
    """One part as read: items, classes, and the classes' names where the source tells them."""

    part: Part
    classes: tuple[str, ...] | None = None


def load_own(data: Any, image_size: Size) -> Source:
    """Read the user's data into parts.

    Args:
        data: As :func:`studyhall.envs.streams.load_dataset` takes it, but for names and a ``Dataset``.
        image_size: Height and width that pictures are resized to.

    Raises:
        DataError: The data cannot be used; the message names the part, the item and the fault.
    """
    if isinstance(data, (str, os.PathLike)):
        name, given = Path(data).name, _folders(Path(data).expanduser())
    elif isinstance(data, Mapping) and not {"x", "y"} <= set(data):
        name, given = "own", _named_parts(data)
    else:
        name, given = "own", {"train": data}
    read = {part: _read(held, part, image_size) for part, held in given.items()}
    classes = _classes(read)
    first = read["train"].part.x
    for part, one in read.items():
        if one.part.x.shape[1:] != first.shape[1:] or one.part.x.dtype != first.dtype:
            raise DataError(
                f"{part} items are {_kind(one.part.x)}, train items are {_kind(first)}: make them alike"
            )
    parts = {part: one.part for part, one in read.items()}
    return Source(name, classes, parts["train"], parts.get("exam"), parts.get("test"))


def _kind(x: Tensor) -> str:
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


def _classes(read: Mapping[str, _Read]) -> tuple[str, ...]:
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


def _read(data: Any, where: str, image_size: Size) -> _Read:
    """One part, whatever it comes as."""
    if isinstance(data, Path):
        return _read_folder(data, where, image_size)
    hugging_face = sys.modules.get("datasets")  # nobody can hand over one of its objects without importing it
    if hugging_face is not None and isinstance(data, hugging_face.Dataset):
        return _read_hugging_face(data, where, image_size)
    if hugging_face is not None and isinstance(data, hugging_face.IterableDataset):
        raise DataError(f"{where} is a streamed data set: load it without streaming=True")
    if isinstance(data, torch.utils.data.IterableDataset):
        raise DataError(
            f"{where} is an iterable data set: give a map-style one (with __getitem__ and __len__)"
        )
    if isinstance(data, torch.utils.data.Dataset):
        return _read_torch(data, where, image_size)
    if isinstance(data, Mapping) and set(data) == {"x", "y"}:
        data = (data["x"], data["y"])
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise DataError(f"{where} is of type {type(data).__name__}: give {_CONTAINERS}")
    x, y = data
    return _Read(_part(x, y, where))


def _part(x: Any, y: Any, where: str) -> Part:
    """Check arrays and bring them to the types that splits hold."""
    items, labels = _items(x, f"{where} x"), _labels(y, f"{where} y")
    if len(items) != len(labels):
        raise DataError(
            f"{where} has {len(items)} items in x but {len(labels)} labels in y: give one label an item"
        )
    if len(items) == 0:
        raise DataError(f"{where} has no items")
    return Part(items, labels)


def _tensor(array: Any, what: str) -> Tensor:
    """A detached copy of an array on the CPU."""
    if isinstance(array, Tensor):
        return array.detach().cpu().clone()
    try:
        return torch.from_numpy(np.array(array))
    except (TypeError, ValueError) as fault:  # ragged lists, strings, objects
        raise DataError(f"{what} is no array of numbers ({fault}): give rows of equal shape") from fault


def _items(x: Any, what: str) -> Tensor:
    """uint8 as it is, other real numbers as float32, all of them finite."""
    items = _tensor(x, what)
    if items.dim() < 2:
        raise DataError(f"{what} has shape {tuple(items.shape)}: give one row an item, [n, ...]")
    if items.is_complex():
        raise DataError(f"{what} holds complex numbers: give real ones")
    if items.dtype == torch.uint8:
        return items
    items = items.to(torch.float32)
    wrong = (~items.flatten(1).isfinite().all(1)).nonzero().flatten()
    if len(wrong):
        raise DataError(
            f"item {wrong[0]} of {what} is NaN or infinite ({len(wrong)} of {len(items)} items are): "
            "clean or drop it"
        )
    return items


def _labels(y: Any, what: str) -> Tensor:
    """Whole numbers from 0, int64 ``[n]``."""
    labels = _tensor(y, what)
    if labels.dim() != 1:
        raise DataError(f"{what} has shape {tuple(labels.shape)}: give one class number an item, [n]")
    if labels.is_floating_point() or labels.is_complex():
        raise DataError(
            f"{what} holds {str(labels.dtype).removeprefix('torch.')}: labels are integers 0 to C-1"
        )
    labels = labels.to(torch.int64)
    wrong = (labels < 0).nonzero().flatten()
    if len(wrong):
        raise DataError(f"label {wrong[0]} of {what} is {labels[wrong[0]]}: labels are integers 0 to C-1")
    return labels


def _stack(read: Iterable[pictures.Pixels], where: str) -> Tensor:
    """Pictures as uint8 ``[n, channels, H, W]``."""
    decoded = list(read)
    if not decoded:
        raise DataError(f"{where} has no items")
    try:
        return torch.from_numpy(pictures.stack(decoded))
    except pictures.PictureError as fault:
        raise DataError(f"{where}: {fault}") from fault


def _read_torch(data: Any, where: str, image_size: Size) -> _Read:
    """A map-style torch data set of items (x, y)."""
    try:
        length = len(data)
    except TypeError as fault:
        raise DataError(f"{where} is a data set without a length: give one with __len__") from fault
    rows, labels = [], []
    for i in range(length):
        item = data[i]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise DataError(f"item {i} of {where} is no pair (x, y) but {type(item).__name__}")
        rows.append(item[0])
        labels.append(np.asarray(item[1].cpu() if isinstance(item[1], Tensor) else item[1]))
    names = getattr(data, "classes", None)
    classes = tuple(map(str, names)) if isinstance(names, (list, tuple)) else None
    pillow = sys.modules.get("PIL.Image")
    if rows and pillow is not None and isinstance(rows[0], pillow.Image):
        try:
            x = _stack((pictures.to_array(row, image_size) for row in rows), where)
        except pictures.PictureError as fault:
            raise DataError(f"a picture of {where} {fault}") from fault
        return _Read(_part(x, labels, where), classes)
    tensors = [_tensor(row, f"item {i} of {where}") for i, row in enumerate(rows)]
    for i, row in enumerate(tensors):
        if row.shape != tensors[0].shape:
            raise DataError(
                f"items of {where} differ in shape (item 0 is {tuple(tensors[0].shape)}, item {i} is "
                f"{tuple(row.shape)}): bring them to one"
            )
    if not tensors:
        raise DataError(f"{where} has no items")
    return _Read(_part(torch.stack(tensors), labels, where), classes)


def _read_hugging_face(data: Any, where: str, image_size: Size) -> _Read:
    """A Hugging Face data set, its columns found by their feature types."""
    from datasets import ClassLabel, Image, Value

    kinds = data.features

    def find(role: str, *tests: Any) -> str:
        for test in tests:  # the more telling type first
            found = [name for name, kind in kinds.items() if test(kind)]
            if len(found) == 1:
                return found[0]
            if found:
                raise DataError(
                    f"{where} has more than one column that could be the {role} ({', '.join(found)}): "
                    "keep one with select_columns"
                )
        raise DataError(f"{where} has no {role} column among {', '.join(kinds)}")

    image = find("image", lambda kind: isinstance(kind, Image), _array_type)
    label = find(
        "label",
        lambda kind: isinstance(kind, ClassLabel),
        lambda kind: isinstance(kind, Value) and kind.dtype.startswith(("int", "uint")),
    )
    values = data.select_columns([label]).with_format(None)[:][label]
    y = np.array([-1 if value is None else value for value in values], dtype=np.int64)
    names = kinds[label].names if isinstance(kinds[label], ClassLabel) else None
    if isinstance(kinds[image], Image):
        rows = data.select_columns([image]).cast_column(image, Image(decode=False)).with_format(None)
        x: Any = _stack((_encoded(row[image], i, where, image_size) for i, row in enumerate(rows)), where)
    else:
        x = data.select_columns([image]).with_format("numpy", dtype=_array_type(kinds[image]))[:][image]
    return _Read(_part(x, y, where), tuple(names) if names else None)


def _array_type(kind: Any) -> str | None:
    """The type of number in an array column (``List``, ``Sequence``, ``Array2D``, …); None for others."""
    nested = False
    while (inner := getattr(kind, "feature", None)) is not None:
        kind, nested = inner, True
    if not nested and not hasattr(kind, "shape"):
        return None
    dtype = getattr(kind, "dtype", "")
    return dtype if dtype.startswith(("int", "uint", "float", "bool")) else None


def _encoded(row: Mapping[str, Any] | None, i: int, where: str, image_size: Size) -> pictures.Pixels:
    """A picture as Hugging Face stores it: bytes, or the path of a file."""
    try:
        raw = (row or {}).get("bytes")
        if raw is None:
            raw = Path((row or {}).get("path") or "").read_bytes()
        return pictures.decode(raw, image_size)
    except (OSError, pictures.PictureError) as fault:
        raise DataError(f"picture {i} of {where} {fault}") from fault


def _read_folder(root: Path, where: str, image_size: Size) -> _Read:
    """A folder with a sub-folder of pictures for each class."""
    import_torchvision()
    from torchvision.datasets import ImageFolder

    try:
        found = ImageFolder(str(root))
    except FileNotFoundError as fault:  # no sub-folders, or one without pictures
        reason = str(fault).partition("\n")[0]
        raise DataError(f"{str(root)!r} is no folder of picture classes ({reason.rstrip('.')})") from fault
    decoded = []
    with pictures.progress_bar() as progress:
        for path, _ in progress.track(found.samples, description=f"reading {where}"):
            try:
                decoded.append(pictures.decode(Path(path).read_bytes(), image_size))
            except (OSError, pictures.PictureError) as fault:
                raise DataError(f"{path!r} {fault}") from fault
    return _Read(_part(_stack(decoded, str(root)), found.targets, where), tuple(found.classes))
