"""W independent copies of a module, each trained as if it were alone: the learning half of many policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..learners.optimiser import Optimiser
from ..learners.population import load


class Copies:
    """A module whose parameters are stacks ``[W, …]``, and optimisers in which every copy keeps its own time.

    Args:
        make: From keys ``[W]`` to the module.
        keys: int64 ``[W]``.
        optimiser: From stacks ``[P, …]`` to their optimiser; see :func:`studyhall.learners.make_optimiser`.
        members: Name of the part whose parameters are ``[W, N, …]``: its N members learn each at a rate of its own.
    """

    def __init__(
        self,
        make: Callable[[Tensor], nn.Module],
        keys: Tensor,
        optimiser: Callable[[Sequence[Tensor]], Optimiser],
        members: str | None = None,
    ) -> None:
        self._make = make
        with torch.inference_mode(False):
            self.module = make(keys)
            deep = [] if members is None else list(self.module.get_submodule(members).parameters())
            of_deep = {id(parameter) for parameter in deep}  # whatever other names they have in the module
            flat = [parameter for parameter in self.module.parameters() if id(parameter) not in of_deep]
            self._groups = [group for group in ((deep, True), (flat, False)) if group[0]]
            self._optimisers = [
                optimiser([p.data.flatten(0, 1) if of_members else p.data for p in group])
                for group, of_members in self._groups
            ]

    def learn(self, loss: Callable[[nn.Module], Tensor], rate: Tensor) -> None:
        """One step.

        Args:
            loss: From the module to losses whose first dimension is W, one for each copy or part of it.
            rate: ``[W, N]``, multiplies the learning rate of members; the rest of a copy learns at its greatest. Where
                it is 0 nothing moves. ``[W]`` where there are no members.
        """
        with torch.inference_mode(False), torch.enable_grad():
            parameters = [p for group, _ in self._groups for p in group]
            total = loss(self.module).sum()
            found = iter(torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True))
        for (group, of_members), optimiser in zip(self._groups, self._optimisers, strict=True):
            gradients = [next(found) for _ in group]
            if of_members:
                optimiser.step([gradient.flatten(0, 1) for gradient in gradients], rate.flatten().float())
            else:
                optimiser.step(gradients, (rate if rate.dim() == 1 else rate.amax(-1)).float())

    def reset(self, mask: Tensor, keys: Tensor) -> None:
        """Begin anew with the copies of ``mask`` (bool ``[W]``), from keys ``[W]``; the others keep every bit."""
        with torch.inference_mode(False), torch.no_grad():
            for old, new in zip(self.module.parameters(), self._make(keys).parameters(), strict=True):
                old.copy_(torch.where(mask.view(-1, *[1] * (old.dim() - 1)), new, old))
            for optimiser in self._optimisers:
                optimiser.clear(mask.repeat_interleave(len(optimiser.steps) // len(mask)))

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything."""
        return {name: tensor.clone() for name, tensor in self._state().items()}

    def load_state_dict(self, saved: Mapping[str, Tensor]) -> None:
        """Take over a :meth:`state_dict`, in place.

        Raises:
            ConfigError: It is of another module, width or number of copies; nothing was changed then.
        """
        with torch.no_grad():
            load(self._state(), saved)

    def _state(self) -> dict[str, Tensor]:
        state = {f"parameter.{name}": p.data for name, p in self.module.named_parameters()}
        for i, optimiser in enumerate(self._optimisers):
            state[f"optimiser.{i}.steps"] = optimiser.steps
            for kind, tensors in optimiser.state.items():
                state |= {f"optimiser.{i}.{kind}.{j}": tensor for j, tensor in enumerate(tensors)}
        return state
