"""Collective layers against small computations of their formulas, one token and one expert at a time."""

from __future__ import annotations

import copy
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from studyhall import make_world
from studyhall.envs import rng
from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.learners import softmax
from studyhall.policies.collective import (
    AGGREGATIONS,
    DIVERSE_AS_PUBLISHED,
    MOE_AS_PUBLISHED,
    SCORERS,
    SWITCH_AS_PUBLISHED,
    VOTINGS,
    Ensemble,
    Experts,
    MoE,
    NoisyTopK,
    RelevanceRouter,
    Switch,
    UnifiedCollective,
    VotingLayer,
    aggregation,
    allocate,
    balance_loss,
    dispatch,
    diverse_loss,
    grouped,
    mean_correlation,
    predictions,
    raw_z_loss,
    sample_tokens,
    z_loss,
)
from studyhall.policies.collective.routing import room
from studyhall.policies.messages.consensus_network import ConsensusNetwork

COPIES = torch.arange(3)


def inputs(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def expert_of(
    experts: Experts, index: tuple[int, ...], activation: type[nn.Module] = nn.GELU
) -> nn.Sequential:
    """One expert as the module everyone would write; ``index`` is (*copy, expert)."""
    layers: list[nn.Module] = []
    for weight, bias in zip(experts.weights, experts.biases, strict=True):
        linear = nn.Linear(*weight.shape[-2:])
        linear.weight.data, linear.bias.data = weight[index].T.detach().clone(), bias[index].detach().clone()
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


def np_softmax(values, axis=-1):
    shifted = np.exp(values - values.max(axis, keepdims=True))
    return shifted / shifted.sum(axis, keepdims=True)


# Experts ------------------------------------------------------------------------------------------------------


def test_experts_are_the_modules_one_would_write():
    experts = Experts(4, (5, 7, 6, 3), key=COPIES)
    x = inputs(3, 2, 9, 5)
    said = experts(x)
    assert said.shape == (3, 4, 2, 9, 3)
    for w, e in itertools.product(range(3), range(4)):
        torch.testing.assert_close(said[w, e], expert_of(experts, (w, e))(x[w]))


def test_large_products_and_their_gradients_too():
    """Large enough to leave the plain batched product."""
    experts = Experts(2, (256, 128, 64), key=0)
    x = inputs(600, 256).requires_grad_()
    experts(x).square().sum().backward()
    ours = x.grad
    x.grad = None
    modules = [expert_of(experts, (e,)) for e in range(2)]
    sum(module(x).square().sum() for module in modules).backward()
    torch.testing.assert_close(ours, x.grad, rtol=1e-4, atol=1e-4)
    for e, layer in itertools.product(range(2), range(2)):
        own = modules[e][2 * layer]
        torch.testing.assert_close(experts.weights[layer].grad[e].T, own.weight.grad, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(experts.biases[layer].grad[e], own.bias.grad, rtol=1e-3, atol=1e-3)


def test_initial_weights_hang_on_the_key_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    many, one = MoE(5, 7, key=COPIES), MoE(5, 7, key=COPIES[1])
    assert torch.equal(torch.get_rng_state(), before)
    for name, stack in many.state_dict().items():
        assert torch.equal(stack[1], one.state_dict()[name])
        assert not torch.equal(stack[0], stack[1])
    first = Experts(2, (100, 50), key=0).weights[0]
    assert first.abs().max() <= 0.1  # 1/√fan_in, as nn.Linear
    assert first.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("layer", ["Ensemble", "MoE", "Switch", "VotingLayer", "RelevanceRouter", "Unified"])
def test_copies_are_independent_layers(layer):
    """A stack of layers says what each of them says alone, and takes any batch."""
    make = {
        "Ensemble": lambda key: Ensemble(3, (5, 4, 2), key=key),
        "MoE": lambda key: MoE(5, 4, 2, key=key, capacity_factor=0.5),
        "Switch": lambda key: Switch(5, 4, 2, key=key),
        "VotingLayer": lambda key: VotingLayer(5, 4, 2, key=key),
        "RelevanceRouter": lambda key: RelevanceRouter(5, 4, key=key),
        "Unified": lambda key: UnifiedCollective(3, (5, 4, 2), key=key, weighting="learned"),
    }[layer]
    keys = torch.arange(6).view(2, 3)
    x = inputs(2, 3, 4, 8, 5)

    def first(said):
        return said if isinstance(said, torch.Tensor) else said[0]

    noisy = layer in ("MoE", "Unified")  # they draw noise by a key
    stacked = first(make(keys)(x, keys) if noisy else make(keys)(x))
    assert stacked.shape[:4] == (2, 3, 4, 8)
    for w, n in itertools.product(range(2), range(3)):
        alone = make(keys[w, n])
        torch.testing.assert_close(
            stacked[w, n], first(alone(x[w, n], keys[w, n]) if noisy else alone(x[w, n]))
        )
    quiet = make(7).eval()
    single = first(quiet(x[0, 0, 0, 0]))  # no batch at all: one sample
    torch.testing.assert_close(single, first(quiet(x[0, 0, 0, :1]))[0])


# Grouped computation ------------------------------------------------------------------------------------------


def loop_over_experts(experts, x, chosen, gates, capacity=None):
    """The form everyone writes; first choices are served before second ones, earlier tokens before later."""
    out = x.new_zeros(len(x), experts.sizes[-1])
    kept = torch.zeros_like(chosen, dtype=torch.bool)
    for e in range(experts.experts):
        taken = 0
        for rank, t in itertools.product(range(chosen.shape[1]), range(len(x))):
            if chosen[t, rank] == e and (capacity is None or taken < capacity):
                taken += 1
                kept[t, rank] = True
                rows = x[t]
                for layer, (weight, bias) in enumerate(zip(experts.weights, experts.biases, strict=True)):
                    rows = (F.gelu(rows) if layer else rows) @ weight[e] + bias[e]
                out = out.index_add(0, torch.tensor([t]), (gates[t, rank] * rows)[None])
    return out, kept


@pytest.fixture(params=["buckets", "queues"])
def either_way(request, monkeypatch):
    """Few tokens go through buckets, many through queues; here the same few go both ways."""
    monkeypatch.setattr(dispatch, "_LONG", 0 if request.param == "queues" else 1 << 60)


@pytest.mark.parametrize("capacity", [None, 1, 3, 50])
def test_grouped_is_the_loop_and_so_are_its_gradients(capacity, either_way):
    experts = Experts(4, (3, 5, 2), key=0).double()
    x = inputs(11, 3).double().requires_grad_()
    logits = inputs(11, 4, seed=1).double().requires_grad_()
    wanted = inputs(11, 2, seed=2).double()
    best, chosen = logits.topk(2)
    found = []
    for form in ("loop", "grouped"):
        experts.zero_grad()
        x.grad = logits.grad = None
        gates = logits.gather(1, chosen).softmax(-1)
        if form == "loop":
            said, kept = loop_over_experts(experts, x, chosen, gates, capacity)
        else:
            said, kept = (part[0] for part in grouped(experts, x[None], chosen[None], gates[None], capacity))
        (said * wanted).sum().backward()
        found.append([said, kept, x.grad, logits.grad, *[p.grad for p in experts.parameters()]])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert bool(found[0][1].all()) == (capacity in (None, 50))


@pytest.mark.parametrize("spoilt", [math.nan, math.inf])
@pytest.mark.parametrize("capacity", [None, 1, 3, 6])
def test_what_is_refused_adds_nothing_whatever_it_is(capacity, spoilt, either_way):
    """A token that is no number spoils itself and the experts that took it, forward and backward."""
    chosen = torch.randint(5, (1, 24, 2), generator=torch.Generator().manual_seed(1))
    chosen[..., 1] = (chosen[..., 0] + 1 + chosen[..., 1] % 3) % 4  # nobody needs the fifth second
    chosen[chosen == 4] = 0  # nor first
    found = []
    for bad in (None, 7):
        experts = Experts(5, (6, 8, 3), key=2)
        x, gates = inputs(1, 24, 6).requires_grad_(), inputs(1, 24, 2, seed=3).abs().requires_grad_()
        seen = x if bad is None else torch.where(torch.arange(24)[:, None] == bad, spoilt, x)
        said, kept = grouped(experts, seen, chosen, gates, capacity)
        told = torch.arange(24) != 7
        said[:, told].square().sum().backward()
        found.append((said[:, told], kept, x.grad[:, told], gates.grad[:, told], experts))
    (sound, kept, *of_sound, experts), (other, kept_too, *of_other, with_bad) = found
    assert torch.equal(kept, kept_too)
    assert torch.equal(sound, other)
    for one, two in zip(of_sound, of_other, strict=True):
        assert torch.equal(one, two)
    spared = sorted(set(range(5)) - set(chosen[0, 7][kept[0, 7]].tolist()))
    for one, two in zip(experts.parameters(), with_bad.parameters(), strict=True):
        torch.testing.assert_close(one.grad[spared], two.grad[spared])
    assert capacity is not None or len(spared) == 3


@pytest.mark.parametrize("capacity", [None, 2])
@pytest.mark.parametrize("final", [None, torch.sigmoid])
@pytest.mark.parametrize("activation", [F.gelu, F.relu, torch.tanh, softmax])
def test_copies_depths_and_functions_go_both_ways(capacity, final, activation, monkeypatch):
    experts = Experts(3, (4, 6, 5, 2), key=COPIES[:2], activation=activation, final=final).double()
    x, gates = inputs(2, 7, 4).double(), inputs(2, 7, 2, seed=1).double().requires_grad_()
    chosen = inputs(2, 7, 3, seed=2).topk(2).indices
    found = []
    for long, wanted in ((1 << 60, True), (0, True), (0, False)):
        monkeypatch.setattr(dispatch, "_LONG", long)
        experts.zero_grad()
        gates.grad = x.grad = None
        x.requires_grad_(wanted)
        said, kept = grouped(experts, x, chosen, gates, capacity)
        (said * inputs(2, 7, 2, seed=3)).sum().backward()
        found.append([said, kept, gates.grad, *[p.grad for p in experts.parameters()]])
        found[-1] += [x.grad] if wanted else []
    for ours in found[1:]:
        for a, b in zip(ours, found[0], strict=False):
            torch.testing.assert_close(a, b)
    assert len(found[1]) == len(found[2]) + 1
    with torch.inference_mode():
        torch.testing.assert_close(grouped(experts, x, chosen, gates, capacity)[0], found[0][0])


def test_many_tokens_are_the_loop_over_modules():
    """Enough for queues, and for the faster products where there are any."""
    experts = Experts(4, (64, 128, 32), key=0)
    x, logits = inputs(4096, 64).requires_grad_(), inputs(4096, 4, seed=1)
    best, chosen = logits.topk(2)
    gates, wanted = best.softmax(-1).requires_grad_(), inputs(4096, 32, seed=2)
    grouped(experts, x[None], chosen[None], gates[None], None)[0][0].backward(wanted)
    ours, of_gates = x.grad, gates.grad
    x.grad = gates.grad = None
    modules = [expert_of(experts, (e,)) for e in range(4)]
    weights = torch.zeros(4096, 4).scatter(1, chosen, gates)
    sum(weights[:, e, None] * module(x) for e, module in enumerate(modules)).backward(wanted)
    torch.testing.assert_close(ours, x.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(of_gates, gates.grad, rtol=1e-3, atol=1e-4)
    for e, layer in itertools.product(range(4), range(2)):
        own = modules[e][2 * layer]
        torch.testing.assert_close(experts.weights[layer].grad[e].T, own.weight.grad, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(experts.biases[layer].grad[e], own.bias.grad, rtol=1e-3, atol=1e-3)


class Halved(nn.Module):
    """Random and with a parameter: every call drops others, so none can be computed a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.3))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        kept = torch.rand(x.shape, generator=torch.Generator().manual_seed(self.calls)) < 0.5
        return torch.where(x > 0, x, self.slope * x) * kept


@pytest.mark.parametrize("tokens", [16, 4096])
@pytest.mark.parametrize("as_final", [False, True])
def test_functions_with_parameters_learn_at_any_size(tokens, as_final):
    """Buckets compute what queues would have to compute a second time."""
    prelu = nn.PReLU()
    functions = {"activation": torch.tanh, "final": prelu} if as_final else {"activation": prelu}
    experts = Experts(4, (64, 64, 64), key=0, **functions).double()
    x, logits = inputs(tokens, 64).double(), inputs(tokens, 4, seed=1).double()
    best, chosen = logits.topk(2)
    gates, wanted = best.softmax(-1), inputs(tokens, 64, seed=2).double()
    grouped(experts, x[None], chosen[None], gates[None], None)[0][0].backward(wanted)
    ours = prelu.weight.grad
    prelu.weight.grad = None
    for e in range(4):
        for j in range(2):
            mine = chosen[:, j] == e
            rows = x[mine] @ experts.weights[0][e] + experts.biases[0][e]
            rows = experts.activation(rows) @ experts.weights[1][e] + experts.biases[1][e]
            rows = experts.final(rows) if as_final else rows
            (gates[mine, j, None] * rows).backward(wanted[mine])
    torch.testing.assert_close(ours, prelu.weight.grad)


def test_random_functions_are_computed_once():
    halved = Halved()
    experts = Experts(4, (64, 64, 64), key=0, activation=halved)
    x = inputs(1, 4096, 64).requires_grad_()
    chosen = torch.arange(4096).view(1, -1, 1) % 4
    said, _ = grouped(experts, x, chosen, torch.ones(1, 4096, 1), None)
    said.sum().backward()
    assert halved.calls == 1
    assert halved.slope.grad is not None


def test_experts_not_chosen_are_not_computed(either_way):
    """One whose weights are not numbers harms nobody who did not choose it."""
    experts = Experts(4, (3, 5, 2), key=0)
    for stack in (*experts.weights, *experts.biases):
        stack.data[2] = torch.nan
    x = inputs(1, 6, 3).requires_grad_()
    chosen = torch.tensor([[0, 1], [1, 3], [3, 0], [0, 1], [1, 0], [3, 1]])[None]
    gates = torch.full((1, 6, 2), 0.5, requires_grad=True)
    said, _ = grouped(experts, x, chosen, gates, None)
    said.sum().backward()
    assert said.isfinite().all()
    assert x.grad.isfinite().all()
    assert gates.grad.isfinite().all()
    assert experts.weights[0].grad[[0, 1, 3]].isfinite().all()


def test_no_tokens_and_no_room():
    experts = Experts(4, (3, 5, 2), key=0)
    none = torch.zeros(1, 0, 2)
    assert grouped(experts, torch.zeros(1, 0, 3), none.long(), none, None)[0].shape == (1, 0, 2)
    with pytest.raises(ConfigError, match="capacity must be a whole number of at least 1, got 0"):
        grouped(experts, torch.zeros(1, 1, 3), torch.zeros(1, 1, 2).long(), torch.zeros(1, 1, 2), 0)


# Ensembles ----------------------------------------------------------------------------------------------------


def test_ensemble_aggregations():
    x = inputs(20, 5)
    answers = {}
    for kind in AGGREGATIONS:
        ensemble = Ensemble(5, (5, 8, 3), key=0, aggregation=kind)
        if kind == "weighted":
            ensemble.weights.data = inputs(5, seed=4)
        said = ensemble(x)
        probs = np_softmax(
            np.stack([expert_of(ensemble.members, (e,), nn.ReLU)(x).detach().numpy() for e in range(5)])
        )
        answers[kind] = said.answer.detach().numpy()
        np.testing.assert_allclose(said.uncertainty.detach().numpy(), probs.var(0).mean(-1), rtol=1e-4)
    np.testing.assert_allclose(answers["mean"], probs.mean(0), rtol=1e-4)
    weights = np_softmax(inputs(5, seed=4).numpy())
    np.testing.assert_allclose(answers["weighted"], np.einsum("e,emc->mc", weights, probs), rtol=1e-4)
    for m in range(20):
        votes = np.bincount(probs[:, m].argmax(-1), minlength=3)
        tied = [c for c in range(3) if votes[c] == votes.max()]
        winner = max(tied, key=lambda c: probs[:, m, c].sum())
        assert answers["vote"][m].tolist() == [float(c == winner) for c in range(3)]


def test_a_tied_vote_goes_to_the_greatest_summed_probability():
    surer_of_1 = torch.tensor([[[0.6, 0.4, 0.0]], [[0.1, 0.9, 0.0]]])
    assert aggregation.majority(surer_of_1).tolist() == [1]
    # Class 2 has the most probability in all, but fewer votes than the two that are tied.
    many = torch.tensor(
        [[0.5, 0.01, 0.49], [0.5, 0.02, 0.48], [0.01, 0.5, 0.49], [0.03, 0.5, 0.47], [0, 0, 1.0]]
    )
    assert aggregation.majority(many[:, None]).tolist() == [0]


def test_a_single_member_is_certain():
    said = Ensemble(1, (5, 3), key=0)(inputs(4, 5))
    assert said.uncertainty.tolist() == [0.0] * 4


def test_diverse_loss():
    logits, labels = inputs(4, 30, 3), torch.arange(30) % 3
    probs = np_softmax(logits.numpy())
    errors = probs - np.eye(3)[labels.numpy()]
    task = -np.log(probs[:, np.arange(30), labels.numpy()]).mean(-1)
    for values, options in ((errors, {}), (probs, DIVERSE_AS_PUBLISHED), (probs, {"of": predictions})):
        correlation = np.corrcoef(values.reshape(4, -1))[np.triu_indices(4, 1)].mean()
        expected = task + 0.1 * correlation
        np.testing.assert_allclose(diverse_loss(logits, labels, **options).numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(diverse_loss(logits, labels, weight=0.0).numpy(), task, rtol=1e-5)
    stacked = diverse_loss(torch.stack([logits, -logits]), labels.expand(2, -1))
    torch.testing.assert_close(stacked[0], diverse_loss(logits, labels))


def test_members_that_are_right_agree_without_being_punished():
    """Two members, both nearly right, that err in opposite ways: predictions correlate, errors do not."""
    labels = torch.zeros(40, dtype=torch.long)
    wrong = torch.where(torch.arange(40) % 2 == 0, 0.02, 0.1)
    probs = torch.stack([torch.stack([1 - w, w], -1) for w in (wrong, 0.12 - wrong)])
    assert mean_correlation(predictions(probs, labels)) > 0.98
    errors = probs[..., 1:]
    assert mean_correlation(errors).item() == pytest.approx(-1.0, abs=1e-4)
    assert mean_correlation(probs[:1]) == 0.0


# Mixtures -----------------------------------------------------------------------------------------------------


def test_the_noisy_gate():
    gate = NoisyTopK(6, 5, 2, key=3)
    x, key = inputs(1, 200, 6), torch.tensor(11)
    w_gate, w_noise = (w.detach().numpy() for w in (gate.gate.weight, gate.noise.weight))
    noise = rng.draw(key, "gate-noise", (200, 5)).normal().numpy()
    rows = x[0].numpy()
    noisy = rows @ w_gate + noise * np.log1p(np.exp(rows @ w_noise))
    for logits, route in ((rows @ w_gate, gate.quiet(x)), (noisy, gate(x, key))):
        order = np.argsort(-logits, axis=1)[:, :2]
        assert np.array_equal(route.chosen[0].numpy(), order)
        expected = np_softmax(np.take_along_axis(logits, order, 1))
        np.testing.assert_allclose(route.gates[0].detach().numpy(), expected, rtol=1e-4)
    assert torch.equal(gate(x, key).logits, gate(x, key).logits)
    assert not torch.equal(gate(x, key).logits, gate(x, key + 1).logits)


@pytest.mark.parametrize(
    "layer", [MoE(6, 8, key=0), UnifiedCollective(4, (6, 8, 6), key=0, weighting="learned")]
)
def test_noise_follows_the_mode(layer):
    """In training there is none without a key, in evaluation a key changes nothing."""
    x = inputs(9, 6)
    with pytest.raises(ConfigError, match=r"draws its noise by a key: pass key=.* or call eval\(\)"):
        layer.train()(x)
    noisy = layer(x, 1)[0]
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x, 1)[0])
    assert not torch.equal(layer(x)[0], noisy)


def test_moe_is_the_weighted_sum_of_its_experts():
    moe = MoE(6, 8, 3, key=0, experts=5, k=2, capacity_factor=None)
    x, key = inputs(30, 6), torch.tensor(2)
    said = moe(x, key)
    route = moe.router(x[None], key)
    modules = [expert_of(moe.experts, (e,)) for e in range(5)]
    for t in range(30):
        expected = sum(route.gates[0, t, j] * modules[route.chosen[0, t, j]](x[t]) for j in range(2))
        torch.testing.assert_close(said.output[t], expected)
    counts = np.bincount(said.load.chosen.numpy().ravel(), minlength=5)
    np.testing.assert_allclose(said.load.utilisation.numpy(), counts / 60, rtol=1e-6)
    probability = np_softmax(route.logits[0].detach().numpy()).mean(0)
    assert said.loss.item() == pytest.approx(0.01 * 5 * (counts / 60 * probability).sum(), rel=1e-5)


@pytest.mark.parametrize("k", [1, 2])
def test_balance_loss_is_1_when_balanced_and_n_at_collapse(k):
    """At collapse all tokens want one expert, or the same k of them; then it is N/k."""
    experts, even = 4, (torch.arange(80)[:, None] + torch.arange(k)) % 4
    assert balance_loss(torch.zeros(80, experts), even).item() == pytest.approx(1.0)
    one = torch.arange(k).expand(80, k)
    sure = torch.full((80, experts), -50.0).index_fill(1, torch.arange(k), 50.0)
    assert balance_loss(sure, one).item() == pytest.approx(experts / k)


def test_weights_of_the_losses():
    """A Switch whose router is zero but for one expert: the balance loss is α·N, and the rest is the z-loss."""
    switch = Switch(4, 8, key=0, balance=0.03, z_weight=0.002)
    switch.router.gate.weight.data.zero_()[:, 1] = 100.0
    x = torch.ones(64, 4)
    logits = np.array([0.0, 400.0, *[0.0] * 6])
    assert switch(x).loss.item() == pytest.approx(0.03 * 8 + 0.002 * np.logaddexp.reduce(logits) ** 2)
    switch.router.gate.weight.data.zero_()
    switch.z_weight = 0.0
    # All logits equal: P is 1/8 for all, and whoever the tie goes to, N·Σ f·P is 1.
    assert switch(x).loss.item() == pytest.approx(0.03)


def test_z_losses():
    logits = inputs(2, 30, 5)
    expected = (np.log(np.exp(logits.numpy()).sum(-1)) ** 2).mean(-1)
    np.testing.assert_allclose(z_loss(logits).numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(raw_z_loss(logits).numpy(), (logits.numpy() ** 2).mean((1, 2)), rtol=1e-5)


def count_drops(chosen, experts, capacity):
    """Serve assignments one by one: kept, refused, and tokens nobody took."""
    room = [capacity] * experts
    kept = np.zeros(chosen.shape, bool)
    for rank, t in itertools.product(range(chosen.shape[1]), range(len(chosen))):
        if room[chosen[t, rank]]:
            room[chosen[t, rank]] -= 1
            kept[t, rank] = True
    return kept, int((~kept).sum()), int((~kept.any(1)).sum())


@pytest.mark.parametrize(("kind", "factor"), [(MoE, 1.25), (MoE, 0.3), (Switch, 1.0), (Switch, 0.01)])
def test_capacity_and_drops_are_exact(kind, factor):
    layer = kind(6, 8, key=COPIES, capacity_factor=factor)
    layer.router.gate.weight.data.mul_(5)  # uneven
    layer.router.eval()  # no noise, though the capacity is that of training
    said = layer(inputs(3, 5, 20, 6))
    assert said.load.chosen.shape == (3, 5, 20, layer.router.k)
    capacity = max(1, math.floor(factor * layer.router.k * 100 / 8))
    for w in range(3):
        chosen = said.load.chosen[w].flatten(0, 1).numpy()
        kept, refused, dropped = count_drops(chosen, 8, capacity)
        assert np.array_equal(said.load.kept[w].flatten(0, 1).numpy(), kept)
        assert (said.load.refused[w].item(), said.load.dropped[w].item()) == (refused, dropped)
        assert np.bincount(chosen[kept], minlength=8).max() <= capacity
        zero = (said.output[w].flatten(0, 1) == 0).all(-1).numpy()
        assert np.array_equal(zero, ~kept.any(1))  # on a residual, these pass through
        assert refused > 0
    layer.eval()
    everyone = layer(inputs(3, 5, 20, 6))
    assert everyone.load.refused.tolist() == everyone.load.dropped.tolist() == [0, 0, 0]


def test_room_is_counted_by_one_rule():
    assert [room(1.25, 2, 64, 8), room(1.0, 1, 64, 8), room(0.9, 1, 10, 3), room(0.01, 1, 4, 8)] == [
        20,
        8,
        3,
        1,
    ]
    assert room(None, 2, 64, 8) is None
    assert (MoE(6, 8, key=0).capacity(64), Switch(6, 8, key=0).capacity(64)) == (20, 8)  # as documented
    assert (MoE(6, 8, key=0).eval().capacity(64), Switch(6, 8, key=0).eval().capacity(64)) == (None, None)


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(0, 2000), st.integers(1, 64))
def test_room_is_exact_for_decimal_factors(hundredths, k, tokens, experts):
    expected = max(1, Fraction(hundredths, 100) * k * tokens // experts)
    assert room(hundredths / 100, k, tokens, experts) == expected
    assert room(1.15, 1, 100, 1) == 115  # as a float 1.15 · 100 is less


def test_an_empty_batch_costs_nothing():
    none, labels = torch.zeros(0, 6), torch.zeros(0, dtype=torch.long)
    for layer in (MoE(6, 8, key=0), Switch(6, 8, key=0), Switch(6, 8, key=0, **SWITCH_AS_PUBLISHED)):
        said = layer(none, 0)
        assert said.loss.item() == 0.0
        (said.loss + said.output.sum()).backward()
        assert (layer.router.gate.weight.grad == 0).all()
        inputs = torch.zeros(0, 6, requires_grad=True)
        layer(inputs, 0).output.sum().backward()  # part of a graph, as any batch
        assert inputs.grad.shape == (0, 6)
    assert diverse_loss(torch.zeros(3, 0, 4), labels).tolist() == [0.0] * 3


def test_balanced_tokens_just_fit():
    """Factor 1 has room for all of an even load, and for none more."""
    switch = Switch(8, 8, key=0)
    switch.router.gate.weight.data.copy_(10 * torch.eye(8))
    tokens = torch.eye(8).repeat(4, 1)
    assert switch(tokens).load.dropped == 0
    tokens[0] = tokens[1]
    assert switch(tokens).load.dropped == 1


def test_switch_gates_by_probability():
    switch = Switch(6, 8, 3, key=0, experts=4, capacity_factor=None)
    x = inputs(20, 6)
    said = switch(x)
    probability = np_softmax(x.numpy() @ switch.router.gate.weight.detach().numpy())
    for t in range(20):
        best = probability[t].argmax()
        expected = probability[t, best] * expert_of(switch.experts, (best,))(x[t])
        torch.testing.assert_close(said.output[t], expected)


def test_as_published():
    x = inputs(40, 6)
    moe = MoE(6, 8, key=0, **MOE_AS_PUBLISHED)
    moe.router.gate.weight.data.mul_(20)
    said = moe(x, torch.tensor(0))
    assert said.output.shape == (40, 6)
    assert said.load.refused == 0  # the declared capacity is not applied
    switch = Switch(6, 8, key=0, balance=0.0, **SWITCH_AS_PUBLISHED)
    logits = (x @ switch.router.gate.weight).detach().numpy()
    assert switch(x).loss.item() == pytest.approx(0.001 * (logits**2).mean(), rel=1e-5)


def test_the_router_learns_through_its_gates():
    """Two kinds of tokens, two experts that differ: the router finds who suits whom."""
    switch = Switch(2, 4, 1, key=0, experts=2, capacity_factor=None, balance=0.05)
    x = torch.eye(2).repeat(16, 1)
    wanted = torch.tensor([1.0, -1.0]).repeat(16)
    optimiser = torch.optim.Adam(switch.parameters(), lr=0.02)
    for _ in range(150):
        said = switch(x)
        loss = (said.output[:, 0] - wanted).square().mean()
        optimiser.zero_grad()
        (loss + said.loss).backward()
        optimiser.step()
    assert loss < 0.02
    assert said.load.utilisation.tolist() == pytest.approx([0.5, 0.5])


# Voting and the unified collective ----------------------------------------------------------------------------


def test_voting():
    x = inputs(25, 5)
    for voting in VOTINGS:
        layer = VotingLayer(5, 8, 3, key=0, voters=4, voting=voting)
        votes = np_softmax(
            np.stack([expert_of(layer.voters, (e,), nn.ReLU)(x).detach().numpy() for e in range(4)], axis=1)
        )
        state = layer.confidence.state
        scores = x.numpy() @ state.weight.detach().numpy() + state.bias.detach().numpy()
        if voting == "soft":
            expected = np.einsum("me,mec->mc", np_softmax(scores), votes)
        elif voting == "weighted":
            sure = 1 / (1 + np.exp(-scores))
            expected = np.einsum("me,mec->mc", sure, votes) / sure.sum(1, keepdims=True)
        else:
            expected = aggregation.vote(torch.from_numpy(votes).transpose(0, 1)).numpy()
        np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_hard_votes_learn_as_soft_ones_do():
    soft, hard = (VotingLayer(5, 8, 3, key=0, voting=voting) for voting in ("soft", "hard"))
    x, wanted = inputs(10, 5), inputs(10, 3, seed=1)
    assert set(hard(x).unique().tolist()) == {0.0, 1.0}
    for layer in (soft, hard):
        (layer(x) * wanted).sum().backward()
    for ours, theirs in zip(hard.parameters(), soft.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("rows", [1, 40, 700])
@pytest.mark.parametrize("specialists", [3, 7, 8])
@pytest.mark.parametrize("key", [5, COPIES])
def test_unified_reproduces_the_others_bit_for_bit(key, specialists, rows):
    """With the same key, hence the same weights, it says the same: noise, one expert asked or all, and all."""
    lead = (3,) if isinstance(key, torch.Tensor) else ()
    x, sizes = inputs(*lead, rows, 6), (6, 9, 3)
    as_votes = {"key": key, "activation": F.relu, "final": softmax}

    ensemble = Ensemble(specialists, sizes, key=key)(x).answer
    unified = UnifiedCollective(specialists, sizes, weighting="uniform", **as_votes)(x)
    assert torch.equal(unified.output, ensemble)
    assert (unified.weights == torch.tensor(1 / specialists)).all()

    voting = VotingLayer(6, 9, 3, key=key, voters=specialists)(x)
    unified = UnifiedCollective(specialists, sizes, weighting="confidence", **as_votes)(x)
    assert torch.equal(unified.output, voting)

    for k in (1, 2, specialists):
        options = {"key": key, "k": k}
        collective = UnifiedCollective(specialists, sizes, weighting="learned", **options)
        free = MoE(6, 9, 3, experts=specialists, capacity_factor=None, **options)
        noise = torch.as_tensor(key) + 100
        unified = collective(x, noise)
        assert torch.equal(unified.output, free(x, noise).output)
        assert ((unified.weights > 0).sum(-1) == k).all()
        quiet = MoE(6, 9, 3, experts=specialists, **options).eval()
        assert torch.equal(collective.eval()(x).output, quiet(x).output)

        # And each is the weighted sum that it claims to be.
        said = collective.specialists(x)
        expected = torch.einsum("...me,...emo->...mo", unified.weights, said)
        torch.testing.assert_close(unified.output, expected)


# Precision and transforms -------------------------------------------------------------------------------------

LAYERS = {
    "Ensemble": Ensemble(4, (16, 32, 5), key=0),
    "MoE": MoE(16, 32, 5, key=0),
    "Switch": Switch(16, 32, 5, key=0),
    "VotingLayer": VotingLayer(16, 32, 5, key=0),
    "RelevanceRouter": RelevanceRouter(16, 32, key=0),
    "Unified, uniform": UnifiedCollective(4, (16, 32, 5), key=0, final=softmax),
    "Unified, learned": UnifiedCollective(4, (16, 32, 5), key=0, weighting="learned"),
    "Unified, confidence": UnifiedCollective(4, (16, 32, 5), key=0, weighting="confidence"),
}


def say(layer, x):
    """What it says in training, whoever it is."""
    found = layer(x, 1) if isinstance(layer, (MoE, UnifiedCollective)) else layer(x)
    return found if isinstance(found, torch.Tensor) else found[0]


@pytest.mark.parametrize("name", LAYERS)
def test_layers_take_autocast(name, either_way):
    """Outputs and gradients are near those in full precision: bfloat16 has three digits, differences fewer."""
    layer, x = LAYERS[name], inputs(40, 16)
    found = []
    for lower in (False, True):
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            said = say(layer, x)
        said.float().square().sum().backward()
        found.append([said, *[p.grad for p in layer.parameters() if p.grad is not None]])
    for full, low in zip(*found, strict=True):
        assert low.isfinite().all()
        assert (low - full).norm() < 0.15 * full.norm()
    assert all(low.dtype == torch.float32 for low in found[1][1:])


def test_a_mixture_learns_under_autocast(either_way):
    """With a classifier before and after, as in a network."""
    moe, x = MoE(16, 32, key=0), inputs(64, 8)
    torch.nn.init.eye_((first := nn.Linear(8, 16)).weight)
    wanted = (x > 0).long().sum(-1).clamp(2, 6)
    optimiser = torch.optim.Adam([*moe.parameters(), *first.parameters()], lr=0.01)
    losses = []
    for step in range(60):
        with torch.autocast("cpu", torch.bfloat16):
            mixed = moe(first(x), step)
            loss = F.cross_entropy(mixed.output, wanted) + mixed.loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_functions_of_their_parameters(name, either_way):
    """Gradients by ``torch.func`` are those of ``backward``."""
    layer, x = LAYERS[name], inputs(12, 16)
    layer.zero_grad()
    say(layer, x).square().sum().backward()

    class Said(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return say(self.layer, x).square().sum()

    said = Said()
    parameters = {k: p.detach() for k, p in said.named_parameters()}
    gradients = torch.func.grad(lambda p: functional_call(said, p, (x,)))(parameters)
    for key, parameter in said.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(gradients[key], parameter.grad)


@pytest.mark.parametrize("name", [n for n in LAYERS if n not in ("Switch", "Unified, uniform")])
def test_gradients_of_gradients(name, monkeypatch):
    """By differences, and by ``torch.func`` the same; where there are none, that is said."""
    layer = copy.deepcopy(LAYERS[name]).double()
    x = inputs(4, 16).double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: say(layer, x), (x,))
    (first,) = torch.autograd.grad(say(layer, x).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)

    def steepness(x):
        return torch.func.grad(lambda x: say(layer, x).square().sum())(x).square().sum()

    monkeypatch.setattr(dispatch, "_LONG", 0)
    torch.testing.assert_close(torch.func.grad(steepness)(x.detach()), second)
    if name in ("MoE", "RelevanceRouter"):
        with pytest.raises(ConfigError, match="no gradients of gradients of so many tokens"):
            torch.autograd.grad(say(layer, x).sum(), x, create_graph=True)


# Relevance and allocation -------------------------------------------------------------------------------------


def test_relevance():
    layer = RelevanceRouter(6, 9, key=0)
    x = inputs(30, 6)
    found = layer(x)
    assert layer.names == SCORERS
    fit = np_softmax(x.numpy() @ layer.router.gate.weight.detach().numpy())
    scorers = [expert_of(layer.scorers, (e,)) for e in range(4)]
    for t in range(30):
        top = np.argsort(-fit[t])[:2]
        weights = fit[t, top] / fit[t, top].sum()
        scores = [1 / (1 + math.exp(-scorers[e](x[t]).item())) for e in top]
        assert found.score[t].item() == pytest.approx(float(weights @ scores), rel=1e-4)
        assert found.dominant[t] == top[0]
        np.testing.assert_allclose(found.weights[t, top].detach().numpy(), weights, rtol=1e-4)
        assert int((found.weights[t] > 0).sum()) == 2


@pytest.mark.parametrize("temperature", [1.0, 0.05])
def test_allocation(temperature):
    relevance = inputs(2, 3, 10).sigmoid()
    rows = relevance.numpy().reshape(6, 10).astype(float)
    expected = np.full((6, 10), 0.1)
    for _ in range(5):
        redistribution = np_softmax((rows - expected) / temperature)
        expected = 0.5 * expected + 0.5 * redistribution
    expected /= expected.sum(1, keepdims=True)
    shares = allocate(relevance, temperature=temperature)
    np.testing.assert_allclose(shares.numpy().reshape(6, 10), expected, rtol=1e-4)
    uniform = allocate(relevance, rounds=0)
    torch.testing.assert_close(uniform, torch.full_like(relevance, 0.1))


def test_tokens_are_drawn_in_proportion_and_only_once():
    shares = torch.tensor([0.5, 0.3, 0.2])
    drawn = sample_tokens(shares.expand(40_000, 3), 2, torch.arange(40_000))
    assert (drawn[:, 0] != drawn[:, 1]).all()
    for first, second in itertools.permutations(range(3), 2):
        expected = shares[first] * shares[second] / (1 - shares[first])
        found = ((drawn[:, 0] == first) & (drawn[:, 1] == second)).float().mean()
        assert found.item() == pytest.approx(expected.item(), abs=0.01)


def test_draws_are_functions_of_their_keys():
    before = torch.get_rng_state()
    shares = allocate(inputs(4, 6, 10))
    keys = torch.arange(4)
    together = sample_tokens(shares, 3, keys)
    assert together.shape == (4, 6, 3)
    assert torch.equal(together[2], sample_tokens(shares[2], 3, keys[2]))
    assert not torch.equal(together, sample_tokens(shares, 3, keys + 9))
    assert torch.equal(torch.get_rng_state(), before)


def test_tokens_without_a_share_come_last():
    shares = torch.tensor([0.0, 0.7, 0.0, 0.3]).expand(500, 4)
    drawn = sample_tokens(shares, 4, torch.arange(500))
    assert set(drawn[:, :2].flatten().tolist()) == {1, 3}
    assert (drawn.sort(-1).values == torch.arange(4)).all()


# Consensus ----------------------------------------------------------------------------------------------------


def alone(layers, agent: int, kind: type[nn.Module] = nn.Linear) -> nn.Module:
    """One agent's layer, or its gated unit made of two, as the module everyone would write."""
    parts = [(layer.weight[agent].T, layer.bias[agent]) for layer in layers]
    module = kind(*layers[0].weight.shape[1:]) if kind is nn.Linear else kind(*[parts[0][0].shape[1]] * 2)
    for parameter, value in zip(
        module.parameters(), [p[0] for p in parts] + [p[1] for p in parts], strict=True
    ):
        parameter.data = value.detach().clone()
    return module


def test_consensus_is_five_rounds_of_messages_to_a_gated_unit():
    """The mean is of those others that were heard, never of oneself; who heard nobody stays as it was."""
    agents, samples = 3, 8
    network = ConsensusNetwork(
        agents, 6, 4, 5, width=7, distribution=True, generator=torch.Generator().manual_seed(0)
    )
    modules = {
        name: [alone([getattr(network, name)], i) for i in range(agents)]
        for name in ("look", "know", "mix", "take", "say", "think", "estimate")
    }
    cells = [alone([network.gates_in, network.gates_state], i, nn.GRUCell) for i in range(agents)]
    view = inputs(agents, samples, 6)
    memory = network.begin(view)
    state = [modules["know"][i](modules["look"][i](view[i]).relu()).tanh() for i in range(agents)]
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        messages = network.write(memory)
        others = [[(i + 1 + s) % agents for s in range(agents - 1)] for i in range(agents)]
        inbox = torch.stack([messages[others[i]].transpose(0, 1) for i in range(agents)])
        heard = torch.rand(agents, samples, agents - 1, generator=generator) < 0.6
        memory = network.read(memory, inbox, heard)
        said = [modules["say"][i](state[i]) for i in range(agents)]
        after = [rows.clone() for rows in state]
        for i, p in itertools.product(range(agents), range(samples)):
            spoke = [said[other][p] for s, other in enumerate(others[i]) if heard[i, p, s]]
            if spoke:
                both = torch.cat([state[i][p], sum(spoke) / len(spoke)])
                update = modules["take"][i](modules["mix"][i](both).relu())
                after[i][p] = cells[i](update[None], state[i][p][None])[0]
        state = after
        torch.testing.assert_close(memory.state, torch.stack(state), rtol=1e-4, atol=1e-5)
    known = [modules["estimate"][i](modules["think"][i](state[i]).relu()).softmax(-1) for i in range(agents)]
    torch.testing.assert_close(network.answer(memory), torch.stack(known), rtol=1e-4, atol=1e-5)


def test_agreement_is_one_over_one_plus_the_variance():
    world = make_world("consensus-v0", num_worlds=2, agents=3, slice_size=4)
    world.reset(seed=0)
    answer = inputs(2, 3, 4, 10).softmax(-1)
    world.step({"message": torch.zeros(2, 3, 4, 16), "answer": answer})
    expected = 1 / (1 + answer.numpy().var(axis=1).mean((1, 2)))
    np.testing.assert_allclose(world.metrics()["agreement"].numpy(), expected, rtol=1e-5)


# Mistakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mistake", "error", "message"),
    [
        (lambda: Ensemble(3, (5, 2), key=0, aggregation="meen"), UnknownName, "did you mean 'mean'"),
        (lambda: VotingLayer(5, 4, 2, key=0, voting="loud"), UnknownName, "known are hard, soft, weighted"),
        (lambda: UnifiedCollective(3, (5, 2), key=0, weighting="x"), UnknownName, "unknown weighting 'x'"),
        (lambda: Experts(0, (5, 2), key=0), ConfigError, "experts must be a whole number of at least 1, got 0"),
        (lambda: Experts(2, (5,), key=0), ConfigError, "sizes must be two or more widths"),
        (lambda: Experts(2, (5, 0), key=0), ConfigError, "each width in sizes"),
        (lambda: Experts(2, (5, 2), key=torch.zeros(2)), ConfigError, "key must be an int64 tensor"),
        (lambda: Experts(2, (5, 2), key=0.5), ConfigError, "key must be a whole number"),
        (lambda: Experts(2, (5, 2), key=0)(inputs(3, 4)), ConfigError, r"inputs must be \[…, 5\], got \[3, 4\]"),
        (lambda: Experts(2, (5, 2), key=COPIES)(inputs(2, 4, 5)), ConfigError, r"must be \[3, …, 5\]"),
        (lambda: MoE(5, 4, key=0, experts=3, k=4), ConfigError, "k must be a whole number between 1 and 3, got 4"),
        (lambda: MoE(5, 4, key=0, capacity_factor=-1), ConfigError, "capacity_factor must be a number"),
        (lambda: MoE(5, 4, key=0)(inputs(3, 5)), ConfigError, "pass key=, another for every step"),
        (lambda: MoE(5, 4, key=0)(inputs(3, 5), COPIES), ConfigError, r"key of the noise must be int64 \[\]"),
        (lambda: Switch(5, 4, key=0, balance=-1.0), ConfigError, "balance must be a number of at least 0"),
        (lambda: RelevanceRouter(5, 4, key=0, scorers=("a", "a")), ConfigError, "different names"),
        (lambda: diverse_loss(inputs(2, 3, 4), torch.arange(3), weight=-1), ConfigError, "weight must be"),
        (lambda: allocate(inputs(4), temperature=0.0), ConfigError, "temperature must be a number"),
        (lambda: allocate(inputs(4), rounds=-1), ConfigError, "rounds must be a whole number"),
        (lambda: sample_tokens(inputs(4).abs(), 5, COPIES[0]), ConfigError, "k must be .* between 0 and 4"),
        (lambda: sample_tokens(inputs(2, 4).abs(), 2, COPIES), ConfigError, "key must be int64 with the shares'"),
    ],
)  # fmt: skip
def test_mistakes_are_said_in_one_line(mistake, error, message):
    with pytest.raises(error, match=message) as raised:
        mistake()
    assert "\n" not in str(raised.value)
