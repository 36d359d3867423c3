"""Two families of collectives: what the world makes of a policy's answers and bids is what the layer says."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from studyhall.envs.collective.world import Collective
from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.envs.mixing import Mixing
from studyhall.learners import make_optimiser, softmax
from studyhall.policies import make_policy
from studyhall.policies.collective import (
    MOE_AS_PUBLISHED,
    Ensemble,
    MoE,
    Switch,
    UnifiedCollective,
    VotingLayer,
    diverse_loss,
    errors,
    predictions,
)
from studyhall.policies.copies import Copies
from studyhall.policies.panels import AS_PUBLISHED, PANELS
from studyhall.policies.panels.specialists import Specialists

WORLDS, MEMBERS, ROWS, EXAM = 2, 4, 12, 20
SIZES = (64, 16, 10)
KEYS = torch.arange(WORLDS)
AS_PANELS = {"activation": F.relu, "final": softmax}


@dataclass(frozen=True)
class Heard(Mixing):
    """A world's mixing that remembers what it said."""

    said: list = field(default_factory=list)

    def mix(self, weights, answers):
        mixed = super().mix(weights, answers)
        self.said.append(mixed)
        return mixed

    def last(self, rows):
        """The answers ``[W, rows, C]`` of the last step."""
        return next(said for said in reversed(self.said) if said.shape[:2] == (WORLDS, rows))


def ensemble(aggregation):
    layer = Ensemble(MEMBERS, SIZES, key=KEYS, aggregation=aggregation)

    def say(panel, x):
        state = {f"members.{name}": value for name, value in panel.specialists.state_dict().items()}
        if aggregation == "weighted":
            state["weights"] = panel.weights
        layer.load_state_dict(state)
        return layer(x).answer

    return say


def same(layer, said=lambda found: found[0]):
    def say(panel, x):
        layer.load_state_dict(panel.layer.state_dict())
        return said(layer.eval()(x))

    return say


def voting(kind):
    return same(VotingLayer(64, 16, 10, key=KEYS, voters=MEMBERS, voting=kind), lambda found: found)


def unified(weighting):
    return same(UnifiedCollective(MEMBERS, SIZES, key=KEYS, weighting=weighting, **AS_PANELS))


