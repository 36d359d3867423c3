"""MiniCoMo as a policy of ``halves-v0``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...envs.errors import ConfigError
from ...envs.messages.halves import Halves
from ...envs.messages.world import MessageWorld
from ...envs.validation import flag
from .minicomo import MiniCoMo
from .policy import MessagePolicy, flat_sizes


class MiniCoMoPolicy(MessagePolicy):
    """Viewers with a :class:`~studyhall.policies.messages.minicomo.MiniCoMo` each.

    Args:
        width: Of tokens.
        layers: Of the stack, and blocks of the attention messenger.
        heads: Of attention.
        tokens: State tokens.
        hidden: Of encoder and decoder.
        messenger: "attention" or "simple".
        reader: "sample", or "batch", the published fault.
        shared: Whether all viewers have the same weights.
        **others: Those of :class:`~studyhall.policies.messages.MessagePolicy`.
    """

    def __init__(
        self,
        *,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        tokens: int = 16,
        hidden: int = 256,
        messenger: str = "attention",
        reader: str = "sample",
        shared: bool = False,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self._shape = {
            "width": width,
            "layers": layers,
            "heads": heads,
            "tokens": tokens,
            "hidden": hidden,
            "messenger": messenger,
            "reader": reader,
            "shared": flag("shared", shared),
        }
        self.settings |= self._shape

    def make_network(self, world: MessageWorld, generator: torch.Generator) -> nn.Module:
        """The network for a world's parts and messages."""
        if not isinstance(world, Halves):
            raise ConfigError("minicomo paints what others hold: give it halves-v0")
        view, answer, message = flat_sizes(world)
        return MiniCoMo(
            world.num_agents,
            world.sources,
            view,
            answer,
            message,
            slice_size=world.rows,
            generator=generator,
            **self._shape,  # type: ignore[arg-type]
        )
