"""A collective as an ordinary module, to be taken anywhere: this file needs torch alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def perceptron(sizes: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    """Linear layers with an activation after each hidden one."""
    layers: list[nn.Module] = []
    for wide, out in itertools.pairwise(sizes):
        layers += [nn.Linear(wide, out), activation()]
    return nn.Sequential(*layers[:-1])


class Collective(nn.Module):
    """N specialists, and what weighs them; what they say together is Σ w·f under the world's weighting of bids.

    Args:
        specialists: N.
        sizes: Width of the input, of each hidden layer, and classes C.
        bids: What is bid for a sample. "uniform": 1/N. "confidence": the greatest probability to the ``power``.
            "learned": N numbers, the same for each sample. And by a linear map of the input: "top_k", the softmax over
            its k greatest, of the others 0; "switch", the probability of the likeliest, and answers are sharpened by
            those of all; "softmax" of all; "logistic" of each, in proportion.
        power: Of "confidence"; 0 bids alike.
        k: Of "top_k".
        bias: Whether the linear map has one.
    """

    def __init__(
        self,
        specialists: int,
        sizes: Sequence[int],
        *,
        bids: str = "confidence",
        power: float = 0.0,
        k: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.bids, self.power, self.k = bids, power, k
        self.specialists = nn.ModuleList(perceptron(sizes, nn.ReLU) for _ in range(specialists))
        if bids == "learned":
            self.weights = nn.Parameter(torch.zeros(specialists))
        elif bids not in ("uniform", "confidence"):
            self.gate = nn.Linear(sizes[0], specialists, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What all answer and bid.

        Args:
            x: ``[M, D]``, or ``[N, M, D]`` where each sees samples of its own (without a linear map).

        Returns:
            Class distributions ``[N, M, C]`` and bids ``[N, M]``.
        """
        seen = x.expand(len(self.specialists), *x.shape[-2:])
        logits = torch.stack([one(own) for one, own in zip(self.specialists, seen, strict=True)])
        answers = logits.softmax(-1)
        if self.bids == "uniform":
            return answers, torch.full_like(answers[..., 0], 1 / len(answers))
        if self.bids == "confidence":
            return answers, answers.amax(-1) ** self.power
        if self.bids == "learned":
            return answers, self.weights.softmax(-1)[:, None].expand(logits.shape[:-1])
        scores = self.gate(x)  # [M, N]
        if self.bids == "switch":
            chances = scores.softmax(-1)
            best, who = chances.max(-1, keepdim=True)
            bids = torch.zeros_like(chances).scatter(-1, who, best)
            return (chances.mT[..., None] * logits).softmax(-1), bids.mT
        if self.bids == "top_k":
            best, who = scores.topk(self.k, -1)
            bids = torch.zeros_like(scores).scatter(-1, who, best.softmax(-1))
        elif self.bids == "logistic":
            bids = nn.functional.normalize(scores.sigmoid(), p=1.0, dim=-1)
        else:
            bids = scores.softmax(-1)
        return answers, bids.mT


class Scorers(nn.Module):
    """N scorers of tokens, and the router that says whose score counts for which.

    Args:
        scorers: N.
        tokens: T.
        features: F, of a glimpse of a token; its place is added.
        hidden: Width of a scorer's hidden layer.
        k: Scorers asked for a token.
    """

    def __init__(self, scorers: int, tokens: int, features: int, hidden: int, k: int) -> None:
        super().__init__()
        self.k = k
        sizes = (features + tokens, hidden, 1)
        self.scorers = nn.ModuleList(perceptron(sizes, nn.GELU) for _ in range(scorers))
        self.gate = nn.Linear(sizes[0], scorers, bias=False)

    def forward(self, glimpses: Tensor) -> Tensor:
        """Each scorer's part of the relevance of tokens, ``[N, M, T]``, for ``[M, T, F]``; their sum is in [0, 1]."""
        places = torch.eye(glimpses.shape[1], dtype=glimpses.dtype, device=glimpses.device)
        x = torch.cat([glimpses, places.expand(len(glimpses), -1, -1)], -1)
        scores = torch.cat([scorer(x) for scorer in self.scorers], -1).sigmoid()  # [M, T, N]
        best, who = self.gate(x).topk(self.k, -1)
        weights = torch.zeros_like(scores).scatter(-1, who, best.softmax(-1))
        relevance = (weights * scores).sum(-1, keepdim=True)
        return (weights * relevance).movedim(-1, 0)
