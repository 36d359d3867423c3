"""What liars say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..engine import rng
from .settings import LIAR_KINDS


def with_lies(
    published: Tensor,
    kinds: Sequence[str],
    most: int,
    state: Mapping[str, Tensor],
    draws: rng.DrawDict,
    awake: Tensor,
) -> Tensor:
    """What goes on the air, liars among those who publish; lies are made of them alone.

    Args:
        published: What the agents mean, ``[W, N, B, C]``.
        kinds: Kinds of liars that there may be, of :data:`~studyhall.envs.channel.settings.LIAR_KINDS`.
        most: How many liars a world may have.
        state: The world's, for who lies (``liar``) and by how many classes (``shift``).
        draws: This step's draws.
        awake: bool ``[W]``: whether sleepers lie.
    """
    places = (
        (state["liar"] == 0).int().argsort(dim=1, stable=True)[:, :most]
    )  # liars first, in order of index
    liar = state["liar"].gather(1, places)
    meant = said = _of(published, places)
    best = meant.argmax(-1)  # [W, L, B]
    for kind in kinds:
        lying = liar == LIAR_KINDS.index(kind)
        if kind == "sleeper":
            lying = lying & awake[:, None]
        if kind == "fickle":
            lying = lying & _of(draws["channel/mood"].below(0.5), places)
        told = _lie(kind, meant, best, liar, state["shift"], draws, places)
        said = torch.where(lying[:, :, None, None], told, said)
    return published.scatter(1, _index(places, published), said)


def _lie(
    kind: str,
    meant: Tensor,
    best: Tensor,
    liar: Tensor,
    shift: Tensor,
    draws: rng.DrawDict,
    places: Tensor,
) -> Tensor:
    """What liars of one kind put on the air instead of ``meant [W, L, B, C]``, whose best classes are ``best``.

    roll: own beliefs under a cyclic shift of the classes. sharp (and a sleeper awake): all weight on
    the shift of one's own best class. modest: a random class, at one's own confidence. noise: a
    random distribution. collude: like sharp, but on each row all say the shift of the best class of
    the first liar who speaks there. fickle: like roll, in a random half of the steps. bold: no shift, but all
    weight on one's own best class, of every row; where a number goes beside the rows, see :func:`claim`.
    """
    classes = meant.shape[-1]
    if kind == "noise":
        return -torch.log1p(-_of(draws["channel/lie"].uniform(), places))  # normalised below: Dirichlet(1)
    if kind in ("roll", "fickle"):
        source = (torch.arange(classes, device=meant.device) - shift[:, None]) % classes
        return meant.gather(-1, source[:, None, None, :].expand_as(meant))
    if kind == "modest":
        confidence = meant.amax(-1, keepdim=True)
        wrong = F.one_hot(_of(draws["channel/wrong"].integers(classes), places), classes).float()
        return wrong * confidence + (1 - wrong) * (1 - confidence) / max(1, classes - 1)
    if kind == "collude":
        speaks = (liar > 0)[..., None] & (meant.sum(-1) > 0)  # [W, L, B]
        first = speaks.float().argmax(1, keepdim=True)
        best = best.gather(1, first).expand_as(best)
    if kind == "bold":
        return F.one_hot(best, classes).float()
    return F.one_hot((best + shift[:, None, None]) % classes, classes).float()


def _of(x: Tensor, places: Tensor) -> Tensor:
    """What is that of some agents, int64 ``[W, L]``, of ``x [W, N, …]``: ``[W, L, …]``."""
    return x.gather(1, _index(places, x))


def _index(places: Tensor, x: Tensor) -> Tensor:
    return places.view(*places.shape, *[1] * (x.dim() - 2)).expand(*places.shape, *x.shape[2:])


def claim(numbers: Tensor, spoken: Tensor) -> Tensor:
    """What a bold liar says beside its rows instead of ``numbers [W, N, B]``: the lowest of its own, on every row.

    Args:
        numbers: What the agents mean.
        spoken: bool ``[W, N, B]``: the rows that they speak of.
    """
    return torch.where(spoken, numbers, torch.inf).amin(-1, keepdim=True).expand_as(numbers)
