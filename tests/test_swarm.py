"""Swarms: functions against their textbook formulas, flights against loops, what is counted and what is paid."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from studyhall import make_env, make_sb3, make_vec
from studyhall.envs import ActionError, ConfigError, UnknownName
from studyhall.envs.bridges.sb3 import WorldVecEnv
from studyhall.envs.engine import rng
from studyhall.envs.swarm.network_loss import NetworkLoss
from studyhall.envs.swarm.objectives import FUNCTIONS, Function, Objective
from studyhall.envs.swarm.particles import UNIT, descend, guides, pull_draws, pulls
from studyhall.envs.swarm.world import SwarmWorld
from studyhall.policies.swarm import PSO, HybridPSO, Swarm
from studyhall.testing import check_engine, check_world
from studyhall.testing.tools import sample_actions, seeded

CONFIGURATIONS = {
    "velocity": {},
    "turned-mixture": {
        "objective": ("rastrigin", "schwefel", "rosenbrock"),
        "dimensions": 3,
        "shifted": True,
        "rotated": True,
        "actions": "coefficients",
        "topology": "random",
        "drop": 0.2,
        "cooperation": 0.5,
    },
    "hybrid": {
        "objective": "ackley",
        "refiners": 2,
        "refine_steps": 2,
        "topology": "ring",
        "dtype": "float32",
    },
    "slices": {"objective": "network", "hidden": (3,), "slice_size": 5, "mode": "mute"},
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_swarms_keep_the_contract(name):
    """All of it; the views too where actions have another form than by default, which test_conformance.py views."""
    check = check_world if name == "turned-mixture" else check_engine
    check(SwarmWorld, agents=3, horizon=4, **CONFIGURATIONS[name])


def course(world, policy, steps, seed=0):
    policy.bind(world)
    obs, taken = world.reset(seed=seed), []
    for _ in range(steps):
        step = world.step(policy.act(obs))
        obs = step.obs
        taken.append(step)
    return taken


# ---- objectives -------------------------------------------------------------------------------------


def textbook(name, z):
    d = len(z)
    i = range(d)
    return {
        "sphere": lambda: sum(v**2 for v in z),
        "rosenbrock": lambda: sum(100 * (z[k + 1] - z[k] ** 2) ** 2 + (1 - z[k]) ** 2 for k in range(d - 1)),
        "rastrigin": lambda: 10 * d + sum(v**2 - 10 * math.cos(2 * math.pi * v) for v in z),
        "ackley": lambda: (
            -20 * math.exp(-0.2 * math.sqrt(sum(v**2 for v in z) / d))
            - math.exp(sum(math.cos(2 * math.pi * v) for v in z) / d)
            + 20
            + math.e
        ),
        "griewank": lambda: (
            1 + sum(v**2 for v in z) / 4000 - math.prod(math.cos(z[k] / math.sqrt(k + 1)) for k in i)
        ),
        "schwefel": lambda: 418.9828872724338 * d - sum(v * math.sin(math.sqrt(abs(v))) for v in z),
    }[name]()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_the_textbooks(name):
    x = torch.rand(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    z = (x * FUNCTIONS[name].radius).tolist()
    expected = [[textbook(name, z[w][n]) for n in range(4)] for w in range(3)]
    assert np.allclose(Function(name, 5).value(x, {}).numpy(), expected, rtol=1e-12)
    lowest = torch.full((1, 1, 5), FUNCTIONS[name].at / FUNCTIONS[name].radius, dtype=torch.float64)
    assert float(Function(name, 5).value(lowest, {})) == pytest.approx(0, abs=1e-9)


def test_schwefel_is_no_lower_outside_its_box_and_continuous_at_its_edge():
    schwefel = FUNCTIONS["schwefel"].formula
    z = torch.linspace(-2000, 2000, 40_001, dtype=torch.float64)[:, None]
    value = schwefel(z)
    assert value.min() > -1e-9
    near = value[z[:, 0].abs() < 999]
    assert (near[1:] - near[:-1]).abs().max() < 5  # of a range of 837, at steps of .1


def instance_of(objective, worlds, seed=0):
    key = rng.world_key(torch.arange(worlds) + seed, "train")
    return objective.start(rng.Draws(objective.reset_draws())(key))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_moved_and_turned_function_has_its_optimum_elsewhere_and_no_other_values(name):
    objective = Function(name, 4, shifted=True, rotated=True)
    instance = instance_of(objective, 6)
    centre, rotation = instance["centre"], instance["rotation"]
    assert centre.abs().max() <= 0.8
    assert not torch.equal(centre[0], centre[1])
    eye = torch.eye(4, dtype=torch.float64).expand(6, 4, 4)
    assert torch.allclose(rotation @ rotation.mT, eye, atol=1e-12)
    assert objective.value(centre, instance).abs().max() < 1e-9
    # Where the turned coordinates are z, the value is the plain function's at z.
    u = torch.rand(6, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) / 10
    shape = FUNCTIONS[name]
    turned = objective.value(centre + u @ rotation.mT, instance)
    assert torch.allclose(turned, shape.formula(u * shape.radius + shape.at), rtol=1e-6, atol=1e-7)


def test_of_several_functions_every_world_has_one():
    names = ("sphere", "ackley", "griewank")
    mixture = Function(names, 3)
    instance = instance_of(mixture, 40)
    x = torch.rand(40, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert instance["kind"].unique().tolist() == [0, 1, 2]
    value, scale = mixture.value(x, instance), mixture.scale(instance)
    for w, kind in enumerate(instance["kind"].tolist()):
        assert torch.equal(value[w], Function(names[kind], 3).value(x[w : w + 1], {})[0])
        assert float(scale[w]) == FUNCTIONS[names[kind]].radius


def test_a_networks_loss_and_accuracy_are_those_of_the_module():
    objective = NetworkLoss("digits", hidden=(5,))
    x = objective.scatter(rng.draw(torch.arange(2), "here", (3, objective.dimensions)))
    losses, accuracies = objective.value(x, {}), objective.report(x[:, :1], {})["accuracy"]
    data = objective.dataset
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 10))
    for w in range(2):
        for n in range(3):
            nn.utils.vector_to_parameters(x[w, n] * objective.scale({}), module.parameters())
            with torch.no_grad():
                stream = data.inputs("stream", torch.arange(len(data.stream)))
                expected = nn.functional.cross_entropy(module(stream), data.stream.y)
                test = module(data.inputs("test", torch.arange(len(data.test))))
            assert float(losses[w, n]) == pytest.approx(float(expected), rel=1e-5)
            if n == 0:
                assert float(accuracies[w]) == pytest.approx(
                    float((test.argmax(1) == data.test.y).float().mean())
                )


def test_a_network_begins_with_small_gaussian_weights():
    """Of deviation 0.1, in the network's own units."""
    objective = NetworkLoss("digits", hidden=(20,))
    drawn = rng.draw(torch.arange(4), "here", (5, objective.dimensions))
    weights = (objective.scatter(drawn) * objective.scale({})).double().flatten()
    assert float(weights.mean()) == pytest.approx(0, abs=0.002)
    assert float(weights.std()) == pytest.approx(0.1, rel=0.02)
    assert float((weights.abs() < 0.1).double().mean()) == pytest.approx(0.6827, abs=0.01)


