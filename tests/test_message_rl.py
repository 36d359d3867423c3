"""Message worlds by reinforcement: choices for SB3, the feed-forward talker, and training that ends in messages."""

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

from studyhall import make_sb3, make_world
from studyhall.envs import ActionError, ConfigError
from studyhall.envs.archive import save
from studyhall.envs.bridges.flat import FlatActions, FlatChoices
from studyhall.policies import make_policy
from studyhall.policies.messages.feedforward import FeedforwardNetwork, FeedforwardPolicy, situation
from studyhall.policies.messages.policy import FORMAT
from studyhall.policies.messages.sb3 import MessageSB3Policy
from studyhall.rollouts import rollout
from studyhall.rollouts.training.by_reward import Evaluation, configure, make_model, train
from studyhall.scenarios import Scenario, registry

# One-hot pictures of which every witness sees the lit pixel or nothing: to know more, one must be told.
LIGHTS = {"x": torch.eye(3).repeat(40, 1).tolist(), "y": [0, 1, 2] * 40}
WORLD = {"data": LIGHTS, "agents": 2, "view_noise": 0.0, "vocabulary": 4, "slice_size": 32}
SCENARIO = Scenario(
    "tiny",
    "two witnesses of three lights",
    env="consensus-v0",
    policy="feedforward",
    env_kwargs=WORLD,
    policy_kwargs={"width": 16},
    seeds=(0, 1, 2, 3),
    controls=("mute", "shuffled"),
    training={"updates": 60, "learning_rate": 0.01},
)
TALK = {**WORLD, "slice_size": 1, "choices": True}
QUICK = ("--timesteps", "512", "--worlds", "16", "--eval-every", "256", "--set", "ppo.width=16")


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    monkeypatch.setitem(registry, "tiny", SCENARIO)
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def one_line(caught):
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- actions of message worlds for SB3 ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "kwargs", "form"),
    [
        ("consensus-v0", {"vocabulary": 5, "length": 2, "choices": True, "slice_size": 3}, FlatChoices),
        ("consensus-v0", {"vocabulary": 5, "choices": True, "slice_size": 1, "rounds": 2}, FlatChoices),
        ("halves-v0", {"width": 4, "bound": 1.0, "slice_size": 1}, FlatActions),
    ],
)
def test_transitions_are_the_engines(id, kwargs, form):
    """Two episodes beside an engine that resets nothing by itself."""
    env = make_sb3(id, 3, seed=4, **kwargs)
    world = make_world(id, num_worlds=3, autoreset=False, validate=True, **kwargs)
    space, n = env.action_space, world.num_agents
    assert isinstance(space, form)
    assert list(space.sizes) == ["answer", "message"]
    obs, own = env.reset(), world.reset(seed=4)
    space.seed(0)
    for t in range(1, 2 * world.horizon + 1):
        for key, value in own.items():
            np.testing.assert_array_equal(obs[key], value.flatten(0, 1).numpy())
            assert obs[key].dtype == env.observation_space[key].dtype
        given = np.stack([space.sample() for _ in range(3 * n)])
        obs, reward, done, infos = env.step(given)
        parts = np.split(given, [space.sizes["answer"]], axis=1)
        actions = {}
        for name, part in zip(("answer", "message"), parts, strict=True):
            own_space = world.action_space[name]
            if form is FlatActions:  # scaled from [−1, 1] to the part's own bounds
                low, high = own_space.low.flatten(), own_space.high.flatten()
                part = (low + (part + 1) / 2 * (high - low)).astype(np.float32)
            actions[name] = torch.from_numpy(part).reshape(3, n, *own_space.shape)
        step = world.step(actions)
        np.testing.assert_allclose(reward, step.reward.flatten().numpy(), atol=1e-6)
        own = step.obs
        assert done.tolist() == [t % world.horizon == 0] * 3 * n
        if not done.any():
            assert infos == [{}] * 3 * n
            continue
        returns = world.metrics()["return"].flatten().tolist()
        for index, info in enumerate(infos):
            # After the last answer there is nothing to come that SB3 should reckon with.
            assert info["TimeLimit.truncated"] is False
            assert info["episode"] == {"r": pytest.approx(returns[index], abs=1e-6), "l": world.horizon}
            assert info["metrics"]["message_bytes"] == world.metrics()["message_bytes"][0]
            for key, value in own.items():
                np.testing.assert_array_equal(
                    info["terminal_observation"][key], value.flatten(0, 1)[index].numpy()
                )
        own = world.reset()


