"""The trained policies that come with the package."""

import pytest
import torch

from studyhall import make_world
from studyhall.envs import spec
from studyhall.policies import make_policy
from studyhall.policies.files import trained
from studyhall.scenarios import registry as scenarios

LISTENERS_AND_BIDDERS = sorted(
    name for name in trained() if "agents" in spec(make_policy(name).about["env"]).arguments()
)


@pytest.mark.parametrize("name", LISTENERS_AND_BIDDERS)
@pytest.mark.parametrize("agents", [5, 8])
def test_shipped_policies_act_with_any_number_of_sources(name, agents):
    policy = make_policy(name)
    about = policy.about
    assert about["command"].startswith("studyhall train ")
    kwargs = about["env_kwargs"] | policy.world_kwargs | {"agents": agents, "horizon": 20}
    world = make_world(about["env"], num_worlds=2, **kwargs)
    policy.bind(world)
    obs = world.reset(seed=0)
    for _ in range(5):
        obs = world.step(policy.act(obs)).obs


@pytest.mark.parametrize("name", sorted(name for name in trained() if name.startswith("society")))
def test_shipped_societies_turn_away_from_liars(name):
    """Whoever lies is weighed less than who does not, in worlds of held-out seeds."""
    policy = make_policy(name)
    world = make_world(
        "society-v0",
        num_worlds=8,
        **{**policy.about["env_kwargs"], **policy.world_kwargs, "liar_kinds": ("sharp", "roll")},
    )
    policy.bind(world)
    obs = world.reset(seed=100, options={"domain": "eval"})
    for _ in range(200):  # those who lie at ordinary confidence take a while to be found out
        actions = policy.act(obs)
        obs = world.step(actions).obs
    lies = world.neighbours().of(world.privileged()["liar"])  # [W, N, S]
    weights = actions["listen"]
    assert weights[lies].mean() < 0.5 * weights[~lies].mean()
    assert torch.isfinite(weights).all()


def test_the_shipped_bidder_bids_better_than_confidence():
    """In worlds that it was neither trained nor chosen on, by more than a point."""
    scenario = scenarios["collective-digits-bids"]
    scores = []
    for name in (scenario.policy, "collective-bids"):
        policy = make_policy(name)
        world = make_world(
            scenario.env, num_worlds=12, autoreset=False, **scenario.env_kwargs | {"horizon": 51}
        )
        policy.bind(world)
        obs = world.reset(seed=100, options={"domain": "eval"})
        while not world.ended.all():
            obs = world.step(policy.act(obs)).obs
        scores.append(world.metrics()["collective_accuracy"].mean())
    assert scores[1] > scores[0] + 0.01


@pytest.mark.parametrize("name", ["k1-bids"])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_shipped_bids_fit_models_of_any_depth(name, layers):
    """Of other texts than theirs, too; and some learn, not all."""
    policy = make_policy(name)
    assert policy.about["command"].startswith("studyhall train k1-train --algo es ")
    sizes = {"width": 8, "layers": layers, "feedforward": 16, "length": 16, "slice_size": 4}
    world = make_world(
        "modular-v0", num_worlds=2, tokeniser="bytes", horizon=6, **sizes, **policy.world_kwargs
    )
    policy.bind(world)
    obs, learnt = world.reset(seed=0), []
    policy.reset()
    for _ in range(5):
        step = world.step(policy.act(obs))
        obs = step.obs
        learnt.append(step.info["learnt"])
    assert 0 < torch.stack(learnt).mean() < 1
