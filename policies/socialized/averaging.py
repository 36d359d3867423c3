"""Federated averaging: everyone learns its own classes, and now and then all take the mean of their networks.

After McMahan et al. (AISTATS 2017), without a server: in every ``every``-th step each sends its whole network,
parameters and running statistics, as a parcel to whom the topology gives it, and takes the mean of its own and of those
that arrived; all count alike, since their slices are of one size. So where the topology is complete and nothing is
lost all go on from one network, elsewhere from different ones.

Momentum stays each one's own, and is neither sent, which would double the bytes, nor cleared: of all that one may do it
is the least, and on digits what is learnt comes to the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...envs.engine import TensorDict, World
from ...envs.errors import ConfigError
from ...envs.validation import whole
from ...learners.lesson import none
from ...learners.optimiser import along
from .base import Socialized
from .networks import Learners, numbers
from .stages import Stage


class FedAvg(Socialized):
    """Federated averaging; see this module.

    There is one stage, and one network each: :meth:`logits` have the name "averaged" only. What experts are alone a
    muted world tells.

    Args:
        learners: See :data:`~studyhall.policies.socialized.networks.Learners`.
        width: Of "conv3".
        every: Steps of a round, in the last of which networks are sent.
        lr: Learning rate.
        weight_decay: Of everyone.
        flip: Whether learners see pictures turned left to right half of the time.

    Raises:
        ConfigError: An argument is out of range.
    """

    main = "averaged"
    world_kwargs = {**Socialized.world_kwargs, "parcels": True}  # noqa: RUF012

    def __init__(
        self,
        *,
        learners: Learners = "conv3",
        width: int = 8,
        every: int = 20,
        lr: float = 0.01,
        weight_decay: float = 5e-3,
        flip: bool = False,
    ) -> None:
        super().__init__(
            learners=learners, width=width, shares=(), lr=lr, weight_decay=weight_decay, flip=flip
        )
        self.every = whole("every", every, 1)

    def bind(self, world: World) -> None:
        """As of every :class:`Socialized`.

        Raises:
            ConfigError: Parcels come late there: the networks would have moved on since they were sent.
        """
        super().bind(world)
        if delay := world.channel.delay:  # type: ignore[attr-defined]
            raise ConfigError(
                f"federated averaging takes the mean of networks in the step in which they are sent, and here they "
                f"come {delay} steps late: use delay=0"
            )

    def say(self, obs: TensorDict, stage: Stage) -> TensorDict:
        """``parcel``, in the last step of a round."""
        last = torch.from_numpy((self.world.clock + 1) % self.every == 0).to(self.world.device)
        size = numbers(self.experts.network)
        return {"parcel": (last * size)[:, None, None].expand(-1, self.world.num_agents, 1)}

    def learn(self, obs: TensorDict, stage: Stage, allowed: Tensor) -> None:
        """Take the mean of what was sent; then learn, from labels of one's own."""
        self._mix(obs["fb_parcels"] > 0, allowed)
        self.learn_own(obs, stage.rate[:, None] * allowed)

    def _mix(self, arrived: Tensor, allowed: Tensor) -> None:
        """Give each of those who may learn (bool ``[W, N]``) the mean over its own network and those that arrived.

        Nobody has learnt since they were sent, so they are what they were then. A network that is not finite spoils
        itself only.

        Args:
            arrived: bool ``[W, N, N]``: at the receiver i whether the parcel of the sender j arrived.
            allowed: bool ``[W, N]``.
        """
        own = torch.eye(arrived.shape[-1], dtype=torch.bool, device=arrived.device)
        arrived = arrived & ~own & allowed[..., None]
        if none(arrived):
            return
        finite = self.experts.finite()
        arrived = arrived & finite[:, None] & finite[..., None]
        takes = arrived.any(-1).view(-1)
        shares = (arrived | own).float()
        shares = shares / shares.sum(-1, keepdim=True)
        for stack in (*self.experts.parameters, *self.experts.statistics):
            if not stack.is_floating_point():  # batches are counted by each for itself
                continue
            sent = torch.where(along(finite.view(-1), stack), stack, 0.0).unflatten(0, finite.shape)
            mean = torch.einsum("wij,wj...->wi...", shares, sent).flatten(0, 1)
            stack.copy_(torch.where(along(takes, stack), mean, stack))

    def logits(self, x: Tensor) -> dict[str, Tensor]:
        """Of each one's network: "averaged"."""
        return {self.main: self.experts.logits(x)}
