"""Encoded pictures to uint8 arrays, channels first."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import DataError, short

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.progress import Progress

Pixels = npt.NDArray[np.uint8]

_MOST_SIDE = 4096
_MOST_PIXELS = 2**26
"""Of one picture as it comes, 8192x8192: a file of a few KB can hold any number of equal ones."""


class PictureError(ValueError):
    """A picture that cannot be used; the caller, who knows where it came from, makes it a DataError."""


def decode(raw: bytes, size: tuple[int, int] | None = None) -> Pixels:
    """The picture in an encoded file: uint8 ``[H, W]`` (grey) or ``[H, W, 3]``.

    Args:
        raw: The file's bytes, in any format Pillow reads.
        size: Height and width to resize to.

    Raises:
        PictureError: The bytes are not a whole picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        picture = Image.open(io.BytesIO(raw))  # reads the header alone
        if picture.width * picture.height > _MOST_PIXELS:
            raise PictureError(
                f"has {picture.width}x{picture.height} pixels, more than {_MOST_PIXELS:,}: make it smaller"
            )
        return to_array(picture, size)
    except PictureError:
        raise
    except UnidentifiedImageError as fault:
        raise PictureError("is not a readable picture (of no format that Pillow knows)") from fault
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as fault:  # all that Pillow raises
        raise PictureError(f"is not a readable picture ({type(fault).__name__}: {fault})") from fault


def to_array(picture: Image, size: tuple[int, int] | None = None) -> Pixels:
    """A Pillow picture as uint8 ``[H, W]`` (grey) or ``[H, W, 3]``, resized to ``size`` where given.

    Raises:
        PictureError: It has more than 8 bits a channel, which uint8 would silently clip.
    """
    from PIL.Image import Resampling

    if picture.mode.startswith(("I", "F")):
        raise PictureError(f"has mode {picture.mode!r}, more than 8 bits a channel: pass arrays instead")
    mode = "L" if picture.mode in ("1", "L", "LA") else "RGB"
    if picture.mode != mode:
        picture = picture.convert(mode)
    if size is not None and picture.size != size[::-1]:
        picture = picture.resize(size[::-1], Resampling.BILINEAR)
    return np.asarray(picture)


def stack(
    pictures: Sequence[Pixels], channels: int | None = None, names: Sequence[str] | None = None
) -> Pixels:
    """Pictures of one size as uint8 ``[n, channels, H, W]``.

    Args:
        pictures: uint8 ``[H, W]`` or ``[H, W, 3]`` each, at least one.
        channels: 1 or 3; by default 1 where all pictures are grey. Grey ones among coloured are repeated.
        names: What they are, for errors; by default their numbers.

    Raises:
        PictureError: Sizes differ, or a coloured picture stands where grey ones belong.
    """
    height, width = pictures[0].shape[:2]
    for i, picture in enumerate(pictures):
        if picture.shape[:2] != (height, width):
            one, other = (names[k] if names else f"picture {k}" for k in (0, i))
            raise PictureError(
                f"pictures differ in size ({one} is {height}x{width}, {other} is {picture.shape[0]}x{picture.shape[1]}"
                "): resize them, or use `from studyhall.envs.streams import load_dataset` and "
                "data=load_dataset(…, image_size=…)"
            )
    colour = next((i for i, picture in enumerate(pictures) if picture.ndim == 3), None)
    if channels is None:
        channels = 1 if colour is None else 3
    if channels == 1:
        if colour is not None:
            raise PictureError(f"picture {colour} has colours where grey ones are expected")
        return np.stack(pictures)[:, None]
    full = [picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, -1) for picture in pictures]
    return np.ascontiguousarray(np.stack(full).transpose(0, 3, 1, 2))


def stack_all(read: Iterable[Pixels], where: str, names: Sequence[str] | None = None) -> Tensor:
    """Pictures as they are decoded, as uint8 ``[n, channels, H, W]``.

    Args:
        read: The pictures, as :func:`stack` takes them.
        where: What they are, for errors.
        names: What each of them is, for errors.

    Raises:
        DataError: There are none, or their sizes differ.
    """
    decoded = list(read)
    if not decoded:
        raise DataError(f"{where} has no items")
    try:
        return torch.from_numpy(stack(decoded, names=names))
    except PictureError as fault:
        raise DataError(f"{where}: {fault}") from fault


def image_hw(image_size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """Height and width from ``image_size=``, a side or a pair.

    Raises:
        DataError: It is neither.
    """
    if image_size is None:
        return None
    pair = tuple(image_size) if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    if len(pair) != 2 or not all(type(side) is int and 0 < side <= _MOST_SIDE for side in pair):
        raise DataError(
            f"image_size is {short(image_size)}: give a side in pixels, or (height, width), of {_MOST_SIDE} at most"
        )
    return pair


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on standard error, shown only where that is a terminal and gone when done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress
