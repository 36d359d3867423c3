"""The PettingZoo and Gymnasium views: autoreset truth tables, registries, and what they refuse."""

import dataclasses
import json
import pickle
import re
import subprocess
import sys
import warnings
from functools import partial
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec as GymnasiumSpec
from gymnasium.vector import AutoresetMode
from pettingzoo.env_registry.registration import make as pettingzoo_make
from pettingzoo.env_registry.registration import spec as pettingzoo_spec
from pettingzoo.test.max_cycles_test import max_cycles_test

import studyhall
from studyhall.envs.bridges.arrays import to_arrays
from studyhall.envs.bridges.flat import FlatWorld, flat_space
from studyhall.envs.bridges.gymnasium import WorldEnv, WorldVectorEnv
from studyhall.envs.bridges.pettingzoo import WorldParallelEnv
from studyhall.envs.engine.world import Outcome, World
from studyhall.envs.errors import ActionError, ConfigError, EpisodeEnded, UnknownName
from studyhall.envs.make import make_joint

SMALL = {"agents": 2, "slice_size": 4, "exam_size": 10, "horizon": 3}
FULL = "studyhall/classroom-v0"


def one_line(caught):
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sharp_answers(env, rng):
    """Joint actions whose rewards are surely not zero."""
    w, n = env.num_envs, 2
    return {
        "soft_targets": rng.random((w, n, 4, 10)),
        "answers": rng.random((w, n, 10, 10)),
        "ask": np.zeros((w, n), dtype=int),
    }


# ---- autoreset modes --------------------------------------------------------------------------------

# Two episodes of horizon 3. Columns: steps on the clock that the observation shows, whether a reward was
# paid, truncated, whether info has metrics, final_obs, final_info, and steps on the clock in final_obs.
TRUTH = {
    "NextStep": [
        (1, True, False, False, False, None),
        (2, True, False, False, False, None),
        (3, True, True, True, False, None),
        (0, False, False, False, False, None),  # resets; the action is ignored
        (1, True, False, False, False, None),
        (2, True, False, False, False, None),
        (3, True, True, True, False, None),
        (0, False, False, False, False, None),
    ],
    "SameStep": [
        (1, True, False, False, False, None),
        (2, True, False, False, False, None),
        (0, True, True, False, True, 3),  # metrics are in final_info
        (1, True, False, False, False, None),
        (2, True, False, False, False, None),
        (0, True, True, False, True, 3),
        (1, True, False, False, False, None),
    ],
    "Disabled": [
        (1, True, False, False, False, None),
        (2, True, False, False, False, None),
        (3, True, True, True, False, None),
        "reset",
        (1, True, False, False, False, None),
        (2, True, False, False, False, None),
        (3, True, True, True, False, None),
    ],
}


def clocks(obs):
    return (obs["elapsed"][..., 0] * 3).round().astype(int)


@pytest.mark.parametrize("mode", TRUTH)
def test_autoreset_truth_table(mode):
    env = studyhall.make_vec("classroom-v0", 2, autoreset_mode=mode, **SMALL)
    assert env.metadata["autoreset_mode"] is AutoresetMode(mode)
    obs, info = env.reset(seed=0)
    assert clocks(obs).tolist() == [[0, 0], [0, 0]]
    assert info == {}
    rng = np.random.default_rng(0)
    for t, row in enumerate(TRUTH[mode], 1):
        if row == "reset":
            with pytest.raises(EpisodeEnded, match="reset_mask"):
                env.step(sharp_answers(env, rng))
            obs, _ = env.reset(options={"reset_mask": np.array([True, True])})
            assert (clocks(obs) == 0).all()
            continue
        clock, paid, ended, metrics, final, final_clock = row
        obs, reward, terminated, truncated, info = env.step(sharp_answers(env, rng))
        assert (clocks(obs) == clock).all(), t
        assert ((reward != 0) == paid).all(), t
        assert reward.dtype == np.float64
        assert not terminated.any()
        assert (truncated == ended).all(), t
        assert ("metrics" in info) == metrics, t
        assert ("final_obs" in info, "final_info" in info) == (final, final), t
        if final:
            assert info["_final_obs"].all()
            assert all((clocks(obs) == final_clock).all() for obs in info["final_obs"])
            assert info["final_info"]["metrics"]["return"].shape == (2, 2)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_worlds_that_end_apart(mode):
    """World 1 was reset after the first step: each world follows its own table."""
    env = studyhall.make_vec("classroom-v0", 2, autoreset_mode=mode, **SMALL)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    env.step(sharp_answers(env, rng))
    env.reset(options={"reset_mask": np.array([False, True])})
    seen = []
    for _ in range(5):
        obs, reward, _, truncated, info = env.step(sharp_answers(env, rng))
        seen.append((clocks(obs)[:, 0].tolist(), (reward != 0).tolist(), truncated.tolist()))
        assert np.array_equal(info["_score"], (reward != 0) & ~(truncated & (mode == "SameStep")))
    yes, no = True, False
    assert (
        seen
        == {
            "NextStep": [
                ([2, 1], [yes, yes], [no, no]),
                ([3, 2], [yes, yes], [yes, no]),
                ([0, 3], [no, yes], [no, yes]),
                ([1, 0], [yes, no], [no, no]),
                ([2, 1], [yes, yes], [no, no]),
            ],
            "SameStep": [
                ([2, 1], [yes, yes], [no, no]),
                ([0, 2], [yes, yes], [yes, no]),
                ([1, 0], [yes, yes], [no, yes]),
                ([2, 1], [yes, yes], [no, no]),
                ([0, 2], [yes, yes], [yes, no]),
            ],
        }[mode]
    )


