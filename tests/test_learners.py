"""Learners of any architecture and optimiser, alone, mixed, forked: each is what it would be by itself."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from studyhall.envs import rng
from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.learners import (
    MLP,
    Lesson,
    LoopedNetwork,
    MixedPopulation,
    ModuleNetwork,
    Population,
    cnn,
    label_loss,
    learner_keys,
    make_networks,
    make_optimiser,
    make_population,
    teach,
)

SHAPE, CLASSES, ROWS = (1, 8, 8), 5, 6
W, N = 2, 3


def small():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, CLASSES))


@dataclass
class Maker:  # has no hash
    width: int

    def __call__(self):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, self.width), nn.Linear(self.width, CLASSES))


MODULES = ModuleNetwork(small, SHAPE, CLASSES)
PICTURES = LoopedNetwork(cnn(SHAPE, CLASSES), SHAPE, CLASSES)
FLAT = MLP((64, 16, CLASSES), 0.0)


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


def apart(population, reference):
    """Largest difference between a population's parameters and those of modules ``[w][n]``."""
    return max(
        (own - other).abs().max().item()
        for w in range(W)
        for n in range(N)
        for own, other in zip(
            population.extract(w, n).parameters(), reference[w, n].parameters(), strict=True
        )
    )


@pytest.mark.parametrize("network", [FLAT, MODULES, PICTURES], ids=["mlp", "module", "cnn"])
@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("leading", [(), (W,), (W, N)], ids=["all", "world", "own"])
def test_equals_separate_modules(network, optimiser, leading):
    population = make_population(network, keys(), optimiser=optimiser, lr=1e-2)
    modules = {(w, n): population.extract(w, n).train() for w in range(W) for n in range(N)}
    make = {
        "adam": lambda own: torch.optim.Adam(own, lr=1e-2),
        "adamw": lambda own: torch.optim.AdamW(own, lr=1e-2),
        "sgd": lambda own: torch.optim.SGD(own, lr=1e-2, momentum=0.9),
    }[optimiser]
    optimisers = {index: make(module.parameters()) for index, module in modules.items()}
    rates = torch.tensor([[1.0, 0.0, 0.3], [1.0, 2.0, 0.25]])
    for turn in range(8):
        x = batch(turn, *leading, ROWS, *SHAPE)
        each = (x[:, None] if len(leading) == 1 else x).expand(W, N, ROWS, *SHAPE)
        rate = rates if turn % 2 else None
        losses = population.learn(x, loss, rate=rate)
        for (w, n), module in modules.items():
            for group in optimisers[w, n].param_groups:
                group["lr"] = 1e-2 * (1.0 if rate is None else rate[w, n].item())
            optimisers[w, n].zero_grad()
            own = F.cross_entropy(module(each[w, n]), torch.arange(ROWS) % CLASSES)
            own.backward()
            if rate is None or rate[w, n] > 0:
                assert losses[w, n].item() == pytest.approx(own.item(), abs=1e-4)
                optimisers[w, n].step()
    assert apart(population, modules) < 1e-4
    assert population.steps.tolist() == [[8, 4, 8], [8, 8, 8]]
    logits = population.logits(x)
    assert torch.allclose(logits[1, 2], population.extract(1, 2)(each[1, 2]), atol=1e-4)


@pytest.mark.parametrize("network", [FLAT, PICTURES], ids=["mlp", "cnn"])
@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_the_frozen_keep_every_bit_and_ignore_nan(network, optimiser):
    population = make_population(network, keys(), optimiser=optimiser)
    population.learn(batch(0, ROWS, 64), loss)
    before = population.state_dict()
    x = batch(1, W, N, ROWS, 64)
    x[0, 1] = torch.nan
    rate = torch.tensor([[0.5, 0.0, 0.7], [1.0, 0.9, 0.8]])  # all different: the optimiser's way for these
    population.learn(x, loss, rate=rate)
    for name, after in population.state_dict().items():
        if name == "keys":
            continue
        assert torch.equal(before[name][1].view(torch.int32), after[1].view(torch.int32)), name
        assert after.isfinite().all(), name
        if name.startswith("parameter"):
            assert all(not torch.equal(before[name][p], after[p]) for p in (0, 2, 3, 4, 5)), name


