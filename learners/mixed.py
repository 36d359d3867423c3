"""Learners of several architectures behind the face of one population."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ..envs.errors import ConfigError
from .networks import Network
from .population import Loss, Population, as_rows, differentiate, load, spread

if TYPE_CHECKING:
    from typing_extensions import Self


class _Group(NamedTuple):
    """The agents that share an architecture."""

    members: Tensor
    """int64 ``[n]``: which agents of every world."""
    population: Population


class MixedPopulation:
    """Worlds of N learners, one architecture for each place in the world, the same places in all worlds.

    Equal networks are computed together as a :class:`Population`, and a learner does what it would do there.

    Args:
        networks: N of them, for inputs of one size and the same classes.
        keys: int64 ``[W, N]``, one a learner.
        optimiser: As for :class:`Population`.
        device: As for :class:`Population`.
        options: As for :class:`Population`.

    Raises:
        ConfigError: Not one network a learner, or networks for different data.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        keys: Tensor,
        *,
        optimiser: str = "adam",
        device: torch.device | str | None = None,
        **options: Any,
    ) -> None:
        if keys.ndim != 2 or keys.shape[1] != len(networks):
            raise ConfigError(
                f"{len(networks)} networks need keys [W, {len(networks)}], got {list(keys.shape)}"
            )
        if len({(network.classes, torch.Size(network.shape).numel()) for network in networks}) != 1:
            raise ConfigError("the networks of one world must have inputs of one size and the same classes")
        self._groups: list[_Group] = []
        for network in _distinct(networks):
            places = [place for place, other in enumerate(networks) if other == network]
            members = torch.tensor(places, device=device or keys.device)
            own = keys.to(members.device)[:, members]
            self._groups.append(_Group(members, Population(network, own, optimiser=optimiser, **options)))
        self.shape = networks[0].shape

    @property
    def worlds(self) -> int:
        """Worlds W."""
        return self._groups[0].population.worlds

    @property
    def learners(self) -> int:
        """Learners in each world, N."""
        return sum(len(members) for members, _ in self._groups)

    @property
    def num_parameters(self) -> int:
        """Parameters of all learners together."""
        return sum(population.num_parameters for _, population in self._groups)

    @property
    def keys(self) -> Tensor:
        """Of each learner, int64 ``[W, N]``."""
        return self._join([population.keys for _, population in self._groups])

    @property
    def steps(self) -> Tensor:
        """Learning steps each learner has taken since it was last initialised, int64 ``[W, N]``."""
        return self._join([population.steps for _, population in self._groups])

    def logits(self, x: Tensor, *, dropout: bool = False, draw: int | Tensor = 0) -> Tensor:
        """What every learner says of every sample, ``[W, N, M, C]``; see :meth:`Population.logits`."""
        rows = self._rows(x)
        return self._join(
            [
                population.logits(self._seen(rows, members), dropout=dropout, draw=self._draw(draw, members))
                for members, population in self._groups
            ]
        )

    def finite(self) -> Tensor:
        """Whose parameters are all finite, bool ``[W, N]``."""
        return self._join([population.finite() for _, population in self._groups])

    def logits_of(
        self, learner: Tensor, x: Tensor, *, dropout: bool = False, draw: int | Tensor = 0
    ) -> Tensor:
        """What one learner of each world says, ``[W, 1, M, C]``; see :meth:`Population.logits_of`.

        One learner a world and architecture is computed.
        """
        found = []
        for members, population in self._groups:
            matches = learner[:, None] == members  # [W, n]
            place = matches.long().argmax(-1)  # anyone where it is none of these: multiplied by zero
            said = population.logits_of(place, x, dropout=dropout, draw=self._draw(draw, members))
            found.append(torch.where(matches.any(-1)[:, None, None, None], said, 0.0))
        return torch.stack(found).sum(0)

    def at(self, worlds: Tensor) -> Self:
        """Copies of the learners of some worlds (int64 ``[K]``), to be asked without dropout; they cannot be taught."""
        twin = copy.copy(self)
        twin._groups = [_Group(members, population.at(worlds)) for members, population in self._groups]
        return twin

    def extract(self, world: int, learner: int) -> nn.Module:
        """A copy of one learner as an ordinary module, in evaluation mode."""
        for members, population in self._groups:
            if learner in members.tolist():
                return population.extract(world, members.tolist().index(learner))
        raise IndexError(f"there is no learner {learner} among {self.learners}")

    def learn(self, x: Tensor, loss_fn: Loss, *, rate: Tensor | None = None) -> Tensor:
        """One step of the optimiser for each learner, on a loss of its own; see :meth:`Population.learn`."""
        with torch.inference_mode(False):
            rows = self._rows(x)
            rates = None if rate is None else spread(rate, self.keys, "rate")
            answers = [
                population.answer(self._seen(rows, members), None if rates is None else rates[:, members])
                for members, population in self._groups
            ]
            losses, gradient = differentiate(loss_fn, self._join([answer.logits for answer in answers]))
            for (members, population), answer in zip(self._groups, answers, strict=True):
                population.correct(answer, gradient[:, members])
        return losses

    def reset(self, mask: Tensor, keys: Tensor) -> None:
        """Begin anew with some learners; see :meth:`Population.reset`."""
        anew, keys = spread(mask.bool(), self.keys, "mask"), spread(keys, self.keys, "keys")
        for members, population in self._groups:
            population.reset(anew[:, members], keys[:, members])

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of everything, architecture by architecture."""
        return {name: tensor.clone() for name, tensor in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state, in place.

        Raises:
            ConfigError: Missing or unknown names, or another shape or dtype; nothing was changed then.
        """
        load(self._state(), state)

    def _state(self) -> dict[str, Tensor]:
        return {
            f"{place}.{name}": tensor
            for place, (_, population) in enumerate(self._groups)
            for name, tensor in population._state().items()
        }

    def _rows(self, x: Tensor) -> Tensor:
        return as_rows(x, self.shape, (self.worlds, self.learners))

    def _seen(self, rows: Tensor, members: Tensor) -> Tensor:
        """What some learners see of inputs ``[G, M, D]``, in a form that their population takes."""
        if len(rows) == 1:
            return rows[0]
        if len(rows) == self.worlds:
            return rows
        return rows.view(self.worlds, self.learners, *rows.shape[1:])[:, members]

    def _draw(self, draw: int | Tensor, members: Tensor) -> int | Tensor:
        """The dropout draws of some learners: one for all, or ``[W·N]``."""
        if isinstance(draw, int) or draw.ndim == 0:
            return draw
        return draw.view(self.worlds, self.learners)[:, members].reshape(-1)

    def _join(self, parts: Sequence[Tensor]) -> Tensor:
        """Tensors ``[W, n, …]`` of the groups as one ``[W, N, …]``, everyone in place."""
        order = torch.cat([members for members, _ in self._groups]).argsort()
        return torch.cat(list(parts), dim=1)[:, order]


def _distinct(networks: Sequence[Network]) -> list[Network]:
    """Each network once, in order of appearance; equality is all that is asked of them."""
    found: list[Network] = []
    for network in networks:
        if network not in found:
            found.append(network)
    return found
