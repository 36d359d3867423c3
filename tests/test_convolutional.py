"""Convolutional learners, batch norm and dropout: each learner is what it would be as a module by itself."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from studyhall.envs import rng
from studyhall.envs.errors import ConfigError
from studyhall.learners import (
    MLP,
    VGG,
    Conv3,
    LoopedNetwork,
    ModuleNetwork,
    learner_keys,
    make_networks,
    make_population,
)
from studyhall.policies import make_policy
from studyhall.testing import check_engine, check_policy

SHAPE, CLASSES, ROWS = (1, 8, 8), 5, 64  # as many rows as make the loop worth while
W, N = 2, 3
RATES = torch.tensor([[1.0, 0.0, 0.3], [1.0, 2.0, 0.25]])


def keys(first=0, learners=N):
    return learner_keys(rng.world_key(torch.arange(first, first + W), "train"), learners)


def batch(turn, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(turn))


def loss(logits):
    labels = (torch.arange(logits.shape[2]) % CLASSES).expand(logits.shape[:3])
    rows = F.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none")
    return rows.view(labels.shape).mean(-1)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def conv3():
    return Conv3(SHAPE, CLASSES)


def dense():
    """Batch norm and dropout in a network that is stacked everywhere."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 12, bias=False),
        nn.BatchNorm1d(12),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(12, CLASSES),
    )


def dense_digits():
    return nn.Sequential(*list(dense())[:-1], nn.Linear(12, 10))