@pytest.mark.parametrize(
    ("optimiser", "make", "options"),
    [("adam", torch.optim.Adam, {}), ("adamw", torch.optim.AdamW, {"weight_decay": 5.0})],
    ids=["adam", "adamw"],
)
def test_many_learners_at_rates_of_their_own(optimiser, make, options):
    many = keys(learners=20)
    population, plain = (
        Population(FLAT, many, optimiser=optimiser, fused=fused, **options) for fused in (None, False)
    )
    modules = [population.extract(w, n).train() for w in range(W) for n in range(20)]
    optimisers = [make(module.parameters(), **options) for module in modules]
    for turn in range(30):
        rate = batch(turn, W, 20).abs()
        if turn >= 10:  # from here on some sit out, and have stepped less often
            rate *= batch(100 + turn, W, 20) < 1.0
        x = batch(turn, W, 20, ROWS, 64)
        x[rate == 0] = torch.nan
        before = population.state_dict()
        for each in (population, plain):
            each.learn(x, loss, rate=rate)
        still = (rate == 0).flatten()
        for name, after in population.state_dict().items():
            old, new = before[name].view(W * 20, -1)[still], after.view(W * 20, -1)[still]
            assert torch.equal(old.view(torch.int32), new.view(torch.int32)), name
        for index in (~still).nonzero().flatten().tolist():
            optimisers[index].param_groups[0]["lr"] = 1e-3 * rate.flatten()[index].item()
            optimisers[index].zero_grad()
            F.cross_entropy(modules[index](x.flatten(0, 1)[index]), torch.arange(ROWS) % CLASSES).backward()
            optimisers[index].step()
    assert len(set(population.steps.flatten().tolist())) > 3
    for name, other in plain.state_dict().items():
        assert torch.allclose(population.state_dict()[name], other, rtol=0, atol=1e-5), name
    for index, module in enumerate(modules):
        for own, stack in zip(module.parameters(), population.parameters, strict=True):
            assert torch.allclose(own, stack[index], rtol=0, atol=1e-5)


def test_sgd_resets_momentum_and_saves_it():
    population = make_population(FLAT, keys(), optimiser="sgd")
    population.learn(batch(0, ROWS, 64), loss)
    other = make_population(FLAT, keys(7), optimiser="sgd")
    other.load_state_dict(population.state_dict())
    population.reset(torch.tensor([True, False]), keys(9))
    assert (population.state_dict()["momentum.0.weight"][:N] == 0).all()
    assert torch.equal(population.parameters[0][N:], other.parameters[0][N:])
    for one in (population, other):
        one.learn(batch(1, ROWS, 64), loss)
    assert torch.equal(population.parameters[0][N:], other.parameters[0][N:])
    with pytest.raises(ValueError, match="momentum"):
        make_population(FLAT, keys()).load_state_dict(population.state_dict())


def test_initial_weights_are_a_learners_own_and_the_global_generators_stay():
    def drawing():
        module = small()
        module[1].bias.data += random.random() + float(np.random.rand())
        return module

    network = ModuleNetwork(drawing, SHAPE, CLASSES)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    population = make_population(network, keys())
    alone = make_population(network, keys(1)[:1])
    for part, whole in zip(alone.parameters, population.parameters, strict=True):
        assert torch.equal(part, whole[N:])
    bias = population.parameters[1].mean(-1)
    assert len(set(bias.tolist())) == W * N
    population.reset(torch.tensor([[False, True, False]] * 2), keys(1))
    assert torch.equal(population.parameters[0][1], alone.parameters[0][1])
    population.learn(batch(0, ROWS, 64), loss)
    population.extract(0, 0)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (np.random.get_state()[1].tolist(), random.getstate())


def test_what_a_module_freezes_and_keeps_stays():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen = nn.Parameter(torch.rand(64), requires_grad=False)
            self.register_buffer("scale", torch.rand(CLASSES))
            self.linear = nn.Linear(64, CLASSES)
            self.unused = nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return self.linear(x.flatten(1) * self.frozen) * self.scale

    population = make_population(ModuleNetwork(Scaled, SHAPE, CLASSES), keys())
    before = [stack.clone() for stack in population.parameters]
    x = batch(0, W, ROWS, *SHAPE)
    population.learn(x, loss)
    names = list(population.network.shapes)
    for name, old, new in zip(names, before, population.parameters, strict=True):
        assert torch.equal(old, new) == (name in ("frozen", "unused"))
    assert torch.allclose(population.logits(x)[1, 0], population.extract(1, 0)(x[1]), atol=1e-5)


