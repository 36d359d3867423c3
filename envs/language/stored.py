"""Language models by themselves, as files hold them: without a world, they can be asked what follows a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...learners.language_model import LanguageModel, TreeLanguageModel
from ...learners.transformer import Transformer
from ...learners.tree_model import TreeTransformer
from ..streams.tokenisers import Tokeniser
from .tree import DEEPEST, EXPERT, FREE, Limits, Tree, broken, leaves, paths

_NO_SIZES = (
    "vocabulary",
    "dropout",
    "init",
)  # the first is the tokeniser's; by the others models begin and learn


@dataclass(frozen=True, eq=False)
class StoredModel:
    """A language model by itself.

    Attributes:
        source: Where it was read.
        net: Its sizes.
        parameters: In the order of ``net.stored``, on the CPU.
        tokeniser: What it reads by.
        learnt: Domains that it has learnt.
        facts: What else is known of it, by name.

    Raises:
        ValueError: The parameters are not what ``net`` is made of, or the tokeniser has another vocabulary.
    """

    format: ClassVar[str] = "studyhall language model 1"
    """Of its files."""
    world: ClassVar[str] = "modular-v0"
    """Where such models learn."""
    kind: ClassVar[type[Transformer]] = Transformer
    """Of ``net``."""

    source: str
    net: Transformer
    parameters: list[Tensor]
    tokeniser: Tokeniser
    learnt: tuple[str, ...]
    facts: Mapping[str, Any]

    def __post_init__(self) -> None:
        found = [tuple(value.shape) for value in self.parameters]
        if found != [*self.net.stored.values()] or self.tokeniser.size != self.net.vocabulary:
            raise ValueError("these are not the parameters of such a model")

    @property
    def sizes(self) -> dict[str, Any]:
        """Arguments of a world whose models are like this one."""
        names = [field.name for field in fields(self.net) if field.name not in _NO_SIZES]
        return {name: getattr(self.net, name) for name in names}

    def plain(self) -> tuple[LanguageModel, dict[str, Any]]:
        """The model as an ordinary module, in evaluation mode, and the arguments of its class."""
        module = LanguageModel(**self._made_with)
        module.load_state_dict(dict(zip(self.net.shapes, self.parameters, strict=True)))
        return module.eval(), self._made_with

    @property
    def _made_with(self) -> dict[str, Any]:
        names = ("vocabulary", "width", "heads", "layers", "length", "dropout")
        return {**{name: getattr(self.net, name) for name in names}, "hidden": self.net.feedforward}

    @torch.no_grad()
    def logits(self, tokens: Tensor) -> Tensor:
        """Logits ``[T, V]`` of what follows each of some tokens, int64 ``[T]``."""
        return self.net.logits([value[None] for value in self.parameters], tokens[None, None])[0, 0]


@dataclass(frozen=True, eq=False)
class StoredTree(StoredModel):
    """A language model with a tree of agents.

    Attributes:
        tree: Of ``[1, S]``.
    """

    format: ClassVar[str] = "studyhall language model with a tree 1"
    world: ClassVar[str] = "hierarchy-v0"
    kind: ClassVar[type[Transformer]] = TreeTransformer

    net: TreeTransformer

    def __post_init__(self) -> None:
        """Raise where it holds no tree, too."""
        super().__post_init__()
        kind, parent, gate = self.parameters[-3:]
        wrong = (kind != kind.round()) | (kind < FREE) | (kind > EXPERT)
        wrong |= (parent != parent.round()) | (parent < 0) | (parent >= len(parent)) | (gate < 0)
        if wrong.any() or broken(self.tree, Limits(depth=DEEPEST, most=len(kind))).any():
            raise ValueError("this is no tree")
        if not (gate * leaves(self.tree)).any():
            raise ValueError("nobody in this tree can be heard")

    @property
    def tree(self) -> Tree:
        """Its tree, ``[1, S]``."""
        kind, parent, gate = (value[None] for value in self.parameters[-3:])
        return Tree(kind.to(torch.int8), parent.long(), gate)

    def plain(self) -> tuple[LanguageModel, dict[str, Any]]:
        """As :meth:`StoredModel.plain`; of its agents those who live."""
        alive = self.tree.alive[0]
        drawn = paths(self.tree, Limits(depth=DEEPEST))
        place = alive.cumsum(0) - 1
        arguments = {
            **self._made_with,
            "agents": int(alive.sum()),
            "within": self.net.expert_hidden,
            "sharpness": self.net.sharpness,
            "routing": self.net.routing,
        }
        count = len(self.net.shapes)
        wide, wide_bias, narrow, narrow_bias, route, offset = (
            stack[alive] for stack in self.parameters[count:-3]
        )
        state = dict(zip(self.net.shapes, self.parameters, strict=False)) | {
            "wide": wide,
            "wide_bias": wide_bias,
            "narrow": narrow,
            "narrow_bias": narrow_bias,
            "route": route,
            "offset": offset[:, 0],
            "gate": drawn.gate[0, alive],
            "above": drawn.above[0][alive][:, alive],
            "parent": place[drawn.parent[0, alive]],
        }
        module = TreeLanguageModel(**arguments)
        module.load_state_dict(state)
        return module.eval(), arguments

    def logits(self, tokens: Tensor) -> Tensor:
        """As :meth:`StoredModel.logits`."""
        return self._asked(tokens)[0]

    def weights(self, tokens: Tensor) -> Tensor:
        """The weight of each agent for what follows each of some tokens, ``[T, S]``."""
        return self._asked(tokens)[1]

    @torch.no_grad()
    def _asked(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        count = len(self.net.shapes)
        trunk, experts = [value[None] for value in self.parameters[:count]], self.parameters[count:-3]
        logits, weights = self.net.tree_logits(
            trunk, experts, paths(self.tree, Limits(depth=DEEPEST)), tokens[None, None]
        )
        return logits[0, 0], weights[0, 0]
