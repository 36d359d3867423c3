"""Who spends the reading budget of ``allocation-v0``: learnt scorers behind a router, or as a swarm.

The learnt scorers see glimpses only, never the tokens that the world's reader sees. They learn by a reader of their
own: it classifies the labelled slice from glimpses of k tokens, drawn by relevance with Gumbel noise, and its loss
reaches the scorers straight through the draw ("Learning to explain", Chen et al., ICML 2018). The reader itself learns
from k tokens drawn uniformly: one that learnt from theirs would let them tell it the class by their choice (REAL-X,
Jethani et al., AISTATS 2021). What is relevant to it should be relevant to the world's reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from ...envs.allocation.tokens import Tokens
from ...envs.engine import TensorDict, World, rng
from ...envs.errors import ConfigError, one_of
from ...envs.validation import real, whole
from ...learners import make_optimiser
from ...learners.lesson import none
from ...learners.plain import Plain
from ..collective import allocate
from ..collective.alone import Scorers
from ..copies import Copies
from ..policy import MadeInReset
from .allocator import Allocator
from .glimpsers import READERS, Glimpsers


class Router(Allocator):
    """Scorers behind a router: the k that fit a token rate it; who rates more, bids more.

    Args:
        hidden: Width of a scorer's hidden layer, and of the policy's own reader's.
        k: Scorers asked for a token.
        lr: Learning rate of Adam.
        temperature: Of the relaxed draw that gradients pass through.
        see: What scorers see of a token, the same for all: "coarse" or "pixels".
        reader: The policy's own: "mlp" knows the tokens' places, "set" does not. Best the kind that the world has.
    """

    copies = MadeInReset[Copies]()

    def __init__(
        self,
        hidden: int = 32,
        k: int = 2,
        lr: float = 3e-3,
        temperature: float = 0.5,
        see: str = "coarse",
        reader: str = "mlp",
    ) -> None:
        self.hidden, self.k = whole("hidden", hidden, 1), whole("k", k, 1)
        self.temperature = real("temperature", temperature, 1e-3)
        if see not in ("coarse", "pixels"):
            raise ConfigError(
                f"a router's scorers see the same: see must be 'coarse' or 'pixels', got {see!r}"
            )
        one_of("reader", reader, READERS)
        self.reader = reader
        self.make_optimiser = make_optimiser("adam", lr=lr)
        self.world_kwargs = {"see": see}

    def bind(self, world: World) -> None:
        """Read the sizes off the world's spaces; networks come with :meth:`reset`."""
        super().bind(world)
        whole("k (scorers asked for a token)", self.k, 1, world.num_agents)

    def reset(self, mask: Tensor | None = None) -> None:
        """Fresh networks in the worlds of ``mask``."""
        if mask is None:
            self.copies = Copies(self._make, self.world.keys, self.make_optimiser)
        else:
            self.copies.reset(mask, self.world.keys)

    def _make(self, keys: Tensor) -> nn.Module:
        world: Any = self.world
        features = world.observation_space["tokens"].shape[-1]
        return Glimpsers(
            world.num_agents,
            world.tokens.count,
            features,
            world.dataset.num_classes,
            budget=world.budget,
            hidden=self.hidden,
            k=self.k,
            temperature=self.temperature,
            reader=self.reader,
            key=keys,
        )

    def learn(self, obs: TensorDict, worlds: Tensor) -> None:
        """One step on the labelled slice."""
        copies, labels = self.copies, obs["fb_labels"][:, 0].clone()
        told = (labels >= 0).any(-1) & worlds
        if none(told):
            return
        tokens = obs["fb_tokens"][:, 0].clone()
        key = rng.fold(self.world.keys ^ rng.purpose_id("policy/draw"), self.world.steps)
        copies.learn(lambda net: cast(Glimpsers, net).loss(tokens, labels, key), told)

    def rate(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As in :meth:`Allocator.rate`."""
        relevance = cast(Glimpsers, self.copies.module)(tokens[:, 0])
        return relevance, relevance.mean(-1)

    def export(self, world: int) -> dict[str, Plain]:
        """The scorers and their router as one module, ``scorers``."""
        net = cast(Glimpsers, self.copies.module)
        tokens: Tokens = self.world.tokens  # type: ignore[attr-defined]
        made_with: dict[str, int] = {
            "scorers": self.world.num_agents,
            "tokens": tokens.count,
            "features": (self.world.observation_space["tokens"].shape or ())[-1],
            "hidden": self.hidden,
            "k": self.k,
        }
        weights = {f"scorers.{name}": value for name, value in net.router.scorers.alone(world).items()}
        weights |= {f"gate.{name}": value for name, value in net.router.router.gate.alone(world).items()}
        module = Scorers(**made_with)
        module.load_state_dict(weights)
        n, t, f = (made_with[name] for name in ("scorers", "tokens", "features"))
        takes = {
            "glimpses": f"float32 [M, {t}, {f}]: what scorers see of each token, see={self.world_kwargs['see']!r}"
        }
        gives = f"float32 [{n}, M, {t}]: the part of each scorer in the relevance of tokens"
        return {"scorers": Plain(module.eval(), takes, gives, made_with)}

    def state_dict(self) -> dict[str, Any]:
        """Networks and optimiser."""
        return {"scorers": self.copies.state_dict()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        super().load_state_dict(saved)
        self.copies.load_state_dict(saved["scorers"])


class SwarmAllocation(Router):
    """The same scorers; the budget drifts towards what they find relevant, and k tokens are drawn from it.

    Args:
        rounds: Of redistribution.
        drift: Temperature of the redistribution; low ones concentrate the budget.
        **kwargs: Arguments of :class:`Router`.
    """

    def __init__(self, rounds: int = 5, drift: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rounds, self.drift = whole("rounds", rounds, 0), real("drift", drift, 1e-6)
        self.world_kwargs = {**self.world_kwargs, "spending": "sample"}

    def rate(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As in :meth:`Allocator.rate`."""
        relevance, _ = super().rate(tokens)
        score = relevance.sum(1, keepdim=True)  # [W, 1, R, T]
        shares = allocate(score, rounds=self.rounds, temperature=self.drift)
        relevance = relevance * shares / score.clamp_min(1e-12)
        return relevance, relevance.sum(-1)
