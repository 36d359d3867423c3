"""The Stable-Baselines3 view: transitions as the engine's own, infos, flat actions, and the set policy."""

import copy
import io
import pickle
import zipfile

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

import studyhall
from studyhall.envs import Outcome, World
from studyhall.envs.bridges.flat import FlatActions, trainable_space
from studyhall.envs.bridges.sb3 import WorldVecEnv
from studyhall.envs.engine import rng
from studyhall.envs.errors import ActionError, ConfigError, EpisodeEnded, UnknownName
from studyhall.envs.hosted.sources import FEATURES, HISTORY
from studyhall.policies import make_policy
from studyhall.policies.listening.learned import LearnedPolicy, ScorerPolicy
from studyhall.policies.listening.tournament import Tournament
from studyhall.policies.sb3 import SetPolicy, save_policy

FORMS = ("listen", "gated", "discrete")
F = len(FEATURES)


class Tiny(World):
    """Listen to those whose first feature is high and ask when told to: the reward is how well that is done."""

    source_features = ("worth", "noise", *FEATURES[2:])

    def __init__(self, *, agents=3, horizon=6, actions="listen", stops_at=None, **kwargs):
        super().__init__(num_agents=agents, horizon=horizon, **kwargs)
        self.form_name, self.stops_at = actions, stops_at
        s = agents - 1
        self.observation_space = spaces.Dict(
            {
                "sources": spaces.Box(-1, 1, (s, F), np.float32),
                "history": spaces.Box(-1, 1, (s, len(HISTORY)), np.float32),
                "sources_mask": spaces.Box(0, 1, (s,), np.int8),
                "own_features": spaces.Box(-1, 1, (1,), np.float32),
                "report": spaces.Box(0, 1, (2,), np.float32),
                "elapsed": spaces.Box(0, 1, (1,), np.float32),
            }
            | ({"action_mask": spaces.Box(0, 1, (s + 2,), np.int8)} if actions == "discrete" else {})
        )
        listen = {"listen": spaces.Box(0, 1, (s,), np.float32), "ask": spaces.Discrete(2)}
        self.action_space = spaces.Dict(
            {
                "listen": listen,
                "gated": listen | {"gate": spaces.Box(0, 1, (1,), np.float32)},
                "discrete": {"choice": spaces.Discrete(s + 2)},
            }[actions]
        )
        self.step_draws = self.reset_draws = rng.Draws(
            {"seen": (agents, s, F + 1), "own_features": (agents, 1)}
        )

    def deal(self, draws):
        seen = 2 * draws["seen"].uniform() - 1
        return {
            "seen": seen[..., :F],
            "mask": seen[..., F] > -0.6,
            "own_features": 2 * draws["own_features"].uniform() - 1,
        }

    def start(self, draws, state):
        return self.deal(draws)

    def advance(self, state, actions, draws):
        worth, own = (state["seen"][..., 0] > 0).float(), (state["own_features"][..., 0] > 0).float()
        if "choice" in actions:
            worths = torch.cat(
                [torch.zeros_like(own)[..., None], own[..., None], worth * state["mask"]], dim=-1
            )
            reward = worths.gather(-1, actions["choice"][..., None])[..., 0]
        else:
            missed = ((actions["listen"] - worth).abs() * state["mask"]).sum(-1) / state["mask"].sum(
                -1
            ).clamp_min(1)
            reward = 1 - missed + (actions["ask"] == own).float()
        return Outcome({**state, **self.deal(draws)}, reward, {})

    def observe(self, state):
        mask = state["mask"]
        obs = {
            "sources": state["seen"] * mask[..., None],
            "history": torch.zeros(*mask.shape, len(HISTORY)),
            "sources_mask": mask.to(torch.int8),
            "own_features": state["own_features"],
            "report": torch.zeros(self.num_worlds, self.num_agents, 2),
            "elapsed": (state["clock"] / self.horizon)[:, None, None].expand(-1, self.num_agents, 1),
        }
        if "action_mask" in self.observation_space.spaces:
            always = torch.ones(*mask.shape[:2], 2, dtype=torch.int8)
            obs["action_mask"] = torch.cat([always, mask.to(torch.int8)], dim=-1)
        return obs

    def summary(self, state):
        return {"clock": state["clock"]}

    def exhausted(self, clock):
        return clock >= (self.stops_at or self.horizon + 1)

    def picture(self, state, world, mode):
        return np.full((2, 2, 3), world, dtype=np.uint8)