def test_with_slices_all_bests_are_valued_on_the_slice_of_the_step_and_paid_for_on_the_exam():
    world = SwarmWorld(agents=4, objective="network", hidden=(3,), slice_size=8, horizon=9)
    steps = course(world, PSO(), 3)
    state = world.state_dict()["state"]
    instance = {k.removeprefix("objective/"): v for k, v in state.items() if k.startswith("objective/")}
    assert torch.equal(world.objective.value(state["best"], instance), state["best_value"])
    exam = instance | {"slice": instance["exam"]}
    split = world.objective.dataset
    inputs, labels = split.inputs("exam", exam["exam"]).flatten(2), split.labels("exam", exam["exam"])
    logits = world.objective.logits(state["best"], inputs)
    loss = nn.functional.cross_entropy(logits[0].flatten(0, 1), labels[0].repeat(4), reduction="none")
    assert torch.allclose(loss.view(4, -1).mean(1), state["worth"][0], rtol=1e-5)
    assert [int(step.info["evaluations"][0]) for step in steps] == [8, 8, 8]


# ---- flights ----------------------------------------------------------------------------------------


def test_a_swarm_flies_by_the_rule():
    w, c1, c2 = 0.6, 1.7, 1.3
    swarm = Swarm(
        FUNCTIONS["sphere"].formula, 3, particles=4, swarms=2, seed=5, inertia=w, cognitive=c1, social=c2
    )
    x, v = swarm.position.numpy().copy(), swarm.velocity.numpy().copy()
    best, value = x.copy(), (x**2).sum(-1)
    draws = rng.Draws({"swarm/pull": pull_draws(4, 3)})
    key = rng.world_key(torch.arange(2) + 5, "train")
    for t in range(1, 30):
        r1, r2 = (
            r.numpy() * UNIT for r in pulls(draws(rng.fold(key, t))["swarm/pull"].bits(), 4, 3).unbind(1)
        )
        for s in range(2):
            leader = best[s][value[s].argmin()].copy()
            for i in range(4):
                v[s, i] = (
                    w * v[s, i] + c1 * r1[s, i] * (best[s, i] - x[s, i]) + c2 * r2[s, i] * (leader - x[s, i])
                )
        x = x + v
        now = (x**2).sum(-1)
        best[now < value], value = x[now < value], np.minimum(value, now)
        swarm.step()
        assert np.allclose(swarm.position.numpy(), x, rtol=1e-9, atol=1e-12)
    assert np.allclose(swarm.lowest.numpy(), value.min(1))
    assert torch.allclose(swarm.solution.square().sum(-1), swarm.lowest)
    assert (swarm.iterations, swarm.evaluations) == (29, 4 * 30)


