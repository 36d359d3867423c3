"""The checks of policies find what they are there to find: small policies with one fault each."""

import itertools

import pytest
import torch

from studyhall.envs.engine.rng import draw, fold
from studyhall.envs.errors import ConfigError
from studyhall.policies import MadeInReset, Policy
from studyhall.testing import check_policy, policies

WORLD = {"id_or_factory": "swarm-v0", "agents": 2, "dimensions": 2, "horizon": 4}


class Sound(Policy):
    """Flies by luck, and faster from step to step."""

    memory = MadeInReset[torch.Tensor]()

    def reset(self, mask=None):
        fresh = torch.zeros(self.world.num_worlds, 1, 1)
        self.memory = fresh if mask is None else torch.where(mask[:, None, None], fresh, self.memory)

    def act(self, obs):
        self.memory = self.memory + 0.1 + 0.1 * obs["position"].abs().mean((1, 2), keepdim=True)
        return {"velocity": self.memory * self.luck(obs["velocity"].shape[1:])}

    def luck(self, shape):
        return draw(fold(self.world.keys, self.world.steps), "luck", shape).uniform() - 0.5

    def state_dict(self):
        return {"memory": self.memory.clone()}

    def load_state_dict(self, saved):
        super().load_state_dict(saved)
        self.memory = saved["memory"].clone()


class Hasty(Sound):
    def act(self, obs):
        return {"velocity": 100 * super().act(obs)["velocity"]}


class SaysTooMuch(Sound):
    def act(self, obs):
        return {**super().act(obs), "bids": self.memory}


class DrawsFromTorch(Sound):
    def luck(self, shape):
        return torch.rand(self.world.num_worlds, *shape) - 0.5


class Undecided(Sound):
    """Each of its kind begins elsewhere."""

    made = itertools.count()

    def __init__(self):
        self.own = next(self.made) / 100

    def luck(self, shape):
        return super().luck(shape) + self.own


class LooksAtOtherWorlds(Sound):
    def act(self, obs):
        return super().act({**obs, "position": obs["position"].mean(0, keepdim=True)})


class ForgetsToSave(Sound):
    def state_dict(self):
        return {}

    def load_state_dict(self, saved):
        pass


class ForgetsToLoad(Sound):
    def load_state_dict(self, saved):
        pass


class SavesItsOwnMemory(Sound):
    def act(self, obs):
        actions = super().act(obs)
        self.kept.copy_(self.memory)
        return actions

    def reset(self, mask=None):
        super().reset(mask)
        self.kept = self.memory.clone() if mask is None else self.kept

    def state_dict(self):
        return {**super().state_dict(), "kept": self.kept}


class ForgetsEverywhere(Sound):
    def reset(self, mask=None):
        super().reset()


class NeverForgets(Sound):
    def reset(self, mask=None):
        if mask is None:
            super().reset()


FAULTS = [
    (policies.check_policy_seeds, Hasty, r"action space: action 'velocity' of \w+ \(world \d\) is outside"),
    (policies.check_policy_seeds, SaysTooMuch, r"action space: actions have unknown keys \['bids'\]"),
    (policies.check_policy_seeds, DrawsFromTorch, "differs at step 1|global random numbers of torch"),
    (
        policies.check_policy_seeds,
        Undecided,
        "equal seeds must give equal actions: 'velocity' differs at step 1",
    ),
    (policies.check_policy_batch, LooksAtOtherWorlds, r"as the same world alone is \(world 0\): 'velocity'"),
    (policies.check_policy_state, ForgetsToSave, "a loaded state must act identically: 'velocity'"),
    (policies.check_policy_state, ForgetsToLoad, "a loaded state must act identically: 'velocity'"),
    (policies.check_policy_state, SavesItsOwnMemory, "what was saved must stay as it was: 'kept'"),
    (policies.check_policy_reset, ForgetsEverywhere, "must leave world 0 alone: 'memory'"),
    (policies.check_policy_reset, NeverForgets, "must begin world 1 anew: 'velocity'"),
]


@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_a_sound_policy_passes(horizon):
    check_policy(Sound, **WORLD | {"horizon": horizon})


@pytest.mark.parametrize(
    ("check", "policy", "message"), FAULTS, ids=lambda part: getattr(part, "__name__", "")
)
def test_a_faulty_policy_is_caught(check, policy, message, monkeypatch):
    monkeypatch.setattr(policies, "CHECKS", [check])
    with torch.random.fork_rng(), pytest.raises(AssertionError, match=message) as caught:
        check_policy(policy, **WORLD)
    assert str(caught.value).startswith(f"{policy.__name__} in swarm-v0: ")
    assert "\n" not in str(caught.value)


def test_every_check_of_policies_has_one_that_fails_it():
    assert {check for check, _, _ in FAULTS} == set(policies.CHECKS)


def test_choices_keep_to_the_mask():
    class FirstPeer(Policy):
        def __init__(self):
            self.world_kwargs = {"actions": "discrete"}

        def act(self, obs):
            shut = (obs["action_mask"] == 0).long().argmax(-1)  # the first that is not there; 0 where all are
            return {"choice": shut}

    hosted = {"agents": 3, "slice_size": 4, "exam_size": 10, "horizon": 3, "learners": "mlp", "hidden": (4,)}
    with pytest.raises(AssertionError, match="choices must be of those that 'action_mask' leaves"):
        check_policy(FirstPeer, "society-v0", drop=0.8, **hosted)


@pytest.mark.parametrize("what", [3, None, dict, "no_such_policy"])
def test_only_policies_can_be_checked(what):
    with pytest.raises((ConfigError, LookupError), match=r"unknown policy|makes a Policy"):
        check_policy(what, **WORLD)
