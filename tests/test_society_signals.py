"""society-v0: what it may tell and carry beside soft targets, and what that costs."""

import pytest
import torch

from studyhall import make_world
from studyhall.envs import ConfigError
from studyhall.envs.channel import LIAR_KINDS
from studyhall.envs.society.world import KINDS
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


# ---- energies ---------------------------------------------------------------------------------------


def energetic(world, seed=0):
    """Random actions, two rows of the first agent silent and one energy of the second not finite."""
    actions = sample_actions(world, seeded(seed), abstain=0.0)
    actions["soft_targets"][:, 0, :2] = 0
    actions["energies"] = torch.randn(actions["energies"].shape, generator=seeded(seed))
    actions["energies"][:, 1, 3] = torch.inf
    silent = torch.zeros_like(actions["energies"], dtype=torch.bool)
    silent[:, 0, :2] = silent[:, 1, 3] = True
    return actions, torch.where(silent, 0.0, actions["energies"]), silent


def test_energies_come_with_the_rows_that_speak():
    world, obs = society(energies=True, topology="ring", drop=0.3)
    assert not obs["fb_energies"].any()
    for seed in range(5):
        actions, said, silent = energetic(world, seed)
        obs = world.step(actions).obs
        known = obs["heard"].bool() | torch.eye(4, dtype=torch.bool)
        assert torch.equal(obs["fb_energies"], said[:, None] * known[..., None])
        assert torch.equal(obs["fb_targets"].any(-1), known[..., None] & ~silent[:, None])
    assert not known.all()


def test_an_energy_costs_four_bytes_a_row_whatever_the_bits():
    for bits in (32, 4):
        world, _ = society(energies=True, bits=bits)
        assert world.crosses == {"soft_targets", "labels", "messages"}
        actions, _, silent = energetic(world)
        rows = (~silent).sum(-1)
        assert torch.equal(world.step(actions).info["bytes"], 3 * rows * (10 * bits / 8 + 4))
    assert make_world("society-v0").crosses == {"soft_targets", "labels"}


def test_energies_in_the_modes_of_the_channel():
    world, _ = society(4, energies=True, mode=MODES)
    actions, said, _ = energetic(world)
    step = world.step({k: v[:1].expand_as(v).clone() for k, v in actions.items()})
    seen, own = step.obs["fb_energies"], torch.eye(4, dtype=torch.bool)
    alone = said[0] * own[..., None]
    assert torch.equal(seen[0], said[0].expand(4, 4, 6))
    assert torch.equal(seen[1], alone)
    assert torch.equal(seen[3], alone)
    assert torch.equal(step.info["bytes"][1], step.info["bytes"][0])
    assert not step.info["bytes"][3].any()
    order = world._state["fb/order"][2]
    assert torch.equal(seen[2], torch.where(own[..., None], said[0], said[0][:, order].expand(4, 4, 6)))
    spoken = step.obs["fb_targets"][2].any(-1)
    assert torch.equal(seen[2] != 0, spoken)  # with its row, wherever that went


def test_energies_come_late_and_not_beyond_a_cap():
    world, _ = society(energies=True, delay=2)
    sent = []
    for seed in range(5):
        actions, said, _ = energetic(world, seed)
        sent.append(said)
        obs = world.step(actions).obs
        late = sent[seed - 2] if seed > 1 else torch.zeros_like(said)
        assert torch.equal(obs["fb_energies"], late[:, None].expand(-1, 4, -1, -1))
    whole = 3 * 6 * 44
    world, _ = society(energies=True, cap=whole - 1)
    actions, said, _ = energetic(world)
    heard = world.step(actions).obs["heard"]
    assert heard[:, 2:, :2].all()  # who keeps silent on some rows stays below it
    assert not heard[:, :, 2:].any()


def test_noise_and_bits_leave_energies_alone():
    world, _ = society(energies=True, noise=0.1, bits=8)
    actions, said, _ = energetic(world)
    assert torch.equal(world.step(actions).obs["fb_energies"][:, 0], said)


# ---- bold liars -------------------------------------------------------------------------------------


