"""Scripted rules: each against plain loops over one agent's sources, and all of them in hosted worlds."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from studyhall import make_world
from studyhall.envs import rng
from studyhall.envs.channel import Neighbours
from studyhall.envs.engine.world import World
from studyhall.envs.errors import ConfigError
from studyhall.policies.listening import RULES

NAMES = [spec.name for spec in RULES]
ENTRY = {spec.name: spec.entry_point for spec in RULES}
ORACLES = ["oracle_mean", "oracle_expert"]
W, N, S, B, C = 3, 5, 4, 6, 4


def make(name, **kwargs):
    module, attribute = ENTRY[name].split(":")
    return getattr(importlib.import_module(module), attribute)(**kwargs)


class StandIn(SimpleNamespace):
    """What a rule needs of a world."""


World.register(StandIn)


def stand_in(worlds=slice(None), *, ask=False, limited=True, step=0):
    """A world for messages made by hand."""
    known = {"targets": spaces.Box(0, 1, (B, C))} | ({"ask": spaces.Discrete(2)} if ask else {})
    keys = rng.world_key(torch.arange(W), "train")[worlds]
    gen = np.random.default_rng(5)
    secrets = {
        "liar": torch.from_numpy(gen.random((W, N)) < 0.3)[worlds],
        "experts": torch.from_numpy(gen.random((W, N, C)) < 0.4)[worlds],
        "labels": torch.from_numpy(gen.integers(0, C, (W, B)))[worlds],
    }
    return StandIn(
        num_worlds=len(keys),
        num_agents=N,
        device=torch.device("cpu"),
        keys=keys,
        steps=torch.full((len(keys),), step),
        observation_space=spaces.Dict({"sources": spaces.Box(-2, 2, (S, 21))}),
        action_space=spaces.Dict(known),
        neighbours=lambda: Neighbours((torch.arange(N)[:, None] + 1 + torch.arange(S)) % N),
        privileged=lambda: secrets,
        experts=lambda: secrets["experts"],
        energies=True,
        budget_fraction=lambda: torch.ones(len(keys)) if ask and limited else None,
    )


def observation(seed):
    """Random messages: agent 0 of a world hears nobody, agent 1 one source, the others a random set."""
    gen = np.random.default_rng(seed)
    heard = gen.random((W, N, S)) < 0.7
    heard[:, 0] = False
    heard[:, 1] = np.arange(S) == 2
    messages = gen.dirichlet(np.full(C, 0.5), (W, N, S, B))
    messages[:, 2:, 1, 3] = 0.0  # a row that a source abstains from
    arrays = {
        "sources_mask": heard.astype(np.int8),
        "messages": messages,  # what was not heard is there as well, and must not matter
        "beliefs": gen.dirichlet(np.full(C, 0.5), (W, N, B)),
        "cards": gen.random((W, N, S)),
        "report": np.stack([gen.random((W, N)), np.zeros((W, N))], -1),
        "elapsed": np.full((W, N, 1), 0.5),
        "energies": gen.normal(size=(W, N, S, B)),
        "own_energies": gen.normal(size=(W, N, B)),
    }
    arrays["own_energies"][:, 1] = 9.0  # whoever hears a lone source knows less than that
    return {
        k: torch.from_numpy(v).to(torch.int8 if v.dtype == np.int8 else torch.float32)
        for k, v in arrays.items()
    }


def started(name, world=None, **kwargs):
    policy = make(name, **kwargs)
    policy.bind(world or stand_in())
    policy.reset()
    return policy


def each(obs):
    """Every agent by itself: (world, agent), its heard messages by source, own beliefs, cards, own card."""
    a = {k: v.double().numpy() for k, v in obs.items()}
    for w, i in np.ndindex(W, N):
        heard = {s: a["messages"][w, i, s] for s in range(S) if a["sources_mask"][w, i, s]}
        yield (
            (w, i),
            SimpleNamespace(
                heard=heard,
                own=a["beliefs"][w, i],
                cards=a["cards"][w, i],
                card=a["report"][w, i, 0],
                energies=a["energies"][w, i],
                own_energies=a["own_energies"][w, i],
            ),
        )


# ---- plain loops ------------------------------------------------------------------------------------


def spoken(p):
    return [b for b in range(B) if p[b].sum() > 0]


def confidence(p):
    return np.mean([p[b].max() for b in spoken(p)])


def overlap(p, q):
    return sum(min(x, y) for x, y in zip(p, q, strict=True))


def certainty(p):
    return (p.max() - 1 / C) / (1 - 1 / C)


def weighted(me, weight):
    """Σ w·p / Σ w row by row, with ``weight(source, row)``."""
    out = np.zeros((B, C))
    for b in range(B):
        for s, p in me.heard.items():
            out[b] += weight(s, b) * p[b]
        if out[b].sum() > 0:
            out[b] /= out[b].sum()
    return out


def only(me, score):
    if not me.heard:
        return np.zeros((B, C))
    best = max(me.heard, key=score)
    return weighted(me, lambda s, b: s == best)


def others(me, s, b):
    rows = [p[b] for t, p in me.heard.items() if t != s and p[b].sum() > 0]
    return np.mean([*rows, me.own[b]], axis=0)


def agreement(me, s):
    return np.mean([overlap(me.heard[s][b], others(me, s, b)) for b in spoken(me.heard[s])])


def by_coordinate(me, statistic):
    out = np.zeros((B, C))
    for b in range(B):
        values = [p[b] for p in me.heard.values() if p[b].sum() > 0]
        if values:
            out[b] = [statistic(sorted(column)) for column in np.array(values).T]
            out[b] /= max(out[b].sum(), 1e-30)
    return out


def trimmed(values):
    cut = min(1, (len(values) - 1) // 2)
    return np.mean(values[cut : len(values) - cut])


def krum(me, f=1):
    def score(s):
        apart = sorted(((me.heard[s] - p) ** 2).sum() for t, p in me.heard.items() if t != s)
        return -sum(apart[: max(1, len(me.heard) - f - 2)])

    return only(me, score)


def lowest_energy(me):
    out = np.zeros((B, C))
    for b in range(B):
        claims = {s: me.energies[s, b] for s, p in me.heard.items() if p[b].sum() > 0}
        if claims and min(claims.values()) < me.own_energies[b]:
            out[b] = me.heard[min(claims, key=claims.get)][b]
    return out


def drop_most_confident(me):
    if len(me.heard) < 2:
        return weighted(me, lambda s, b: 1)
    bold = max(me.heard, key=lambda s: confidence(me.heard[s]))
    return weighted(me, lambda s, b: s != bold)


def most_confident_sample(me):
    return weighted(me, lambda s, b: me.heard[s][b].max() == max(p[b].max() for p in me.heard.values()))


def better_card(me):
    best = max((me.cards[s] for s in me.heard), default=0)
    return only(me, lambda s: me.cards[s]) * (best > me.card)


PLAIN = {
    "listen_nobody": lambda me: np.zeros((B, C)),
    "mean": lambda me: weighted(me, lambda s, b: 1),
    "most_confident_slice": lambda me: only(me, lambda s: confidence(me.heard[s])),
    "most_confident_sample": most_confident_sample,
    "best_card": lambda me: only(me, lambda s: me.cards[s]),
    "listen_two_phase": better_card,
    "even_two": better_card,
    "agreement": lambda me: only(me, lambda s: agreement(me, s)),
    "drop_most_confident": drop_most_confident,
    "median": lambda me: by_coordinate(me, np.median),
    "trimmed_mean": lambda me: by_coordinate(me, trimmed),
    "krum": krum,
    "lowest_energy": lowest_energy,
}


class Reputation:
    """One agent's memory of its sources, in plain numbers."""

    decay, power = 0.98, 4.0

    def __init__(self):
        self.agreed, self.compared = [0.0] * S, [0.0] * S

    def compare(self, me, s, b):
        return overlap(me.heard[s][b], me.own[b]), certainty(me.own[b])

    def trust(self, me, s):
        self.agreed[s] *= self.decay
        self.compared[s] *= self.decay
        for b in spoken(me.heard[s]):
            a, v = self.compare(me, s, b)
            self.agreed[s] += v * a
            self.compared[s] += v
        return (self.agreed[s] + 0.5) / (self.compared[s] + 1)

    def __call__(self, me):
        trust = {s: self.trust(me, s) for s in me.heard}
        return weighted(me, lambda s, b: trust[s] ** self.power)


