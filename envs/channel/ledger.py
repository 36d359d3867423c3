"""The ledger's widths: what crosses from one mind to another, in whole bits on the wire.

=================  =========================================  ==================================
kind               width                                      charged under
=================  =========================================  ==================================
``soft_targets``   rows × classes × bits of a number          ``bytes``, to the sender
``messages``       rows × numbers × bits of a number          ``bytes``, to the sender
``symbols``        rows × symbols × ⌈log₂ vocabulary⌉         ``bytes``, to the sender
``weights``        32 bits a parameter, or feature            ``bytes``, to the sender
``raw_samples``    entries × the bits of an entry as stored   ``bytes``, to the sender
``labels``         rows × ⌈log₂ classes⌉                      ``label_bytes``, to who is taught
=================  =========================================  ==================================

``bytes`` are what agents send each other, ``label_bytes`` what a teacher tells them: two prices, two columns.
A world declares in :attr:`~studyhall.envs.engine.world.World.crosses` the kinds that cross in it; "raw_samples" among
them is the flag that agents get at each other's data.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

Count = TypeVar("Count", int, Tensor)

CHARGED = {
    "soft_targets": "bytes",
    "messages": "bytes",
    "symbols": "bytes",
    "weights": "bytes",
    "raw_samples": "bytes",
    "labels": "label_bytes",
}
"""Kinds of what crosses, to the info and metric ``[W, N]`` that charges them."""


def soft_targets(rows: Count, classes: int, bits: int = 32) -> Count:
    """Bits of ``rows`` distributions over ``classes``, ``bits`` a number."""
    return rows * (classes * bits)


def messages(rows: Count, width: int, bits: int = 32) -> Count:
    """Bits of ``rows`` messages of ``width`` numbers, ``bits`` a number."""
    return rows * (width * bits)


def symbols(rows: Count, length: int, vocabulary: int) -> Count:
    """Bits of ``rows`` messages of ``length`` symbols at ⌈log₂ ``vocabulary``⌉ each."""
    return rows * (length * (vocabulary - 1).bit_length())


def labels(rows: Count, classes: int) -> Count:
    """Bits of ``rows`` labels at ⌈log₂ ``classes``⌉ each; of a single class a label tells nothing."""
    return rows * (classes - 1).bit_length()


def label_bytes(rows: Tensor, classes: int) -> Tensor:
    """Bytes of so many labels."""
    return labels(rows, classes) / 8


def weights(count: Count) -> Count:
    """Bits of ``count`` parameters or features, float32 on the wire."""
    return count * 32


def raw_samples(entries: Count, dtype: torch.dtype) -> Count:
    """Bits of raw inputs of ``entries`` numbers in all, as they are stored (uint8 8, float32 32)."""
    return entries * (8 * dtype.itemsize)