def tiny(worlds=2, *, seed=0, actions="listen", **kwargs):
    origin = {"env": "tiny-v0", "env_kwargs": {"actions": actions, "learners": "mlp"}}
    return WorldVecEnv(Tiny(num_worlds=worlds, actions=actions, **kwargs), seed=seed, origin=origin)


def ppo(env, policy=SetPolicy, **kwargs):
    return PPO(
        policy, env, **{"n_steps": 4, "batch_size": 12, "n_epochs": 2, "seed": 0, "device": "cpu"} | kwargs
    )


def one_line(caught):
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- transitions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stops_at", [None, 5])
@pytest.mark.parametrize("actions", FORMS)
def test_transitions_are_the_engines(actions, stops_at):
    """Two episodes beside an engine that resets nothing by itself; ends of both kinds."""
    env = tiny(actions=actions, stops_at=stops_at)
    world = Tiny(num_worlds=2, actions=actions, stops_at=stops_at, autoreset=False)
    obs, own = env.reset(), world.reset(seed=0)
    returns = np.zeros(6)
    length = stops_at or world.horizon
    env.action_space.seed(0)
    for t in range(1, 2 * length + 1):
        for key, value in own.items():
            assert obs[key].shape[0] == env.num_envs == 6
            assert obs[key].dtype == env.observation_space[key].dtype
            np.testing.assert_array_equal(obs[key], value.flatten(0, 1).numpy())
        given = np.stack([env.action_space.sample() for _ in range(6)])
        obs, reward, done, infos = env.step(given)
        flat = torch.from_numpy(given).unflatten(0, (2, 3))
        step = world.step(flat if actions == "discrete" else env.action_space.split(flat))
        np.testing.assert_array_equal(reward, step.reward.flatten().numpy())
        returns += reward
        own = step.obs
        assert done.tolist() == [t % length == 0] * 6
        if not done.any():
            assert infos == [{}] * 6
            continue
        for index, info in enumerate(infos):
            for key, value in step.obs.items():
                np.testing.assert_array_equal(
                    info["terminal_observation"][key], value.flatten(0, 1)[index].numpy()
                )
            assert info["TimeLimit.truncated"] is (stops_at is None)
            assert info["episode"] == {"r": pytest.approx(returns[index]), "l": length}
            assert info["metrics"]["clock"] == length
        returns[:] = 0
        own = world.reset()


