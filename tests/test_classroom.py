"""classroom-v0 as its page describes it."""

import numpy as np
import pytest
import torch

from studyhall import make_world
from studyhall.envs.errors import ActionError, ConfigError, DataError, EpisodeEnded, UnknownName
from studyhall.testing.tools import sample_actions

SMALL = {"agents": 3, "slice_size": 4, "exam_size": 10, "horizon": 12, "teacher_budget": 4}


def world(**kwargs):
    made = make_world("classroom-v0", **{**SMALL, "num_worlds": 2, "autoreset": False, **kwargs})
    return made, made.reset(seed=5)


def actions(world, *, ask=1, seed=0, answers=None):
    g = torch.Generator().manual_seed(seed)
    w, n, c = world.num_worlds, world.num_agents, world.dataset.num_classes
    b, e = world.action_space["soft_targets"].shape[0], world.action_space["answers"].shape[0]
    return {
        "soft_targets": torch.rand(w, n, b, c, generator=g),
        "answers": torch.rand(w, n, e, c, generator=g) if answers is None else answers,
        "ask": torch.full((w, n), ask),
    }


def true_answers(world):
    labels = world.dataset.labels("exam", world._state["exam"])
    one_hot = torch.nn.functional.one_hot(labels, world.dataset.num_classes).float()
    return one_hot[:, None].expand(-1, world.num_agents, -1, -1)


def test_feedback_is_about_the_slice_before():
    env, obs = world()
    assert (obs["fb_slice"] == 0).all()
    assert (obs["fb_labels"] == -1).all()
    sent = actions(env)
    after = env.step(sent).obs
    assert torch.equal(after["fb_slice"], obs["slice"])
    assert (after["fb_labels"] >= 0).all()
    published = sent["soft_targets"] / sent["soft_targets"].sum(-1, keepdim=True)
    for i in range(3):  # oneself, then the next ones around
        assert torch.allclose(after["fb_targets"][:, i], published.roll(-i, 1), atol=1e-6)
    assert after["heard"].tolist() == [[[0, 1, 1]] * 3] * 2


def test_labels_are_the_true_ones_and_only_for_those_who_ask():
    env, obs = world()
    sent = actions(env)
    sent["ask"][:, 1] = 0
    after = env.step(sent).obs
    assert (after["fb_labels"][:, 1] == -1).all()
    stream = env.dataset.stream
    for w in range(2):
        for row, label in zip(after["fb_slice"][w, 0], after["fb_labels"][w, 0], strict=True):
            x = env.dataset.inputs("stream", torch.arange(len(stream)))
            match = (x == row).flatten(1).all(1)
            assert label in stream.y[match]


def test_the_budget_runs_out_and_then_the_teacher_is_silent():
    env, _ = world()
    told, refused, left = [], [], []
    for t in range(6):
        step = env.step(actions(env, seed=t))
        told.append(bool((step.obs["fb_labels"] >= 0).all()))
        refused.append(bool(step.info["refused"].all()))
        left.append(step.obs["report"][0, 0, -1].item())
    assert told == [True] * 4 + [False] * 2
    assert refused == [False] * 4 + [True] * 2
    assert left == [0.75, 0.5, 0.25, 0, 0, 0]


def test_perfect_answers_earn_the_whole_way_from_chance():
    env, _ = world(horizon=60)
    total = 0
    for t in range(60):
        step = env.step(actions(env, seed=t, answers=true_answers(env)))
        total = total + step.reward
    gained = env.metrics()["score"] - env.exam.chance(10)
    assert torch.allclose(total, 10 * gained, atol=1e-4)
    assert (env.metrics()["score"] > 0.999).all()
    assert (env.metrics()["exam_accuracy"] == 1).all()
    assert torch.allclose(step.info["episode"]["return"], total)


def test_report_cards_show_rounded_accuracy_to_everyone():
    env, _ = world(card_every=2)
    answers = true_answers(env).clone()
    answers[:, 0, :3] = 0  # abstains on three of ten
    obs = env.step(actions(env, answers=answers)).obs
    expected = torch.tensor(
        [[0.7, 1.0, 1.0], [1.0, 1.0, 0.7], [1.0, 0.7, 1.0]]
    )  # oneself, then the next ones
    assert torch.allclose(obs["report"][..., :3], expected.expand(2, 3, 3))


def test_prices_are_charged_per_kib_and_label():
    free, _ = world()
    dear, _ = world(byte_price=2.0, label_price=0.5)
    sent = actions(free)
    difference = free.step(sent).reward - dear.step(sent).reward
    kib = 2 * 4 * 10 * 4 / 1024  # two receivers, four rows, ten classes, four bytes
    assert torch.allclose(difference, torch.full((2, 3), 2.0 * kib + 0.5 * 4), atol=1e-4)


