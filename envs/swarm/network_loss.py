"""What a swarm minimises: the loss of a small network, whose flattened weights are the position."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...learners import MLP
from ...learners.plain import Plain, classifier
from ..engine import TensorDict, rng
from ..streams import load_dataset
from ..validation import whole, widths
from .objectives import Objective

_WEIGHT = 4.0
"""Half the box of a network's weights."""

_SPREAD = 0.1
"""Standard deviation of a network's first weights."""

_TEST_ITEMS = 1000
_EXAM_ITEMS = 256


class NetworkLoss(Objective):
    """The cross entropy of a perceptron (ReLU) on a data set; a position is its weights, flattened.

    Each layer's weights ``[out, in]`` come row by row, then its biases. With ``slice_size`` every step looks at a
    fresh slice of the stream, the same one for all particles of a world (common random numbers: or a best would be
    luck), and what is paid for is the loss on a fixed set of exam items. Without it, the whole stream is looked at.

    Args:
        data: As :func:`~studyhall.envs.streams.load_dataset` takes it.
        data_dir: Likewise.
        hidden: Widths of the hidden layers.
        slice_size: Rows of a slice; None is the whole stream.
        device: Where the data lives.
    """

    dtype = torch.float32
    optimum = 0.0

    def __init__(
        self,
        data: Any = "digits",
        *,
        data_dir: str | None = None,
        hidden: Sequence[int] = (16,),
        slice_size: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.dataset = load_dataset(data, data_dir=data_dir).to(device)
        self.sizes = (math.prod(self.dataset.shape), *widths("hidden", hidden), self.dataset.num_classes)
        self.dimensions = sum((i + 1) * o for i, o in zip(self.sizes, self.sizes[1:], strict=False))
        self.rows = None if slice_size is None else whole("slice_size", slice_size, 1)
        self.noisy = self.rows is not None
        every = torch.arange(len(self.dataset.stream), device=device)
        self._stream = self._items("stream", every[None]) if self.rows is None else None
        test = len(self.dataset.test)
        spread = torch.arange(min(test, _TEST_ITEMS), device=device) * test // min(test, _TEST_ITEMS)
        self._test = self._items("test", spread[None])  # sorted by class: evenly spread is stratified

    def reset_draws(self) -> dict[str, tuple[int, ...]]:
        """A first slice and the exam items."""
        return {} if self.rows is None else self.step_draws() | {"objective/exam": (_EXAM_ITEMS,)}

    def step_draws(self) -> dict[str, tuple[int, ...]]:
        """The next slice."""
        return {} if self.rows is None else {"objective/slice": (self.rows,)}

    def start(self, draws: rng.DrawDict) -> TensorDict:
        """``slice`` int64 ``[W, B]`` and ``exam`` int64 ``[W, E]``, with slices."""
        if self.rows is None:
            return {}
        exam = draws["objective/exam"].integers(len(self.dataset.exam))
        return self.advance({"exam": exam}, draws)

    def advance(self, instance: TensorDict, draws: rng.DrawDict) -> TensorDict:
        """The next slice."""
        if self.rows is None:
            return instance
        return instance | {"slice": draws["objective/slice"].integers(len(self.dataset.stream))}

    def scatter(self, drawn: rng.Draw) -> Tensor:
        """Small Gaussian weights."""
        return drawn.normal().to(self.dtype) * (_SPREAD / _WEIGHT)

    def scale(self, instance: TensorDict) -> Tensor | float:
        """Weights lie within ±4."""
        return _WEIGHT

    def value(self, x: Tensor, instance: TensorDict) -> Tensor:
        """Mean cross entropy ``[W, N]`` on the slice, or on the whole stream."""
        items = self._stream if self._stream is not None else self._items("stream", instance["slice"])
        return self._loss(x, *items)

    def judge(self, x: Tensor, value: Tensor, instance: TensorDict) -> Tensor:
        """With slices, the loss on the exam items."""
        return self._loss(x, *self._items("exam", instance["exam"])) if self.noisy else value

    def report(self, x: Tensor, instance: TensorDict) -> TensorDict:
        """``accuracy`` on up to 1,000 items of the test split."""
        inputs, labels = self._test
        right = self.logits(x, inputs).argmax(-1) == labels[:, None]
        return {"accuracy": right.float().mean(-1)[:, 0]}

    def export(self, x: Tensor) -> Plain:
        """The network at a position ``[D]``."""
        module = MLP(self.sizes, dropout=0.0).module()
        for own in module.parameters():
            weights, x = x[: own.numel()], x[own.numel() :]
            own.data.copy_((weights * _WEIGHT).view_as(own))
        return classifier(module.eval(), data=self.dataset.described)

    def _items(self, split: Any, index: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs ``[W, B, in]`` and labels ``[W, B]``."""
        return self.dataset.inputs(split, index).flatten(2), self.dataset.labels(split, index)

    def _loss(self, x: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        logits = self.logits(x, inputs)
        correct = labels[:, None, :, None].expand(*logits.shape[:-1], 1)
        return (logits.logsumexp(-1) - logits.gather(-1, correct)[..., 0]).mean(-1)

    def logits(self, x: Tensor, inputs: Tensor) -> Tensor:
        """Logits ``[W, N, B, C]`` of the networks at positions ``[W, N, D]``.

        Args:
            x: Positions.
            inputs: ``[W, B, in]``, or ``[1, B, in]`` for all worlds.
        """
        w, n = x.shape[:2]
        weights, at = x * _WEIGHT, 0
        h = inputs.to(x.dtype).expand(w, -1, -1)[:, None]
        for layer, (i, o) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            matrix = weights[..., at : at + i * o].reshape(w, n, o, i)
            bias = weights[..., at + i * o : at + (i + 1) * o]
            if layer == 0:  # all particles of a world read the same rows: one wide product
                h = (h[:, 0] @ matrix.flatten(1, 2).mT).unflatten(2, (n, o)).transpose(1, 2)
            else:
                h = h.relu() @ matrix.mT
            h = h + bias[:, :, None]
            at += (i + 1) * o
        return h
