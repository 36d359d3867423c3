"""A learner of a population is what a module with an optimiser of its own would be, and nothing else."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from studyhall.envs import rng
from studyhall.learners import MLP, ModuleNetwork, Population, adam, learner_keys
from studyhall.learners.networks import Block, product

NETWORK = MLP(sizes=(12, 16, 8, 5), dropout=0.0)
DROPPING = MLP(sizes=(12, 16, 8, 5), dropout=0.2)
ROWS = 6


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["fused", "masked"])
def path(request, monkeypatch):
    """Both ways of the optimiser; the second is what runs on an accelerator."""
    monkeypatch.setattr(adam, "fused_available", lambda: request.param == "fused")
    return request.param


def world_keys(worlds, first=0):
    return rng.world_key(torch.arange(first, first + worlds), "train")


def make(network=NETWORK, worlds=2, learners=3, first=0, **kwargs):
    return Population(network, learner_keys(world_keys(worlds, first), learners), **kwargs)


def batch(turn, *shape):
    generator = torch.Generator().manual_seed(turn)
    return torch.randn(*shape, generator=generator)


def labelled(labels):
    """Cross-entropy with labels ``[M]``."""

    def loss(logits):
        wide = labels.expand(logits.shape[:-1])
        return F.cross_entropy(logits.flatten(0, 2), wide.flatten(), reduction="none").view_as(wide).mean(-1)

    return loss


LABELS = torch.tensor([0, 1, 2, 3, 4, 0])
LOSS = labelled(LABELS)


def state_of(population, world, learner):
    """Every bit of one learner."""
    index = world * population.learners + learner
    state = population.state_dict()
    state.pop("keys")
    return {name: tensor[index] for name, tensor in state.items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


class Reference:
    """Ordinary modules, each with an optimiser of its own."""

    def __init__(self, population):
        self.population = population
        index = [(w, n) for w in range(population.worlds) for n in range(population.learners)]
        self.modules = {i: population.extract(*i).train() for i in index}
        self.optimisers = {i: torch.optim.Adam(m.parameters()) for i, m in self.modules.items()}

    def restart(self, index):
        self.modules[index] = self.population.extract(*index).train()
        self.optimisers[index] = torch.optim.Adam(self.modules[index].parameters())

    def learn(self, index, x, rate):
        for group in self.optimisers[index].param_groups:
            group["lr"] = 1e-3 * rate
        self.optimisers[index].zero_grad()
        loss = F.cross_entropy(self.modules[index](x), LABELS)
        loss.backward()
        if rate > 0:
            self.optimisers[index].step()
        return loss.item()

    def error(self):
        return max(
            (own - stack[w * self.population.learners + n]).abs().max().item()
            for (w, n), module in self.modules.items()
            for own, stack in zip(module.parameters(), self.population.parameters, strict=True)
        )


@pytest.mark.parametrize("shape", ["all", "world", "own"])
def test_equals_separate_modules(path, shape):
    population = make()
    reference = Reference(population)
    for turn in range(50):
        leading = {"all": (), "world": (2,), "own": (2, 3)}[shape]
        x = batch(turn, *leading, ROWS, 12)
        losses = population.learn(x, LOSS)
        each = x.expand(2, 3, ROWS, 12) if shape != "world" else x[:, None].expand(2, 3, ROWS, 12)
        for w, n in reference.modules:
            assert losses[w, n].item() == pytest.approx(reference.learn((w, n), each[w, n], 1.0), abs=1e-5)
    assert reference.error() < 1e-5
    assert population.steps.tolist() == [[50] * 3] * 2


@settings(max_examples=15, deadline=None)
@given(
    data=st.lists(st.tuples(*[st.sampled_from([0.0, 0.0, 0.25, 1.0, 3.0])] * 4), min_size=12, max_size=12),
    restart=st.tuples(st.integers(0, 11), st.integers(0, 3)),
    fused=st.booleans(),
)
def test_equals_separate_modules_with_rates_masks_and_resets(data, restart, fused):
    population = make(learners=2)
    population._optimiser.fused = fused
    reference = Reference(population)
    for turn, rates in enumerate(data):
        if turn == restart[0]:
            chosen = divmod(restart[1], 2)
            mask = torch.zeros(2, 2, dtype=torch.bool)
            mask[chosen] = True
            population.reset(mask, learner_keys(world_keys(2, 50), 2))
            reference.restart(chosen)
            assert population.steps[chosen] == 0
        rate = torch.tensor(rates).view(2, 2)
        before = {i: state_of(population, *i) for i in reference.modules}
        x = batch(turn, ROWS, 12)
        population.learn(x, LOSS, rate=rate)
        for i in reference.modules:
            reference.learn(i, x, rate[i].item())
            assert (rate[i] > 0) or same(before[i], state_of(population, *i))
    assert reference.error() < 1e-5


@pytest.mark.parametrize("shape", [(), (4,), (4, 3)])
def test_a_few_worlds_at_a_time_are_all_of_them(shape, monkeypatch):
    whole, parts = make(DROPPING, worlds=4), make(DROPPING, worlds=4)
    rate = torch.tensor([1.0, 0.0, 0.5, 1.0])
    draw = torch.arange(12)
    for turn in range(3):
        x = batch(turn, *shape, ROWS, 12)
        expected = whole.learn(x, LOSS, rate=rate), whole.logits(x, dropout=True, draw=draw)
        with monkeypatch.context() as patch:
            patch.setattr("studyhall.learners.population._CACHED_PARAMETERS", 1)
            found = parts.learn(x, LOSS, rate=rate), parts.logits(x, dropout=True, draw=draw)
        assert torch.allclose(found[0][rate > 0], expected[0][rate > 0], atol=1e-6)
        assert torch.allclose(found[1], expected[1], atol=1e-5)
    assert torch.equal(whole.steps, parts.steps)


@pytest.mark.parametrize("at_once", [1 << 20, 1])
def test_gradients_may_be_changed_before_the_step(at_once, monkeypatch):
    """Each learner's by its own amount: weight decay from outside is that of the optimiser."""
    monkeypatch.setattr("studyhall.learners.population._CACHED_PARAMETERS", at_once)
    inside, outside = (make(optimiser="sgd", worlds=3, weight_decay=decay) for decay in (0.1, 0.0))
    rate = torch.tensor([[1.0, 0.0, 0.5], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    decays = torch.full((9,), 0.1)
    asked = []

    def decay(learners, gradients):
        asked.extend(range(9)[learners])
        pairs = zip(gradients, outside.parameters, strict=True)
        amounts = [decays[learners].view(-1, *[1] * (stack.ndim - 1)) for stack in outside.parameters]
        return [
            gradient + amount * stack[learners]
            for (gradient, stack), amount in zip(pairs, amounts, strict=True)
        ]

    for turn in range(3):
        x = batch(turn, ROWS, 12)
        losses = inside.learn(x, LOSS, rate=rate), outside.learn(x, LOSS, rate=rate, adjust=decay)
        torch.testing.assert_close(losses[0][rate > 0], losses[1][rate > 0])
    for one, other in zip(inside.parameters, outside.parameters, strict=True):
        torch.testing.assert_close(one, other)
    counted = torch.bincount(torch.tensor(asked), minlength=9).view(3, 3)
    assert (counted[rate > 0] == 3).all()
    fresh = make(optimiser="sgd", worlds=3)
    assert all(same(state_of(outside, *i), state_of(fresh, *i)) for i in ((0, 1), (1, 0)))


def test_bias_is_corrected_by_ones_own_step_count(path):
    population = make(worlds=1)
    reference = Reference(population)
    for turn in range(20):  # one learner joins late; from then on all have the same rate, not the same count
        rate = [1.0, 1.0, float(turn >= 8)]
        x = batch(turn, ROWS, 12)
        population.learn(x, LOSS, rate=torch.tensor([rate]) if turn < 12 else None)
        for n in range(3):
            reference.learn((0, n), x, rate[n])
    assert population.steps.tolist() == [[20, 20, 12]]
    assert reference.error() < 1e-5


def test_both_paths_agree_with_dropout():
    one, other = make(DROPPING), make(DROPPING)
    one._optimiser.fused, other._optimiser.fused = True, False
    for turn in range(20):
        rate = batch(turn + 100, 2, 3).clamp(min=0.0)
        for population in (one, other):
            population.learn(batch(turn, 2, ROWS, 12), LOSS, rate=rate)
    assert torch.equal(one.steps, other.steps)
    for a, b in zip(one.parameters, other.parameters, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:TF32")
def test_large_products_equal_plain_ones():
    # Wide enough for the direct kernel, where there is one; own, shared and transposed operands.
    for a, b in (
        (batch(0, 3, 256, 784), batch(1, 3, 64, 784)),
        (batch(2, 1, 1024, 64), batch(3, 1, 64, 784).mT),
    ):
        with torch.backends.mkldnn.flags(enabled=False):
            plain = product(a, b)
        assert torch.allclose(product(a, b), plain, atol=1e-3)
        assert torch.allclose(plain, (a.double() @ b.double().mT).float(), atol=1e-3)


@pytest.mark.parametrize("network", [DROPPING, MLP()])
def test_alone_and_in_a_batch(network):
    width = network.sizes[0]
    together, alone = make(network, worlds=8), make(network, worlds=1, first=5)
    for part, whole in zip(alone.parameters, together.parameters, strict=True):
        assert torch.equal(part, whole[15:18])
    x = batch(0, 8, ROWS, width)
    loss = labelled(LABELS)
    assert torch.allclose(alone.learn(x[5:6], loss), together.learn(x, loss)[5:6], atol=1e-5)
    for part, whole in zip(alone.parameters, together.parameters, strict=True):
        assert torch.allclose(part, whole[15:18], rtol=0, atol=1e-5)


def test_initial_distribution():
    population = make(MLP(), worlds=1, learners=4)
    for name, stack in zip(MLP().shapes, population.parameters, strict=True):
        bound = MLP().sizes[int(name[0])] ** -0.5
        assert stack.abs().max() <= bound
        if name.endswith("weight"):
            assert stack.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
            assert abs(stack.mean().item()) < 0.1 * bound
    first = population.parameters[0]
    assert not torch.equal(first[0], first[1])
    assert MLP().num_parameters == 109_386
    assert population.num_parameters == 4 * 109_386


def test_a_nan_stays_with_its_learner(path):
    population, clean = make(DROPPING), make(DROPPING)
    for turn in range(3):
        x = batch(turn, 2, 3, ROWS, 12)
        clean.learn(x, LOSS)
        x[1, 0, 0, 0] = torch.nan
        assert population.learn(x, LOSS).isnan().nonzero().tolist() == [[1, 0]]
    assert all(same(state_of(population, *i), state_of(clean, *i)) for i in [(0, 0), (0, 1), (1, 1), (1, 2)])
    assert state_of(population, 1, 0)["parameter.0.weight"].isnan().any()


def test_a_frozen_learner_ignores_even_nan(path):
    population = make(DROPPING)
    population.learn(batch(0, ROWS, 12), LOSS)
    before = state_of(population, 1, 2)
    x = batch(1, 2, 3, ROWS, 12)
    x[1, 2] = torch.nan
    population.learn(x, LOSS, rate=torch.tensor([[1.0, 1, 1], [1, 1, 0]]))
    assert same(before, state_of(population, 1, 2))
    assert not population.parameters[0].isnan().any()
    before = population.state_dict()
    population.learn(x, LOSS, rate=torch.tensor([False, False]))
    assert same(before, population.state_dict())


@settings(max_examples=20, deadline=None)
@given(mask=st.lists(st.booleans(), min_size=6, max_size=6), by_world=st.booleans())
def test_reset(mask, by_world):
    population = make(DROPPING)
    population.learn(batch(0, ROWS, 12), LOSS)
    chosen = torch.tensor(mask[:2]) if by_world else torch.tensor(mask).view(2, 3)
    old = {i: state_of(population, *i) for i in [(w, n) for w in range(2) for n in range(3)]}
    fresh = make(DROPPING, first=50)
    population.reset(chosen, fresh.keys)
    for (w, n), before in old.items():
        again = chosen[w] if by_world else chosen[w, n]
        assert same(state_of(fresh, w, n) if again else before, state_of(population, w, n))
        assert torch.equal(population.keys[w, n], (fresh if again else make()).keys[w, n])


def test_dropout_masks():
    network = MLP(sizes=(4, 300, 200, 2), dropout=0.3)
    keys = learner_keys(world_keys(1), 3)[0]
    masks = network.masks(keys, 61)
    assert [m.shape for m in masks] == [(3, 300, 61), (3, 200, 61)]
    for mask in masks:
        assert set(mask.unique().tolist()) == {0.0, 1.0}
        assert mask.mean(dim=(1, 2)).tolist() == pytest.approx([0.7] * 3, abs=0.02)
    assert not torch.equal(masks[0][0], masks[0][1])
    assert torch.equal(network.masks(keys[1:2], 61)[1], masks[1][1:2])
    assert MLP(sizes=(4, 2)).masks(keys, 7) is None
    assert MLP(dropout=0.0).masks(keys, 7) is None


def test_dropout_in_learning_is_the_one_of_draw_0():
    population = make(DROPPING)
    x = batch(0, ROWS, 12)
    seen = []

    def loss(logits):
        seen.append(logits.detach().clone())
        return LOSS(logits)

    expected = population.logits(x, dropout=True)
    assert not torch.equal(expected, population.logits(x, dropout=True, draw=1))
    assert not torch.equal(expected, population.logits(x))
    population.learn(x, loss)
    assert torch.equal(expected, seen[0])
    assert not torch.equal(expected, population.logits(x, dropout=True))
    # In the mean over many draws, dropout leaves the first hidden layer's message unchanged.
    shallow = make(MLP(sizes=(12, 64, 5), dropout=0.2))
    mean = torch.stack([shallow.logits(x, dropout=True, draw=i) for i in range(600)]).mean(0)
    assert torch.allclose(mean, shallow.logits(x), atol=0.08)


def test_gradient_with_dropout_is_autograds():
    population = make(DROPPING)
    x = batch(0, 1, ROWS, 12)
    masks = DROPPING.masks(population.keys.view(-1), ROWS)
    stacks = [stack.clone().requires_grad_() for stack in population.parameters]
    keep = 1 - round(0.2 * 65536) / 65536
    h = x[0].expand(6, ROWS, 12)
    for layer in range(3):
        h = torch.baddbmm(stacks[2 * layer + 1][:, None], h, stacks[2 * layer].mT)
        h = h.relu() * masks[layer].mT / keep if layer < 2 else h
    target = batch(1, 6, ROWS, 5)
    expected = torch.autograd.grad((h * target).sum(), stacks)
    blocks = [Block(population.parameters, x)]
    out, saved = DROPPING.forward(blocks, masks)
    assert torch.allclose(out, h, atol=1e-5)
    (found,) = DROPPING.backward(blocks, saved, target, masks)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_global_generator_is_untouched():
    before = torch.get_rng_state()
    population = make(DROPPING)
    population.learn(batch(0, ROWS, 12), LOSS)
    population.logits(batch(0, ROWS, 12), dropout=True)
    population.reset(torch.tensor([True, False]), population.keys)
    population.average(0.9).update()
    assert torch.equal(before, torch.get_rng_state())


def test_inference_mode_around_everything(path):
    with torch.inference_mode():
        inside = make(DROPPING)
        x = batch(0, 2, ROWS, 12)
        average = inside.average(0.5)
        inside.learn(x, LOSS)
        average.update(torch.tensor([True, False]))
        inside.reset(torch.tensor([False, True]), inside.keys.clone())
        inside.learn(x, LOSS)
    outside = make(DROPPING)
    outside.learn(x.clone(), LOSS)
    outside.reset(torch.tensor([False, True]), outside.keys.clone())
    outside.learn(x.clone(), LOSS)
    assert same(outside.state_dict(), inside.state_dict())
    average.update()


@pytest.mark.parametrize(
    "shape", [(6, 3, 4), (2, 6, 3, 4), (2, 3, 6, 3, 4), (2, 3, 6, 12), (2, 1, 12), (3, 12)]
)
def test_input_shapes(shape):
    population = make()
    x = batch(0, *shape)
    logits = population.logits(x)
    flat = x.flatten(-2) if shape[-1] == 4 else x
    for w in range(2):
        for n in range(3):
            own = {2: flat, 3: flat[w % len(flat)], 4: flat[w, min(n, len(flat[w]) - 1)]}[flat.ndim]
            assert torch.allclose(logits[w, n], population.extract(w, n)(own), atol=1e-5)


@pytest.mark.parametrize("shape", [(12,), (6, 11), (3, 6, 12), (2, 4, 6, 12), (2, 1, 3, 4), (5, 2, 3, 6, 12)])
def test_wrong_input_shapes(shape):
    with pytest.raises(ValueError, match="inputs are"):
        make().logits(torch.zeros(shape))


def test_logits_are_differentiable_in_the_input():
    population = make(DROPPING)
    x = batch(0, ROWS, 12).requires_grad_()
    for dropout in (False, True):
        (gradient,) = torch.autograd.grad(population.logits(x, dropout=dropout)[0, 0].sum(), x)
        assert gradient.abs().sum() > 0
    expected = torch.autograd.grad(population.extract(0, 1)(x).sum(), x)[0]
    assert torch.allclose(torch.autograd.grad(population.logits(x)[0, 1].sum(), x)[0], expected, atol=1e-5)


def test_state_round_trip(path):
    population = make(DROPPING)
    population.learn(batch(0, ROWS, 12), LOSS)
    saved = population.state_dict()
    twin = copy.deepcopy(population)
    expected = population.learn(batch(1, ROWS, 12), LOSS), population.state_dict()
    other = make(DROPPING, first=9)
    other.load_state_dict(saved)
    for restored in (other, twin):
        assert torch.equal(restored.learn(batch(1, ROWS, 12), LOSS), expected[0])
        assert same(restored.state_dict(), expected[1])
    with pytest.raises(ValueError, match="steps"):
        other.load_state_dict({k: v for k, v in saved.items() if k != "steps"})
    with pytest.raises(ValueError, match="keys"):
        other.load_state_dict(make(DROPPING, worlds=3).state_dict())


def test_average():
    population = make()
    average = population.average(0.9)
    start = [stack.clone() for stack in population.parameters]
    population.learn(batch(0, ROWS, 12), LOSS)
    average.update(torch.tensor([[True, False, True], [True, True, True]]))
    for own, first, now in zip(average.parameters, start, population.parameters, strict=True):
        assert torch.equal(own[1], first[1])
        assert torch.allclose(own[0], 0.9 * first[0] + 0.1 * now[0], atol=1e-7)
    module = average.extract(1, 1)
    x = batch(1, ROWS, 12)
    assert torch.allclose(average.logits(x)[1, 1], module(x), atol=1e-5)
    saved = average.state_dict()
    average.update()
    average.reset(torch.tensor([False, True]))
    assert torch.equal(average.parameters[0][3:], population.parameters[0][3:])
    average.load_state_dict(saved)
    assert same(saved, average.state_dict())


def test_mistakes_are_named():
    keys = learner_keys(world_keys(2), 3)
    population = Population(NETWORK, keys)
    x = batch(0, ROWS, 12)
    with pytest.raises(ValueError, match="keys must be int64"):
        Population(NETWORK, keys[0])
    with pytest.raises(ValueError, match="sizes must be"):
        MLP(sizes=(3,))
    with pytest.raises(ValueError, match="dropout must be"):
        MLP(dropout=1.0)
    with pytest.raises(ValueError, match="losses must be"):
        population.learn(x, lambda logits: logits.mean())
    with pytest.raises(ValueError, match="the losses' gradient must be"):
        population.learn(x, lambda logits: (LOSS(logits), logits[..., 0]))
    with pytest.raises(ValueError, match="rate must be"):
        population.learn(x, LOSS, rate=torch.ones(3))
    with pytest.raises(ValueError, match="mask must be"):
        population.reset(torch.ones(3, dtype=torch.bool), keys)
    with pytest.raises(ValueError, match="decay must be"):
        population.average(1.5)


@pytest.mark.parametrize("room", [1, 1 << 22])
def test_who_is_out_among_large_learners(path, room, monkeypatch):
    # Several ranges of learners in a world, each with a forward pass of its own or all in one.
    monkeypatch.setattr("studyhall.learners.population._CACHED_PARAMETERS", 1)
    monkeypatch.setattr("studyhall.learners.population._CACHED_ACTIVATIONS", room)
    population = make(worlds=2, learners=5)
    reference = Reference(population)
    for turn in range(6):
        rate = torch.ones(2, 5)
        rate[turn % 2, turn % 5] = rate[1, 2] = 0.0
        x = batch(turn, ROWS, 12)
        before = state_of(population, 1, 2)
        population.learn(x, LOSS, rate=rate)
        for i in reference.modules:
            reference.learn(i, x, rate[i].item())
        assert same(before, state_of(population, 1, 2))
    assert reference.error() < 1e-5


def test_learners_learn():
    population = make(DROPPING, lr=1e-2)
    x = batch(0, ROWS, 12)
    first = population.learn(x, LOSS)
    for _ in range(150):
        last = population.learn(x, LOSS)
    assert (last < 0.5 * first).all()
    assert (population.logits(x).argmax(-1) == LABELS).all()


def test_a_part_of_learners_says_what_they_have_learnt_since_and_shares_their_stacks():
    class Headless(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))

        def forward(self, x):
            return self.net(x)

    def whole():
        return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))

    population = Population(ModuleNetwork(whole, (6,), 3), learner_keys(torch.arange(2), 2), lr=0.1)
    part = population.through(ModuleNetwork(Headless, (6,), 5), without="net.")
    x = torch.randn(2, 2, 7, 6)
    before = part.logits(x)
    population.learn(x, lambda logits: logits.square().mean((-1, -2)))
    after = part.logits(x)
    assert not torch.allclose(before, after)
    for w in range(2):
        for n in range(2):
            module = population.extract(w, n)
            assert torch.allclose(after[w, n], module[1](module[0](x[w, n])), atol=1e-5)
    head = population.through(
        ModuleNetwork(lambda: nn.Sequential(nn.Linear(5, 3)), (5,), 3), "3.", without="0."
    )
    assert torch.allclose(head.logits(after.relu()), population.logits(x), atol=1e-5)
    with pytest.raises(KeyError, match="other"):
        population.through(ModuleNetwork(whole, (6,), 3), "other.")
