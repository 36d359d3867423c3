"""What liars say."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ..engine import rng


def lie(kind: str, published: Tensor, state: Mapping[str, Tensor], draws: rng.DrawDict) -> Tensor:
    """What a liar of one kind puts on the air instead of ``published [W, N, B, C]``.

    roll: own beliefs under a cyclic shift of the classes. sharp (and a sleeper awake): all weight on
    the shift of one's own best class. modest: a random class, at one's own confidence. noise: a
    random distribution. collude: like sharp, but on each row all say the shift of the best class of
    the first liar who speaks there. fickle: like roll, in a random half of the steps. bold: no shift, but all
    weight on one's own best class, of every row; where a number goes beside the rows, see :func:`claim`.

    Args:
        kind: One of :data:`~studyhall.envs.channel.settings.LIAR_KINDS`.
        published: What the agents mean.
        state: The world's, for who lies (``liar``) and by how many classes (``shift``).
        draws: This step's draws.
    """
    classes = published.shape[-1]
    shift = state["shift"][:, None, None]
    if kind == "noise":
        return -torch.log1p(-draws["channel/lie"].uniform())  # normalised below: Dirichlet(1)
    if kind in ("roll", "fickle"):
        source = (torch.arange(classes, device=published.device) - state["shift"][:, None]) % classes
        return published.gather(-1, source[:, None, None, :].expand_as(published))
    if kind == "modest":
        confidence = published.amax(-1, keepdim=True)
        wrong = F.one_hot(draws["channel/wrong"].integers(classes), classes).float()
        return wrong * confidence + (1 - wrong) * (1 - confidence) / max(1, classes - 1)
    best = published.argmax(-1)  # [W, N, B]
    if kind == "collude":
        speaks = (state["liar"] > 0)[..., None] & (published.sum(-1) > 0)  # [W, N, B]
        first = speaks.float().argmax(1, keepdim=True)
        best = best.gather(1, first).expand_as(best)
    if kind == "bold":
        return F.one_hot(best, classes).float()
    return F.one_hot((best + shift) % classes, classes).float()


def claim(numbers: Tensor, spoken: Tensor) -> Tensor:
    """What a bold liar says beside its rows instead of ``numbers [W, N, B]``: the lowest of its own, on every row.

    Args:
        numbers: What the agents mean.
        spoken: bool ``[W, N, B]``: the rows that they speak of.
    """
    return torch.where(spoken, numbers, torch.inf).amin(-1, keepdim=True).expand_as(numbers)
