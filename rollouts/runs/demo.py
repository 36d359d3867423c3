"""The first minute: one society with a liar three times over, so that what listening is worth can be seen.

The same learners meet the same slices and the same liar; only whom they listen to differs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ...scenarios import get_scenario
from .run import Live, Rollout

SCENARIO = "society-liar-digits"
STEPS = 400
SEEDS = tuple(range(2, 7))
"""In the world of the first a single agent lies; what is printed is of all."""


class Way(NamedTuple):
    """A way to listen: what it is called, the policy, and the channel's mode."""

    title: str
    policy: str
    mode: str = "open"


WAYS = (
    Way("nobody is heard", "mean", "mute"),
    Way("all alike: the mean", "mean"),
    Way("a learned protocol", "society-gated"),
)


@dataclass
class Played:
    """What became of one way to listen.

    Args:
        way: Which.
        lies: Which agents of the first world do, bool ``[N]``.
        honest: Test accuracy of the honest at the end, mean over them, one a seed.
        accuracy: Exam accuracy of each agent of the first world, ``[N]`` a step.
        weights: How much each listens to whom there, receiver and sender, ``[N, N]`` a step.
    """

    way: Way
    lies: np.ndarray
    honest: list[float]
    accuracy: list[np.ndarray] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)


def play(way: Way, seeds: Iterable[int] = SEEDS, on_step: Callable[[Live], None] | None = None) -> Played:
    """Run the society with a way to listen.

    Args:
        way: Which.
        seeds: Of the worlds; the first is looked at step by step.
        on_step: As of :meth:`Rollout.run`.
    """
    scenario = get_scenario(SCENARIO)
    scenario = dataclasses.replace(
        scenario, policy=way.policy, controls=(), env_kwargs={**scenario.env_kwargs, "mode": way.mode}
    ).within(STEPS)
    run = Rollout(scenario, seeds=seeds)
    world = run.world
    played = Played(way, world.privileged()["liar"][0].numpy(), [])

    def look() -> None:
        found = world.listening()
        assert found is not None  # societies listen
        weights = np.zeros((world.num_agents, world.num_agents), np.float32)
        np.put_along_axis(weights, found.who.numpy(), found.weights[0].numpy(), axis=1)
        played.weights.append(weights)
        played.accuracy.append(world.metrics()["exam_accuracy"][0].numpy())

    look()
    found = run.run(on_step=on_step, after_step=look)
    played.honest = found.metrics["open"]["honest"]
    return played
