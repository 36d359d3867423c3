"""The referential game: what is dealt, who sees and hears what, how answers are judged, and that languages emerge."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from studyhall.envs import ActionError, ConfigError, UnknownName
from studyhall.envs.messages.referential import Referential
from studyhall.policies.messages.referential_network import ReferentialPolicy
from studyhall.rollouts import Rollout, rollout
from studyhall.rollouts.language import bosdis, message_entropy, posdis, topographic_similarity
from studyhall.rollouts.training.through_channel import ChannelConfig, ChannelSettings, ChannelTraining
from studyhall.scenarios import Scenario
from studyhall.testing import check_engine
from studyhall.testing.tools import sample_actions, seeded


def test_reconstruction_keeps_the_contract():
    """The registered form is covered by the tests that run over the registry."""
    check_engine(
        Referential, game="reconstruction", attributes=(4, 3), agents=3, slice_size=3, rounds=2, drop=0.3
    )


def combinations(world, objects):
    """Objects [..., F] as tuples of values, in plain Python."""
    found = []
    for row in objects.reshape(-1, objects.shape[-1]).tolist():
        values, first = [], 0
        for size in world.sizes:
            part = row[first : first + size]
            assert sorted(part) == [0.0] * (size - 1) + [1.0]
            values.append(part.index(1.0))
            first += size
        found.append(tuple(values))
    return found


# ---- what is dealt --------------------------------------------------------------------------------------


def test_listeners_see_the_target_among_different_candidates():
    world = Referential(num_worlds=2, agents=3, attributes=(5, 3), candidates=4, slice_size=200, held_out=0.0)
    view = world.reset(seed=0)["own_view"]
    truth = world._state["truth"]
    places = torch.zeros(4)
    for w, b in itertools.product(range(2), range(200)):
        (target,) = combinations(world, view[w, 0, b, 0])
        assert not view[w, 0, b, 1:].any()  # the speaker sees nothing else
        shown = [combinations(world, view[w, i, b]) for i in (1, 2)]
        assert sorted(shown[0]) == sorted(shown[1])
        for i in (1, 2):
            assert len(set(shown[i - 1])) == 4
            assert shown[i - 1].index(target) == truth[w, i, b]
            places[shown[i - 1].index(target)] += 1
    assert (places / 800 - 0.25).abs().max() < 0.06
    assert not torch.equal(truth[:, 1], truth[:, 2])  # each listener has an order of its own


def test_every_object_is_named_and_shown_alike_often():
    world = Referential(num_worlds=8, attributes=(3, 2), candidates=3, slice_size=1500, held_out=0.0)
    view = world.reset(seed=1)["own_view"]
    targets = view[:, 0, :, 0].sum((0, 1)) / 12_000
    shown = view[:, 1].sum((0, 1, 2)) / 36_000
    even = torch.tensor([1 / 3] * 3 + [1 / 2] * 2)
    assert (targets - even).abs().max() < 0.02
    assert (shown - even).abs().max() < 0.02


def test_in_reconstruction_listeners_see_nothing():
    world = Referential(game="reconstruction", slice_size=20)
    view = world.reset(seed=0)["own_view"]
    assert view.shape == (1, 2, 20, 1, 16)
    assert not view[:, 1].any()
    truth = [tuple(values) for values in world._state["truth"][0, 1].tolist()]
    assert combinations(world, view[0, 0]) == truth


@pytest.mark.parametrize("game", ["discrimination", "reconstruction"])
def test_combinations_held_out_are_never_dealt_in_training(game):
    dealt = {}
    for split, options in (("stream", {"domain": "train"}), ("exam", None), ("test", {"domain": "eval"})):
        own = {"split": "exam"} if split == "exam" else {}
        world = Referential(num_worlds=4, attributes=(6, 5), candidates=3, slice_size=300, game=game, **own)
        view = world.reset(seed=3, options=options)["own_view"]
        dealt[split] = set(combinations(world, view[view.any(-1)]))
    assert [len(dealt[split]) for split in ("stream", "exam", "test")] == [24, 3, 3]
    assert len(set.union(*dealt.values())) == 30
    other = Referential(attributes=(6, 5), candidates=3, combination_seed=1)
    assert not torch.equal(other.combinations["test"], world.combinations["test"])


# ---- who hears and how it is judged -----------------------------------------------------------------------


def test_only_the_speaker_is_heard_and_pays_for_every_listener():
    world = Referential(agents=4, slice_size=8, length=3, vocabulary=10)
    world.reset(seed=0)
    actions = sample_actions(world, seeded(0), abstain=0.0)
    step = world.step(actions)
    assert step.info["bytes"][0].tolist() == [8 * 3 * 3 * 4 / 8, 0, 0, 0]
    said = actions["message"][0, 0].argmax(-1)
    assert step.obs["heard"][0].tolist() == [[0], [1], [1], [1]]
    assert not step.obs["inbox"][0, 0].any()
    for listener in range(1, 4):
        assert torch.equal(step.obs["inbox"][0, listener, 0].argmax(-1), said)


def test_answers_are_judged_as_the_page_says():
    """Against plain Python, in both games."""
    for game, sizes in (("discrimination", (4,)), ("reconstruction", (3, 2))):
        world = Referential(agents=3, attributes=(3, 2), candidates=4, held_out=0.0, slice_size=5, game=game)
        world.reset(seed=0)
        truth = world._state["truth"].view(1, 3, 5, -1)
        weights = torch.rand(1, 3, 5, sum(sizes), generator=seeded(0))
        weights[0, 1, 2] = 0  # uniform
        step = world.step({"message": torch.zeros(1, 3, 5, 2, 10), "answer": weights})
        scores, right, losses = {}, {}, {}
        for agent in (1, 2):
            losses[agent], scores[agent], right[agent] = [], [], []
            for row in range(5):
                first, hits = 0, []
                for k, size in enumerate(sizes):
                    p = weights[0, agent, row, first : first + size].double().tolist()
                    p = [x / sum(p) for x in p] if sum(p) else [1 / size] * size
                    y = int(truth[0, agent, row, k])
                    losses[agent].append(-math.log(p[y]))
                    scores[agent].append(1 - 0.5 * sum((x - (c == y)) ** 2 for c, x in enumerate(p)))
                    hits.append((p[y] == max(p)) / p.count(max(p)))
                    first += size
                right[agent].append(math.prod(hits))
            assert step.loss[0, agent].item() == pytest.approx(
                sum(losses[agent]) / len(losses[agent]), rel=1e-5
            )
        mean = {agent: sum(values) / len(values) for agent, values in scores.items()}
        chance = sum(0.5 + 0.5 / size for size in sizes) / len(sizes)
        reward = [sum(mean.values()) / 2 - chance, mean[1] - chance, mean[2] - chance]
        assert step.reward[0].tolist() == pytest.approx(reward, abs=1e-6)
        assert step.loss[0, 0] == 0  # the listeners' reaches the speaker through the channel
        assert world.metrics()["loss"][0, 0].item() == pytest.approx(step.loss[0, 1:].mean().item())
        share = [sum(right[agent]) / 5 for agent in (1, 2)]
        found = world.metrics()["accuracy"][0].tolist()
        assert found == pytest.approx([sum(share) / 2, *share])


def test_choices_are_judged_as_certain_answers():
    world = Referential(slice_size=6, choices=True, mode="shuffled")
    world.reset(seed=0)
    answer = world._state["truth"].clone()
    answer[0, 1, 4:] = (answer[0, 1, 4:] + 1) % 5  # two wrong ones
    step = world.step({"message": torch.full((1, 2, 6, 4), 7), "answer": answer})
    assert step.info["score"][0].tolist() == pytest.approx([4 / 6] * 2)
    assert (step.obs["inbox"][0, 1, 0].argmax(-1) == 7).all()


def test_listeners_losses_reach_the_speaker():
    world = Referential(slice_size=4)
    world.reset(seed=0)
    actions = {k: v.requires_grad_() for k, v in sample_actions(world, seeded(0), abstain=0.0).items()}
    inbox = world.step(actions).obs["inbox"][:, 1, 0]
    answer = torch.stack([torch.ones(1, 4, 5), inbox.flatten(2)[..., :5] + 0.1], dim=1)
    loss = world.step({"message": torch.zeros_like(actions["message"]), "answer": answer}).loss.sum()
    (gradient,) = torch.autograd.grad(loss, actions["message"])
    assert gradient[0, 0].any()
    assert not gradient[0, 1].any()


# ---- the policy ------------------------------------------------------------------------------------------


def training(updates, *, estimator="gumbel", worlds=1, **env):
    """A training of a small game, done."""
    scenario = Scenario(
        "small",
        "a small game",
        env="referential-v0",
        policy="referential",
        env_kwargs={"attributes": (3, 3), "candidates": 4, "held_out": 0.0, "vocabulary": 5, **env},
        policy_kwargs={"width": 32, "estimator": estimator, "entropy": 0.02},
    )
    settings = ChannelSettings(learning_rate=0.01)
    done = ChannelTraining(ChannelConfig(scenario, settings, updates=updates, worlds=worlds))
    for _ in range(updates):
        done.update()
    return done


def accuracy(done, mode):
    """Of the trained policy's listeners."""
    settings = done.config.scenario.env_kwargs | {"slice_size": 400, "mode": mode}
    world = Referential(autoreset=False, **settings)
    policy = ReferentialPolicy(**done.config.scenario.policy_kwargs)
    policy.bind(world)
    policy.network.load_state_dict(done.policy.network.state_dict())
    obs = world.reset(seed=0, options={"domain": "eval"})
    while not world.ended.all():
        obs = world.step(policy.act(obs)).obs
    return world.metrics()["accuracy"][0, 1:].mean().item()


