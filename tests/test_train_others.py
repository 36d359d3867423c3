"""Training where nobody listens or talks: bidders of a collective, and SB3's own policy in any other world."""

import io
import json
import signal
import zipfile

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import CombinedExtractor

from studyhall import make_sb3, make_world
from studyhall.envs import EnvSpec, Outcome, World
from studyhall.envs import registry as worlds
from studyhall.envs.engine import rng
from studyhall.envs.errors import ConfigError, StudyhallError
from studyhall.policies import make_policy
from studyhall.policies.collective.bids.bidders import LearnedBids, ScorerBids
from studyhall.policies.collective.bids.sb3 import BidPolicy, save_bids
from studyhall.policies.collective.bids.scorer import BidScorer
from studyhall.policies.multi_input import LearnedMultiInput, _layers, save_multi_input
from studyhall.policies.sb3 import SetPolicy, save_policy
from studyhall.rollouts.train import configure, make_model
from studyhall.rollouts.training import by_reward as training
from studyhall.scenarios import Scenario, registry

COLLECTIVE = {"learners": "mlp", "hidden": [8], "agents": 3, "horizon": 8, "slice_size": 4, "exam_size": 20}
SWARM = {"agents": 3, "dimensions": 2, "horizon": 8, "actions": "coefficients"}


class Aim(World):
    """Say the number you are shown: a world as a user may write it."""

    def __init__(self, *, aimers=2, bound=1.0, pictures=False, horizon=4, **kwargs):
        super().__init__(num_agents=aimers, horizon=horizon, **kwargs)
        seen = {"mark": spaces.Box(-1, 1, (1,), np.float32)}
        if pictures:
            seen["look"] = spaces.Box(0, 255, (8, 8, 3), np.uint8)
        self.observation_space = spaces.Dict(seen)
        self.action_space = spaces.Dict({"guess": spaces.Box(-bound, bound, (1,), np.float32)})
        self.step_draws = self.reset_draws = rng.Draws({"mark": (aimers, 1)})

    def start(self, draws, state):
        return {"mark": 2 * draws["mark"].uniform() - 1}

    def advance(self, state, actions, draws):
        reward = 1 - (actions["guess"] - state["mark"]).abs()[..., 0]
        return Outcome({**state, **self.start(draws, state)}, reward, {})

    def observe(self, state):
        return {"mark": state["mark"]}

    def summary(self, state):
        return {"clock": state["clock"]}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    monkeypatch.setitem(worlds, "aim-v0", EnvSpec("aim-v0", f"{__name__}:Aim", "say the number"))
    for name, env, kwargs in (
        ("bids", "collective-v0", COLLECTIVE),
        ("swarm", "swarm-v0", SWARM),
        ("aim", "aim-v0", {}),
    ):
        scenario = Scenario(name, "tiny", env=env, policy="random", env_kwargs=kwargs)
        monkeypatch.setitem(registry, name, scenario)
    monkeypatch.chdir(tmp_path)


QUICK = (
    "--timesteps",
    "96",
    "--worlds",
    "4",
    "--eval-every",
    "48",
    "--eval-worlds",
    "2",
    "--set",
    "ppo.n_steps=4",
)
FORMATS = {"bids": LearnedBids, "swarm": LearnedMultiInput, "aim": LearnedMultiInput}


def weights(path):
    with zipfile.ZipFile(path) as archive:
        return torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=True)


def one_line(caught):
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- from the command line ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_trained_runs(call, name):
    code, out, _ = call("train", name, *QUICK, "--out", "mine", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["timesteps"] >= 96
    figure = "collective_score" if name == "bids" else "return"
    assert found[f"best_{figure}"] == max(entry[figure] for entry in found["evaluations"])
    policy = make_policy(found["best"])
    assert isinstance(policy, FORMATS[name])
    assert policy.about["timesteps"] == found["best_timesteps"]
    assert policy.about[f"eval_{figure}"] == found[f"best_{figure}"]
    code, out, err = call("run", name, "--set", f"policy={found['last']}", "--seeds", "0", "--json")
    assert code == 0, err
    assert json.loads(out)["seeds"] == [0]


@pytest.mark.parametrize(
    "name", [name if name == "swarm" else pytest.param(name, marks=pytest.mark.slow) for name in FORMATS]
)
def test_a_stopped_training_ends_as_if_it_had_never_stopped(call, monkeypatch, name):
    whole = json.loads(call("train", name, *QUICK, "--out", "whole", "--json")[1])
    evaluate, calls = training.Evaluation.__call__, []

    def stop_at_the_second(self, model, stop):
        calls.append(None)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, model, stop)

    with monkeypatch.context() as patch:
        patch.setattr(training.Evaluation, "__call__", stop_at_the_second)
        assert call("train", name, *QUICK, "--out", "parts")[0] == 130
    code, out, _ = call("train", "--resume", "parts", "--json")
    assert code == 0
    parts = json.loads(out)
    assert {**parts, **dict.fromkeys(_OWN)} == {**whole, **dict.fromkeys(_OWN)}
    for file in ("best.zip", "last.zip"):
        ours, theirs = weights(f"parts/{file}"), weights(f"whole/{file}")
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


