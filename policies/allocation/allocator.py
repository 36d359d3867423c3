"""Policies that rate the tokens of ``allocation-v0``: how ratings become actions, and the baseline of all, by ink."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ...envs.engine import TensorDict, World
from ...envs.errors import ConfigError
from ...learners.lesson import none
from ..policy import Policy


class Allocator(Policy):
    """The base: how a policy's ratings become actions."""

    def bind(self, world: World) -> None:
        """Read the sizes off the world's spaces."""
        super().bind(world)
        if "answers_relevance" not in world.action_space.spaces:
            raise ConfigError(f"this policy rates tokens: {type(world).__name__} has none, use allocation-v0")
        self.require(see=world.see, spending=world.spending)  # type: ignore[attr-defined]

    def act(self, obs: TensorDict) -> TensorDict:
        """Rate the tokens of the slice, and of the exam where it is shown."""
        with torch.inference_mode(False), torch.no_grad():
            self.learn(obs, torch.ones_like(obs["elapsed"][:, 0, 0], dtype=torch.bool))
            relevance, bids = self.rate(obs["tokens"].clone())
            if none(obs["exam_now"]):
                blank = torch.zeros(1, device=bids.device)
                answers, answers_bids = (
                    blank.expand(obs["exam"].shape[:-1]),
                    blank.expand(obs["exam"].shape[:-2]),
                )
            else:
                answers, answers_bids = self.rate(obs["exam"].clone())
        return {
            "relevance": relevance,
            "bids": bids,
            "answers_relevance": answers,
            "answers_bids": answers_bids,
        }

    def end(self, final_obs: TensorDict, mask: Tensor) -> None:
        """Learn from the last feedback of an episode."""
        with torch.inference_mode(False), torch.no_grad():
            self.learn(final_obs, mask)

    def learn(self, obs: TensorDict, worlds: Tensor) -> None:
        """Learn from the feedback of ``worlds`` (bool ``[W]``)."""

    @abstractmethod
    def rate(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Relevance ``[W, N, R, T]`` and bids ``[W, N, R]`` of glimpses ``[W, N, R, T, F]``."""


class Saliency(Allocator):
    """Ink: a token is as relevant as what is seen of it exceeds the sample's faintest token."""

    def rate(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As in :meth:`Allocator.rate`; all bid alike."""
        seen = tokens.mean(-1)
        relevance = seen - seen.amin(-1, keepdim=True)
        relevance = relevance / relevance.amax(-1, keepdim=True).clamp_min(
            1e-12
        )  # at most 1; only ratios count
        return relevance, torch.ones_like(relevance[..., 0])
