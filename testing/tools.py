"""What the conformance checks are written with: worlds under test, sampled actions, comparisons."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..envs.bridges.flat import MASK, FlatWorld
from ..envs.engine import TensorDict, World
from ..envs.engine.actions import in_whole_numbers
from ..envs.errors import ConfigError


@dataclass(frozen=True)
class Subject:
    """A kind of world under test.

    Args:
        name: What failures call it.
        factory: Makes one, from ``num_worlds``, ``autoreset`` and ``validate``.
    """

    name: str
    factory: Callable[..., World]

    def world(self, num_worlds: int = 1, *, autoreset: bool = False, validate: bool = False) -> World:
        """A fresh world of this kind."""
        return self.factory(num_worlds=num_worlds, autoreset=autoreset, validate=validate)

    def require(self, holds: bool, property: str, detail: str = "", step: int | None = None) -> None:
        """Raise the one-line AssertionError of a failed check unless ``holds``."""
        if not holds:
            where = "" if step is None else f" at step {step}"
            raise AssertionError(f"{self.name}: {property}{': ' if detail else ''}{detail}{where}")

    def require_equal(
        self, property: str, one: Any, other: Any, step: int | None = None, tolerance: float = 0.0
    ) -> None:
        """Raise unless two trees of tensors have the same leaves; names the first that differs."""
        first, second = dict(leaves(one)), dict(leaves(other))
        odd = sorted(first.keys() ^ second.keys())
        self.require(not odd, property, f"only one side has {', '.join(map(repr, odd))}", step)
        for key, value in first.items():
            self.require(same(value, second[key], tolerance), property, f"{key!r} differs", step)


def walk_length(world: World | FlatWorld) -> int:
    """Steps that lead through a whole episode and some way into the next."""
    return world.horizon + 3


def seeded(seed: int) -> torch.Generator:
    """A generator of its own for a check's actions."""
    return torch.Generator().manual_seed(seed)


def sample_actions(world: World, generator: torch.Generator, *, abstain: float = 0.1) -> TensorDict:
    """Random actions ``[W, N, …]`` inside the action space, of those that an ``action_mask`` leaves.

    Args:
        world: Whose actions; it has been reset.
        generator: On the CPU.
        abstain: Chance of each row (of the last dimension) to be all zero, where zeros are allowed.
    """
    actions = {}
    for key, part in world.action_space.spaces.items():
        shape = (world.num_worlds, world.num_agents, *(part.shape or ()))
        if isinstance(part, spaces.Discrete):
            chance = torch.rand((*shape, int(part.n)), generator=generator)
            if MASK in world.observation_space.spaces:  # then this is the only action
                chance = chance * world.obs[MASK].cpu()
            value = int(part.start) + chance.argmax(-1)
        elif isinstance(part, spaces.MultiDiscrete):
            value = (torch.rand(shape, generator=generator) * torch.from_numpy(part.nvec)).long()
        elif isinstance(part, spaces.Box):
            value = _sample_box(part, shape, generator, abstain)
        else:
            raise ConfigError(f"action {key!r} has a space that cannot be checked: {part}")
        actions[key] = value.to(world.device)
    return actions


def _sample_box(
    box: spaces.Box, shape: tuple[int, ...], generator: torch.Generator, abstain: float
) -> Tensor:
    low, high = torch.from_numpy(box.low), torch.from_numpy(box.high)
    if in_whole_numbers(box):
        low, high = low.long(), high.long()
        u = torch.rand(shape, generator=generator, dtype=torch.float64)
        value = low + (u * (high - low + 1)).long()
    else:
        low, high = low.float(), high.float()
        u = torch.rand(shape, generator=generator)
        tail = -torch.log1p(-u)
        half = torch.where(low.isfinite(), low + tail, torch.where(high.isfinite(), high - tail, 4 * u - 2))
        value = torch.where(low.isfinite() & high.isfinite(), low + u * (high - low), half)
    if abstain and box.shape:
        silent = torch.rand((*shape[:-1], 1), generator=generator) < abstain
        value = torch.where(silent, torch.zeros_like(low).clamp(low, high), value)
    return value


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dicts, named tuples and sequences, by path."""
    if hasattr(tree, "_asdict"):
        tree = tree._asdict()
    if isinstance(tree, (list, tuple)):
        tree = dict(enumerate(tree))
    if not isinstance(tree, Mapping):
        yield path, tree
        return
    for key, value in tree.items():
        yield from leaves(value, f"{path}.{key}" if path else str(key))


def same(one: Any, other: Any, tolerance: float = 0.0) -> bool:
    """Whether two leaves are equal: tensors and arrays in dtype, shape and value, NaN equal to NaN."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and one.dtype != object:
        one, other = torch.from_numpy(one), torch.from_numpy(np.asarray(other))
    if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
        return type(one) is type(other) and bool(np.all(one == other))
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    equal = one == other
    if one.is_floating_point():
        equal = equal | (one.isnan() & other.isnan())
        if tolerance:
            equal = equal | torch.isclose(one, other, rtol=tolerance, atol=tolerance)
    return bool(equal.all())


def copied(tree: Any) -> dict[str, Any]:
    """Copies of a tree's leaves, by path, that no later write reaches."""
    return {
        key: value.detach().clone() if isinstance(value, Tensor) else value for key, value in leaves(tree)
    }


def of_world(tree: Any, world: int) -> dict[str, Tensor]:
    """What a tree of tensors ``[W, …]`` holds of one world, ``[1, …]``, by path."""
    return {key: value[world : world + 1] for key, value in leaves(tree)}


def saved_of_world(saved: Mapping[str, Any], world: int) -> dict[str, Tensor]:
    """Copies of what a world's ``state_dict()`` holds of one of its worlds, by path."""
    return rows_of_world(saved, world, len(saved["clock"]))


def rows_of_world(saved: Mapping[str, Any], world: int, worlds: int) -> dict[str, Tensor]:
    """Copies of what is saved of one world, by path.

    Tensors are ``[W, …]``, or ``[W·N, …]`` with a world's learners side by side; any other is of every world.
    """
    found = {}
    for key, value in leaves(saved):
        if isinstance(value, Tensor):
            rows = len(value) // worlds if value.dim() and len(value) % worlds == 0 else 0
            found[key] = (value[world * rows : (world + 1) * rows] if rows else value).clone()
    return found


@contextmanager
def global_generators_untouched(subject: Subject, what: str) -> Iterator[None]:
    """Raise where the body draws from, or seeds, a global random generator."""
    before = _global_generators()
    yield
    for name, state in _global_generators().items():
        subject.require(same(state, before[name]), f"{what} moves the global random numbers of {name}")


def _global_generators() -> dict[str, Any]:
    # numpy's and random's states are compared through their text: nested tuples with arrays inside.
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": repr([np.asarray(part).tolist() for part in np.random.get_state(legacy=True)]),
        "random": repr(random.getstate()),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["torch.cuda"] = torch.cuda.get_rng_state()
    return states
