"""Rules that learn whom to believe: running reputations, and crowdsourcing's EM, both online."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from ...envs.engine import TensorDict
from ...envs.errors import ConfigError
from ...envs.validation import real, whole
from .rule import Talk, overlap
from .weights import Weighted


class Reputation(Weighted):
    """Weigh each source by a power of its running agreement with an anchor.

    With agreement a of a source's row and weight v of that row, per step (beta reputation with forgetting:
    Jøsang & Ismail, 2002):

        A ← decay · A + Σ v·a        V ← decay · V + Σ v        trust = (A + ½) / (V + 1)

    Nothing is forgotten of a source that says nothing.

    Args:
        decay: What is left of past agreement after a step.
        sharpness: The exponent q of the weights, trust^q.
    """

    def __init__(self, decay: float = 0.98, sharpness: float = 4.0) -> None:
        self.decay = real("decay", decay, 0, 1)
        self.sharpness = real("sharpness", sharpness, 0)

    @abstractmethod
    def compare(self, talk: Talk) -> tuple[Tensor, Tensor]:
        """Agreement of each row with the anchor, ``[W, N, S, B]``, and the weight of each row, alike."""

    def begin(self) -> TensorDict:
        """Nobody has agreed with anything yet."""
        w, n = self.world.num_worlds, self.world.num_agents
        zeros = torch.zeros(w, n, self.sources, device=self.world.device)
        return {"agreed": zeros, "compared": zeros}

    def weights(self, talk: Talk) -> Tensor:
        """A power of trust."""
        return self.trust(talk) ** self.sharpness

    def trust(self, talk: Talk) -> Tensor:
        """Running agreement ``[W, N, S]`` in (0, 1), this slice included."""
        agreement, weight = self.compare(talk)
        weight = weight * talk.spoke
        decay = torch.where(talk.heard, self.decay, 1.0)
        agreed = decay * self.memory["agreed"] + (weight * agreement).sum(-1)
        compared = decay * self.memory["compared"] + weight.sum(-1)
        self.memory = {"agreed": agreed, "compared": compared}
        return (agreed + 0.5) / (compared + 1.0)


class ReputationSelf(Reputation):
    """Believe those who agreed with oneself, above all where oneself was confident.

    Agreement is Σ min(p, own); a row counts as one's own confidence in it, from 0 (uniform) to 1.
    """

    def compare(self, talk: Talk) -> tuple[Tensor, Tensor]:
        """Agreement with oneself, weighted by one's own confidence."""
        return overlap(talk.rows, talk.own[:, :, None]), certainty(talk.own)[:, :, None].expand_as(talk.spoke)


class ReputationClass(Reputation):
    """Believe those who agreed with the class: Σ min(p, mean of the other sources heard and oneself)."""

    def compare(self, talk: Talk) -> tuple[Tensor, Tensor]:
        """Agreement with the others, every row alike."""
        return overlap(talk.rows, talk.others()), torch.ones_like(talk.confidence)


def certainty(rows: Tensor) -> Tensor:
    """The largest probability of rows ``[…, C]``, rescaled: 0 where uniform or silent, 1 where certain."""
    chance = 1.0 / rows.shape[-1]
    return ((rows.amax(-1) - chance) / (1.0 - chance)).clamp_min(0.0)


class Crowd(Weighted):
    """Infer the labels of a slice from everyone's votes and, at once, how good each voter is.

    The workers are oneself and the sources; a vote is a row's most probable class. Counts of how each worker
    voted run along, forgotten at a rate; on each slice a fixed number of EM iterations alternates

    * E: the posterior of each row's label, given the votes and the counts,
    * M: the counts, past ones plus the votes expected under that posterior,

    an online EM (Cappé & Moulines, 2009) with a slice as its block. Classes are equally probable a priori,
    since those of topical slices come and go. Sources are then weighed by how good they are. The posterior
    itself is a poor target: while nobody knows another's classes yet it is one voter's opinion, and certain.

    Args:
        decay: What is left of past counts after a slice.
        iterations: Of EM on each slice.
    """

    def __init__(self, decay: float = 0.98, iterations: int = 3) -> None:
        self.decay = real("decay", decay, 0, 1)
        self.iterations = whole("iterations", iterations, 1)

    @abstractmethod
    def likelihood(self, counts: Tensor, votes: Tensor) -> Tensor:
        """Log likelihood ``[W, N, B, C]`` of the rows' labels, up to a constant for each row.

        Args:
            counts: ``[W, N, S + 1, …]``.
            votes: One-hot, ``[W, N, S + 1, B, C]``; oneself first; all zero where silent.
        """

    @abstractmethod
    def count(self, truth: Tensor, votes: Tensor) -> Tensor:
        """The votes of a slice, counted under the posterior ``truth [W, N, B, C]``; shaped like the counts."""

    @abstractmethod
    def value(self, counts: Tensor, votes: Tensor) -> Tensor:
        """How much the workers' votes are worth, ``[W, N, S + 1]`` or by row, ``[W, N, S + 1, B]``."""

    def weights(self, talk: Talk) -> Tensor:
        """What the sources' votes are worth, this slice included."""
        workers = torch.cat([talk.own[:, :, None], talk.rows], dim=2)
        votes = F.one_hot(workers.argmax(-1), workers.shape[-1]) * (workers.amax(-1, keepdim=True) > 0)
        votes = votes.to(workers.dtype)
        counts, voted = self.memory["counts"], votes.flatten(3).any(-1)
        left = torch.where(voted, self.decay, 1.0)
        past = counts * left.view(*left.shape, *[1] * (counts.dim() - 3))
        counts = past
        for _ in range(self.iterations):
            counts = past + self.count(self.likelihood(counts, votes).softmax(-1), votes)
        self.memory = {"counts": counts}
        return self.value(counts, votes)[:, :, 1:]