@pytest.mark.parametrize(("env_id", "actions"), [("society-v0", "listen"), ("classroom-v0", "discrete")])
def test_hosted_transitions_are_the_engines(env_id, actions):
    """Learners and all: two episodes beside an engine that resets nothing by itself."""
    w, length = 2, 4
    small = {"learners": "mlp", "hidden": [8], "slice_size": 4, "exam_size": 10, "actions": actions}
    small |= {"horizon": length, "agents": 3}
    env = studyhall.make_sb3(env_id, w, seed=7, **small)
    world = studyhall.make_world(env_id, num_worlds=w, autoreset=False, **small)
    obs, own = env.reset(), world.reset(seed=7)
    assert world.seeds.tolist() == env.world.seeds.tolist() == [7, 8]
    env.action_space.seed(0)
    learnt = 0.0
    for t in range(1, 2 * length + 1):
        for key, value in own.items():
            np.testing.assert_array_equal(obs[key], value.flatten(0, 1).numpy())
        given = np.stack([env.action_space.sample() for _ in range(env.num_envs)])
        obs, reward, done, infos = env.step(given)
        flat = torch.from_numpy(given).unflatten(0, (w, 3))
        step = world.step(flat if actions == "discrete" else env.action_space.split(flat))
        np.testing.assert_array_equal(reward, step.reward.flatten().numpy())
        learnt += abs(reward).sum()
        own = step.obs
        assert done.tolist() == [t % length == 0] * env.num_envs
        if not done.any():
            assert infos == [{}] * env.num_envs
            continue
        returns = world.metrics()["return"].flatten().tolist()
        for index, info in enumerate(infos):
            assert info["TimeLimit.truncated"]
            assert info["episode"] == {"r": returns[index], "l": length}
            for key, value in own.items():
                np.testing.assert_array_equal(
                    info["terminal_observation"][key], value.flatten(0, 1)[index].numpy()
                )
        own = world.reset()
        assert world.seeds.tolist() == env.world.seeds.tolist()
    assert learnt > 0


def test_copies_go_on_as_the_original():
    env = tiny()
    env.reset()
    copies = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    hosted = studyhall.make_sb3("society-v0", seed=0, learners="mlp", hidden=[8], agents=3)
    hosted.reset()
    for original, twins in ((env, copies), (hosted, [copy.deepcopy(hosted)])):
        given = np.zeros((original.num_envs, *original.action_space.shape))
        expected = original.step(given)
        for twin in twins:
            assert twin.world is not original.world
            found = twin.step(given)
            np.testing.assert_array_equal(found[1], expected[1])
            np.testing.assert_array_equal(found[0]["sources"], expected[0]["sources"])
            assert twin.get_attr("horizon") == original.get_attr("horizon")


def test_observations_and_rewards_may_be_written_into():
    env, other = tiny(), tiny()
    obs, same = env.reset(), other.reset()
    for _ in range(3):
        for value in obs.values():
            value[:] = 1
        (obs, reward, _, _), (same, as_much, _, _) = env.step(np.zeros((6, 3))), other.step(np.zeros((6, 3)))
        np.testing.assert_array_equal(obs["sources"], same["sources"])
        np.testing.assert_array_equal(reward, as_much)
        reward[:] = 1


def test_seeds_and_domains():
    def first(env):
        return env.reset()["sources"]

    env = tiny(seed=7)
    begun = first(env)
    assert not np.array_equal(begun, first(env))  # the next episode of the same seeds
    assert env.seed(7) == [7, 7, 7, 8, 8, 8]
    np.testing.assert_array_equal(begun, first(env))
    np.testing.assert_array_equal(begun[3:], first(tiny(seed=8))[:3])
    env.seed(7)
    env.set_options({"domain": "eval"})
    held_out = first(env)
    assert not np.array_equal(begun, held_out)
    np.testing.assert_array_equal(held_out, first(WorldVecEnv(Tiny(num_worlds=2), seed=7, domain="eval")))
    assert first(WorldVecEnv(Tiny(num_worlds=1))).shape == (3, 2, F)  # a seed of its own where none is given
    with pytest.raises(UnknownName, match="unknown seed domain 'evl': did you mean 'eval'"):
        studyhall.make_sb3("society-v0", learners="mlp", domain="evl")
    with pytest.raises(UnknownName, match="known are demo, eval, train"):
        studyhall.make_sb3("society-v0", learners="mlp", domain="x")


def test_what_sb3_asks_of_sub_environments():
    env = tiny()
    env.reset()
    assert env.get_attr("horizon") == [6] * 6
    assert env.get_attr("horizon", [1, 2]) == [6, 6]
    env.set_attr("note", "x")
    assert env.world.note == "x"
    with pytest.raises(ConfigError, match="without indices"):
        env.set_attr("note", "y", [0])
    assert env.env_is_wrapped(Monitor) == [True] * 6
    assert env.env_is_wrapped(VecMonitor, 0) == [False]
    assert not env.has_attr("action_masks")
    env.close()


