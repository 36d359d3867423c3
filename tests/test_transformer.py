"""Language models by group: the same as an ordinary module under autograd, but who rests costs and moves nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from studyhall.envs import rng
from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.learners import GroupedPopulation, Transformer, sublayers, transformer

SMALL = Transformer(30, width=8, heads=2, layers=2, feedforward=12, length=7, dropout=0.0)
DROPPING = Transformer(30, width=8, heads=2, layers=2, feedforward=12, length=7, dropout=0.25)
N = 6
MASKS = np.array(
    [
        [1, 1, 1, 1, 1, 1],
        [0, 0, 0, 1, 0, 1],
        [0, 0, 0, 0, 1, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1],
        [1, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ],
    dtype=bool,
)


def keys(count, first=0):
    return rng.world_key(torch.arange(first, first + count), "train")


def windows(*shape, seed=0, words=30):
    return torch.randint(words, shape, generator=torch.Generator().manual_seed(seed))


def perturbed(net, count, dtype=torch.float64):
    """Weights in which gains and biases have moved, too."""
    generator = torch.Generator().manual_seed(1)
    drawn = net.draw(keys(count))
    return [stack.to(dtype) + 0.1 * torch.randn(stack.shape, generator=generator) for stack in drawn]


def plain_loss(module, tokens):
    """Of windows ``[B, T + 1]``."""
    return F.cross_entropy(module(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ---- the model --------------------------------------------------------------------------------------


def test_the_documented_size():
    net = Transformer(10_000)
    assert net.num_parameters == 3_108_368
    assert net.sizes == (1_288_192, *(66_304, 66_176) * 4, 1_290_256)
    assert net.kinds == ("embedding", *("attention", "feed-forward") * 4, "output")
    assert len(net.groups) == 10
    assert sum(parameter.numel() for parameter in net.module().parameters()) == 3_108_368


def test_the_module_has_the_same_parameters():
    named = {name: tuple(own.shape) for name, own in SMALL.module().named_parameters()}
    assert list(named.items()) == list(SMALL.shapes.items())
    assert [name for group in SMALL.groups for name in SMALL.names[group]] == list(SMALL.names)


def test_initial_weights():
    net = Transformer(2000, width=64, layers=1)
    drawn = dict(zip(net.names, net.draw(keys(3)), strict=True))
    assert drawn["tokens.weight"].std().item() == pytest.approx(0.3, rel=0.01)
    assert drawn["positions.weight"].std().item() == pytest.approx(0.05, rel=0.05)
    bound = (6 / (4 * 64)) ** 0.5
    assert 0.99 * bound < drawn["layers.0.attention.in_proj_weight"].abs().max().item() <= bound
    assert torch.equal(drawn["layers.1.norm.weight"], torch.ones(3, 64))
    assert not drawn["output.bias"].any()
    published = dict(
        zip(net.names, Transformer(2000, width=64, layers=1, init="xavier").draw(keys(3)), strict=True)
    )
    assert published["tokens.weight"].std().item() == pytest.approx((2 / 2064) ** 0.5, rel=0.01)
    assert published["positions.weight"].std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.05)
    alone = net.draw(keys(1, 2))
    assert all(torch.equal(stack[2], own[0]) for stack, own in zip(drawn.values(), alone, strict=True))


@pytest.mark.parametrize(
    ("arguments", "error", "line"),
    [
        ({"vocabulary": 0}, ConfigError, "vocabulary must be a whole number"),
        ({"heads": 3}, ConfigError, "heads must divide the width 128, got 3"),
        ({"dropout": 1.0}, ConfigError, "dropout must be below 1"),
        ({"dropout": "x"}, ConfigError, "dropout must be a number between 0 and 1"),
        ({"init": "xavir"}, UnknownName, "did you mean 'xavier'"),
    ],
)
def test_bad_arguments(arguments, error, line):
    with pytest.raises(error, match=line):
        Transformer(**{"vocabulary": 10} | arguments)


@pytest.mark.parametrize(
    "tokens", [windows(2, 3, 9), windows(2, 3, 1), windows(3, 8), windows(2, 3, 8).int()]
)
def test_bad_tokens(tokens):
    with pytest.raises(ValueError, match=r"tokens must be int64 \[K, B, 2 to 8\]"):
        SMALL.losses(SMALL.draw(keys(2)), tokens)


# ---- losses and gradients ---------------------------------------------------------------------------


@pytest.fixture(params=[1 << 30, 500, 1], ids=["whole", "chunks", "rows"])
def logits_at_once(request, monkeypatch):
    monkeypatch.setitem(transformer._LOGITS, "cpu", request.param)


@pytest.mark.usefixtures("logits_at_once")
@pytest.mark.parametrize("length", [7, 4])
@pytest.mark.parametrize("only", [None, 0, 2, 6], ids=["all", "dense", "one", "nobody"])
def test_gradients_are_those_of_autograd(length, only):
    masks = MASKS if only is None else MASKS[only : only + 1]
    parameters, tokens = perturbed(SMALL, len(masks)), windows(len(masks), 5, length + 1)
    losses, saved = SMALL.forward(parameters, tokens, None, masks)
    found = {} if saved is None else {
        (int(world), part.group): [stack[row] for stack in part.gradients]
        for part in SMALL.backward(saved)
        for row, world in enumerate(part.worlds)
    }  # fmt: skip
    assert set(found) == {(int(k), int(group)) for k, group in np.argwhere(masks)}
    for k in range(len(masks)):
        module = SMALL.extract(parameters, k).train()
        loss = plain_loss(module, tokens[k])
        expected = torch.autograd.grad(loss, list(module.parameters()))
        assert losses[k].item() == pytest.approx(loss.item(), abs=1e-9)
        for group in np.flatnonzero(masks[k]):
            for own, other in zip(found[k, group], expected[SMALL.groups[group]], strict=True):
                assert torch.allclose(own, other, rtol=0, atol=1e-9)


def test_a_model_of_one_layer_and_head():
    net = Transformer(5, width=4, heads=1, layers=1, feedforward=3, length=2, dropout=0.0)
    parameters, tokens = perturbed(net, 1), windows(1, 1, 3, words=5)
    losses, saved = net.forward(parameters, tokens, None, np.ones((1, 4), bool))
    module = net.extract(parameters, 0)
    expected = torch.autograd.grad(plain_loss(module, tokens[0]), list(module.parameters()))
    for part in net.backward(saved):
        for own, other in zip(part.gradients, expected[net.groups[part.group]], strict=True):
            assert torch.allclose(own[0], other, atol=1e-9)


def test_dropout_is_differentiated_as_it_was_drawn():
    """Against finite differences, since the module draws other masks."""
    parameters, tokens = perturbed(DROPPING, 1), windows(1, 3, 8)
    everyone = np.ones((1, N), bool)

    def loss():
        return DROPPING.forward(parameters, tokens, keys(1))[0].item()

    assert loss() != pytest.approx(DROPPING.forward(parameters, tokens)[0].item(), abs=1e-3)
    _, saved = DROPPING.forward(parameters, tokens, keys(1), everyone)
    generator = torch.Generator().manual_seed(3)
    for part in DROPPING.backward(saved):
        for stack, gradient in zip(parameters[DROPPING.groups[part.group]], part.gradients, strict=True):
            way = torch.randn(stack.shape, generator=generator, dtype=stack.dtype)
            stack += 1e-5 * way
            above = loss()
            stack -= 2e-5 * way
            slope = (above - loss()) / 2e-5
            stack += 1e-5 * way
            assert slope == pytest.approx((gradient * way).sum().item(), rel=1e-5, abs=1e-8)


def test_dropout_drops_its_share_and_keeps_the_mean():
    masks = Transformer(10, dropout=0.1)._masks(keys(2), (4, 64))
    assert len(masks) == 1 + 3 * 4
    for mask in masks:
        assert (mask == 0).float().mean().item() == pytest.approx(0.1, abs=0.01)
        assert mask.mean().item() == pytest.approx(1.0, abs=0.01)
    assert not torch.equal(masks[0][0], masks[0][1])


def test_logits_and_losses_are_the_modules():
    parameters, tokens = perturbed(SMALL, 3, torch.float32), windows(3, 5, 8)
    logits, losses = SMALL.logits(parameters, tokens[..., :-1]), SMALL.losses(parameters, tokens)
    for k in range(3):
        module = SMALL.extract(parameters, k)
        assert torch.allclose(logits[k], module(tokens[k, :, :-1]), atol=1e-5)
        for window in range(5):
            own = plain_loss(module, tokens[k, window : window + 1])
            assert losses[k, window].item() == pytest.approx(own.item(), abs=1e-5)


def test_losses_are_the_same_a_few_windows_at_a_time(monkeypatch):
    parameters, tokens = perturbed(SMALL, 2), windows(2, 9, 8)
    whole = SMALL.losses(parameters, tokens)
    monkeypatch.setattr(transformer, "_ROWS_AT_ONCE", 50)
    assert torch.allclose(SMALL.losses(parameters, tokens), whole, atol=1e-12)


def test_no_token_sees_a_later_one():
    parameters, tokens = perturbed(SMALL, 1), windows(1, 1, 7)
    before = SMALL.logits(parameters, tokens)[0, 0]
    for place in range(7):
        other = tokens.clone()
        other[..., place] = (other[..., place] + 1) % 30
        after = SMALL.logits(parameters, other)[0, 0]
        assert torch.equal(before[:place], after[:place])
        assert not torch.allclose(before[place:], after[place:], atol=1e-3)


def test_a_surprise_beyond_float32_is_still_finite():
    x, weight, bias = torch.ones(1, 2, 1), torch.zeros(1, 3, 1), torch.tensor([[0.0, 0.0, -200.0]])
    nats = sublayers.score(weight, bias, x, torch.tensor([[2, 0]]), 100).nats
    assert nats[0].tolist() == pytest.approx([200 + np.log(2), np.log(2)])


# ---- the cost ---------------------------------------------------------------------------------------


def counted(net, tokens, learn):
    """Half the flops of the plain module, which the resting groups of ``learn`` give no gradient."""
    module = net.module()
    own = list(module.parameters())
    for group, learns in zip(net.groups, learn, strict=True):
        for parameter in own[group]:
            parameter.requires_grad_(bool(learns))
    # Written out, since the counter knows no fused attention on a CPU. It counts products alone, over all T×T pairs.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss = plain_loss(module, tokens)
        if any(learn):
            loss.backward()
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("learn", MASKS)
def test_the_cost_is_what_a_module_with_frozen_groups_takes(learn):
    net = Transformer(300, width=32, heads=2, layers=2, feedforward=48, length=16)
    assert net.cost(learn, 4, 16) == pytest.approx(counted(net, windows(4, 17, words=300), learn), rel=1e-6)


def test_costs_at_the_documented_size():
    net = Transformer(10_000)
    masks = np.zeros((4, 10), bool)
    masks[0] = True
    masks[1, 5:] = True
    masks[2, :5] = True
    dense, upper, lower, nobody = net.cost(masks, 16, 64)
    assert upper / dense == pytest.approx(0.88, abs=0.01)
    assert lower / dense == pytest.approx(0.73, abs=0.01)
    assert nobody / dense == pytest.approx(1 / 3, abs=0.001)


# ---- populations ------------------------------------------------------------------------------------


def reference(population):
    """Plain modules and their optimisers, one for each group of each."""
    # Keys' biases have no gradient but noise, which eps keeps from being a direction.
    modules = [population.extract(model).train() for model in range(len(population.keys))]
    optimisers = [
        [
            torch.optim.AdamW(list(module.parameters())[group], lr=1e-2, weight_decay=0.1, eps=1e-4)
            for group in SMALL.groups
        ]
        for module in modules
    ]
    return modules, optimisers


@pytest.mark.parametrize("spans", [1, 1 << 30], ids=["one by one", "together"])
def test_trains_as_modules_with_an_optimiser_a_group(spans, monkeypatch):
    monkeypatch.setattr("studyhall.learners.groups._CACHED_PARAMETERS", spans)
    population = GroupedPopulation(SMALL, keys(3), lr=1e-2, weight_decay=0.1, eps=1e-4)
    modules, optimisers = reference(population)
    generator = torch.Generator().manual_seed(2)
    for turn in range(12):
        tokens = windows(3, 4, 8, seed=turn)
        rate = torch.rand(3, N, generator=generator) * (torch.rand(3, N, generator=generator) < 0.5)
        learnt = population.learn(tokens, rate)
        for w, module in enumerate(modules):
            loss = plain_loss(module, tokens[w])
            module.zero_grad()
            loss.backward()
            assert learnt.losses[w].item() == pytest.approx(loss.item(), abs=1e-4)
            for group, optimiser in enumerate(optimisers[w]):
                own = optimiser.param_groups[0]
                if not rate[w, group] > 0:
                    assert learnt.squares[w, group].isnan()
                    continue
                square = sum(parameter.grad.square().sum() for parameter in own["params"])
                assert learnt.squares[w, group].item() == pytest.approx(square.item(), rel=1e-3)
                own["lr"] = 1e-2 * rate[w, group].item()
                optimiser.step()
    for w, module in enumerate(modules):
        for own, stack in zip(module.parameters(), population.parameters, strict=True):
            assert torch.allclose(own, stack[w], atol=1e-4)


def test_a_resting_group_keeps_every_bit():
    population = GroupedPopulation(DROPPING, keys(3))
    resting = torch.tensor([[1, 0, 0, 0, 1, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]], dtype=torch.bool)
    before = population.state_dict()
    for turn in range(100):
        population.learn(windows(3, 2, 8, seed=turn), (~resting).float())
    after = population.state_dict()
    for group, part in enumerate(DROPPING.groups):
        for w in range(3):
            kept = [
                f"{kind}.{name}"
                for kind in ("parameter", "exp_avg", "exp_avg_sq")
                for name in DROPPING.names[part]
            ]
            for name in (*kept, f"steps.{group}"):
                assert torch.equal(before[name][w], after[name][w]) == bool(resting[w, group]), (name, w)


@pytest.mark.parametrize("spans", [1, 1 << 30], ids=["one by one", "together"])
def test_a_world_in_a_batch_is_that_world_alone(spans, monkeypatch):
    monkeypatch.setattr("studyhall.learners.groups._CACHED_PARAMETERS", spans)
    together = GroupedPopulation(DROPPING, keys(3), lr=1e-2)
    alone = [GroupedPopulation(DROPPING, keys(1, w), lr=1e-2) for w in range(3)]
    for turn in range(5):
        tokens, rate = windows(3, 4, 8, seed=turn), torch.tensor(MASKS[[0, 3, 5]]).float()
        learnt = together.learn(tokens, rate)
        for w, own in enumerate(alone):
            single = own.learn(tokens[w : w + 1], rate[w : w + 1])
            assert learnt.losses[w].item() == pytest.approx(single.losses[0].item(), abs=1e-5)
    for w, own in enumerate(alone):
        for stack, other in zip(together.parameters, own.parameters, strict=True):
            assert torch.allclose(stack[w], other[0], atol=1e-5)


def test_who_all_rest_keep_every_bit_and_are_still_scored():
    population = GroupedPopulation(SMALL, keys(2))
    before, tokens = population.state_dict(), windows(2, 4, 8)
    learnt = population.learn(tokens, torch.zeros(2, N))
    assert same(population.state_dict(), before)
    assert torch.allclose(learnt.losses, population.losses(tokens).mean(1), atol=1e-5)
    assert learnt.squares.isnan().all()


def test_targets_are_the_next_tokens():
    """A stream in which the present token says the next one is learnt to certainty."""
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    net = Transformer(12, width=16, heads=2, layers=1, feedforward=16, length=8, dropout=0.0)
    population = GroupedPopulation(net, keys(1), lr=1e-2)
    for turn in range(150):
        tokens = [windows(1, 8, seed=turn, words=12)]
        for _ in range(8):
            tokens.append(order[tokens[-1]])
        losses = population.learn(torch.stack(tokens, -1), torch.ones(1, 4)).losses
    assert losses.item() < 0.02


def test_adjust_sees_and_changes_gradients():
    one, other = (GroupedPopulation(SMALL, keys(3)) for _ in range(2))
    tokens, rate = windows(3, 4, 8), torch.tensor(MASKS[[0, 3, 5]]).float()
    seen = []

    def adjust(group, models, parameters, gradients):
        seen.extend((int(model), group) for model in models)
        for stack, full in zip(parameters, other.parameters[SMALL.groups[group]], strict=True):
            assert torch.equal(stack, full[torch.as_tensor(models)])
        return [torch.zeros_like(gradient) for gradient in gradients]

    adjusted, plain = one.learn(tokens, rate, adjust=adjust), other.learn(tokens, rate)
    assert set(seen) == {(int(w), int(group)) for w, group in np.argwhere(MASKS[[0, 3, 5]])}
    assert len(seen) == len(set(seen))
    assert torch.equal(adjusted.squares.nan_to_num(-1.0), plain.squares.nan_to_num(-1.0))
    fresh = SMALL.draw(keys(3))[4]
    assert torch.allclose(one.parameters[4][0], fresh[0] * (1 - 1e-3 * 1e-2), atol=1e-7)  # the decay alone


def test_gradients_kept_and_applied_are_a_step():
    one, other = (GroupedPopulation(DROPPING, keys(3)) for _ in range(2))
    for turn in range(3):
        tokens, rate = windows(3, 4, 8, seed=turn), torch.tensor(MASKS[[0, 3, 5]]).float()
        learnt = one.learn(tokens, rate)
        before = other.state_dict()
        kept = other.gradients(tokens)
        assert same(other.state_dict(), before)
        other.apply(kept, rate)
        known = rate > 0
        assert torch.allclose(learnt.squares[known], kept.squares[known], rtol=1e-4)
        assert kept.squares.isfinite().all()
        assert torch.allclose(learnt.losses, kept.losses, atol=1e-6)
    for name, own in one.state_dict().items():
        assert torch.allclose(own, other.state_dict()[name], atol=1e-6), name


def test_several_models_in_a_world():
    """Two worlds of three models, one of which is active."""
    columns = GroupedPopulation(DROPPING, keys(6))
    active = np.array([1, 5])
    chosen = torch.as_tensor(active)
    alone = GroupedPopulation(DROPPING, keys(6)[chosen])
    before = columns.state_dict()
    rate = torch.tensor(MASKS[[5, 1]]).float()
    for turn in range(3):
        tokens = windows(2, 4, 8, seed=turn)
        learnt, expected = columns.learn(tokens, rate, models=active), alone.learn(tokens, rate)
        assert torch.allclose(learnt.losses, expected.losses, atol=1e-6)
    assert torch.allclose(columns.losses(tokens, models=active), alone.losses(tokens), atol=1e-5)
    assert torch.allclose(
        columns.logits(tokens[..., 1:], models=active), alone.logits(tokens[..., 1:]), atol=1e-5
    )
    after, expected = columns.state_dict(), alone.state_dict()
    for name in after:
        assert torch.equal(after[name][[0, 2, 3, 4]], before[name][[0, 2, 3, 4]]), name
        assert torch.allclose(after[name][chosen], expected[name], atol=1e-5), name


@pytest.mark.parametrize(
    ("tokens", "rate", "models", "line"),
    [
        (windows(2, 4, 8), torch.ones(2, N), None, "tokens must be of 3 worlds"),
        (windows(3, 4, 8), torch.ones(3), None, "rate must be"),
        (windows(2, 4, 8), torch.ones(2, N), np.array([1, 1]), "ascending"),
    ],
)
def test_bad_steps(tokens, rate, models, line):
    with pytest.raises(ValueError, match=line):
        GroupedPopulation(SMALL, keys(3)).learn(tokens, rate, models=models)


def test_saved_and_loaded_goes_on_the_same():
    one, other = GroupedPopulation(DROPPING, keys(2)), GroupedPopulation(DROPPING, keys(2, 9))
    rate = torch.tensor(MASKS[[0, 3]]).float()
    one.learn(windows(2, 4, 8), rate)
    other.load_state_dict(one.state_dict())
    assert same(one.state_dict(), other.state_dict())
    for population in (one, other):
        population.learn(windows(2, 4, 8, seed=1), rate)
    assert same(one.state_dict(), other.state_dict())
    with pytest.raises(ConfigError, match="not of this population"):
        GroupedPopulation(SMALL, keys(3)).load_state_dict(one.state_dict())


def test_a_copy_goes_its_own_way():
    population = GroupedPopulation(DROPPING, keys(2))
    population.learn(windows(2, 4, 8), torch.ones(2, N))
    with torch.inference_mode():
        twin = copy.deepcopy(population)
    before = population.state_dict()
    twin.learn(windows(2, 4, 8, seed=1), torch.ones(2, N))
    assert same(population.state_dict(), before)
    population.learn(windows(2, 4, 8, seed=1), torch.ones(2, N))
    assert same(population.state_dict(), twin.state_dict())


def test_worlds_begin_anew_from_keys_or_weights():
    population, fresh = GroupedPopulation(SMALL, keys(3)), GroupedPopulation(SMALL, keys(3, 5))
    population.learn(windows(3, 4, 8), torch.ones(3, N))
    before = population.state_dict()
    population.reset(torch.tensor([False, True, False]), keys(3, 5))
    after = population.state_dict()
    for name in before:
        assert torch.equal(after[name][[0, 2]], before[name][[0, 2]])
        assert torch.equal(after[name][1], fresh.state_dict()[name][1])
    population.load(torch.tensor([True, False, False]), list(fresh.extract(2).parameters()))
    after = population.state_dict()
    assert after["steps.3"].tolist() == [0, 0, 1]
    for name, stack in zip(SMALL.names, population.parameters, strict=True):
        assert torch.equal(stack[0], fresh.parameters[SMALL.names.index(name)][2])
        assert torch.equal(after[f"parameter.{name}"][2], before[f"parameter.{name}"][2])


def test_optimisers_forget_where_told():
    population = GroupedPopulation(SMALL, keys(2))
    population.learn(windows(2, 4, 8), torch.ones(2, N))
    before = population.state_dict()
    population.clear(torch.tensor([True, False]))
    for name, after in population.state_dict().items():
        forgotten = name.startswith(("exp_avg", "steps."))
        assert torch.equal(after[0], before[name][0]) != forgotten, name
        assert torch.equal(after[1], before[name][1]), name


def test_some_models_are_asked_apart_and_who_broke_is_named():
    population, tokens = GroupedPopulation(SMALL, keys(3)), windows(3, 4, 8)
    some = population.at(torch.tensor([2, 0]))
    assert torch.allclose(some.losses(tokens[[2, 0]]), population.losses(tokens)[[2, 0]], atol=1e-6)
    population.parameters[2][1, 0, 0] = torch.nan
    assert population.finite().tolist() == [True, False, True]
    assert some.finite().all()


def test_a_world_that_breaks_spoils_itself_only():
    population = GroupedPopulation(SMALL, keys(3))
    population.parameters[0][1] = torch.nan
    learnt = population.learn(windows(3, 4, 8), torch.tensor(MASKS[[0, 0, 5]]).float())
    assert learnt.losses.isfinite().tolist() == [True, False, True]
    assert population.finite().tolist() == [True, False, True]