def test_next_step_ignores_the_actions_of_worlds_it_resets():
    env = studyhall.make_vec("classroom-v0", 2, **SMALL)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(3):
        env.step(sharp_answers(env, rng))
    env.reset(options={"reset_mask": np.array([True, False])})
    actions = sharp_answers(env, rng)
    actions["answers"][1] = np.nan
    obs, *_ = env.step(actions)
    assert clocks(obs)[:, 0].tolist() == [1, 0]
    actions["answers"][0] = np.nan
    with pytest.raises(ActionError, match=r"'answers' of student_0 \(world 0\)"):
        env.step(actions)


def test_reward_is_the_mean_over_agents():
    env = studyhall.make_vec("classroom-v0", 2, **SMALL)
    env.reset(seed=0)
    _, reward, _, _, info = env.step(sharp_answers(env, np.random.default_rng(0)))
    assert info["reward_per_agent"].shape == (2, 2)
    np.testing.assert_allclose(reward, info["reward_per_agent"].mean(1), rtol=1e-6)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, "SameStep", "SAME_STEP"])
def test_autoreset_mode_by_enum_value_and_name(mode):
    env = studyhall.make_vec("classroom-v0", 1, autoreset_mode=mode, **SMALL)
    assert env.autoreset_mode is AutoresetMode.SAME_STEP


def test_unknown_autoreset_mode():
    with pytest.raises(ConfigError, match="'NextStep', 'SameStep', 'Disabled'") as caught:
        studyhall.make_vec("classroom-v0", 1, autoreset_mode="Sometimes", **SMALL)
    one_line(caught)


@pytest.mark.parametrize(
    "mask", [np.array([False, False]), np.array([True]), np.array([1, 0]), [True, False, True]]
)
def test_bad_reset_mask(mask):
    env = studyhall.make_vec("classroom-v0", 2, **SMALL)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="mask"):
        env.reset(options={"reset_mask": mask})


def test_masked_reset_keeps_the_users_options():
    env = studyhall.make_vec("classroom-v0", 2, **SMALL)
    env.reset(seed=0)
    options = {"reset_mask": np.array([True, False])}
    env.reset(options=options)
    assert list(options) == ["reset_mask"]


# ---- seeds ------------------------------------------------------------------------------------------


def test_seeds_of_the_vector_view():
    env = studyhall.make_vec("classroom-v0", 3, **SMALL)
    counted, _ = env.reset(seed=5)
    listed, _ = env.reset(seed=[5, 6, 7])
    swapped, _ = env.reset(seed=[7, 6, 5])
    for key, value in counted.items():
        np.testing.assert_array_equal(listed[key], value)
        np.testing.assert_array_equal(swapped[key], value[::-1])
    assert not np.array_equal(counted["slice"][0], counted["slice"][1])
    evaluation, _ = env.reset(seed=5, options={"domain": "eval"})
    assert not np.array_equal(evaluation["slice"], counted["slice"])
    for seed in ([1, 2], -1, [1, None, 2], "a"):
        with pytest.raises(ConfigError, match="seed"):
            env.reset(seed=seed)


def test_reset_without_a_seed_goes_on():
    env = studyhall.make_env("classroom-v0", **SMALL)
    first, _ = env.reset(seed=3)
    second, _ = env.reset()
    again, _ = env.reset(seed=3)
    assert not np.array_equal(first["student_0"]["slice"], second["student_0"]["slice"])
    np.testing.assert_array_equal(first["student_0"]["slice"], again["student_0"]["slice"])


def test_never_seeded_worlds_differ_and_can_be_repeated():
    one, other = (studyhall.make_env("classroom-v0", **SMALL) for _ in range(2))
    seen, _ = one.reset()
    elsewhere, _ = other.reset()
    assert not np.array_equal(seen["student_0"]["slice"], elsewhere["student_0"]["slice"])
    other.reset(seed=int(one.world.seeds[0]))
    assert torch.equal(other.world.keys, one.world.keys)


def test_agents_sample_from_generators_of_their_own():
    env = studyhall.make_env("classroom-v0", **SMALL)
    for agent in env.possible_agents:
        env.action_space(agent).seed(4)
    one, other = (env.action_space(agent).sample() for agent in env.possible_agents)
    np.testing.assert_array_equal(one["answers"], other["answers"])


