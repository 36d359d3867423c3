"""allocation-v0 as its page describes it: what is read, by whom, and what it was worth, against plain loops."""

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from torch.nn import functional as F

from studyhall import make_sb3
from studyhall.envs import rng
from studyhall.envs.allocation.tokens import Tokens, spend
from studyhall.envs.allocation.world import Allocation
from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.learners import make_optimiser
from studyhall.policies import RandomPolicy
from studyhall.policies.allocation import Allocator, Glimpsers, Router, Saliency, SwarmAllocation
from studyhall.policies.copies import Copies
from studyhall.testing import check_engine, check_exam_blind

SMALL = {"agents": 3, "slice_size": 4, "exam_size": 10, "horizon": 12, "hidden": (8,)}


def world(**kwargs):
    made = Allocation(**{**SMALL, "num_worlds": 2, "autoreset": False, **kwargs})
    return made, made.reset(seed=5)


def actions(world, *, seed=0, **given):
    g = torch.Generator().manual_seed(seed)
    drawn = {
        key: torch.rand(world.num_worlds, world.num_agents, *space.shape, generator=g)
        for key, space in world.action_space.spaces.items()
    }
    return {**drawn, **given}


def linear(seed=0, classes=10, width=64):
    weight = torch.randn(width, classes, generator=torch.Generator().manual_seed(seed))
    return lambda tokens, read: tokens.flatten(1) @ weight


# ---- the conformance suite --------------------------------------------------------------------------


def vectors():
    g = np.random.default_rng(0)
    return g.normal(size=(300, 12)).astype("float32"), np.arange(300) % 3


def test_the_world_keeps_the_contract():
    # The reader that the world trains is under test wherever all registered worlds are.
    kwargs = {"data": vectors(), "patch": 3, "budget": 2, "see": "pixels", "reader": linear(0, 3, 12)}
    kwargs |= {"spending": "sample", "weighting": "top_k", "k": 1, "exam_every": 3, "order": "single_pass"}
    check_engine(Allocation, **{**SMALL, **kwargs, "horizon": 6})


# ---- tokens -----------------------------------------------------------------------------------------