MOE = {"key": KEYS, "experts": MEMBERS}
PAIRS = {
    "ensemble, mean": ("ensemble", {}, {}, ensemble("mean")),
    "ensemble, vote": ("ensemble", {"aggregation": "vote"}, {}, ensemble("vote")),
    "ensemble, weighted": ("weighted_ensemble", {}, {}, ensemble("weighted")),
    "diverse ensemble": ("diverse_ensemble", {}, {}, ensemble("mean")),
    "voting, soft": ("voting", {}, {}, voting("soft")),
    "voting, weighted": ("voting", {"voting": "weighted"}, {}, voting("weighted")),
    "voting, hard": ("voting", {"voting": "hard"}, {}, voting("hard")),
    "moe": ("moe", {}, {"weighting": "top_k", "k": 2}, same(MoE(*SIZES, **MOE, **AS_PANELS))),
    "moe, all of them weighed": ("moe", {"k": 3}, {}, same(MoE(*SIZES, k=3, **MOE, **AS_PANELS))),
    "switch": (
        "switch",
        {},
        {"weighting": "top_k", "k": 1},
        same(Switch(*SIZES, **MOE, activation=F.relu), lambda found: softmax(found.output)),
    ),
    "unified, uniform": ("unified", {"weighting": "uniform"}, {}, unified("uniform")),
    "unified, learned": ("unified", {"weighting": "learned"}, {}, unified("learned")),
    "unified, confidence": ("unified", {"weighting": "confidence"}, {}, unified("confidence")),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_a_world_forms_what_the_layer_says(pair):
    """At every step of learning, on the slice and on the exam; votes are shares there, and the winner here."""
    system, options, world_kwargs, layer = PAIRS[pair]
    policy = Specialists(system, hidden=SIZES[1:-1], lr=1e-2, **options)
    env = Collective(
        num_worlds=WORLDS,
        agents=MEMBERS,
        slice_size=ROWS,
        exam_size=EXAM,
        horizon=9,
        autoreset=False,
        **{**world_kwargs, **policy.world_kwargs},
    )
    env.mixing = Heard(MEMBERS, env.mixing.weighting, env.mixing.k)
    policy.bind(env)
    obs = env.reset(seed=3)
    policy.reset()
    said = []
    for _ in range(6):
        actions = policy.act(obs)
        env.mixing.said.clear()
        step = env.step(actions)
        for key, rows in (("slice", ROWS), ("exam", EXAM)):
            formed = env.mixing.last(rows)
            expected = layer(policy.copies.module, obs[key][:, 0].flatten(2)).detach()
            if env.mixing.weighting == "votes":
                assert torch.equal(formed.argmax(-1), expected.argmax(-1))
                assert set(expected.flatten().tolist()) == {0.0, 1.0}
            else:
                torch.testing.assert_close(formed, expected, rtol=1e-5, atol=1e-6)
        labels = env.dataset.labels("exam", env._state["exam"])
        accuracy = (expected.argmax(-1) == labels).float().mean(-1)
        torch.testing.assert_close(env.metrics()["collective_accuracy"], accuracy)
        said.append(expected)
        obs = step.obs
    assert not torch.equal(said[0], said[-1])  # it did learn in between


@pytest.mark.parametrize(("of", "values"), [("errors", errors), ("predictions", predictions)])
def test_a_diverse_panel_pays_the_layers_penalty(of, values):
    panel = PANELS["diverse_ensemble"](MEMBERS, SIZES, key=KEYS, weight=0.3, of=of)
    alone = PANELS["ensemble"](MEMBERS, SIZES, key=KEYS)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(WORLDS, ROWS, 64, generator=generator)
    labels = torch.randint(10, (WORLDS, 1, ROWS), generator=generator).expand(-1, MEMBERS, -1)
    found = panel.loss(x, labels, KEYS)
    layer = Ensemble(MEMBERS, SIZES, key=KEYS)
    torch.testing.assert_close(found, diverse_loss(layer(x).logits, labels[:, 0], weight=0.3, of=values))
    penalty = (found - alone.loss(x, labels, KEYS)).detach()
    probs = softmax(layer(x).logits).detach()
    for w in range(WORLDS):
        spoken = values(probs, labels[:, 0])[w].flatten(1).numpy()
        correlation = np.corrcoef(spoken)[np.triu_indices(MEMBERS, 1)].mean()
        assert penalty[w].tolist() == pytest.approx([0.3 * correlation] * MEMBERS, rel=1e-4)


@pytest.mark.parametrize(("system", "k", "factor"), [("moe", 2, 0.5), ("switch", 1, 1.0)])
def test_a_sparse_panel_learns_by_the_samples_that_found_room(system, k, factor):
    """In learning the layer's noise, capacity and auxiliary losses; a sample that no expert took counts for nothing."""
    panel = PANELS[system](MEMBERS, SIZES, key=KEYS, capacity_factor=factor)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(WORLDS, ROWS, 64, generator=generator)
    labels = torch.randint(10, (WORLDS, 1, ROWS), generator=generator).expand(-1, MEMBERS, -1)
    mixed = panel.layer(x, KEYS)
    said = mixed.output if system == "moe" else mixed.output.softmax(-1)
    expected, room = [], max(1, int(factor * k * ROWS / MEMBERS))
    for w in range(WORLDS):
        counts, losses = [0] * MEMBERS, []
        taken = [False] * ROWS
        for rank in range(k):
            for r in range(ROWS):
                expert = int(mixed.load.chosen[w, r, rank])
                taken[r] |= counts[expert] < room
                counts[expert] += 1
        losses = [-said[w, r, labels[w, 0, r]].log().item() for r in range(ROWS) if taken[r]]
        assert len(losses) == ROWS - int(mixed.load.dropped[w])
        expected.append(np.mean(losses) + mixed.loss[w].item())
    assert int(mixed.load.dropped.sum()) > 0
    assert panel.loss(x, labels, KEYS).tolist() == pytest.approx(expected, rel=1e-4)


def bound(system, options, **kwargs):
    policy = Specialists(system, **options)
    policy.bind(Collective(agents=MEMBERS, slice_size=4, exam_size=10, **kwargs))
    return policy


@pytest.mark.parametrize(
    ("system", "options", "made", "wrong"),
    [
        ("voting", {"voting": "hard"}, {}, "this policy needs weighting='votes'"),
        (
            "ensemble",
            {"aggregation": "vote"},
            {"weighting": "top_k"},
            "this policy needs weighting='votes'",
        ),
        ("moe", {}, {"weighting": "top_k", "k": 1}, "consults 2 .* of whom this world hears 1: .* with k=2"),
        ("moe", {"k": 3}, {"weighting": "top_k", "k": 2}, "make the world with k=3"),
        ("unified", {"weighting": "learned"}, {"weighting": "top_k", "k": 1}, "make the world with k=2"),
        ("moe", {"k": 5}, {}, "k must be a whole number between 1 and 4, got 5"),
    ],
)
def test_no_collective_acts_where_it_would_be_another(system, options, made, wrong):
    with pytest.raises(ConfigError, match=wrong) as caught:
        bound(system, options, **made)
    assert "\n" not in str(caught.value)


def test_more_is_heard_than_asked_for():
    """Zero bids change no sum: such worlds form what the layer says."""
    bound("moe", {}, weighting="top_k", k=3)
    bound("switch", {}, weighting="top_k", k=1)
    bound("unified", {"k": 3}, weighting="top_k", k=1)  # a k without effect: by confidence all are weighed
    bound("voting", {"voting": "hard"}, weighting="votes")


@pytest.mark.parametrize(
    ("system", "options", "error", "wrong"),
    [
        ("voting", {"voting": "nonsense"}, UnknownName, "unknown way of voting 'nonsense'"),
        ("ensemble", {"aggregation": "meen"}, UnknownName, "did you mean 'mean'"),
        ("ensemble", {"confidence": -1}, ConfigError, "confidence must be a number of at least 0"),
        ("diverse_ensemble", {"of": "nope"}, UnknownName, "unknown thing to correlate 'nope'"),
        ("moe", {"k": 0}, ConfigError, "k must be a whole number of at least 1, got 0"),
        ("moe", {"balance": "much"}, ConfigError, "balance must be a number"),
        ("switch", {"z_form": "squared"}, UnknownName, "unknown form of the z-loss 'squared'"),
        ("unified", {"weighting": "votes"}, UnknownName, "unknown weighting 'votes'"),
    ],
)
def test_options_are_checked_when_a_policy_is_made(system, options, error, wrong):
    with pytest.raises(error, match=wrong) as caught:
        make_policy(system, **options)
    assert "\n" not in str(caught.value)


def test_a_preset_is_the_layers_own():
    assert AS_PUBLISHED["moe"] is MOE_AS_PUBLISHED


def test_members_learn_at_rates_of_their_own_by_any_name():
    """Their parameters may be parts of the module under another name first."""

    class Twice(nn.Module):
        def __init__(self, key):
            super().__init__()
            self.layer = MoE(5, 4, 2, key=key, experts=3)
            self.specialists = self.layer.experts

    copies = Copies(Twice, KEYS, make_optimiser("sgd", lr=0.1), members="specialists")
    before = [p.detach().clone() for p in copies.module.specialists.parameters()]
    rate = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    copies.learn(lambda net: sum(p.square().sum() for p in net.parameters()), rate)
    for old, new in zip(before, copies.module.specialists.parameters(), strict=True):
        moved = (new != old).flatten(2).any(-1)
        assert torch.equal(moved, rate > 0)