_OWN = ("folder", "best", "last", "seconds", "agent_steps_per_second")


@pytest.mark.parametrize("name", [pytest.param("bids", marks=pytest.mark.slow), "aim"])
def test_a2c(call, name):
    code, out, err = call("train", name, "--algo", "a2c", *QUICK[:-2], "--set", "a2c.n_steps=2", "--json")
    assert code == 0, err
    assert make_policy(json.loads(out)["last"]).about["algorithm"] == "A2C"


def test_anyones_world_is_learnt(call):
    """A bidder's improvement takes minutes, that of who repeats a number a second."""
    given = ("ppo.n_steps=16", "ppo.learning_rate=0.01", "ppo.batch_size=128", "ppo.gamma=0")
    settings = [word for text in given for word in ("--set", text)]
    _, out, _ = call("train", "aim", "--timesteps", "8192", "--worlds", "16", *settings, "--json")
    found = json.loads(out)
    assert found["evaluations"][0]["return"] < 2.5  # of 4; a guess of 0 gets 2
    assert found["best_return"] > 3.2


def test_the_form_that_bidders_are_trained_in():
    model = make_model(configure(registry["bids"], assignments=["exam_every=4"], worlds=2))
    world = model.get_env().world
    assert (world.exam.size, world.exam.every, world.contribution_weight) == (20, 1, 10)
    assert model.gamma == 0
    held_out = training.Evaluation(configure(registry["collective-digits-bids"])).world
    assert (held_out.exam.size, held_out.exam.every, held_out.contribution_weight) == (200, 10, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bids", "--set", "contribution_weight=1"], ["contribution_weight cannot be set", "=10"]),
        (["bids", "--set", "learn_from=consulted"], ["learn_from=all"]),
        (["bids", "--set", "consult_price=0.1"], ["consult_price", "train with consult_price=0"]),
        (["bids", "--set", "slice_size=300"], ["256", "bids"]),
        (["collective-digits-moe"], ["does not host its learners: add --set learners=mlp"]),
        (["allocation-digits"], ["answers_bids", "make the world with patch=4"]),
        (["aim", "--set", "bound=Infinity"], ["guess", "no bounds", "make_vec"]),
        (["aim", "--set", "pictures=true"], ["look", "pictures"]),
        (["aim", "--set", "ppo.log_std_init=3"], ["log_std_init"]),
        (["swarm", "--set", "policy=pso"], ["training makes the policy"]),
    ],
)
def test_what_cannot_be_trained(call, tmp_path, arguments, words):
    code, out, err = call("train", *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert all(word in err for word in words), err
    assert not (tmp_path / "runs").exists()


# ---- saved and loaded -----------------------------------------------------------------------------------


def ppo(policy, env, **kwargs):
    given = {"n_steps": 4, "batch_size": 2 * env.num_envs, "learning_rate": 0.05, "seed": 0, "device": "cpu"}
    return PPO(policy, env, **given | kwargs)


def acts_alike(model, policy, world, steps=6):
    """Whether a policy does what SB3 says is best, as ``make_sb3`` would hand it on."""
    policy.bind(world)
    obs = world.reset(seed=5)
    env, space = model.get_env(), model.action_space
    for _ in range(steps):
        found = policy.act(obs)
        seen = {key: value.flatten(0, 1).numpy() for key, value in obs.items()}
        flat = torch.from_numpy(model.predict(seen, deterministic=True)[0])
        flat = flat.unflatten(0, (world.num_worlds, world.num_agents))
        if isinstance(space, spaces.Discrete):
            ((name, part),) = env.world.action_space.spaces.items()
            expected = {name: flat + int(part.start)}
        else:
            expected = space.split(flat)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value)
        obs = world.step(found).obs