class ReputationClass(Reputation):
    def compare(self, me, s, b):
        return overlap(me.heard[s][b], others(me, s, b)), 1.0


class Composite(Reputation):
    def __init__(self):
        super().__init__()
        self.bold = [0.0] * S

    def compare(self, me, s, b):
        a, v = super().compare(me, s, b)
        return a, v**2

    def __call__(self, me):
        trust = {s: self.trust(me, s) for s in me.heard}
        for s, p in me.heard.items():
            self.bold[s] += 0.02 * (confidence(p) - self.bold[s])
        keep = {s: self.bold[s] - trust[s] <= 0.3 for s in me.heard}
        return weighted(me, lambda s, b: me.heard[s][b].max() ** 4 * trust[s] ** 4 * keep[s])


class EvenTrust:
    """One agent's running agreement with its sources, in plain numbers."""

    def __init__(self):
        self.mean, self.times = [0.0] * S, [0] * S

    def __call__(self, me):
        least = {}
        for s, p in me.heard.items():
            now = np.mean([overlap(p[b], me.own[b]) for b in spoken(p)])
            self.times[s] += 1
            self.mean[s] += max(1 / self.times[s], 0.05) * (now - self.mean[s])
            least[s] = min(now, self.mean[s])
        ordered = sorted(least.values())
        middle = ordered[(len(ordered) - 1) // 2] if ordered else 0.0
        trusted = {s: me.heard[s] for s in least if least[s] >= 0.93 * middle}
        return better_card(SimpleNamespace(**{**vars(me), "heard": trusted}))


class OneCoin:
    """Textbook EM over votes; worker 0 is oneself, worker s + 1 is source s."""

    decay, iterations = 0.98, 3

    def __init__(self):
        self.counts = np.zeros(self.shape())

    def shape(self):
        return (N, 2)

    def vote_log_likelihood(self, counts, k, c, v):
        a = (counts[k, 0] + 2) / (counts[k].sum() + 3)
        return np.log(a if c == v else (1 - a) / (C - 1))

    def add(self, counts, k, c, v, probability):
        counts[k, 0 if c == v else 1] += probability

    def value(self, counts, k, v):
        a = (counts[k, 0] + 2) / (counts[k].sum() + 3)
        return max(0.0, np.log(a * (C - 1) / (1 - a)))

    def __call__(self, me):
        votes = {(0, b): me.own[b].argmax() for b in range(B)}
        votes |= {(s + 1, b): p[b].argmax() for s, p in me.heard.items() for b in spoken(p)}
        for k in {k for k, _ in votes}:
            self.counts[k] *= self.decay
        counts = self.counts.copy()
        for _ in range(self.iterations):
            new = self.counts.copy()
            for b in range(B):
                logs = np.zeros(C)
                for (k, row), v in votes.items():
                    if row == b:
                        logs += [self.vote_log_likelihood(counts, k, c, v) for c in range(C)]
                truth = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
                for (k, row), v in votes.items():
                    if row == b:
                        for c in range(C):
                            self.add(new, k, c, v, truth[c])
            counts = new
        self.counts = counts
        return weighted(
            me, lambda s, b: self.value(counts, s + 1, votes[s + 1, b]) if (s + 1, b) in votes else 0
        )


class DawidSkene(OneCoin):
    def shape(self):
        return (N, C, C)

    def confusion(self, counts, k):
        smoothed = counts[k] + 1 + 5 * np.eye(C)
        return smoothed / smoothed.sum(1, keepdims=True)

    def vote_log_likelihood(self, counts, k, c, v):
        return np.log(self.confusion(counts, k)[c, v])

    def add(self, counts, k, c, v, probability):
        counts[k, c, v] += probability

    def value(self, counts, k, v):
        return self.confusion(counts, k)[v, v]


RUNNING = {
    "reputation_self": Reputation,
    "reputation_class": ReputationClass,
    "composite": Composite,
    "one_coin": OneCoin,
    "dawid_skene": DawidSkene,
    "even_trust": EvenTrust,
}


def test_every_rule_is_checked_against_plain_loops():
    assert {*PLAIN, *RUNNING, *ORACLES, "listen_random"} == set(NAMES)


@pytest.mark.parametrize("name", PLAIN)
def test_a_rule_is_its_formula(name):
    policy = started(name)
    for seed in range(3):
        obs = observation(seed)
        targets = policy.act(obs)["targets"]
        for where, me in each(obs):
            np.testing.assert_allclose(targets[where], PLAIN[name](me), atol=2e-6, err_msg=str(where))


@pytest.mark.parametrize("name", RUNNING)
def test_a_running_rule_is_its_formula_over_many_slices(name):
    policy = started(name)
    plain = {(w, i): RUNNING[name]() for w, i in np.ndindex(W, N)}
    for seed in range(6):
        obs = observation(seed)
        targets = policy.act(obs)["targets"]
        for where, me in each(obs):
            np.testing.assert_allclose(targets[where], plain[where](me), atol=2e-5, err_msg=str(where))


def test_oracles_read_the_secrets():
    world, obs = stand_in(), observation(0)
    secrets = {k: v.numpy() for k, v in world.privileged().items()}
    mean, expert = (started(name, world).act(obs)["targets"] for name in ORACLES)
    taught = 0
    for (w, i), me in each(obs):

        def honest(s, b, w=w, i=i):
            return not secrets["liar"][w, (i + 1 + s) % N]

        def knows(s, b, w=w, i=i):
            label = secrets["labels"][w, b]
            by_oneself = secrets["experts"][w, i, label]
            return honest(s, b, w, i) and secrets["experts"][w, (i + 1 + s) % N, label] and not by_oneself

        np.testing.assert_allclose(mean[w, i], weighted(me, honest), atol=2e-6)
        np.testing.assert_allclose(expert[w, i], weighted(me, knows), atol=2e-6)
        taught += int((expert[w, i].sum(-1) > 0).sum())
    assert 0 < taught < W * N * B


def test_a_random_source_is_one_of_those_heard_and_another_each_step():
    obs = observation(0)
    chosen = torch.zeros(W, N, S)
    for step in range(40):
        policy = started("listen_random", stand_in(step=step))
        targets = policy.act(obs)["targets"]
        same = (targets[:, :, None] - obs["messages"]).abs().amax((-1, -2)) < 1e-6
        assert torch.equal(same.any(-1), (obs["sources_mask"] == 1).any(-1))
        chosen += same
    assert torch.equal(chosen > 0, obs["sources_mask"] == 1)


@pytest.mark.parametrize("name", NAMES)
def test_targets_are_distributions_or_nothing(name):
    policy = started(name)
    for seed in range(3):
        targets = policy.act(observation(seed))["targets"]
        sums = targets.sum(-1)
        assert ((sums - 1).abs() < 1e-5).logical_or(sums == 0).all()
        assert (targets >= 0).all()
        assert (targets <= 1).all()
        assert (targets[:, 0] == 0).all(), "nobody was heard"


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"listen_nobody", *ORACLES}))
def test_a_lone_source_is_imitated(name):
    obs = observation(0)
    obs["report"] *= 0
    targets = started(name).act(obs)["targets"][:, 1]
    believed = targets.sum((-1, -2)) > 0  # one_coin may find that a vote is worth nothing
    assert believed.any()
    assert believed.all() or name == "one_coin"
    np.testing.assert_allclose(targets[believed], obs["messages"][:, 1, 2][believed], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_not_heard_does_not_matter(name):
    obs, other = observation(0), observation(0)
    unheard = (obs["sources_mask"] == 0)[..., None, None]
    other["messages"] = torch.where(unheard, torch.nan, obs["messages"])
    other["energies"] = torch.where(unheard[..., 0], torch.nan, obs["energies"])
    assert torch.equal(started(name).act(obs)["targets"], started(name).act(other)["targets"])


@pytest.mark.parametrize("name", NAMES)
def test_a_world_alone_acts_as_in_a_batch(name):
    together = started(name)
    alone = [started(name, stand_in(slice(w, w + 1))) for w in range(W)]
    for seed in range(4):
        obs = observation(seed)
        expected = together.act(obs)["targets"]
        for w, policy in enumerate(alone):
            got = policy.act({k: v[w : w + 1] for k, v in obs.items()})["targets"]
            assert torch.allclose(got[0], expected[w], atol=1e-6)


@pytest.mark.parametrize("name", RUNNING)
def test_a_masked_reset_forgets_in_its_worlds_only(name):
    policy, fresh = started(name), started(name)
    for seed in range(3):
        policy.act(observation(seed))
    before = policy.state_dict()
    policy.reset(torch.tensor([False, True, False]))
    for key, kept in policy.state_dict().items():
        assert torch.equal(kept[0::2], before[key][0::2])
        assert torch.equal(kept[1], fresh.state_dict()[key][1])
        assert not torch.equal(kept[1], before[key][1])


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_goes_on_from_its_state(name):
    policy, other = started(name), started(name)
    for seed in range(3):
        policy.act(observation(seed))
    saved = policy.state_dict()
    other.load_state_dict(saved)
    for seed in range(3, 6):
        obs = observation(seed)
        assert torch.equal(policy.act(obs)["targets"], other.act(obs)["targets"])
    other.load_state_dict(saved)  # what was saved did not move along
    assert all(torch.equal(other.state_dict()[k], v) for k, v in saved.items())


def test_two_phases_wait_for_the_end_of_the_budget():
    policy, obs = started("listen_two_phase", stand_in(ask=True)), observation(0)
    after = policy.act(obs)
    assert (after["ask"] == 1).all()
    assert (after["targets"] > 0).any()
    obs["report"][..., 1] = 0.5
    assert (policy.act(obs)["targets"] == 0).all()


def test_where_labels_never_run_out_two_phases_begin_with_the_second():
    obs = observation(0)
    obs["report"][..., 1] = 1.0
    endless = started("listen_two_phase", stand_in(ask=True, limited=False))
    assert torch.equal(endless.act(obs)["targets"], started("even_two").act(obs)["targets"])


@pytest.mark.parametrize("name", ["even_two", "even_trust"])
def test_even_rules_ask_while_less_is_spent_than_is_over(name):
    policy, obs = started(name, stand_in(ask=True)), observation(0)
    for left, elapsed, asks in ((1.0, 0.0, 1), (0.9, 0.05, 0), (0.9, 0.25, 1), (0.5, 0.25, 0), (1.0, 0.9, 1)):
        obs["report"][..., 1], obs["elapsed"][:] = left, elapsed
        assert (policy.act(obs)["ask"] == asks).all(), (left, elapsed)


def test_a_source_that_contradicts_oneself_is_not_followed_for_its_card():
    obs = observation(0)
    obs["sources_mask"][:] = 1
    obs["messages"][:] = obs["beliefs"][:, :, None]
    obs["messages"][:, :, 2] = obs["beliefs"].roll(1, -1)
    obs["cards"][:] = torch.tensor([0.6, 0.5, 0.9, 0.4])
    obs["report"][..., 0] = 0.3
    for name, followed in (("even_two", 2), ("even_trust", 0)):
        torch.testing.assert_close(started(name).act(obs)["targets"], obs["messages"][:, :, followed])


def test_even_questions_last_for_the_whole_episode():
    world = make_world("classroom-v0", learners="mlp", actions="targets", teacher_budget=4, **SMALL, agents=3)
    policy = make("even_two")
    policy.bind(world)
    obs = world.reset(seed=0)
    calls = []
    for _ in range(8):
        step = world.step(policy.act(obs))
        obs = step.obs
        calls.append(int(step.info["calls"][0]))
    assert calls == [1, 0] * 4


@pytest.mark.parametrize("name", ["one_coin", "dawid_skene"])
def test_em_finds_the_one_who_does_not_know(name):
    """Three good voters and a random one: soon its messages count for little."""
    gen = np.random.default_rng(0)
    policy = started(name)
    eye = torch.eye(C) * 0.6 + 0.1
    for _ in range(40):
        labels = torch.from_numpy(gen.integers(0, C, (W, 1, 1, B))).expand(W, N, S, B).clone()
        labels[:, :, 3] = torch.from_numpy(gen.integers(0, C, (W, N, B)))
        obs = observation(0) | {"messages": eye[labels], "beliefs": eye[labels[:, :, 0]]}
        obs["sources_mask"] = torch.ones(W, N, S, dtype=torch.int8)
        targets = policy.act(obs)["targets"]
    gap = (targets - eye[labels[:, :, 0]]).abs().amax()
    mean = (started("mean").act(obs)["targets"] - eye[labels[:, :, 0]]).abs().amax()
    assert gap < 0.6 * mean


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="actions='targets'"):
        make("mean").bind(make_world("society-v0", learners="mlp", agents=2))
    for name, arguments in (
        ("trimmed_mean", {"trim": -1}),
        ("krum", {"f": 0.5}),
        ("reputation_self", {"decay": 2.0}),
        ("one_coin", {"iterations": 0}),
        ("dawid_skene", {"smoothing": 0.0}),
        ("composite", {"margin": -1.0}),
        ("even_trust", {"threshold": -1.0}),
    ):
        with pytest.raises(ConfigError, match=next(iter(arguments))):
            make(name, **arguments)


SMALL = {"slice_size": 6, "exam_size": 20, "horizon": 8, "hidden": (8,), "validate": True}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("id", ["society-v0", "classroom-v0"])
def test_every_rule_acts_in_hosted_worlds(id, name):
    policy = make(name)
    size = {"agents": 4} if id == "society-v0" else {"agents": 4, "teacher_budget": 2}
    if name == "lowest_energy" and id == "classroom-v0":
        with pytest.raises(ConfigError, match="energies=True"):
            policy.bind(make_world(id, learners="mlp", actions="targets", **SMALL, **size))
        return
    world = make_world(id, num_worlds=2, learners="mlp", **policy.world_kwargs, **SMALL, **size)
    if name == "oracle_expert" and id == "classroom-v0":
        with pytest.raises(ConfigError, match="needs a world with experts"):
            policy.bind(world)
        return
    policy.bind(world)
    obs = world.reset(seed=0)
    policy.reset()
    for _ in range(6):
        actions = policy.act(obs)
        obs = world.step(actions).obs
    assert bool((actions["targets"] > 0).any()) == (name != "listen_nobody")
    if id == "classroom-v0":
        assert world.metrics()["calls"].tolist() == [2, 2], "asks while there is a budget"
