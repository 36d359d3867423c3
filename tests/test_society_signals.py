"""society-v0: what it may tell and carry beside soft targets, and what that costs."""

import numpy as np
import pytest
import torch

from studyhall import make_env, make_sb3, make_world
from studyhall.envs import ActionError, ConfigError
from studyhall.envs.bridges.flat import FlatActions
from studyhall.envs.channel import LIAR_KINDS
from studyhall.envs.society.world import KINDS
from studyhall.policies import RandomPolicy
from studyhall.testing import check_engine, check_policy, check_world
from studyhall.testing.tools import sample_actions, seeded

MODES = ["open", "mute", "shuffled", "isolated"]
SMALL = {"agents": 4, "slice_size": 6, "exam_size": 10, "horizon": 40, "liars": 0}


def society(num_worlds=2, seed=3, **kwargs):
    world = make_world("society-v0", num_worlds=num_worlds, autoreset=False, **{**SMALL, **kwargs})
    return world, world.reset(seed=[seed] * num_worlds)


SLOTS = ("heard", "fb_targets", "fb_energies", "fb_parcels")


def by_agent(world, obs):
    """What is observed by slot as [W, N, N, …], by agent."""
    return obs | {key: world.neighbours().by_agent(obs[key]) for key in SLOTS if key in obs}


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
        obs = by_agent(world, world.step(actions).obs)
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
    obs = by_agent(world, step.obs)
    seen, own = obs["fb_energies"], torch.eye(4, dtype=torch.bool)
    alone = said[0] * own[..., None]
    assert torch.equal(seen[0], said[0].expand(4, 4, 6))
    assert torch.equal(seen[1], alone)
    assert torch.equal(seen[3], alone)
    assert torch.equal(step.info["bytes"][1], step.info["bytes"][0])
    assert not step.info["bytes"][3].any()
    order = world._state["fb/order"][2]
    assert torch.equal(seen[2], torch.where(own[..., None], said[0], said[0][:, order].expand(4, 4, 6)))
    spoken = obs["fb_targets"][2].any(-1)
    assert torch.equal(seen[2] != 0, spoken)  # with its row, wherever that went


def test_energies_come_late_and_not_beyond_a_cap():
    world, _ = society(energies=True, delay=2)
    sent = []
    for seed in range(5):
        actions, said, _ = energetic(world, seed)
        sent.append(said)
        obs = by_agent(world, world.step(actions).obs)
        late = sent[seed - 2] if seed > 1 else torch.zeros_like(said)
        assert torch.equal(obs["fb_energies"], late[:, None].expand(-1, 4, -1, -1))
    whole = 3 * 6 * 44
    world, _ = society(energies=True, cap=whole - 1)
    actions, said, _ = energetic(world)
    heard = by_agent(world, world.step(actions).obs)["heard"]
    assert heard[:, 2:, :2].all()  # who keeps silent on some rows stays below it
    assert not heard[:, :, 2:].any()


def test_noise_and_bits_leave_energies_alone():
    world, _ = society(energies=True, noise=0.1, bits=8)
    actions, said, _ = energetic(world)
    assert torch.equal(by_agent(world, world.step(actions).obs)["fb_energies"][:, 0], said)


# ---- bold liars -------------------------------------------------------------------------------------


def test_a_bold_liar_claims_every_row_it_speaks_of():
    world, _ = society(6, energies=True, liars=2, liar_kinds=("bold",))
    world.reset(seed=0)
    actions, said, silent = energetic(world)
    obs = by_agent(world, world.step(actions).obs)
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
    lowest = obs["own_energies"].amin(-1)[:, [[1, 2, 3], [2, 3, 0], [3, 0, 1], [0, 1, 2]]]
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


# ---- parcels ----------------------------------------------------------------------------------------

MOST = 2**31 - 1


def loaded(world, numbers, seed=0, speaks=True):
    """Random actions with parcels of so many numbers, [N] in every world."""
    actions = sample_actions(world, seeded(seed), abstain=0.0)
    actions["soft_targets"] = actions["soft_targets"] * speaks
    return {
        **actions,
        "parcel": torch.tensor(numbers)[None, :, None].expand(world.num_worlds, -1, -1).clone(),
    }


