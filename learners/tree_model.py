"""A causal transformer with a tree of experts between its layers and its output, for K worlds at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..envs.engine import rng
from ..envs.errors import one_of
from ..envs.validation import keep, real, whole
from . import sublayers
from .sublayers import EPS, Wanted
from .transformer import Saved, Transformer

_NUMBERS_AT_ONCE = 1 << 23  # of what is within all agents: bounds the memory of an evaluation
ROUTINGS = ("soft", "hard", "three")
STOP = 0.3
"""Hard routing ends at a node whose best child has less than this share of it."""
LEAST = 0.01
"""A path of less weight is dropped where three children of a node are followed."""


class Paths(NamedTuple):
    """A tree as its model reads it."""

    gate: Tensor
    """Of leaves, above 0 or 0 of one that is not open yet; 0 elsewhere: ``[K, S]``."""
    above: Tensor
    """1 where the second of two agents is the first or above it, float ``[K, S, S]``; of the living."""
    parent: Tensor
    """int64 ``[K, S]``; of the root and the dead themselves."""


class Wandering(NamedTuple):
    """Random routes of hard routing; uniform numbers."""

    whether: Tensor
    """Of each token, ``[K, M]``."""
    which: Tensor
    """The child that it would take, ``[K, S]``."""
    chance: Tensor
    """Of a token to wander, ``[K]``."""


class TreeStep(NamedTuple):
    """What a learning step sees of the models as they are before it, M = B·T tokens."""

    nats: Tensor
    """Of each token, ``[K, M]``."""
    x: Tensor
    """What the tree is given, ``[K, M, E]``."""
    weights: Tensor
    """Of each agent for each token, ``[K, M, S]``."""
    trunk: list[Tensor]
    """Gradients ``[K, …]`` of the mean loss."""
    experts: list[Tensor]
    """Gradients ``[K·S, …]``."""


@dataclass(frozen=True)
class TreeTransformer(Transformer):
    """A :class:`Transformer`, the trunk, whose last activations h get what S agents in a tree add to them.

    ``h + Σ_s p_s(x) f_s(x)`` with x the layer norm of h, without gain, and f_s a feed-forward network of agent s. Each
    token is routed by its own activation, which knows of no later token. A leaf has the weight
    ``gate · exp(sharpness · cos(x, route) + Σ offset)``, the offsets being its own and those of all above it; p of the
    leaves are these weights over their sum, and p of any other agent is the sum of those below it. That is the product
    of the shares that children have of their parents along the path, where a parent has exp(offset) times the weight
    of its children: with offsets of 0 the tree is a flat softmax over its leaves, whatever its shape.

    Args:
        agents: S.
        expert_hidden: Width within the agents' networks.
        sharpness: τ, factor of the cosine.
        routing: ``"soft"``: as above. ``"hard"``: only agents on the path that takes the best child of each node and
            ends where that has less than :data:`STOP` of it. ``"three"``: only those on paths through the three best
            children of each node, of at least :data:`LEAST`. Those who are on keep their p.

    Raises:
        ConfigError: A size out of range.
        UnknownName: No such routing.
    """

    agents: int = 24
    expert_hidden: int = 64
    sharpness: float = 4.0
    routing: str = "soft"

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(
            self,
            agents=whole("agents", self.agents, 2),
            expert_hidden=whole("expert_hidden", self.expert_hidden, 1),
            sharpness=real("sharpness", self.sharpness, 0),
            routing=one_of("routing", self.routing, ROUTINGS),
        )

    @functools.cached_property
    def expert_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name to shape of one agent's parameters; both matrices are ``[hidden, width]``."""
        width, hidden = self.width, self.expert_hidden
        return {
            "wide.weight": (hidden, width),
            "wide.bias": (hidden,),
            "narrow.weight": (hidden, width),
            "narrow.bias": (width,),
            "route": (width,),
            "offset": (1,),
        }

    @functools.cached_property
    def stored(self) -> dict[str, tuple[int, ...]]:
        """Name to shape of all tensors that one model is made of: trunk, agents, and the tree that they are in."""
        return {
            **{f"trunk.{name}": shape for name, shape in self.shapes.items()},
            **{f"expert.{name}": (self.agents, *shape) for name, shape in self.expert_shapes.items()},
            **{f"tree.{name}": (self.agents,) for name in ("kind", "parent", "gate")},
        }

    def draw_experts(self, keys: Tensor) -> list[Tensor]:
        """Initial stacks ``[K·S, …]`` of agents by keys ``[K]`` of their worlds: Xavier-uniform, routes N(0, 1)."""
        own = rng.fold(
            (keys ^ rng.purpose_id("experts"))[:, None], torch.arange(self.agents, device=keys.device)
        )
        found = []
        for name, shape in self.expert_shapes.items():
            drawn = rng.draw(own.flatten(), f"init:{name}", shape)
            if name == "route":
                found.append(drawn.normal())
            elif len(shape) == 1:
                found.append(torch.zeros(drawn.shape, device=keys.device))
            else:
                found.append((drawn.uniform() * 2 - 1) * math.sqrt(6 / sum(shape)))
        return found

    def route(
        self, experts: Sequence[Tensor], paths: Paths, x: Tensor, wandering: Wandering | None = None
    ) -> Tensor:
        """The weights p of agents for activations ``[K, M, E]``, ``[K, M, S]``."""
        _, weights = self._weighted(experts, paths, x)
        if self.routing == "soft":
            return weights
        return weights * self._followed(paths, weights.detach(), wandering)

    def leaf_weights(self, experts: Sequence[Tensor], paths: Paths, x: Tensor) -> Tensor:
        """The p of the leaves alone, 0 elsewhere, before any of them is left out: ``[K, M, S]``."""
        return self._weighted(experts, paths, x)[0]

    def _weighted(self, experts: Sequence[Tensor], paths: Paths, x: Tensor) -> tuple[Tensor, Tensor]:
        worlds, width = len(x), x.shape[-1]
        routes = torch.nn.functional.normalize(experts[4], dim=-1).view(worlds, -1, width)
        cosine = torch.bmm(torch.nn.functional.normalize(x, dim=-1), routes.mT)
        offset = torch.bmm(paths.above, experts[5].view(worlds, -1, 1)).mT
        leaf = torch.softmax(self.sharpness * cosine + offset + paths.gate.log()[:, None], -1)
        return leaf, torch.bmm(leaf, paths.above)

    def _followed(self, paths: Paths, weights: Tensor, wandering: Wandering | None) -> Tensor:
        """Who is on a path that hard routing takes, or routing by three: 1 or 0, ``[K, M, S]``."""
        agents = weights.shape[-1]
        index = paths.parent[:, None].expand_as(weights)
        share = weights / weights.gather(-1, index).clamp_min(1e-12)
        same = torch.arange(agents, device=weights.device)
        living = paths.above.diagonal(dim1=1, dim2=2) > 0
        below = living & (paths.parent != same)  # who is a child
        child = (paths.parent[:, None] == same[:, None]) & below[:, None]  # [K, parent, child]
        taken = share
        if wandering is not None:
            luck = wandering.which[:, None].expand_as(share)
            taken = torch.where((wandering.whether < wandering.chance[:, None])[..., None], luck + 1, share)
        of_all = torch.where(child[:, None], taken[:, :, None], -1.0)  # [K, M, parent, child]
        count = 1 if self.routing == "hard" else min(3, agents)
        least = of_all.topk(count, dim=-1).values[..., -1].clamp_min(0.0)
        follows = (taken >= least.gather(-1, index)) & below[:, None]
        if self.routing == "hard":
            follows &= taken >= STOP
        strays = (below[:, None] & ~follows).float()
        on = torch.bmm(strays, paths.above.mT) == 0  # nobody above strays
        if self.routing == "three":
            on &= weights >= LEAST
        return on.float()

    def answers(self, experts: Sequence[Tensor], x: Tensor) -> Tensor:
        """What each agent's network says, ``[K, S, M, E]``, of activations ``[K, M, E]``."""
        worlds = len(x)
        wide, wide_bias, narrow, narrow_bias = (
            stack.view(worlds, self.agents, *stack.shape[1:]) for stack in experts[:4]
        )
        hidden = torch.nn.functional.gelu(
            torch.matmul(x[:, None], wide.mT) + wide_bias[:, :, None]
        )  # [K, S, M, H]
        return torch.matmul(hidden, narrow) + narrow_bias[:, :, None]

    def added(self, experts: Sequence[Tensor], x: Tensor, weights: Tensor) -> Tensor:
        """``Σ_s p_s f_s(x)``, ``[K, M, E]``: both layers of all agents in one product each."""
        worlds, tokens, _ = x.shape
        wide, wide_bias, narrow, narrow_bias = (
            stack.view(worlds, -1, stack.shape[-1]) for stack in experts[:4]
        )
        wide_bias = wide_bias.reshape(worlds, 1, -1)
        hidden = torch.nn.functional.gelu(torch.baddbmm(wide_bias, x, wide.mT))
        hidden = hidden.view(worlds, tokens, self.agents, -1) * weights[..., None]
        said = torch.bmm(weights, narrow_bias)
        return torch.baddbmm(said, hidden.view(worlds, tokens, -1), narrow)

    def tree_losses(
        self, trunk: Sequence[Tensor], experts: Sequence[Tensor], paths: Paths, tokens: Tensor
    ) -> Tensor:
        """Mean nats per token of each window, ``[K, M]`` for ``[K, M, T + 1]``, in evaluation mode.

        Raises:
            ValueError: Tokens of another shape, or longer than the model.
        """
        self._windows(tokens)
        each = len(tokens) * tokens.shape[2] * self.agents * self.expert_hidden
        at_once = max(1, _NUMBERS_AT_ONCE // each)
        found = []
        for some in tokens.split(at_once, 1):
            inputs, targets = self._windows(some)
            top, _ = self._top(trunk, experts, paths, inputs)
            found.append(self._score(trunk, top, targets).nats.view(inputs.shape).mean(2))
        return torch.cat(found, 1)

    def tree_logits(
        self, trunk: Sequence[Tensor], experts: Sequence[Tensor], paths: Paths, tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What follows each of the tokens ``[K, B, T]``, in evaluation mode, and who says so.

        Returns:
            Logits ``[K, B, T, V]``, and the weights p of agents ``[K, B, T, S]``.
        """
        self._check(tokens, 0)
        top, weights = self._top(trunk, experts, paths, tokens)
        logits = sublayers.linear(top, *trunk[-2:]).view(*tokens.shape, self.vocabulary)
        return logits, weights.view(*tokens.shape, self.agents)

    def _top(
        self, trunk: Sequence[Tensor], experts: Sequence[Tensor], paths: Paths, inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the output layer is given, ``[K, M, E]``, and the weights of agents ``[K, M, S]``."""
        h = self._run(trunk, inputs, None)[1].x
        x = _normal(h)
        weights = self.route(experts, paths, x)
        return sublayers.normalise(h + self.added(experts, x, weights), *trunk[-4:-2])[0], weights

    def gradients(
        self,
        trunk: Sequence[Tensor],
        experts: Sequence[Tensor],
        paths: Paths,
        tokens: Tensor,
        keys: Tensor,
        wandering: Wandering | None = None,
    ) -> TreeStep:
        """Losses, and the gradients of each world's mean loss in all parameters.

        The trunk's backward pass is written out (:mod:`.sublayers`), with the output layer a few rows at a time; only
        the tree is left to autograd.

        Args:
            trunk: Stacks ``[K, …]``.
            experts: Stacks ``[K·S, …]``.
            paths: The trees.
            tokens: int64 ``[K, B, T + 1]``.
            keys: int64 ``[K]``, of the dropout.
            wandering: Of hard routing.

        Raises:
            ValueError: Tokens of another shape, or longer than the model.
        """
        inputs, targets = self._windows(tokens)
        masks = self._masks(keys, inputs.shape[1:])
        _, last, layers = self._run(trunk, inputs, masks, saving=True)
        with torch.enable_grad():
            h = last.x.detach().requires_grad_()
            own = [stack.detach().requires_grad_() for stack in experts]
            x = _normal(h)
            weights = self.route(own, paths, x, wandering)
            y = h + self.added(own, x, weights)
        top, norm = sublayers.normalise(y.detach(), *trunk[-4:-2])
        everyone = Wanted(None, len(tokens))
        nats, output = self._score(trunk, top, targets, everyone)
        nobody = np.zeros((0, 0), dtype=bool)
        mask = None if masks is None else masks[0]
        saved = Saved(trunk, inputs, mask, layers, norm, output, nobody, np.zeros(0, dtype=np.int64))
        found: list[list[Tensor]] = []
        delta = output.below
        of_experts: list[Tensor] = []
        for group in range(len(self.groups) - 1, -1, -1):
            below = self._backward(saved, group, delta, everyone)
            delta = below.below
            found.append(below.gradients)
            if not of_experts:  # between output and layers lies the tree
                delta, *of_experts = torch.autograd.grad(y, [h, *own], delta)
        gradients = [gradient for group in reversed(found) for gradient in group]
        return TreeStep(nats, x.detach(), weights.detach(), gradients, of_experts)


def _normal(h: Tensor) -> Tensor:
    """The layer norm of activations, without gain and bias."""
    return torch.nn.functional.layer_norm(h, h.shape[-1:], eps=EPS)