def test_choices_stand_in_the_order_of_their_names():
    world = make_world("consensus-v0", slice_size=2, vocabulary=5, length=3, choices=True)
    space = FlatChoices(world.action_space)
    assert space.nvec.tolist() == [10, 10, 5, 5, 5, 5, 5, 5]
    found = space.split(torch.arange(8))
    assert found["answer"].tolist() == [0, 1]
    assert found["message"].tolist() == [[2, 3, 4], [5, 6, 7]]
    parts = {"one": spaces.Discrete(3, start=1), "many": spaces.MultiDiscrete([2, 4], start=[5, 6])}
    space = FlatChoices(spaces.Dict(parts))
    assert space.nvec.tolist() == [2, 4, 3]
    found = space.split(torch.tensor([[1, 0, 2], [0, 3, 1]]))
    assert found["many"].tolist() == [[6, 6], [5, 9]]
    assert found["one"].tolist() == [3, 2]


def test_choices_that_cannot_be_taken():
    env = make_sb3("consensus-v0", 2, seed=0, **TALK)
    env.reset()
    for given, words in (
        (np.full((4, 2), np.nan), "whole numbers"),
        (np.zeros((4, 2)), "whole numbers"),
        (np.zeros((4, 3), dtype=int), "shape (4, 2)"),
        (np.array([[0, 0], [0, 0], [0, 4], [0, 0]]), "witness_0 (world 1) is outside 0…3"),
        (np.array([[0, 0], [3, 0], [0, 0], [0, 0]]), "witness_1 (world 0) is outside 0…2"),
        (np.array([[0, -1], [0, 0], [0, 0], [0, 0]]), "outside 0…3"),
    ):
        with pytest.raises(ActionError) as caught:
            env.step(given)
        assert words in one_line(caught)
    assert (env.world.clock == 0).all()


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"slice_size": 1}, ["'message'", "no bounds", "bound=1"]),
        ({"slice_size": 1, "data": "vector"}, ["'message'", "no bounds", "bound="]),
        ({"slice_size": 129, "vocabulary": 4, "choices": True}, ["258 choices", "256", "slice_size=1"]),
    ],
)
def test_forms_that_do_not_go_flat_say_what_to_do(kwargs, words):
    with pytest.raises(ConfigError) as caught:
        make_sb3("consensus-v0", 1, **kwargs)
    assert all(word in one_line(caught) for word in words)


def test_bounded_numbers_go_flat():
    env = make_sb3("consensus-v0", 1, slice_size=1, width=3, bound=2.0)
    assert env.action_space.shape == (10 + 3,)


def test_choices_and_numbers_do_not_go_together():
    with pytest.raises(ConfigError, match=r"'answer' is Box.*does not go with choices"):
        make_sb3("halves-v0", 1, slice_size=1, vocabulary=4, choices=True)


def test_seeds():
    env = make_sb3("consensus-v0", 2, seed=7, **TALK)
    first = env.reset()["own_view"]
    assert env.seed(7) == [7, 7, 8, 8]
    np.testing.assert_array_equal(env.reset()["own_view"], first)
    assert not np.array_equal(env.reset()["own_view"], first)


def test_copies_go_on_as_the_original():
    env = make_sb3("consensus-v0", 2, seed=7, **TALK)
    env.reset()
    twin = pickle.loads(pickle.dumps(env))
    given = np.stack([env.action_space.sample() for _ in range(env.num_envs)])
    for one, other in zip(env.step(given)[:3], twin.step(given)[:3], strict=True):
        np.testing.assert_equal(one, other)


# ---- the talker -----------------------------------------------------------------------------------------


def network(horizon=3):
    return FeedforwardNetwork(
        5, 4, 6, horizon=horizon, width=8, distribution=True, generator=torch.Generator().manual_seed(0)
    )


