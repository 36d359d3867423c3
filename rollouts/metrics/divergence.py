"""Learners that are not finite any more: what one that diverged says counts as saying nothing, so it is looked for."""

from __future__ import annotations

import torch
from torch import Tensor

from ...envs.engine import TensorDict, World
from ...policies import Policy


def sound(world: World, policy: Policy, actions: TensorDict | Tensor) -> Tensor:
    """Whose learners, hosted or the policy's own, and whose actions are finite, bool ``[W, N]``.

    Args:
        world: As it stands after a step.
        policy: Who acts in it.
        actions: The step's, ``[W, N, …]``.
    """
    parts = [actions] if isinstance(actions, Tensor) else actions.values()
    found = [part.isfinite().flatten(2).all(-1) if part.dim() > 2 else part.isfinite() for part in parts]
    found += [own.expand(found[0].shape) for own in (world.sound(), policy.sound()) if own is not None]
    return torch.stack(found).all(0)
