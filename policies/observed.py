"""What policies that bring learners do with observations first."""

from __future__ import annotations

from torch import Tensor

from ..envs.engine import TensorDict


def ordinary(obs: TensorDict) -> TensorDict:
    """Observations that autograd can work with, also under ``torch.inference_mode``."""
    return {k: v.clone() if v.is_inference() else v for k, v in obs.items()}


def present(obs: TensorDict) -> Tensor:
    """Who is in the room, bool ``[W, N]``: the absent do not learn."""
    return obs["present"][..., 0] == 1