def test_the_network_is_the_formula():
    made, generator = network(), torch.Generator().manual_seed(1)
    view = torch.randn(2, 3, 5, generator=generator)
    inbox = torch.randn(2, 3, 4, 6, generator=generator)
    heard = torch.rand(2, 3, 4, generator=generator) < 0.5
    memory = made.read(made.read(made.begin(view), inbox.flip(0), heard), inbox, heard)
    told = (inbox * heard[..., None]).sum(2)
    x = torch.cat([view, told, heard.float().mean(-1, keepdim=True), torch.full((2, 3, 1), 2 / 3)], -1)
    weights = {name: value.detach().numpy() for name, value in made.named_parameters()}
    for layer in ("body.0", "body.2"):
        x = np.maximum(np.asarray(x) @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"], 0)
    said = x @ weights["say.weight"].T + weights["say.bias"]
    odds = np.exp(x @ weights["estimate.weight"].T + weights["estimate.bias"])
    np.testing.assert_allclose(made.write(memory).detach(), said, atol=1e-5)
    np.testing.assert_allclose(made.answer(memory).detach(), odds / odds.sum(-1, keepdims=True), atol=1e-5)


def test_any_number_in_any_order_may_talk():
    made, generator = network(), torch.Generator().manual_seed(1)
    view, inbox = (torch.randn(*shape, generator=generator) for shape in ((2, 3, 5), (2, 3, 4, 6)))
    heard = torch.ones(2, 3, 4, dtype=torch.bool)
    told = made.answer(made.read(made.begin(view), inbox, heard))
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(made.answer(made.read(made.begin(view), inbox[:, :, order], heard)), told)
    assert made.answer(made.read(made.begin(view), inbox[:, :, :2], heard[:, :, :2])).shape == told.shape
    other = inbox.clone()
    other[:, :, 0] += 1
    assert not torch.allclose(made.answer(made.read(made.begin(view), other, heard)), told)
    heard[:, :, 0] = False
    torch.testing.assert_close(
        made.answer(made.read(made.begin(view), other, heard)),
        made.answer(made.read(made.begin(view), inbox, heard)),
    )


def test_choices_are_the_likeliest_of_the_weights():
    """The same weights say and answer the same in a world of weights and in one of choices."""
    found = []
    for choices in (False, True):
        world = make_world("consensus-v0", num_worlds=2, **{**WORLD, "rounds": 2, "choices": choices})
        policy = FeedforwardPolicy(width=8, seed=3)
        policy.bind(world)
        obs = world.reset(seed=0)
        policy.reset()
        for t in range(3):
            actions = policy.act(obs)
            found.append({k: v if choices else v.argmax(-1) for k, v in actions.items()})
            if not choices and t == 2:
                assert not actions["message"].any()  # nobody would read it
            obs = world.step(actions).obs
    for weights, chosen in zip(found[:3], found[3:], strict=True):
        assert torch.equal(weights["answer"], chosen["answer"])
        assert torch.equal(weights["message"], chosen["message"])


def test_the_talker_needs_witnesses():
    with pytest.raises(ConfigError, match="give it consensus-v0"):
        FeedforwardPolicy().bind(make_world("halves-v0"))


# ---- the policy of SB3 ----------------------------------------------------------------------------------


def ppo(env, **kwargs):
    return PPO(MessageSB3Policy, env, **{"n_steps": 4, "batch_size": 8, "seed": 0, "device": "cpu"} | kwargs)


def tensors(obs):
    return {key: torch.from_numpy(value) for key, value in obs.items()}


def test_probabilities_belong_to_the_actions():
    env = make_sb3("consensus-v0", 20, seed=0, rounds=2, length=2, **TALK)
    policy = ppo(env, policy_kwargs={"rounds": 2, "width": 8}).policy
    obs = env.reset()
    for t in range(3):
        actions, values, log_prob = policy(tensors(obs))
        again, same, entropy = policy.evaluate_actions(
            tensors(obs), actions.float()
        )  # as SB3's buffer has them
        torch.testing.assert_close(same, log_prob)
        torch.testing.assert_close(again, values)
        torch.testing.assert_close(policy.predict_values(tensors(obs)), values)
        assert (actions.shape, values.shape, entropy.shape) == ((40, 3), (40, 1), (40,))
        now = tensors(obs)
        seen = situation(now["own_view"].flatten(1), now["inbox"].flatten(2), now["heard"], now["elapsed"])
        answer, said = policy.network(seen)
        parts = [answer.log_softmax(-1), *said.unflatten(-1, (2, 4)).log_softmax(-1).unbind(1)]
        taken = [part.gather(1, actions[:, [i]])[:, 0] for i, part in enumerate(parts)]
        entropies = [-(part.exp() * part).sum(-1) for part in parts]
        counted = 3 if t < 2 else 1  # what is said after the last round reaches nobody
        torch.testing.assert_close(sum(taken[:counted]), log_prob)
        torch.testing.assert_close(sum(entropies[:counted]), entropy)
        obs, _, _, _ = env.step(actions.numpy())


@pytest.mark.parametrize(
    ("kwargs", "options", "words"),
    [
        ({"slice_size": 2}, {}, ["slice_size=1", "choices=True"]),
        ({}, {"policy_kwargs": {"net_arch": [8]}}, ["no net_arch", "width, rounds"]),
        ({}, {"policy_kwargs": {"width": 0}}, ["width must be"]),
    ],
)
def test_what_it_cannot_decide_or_does_not_have(kwargs, options, words):
    with pytest.raises(ConfigError) as caught:
        ppo(make_sb3("consensus-v0", 1, **{**TALK, **kwargs}), **options)
    assert all(word in one_line(caught) for word in words)


def test_it_explores_by_choices_only():
    env = make_sb3("consensus-v0", 1, **TALK)
    with pytest.raises(ConfigError, match="no use_sde"):
        MessageSB3Policy(env.observation_space, env.action_space, lambda _: 1e-3, use_sde=True)


def test_another_world_says_what_to_do():
    with pytest.raises(ConfigError, match="use consensus-v0 with slice_size=1"):
        ppo(make_sb3("halves-v0", 1, slice_size=1, bound=1.0, width=4))


def test_what_sb3_keeps_comes_back(tmp_path):
    policy = ppo(make_sb3("consensus-v0", 2, **TALK), policy_kwargs={"width": 8}).policy
    policy.save(tmp_path / "policy.pt")
    again = MessageSB3Policy.load(tmp_path / "policy.pt")
    assert (again.width, again.rounds) == (8, 1)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), policy.parameters(), strict=True))


