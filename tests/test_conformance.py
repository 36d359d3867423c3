"""Every registered world keeps the contract, in every configuration that changes how it moves."""

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces

import studyhall
from studyhall import make_world, registry
from studyhall.envs import Outcome, UnknownName, World
from studyhall.envs.channel import LIAR_KINDS
from studyhall.testing import check_engine, check_exam_blind, check_world

CLASSROOM = {"agents": 3, "slice_size": 6, "exam_size": 10, "horizon": 5}

FEW = (np.random.default_rng(0).normal(size=(200, 3)), np.arange(200) % 4)
"""Data that are used up in a few slices."""

CONFIGURATIONS = {
    "losses-and-churn": {
        "topology": "random",
        "drop": 0.3,
        "noise": 0.1,
        "bits": 4,
        "churn": 0.3,
        "rejoin": 0.5,
    },
    "delay-prices-and-own-slices": {
        "topology": "ring",
        "delay": 2,
        "byte_price": 0.1,
        "label_price": 0.01,
        "cooperation": 0.5,
        "share": "own",
        "teacher_budget": 20,
        "teacher_unit": "labels",
    },
    "liars-among-topical-experts": {
        "liars": 2,
        "liar_kinds": LIAR_KINDS,
        "wake": 2,
        "topology": "small_world",
        "order": "topical",
        "topic_steps": 2,
        "share": "class_experts",
    },
    "shuffled-capped-class-incremental-dirichlet": {
        "mode": "shuffled",
        "cap": 300.0,
        "order": "class_incremental",
        "share": "dirichlet",
    },
    "mute-passes": {"mode": "mute", "order": "passes", "data": FEW, "slice_size": 40},
    "isolated-single-pass": {
        "mode": "isolated",
        "teacher_budget": 4,
        "order": "single_pass",
        "data": FEW,
        "slice_size": 40,
    },
}


TEXTS = {name: [f"{name} {i} " * 30 for i in range(30)] for name in ("one", "other")}
QUICK = {"agents": 3, "slice_size": 4, "exam_size": 10}
OF_TEXTS = {"corpora": TEXTS, "tokeniser": "bytes", "layers": 1, "width": 8, "feedforward": 8, "length": 6}


def quick(id, **kwargs):
    """Arguments of a small world of this kind, of those that it takes."""
    taken = registry[id].arguments()
    known = QUICK | {"exam_size": 2} | OF_TEXTS if "corpora" in taken else QUICK
    return {name: size for name, size in known.items() if taken.get(name) is not None} | kwargs


def slow(values, *names):
    """Those that take long are for the slow suite."""
    return [pytest.param(value, marks=pytest.mark.slow) if value in names else value for value in values]


LARGE = ("allocation-v0", "collective-v0", "consensus-v0", "hierarchy-v0", "modular-v0", "society-v0")
"""Worlds whose views take seconds to check, and which have a sibling or a form of observations and actions that others
have too. The fast suite checks their engines."""


@pytest.mark.parametrize("id", slow(sorted(registry), *LARGE))
def test_registered_world(id):
    check_world(id, **quick(id))


@pytest.mark.parametrize("id", slow(LARGE, "hierarchy-v0"))
def test_engine_of_a_large_world(id):
    steps = {} if "rounds" in registry[id].arguments() else {"horizon": 4}
    check_engine(id, **quick(id, **steps))


def short(id, length):
    """Arguments of a world whose episodes are so short; of one step, it hosts its learners where it can."""
    length_of = "rounds" if "rounds" in registry[id].arguments() else "horizon"
    learners = {"learners": "mlp", "hidden": (4,)} if length == 1 and registry[id].hosted else {}
    agents = {"agents": 2} if "agents" in registry[id].arguments() else {}
    return quick(id, **learners) | agents | {length_of: length}


NOT_VIEWED = sorted({*LARGE, "classroom-v0", "referential-v0"})
"""Worlds of whose episodes of one step the fast suite checks the engines alone."""


@pytest.mark.parametrize("id", slow(NOT_VIEWED, "hierarchy-v0", "modular-v0"))
def test_engine_of_episodes_of_one_step(id):
    check_engine(id, **short(id, 1))


@pytest.mark.parametrize("id", slow(sorted(registry), *LARGE))
def test_registered_world_of_episodes_of_two_steps(id):
    check_engine(id, **short(id, 2))


@pytest.mark.parametrize("id", slow(sorted(registry), *NOT_VIEWED))
def test_registered_world_of_episodes_of_one_step(id):
    check_world(id, **short(id, 1))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_classroom_configuration(name):
    """They change how the world moves, and nothing of its views."""
    kwargs = {**CLASSROOM, **CONFIGURATIONS[name]}
    check_engine("classroom-v0", **kwargs)


def test_world_that_hosts_its_learners():
    """With the optimiser that it has by default; every form of its actions, and its views, are in test_hosted.py."""
    churn = {"agents": 3, "churn": 0.3, "rejoin": 0.5}
    check_engine("classroom-v0", learners="mlp", hidden=(8,), slice_size=6, exam_size=10, horizon=4, **churn)


def test_single_pass_terminates():
    world = make_world("classroom-v0", **{**CLASSROOM, **CONFIGURATIONS["isolated-single-pass"]})
    assert world.schedule.slices_per_pass < world.horizon  # else the configuration above says nothing new


