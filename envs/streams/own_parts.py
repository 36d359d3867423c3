"""One part of the user's own data, whatever it comes as: arrays, texts, torch and Hugging Face data sets, folders."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from . import pictures
from .arrays import as_items, as_labels, as_tensor
from .division import Part
from .text import Lexicon
from .torchvision_shim import import_torchvision

Size = tuple[int, int] | None
_CONTAINERS = "a pair (x, y), a dict of train/test pairs, a torch or Hugging Face data set, or a folder"


@dataclass(frozen=True, eq=False)
class Read:
    """One part as read: items, classes, and the classes' names where the source tells them."""

    part: Part
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class PartReader:
    """Reads parts.

    Args:
        image_size: Height and width that pictures are resized to.
        lexicon: Numbers the words of texts.
    """

    image_size: Size
    lexicon: Lexicon

    def read(self, data: Any, where: str) -> Read:
        """The part ``data``; ``where`` names it in errors.

        Raises:
            DataError: It cannot be used.
        """
        if isinstance(data, Path):
            return self._folder(data, where)
        hugging_face = sys.modules.get(
            "datasets"
        )  # nobody can hand over one of its objects without importing it
        if hugging_face is not None and isinstance(data, hugging_face.Dataset):
            return self._hugging_face(data, where)
        if hugging_face is not None and isinstance(data, hugging_face.IterableDataset):
            raise DataError(f"{where} is a streamed data set: load it without streaming=True")
        if isinstance(data, torch.utils.data.IterableDataset):
            raise DataError(
                f"{where} is an iterable data set: give a map-style one (with __getitem__ and __len__)"
            )
        if isinstance(data, torch.utils.data.Dataset):
            return self._torch(data, where)
        if isinstance(data, Mapping) and "text" in data:
            if "label" not in data:
                raise DataError(f"{where} has a column 'text' but no 'label', only {', '.join(data)}")
            texts = _texts(data["text"], f"column 'text' of {where}")
            if texts is None:
                raise DataError(f"column 'text' of {where} holds no strings: give one a row")
            return Read(self._part(self.lexicon.read(texts, where), data["label"], where))
        if isinstance(data, Mapping) and set(data) == {"x", "y"}:
            data = (data["x"], data["y"])
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise DataError(f"{where} is of type {type(data).__name__}: give {_CONTAINERS}")
        x, y = data
        return Read(self._part(self._items(x, where), y, where))

    def _items(self, x: Any, where: str) -> Tensor:
        """Arrays or texts as splits hold them."""
        texts = _texts(x, f"{where} x")
        return as_items(x, f"{where} x") if texts is None else self.lexicon.read(texts, where)

    def _part(self, items: Tensor, y: Any, where: str) -> Part:
        """Items and their labels, checked."""
        labels = as_labels(y, f"{where} y")
        if len(items) != len(labels):
            raise DataError(
                f"{where} has {len(items)} items in x but {len(labels)} labels in y: give one label an item"
            )
        if len(items) == 0:
            raise DataError(f"{where} has no items")
        return Part(items, labels)

    def _torch(self, data: Any, where: str) -> Read:
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
        if not rows:
            raise DataError(f"{where} has no items")
        pillow = sys.modules.get("PIL.Image")
        x: Any = rows
        if pillow is not None and isinstance(rows[0], pillow.Image):
            try:
                x = _stack((pictures.to_array(row, self.image_size) for row in rows), where)
            except pictures.PictureError as fault:
                raise DataError(f"a picture of {where} {fault}") from fault
        elif _texts(rows, where) is None:
            x = _alike(rows, where)
        return Read(self._part(self._items(x, where), labels, where), classes)

    def _hugging_face(self, data: Any, where: str) -> Read:
        """A Hugging Face data set, its columns found by their feature types."""
        from datasets import ClassLabel, Image, Value

        kinds = data.features

        def find(role: str, *tests: Any, otherwise: str = "") -> str:
            for test in tests:  # the more telling type first
                found = [name for name in kinds if test(name, kinds[name])]
                if len(found) == 1:
                    return found[0]
                if found:
                    raise DataError(
                        f"{where} has more than one column that could be the {role} ({', '.join(found)}): "
                        "keep one with select_columns"
                    )
            raise DataError(f"{where} has no {role} column among {', '.join(kinds)}{otherwise}")

        item = find(
            "image",
            lambda name, kind: isinstance(kind, Image),
            lambda name, kind: _array_type(kind),
            lambda name, kind: name == "text" and isinstance(kind, Value) and kind.dtype.endswith("string"),
            otherwise="; strings are read from a column named 'text'",
        )
        label = find(
            "label",
            lambda name, kind: isinstance(kind, ClassLabel),
            lambda name, kind: isinstance(kind, Value) and kind.dtype.startswith(("int", "uint")),
        )
        values = data.select_columns([label]).with_format(None)[:][label]
        y = np.array([-1 if value is None else value for value in values], dtype=np.int64)
        names = kinds[label].names if isinstance(kinds[label], ClassLabel) else None
        column = data.select_columns([item])
        if isinstance(kinds[item], Image):
            rows = column.cast_column(item, Image(decode=False)).with_format(None)
            encoded = (_encoded(row[item], i, where, self.image_size) for i, row in enumerate(rows))
            items = _stack(encoded, where)
        elif isinstance(kinds[item], Value):
            items = self.lexicon.read(column.with_format(None)[:][item], where)
        else:
            numbers = column.with_format("numpy", dtype=_array_type(kinds[item]))[:][item]
            items = as_items(numbers, f"{where} x")
        return Read(self._part(items, y, where), tuple(names) if names else None)

    def _folder(self, root: Path, where: str) -> Read:
        """A folder with a sub-folder of pictures for each class."""
        import_torchvision()
        from torchvision.datasets import ImageFolder

        try:
            found = ImageFolder(str(root))
        except FileNotFoundError as fault:  # no sub-folders, or one without pictures
            reason = str(fault).partition("\n")[0]
            raise DataError(
                f"{str(root)!r} is no folder of picture classes ({reason.rstrip('.')})"
            ) from fault
        decoded = []
        with pictures.progress_bar() as progress:
            for path, _ in progress.track(found.samples, description=f"reading {where}"):
                try:
                    decoded.append(pictures.decode(Path(path).read_bytes(), self.image_size))
                except (OSError, pictures.PictureError) as fault:
                    raise DataError(f"{path!r} {fault}") from fault
        return Read(self._part(_stack(decoded, str(root)), found.targets, where), tuple(found.classes))


