"""What liars say."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..engine import rng
from .settings import LIAR_KINDS


class Liars(NamedTuple):
    """Who lies in an episode, and how."""

    places: Tensor  # who they are, int64 [W, L]; honest agents where a world has fewer
    codes: Tensor  # of these, int64 [W, L]: indices into LIAR_KINDS, 0 = honest
    lying: dict[str, Tensor]  # of each kind, bool [W, L, 1, 1]


def liars(codes: Tensor, kinds: frozenset[str], most: int) -> Liars:
    """The liars among agents.

    Args:
        codes: What each is, int64 ``[W, N]``: an index into :data:`LIAR_KINDS`, 0 = honest.
        kinds: Kinds that there may be; those that there are, where looking is free.
        most: How many liars a world may have.
    """
    if codes.device.type == "cpu":
        kinds &= {LIAR_KINDS[code] for code in codes.flatten().unique().tolist()}
    places = (codes == 0).int().argsort(dim=1, stable=True)[:, :most]  # liars first, in order of index
    codes = codes.gather(1, places)
    known = {kind: (codes == LIAR_KINDS.index(kind))[:, :, None, None] for kind in sorted(kinds)}
    return Liars(places, codes, known)


def with_lies(published: Tensor, liars: Liars, shift: Tensor, draws: rng.DrawDict, awake: Tensor) -> Tensor:
    """What goes on the air, liars among those who publish; lies are made of them alone.

    Args:
        published: What the agents mean, ``[W, N, B, C]``.
        liars: Who lies.
        shift: By how many classes, int64 ``[W]``.
        draws: This step's draws.
        awake: bool ``[W]``: whether sleepers lie.
    """
    if not liars.lying:
        return published
    places = liars.places
    meant = said = _of(published, places)
    best = meant.argmax(-1)  # [W, L, B]
    for kind, lying in liars.lying.items():
        if kind == "sleeper":
            lying = lying & awake[:, None, None, None]
        if kind == "fickle":
            lying = lying & _of(draws["channel/mood"].below(0.5), places)[:, :, None, None]
        told = _lie(kind, meant, best, liars.codes, shift, draws, places)
        said = torch.where(lying, told, said)
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