def test_modules_within_inference_mode():
    with torch.inference_mode():
        inside = make_population(MODULES, keys())
        x = batch(0, W, N, ROWS, 64)
        inside.learn(x, loss)
        inside.logits(x)
    outside = make_population(MODULES, keys())
    outside.learn(x.clone(), loss)
    assert same(inside.state_dict(), outside.state_dict())
    x = batch(1, ROWS, 64).requires_grad_()
    outside.logits(x)[1, 1].sum().backward()
    assert x.grad.abs().sum() > 0
    assert not outside.logits(x.detach()).requires_grad


def test_many_samples_are_evaluated_in_parts(monkeypatch):
    population = make_population(MODULES, keys())
    wholes = [batch(turn, *leading, ROWS, 64) for turn, leading in enumerate([(), (W,), (W, N)])]
    expected = [population.logits(x) for x in wholes]
    monkeypatch.setattr("studyhall.learners.modules._ROWS_AT_ONCE", 2 * ROWS)
    for x, whole in zip(wholes, expected, strict=True):
        assert torch.allclose(population.logits(x), whole, atol=1e-6)


class Branching(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1)) if self.weight.sum() > 0 else super().forward(-x.flatten(1))


class Counting(nn.Linear):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen = self.seen + 1
        return super().forward(x.flatten(1))


class Noisy(nn.Linear):
    def forward(self, x):
        return F.dropout(super().forward(x.flatten(1)), 0.1, self.training)


def head(*layers):
    return lambda: nn.Sequential(nn.Flatten(), *layers)


FLAT_TO_CLASSES = nn.Flatten(), nn.Linear(64, CLASSES)


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (7, "need a factory of modules.*got 7"),
        (small(), "need a factory of modules.*got a module"),
        (lambda: None, "must return an nn.Module, it returns NoneType"),
        (lambda width: small(), "fails when called without arguments.*width"),
        (head(nn.Linear(64, 7)), r"map \[2, 1, 8, 8\] to logits \[2, 5\].*it gives \[2, 7\]"),
        (head(nn.Linear(64, 5), nn.LSTM(5, 5)), "LSTM '2' cannot be stacked.*use convolutions or attention"),
        (
            head(nn.Linear(64, 5), nn.GRU(5, 5)),
            "GRU '2' cannot be stacked",
        ),
        (
            head(nn.Unflatten(1, (1, 64)), nn.TransformerEncoderLayer(64, 2)),
            "dropout .MultiheadAttention '2.self_attn'",
        ),
        (head(nn.Linear(64, 5), nn.Identity(), nn.Dropout(1)), "Dropout '3' drops everything.*below 1"),
        (
            head(nn.Linear(64, 5), nn.AlphaDropout(0.1)),
            "dropout .AlphaDropout '2'.*leave it out, or use nn.Dropout",
        ),
        (head(nn.Linear(63, 5)), r"fails on inputs \[2, 1, 8, 8\]: mat1 and mat2"),
        (
            head(nn.Linear(64, 5), nn.BatchNorm1d(5, track_running_stats=False)),
            "BatchNorm1d '2' makes samples depend.*outside of training.*GroupNorm or LayerNorm",
        ),
        (head(nn.Linear(64, 5), nn.BatchNorm1d(5, momentum=None)), "cannot be stacked.*item"),
        (lambda: Counting(64, 5), "training replaces the module's buffers seen: change them in place"),
        (lambda: Noisy(64, 5), "cannot be stacked.*random"),
        (lambda: Branching(64, 5), "cannot be stacked.*data-dependent"),
        (head(), "no parameters to train"),
        (head(nn.LazyLinear(5)), "lazy"),
    ],
)
def test_modules_that_cannot_learn_here(factory, said):
    with pytest.raises(ConfigError, match=said) as caught:
        ModuleNetwork(factory, SHAPE, CLASSES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 5, 17)])
