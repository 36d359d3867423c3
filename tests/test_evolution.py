"""Evolution strategies, and policies of few numbers: they learn, are kept, and a stopped training goes on."""

import dataclasses
import io
import json
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

from studyhall import make_world
from studyhall.envs import EnvSpec, Outcome, World
from studyhall.envs import registry as worlds
from studyhall.envs.engine import rng
from studyhall.envs.errors import ConfigError
from studyhall.policies import PolicySpec, make_policy
from studyhall.policies import registry as policies
from studyhall.policies.language import LinearBids
from studyhall.policies.language.learned import features
from studyhall.policies.parametric import Parametric, save_parametric
from studyhall.rollouts.training.evolution import (
    EvolutionTraining,
    centred_ranks,
    configure,
    returns,
    train,
)
from studyhall.scenarios import Scenario, registry


def corpus(seed, letters):
    """Documents of words of some letters only."""
    draw = np.random.default_rng(seed)
    words = ["".join(draw.choice(list(letters), 4)) for _ in range(20)]
    return [" ".join(draw.choice(words, 20)) for _ in range(40)]


MODULAR = {
    "corpora": {"left": corpus(0, "abcde"), "right": corpus(1, "vwxyz")},
    "tokeniser": "bytes",
    "width": 8,
    "heads": 2,
    "layers": 2,
    "feedforward": 16,
    "length": 8,
    "slice_size": 4,
    "exam_size": 4,
    "exam_every": 3,
    "horizon": 6,
    "k": None,
}


class Aim(World):
    """Say the number you are shown."""

    def __init__(self, *, horizon=4, **kwargs):
        super().__init__(num_agents=2, horizon=horizon, **kwargs)
        self.observation_space = spaces.Dict({"mark": spaces.Box(-1, 1, (1,), np.float32)})
        self.action_space = spaces.Dict({"guess": spaces.Box(-10, 10, (1,), np.float32)})
        self.step_draws = self.reset_draws = rng.Draws({"mark": (2, 1)})

    def start(self, draws, state):
        return {"mark": 2 * draws["mark"].uniform() - 1}

    def advance(self, state, actions, draws):
        reward = 1 - (actions["guess"] - state["mark"]).abs()[..., 0]
        return Outcome({**state, **self.start(draws, state)}, reward, {})

    def observe(self, state):
        return {"mark": state["mark"]}

    def summary(self, state):
        return {"clock": state["clock"]}


class Line(Parametric):
    """A guess is a·mark + b."""

    names = ("a", "b")

    def start(self):
        return torch.tensor([0.0, 0.5])

    def act(self, obs):
        a, b = self.of_worlds[:, None, None].unbind(-1)
        return {"guess": a * obs["mark"] + b}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    monkeypatch.setitem(worlds, "aim-v0", EnvSpec("aim-v0", f"{__name__}:Aim", "say the number"))
    monkeypatch.setitem(policies, "line", PolicySpec("line", f"{__name__}:Line", "a line"))
    monkeypatch.setitem(registry, "aim", Scenario("aim", "tiny", env="aim-v0", policy="line"))
    monkeypatch.setitem(
        registry,
        "texts",
        Scenario("texts", "tiny", env="modular-v0", policy="linear_bids", env_kwargs=MODULAR),
    )
    monkeypatch.chdir(tmp_path)


def es(**options):
    given = {"updates": 6, "worlds": 8, "eval_every": 2, "eval_worlds": 2, "assignments": ["es.candidates=4"]}
    return configure(registry["aim"], **{**given, **options})


QUICK = (
    *("--algo", "es", "--updates", "6", "--worlds", "8", "--eval-every", "2", "--eval-worlds", "2"),
    *("--set", "es.candidates=4"),
)


# ---- training -------------------------------------------------------------------------------------------


def test_a_line_is_learnt(tmp_path):
    found = train(es(updates=40, worlds=16, eval_every=20, assignments=["es.candidates=8"]), tmp_path / "run")
    assert found.evaluations[0][1] < 2.6  # of 4
    assert found.best[1] > 3.6
    policy = make_policy(str(tmp_path / "run" / "best.zip"))
    assert isinstance(policy, Line)
    assert torch.allclose(policy.parameters, torch.tensor([1.0, 0.0]), atol=0.2)


