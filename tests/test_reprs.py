"""What is shown of an object is what it is: no address, and no page."""

import dataclasses
from pathlib import Path

import pytest

from studyhall import make_aec, make_env, make_sb3, make_vec, make_world
from studyhall.policies import make_policy
from studyhall.rollouts import Report, Rollout
from studyhall.rollouts.training.trained import Trained
from studyhall.scenarios import get_scenario

SHORT = dataclasses.replace(
    get_scenario("classroom-digits"), env_kwargs={"agents": 3, "horizon": 50}, controls=("mute",)
)


def bound():
    policy = make_policy("mutual")
    policy.bind(make_world("classroom-v0", num_worlds=2, agents=3, horizon=50))
    return policy


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (
            lambda: make_world("classroom-v0", agents=3, horizon=50),
            "<Classroom: 1 world of 3 students, horizon 50, cpu>",
        ),
        (lambda: make_policy("mutual"), "<Students by Mutual>"),
        (bound, "<Students by Mutual in <Classroom: 2 worlds of 3 students, horizon 50, cpu>>"),
        (lambda: make_policy("random"), "<RandomPolicy>"),
        (
            lambda: make_env("classroom-v0", agents=3, horizon=50),
            "<WorldParallelEnv classroom-v0: <Classroom: 1 world of 3 students, horizon 50, cpu>>",
        ),
        (lambda: make_vec("classroom-v0", num_envs=2), "WorldVectorEnv(studyhall/classroom-v0, num_envs=2)"),
        (
            lambda: make_sb3("society-v0", 2, learners="mlp", horizon=9),
            "<WorldVecEnv: 10 sub-environments of <Society: 2 worlds of 5 agents, horizon 9, cpu>>",
        ),
        (
            lambda: Rollout(SHORT, seeds=(0, 1)),
            "<Rollout of classroom-digits: step 0 of 50, seeds [0, 1], open, mute, cpu>",
        ),
        (
            lambda: Report(SHORT, (0, 1), steps=[50], metrics={"open": {"mean": [0.5] * 1000}}),
            "<Report of classroom-digits: 50 steps, seeds [0, 1], open, mute>",
        ),
        (
            lambda: Trained(Path("run"), evaluations=[(0, 1.0), (50, 2.5)], timesteps=100),
            "<Trained run: return on held-out worlds 2.5 after 50 agent-steps, from 1 at the start; "
            "100 agent-steps made>",
        ),
    ],
)
def test_it_is_shown_as_what_it_is(make, shown):
    assert repr(make()) == shown


def test_wrapped_views_say_what_they_hold():
    assert "classroom-v0" in str(make_aec("classroom-v0"))