def test_cnn_takes_any_picture(shape):
    network = make_networks("cnn", shape, 10, 2)
    population = make_population(network, keys(learners=2))
    x = batch(0, W, 3, *shape)
    assert population.logits(x).shape == (W, 2, 3, 10)
    documented = {(1, 8, 8): 9930, (1, 28, 28): 20490, (3, 32, 32): 25578}
    assert network.num_parameters == documented.get(shape, network.num_parameters)


def test_learners_by_name():
    assert make_networks("mlp", (1, 8, 8), 5, N, hidden=[16], dropout=0.0) == FLAT
    assert make_networks(["mlp"] * N, (64,), 5, N, hidden=(16,)) == FLAT
    mixed = make_networks(["cnn", small, "cnn"], SHAPE, CLASSES, N)
    assert mixed[0] is mixed[2]
    wide, narrow = make_networks([Maker(8), Maker(4), Maker(8)], SHAPE, CLASSES, N)[:2]
    assert (wide.module()[1].out_features, narrow.module()[1].out_features) == (8, 4)
    assert isinstance(make_networks([Maker(8)] * N, SHAPE, CLASSES, N), ModuleNetwork)
    assert isinstance(make_population(mixed, keys()), MixedPopulation)
    assert isinstance(make_population(FLAT, keys(), optimiser="adam", betas=(0.0, 0.9)), Population)


@pytest.mark.parametrize(
    ("kwargs", "error", "said"),
    [
        ({"learners": "nlp"}, UnknownName, "unknown kind of learner 'nlp': did you mean 'mlp'"),
        ({"learners": "cnn", "shape": (64,)}, ConfigError, r"needs pictures.*\(64,\).*use learners=\"mlp\""),
        (
            {"learners": "conv3", "shape": (64,)},
            ConfigError,
            r"conv3.*of 4×4 or more.*\(64,\).*learners=\"mlp\"",
        ),
        (
            {"learners": "vgg", "shape": (1, 28, 28)},
            ConfigError,
            r"vgg.*of 32×32 or more.*28, 28.*or \"conv3\"",
        ),
        ({"learners": "vgg-wide", "shape": (3, 32, 31)}, ConfigError, "vgg-wide.*32×32 or more"),
        ({"learners": "vgg16"}, UnknownName, "did you mean 'vgg'"),
        ({"learners": ["mlp"] * 2}, ConfigError, "2 learners for 3 agents"),
        ({"learners": 3}, ConfigError, "got int"),
        ({"learners": ["mlp", "mlp", small()]}, ConfigError, "got Sequential"),
        ({"hidden": (0,)}, ConfigError, "each width in hidden"),
        ({"hidden": 64}, ConfigError, "hidden must be a list"),
        ({"dropout": 1.0}, ConfigError, "dropout must be below 1"),
    ],
)
def test_mistakes_in_naming_learners(kwargs, error, said):
    arguments = {"learners": "mlp", "shape": SHAPE, "classes": CLASSES, "agents": N, **kwargs}
    with pytest.raises(error, match=said):
        make_networks(**arguments)


@pytest.mark.parametrize(
    ("name", "options", "error", "said"),
    [
        ("adma", {}, UnknownName, "did you mean 'adam'"),
        ("sgd", {"betas": (0.9, 0.9)}, UnknownName, "unknown option of optimiser sgd 'betas'"),
        ("adam", {"lr": 10**400}, ConfigError, "lr must be a number above 0"),
        ("adam", {"lr": 0.0}, ConfigError, "lr must be a number above 0"),
        ("adam", {"betas": (0.9, 1.0)}, ConfigError, "betas must be below 1"),
        ("sgd", {"momentum": 1.0}, ConfigError, "momentum must be below 1"),
        ("sgd", {"weight_decay": -1.0}, ConfigError, "weight_decay must be a number"),
        ("adamw", {"weight_decay": -1.0}, ConfigError, "weight_decay must be a number"),
        ("sgd", {"nesterov": True, "momentum": 0.0}, ConfigError, "Nesterov's momentum needs some"),
    ],
)
def test_mistakes_in_naming_optimisers(name, options, error, said):
    with pytest.raises(error, match=said):
        make_optimiser(name, **options)


