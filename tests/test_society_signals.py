"""society-v0: what it may tell and carry beside soft targets, and what that costs."""

import pytest
import torch

from studyhall import make_world
from studyhall.envs import ConfigError
from studyhall.testing.tools import sample_actions, seeded

MODES = ["open", "mute", "shuffled", "isolated"]
SMALL = {"agents": 4, "slice_size": 6, "exam_size": 10, "horizon": 40, "liars": 0}


def society(num_worlds=2, seed=3, **kwargs):
    world = make_world("society-v0", num_worlds=num_worlds, autoreset=False, **{**SMALL, **kwargs})
    return world, world.reset(seed=[seed] * num_worlds)


def played(world, steps, seed=0, **given):
    """Steps of random actions, but for what is given."""
    generator = seeded(seed)
    for _ in range(steps):
        yield world.step({**sample_actions(world, generator, abstain=0.0), **given})


# ---- labels of public rows --------------------------------------------------------------------------


def public_labels(world):
    """The true classes of the public slice that feedback is about, int64 [W, N, B]."""
    return world.privileged()["labels"][:, None].expand(-1, world.num_agents, -1)


def test_told_labels_are_true_the_same_for_all_and_as_many_as_said():
    world, obs = society(8, public_labels=0.3)
    world.reset(seed=0)
    assert (obs["fb_public_labels"] == -1).all()
    shares = []
    for step in played(world, 30):
        told = step.obs["fb_public_labels"]
        assert torch.equal(told, told[:, :1].expand_as(told))
        assert torch.equal(told, torch.where(told >= 0, public_labels(world), -1))
        shares.append((told >= 0).float().mean())
    assert abs(torch.stack(shares).mean() - 0.3) < 0.05


def test_every_public_row_is_told_at_a_share_of_one_in_every_mode():
    world, _ = society(4, public_labels=1.0, mode=MODES)
    for step in played(world, 3):
        assert torch.equal(step.obs["fb_public_labels"], public_labels(world))
        assert not step.obs["heard"][[1, 3]].any()


def test_told_labels_are_charged_beside_those_of_ones_own_slice():
    free, _ = society(public_labels=0.5)
    priced, _ = society(public_labels=0.5, label_price=0.25)
    before = priced.metrics()["labels"]
    for step, paid in zip(played(free, 5), played(priced, 5), strict=True):
        count = 6 + (step.obs["fb_public_labels"] >= 0).sum(-1)
        assert torch.equal(paid.info["labels"], count)
        assert torch.equal(paid.info["label_bytes"], count * 4 / 8)  # ten classes: four bits
        torch.testing.assert_close(paid.reward, step.reward - 0.25 * count)
        assert torch.equal(paid.info["bytes"], step.info["bytes"])
        assert torch.equal(priced.metrics()["labels"], before + count)
        before = priced.metrics()["labels"]


def test_told_labels_come_late_with_their_slice():
    world, obs = society(public_labels=1.0, delay=2)
    dealt = [world.dataset.dealt_labels(world._state["public/slice"])]
    for t, step in enumerate(played(world, 6), 1):
        told = step.obs["fb_public_labels"]
        expected = dealt[t - 3].expand_as(told) if t > 2 else torch.full_like(told, -1)
        assert torch.equal(told, expected)
        dealt.append(world.dataset.dealt_labels(world._state["public/slice"]))


def test_the_absent_are_told_nothing_and_pay_nothing():
    world, _ = society(4, public_labels=1.0, churn=0.4, rejoin=0.4)
    away = 0
    for _ in range(20):
        absent = ~world._state["present"]
        step = next(played(world, 1))
        assert (step.obs["fb_public_labels"][absent] == -1).all()
        assert (step.obs["fb_public_labels"][~absent] >= 0).all()
        assert (step.info["labels"][absent] == 0).all()
        away += int(absent.sum())
    assert away


# ---- what is off, and what is refused ---------------------------------------------------------------


@pytest.mark.parametrize("extra", [{"public_labels": 0.5}])
def test_everything_else_is_as_without_it(extra):
    """Of the same seed and actions: what is observed and earned without the argument is so with it, bit for bit."""
    faults = {"drop": 0.2, "churn": 0.2, "noise": 0.1, "bits": 4, "liars": 1, "mode": MODES, "delay": 1}
    plain, _ = society(4, **faults)
    richer, obs = society(4, **faults, **extra)
    generator = seeded(0)
    for _ in range(12):
        actions = sample_actions(plain, generator)
        more = {k: torch.zeros(4, 4, *s.shape, dtype=torch.float32) for k, s in richer.action_space.items()}
        more = {k: v.long() if k == "parcel" else v for k, v in more.items()}
        step, other = plain.step(actions), richer.step({**more, **actions})
        for key, value in step.obs.items():
            assert torch.equal(value, other.obs[key]), key
        assert torch.equal(step.reward, other.reward)
        assert torch.equal(plain.state(), richer.state())


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"public_labels": 1.5}, "between 0 and 1"),
        ({"public_labels": 0.5, "learners": "mlp"}, "bring their learners"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(kwargs, says):
    with pytest.raises(ConfigError, match=says) as caught:
        make_world("society-v0", **kwargs)
    assert "\n" not in str(caught.value)