@pytest.mark.parametrize("game", ["discrimination", "reconstruction"])
def test_a_language_emerges(game):
    done = training(100, slice_size=64, game=game)
    open_, mute, shuffled = (accuracy(done, mode) for mode in ("open", "mute", "shuffled"))
    assert open_ > 0.6
    assert mute < 0.35
    assert shuffled < 0.35
    names = done.policy.names(done.world.objects)
    assert names.shape == (9, 2)
    assert len({tuple(name) for name in names.tolist()}) >= 6


def test_training_is_deterministic():
    one, other = (dict(training(5, slice_size=8).policy.network.state_dict()) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_language_emerges_by_reinforcement_and_for_several_listeners():
    done = training(150, estimator="sampled", worlds=64, slice_size=1, agents=3)
    assert accuracy(done, "open") > 0.6
    assert accuracy(done, "mute") < 0.35


def test_an_oracle_needs_no_messages():
    done = training(80, slice_size=64, oracle=True, mode="mute")
    assert accuracy(done, "mute") > 0.9


def test_a_network_hears_the_speaker_alone_and_nothing_where_it_was_dropped():
    world = Referential(agents=4, slice_size=6, drop=0.5, num_worlds=3)
    policy = ReferentialPolicy(width=8)
    policy.bind(world)
    obs = world.reset(seed=0)
    step = world.step(policy.act(obs))
    heard = step.obs["heard"].bool().any(-1)[:, 1:]
    assert heard.any()
    assert not heard.all()
    answer = policy.act(step.obs)["answer"][:, 1:]
    spread = answer.amax(-1) - answer.amin(-1)
    assert torch.equal((spread > 1e-6).flatten(2).all(-1), heard)


# ---- bad input and pictures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"agents": 1}, "agents must be a whole number of at least 2"),
        ({"attributes": ()}, "how many values"),
        ({"attributes": 4}, "how many values"),
        ({"attributes": (4, 1)}, "values of an attribute"),
        ({"attributes": (1000, 1001)}, "more than 1,000,000"),
        ({"candidates": 1}, "candidates must be"),
        ({"attributes": (4, 4)}, "too few for 5 candidates"),
        ({"held_out": 0.5}, "held_out must be"),
        ({"combination_seed": -1}, "combination_seed must be"),
        ({"attributes": (20, 2), "held_out": 0.4, "candidates": 2}, "never occurs in training"),
        ({"game": "reconstruction", "choices": True}, "reconstruction has none"),
        ({"vocabulary": None, "length": 4}, "give vocabulary"),
    ],
)
def test_arguments_that_cannot_be(kwargs, text):
    with pytest.raises(ConfigError) as caught:
        Referential(**kwargs)
    assert "\n" not in str(caught.value)
    assert text in str(caught.value)


