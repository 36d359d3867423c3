"""The views as other libraries use them: the real ones, over worlds of a few steps."""

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import FlattenObservation, RecordEpisodeStatistics, TimeAwareObservation
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.callbacks import MaskableEvalCallback
from sb3_contrib.common.maskable.evaluation import evaluate_policy
from stable_baselines3 import PPO
from torchrl.envs import GymEnv, PettingZooWrapper
from torchrl.envs.utils import check_env_specs

from studyhall import make_env, make_sb3, registry

HOSTED = {"learners": "mlp", "hidden": (4,), "agents": 3, "horizon": 3, "slice_size": 4, "exam_size": 10}
QUICK = {"n_steps": 4, "batch_size": 8, "n_epochs": 1, "device": "cpu"}


def test_masks_are_found_before_the_first_reset():
    """By sb3-contrib, which looks for them when an evaluation begins."""

    def env():
        return make_sb3("society-v0", 1, discrete_actions=True, **HOSTED)

    model = MaskablePPO("MultiInputPolicy", env(), **QUICK)
    model.learn(24, callback=MaskableEvalCallback(env(), eval_freq=4, n_eval_episodes=3, verbose=0))
    mean, deviation = evaluate_policy(model, env(), n_eval_episodes=3)
    assert np.isfinite([mean, deviation]).all()


@pytest.mark.parametrize(
    ("policy", "arguments"),
    [("MultiInputPolicy", {}), ("MlpPolicy", {"flat": True})],
    ids=["by name", "flat"],
)
def test_sb3_trains_with_its_own_policies(policy, arguments):
    PPO(policy, make_sb3("swarm-v0", 2, agents=3, horizon=3, dimensions=2, **arguments), **QUICK).learn(24)


def test_sb3_trains_on_the_joint_choices():
    talk = {"slice_size": 1, "rounds": 1, "vocabulary": 3, "choices": True, "agents": 2}
    PPO(
        "MlpPolicy", gymnasium.make("studyhall/consensus-v0", flat=True, **talk), **{**QUICK, "batch_size": 4}
    ).learn(8)


SMALL_MODEL = {"layers": 1, "width": 8, "feedforward": 8, "length": 6, "slice_size": 4, "exam_size": 2}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    "id",
    [pytest.param(id, marks=pytest.mark.slow) if id == "hierarchy-v0" else id for id in sorted(registry)],
)
def test_torchrl_takes_every_world(id, flat):
    form = {"agents": 3} if "agents" in registry[id].arguments() else {}
    if flat and id == "hierarchy-v0":  # a choice beside a number is no vector
        form["actions"] = "discrete"
    check_env_specs(PettingZooWrapper(make_env(id, flat=flat, **form)), seed=0)
    check_env_specs(GymEnv(f"studyhall/{id}", flat=flat, **form), seed=0)  # which tries arguments out


@pytest.mark.parametrize("actions", ["listen", "discrete"])
def test_torchrl_rolls_out_what_is_observed(actions):
    env = PettingZooWrapper(make_env("society-v0", actions=actions, **HOSTED), use_mask=True).to("cpu")
    assert env.rollout(5).batch_size == (3,)


def test_gymnasiums_wrappers_add_what_they_add():
    env = gymnasium.make("studyhall/swarm-v0", agents=3, horizon=4)
    wrapped = TimeAwareObservation(RecordEpisodeStatistics(env), flatten=False, normalize_time=False)
    wrapped.reset(seed=0)
    for step in range(1, 5):
        obs, *_, info = wrapped.step(wrapped.action_space.sample())
        assert obs["time"] == [step]
    assert info["episode"]["l"] == 4
    assert obs.keys() == {*env.observation_space.spaces, "time"}
    flat = TimeAwareObservation(gymnasium.make("studyhall/swarm-v0", agents=3, horizon=4, flat=True))
    assert flat.reset(seed=0)[0].shape == (flat.unwrapped.observation_space.shape[0] + 1,)
    assert FlattenObservation(env).reset(seed=0)[0].ndim == 1