def test_cooperation_shares_progress():
    own, _ = world()
    shared, _ = world(cooperation=1.0)
    sent = actions(own)
    reward = own.step(sent).reward
    assert torch.allclose(shared.step(sent).reward, reward.mean(-1, keepdim=True).expand(2, 3), atol=1e-6)


def test_private_slices_come_with_a_public_one_to_talk_about():
    env, obs = world(share="own")
    assert not torch.equal(obs["slice"][:, 0], obs["slice"][:, 1])
    assert torch.equal(obs["public"][:, 0], obs["public"][:, 1])
    after = env.step(actions(env)).obs
    assert torch.equal(after["fb_public"], obs["public"])
    assert torch.equal(after["fb_slice"], obs["slice"])


def test_feedback_comes_late_and_whole_with_a_delay():
    env, obs = world(delay=2)
    shown, sent = [obs["slice"]], []
    for t in range(5):
        sent.append(actions(env, seed=t))
        obs = env.step(sent[-1]).obs
        shown.append(obs["slice"])
        if t < 2:
            assert (obs["fb_slice"] == 0).all()
            assert not obs["heard"].any()
        else:
            assert torch.equal(obs["fb_slice"], shown[t - 2])
            published = sent[t - 2]["soft_targets"]
            published = published / published.sum(-1, keepdim=True)
            assert torch.allclose(obs["fb_targets"][:, 0], published, atol=1e-6)


def test_an_absent_student_neither_acts_nor_earns():
    env, obs = world(churn=0.5, rejoin=0.5, horizon=40, teacher_budget=None)
    was_absent = 0
    for t in range(40):
        absent = ~env._state["present"]
        before = env._state["score"]
        step = env.step(actions(env, seed=t))
        was_absent += int(absent.sum())
        assert (step.reward[absent] == 0).all()
        assert torch.equal(env._state["score"][absent], before[absent])
        assert (step.obs["fb_labels"][absent] == -1).all()
        assert (step.info["bytes"][absent] == 0).all()
    assert was_absent > 20


def test_a_single_pass_ends_the_episode_and_shows_no_item_twice():
    env, obs = world(order="single_pass", slice_size=100, horizon=1000)
    steps = len(env.dataset.stream) // 100
    seen = [env._state["stream/slice"]]
    for t in range(steps):
        step = env.step(actions(env, seed=t))
        seen.append(env._state["stream/slice"])
        assert step.terminated.all() == (t == steps - 1)
    assert not step.truncated.any()
    assert (seen[-1] == -1).all()
    assert (step.obs["slice"] == 0).all()
    shown = torch.cat(seen[:-1], dim=-1)[0].flatten()
    assert len(shown.unique()) == len(shown)


def test_a_budget_too_small_for_a_call_is_spent_and_an_isolated_student_sees_its_own():
    env, _ = world(teacher_unit="labels", teacher_budget=10)  # two calls of four labels
    left = [env.step(actions(env)).obs["report"][0, 0, -1].item() for _ in range(3)]
    assert left == [0.5, 0.0, 0.0]
    env, _ = world(mode="isolated", teacher_budget=7)  # two calls each
    sent = actions(env)
    sent["ask"][:, 1] = 0
    obs = env.step(sent).obs
    assert obs["report"][0, :, -1].tolist() == [0.5, 1.0, 0.5]


def test_an_isolated_student_knows_of_nobody():
    env, _ = world(mode="isolated", card_every=1)
    obs = env.step(actions(env, answers=true_answers(env))).obs
    assert obs["report"][..., :3].tolist() == [[[1, 0, 0]] * 3] * 2
    assert obs["present"].tolist() == [[[1, 0, 0]] * 3] * 2
    assert not obs["heard"].any()


def test_the_place_of_an_exam_item_tells_nothing_about_its_class():
    env, _ = world(num_worlds=200, exam_size=20)
    labels = env.dataset.labels("exam", env._state["exam"])
    counts = torch.nn.functional.one_hot(labels, 10).sum(0)  # [E, C]: 20 of each expected
    assert (counts - 20).abs().max() < 20
    assert (labels.diff(dim=1) < 0).any(1).all()


def test_in_shuffled_mode_ones_own_row_stays_in_order():
    env, _ = world(mode="shuffled", slice_size=8)
    sent = actions(env)
    obs = env.step(sent).obs
    published = sent["soft_targets"] / sent["soft_targets"].sum(-1, keepdim=True)
    for i in range(3):
        assert torch.allclose(obs["fb_targets"][:, i, 0], published[:, i], atol=1e-6)
        heard, said = obs["fb_targets"][:, i, 1], published[:, (i + 1) % 3]
        assert not torch.allclose(heard, said, atol=1e-3)
        assert torch.allclose(heard.sort(1).values, said.sort(1).values, atol=1e-6)