def test_action_masks():
    env = tiny(actions="discrete")
    assert env.has_attr("action_masks")  # evaluations ask before they reset
    with pytest.raises(EpisodeEnded, match="before the first reset"):
        env.env_method("action_masks")
    obs = env.reset()
    for _ in range(2):
        masks = np.stack(env.env_method("action_masks"))
        assert masks.dtype == bool
        np.testing.assert_array_equal(masks, obs["action_mask"] == 1)
        assert not masks.all()
        np.testing.assert_array_equal(env.env_method("action_masks", indices=[4])[0], masks[4])
        obs, _, _, _ = env.step(np.zeros(6, dtype=int))


@pytest.mark.parametrize("actions", ["gated", "discrete"])
def test_flat_observations(actions):
    """One vector in the order of names, with the masks beside it where there are some."""
    named, flat = tiny(actions=actions), WorldVecEnv(Tiny(num_worlds=2, actions=actions), seed=0, flat=True)
    obs, seen = named.reset(), flat.reset()
    flat.action_space.seed(0)
    for _ in range(6):
        joined = np.concatenate([obs[k].reshape(6, -1) for k in sorted(obs) if k != "action_mask"], axis=1)
        numbers = seen["observation"] if actions == "discrete" else seen
        np.testing.assert_array_equal(numbers, joined)
        given = np.stack([flat.action_space.sample() for _ in range(6)])
        obs, reward, _, _ = named.step(given)
        seen, same, _, infos = flat.step(given)
        np.testing.assert_array_equal(reward, same)
    last = infos[3]["terminal_observation"]
    assert last in flat.observation_space
    if actions == "discrete":
        assert np.stack(flat.env_method("action_masks")).shape == (6, 4)
    else:
        PPO("MlpPolicy", flat, n_steps=4, batch_size=12, n_epochs=1, device="cpu").learn(24)


def test_pictures():
    env = WorldVecEnv(Tiny(num_worlds=2), seed=0, render_mode="rgb_array")
    env.reset()
    assert [image.max() for image in env.get_images()] == [0, 1]
    assert env.render().shape[2] == 3
    assert env.env_method("render", indices=5)[0].max() == 1
    with pytest.raises(ConfigError, match="rgb_array"):
        WorldVecEnv(Tiny(num_worlds=1), render_mode="human")


# ---- flat actions ---------------------------------------------------------------------------------------


def test_flat_actions_scale_and_decide():
    parts = {"b": spaces.Box(np.float32([[0], [-2]]), np.float32([[1], [4]]))}
    space = FlatActions(spaces.Dict({"yes": spaces.Discrete(2), **parts}))
    assert space.sizes == {"b": 2, "yes": 1}
    found = space.split(torch.tensor([[-1.0, 0.0, 0.1], [3.0, 1.0, 0.0]]))
    assert found["b"].tolist() == [[[0.0], [1.0]], [[1.0], [4.0]]]
    assert found["yes"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (spaces.Box(0, np.inf, (2,)), ["'it'", "no bounds", "learners=", "'listen'"]),
        (spaces.Discrete(3), ["'it'", "Discrete(3)", "'discrete'"]),
        (spaces.Box(0, 1, (32, 10)), ["322 numbers", "256", "'gated'"]),
    ],
)
def test_actions_that_do_not_go_flat(part, words):
    with pytest.raises(ConfigError) as caught:
        trainable_space(spaces.Dict({"it": part, "ask": spaces.Discrete(2), "x": spaces.Box(0, 1, (1,))}))
    assert all(word in one_line(caught) for word in words)


