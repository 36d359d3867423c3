"""Learners as a user names them: what they are once, and then populations of them from keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from ..envs.errors import ConfigError, one_of
from ..envs.validation import real, widths
from .cnn import cnn
from .convolutional import VGG, Conv3
from .looped import LoopedNetwork
from .mixed import MixedPopulation
from .modules import Factory, ModuleNetwork, convolves
from .networks import MLP, Network
from .population import Population

Kind = str | Factory
Learners = Kind | Sequence[Kind]
"""``"mlp"``, ``"cnn"``, ``"conv3"``, ``"vgg"``, ``"vgg-wide"``, a factory of modules, or one for each agent."""


def make_network(
    kind: Kind,
    shape: Sequence[int],
    classes: int,
    *,
    hidden: Sequence[int] = (64, 64),
    dropout: float = 0.0,
) -> Network:
    """The architecture of learners of one kind; see :func:`make_networks`."""
    return _Kinds(shape, classes, hidden, dropout).make(kind)


def make_networks(
    learners: Learners,
    shape: Sequence[int],
    classes: int,
    agents: int,
    *,
    hidden: Sequence[int] = (64, 64),
    dropout: float = 0.0,
) -> Network | list[Network]:
    """The architecture of all learners, or one for each of a world's N agents. Holds no weights.

    Args:
        learners: ``"mlp"``, ``"cnn"``, ``"conv3"`` (:class:`~studyhall.learners.Conv3`), ``"vgg"`` or ``"vgg-wide"``
            (:class:`~studyhall.learners.VGG`), a callable that returns a fresh ``nn.Module`` from ``[M, *shape]`` to
            ``[M, C]``, or a list of N of these.
        shape: Of one sample.
        classes: C.
        agents: N.
        hidden: Widths of the hidden layers of ``"mlp"``.
        dropout: Of the hidden layers of ``"mlp"``, in [0, 1); other kinds have their own, or none.

    Raises:
        UnknownName: No such kind; lists the near ones.
        ConfigError: An argument out of range, or a module that cannot learn here; says why.
    """
    if isinstance(learners, str) or not isinstance(learners, Sequence):
        return make_network(learners, shape, classes, hidden=hidden, dropout=dropout)
    if len(learners) != agents:
        raise ConfigError(f"{len(learners)} learners for {agents} agents: give one for each, or one for all")
    kinds = _Kinds(shape, classes, hidden, dropout)
    networks = [kinds.make(kind) for kind in learners]
    return networks[0] if all(network == networks[0] for network in networks) else networks


def make_population(
    networks: Network | Sequence[Network], keys: Tensor, *, optimiser: str = "adam", **options: Any
) -> Population | MixedPopulation:
    """Fresh learners ``[W, N]`` from their keys.

    Args:
        networks: From :func:`make_networks`.
        keys: int64 ``[W, N]``; see :func:`~studyhall.learners.learner_keys`.
        optimiser: ``"adam"`` or ``"sgd"``.
        options: Of the optimiser, ``lr`` among them; :func:`~studyhall.learners.make_optimiser` checks them
            before there are keys.
    """
    if isinstance(networks, Sequence):
        return MixedPopulation(networks, keys, optimiser=optimiser, **options)
    return Population(networks, keys, optimiser=optimiser, **options)


class _Kinds:
    """Networks for data of one shape; the same network for the same kind."""

    def __init__(self, shape: Sequence[int], classes: int, hidden: Sequence[int], dropout: float) -> None:
        self.dropout = real("dropout", dropout, 0, 1)
        if self.dropout > 1 - 2**-16:
            raise ConfigError(f"dropout must be below 1, got {dropout}")
        self.hidden = widths("hidden", hidden)
        self.shape, self.classes = tuple(shape), classes
        self.made: list[tuple[Kind, Network]] = []

    def make(self, kind: Kind) -> Network:
        """The network of a name or factory."""
        if isinstance(kind, nn.Module) or not (isinstance(kind, str) or callable(kind)):
            raise ConfigError(
                f'learners are "mlp", "cnn", "conv3", "vgg", "vgg-wide", a factory of modules like '
                f"`lambda: MyModule()`, or a list of these, got {type(kind).__name__}"
            )
        for known, network in self.made:  # not every callable can be hashed
            if known is kind or known == kind:
                return network
        self.made.append((kind, self.named(kind)() if isinstance(kind, str) else self.of_modules(kind)))
        return self.made[-1][1]

    def named(self, name: str) -> Callable[[], Network]:
        """What makes the network of a name."""
        known: dict[str, Callable[[], Network]] = {
            "mlp": lambda: MLP((math.prod(self.shape), *self.hidden, self.classes), self.dropout),
            "cnn": lambda: self.convolutional(cnn(self.shape, self.classes)),
            "conv3": lambda: self.convolutional(lambda: Conv3(self.shape, self.classes)),
            "vgg": lambda: self.convolutional(lambda: VGG(self.shape, self.classes)),
            "vgg-wide": lambda: self.convolutional(lambda: VGG(self.shape, self.classes, wide=True)),
        }
        one_of("kind of learner", name, known)
        return known[name]

    def convolutional(self, factory: Factory) -> Network:
        return LoopedNetwork(factory, self.shape, self.classes)

    def of_modules(self, factory: Factory) -> Network:
        kind = LoopedNetwork if convolves(factory) else ModuleNetwork
        return kind(factory, self.shape, self.classes)