def test_a_parcel_arrives_with_its_message_and_costs_four_bytes_a_number():
    world, obs = society(parcels=True, topology="ring")
    assert world.crosses == {"soft_targets", "labels", "weights"}
    assert not obs["fb_parcels"].any()
    step = world.step(loaded(world, [5, 0, 1000, 7]))
    assert by_agent(world, step.obs)["fb_parcels"][0].tolist() == [
        [5, 0, 0, 7],
        [5, 0, 1000, 0],
        [0, 0, 1000, 7],
        [5, 0, 1000, 7],
    ]
    assert step.info["bytes"][0].tolist() == [2 * (6 * 40 + 4 * sent) for sent in (5, 0, 1000, 7)]


def test_a_parcel_alone_is_a_message_and_nothing_is_none():
    world, _ = society(parcels=True)
    step = world.step(loaded(world, [5, 0, 0, 7], speaks=False))
    assert by_agent(world, step.obs)["heard"][0].any(0).tolist() == [True, False, False, True]
    assert not step.obs["fb_targets"].any()
    assert step.info["bytes"][0].tolist() == [60, 0, 0, 84]


def test_the_greatest_parcels_are_summed_up_exactly_and_what_is_beyond_counts_as_the_bound():
    world, _ = society(parcels=True)
    for t in range(1, 4):
        step = world.step(loaded(world, [MOST, 2**40, -3, 0], speaks=False))
        assert step.obs["fb_parcels"][0, 3].tolist() == [0, MOST, MOST, 0]  # oneself, then 0, 1 and 2
        assert world._state["bits"][0].tolist() == [t * 3 * 32 * MOST] * 2 + [0, 0]
    assert step.info["bytes"][0, 0] == pytest.approx(3 * 4 * MOST)


def test_one_message_has_one_fate():
    world, _ = society(parcels=True, drop=0.5, churn=0.3, rejoin=0.5)
    lost = 0
    for seed in range(8):
        present = world._state["present"]
        obs = by_agent(world, world.step(loaded(world, [4, 3, 2, 1], seed)).obs)
        heard = obs["heard"].bool()
        sent = torch.tensor([4, 3, 2, 1]) * present
        own = torch.eye(4, dtype=torch.bool)
        assert torch.equal(obs["fb_parcels"], sent[:, None] * (heard | own))
        assert torch.equal(obs["fb_targets"].flatten(3).any(-1), obs["fb_parcels"] > 0)
        lost += int((~heard & ~own & present[:, None] & present[..., None]).sum())
    assert lost


def test_a_cap_keeps_back_the_whole_message():
    world, _ = society(parcels=True, cap=3 * (6 * 40 + 4 * 10))
    step = world.step(loaded(world, [10, 11, 0, 10]))
    obs = by_agent(world, step.obs)
    assert obs["heard"][0].any(0).tolist() == [True, False, True, True]
    assert obs["fb_parcels"][0, 0].tolist() == [10, 0, 0, 10]
    assert obs["fb_parcels"][0, 1].tolist() == [10, 11, 0, 10]  # one's own as one sent it
    assert step.info["bytes"][0, 1] == 0


def test_parcels_in_the_modes_of_the_channel():
    world, _ = society(4, parcels=True, mode=MODES, delay=1)
    assert not world.step(loaded(world, [4, 3, 2, 1])).obs["fb_parcels"].any()
    step = world.step(loaded(world, [9, 9, 9, 9]))
    sent, came = torch.tensor([4, 3, 2, 1]), by_agent(world, step.obs)["fb_parcels"]
    assert torch.equal(came[0], sent.expand(4, 4))
    assert torch.equal(came[1], sent.diag())
    assert torch.equal(came[2], sent.expand(4, 4))
    assert torch.equal(came[3], sent.diag())
    assert torch.equal(step.info["bytes"][1], step.info["bytes"][0])
    assert not step.info["bytes"][3].any()


