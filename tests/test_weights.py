"""Rows of weights: bounded where they are shown, divided by their sum whatever they are."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from studyhall import make_env, make_world, registry
from studyhall.envs.engine.weights import Weights
from studyhall.envs.errors import ActionError
from studyhall.rollouts import Rollout
from studyhall.scenarios import get_scenario

SMALL = {"slice_size": 4, "exam_size": 10, "horizon": 3}


def weights(world):
    return {key for key, part in world.action_space.spaces.items() if isinstance(part, Weights)}


def test_worlds_say_which_actions_are_weights():
    expected = {
        "allocation-v0": {"relevance", "answers_relevance"},
        "classroom-v0": {"soft_targets", "answers"},
        "collective-v0": {"soft_targets", "answers"},
        "consensus-v0": {"answer"},
        "halves-v0": set(),
        "hierarchy-v0": set(),
        "modular-v0": set(),
        "referential-v0": {"answer"},
        "society-v0": {"soft_targets", "answers"},
        "swarm-v0": set(),
    }
    assert {id: weights(make_world(id)) for id in registry} == expected
    assert weights(make_world("consensus-v0", data="vector")) == set()
    assert weights(make_world("referential-v0", game="reconstruction")) == {"answer"}


@pytest.mark.parametrize("id", sorted(registry))
def test_actions_have_both_bounds_or_none(id):
    """Of an interval open on one side, some libraries sample infinity."""
    for key, part in make_world(id).action_space.spaces.items():
        if isinstance(part, spaces.Box):
            assert (np.isfinite(part.low) == np.isfinite(part.high)).all(), key


def test_larger_weights_are_refused_where_values_are_checked_and_divided_elsewhere():
    world = make_world("classroom-v0", agents=2, **SMALL)
    world.reset(seed=0)
    one = {"soft_targets": torch.rand(1, 2, 4, 10), "answers": torch.rand(1, 2, 10, 10)}
    ask = {"ask": torch.zeros(1, 2, dtype=torch.int64)}
    tenfold = {key: 10 * value for key, value in one.items()}
    twin = world.fork()
    torch.testing.assert_close(world.step({**one, **ask}).reward, twin.step({**tenfold, **ask}).reward)
    env = make_env("classroom-v0", agents=2, **SMALL)
    env.reset(seed=0)
    actions = {
        a: {key: v[0, i].numpy() for key, v in tenfold.items()} | {"ask": 0} for i, a in enumerate(env.agents)
    }
    with pytest.raises(ActionError, match="divided by their sum, so divide by the maximum first") as caught:
        env.step(actions)
    assert "\n" not in str(caught.value)
    divided = {
        a: {k: v / np.max(v) if k != "ask" else v for k, v in acted.items()} for a, acted in actions.items()
    }
    env.step(divided)


def test_what_rounding_adds_is_no_fault():
    world = make_world("consensus-v0", agents=2, slice_size=1, validate=True)
    world.reset(seed=0)
    above = torch.nextafter(torch.ones(1, 2, 1, 10), torch.tensor(2.0))
    world.step({"message": torch.zeros(1, 2, 1, world.wire.shape[0]), "answer": above})


@pytest.mark.parametrize(
    "name",
    [
        "classroom-digits",
        "collective-digits-moe",
        "allocation-digits",
        "consensus-digits",
        "referential-attributes",
    ],
)
def test_reference_policies_stay_inside(name):
    course = Rollout(get_scenario(name), seeds=(0,))
    course.world.validate, obs = True, course.obs
    for _ in range(min(3, course.steps)):
        obs = course.world.step(course.policy.act(obs)).obs
