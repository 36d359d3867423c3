"""A network that can say "the best, if it is better than me", whatever is best: sources compete, and winners are known.

Sources are encoded one by one and averaged over those that were heard (Deep Sets, Zaheer et al. 2017). But a mean does
not tell which is the greatest, and report cards differ by hundredths: of the rule "imitate the best report card that
beats one's own", 78 % right, a network with a mean alone became a clone of 69 %. So beside the mean

* what decides is shown in hundredths: cards against one's own and against the best, agreement against the median's, and
  how far questions are behind an even pace;
* sources compete for K learned keys: each is told how far it is behind the best of a key, how strong it is, and whether
  it is the first of the best;
* the greatest of each encoding is known;
* what became of oneself when one followed a source is a feature of it (``history`` of hosted worlds).

No parameter knows how many sources there are; their order plays no part but between equals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...envs.hosted.sources import FEATURES, HISTORY
from .observed import OWN

KEYS = 4
"""K, learned keys that sources compete for."""

_CARD, _AGREEMENT, _MEAN_AGREEMENT = (FEATURES.index(n) for n in ("card", "agreement", "mean_agreement"))
_DERIVED, _DERIVED_OWN = 4, 2
_SHARPNESS = 8.0


class Tournament(nn.Module):
    """Scores sources, and says ``pooled`` numbers of its own beside them.

    Args:
        source_features: F, features of a source; the first are those of ``studyhall.envs.hosted.sources``.
        own_features: G, features of ``own_features``, ``report`` and ``elapsed`` together.
        pooled: P, numbers that hang on no single source (whether to ask, a gate).
        width: Of the hidden layers.
    """

    def __init__(self, source_features: int, own_features: int, pooled: int, width: int = 64) -> None:
        super().__init__()
        self.features, self.pooled = (source_features, own_features), pooled
        inputs = source_features + len(HISTORY) + _DERIVED
        self.of_source = nn.Linear(inputs, width)
        self.of_self = nn.Linear(own_features + _DERIVED_OWN, width)
        self.key = nn.Linear(inputs + width, KEYS)
        self.mix = nn.Linear(width + 3 * KEYS, width)
        self.context = nn.Linear(3 * width, width)
        self.score = nn.Linear(width, 1)
        self.heads = nn.Linear(width, pooled) if pooled else None
        self.judge = nn.Linear(3 * width, width)
        self.value = nn.Linear(width, 1)
        _begin_near_zero(self, (self.score, self.heads), self.value)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Tournament:
        """The network that a ``state_dict`` is of.

        Raises:
            KeyError: An entry is missing.
            RuntimeError, ValueError: Shapes do not fit together.
        """
        width, inputs = state["of_source.weight"].shape
        sizes = inputs - len(HISTORY) - _DERIVED, state["of_self.weight"].shape[1] - _DERIVED_OWN
        pooled = state["heads.weight"].shape[0] if "heads.weight" in state else 0
        with torch.device("meta"):  # no layer is made of sizes that do not fit together
            network = cls(*sizes, pooled, width)
        network.load_state_dict(state, assign=True)
        return network

    def derive(self, obs: Mapping[str, Tensor], heard: Tensor) -> tuple[Tensor, Tensor]:
        """See :func:`derived`."""
        return derived(obs, heard)

    def compete(self, keys: Tensor, there: Tensor) -> Tensor:
        """See :func:`ranks`."""
        return ranks(keys, there)

    def forward(self, obs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Scores and value.

        Args:
            obs: ``sources [..., S, F]``, ``sources_mask [..., S]``, ``history [..., S, 3]``, and what is known of
                oneself: ``own_features``, ``report`` and ``elapsed``, ``[..., g]`` each.

        Returns:
            ``[..., P + S]``: the pooled numbers, then one for each source (−1 where it was not heard); and the
            value, ``[...]``.
        """
        if not obs["sources"].shape[-2]:  # nobody else: as if there were one who is not heard
            one = {"sources": (0, 0, 0, 1), "sources_mask": (0, 1), "history": (0, 0, 0, 1)}
            scores, value = self({**obs, **{key: F.pad(obs[key], pad) for key, pad in one.items()}})
            return scores[..., :-1], value
        heard = obs["sources_mask"] == 1
        of_sources, of_self = self.derive(obs, heard)
        there = heard[..., None]
        inputs = torch.cat([obs["sources"], obs["history"], of_sources], dim=-1) * there
        own = self.of_self(torch.cat([*(obs[key] for key in OWN), of_self], dim=-1))
        encoded = torch.tanh(self.of_source(inputs) + own[..., None, :])
        average = (encoded * there).sum(-2) / there.sum(-2).clamp_min(1)
        greatest = encoded.masked_fill(~there, -1.0).amax(-2)
        about = torch.cat([average, greatest, torch.tanh(own)], dim=-1)
        context = torch.tanh(self.context(about))
        rank = self.compete(self.key(torch.cat([inputs, encoded], dim=-1)), there)
        mixed = torch.tanh(self.mix(torch.cat([encoded, rank], dim=-1)) + context[..., None, :])
        scores = self.score(mixed)[..., 0].masked_fill(~heard, -1.0)
        if self.heads is not None:
            scores = torch.cat([self.heads(context), scores], dim=-1)
        return scores, self.value(torch.tanh(self.judge(about)))[..., 0]


