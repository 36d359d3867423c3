"""collective-v0 as its page describes it: weights, contributions and counts against plain loops."""

import math

import pytest
import torch
from stable_baselines3 import PPO

from studyhall import make_sb3
from studyhall.envs.collective.world import Collective
from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.envs.mixing import Mixing, disagreement, entropy
from studyhall.policies.collective.bids.bidders import Bidders
from studyhall.policies.collective.panels import AS_PUBLISHED, PANELS
from studyhall.policies.collective.specialists import Specialists
from studyhall.scenarios import registry as scenarios
from studyhall.testing import check_engine, check_exam_blind

SMALL = {"agents": 3, "slice_size": 4, "exam_size": 10, "horizon": 12}
HOSTED = {**SMALL, "learners": "mlp", "hidden": (8,)}


def world(cls=Collective, **kwargs):
    made = cls(**{**SMALL, "num_worlds": 2, "autoreset": False, **kwargs})
    return made, made.reset(seed=5)


def actions(world, *, seed=0, **given):
    """Random answers and bids, some of them 0."""
    g = torch.Generator().manual_seed(seed)
    drawn = {}
    for key, space in world.action_space.spaces.items():
        value = torch.rand(world.num_worlds, world.num_agents, *space.shape, generator=g)
        drawn[key] = value.relu() if "bids" not in key else (value - 0.3).relu()
    return {**drawn, **given}


# ---- the conformance suite --------------------------------------------------------------------------


def test_the_world_keeps_the_contract():
    kwargs = {"weighting": "top_k", "k": 2, "share": "parts", "delay": 1, "exam_every": 3, "churn": 0.2}
    kwargs |= {"byte_price": 0.1, "consult_price": 0.01, "drop": 0.3, "liars": 1, "bits": 4, "horizon": 6}
    check_engine(Collective, **{**SMALL, **kwargs})


def test_the_hosted_world_keeps_the_contract():
    kwargs = {"agents": 2, "slice_size": 2, "horizon": 4, "hidden": (4,), "learn_from": "consulted"}
    check_engine(Collective, **{**HOSTED, **kwargs}, weighting="votes", mode="shuffled")


# ---- who is in use ----------------------------------------------------------------------------------


def test_members_in_use_are_counted_by_who_is_consulted():
    """All alike count as N, one alone as 1, three to one as exp of the entropy of (¾, ¼); nobody as 0."""
    made, _ = world(num_worlds=4)
    bids = torch.zeros(4, 3, 4)  # [W, N, B]
    bids[0] = 0.5
    bids[1, 2] = 0.5
    bids[2, 0, :3] = bids[2, 1, 3] = 0.5
    exam = torch.zeros(4, 3, 10)
    for _ in range(3):
        found = made.step(actions(made, bids=bids, answers_bids=exam)).info
    made.step(actions(made, bids=bids, answers_bids=exam))
    mixed = math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    for figures in (found, made.metrics()):
        assert figures["members_in_use"].tolist() == pytest.approx([3, 1, mixed, 0])
        assert figures["busiest"].tolist() == pytest.approx([1 / 3, 1, 0.75, 0])


def test_an_unknown_share_lists_all_of_them():
    with pytest.raises(UnknownName, match="did you mean 'parts'"):
        Collective(share="part")


# ---- weights, against plain loops -------------------------------------------------------------------


def plain_weights(bids, weighting, k):
    """Weights of one sample, by the words of the page; ``bids`` is a list."""
    kept = list(bids)
    if weighting == "top_k":
        first = sorted(range(len(bids)), key=lambda i: (-bids[i], i))[:k]
        kept = [bid if i in first else 0.0 for i, bid in enumerate(bids)]
    total = sum(kept)
    return [bid / total if total else 0.0 for bid in kept]


def plain_answer(bids, answers, weighting, k):
    """The collective's answer to one sample; ``answers [N, C]``. Ties of votes are another test's."""
    weights = plain_weights(bids, weighting, k)
    if weighting == "votes":
        best = answers.argmax(-1)
        answers = torch.zeros_like(answers)
        answers[torch.arange(len(answers)), best] = 1.0
    return sum(w * answer for w, answer in zip(weights, answers, strict=True))


