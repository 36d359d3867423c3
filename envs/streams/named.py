"""Loads the data sets known by name: one embedded, the others through Hugging Face ``datasets``.

A local folder of parquet files and the hub give the same columns, so the same code decodes both.
"""

from __future__ import annotations

import functools
import glob
import gzip
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import DataError, short
from . import cache, pictures
from .division import Part, Source
from .hub import corrupt, local_root, offline, open_hub, part_files, unlogged
from .hub_sets import HUB_SETS, HubSet, HubTexts
from .text import Lexicon

if TYPE_CHECKING:
    import pyarrow
    from rich.progress import Progress, TaskID

_ROWS = 1000  # decoded at a time
_PARTS = ("train", "test")


@functools.cache  # scikit-learn reads them from text each time; what is divided is copied
def load_digits() -> Source:
    """The 8×8 digits that come with scikit-learn; no network, values 0 to 16."""
    # Its file, since to import all of scikit-learn takes as long as to import torch.
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("the digits come with scikit-learn, which is not installed: pip install scikit-learn")
    with gzip.open(Path(package.origin).with_name("datasets") / "data" / "digits.csv.gz") as file:
        rows = np.loadtxt(file, delimiter=",")
    x = torch.from_numpy(rows[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8))
    y = torch.from_numpy(rows[:, -1].astype(np.int64))
    classes = tuple(str(c) for c in range(10))
    moments = (torch.tensor(0.3053), torch.tensor(0.3761))
    return Source("digits", classes, Part(x, y), moments=moments, scale=16.0)


def load_hub_set(name: str, data_dir: str | os.PathLike[str] | None, text_size: tuple[int, int]) -> Source:
    """A set from ``data_dir`` or ``$STUDYHALL_DATA`` where one is given, else from the hub.

    Decoded items are kept in the cache: a local folder is recognised by its files' contents, the hub by
    its name, so that a set fetched once needs no network.

    Raises:
        DataError: The data cannot be had, or are not what they should be.
    """
    known = HUB_SETS[name]
    folder = _local_folder(name, data_dir)
    files = {} if folder is None else {part: _local_files(name, folder, part) for part in _PARTS}
    texts = isinstance(known, HubTexts)
    kind = f" {text_size[0]} words" if texts else ""
    digest = cache.fingerprint(
        (file for part in files.values() for file in part),
        text=f"{known.hub} {known.column} {known.label} {[len(part) for part in files.values()]}{kind}",
    )
    entry = cache.folder() / f"{name}-{digest}"
    stored = cache.read(entry)
    if stored is None:
        with pictures.progress_bar() as progress:
            reader = _Reader(known, progress, Lexicon(*text_size))
            arrays = (
                {part: reader.files(part, paths) for part, paths in files.items()} if files else reader.hub()
            )
        flat = {f"{part}_{key}": array for part, pair in arrays.items() for key, array in pair.items()}
        stored = flat, {"classes": reader.classes, "words": reader.lexicon.words}
        cache.write(entry, *stored)
    flat, notes = stored
    train, test = (
        Part(torch.from_numpy(flat[f"{part}_x"]), torch.from_numpy(flat[f"{part}_y"])) for part in _PARTS
    )
    return Source(
        name,
        tuple(notes["classes"]),
        train,
        test=test,
        moments=known.moments,
        lexicon=Lexicon(*text_size, words=notes["words"]) if texts else None,
    )


def _local_folder(name: str, data_dir: str | os.PathLike[str] | None) -> Path | None:
    """The folder of a local copy; None where none was asked for. Never silently the hub instead."""
    found = local_root(data_dir, f"{name}/*.parquet")
    if found is None:
        return None
    said, root = found
    if not (root / name).is_dir():
        held = sorted(path.parent.name for path in root.glob("*/*.parquet"))
        there = f"it holds {', '.join(dict.fromkeys(held))}" if held else "it holds no data sets"
        raise DataError(
            f"{said} {str(root)!r} has no folder {name!r} ({there}): add {name}/train.parquet and "
            f"{name}/test.parquet, or leave {said} unset to use the hub"
        )
    return root / name


def _local_files(name: str, folder: Path, part: str) -> list[Path]:
    files = part_files(folder, part)
    if not files:
        raise DataError(f"{str(folder)!r} has no {part}*.parquet: {name} needs train and test files")
    return files


