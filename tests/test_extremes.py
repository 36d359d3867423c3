"""Whatever finite actions inside their space say: what comes out is finite, and lies in its space."""

import itertools
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from studyhall import make_world, registry
from studyhall.envs import ActionError, ConfigError
from studyhall.envs.channel import LIAR_KINDS
from studyhall.testing.steps import _require_in_space
from studyhall.testing.tools import Subject, leaves, sample_actions, seeded

MOST = float(np.finfo(np.float32).max)
TINY = float(np.finfo(np.float32).smallest_subnormal)
INSIDE = [(x, x) for x in (0.0, TINY, 1e20, -1e20, MOST, -MOST)]
INSIDE += [(0.0, MOST), (TINY, MOST), (-TINY, 1e-20), (1e20, -1e20), (-MOST, MOST)]
ANYTHING = [*itertools.product((math.nan, math.inf, -math.inf), (0.5, math.inf)), (MOST, -MOST), (1e20, 1e20)]
"""What the engine takes where it is not asked to check values: rows that are not finite abstain."""

LEARN = {"slice_size": 5, "exam_size": 10, "horizon": 4}
HOST = {**LEARN, "learners": "mlp", "hidden": (4,)}
FAULTS = {"drop": 0.2, "noise": 0.5, "bits": 3, "liars": 2, "liar_kinds": LIAR_KINDS, "wake": 1, "churn": 0.2}
TALK = {"slice_size": 4, "rounds": 2}
OF_NUMBERS = {**TALK, "vocabulary": None, "width": 3}
TEXTS = {name: [f"{name} {i} " * 30 for i in range(30)] for name in ("one", "other")}
READ = {
    "corpora": TEXTS,
    "vocabulary": 260,
    "width": 8,
    "length": 8,
    "slice_size": 4,
    "exam_size": 4,
    "horizon": 4,
}
FORMS = {
    "classroom-v0": [
        LEARN,
        {**LEARN, **FAULTS},
        {**LEARN, "share": "own", "mode": "shuffled", "delay": 1, "byte_price": 0.1, "label_price": 0.1},
        *({**HOST, "actions": form} for form in ("listen", "gated", "targets", "discrete")),
        {**HOST, **FAULTS, "actions": "targets"},
    ],
    "society-v0": [
        LEARN,
        *({**HOST, "actions": form} for form in ("listen", "gated", "targets", "discrete")),
    ],
    "collective-v0": [
        *({**LEARN, "weighting": weighting} for weighting in ("normalised", "top_k", "votes")),
        {**LEARN, **FAULTS},
        *({**HOST, "actions": form} for form in ("listen", "gated", "targets")),
    ],
    "allocation-v0": [
        LEARN,
        {**LEARN, "spending": "sample"},
        {**LEARN, "weighting": "top_k", "see": "coarse"},
    ],
    "halves-v0": [
        TALK,
        {**TALK, "noise": 2.0},
        {**TALK, "bits": 2, "bound": 1e18},
        {**TALK, "vocabulary": 3, "length": 2},
    ],
    "consensus-v0": [
        TALK,
        {**TALK, "data": "vector", "noise": 1.0},
        {**TALK, "data": "vector", "vocabulary": 3, "cooperation": 0.5, "byte_price": 0.1},
        {**TALK, "vocabulary": 3, "choices": True},
    ],
    "referential-v0": [
        TALK,
        {**TALK, "game": "reconstruction"},
        {**TALK, "choices": True},
        {**OF_NUMBERS, "noise": 1.0},
        {**OF_NUMBERS, "bits": 31, "bound": 1e-18},
    ],
    "hierarchy-v0": [READ, {**READ, "actions": "discrete"}],
    "modular-v0": [
        READ,
        {**READ, "actions": "rate", "anchor": "ewc", "measure": "all"},
        {**READ, "columns": True, "k": None, "measure": "probe"},
        {**READ, "actions": "discrete", "order": "iid"},
    ],
    "swarm-v0": [
        {"horizon": 4},
        {"horizon": 4, "actions": "coefficients", "objective": ["ackley", "schwefel"], "shifted": True},
        {"horizon": 4, "dtype": "float32", "objective": "griewank", "refiners": 2, "refine_rate": 1e18},
        {"horizon": 4, "objective": "network", "hidden": (3,), "slice_size": 4, "refiners": 1},
    ],
}
CASES = [(id, kwargs) for id in FORMS for kwargs in FORMS[id]]


def test_every_world_is_here():
    assert FORMS.keys() == registry.keys()


def extreme(world, one, other):
    """Actions whose numbers are, by turns, one or the other, as far as their space has them."""
    actions = sample_actions(world, seeded(3))
    for key, part in world.action_space.spaces.items():
        if isinstance(part, spaces.Box):
            turns = torch.arange(actions[key].numel()).view(actions[key].shape) % 2 == 0
            actions[key] = torch.where(turns, one, other)
            if world.validate:
                low, high = (torch.from_numpy(bound) for bound in (part.low, part.high))
                actions[key] = actions[key].clamp(low, high)
    return actions


@pytest.mark.parametrize(("id", "kwargs"), CASES, ids=str)
def test_extreme_actions_lead_to_finite_outcomes(id, kwargs):
    for validate, patterns in ((True, INSIDE), (False, ANYTHING)):
        world = make_world(id, num_worlds=2, validate=validate, **kwargs)
        world.reset(seed=0)
        for pattern in patterns:
            step = world.step(extreme(world, *pattern))
            for obs in (step.obs, step.final_obs):
                _require_in_space(Subject(id, type(world)), world, obs, 0)
            info = {key: value for key, value in step.info.items() if key != "episode"}
            told = {"reward": step.reward, "loss": step.loss, "info": info, "metrics": world.metrics()}
            for key, value in leaves(told | {"state": world.state()}):
                assert value.isfinite().all(), (pattern, key)


def test_an_estimate_beyond_any_truth_counts_as_the_bound():
    world = make_world("consensus-v0", data="vector", dimensions=2, slice_size=3, rounds=1)
    far, bound = (
        {"message": torch.zeros(1, 4, 3, 16), "answer": torch.full((1, 4, 3, 2), x)} for x in (1e20, 10.0)
    )
    steps = []
    for actions in (far, bound):
        world.reset(seed=0)
        steps.append(world.step(actions))
    assert steps[0].reward.isfinite().all()
    assert torch.equal(steps[0].reward, steps[1].reward)
    checked = make_world("consensus-v0", data="vector", dimensions=2, slice_size=3, rounds=1, validate=True)
    checked.reset(seed=0)
    with pytest.raises(ActionError, match=r"action 'answer' of witness_0 \(world 0\) is outside \[-10, 10\]"):
        checked.step(far)


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"bound": 1e30}, "bound must be a number between 1e-18 and 1e\\+18"),
        ({"bound": math.nan}, "bound must be"),
        ({"reward_scale": 1e300}, r"reward_scale must be within ±1e\+18"),
        ({"noise": 10**400}, "noise must be within"),
    ],
)
def test_numbers_that_would_overflow_are_refused(kwargs, says):
    with pytest.raises(ConfigError, match=says):
        make_world("halves-v0", **kwargs)