def test_an_unknown_game_lists_those_there_are():
    with pytest.raises(UnknownName, match="discrimination"):
        Referential(game="discriminate")


def test_the_policy_refuses_other_worlds_and_names_symbols_only():
    from studyhall import make_world

    with pytest.raises(ConfigError, match="referential-v0"):
        ReferentialPolicy().bind(make_world("consensus-v0", data="vector"))
    policy = ReferentialPolicy()
    policy.bind(world := Referential(vocabulary=None, length=1))
    with pytest.raises(ConfigError, match="give it a vocabulary"):
        policy.names(world.objects)


def test_weights_below_nothing_are_refused_where_values_are_checked():
    world = Referential(slice_size=2, validate=True)
    world.reset(seed=0)
    actions = sample_actions(world, seeded(0))
    actions["answer"][0, 1, 0, 0] = -1
    with pytest.raises(ActionError, match="'answer' of agent_1"):
        world.step(actions)


@pytest.mark.parametrize("game", ["discrimination", "reconstruction"])
def test_pictures_show_target_message_and_answer(game):
    world = Referential(slice_size=3, game=game, autoreset=False)
    world.reset(seed=0)
    answer = torch.zeros(1, 2, 3, world.answers.count)
    if game == "discrimination":
        answer[0, 1].scatter_(-1, world._state["truth"][0, 1][:, None], 1.0)
    else:
        answer[0, 1] = world._state["own_view"][0, 0, :, 0]
    message = torch.eye(10)[:4].expand(1, 2, 3, 4, 10).contiguous()
    world.step({"message": message, "answer": answer})
    assert "(nothing)" in world.render("ansi")
    world.step({"message": message, "answer": answer})
    text = world.render("ansi").splitlines()
    assert "right 100.0%" in text[0]
    for line, (target,) in zip(
        text[1:], (combinations(world, view) for view in world._state["own_view"][0, 0, :, 0]), strict=True
    ):
        name = "-".join(map(str, target))
        assert line.startswith(f"{name}  →  0 1 2 3  →  agent_1")
        assert name in line.split("agent_1")[1]
    picture = world.render("rgb_array")
    assert picture.dtype.name == "uint8"
    assert picture.shape[-1] == 3
    assert picture.std() > 0


def test_a_run_reports_what_the_language_is_like():
    """Of the names of all objects; of one attribute nothing that compares attributes, of numbers nothing."""
    env = {"attributes": [4, 3], "slice_size": 8, "held_out": 0.0}
    scenario = Scenario("names", "", env="referential-v0", policy="referential", env_kwargs=env, seeds=(0, 1))
    run = Rollout(scenario)
    found = run.run().metrics["open"]
    names, values = run.policy.names(run.world.objects), run.world.values
    for metric, value in (
        ("topographic_similarity", topographic_similarity(names, values)),
        ("message_entropy", message_entropy(names)),
        ("posdis", posdis(names, values)),
        ("bosdis", bosdis(names, values)),
    ):
        assert found[metric] == pytest.approx([float(value)] * 2)
    single = replace(scenario, env_kwargs={**env, "attributes": [12]})
    assert {"topographic_similarity", "posdis"} & rollout(single).metrics["open"].keys() == {
        "topographic_similarity"
    }
    for other in (
        replace(scenario, policy="random"),
        replace(scenario, env_kwargs={**env, "vocabulary": None, "length": 1}),
    ):
        assert "message_entropy" not in rollout(other).metrics["open"]