# ---- training -------------------------------------------------------------------------------------------


def test_ppo_learns_a_message_that_matters(tmp_path):
    """One who saw nothing must take the other's word: 5/6 instead of 2/3 is all there is to get."""
    settings = ("ppo.learning_rate=0.01", "ppo.batch_size=512", "ppo.width=32")
    config = configure(SCENARIO, assignments=settings, timesteps=24_000, worlds=128, eval_every=12_000)
    found = train(config, tmp_path / "run")
    assert found.best[1] > 0.15  # return of a choice: score 5/6 less 2/3 of who knows nothing
    policy = str(tmp_path / "run" / "best.zip")
    world = WORLD | {"slice_size": 512}
    report = rollout(dataclasses.replace(SCENARIO, policy=policy, policy_kwargs={}, env_kwargs=world))
    accuracy = {mode: np.mean(metrics["accuracy"]) for mode, metrics in report.metrics.items()}
    assert accuracy["open"] > 0.8
    assert accuracy["mute"] < 0.71
    assert accuracy["shuffled"] < 0.71
    assert report.metrics["open"]["message_bytes"] == [0.25] * 4


def test_one_command_trains_what_runs_with_any_slice(call):
    code, out, err = call("train", "tiny", "--algo", "ppo", *QUICK, "--out", "run", "--json")
    found = json.loads(out)
    assert (code, found["timesteps"]) == (0, 512)
    assert [entry["timesteps"] for entry in found["evaluations"]] == [0, 256, 512]
    for name in ("best", "last"):
        policy = make_policy(found[name])
        assert isinstance(policy, FeedforwardPolicy)
        assert policy.about["algorithm"] == "PPO"
        kwargs = policy.about["env_kwargs"]
        assert {k: kwargs[k] for k in ("slice_size", "choices")} == {"slice_size": 1, "choices": True}
        assert kwargs["cooperation"] > 0  # or nobody would gain by speaking
    for rows in (1, 9):
        policy = make_policy(found["best"])
        world = make_world("consensus-v0", num_worlds=2, **{**WORLD, "slice_size": rows, "agents": 5})
        policy.bind(world)
        world.step(policy.act(world.reset(seed=0)))
    assert call("run", "tiny", "--set", f"policy={found['best']}", "--json")[0] == 0


def test_it_brings_its_symbols_to_worlds_of_numbers(call, monkeypatch):
    """A scenario of numbers is trained with symbols, and what was learnt runs in it by the same short command."""
    numbers = {name: value for name, value in WORLD.items() if name != "vocabulary"}
    monkeypatch.setitem(registry, "tiny", dataclasses.replace(SCENARIO, env_kwargs=numbers))
    assert call("train", "tiny", "--algo", "ppo", *QUICK, "--out", "run")[0] == 0
    assert make_policy("run/best.zip").world_kwargs == {"vocabulary": 10}
    code, out, _ = call("run", "tiny", "--set", "policy=run/best.zip", "--json")
    assert code == 0
    assert json.loads(out)["metrics"]["open"]["message_bytes"][0] == 0.5
    code, _, err = call("run", "tiny", "--set", "policy=run/best.zip", "--set", "vocabulary=3")
    assert code == 2
    assert "needs vocabulary=10" in err