@pytest.mark.parametrize(("weighting", "k"), [("normalised", 2), ("top_k", 1), ("top_k", 2), ("votes", 2)])
def test_weights_and_answers_equal_the_plain_loop(weighting, k):
    g = torch.Generator().manual_seed(1)
    bids = (torch.rand(4, 6, generator=g) - 0.4).relu()
    bids[:, 0] = 0  # nobody bids for the first
    bids[:, 1] = 0.5  # all bid alike for the second
    answers = torch.rand(4, 6, 3, generator=g).softmax(-1)
    mixing = Mixing(4, weighting, k)
    weights = mixing.weights(bids)
    mixed = mixing.mix(weights, answers)
    for r in range(6):
        expected = plain_weights(bids[:, r].tolist(), weighting, k)
        assert weights[:, r].tolist() == pytest.approx(expected, abs=1e-6)
        assert torch.allclose(
            mixed[r], plain_answer(bids[:, r].tolist(), answers[:, r], weighting, k), atol=1e-6
        )
    assert (mixed[0] == 0).all()


@pytest.mark.parametrize(
    ("answers", "bids", "wins"),
    [
        ([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0]], [1.0, 1.0], 1),
        ([[0.6, 0.4, 0.0], [0.45, 0.55, 0.0]], [1.0, 1.0], 0),
        ([[0.4, 0.3, 0.3], [0.3, 0.4, 0.3], [0.0, 0.1, 0.9]], [0.1, 0.1, 0.1], 2),  # three ways
        ([[0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.6, 0.4, 0.0]], [0.3, 0.3, 0.6], 1),  # 0.3 + 0.3 and 0.6
        ([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0]], [1.0, 0.9], 0),  # no tie: the vote decides
        ([[0.51, 0.49, 0.0], [0.51, 0.49, 0.0], [0.0, 1.0, 0.0]], [1.0, 1.0, 1.0], 0),  # nor here
    ],
)
def test_tied_votes_go_to_the_greatest_summed_probability(answers, bids, wins):
    mixing = Mixing(len(bids), "votes")
    weights = mixing.weights(torch.tensor(bids)[:, None])
    said = mixing.mix(weights, torch.tensor(answers)[:, None])[0]
    votes = torch.nn.functional.one_hot(torch.tensor(answers).argmax(-1), 3) * weights
    assert said.argmax() == wins
    assert said.sum().item() == pytest.approx(1.0)
    assert torch.allclose(said, votes.sum(0), atol=1.2e-7)  # what summing in another order changes


@pytest.mark.parametrize("weighting", ["normalised", "top_k", "votes"])
def test_an_all_zero_answer_is_no_answer(weighting):
    mixing = Mixing(3, weighting)
    third = torch.full((3, 1), 1 / 3)
    assert (mixing.mix(third, torch.zeros(3, 1, 4)) == 0).all()
    one = torch.zeros(3, 1, 4)
    one[2, 0, 3] = 1.0
    assert mixing.mix(third, one)[0].tolist() == pytest.approx([0, 0, 0, 1 / 3])


@pytest.mark.parametrize("weighting", ["normalised", "votes"])
def test_what_quantisation_rounds_to_nothing_is_charged_and_adds_nothing(weighting):
    env, _ = world(weighting=weighting, bits=1, slice_size=64, num_worlds=1)
    even = torch.ones(1, 3, 64, 10)  # every number rounds to 0
    step = env.step(
        actions(env, soft_targets=even, bids=torch.ones(1, 3, 64), answers_bids=torch.zeros(1, 3, 10))
    )
    assert step.info["collective_prequential"].tolist() == [0.0]  # class 0 was dealt, and not said
    assert (step.obs["fb_labels"] == 0).any()
    assert step.info["consulted"].tolist() == [[64.0] * 3]
    assert step.info["bytes"].tolist() == [[2 * 64 * (10 / 8 + 4)] * 3]
    assert (step.obs["fb_targets"] == 0).all()