@pytest.fixture
def bidder():
    model = ppo(BidPolicy, make_sb3("collective-v0", 2, seed=0, **COLLECTIVE), policy_kwargs={"width": 8})
    model.learn(48)
    save_bids(model, "bids.zip", command="as it was made")
    return model


def test_a_saved_bidder_acts_as_the_model(bidder):
    policy = make_policy("bids.zip")
    assert isinstance(policy, LearnedBids)
    assert policy.about["command"] == "as it was made"
    acts_alike(bidder, policy, make_world("collective-v0", num_worlds=2, **COLLECTIVE))


@pytest.mark.parametrize("actions", ["listen", "gated"])
def test_a_saved_bidder_fits_any_collective_that_hosts(bidder, actions):
    other = {"agents": 5, "slice_size": 7, "exam_size": 30, "share": "dirichlet", "actions": actions}
    world = make_world("collective-v0", num_worlds=2, validate=True, **COLLECTIVE | other)
    policy = make_policy("bids.zip")
    policy.bind(world)
    obs = world.reset(seed=0)
    acted = policy.act(obs)
    assert acted["answers_bids"].shape == (2, 5, 30)
    assert acted["bids"].shape == (2, 5, 7)
    assert not acted["listen"].any()
    # Samples are judged one by one.
    turned = policy.act({**obs, "samples": obs["samples"].flip(2)})
    torch.testing.assert_close(turned["bids"], acted["bids"].flip(2))
    world.step(acted)


FORMS = [
    ("swarm-v0", SWARM),
    ("swarm-v0", {**SWARM, "actions": "velocity"}),
    ("swarm-v0", {**SWARM, "refiners": 1}),
    (
        "society-v0",
        {"learners": "mlp", "hidden": [8], "horizon": 8, "slice_size": 4, "discrete_actions": True},
    ),
    ("consensus-v0", {"slice_size": 1, "vocabulary": 3, "choices": True, "agents": 3, "rounds": 2}),
]


def test_save_policy_takes_any_model_that_can_be_one():
    model = ppo("MultiInputPolicy", make_sb3("swarm-v0", 2, seed=0, **SWARM))
    save_policy(model, "any.zip")
    acts_alike(model, make_policy("any.zip"), make_world("swarm-v0", num_worlds=2, **SWARM), steps=2)


@pytest.mark.parametrize(("env", "kwargs"), FORMS)
def test_a_saved_multi_input_policy_acts_as_the_model(env, kwargs):
    """Numbers, yes or no, a choice, several choices."""
    given = {"net_arch": [8, 8]}
    model = ppo("MultiInputPolicy", make_sb3(env, 2, seed=0, **kwargs), policy_kwargs=given)
    model.learn(2 * 4 * model.get_env().num_envs)
    before = torch.get_rng_state()
    save_multi_input(model, "it.zip")
    policy = make_policy("it.zip")
    world = make_world(env, num_worlds=2, **kwargs)
    acts_alike(model, policy, world, steps=2)
    assert torch.equal(
        torch.get_rng_state(), before
    )  # a training that is saved goes on as if it had not been


def test_a_policy_of_coefficients_flies_swarms_of_any_size():
    model = ppo("MultiInputPolicy", make_sb3("swarm-v0", 2, seed=0, **SWARM))
    save_multi_input(model, "it.zip")
    world = make_world(
        "swarm-v0", num_worlds=2, **SWARM | {"agents": 7, "dimensions": 5, "objective": "ackley"}
    )
    acts_alike(model, make_policy("it.zip"), world)


class Louder(CombinedExtractor):
    """What is observed, ten times as great: no weight tells."""

    def forward(self, observations):
        return 10 * super().forward(observations)


def test_a_multi_input_policy_of_another_build_is_not_saved(tmp_path):
    env = make_sb3("swarm-v0", 2, seed=0, **SWARM)
    for options in ({"features_extractor_class": Louder}, {"activation_fn": torch.nn.ReLU}):
        with pytest.raises(ConfigError, match="the rest is as SB3 has it"):
            save_multi_input(ppo("MultiInputPolicy", env, policy_kwargs=options), tmp_path / "it.zip")
    assert not (tmp_path / "it.zip").exists()