def test_a_generation_is_the_published_update():
    """Mirrored perturbations, ranks of mean returns over the same episodes, one step of Adam; by hand."""
    training = EvolutionTraining(es(seed=3))
    before = training.numbers.clone()
    training.update()
    candidates = training.tried.parameters.view(4, 2, 2)
    assert torch.equal(candidates[:, 0], candidates[:, 1])
    noise = (candidates[:, 0] - before) / 0.3
    assert torch.allclose(noise[:2], -noise[2:], atol=1e-6)
    seeds = training.world.seeds.reshape(4, 2)
    assert (seeds == seeds[0]).all()
    fitness = []
    for numbers in candidates[:, 0]:
        world = make_world("aim-v0", num_worlds=2, autoreset=False)
        policy = Line()
        policy.parameters = numbers
        policy.bind(world)
        fitness.append(float(returns(policy, world, seeds[0].tolist()).mean()))
    ranks = np.argsort(np.argsort(fitness)) / 3 - 0.5
    gradient = (ranks[:, None] * noise.numpy()).mean(0) / 0.3
    by_hand = torch.nn.Parameter(before)
    by_hand.grad = torch.tensor(-gradient, dtype=torch.float32)
    torch.optim.Adam([by_hand], lr=0.1).step()
    assert torch.allclose(training.numbers, by_hand, atol=1e-5)
    training.update()
    assert set(training.world.seeds.tolist()).isdisjoint(seeds.flatten().tolist())


def test_ranks():
    assert centred_ranks(torch.tensor([5.0, -1.0, 100.0])).tolist() == [0.0, -0.5, 0.5]
    shared = centred_ranks(torch.tensor([1.0, torch.nan, 1.0, 2.0]))
    assert torch.allclose(shared, torch.tensor([0.0, -0.5, 0.0, 0.5]))


def test_a_stopped_training_ends_as_if_it_had_never_stopped(call, monkeypatch, tmp_path):
    whole = json.loads(call("train", "aim", *QUICK, "--out", "whole", "--json")[1])
    evaluate, calls = EvolutionTraining.evaluate, []

    def stop_at_the_second(self, stop=lambda: False):
        calls.append(None)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, stop)

    with monkeypatch.context() as patch:
        patch.setattr(EvolutionTraining, "evaluate", stop_at_the_second)
        assert call("train", "aim", *QUICK, "--out", "parts")[0] == 130
    code, out, _ = call("train", "--resume", "parts", "--json")
    assert code == 0
    parts = json.loads(out)
    assert parts["evaluations"] == whole["evaluations"]
    assert [entry["timesteps"] for entry in whole["evaluations"]] == [0, 128, 256, 384]
    curves = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("parts", "whole")
    ]
    for row in (*curves[0], *curves[1]):
        del row["seconds"]
    assert curves[0] == curves[1]
    assert [row["updates"] for row in curves[0]] == [0, 2, 4, 6]
    assert all(isinstance(row["train/return"], float) for row in curves[0][1:])
    for file in ("best.zip", "last.zip"):
        assert (tmp_path / "parts" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_its_command_trains_the_same(call, tmp_path):
    given = ("--seed", "3", "--set", "es.sigma=0.5", "--set", "policy=line", "--set", "horizon=3")
    assert call("train", "aim", *QUICK, *given, "--out", "a")[0] == 0
    command = make_policy("a/last.zip").about["command"].split()
    assert call(*command[1:], "--out", "b")[0] == 0
    assert (tmp_path / "a" / "last.zip").read_bytes() == (tmp_path / "b" / "last.zip").read_bytes()


def test_a_training_begins_with_a_file(tmp_path):
    policy = Line()
    policy.parameters = torch.tensor([0.75, 0.25])
    save_parametric(policy, tmp_path / "it.zip", "line")
    begun = configure(registry["aim"], assignments=["policy=it.zip"])
    training = EvolutionTraining(begun)
    assert training.numbers.tolist() == [0.75, 0.25]
    training.save_weights(tmp_path / "again.zip")
    assert make_policy("again.zip").parameters.tolist() == [0.75, 0.25]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["aim", "--set", "es.candidates=3"], ["even number", "got 3"]),
        (["aim", "--set", "es.candidates=0"], ["candidates must be a whole number"]),
        (["aim", "--set", "es.sigma=0"], ["sigma must be a number above 0"]),
        (["aim", "--set", "es.learning_rate=-1"], ["learning_rate must be a number above 0"]),
        (["aim", "--set", "es.sigam=1"], ["sigam", "'sigma'"]),
        (["aim", "--set", "ppo.gamma=1"], ["ppo.gamma", "es.sigma"]),
        (["aim", "--worlds", "10"], ["multiple of 16", "got 10"]),
        (["aim", "--timesteps", "10"], ["--timesteps is no option of es"]),
        (["aim", "--cpu-seconds", "10"], ["--cpu-seconds is no option of es"]),
        (["aim", "--set", "policy=random"], ["no vector of numbers", "policy=", "linear_bids"]),
        (["aim", "--set", "policy=linear_bids"], ["modular-v0"]),
        (["texts", "--set", "actions=discrete"], ["rules bid", "actions='bid' or 'rate'"]),
    ],
)
def test_errors_are_one_line(call, tmp_path, arguments, words):
    code, out, err = call("train", *arguments, "--algo", "es")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert all(word in err for word in words), err
    assert not (tmp_path / "runs").exists()