def test_bids_that_are_none_count_for_nothing():
    bids = torch.tensor([[1.0, 0.0], [math.nan, -3.0], [math.inf, 2.0]])
    assert Mixing(3).weights(bids).tolist() == [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(("weighting", "k"), [("normalised", 2), ("top_k", 2), ("votes", 2)])
def test_contributions_equal_leaving_one_out_in_a_loop(weighting, k):
    env, _ = world(weighting=weighting, k=k, exam_smoothing=1.0, agents=4)
    sent = actions(env)
    sent["answers"][:, 2, 3] = 0  # abstains: its bid there counts for nothing
    env.step(sent)
    answers = sent["answers"] / sent["answers"].sum(-1, keepdim=True).clamp_min(1e-9)
    bids = sent["answers_bids"] * (sent["answers"].sum(-1) > 0)
    labels = env.dataset.labels("exam", env._state["exam"])

    def score(w, members):
        total = 0.0
        for e in range(10):
            own = [bids[w, i, e].item() for i in members]
            said = plain_answer(own, answers[w, members, e], weighting, k)
            said = said if said.sum() > 0 else torch.full((10,), 0.1)
            truth = torch.nn.functional.one_hot(labels[w, e], 10)
            total += 1 - 0.5 * (said - truth).square().sum().item()
        return total / 10

    metrics = env.metrics()
    for w in range(2):
        everyone = score(w, [0, 1, 2, 3])
        assert metrics["collective_score"][w].item() == pytest.approx(everyone, abs=1e-5)
        for i in range(4):
            expected = everyone - score(w, [j for j in range(4) if j != i])
            assert metrics["contribution"][w, i].item() == pytest.approx(expected, abs=1e-5)
    worth = metrics["member_score"] + metrics["contribution"]
    assert torch.allclose(metrics["score"], worth, atol=1e-6)


def test_entropy_and_disagreement():
    weights = torch.tensor([[0.5, 1.0, 0.0], [0.5, 0.0, 0.0]])
    assert entropy(weights).tolist() == pytest.approx([math.log(2), 0.0, 0.0])
    answers = torch.eye(3)[torch.tensor([[0, 0], [0, 1], [1, 2]])]  # members × samples: 0,0,1 and 0,1,2
    silent = torch.zeros(3, 2, dtype=torch.bool)
    assert disagreement(answers, silent).tolist() == pytest.approx([2 / 3, 1.0])
    silent[2] = True
    assert disagreement(answers, silent).tolist() == pytest.approx([0.0, 1.0])
    silent[1:] = True
    assert disagreement(answers, silent).tolist() == [0.0, 0.0]


# ---- counts and charges -----------------------------------------------------------------------------


def test_utilisation_load_and_drops_are_counted_exactly():
    env, _ = world(weighting="top_k", k=1, num_worlds=1, exam_every=2)
    bids = torch.tensor([[[3.0, 0.0, 1.0, 0.0], [1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 5.0]]])
    exam = torch.zeros(1, 3, 10)
    exam[:, 1, :7] = 1.0
    step = env.step(actions(env, bids=bids, answers_bids=exam))  # an exam day: 4 + 10 samples
    assert step.info["consulted"].tolist() == [[1.0, 8.0, 1.0]]
    assert step.info["dropped"].tolist() == [1.0 + 3.0]
    assert step.info["utilisation"].tolist() == [pytest.approx([1 / 14, 8 / 14, 1 / 14])]
    assert step.obs["load"][0, 0].tolist() == [0.25, 0.25, 0.25]
    env.step(actions(env, bids=bids, answers_bids=exam))  # no exam: 4 samples
    metrics = env.metrics()
    assert metrics["consulted"].tolist() == [[2.0, 9.0, 2.0]]
    assert metrics["dropped"].tolist() == [5.0]
    assert metrics["utilisation"].tolist() == [pytest.approx([2 / 18, 9 / 18, 2 / 18])]
    assert metrics["entropy"].tolist() == [0.0]


def test_sparse_bids_are_charged_less():
    dense, _ = world(consult_price=0.5, byte_price=1.0, exam_every=2, weighting="normalised")
    sparse, _ = world(consult_price=0.5, byte_price=1.0, exam_every=2, weighting="top_k", k=1)
    sent = actions(dense, bids=torch.ones(2, 3, 4), answers_bids=torch.zeros(2, 3, 10))
    for env in (dense, sparse):
        env.step(sent)
    many, few = dense.step(sent), sparse.step(sent)  # no exam today: rewards are the charges
    message = 10 * 4 + 4  # bytes of a row and its weight to one of two others
    assert many.info["bytes"].tolist() == [[2 * 4 * message] * 3] * 2
    assert few.info["bytes"].tolist() == [[2 * 4 * message, 0, 0]] * 2  # equal bids: the earlier member
    kib = 2 * 4 * message / 1024
    assert torch.allclose(many.reward, torch.full((2, 3), -(0.5 * 4 + kib)), atol=1e-5)
    assert torch.allclose(few.reward, torch.tensor([[-(0.5 * 4 + kib), 0, 0]] * 2), atol=1e-5)


def test_only_what_was_consulted_comes_back():
    env, obs = world(weighting="top_k", k=1)
    sent = actions(env, bids=torch.tensor([[[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]] * 2))
    after = env.step(sent).obs
    said = sent["soft_targets"] / sent["soft_targets"].sum(-1, keepdim=True)
    expected = said * torch.eye(3, 4)[..., None]
    for i in range(3):  # oneself, then the next ones around
        assert torch.allclose(after["fb_targets"][:, i], expected.roll(-i, 1), atol=1e-6)
        assert torch.equal(after["fb_weights"][:, i], torch.eye(3, 4).roll(-i, 0).expand(2, 3, 4))
    assert torch.equal(after["fb_slice"], obs["slice"])
    assert (after["fb_labels"] >= 0).all()


@pytest.mark.parametrize("mode", ["mute", "isolated"])
def test_who_hears_nobody_is_told_the_weight_of_its_own_bid_alone(mode):
    env, _ = world(mode=mode, weighting="top_k", k=1)
    bids = torch.tensor([[0.2, 0.0, 0.2, 0.2], [0.3, 0.3, 0.3, 0.3], [0.1, 0.0, 0.0, 0.0]]).expand(2, 3, 4)
    step = env.step(actions(env, bids=bids, answers_bids=torch.zeros(2, 3, 10)))
    own = (bids > 0).float()
    assert torch.equal(step.obs["fb_weights"][:, :, 0], own)
    assert torch.equal(step.obs["load"][:, :, 0], own.mean(-1))
    assert not step.obs["fb_weights"][:, :, 1:].any()
    assert not step.obs["load"][:, :, 1:].any()
    assert torch.equal(step.obs["fb_targets"].sum(-1) > 0, step.obs["fb_weights"] > 0)
    assert step.info["consulted"].tolist() == [[0.0, 4.0, 0.0]] * 2  # what the collective says sums everyone


ALONE = {"contribution_weight": 0.0, "exam_smoothing": 1.0}


@pytest.mark.parametrize("weighting", ["normalised", "top_k", "votes"])
@pytest.mark.parametrize("mode", ["mute", "isolated", "open"])
def test_peers_change_nothing_of_what_one_who_hears_nobody_observes(mode, weighting):
    faults = {"delay": 1, "churn": 0.2, "noise": 0.1, "bits": 3, "horizon": 30}
    one, other = (world(mode=mode, weighting=weighting, k=1, **ALONE, **faults)[0] for _ in range(2))
    differ = set()
    for t in range(12):
        mine, theirs = actions(one, seed=t), actions(other, seed=t + 100)
        theirs = {key: torch.cat([mine[key][:, :1], theirs[key][:, 1:]], dim=1) for key in mine}
        a, b = one.step(mine), other.step(theirs)
        for key in a.obs:
            x, y = a.obs[key][:, 0], b.obs[key][:, 0]
            if key == "report" and mode == "mute":  # cards are public there, see the page
                x, y = x[:, [0, -1]], y[:, [0, -1]]
            if not torch.equal(x, y):
                differ.add(key)
        if not torch.equal(a.reward[:, 0], b.reward[:, 0]):
            differ.add("reward")
    told = {"load", "fb_weights", "fb_targets", "report"} if mode == "open" else set()
    assert differ - {"heard"} == told
    assert mode == "open" or "heard" not in differ


def test_who_was_not_consulted_is_not_heard():
    env, _ = world(weighting="top_k", k=1, topology="ring", agents=4)
    bids = torch.tensor([0.1, 0.4, 0.2, 0.3])[:, None].expand(2, 4, 4).clone()
    after = env.step(actions(env, bids=bids)).obs
    assert after["heard"][0].tolist() == [
        [0, 1, 0],
        [0, 0, 0],
        [0, 0, 1],
        [0, 0, 0],
    ]  # oneself, the next, the last
    assert after["load"][0].tolist() == [
        [0, 1, 0],
        [1, 0, 0],
        [0, 0, 1],
        [0, 0, 0],
    ]  # one's own, and of those heard
    assert {"messages", "soft_targets"} <= env.crosses


def test_abstaining_and_absent_members_are_not_consulted():
    env, _ = world(churn=0.5, rejoin=0.5, horizon=40)
    for t in range(30):
        sent = actions(env, seed=t, bids=torch.ones(2, 3, 4), answers_bids=torch.ones(2, 3, 10))
        sent["soft_targets"][:, 1] = 0
        present = env._state["present"].clone()
        consulted = env.step(sent).info["consulted"]
        assert torch.equal(consulted[:, 1], present[:, 1] * 10.0)
        assert torch.equal(consulted[:, 0], present[:, 0] * 14.0)


def test_parts_show_each_member_its_own_and_together_everything():
    env, obs = world(share="parts")
    whole, _ = world(share="shared")
    seen = obs["slice"] != 0
    assert (seen.sum(1) <= 1).all()
    assert torch.equal(obs["slice"].sum(1), whole.obs["slice"][:, 0])
    assert torch.equal(obs["exam"].sum(1), whole.obs["exam"][:, 0])


def test_a_perfect_member_that_alone_is_heard_makes_the_collective_perfect():
    env, _ = world(exam_smoothing=1.0)
    labels = env.dataset.labels("exam", env._state["exam"])
    sent = actions(env)
    sent["answers"][:, 1] = torch.nn.functional.one_hot(labels, 10).float()
    sent["answers_bids"] = torch.tensor([0.0, 1.0, 0.0])[:, None].expand(2, 3, 10).clone()
    env.step(sent)
    metrics = env.metrics()
    assert metrics["collective_accuracy"].tolist() == [1.0, 1.0]
    chance = env.exam.chance(10)
    assert torch.allclose(
        metrics["contribution"], torch.tensor([0.0, 1 - chance, 0.0]).expand(2, 3), atol=1e-6
    )


def test_equal_seeds_are_equal_worlds():
    one, other = world(liars=1, drop=0.2)[0], world(liars=1, drop=0.2)[0]
    for t in range(5):
        a, b = one.step(actions(one, seed=t)), other.step(actions(other, seed=t))
        assert torch.equal(a.reward, b.reward)
        assert all(torch.equal(a.obs[key], b.obs[key]) for key in a.obs)


# ---- hosted -----------------------------------------------------------------------------------------


def hosted(**kwargs):
    made = Collective(**{**HOSTED, "num_worlds": 2, "autoreset": False, **kwargs})
    return made, made.reset(seed=5)


def hosted_actions(env):
    shape = (env.num_worlds, env.num_agents)
    return {
        "listen": torch.zeros(*shape, env.num_agents - 1),
        "bids": torch.ones(*shape, env.schedule.rows),
        "answers_bids": torch.ones(*shape, env.exam.size),
    }


def test_the_return_is_the_change_of_the_score_from_the_first_exam_on():
    env, _ = hosted(contribution_weight=3.0, horizon=6)
    before = env.metrics()
    assert (before["contribution"].abs() > 1e-4).any()
    assert torch.allclose(before["score"], before["member_score"] + 3 * before["contribution"])
    total = sum(env.step(hosted_actions(env)).reward for _ in range(6))
    assert torch.allclose(total, 10 * (env.metrics()["score"] - before["score"]), atol=1e-4)


def test_features_of_exam_items_stand_apart_from_those_of_the_slice():
    env, obs = hosted(exam_every=2)
    assert obs["samples"].shape == (2, 3, 4, 5)
    assert obs["answers_samples"].shape == (2, 3, 10, 5)
    assert (obs["answers_samples"][..., 0] > 0).all()
    assert (env.step(hosted_actions(env)).obs["answers_samples"] == 0).all()
    policy = Bidders()
    policy.bind(env)
    one, other = policy.act(obs), policy.act({**obs, "answers_samples": obs["answers_samples"] / 2})
    assert torch.equal(one["bids"], other["bids"])
    assert not torch.equal(one["answers_bids"], other["answers_bids"])


def test_bids_can_be_trained_with_stable_baselines3():
    env = make_sb3("collective-v0", 2, seed=0, **HOSTED)
    assert env.action_space.shape == (2 + 4 + 10,)
    model = PPO("MultiInputPolicy", env, n_steps=4, batch_size=8, n_epochs=1, seed=0, device="cpu")
    before = [p.clone() for p in model.policy.parameters()]
    model.learn(48)
    assert any(not torch.equal(old, new) for old, new in zip(before, model.policy.parameters(), strict=True))
    with pytest.raises(ConfigError, match="make the world with learners='mlp'"):
        make_sb3("collective-v0", 2)  # 1,056 numbers


def test_the_advice_on_swarms_holds():
    env = make_sb3("swarm-v0", 1, seed=0, actions="coefficients", horizon=4)
    model = PPO("MultiInputPolicy", env, n_steps=2, batch_size=2 * env.num_envs, n_epochs=1, device="cpu")
    assert model.learn(1).num_timesteps == 2 * env.num_envs


def test_hosted_specialists_learn_and_features_tell_what_they_think():
    env, obs = hosted(horizon=60, slice_size=32, lr=3e-3, hidden=(32,))
    before = env.metrics()["collective_accuracy"]
    for _ in range(60):
        obs = env.step(hosted_actions(env)).obs
    assert (env.metrics()["collective_accuracy"] > before + 0.3).all()
    said = env.host.publications(env._flat("stream", env._shown(env._state))[:, 0])
    believes = said["soft_targets"] ** env.host.settings.temperature
    believes = believes / believes.sum(-1, keepdim=True)
    assert torch.allclose(obs["samples"][..., 0], believes.amax(-1), atol=1e-4)


def test_who_is_right_is_a_secret_for_oracles():
    env, _ = hosted(horizon=60, slice_size=32, lr=3e-3, hidden=(32,), share="class_experts", exam_size=60)
    for _ in range(58):
        env.step(hosted_actions(env))
    right = env.privileged()["right"]
    assert right.shape == (2, 3, 60)
    exam = env._state["exam"]
    now = env.predict(env.dataset.inputs("exam", exam).flatten(0, 1)).argmax(-1).unflatten(2, (2, 60))
    for w, labels in enumerate(
        env.dataset.labels("exam", exam)
    ):  # of the networks as they are, before a lesson
        assert torch.equal(right[w], now[w, :, w] == labels)
    sent = hosted_actions(env)
    equal = env.fork().step(sent).info["collective_accuracy"]
    found = env.fork().step({**sent, "answers_bids": right.float()}).info
    assert (found["collective_accuracy"] > equal + 0.05).all()
    # One more lesson lies between the two, as the page says.
    assert torch.allclose(right.float().mean(-1), found["exam_accuracy"], atol=0.1)


def test_who_learns_from_consulted_samples_alone_stays_if_never_asked():
    env, _ = hosted(weighting="top_k", k=1, learn_from="consulted")
    sent = hosted_actions(env)
    sent["bids"][:, 1:] = 0
    before = [stack.clone() for stack in env.population.parameters]
    for _ in range(3):
        env.step(sent)
    for old, new in zip(before, env.population.parameters, strict=True):
        moved = (old != new).flatten(1).any(-1).view(2, 3)
        assert moved.tolist() == [[True, False, False]] * 2


@pytest.mark.parametrize("mode", ["mute", "isolated", "open"])
def test_peers_change_nothing_of_what_a_learner_who_hears_nobody_learns(mode):
    def course(peers):
        env, obs = hosted(mode=mode, weighting="top_k", k=1, learn_from="consulted", **ALONE)
        seen = []
        for t in range(6):
            sent = hosted_actions(env)
            sent["bids"] = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(t)).round() / 2
            sent["bids"][:, 1:] = peers  # below one's own bids, or above them
            sent["listen"][:, 1:] = peers
            step = env.step(sent)
            seen += [value[:, 0] for value in (*step.obs.values(), step.reward)]
        return seen + [stack.unflatten(0, (2, 3))[:, 0].clone() for stack in env.population.parameters]

    same = [torch.equal(a, b) for a, b in zip(course(0.0), course(1.0), strict=True)]
    assert all(same) == (mode != "open")


# ---- mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "error", "says"),
    [
        ({"weighting": "mean"}, UnknownName, "unknown weighting 'mean'"),
        ({"weighting": "top_k", "k": 4}, ConfigError, "k .* between 1 and 3"),
        ({"consult_price": -1}, ConfigError, "consult_price .* at least 0"),
        ({"contribution_weight": -1}, ConfigError, "contribution_weight .* at least 0"),
        ({"share": "parts", "agents": 9}, ConfigError, "9 members are too many"),
        ({"share": "halves"}, UnknownName, "unknown share"),
    ],
)
def test_mistakes_are_told_in_one_line(kwargs, error, says):
    with pytest.raises(error, match=says) as caught:
        Collective(**{**SMALL, **kwargs})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kwargs", "error", "says"),
    [
        ({"actions": "discrete"}, ConfigError, "bids beside its choices"),
        ({"learn_from": "some"}, UnknownName, "unknown learn_from 'some'"),
        ({"share": "parts"}, ConfigError, "learners of your own"),
        ({"share": "own", "learn_from": "consulted"}, ConfigError, "needs share='shared'"),
    ],
)
def test_mistakes_of_hosted_worlds(kwargs, error, says):
    with pytest.raises(error, match=says):
        Collective(**{**HOSTED, **kwargs})


