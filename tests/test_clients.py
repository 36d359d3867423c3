"""The views as other libraries use them: the real ones, over worlds of a few steps."""

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import FlattenObservation, RecordEpisodeStatistics, TimeAwareObservation
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.callbacks import MaskableEvalCallback
from sb3_contrib.common.maskable.evaluation import evaluate_policy
from stable_baselines3 import PPO

from studyhall import make_sb3

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