# ---- registries -------------------------------------------------------------------------------------


def test_gymnasium_make():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(FULL, **SMALL)
        assert isinstance(env.unwrapped, WorldEnv)
        env.reset(seed=1)
        env.action_space.seed(1)
        for _ in range(3):
            obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert obs["exam"].shape[:2] == (2, 10)
    assert (type(reward), terminated, truncated) == (float, False, True)
    assert info["metrics"]["return"].shape == (2,)


@pytest.mark.parametrize("mode", [None, "sync", "vector_entry_point"])
def test_gymnasium_make_vec(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make_vec(FULL, num_envs=3, vectorization_mode=mode, **SMALL)
        obs, _ = env.reset(seed=1)
    assert isinstance(env, WorldVectorEnv) == (mode != "sync")
    assert obs["exam"].shape[:3] == (3, 2, 10)
    assert env.num_envs == 3
    assert env.spec.id == FULL


def test_gymnasium_make_vec_takes_an_autoreset_mode():
    env = gymnasium.make_vec(FULL, num_envs=2, autoreset_mode="SameStep", **SMALL)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_gymnasium_wrappers_record_statistics():
    env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make(FULL, **SMALL))
    env.reset(seed=0)
    for _ in range(3):
        *_, info = env.step(env.action_space.sample())
    assert info["episode"]["l"] == 3
    vector = gymnasium.wrappers.vector.RecordEpisodeStatistics(gymnasium.make_vec(FULL, num_envs=2, **SMALL))
    vector.reset(seed=0)
    for _ in range(3):
        *_, info = vector.step(vector.action_space.sample())
    assert info["episode"]["l"].tolist() == [3, 3]
    np.testing.assert_allclose(info["episode"]["r"], info["metrics"]["return"].mean(1), rtol=1e-5)