def test_pictures():
    env, _ = world(share="class_experts")
    env.step(actions(env))
    assert "collective" in env.render("ansi")
    assert "member_2" in env.render("ansi")
    image = env.render("rgb_array", world=1)
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.std() > 0


# ---- policies ---------------------------------------------------------------------------------------

QUICK = {"hidden": (16,), "lr": 3e-3}


def begin(policy, **kwargs):
    made = Collective(
        **{**SMALL, "num_worlds": 2, "autoreset": False, "validate": True, **policy.world_kwargs, **kwargs}
    )
    policy.bind(made)
    obs = made.reset(seed=5)
    policy.reset()
    return made, obs


def run(policy, steps, **kwargs):
    env, obs = begin(policy, horizon=steps, slice_size=32, exam_size=64, **kwargs)
    for _ in range(steps):
        step = env.step(policy.act(obs))
        obs = step.obs
    return env


@pytest.mark.parametrize(
    ("system", "options"), [(name, {}) for name in PANELS] + [("voting", {"voting": "hard"})]
)
def test_collectives_learn_the_digits(system, options):
    policy = Specialists(system, hidden=(32,), lr=1e-2, **options)
    env = run(policy, 80, num_worlds=1, exam_every=79)
    assert env.metrics()["collective_accuracy"].mean() > 0.75
    test = env.dataset.test
    said = policy.collective_predict(env.dataset.inputs("test", torch.arange(len(test))))
    assert torch.allclose(said.sum(-1), torch.ones(()), atol=1e-4)
    assert (said.argmax(-1) == test.y).float().mean() > 0.75