def test_its_command_trains_the_same(call):
    arguments = ("train", "tiny", "--algo", "ppo", *QUICK, "--seed", "3", "--set", "cooperation=0.25")
    assert call(*arguments, "--set", "ppo.gamma=0.9", "--out", "a")[0] == 0
    about = make_policy("a/last.zip").about
    assert about["env_kwargs"]["cooperation"] == 0.25
    assert call(*about["command"].split()[1:], "--out", "b")[0] == 0
    first, second = (make_policy(f"{name}/last.zip") for name in "ab")
    assert first.about == second.about
    assert all(torch.equal(first._weights[name], second._weights[name]) for name in first._weights)


def test_the_actor_is_what_is_saved():
    """The likeliest actions of SB3's model are those of the policy that is kept."""
    model = make_model(configure(SCENARIO, worlds=8))
    model.learn(200)
    evaluation = Evaluation(configure(SCENARIO))
    policy = evaluation.trainee.acting(model.policy)
    world = make_world("consensus-v0", num_worlds=8, **TALK)
    policy.bind(world)
    obs = world.reset(seed=5)
    policy.reset()
    for _ in range(2):
        actions = policy.act(obs)
        seen = {key: value.flatten(0, 1).numpy() for key, value in obs.items()}
        flat = torch.from_numpy(model.predict(seen, deterministic=True)[0]).unflatten(0, (8, 2))
        assert torch.equal(flat[..., :1], actions["answer"])
        if world.clock[0] == 0:
            assert torch.equal(flat[..., 1:], actions["message"][:, :, 0])
        obs = world.step(actions).obs


def test_the_best_is_chosen_off_the_test_split():
    evaluation = Evaluation(configure(SCENARIO))
    evaluation(make_model(configure(SCENARIO, worlds=8)), lambda: False)
    assert (evaluation.world.domain, evaluation.world.split) == ("eval", "exam")
    assert make_model(configure(SCENARIO, worlds=8)).get_env().world.split == "stream"


def test_reinforce_is_one_command(call):
    code, out, _ = call("train", "tiny", "--algo", "reinforce", "--out", "run", "--json")
    found = json.loads(out)
    assert code == 0
    about = make_policy(found["last"]).about
    assert about["policy_kwargs"]["estimator"] == "sampled"
    assert about["env_kwargs"]["slice_size"] == 1
    assert found["timesteps"] == 60 * 128 * 2 * 2
    assert found["best_loss"] < found["evaluations"][0]["loss"]
    assert call(*about["command"].split()[1:], "--out", "again")[0] == 0
    again = make_policy("again/last.zip")
    first = make_policy("run/last.zip")
    assert all(torch.equal(first._weights[name], again._weights[name]) for name in first._weights)
    folder = json.loads(call("train", "tiny", "--algo", "reinforce", "--updates", "1", "--json")[1])["folder"]
    assert folder == str(Path("runs") / "tiny-reinforce-1")
    code, _, err = call("train", "tiny", "--algo", "backprop", "--resume", folder)
    assert (code, err) == (2, f"studyhall: {folder} is a training by reinforce, not by backprop\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tiny", "--algo", "ppo", "--set", "slice_size=4"], ["slice_size=1"]),
        (["tiny", "--algo", "ppo", "--set", "choices=false"], ["choices=True"]),
        (["tiny", "--algo", "ppo", "--set", "ppo.log_std_init=0"], ["setting of ppo", "log_std_init"]),
        (["tiny", "--algo", "ppo", "--updates", "3"], ["--updates is no option of ppo"]),
        (["tiny", "--algo", "reinforce", "--timesteps", "3"], ["--timesteps is no option of reinforce"]),
        (["classroom-digits", "--algo", "reinforce"], ["classroom-digits is no message world", "ppo"]),
        (["halves-digits", "--algo", "ppo"], ["no choices of classes", "--algo backprop"]),
        (["consensus-vector", "--algo", "ppo"], ["no choices of classes", "--algo backprop"]),
    ],
)
def test_errors_are_one_line(call, tmp_path, arguments, words):
    code, out, err = call("train", *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert all(word in err for word in words), err
    assert not (tmp_path / "runs").exists()


def test_a_file_without_a_world_still_loads(tmp_path):
    """What messages were made of is taken from the file where it says so, and asked of the world where not."""
    world = make_world("consensus-v0", **WORLD)
    policy = FeedforwardPolicy(width=8)
    policy.bind(world)
    about = {"format": FORMAT, "policy": "feedforward", "policy_kwargs": policy.settings}
    save(tmp_path / "bare.zip", about, policy.network.state_dict())
    again = make_policy(str(tmp_path / "bare.zip"))
    assert again.world_kwargs == {}
    again.bind(world)
