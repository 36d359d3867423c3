"""One part of the user's own data, whatever it comes as: arrays, texts, tables, torch data sets, folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..files import as_path
from . import pictures
from .arrays import as_items, as_tensor
from .columns import read_columns
from .labels import Labels, read_labels, refuse_masked
from .tables import Table, as_table, read_file
from .text import Lexicon, with_words
from .torchvision_shim import import_torchvision

Size = tuple[int, int] | None
_CONTAINERS = (
    "a pair (x, y), a data frame, a dict of train/test parts, a torch or Hugging Face data set, or a path of a "
    "table or folder"
)


@dataclass(frozen=True, eq=False)
class Read:
    """One part as read.

    Attributes:
        items: uint8 or float32 ``[n, *shape]``, or the numbers of the words of texts, int32 ``[n, T]``.
        labels: One an item.
        columns: Names of the columns of a table that are side by side in the items; () of other sources.
    """

    items: Tensor
    labels: Labels
    columns: tuple[str, ...] = ()


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
        if isinstance(data, (str, os.PathLike)):
            path = as_path(where, data)
            return (
                self._folder(path, where) if path.is_dir() else self._table(read_file(path), f"{str(path)!r}")
            )
        table = as_table(data, where)
        if table is not None:
            return self._table(table, where)
        hugging_face = sys.modules.get("datasets")
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
            return self._checked(
                self.lexicon.read(texts, where), read_labels(data["label"], f"{where} label"), where
            )
        if isinstance(data, Mapping) and set(data) == {"x", "y"}:
            data = (data["x"], data["y"])
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise DataError(f"{where} is of type {type(data).__name__}: give {_CONTAINERS}")
        x, y = data
        return self._checked(self._items(x, where), read_labels(y, f"{where} y"), where)

    def _table(self, table: Table, where: str) -> Read:
        """Columns of a data frame, a file or a Hugging Face data set."""
        items, labels, columns = read_columns(table, where, self.image_size, self.lexicon)
        return replace(self._checked(items, labels, where), columns=columns)

    def _items(self, x: Any, where: str) -> Tensor:
        """Arrays or texts as splits hold them."""
        texts = _texts(x, f"{where} x")
        return as_items(x, f"{where} x") if texts is None else self.lexicon.read(texts, where)

    def _checked(self, items: Tensor, labels: Labels, where: str) -> Read:
        """Items and their labels, checked; texts without words are set aside, with a warning."""
        if len(items) != len(labels.values):
            raise DataError(
                f"{where} has {len(items)} items in x but {len(labels.values)} labels in y: give one label an item"
            )
        if len(items) == 0:
            raise DataError(f"{where} has no items")
        if items.dtype == torch.int32:
            kept = with_words(items, where)
            items, labels = items[kept], Labels(labels.values[kept.numpy()], labels.classes)
        return Read(items, labels)

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
            label = np.asarray(item[1].cpu() if isinstance(item[1], Tensor) else item[1])
            labels.append(label.tolist())
        names = getattr(data, "classes", None)
        classes = names if isinstance(names, (list, tuple)) else None
        if not rows:
            raise DataError(f"{where} has no items")
        pillow = sys.modules.get("PIL.Image")
        x: Any = rows
        if pillow is not None and isinstance(rows[0], pillow.Image):
            try:
                x = pictures.stack_all((pictures.to_array(row, self.image_size) for row in rows), where)
            except pictures.PictureError as fault:
                raise DataError(f"a picture of {where} {fault}") from fault
        elif _texts(rows, where) is None:
            x = _alike(rows, where)
        return self._checked(self._items(x, where), read_labels(labels, f"{where} y", classes), where)

    def _folder(self, root: Path, where: str) -> Read:
        """A folder with a sub-folder of pictures for each class."""
        classes = _picture_classes(root)
        paths = [path for held in classes.values() for path in held]
        targets = [target for target, held in enumerate(classes.values()) for _ in held]
        decoded = []
        with pictures.progress_bar() as progress:
            for path in progress.track(paths, description=f"reading {where}"):
                try:
                    decoded.append(pictures.decode(path.read_bytes(), self.image_size))
                except (OSError, pictures.PictureError) as fault:
                    raise DataError(f"{str(path)!r} {fault}") from fault
        inside = [repr(str(path.relative_to(root))) for path in paths]
        items = pictures.stack_all(decoded, repr(str(root)), inside)
        return self._checked(items, read_labels(targets, f"{where} y", list(classes)), where)


def _picture_classes(root: Path) -> dict[str, list[Path]]:
    """The pictures in each sub-folder, sorted; none deeper, and none that a link leads to.

    Raises:
        DataError: There are no sub-folders, or one has no picture; the rest is not looked at then.
    """
    import_torchvision()
    from torchvision.datasets.folder import IMG_EXTENSIONS

    found: dict[str, list[Path]] = {}
    reason = "it has no sub-folders"
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
        for folder in folders:
            files = [path for path in folder.iterdir() if path.suffix.lower() in IMG_EXTENSIONS]
            found[folder.name] = sorted(path for path in files if path.is_file() and not path.is_symlink())
            if not found[folder.name]:
                links = ", and links are not followed" if files else ""
                raise DataError(
                    f"{str(root)!r} is no folder of picture classes ({folder.name!r} holds no picture{links}): give "
                    "one whose sub-folders hold the pictures of a class each"
                )
    except OSError as fault:
        found, reason = {}, f"{fault.strerror}: {fault.filename}"
    if not found:
        raise DataError(f"{str(root)!r} is no folder of picture classes ({reason})")
    return found


def _texts(x: Any, what: str) -> list[Any] | None:
    """The rows of a list or column of which any is a string; None where none is."""
    refuse_masked(x, what)
    if isinstance(x, (str, Iterator)):
        raise DataError(f"{what} is of type {type(x).__name__}: give a list or an array, one item a row")
    if hasattr(x, "__array__") and not isinstance(x, (Sequence, Tensor)):  # NumPy, pandas, Arrow
        array = np.asarray(x)
        x = array.tolist() if array.ndim == 1 and array.dtype.kind in "OTU" else []
    rows = list(x) if isinstance(x, Sequence) else []
    return rows if any(isinstance(row, str) for row in rows) else None


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