def test_sparse_collectives_consult_few():
    for system, k in (("moe", 2), ("switch", 1)):
        env = run(Specialists(system, **QUICK), 5, agents=4)
        assert torch.allclose(env.metrics()["utilisation"].sum(-1), torch.full((2,), float(k)), atol=1e-5)
        assert torch.allclose(env.metrics()["load"].sum(-1), torch.ones(2), atol=1e-5)


@pytest.mark.parametrize(("system", "rows"), [("switch", 4), ("moe", 2)])
def test_every_expert_has_room_for_one_sample_at_least(system, rows):
    policy = Specialists(system, **QUICK)
    env, obs = begin(policy, agents=8, slice_size=rows)
    before = {k: v.clone() for k, v in policy.state_dict()["specialists"].items()}
    for _ in range(3):
        obs = env.step(policy.act(obs)).obs
    learnt = policy.state_dict()["specialists"]
    assert any(not torch.equal(value, learnt[name]) for name, value in before.items())


@pytest.mark.parametrize("system", AS_PUBLISHED)
def test_presets_are_their_options_and_learn_otherwise(system):
    def learnt(**options):
        policy = Specialists(system, **QUICK, **options)
        run(policy, 4, agents=4)
        return policy.state_dict()["specialists"]

    plain, preset = learnt(), learnt(preset="as_published")
    spelt = learnt(**AS_PUBLISHED[system])
    assert all(torch.equal(preset[name], spelt[name]) for name in preset)
    assert any(not torch.equal(preset[name], plain[name]) for name in preset)