class Twice(nn.Module):
    """One layer of dropout, called twice, for pictures and for rows; a buffer that never changes."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4, momentum=0.3)
        self.drop, self.head = nn.Dropout(0.25), nn.Linear(256, CLASSES)
        self.register_buffer("scale", torch.rand(CLASSES))

    def forward(self, x):
        h = self.drop(self.norm(self.conv(x)).relu())
        return self.drop(self.head(h.flatten(1))) * self.scale


NETWORKS = {
    "conv3": LoopedNetwork(conv3, SHAPE, CLASSES),
    "conv3 stacked": ModuleNetwork(conv3, SHAPE, CLASSES),
    "dropout": LoopedNetwork(Twice, SHAPE, CLASSES),
    "dropout stacked": ModuleNetwork(Twice, SHAPE, CLASSES),
    "dense": ModuleNetwork(dense, SHAPE, CLASSES),
}
# With its usual eps Adam makes whole steps of gradients that are rounding alone, other ones on every machine.
OPTIMISERS = {
    "adam": ({"lr": 1e-2, "eps": 1e-2}, torch.optim.Adam, {}),
    "sgd": ({"lr": 1e-2, "weight_decay": 0.05, "nesterov": True}, torch.optim.SGD, {"momentum": 0.9}),
}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
LEADING = {"all": (), "world": (W,), "own": (W, N)}
PAIRS = [
    pytest.param(network, list(OPTIMISERS)[(i + j) % 2], LEADING[rows], id=f"{name}-{rows}")
    for i, (name, network) in enumerate(NETWORKS.items())
    for j, rows in enumerate(LEADING)
]
"""Every network with rows for all, for each world and for each learner; optimisers by turns."""


class Given(nn.Module):
    """Dropout by masks from a list."""

    def __init__(self, masks):
        super().__init__()
        self.masks = masks

    def forward(self, x):
        return x * self.masks.pop(0).view_as(x) if self.training else x


def alone(network, population, w, n):
    """A learner as a plain module from the factory, and the list from which it takes its masks."""
    module, masks = network.factory(), []
    module.load_state_dict(population.extract(w, n).state_dict())
    for name, part in list(module.named_children()):
        if isinstance(part, nn.Dropout):
            setattr(module, name, Given(masks))
    return module, masks


def state(population, w, n):
    module = population.extract(w, n)
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


@pytest.mark.parametrize(("network", "optimiser", "leading"), PAIRS)
def test_equals_separate_modules(network, optimiser, leading):
    ours, kind, theirs = OPTIMISERS[optimiser]
    population = make_population(network, keys(), optimiser=optimiser, **ours)
    places = [(w, n) for w in range(W) for n in range(N)]
    modules = {place: alone(network, population, *place) for place in places}
    optimisers = {place: kind(modules[place][0].parameters(), **ours, **theirs) for place in places}
    for turn in range(6):
        x = batch(turn, *leading, ROWS, *SHAPE)
        each = (x[:, None] if len(leading) == 1 else x).expand(W, N, ROWS, *SHAPE)
        rate = (None, RATES, torch.full((W, N), 0.5))[turn % 3]
        drawn = network.masks(population._dropout_keys(0), ROWS) or []
        losses = population.learn(x, loss, rate=rate)
        for index, (w, n) in enumerate(places):
            if rate is not None and rate[w, n] == 0:
                continue
            module, masks = modules[w, n]
            masks[:] = [mask[index] for mask in drawn]
            optimisers[w, n].param_groups[0]["lr"] = 1e-2 * (1.0 if rate is None else rate[w, n].item())
            optimisers[w, n].zero_grad()
            own = F.cross_entropy(module(each[w, n]), torch.arange(ROWS) % CLASSES)
            own.backward()
            optimisers[w, n].step()
            assert not masks
            assert losses[w, n].item() == pytest.approx(own.item(), abs=1e-4)
        for w, n in places:
            expected = modules[w, n][0].state_dict()
            for name, value in state(population, w, n).items():
                assert torch.allclose(value, expected[name], rtol=1e-3, atol=2e-4), (turn, name)
                assert value.dtype == expected[name].dtype
    said = population.logits(x)
    one = population.logits_of(torch.tensor([2, 0]), x) if len(leading) < 2 else None
    for w, n in places:
        own = modules[w, n][0].eval()(each[w, n])
        assert torch.allclose(said[w, n], own, atol=1e-3)
        if one is not None and n == (2, 0)[w]:
            assert torch.allclose(one[w, 0], said[w, n], atol=1e-5)


@every_network
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_the_frozen_keep_every_bit_and_ignore_nan(network, optimiser):
    population = make_population(network, keys(), optimiser=optimiser, **OPTIMISERS[optimiser][0])
    population.learn(batch(0, ROWS, *SHAPE), loss)
    before = population.state_dict()
    x = batch(1, W, N, ROWS, *SHAPE)
    x[0, 1] = torch.nan
    population.learn(x, loss, rate=RATES)
    assert population.finite().all()
    names = [name for name in before if name != "keys"]
    for name, after in population.state_dict().items():
        moved = [not torch.equal(one, other) for one, other in zip(before[name], after, strict=True)]
        assert moved == [name in names and p != 1 for p in range(len(after))], name
    population.learn(x, loss, rate=torch.zeros(W))
    population.logits(x, dropout=True)
    assert population.steps.tolist() == [[2, 1, 2], [2, 2, 2]]
    x[0, 1] = torch.inf
    population.learn(x, loss)
    assert population.finite().tolist() == [[True, False, True], [True] * 3]


@every_network
def test_statistics_are_reset_saved_and_restored(network):
    population, fresh = make_population(network, keys()), make_population(network, keys(7))
    statistics = [name for name in population.state_dict() if name.startswith("statistic.")]
    assert sum(name.endswith("num_batches_tracked") for name in statistics) == len(statistics) // 3 > 0
    population.learn(batch(0, ROWS, *SHAPE), loss)
    saved = population.state_dict()
    mask = torch.tensor([[True, False, False], [False, True, True]])
    population.reset(mask, keys(7))
    for name, after in population.state_dict().items():
        for p, (w, n) in enumerate((w, n) for w in range(W) for n in range(N)):
            source = fresh.state_dict() if mask[w, n] else saved
            index = (w, n) if name == "keys" else p
            assert torch.equal(after[index], source[name][index]), name
    fresh.load_state_dict(saved)
    again = make_population(network, keys())
    again.learn(batch(0, ROWS, *SHAPE), loss)
    for one in (fresh, again):
        one.learn(batch(1, W, ROWS, *SHAPE), loss, rate=RATES)
    assert same(fresh.state_dict(), again.state_dict())
    broken = {name: value for name, value in saved.items() if name != statistics[0]}
    with pytest.raises(ConfigError, match="running_mean"):
        fresh.load_state_dict(broken)


@every_network
def test_copies_go_their_own_way(network):
    population = make_population(network, keys())
    population.learn(batch(0, ROWS, *SHAPE), loss)
    x = batch(1, W, ROWS, *SHAPE)
    said = population.logits(x)
    few = population.at(torch.tensor([1, 1, 0]))
    average = population.average(0.5)
    with torch.inference_mode():
        twin = copy.deepcopy(population)
    assert same(twin.state_dict(), population.state_dict())
    for one, other in ((twin, population), (population, twin)):
        kept = other.state_dict()
        one.learn(x, loss)
        one.reset(torch.tensor([False, True]), keys(3))
        assert same(other.state_dict(), kept)
    assert torch.allclose(few.logits(x[[1, 1, 0]]), said[[1, 1, 0]], atol=1e-6)
    assert torch.allclose(average.logits(x), said, atol=1e-6)
    average.update(torch.tensor([False, True]))
    assert torch.equal(average.logits(x)[0], said[0])
    assert torch.equal(average.statistics[0][N:], population.statistics[0][N:])
    assert not torch.equal(average.statistics[0][:N], population.statistics[0][:N])


def test_batch_norm_of_a_single_row_is_refused():
    population = make_population(NETWORKS["dense"], keys())
    with pytest.raises(ConfigError, match="fails on slices of 1: Expected more than 1 value per channel"):
        population.learn(batch(0, 1, *SHAPE), loss)


@every_network
def test_evaluation_changes_nothing_and_samples_are_apart(network):
    population = make_population(network, keys())
    population.learn(batch(0, ROWS, *SHAPE), loss)
    before = population.state_dict()
    x = batch(1, ROWS, *SHAPE).requires_grad_()
    said = population.logits(x)
    assert torch.allclose(population.logits(x[:1]), said[:, :, :1], atol=1e-6)
    said[1, 2].sum().backward()
    assert x.grad.abs().sum() > 0
    assert same(population.state_dict(), before)


def test_dropout_is_of_the_key_and_leaves_the_global_generator():
    generator = torch.get_rng_state()
    one, other = (make_population(NETWORKS[name], keys()) for name in ("dropout", "dropout stacked"))
    x = batch(0, ROWS, *SHAPE)
    for draw in (0, 1, torch.arange(W * N)):
        said = one.logits(x, dropout=True, draw=draw)
        assert torch.allclose(said, other.logits(x, dropout=True, draw=draw), atol=1e-5)
        alone = one.logits_of(torch.tensor([1, 0]), x, dropout=True, draw=draw)
        assert torch.allclose(alone[:, 0], said[[0, 1], [1, 0]], atol=1e-5)
        assert not torch.allclose(said, one.logits(x), atol=1e-2)
    assert not torch.equal(one.logits(x, dropout=True), one.logits(x, dropout=True, draw=1))
    dropped = torch.cat(NETWORKS["dropout"].masks(keys(learners=200).view(-1), ROWS), dim=1)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.005)
    assert torch.equal(torch.get_rng_state(), generator)


def test_mixed_classes_keep_statistics():
    mix = [NETWORKS["conv3"], MLP((64, 16, CLASSES), 0.0), NETWORKS["dense"]]
    population = make_population(mix, keys())
    alone = make_population(mix[0], keys()[:, :1])
    x = batch(0, W, ROWS, *SHAPE)
    for rate in (None, torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])):
        kept = population.state_dict()
        population.learn(x, loss, rate=rate)
        alone.learn(x, loss, rate=None if rate is None else rate[:, :1])
    assert torch.equal(population.logits(x)[:, :1], alone.logits(x))
    name = "2.statistic.2.running_mean"
    assert torch.equal(population.state_dict()[name][0], kept[name][0])
    assert not torch.equal(population.state_dict()[name][1], kept[name][1])
    again = make_population(mix, keys(5))
    again.load_state_dict(population.state_dict())
    assert torch.equal(again.logits(x), population.logits(x))


@pytest.mark.parametrize("name", ["cnn", "conv3", "vgg", "vgg-wide"])
def test_named_networks_take_pictures(name):
    sizes = {"cnn": 25578, "conv3": 4578, "vgg": 5144612, "vgg-wide": 16396324}
    shape, classes = ((3, 32, 32), 100) if name.startswith("vgg") else ((3, 32, 32), 10)
    network = make_networks(name, shape, classes, 2)
    assert isinstance(network, LoopedNetwork)
    assert network.num_parameters == sizes[name]
    assert make_population(network, keys(learners=2)).logits(batch(0, 1, *shape)).shape == (W, 2, 1, classes)


@pytest.mark.parametrize(
    ("make", "shape", "channels"),
    [
        (Conv3, (1, 4, 4), (1, 8, 8, 16)),
        (Conv3, (3, 17, 40), (3, 8, 8, 16)),
        (lambda *a: Conv3(*a, width=3), (1, 5, 17), (1, 3, 3, 6)),
        (VGG, (1, 32, 70), (1, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256, 256, 256)),
        (
            lambda *a: VGG(*a, wide=True),
            (3, 33, 32),
            (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
        ),
    ],
)
def test_networks_can_be_cut_at_any_depth(make, shape, channels):
    module = make(shape, CLASSES).eval()
    x = batch(0, 2, *shape)
    assert module.channels == channels
    said = module(x)
    for depth in range(module.depth + 1):
        features = module.upto(x, depth)
        assert features.shape[:2] == (2, channels[depth])
        assert torch.equal(module.rest(features, depth), said)
    assert said.shape == (2, CLASSES)


def test_own_convolutions_are_looped_and_other_modules_stacked():
    kinds = [type(make_networks(kind, SHAPE, CLASSES, N)) for kind in (conv3, Twice, dense)]
    assert kinds == [LoopedNetwork, LoopedNetwork, ModuleNetwork]


class Tied(nn.Module):
    """Two convolutions with one weight, given by its direction and its length."""

    def __init__(self):
        super().__init__()
        make = nn.utils.parametrizations.weight_norm
        self.one, self.other = (nn.Conv2d(1, 1, 3, padding=1) for _ in range(2))
        self.other.weight = self.one.weight
        self.head = make(nn.Linear(64, CLASSES))

    def forward(self, x):
        return self.head(self.other(self.one(x).relu()).flatten(1))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_shared_and_parametrised_weights_are_each_learners_own():
    one, other = (
        make_population(kind(Tied, SHAPE, CLASSES), keys()) for kind in (LoopedNetwork, ModuleNetwork)
    )
    for turn in range(3):
        x = batch(turn, W, ROWS, *SHAPE)
        for population in (one, other):
            population.learn(x, loss, rate=RATES)
        assert torch.allclose(one.logits(x), other.logits(x), atol=1e-5)
        alone = one.extract(1, 2)
        assert torch.allclose(one.logits(x)[1, 2], alone(x[1]), atol=1e-5)


@pytest.mark.parametrize(
    ("learners", "rows"),
    [("conv3", ROWS), pytest.param(["conv3", dense_digits, "mlp"], 6, marks=pytest.mark.slow)],
    ids=["looped", "stacked"],
)
def test_worlds_that_host_them_keep_the_contract(learners, rows):
    check_engine(
        "classroom-v0", learners=learners, agents=3, hidden=(8,), slice_size=rows, exam_size=10, horizon=2
    )


def test_students_can_be_convolutional():
    check_policy(
        lambda: make_policy("mean_teacher", learners="conv3"), agents=2, slice_size=6, exam_size=10, horizon=3
    )
    with pytest.raises(ConfigError, match="all of one kind"):
        make_policy("mutual", learners=["cnn", "conv3"])
