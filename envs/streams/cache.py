"""Decoded data sets on disk, since decoding tens of thousands of pictures takes seconds.

An entry is a folder of plain ``.npy`` files and a ``meta.json`` with their checksums, written beside its
place and moved there in one rename: it exists whole or not at all. Its name holds a fingerprint of the
source, so a changed source has another entry. The whole cache may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import uuid
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import warn
from ..files import as_path
from ..untrusted import load_array

Array = npt.NDArray[Any]
_FORMAT = 2  # part of every fingerprint: raise it when decoding changes


def folder() -> Path:
    """``$STUDYHALL_CACHE``, else the platform's cache folder."""
    chosen = os.environ.get("STUDYHALL_CACHE")
    if chosen:
        return as_path("STUDYHALL_CACHE", chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "studyhall"


def fingerprint(files: Iterable[Path] = (), *, text: str = "") -> str:
    """A digest of some text and of the files' names and contents (times differ between copies)."""
    digest = hashlib.blake2b(f"{_FORMAT}\0{text}".encode(), digest_size=12)
    for file in files:
        digest.update(f"\0{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def read(entry: Path) -> tuple[dict[str, Array], dict[str, Any]] | None:
    """The arrays and notes of an entry, or None where it is absent, damaged or unreadable."""
    try:
        meta = json.loads((entry / "meta.json").read_text(encoding="utf-8"))
        arrays = {name: _array(entry / f"{name}.npy") for name in meta["checksums"]}
        intact = all(_checksum(array) == meta["checksums"][name] for name, array in arrays.items())
        return (arrays, meta["notes"]) if intact else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # What a missing, cut or scribbled-over file makes of open, json and the look-ups above.
        return None


def write(entry: Path, arrays: Mapping[str, Array], notes: Mapping[str, Any]) -> None:
    """Store an entry; one that was there (``read`` found it damaged) is replaced.

    A cache that cannot be written is no fault of the data: it costs a warning and the time to decode again.
    """
    draft = entry.with_name(f".{entry.name}.{uuid.uuid4().hex}")
    try:
        draft.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(draft / f"{name}.npy", array, allow_pickle=False)
        meta = {"checksums": {name: _checksum(array) for name, array in arrays.items()}, "notes": dict(notes)}
        (draft / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        shutil.rmtree(entry, ignore_errors=True)
        os.replace(draft, entry)
    except OSError as fault:
        if read(entry) is None:  # else another process has just put the same entry there
            warn(
                f"decoded data cannot be kept in {entry.parent} ({fault}), so it will be decoded each time; "
                "set STUDYHALL_CACHE to a folder that can be written"
            )
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _array(path: Path) -> Array:
    with path.open("rb") as file:
        return load_array(file)


def _checksum(array: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data)