def test_worlds_without_hosted_learners_say_what_to_do():
    with pytest.raises(ConfigError, match="learners="):
        studyhall.make_sb3("classroom-v0", 1)
    with pytest.raises(ConfigError, match="autoreset is set by the view"):
        studyhall.make_sb3("classroom-v0", 1, autoreset=False)
    with pytest.raises(ConfigError, match="autoreset"):
        WorldVecEnv(Tiny(num_worlds=1, autoreset=False))


def test_actions_that_cannot_be_taken():
    env = tiny()
    env.reset()
    bad = np.zeros((6, 3))
    bad[4, 1] = np.nan
    for actions, words in (
        (bad, ("agent_1", "world 1", "not finite")),
        (np.zeros((6, 2)), ("(6, 3)", "(6, 2)")),
    ):
        with pytest.raises(ActionError) as caught:
            env.step(actions)
        assert all(word in one_line(caught) for word in words)
    assert (env.world.clock == 0).all()
    env = tiny(actions="discrete")
    env.reset()
    with pytest.raises(ActionError, match="outside 0…3"):
        env.step(np.full(6, 4))
    with pytest.raises(ActionError, match="whole numbers"):
        env.step(np.zeros(6))


# ---- the policy -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("actions", FORMS)
def test_probabilities_belong_to_the_actions(actions):
    """What `forward` says of its own actions `evaluate_actions` says again; illegal choices are never made."""
    env = tiny(20, actions=actions)
    policy = ppo(env).policy
    obs = {key: torch.from_numpy(value) for key, value in env.reset().items()}
    taken, values, log_prob = policy(obs)
    again, same, entropy = policy.evaluate_actions(obs, taken)
    torch.testing.assert_close(same, log_prob)
    torch.testing.assert_close(again, values)
    torch.testing.assert_close(policy.predict_values(obs), values)
    assert values.shape == (60, 1)
    assert entropy.shape == log_prob.shape == (60,)
    if actions == "discrete":
        assert (obs["action_mask"].gather(1, taken[:, None]) == 1).all()
        return
    # The first actions are around 0: weights of a half, and a coin for asking.
    heard = obs["sources_mask"] == 1
    mean = policy.get_distribution(obs).mode()
    assert mean[:, -2:][heard].abs().max() < 0.2
    # Numbers about sources that were not heard do not count.
    other = taken.clone()
    other[:, -2:][~heard] += 1
    torch.testing.assert_close(policy.evaluate_actions(obs, other)[1], log_prob)
    other[:, -2:][heard] += 1
    assert not torch.allclose(policy.evaluate_actions(obs, other)[1], log_prob)
    assert policy.log_std.shape == ({"listen": 2, "gated": 3}[actions],)


def test_a_world_that_the_policy_cannot_decide():
    class Plain(Tiny):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.observation_space = spaces.Dict({"elapsed": spaces.Box(0, 1, (1,), np.float32)})

    with pytest.raises(ConfigError, match="learners='mlp'"):
        ppo(WorldVecEnv(Plain(num_worlds=1)))

    class Targets(Tiny):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.action_space = spaces.Dict({"targets": spaces.Box(0, 1, (4, 3), np.float32)})

    with pytest.raises(ConfigError, match="actions='listen'"):
        ppo(WorldVecEnv(Targets(num_worlds=1)))


@pytest.mark.parametrize(("algorithm", "actions"), [(DQN, "discrete"), (SAC, "listen"), (TD3, "listen")])
def test_algorithms_with_replay_buffers_say_what_to_do(algorithm, actions):
    with pytest.raises(ConfigError, match="PPO or A2C") as caught:
        algorithm(SetPolicy, tiny(actions=actions), buffer_size=100, device="cpu")
    one_line(caught)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"use_sde": True}, ["use_sde"]),
        ({"policy_kwargs": {"net_arch": [32]}}, ["no net_arch", "width"]),
        (
            {"policy_kwargs": {"activation_fn": torch.nn.ReLU, "ortho_init": False}},
            ["activation_fn, ortho_init"],
        ),
    ],
)
def test_what_would_have_no_effect_is_refused(options, words):
    with pytest.raises(ConfigError) as caught:
        ppo(tiny(), **options)
    assert all(word in one_line(caught) for word in words)


