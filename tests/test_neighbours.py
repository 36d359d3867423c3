"""Channels as sparse as their graphs: what crosses is kept by neighbour, and moves as it did between all pairs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from studyhall import make_world
from studyhall.envs import ConfigError, rng

AGENTS, WORLDS, STEPS = 6, 2, 7
GRAPHS = {
    "complete": {},
    "ring": {"topology": "ring"},
    "star": {"topology": "star"},
    "k_regular": {"topology": "k_regular", "degree": 4},
    "small_world": {"topology": "small_world", "degree": 2, "rewire": 0.5},
    "random": {"topology": "random", "edge_probability": 0.4},
    "matrix": {"topology": [[(i * j + i + 2 * j) % 3 == 1 for j in range(AGENTS)] for i in range(AGENTS)]},
}
KINDS = ("sharp", "roll", "noise", "modest", "sleeper", "collude", "fickle", "bold")
FAULTS = {"drop": 0.3, "churn": 0.2, "rejoin": 0.4, "delay": 1, "bits": 6, "liars": 2, "byte_price": 0.01}
FAULTS["liar_kinds"] = KINDS
COURSES = {
    "brought": ("classroom-v0", {"teacher_budget": 4, "mode": ["open", "shuffled"], "cap": 500}),
    "hosted": ("society-v0", {"learners": "mlp", "hidden": (8,), "energies": True, "actions": "gated"}),
}


def course(name, graph):
    """Two worlds whose agents do the same whatever they are told, and weigh each other by who they are."""
    env, arguments = COURSES[name]
    sizes = {"slice_size": 4, "exam_size": 10, "horizon": STEPS, "wake": 2, "autoreset": False}
    world = make_world(env, num_worlds=WORLDS, agents=AGENTS, **sizes, **FAULTS, **GRAPHS[graph], **arguments)
    world.reset(seed=3)
    generator = np.random.default_rng(0)
    for _ in range(STEPS):
        actions = {}
        for key, space in world.action_space.spaces.items():
            shape = (WORLDS, AGENTS, *(space.shape or ()))
            drawn = generator.random((WORLDS, AGENTS, AGENTS) if key == "listen" else shape, dtype=np.float32)
            actions[key] = torch.from_numpy(drawn)
            if key == "ask":
                actions[key] = (actions[key] < 0.5).long()
            elif key == "listen":
                actions[key] = actions[key].gather(2, world.neighbours().index.expand(WORLDS, AGENTS, -1))
        world.step(actions)
    found = world.metrics()
    return {key: found[key] for key in ("return", "score", "bytes")}


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("name", COURSES)
def test_worlds_move_as_they_did_when_everything_was_kept_for_all_pairs(name, graph):
    """Recorded before edges were kept by neighbour, with faults of every kind."""
    recorded = json.loads((Path(__file__).parent / "recorded" / "neighbours.json").read_text())[name][graph]
    for key, value in course(name, graph).items():
        torch.testing.assert_close(value, torch.tensor(recorded[key]), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("graph", [{"topology": "ring"}, {"topology": "k_regular", "degree": 4}])
@pytest.mark.parametrize(
    ("env", "arguments"),
    [
        ("classroom-v0", {}),
        ("society-v0", {"energies": True, "parcels": True}),
        ("society-v0", {"learners": "mlp", "hidden": (4,), "energies": True, "actions": "targets"}),
        ("collective-v0", {}),
        ("consensus-v0", {"slice_size": 4}),
    ],
)
def test_nothing_that_is_seen_or_done_grows_with_the_number_of_agents(env, arguments, graph):
    few, many = (make_world(env, agents=n, **graph, **arguments) for n in (6, 23))
    assert few.observation_space == many.observation_space
    assert few.action_space == many.action_space


def test_neighbours_on_a_drawn_graph_are_each_others_and_come_counted_on_from_oneself():
    world = make_world("classroom-v0", num_worlds=20, agents=9, topology="k_regular", degree=4)
    graphs = []
    for _ in range(2):
        world.reset(seed=1) if not graphs else world.reset()
        index = world.neighbours().index
        onward = (index - torch.arange(9)[:, None]) % 9
        assert (onward.diff(dim=-1) > 0).all()
        assert (onward > 0).all()
        edges = torch.zeros(20, 9, 9, dtype=torch.bool).scatter_(2, index, True)
        assert torch.equal(edges, edges.mT)
        graphs.append(edges)
    assert len(graphs[0].unique(dim=0)) > 15  # a graph for each world
    assert not torch.equal(*graphs)  # and each episode


def test_a_slot_without_a_neighbour_shows_nothing():
    """Agent 0 hears two, the others one."""
    matrix = [[0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    world = make_world("classroom-v0", agents=4, topology=matrix, slice_size=2, exam_size=10, card_every=1)
    world.reset(seed=0)
    labels = world.dataset.labels("exam", world._state["exam"])
    step = world.step(
        {
            "soft_targets": torch.ones(1, 4, 2, 10),
            "answers": torch.nn.functional.one_hot(labels, 10).float()[:, None].expand(1, 4, 10, 10),
            "ask": torch.ones(1, 4, dtype=torch.int64),
        }
    )
    known = [[1, 1, 1], [1, 0, 1], [1, 0, 1], [1, 1, 0]]  # free slots go to the next agents on
    assert step.obs["present"][0].tolist() == known
    assert (step.obs["report"][0, :, :-1] == 1).int().tolist() == known
    assert step.obs["fb_targets"][0].any(-1).any(-1).int().tolist() == known
    assert step.info["bytes"][0].tolist() == [3 * 80, 80, 80, 0]


def test_thousands_of_agents_fit_on_a_sparse_graph():
    world = make_world("classroom-v0", agents=10_000, topology="ring", learners="mlp", hidden=(4,))
    assert world.observation_space["sources"].shape[0] == 2
    with pytest.raises(ConfigError, match=r"agents 10,000 × .*: lower agents or slice_size$"):
        make_world("classroom-v0", agents=10_000)


def test_numbers_of_some_places_are_those_of_the_whole_draw():
    drawn = rng.Draws({"few": (3, 5), "many": (200, 100)})(rng.world_key(torch.arange(4), "train"))
    for draw, shape in ((drawn["few"], (3, 5)), (drawn["many"], (200, 100))):
        for worlds in (1, 4):
            index = torch.randint(shape[0] * shape[1], (worlds, 7, 2))
            some = draw.at(index)
            places = index.flatten(1).expand(4, -1)
            for form in ("uniform", "bits"):
                whole = getattr(draw, form)().flatten(1)
                assert torch.equal(getattr(some, form)().flatten(1), whole.gather(1, places))
            assert torch.equal(some.below(0.3).flatten(1), draw.below(0.3).flatten(1).gather(1, places))