def test_controls_are_the_same_worlds_under_another_mode():
    """Worlds of one batch with different modes equal batches in which all have that mode."""
    modes = ["open", "mute", "shuffled", "isolated"]
    mixed = make_world("classroom-v0", num_worlds=4, mode=modes, **CLASSROOM)
    mixed.reset(seed=[3, 3, 3, 3])
    alone = [make_world("classroom-v0", mode=mode, **CLASSROOM) for mode in modes]
    for world in alone:
        world.reset(seed=3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        actions = {
            "soft_targets": torch.rand(4, 3, 6, 10, generator=generator),
            "answers": torch.rand(4, 3, 10, 10, generator=generator),
            "ask": torch.randint(2, (4, 3), generator=generator),
        }
        step = mixed.step(actions)
        for w, world in enumerate(alone):
            own = world.step({key: value[w : w + 1] for key, value in actions.items()})
            assert torch.equal(own.reward[0], step.reward[w])
            for key, value in own.obs.items():
                assert torch.equal(value[0], step.obs[key][w]), (modes[w], key)


# ---- exam-blind policies ----------------------------------------------------------------------------


class Blind:
    """Publishes what the slice's mean says, and answers from the exam."""

    def bind(self, world):
        self.world = world

    def reset(self, mask=None):
        self.memory = torch.zeros(self.world.num_worlds)
        self.answers_cache = torch.zeros(1)

    def end(self, final_obs, mask):
        self.memory = self.memory + final_obs["slice"].mean() * mask

    def act(self, obs):
        w, n, rows = obs["slice"].shape[:3]
        self.memory = self.memory + obs["slice"].flatten(1).mean(1)
        self.answers_cache = obs["exam"].mean()
        answers = obs["exam"].flatten(3).mean(3, keepdim=True).sigmoid().expand(*obs["exam"].shape[:3], 10)
        return {
            "soft_targets": self.memory.sigmoid().view(-1, 1, 1, 1).expand(w, n, rows, 10).clone(),
            "answers": answers,
            "ask": torch.ones(w, n, dtype=torch.long),
        }

    def state_dict(self):
        return {"memory": self.memory, "answers_cache": self.answers_cache}


class LeaksIntoTargets(Blind):
    def act(self, obs):
        actions = super().act(obs)
        return {**actions, "soft_targets": actions["soft_targets"] + 1e-6 * obs["exam"].square().mean()}


class LeaksIntoAsk(Blind):
    def act(self, obs):
        return {**super().act(obs), "ask": (obs["exam"].flatten(2).mean(2) > 0).long()}


class LeaksIntoMemory(Blind):
    def act(self, obs):
        actions = super().act(obs)
        self.memory = self.memory + obs["exam"].flatten(1).mean(1)
        # What is published stays blind in this step: only the memory knows.
        return actions


class LeaksAtTheEnd(Blind):
    def state_dict(self):
        return {**super().state_dict(), "last": self.last}

    def bind(self, world):
        super().bind(world)
        self.last = torch.zeros(())

    def end(self, final_obs, mask):
        self.last = final_obs["exam"].sum()


class Undecided(Blind):
    """Each of its kind asks differently."""

    made = itertools.count()

    def bind(self, world):
        super().bind(world)
        self.parity = next(self.made) % 2

    def act(self, obs):
        return {**super().act(obs), "ask": torch.full(obs["slice"].shape[:2], self.parity)}


def test_blind_policy_passes():
    check_exam_blind(Blind, steps=6, **{**CLASSROOM, "horizon": 4})


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (LeaksIntoTargets, "action 'soft_targets'"),
        (LeaksIntoAsk, "action 'ask'"),
        (LeaksIntoMemory, "state 'memory'"),
        (LeaksAtTheEnd, "state 'last' at step 4"),
        (Undecided, "not deterministic.*action 'ask'"),
    ],
)
def test_leaks_are_found(policy, message):
    with pytest.raises(AssertionError, match=message) as caught:
        check_exam_blind(policy, steps=6, **{**CLASSROOM, "horizon": 4})
    assert "\n" not in str(caught.value)


class Plain(World):
    """A world written by the book: its own arguments, the rest handed on; no draws, whole metrics, no picture."""

    def __init__(self, *, agents=2, horizon=6, **kwargs):
        super().__init__(num_agents=agents, horizon=horizon, **kwargs)
        self.observation_space = spaces.Dict({"elapsed": spaces.Box(0, 1, (1,), np.float32)})
        self.action_space = spaces.Dict({"guess": spaces.Discrete(2)})

    def start(self, draws, state):
        return {"right": torch.zeros(self.num_worlds, self.num_agents, dtype=torch.int64)}

    def advance(self, state, actions, draws):
        right = actions["guess"] == (state["clock"] % 2)[:, None]
        return Outcome({**state, "right": state["right"] + right}, right.float(), {})

    def observe(self, state):
        time = (state["clock"] / self.horizon).float()
        return {"elapsed": time[:, None, None].expand(self.num_worlds, self.num_agents, 1)}

    def summary(self, state):
        return {"right": state["right"]}


def test_a_world_written_by_the_book_passes_and_registers(monkeypatch):
    check_world(Plain)
    monkeypatch.setitem(sys.modules, "plain_world", SimpleNamespace(Plain=Plain))
    spec = studyhall.EnvSpec("plain-v0", "plain_world:Plain", "guess the parity")
    assert {"agents", "horizon", "num_worlds", "device", "autoreset", "validate"} <= set(spec.arguments())
    studyhall.register(spec)
    try:
        env = studyhall.make_env("plain-v0", agents=3)
        env.reset(seed=0)
        assert env.num_agents == 3
        with pytest.raises(UnknownName, match="agents"):
            studyhall.make_env("plain-v0", agnets=3)
    finally:
        del studyhall.registry["plain-v0"]