def test_what_has_an_effect_is_taken_and_kept(tmp_path):
    chosen = {"width": 16, "log_std_init": 0.5, "optimizer_class": torch.optim.SGD}
    policy = ppo(tiny(), policy_kwargs=chosen | {"optimizer_kwargs": {"momentum": 0.5}}).policy
    assert policy.scorer.of_self.out_features == 16
    assert policy.log_std.tolist() == [0.5, 0.5]
    assert isinstance(policy.optimizer, torch.optim.SGD)
    assert policy.optimizer.defaults["momentum"] == 0.5
    policy.save(tmp_path / "policy.pt")
    again = SetPolicy.load(tmp_path / "policy.pt")
    assert (again.width, again.optimizer_class) == (16, torch.optim.SGD)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), policy.parameters(), strict=True))


@pytest.mark.parametrize("actions", ["listen", "discrete"])
def test_ppo_learns(actions):
    env = tiny(16, actions=actions, agents=4, horizon=48)
    settings = {"n_steps": 12, "batch_size": 256, "n_epochs": 6, "learning_rate": 8e-3, "gamma": 0.1}
    model = ppo(env, **settings, policy_kwargs={"width": 32})
    judge = WorldVecEnv(Tiny(num_worlds=8, actions=actions, agents=4), domain="eval")

    def mean():
        judge.seed(0)
        return evaluate_policy(model, judge, n_eval_episodes=32)[0] / 6

    before = mean()
    model.learn(10_000)
    best = 2 if actions == "listen" else 1 - 0.5 * 0.6**3
    assert before < 0.8 * best
    assert mean() > 0.9 * best


def test_one_seed_one_training():
    def parameters(seed):
        model = ppo(tiny(), seed=seed)
        model.learn(72)
        return torch.cat([p.detach().flatten() for p in model.policy.parameters()])

    assert torch.equal(parameters(3), parameters(3))
    assert not torch.equal(parameters(3), parameters(4))


def test_with_sb3s_wrappers_and_another_algorithm():
    env = VecNormalize(tiny(), norm_obs_keys=["own_features"])
    model = A2C(SetPolicy, env, n_steps=6, device="cpu", seed=0)
    model.learn(72)
    assert len(model.ep_info_buffer) > 0
    returns, lengths = evaluate_policy(model, tiny(), n_eval_episodes=6, return_episode_rewards=True)
    assert lengths == [6] * 6
    with pytest.warns(UserWarning, match="Monitor"):
        watched = VecMonitor(tiny())
    monitored, _ = evaluate_policy(model, watched, n_eval_episodes=6, return_episode_rewards=True)
    np.testing.assert_allclose(monitored, returns, rtol=1e-5)
    general = PPO("MultiInputPolicy", tiny(actions="gated"), n_steps=6, batch_size=36, device="cpu")
    general.learn(36)


# ---- saved and loaded -----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=FORMS)
def saved(request, tmp_path_factory):
    model = ppo(tiny(actions=request.param), learning_rate=0.05)
    model.learn(72)
    path = tmp_path_factory.mktemp("policy") / "mine.zip"
    save_policy(model, path, command="as it was made")
    return model, path, request.param