def _texts(x: Any, what: str) -> list[Any] | None:
    """The rows of a list or column of which any is a string; None where none is."""
    if isinstance(x, (str, Iterator)):
        raise DataError(f"{what} is of type {type(x).__name__}: give a list or an array, one item a row")
    if hasattr(x, "__array__") and not isinstance(x, (Sequence, Tensor)):  # NumPy, pandas, Arrow
        array = np.asarray(x)
        x = array.tolist() if array.ndim == 1 and array.dtype.kind in "OTU" else []
    rows = list(x) if isinstance(x, Sequence) else []
    return rows if any(isinstance(row, str) for row in rows) else None


def _stack(read: Iterable[pictures.Pixels], where: str) -> Tensor:
    """Pictures as uint8 ``[n, channels, H, W]``."""
    decoded = list(read)
    if not decoded:
        raise DataError(f"{where} has no items")
    try:
        return torch.from_numpy(pictures.stack(decoded))
    except pictures.PictureError as fault:
        raise DataError(f"{where}: {fault}") from fault


def _alike(rows: list[Any], where: str) -> Tensor:
    """Arrays of one shape, side by side."""
    tensors = [as_tensor(row, f"item {i} of {where}") for i, row in enumerate(rows)]
    for i, row in enumerate(tensors):
        if row.shape != tensors[0].shape:
            raise DataError(
                f"items of {where} differ in shape (item 0 is {tuple(tensors[0].shape)}, item {i} is "
                f"{tuple(row.shape)}): bring them to one"
            )
    return torch.stack(tensors)


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