def test_a_bold_liar_claims_every_row_it_speaks_of():
    world, _ = society(6, energies=True, liars=2, liar_kinds=("bold",))
    world.reset(seed=0)
    actions, said, silent = energetic(world)
    obs = world.step(actions).obs
    bold = world.privileged()["liar"]
    meant = actions["soft_targets"].argmax(-1)
    for w in range(6):
        assert bold[w].sum() == 2
        for j in range(4):
            rows, energies = obs["fb_targets"][w, 3 - j, j], obs["fb_energies"][w, 3 - j, j]
            quiet = silent[w, j]
            assert not rows[quiet].any()
            assert not energies[quiet].any()
            if bold[w, j]:
                assert torch.equal(rows[~quiet], torch.eye(10)[meant[w, j]][~quiet])
                assert (energies[~quiet] == actions["energies"][w, j][~quiet].amin()).all()
            else:
                assert torch.equal(energies, said[w, j])
                assert (rows[~quiet].amax(-1) < 1).all()


def test_bold_is_no_kind_that_a_society_has_unless_told_so():
    assert "bold" not in KINDS
    assert LIAR_KINDS[-1] == "bold"  # codes of the others, which saved states hold, stay
    hosted, _ = society(**HOSTED, liars=4, liar_kinds=("bold",), actions="targets")
    obs = hosted.step({"targets": torch.zeros(2, 4, 6, 10)}).obs
    assert (obs["messages"].amax(-1) == 1).all()
    lowest = obs["own_energies"].amin(-1)[:, hosted.host.sources.index(hosted.device)]
    assert torch.equal(obs["energies"], lowest[..., None].expand_as(obs["energies"]))


# ---- energies of hosted learners --------------------------------------------------------------------

HOSTED = {"learners": "mlp", "hidden": (8,), "lr": 0.03, "temperature": 1.5, "energies": True}


@pytest.mark.parametrize("mode", ["open", "shuffled"])
def test_hosted_energies_equal_a_plain_computation(mode):
    """As the learners' weights and the messages have them: features and, in form "targets", the energies by row."""
    world, obs = society(**HOSTED, mode=mode, drop=0.2, bits=3, actions="targets")
    assert world.source_features[-1] == "energy"
    assert len(world.source_features) == obs["sources"].shape[-1]
    assert not obs["own_energies"].any()
    for _ in range(6):
        x = world.dataset.inputs("stream", world._state["public/slice"])[:, 0]  # [W, B, ...]
        obs = world.step({"targets": obs["messages"][:, :, 0]}).obs
        # A step learns first and publishes then: its learners are those of now.
        answers = torch.stack([world.host.logits(x.flatten(2))[w] for w in range(2)])
        energy = -1.5 * (answers / 1.5).exp().sum(-1).log()  # [W, N, B]
        torch.testing.assert_close(obs["own_energies"], energy, rtol=1e-4, atol=1e-4)
        order = world._state["fb/order"] if mode == "shuffled" else torch.arange(6).expand(2, -1)
        for w in range(2):
            for i in range(4):
                for s in range(3):
                    sender = (i + 1 + s) % 4
                    feature = obs["sources"][w, i, s, -1]
                    if not obs["sources_mask"][w, i, s]:
                        assert feature == 0
                        assert not obs["energies"][w, i, s].any()
                        continue
                    spoke = obs["messages"][w, i, s].any(-1)
                    told = torch.where(spoke, energy[w, sender][order[w]], 0.0)
                    torch.testing.assert_close(obs["energies"][w, i, s], told, rtol=1e-4, atol=1e-4)
                    gap = (told - energy[w, i])[spoke].sum() / max(1, int(spoke.sum()))
                    torch.testing.assert_close(feature, gap.tanh(), rtol=1e-3, atol=1e-4)
    assert obs["sources"][..., -1].any()


def test_hosted_energies_change_no_other_feature_and_are_charged():
    plain, _ = society(**{**HOSTED, "energies": False})
    richer, _ = society(**HOSTED)
    assert richer.source_features[:-1] == plain.source_features
    for _ in range(5):
        listen = torch.full((2, 4, 3), 0.3)
        one, other = plain.step({"listen": listen}), richer.step({"listen": listen})
        assert torch.equal(one.obs["sources"], other.obs["sources"][..., :-1])
        assert torch.equal(one.reward, other.reward)
        assert torch.equal(one.info["bytes"] + 3 * 6 * 4, other.info["bytes"])
    assert "energies" not in other.obs  # the form "targets" alone shows rows


# ---- what is off, and what is refused ---------------------------------------------------------------


@pytest.mark.parametrize("extra", [{"public_labels": 0.5}, {"energies": True}])
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
        ({"energies": 1}, "energies must be true or false"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(kwargs, says):
    with pytest.raises(ConfigError, match=says) as caught:
        make_world("society-v0", **kwargs)
    assert "\n" not in str(caught.value)