# ---- mixed classes ----------------------------------------------------------------------------------

MIX = [FLAT, PICTURES, FLAT]


def mixed(first=0, **kwargs):
    return make_population(MIX, keys(first), **kwargs)


def apart_from_mixed(population):
    """The same learners as separate populations: of agents 0 and 2, and of agent 1."""
    return (
        Population(FLAT, population.keys[:, [0, 2]]),
        Population(PICTURES, population.keys[:, [1]]),
    )


@pytest.mark.parametrize("leading", [(), (W,), (W, N)], ids=["all", "world", "own"])
def test_mixed_equals_separate_populations(leading):
    population = mixed()
    flat, pictures = apart_from_mixed(population)
    calls = []

    def counted(logits):
        calls.append(logits.shape)
        return loss(logits)

    rate = torch.tensor([[1.0, 0.5, 0.0], [0.2, 1.0, 1.0]])
    for turn in range(5):
        x = batch(turn, *leading, ROWS, 64)
        first, second = (x[:, [0, 2]], x[:, [1]]) if len(leading) == 2 else (x, x)
        losses = population.learn(x, counted, rate=rate)
        ours = flat.learn(first, loss, rate=rate[:, [0, 2]]), pictures.learn(second, loss, rate=rate[:, [1]])
        assert torch.allclose(losses[:, [0, 2]], ours[0], atol=1e-6)
        assert torch.allclose(losses[:, [1]], ours[1], atol=1e-6)
    assert calls == [(W, N, ROWS, CLASSES)] * 5
    logits = population.logits(x)
    assert torch.allclose(logits[:, [0, 2]], flat.logits(first), atol=1e-6)
    assert torch.allclose(logits[:, [1]], pictures.logits(second), atol=1e-6)
    assert population.steps.tolist() == [[5, 5, 0], [5, 5, 5]]
    assert torch.equal(population.keys, keys())
    assert (population.worlds, population.learners) == (W, N)
    assert population.num_parameters == flat.num_parameters + pictures.num_parameters


def test_mixed_one_learner_of_each_world():
    population = mixed()
    x = batch(0, W, ROWS, 64)
    everyone = population.logits(x)
    for chosen in ([0, 1], [1, 2], [2, 0]):
        said = population.logits_of(torch.tensor(chosen), x)
        for w, n in enumerate(chosen):
            assert torch.allclose(said[w, 0], everyone[w, n], atol=1e-6)
            assert torch.allclose(population.extract(w, n)(x[w].view(-1, *SHAPE)), everyone[w, n], atol=1e-5)


def test_mixed_dropout_draws():
    dropping = [MLP((64, 16, CLASSES), 0.5), FLAT, MLP((64, 16, CLASSES), 0.5)]
    population = make_population(dropping, keys())
    x = batch(0, ROWS, 64)
    draw = torch.tensor([1, 2, 3, 4, 5, 6])
    said = population.logits(x, dropout=True, draw=draw)
    alone = Population(dropping[0], keys()[:, [0, 2]])
    assert torch.equal(said[:, [0, 2]], alone.logits(x, dropout=True, draw=draw[[0, 2, 3, 5]]))
    assert torch.equal(said[:, 1], population.logits(x)[:, 1])


def test_mixed_reset_and_state():
    population = mixed()
    population.learn(batch(0, ROWS, 64), loss)
    saved = population.state_dict()
    mask = torch.tensor([[True, False, False], [False, True, True]])
    population.reset(mask, keys(9))
    assert torch.equal(population.keys, torch.where(mask, keys(9), keys()))
    assert torch.equal(population.steps, (~mask).long())
    fresh = mixed(9)
    x = batch(1, ROWS, 64)
    assert torch.equal(population.logits(x)[mask], fresh.logits(x)[mask])
    fresh.load_state_dict(saved)
    assert same(fresh.state_dict(), saved)
    assert torch.equal(fresh.keys, keys())
    broken = {name: tensor for name, tensor in saved.items() if not name.endswith("steps")}
    with pytest.raises(ValueError, match="steps"):
        population.load_state_dict(broken)