def _begin_near_zero(network: nn.Module, last: tuple[nn.Linear | None, ...], value: nn.Linear) -> None:
    """Begin as is usual for PPO: the first actions are near 0 for every source, so nothing is ruled out."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(
                layer.weight, 0.01 if layer in last else 1.0 if layer is value else math.sqrt(2)
            )
            nn.init.zeros_(layer.bias)


def derived(obs: Mapping[str, Tensor], heard: Tensor) -> tuple[Tensor, Tensor]:
    """What decides, in hundredths: of the sources ``[..., S, 4]`` and of oneself ``[..., 2]``.

    Of a source how far its card is above one's own, how far below the best heard, whether it is the first of the best,
    and its agreement (the lesser of now and of the running mean) against the median of those heard. Of oneself how far
    one's card is below the best heard, and the pace of questions: the share of the episode that is over, less the
    share of the budget that is spent.
    """
    sources, (own, left) = obs["sources"], obs["report"].unbind(-1)
    cards = sources[..., _CARD].masked_fill(~heard, -1.0)
    best = cards.amax(-1, keepdim=True)
    agreement = torch.minimum(sources[..., _AGREEMENT], sources[..., _MEAN_AGREEMENT])
    median = agreement.masked_fill(~heard, torch.nan).nanmedian(-1, keepdim=True).values.nan_to_num()
    of_sources = [
        _hundredths(cards - own[..., None]),
        _hundredths(cards - best),
        first_of_best(cards),
        _hundredths(agreement / median.clamp_min(1e-3) - 1),
    ]
    pace = obs["elapsed"][..., 0] - (1 - left)
    return torch.stack(of_sources, -1), torch.stack([_hundredths(best[..., 0] - own), _hundredths(pace)], -1)


def ranks(keys: Tensor, there: Tensor) -> Tensor:
    """How each source does in the tournament: ``[..., S, 3K]`` of keys ``[..., S, K]``.

    Nearness to the best of a key (1 is the best), its own strength, and 1 for the first of the best.
    """
    among = keys.masked_fill(~there, -torch.inf)
    best = among.amax(-2, keepdim=True).clamp_min(torch.finfo(keys.dtype).min)  # nobody may be there
    near = (_SHARPNESS * (among - best)).exp()
    won = first_of_best(among.transpose(-1, -2)).transpose(-1, -2) * there
    return torch.cat([near, torch.tanh(_SHARPNESS * keys) * there, won], dim=-1)


def first_of_best(values: Tensor) -> Tensor:
    """1 for the greatest of the last axis, the first of equals, else 0."""
    return F.one_hot(values.argmax(-1), values.shape[-1]).to(torch.float32)


def _hundredths(x: Tensor) -> Tensor:
    """Differences of hundredths as numbers of order 1, larger ones as ±1."""
    return torch.tanh(50 * x)