def test_an_ensemble_votes_and_says_how_unsure_it_is():
    policy = Specialists("ensemble", aggregation="vote", **QUICK)
    env = run(policy, 4)
    assert env.mixing.weighting == "votes"
    x = env.dataset.inputs("test", torch.arange(20))
    probs = policy.predict(x)
    assert torch.allclose(policy.uncertainty(x), probs.var(1, correction=0).mean(-1))
    top = torch.nn.functional.one_hot(probs.argmax(-1), 10).sum(1)
    chosen = top.gather(-1, policy.collective_predict(x).argmax(-1, keepdim=True))
    assert torch.equal(chosen[..., 0], top.amax(-1))


def test_no_collective_takes_modes_for_controls():
    theirs = [s for s in scenarios.values() if s.env == "collective-v0"]
    assert theirs
    assert all(not s.controls for s in theirs)
    assert all("no mode is a control" in s.summary for s in theirs)


def test_one_policy_is_the_others_by_its_bids():
    said = [
        run(Specialists(system, **QUICK, **options), 6).metrics()
        for system, options in (
            ("voting", {}),
            ("unified", {"weighting": "confidence"}),
        )
    ]
    for name in ("collective_score", "contribution", "entropy"):
        assert torch.allclose(said[0][name], said[1][name], atol=1e-6), name


