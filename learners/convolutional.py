"""Deeper convolutional networks for pictures, which can be cut at any depth: three convolutions, and VGG-16.

Each is a module from ``[M, channels, height, width]`` to logits ``[M, C]``, for every depth d from 0 to ``depth``:
``net.rest(net.upto(x, d), d)`` is what ``net(x)`` says. So one network's features can be continued by another's rest,
if need be through a 1×1 convolution from ``one.channels[d]`` to ``other.channels[d]``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from ..envs.errors import ConfigError, one_of
from ..envs.validation import whole

_SMALL = 16  # pictures up to this side keep their resolution in the first layer of Conv3
_POOLED = 32  # what the five pools of VGG divide a side by


class Convolutional(nn.Module):
    """3×3 convolutions with batch norm and ReLU, some of them pooled, and a head.

    Args:
        channels: Of the picture, and of each convolution.
        pooled: Behind which of the convolutions, counted from 0, the largest of 2×2 is taken.
        head: From the features to logits.
    """

    def __init__(self, channels: Sequence[int], pooled: Sequence[int], head: nn.Module) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.layers = nn.ModuleList()
        for layer, (came, goes) in enumerate(itertools.pairwise(self.channels)):
            # Batch norm has a bias of its own. What is largest stays so behind ReLU, which then has less to do.
            parts: list[nn.Module] = [nn.Conv2d(came, goes, 3, padding=1, bias=False), nn.BatchNorm2d(goes)]
            if layer in pooled:
                parts.append(nn.MaxPool2d(2))
            self.layers.append(nn.Sequential(*parts, nn.ReLU(inplace=True)))
        self.head = head

    @property
    def depth(self) -> int:
        """Convolutions."""
        return len(self.layers)

    def upto(self, x: Tensor, depth: int) -> Tensor:
        """Features behind the first convolutions (and their pools), ``[M, channels[depth], h, w]``."""
        for layer in self.layers[:depth]:
            x = layer(x)
        return x

    def rest(self, h: Tensor, depth: int) -> Tensor:
        """Logits ``[M, C]`` of features of a depth."""
        for layer in self.layers[depth:]:
            h = layer(h)
        return self.head(h)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[M, C]`` of pictures ``[M, channels, height, width]``."""
        return self.rest(x, 0)


class Conv3(Convolutional):
    """Three convolutions to w, w and 2w channels, and a linear layer: ``learners="conv3"``.

    The picture is halved behind each convolution, but not behind the first if a side is 16 or less.

    Args:
        shape: Of a picture, ``(channels, height, width)``.
        classes: C.
        width: w.

    Raises:
        ConfigError: The shape is no picture's, or the picture is smaller than 4×4.
    """

    def __init__(self, shape: Sequence[int], classes: int, width: int = 8) -> None:
        channels, *sides = _picture("conv3", shape, 4)
        width = whole("width", width, 1)
        pooled = (1, 2) if min(sides) <= _SMALL else (0, 1, 2)
        left = [side >> len(pooled) for side in sides]
        features = 2 * width * left[0] * left[1]
        head = nn.Sequential(nn.Flatten(), nn.Linear(features, whole("classes", classes, 1)))
        super().__init__((channels, width, width, 2 * width), pooled, head)


class VGG(Convolutional):
    """VGG-16 with batch norm (Simonyan & Zisserman, ICLR 2015; Ioffe & Szegedy, ICML 2015), thin or wide.

    Thirteen convolutions, five pools, and a head of two hidden layers of 1024 with dropout .5. Thin, it has
    64-64, 64-64, 128-128-128, 256-256-256 and 256-256-256 channels between pools: ``learners="vgg"``, 5.1 million
    parameters for pictures of 32×32 and 100 classes. Wide, it has the 64-64, 128-128, 256-256-256, 512-512-512
    and 512-512-512 of the original: ``learners="vgg-wide"``, 16.4 million.

    Args:
        shape: Of a picture, ``(channels, height, width)``, 32×32 or more.
        classes: C.
        wide: Which.

    Raises:
        ConfigError: The shape is no picture's, or the picture is too small.
    """

    def __init__(self, shape: Sequence[int], classes: int, *, wide: bool = False) -> None:
        channels, *sides = _picture("vgg-wide" if wide else "vgg", shape, _POOLED)
        widths = (64, 128, 256, 512, 512) if wide else (64, 64, 128, 256, 256)
        convolutions = [
            width for width, count in zip(widths, (2, 2, 3, 3, 3), strict=True) for _ in range(count)
        ]
        features = widths[-1] * (sides[0] // _POOLED) * (sides[1] // _POOLED)
        head = nn.Sequential(
            nn.Flatten(),
            *(nn.Linear(features, 1024), nn.ReLU(), nn.Dropout(0.5)),
            *(nn.Linear(1024, 1024), nn.ReLU(), nn.Dropout(0.5)),
            nn.Linear(1024, whole("classes", classes, 1)),
        )
        super().__init__((channels, *convolutions), (1, 3, 6, 9, 12), head)


def make_convolutional(shape: Sequence[int], classes: int, kind: str, width: int = 8) -> Convolutional:
    """A network by name.

    Args:
        shape: Of a picture, ``(channels, height, width)``.
        classes: C.
        kind: "conv3", "vgg" or "vgg-wide".
        width: Of "conv3".

    Raises:
        UnknownName: No such kind.
        ConfigError: The shape is no picture's, or the picture is too small.
    """
    if one_of("kind of learner", kind, ("conv3", "vgg", "vgg-wide")) == "conv3":
        return Conv3(shape, classes, width)
    return VGG(shape, classes, wide=kind == "vgg-wide")


def _picture(name: str, shape: Sequence[int], side: int) -> tuple[int, ...]:
    """The shape, if it is that of a picture whose sides are long enough."""
    if len(shape) != 3 or min(shape[1:]) < side:
        raise ConfigError(
            f'learners="{name}" needs pictures (channels, height, width) of {side}×{side} or more, '
            f'got samples of shape {tuple(shape)}: use learners="mlp"'
            + (' or "conv3"' if side == _POOLED else "")
        )
    return tuple(shape)
