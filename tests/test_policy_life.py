"""The life of a policy: bound, reset, saved; whoever asks too early, or loads what is not its own, reads one line."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from studyhall import make_aec, make_env, make_sb3, make_vec, make_world
from studyhall import registry as world_registry
from studyhall.envs import ConfigError
from studyhall.envs.errors import StudyhallError
from studyhall.policies import MadeInReset, Policy, Students, make_policy, registry
from studyhall.policies.collective.specialists import Specialists
from studyhall.policies.files import trained
from studyhall.policies.listening.learned import ScorerPolicy
from studyhall.testing.tools import leaves, same

SMALL = {"slice_size": 4, "exam_size": 10, "horizon": 6}
TALKS = {"slice_size": 3, "rounds": 3}
TEXTS = {name: [f"{name} {i} " * 30 for i in range(30)] for name in ("one", "other")}
LANGUAGE = {"corpora": TEXTS, "vocabulary": 260, "width": 8, "length": 8, "slice_size": 4, "exam_size": 10}
WORLDS = [
    ("classroom-v0", SMALL),
    ("society-v0", {**SMALL, "learners": "mlp", "hidden": (4,)}),
    ("society-v0", SMALL),
    ("society-v0", {**SMALL, "public_labels": 0.5}),
    ("halves-v0", TALKS),
    ("consensus-v0", TALKS),
    ("referential-v0", TALKS),
    ("collective-v0", SMALL),
    ("collective-v0", {**SMALL, "learners": "mlp", "hidden": (4,)}),
    ("allocation-v0", SMALL),
    ("swarm-v0", {"horizon": 6}),
    ("modular-v0", {**LANGUAGE, "horizon": 6}),
    ("hierarchy-v0", {**LANGUAGE, "horizon": 6}),
]
NAMES = sorted({*registry, *trained()})


def bound(name: str, **made):
    """A fresh policy in the first of the worlds that it takes."""
    for id, kwargs in WORLDS:
        policy = make_policy(name)
        try:
            world = make_world(id, **{**kwargs, **policy.world_kwargs, **made})
            policy.bind(world)
        except StudyhallError:
            continue
        return policy, world
    raise AssertionError(f"no world for {name}")


def refusal(call, *arguments) -> str:
    """What a call is refused with; empty where it is taken."""
    try:
        call(*arguments)
    except ConfigError as fault:
        return str(fault)
    return ""


@pytest.mark.parametrize("name", NAMES)
def test_who_acts_too_early_or_loads_something_else_reads_one_line(name):
    policy, world = bound(name)
    obs = world.reset(seed=0)
    unbound = make_policy(name)
    says = "knows no world yet: call bind(world), world.reset() and reset() first"
    assert says in refusal(lambda: unbound.world)
    assert name == "ink" or says in refusal(unbound.act, obs)  # which needs no world
    every = torch.ones(1, dtype=torch.bool)
    for asked, line in ((unbound, says), (policy, "has not begun: call reset() after world.reset()")):
        calls = [(asked.act, obs), (asked.end, obs, every), (asked.reset, every)]
        calls += [(asked.state_dict,), (asked.title,), (asked.sound,)]
        if isinstance(asked, (Students, Specialists, ScorerPolicy)):
            calls.append((asked.predict, torch.zeros(3, 1, 8, 8)))
        for call, *arguments in calls:  # some make nothing in a reset, and need none
            assert refusal(call, *arguments).partition(" ")[2] in ("", line)
    policy.reset()
    world.step(policy.act(obs))

    before = policy.state_dict()
    foreign = [3, {"x": torch.ones(1)}, {**before, "x": torch.ones(1)}]
    if before:
        first = next(iter(before))
        foreign += [{}, {**before, first: "x"}, {k: v for k, v in before.items() if k != first}]
    for state in foreign:
        said = refusal(policy.load_state_dict, state)
        assert said.startswith("the saved state is not of this")
        assert "\n" not in said
        kept = dict(leaves(policy.state_dict()))
        assert all(same(kept[key], value) for key, value in leaves(before))
    policy.load_state_dict(before)


@pytest.fixture(scope="module")
def no_engines():
    """Every view, and what is neither engine nor view."""
    views = [make("classroom-v0", **SMALL) for make in (make_env, make_vec, make_aec)]
    views.append(make_sb3("swarm-v0", actions="coefficients"))
    return [*views, gymnasium.wrappers.vector.RecordEpisodeStatistics(views[1]), "classroom-v0", None]


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_is_bound_to_the_engine_not_to_a_view(name, no_engines):
    for view in no_engines:
        said = refusal(make_policy(name).bind, view)
        assert said.startswith("a policy acts in the engine, got a ")
        assert "bind make_world(...), or view.world of a view" in said
        assert "\n" not in said


@pytest.mark.parametrize(("id", "kwargs"), WORLDS, ids=str)
def test_a_world_takes_states_of_its_own_kind_only(id, kwargs):
    world, other = make_world(id, **kwargs), make_world(id, num_worlds=2, **kwargs)
    with pytest.raises(ConfigError, match="the saved state is not of this world"):
        world.load_state_dict({})
    with pytest.raises(StudyhallError, match="the world has not begun"):
        _ = world.obs  # it was never reset
    if world.hosts_learners:
        with pytest.raises(StudyhallError, match="the world has not begun"):
            world.sound()
    world.reset(seed=3)
    before = world.state_dict()
    other.reset(seed=3)
    foreign = [{}, 3, {"state": {}}, other.state_dict(), {**before, "clock": 3}, {**before, "horizon": 99}]
    foreign += [{**before, "domain": None} | {"x": 1}, {**before, "state": {**before["state"], "key": "x"}}]
    foreign += [{key: value for key, value in before.items() if key != gone} for gone in before]
    for state in foreign:
        with pytest.raises(
            ConfigError, match=r"the saved (state is not of this|world has a horizon)"
        ) as caught:
            world.load_state_dict(state)
        assert "\n" not in str(caught.value)
        kept = dict(leaves(world.state_dict()))
        assert all(same(kept[key], value) for key, value in leaves(before))
    world.load_state_dict(before)


def test_views_take_states_of_their_own_kind_only():
    view = make_sb3("society-v0", 2, learners="mlp", hidden=(4,), discrete_actions=True, **SMALL)
    view.seed(3)
    view.reset()
    turns = np.zeros(view.num_envs, dtype=np.int64)
    view.step(turns)
    saved = view.state_dict()
    gone_on = [view.step(turns) for _ in range(3)]
    view.load_state_dict(saved)
    for (obs, rewards, dones, _), expected in zip((view.step(turns) for _ in range(3)), gone_on, strict=True):
        assert same(rewards, expected[1])
        assert same(dones, expected[2])
        assert all(same(obs[key], value) for key, value in expected[0].items())
    for state in ({}, 3, {"world": {}}, {"world": 3}):
        with pytest.raises(ConfigError, match="the saved state is not of this"):
            view.load_state_dict(state)


def test_a_policy_of_ones_own_gets_the_same_lines():
    class Own(Policy):
        memory = MadeInReset[torch.Tensor]()

        def reset(self, mask=None):
            self.memory = torch.zeros(self.world.num_worlds)

        def act(self, obs):
            return {"soft_targets": self.memory}

    policy = Own()
    with pytest.raises(ConfigError, match="Own knows no world yet"):
        policy.act({})
    policy.bind(make_world("classroom-v0", **SMALL))
    with pytest.raises(ConfigError, match="Own has not begun"):
        policy.act({})
    policy.reset()
    assert policy.act({})["soft_targets"].tolist() == [0.0]
    policy.bind(make_world("classroom-v0", **SMALL))
    with pytest.raises(ConfigError, match="Own has not begun"):  # not in this world
        policy.act({})


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        *(
            (name, {"width": 2 * 10**9})
            for name in ("minicomo", "feedforward", "referential", "consensus_network")
        ),
        ("minicomo", {"layers": 2 * 10**9}),
        ("minicomo", {"tokens": 2 * 10**9}),
        ("minicomo", {"hidden": 2 * 10**9}),
        ("two_phase", {"window": 2 * 10**9}),
        *((name, {"hidden": [2 * 10**9]}) for name in ("mutual", "ensemble", "moe", "voting")),
        ("relevance_router", {"hidden": 2 * 10**9}),
    ],
    ids=str,
)
def test_networks_out_of_all_proportion_are_refused_in_one_line(name, kwargs):
    said = ""
    for id, made in WORLDS:
        policy = make_policy(name, **kwargs)
        if not set(policy.world_kwargs) <= set(world_registry[id].arguments()):
            continue
        world = make_world(id, **{**made, **policy.world_kwargs})
        world.reset(seed=0)
        said = refusal(lambda world=world, policy=policy: (policy.bind(world), policy.reset()))
        if ": lower " in said or "layers must be" in said:
            break
    else:
        raise AssertionError(said)
    assert "\n" not in said


# ---- the random policy ------------------------------------------------------------------------------

FORMS = [
    *WORLDS,
    ("society-v0", {**SMALL, "learners": "mlp", "hidden": (4,), "actions": "discrete", "drop": 0.5}),
    ("consensus-v0", {**TALKS, "vocabulary": 5, "choices": True}),
    ("consensus-v0", {**TALKS, "data": "vector", "bound": 3.0}),
    ("referential-v0", {**TALKS, "choices": True}),
    ("swarm-v0", {"horizon": 6, "actions": "coefficients", "refiners": 1}),
]


@pytest.mark.parametrize(("id", "kwargs"), FORMS, ids=str)
def test_the_random_policy_draws_from_the_space(id, kwargs):
    batch, alone = (make_world(id, num_worlds=w, validate=True, **kwargs) for w in (2, 1))
    course = []
    for world, seed in ((batch, 4), (alone, 5)):
        policy = make_policy("random")
        policy.bind(world)
        obs = world.reset(seed=seed)
        policy.reset()
        seen = []
        for _ in range(3):
            actions = policy.act(obs)
            for key, space in world.action_space.spaces.items():
                assert space.contains(actions[key][-1, -1].numpy().astype(space.dtype))
                if key == "choice":
                    assert obs["action_mask"].gather(-1, actions[key][..., None]).all()
            obs = world.step(actions).obs
            seen.append({key: value[-1] for key, value in actions.items()})
        course.append(seen)
    for one, other in zip(*course, strict=True):  # a world in a batch draws as it does alone
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_random_policy_refuses_what_it_cannot_draw():
    world = make_world("swarm-v0")
    world.action_space = spaces.Dict({"velocity": spaces.Box(0, float("inf"), (2,))})
    with pytest.raises(ConfigError, match="a Box with bounds for all its numbers or for none"):
        make_policy("random").bind(world)


def test_the_random_policy_covers_its_space():
    world = make_world("swarm-v0", agents=50, dimensions=20, refiners=2)
    policy = make_policy("random")
    policy.bind(world)
    actions = policy.act(world.reset(seed=0))
    flight = actions["velocity"]
    assert abs(flight.mean()) < 0.15
    assert flight.min() < -1.9
    assert flight.max() > 1.9
    assert 10 < actions["refine"].sum() < 40