def test_a_hybrid_swarm_flies_and_refines_by_the_documented_rule():
    """All defaults: 20 particles, w .7, c 1.5; the three best make ten steps of rate .01, and all is written back."""
    swarm = Swarm(FUNCTIONS["sphere"].formula, 3, swarms=2, seed=5, refiners=3)
    assert HybridPSO().world_kwargs == {"refiners": 3, "refine_steps": 10, "refine_rate": 0.01}
    x, v = swarm.position.numpy().copy(), swarm.velocity.numpy().copy()
    best, value = x.copy(), (x**2).sum(-1)
    draws = rng.Draws({"swarm/pull": pull_draws(20, 3)})
    key = rng.world_key(torch.arange(2) + 5, "train")
    for t in range(1, 15):
        r1, r2 = (
            r.numpy() * UNIT for r in pulls(draws(rng.fold(key, t))["swarm/pull"].bits(), 20, 3).unbind(1)
        )
        for s in range(2):
            leader = best[s][value[s].argmin()].copy()
            v[s] = 0.7 * v[s] + 1.5 * r1[s] * (best[s] - x[s]) + 1.5 * r2[s] * (leader - x[s])
            x[s] = x[s] + v[s]
            for i in range(20):
                if (x[s, i] ** 2).sum() < value[s, i]:
                    best[s, i], value[s, i] = x[s, i], (x[s, i] ** 2).sum()
            for i in value[s].argsort()[:3]:
                found = best[s, i].copy()
                for _ in range(10):
                    found -= 0.01 * 2 * found
                x[s, i], best[s, i], value[s, i] = found, found, (found**2).sum()
        swarm.step()
        for ours, plain in zip((swarm.position, swarm.best, swarm.best_value), (x, best, value), strict=True):
            assert np.allclose(ours.numpy(), plain, rtol=1e-9, atol=1e-12)
    assert swarm.evaluations == 20 + 14 * (20 + 3 * (1 + 3 * 10))


@pytest.mark.parametrize("refine", [{}, {"refiners": 2, "refine_steps": 3}])
def test_every_call_of_the_function_is_counted(refine):
    calls = []

    def function(x):
        calls.append(x.shape[0] * x.shape[1] * (3 if x.requires_grad else 1))  # a gradient counts as three
        return x.square().sum(-1)

    swarm = Swarm(function, 3, particles=5, swarms=4, together=3, **refine)
    assert sum(calls) == 4 * swarm.evaluations == 4 * 5
    swarm.run(6)
    assert sum(calls) == 4 * swarm.evaluations


