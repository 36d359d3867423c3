"""What a world changes in place, and what the engine does with it."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from studyhall import make_world
from studyhall.envs import ConfigError, EpisodeEnded, Outcome, Part, World
from studyhall.testing import check_world


class Counters(Part):
    """A number for each agent, which goes on for as long as the episode does."""

    refuses = False

    def reset(self, keys, moving):
        if not hasattr(self, "numbers"):
            self.numbers = torch.zeros(len(keys), 2)
        self.numbers[moving] = 0.0

    def at(self, worlds):
        twin = type(self)()
        twin.numbers = self.numbers[worlds]
        return twin

    def finite(self):
        return self.numbers.isfinite()

    def state_dict(self):
        return {"numbers": self.numbers.clone()}

    def load_state_dict(self, saved):
        if self.refuses:
            raise ConfigError("no")
        self.numbers.copy_(saved["numbers"])


class Counting(World):
    """Agents add to two counters; the sum is what they see."""

    begun = ()

    def __init__(self, *, agents=2, horizon=5, **batch):
        super().__init__(num_agents=agents, horizon=horizon, **batch)
        self.action_space = spaces.Dict({"add": spaces.Box(0, 1, (1,), np.float32)})
        self.observation_space = spaces.Dict({"sum": spaces.Box(-np.inf, np.inf, (1,), np.float32)})
        self.ones, self.twos = Counters(), Counters()
        self.begun = []

    def start(self, draws, state):
        self.begun.append(self.num_worlds)  # the list is one for all
        return {"sum": self.ones.numbers + self.twos.numbers}

    def advance(self, state, actions, draws):
        add = torch.nan_to_num(actions["add"][..., 0], 0.0, 0.0, 0.0) * self.moving[:, None]
        self.ones.numbers += add
        self.twos.numbers += 2 * add
        total = self.ones.numbers + self.twos.numbers
        return Outcome({**state, "sum": total, "sound": total.isfinite()}, add, {})

    def observe(self, state):
        return {"sum": state["sum"][..., None]}

    def summary(self, state):
        return {"total": state["sum"]}


def begun(**kwargs):
    world = Counting(num_worlds=3, **kwargs)
    world.reset(seed=0)
    return world


def step(world, mask=None, by=1.0):
    return world.step(torch.full((world.num_worlds, 2, 1), by), mask=mask)


def test_a_world_with_parts_keeps_the_contract():
    check_world(Counting)
    check_world(Counting, horizon=1)


def test_parts_are_what_is_assigned_to_attributes():
    world = begun()
    assert list(world.parts) == ["ones", "twos"]
    assert world.hosts_learners
    assert set(world.state_dict()) >= {"ones", "twos"}


def test_a_step_moves_parts_where_its_mask_says():
    world = begun()
    step(world, torch.tensor([True, False, True]))
    assert world.moving.tolist() == [True, False, True]
    assert world.ones.numbers[:, 0].tolist() == [1, 0, 1]


def test_the_mask_of_the_worlds_that_move_is_made_where_it_changes():
    world = begun(horizon=9)
    everyone = world.moving
    some = torch.tensor([True, False, True])
    step(world, some)
    made = world.moving
    step(world, some)
    assert world.moving is made
    step(world)
    assert world.moving is everyone


def test_an_episode_that_begins_in_some_worlds_costs_those_worlds():
    world = begun(autoreset=True)
    step(world, torch.tensor([True, True, False]))
    for _ in range(4):
        ended = step(world)
    assert ended.truncated.tolist() == [True, True, False]
    assert world.begun == [3, 2]
    assert world.ones.numbers[:, 0].tolist() == [0, 0, 4]
    assert ended.obs["sum"][:, 0, 0].tolist() == [0, 0, 12]
    assert ended.final_obs["sum"][:, 0, 0].tolist() == [15, 15, 12]


def test_a_fork_has_parts_of_its_own():
    world = begun()
    twin = world.fork()
    step(twin)
    assert world.ones.numbers.sum() == 0
    assert twin.parts["ones"] is twin.ones
    assert twin.ones is not world.ones


def test_a_state_goes_on_with_its_parts():
    world = begun()
    step(world)
    saved = world.state_dict()
    expected = step(world).obs["sum"]
    other = Counting(num_worlds=3)
    other.load_state_dict(saved)
    assert torch.equal(step(other).obs["sum"], expected)


def test_a_part_that_refuses_leaves_all_as_they_were():
    world = begun()
    step(world)
    saved = world.state_dict()
    step(world)
    before = world.state_dict()
    world.twos.refuses = True
    with pytest.raises(ConfigError, match="no"):
        world.load_state_dict(saved)
    after = world.state_dict()
    for part in ("ones", "twos", "state"):
        assert all(torch.equal(before[part][k], after[part][k]) for k in before[part])


def test_a_part_that_is_no_longer_finite_ends_its_world():
    world = begun()
    world.twos.numbers[1, 0] = torch.inf
    assert world.sound().tolist() == [[True, True], [False, True], [True, True]]
    assert step(world).terminated.tolist() == [False, True, False]


def test_a_part_may_say_whether_it_is_finite_world_by_world():
    world = begun()
    world.ones.finite = lambda: torch.tensor([True, False, True])
    assert world.sound().tolist() == [[True, True], [False, False], [True, True]]


class Silent(Counting):
    """Says nothing of whether its parts are finite."""

    def advance(self, state, actions, draws):
        outcome = super().advance(state, actions, draws)
        return outcome._replace(state={k: v for k, v in outcome.state.items() if k != "sound"})


def test_a_world_that_says_nothing_of_its_parts_is_looked_at_every_ten_steps():
    world = Silent(num_worlds=3, horizon=30)
    world.reset(seed=0)
    world.twos.numbers[1, 0] = torch.nan
    ended = [step(world).terminated.tolist() for _ in range(10)]
    assert ended == [[False] * 3] * 9 + [[False, True, False]]


def test_before_the_first_reset_there_is_nothing_to_save():
    for what in (Counting().state_dict, Counting().fork):
        with pytest.raises(EpisodeEnded, match=r"call reset\(\) first"):
            what()


@pytest.mark.parametrize("learners", ["mlp", ["mlp", "cnn", "mlp"]])
def test_learners_of_some_worlds_answer_as_among_all(learners):
    world = make_world("classroom-v0", num_worlds=4, agents=3, horizon=5, learners=learners, hidden=(8,))
    world.reset(seed=0)
    chosen = torch.tensor([2, 0])
    x = world.dataset.inputs("exam", torch.arange(6)).flatten(1)
    alone = world.host.at(chosen).logits(x)
    assert torch.allclose(alone, world.host.logits(x)[chosen], atol=1e-6)
