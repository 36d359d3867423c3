"""Conformance checks of policies: runs that repeat and go on, and worlds that are kept apart.

All of them walk through an episode and into the next, and look whether each action lies in the space (:class:`Life`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..envs.engine import TensorDict
from ..envs.engine.actions import check_actions, check_values
from ..envs.errors import ActionError
from ..policies.policy import Policy
from .tools import MASK, Subject, copied, global_generators_untouched, of_world, rows_of_world
from .twins import DRIFT, ROUNDING

SEEDS = (11, 7, 40)
"""Of the worlds of a batch."""


@dataclass(frozen=True)
class PolicySubject(Subject):
    """A kind of policy under test, in a kind of world.

    Args:
        policy: Makes a policy, each time alike.
    """

    policy: Callable[[], Policy]


class Life:
    """A policy and its worlds, from their first observation on.

    Args:
        subject: What policy, in what worlds.
        seeds: One for each world.

    Attributes:
        obs: What the policy sees next.
    """

    def __init__(self, subject: PolicySubject, seeds: Sequence[int] = SEEDS) -> None:
        self.subject = subject
        self.world = subject.world(len(seeds), autoreset=True)
        self.policy = subject.policy()
        self.policy.bind(self.world)
        self.obs = self.world.reset(seed=list(seeds))
        self.policy.reset()

    @property
    def length(self) -> int:
        """Steps that lead through an episode and into the next."""
        return self.world.horizon + 2

    def step(self) -> TensorDict:
        """Act, move the worlds, and begin anew where an episode ended; returns copies of the actions."""
        actions = self.act()
        step = self.world.step(actions)
        ended = step.terminated | step.truncated
        if bool(ended.any()):
            self.policy.end(step.final_obs, ended)
            self.policy.reset(ended)
        self.obs = step.obs
        return actions

    def act(self) -> TensorDict:
        """Copies of what the policy does now, ``[W, N, …]`` by name, which must lie in the action space."""
        world = self.world
        every = np.ones(world.num_worlds, dtype=bool)
        given = self.policy.act(self.obs)
        try:
            batch = (world.num_worlds, world.num_agents)
            actions = check_actions(given, world.action_space, batch, world.device)
            check_values(actions, world.action_space, world.agents, every)
        except ActionError as fault:
            self.subject.require(False, "actions must lie in the action space", str(fault))
        if MASK in world.observation_space.spaces:  # then there is one action, a choice
            (choice,) = actions.values()
            legal = self.obs[MASK].gather(-1, choice[..., None]) != 0
            self.subject.require(bool(legal.all()), f"choices must be of those that {MASK!r} leaves")
        return copied(actions)

    def reset(self, mask: np.ndarray | None = None) -> None:
        """Begin anew in the worlds of ``mask``, bool ``[W]``; None is all."""
        self.obs = self.world.reset(mask=mask)
        self.policy.reset(None if mask is None else torch.from_numpy(mask).to(self.world.device))


def check_policy_seeds(subject: PolicySubject) -> None:
    """The same seeds give the same run, bit for bit, from no global random number."""
    with global_generators_untouched(subject, "the policy"):
        one, other = Life(subject), Life(subject)
        for t in range(1, one.length + 1):
            subject.require_equal("equal seeds must give equal actions", one.step(), other.step(), t)
    subject.require_equal(
        "equal seeds must leave equal states", one.policy.state_dict(), other.policy.state_dict()
    )


def check_policy_batch(subject: PolicySubject) -> None:
    """A policy does in a world of a batch what it does in the same world alone, but for rounding."""
    batch, alone = Life(subject), [Life(subject, (seed,)) for seed in SEEDS]
    for t in range(1, batch.length + 1):
        actions = batch.step()
        for w, life in enumerate(alone):
            property = f"a world in a batch must be acted in as the same world alone is (world {w})"
            tolerance = ROUNDING if t == 1 else DRIFT
            subject.require_equal(property, of_world(actions, w), life.step(), t, tolerance)


def check_policy_state(subject: PolicySubject) -> None:
    """A fresh policy that loads a state saved mid-episode goes on alike; nobody moves what is saved."""
    life, twin = Life(subject), Life(subject, (1, 2, 3))
    for _ in range(max(1, life.world.horizon // 2)):
        life.step()
    saved = life.policy.state_dict()
    kept = copied(saved)
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    twin.world.load_state_dict(life.world.state_dict())
    twin.policy.load_state_dict(torch.load(file, weights_only=True))
    twin.obs = twin.world.obs
    for t in range(1, life.length + 1):
        subject.require_equal("a loaded state must act identically", life.step(), twin.step(), t)
        states = life.policy.state_dict(), twin.policy.state_dict()
        subject.require_equal("a loaded state must go on identically", *states, t)
    subject.require_equal("what was saved must stay as it was", copied(saved), kept)


def check_policy_reset(subject: PolicySubject) -> None:
    """A masked reset begins anew where it should, and leaves what is remembered of the other worlds."""
    lives = [Life(subject) for _ in range(3)]
    for life in lives:
        for _ in range(2):
            life.step()
    masked, _, whole = lives
    worlds = len(SEEDS)
    before = [rows_of_world(masked.policy.state_dict(), w, worlds) for w in range(worlds)]
    masked.reset(np.array([False, True, False]))
    whole.reset()
    after = [rows_of_world(masked.policy.state_dict(), w, worlds) for w in range(worlds)]
    actions, ever, anew = (life.act() for life in lives)
    for w in (0, 2):
        property = f"a masked reset must leave world {w} alone"
        subject.require_equal(property, before[w], after[w])
        subject.require_equal(property, of_world(actions, w), of_world(ever, w), tolerance=ROUNDING)
    property = "a masked reset must begin world 1 anew"
    subject.require_equal(property, of_world(actions, 1), of_world(anew, 1), tolerance=ROUNDING)


CHECKS: list[Callable[[PolicySubject], None]] = [
    check_policy_seeds,
    check_policy_batch,
    check_policy_state,
    check_policy_reset,
]
