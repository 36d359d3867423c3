"""Worlds that host their learners: what an action does to whom, and nothing else."""

import pytest
import torch

from studyhall import make_env, make_world
from studyhall.envs import ActionError, ConfigError, EpisodeEnded, UnknownName
from studyhall.envs.channel import Neighbours
from studyhall.envs.hosted.heard import Heard
from studyhall.envs.hosted.listening import FORMS
from studyhall.envs.hosted.sources import FEATURES, OBSERVED
from studyhall.policies import make_policy
from studyhall.testing import check_engine, check_world

SMALL = {"slice_size": 6, "exam_size": 10, "horizon": 6, "learners": "mlp", "hidden": [8]}
CLASSROOM = SMALL | {"agents": 3}
SOCIETY = SMALL | {"agents": 3}

CONFIGURATIONS = {
    "classroom": ("classroom-v0", CLASSROOM | {"drop": 0.3, "teacher_budget": 3}),
    "shuffled-late-gated": ("classroom-v0", CLASSROOM | {"actions": "gated", "mode": "shuffled", "delay": 2}),
    "churning-targets": ("society-v0", SOCIETY | {"actions": "targets", "churn": 0.3}),
    "discrete-own": ("classroom-v0", CLASSROOM | {"discrete_actions": True, "share": "own", "drop": 0.3}),
    "society": (
        "society-v0",
        SOCIETY | {"liars": 2, "liar_kinds": ("roll", "collude", "fickle"), "bits": 4, "byte_price": 0.1},
    ),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_hosted_worlds_keep_the_contract(name):
    """All of it, but that the views are checked in one: what the others change lies behind them."""
    id, kwargs = CONFIGURATIONS[name]
    # Adam blows rounding up where gradients vanish, so that a batch and a single world drift apart.
    kwargs = kwargs | {"horizon": 4, "optimiser": "sgd", "lr": 0.1}
    (check_world if name == "discrete-own" else check_engine)(id, **kwargs)


def stacks(world):
    return [stack.clone() for stack in world.population.parameters]


def moved(before, world):
    """Which learners changed by a bit, bool [W, N]."""
    changed = [(a != b).flatten(1).any(1) for a, b in zip(before, world.population.parameters, strict=True)]
    return torch.stack(changed).any(0).view(world.num_worlds, world.num_agents)


# ---- the same learning on both sides of the line ----------------------------------------------------


@pytest.mark.parametrize(
    ("id", "kwargs", "policy"),
    [
        ("classroom-v0", {"agents": 3, "teacher_budget": 4, "topology": "ring", "delay": 1}, "mutual"),
        ("society-v0", {"agents": 4, "liar_kinds": ("roll",)}, "mutual"),
        ("classroom-v0", {"agents": 3, "teacher_budget": 4, "mode": "mute"}, "stop_at_budget"),
    ],
)
def test_hosting_equals_bringing_the_same_learners(id, kwargs, policy):
    """The mean of the class, imitated inside the world and outside of it, gives the same learners."""
    kwargs = {**kwargs, "slice_size": 8, "exam_size": 20, "horizon": 12}
    learners = {"hidden": (16,), "dropout": 0.1, "lr": 3e-3, "temperature": 1.5}
    outside = make_world(id, num_worlds=2, **kwargs)
    students = make_policy(policy, **learners)
    students.bind(outside)
    seen = outside.reset(seed=5)
    students.reset()
    hosted = make_world(id, num_worlds=2, learners="mlp", **learners, **kwargs)
    obs = hosted.reset(seed=5)
    x = torch.randn(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for _ in range(10):
        actions = students.act(seen)
        if "ask" not in outside.action_space.spaces:
            actions = {k: v for k, v in actions.items() if k != "ask"}
        seen = outside.step(actions).obs
        heard = obs["sources_mask"].float()
        listen = heard / heard.sum(-1, keepdim=True).clamp_min(1)
        ask = {"ask": torch.ones(2, hosted.num_agents, dtype=torch.int64)} if hosted.host.form.teacher else {}
        obs = hosted.step({"listen": listen, **ask}).obs
        assert (hosted.predict(x) - students.predict(x)).abs().max() < 1e-4
    if policy != "stop_at_budget":  # which publishes nothing, while hosted learners always do
        assert torch.equal(hosted.metrics()["bytes"], outside.metrics()["bytes"])


# ---- what weights mean ------------------------------------------------------------------------------


def test_weights_of_zero_leave_a_learner_bit_identical():
    world = make_world("classroom-v0", num_worlds=2, **CLASSROOM)
    world.reset(seed=0)
    nobody, mute = torch.zeros(2, 3, 2), torch.zeros(2, 3, dtype=torch.int64)
    world.step({"listen": nobody, "ask": mute})
    before = stacks(world)
    listen = nobody.clone()
    listen[1, 2, 0] = 0.3
    world.step({"listen": listen, "ask": mute})
    assert moved(before, world).tolist() == [[False] * 3, [False, False, True]]


def test_labels_are_learnt_without_listening_to_anyone():
    world = make_world("classroom-v0", **CLASSROOM)
    world.reset(seed=0)
    nobody = torch.zeros(1, 3, 2)
    world.step({"listen": nobody, "ask": torch.tensor([[1, 0, 1]])})
    before = stacks(world)
    world.step({"listen": nobody, "ask": torch.tensor([[0, 0, 0]])})
    assert moved(before, world).tolist() == [[True, False, True]]


def test_the_sum_of_the_weights_scales_the_step_and_not_more_than_one_counts():
    def step(weight):
        world = make_world("classroom-v0", optimiser="sgd", lr=0.1, **(CLASSROOM | {"dropout": 0.0}))
        world.reset(seed=0)
        quiet = torch.zeros(1, 3, dtype=torch.int64)
        world.step({"listen": torch.zeros(1, 3, 2), "ask": quiet})
        before = stacks(world)
        world.step({"listen": torch.full((1, 3, 2), weight), "ask": quiet})
        return torch.cat([(b - a).flatten() for a, b in zip(before, stacks(world), strict=True)])

    full = step(0.5)  # of two sources: a sum of 1
    assert full.abs().max() > 0
    torch.testing.assert_close(step(0.125), full * 0.25, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(step(1.0), full)


def test_a_weight_on_a_source_that_is_not_there_counts_for_nothing():
    one, other = (
        make_world("classroom-v0", topology="ring", **(CLASSROOM | {"agents": 4})) for _ in range(2)
    )
    for world in (one, other):
        world.reset(seed=0)
    ask = torch.ones(1, 4, dtype=torch.int64)
    for _ in range(3):
        listen = one.obs["sources_mask"] * 0.4
        one.step({"listen": listen, "ask": ask})
        other.step({"listen": listen + (1 - other.obs["sources_mask"]) * 0.9, "ask": ask})
    assert all(torch.equal(a, b) for a, b in zip(stacks(one), stacks(other), strict=True))


def test_a_choice_equals_the_weights_it_stands_for():
    listening = make_world("classroom-v0", **CLASSROOM)
    choosing = make_world("classroom-v0", discrete_actions=True, **CLASSROOM)
    listening.reset(seed=1)
    obs = choosing.reset(seed=1)
    assert obs["action_mask"].tolist() == [[[1, 1, 0, 0, 0]] * 3]  # nobody has spoken yet
    #        nobody, teacher, mean, peer 0, peer 1
    weights = torch.tensor([[0, 0], [0, 0], [0.5, 0.5], [1, 0], [0, 1]])
    for choices in ([1, 1, 0], [2, 3, 4], [0, 1, 2], [4, 4, 2]):
        choice = torch.tensor([choices])
        listening.step({"listen": weights[choice], "ask": (choice == 1).long()})
        obs = choosing.step(choice).obs
        assert all(torch.equal(a, b) for a, b in zip(stacks(listening), stacks(choosing), strict=True))
    assert obs["action_mask"].tolist() == [[[1] * 5] * 3]


def test_gates_weigh_rows_by_confidence():
    kwargs = CLASSROOM | {"dropout": 0.0}
    plain, gated = (make_world("classroom-v0", actions=form, **kwargs) for form in ("listen", "gated"))
    imitating = make_world("classroom-v0", actions="targets", **kwargs)
    for world in (plain, gated, imitating):
        world.reset(seed=1)
    ask = torch.zeros(1, 3, dtype=torch.int64)
    listen = torch.tensor([[[0.5, 0.25], [0.1, 0.2], [0.7, 0.9]]])
    for gate, other in ((0.0, plain), (0.4, imitating)):
        for _ in range(2):
            messages = other.obs["messages"] if other is imitating else None
            if messages is None:
                other.step({"listen": listen, "ask": ask})
            else:
                by_row = messages.amax(-1) ** (16 * gate) * listen[..., None]  # [1, N, S, B]
                mixed = torch.einsum("wnsb,wnsbc->wnbc", by_row, messages)
                total = mixed.sum(-1, keepdim=True).clamp_min(1e-30)
                targets = mixed / total * listen.sum(-1).clamp(max=1)[..., None, None]
                other.step({"targets": targets, "ask": ask})
            gated.step({"listen": listen, "gate": torch.full((1, 3, 1), gate), "ask": ask})
        for a, b in zip(stacks(gated), stacks(other), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=2e-6)
        gated.reset(seed=1)


def test_a_gate_looks_at_those_listened_to_only():
    """Someone sure of himself to whom nobody listens must not silence the unsure."""
    rows = torch.full((1, 2, 1, 10), 0.1)
    rows[0, 0, 0, 0], rows[0, 0, 0, 1] = 0.14, 0.06
    rows[0, 1, 0] = torch.eye(10)[3]
    heard = Heard(rows, Neighbours(torch.tensor([[0, 1]])), torch.ones(1, 1, 2, dtype=torch.bool))
    for gate in (0.0, 0.5, 1.0):
        targets = FORMS["gated"](2, 1, 10, False).targets(
            {"listen": torch.tensor([[[1.0, 0.0]]]), "gate": torch.full((1, 1, 1), gate)}, heard
        )
        torch.testing.assert_close(targets[0, 0, 0], rows[0, 0, 0])


def test_learning_steps_repeat_a_slice():
    once, twice = (make_world("society-v0", learning_steps=k, **SOCIETY) for k in (1, 2))
    for world in (once, twice):
        world.reset(seed=0)
        for _ in range(3):
            world.step(torch.full((1, 3, 2), 0.5))
    assert twice.population.steps.tolist() == (2 * once.population.steps).tolist()


def test_learners_learn_the_same_under_inference_mode():
    usual, inferring = (make_world("society-v0", num_worlds=2, **SOCIETY) for _ in range(2))
    usual.reset(seed=0)
    with torch.inference_mode():
        inferring.reset(seed=0)
    for _ in range(8):  # an episode's end on the way
        usual.step(torch.full((2, 3, 2), 0.4))
        with torch.inference_mode():
            inferring.step(torch.full((2, 3, 2), 0.4))
    assert all(torch.equal(a, b) for a, b in zip(stacks(usual), stacks(inferring), strict=True))


# ---- what is seen -----------------------------------------------------------------------------------


def test_source_features_equal_a_plain_computation():
    world = make_world("society-v0", num_worlds=2, actions="targets", drop=0.3, **(SOCIETY | {"horizon": 30}))
    obs = world.reset(seed=3)
    n, k = 3, len(OBSERVED)
    running = torch.zeros(2, n, 2, k)
    times = torch.zeros(2, n, 2)
    for _ in range(25):
        obs = world.step(torch.zeros(2, n, 6, 10)).obs
        for w in range(2):
            for i in range(n):
                absolute = []
                for s in range(2):
                    if not obs["sources_mask"][w, i, s]:
                        assert not obs["messages"][w, i, s].any()
                        continue
                    p, q = obs["messages"][w, i, s], obs["beliefs"][w, i]
                    other = obs["messages"][w, i, 1 - s]
                    rest = (q + other) / 2 if obs["sources_mask"][w, i, 1 - s] else q
                    agree = torch.minimum(p, q).sum(-1)
                    trust = q.amax(-1) ** 2
                    now = torch.stack(
                        [
                            p.amax(-1).mean(),
                            agree.mean(),
                            torch.minimum(p, rest).sum(-1).mean(),
                            (agree * trust).sum() / trust.sum(),
                        ]
                    )
                    times[w, i, s] += 1
                    running[w, i, s] += max(1 / times[w, i, s].item(), 0.05) * (now - running[w, i, s])
                    got = obs["sources"][w, i, s]
                    torch.testing.assert_close(got[:k], now, rtol=1e-4, atol=1e-5)
                    torch.testing.assert_close(got[k : 2 * k], running[w, i, s], rtol=1e-4, atol=1e-4)
                    absolute.append(got[: 2 * k + 2])
                    assert got[-1] == 1
                if len(absolute) == 2:  # relative features: from the mean of those heard
                    relative = obs["sources"][w, i, :, 2 * k + 2 : -1]
                    expected = torch.stack(absolute) - torch.stack(absolute).mean(0)
                    torch.testing.assert_close(relative, expected, rtol=1e-4, atol=1e-5)
    assert len(FEATURES) == obs["sources"].shape[-1]


def test_sources_are_relative_to_oneself():
    world = make_world("society-v0", actions="targets", liars=0, **SOCIETY)
    world.reset(seed=0)
    obs = world.step(torch.zeros(1, 3, 6, 10)).obs
    beliefs = obs["beliefs"][0]
    for agent in range(3):
        for source in range(2):
            assert torch.equal(obs["messages"][0, agent, source], beliefs[(agent + 1 + source) % 3])


def test_a_liar_believes_honestly_what_it_lies_about():
    world = make_world("society-v0", num_worlds=8, actions="targets", liar_kinds=("sharp",), **SOCIETY)
    world.reset(seed=0)
    obs = world.step(torch.zeros(8, 3, 6, 10)).obs
    liar = world.privileged()["liar"]
    assert liar.sum(-1).tolist() == [1] * 8
    assert (obs["beliefs"].amax(-1) < 0.9).all()  # fresh networks are not sure of anything
    told = obs["messages"].amax(-1).amin(-1) == 1  # [W, N, S]: sharp
    assert torch.equal(told, world.neighbours().of(liar))


def test_the_exam_shapes_nothing_but_cards_and_scores():
    """Two worlds alike but for their exams show the same but for report cards, and learn the same."""
    one, other = (make_world("classroom-v0", num_worlds=2, card_every=100, **CLASSROOM) for _ in range(2))
    one.reset(seed=0)
    other.reset(seed=0)
    other._state["exam"] = other._state["exam"].flip(0) // 2
    other._state["card"] = one._state["card"]
    for t in range(5):
        actions = {"listen": torch.full((2, 3, 2), 0.4), "ask": torch.ones(2, 3, dtype=torch.int64)}
        seen, otherwise = one.step(actions), other.step(actions)
        assert not torch.equal(seen.reward, otherwise.reward)
        if t == 0:  # the only day on which cards are given
            other._state["card"] = one._state["card"]
            other._state["known/card_change"] = one._state["known/card_change"]
            continue
        for key, value in seen.obs.items():
            assert torch.equal(value, otherwise.obs[key]), key
    assert all(torch.equal(a, b) for a, b in zip(stacks(one), stacks(other), strict=True))


def test_the_starting_score_is_the_fresh_learners_own():
    world = make_world("society-v0", num_worlds=3, **SOCIETY)
    world.reset(seed=0)
    start = world.metrics()
    exam = world.dataset.inputs("exam", world._state["exam"])
    labels = world.dataset.labels("exam", world._state["exam"])
    for w in range(3):
        answers = world.predict(exam[w])[w]  # [N, E, C]
        truth = torch.nn.functional.one_hot(labels[w], 10)
        score = 1 - 0.5 * (answers - truth).square().sum(-1).mean(-1)
        torch.testing.assert_close(start["score"][w], score, rtol=0, atol=1e-5)


def test_returns_are_what_was_learnt():
    world = make_world("society-v0", num_worlds=2, autoreset=False, **(SOCIETY | {"horizon": 20}))
    world.reset(seed=0)
    before = world.metrics()["score"]
    for _ in range(20):
        world.step(torch.full((2, 3, 2), 0.5))
    after = world.metrics()
    torch.testing.assert_close(after["return"], 10 * (after["score"] - before), rtol=1e-4, atol=1e-5)


# ---- ends and bad input -----------------------------------------------------------------------------


def test_a_world_whose_learner_is_no_longer_finite_terminates_alone_as_in_a_batch():
    def ends(num_worlds):
        world = make_world(
            "classroom-v0", num_worlds=num_worlds, autoreset=False, optimiser="sgd", lr=1e38, **CLASSROOM
        )
        world.reset(seed=0)
        nobody, asked = torch.zeros(num_worlds, 3, 2), torch.ones(num_worlds, 3, dtype=torch.int64)
        listen = nobody.clone()
        listen[1:] = 0.5
        for t in range(5):
            step = world.step({"listen": listen, "ask": asked * (t == 0)})
            if step.terminated[0]:
                return t
        return None

    assert ends(1) is not None
    assert ends(1) == ends(2)


def test_before_the_first_reset_there_is_nothing_to_save():
    world = make_world("society-v0", **SOCIETY)
    for what in (world.state_dict, world.fork):
        with pytest.raises(EpisodeEnded, match=r"call reset\(\) first"):
            what()


def test_a_state_of_other_learners_is_refused_and_changes_nothing():
    world = make_world("society-v0", **SOCIETY)
    world.reset(seed=1)
    before = world.state_dict()
    for other in (SOCIETY | {"hidden": [16]}, SOCIETY | {"agents": 4}):
        stranger = make_world("society-v0", **other)
        stranger.reset(seed=2)
        with pytest.raises(ConfigError, match="same arguments"):
            world.load_state_dict(stranger.state_dict())
        after = world.state_dict()
        for part in ("state", "host"):
            assert all(torch.equal(before[part][k], after[part][k]) for k in before[part])


def test_a_choice_that_is_not_there_means_nobody():
    one, other = (make_world("classroom-v0", discrete_actions=True, **CLASSROOM) for _ in range(2))
    for world, choice in ((one, 0), (other, 4)):
        obs = world.reset(seed=0)
        assert obs["action_mask"][0, 0].tolist() == [1, 1, 0, 0, 0]
        world.step(torch.full((1, 3), choice))
    assert all(torch.equal(a, b) for a, b in zip(stacks(one), stacks(other), strict=True))


def test_views_refuse_what_is_not_a_weight():
    env = make_env("classroom-v0", **CLASSROOM)
    env.reset(seed=0)
    good = {"listen": [0.5, 0.5], "ask": 0}
    for bad, says in (({"listen": [float("nan"), 0]}, "not finite"), ({"listen": [2.0, 0]}, "outside")):
        with pytest.raises(ActionError, match=f"'listen' of student_1.*{says}"):
            env.step({agent: {**good, **(bad if agent == "student_1" else {})} for agent in env.agents})
    env.step(dict.fromkeys(env.agents, good))  # nothing was lost


def test_the_engine_takes_what_is_not_finite_as_nobody():
    world = make_world("classroom-v0", **CLASSROOM)
    world.reset(seed=0)
    ask = torch.zeros(1, 3, dtype=torch.int64)
    world.step({"listen": torch.zeros(1, 3, 2), "ask": ask})
    before = stacks(world)
    world.step({"listen": torch.full((1, 3, 2), torch.nan), "ask": ask})
    assert not moved(before, world).any()


@pytest.mark.parametrize(
    ("kwargs", "error", "says"),
    [
        ({"learners": "mpl"}, UnknownName, "mlp"),
        ({"learners": "mlp", "actions": "lisen"}, UnknownName, "listen"),
        ({"learners": "mlp", "actions": "gated", "discrete_actions": True}, ConfigError, "one of them"),
        ({"learners": "mlp", "agents": 1}, ConfigError, "2 students or more"),
        ({"learners": "mlp", "temperature": 0}, ConfigError, "temperature"),
        ({"learners": "mlp", "learning_steps": 0}, ConfigError, "learning_steps"),
        ({"learners": "mlp", "optimiser": "adm"}, UnknownName, "adam"),
        ({"learners": "mlp", "lr": -1}, ConfigError, "lr"),
        ({"learners": "mlp", "hidden": [0]}, ConfigError, "hidden"),
        (
            {"learners": lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))},
            ConfigError,
            "10",
        ),
        ({"learners": ["mlp", "mlp"]}, ConfigError, "8"),
        ({"hidden": [8]}, ConfigError, "learners"),
    ],
)
def test_bad_arguments_say_what_to_do(kwargs, error, says):
    with pytest.raises(error, match=says):
        make_world("classroom-v0", **kwargs)


# ---- society ----------------------------------------------------------------------------------------


def test_experts_are_told_their_own_classes_only_and_talk_about_all():
    world = make_world("society-v0", num_worlds=4, agents=5, slice_size=8)
    obs = world.reset(seed=0)
    experts = world.privileged()["experts"]
    assert (experts.sum(1) == 1).all()  # of ten classes two each
    talked_of = set()
    zeros = {k: torch.zeros(4, 5, *space.shape) for k, space in world.action_space.items()}
    for _ in range(60):
        obs = world.step(zeros).obs
        assert experts.gather(2, obs["fb_labels"]).all()
        talked_of |= set(world.privileged()["labels"].flatten().tolist())
    assert talked_of == set(range(10))


def test_expert_and_general_marks_equal_a_plain_count():
    world = make_world("society-v0", num_worlds=2, agents=3, exam_size=30, exam_smoothing=1.0)
    world.reset(seed=0)
    answers = torch.rand(2, 3, 30, 10, generator=torch.Generator().manual_seed(0))
    world.step({"soft_targets": torch.zeros(2, 3, 16, 10), "answers": answers})
    marks, experts = world.metrics(), world.privileged()["experts"]
    labels = world.dataset.labels("exam", world._state["exam"])
    for w in range(2):
        for i in range(3):
            right = {True: [], False: []}
            for e in range(30):
                own = bool(experts[w, i, labels[w, e]])
                right[own].append(bool(answers[w, i, e].argmax() == labels[w, e]))
            expert, general = (sum(right[own]) / len(right[own]) for own in (True, False))
            assert marks["expert"][w, i].item() == pytest.approx(expert)
            assert marks["general"][w, i].item() == pytest.approx(general)
            assert marks["average"][w, i].item() == pytest.approx((expert + general) / 2)
            assert marks["directionality"][w, i].item() == pytest.approx(expert - general, abs=1e-6)
            assert marks["global"][w, i].item() == pytest.approx(sum(map(sum, right.values())) / 30)


def test_forgetting_is_what_was_known_of_ones_own_classes_at_best():
    world = make_world("society-v0", num_worlds=2, agents=3, exam_size=30, learners="mlp", lr=0.05)
    world.reset(seed=0)
    best = torch.zeros(2, 3)
    for t in range(25):
        world.step(torch.full((2, 3, 2), float(t > 8)))  # alone at first, then imitating those who know less
        marks = world.metrics()
        best = torch.maximum(best, marks["expert"])
        torch.testing.assert_close(marks["forgetting"], best - marks["expert"])
    assert marks["forgetting"].max() > 0


def test_who_collude_are_two_at_least():
    world = make_world("society-v0", num_worlds=50, agents=5, liars=1, liar_kinds=("collude", "sharp"))
    world.reset(seed=0)
    assert set(world.privileged()["liar"].sum(-1).tolist()) == {1, 2}