def test_mixed_mistakes():
    with pytest.raises(ConfigError, match="3 networks need keys"):
        make_population(MIX, keys(learners=2))
    with pytest.raises(ConfigError, match="same classes"):
        make_population([FLAT, MLP((64, 7))], keys(learners=2))
    with pytest.raises(ValueError, match="inputs are"):
        mixed().logits(torch.zeros(ROWS, 63))
    with pytest.raises(ValueError, match="rate must be"):
        mixed().learn(batch(0, ROWS, 64), loss, rate=torch.ones(3))


# ---- lessons ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [False, True])
def test_a_lesson_is_what_autograd_makes_of_its_losses(apart):
    # Targets about the labelled slice or another one; some rows are without a label or a distribution.
    one, other = (Population(FLAT, keys(), optimiser="sgd", lr=1.0) for _ in range(2))
    x, about = batch(0, W, ROWS, 64), batch(1, W, ROWS, 64)
    labels = torch.arange(W * N * ROWS).view(W, N, ROWS) % (CLASSES + 1) - 1
    labels[0, 1] = -1
    targets = batch(2, W, N, ROWS, CLASSES).relu()
    targets = targets / targets.sum(-1, keepdim=True).clamp_min(1e-12)
    targets[0, 0, 0] = 0.0
    lesson = Lesson(batch(3, W, N).abs(), batch(4, W, N, ROWS).abs(), targets)

    def expected(logits):
        own = (logits[..., -ROWS:, :] / 2.0).log_softmax(-1)
        divergence = (torch.special.xlogy(targets, targets) - targets * own).sum(-1)
        labelled = lesson.label * label_loss(logits[..., :ROWS, :], labels)
        return labelled + 4.0 * (lesson.imitate * divergence).mean(-1)

    everyone = torch.ones(W, N, dtype=torch.bool)
    taught = teach(
        one, lesson, inputs=x, labels=labels, about=about if apart else None, allowed=everyone,
        temperature=2.0, distill_scale=4.0,
    )  # fmt: skip
    losses = other.learn(torch.cat([x, about], 1) if apart else x, expected)
    assert torch.allclose(taught, losses, atol=1e-5)
    for a, b in zip(one.parameters, other.parameters, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


# ---- forks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("networks", [FLAT, PICTURES, MIX], ids=["mlp", "cnn", "mixed"])
@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_a_copy_goes_its_own_way(networks, optimiser):
    population = make_population(networks, keys(), optimiser=optimiser)
    rate = torch.tensor([[1.0, 0.5, 0.0], [0.2, 1.0, 1.0]])
    population.learn(batch(0, ROWS, 64), loss, rate=rate)
    before = population.state_dict()
    with torch.inference_mode():
        twin = copy.deepcopy(population)
    for one, other in ((twin, population), (population, twin)):
        kept = other.state_dict()
        one.learn(batch(1, ROWS, 64), loss, rate=rate)
        one.learn(batch(2, ROWS, 64), loss)
        one.reset(torch.tensor([False, True]), keys(3))
        assert same(other.state_dict(), kept)
    assert same(population.state_dict(), twin.state_dict())
    assert not same(population.state_dict(), before)


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("rate", [None, torch.tensor([1.0, 0.5, 0.0])], ids=["alike", "own"])
def test_a_parameter_without_a_gradient_stays(optimiser, rate):
    stacks = [batch(0, 3, 4), batch(1, 3, 2)]
    before = [stack.clone() for stack in stacks]
    made = make_optimiser(optimiser, weight_decay=0.5) if optimiser != "adam" else make_optimiser(optimiser)
    stepper = made(stacks)
    for turn in range(3):
        stepper.step([None, batch(turn, 3, 2)], rate)
    assert torch.equal(stacks[0], before[0])
    assert not torch.equal(stacks[1][0], before[1][0])


@pytest.mark.parametrize(
    "betas", [0.9, (0.9,), np.array([0.9, 0.999]), (0.9, 1.0), (0.9, "x"), (np.nan, 0.9)]
)
def test_betas_are_two_numbers_below_one(betas):
    with pytest.raises(ConfigError, match="betas must be"):
        make_optimiser("adam", betas=betas)
