"""Mutual learning of experts: everyone learns its own classes, and imitates what peers say of public slices.

Deep mutual learning (Zhang et al., CVPR 2018) between experts of different classes: in the second stage of an episode
the loss is the cross-entropy with the labels of one's own slice, plus ``T²·mean over rows KL(peers ‖ own)`` on the
public one. There all peers are experts of something else, and few of them know a sample: so besides their mean one may
imitate whoever has the lowest energy on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...envs.engine import TensorDict, World
from ...envs.errors import ConfigError, one_of
from ...envs.validation import real
from ...learners.energy import free_energy
from ...learners.lesson import label_loss, none
from ...learners.population import Adjust
from .base import Socialized
from .energy import Calibration
from .networks import Learners
from .opinions import GATES, Logits, Opinions, everyone, lowest_energy
from .pupils import distillation
from .two_stages import TwoStages


class PeerDistillation(TwoStages):
    """Mutual learning; see this module.

    Who hears nobody goes on as an expert does that has no peers. :meth:`logits` have the names "expert", what each was
    before it heard anybody, and "peer", what it became.

    Args:
        learners: See :data:`~studyhall.policies.socialized.networks.Learners`.
        width: Of "conv3".
        shares: Of the episode, of the first stage, in which everyone is alone.
        lr: Learning rate.
        weight_decay: Of everyone.
        flip: Whether learners see pictures turned left to right half of the time.
        gate: Whom to imitate on a row: "all", the mean of the others who spoke, or "energy", whoever has the lowest;
            where that is oneself there is nothing to imitate.
        temperature: T of distillation.
        distill: Weight of distillation.
        calibration: What is learnt of energy beside labels: "alignment", "detection" (see
            :mod:`~studyhall.policies.socialized.energy`), or None: nothing.
        calibrate: Weight of that; None: the usual one.
        prior: What one believes the share of its own classes to be, divided by what it is.

    Raises:
        ConfigError: An argument is out of range.
        UnknownName: A gate or calibration that there is not.
    """

    main = "peer"
    world_kwargs = {**Socialized.world_kwargs, **Logits.world_kwargs}  # noqa: RUF012

    def __init__(
        self,
        *,
        learners: Learners = "conv3",
        width: int = 8,
        shares: Sequence[float] = (0.35,),
        lr: float = 0.01,
        weight_decay: float = 5e-3,
        flip: bool = False,
        gate: str = "all",
        temperature: float = 2.0,
        distill: float = 1.0,
        calibration: str | None = None,
        calibrate: float | None = None,
        prior: float = 1.0,
    ) -> None:
        super().__init__(
            learners=learners, width=width, shares=shares, lr=lr, weight_decay=weight_decay, flip=flip
        )
        self.gate = GATES[one_of("gate", gate, GATES)]
        self.temperature, self.distill = real("temperature", temperature, 0), real("distill", distill, 0)
        if not self.temperature:
            raise ConfigError("temperature must be above 0, got 0")
        given = Calibration("alignment" if calibration is None else calibration, calibrate, prior)
        self.calibration = None if calibration is None else given

    def bind(self, world: World) -> None:
        """As of every :class:`Socialized`."""
        super().bind(world)
        everybody = torch.ones(world.num_agents, dtype=torch.bool, device=world.device)
        self.carrier = Logits(self.temperature, everybody)

    def speak(self, obs: TensorDict) -> TensorDict:
        """``soft_targets`` and ``energies``."""
        public = self.flat(obs["public"][:, 0])
        return self.carrier.say(self.experts, public, torch.zeros_like(public[:, 0, 0], dtype=torch.bool))

    def learn_own(self, obs: TensorDict, rates: Tensor, adjust: Adjust | None = None) -> None:
        """One step alone, calibration included."""
        if self.calibration is None:
            super().learn_own(obs, rates, adjust)
        else:
            self._step(obs, rates * (obs["fb_labels"] >= 0).any(-1), None)

    def go_on(self, obs: TensorDict, rates: Tensor) -> None:
        """Labels of one's own, and what peers say; alone where nobody says anything."""
        heard = obs["heard"] > 0
        opinions = self.carrier.hear(self.experts, obs, heard, self.world.num_agents)
        trust = self._trust(opinions)
        taught = trust.flatten(2).any(-1)
        self.learn_own(obs, rates * ~taught)
        self._step(obs, rates * taught, (trust[..., None] * opinions.targets).sum(2))

    def _trust(self, opinions: Opinions) -> Tensor:
        """How much each believes each other one on each row, ``[W, N, N, B]``; sums over peers to 1, or 0."""
        others = ~torch.eye(self.world.num_agents, dtype=torch.bool, device=opinions.spoke.device)[..., None]
        if self.gate is everyone:
            return everyone(opinions._replace(spoke=opinions.spoke & others))
        return lowest_energy(opinions) * others

    def _step(self, obs: TensorDict, rates: Tensor, targets: Tensor | None) -> None:
        """One step on labels and calibration, and on ``targets`` ``[W, N, B, C]`` of the public slice, if any."""
        if none(rates > 0):
            return
        labels, x = obs["fb_labels"], self.seen(obs["fb_slice"], "own")
        calibration = self.calibration
        if targets is not None or (calibration is not None and calibration.of_public):
            x = torch.cat([x, self.seen(obs["fb_public"], "public")], dim=2)

        def loss(logits: Tensor) -> Tensor:
            value = label_loss(logits[:, :, : self.rows], labels)
            if calibration is not None:
                rows = (labels >= 0).float()
                value = value + calibration.loss(
                    free_energy(logits), rows, torch.ones_like(rows), self.own_classes
                )
            if targets is not None:
                public = logits[:, :, self.rows :]
                value = value + self.distill * distillation(public, targets, self.temperature)
            return value

        self.experts.learn(x, loss, rate=rates)