def test_a_swarm_in_a_batch_goes_the_way_it_goes_alone():
    kwargs = {"dimensions": 5, "particles": 6, "refiners": 1}
    batch = Swarm(FUNCTIONS["rastrigin"].formula, swarms=300, seed=0, **kwargs)
    alone = Swarm(FUNCTIONS["rastrigin"].formula, swarms=1, seed=217, **kwargs)
    assert torch.equal(batch.run(40)[217:218], alone.run(40))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_swarms_go_the_same_way_however_many_fly_together(dtype):
    def swarm(**kwargs):
        return Swarm(FUNCTIONS["ackley"].formula, 30, particles=40, radius=9.0, dtype=dtype, **kwargs)

    one, few, all_at_once = (swarm(swarms=7, together=size) for size in (1, 3, 7))
    stepped = swarm(swarms=1, seed=4)
    for _ in range(30):
        stepped.step()
    before = few.position
    kept = before.clone()
    for one_of_them in (one, few, all_at_once):
        one_of_them.run(30)
        for name in ("position", "velocity", "best", "best_value"):
            assert torch.equal(getattr(one_of_them, name)[4:5], getattr(stepped, name))
    assert torch.equal(before, kept)  # what has been handed out stays


def test_a_stretched_draw_is_many_numbers_that_do_not_know_of_each_other():
    drawn = rng.draw(torch.tensor(3), "here", (20_000,)).bits()
    numbers = rng.stretch(drawn)
    assert (numbers.shape, numbers.dtype) == ((32 * 20_000,), torch.uint32)
    assert torch.equal(rng.stretch(drawn[None, :7])[0].view(16, 14), numbers.view(16, 40_000)[:, :14])
    u = numbers.view(16, 20_000, 2).double() * 2.0**-32  # [output, draw, half]
    assert (torch.histc(u, 16, 0, 1) / u.numel() - 1 / 16).abs().max() < 0.0015
    u = u.transpose(1, 2).flatten(0, 1)
    assert (torch.corrcoef(u) - torch.eye(32)).abs().max() < 0.035  # five standard errors
    for a, b in ((0, 1), (0, 2), (5, 31), (30, 31)):  # uniform in pairs too
        pairs = torch.bincount((u[a] * 8).long() * 8 + (u[b] * 8).long(), minlength=64) / 20_000
        assert (pairs - 1 / 64).abs().max() < 0.005


def test_pulls_are_uniform():
    drawn = rng.draw(torch.arange(50), "here", pull_draws(20, 30)).bits()
    r = pulls(drawn, 20, 30).double() * UNIT
    assert r.shape == (50, 2, 20, 30)
    assert 0 <= r.min() < r.max() < 1
    histogram = torch.histc(r, 10, 0, 1) / r.numel()
    assert (histogram - 0.1).abs().max() < 0.004
    assert abs(float(torch.corrcoef(r.transpose(0, 1).flatten(1))[0, 1])) < 0.02


def test_both_forms_of_actions_fly_alike():
    kwargs = {"agents": 5, "objective": "rastrigin", "dimensions": 4, "shifted": True, "horizon": 20}
    said, told = (SwarmWorld(num_worlds=3, actions=form, **kwargs) for form in ("velocity", "coefficients"))
    policy = PSO(0.6, 1.2, 1.4)
    for one, other in zip(course(said, policy, 10), course(told, policy, 10), strict=True):
        assert torch.allclose(one.obs["features"][..., 4], other.obs["features"][..., 4])
        assert torch.allclose(one.reward, other.reward, atol=1e-3)
    assert torch.allclose(said.metrics()["best"], told.metrics()["best"], rtol=1e-3)


