"""The network in which sources compete, and what it reads: of any number of sources, with a teacher and without."""

from __future__ import annotations

import pytest
import torch

from studyhall import make_world
from studyhall.envs.archive import save
from studyhall.envs.hosted.sources import FEATURES, HISTORY
from studyhall.policies.listening.learned import FORMAT, LearnedPolicy
from studyhall.policies.listening.tournament import Tournament

F, G = len(FEATURES), 10
CARD = FEATURES.index("card")
_SMALL = {"learners": "mlp", "hidden": (8,), "slice_size": 6, "exam_size": 20, "horizon": 40}


def network(pooled=2):
    torch.manual_seed(0)
    made = Tournament(F, G, pooled, width=16)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.3)
    return made


def observation(sources, batch=(3,), seed=0):
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*batch, *shape, generator=generator)

    return {
        "sources": uniform(sources, F),
        "sources_mask": torch.ones(*batch, sources, dtype=torch.int8),
        "history": uniform(sources, len(HISTORY)),
        "own_features": uniform(G - 3),
        "report": uniform(2),
        "elapsed": uniform(1),
    }


OF_SOURCES = ("sources", "sources_mask", "history")


def test_the_order_of_sources_plays_no_part():
    made, obs = network(), observation(5)
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = {key: value[:, order] if key in OF_SOURCES else value for key, value in obs.items()}
    (scores, value), (others, as_well) = made(obs), made(turned)
    torch.testing.assert_close(others[:, 2:], scores[:, 2:][:, order])
    torch.testing.assert_close(others[:, :2], scores[:, :2])
    torch.testing.assert_close(as_well, value)


def test_who_was_not_heard_changes_nothing():
    """So sources may be padded; and nobody at all may be heard."""
    made, few, many = network(), observation(3), observation(6, seed=1)
    many["sources_mask"][:, 3:] = 0
    many |= {key: few[key] for key in few if key not in OF_SOURCES}
    for key in ("sources", "history"):
        many[key][:, :3] = few[key]
    (scores, value), (padded, as_well) = made(few), made(many)
    torch.testing.assert_close(padded[:, :5], scores)
    assert (padded[:, 5:] == -1).all()
    torch.testing.assert_close(as_well, value)
    many["sources_mask"][:] = 0
    scores, value = made(many)
    alone, as_well = made({key: v[:, :0] if key in OF_SOURCES else v for key, v in many.items()})
    torch.testing.assert_close(alone, scores[:, :2])
    torch.testing.assert_close(as_well, value)
    assert alone.isfinite().all()


def test_it_learns_to_follow_the_best_card_if_that_beats_ones_own():
    """Of cards that differ by hundredths, which a mean over sources cannot tell."""
    torch.manual_seed(0)
    made = Tournament(F, G, 0, width=16)
    optimiser = torch.optim.Adam(made.parameters(), lr=5e-3)

    def batch(count):
        obs = observation(5, (count,), seed=int(torch.randint(1 << 30, ())))
        obs["sources"][..., CARD] = 0.5 + torch.randint(-5, 6, (count, 5)) / 100
        obs["report"][..., 0] = 0.5 + torch.randint(-2, 6, (count,)) / 100
        cards = obs["sources"][..., CARD]
        best = torch.nn.functional.one_hot(cards.argmax(-1), 5).bool()
        return obs, best & (cards > obs["report"][..., :1])

    for _ in range(250):
        obs, follows = batch(64)
        loss = (made(obs)[0] - torch.where(follows, 1.0, -1.0)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    obs, follows = batch(1000)
    assert ((made(obs)[0] > 0) == follows).all(-1).float().mean() > 0.97


@pytest.mark.parametrize("asks", [True, False])
def test_one_file_acts_in_worlds_with_and_without_a_teacher(tmp_path, asks):
    """Where it never learnt to ask it always asks."""
    made = network(pooled=1 + asks)
    with torch.no_grad():
        made.heads.bias[0] = -50.0  # never asks, or the gate is 0
    about = {
        "format": FORMAT,
        "world_kwargs": {"actions": "gated"},
        "actions": [*(["ask"] if asks else []), "gate", "listen"],
        "source_features": list(FEATURES),
    }
    save(tmp_path / "it.zip", about, {f"scorer.{name}": v for name, v in made.state_dict().items()})
    for env, agents, asked in (("society-v0", 5, None), ("classroom-v0", 3, 0 if asks else 1)):
        policy = LearnedPolicy(str(tmp_path / "it.zip"))
        world = make_world(env, num_worlds=2, agents=agents, validate=True, **_SMALL, **policy.world_kwargs)
        policy.bind(world)
        obs = world.reset(seed=0)
        for _ in range(3):
            actions = policy.act(obs)
            obs = world.step(actions).obs
        assert ("ask" in actions) == (env == "classroom-v0")
        assert asked is None or (actions["ask"] == asked).all()
        assert actions["listen"].shape == (2, agents, agents - 1)


def test_a_world_remembers_what_became_of_whom_one_followed():
    world = make_world("classroom-v0", agents=3, teacher_budget=2, card_every=4, **_SMALL)
    obs = world.reset(seed=0)
    everybody = torch.tensor([[[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]]])
    outcome, listened, before = torch.zeros(1, 3, 2), torch.zeros(1, 3, 2), obs["report"][..., 0]
    for step in range(12):
        heard = obs["sources_mask"].float()
        obs = world.step({"listen": everybody, "ask": torch.ones(1, 3, dtype=torch.int64)}).obs
        listened = listened + (everybody * heard - listened) / (step + 1)
        card = obs["report"][..., 0]
        if step % 4 == 0:
            outcome = outcome + listened / 2 * ((card - before)[..., None] - outcome)
        before = torch.where(torch.tensor(step % 4 == 0), card, before)
    torch.testing.assert_close(obs["history"][..., 0], outcome)
    torch.testing.assert_close(obs["history"][..., 1], listened)
    assert (outcome[0, 0, 0] != 0) & (outcome[0, 2] == 0).all()
    torch.testing.assert_close(obs["history"][..., 2], torch.full((1, 3, 2), 2 / 12))