def test_own_views_suit_ensembles_and_no_router():
    assert (
        run(Specialists("ensemble", **QUICK), 60, share="parts").metrics()["collective_accuracy"].mean() > 0.4
    )
    own = run(Specialists("ensemble", confidence=4.0, **QUICK), 60, share="class_experts", agents=5)
    assert own.metrics()["collective_accuracy"].mean() > 0.2
    with pytest.raises(ConfigError, match="share='shared'"):
        begin(Specialists("moe"), share="parts")
    with pytest.raises(ConfigError, match="share='shared'"):
        begin(Specialists("diverse_ensemble"), share="own")


@pytest.mark.parametrize("system", list(PANELS))
def test_exam_inputs_shape_answers_alone(system):
    check_exam_blind(lambda: Specialists(system, **QUICK), Collective, steps=15, **SMALL)


@pytest.mark.parametrize("system", ["weighted_ensemble", "moe"])
def test_a_loaded_policy_goes_on_as_it_was(system):
    one, other = Specialists(system, **QUICK), Specialists(system, **QUICK)
    env, obs = begin(one)
    for _ in range(4):
        obs = env.step(one.act(obs)).obs
    other.bind(env)
    other.reset()
    other.load_state_dict(one.state_dict())
    twin = env.fork()
    for _ in range(3):
        first, second = one.act(obs), other.act(obs)
        assert all(torch.equal(first[key], second[key]) for key in first)
        obs = env.step(first).obs
    assert (twin.clock == 4).all()