def test_a_file_asks_for_its_form_of_actions(call):
    save_multi_input(ppo("MultiInputPolicy", make_sb3("swarm-v0", 2, seed=0, **SWARM)), "it.zip")
    code, _, err = call("run", "swarm-sphere", "--steps", "2", "--seeds", "0", "--set", "policy=it.zip")
    assert (code, err) == (0, "")


def test_worlds_that_do_not_fit(bidder):
    for env in ("swarm-v0", "collective-v0"):
        with pytest.raises(ConfigError, match="bidders need collective-v0 with learners"):
            make_policy("bids.zip").bind(make_world(env))
    world = make_world("collective-v0", **COLLECTIVE)
    with pytest.raises(ConfigError, match=r"reads \(3, 4\) features"):
        ScorerBids(BidScorer(3, 4)).bind(world)
    world.sample_features = (*world.sample_features[:-1], "luck")
    with pytest.raises(ConfigError, match="class_seen, luck"):
        make_policy("bids.zip").bind(world)
    env = make_sb3("swarm-v0", 2, seed=0, **SWARM)
    save_multi_input(ppo("MultiInputPolicy", env), "it.zip")
    for kwargs, differ in (({"actions": "velocity"}, "position"), ({"refiners": 1}, "refine")):
        with pytest.raises(ConfigError, match=differ) as caught:
            make_policy("it.zip").bind(make_world("swarm-v0", **SWARM | kwargs))
        assert "'actions': 'coefficients'" in one_line(caught)
    with pytest.raises(ConfigError, match="BidPolicy bids for specialists that the world hosts"):
        ppo(BidPolicy, env)
    with pytest.raises(ConfigError, match="only a model with BidPolicy"):
        save_bids(ppo("MultiInputPolicy", env), "x.zip")
    with pytest.raises(ConfigError, match="BidPolicy is one network of its own and has no net_arch"):
        ppo(BidPolicy, bidder.get_env(), policy_kwargs={"net_arch": [8]})
    two = {"net_arch": {"pi": [8], "vf": [4]}}
    with pytest.raises(ConfigError, match="net_arch is a list of widths"):
        save_multi_input(ppo("MultiInputPolicy", env, policy_kwargs=two), "x.zip")
    with pytest.raises(ConfigError, match="only a model with MultiInput"):
        save_multi_input(ppo(SetPolicy, make_sb3("society-v0", 1, seed=0, learners="mlp")), "x.zip")


def rewrite(path, target, about=None, tensors=None):
    """A copy of a policy's file that says something else of itself, or holds other weights."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        told = json.loads(old.read("studyhall.json"))
        new.writestr("studyhall.json", json.dumps({**told, **(about or {})}))
        entry = io.BytesIO()
        torch.save(weights(path) if tensors is None else tensors, entry)
        new.writestr("policy.pth", entry.getvalue())


@pytest.mark.parametrize(
    ("about", "tensors"),
    [
        ({"sample_features": 3, "observations": 4}, None),
        ({}, {}),
        ({}, {"of_sample.weight": torch.zeros(())}),
        ({"format": "studyhall listener, 2"}, None),
    ],
)
def test_a_tampered_file_says_so_in_one_line(bidder, about, tensors):
    model = ppo("MultiInputPolicy", make_sb3("swarm-v0", 2, seed=0, **SWARM))
    save_multi_input(model, "it.zip")
    for path, env, kwargs in (("bids.zip", "collective-v0", COLLECTIVE), ("it.zip", "swarm-v0", SWARM)):
        rewrite(path, "odd.zip", about, tensors)
        with pytest.raises(StudyhallError, match=r"odd\.zip is damaged") as caught:
            make_policy("odd.zip").bind(make_world(env, **kwargs))
        one_line(caught)


def test_layers_that_do_not_fit_what_is_observed_are_never_made():
    """Such as one of ten million rows, which a small file holds where it reads a single number."""
    weights = {"mlp_extractor.policy_net.0.weight": torch.zeros(1).expand(10**7, 1)}
    with pytest.raises(ValueError, match="does not fit"):
        _layers(weights, 300)
