"""The data sets known by name, where they are, and how their items come out of a column."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from . import pictures
from .cache import Array
from .text import Lexicon, few_rows

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class HubSet(ABC):
    """A data set on the hub: where it is, its columns, and what it holds."""

    hub: str
    column: str
    label: str
    num_classes: int
    summary: str

    @property
    @abstractmethod
    def line(self) -> str:
        """One line about it."""

    @property
    def moments(self) -> tuple[Tensor, Tensor] | None:
        """Mean and deviation of its inputs, where they are known."""
        return None

    @abstractmethod
    def items(self, column: pyarrow.Array, where: str, first: int, lexicon: Lexicon) -> Array:
        """Rows of its column as splits hold them.

        Args:
            column: The rows.
            where: Their file, for errors.
            first: The first one's number.
            lexicon: Numbers the words of texts; pictures have no use for it.

        Raises:
            DataError: One is not what it should be.
        """


@dataclass(frozen=True)
class HubPictures(HubSet):
    """Encoded pictures of one size, and how they are normalised."""

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def line(self) -> str:
        """As in :attr:`HubSet.line`."""
        shape = "×".join(map(str, self.shape))
        return f"{shape}, {self.num_classes} classes: {self.summary} (train + test), hub {self.hub}"

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """As in :attr:`HubSet.moments`."""
        shape = (-1, 1, 1) if len(self.mean) > 1 else ()
        return torch.tensor(self.mean).view(shape), torch.tensor(self.std).view(shape)

    def items(self, column: pyarrow.Array, where: str, first: int, lexicon: Lexicon) -> Array:
        """uint8 ``[rows, *shape]``."""
        import pyarrow

        if pyarrow.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
            column = column.field("bytes")
        if not (pyarrow.types.is_binary(column.type) or pyarrow.types.is_large_binary(column.type)):
            raise DataError(
                f"column {self.column!r} of {where} holds {column.type}, not encoded pictures (bytes)"
            )
        channels, *size = self.shape
        decoded = []
        for row, raw in enumerate(column.to_pylist(), start=first):
            try:
                picture = pictures.decode(b"" if raw is None else raw)
                if list(picture.shape[:2]) != size:
                    raise pictures.PictureError(
                        f"is {picture.shape[0]}x{picture.shape[1]} pixels, expected {size[0]}x{size[1]}"
                    )
                decoded.append(pictures.stack([picture], channels)[0])
            except pictures.PictureError as fault:
                raise DataError(f"row {row} of {where} {fault}") from fault
        return np.stack(decoded)


@dataclass(frozen=True)
class HubTexts(HubSet):
    """Texts."""

    @property
    def line(self) -> str:
        """As in :attr:`HubSet.line`."""
        return f"texts, {self.num_classes} classes: {self.summary} (train + test), hub {self.hub}"

    def items(self, column: pyarrow.Array, where: str, first: int, lexicon: Lexicon) -> Array:
        """Numbers of words, int32 ``[rows, T]``."""
        import pyarrow

        if not (pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type)):
            raise DataError(f"column {self.column!r} of {where} holds {column.type}, not strings")
        block = f"{where}, from row {first} to {first + len(column) - 1},"
        texts = lexicon.read(column.to_pylist(), block, first)
        wordless = (first + (~texts.any(1)).nonzero().flatten()).tolist()
        if wordless:
            raise DataError(
                f"{block} has rows without words, {len(wordless)} in all (row {few_rows(wordless)}): drop every "
                "text that has no letter or digit"
            )
        return texts.numpy()


HUB_SETS: dict[str, HubSet] = {
    "mnist": HubPictures(
        hub="ylecun/mnist",
        column="image",
        label="label",
        shape=(1, 28, 28),
        num_classes=10,
        mean=(0.1307,),
        std=(0.3081,),
        summary="handwritten digits, 60,000 + 10,000",
    ),
    "fashion_mnist": HubPictures(
        hub="zalando-datasets/fashion_mnist",
        column="image",
        label="label",
        shape=(1, 28, 28),
        num_classes=10,
        mean=(0.2860,),
        std=(0.3530,),
        summary="articles of clothing, 60,000 + 10,000",
    ),
    "cifar10": HubPictures(
        hub="uoft-cs/cifar10",
        column="img",
        label="label",
        shape=(3, 32, 32),
        num_classes=10,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        summary="small photographs, 50,000 + 10,000",
    ),
    "cifar100": HubPictures(
        hub="uoft-cs/cifar100",
        column="img",
        label="fine_label",
        shape=(3, 32, 32),
        num_classes=100,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        summary="small photographs, 50,000 + 10,000",
    ),
    "ag_news": HubTexts(
        hub="fancyzhx/ag_news",
        column="text",
        label="label",
        num_classes=4,
        summary="news by topic, 120,000 + 7,600",
    ),
}

DATASETS: dict[str, str] = {
    "digits": "1×8×8, 10 classes: handwritten digits of scikit-learn, 1,797 in all, embedded",
    **{name: known.line for name, known in HUB_SETS.items()},
}
"""Every data set known by name, with one line about it."""