def test_a_masked_reset_begins_anew_there_alone():
    policy = Specialists("moe", **QUICK)
    env, obs = begin(policy)
    fresh = {k: v.clone() for k, v in policy.state_dict()["specialists"].items()}
    for _ in range(4):
        obs = env.step(policy.act(obs)).obs
    learnt = policy.state_dict()["specialists"]
    policy.reset(torch.tensor([True, False]))
    now = policy.state_dict()["specialists"]
    for name, value in now.items():
        half = len(value) // 2
        assert torch.equal(value[half:], learnt[name][half:])
        assert torch.equal(value[:half], fresh[name][:half])


def test_mistakes_of_policies():
    with pytest.raises(UnknownName, match="unknown collective 'mixture'"):
        Specialists("mixture")
    with pytest.raises(UnknownName, match="did you mean 'balance'"):
        Specialists("moe", balanced=1)
    with pytest.raises(UnknownName, match="unknown preset of a collective 'faithful'"):
        Specialists("moe", preset="faithful")
    with pytest.raises(ConfigError, match=r"policy voting does what its document does .* leave out preset"):
        Specialists("voting", preset="as_published")
    with pytest.raises(UnknownName, match="unknown thing to correlate 'mistakes'"):
        begin(Specialists("diverse_ensemble", of="mistakes"))
    with pytest.raises(UnknownName, match="unknown form of the z-loss 'squared'"):
        begin(Specialists("switch", z_form="squared"))
    with pytest.raises(UnknownName, match="unknown aggregation 'median'"):
        begin(Specialists("ensemble", aggregation="median"))
    with pytest.raises(UnknownName, match="unknown way of voting"):
        begin(Specialists("voting", voting="loud"))
    with pytest.raises(ConfigError, match=r"without learners=… .* confident_bids, collective-bids"):
        Specialists().bind(hosted()[0])


def test_bids_by_confidence_beat_equal_ones_where_specialists_differ():
    reached = []
    for power in (0.0, 4.0):
        env = Collective(
            agents=5,
            share="dirichlet",
            alpha=0.3,
            horizon=100,
            learners="mlp",
            hidden=(32,),
            lr=5e-3,
            num_worlds=2,
            autoreset=False,
        )
        policy = Bidders(power=power)
        policy.bind(env)
        obs = env.reset(seed=0)
        scores = []
        for _ in range(100):
            step = env.step(policy.act(obs))
            obs = step.obs
            scores.append(step.info["collective_score"].mean())
        reached.append(torch.stack(scores[-20:]).mean())
    assert reached[1] > reached[0] + 0.02
    with pytest.raises(UnknownName, match="unknown feature of a sample 'luck'"):
        Bidders("luck").bind(env)
    with pytest.raises(ConfigError, match="bidders need collective-v0 with learners"):
        Bidders().bind(world()[0])
