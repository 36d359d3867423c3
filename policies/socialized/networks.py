"""The networks of a society: experts, students who are to know more, and the heads of those who grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...envs.errors import ConfigError, one_of
from ...envs.validation import whole
from ...learners import LoopedNetwork, ModuleNetwork, Network
from ...learners.convolutional import Convolutional, make_convolutional

Factory = Callable[[], Convolutional]
Learners = str | Sequence[Factory]
"""``"conv3"``, ``"vgg"``, or two factories of one's own, of experts and students, of one shape and as many classes."""


class Networks:
    """What experts, students and their parts are.

    Args:
        learners: See :data:`Learners`.
        width: Of experts of ``"conv3"``; their students are twice as wide. Students of ``"vgg"`` are "vgg-wide".
        shape: Of a sample.
        classes: C.

    Attributes:
        make_expert: Makes an expert's module.
        make_student: Makes a student's module.
        kinds: What experts and students are, by name and width; the name is None where the factory is a user's own.
        expert: An expert.
        student: A student.
        backbone: A student up to its head: to flat features ``[M, F]``.
        head: The head of a student, from these to logits.

    Raises:
        UnknownName: No such kind of learners.
        ConfigError: Learners that do not fit the samples, or factories of something else; says why.
    """

    def __init__(self, learners: Learners, width: int, shape: Sequence[int], classes: int) -> None:
        self.kinds = _kinds(learners, width)
        self.make_expert, self.make_student = _factories(learners, self.kinds, tuple(shape), classes)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            student = _convolutional(self.make_student())
            features = student.eval().upto(torch.zeros(1, *shape), student.depth)
        self.expert = LoopedNetwork(lambda: _convolutional(self.make_expert()), shape, classes)
        self.student = LoopedNetwork(self.make_student, shape, classes)
        self.backbone = LoopedNetwork(lambda: _Headless(self.make_student()), shape, features.numel())
        self.head = ModuleNetwork(lambda: self.make_student().head, features.shape[1:], classes)


def numbers(network: Network) -> int:
    """Of how many numbers one network consists, parameters and running statistics: what a parcel of it holds."""
    return network.num_parameters + sum(fresh.numel() for fresh in network.statistics.values())


class _Headless(nn.Module):
    """A network up to its head."""

    def __init__(self, net: Convolutional) -> None:
        super().__init__()
        net.head = nn.Identity()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Flat features ``[M, F]``."""
        return self.net.upto(x, self.net.depth).flatten(1)


def _kinds(learners: Learners, width: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What experts are, and what students are."""
    if not isinstance(learners, str):
        return {"kind": None}, {"kind": None}
    if one_of("kind of learners", learners, ("conv3", "vgg")) == "vgg":
        return {"kind": "vgg"}, {"kind": "vgg-wide"}
    width = whole("width", width, 1)
    return {"kind": "conv3", "width": width}, {"kind": "conv3", "width": 2 * width}


def _factories(
    learners: Learners, kinds: Sequence[dict[str, Any]], shape: tuple[int, ...], classes: int
) -> tuple[Factory, Factory]:
    """What makes experts, and what makes students."""
    if isinstance(learners, str):
        of_expert, of_student = kinds
        return (
            partial(make_convolutional, shape, classes, **of_expert),
            partial(make_convolutional, shape, classes, **of_student),
        )
    if isinstance(learners, (list, tuple)) and len(learners) == 2:
        expert, student = learners
        if not any(isinstance(made, nn.Module) or not callable(made) for made in learners):
            return expert, student
    raise ConfigError(
        'learners of a society are "conv3", "vgg", or a list of two factories: of experts, and of students'
    )


def _convolutional(module: nn.Module) -> Convolutional:
    """The module, if it can be cut."""
    if isinstance(module, Convolutional):
        return module
    raise ConfigError(
        f"factories of a society must make Convolutional networks, which can be cut at any depth, "
        f"got a {type(module).__name__}: derive yours from studyhall.learners.convolutional.Convolutional"
    )
