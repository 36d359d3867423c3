"""What listeners are taught on: samples of tasks whose agents have different numbers of sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional as F

from ...envs.engine import TensorDict
from ...policies.listening.observed import OWN

OF_SOURCES = ("sources", "sources_mask", "history")
READ = (*OF_SOURCES, *OWN)
"""What a listener's network reads."""

CHOOSE_SEED = 10_000
"""First seed of the worlds, of the training domain, that a listener is chosen on; it is taught in those below."""


def padded(parts: Sequence[TensorDict], of_scores: Mapping[str, float]) -> TensorDict:
    """Samples of all tasks together, with as many sources as the most have; those that are not there are not heard.

    Args:
        parts: Samples of a task each, ``[M, …]``.
        of_scores: Names of what there is one of for every score, ``[M, P + S]``, and what is told of who is not there.
    """
    most = max(part["sources"].shape[1] for part in parts)

    def wide(part: TensorDict) -> TensorDict:
        lacking = most - part["sources"].shape[1]
        made = dict(part)
        for key in OF_SOURCES:
            value = part[key]
            made[key] = F.pad(value, (0, lacking) if value.dim() == 2 else (0, 0, 0, lacking))
        return made | {key: F.pad(part[key], (0, lacking), value=fill) for key, fill in of_scores.items()}

    wider = [wide(part) for part in parts]
    return {key: torch.cat([part[key] for part in wider]) for key in wider[0]}