def test_pictures_are_cut_into_patches_row_by_row():
    x = torch.arange(2 * 3 * 4 * 6).float().view(2, 3, 4, 6)
    tokens = Tokens((3, 4, 6), 2)
    assert (tokens.count, tokens.width, tokens.grid) == (6, 12, (2, 3))
    cut = tokens.cut(x)
    for i in range(2):
        for t in range(6):
            row, column = divmod(t, 3)
            patch = x[i, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.equal(cut[i, t], patch.flatten())
    painted = tokens.paint(torch.arange(6.0))
    assert painted.shape == (4, 6)
    assert painted[3, 5] == 5
    assert painted[0, 2] == 1


def test_vectors_are_cut_into_stretches():
    cut = Tokens((6,), 2).cut(torch.arange(6.0)[None])
    assert cut.tolist() == [[[0, 1], [2, 3], [4, 5]]]


def test_a_glance_tells_four_numbers():
    tokens = Tokens((1, 2, 4), 2)
    seen = tokens.glance(tokens.cut(torch.tensor([[[1.0, 3.0, 0.0, 0.0], [5.0, 5.0, 0.0, 1.0]]])))
    mean, deviation, greatest, change = seen[0].tolist()
    values = np.array([1.0, 3.0, 5.0, 5.0])
    assert (mean, greatest, change) == (3.5, 5.0, pytest.approx((2 + 0) / 2))
    assert deviation == pytest.approx(values.std())
    assert seen[1].tolist()[3] == pytest.approx(0.5)
    assert Tokens((4,), 1).glance(torch.ones(4, 1)).tolist() == [[1, 0, 1, 0]] * 4


def test_spending_takes_the_greatest_shares():
    shares = torch.tensor([[0.1, 0.4, 0.4, 0.1], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert spend(shares, 1).int().tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert spend(shares, 3).int().tolist() == [[1, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_sampling_draws_in_proportion_and_without_replacement():
    shares = torch.tensor([0.5, 0.3, 0.2, 0.0]).expand(20000, 4)
    luck = rng.draw(torch.tensor(3), "luck", (20000, 4)).uniform()
    first = spend(shares, 1, luck).float().mean(0)
    assert first.tolist() == pytest.approx([0.5, 0.3, 0.2, 0.0], abs=0.012)
    two = spend(shares, 2, luck)
    assert (two.sum(-1) == 2).all()
    # P(0 among the first two) = .5 + .3·.5/.7 + .2·.5/.8
    assert two[:, 0].float().mean().item() == pytest.approx(
        0.5 + 0.3 * 0.5 / 0.7 + 0.2 * 0.5 / 0.8, abs=0.012
    )
    assert not two[:, 3].any()


# ---- what is read and what it is worth --------------------------------------------------------------


def test_each_scorer_sees_its_own_statistic():
    env, obs = world(agents=4)
    coarse, whole = world(agents=4, see="coarse")
    pixels, exact = world(agents=4, see="pixels")
    for n in range(4):
        assert torch.equal(obs["tokens"][:, n, ..., 0], whole["tokens"][:, n, ..., n])
    assert torch.equal(exact["exam"].mean(-1), whole["exam"][..., 0])
    assert obs["tokens"].shape == (2, 4, 4, 16, 1)
    assert exact["tokens"].shape == (2, 4, 4, 16, 4)


def test_only_ratios_count_so_actions_are_bounded():
    one, other = world()[0], world()[0]
    sent = actions(one)
    for key, space in one.action_space.spaces.items():
        assert (space.low.min(), space.high.max()) == (0, 1), key
    first, second = one.step(sent), other.step({key: value / 4 for key, value in sent.items()})
    assert torch.equal(first.reward, second.reward)
    assert torch.equal(first.obs["fb_read"], second.obs["fb_read"])


def test_scorers_can_be_trained_with_stable_baselines3():
    env = make_sb3("allocation-v0", 1, seed=0, patch=4, slice_size=4, exam_size=10, agents=2, hidden=(8,))
    assert env.action_space.shape == ((4 + 10) * (4 + 1),)
    model = PPO("MultiInputPolicy", env, n_steps=4, batch_size=8, n_epochs=1, seed=0, device="cpu")
    assert model.learn(8).num_timesteps == 8
    with pytest.raises(ConfigError, match=r"has 1632 numbers .* 256 at most: make the world with patch=4"):
        make_sb3("allocation-v0", 1)


def test_the_reader_sees_what_was_bought_and_nothing_else():
    seen = []

    def reader(tokens, read):
        seen.append((tokens.clone(), read.clone()))
        return torch.zeros(len(tokens), 10)

    env, obs = world(reader=reader, budget=3, see="pixels")
    del seen[:]
    sent = actions(env)
    after = env.step(sent).obs
    tokens, read = seen[0]
    assert (read.sum(-1) == 3).all()
    assert not tokens[~read].any()
    assert torch.equal(tokens[read], obs["tokens"][:, 0].flatten(0, 1)[read])
    ratings = sent["relevance"] / sent["relevance"].sum(-1, keepdim=True)
    weights = sent["bids"] / sent["bids"].sum(1, keepdim=True)
    shares = (ratings * weights[..., None]).sum(1).flatten(0, 1)
    assert torch.equal(read, torch.zeros_like(read).scatter(1, shares.topk(3).indices, True))
    assert torch.equal(after["fb_read"][:, 1].flatten(0, 1).bool(), read)
    assert torch.allclose(after["fb_loss"], torch.full((), float(np.log(10))))
    assert torch.equal(after["fb_tokens"], obs["tokens"])
    assert (after["fb_labels"] >= 0).all()
    assert env.metrics()["tokens_read"].tolist() == [3.0, 3.0]


def test_a_given_reader_is_used_as_it_is():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    env, _ = world(reader=lambda tokens, read: module(tokens), budget=16)
    for t in range(5):
        env.step(actions(env, seed=t))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert "reader" not in env.state_dict()
    exam = env.dataset.inputs("exam", env._state["exam"])
    cut = env.tokens.cut(exam)
    expected = (
        module(cut.flatten(0, 1)).view(2, 10, 10).argmax(-1) == env.dataset.labels("exam", env._state["exam"])
    ).float()
    assert torch.equal(env.metrics()["reader_accuracy"], expected.mean(-1))


def test_a_given_module_answers_in_evaluation_mode_and_keeps_every_bit():
    class Reads(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.drop, self.out = (
                torch.nn.BatchNorm1d(64),
                torch.nn.Dropout(0.5),
                torch.nn.Linear(64, 10),
            )

        def forward(self, tokens, read):
            return self.out(self.drop(self.norm(tokens.flatten(1))))

    module = Reads()
    module.drop.eval()  # a mode of its own
    before = {name: value.clone() for name, value in module.state_dict().items()}
    env, _ = world(reader=module, budget=16)
    after = env.step(actions(env)).obs
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert (module.training, module.norm.training, module.drop.training) == (True, True, False)
    cut = env.tokens.cut(env.dataset.inputs("stream", env._state["fb/slice"][:, 0])).flatten(0, 1)
    expected = F.cross_entropy(module.eval()(cut, None), after["fb_labels"][:, 0].flatten(), reduction="none")
    assert torch.allclose(after["fb_loss"][:, 0].flatten(), expected, atol=1e-5)


def test_a_given_reader_must_answer_for_every_sample():
    env, _ = world(reader=lambda tokens, read: torch.zeros(1, 10))
    with pytest.raises(ConfigError, match=r"to logits \[8, 10\], it gives \[1, 10\]"):
        env.step(actions(env))


def test_the_reader_learns_from_tokens_drawn_by_chance_whatever_was_chosen():
    practised = []
    one, other = world(budget=3)[0], world(budget=3)[0]
    learn = one.reader.learn
    one.reader.learn = lambda tokens, read, *rest: (practised.append(read), learn(tokens, read, *rest))
    for t in range(12):
        one.step(actions(one, seed=t))
        other.step(actions(other, seed=t + 500))
    first, second = one.state_dict()["reader"], other.state_dict()["reader"]
    assert all(torch.equal(first[name], second[name]) for name in first)
    drawn = torch.stack(practised)  # [12, 2, 4, 16]
    assert (drawn.sum(-1) == 3).all()
    assert drawn.flatten(0, 2).any(0).all()


def test_a_reader_that_is_no_longer_finite_ends_its_world():
    env, calm = world()[0], world()[0]
    env.reader.population.parameters[0][0] = torch.nan
    step, expected = env.step(actions(env)), calm.step(actions(calm))
    assert step.terminated.tolist() == [True, False]
    assert expected.terminated.tolist() == [False, False]
    assert torch.allclose(step.obs["fb_loss"][0], torch.tensor(np.log(10.0), dtype=torch.float32))
    assert env.metrics()["reader_loss"][0].item() == pytest.approx(np.log(10))
    assert torch.equal(step.obs["fb_loss"][1], expected.obs["fb_loss"][1])
    assert env.observation_space["fb_loss"].contains(step.obs["fb_loss"][0, 0].numpy())
    env.reset(mask=torch.tensor([True, False]))
    assert not env.step(actions(env)).terminated.any()


@pytest.mark.parametrize("spending", ["top_k", "sample"])
def test_contributions_equal_leaving_one_out_in_a_loop(spending):
    reader = linear(1)
    env, _ = world(reader=reader, exam_smoothing=1.0, spending=spending, weighting="top_k", k=2)
    sent = actions(env)
    draws = env.step_draws(rng.fold(env.keys, torch.ones(2, dtype=torch.int64)))
    env.step(sent)
    ratings = sent["answers_relevance"] / sent["answers_relevance"].sum(-1, keepdim=True)
    tokens = env.tokens.cut(env.dataset.inputs("exam", env._state["exam"]))
    labels = env.dataset.labels("exam", env._state["exam"])

    def score(w, members):
        total = 0.0
        for e in range(10):
            bids = {i: sent["answers_bids"][w, i, e].item() for i in members}
            heard = sorted(members, key=lambda i: -bids[i])[:2]
            shares = sum(bids[i] * ratings[w, i, e] for i in heard) / sum(bids[i] for i in heard)
            order = shares
            if spending == "sample":
                order = draws["spend/exam"].uniform()[w, e].log() / shares
            read = torch.zeros(16, dtype=torch.bool)
            read[order.topk(4).indices] = True
            said = reader(tokens[w, e][None] * read[:, None], read).softmax(-1)[0]
            total += 1 - 0.5 * (said - F.one_hot(labels[w, e], 10)).square().sum().item()
        return total / 10

    metrics = env.metrics()
    for w in range(2):
        everyone = score(w, [0, 1, 2])
        assert metrics["reader_score"][w].item() == pytest.approx(everyone, abs=1e-4)
        for i in range(3):
            lost = everyone - score(w, [j for j in range(3) if j != i])
            assert metrics["contribution"][w, i].item() == pytest.approx(lost, abs=1e-4)


def test_agreement_and_dominance():
    env, _ = world()
    one_hot = torch.zeros(2, 3, 4, 16)
    one_hot[:, 0, :, 0] = one_hot[:, 1, :, 0] = one_hot[:, 2, :, 5] = 1.0
    bids = torch.tensor([1.0, 3.0, 2.0])[:, None].expand(2, 3, 4).clone()
    info = env.step(actions(env, relevance=one_hot, bids=bids)).info
    assert torch.allclose(info["agreement"], torch.tensor(1 / 3))
    assert torch.allclose(info["dominance"], torch.tensor([0.0, 0.5, 0.5]))
    assert info["tokens_read"].tolist() == [2.0, 2.0]  # the others were rated 0 by all
    assert info["bytes"].tolist() == [[4 * 16 * 4.0] * 3] * 2
    bids[:, 2] = 0
    silent = env.step(actions(env, relevance=one_hot, bids=bids)).info
    assert silent["bytes"].tolist() == [[4 * 16 * 4.0, 4 * 16 * 4.0, 0.0]] * 2


def test_the_world_teaches_its_reader_what_it_could_read():
    env, obs = world(horizon=150, slice_size=32, exam_size=64, hidden=(32,), budget=16)
    for t in range(150):
        env.step(actions(env, seed=t))
    assert (env.metrics()["reader_accuracy"] > 0.85).all()


def test_equal_seeds_are_equal_worlds():
    one, other = world(spending="sample")[0], world(spending="sample")[0]
    for t in range(5):
        a, b = one.step(actions(one, seed=t)), other.step(actions(other, seed=t))
        assert torch.equal(a.reward, b.reward)
        assert all(torch.equal(a.obs[key], b.obs[key]) for key in a.obs)


# ---- policies ---------------------------------------------------------------------------------------


def accuracy(policy, steps=150, **kwargs):
    env = Allocation(
        num_worlds=2,
        horizon=steps,
        exam_size=100,
        exam_every=20,
        autoreset=False,
        **{"budget": 3, **kwargs, **policy.world_kwargs},
    )
    policy.bind(env)
    obs = env.reset(seed=0)
    policy.reset()
    for _ in range(steps):
        obs = env.step(policy.act(obs)).obs
    return env.metrics()["reader_accuracy"].mean().item()


@pytest.mark.slow
def test_scorers_that_learn_beat_ink_and_ink_beats_chance():
    policies = (RandomPolicy(), Saliency(), SwarmAllocation(), Router())
    chance, ink, swarm, learnt = (accuracy(policy, steps=200) for policy in policies)
    assert ink > chance + 0.05
    assert swarm > chance + 0.05
    assert learnt > ink + 0.03


class Encoder(Allocator):
    """Guesses the class from all pixels, and has the token read whose place is the guess."""

    world_kwargs = {"see": "pixels"}  # noqa: RUF012

    def reset(self, mask=None):
        self.gram, self.hits = torch.eye(65).expand(2, 65, 65).clone(), torch.zeros(2, 65, 10)

    def flat(self, tokens):
        return F.pad(tokens[:, 0].flatten(2), (0, 1), value=1.0)

    def learn(self, obs, worlds):
        seen, labels = self.flat(obs["fb_tokens"]), obs["fb_labels"][:, 0]
        if (labels >= 0).all():
            self.gram += seen.mT @ seen
            self.hits += seen.mT @ F.one_hot(labels, 10).float()

    def guess(self, tokens):
        return (self.flat(tokens) @ torch.linalg.solve(self.gram, self.hits)).argmax(-1)

    def rate(self, tokens):
        told = F.one_hot(self.guess(tokens), tokens.shape[-2]).float()[:, None]
        return told, torch.ones_like(told[..., 0])


def test_which_token_is_read_tells_the_reader_nothing():
    encoder, few = Encoder(), {"agents": 1, "budget": 1, "steps": 200}
    told, ink = accuracy(encoder, **few), accuracy(Saliency(), **few)
    env = encoder.world
    right = encoder.guess(env.obs["exam"]) == env.dataset.labels("exam", env._state["exam"])
    assert right.float().mean() > 0.85  # it knows the class, and cannot say so
    assert told < ink
    assert told < 0.35


@pytest.mark.parametrize("make", [Saliency, Router, SwarmAllocation])
def test_exam_inputs_shape_answers_alone(make):
    kwargs = {**SMALL, **make().world_kwargs}
    check_exam_blind(make, Allocation, steps=15, **kwargs)


def test_a_loaded_policy_goes_on_as_it_was():
    one, other = Router(), Router()
    env, _ = world(see="coarse")
    for policy in (one, other):
        policy.bind(env)
        policy.reset()
    obs = env.obs
    for _ in range(4):
        obs = env.step(one.act(obs)).obs
    other.load_state_dict(one.state_dict())
    first, second = one.act(obs), other.act(obs)
    assert all(torch.equal(first[key], second[key]) for key in first)


def glimpsers(device):
    key = torch.zeros(2, dtype=torch.int64, device=device)
    return Glimpsers(3, 16, 4, 10, budget=3, hidden=8, k=2, temperature=0.5, key=key)


def test_scorers_rate_as_their_layer_does():
    net, tokens = glimpsers("cpu"), torch.rand(2, 4, 16, 4, generator=torch.Generator().manual_seed(0))
    found = net.router(torch.cat([tokens, torch.eye(16).expand(2, 4, 16, 16)], dim=-1))
    assert torch.allclose(net(tokens), (found.weights * found.score[..., None]).movedim(-1, 1))


def test_scorers_rate_and_learn_without_a_look_at_a_number():
    net, tokens = glimpsers("meta"), torch.zeros(2, 4, 16, 4, device="meta")  # reading any of it fails
    labels, key = (torch.zeros(*shape, dtype=torch.int64, device="meta") for shape in ((2, 4), (2,)))
    assert net(tokens).shape == (2, 3, 4, 16)
    assert net.loss(tokens, labels, key).shape == (2,)


def test_the_own_reader_of_a_policy_learns_nothing_from_what_is_chosen():
    net, g = glimpsers("cpu"), torch.Generator().manual_seed(0)
    tokens, labels = torch.rand(2, 4, 16, 4, generator=g), torch.randint(10, (2, 4), generator=g)
    other, key = glimpsers("cpu"), torch.arange(2)
    with torch.no_grad():
        for parameter in other.router.parameters():
            parameter.neg_()
    gradients = [
        torch.autograd.grad(n.loss(tokens, labels, key).sum(), n.reader.weights[0])[0] for n in (net, other)
    ]
    assert torch.equal(*gradients)
    assert gradients[0].any()
    (reached,) = torch.autograd.grad(net.loss(tokens, labels, key).sum(), net.router.scorers.weights[0])
    assert reached.any()


def bound(policy, **kwargs):
    env, _ = world(**{**policy.world_kwargs, **kwargs})
    policy.bind(env)
    policy.reset()
    return policy


@pytest.mark.parametrize(
    "saved",
    [
        lambda: bound(Router(hidden=8)).state_dict(),
        lambda: bound(Router(), num_worlds=1).state_dict(),  # would broadcast
        lambda: bound(Router(), agents=4).state_dict(),
        lambda: {"specialists": {}},
    ],
)
def test_a_saved_policy_of_another_kind_is_refused_and_changes_nothing(saved):
    policy = bound(Router())
    before = policy.state_dict()["scorers"]
    with pytest.raises(ConfigError, match="the saved state is not of this policy and its world") as caught:
        policy.load_state_dict(saved())
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict()["scorers"].items())


def test_copies_refuse_the_state_of_another_module():
    def stack(width):
        made = torch.nn.Module()
        made.weight = torch.nn.Parameter(torch.zeros(2, width))
        return Copies(lambda keys: made, torch.zeros(2, dtype=torch.int64), make_optimiser("adam", lr=0.1))

    with pytest.raises(ConfigError, match="same arguments"):
        stack(3).load_state_dict(stack(1).state_dict())


# ---- mistakes and pictures --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "error", "says"),
    [
        ({"patch": 3}, ConfigError, "patch 3 does not divide"),
        ({"budget": 17}, ConfigError, "budget .* between 1 and 16"),
        ({"spending": "all"}, UnknownName, "unknown spending 'all'"),
        ({"see": "everything"}, UnknownName, "unknown see 'everything'"),
        ({"weighting": "top_k", "k": 9}, ConfigError, "k .* between 1 and 3"),
        ({"weighting": "votes"}, ConfigError, "a vote is for one token, .* 'normalised' or 'top_k'"),
        ({"weighting": "mean"}, UnknownName, "unknown weighting 'mean'"),
        ({"reader": "cnn"}, ConfigError, 'reader must be "mlp"'),
        (
            {"reader": lambda tokens, read: tokens},
            ConfigError,
            r"^the reader must map .* to logits \[1, 10\], it gives \[1, 16, 4\]",
        ),
        (
            {"reader": torch.nn.Linear(64, 10)},
            ConfigError,
            r"the reader fails on tokens \[1, 16, 4\] and a mask",
        ),
        (
            {"reader": lambda tokens, read: tokens.logits},
            ConfigError,
            "the reader fails .* no attribute 'logits'",
        ),
        ({"reader": lambda tokens: tokens}, ConfigError, "the reader fails on tokens"),
        ({"hidden": "64"}, ConfigError, "hidden must be a list"),
        ({"lr": 0}, ConfigError, "lr must be a number above 0"),
    ],
)
def test_mistakes_are_told_in_one_line(kwargs, error, says):
    with pytest.raises(error, match=says) as caught:
        Allocation(**{**SMALL, **kwargs})
    assert "\n" not in str(caught.value)


def test_mistakes_of_policies():
    with pytest.raises(ConfigError, match="see must be 'coarse' or 'pixels'"):
        Router(see="statistic")
    with pytest.raises(ConfigError, match="this policy needs see='coarse'"):
        Router().bind(world()[0])
    with pytest.raises(ConfigError, match=r"k .* between 1 and 3"):
        Router(k=4).bind(world(see="coarse")[0])


def test_a_saved_world_of_another_kind_is_refused():
    env, _ = world()
    with pytest.raises(ConfigError, match="same arguments"):
        world(reader=linear())[0].load_state_dict(env.state_dict())
    with pytest.raises(ConfigError, match="same arguments"):
        world(hidden=(9,))[0].load_state_dict(env.state_dict())


@pytest.mark.parametrize("kwargs", [{}, {"data": vectors(), "patch": 4, "budget": 1}])
def test_pictures(kwargs):
    env, _ = world(**kwargs)
    env.step(actions(env))
    text = env.render("ansi")
    assert "reader" in text
    assert "scorer_2" in text
    image = env.render("rgb_array", world=1)
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.std() > 0
