"""Who answers whom: gates, the losses that keep them healthy, and what became of the load."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...envs.engine import rng
from ...envs.errors import ConfigError
from ...envs.validation import whole
from .experts import as_keys, in_full, uniform_parameter


class Route(NamedTuple):
    """Each token's specialists and their weights."""

    chosen: Tensor
    """int64 ``[S, T, k]``."""
    gates: Tensor
    """``[S, T, k]``."""
    logits: Tensor
    """``[S, T, E]``: what the gate thinks of all of them."""


class Load(NamedTuple):
    """What the experts had to carry; counts are exact."""

    chosen: Tensor
    """int64 ``[*copies, *batch, k]``: the experts of each token."""
    kept: Tensor
    """bool ``[*copies, *batch, k]``: whether that expert had room for it."""
    utilisation: Tensor
    """``[*copies, E]``: share of the assignments that went to each expert, before any was refused."""
    refused: Tensor
    """int64 ``[*copies]``: assignments beyond an expert's capacity."""
    dropped: Tensor
    """int64 ``[*copies]``: tokens that no expert took."""


class Linear(nn.Module):
    """A linear map for each copy: ``[S, T, in]`` to ``[S, T, out]``, in the precision of its weights.

    Under autocast too: rounded logits choose other experts (Fedus, Zoph & Shazeer, 2022, "selective precision").

    Args:
        purpose: Names its initial weights, which hang on the key and this name alone.
    """

    def __init__(self, purpose: str, inputs: int, outputs: int, keys: Tensor, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = uniform_parameter(keys, f"{purpose}.weight", (inputs, outputs), inputs)
        self.bias = uniform_parameter(keys, f"{purpose}.bias", (outputs,), inputs) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Every row of each copy."""
        with in_full(x.device):
            out = torch.bmm(x.to(self.weight.dtype), self.weight.view(-1, *self.weight.shape[-2:]))
        return out if self.bias is None else out + self.bias.view(-1, 1, out.shape[-1])

    def alone(self, copy: int) -> dict[str, Tensor]:
        """Weights of one copy by name, as ``nn.Linear`` has them."""
        weight = self.weight.detach().view(-1, *self.weight.shape[-2:])[copy].mT
        if self.bias is None:
            return {"weight": weight}
        return {"weight": weight, "bias": self.bias.detach().view(-1, self.bias.shape[-1])[copy]}


class TopK(nn.Module):
    """Each token to the k likeliest of E experts; gates are their probabilities, renormalised.

    Args:
        inputs: Width of a token.
        experts: E.
        k: Experts a token is sent to.
        key: int64 ``[*copies]``, or a seed.

    Raises:
        ConfigError: k is not between 1 and E.
    """

    def __init__(self, inputs: int, experts: int, k: int = 2, *, key: Tensor | int) -> None:
        super().__init__()
        self.k = whole("k", k, 1, whole("experts", experts, 1))
        self.gate = Linear("gate", inputs, experts, as_keys(key))

    def forward(self, x: Tensor, key: Tensor | int | None = None) -> Route:
        """Route tokens ``[S, T, in]``; there is no noise, so no use for a key."""
        return self.quiet(x)

    def quiet(self, x: Tensor) -> Route:
        """Route tokens ``[S, T, in]`` without noise, in any mode."""
        return self._route(self.gate(x))

    def _route(self, logits: Tensor) -> Route:
        """Route by logits ``[S, T, E]``: a softmax over the k greatest is the softmax over all, renormalised."""
        best, chosen = logits.topk(self.k, dim=-1)
        return Route(chosen, best.softmax(-1), logits)


class NoisyTopK(TopK):
    """The noisy top-k gate: logits ``x W_g + N(0, 1) · softplus(x W_n)``, gates their softmax over the top k.

    Shazeer et al., "Outrageously large neural networks" (2017), equations 3 to 5. Arguments are those of :class:`TopK`.
    The noise is there in training mode alone, as a dropout is; ``eval()`` routes without.
    """

    def __init__(self, inputs: int, experts: int, k: int = 2, *, key: Tensor | int) -> None:
        super().__init__(inputs, experts, k, key=key)
        keys = as_keys(key)
        self.copies = tuple(keys.shape)
        self.noise = Linear("gate-noise", inputs, experts, keys)

    def forward(self, x: Tensor, key: Tensor | int | None = None) -> Route:
        """Route tokens ``[S, T, in]``: in training mode noisily, in evaluation mode without noise, whatever the key.

        Args:
            x: Tokens.
            key: Of the noise, int64 ``[*copies]``, or a seed: another for every step of training.

        Raises:
            ConfigError: No key in training mode, or one of another shape.
        """
        if not self.training:
            return self.quiet(x)
        if key is None:
            raise ConfigError(
                "a noisy router in training mode draws its noise by a key: pass key=, another for every step, "
                "or call eval() on the layer (or on its router alone) to route without noise"
            )
        key = as_keys(key).to(x.device)
        if tuple(key.shape) != self.copies:
            raise ConfigError(
                f"the key of the noise must be int64 {list(self.copies)}, got {list(key.shape)}"
            )
        logits = self.gate(x)
        noise = rng.draw(key.reshape(-1), "gate-noise", tuple(logits.shape[1:])).normal()
        return self._route(logits + noise.to(logits) * F.softplus(self.noise(x)))


class Top1(nn.Module):
    """The Switch gate: each token to its likeliest expert, weighted by that probability.

    Fedus, Zoph & Shazeer, "Switch transformers" (2022), equations 1 and 2.

    Args:
        inputs: Width of a token.
        experts: E.
        key: int64 ``[*copies]``, or a seed.
    """

    k = 1

    def __init__(self, inputs: int, experts: int, *, key: Tensor | int) -> None:
        super().__init__()
        self.gate = Linear("gate", inputs, whole("experts", experts, 1), as_keys(key))

    def forward(self, x: Tensor, key: Tensor | int | None = None) -> Route:
        """Route tokens ``[S, T, in]``; there is no noise, so no use for a key."""
        logits = self.gate(x)
        probability, chosen = logits.softmax(-1).max(-1, keepdim=True)
        return Route(chosen, probability, logits)


class Uniform(nn.Module):
    """Everyone weighs the same, whatever the input: an ensemble.

    Args:
        inputs: Width of a token; plays no part.
        experts: E.
        key: Plays no part either: there is nothing to draw.
    """

    def __init__(self, inputs: int, experts: int, *, key: Tensor | int) -> None:
        super().__init__()
        self.k = whole("experts", experts, 1)

    def forward(self, x: Tensor, key: Tensor | int | None = None) -> Route:
        """All E specialists for each of the tokens ``[S, T, in]``, weighted 1/E."""
        shape = (*x.shape[:2], self.k)
        return _everyone(x.new_full(shape, 1 / self.k), x.new_zeros(shape))


class Confidence(nn.Module):
    """Everyone weighs as much as it is sure: softmax over E stated confidences, each linear in the input.

    Args:
        inputs: Width of a token.
        experts: E.
        key: int64 ``[*copies]``, or a seed.
    """

    def __init__(self, inputs: int, experts: int, *, key: Tensor | int) -> None:
        super().__init__()
        self.k = whole("experts", experts, 1)
        self.state = Linear("confidence", inputs, experts, as_keys(key), bias=True)

    def forward(self, x: Tensor, key: Tensor | int | None = None) -> Route:
        """All E specialists for each of the tokens ``[S, T, in]``."""
        logits = self.state(x)
        return _everyone(logits.softmax(-1), logits)


def _everyone(weights: Tensor, logits: Tensor) -> Route:
    chosen = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape)
    return Route(chosen, weights, logits)


def dense_weights(route: Route) -> Tensor:
    """Weights of all experts, ``[S, T, E]``; zero for those not chosen."""
    return torch.zeros_like(route.logits, dtype=route.gates.dtype).scatter(-1, route.chosen, route.gates)


def room(factor: float | None, k: int, tokens: int, experts: int) -> int | None:
    """Tokens an expert may take, ``⌊factor · k · tokens / E⌋`` and one at least; None, any number, without a factor.

    The capacity rule of GShard and of Switch transformers (equation 3), in one place. The factor is the decimal that
    it is written as: 1.15 of 100 tokens are 115, though the float is a hair less.
    """
    return None if factor is None else max(1, Fraction(str(factor)) * k * tokens // experts)


def shares(chosen: Tensor, experts: int) -> Tensor:
    """f: the share of the assignments int64 ``[…, T, k]`` that went to each expert, ``[…, E]``."""
    counts = torch.zeros(*chosen.shape[:-2], experts, device=chosen.device)
    flat = chosen.flatten(-2)
    return counts.scatter_add_(-1, flat, torch.ones_like(flat, dtype=counts.dtype)) / max(flat.shape[-1], 1)


def average(values: Tensor, *dims: int) -> Tensor:
    """Mean over dimensions; 0 over none: losses of an empty batch."""
    return values.mean(dims) if values.numel() else values.sum(dims)


def balance_loss(logits: Tensor, chosen: Tensor) -> Tensor:
    """``N · Σᵢ fᵢ·Pᵢ`` for each copy: 1 where the load is even, N where one of N experts has it all (top-1).

    f is the share of the assignments, which has no gradient, P the mean router probability. Switch transformers,
    equations 4 to 6.

    Args:
        logits: Of the router, ``[…, T, E]``.
        chosen: int64 ``[…, T, k]``.

    Returns:
        ``[…]``.
    """
    experts = logits.shape[-1]
    return experts * (shares(chosen, experts) * average(logits.softmax(-1), -2)).sum(-1)


def z_loss(logits: Tensor) -> Tensor:
    """``mean(logsumexp(logits)²)`` over the tokens ``[…, T, E]``: keeps logits small.

    Zoph et al., "ST-MoE" (2022), equation 5.
    """
    return average(logits.logsumexp(-1).square(), -1)


def raw_z_loss(logits: Tensor) -> Tensor:
    """``mean(logits²)``, as the document has it: it also pulls on differences between experts."""
    return average(logits.square(), -2, -1)


def load(chosen: Tensor, kept: Tensor, experts: int, copies: tuple[int, ...], batch: tuple[int, ...]) -> Load:
    """The load of assignments ``[S, T, k]``, in the shape of the inputs."""
    k = chosen.shape[-1]
    return Load(
        chosen.reshape(*copies, *batch, k),
        kept.reshape(*copies, *batch, k),
        shares(chosen, experts).view(*copies, experts),
        (~kept).sum((-2, -1)).view(copies),
        (~kept.any(-1)).sum(-1).view(copies),
    )