def test_a_guide_is_the_best_of_those_heard_and_oneself():
    value = torch.rand(3, 6, generator=torch.Generator().manual_seed(0))
    value[:, 4] = value[:, 1]  # of equals it is the first
    heard = torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    who = (torch.arange(6)[:, None] + 1 + torch.arange(5)) % 6
    found = guides(value, torch.where(heard, value[:, who], torch.inf), who)
    for w in range(3):
        for i in range(6):
            known = [i, *sorted(j for s, j in enumerate(who[i].tolist()) if heard[w, i, s])]
            assert int(found[w, i]) == min(known, key=lambda j: float(value[w, j]))


@pytest.mark.parametrize("mode", ["open", "mute", "isolated"])
@pytest.mark.parametrize("value", [1.0, math.inf, math.nan])
def test_nobody_follows_one_who_is_no_better(mode, value):
    world = SwarmWorld(agents=4, objective=Plateau(value), mode=mode, horizon=9)
    step = course(world, PSO(), 3)[-1]
    assert torch.equal(step.obs["guide"], step.obs["best"])
    assert (step.obs["features"][..., 3] == 1).all()  # everyone leads itself


@pytest.mark.parametrize(
    ("kwargs", "degree"),
    [
        ({}, 5),
        ({"topology": "ring"}, 2),
        ({"drop": 1.0}, 5),
        ({"mode": "mute"}, 5),
        ({"mode": "isolated"}, 0),
    ],
)
def test_neighbours_hear_bests_and_senders_pay_for_every_edge(kwargs, degree):
    world = SwarmWorld(agents=6, dimensions=3, horizon=9, **kwargs)
    step = course(world, PSO(), 2)[-1]
    assert step.info["bytes"].tolist() == [[degree * (3 + 1) * 4] * 6]
    assert world.metrics()["bytes"].tolist() == [[2 * degree * (3 + 1) * 4] * 6]
    best, value = step.obs["best"][0], world.state_dict()["state"]["best_value"][0]
    silent = degree == 0 or {"drop", "mode"} & kwargs.keys()
    for i in range(6):
        known = [i] if silent else [i, (i + 1) % 6, (i - 1) % 6] if degree == 2 else range(6)
        assert torch.equal(step.obs["guide"][0, i], best[min(known, key=lambda j: float(value[j]))])


def test_walls_stop_and_what_is_not_finite_stays():
    world = SwarmWorld(agents=2, dimensions=2, horizon=5)
    before = world.reset(seed=0)["position"]
    step = world.step(torch.tensor([[[2.0, 0.0], [torch.nan, 1.0]]]))
    assert step.obs["position"][0, 0].tolist() == [1.0, float(before[0, 0, 1])]
    assert step.obs["velocity"][0].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert torch.equal(step.obs["position"][0, 1], before[0, 1])


# ---- refining ---------------------------------------------------------------------------------------


def test_descending_is_gradient_descent():
    start = torch.tensor([[[0.5, -0.25]]], dtype=torch.float64)
    found = descend(lambda x: (x * x).sum(-1), start, 3, 0.1)
    assert torch.allclose(found, start * 0.8**3)
    walled = descend(lambda x: -x.sum(-1), start, 50, 0.1, 1.0)
    assert walled.tolist() == [[[1.0, 1.0]]]


def test_the_best_of_those_who_ask_descend_and_it_is_written_back_and_counted():
    world = SwarmWorld(agents=4, dimensions=3, refiners=2, refine_steps=5, refine_rate=0.05, horizon=9)
    world.reset(seed=0)
    before = world.state_dict()["state"]
    still = torch.zeros(1, 4, 3)
    order = before["best_value"][0].argsort().tolist()
    asked = torch.ones(1, 4, dtype=torch.int64)
    asked[0, order[0]] = 0  # the best does not ask
    step = world.step({"velocity": still, "refine": asked})
    after = world.state_dict()["state"]
    assert step.info["evaluations"].tolist() == [4 + 2 * (1 + 3 * 5)]
    for rank, i in enumerate(order):
        lower = before["position"][0, i] * (1 - 2 * 0.05) ** 5
        expected = lower if rank in (1, 2) else before["position"][0, i]
        assert torch.allclose(after["position"][0, i], expected)
        assert torch.allclose(after["best"][0, i], expected)
        assert float(after["best_value"][0, i]) == pytest.approx(float((expected * 5.12).square().sum()))
    quiet = world.step({"velocity": still, "refine": torch.zeros_like(asked)})
    assert quiet.info["evaluations"].tolist() == [4]