def test_the_random_policy_and_flat_views_send_whole_numbers():
    world, _ = society(parcels=True)
    policy = RandomPolicy()
    policy.bind(world)
    sent = torch.stack([policy.act(world.step(policy.act(world.obs)).obs)["parcel"] for _ in range(20)])
    assert sent.dtype == torch.int64
    assert 0 <= sent.min() < MOST / 10
    assert MOST * 0.9 < sent.max() <= MOST
    flat = FlatActions(world.action_space)
    low, high = (flat.split(torch.full(flat.shape, end))["parcel"].tolist() for end in (-1.0, 1.0))
    assert (low, high) == ([0], [MOST])


def test_views_refuse_a_parcel_that_is_none():
    env = make_env("society-v0", **SMALL, parcels=True)
    env.reset(seed=0)
    good = {agent: env.action_space(agent).sample() for agent in env.agents}
    for parcel, says in (([2.5], "integers"), ([-1], r"outside \[0, 2147483647\]"), ([2**31], "outside")):
        bad = {**good, "agent_1": {**good["agent_1"], "parcel": parcel}}
        with pytest.raises(ActionError, match=f"'parcel' of agent_1.*{says}"):
            env.step(bad)
    env.step(good)  # nothing was lost


# ---- the conformance suite --------------------------------------------------------------------------

ALL = {"public_labels": 0.5, "energies": True, "parcels": True}
CHECKED = {"agents": 3, "slice_size": 4, "exam_size": 10, "horizon": 4}


def test_the_world_keeps_the_contract_in_all_its_views():
    check_world("society-v0", **CHECKED, **ALL)


def test_the_hosted_world_keeps_the_contract_in_all_its_views():
    learners = {"learners": "mlp", "hidden": (4,), "optimiser": "sgd", "lr": 0.1}
    check_world("society-v0", **CHECKED, **learners, energies=True, actions="targets", liar_kinds=("bold",))


def test_the_random_policy_keeps_the_contract():
    check_policy("random", "society-v0", **CHECKED, **ALL)


def test_faults_and_prices_keep_the_contract():
    faults = {
        "drop": 0.3,
        "churn": 0.3,
        "rejoin": 0.5,
        "delay": 1,
        "mode": "shuffled",
        "bits": 4,
        "noise": 0.1,
    }
    check_engine(
        "society-v0", **CHECKED, **ALL, **faults, liar_kinds=LIAR_KINDS, label_price=0.1, byte_price=1e-9
    )


@pytest.mark.parametrize(
    "kwargs", [{"parcels": True, "slice_size": 1}, {"energies": True, "learners": "mlp", "hidden": (4,)}]
)
def test_stable_baselines_takes_it(kwargs):
    env = make_sb3("society-v0", num_worlds=2, **{**SMALL, **kwargs})
    env.seed(0)
    obs = env.reset()
    for _ in range(3):
        obs, reward, _, _ = env.step(np.stack([env.action_space.sample() for _ in range(env.num_envs)]))
    assert np.isfinite(reward).all()
    assert all(value in env.observation_space[key] for key, part in obs.items() for value in part)


def test_energies_of_ones_own_are_no_flat_action_of_stable_baselines():
    with pytest.raises(ConfigError, match=r"'energies' has no bounds.*make the world with learners='mlp'$"):
        make_sb3("society-v0", **{**SMALL, "slice_size": 1, "energies": True})


# ---- what is off, and what is refused ---------------------------------------------------------------


@pytest.mark.parametrize("extra", [{"public_labels": 0.5}, {"energies": True}, {"parcels": True}])
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
        ({"parcels": True, "learners": "mlp"}, "bring their learners"),
        ({"energies": 1}, "energies must be true or false"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(kwargs, says):
    with pytest.raises(ConfigError, match=says) as caught:
        make_world("society-v0", **kwargs)
    assert "\n" not in str(caught.value)


def test_labels_of_public_rows_are_revealed_once_whoever_is_told():
    small = {"agents": 3, "slice_size": 4, "exam_size": 10, "horizon": 6}
    world = make_world("society-v0", **small, public_labels=1.0, autoreset=False)
    world.reset(seed=0)
    policy = RandomPolicy()
    policy.bind(world)
    for _ in range(6):
        world.step(policy.act(world.obs))
    own = 3 * 4 * 6
    assert world.breakdown()["labels"].item() == own + 4 * 6
    assert world.metrics()["labels"].sum().item() == own + 3 * 4 * 6  # each who is told is charged
