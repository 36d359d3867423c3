"""A student joined to its teachers: features of some depth, through an adapter, through each teacher's rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ...envs.errors import ConfigError
from ...envs.validation import whole
from ...learners import LoopedNetwork, Population
from ...learners.convolutional import Convolutional
from .networks import Networks


class Crossing(nn.Module):
    """A student, adapters that learn with it, and what is behind the same depth of each teacher, which is frozen.

    Args:
        student: The student.
        teachers: Modules like the teachers; their rests are kept, with batch norm folded into the convolutions, so
            that nothing of them is left that training would move.
        depth: d.
    """

    def __init__(self, student: Convolutional, teachers: list[Convolutional], depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.student = student
        self.adapters = nn.ModuleList(
            nn.Conv2d(student.channels[depth], teacher.channels[depth], 1) for teacher in teachers
        )
        self.rests = nn.ModuleList(_frozen_rest(teacher, depth) for teacher in teachers)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the student, then those that each teacher makes of its features, ``[M, (1 + N)·C]``."""
        h = self.student.upto(x, self.depth)
        crossed = [rest(adapter(h)) for adapter, rest in zip(self.adapters, self.rests, strict=True)]
        return torch.cat([self.student.rest(h, self.depth), *crossed], dim=-1)

    @staticmethod
    def network(networks: Networks, depth: int, teachers: int) -> LoopedNetwork:
        """The network of a student and N teachers.

        Raises:
            ConfigError: There is no such depth in both.
        """
        expert: Any = networks.expert.module()
        student: Any = networks.student.module()
        most = min(expert.depth, student.depth)
        whole("depth", depth, 1, most)
        sides = [
            net.eval().upto(torch.zeros(1, *networks.student.shape), depth).shape[2:]
            for net in (expert, student)
        ]
        if sides[0] != sides[1]:
            raise ConfigError(
                f"at depth {depth} an expert's features are {tuple(sides[0])} and a student's {tuple(sides[1])}: "
                "take a depth at which they are of one size"
            )

        def make() -> Crossing:
            return Crossing(networks.make_student(), [networks.make_expert() for _ in range(teachers)], depth)

        return LoopedNetwork(make, networks.student.shape, (1 + teachers) * networks.student.classes)

    @staticmethod
    def lend(population: Population, experts: Population, depth: int, mask: Tensor) -> None:
        """Put experts ``[W, N]`` in as the teachers of a population of crossings, in the worlds of ``mask [W]``."""
        own = dict(zip(population.network.shapes, population.parameters, strict=True))
        chosen = mask.repeat_interleave(population.learners)
        for name, stack in _folded(experts, depth):
            for teacher, theirs in enumerate(
                stack.unflatten(0, (experts.worlds, experts.learners)).unbind(1)
            ):
                kept = own[f"rests.{teacher}.{name}"]
                fresh = theirs.repeat_interleave(population.learners, 0)
                kept.copy_(torch.where(chosen.view(-1, *[1] * (kept.dim() - 1)), fresh, kept))


def _frozen_rest(net: Convolutional, depth: int) -> nn.Sequential:
    """Convolutions with a bias for batch norm, activations, pools and head behind a depth; nothing learns or drops."""
    parts: list[nn.Module] = []
    for layer in net.layers[depth:]:
        convolution = layer[0]  # type: ignore[index]
        parts.append(
            nn.Sequential(
                nn.Conv2d(convolution.in_channels, convolution.out_channels, 3, padding=1),
                *layer[2:],  # type: ignore[index]
            )
        )
    head = net.head
    for module in head.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return nn.Sequential(nn.Sequential(*parts), head).requires_grad_(False)


def _folded(experts: Population, depth: int) -> Iterator[tuple[str, Tensor]]:
    """Stacks of the experts behind a depth as :func:`_frozen_rest` names them, batch norm folded in.

    Of batch norm y = (x − μ)/√(σ² + ε)·γ + β behind a convolution without bias: the weights times γ/√(σ² + ε), and
    the bias β − μ·γ/√(σ² + ε).
    """
    stacks = dict(zip(experts.network.shapes, experts.parameters, strict=True))
    kept = dict(zip(experts.network.statistics, experts.statistics, strict=True))
    module = experts.network.module()
    for place, layer in enumerate(module.layers[depth:]):  # type: ignore[index, union-attr]
        name = f"layers.{depth + place}"
        gain = stacks[f"{name}.1.weight"] * (kept[f"{name}.1.running_var"] + layer[1].eps).rsqrt()  # type: ignore[index]
        yield f"0.{place}.0.weight", stacks[f"{name}.0.weight"] * gain[..., None, None, None]
        yield f"0.{place}.0.bias", stacks[f"{name}.1.bias"] - kept[f"{name}.1.running_mean"] * gain
    for name, stack in stacks.items():
        if name.startswith("head."):
            yield f"1.{name.removeprefix('head.')}", stack