def test_refining_works_under_inference_mode():
    kwargs = {"agents": 3, "refiners": 1, "shifted": True, "rotated": True, "horizon": 9}
    plain = course(SwarmWorld(**kwargs), HybridPSO(refiners=1), 2)
    with torch.inference_mode():
        inferred = course(SwarmWorld(**kwargs), HybridPSO(refiners=1), 2)
    assert torch.equal(plain[-1].reward, inferred[-1].reward)


def test_the_hybrid_finds_what_the_swarm_misses_at_equal_evaluations():
    shape, found = FUNCTIONS["ackley"], {}
    for name, refine in {"pso": {}, "hybrid": {"refiners": 3, "refine_rate": 2.0}}.items():
        swarm = Swarm(shape.formula, 30, particles=40, swarms=9, radius=shape.radius, **refine)
        while swarm.evaluations < 30_000:
            swarm.step()
        found[name] = float(swarm.lowest.median())
    assert found["hybrid"] < found["pso"] / 30


# ---- what is paid, seen and drawn -------------------------------------------------------------------


@pytest.mark.parametrize("cooperation", [0.0, 0.3, 1.0])
def test_the_return_is_how_many_decades_were_won(cooperation):
    world = SwarmWorld(num_worlds=2, agents=5, horizon=30, cooperation=cooperation, precision=1e-6)
    PSO().bind(world)
    world.reset(seed=3)
    before = world.state_dict()["state"]["best_value"]
    policy = PSO()
    policy.bind(world)
    obs = world.obs
    for _ in range(25):
        obs = world.step(policy.act(obs)).obs
    after = world.state_dict()["state"]["best_value"]
    decades = [(v + 1e-6).log10() for v in (before, after)]
    own, swarm = decades[0] - decades[1], decades[0].amin(1) - decades[1].amin(1)
    expected = (1 - cooperation) * own + cooperation * swarm[:, None]
    assert torch.allclose(world.metrics()["return"].double(), expected, atol=1e-4)


def test_features_tell_the_course_and_nothing_of_the_objective():
    world = SwarmWorld(agents=4, dimensions=7, horizon=50, actions="coefficients")
    assert set(world.observation_space.spaces) == {"features", "elapsed"}
    other = SwarmWorld(agents=9, objective="network", horizon=50, actions="coefficients")
    assert world.observation_space == other.observation_space
    obs = course(world, PSO(0.0, 0.0, 0.0), 3)[-1].obs  # nobody moves
    improved, since, guide_since, leads = obs["features"][0, :, :4].T
    assert improved.tolist() == [0] * 4
    assert torch.allclose(since, torch.tensor(3 / 13))
    assert torch.allclose(guide_since[leads == 1], torch.tensor(3 / 13))
    assert leads.sum() == 1
    assert sorted(obs["features"][0, :, 4].tolist()) == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert (obs["features"][0, :, 5] == -1).all()  # at one's own best
    assert (obs["features"][0, :, 7] == -1).all()  # at rest


def test_a_swarm_can_be_drawn():
    world = SwarmWorld(agents=6, dimensions=3, horizon=9)
    course(world, PSO(), 2)
    text = world.render("ansi")
    assert text.startswith("step 2/9   best ")
    assert text.count("*") == 1
    assert world.render("rgb_array").std() > 10


def test_sb3_drives_every_particle():
    world = SwarmWorld(num_worlds=2, agents=3, horizon=4, actions="coefficients", refiners=1)
    env = WorldVecEnv(world, seed=0)
    obs = env.reset()
    assert obs["features"].shape == (6, 10)
    assert env.action_space.shape == (4,)
    for _ in range(4):
        _, reward, done, infos = env.step(np.zeros((6, 4), np.float32))
    assert done.all()
    assert infos[0]["metrics"]["evaluations"] == 3 * 5