class OneCoin(Crowd):
    """EM reliability with one accuracy for each source.

    The one-coin model (Zhang et al., "Spectral methods meet EM", NeurIPS 2014): worker k votes for the
    true class with probability a_k and for each other one with (1 − a_k)/(C − 1), so its vote is worth the log
    odds a_k(C − 1)/(1 − a_k), or nothing where they are negative. The prior of an accuracy is two right votes
    and a wrong one.
    """

    def begin(self) -> TensorDict:
        """No votes yet: ``counts[…, 0]`` right ones, ``[…, 1]`` wrong ones."""
        w, n = self.world.num_worlds, self.world.num_agents
        return {"counts": torch.zeros(w, n, 1 + self.sources, 2, device=self.world.device)}

    def likelihood(self, counts: Tensor, votes: Tensor) -> Tensor:
        """Votes weighted by the log odds of their worker."""
        return (_log_odds(counts, votes)[..., None, None] * votes).sum(2)

    def count(self, truth: Tensor, votes: Tensor) -> Tensor:
        """Expected right and wrong votes of each worker."""
        right = (votes * truth[:, :, None]).sum((-1, -2))
        return torch.stack([right, votes.sum((-1, -2)) - right], dim=-1)

    def value(self, counts: Tensor, votes: Tensor) -> Tensor:
        """The log odds, not below 0."""
        return _log_odds(counts, votes).clamp_min(0.0)


def _log_odds(counts: Tensor, votes: Tensor) -> Tensor:
    """What a vote says for its class under the one-coin model, ``[W, N, S + 1]``."""
    return torch.log((counts[..., 0] + 2.0) * (votes.shape[-1] - 1) / (counts[..., 1] + 1.0))


class DawidSkene(Crowd):
    """EM reliability with a confusion matrix for each source.

    Dawid & Skene (1979): worker k votes v for a row of class c with probability π_k[c, v], so that it can be
    an expert of some classes. A vote v is worth π_k[v, v], how surely the worker knows that class. Every entry
    of the counts begins with ``smoothing`` votes (Laplace), the diagonal with six times as many: else the
    classes could swap names.

    Args:
        decay: What is left of past counts after a slice.
        iterations: Of EM on each slice.
        smoothing: Votes every entry begins with.
    """

    def __init__(self, decay: float = 0.98, iterations: int = 3, smoothing: float = 1.0) -> None:
        super().__init__(decay, iterations)
        self.smoothing = real("smoothing", smoothing, 0)
        if self.smoothing == 0:
            raise ConfigError("smoothing must be above 0: without it one vote can rule a class out")

    def begin(self) -> TensorDict:
        """No votes yet: ``counts[…, c, v]`` for v where c is true."""
        w, n = self.world.num_worlds, self.world.num_agents
        classes = (self.world.action_space["targets"].shape or ())[-1]
        return {"counts": torch.zeros(w, n, 1 + self.sources, classes, classes, device=self.world.device)}

    def likelihood(self, counts: Tensor, votes: Tensor) -> Tensor:
        """Σ over workers of log π[c, vote]."""
        return torch.einsum("wnkbv,wnkcv->wnbc", votes, self.confusion(counts).log())

    def count(self, truth: Tensor, votes: Tensor) -> Tensor:
        """Expected votes of each worker, by true class."""
        return torch.einsum("wnbc,wnkbv->wnkcv", truth, votes)

    def value(self, counts: Tensor, votes: Tensor) -> Tensor:
        """π[v, v] of each row's vote."""
        known = self.confusion(counts).diagonal(dim1=-2, dim2=-1)
        return (votes * known[:, :, :, None]).sum(-1)

    def confusion(self, counts: Tensor) -> Tensor:
        """π[c, v], ``[W, N, S + 1, C, C]``."""
        prior = 1.0 + 5.0 * torch.eye(counts.shape[-1], device=counts.device)
        smoothed = counts + self.smoothing * prior
        return smoothed / smoothed.sum(-1, keepdim=True)