def test_specs_survive_json_and_pickle():
    env = gymnasium.make(FULL, **SMALL)
    assert json.loads(env.spec.to_json())["kwargs"]["agents"] == 2
    again = gymnasium.make(GymnasiumSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.world.num_agents == 2
    assert gymnasium.make(pickle.loads(pickle.dumps(env.spec))).unwrapped.world.horizon == 3
    vector = gymnasium.make_vec(FULL, num_envs=2, **SMALL)
    assert gymnasium.make_vec(GymnasiumSpec.from_json(vector.spec.to_json())).num_envs == 2
    assert pickle.loads(pickle.dumps(pettingzoo_spec("parallel", FULL))).id == FULL


def test_pettingzoo_make():
    env = pettingzoo_make("parallel", FULL, **SMALL)
    assert isinstance(env, WorldParallelEnv)
    assert str(env) == "classroom-v0"
    assert env.metadata["render_modes"] == ["ansi", "rgb_array", "human"]
    assert env.unwrapped.world.horizon == 3
    assert pettingzoo_make("parallel", FULL, max_cycles=7).max_cycles == 7
    aec = pettingzoo_make("aec", FULL, **SMALL)
    aec.reset(seed=0)
    turns = 0
    for agent in aec.agent_iter():
        _, _, terminated, truncated, _ = aec.last()
        aec.step(None if terminated or truncated else aec.action_space(agent).sample())
        turns += 1
    assert turns == 3 * 2 + 2  # every student acts three times, then leaves
    assert aec.agents == []


MAKES = [studyhall.make_env, studyhall.make_aec, studyhall.make_vec, make_joint, studyhall.make_sb3]


@pytest.mark.parametrize("make", [*MAKES, studyhall.make_world])
def test_unknown_names_list_near_ones(make):
    with pytest.raises(UnknownName, match="did you mean 'classroom-v0'") as caught:
        make("clasroom-v0")
    one_line(caught)
    # Libraries that try an argument out look for Python's own words.
    for error in (UnknownName, TypeError):
        with pytest.raises(
            error, match="unexpected keyword argument 'agnets': did you mean 'agents'"
        ) as caught:
            make("classroom-v0", agnets=3)
        one_line(caught)


@pytest.mark.parametrize("make", [*MAKES, studyhall.make_world])
@pytest.mark.parametrize("id", [3, None, ["classroom-v0"]])
def test_what_is_no_id(make, id):
    told = re.escape(f"environment must be text, such as 'classroom-v0', got {id!r}")
    with pytest.raises(ConfigError, match=told) as caught:
        make(id)
    one_line(caught)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (studyhall.make_vec, {"num_envs": "x"}, "num_envs must be a whole number of at least 1, got 'x'"),
        (
            studyhall.make_sb3,
            {"num_worlds": "x"},
            "num_worlds must be a whole number between 1 and 16777216, got 'x'",
        ),
        (
            studyhall.make_world,
            {"num_worlds": 0},
            "num_worlds must be a whole number between 1 and 16777216, got 0",
        ),
        *((make, {"flat": 1}, "flat must be true or false, got 1") for make in MAKES),
        *((make, {"render_mode": 5}, "render_mode 5") for make in MAKES),
    ],
)
def test_arguments_of_the_views(make, arguments, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make("swarm-v0", **{"actions": "coefficients", **arguments})
    one_line(caught)


def test_options_that_a_reset_does_not_know():
    views = [make("swarm-v0", actions="coefficients") for make in (studyhall.make_env, make_joint)]
    for view in [*views, studyhall.make_world("swarm-v0"), gymnasium.make("studyhall/swarm-v0")]:
        with pytest.raises(UnknownName, match="unknown reset option 'students': known are domain") as caught:
            view.reset(options={"students": 5})
        one_line(caught)
        with pytest.raises(ConfigError, match="options of a reset must be a dict") as caught:
            view.reset(options=5)
        view.reset(options={"domain": "eval"})
    vector = studyhall.make_vec("swarm-v0", 2)
    with pytest.raises(UnknownName, match="'reset_masks': did you mean 'reset_mask'"):
        vector.reset(options={"reset_masks": np.array([True, False])})
    sb3 = studyhall.make_sb3("swarm-v0", actions="coefficients")
    sb3.set_options({"students": 5})
    with pytest.raises(UnknownName, match="known are domain"):
        sb3.reset()


def test_every_environment_tells_its_own_horizon():
    """As ``spec.max_episode_steps``, without a wrapper that cuts episodes."""
    made = {
        "gymnasium.make": gymnasium.make(FULL, **{**SMALL, "horizon": 500}),
        "gymnasium.make_vec": gymnasium.make_vec(FULL, num_envs=2, **{**SMALL, "horizon": 500}),
        "make_joint": make_joint("classroom-v0", **{**SMALL, "horizon": 500}),
        "make_vec": studyhall.make_vec("classroom-v0", 2, **{**SMALL, "horizon": 500}),
    }
    for name, env in made.items():
        assert env.spec.max_episode_steps == 500, name
        assert env.spec.id == FULL, name
        assert "TimeLimit" not in str(env), name
    assert gymnasium.spec(FULL).max_episode_steps is None
    assert gymnasium.make("studyhall/consensus-v0", rounds=4).spec.max_episode_steps == 5
    for vector in (made["gymnasium.make_vec"], made["make_vec"]):
        again = gymnasium.make_vec(vector.spec)
        assert (again.num_envs, again.unwrapped.world.horizon, again.spec.max_episode_steps) == (2, 500, 500)
    assert gymnasium.make(made["make_joint"].spec).unwrapped.world.horizon == 500
    parallel, aec = (make("classroom-v0", **SMALL) for make in (studyhall.make_env, studyhall.make_aec))
    assert parallel.spec.max_cycles == aec.spec.max_cycles == 3
    assert pettingzoo_make("parallel", parallel.spec).max_cycles == 3
    again = pettingzoo_make("aec", aec.spec)
    again.reset(seed=0)
    turns = sum(1 for agent in again.agent_iter() if again.step(_turn(again, agent)) is None)
    assert turns == 3 * 2 + 2


def test_a_vector_of_worlds_has_no_limit_but_its_horizon():
    """Metrics, told at the horizon, would be missing, and the time observed would never reach its end."""
    with pytest.raises(ConfigError, match=r"is 2, but .* have 3 steps: set horizon=N instead"):
        gymnasium.make_vec(FULL, max_episode_steps=2, **SMALL)
    with pytest.raises(ConfigError, match="have 5 steps: set rounds=N"):
        gymnasium.make_vec("studyhall/consensus-v0", max_episode_steps=4, rounds=4)


@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
def test_a_spec_makes_the_same_environment_again(make):
    env = make(FULL, max_episode_steps=3, **SMALL)
    for again in (env, make(env.spec)):
        again.reset(seed=0)
        ends = [again.step(again.action_space.sample()) for _ in range(3)]
        assert [bool(np.all(end[3])) for end in ends] == [False, False, True]
        assert "metrics" in ends[-1][4]
        assert again.spec.max_episode_steps == 3


def _turn(aec, agent):
    return None if aec.terminations[agent] or aec.truncations[agent] else aec.action_space(agent).sample()


@pytest.mark.parametrize("id", sorted(studyhall.registry))
def test_pettingzoos_max_cycles(id):
    full = f"studyhall/{id}"
    max_cycles_test(
        SimpleNamespace(
            parallel_env=partial(pettingzoo_make, "parallel", full), env=partial(pettingzoo_make, "aec", full)
        )
    )


def test_registries_import_the_package_themselves():
    """Gymnasium's by ``studyhall:`` in front of an id, in a process without an import; PettingZoo's knows no such."""
    code = """
import gymnasium, sys
assert "studyhall" not in sys.modules
env = gymnasium.make("studyhall:studyhall/swarm-v0", horizon=4)
many = gymnasium.make_vec("studyhall:studyhall/swarm-v0", num_envs=2)
from pettingzoo.env_registry.registration import make
named = make("parallel", "studyhall/swarm-v0")
print(env.reset(seed=0)[0].keys() == many.reset(seed=0)[0].keys(), env.spec.max_episode_steps, many.num_envs, named)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "4", "2", "swarm-v0"]


def test_registering_twice(recwarn):
    known = studyhall.spec("classroom-v0")
    studyhall.register(dataclasses.replace(known))  # the same
    assert studyhall.spec("classroom-v0") is known
    assert not recwarn.list  # Gymnasium warns where a name is taken over
    with pytest.raises(ConfigError, match="registered already"):
        studyhall.register(dataclasses.replace(known, summary="another"))


def test_an_argument_may_be_one_of_the_hosted_form():
    with pytest.raises(UnknownName, match="did you mean 'learners'"):
        studyhall.make_world("society-v0", learner="mlp")


# ---- bad actions ------------------------------------------------------------------------------------


def good_actions(env):
    return {
        agent: {"soft_targets": np.ones((4, 10)), "answers": np.ones((10, 10)), "ask": 0}
        for agent in env.possible_agents
    }


def spoil(key, value):
    return lambda actions: {**actions, "student_1": {**actions["student_1"], key: value}}


BAD = {
    "nan": (spoil("answers", np.full((10, 10), np.nan)), "'answers' of student_1 .* not finite"),
    "infinite": (spoil("answers", np.full((10, 10), np.inf)), "'answers' of student_1 .* not finite"),
    "overflowing": (spoil("answers", np.full((10, 10), 1e300)), "'answers' of student_1 .* not finite"),
    "negative": (
        spoil("soft_targets", -np.ones((4, 10))),
        r"'soft_targets' of student_1 .* outside \[0, 1\]$",
    ),
    "not divided": (
        spoil("soft_targets", np.full((4, 10), 7.0)),
        r"'soft_targets' of student_1 \(world 0\) is outside \[0, 1\]: rows of weights are divided by their sum, "
        "so divide by the maximum first",
    ),
    "misshapen": (
        spoil("answers", np.ones((10, 9))),
        r"'answers' of student_1 must have shape \(10, 10\), got \(10, 9\)",
    ),
    "ragged": (spoil("answers", [[1.0], [1.0, 2.0]]), "'answers' of student_1 cannot be read"),
    "words": (spoil("answers", "uniform"), "'answers' of student_1 must hold numbers"),
    "nothing": (spoil("answers", None), "'answers' of student_1 must hold numbers"),
    "complex": (spoil("answers", np.ones((10, 10), complex)), "'answers' of student_1 must hold numbers"),
    "out of range": (spoil("ask", 2), "'ask' of student_1 .* outside 0…1"),
    "not whole": (spoil("ask", 1.0), "'ask' of student_1 must hold integers"),
    "missing agent": (lambda a: {"student_0": a["student_0"]}, "lacks the agent 'student_1'"),
    "unknown agent": (lambda a: {**a, "student_9": a["student_0"]}, "unknown agent 'student_9'"),
    "missing key": (
        lambda a: {**a, "student_1": {"answers": np.ones((10, 10)), "ask": 0}},
        "action of student_1 lacks the key 'soft_targets'",
    ),
    "unknown key": (spoil("asks", 1), "action of student_1 has the unknown key 'asks'"),
    "no dict of agents": (lambda a: list(a.values()), "must be a dict by agent"),
    "no dict of keys": (lambda a: {**a, "student_1": 3}, "action of student_1 must be a dict by key"),
}


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("fault", BAD)
def test_bad_action(fault, validate):
    spoiled, message = BAD[fault]
    world = studyhall.make_world("classroom-v0", autoreset=False, validate=validate, **SMALL)
    env = WorldParallelEnv(world, "classroom")
    env.reset(seed=0)
    before = world.state_dict()["state"]
    with pytest.raises(ActionError, match=message) as caught:
        env.step(spoiled(good_actions(env)))
    one_line(caught)
    after = world.state_dict()["state"]
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    env.step(good_actions(env))  # and nothing is broken


@pytest.mark.parametrize(
    ("answers", "ask"),
    [
        (np.ones((10, 10)), True),
        (np.ones((10, 10), np.float32), np.int32(1)),
        (np.ones((10, 10), int), np.array(1, np.uint8)),
        ([[1] * 10] * 10, 1),
        (torch.ones(10, 10, requires_grad=True), torch.tensor(1)),
    ],
)
def test_array_likes_are_all_the_same(answers, ask):
    rewards = []
    for given in ({"answers": answers, "ask": ask}, {"answers": np.ones((10, 10), np.float32), "ask": 1}):
        env = studyhall.make_env("classroom-v0", label_price=0.1, **SMALL)
        env.reset(seed=0)
        actions = good_actions(env)
        actions["student_0"].update(given)
        rewards.append(env.step(actions)[1])
    assert rewards[0] == rewards[1]
    assert rewards[0]["student_0"] < rewards[0]["student_1"]  # the price of asking


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("answers", np.ones((2, 10, 10)), r"'answers' must have shape \(2, 2, 10, 10\)"),
        ("answers", np.full((2, 2, 10, 10), np.nan), r"'answers' of student_0 \(world 0\) is not finite"),
        ("ask", np.full((2, 2), 5), r"'ask' of student_0 \(world 0\) is outside"),
        ("asks", np.zeros((2, 2), int), "unknown key 'asks'"),
    ],
)
@pytest.mark.parametrize("validate", [True, False])
def test_bad_joint_action(key, value, message, validate):
    world = studyhall.make_world("classroom-v0", num_worlds=2, autoreset=False, validate=validate, **SMALL)
    env = WorldVectorEnv(world)
    env.reset(seed=0)
    with pytest.raises(ActionError, match=message) as caught:
        env.step({**sharp_answers(env, np.random.default_rng(0)), key: value})
    one_line(caught)
    assert world.clock.tolist() == [0, 0]


def test_missing_key_of_a_joint_action():
    env = studyhall.make_vec("classroom-v0", 2, **SMALL)
    env.reset(seed=0)
    actions = sharp_answers(env, np.random.default_rng(0))
    del actions["ask"]
    with pytest.raises(ActionError, match="joint action lacks the key 'ask'"):
        env.step(actions)


def test_steps_outside_an_episode():
    env = studyhall.make_env("classroom-v0", **SMALL)
    with pytest.raises(EpisodeEnded, match="call reset"):
        env.step(good_actions(env))
    with pytest.raises(EpisodeEnded, match=r"reset\(\)"):
        env.state()
    env.reset(seed=0)
    for _ in range(3):
        results = env.step(good_actions(env))
    assert all(results[3].values())
    assert env.agents == []
    for actions in (good_actions(env), {}):
        with pytest.raises(EpisodeEnded, match=r"is over: call reset\(\)") as caught:
            env.step(actions)
        one_line(caught)
    env.reset()
    assert env.agents == env.possible_agents
    for view in (studyhall.make_vec("classroom-v0", **SMALL), gymnasium.make(FULL, **SMALL).unwrapped):
        with pytest.raises(EpisodeEnded, match="call reset"):
            view.step(view.action_space.sample())


def test_unknown_agent():
    env = studyhall.make_env("classroom-v0", **SMALL)
    for space in (env.action_space, env.observation_space):
        with pytest.raises(ActionError, match="unknown agent 'teacher'"):
            space("teacher")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"agents": 0}, "agents must be a whole number of at least 1, got 0"),
        ({"teacher_budget": -1}, "teacher_budget .* got -1"),
        ({"horizon": 0}, "horizon .* got 0"),
        ({"render_mode": "rgb"}, "unknown render_mode 'rgb': use None or one of ansi, rgb_array, human"),
    ],
)
@pytest.mark.parametrize("make", [studyhall.make_env, studyhall.make_vec])
def test_bad_arguments(make, kwargs, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make("classroom-v0", **{**SMALL, **kwargs})
    one_line(caught)


def test_views_need_a_world_that_waits():
    with pytest.raises(ConfigError, match="autoreset=False"):
        WorldVectorEnv(studyhall.make_world("classroom-v0", **SMALL))
    with pytest.raises(ConfigError, match="num_worlds=1, got 2"):
        WorldParallelEnv(studyhall.make_world("classroom-v0", num_worlds=2, autoreset=False, **SMALL), "c")


# ---- what is handed out -----------------------------------------------------------------------------


def test_parallel_step():
    env = studyhall.make_env("classroom-v0", **SMALL)
    env.reset(seed=0)
    for t in range(1, 4):
        obs, rewards, terminated, truncated, infos = env.step(good_actions(env))
        assert all(type(reward) is float for reward in rewards.values())
        assert list(truncated.values()) == [t == 3, t == 3]
        assert list(terminated.values()) == [False, False]
        assert ("metrics" in infos["student_1"]) == (t == 3)
        assert type(infos["student_0"]["bytes"]) is float
        assert infos["student_0"]["bytes"] == 4 * 10 * 4  # one peer: 4 rows, 10 classes, 4 bytes
        assert obs["student_0"]["elapsed"] == np.float32(t / 3)
    assert infos["student_0"]["metrics"]["bytes"] == 3 * 160.0
    assert env.state().dtype == np.float32


def test_arrays_are_copies():
    env = studyhall.make_env("classroom-v0", **SMALL)
    obs, _ = env.reset(seed=0)
    obs["student_0"]["exam"][...] = 7
    assert not (obs["student_1"]["exam"] == 7).any()  # though both see the same exam
    assert not (env.world.observe(env.world._state)["exam"] == 7).any()
    expanded = to_arrays({"x": torch.zeros(1, 1).expand(3, 2)})["x"]
    expanded[0, 0] = 1
    assert expanded.sum() == 1


# ---- action spaces of one key ------------------------------------------------------------------------


class Doors(World):
    """Two agents choose one of three doors; the one that is shut changes at each step and is no use."""

    def __init__(self, **kwargs):
        super().__init__(num_agents=2, horizon=3, **kwargs)
        self.observation_space = spaces.Dict({"action_mask": spaces.Box(0, 1, (3,), np.int8)})
        self.action_space = spaces.Dict({"door": spaces.Discrete(3)})

    def start(self, draws, state):
        return {}

    def advance(self, state, actions, draws):
        shut = ((state["clock"] - 1) % 3)[:, None]
        return Outcome(state, torch.where(actions["door"] == shut, 0.0, actions["door"] + 1.0), {})

    def observe(self, state):
        shut = (state["clock"] % 3)[:, None, None].expand(self.num_worlds, 2, 1)
        return {"action_mask": (torch.arange(3) != shut).to(torch.int8)}

    def summary(self, state):
        return {}


def test_a_single_action_is_shown_and_taken_bare():
    env = WorldParallelEnv(Doors(num_worlds=1, autoreset=False), "doors")
    assert env.action_space("agent_0") == spaces.Discrete(3)
    seen, _ = env.reset(seed=0)
    assert seen["agent_1"]["action_mask"].tolist() == [0, 1, 1]
    drawn = {int(env.action_space("agent_1").sample(seen["agent_1"]["action_mask"])) for _ in range(30)}
    assert drawn == {1, 2}
    _, rewards, *_ = env.step({"agent_0": 0, "agent_1": np.int64(2)})  # a shut door is legal, and no use
    assert rewards == {"agent_0": 0.0, "agent_1": 3.0}
    for bad, message in (
        (3, "'door' of agent_1 .* outside 0…2"),
        ({"door": 1}, "'door' of agent_1 is a dict: give the bare value"),
        ([1], r"'door' of agent_1 must have shape \(\)"),
    ):
        with pytest.raises(ActionError, match=message) as caught:
            env.step({"agent_0": 0, "agent_1": bad})
        one_line(caught)


def test_a_single_action_of_all_is_one_array():
    one = WorldEnv(Doors(num_worlds=1, autoreset=False))
    assert one.action_space == spaces.MultiDiscrete([3, 3])
    seen, _ = one.reset(seed=0)
    assert one.action_space.sample(mask=tuple(seen["action_mask"])).min() > 0
    assert one.step([1, 2])[1] == 2.5
    many = WorldVectorEnv(Doors(num_worlds=4, autoreset=False))
    assert many.single_action_space == spaces.MultiDiscrete([3, 3])
    many.reset(seed=0)
    many.action_space.seed(0)
    assert many.action_space.sample().shape == (4, 2)
    _, reward, *_ = many.step(np.array([[0, 0], [0, 1], [1, 1], [2, 2]]))
    assert reward.tolist() == [0, 1, 2, 3]
    with pytest.raises(ActionError, match=r"'door' must have shape \(4, 2\), got \(2,\)"):
        many.step([1, 2])


def test_choices_of_all_stay_choices():
    talk = {"slice_size": 2, "rounds": 3, "vocabulary": 5, "length": 2, "choices": True, "agents": 3}
    one = gymnasium.make("studyhall/consensus-v0", **talk)
    assert one.action_space["message"] == spaces.MultiDiscrete(np.full((3, 2, 2), 5))
    assert one.action_space["answer"] == spaces.MultiDiscrete(np.full((3, 2), 10))
    assert spaces.flatten(one.action_space, one.action_space.sample()).shape == (3 * 2 * (2 * 5 + 10),)
    many = studyhall.make_vec("consensus-v0", 4, **talk)
    for env, lead in ((one, ()), (many, (4,))):
        env.reset(seed=0)
        actions = env.action_space.sample()
        assert actions["message"].shape == (*lead, 3, 2, 2)
        env.step(actions)
        with pytest.raises(ActionError, match=r"'message' of witness_0 .* outside 0…4"):
            env.step({**actions, "message": actions["message"] * 0 + 5})


# ---- flat views --------------------------------------------------------------------------------------


def test_flat_views_are_of_one_vector():
    """By the order of names; of the joint views, agent after agent."""
    small = {"agents": 3, "horizon": 4, "actions": "velocity", "dimensions": 2}
    by_name, flat = (
        studyhall.make_env("swarm-v0", **small),
        studyhall.make_env("swarm-v0", flat=True, **small),
    )
    parts = by_name.observation_space("particle_0").spaces
    size = sum(int(np.prod(part.shape)) for part in parts.values())
    assert flat.observation_space("particle_0").shape == (size,)
    assert flat.observation_space("particle_0").sizes == {
        k: int(np.prod(parts[k].shape)) for k in sorted(parts)
    }
    seen, named = flat.reset(seed=1)[0], by_name.reset(seed=1)[0]
    joined = {agent: np.concatenate([obs[k].ravel() for k in sorted(obs)]) for agent, obs in named.items()}
    for agent, expected in joined.items():
        assert seen[agent].dtype == np.float32
        np.testing.assert_array_equal(seen[agent], expected)
    np.testing.assert_array_equal(
        make_joint("swarm-v0", flat=True, **small).reset(seed=1)[0], np.concatenate(list(joined.values()))
    )
    vec = gymnasium.make_vec("studyhall/swarm-v0", num_envs=2, flat=True, **small)
    obs, _ = vec.reset(seed=1)
    assert obs.shape == (2, 3 * size)
    np.testing.assert_array_equal(obs[0], np.concatenate(list(joined.values())))
    assert vec.single_action_space == spaces.Box(-1, 1, (6,))
    flown = flat.step({agent: np.float32([0.5, -2]) for agent in flat.agents})  # beyond −1 is −1
    also = by_name.step({agent: np.float32([1, -2]) for agent in by_name.agents})
    assert flown[1] == also[1]
    env = studyhall.make_aec("swarm-v0", flat=True, **small)
    env.reset(seed=1)
    np.testing.assert_array_equal(env.observe("particle_1"), joined["particle_1"])
    with pytest.raises(ActionError, match=r"'velocity' of particle_0 \(world 0\) is not finite"):
        flat.step({agent: np.float32([np.nan, 0]) for agent in flat.agents})


def test_a_flat_world_is_flat_in_all_that_it_offers():
    world = FlatWorld(studyhall.make_world("swarm-v0", agents=3, autoreset=False))
    start = world.reset(seed=0)
    assert torch.equal(world.obs, start)
    twin = world.fork()
    action = {"action": torch.zeros(1, 3, *world.action_space["action"].shape)}
    assert torch.equal(twin.step(action).obs, twin.obs)
    assert torch.equal(world.obs, start)
    assert "FlatWorld" in repr(world)
    assert "SwarmWorld" in repr(world)
    with pytest.raises(AttributeError, match="ask its world"):
        _ = world.observe


def test_flat_choices_are_choices():
    """Several of them too, each of them one of a few."""
    parts = spaces.Dict({"turn": spaces.Discrete(5, start=1), "ask": spaces.Discrete(2)})
    flat = flat_space(parts)
    assert flat == spaces.MultiDiscrete([2, 5])
    assert {key: value.tolist() for key, value in flat.split(torch.tensor([[1, 4]])).items()} == {
        "ask": [1],
        "turn": [5],
    }


def test_flat_views_keep_the_mask_beside():
    hosted = {"learners": "mlp", "hidden": (4,), "agents": 3, "horizon": 2, "slice_size": 4, "exam_size": 10}
    env = studyhall.make_env("society-v0", flat=True, discrete_actions=True, **hosted)
    seen, _ = env.reset(seed=0)
    assert env.action_space("agent_0") == spaces.Discrete(4)
    assert seen["agent_0"].keys() == {"observation", "action_mask"}
    assert seen["agent_0"] in env.observation_space("agent_0")
    joint = make_joint("society-v0", flat=True, discrete_actions=True, **hosted)
    assert joint.action_space == spaces.MultiDiscrete([4, 4, 4])
    assert joint.reset(seed=0)[0]["action_mask"].shape == (12,)


def test_flat_actions_are_of_one_kind():
    space = studyhall.make_env("classroom-v0", flat=True, **SMALL).action_space("student_0")
    assert space == spaces.Box(-1, 1, (100 + 1 + 40,))
    numbers = studyhall.make_env("consensus-v0", flat=True, agents=2, data="vector", slice_size=1)
    assert not numbers.action_space("witness_0").is_bounded()  # numbers without bounds have none
    numbers.reset(seed=0)
    numbers.step({agent: numbers.action_space(agent).sample() for agent in numbers.agents})
    with pytest.raises(
        ConfigError, match=r"'answer' is Box.* does not go with choices .*: leave out choices=True"
    ) as caught:
        studyhall.make_env("halves-v0", flat=True, choices=True, vocabulary=4)
    one_line(caught)


# ---- drawing ----------------------------------------------------------------------------------------


def test_render_modes():
    text = studyhall.make_env("classroom-v0", render_mode="ansi", **SMALL)
    text.reset(seed=0)
    assert "student_1" in text.render()
    text.step(good_actions(text))
    assert "step 1/3" in text.render()
    picture = gymnasium.make(FULL, render_mode="rgb_array", **SMALL)
    picture.reset(seed=0)
    assert picture.render().dtype == np.uint8
    assert picture.render().shape[2] == 3
    many = studyhall.make_vec("classroom-v0", 2, render_mode="ansi", **SMALL)
    many.reset(seed=0)
    assert len(many.render()) == 2
    assert many.render()[0].startswith("step 0/3")


def test_render_without_a_mode():
    env = studyhall.make_env("classroom-v0", **SMALL)
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None
    assert studyhall.make_vec("classroom-v0", **SMALL).render() is None


# ---- light import -----------------------------------------------------------------------------------


def test_import_is_light():
    heavy = [
        "stable_baselines3",
        "torchvision",
        "datasets",
        "matplotlib",
        "pygame",
        "sklearn",
        "pandas",
        "ray",
    ]
    code = f"import sys, studyhall; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
