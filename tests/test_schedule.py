"""Order and shares: who is dealt what, checked against the labels and by counting."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from studyhall.envs import rng
from studyhall.envs.errors import ConfigError, UnknownName
from studyhall.envs.streams import Split
from studyhall.envs.streams.domains import DomainSplit
from studyhall.envs.streams.schedule import Schedule


def make_split(counts=(30, 50, 20, 40)) -> Split:
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return Split.sort(torch.arange(len(y)).float()[:, None], y, len(counts))


def deal(schedule: Schedule, steps: int, worlds: int = 3, seed: int = 0) -> torch.Tensor:
    """Slices shown after 0, 1, … steps, ``[steps, W, A, B]``."""
    key = rng.fold(rng.world_key(torch.arange(worlds) + seed, "train"), 0)
    clock = torch.zeros(worlds, dtype=torch.int64)
    state = schedule.start(rng.Draws(schedule.reset_draws())(rng.fold(key, 0)), clock)
    slices = [state["slice"]]
    for t in range(1, steps):
        draws = rng.Draws(schedule.step_draws())(rng.fold(key, t))
        state = schedule.step(state, draws, clock + t, key, np.full(worlds, t))
        slices.append(state["slice"])
    return torch.stack(slices)


def test_iid_is_uniform_over_items():
    split = make_split()
    shown = deal(Schedule(split, 4, 50, 100), 100)
    assert shown.shape == (100, 3, 1, 50)
    counts = torch.bincount(shown.flatten(), minlength=len(split))
    expected = shown.numel() / len(split)
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    assert chi_square < 200  # 139 degrees of freedom: beyond 200 once in 2,000


def test_own_slices_differ_between_agents():
    shown = deal(Schedule(make_split(), 4, 16, 100, share="own"), 3)
    assert shown.shape == (3, 3, 4, 16)
    assert not torch.equal(shown[:, :, 0], shown[:, :, 1])


@given(st.integers(1, 3), st.integers(1, 9), st.sampled_from(["shared", "own"]))
@settings(max_examples=25, deadline=None)
def test_a_single_pass_shows_every_item_once_at_most_and_then_nothing(agents, rows, share):
    split = make_split()
    schedule = Schedule(split, agents, rows, 1000, order="single_pass", share=share)
    passes = schedule.slices_per_pass
    shown = deal(schedule, passes + 2)
    for w in range(3):
        items = shown[:passes, w].flatten()
        assert len(items.unique()) == len(items) == passes * rows * schedule.slots
    assert (shown[passes:] == -1).all()
    assert schedule.exhausted(np.array([passes - 1, passes])).tolist() == [False, True]


def test_passes_restart_with_another_order():
    split = make_split()
    schedule = Schedule(split, 2, 20, 100, order="passes")
    n = schedule.slices_per_pass
    shown = deal(schedule, 3 * n).view(3, n, 3, -1)
    for number in range(3):
        for w in range(3):
            assert len(shown[number, :, w].unique()) == n * 20
    assert not torch.equal(shown[0], shown[1])


def test_topics_hold_for_their_steps_and_have_their_classes():
    split = make_split()
    schedule = Schedule(split, 2, 64, 100, order="topical", topic_steps=5, topic_classes=2)
    labels = split.y[deal(schedule, 20)]
    topics = []
    for start in range(0, 20, 5):
        topic = [set(labels[start + i, 0].unique().tolist()) for i in range(5)]
        assert all(len(t) == 2 for t in topic)
        assert all(t == topic[0] for t in topic)
        topics.append(frozenset(topic[0]))
    assert len(set(topics)) > 1


def test_class_incremental_shows_each_class_in_one_stretch():
    split = make_split()
    schedule = Schedule(split, 2, 64, 40, order="class_incremental", task_classes=2)
    labels = split.y[deal(schedule, 40)]
    for w in range(3):
        first, second = (set(labels[part, w].unique().tolist()) for part in (slice(20), slice(20, 40)))
        assert len(first) == len(second) == 2
        assert not first & second


def test_tasks_in_a_given_order_are_those_of_the_classes_and_change_no_other_draw():
    split = make_split()
    drawn, given = (
        Schedule(split, 2, 64, 40, order="class_incremental", task_classes=1, task_order=task_order)
        for task_order in ("drawn", "given")
    )
    labels = split.y[deal(given, 40)]
    for task in range(4):
        assert set(labels[10 * task : 10 * task + 10].unique().tolist()) == {task}
    assert drawn.reset_draws().keys() - given.reset_draws().keys() == {"stream/tasks"}
    assert drawn.step_draws() == given.step_draws()


def test_class_experts_see_their_classes_only_and_all_are_covered():
    split = make_split()
    labels = split.y[deal(Schedule(split, 2, 64, 100, share="class_experts"), 10)]
    for w in range(3):
        seen = [set(labels[:, w, i].unique().tolist()) for i in range(2)]
        assert [len(s) for s in seen] == [2, 2]
        assert seen[0] | seen[1] == {0, 1, 2, 3}


def test_every_class_has_an_expert_when_they_do_not_divide_evenly():
    split = make_split((20,) * 10)
    labels = split.y[deal(Schedule(split, 8, 64, 100, share="class_experts"), 10)]
    for w in range(3):
        assert len(labels[:, w].unique()) == 10


def test_an_expert_off_topic_studies_its_own():
    split = make_split()
    schedule = Schedule(
        split, 4, 16, 100, share="class_experts", order="topical", topic_classes=1, topic_steps=1
    )
    labels = split.y[deal(schedule, 30)]
    for i in range(4):
        assert len(labels[:, 0, i].unique()) == 1


def test_dirichlet_shares_follow_their_concentration():
    split = make_split((100, 100, 100, 100))

    def spread(alpha):
        labels = split.y[deal(Schedule(split, 8, 256, 100, share="dirichlet", alpha=alpha), 4, worlds=20)]
        share = torch.nn.functional.one_hot(labels, 4).float().mean((0, 3))  # [W, N, C]
        return share.var(unbiased=False).item()

    # Var of one component of a symmetric Dirichlet over C classes: (C − 1) / (C²(Cα + 1)).
    for alpha in (0.2, 1.0, 5.0):
        exact = 3 / (16 * (4 * alpha + 1))
        assert abs(spread(alpha) - exact) < 0.15 * exact + 0.001


@pytest.mark.parametrize("alpha", [0.001, 0.02, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("order", ["class_incremental", "topical"])
def test_dirichlet_shares_deal_only_classes_that_are_on(order, alpha):
    split = make_split((20,) * 10)
    schedule = Schedule(split, 6, 32, 30, order=order, share="dirichlet", alpha=alpha, topic_steps=6)
    labels = split.y[deal(schedule, 30, worlds=8)]
    for stretch in labels.view(5, 6, 8, -1).transpose(1, 2).flatten(2).flatten(0, 1):  # two classes at a time
        assert len(stretch.unique()) <= 2


def test_dirichlet_shares_of_a_task_follow_their_concentration():
    split = make_split((100,) * 10)
    schedule = Schedule(split, 8, 128, 5, order="class_incremental", share="dirichlet", alpha=0.5)
    labels = split.y[deal(schedule, 5, worlds=60)]  # [steps, W, N, B], a task of two classes a step
    first = labels.amin((2, 3), keepdim=True)
    share = (labels == first).float().mean(-1)
    # Var of one component of a symmetric Dirichlet over 2 classes, plus that of counting 128 draws.
    dirichlet = 1 / (4 * (2 * 0.5 + 1))
    assert share.var().item() == pytest.approx(dirichlet + (0.25 - dirichlet) / 128, rel=0.08)
    assert share.mean().item() == pytest.approx(0.5, abs=0.03)


def test_dirichlet_draws_of_an_iid_order_stay_what_they_were():
    schedule = Schedule(make_split(), 2, 6, 10, share="dirichlet")
    assert deal(schedule, 2, worlds=1)[:, 0].tolist() == [
        [[56, 70, 128, 36, 51, 19], [95, 61, 0, 95, 104, 112]],
        [[64, 23, 51, 101, 123, 97], [100, 103, 12, 0, 66, 1]],
    ]


def test_dirichlet_shares_of_very_many_classes_are_not_empty():
    split = make_split((1,) * 20_000)
    dealt = deal(Schedule(split, 2, 64, 10, share="dirichlet", alpha=50.0), 2)
    assert len(split.y[dealt].unique()) > 300


def test_worlds_do_not_depend_on_their_batch():
    schedule = Schedule(make_split(), 3, 8, 50, order="topical", share="dirichlet")
    together, alone = deal(schedule, 12, worlds=3), deal(schedule, 12, worlds=1, seed=2)
    assert torch.equal(together[:, 2:], alone)


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ({"order": "topcal"}, UnknownName, "topical"),
        ({"share": "dirichle"}, UnknownName, "dirichlet"),
        ({"order": "single_pass", "share": "class_experts"}, ConfigError, "use order 'iid' or 'topical'"),
        (
            {"order": "class_incremental", "share": "class_experts"},
            ConfigError,
            "use order 'iid' or 'topical'",
        ),
        ({"topic_classes": None}, ConfigError, "topic_classes must be a whole number between 1 and 4"),
        ({"task_classes": None}, ConfigError, "task_classes must be a whole number between 1 and 4"),
        ({"order": "single_pass", "rows": 500}, ConfigError, "lower slice_size"),
        ({"alpha": 0.0, "share": "dirichlet"}, ConfigError, "alpha must be a number between 1e-09 and"),
        ({"alpha": -1.0}, ConfigError, "alpha must be a number between 1e-09 and"),
        ({"task_classes": 5}, ConfigError, "between 1 and 4"),
        ({"task_order": "sorted"}, UnknownName, "unknown task_order 'sorted': known are drawn, given"),
        ({"alpha": 1e300, "share": "dirichlet"}, ConfigError, "alpha must be a number between 1e-09 and"),
        ({"rows": 0}, ConfigError, "slice_size must be a whole number of at least 1"),
        ({"topic_steps": 10**20}, ConfigError, "topic_steps must be a whole number between 1 and"),
    ],
)
def test_faults_are_said_in_one_line(fault, error, text):
    arguments = {"split": make_split(), "num_agents": 2, "rows": 8, "horizon": 50} | fault
    with pytest.raises(error, match=text) as caught:
        Schedule(**arguments)
    assert "\n" not in str(caught.value)


def test_classes_dealt_in_their_order_are_the_same_in_every_episode():
    split = make_split((30, 50, 20, 40, 60, 10))
    schedule = Schedule(split, 3, 40, 100, share="class_experts", expert_classes=2, deal="sorted")
    assert "stream/experts" not in schedule.reset_draws()
    classes = split.y[deal(schedule, 5, seed=7)]  # [steps, W, A, B]
    for agent in range(3):
        assert set(classes[:, :, agent].unique().tolist()) == {2 * agent, 2 * agent + 1}
    with pytest.raises(UnknownName, match="deal"):
        Schedule(split, 3, 40, 100, share="class_experts", deal="alphabetical")


@pytest.mark.parametrize("order", ["domain_incremental", "drifting"])
def test_every_domain_has_its_time(order):
    split = DomainSplit.of(torch.zeros(140, 1), [make_split()] * 4)
    shown = deal(Schedule(split, 2, 64, 60, order=order, task_order="given"), 60)
    domain = split.cells[shown] // 4  # [steps, W, A, B]
    if order == "domain_incremental":
        expected = torch.arange(60) * 4 // 60
        assert (domain == expected[:, None, None, None]).all()
        return
    strong = domain.float().mean((1, 2, 3))
    torch.testing.assert_close(strong, torch.arange(60) * 3 / 60, atol=0.15, rtol=0)
    present = torch.stack([torch.bincount(step.flatten(), minlength=4) > 0 for step in domain])
    assert (present.sum(1) <= 2).all()  # one fades into the next


def test_domains_come_in_another_order_in_each_world_unless_given():
    split = DomainSplit.of(torch.zeros(140, 1), [make_split()] * 4)
    shown = deal(Schedule(split, 2, 8, 40, order="domain_incremental"), 40, worlds=12)
    orders = {tuple(row.tolist()) for row in (split.cells[shown] // 4)[::10, :, 0, 0].T}
    assert len(orders) > 1
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
