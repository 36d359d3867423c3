"""The models of worlds of a tree of agents, as a part that the engine keeps: trunk, agents, trees, and their copies."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...learners import make_optimiser
from ...learners.optimiser import Optimiser
from ...learners.tree_model import Paths, TreeStep, TreeTransformer, Wandering
from ..engine import rng
from ..engine.fits import check_saved
from ..engine.parts import Part
from ..errors import EpisodeEnded
from ..validation import afford
from .models import Learning, drawn_files
from .operations import Change
from .tree import EXPERT, Limits, Tree, paths, plant

if TYPE_CHECKING:
    from typing_extensions import Self

SAID = ("narrow.weight", "narrow.bias")
"""Parameters of agents without which they say nothing."""


class Colony(Part):
    """A trunk, S agents and their tree in each of W worlds; they begin with the first episode.

    Everything is kept as tensors ``[W, …]`` or ``[W·S, …]`` by name, and changed in place: the trees and the parameters
    and moments of agents, a copy of these from before the operation that is on trial, those of the trunk, and a ring of
    copies of all of it, the newest first.

    Args:
        net: Sizes of the models.
        learning: How they learn.
        form: Of the trees at first: "balanced" or "flat".
        limits: Of the trees.
        snapshots: Copies at most.
        warm: Models to begin with, in the order of ``net.stored``: one of several, drawn for each episode. None: fresh
            ones.
    """

    def __init__(
        self,
        net: TreeTransformer,
        *,
        learning: Learning,
        form: str,
        limits: Limits,
        snapshots: int,
        warm: Sequence[Sequence[Tensor]] = (),
    ) -> None:
        self.net, self.learning, self.form, self.limits = net, learning, form, limits
        self.snapshots = snapshots
        self.warm = [torch.stack(list(stacks)) for stacks in zip(*warm, strict=True)]
        self._live: dict[str, Tensor] = {}
        self._before: dict[str, Tensor] = {}
        self._ring: list[dict[str, Tensor]] = []
        self._optimisers: dict[str, Optimiser] = {}

    @property
    def live(self) -> dict[str, Tensor]:
        """All tensors by name.

        Raises:
            EpisodeEnded: No episode has begun.
        """
        if not self._live:
            raise EpisodeEnded("the models have not begun: call the world's reset()")
        return self._live

    @property
    def tree(self) -> Tree:
        """The trees; their tensors change in place."""
        return Tree(self.live["tree.kind"], self.live["tree.parent"], self.live["tree.gate"])

    @property
    def trunk(self) -> list[Tensor]:
        """Stacks ``[W, …]``."""
        return [self.live[f"trunk.{name}"] for name in self.net.names]

    @property
    def experts(self) -> list[Tensor]:
        """Stacks ``[W·S, …]``."""
        return [self.live[f"expert.{name}"] for name in self.net.expert_shapes]

    @property
    def offsets(self) -> Tensor:
        """``[W, S]``."""
        return self.live["expert.offset"].view(-1, self.net.agents)

    def paths(self) -> Paths:
        """The trees as models read them."""
        return paths(self.tree, self.limits)

    # ---- as a part ----------------------------------------------------------------------------------

    def reset(self, keys: Tensor, moving: Tensor) -> None:
        """Draw fresh models and plant their trees by their worlds' keys, or draw which of the given they begin with."""
        own = keys ^ rng.purpose_id("models")
        with torch.inference_mode(False), torch.no_grad():
            if not self._live:
                self._make(own.clone())
                return
            for name, fresh in self._fresh(own).items():
                _put(self.live[name], moving, fresh)
            for name, stack in self.live.items():
                if name.startswith("moment."):
                    stack.masked_fill_(_rows(moving, stack), 0)
            for kept in (self._before, *self._ring):
                for name, stack in kept.items():
                    _put(stack, moving, self.live[name])

    def _fresh(self, keys: Tensor) -> dict[str, Tensor]:
        tree = plant(self.net.agents, self.form, len(keys), keys.device)
        found = {f"tree.{name}": value for name, value in tree._asdict().items()}
        found |= {"keys": keys, "steps": torch.zeros_like(keys)}
        for name, stack in zip(self.net.names, self.net.draw(keys), strict=True):
            found[f"trunk.{name}"] = stack
        silent = (tree.kind != EXPERT).flatten()
        for name, stack in zip(self.net.expert_shapes, self.net.draw_experts(keys), strict=True):
            if name in SAID:
                stack.masked_fill_(_along(silent, stack), 0)
            found[f"expert.{name}"] = stack
        if self.warm:
            drawn = drawn_files(keys, len(self.warm[0]))
            for name, stacks in zip(self.net.stored, self.warm, strict=True):
                found[name].copy_(stacks.to(keys.device)[drawn].view_as(found[name]))
        return found

    def _make(self, keys: Tensor) -> None:
        """The first models of all worlds."""
        width, hidden = self.net.width, self.net.expert_hidden
        afford(
            len(keys), "agents, width or expert_hidden", agents=self.net.agents, width=width, hidden=hidden
        )
        afford(len(keys), "the size of the language model", weights=self.net.num_parameters)
        self._live = self._fresh(keys)
        make = make_optimiser(self.learning.optimiser, **self.learning.options)
        for part, names, stacks in (
            ("expert", tuple(self.net.expert_shapes), self.experts),
            ("trunk", self.net.names, self.trunk),
        ):
            optimiser = self._optimisers[part] = make(stacks)
            self._live[f"moment.{part}.steps"] = optimiser.steps
            for kind, own in optimiser.state.items():
                for name, stack in zip(names, own, strict=True):
                    self._live[f"moment.{part}.{kind}.{name}"] = stack
        self._before = {name: stack.clone() for name, stack in self._of_agents()}
        self._ring = [
            {name: stack.clone() for name, stack in self._live.items()} for _ in range(self.snapshots)
        ]

    def _of_agents(self) -> Iterable[tuple[str, Tensor]]:
        """What operations change."""
        return [
            (name, stack)
            for name, stack in self.live.items()
            if name.startswith(("tree.", "expert.", "moment.expert."))
        ]

    def at(self, worlds: Tensor) -> Self:
        """Copies of the models of some worlds; they can be asked, not taught."""
        count = len(self.live["keys"])
        twin = copy.copy(self)
        twin._live = {
            name: stack.view(count, -1, *stack.shape[1:])[worlds].flatten(0, 1)
            for name, stack in self.live.items()
        }
        twin._before, twin._ring, twin._optimisers = {}, [], {}
        return twin

    def extract(self, world: int, model: int = 0) -> list[Tensor]:
        """The model of a world, in the order of ``net.stored``."""
        count = len(self.live["keys"])
        return [self.live[name].view(count, *shape)[world] for name, shape in self.net.stored.items()]

    def fork(self) -> Self:
        """A copy that goes its own way, also where it was made under ``inference_mode``."""
        with torch.inference_mode(False):
            return copy.deepcopy(self)

    def finite(self) -> Tensor:
        """Whether all parameters of a world's models are finite, bool ``[W]``."""
        count = len(self.live["keys"])
        parts = [stack.isfinite().view(count, -1).all(-1) for stack in (*self.trunk, *self.experts)]
        return torch.stack(parts).all(0)

    def state_dict(self) -> dict[str, Any]:
        """Everything."""
        return {
            "live": {name: stack.clone() for name, stack in self.live.items()},
            "before": {name: stack.clone() for name, stack in self._before.items()},
            "ring": [{name: stack.clone() for name, stack in kept.items()} for kept in self._ring],
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over a :meth:`state_dict`; see :meth:`Part.load_state_dict`."""
        check_saved("models", saved, self.state_dict())
        kept = [self.live, self._before, *self._ring]
        for own, given in zip(kept, [saved["live"], saved["before"], *saved["ring"]], strict=True):
            for name, stack in own.items():
                stack.copy_(given[name])

    # ---- what models do -----------------------------------------------------------------------------

    def learn(
        self, tokens: Tensor, learns: Tensor, trunk: Tensor, wandering: Wandering | None = None
    ) -> TreeStep:
        """Learn one slice.

        Args:
            tokens: int64 ``[W, B, T + 1]``.
            learns: Rates of agents, ``[W, S]``; 0 rests. They multiply ``lr``.
            trunk: Likewise of trunks, ``[W]``.
            wandering: Of hard routing.
        """
        keys = self.live["keys"] ^ self.live["steps"]
        with torch.inference_mode(False), torch.no_grad():
            seen = self.net.gradients(self.trunk, self.experts, self.paths(), tokens, keys, wandering)
            self._optimisers["expert"].step(seen.experts, learns.flatten())
            self._optimisers["trunk"].step(seen.trunk, trunk)
            self.live["steps"] += (learns > 0).any(-1) | (trunk > 0)
        return seen

    @torch.no_grad()
    def losses(self, tokens: Tensor) -> Tensor:
        """Nats of a token in each window ``[W, D, M, T + 1]``, ``[W, D, M]``."""
        w, d, m, length = tokens.shape
        tokens = tokens.view(w, d * m, length)
        return self.net.tree_losses(self.trunk, self.experts, self.paths(), tokens).view(w, d, m)

    @torch.no_grad()
    def logits(self, tokens: Tensor) -> Tensor:
        """Logits ``[W, B, T, V]`` of what follows each of ``[W, B, T]``."""
        return self.net.tree_logits(self.trunk, self.experts, self.paths(), tokens)[0]

    def forget_moments(self, where: Tensor) -> None:
        """Begin the optimisers anew in some worlds, bool ``[W]``."""
        for optimiser in self._optimisers.values():
            optimiser.clear(where.repeat_interleave(len(optimiser.steps) // len(where)))

    # ---- what operations do -------------------------------------------------------------------------

    def apply(self, where: Tensor, change: Change, routes: Tensor) -> None:
        """Carry out a change in the worlds of a mask, bool ``[W]``, and remember what was before it.

        Args:
            where: Which worlds.
            change: What becomes of trees and agents.
            routes: Of those who get one, ``[W, S, E]``.
        """
        if nothing(where):
            return
        for name, stack in self._of_agents():
            _put(self._before[name], where, stack)
        first = torch.arange(len(where), device=where.device)[:, None] * self.net.agents
        source, mate = ((index + first).flatten() for index in (change.source, change.mate))
        changed = where[:, None]
        born = (changed & change.tree.alive & ~self.tree.alive).flatten()
        for own, new in zip(self.tree, change.tree, strict=True):
            own.copy_(torch.where(changed, new, own))
        itself = torch.arange(len(source), device=where.device)
        other = ((source != itself) | (mate != itself)) & changed.expand_as(change.source).flatten()
        blank, aimed = ((changed & mask).flatten() for mask in (change.blank, change.aimed))
        for name, stack in zip(self.net.expert_shapes, self.experts, strict=True):
            mean = (stack[source] + stack[mate]) / 2
            new = torch.where(_along(other, stack), mean, stack)
            if name in (*SAID, "offset"):
                new = new.masked_fill(_along(blank, stack), 0)
            if name == "route":
                new = torch.where(aimed[:, None], routes.flatten(0, 1), new)
            if name == "offset":
                new = new + (changed * change.lift).view_as(new)
            stack.copy_(new)
        self._optimisers["expert"].clear(born)

    def undo(self, where: Tensor, touched: Tensor) -> None:
        """Put back the tree from before the last change, and the agents it touched, in the worlds of a mask.

        Args:
            where: bool ``[W]``.
            touched: bool ``[W, S]``.
        """
        if nothing(where):
            return
        agents = (where[:, None] & touched).flatten()
        for name, stack in self._of_agents():
            if name.startswith("tree."):
                _put(stack, where, self._before[name])
            else:
                stack.copy_(torch.where(_along(agents, stack), self._before[name], stack))

    def open(self, where: Tensor, by: Tensor) -> None:
        """Open gates further in the worlds of a mask, bool ``[W]``, by ``[W, S]``, to 1 at most."""
        gate = self.live["tree.gate"]
        opened = torch.maximum((gate + by).clamp(max=1.0), gate)
        gate.copy_(torch.where(where[:, None] & (by > 0), opened, gate))

    def take_snapshot(self, where: Tensor) -> None:
        """Keep a copy of all in the worlds of a mask, bool ``[W]``; of too many the oldest goes."""
        if nothing(where):
            return
        for newer, older in zip(self._ring[-2::-1], self._ring[:0:-1], strict=True):
            for name, stack in older.items():
                _put(stack, where, newer[name])
        for name, stack in self._ring[0].items():
            _put(stack, where, self.live[name])

    def roll_back(self, where: Tensor) -> None:
        """Go on from the newest copy in the worlds of a mask, bool ``[W]``; it is a copy no more."""
        if nothing(where):
            return
        for name, stack in self.live.items():
            if name not in ("keys", "steps"):  # what dropout drops goes on
                _put(stack, where, self._ring[0][name])
        for newer, older in zip(self._ring, self._ring[1:], strict=False):
            for name, stack in newer.items():
                _put(stack, where, older[name])


def nothing(where: Tensor) -> bool:
    """Whether a mask is empty, where looking is free: on the CPU. Elsewhere what is masked is done to nobody."""
    return where.device.type == "cpu" and not bool(where.any())


def _along(values: Tensor, stack: Tensor) -> Tensor:
    """Values ``[P]`` in a shape that broadcasts over a stack ``[P, …]``."""
    return values.view(-1, *[1] * (stack.dim() - 1))


def _rows(where: Tensor, stack: Tensor) -> Tensor:
    """Worlds ``[W]`` as rows of a stack ``[W·r, …]``."""
    return _along(where.repeat_interleave(len(stack) // len(where)), stack)


def _put(stack: Tensor, where: Tensor, new: Tensor) -> None:
    """Overwrite a stack ``[W·r, …]`` in the worlds of a mask."""
    stack.copy_(torch.where(_rows(where, stack), new, stack))
