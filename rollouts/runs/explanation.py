"""Which agents of a tree wrote a text: by which weights they were asked for each of its tokens.

A weight is the share in which what an agent says is added to what the trunk says. It tells who was asked, and not what
would have been written without them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...envs.errors import ConfigError
from ...envs.language.stored import StoredModel, StoredTree
from ...envs.language.tree import KINDS, child_of, walk
from .generation import Generated, window

_SHOWN = 3  # agents of a token


class Asked(NamedTuple):
    """An agent who was asked."""

    path: list[int]
    """From the root to the agent."""
    kind: str
    """"root", "manager" or "expert"."""
    weight: float
    """From 0 to 1."""


class Written(NamedTuple):
    """A token, and who was asked for it."""

    token: str
    by: list[Asked]
    """At most three, the highest weights first, of those at whom paths end: leaves, unless routing ends before."""


class Explained(NamedTuple):
    """Who wrote a text."""

    tokens: list[Written]
    agents: list[Asked]
    """All agents, each before those below it, with their mean weights; a manager's holds those of who is below."""

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain JSON types."""
        tokens = [{"token": one.token, "by": [asked._asdict() for asked in one.by]} for one in self.tokens]
        return {"tokens": tokens, "agents": [asked._asdict() for asked in self.agents]}


def check_explains(model: StoredModel) -> StoredTree:
    """The model, if it has agents of whom some write more than others.

    Raises:
        ConfigError: It has none.
    """
    if not isinstance(model, StoredTree):
        raise ConfigError(
            f"{model.source} is a model of {model.world}, whose agents are parts of one path: all of them write every "
            "token; leave --explain out"
        )
    return model


def explain(model: StoredTree, text: Generated) -> Explained:
    """Who wrote what a model made of a prompt."""
    tree, paths = model.tree, {path[-1]: path for path in walk(model.tree, 0)}
    read = [*text.given, *text.made]
    starts = range(len(text.given), len(read))
    own = [model.weights(window(model, read[:start]))[-1] for start in starts]
    weights = torch.stack(own) if own else torch.zeros(0, model.net.agents)  # [M, S]
    further = (weights > 0).float() @ child_of(tree)[0].float()  # children who were asked, too
    ends = weights * (further == 0)

    def asked(agent: int, weight: Tensor) -> Asked:
        return Asked(paths[agent], KINDS[int(tree.kind[0, agent])], float(weight))

    tokens = []
    for number, row in zip(text.made, ends, strict=True):
        best = row.argsort(descending=True, stable=True)[:_SHOWN].tolist()
        by = [asked(agent, row[agent]) for agent in best if row[agent] > 0]
        tokens.append(Written(model.tokeniser.decode([number]), by))
    mean = weights.sum(0) / max(1, len(weights))
    return Explained(tokens, [asked(agent, mean[agent]) for agent in paths])