class Valley(Objective):
    """An objective of one's own."""

    dimensions = 2
    optimum = 0.0

    def value(self, x, instance):
        return (x[..., 0] - 0.5).abs() + x[..., 1].abs()


class Deep(Objective):
    """One whose values go below 0."""

    dimensions = 2

    def value(self, x, instance):
        return x.sum(-1)


class Bounded(Deep):
    optimum = -2.0


class Plateau(Valley):
    """Nothing is better than anything else."""

    def __init__(self, value):
        self.level = value

    def value(self, x, instance):
        return torch.full(x.shape[:2], self.level, dtype=x.dtype)


class Squares(Valley):
    """A slip: no sum over coordinates."""

    def value(self, x, instance):
        return x.square()


class Misjudged(Valley):
    """A slip: one number for all."""

    def judge(self, x, value, instance):
        return 0.0


def test_an_objective_of_ones_own():
    world = SwarmWorld(agents=10, objective=Valley(), horizon=200)
    steps = course(world, PSO(), 200)
    assert float(steps[-1].info["episode"]["best"]) < 1e-6


def test_values_below_0_are_paid_for_from_the_optimum_that_is_said():
    world = SwarmWorld(agents=1, objective=Bounded(), horizon=5)
    start = float(world.reset(seed=0)["position"].sum())
    step = world.step(torch.full((1, 1, 2), -2.0))
    assert float(step.reward) == pytest.approx(math.log10(start + 2 + 1e-8) - math.log10(1e-8), rel=1e-5)
    assert float(step.reward) > 5


@pytest.mark.parametrize(
    ("objective", "says"),
    [
        (Squares(), r"positions \[1, 3, 2\] as a tensor \[1, 3\], got \(1, 3, 2\)"),
        (Misjudged(), r"positions \[1, 3, 2\] as a tensor \[1, 3\], got float"),
    ],
)
def test_an_objective_that_values_otherwise_than_by_particle_is_told_in_one_line(objective, says):
    with pytest.raises(ConfigError, match=says) as caught:
        SwarmWorld(agents=3, objective=objective).reset(seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("switched_off", [False, np.bool_(False)])
def test_what_is_switched_off_is_not_set(switched_off):
    assert (
        SwarmWorld(objective="network", shifted=switched_off, rotated=switched_off).objective.noisy is False
    )


@pytest.mark.parametrize(
    ("kwargs", "error", "says"),
    [
        ({"objective": "spere"}, UnknownName, "sphere"),
        ({"objective": ()}, ConfigError, "one function at least"),
        ({"objective": None}, ConfigError, "must be a name, a list of names or an Objective, got None"),
        ({"objective": 3}, ConfigError, "must be a name, a list of names or an Objective, got 3"),
        ({"objective": Valley}, ConfigError, "must be a name, a list of names or an Objective"),
        ({"objective": ("sphere", "network")}, ConfigError, "functions only: 'network' stands alone"),
        ({"objective": Deep()}, ConfigError, "objective Deep does not say its optimum"),
        ({"dimensions": 0}, ConfigError, "dimensions must be"),
        ({"objective": "rosenbrock", "dimensions": 1}, ConfigError, "dimensions must be"),
        ({"objective": "network", "shifted": True}, ConfigError, "shifted cannot be set"),
        ({"slice_size": 3}, ConfigError, "slice_size cannot be set"),
        ({"objective": Valley(), "dimensions": 3}, ConfigError, "of your own"),
        ({"objective": "network", "hidden": (0,)}, ConfigError, "hidden"),
        ({"objective": "network", "hidden": 16}, ConfigError, "hidden must be a list of widths, got 16"),
        ({"objective": "network", "hidden": "16"}, ConfigError, "hidden must be a list of widths, got '16'"),
        ({"objective": "network", "slice_size": 0}, ConfigError, "slice_size"),
        ({"actions": "speed"}, UnknownName, "form of actions"),
        ({"dtype": "float16"}, UnknownName, "dtype"),
        ({"refiners": 4}, ConfigError, "refiners"),
        ({"refiners": 1, "refine_rate": -1.0}, ConfigError, "refine_rate"),
        ({"mode": "shuffled"}, ConfigError, "no rows to shuffle"),
        ({"precision": 0.0}, ConfigError, "precision"),
        ({"cooperation": 1.5}, ConfigError, "cooperation"),
    ],
)
def test_what_cannot_be_is_refused(kwargs, error, says):
    with pytest.raises(error, match=says) as caught:
        SwarmWorld(agents=3, **kwargs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("dimensions", 2.5), ("optimum", None)])