class _Reader:
    """Reads the parts of one set, from parquet files or from the hub."""

    def __init__(self, known: HubSet, progress: Progress, lexicon: Lexicon) -> None:
        self.known = known
        self.progress = progress
        self.lexicon = lexicon
        self.classes = [str(c) for c in range(known.num_classes)]

    def files(self, part: str, paths: list[Path]) -> dict[str, cache.Array]:
        """A part from its files: ``x`` as splits hold it and ``y`` int64 ``[n]``."""
        import datasets
        import pyarrow
        from pyarrow import parquet

        rows = 0
        for path in paths:  # look at every footer first: faults are named before the long work
            try:
                metadata = parquet.read_metadata(path)
            except (OSError, pyarrow.ArrowException) as fault:
                raise corrupt(path, fault) from fault
            self._check_columns(metadata.schema.to_arrow_schema().names, str(path))
            rows += metadata.num_rows
        bar = self.progress.add_task(f"decoding {part}", total=rows)
        blocks = []
        for path in paths if rows else ():  # `datasets` cannot open a file without rows
            try:
                # Streaming reads the file where it lies; otherwise `datasets` would first copy all of it.
                # The name is escaped because `datasets` takes it for a pattern.
                with offline(), unlogged():
                    opened = datasets.load_dataset(
                        "parquet", data_files=glob.escape(str(path)), split="train", streaming=True
                    )
                    blocks += list(self._decode(opened, str(path), bar))
            except (OSError, pyarrow.ArrowException) as fault:
                raise corrupt(path, fault) from fault
        return _join(blocks, f"the {part} part of {self.known.hub}")

    def hub(self) -> dict[str, dict[str, cache.Array]]:
        """All parts from the hub, or from what `datasets` fetched from there before."""
        opened = open_hub(self.known.hub)
        arrays = {}
        for part in _PARTS:
            where = f"{self.known.hub} ({part})"
            if part not in opened:
                raise DataError(f"{self.known.hub} has no part {part!r}, only {', '.join(opened)}")
            self._check_columns(opened[part].column_names, where)
            bar = self.progress.add_task(f"decoding {part}", total=len(opened[part]))
            arrays[part] = _join(list(self._decode(opened[part], where, bar)), where)
        return arrays

    def _check_columns(self, columns: list[str], where: str) -> None:
        for column in (self.known.column, self.known.label):
            if column not in columns:
                raise DataError(f"{where} has no column {short(column)}, only {', '.join(columns)}")

    def _decode(self, opened: Any, where: str, bar: TaskID) -> Iterator[tuple[cache.Array, cache.Array]]:
        names = getattr((opened.features or {}).get(self.known.label), "names", None)
        if names is not None and len(names) == self.known.num_classes:
            self.classes = list(names)
        done = 0
        for table in opened.with_format("arrow").iter(batch_size=_ROWS):
            column = table[self.known.column].combine_chunks()
            items = self.known.items(column, where, done, self.lexicon)
            yield items, self._labels(table, where, done)
            done += table.num_rows
            self.progress.advance(bar, table.num_rows)

    def _labels(self, table: pyarrow.Table, where: str, first: int) -> cache.Array:
        """Classes as int64 ``[rows]``."""
        import pyarrow

        column, name = table[self.known.label].combine_chunks(), self.known.label
        if not pyarrow.types.is_integer(column.type) or column.null_count:
            fault = "gaps" if pyarrow.types.is_integer(column.type) else str(column.type)
            raise DataError(f"column {name!r} of {where} holds {fault}, expected a whole number in every row")
        y = column.to_numpy(zero_copy_only=False).astype(np.int64)
        wrong = np.flatnonzero((y < 0) | (y >= self.known.num_classes))
        if len(wrong):
            raise DataError(
                f"row {first + wrong[0]} of {where} has {name} {y[wrong[0]]}, "
                f"expected 0 to {self.known.num_classes - 1}"
            )
        return y


def _join(blocks: list[tuple[cache.Array, cache.Array]], where: str) -> dict[str, cache.Array]:
    if not blocks:
        raise DataError(f"{where} has no rows")
    x, y = zip(*blocks, strict=True)
    return {"x": np.concatenate(x), "y": np.concatenate(y)}
