"""What may be done to a tree of agents, in the worlds of a mask: each operation says what becomes of tree and agents.

Nothing is written in place. An operation takes a :class:`Change` and returns another; those of one step, at most one in
each world, are put into one change, which :meth:`Colony.apply <.colony.Colony.apply>` carries out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .tree import EXPERT, FREE, MANAGER, Limits, Tree, above, child_of, children


class Change(NamedTuple):
    """What becomes of W trees and of the parameters of their agents; all ``[W, S]``."""

    tree: Tree
    source: Tensor
    """Whose parameters an agent goes on with, int64."""
    mate: Tensor
    """With whose these are averaged, int64; with its source itself: not at all."""
    blank: Tensor
    """Whose network says 0 from here, bool."""
    lift: Tensor
    """What is added to offsets, float."""
    aimed: Tensor
    """Who gets a route of its own, bool."""
    touched: Tensor
    """Whose parameters are put back where the change is undone, bool."""


def unchanged(tree: Tree) -> Change:
    """Nothing."""
    own = torch.arange(tree.kind.shape[1], device=tree.kind.device).expand_as(tree.parent)
    no = torch.zeros_like(tree.alive)
    return Change(tree, own, own, no, torch.zeros_like(tree.gate), no, no)


def one_hot(where: Tensor, who: Tensor, like: Tensor) -> Tensor:
    """The agents ``who [W]`` in the worlds ``where [W]``, bool shaped like ``[W, S]``."""
    same = torch.arange(like.shape[1], device=like.device)
    return (same == who[:, None]) & where[:, None]


def _freed(tree: Tree, gone: Tensor) -> Tree:
    own = torch.arange(gone.shape[1], device=gone.device).expand_as(tree.parent)
    return Tree(
        torch.where(gone, FREE, tree.kind).to(torch.int8),
        torch.where(gone, own, tree.parent),
        torch.where(gone, 1.0, tree.gate),
    )


def retire(change: Change, where: Tensor, who: Tensor) -> Change:
    """A leaf leaves; the others of its tree take its weight."""
    gone = one_hot(where, who, change.source)
    return change._replace(tree=_freed(change.tree, gone), touched=change.touched | gone)


def merge(change: Change, where: Tensor, who: Tensor, mate: Tensor) -> Change:
    """Two siblings become one with the mean of their parameters, both gates and both's children.

    Args:
        change: So far.
        where: bool ``[W]``.
        who: Who stays, int64 ``[W]``.
        mate: Who leaves, int64 ``[W]``.
    """
    tree = change.tree
    stays, gone = (one_hot(where, one, change.source) for one in (who, mate))
    leaf = children(tree) == 0
    more = tree.gate.gather(1, mate.clamp_min(0)[:, None])
    gate = torch.where(stays & leaf, tree.gate + more, tree.gate)
    orphan = (tree.parent == mate[:, None]) & where[:, None] & tree.alive & ~gone
    parent = torch.where(orphan, who[:, None], tree.parent)
    return change._replace(
        tree=_freed(Tree(tree.kind, parent, gate), gone),
        mate=torch.where(stays, mate[:, None], change.mate),
        touched=change.touched | stays | gone,
    )


def grow(change: Change, where: Tensor, who: Tensor) -> Change:
    """A twin beside a leaf, in the first free slot: each has half of the gate, so that nothing changes at first."""
    tree = change.tree
    own, born = one_hot(where, who, change.source), _first_free(tree, where)
    half = torch.where(own, tree.gate / 2, tree.gate)
    gate = torch.where(born, half.gather(1, who[:, None]), half)
    return change._replace(
        tree=Tree(
            torch.where(born, EXPERT, tree.kind).to(torch.int8),
            torch.where(born, tree.parent.gather(1, who[:, None]), tree.parent),
            gate,
        ),
        source=torch.where(born, who[:, None], change.source),
        mate=torch.where(born, who[:, None], change.mate),
        touched=change.touched | own | born,
    )


def hire(change: Change, where: Tensor, who: Tensor, offsets: Tensor) -> Change:
    """A copy of a leaf's parent beside the leaf, with a route of its own and a gate of 0, for the world to open."""
    tree = change.tree
    born = _first_free(tree, where)
    parent = tree.parent.gather(1, who[:, None])
    lift = offsets.gather(1, who[:, None]) - offsets.gather(1, parent)
    return change._replace(
        tree=Tree(
            torch.where(born, EXPERT, tree.kind).to(torch.int8),
            torch.where(born, parent, tree.parent),
            torch.where(born, 0.0, tree.gate),
        ),
        source=torch.where(born, parent, change.source),
        mate=torch.where(born, parent, change.mate),
        lift=torch.where(born, lift, change.lift),
        aimed=change.aimed | born,
        touched=change.touched | born,
    )


def move(change: Change, where: Tensor, who: Tensor, home: Tensor, offsets: Tensor, limits: Limits) -> Change:
    """An agent goes under another with all below it; its offset makes up for those above it.

    Args:
        change: So far.
        where: bool ``[W]``.
        who: int64 ``[W]``.
        home: The new parent, int64 ``[W]``.
        offsets: Of all agents, ``[W, S]``.
        limits: Of the tree.
    """
    tree = change.tree
    own = one_hot(where, who, change.source)
    along = torch.bmm(above(tree, limits), offsets[..., None])[..., 0]
    old = along.gather(1, tree.parent.gather(1, who[:, None]))
    lift = old - along.gather(1, home.clamp_min(0)[:, None])
    return change._replace(
        tree=tree._replace(parent=torch.where(own, home[:, None], tree.parent)),
        lift=torch.where(own, lift, change.lift),
        touched=change.touched | own,
    )


def split(change: Change, where: Tensor, who: Tensor, half: Tensor) -> Change:
    """A new manager, who says nothing yet, takes over some children of an agent.

    Args:
        change: So far.
        where: bool ``[W]``.
        who: int64 ``[W]``.
        half: Whom it takes over, bool ``[W, S]``.
    """
    tree = change.tree
    born = _first_free(tree, where)
    slot = born.long().argmax(-1, keepdim=True)
    parent = torch.where(half & where[:, None], slot, tree.parent)
    return change._replace(
        tree=Tree(
            torch.where(born, MANAGER, tree.kind).to(torch.int8),
            torch.where(born, who[:, None], parent),
            torch.where(born, 1.0, tree.gate),
        ),
        blank=change.blank | born,
        touched=change.touched | born,
    )


def dissolve(change: Change, where: Tensor, who: Tensor, offsets: Tensor) -> Change:
    """A manager leaves; its children go to its parent, and their offsets make up for its own."""
    tree = change.tree
    gone = one_hot(where, who, change.source)
    own = child_of(tree).gather(2, who[:, None, None].expand(-1, tree.kind.shape[1], 1))[..., 0]
    orphan = own & where[:, None]
    parent = torch.where(orphan, tree.parent.gather(1, who[:, None]), tree.parent)
    return change._replace(
        tree=_freed(tree._replace(parent=parent), gone),
        lift=torch.where(orphan, offsets.gather(1, who[:, None]), change.lift),
        touched=change.touched | gone | orphan,
    )


def _first_free(tree: Tree, where: Tensor) -> Tensor:
    """The first free slot in the worlds of a mask, bool ``[W, S]``."""
    return one_hot(where, (~tree.alive).long().argmax(-1), tree.parent)
