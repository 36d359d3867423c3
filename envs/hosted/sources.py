"""What a learner can tell of its sources: a set of features for each, relative to oneself.

A source is a neighbour in the channel, one in each of an agent's K slots (`channel/topology.py`): in a complete room
source s of agent i is agent (i + 1 + s) mod N. So "who" means the same to everyone, and one policy, shared by all,
serves any number of sources.

For a message p on B rows of a slice, one's own belief q on them and the mean r of everyone else heard (oneself
included), all distributions over C classes:

* *confidence*: mean over rows of max p;
* *agreement* with oneself and with the class: mean over rows of Σ_c min(p_c, q_c), and of min(p_c, r_c): 1 for equal
  distributions, 0 where they share nothing (1 − total variation);
* *anchored* agreement: with oneself, rows weighted by the square of one's own confidence on them.

Of each there is the value now and a running mean (exact at first, then exponential); with the report card and its
last change that makes ten features, each also relative to the mean of those heard, and whether it was heard.

====================================  ==================================================================
features of a source, in order        meaning
====================================  ==================================================================
``confidence``                        of its message on the last slice
``agreement``                         with oneself
``class_agreement``                   with the others heard, oneself included
``anchored_agreement``                with oneself, where oneself is sure
``mean_…`` (four)                     running means of these
``card``, ``card_change``             its report card, and how it last changed
``relative_…`` (ten)                  each of the ten, less its mean over the sources heard
``heard``                             1; everything reads 0 for a source that was not heard
``energy``                            only where energies cross: tanh of the mean, over the rows that it
                                      spoke of, of its energy less one's own
====================================  ==================================================================

====================================  ==================================================================
history with a source, in order       meaning
====================================  ==================================================================
``outcome``                           what became of oneself under it: a running mean of the changes of
                                      one's own report card, which the next change enters with half the
                                      weight that one listened to the source with
``followed``                          how much one listened to it of late, 1 at most over all sources
``taught``                            share of the steps in which it was told the labels of its slice
====================================  ==================================================================

====================================  ==================================================================
features of oneself, in order         meaning
====================================  ==================================================================
``confidence``, ``class_agreement``   of one's own beliefs on the last slice; with the mean of the others
``mean_…`` (two)                      running means of these
``card_change``                       how one's own report card last changed
``heard``                             share of the sources heard
``told``                              1 where the labels of one's slice came
====================================  ==================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..channel import Neighbours
from ..engine.state import TensorDict
from .heard import Heard

OBSERVED = ("confidence", "agreement", "class_agreement", "anchored_agreement")
"""What is observed of each message; the order of ``now`` and ``mean``."""

_OF_A_SOURCE = (*OBSERVED, *(f"mean_{name}" for name in OBSERVED), "card", "card_change")
FEATURES = (*_OF_A_SOURCE, *(f"relative_{name}" for name in _OF_A_SOURCE), "heard")
"""Names of the F features of a source."""

ENERGY = "energy"
"""Name of the feature that a source has beside these where energies cross: see :func:`apart`."""

HISTORY = ("outcome", "followed", "taught")
"""What one went through with a source, beside its features: names, in order."""

_OF_ONESELF = ("confidence", "class_agreement")
OWN_FEATURES = (*_OF_ONESELF, *(f"mean_{name}" for name in _OF_ONESELF), "card_change", "heard", "told")
"""Names of the G features of oneself; ``heard`` is the share of sources heard, ``told`` of labels."""


@dataclass(frozen=True)
class Sources:
    """Keeps what is known of the sources, as part of a world's state.

    Args:
        num_agents: N.
        count: S, the sources of an agent: K of the channel.
        decay: Of the running means.
    """

    num_agents: int
    count: int
    decay: float = 0.95

    def start(self, worlds: int, device: torch.device) -> dict[str, Tensor]:
        """Nothing known of anybody."""
        n, k = self.num_agents, len(OBSERVED)
        pair = torch.zeros(worlds, n, self.count, k, device=device)
        own = torch.zeros(worlds, n, len(_OF_ONESELF), device=device)
        return {
            "now": pair,
            "mean": pair,
            "times": pair[..., 0],
            "own_now": own,
            "own_mean": own,
            "own_times": own[..., 0],
            "card_change": own[..., 0],
            "outcome": pair[..., 0],
        }

    def update_statistics(self, known: Mapping[str, Tensor], heard: Heard, beliefs: Tensor) -> TensorDict:
        """Take note of one slice's messages.

        Args:
            known: As :meth:`start` gave it.
            heard: The messages.
            beliefs: ``[W, N, B, C]``, one's own.
        """
        seen, own = heard.likeness(beliefs)
        weight = heard.mask[..., None].float()
        times = known["times"] + heard.mask
        step = times.clamp_min(1).reciprocal().clamp_min(1 - self.decay)[..., None]
        believes = beliefs.any(-1).any(-1)  # not before the first slice has come back
        own_times = known["own_times"] + believes
        own_step = believes * own_times.clamp_min(1).reciprocal().clamp_min(1 - self.decay)
        return {
            "now": seen * weight,
            "mean": known["mean"] + weight * step * (seen - known["mean"]),
            "times": times,
            "own_now": own,
            "own_mean": known["own_mean"] + own_step[..., None] * (own - known["own_mean"]),
            "own_times": own_times,
        }

    def of_cards(
        self, known: Mapping[str, Tensor], change: Tensor, due: Tensor, listened: Tensor
    ) -> dict[str, Tensor]:
        """Take note of new report cards.

        Args:
            known: As :meth:`start` gave it.
            change: By how much everybody's card has changed, ``[W, N]``.
            due: bool ``[W]``: where cards are new in this step.
            listened: How much one listened to whom of late, ``[W, N, S]``.
        """
        due = due[:, None]
        told = due[..., None] * listened / 2 * (change[..., None] - known["outcome"])
        return {
            "card_change": torch.where(due, change, known["card_change"]),
            "outcome": known["outcome"] + told,
        }

    def history(self, known: Mapping[str, Tensor], listened: Tensor, taught: Tensor, heard: Tensor) -> Tensor:
        """What one went through with each source, float32 ``[W, N, S, 3]``, zero where not heard.

        Args:
            known: As :meth:`of_cards` left it.
            listened: ``[W, N, S]``.
            taught: Share of the steps in which each source was told labels, ``[W, N, S]``.
            heard: bool ``[W, N, S]``.
        """
        return torch.stack([known["outcome"], listened, taught], dim=-1) * heard[..., None]

    def features(self, known: Mapping[str, Tensor], who: Neighbours, cards: Tensor, heard: Tensor) -> Tensor:
        """Features of the sources, float32 ``[W, N, S, F]``, zero where not heard.

        Args:
            known: As :meth:`update_statistics` left it.
            who: Which agent each source is.
            cards: Report cards of the sources, ``[W, N, S]``.
            heard: bool ``[W, N, S]``.
        """
        change = who.of(known["card_change"])[..., None]
        absolute = torch.cat([known["now"], known["mean"], cards[..., None], change], dim=-1)
        weight = heard[..., None].float()
        centre = (absolute * weight).sum(2, keepdim=True) / weight.sum(2, keepdim=True).clamp_min(1)
        return torch.cat([absolute, absolute - centre, torch.ones_like(weight)], dim=-1) * weight

    def own_features(self, known: Mapping[str, Tensor], heard: Tensor, told: Tensor) -> Tensor:
        """Features of oneself, float32 ``[W, N, G]``.

        Args:
            known: As :meth:`update_statistics` left it.
            heard: bool ``[W, N, S]``.
            told: float32 ``[W, N]``, share of rows with labels.
        """
        parts = [known["card_change"], heard.float().mean(-1), told]
        return torch.cat([known["own_now"], known["own_mean"], torch.stack(parts, -1)], dim=-1)


def apart(energies: Tensor, own: Tensor, spoke: Tensor) -> Tensor:
    """How far the energies of sources lie above one's own on the same rows, as tanh of the mean, ``[W, N, S]``.

    Args:
        energies: ``[W, N, S, B]``.
        own: ``[W, N, B]``.
        spoke: bool ``[W, N, S, B]``: the rows that arrived; 0 where none did.
    """
    total = ((energies - own[:, :, None]) * spoke).sum(-1)
    return (total / spoke.sum(-1).clamp_min(1)).tanh()