def test_a_saved_policy_acts_as_the_model(saved):
    model, path, actions = saved
    policy = LearnedPolicy(str(path))
    assert policy.about["command"] == "as it was made"
    assert policy.about["algorithm"] == "PPO"
    assert policy.world_kwargs == {"actions": actions}
    world = Tiny(num_worlds=4, actions=actions, agents=3)
    policy.bind(world)
    obs = world.reset(seed=5)
    found = policy.act(obs)
    flat, _ = model.predict({k: v.flatten(0, 1).numpy() for k, v in obs.items()}, deterministic=True)
    flat = torch.from_numpy(flat).unflatten(0, (4, 3))
    expected = {"choice": flat} if actions == "discrete" else model.action_space.split(flat)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value)
    again = PPO.load(path, device="cpu")
    for ours, theirs in zip(model.policy.parameters(), again.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_saved_policy_acts_among_other_numbers_of_sources(saved):
    _, path, actions = saved
    for agents in (2, 7):
        world = Tiny(num_worlds=2, actions=actions, agents=agents, validate=True)
        policy = LearnedPolicy(str(path))
        policy.bind(world)
        obs = world.reset(seed=0)
        for _ in range(3):
            acted = policy.act(obs)
            # Who a source is plays no part: in another order they are judged alike.
            turned = {
                key: obs[key].flip(2) if key.startswith(("sources", "history")) else obs[key] for key in obs
            }
            if actions != "discrete":
                torch.testing.assert_close(policy.act(turned)["listen"], acted["listen"].flip(2))
            obs = world.step(acted).obs
        assert world.clock.tolist() == [3, 3]


def test_policies_that_do_not_fit(saved):
    _, path, actions = saved
    policy = LearnedPolicy(str(path))
    other = {"listen": "gated", "gated": "discrete", "discrete": "listen"}[actions]
    with pytest.raises(ConfigError, match=f"actions': '{actions}'"):
        policy.bind(Tiny(num_worlds=1, actions=other))
    world = Tiny(num_worlds=1, actions=actions)
    world.source_features = ("worth", "smell", *FEATURES[2:])
    with pytest.raises(ConfigError, match="noise, smell"):
        policy.bind(world)
    with pytest.raises(ConfigError, match="hosts none"):
        policy.bind(studyhall.make_world("classroom-v0"))
    with pytest.raises(ConfigError, match=rf"reads \({F + 1}, 4\) features"):
        ScorerPolicy(Tournament(F + 1, 4, 1)).bind(Tiny(num_worlds=1))
    with pytest.raises(ConfigError, match="decides 3 things"):
        ScorerPolicy(Tournament(F, 4, 3)).bind(Tiny(num_worlds=1, actions=actions))


@pytest.mark.parametrize("asked", [True, False])
def test_a_teacher_more_or_less_is_no_other_world(tmp_path, asked):
    """Who never learnt to ask always asks; who did has nobody to ask."""

    class Taught(Tiny):
        def __init__(self, *, teacher, **kwargs):
            super().__init__(**kwargs)
            parts = self.action_space.spaces.items()
            self.action_space = spaces.Dict({k: v for k, v in parts if teacher or k != "ask"})

    save_policy(ppo(WorldVecEnv(Taught(num_worlds=1, teacher=asked), seed=0)), tmp_path / "it.zip")
    weights = []
    for teacher in (True, False):
        policy, world = LearnedPolicy(str(tmp_path / "it.zip")), Taught(num_worlds=1, teacher=teacher)
        policy.bind(world)
        actions = policy.act(world.reset(seed=0))
        assert ("ask" in actions) == teacher
        assert asked or not teacher or (actions["ask"] == 1).all()
        weights.append(actions["listen"])
    assert torch.equal(*weights)


def test_files_that_are_no_policies(saved, tmp_path, monkeypatch):
    model, path, _ = saved
    monkeypatch.chdir(tmp_path)

    def says(source):
        with pytest.raises(ConfigError) as caught:
            LearnedPolicy(str(source))
        return one_line(caught)

    assert "no trained policy 'none.zip'" in says("none.zip")
    (tmp_path / "nine.zip").write_bytes(path.read_bytes())
    assert "did you mean 'nine.zip'?" in says("none.zip")
    (tmp_path / "text.zip").write_text("hello")
    assert "text.zip is damaged" in says("text.zip")
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:-3000])
    assert "damaged" in says("cut.zip")
    model.save("bare.zip")
    assert "no policy of studyhall" in says("bare.zip")
    assert says(tmp_path).startswith("no trained policy")
    rewrite(path, "old.zip", {"studyhall.json": b'{"format": "something else"}'})
    assert "format 'something else'" in says("old.zip")
    for content in (b"{", b"[1]", b"{}", b'{"format": "studyhall listener, 2"}'):
        rewrite(path, "odd.zip", {"studyhall.json": content})
        assert "damaged" in says("odd.zip")


