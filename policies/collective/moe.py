"""Mixtures of experts: a router picks the few experts that compute a token (``MoE``: top k, ``Switch``: one)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from ...envs.validation import real
from .dispatch import grouped
from .experts import Activation, Experts, flatten, widths
from .routing import Load, NoisyTopK, Top1, balance_loss, load, raw_z_loss, room, z_loss

MOE_AS_PUBLISHED: dict[str, Any] = {"capacity_factor": None}
"""The document's MoE: a capacity that is declared but never applied."""

SWITCH_AS_PUBLISHED: dict[str, Any] = {"z_penalty": raw_z_loss}
"""The document's Switch: a z-loss on raw logits."""


class Mixed(NamedTuple):
    """What a mixture says."""

    output: Tensor
    """``[*copies, *batch, out]``; a token that no expert took reads 0, so ``x + output`` lets it pass."""
    loss: Tensor
    """``[*copies]``: auxiliary losses, weighted; add them to the task's."""
    load: Load


class _Mixture(nn.Module):
    """What both mixtures share: experts, a router, and room for so many tokens.

    ``capacity_factor`` holds in training, ``eval_capacity_factor`` in evaluation mode; None has room for all.
    """

    def __init__(
        self,
        experts: Experts,
        router: NoisyTopK | Top1,
        capacity_factors: tuple[float | None, float | None],
        balance: float,
    ) -> None:
        super().__init__()
        self.experts, self.router = experts, router
        names = ("capacity_factor", "eval_capacity_factor")
        self.capacity_factor, self.eval_capacity_factor = (
            None if factor is None else real(name, factor, 0)
            for name, factor in zip(names, capacity_factors, strict=True)
        )
        self.balance = real("balance", balance, 0)

    def capacity(self, tokens: int) -> int | None:
        """How many of so many tokens an expert may take now; None is any number. See :func:`~.routing.room`."""
        factor = self.capacity_factor if self.training else self.eval_capacity_factor
        return room(factor, self.router.k, tokens, self.experts.experts)

    def forward(self, x: Tensor, key: Tensor | int | None = None) -> Mixed:
        """Mix the experts chosen for each token.

        Args:
            x: ``[*copies, *batch, in]``; all of a copy's batch are tokens that share its experts' capacity.
            key: Of the router's noise, int64 ``[*copies]``, or a seed: another for every step. ``MoE`` needs it in
                training mode; in evaluation mode there is no noise, whatever the key. ``Switch`` has none.

        Raises:
            ConfigError: No key for a noisy router in training mode, or inputs or a key of another shape.
        """
        rows, batch = flatten(x, self.experts.copies, self.experts.sizes[0])
        route = self.router(rows, key)
        mixed, kept = grouped(self.experts, rows, route.chosen, route.gates, self.capacity(rows.shape[1]))
        copies = self.experts.copies
        return Mixed(
            mixed.view(*copies, *batch, mixed.shape[-1]),
            self.penalty(route.logits, route.chosen).view(copies),
            load(route.chosen, kept, self.experts.experts, copies, batch),
        )

    def penalty(self, logits: Tensor, chosen: Tensor) -> Tensor:
        """Auxiliary losses ``[S]``, weighted."""
        return self.balance * balance_loss(logits, chosen)


class MoE(_Mixture):
    """Sparse mixture: experts Linear–GELU–Linear behind a noisy top-k gate; ``y = Σ gate · expert(x)``.

    Args:
        inputs: Width of a token.
        hidden: Width of an expert's hidden layer, or of each of several.
        outputs: Width of the output; None is the input's.
        key: int64 ``[*copies]``, one independent layer for each; or a seed, for one.
        experts: E.
        k: Experts that compute a token.
        capacity_factor: In training an expert takes at most ``⌊factor·k·tokens/E⌋`` tokens; None: any number.
        eval_capacity_factor: Likewise in evaluation mode.
        balance: Weight of the balance loss.
        activation: Of the experts' hidden layers.
        final: After an expert's last one; None leaves it linear.

    Where one of a token's experts has no room, the other's gate stays what it was. Noise and capacity follow
    ``train()`` and ``eval()``; training without noise is ``layer.router.eval()``.

    Raises:
        ConfigError: An argument out of range.
    """

    router: NoisyTopK

    def __init__(
        self,
        inputs: int,
        hidden: int | Sequence[int],
        outputs: int | None = None,
        *,
        key: Tensor | int,
        experts: int = 8,
        k: int = 2,
        capacity_factor: float | None = 1.25,
        eval_capacity_factor: float | None = None,
        balance: float = 0.01,
        activation: Activation = F.gelu,
        final: Activation | None = None,
    ) -> None:
        sizes = widths(inputs, hidden, inputs if outputs is None else outputs)
        specialists = Experts(experts, sizes, key=key, activation=activation, final=final)
        router = NoisyTopK(inputs, experts, k, key=key)
        super().__init__(specialists, router, (capacity_factor, eval_capacity_factor), balance)


class Switch(_Mixture):
    """Each token to one expert, weighted by the router's probability of it.

    In training an expert takes at most ``⌊capacity_factor · tokens / E⌋`` tokens and the rest are dropped; put
    the layer on a residual, ``x + switch(x).output``, and they pass through. In evaluation mode all are processed.

    Args:
        inputs: Width of a token.
        hidden: Width of an expert's hidden layer, or of each of several.
        outputs: Width of the output; None is the input's.
        key: int64 ``[*copies]``, one independent layer for each; or a seed, for one.
        experts: E.
        capacity_factor: In training; None drops nothing.
        eval_capacity_factor: In evaluation mode.
        balance: Weight of the balance loss.
        z_weight: Weight of the z-loss.
        z_penalty: From logits ``[S, T, E]`` to ``[S]``; :func:`raw_z_loss` is the document's.
        activation: Of the experts' hidden layers.
        final: After an expert's last one; None leaves it linear.

    Raises:
        ConfigError: An argument out of range.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int | Sequence[int],
        outputs: int | None = None,
        *,
        key: Tensor | int,
        experts: int = 8,
        capacity_factor: float | None = 1.0,
        eval_capacity_factor: float | None = None,
        balance: float = 0.01,
        z_weight: float = 0.001,
        z_penalty: Callable[[Tensor], Tensor] = z_loss,
        activation: Activation = F.gelu,
        final: Activation | None = None,
    ) -> None:
        sizes = widths(inputs, hidden, inputs if outputs is None else outputs)
        specialists = Experts(experts, sizes, key=key, activation=activation, final=final)
        router = Top1(inputs, experts, key=key)
        super().__init__(specialists, router, (capacity_factor, eval_capacity_factor), balance)
        self.z_weight, self.z_penalty = real("z_weight", z_weight, 0), z_penalty

    def penalty(self, logits: Tensor, chosen: Tensor) -> Tensor:
        """Balance and z-loss ``[S]``, weighted."""
        return super().penalty(logits, chosen) + self.z_weight * self.z_penalty(logits)