def test_the_ledger_is_exact_however_much_was_sent():
    env, _ = world(bits=5, slice_size=1)
    env._state["bits"] += 2**33
    before = env._state["bits"].clone()
    sent = env.step(actions(env)).info["bytes"]
    assert ((env._state["bits"] - before) / 8 == sent).all()
    assert (sent == 2 * 10 * 5 / 8).all()


def test_a_seed_without_a_domain_is_a_training_seed():
    env, trained = world()
    evaluated = env.reset(seed=5, options={"domain": "eval"})
    assert not torch.equal(evaluated["slice"], trained["slice"])
    again = env.reset()
    assert env.domain == "eval"
    assert not torch.equal(again["slice"], evaluated["slice"])
    assert torch.equal(env.reset(seed=5)["slice"], trained["slice"])


@pytest.mark.parametrize("seed", [-1, 1.5, True, "3", [1, 2, 3]])
def test_odd_seeds_are_refused(seed):
    env, _ = world()
    with pytest.raises(ConfigError, match="seed"):
        env.reset(seed=seed)


def test_a_state_of_another_kind_of_world_is_refused_and_nothing_is_lost():
    env, _ = world()
    other, _ = world(agents=4)
    before = env.state_dict()["state"]
    with pytest.raises(ConfigError, match="same arguments"):
        env.load_state_dict(other.state_dict())
    assert all(torch.equal(before[k], v) for k, v in env.state_dict()["state"].items())


def test_a_state_goes_on_with_its_own_data_alone():
    """Items are kept as numbers, which would mean others."""
    x, y = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32), np.arange(300) % 3
    one, same, other = (
        make_world("classroom-v0", data=(values, y), agents=2, horizon=5, exam_size=6)
        for values in (x, x.copy(), np.where(x == x[7], x + 1, x))
    )
    for env in (one, same, other):
        env.reset(seed=0)
    same.load_state_dict(one.state_dict())
    with pytest.raises(ConfigError, match="dealt other data: give those, as they were"):
        other.load_state_dict(one.state_dict())


def test_looking_before_the_first_reset_says_what_to_do():
    env = make_world("classroom-v0", **SMALL)
    for look in (lambda: env.obs, lambda: env.keys, env.metrics, env.state, env.render):
        with pytest.raises(EpisodeEnded, match="call reset"):
            look()


def test_huge_weights_are_weights():
    env, _ = world()
    sent = actions(env)
    sent["answers"] = 1e38 * true_answers(env) + 1e37
    assert (env.step(sent).info["exam_accuracy"] == 1).all()


def test_a_mute_control_shares_everything_but_the_messages():
    env, obs = world(mode=["open", "mute"])
    env.reset(seed=[5, 5])
    sent = actions(env)
    sent = {k: v[:1].expand(2, *v.shape[1:]) for k, v in sent.items()}
    after = env.step(sent).obs
    for key in ("slice", "exam", "fb_labels", "report"):
        assert torch.equal(after[key][0], after[key][1])
    assert after["heard"][0].any()
    assert not after["heard"][1].any()
    assert after["fb_targets"][1, :, 0].any()
    assert not after["fb_targets"][1, :, 1:].any()


def test_nothing_not_finite_is_taken_seriously_without_validation():
    env, _ = world()
    sent = actions(env)
    sent["soft_targets"][0, 0, 0] = float("nan")
    sent["answers"][0, 0] = float("inf")
    step = env.step(sent)
    assert torch.isfinite(step.reward).all()
    assert (step.obs["fb_targets"][0, 1, 2, 0] == 0).all()
    assert step.info["bytes"][0, 0] == step.info["bytes"][0, 1] * 3 / 4


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (lambda a: a.pop("ask"), "lack the keys \\['ask'\\]"),
        (lambda a: a.update(aks=a["ask"]), "unknown keys \\['aks'\\]"),
        (lambda a: a.update(answers=a["answers"][:, :2]), "shape \\(2, 3, 10, 10\\), got \\(2, 2, 10, 10\\)"),
        (lambda a: a.update(ask=a["ask"].float()), "integer"),
        (lambda a: a.update(answers=a["answers"].long()), "floating point"),
        (lambda a: a.update(ask=a["ask"].numpy()), "torch tensor"),
        (
            lambda a: a["answers"][1, 2].fill_(float("nan")),
            "'answers' of student_2 \\(world 1\\) is not finite",
        ),
        (
            lambda a: a["soft_targets"][0, 1].fill_(-1.0),
            "'soft_targets' of student_1 \\(world 0\\) is outside",
        ),
        (lambda a: a["ask"][1, 0].fill_(2), "'ask' of student_0 \\(world 1\\) is outside 0…1"),
    ],
)
def test_bad_actions_are_named_and_nothing_moves(fault, text):
    env, _ = world(validate=True)
    before = env.state_dict()["state"]
    sent = actions(env)
    fault(sent)
    with pytest.raises(ActionError, match=text):
        env.step(sent)
    after = env.state_dict()["state"]
    assert all(torch.equal(before[k], after[k]) for k in before)