def test_nothing_in_a_file_is_unpickled(saved, tmp_path):
    _, path, _ = saved
    evil = io.BytesIO()
    torch.save({"scorer.score.weight": Evil()}, evil)
    rewrite(path, tmp_path / "evil.zip", {"policy.pth": evil.getvalue(), "data": b"junk"})
    with pytest.raises(ConfigError, match="damaged"):
        LearnedPolicy(str(tmp_path / "evil.zip"))
    assert not Evil.awake
    rewrite(path, tmp_path / "junk.zip", {"data": b"junk", "policy.optimizer.pth": b"junk"})
    LearnedPolicy(str(tmp_path / "junk.zip"))  # what SB3 would unpickle is not even read


class Evil:
    awake = False

    def __reduce__(self):
        return wake, ()


def wake():
    Evil.awake = True
    return 0


def rewrite(path, target, entries):
    """A copy of a zip with other contents in some entries."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, entries.get(name, old.read(name)))


def test_a_saved_policys_path(tmp_path, monkeypatch):
    """As SB3 does, a suffix is added where there is none; files may be renamed, folders hold the best one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    save_policy(ppo(tiny()), "mine/best")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["best.zip"]
    (tmp_path / "renamed").write_bytes((tmp_path / "mine" / "best.zip").read_bytes())
    assert isinstance(make_policy("renamed"), LearnedPolicy)
    for name in ("mine", "mine/", "./mine"):
        with pytest.raises(ConfigError, match=r"did you mean 'mine/best\.zip'"):
            make_policy(name)
    with pytest.raises(UnknownName):
        make_policy("mine/no_such")


def test_only_set_policies_are_saved(tmp_path):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=6, batch_size=6, device="cpu")
    with pytest.raises(ConfigError, match="SetPolicy"):
        save_policy(model, tmp_path / "x.zip")
    with pytest.raises(ConfigError, match="norm_obs=False"):
        save_policy(ppo(VecNormalize(tiny())), tmp_path / "x.zip")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("actions", "size"),
    [
        ("listen", (3,)),
        ("gated", (4,)),
        ("discrete", ()),
    ],
)
def test_the_hosted_classroom_from_training_to_another_class(tmp_path, actions, size):
    small = {
        "learners": "mlp",
        "hidden": [8],
        "slice_size": 4,
        "exam_size": 10,
        "horizon": 4,
        "actions": actions,
    }
    env = studyhall.make_sb3("classroom-v0", 2, seed=0, agents=3, **small)
    assert env.action_space.shape == size
    model = ppo(env, n_steps=6, batch_size=18)
    model.learn(72)
    assert len(model.ep_info_buffer) == 18  # three episodes of six agents
    save_policy(model, tmp_path / "it.zip")
    policy = LearnedPolicy(str(tmp_path / "it.zip"))
    assert policy.about["env"] == "classroom-v0"
    world = studyhall.make_world("classroom-v0", num_worlds=2, agents=5, validate=True, **small)
    policy.bind(world)
    step = world.step(policy.act(world.reset(seed=0)))
    assert torch.isfinite(step.reward).all()


def test_a_network_that_reads_by_name_refuses_flat_observations():
    env = studyhall.make_sb3("society-v0", learners="mlp", horizon=4, flat=True)
    with pytest.raises(ConfigError, match=r"SetPolicy reads observations by name: .* flat=False"):
        PPO(SetPolicy, env)
