"""Zips, tensors and arrays out of files that anybody may have written."""

from __future__ import annotations

import math
import os
import pickle
import struct
import tokenize
import zipfile
import zlib
from typing import Any, BinaryIO

import numpy as np

# What zipfile and torch make of files that are cut, scribbled over or crafted. ``weights_only`` refuses whatever is
# no tensor, but its reader trusts the bytes to be a pickle and stumbles in all these ways over those that are none.
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, pickle.UnpicklingError, EOFError, OSError, MemoryError),
    *(RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError, ArithmeticError),
)


class Unreadable(ValueError):  # noqa: N818  # a state of the file, told apart by name
    """A file is not what it should be; the message says why, in a few words."""


def read_entry(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """An entry of a zip, whose checksum fits.

    Args:
        archive: The zip.
        name: Of the entry.
        most: Bytes that it may have.

    Raises:
        Unreadable: It is not there, too large, or damaged.
    """
    try:
        entry = archive.getinfo(name)
        if entry.file_size > most:
            raise Unreadable(f"{name} is far too large")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable(f"{name} is packed in an unknown way")
        return archive.read(name)
    except _UNREADABLE as fault:
        raise _unreadable(fault) from fault


def load_tensors(file: BinaryIO, device: Any = "cpu") -> Any:
    """What ``torch.save`` wrote: tensors and plain values, nothing of which is ever unpickled.

    Args:
        file: Open for reading, at its start.
        device: Where the tensors go.

    Raises:
        Unreadable: It is something else, or would take more memory than the file itself.
    """
    import torch

    try:
        with zipfile.ZipFile(file) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise Unreadable("its entries are packed, which torch never does")
            if archive.testzip() is not None:
                raise Unreadable("a checksum is wrong")
        file.seek(0)
        return torch.load(file, map_location=device, weights_only=True)
    except _UNREADABLE as fault:
        raise _unreadable(fault) from fault


def load_array(file: BinaryIO) -> np.ndarray:
    """What ``np.save`` wrote of plain numbers.

    Args:
        file: Open for reading, at its start, with nothing behind the array.

    Raises:
        Unreadable: It is something else, or says that it is of another length than it has.
    """
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, _, dtype = headers[np.lib.format.read_magic(file)](file)
        said = file.tell() + math.prod(shape) * dtype.itemsize
        if said != file.seek(0, os.SEEK_END):
            raise Unreadable("an array is not as long as it says")
        file.seek(0)
        return np.load(file, allow_pickle=False)
    except (
        *_UNREADABLE,
        SyntaxError,
        tokenize.TokenError,
    ) as fault:  # its head is Python's text of a dictionary
        raise _unreadable(fault) from fault


def is_plain_tensor(value: Any) -> bool:
    """Whether a loaded value is a dense tensor that is no larger than what is stored of it."""
    import torch

    return (
        type(value) is torch.Tensor
        and value.layout is torch.strided
        and not value.is_meta
        and not value.is_quantized
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _unreadable(fault: BaseException) -> Unreadable:
    if isinstance(fault, Unreadable):
        return fault
    return Unreadable(str(fault).partition("\n")[0].partition(". ")[0] or type(fault).__name__)