@pytest.mark.parametrize(
    ("kwargs", "error", "text"),
    [
        ({"agents": 0}, ConfigError, "agents must be a whole number of at least 1"),
        ({"num_worlds": 0}, ConfigError, "num_worlds"),
        ({"teacher_budget": -3}, ConfigError, "teacher_budget"),
        ({"byte_price": -1.0}, ConfigError, "byte_price"),
        ({"cooperation": 2}, ConfigError, "cooperation"),
        ({"exam_size": 9999}, ConfigError, "set exam_size"),
        ({"exam_every": 12}, ConfigError, "exam_every 12 leaves one exam within 12 steps.*lower it below 12"),
        ({"data": "mnits"}, UnknownName, "mnist"),
        ({"data": "mnist", "data_dir": "/no/such/folder"}, DataError, "/no/such/folder"),
        ({"agnets": 3}, UnknownName, "'agents'"),
        ({"slice_size": 8.5}, ConfigError, "slice_size must be a whole number"),
        ({"reward_scale": float("nan")}, ConfigError, "reward_scale"),
        ({"device": "gpu"}, ConfigError, "unknown device 'gpu': use 'cpu', or 'cuda'"),
        ({"device": "meta"}, ConfigError, "device 'meta' is not supported: use 'cpu', or 'cuda'"),
        ({"device": "meta"}, ConfigError, "device 'meta' is not supported"),
        (
            {"delay": 10, "horizon": 10},
            ConfigError,
            "10 steps late never arrives within 10: lower delay or lengthen episodes",
        ),
        (
            {"liars": 1, "liar_kinds": ["sleeper"], "wake": 10, "horizon": 10},
            ConfigError,
            "wake at step 10 never lie within 10",
        ),
    ],
)
def test_bad_arguments_are_said_in_one_line(kwargs, error, text):
    with pytest.raises(error, match=text) as caught:
        world(**kwargs)
    assert "\n" not in str(caught.value)


def test_steps_after_the_end_and_before_a_reset_say_what_to_do():
    env = make_world("classroom-v0", **SMALL, autoreset=False)
    with pytest.raises(EpisodeEnded, match="call reset"):
        env.step({})
    env.reset(seed=0)
    for t in range(12):
        env.step(actions(env, seed=t))
    with pytest.raises(EpisodeEnded, match="call reset"):
        env.step(actions(env))


def test_ended_worlds_wait_while_the_others_go_on():
    env, _ = world()
    for t in range(5):
        env.step(actions(env, seed=t), mask=np.array([True, False]))
    for t in range(7):
        env.step(actions(env, seed=t))
    step = env.step(actions(env))  # world 0 ended after 12 steps, world 1 has made 8 of its own
    assert env.clock.tolist() == [12, 8]
    assert step.truncated.tolist() == [True, False]
    assert (step.reward[0] == 0).all()
    assert torch.isnan(step.info["episode"]["return"][0]).all()


def test_pictures_are_drawn():
    env, _ = world(liars=1)
    env.step(actions(env))
    assert "student_2" in env.render("ansi")
    picture = env.render("rgb_array")
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert picture.std() > 10
    with pytest.raises(ConfigError, match="render mode"):
        env.render("rgb")


def test_a_write_into_what_is_observed_never_reaches_the_world():
    """Observations are for reading: the agents of a world share memory, but the world keeps no view of it."""
    courses = []
    for writes in (False, True):
        world = make_world("classroom-v0", agents=3, slice_size=4, exam_size=10, horizon=4)
        obs, seen = world.reset(seed=0), []
        generator = torch.Generator().manual_seed(0)
        for _ in range(3):
            actions = sample_actions(world, generator)
            seen.append(torch.cat([obs[key].flatten().float() for key in sorted(obs)]))
            if writes:
                obs["slice"][0, 0].zero_()  # of all agents: they see one slice
                assert not obs["slice"][0, 1].any()
                obs["fb_targets"].fill_(0.7)
            step = world.step(actions)
            obs = step.obs
            seen.append(step.reward)
        courses.append(seen)
    for one, other in zip(*courses, strict=True):
        assert torch.equal(one, other)