def test_an_objective_of_ones_own_says_its_numbers(name, value):
    mine = Function("sphere", 2)
    setattr(mine, name, value)
    with pytest.raises(ConfigError, match=f"{name} of the objective"):
        SwarmWorld(agents=2, objective=mine)


def test_actions_out_of_range_and_worlds_of_another_kind_are_refused():
    world = SwarmWorld(agents=2, actions="coefficients", validate=True)
    world.reset(seed=0)
    with pytest.raises(ActionError, match="coefficients"):
        world.step(torch.full((1, 2, 3), -0.5))
    with pytest.raises(ConfigError, match="refiners"):
        HybridPSO().bind(world)
    with pytest.raises(ConfigError, match=r"this policy needs refine_rate=2\.0"):
        HybridPSO(refine_rate=2.0).bind(SwarmWorld(agents=4, refiners=3))
    with pytest.raises(ConfigError, match="inertia"):
        PSO(inertia=-1.0)
    with pytest.raises(ConfigError, match="function must value"):
        Swarm(lambda x: x.square().sum(), 2, swarms=3)
    with pytest.raises(ConfigError, match="together"):
        Swarm(FUNCTIONS["sphere"].formula, 2, together=0)
    with pytest.raises(ConfigError, match="shape"):
        Swarm(FUNCTIONS["sphere"].formula, 2, start=torch.zeros(3, 2))


def test_what_is_no_number_is_the_worst_place_to_be():
    swarm = Swarm(lambda x: x[..., 0].log() ** 2 + x[..., 1] ** 2, 2, particles=20, swarms=3)
    assert (swarm.run(300) < 1e-6).all()
    assert (swarm.function(swarm.solution[:, None])[:, 0] == swarm.lowest).all()


@pytest.mark.parametrize("function", [lambda x: 1.0, lambda x: x.sum(), lambda x: x.sum(-1, keepdim=True)])
def test_a_function_of_the_wrong_kind_is_told_in_one_line(function):
    with pytest.raises(ConfigError, match=r"as a tensor \[S, 20\]"):
        Swarm(function, 2)


def test_coefficients_beyond_the_worlds_are_refused():
    with pytest.raises(ConfigError, match=r"up to 1\.4, 3, 3"):
        PSO(1.6, 2, 2).bind(SwarmWorld(actions="coefficients"))


# ---- every objective, in either precision, with and without refiners ---------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("refiners", [0, 2])
@pytest.mark.parametrize(
    "objective", [*FUNCTIONS, ["sphere", "ackley"], tuple(FUNCTIONS), "network"], ids=str
)
def test_every_objective_runs_in_either_precision_through_every_view(objective, refiners, dtype):
    kwargs = {"objective": objective, "refiners": refiners, "dtype": dtype, "agents": 3, "horizon": 2}
    kwargs |= (
        {"hidden": (2,), "slice_size": 4} if objective == "network" else {"shifted": True, "rotated": True}
    )
    kwargs["refine_steps"] = 2
    world = SwarmWorld(num_worlds=2, **kwargs)
    world.reset(seed=0)
    step = world.step(sample_actions(world, seeded(0)))
    for name in ("position", "velocity", "best"):
        assert world._state[name].dtype == getattr(torch, dtype)
    assert step.reward.isfinite().all()
    env = make_env("swarm-v0", **kwargs)
    env.reset(seed=0)
    env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    vec = make_vec("swarm-v0", 2, **kwargs)
    vec.reset(seed=0)
    vec.step(vec.action_space.sample())
    agents = make_sb3("swarm-v0", 2, **kwargs)
    agents.reset()
    agents.step(np.stack([agents.action_space.sample() for _ in range(agents.num_envs)]))