# ---- files ----------------------------------------------------------------------------------------------


def rewrite(path, target, about, tensors):
    """A copy of a policy's file that says something else of itself, or holds other weights."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        told = json.loads(old.read("studyhall.json"))
        new.writestr("studyhall.json", json.dumps({**told, **about}))
        entry = io.BytesIO()
        torch.save(tensors, entry)
        new.writestr("policy.pth", entry.getvalue())


@pytest.mark.parametrize(
    ("about", "tensors", "words"),
    [
        ({}, {}, "damaged"),
        ({}, {"parameters": torch.zeros(3)}, "damaged"),
        ({}, {"parameters": torch.zeros(1, 2)}, "damaged"),
        ({}, {"parameters": torch.zeros(2), "more": torch.zeros(2)}, "damaged"),
        ({}, {"parameters": torch.tensor([0.0, torch.nan])}, "not finite"),
        ({"parameters": 3}, {"parameters": torch.zeros(2)}, "damaged"),
        ({"parameters": ["a", "c"]}, {"parameters": torch.zeros(2)}, r"other numbers than Line has \(b, c\)"),
        ({"parameters": ["b", "a"]}, {"parameters": torch.zeros(2)}, "their order"),
        ({"policy": "random"}, {"parameters": torch.zeros(2)}, "damaged"),
        ({"policy": "nobody:Knows"}, {"parameters": torch.zeros(2)}, "somebody's own"),
        ({"policy_kwargs": {"weights": "x"}}, {"parameters": torch.zeros(2)}, "damaged"),
        ({"policy_kwargs": {"speed": 3}}, {"parameters": torch.zeros(2)}, "damaged"),
    ],
)
def test_a_tampered_file_says_so_in_one_line(tmp_path, about, tensors, words):
    save_parametric(Line(), tmp_path / "it.zip", "line")
    assert make_policy("it.zip").parameters.tolist() == [0.0, 0.5]
    rewrite(tmp_path / "it.zip", tmp_path / "odd.zip", about, tensors)
    with pytest.raises(ConfigError, match=words) as caught:
        make_policy("odd.zip")
    assert "\n" not in str(caught.value)


def test_a_cut_file_is_refused(tmp_path):
    save_parametric(Line(), tmp_path / "it.zip", "line")
    whole = (tmp_path / "it.zip").read_bytes()
    (tmp_path / "it.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="damaged"):
        make_policy("it.zip")


def test_numbers_of_another_size_are_refused():
    policy = Line()
    policy.parameters = torch.zeros(3, 2)
    world = make_world("aim-v0", num_worlds=2)
    policy.bind(world)
    with pytest.raises(ConfigError, match=r"\[2\], or \[2, 2\] in this world, got \[3, 2\]"):
        policy.act(world.reset(seed=0))


# ---- bids -----------------------------------------------------------------------------------------------


def bidding(numbers, **changed):
    """Who learns in each step, [S, W, N], and the world after an episode."""
    policy = LinearBids()
    policy.parameters = numbers
    world = make_world("modular-v0", num_worlds=2, autoreset=False, **{**MODULAR, **changed})
    policy.bind(world)
    obs, learnt = world.reset(seed=0), []
    policy.reset()
    while not world.ended.all():
        step = world.step(policy.act(obs))
        obs = step.obs
        learnt.append(step.info["learnt"])
    return torch.stack(learnt), world


def weighing(**weights):
    return torch.tensor([weights.get(name, 0.0) for name in LinearBids.names])


def test_bids_above_0_learn_and_every_world_has_its_own_numbers():
    both = torch.stack([weighing(embedding=0.5, output=0.5), weighing(attention=0.5)])
    learnt, world = bidding(both)
    assert learnt[:, 0].tolist() == [[1, 0, 0, 0, 0, 1]] * 6
    assert learnt[:, 1].tolist() == [[0, 1, 0, 1, 0, 0]] * 6
    alone, _ = bidding(both[0])
    assert torch.equal(alone[:, 0], learnt[:, 0])
    assert bidding(weighing())[0].sum() == 0


def test_the_highest_bids_learn_and_are_shares_of_the_rate():
    numbers = weighing(embedding=0.5, output=2.0, attention=0.1)
    learnt, _ = bidding(numbers, k=2)
    assert learnt[:, 0].tolist() == [[1, 0, 0, 0, 0, 1]] * 6
    policy = LinearBids()
    policy.parameters = numbers
    world = make_world("modular-v0", **{**MODULAR, "actions": "rate"})
    policy.bind(world)
    bids = policy.act(world.reset(seed=0))["bid"][0, :, 0]
    assert torch.allclose(bids, torch.tensor([0.5, 0.1, 0.0, 0.1, 0.0, 2.0]).tanh())


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("boundaries", ["told", "hidden"])
def test_features_are_of_the_order_of_1_in_any_world(layers, boundaries):
    world = make_world(
        "modular-v0",
        num_worlds=2,
        **{**MODULAR, "layers": layers, "boundaries": boundaries, "tasks": ["left"]},
    )
    policy = make_policy("linear_bids")
    policy.bind(world)
    obs = world.reset(seed=0)
    policy.reset()
    for _ in range(5):
        found = features(obs)
        assert found.shape == (2, 2 * layers + 2, policy.size)
        assert found.isfinite().all()
        assert found.abs().max() < 5
        named = dict(zip(policy.names, found.unbind(-1), strict=True))
        known = obs["gradient"][..., 3] < 1
        assert named["rms"][~known].eq(0).all()
        for world_, mask in zip(named["rms"], known, strict=True):
            assert not mask.any() or abs(float(world_[mask].mean())) < 1e-5
        if boundaries == "hidden":
            assert named["current"].eq(0).all()
            assert torch.allclose(named["kept"], obs["cards"].amin(-1))
        else:
            assert torch.allclose(named["current"], obs["cards"][..., 0])
            assert torch.allclose(named["kept"], obs["cards"][..., 1])
        obs = world.step(policy.act(obs)).obs


def test_bidders_are_trained_and_ask_for_their_form(call):
    arguments = ("--updates", "2", "--worlds", "4", "--eval-worlds", "1", "--set", "es.candidates=4")
    code, _, err = call("train", "texts", "--algo", "es", *arguments, "--set", "actions=rate", "--out", "it")
    assert code == 0, err
    policy = make_policy("it/last.zip")
    assert isinstance(policy, LinearBids)
    assert policy.world_kwargs == {"actions": "rate", "k": None}
    with pytest.raises(ConfigError, match="this policy needs actions='rate'"):
        policy.bind(make_world("modular-v0", **MODULAR))
    on = EvolutionTraining(configure(registry["texts"], assignments=["policy=it/last.zip"]))
    assert on.world.form == "rate"
    on.save_weights(Path("on.zip"))
    assert make_policy("on.zip").world_kwargs == {"actions": "rate", "k": None}
    code, out, err = call("run", "texts", "--set", "policy=it/last.zip", "--seeds", "0", "--json")
    assert code == 0, err
    assert json.loads(out)["seeds"] == [0]


def test_configs_are_plain():
    assert dataclasses.asdict(es().settings) == {"candidates": 4, "sigma": 0.3, "learning_rate": 0.1}
    assert es().episodes == 2
