"""Exams, scores and rewards against small independent computations; the teacher's purse to the last label."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from studyhall.envs import rng
from studyhall.envs.classroom.teacher import Teacher
from studyhall.envs.errors import ConfigError
from studyhall.envs.exam import Exam, distributions
from studyhall.envs.streams import Split
from studyhall.envs.study import Pay


def make_split(counts) -> Split:
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return Split.sort(torch.arange(len(y)).float()[:, None], y, len(counts))


def draw(exam: Exam, split: Split, worlds: int) -> torch.Tensor:
    return exam.draw(split, rng.Draws(exam.draws(split))(rng.world_key(torch.arange(worlds), "train")))


@given(st.integers(1, 40), st.lists(st.integers(8, 30), min_size=2, max_size=7))
@settings(max_examples=40, deadline=None)
def test_exams_are_stratified_and_without_replacement(size, counts):
    split, exam = make_split(counts), Exam(size)
    if -(-size // len(counts)) > min(counts):
        with pytest.raises(ConfigError, match="set exam_size"):
            exam.check(split)
        return
    exam.check(split)
    items = draw(exam, split, 5)
    assert items.shape == (5, size)
    for row in items:
        assert len(row.unique()) == size
        per_class = torch.bincount(split.y[row], minlength=len(counts))
        assert per_class.max() - per_class.min() <= 1


def test_every_item_is_as_likely_as_any_other_of_its_class():
    split, exam = make_split([10, 10]), Exam(5)
    counts = torch.bincount(draw(exam, split, 4000).flatten(), minlength=20)
    assert (counts - 1000).abs().max() < 130  # 4 standard deviations


def test_scores_equal_a_plain_computation():
    g = np.random.default_rng(0)
    p = g.dirichlet(np.ones(4), size=(2, 3, 6)).astype(np.float32)
    y = g.integers(0, 4, size=(2, 6))
    score, correct = Exam(6).score(
        torch.from_numpy(p), torch.zeros(2, 3, 6, dtype=torch.bool), torch.from_numpy(y)
    )
    for w in range(2):
        for n in range(3):
            briers = [sum((p[w, n, e, c] - (c == y[w, e])) ** 2 for c in range(4)) for e in range(6)]
            assert score[w, n].item() == pytest.approx(1 - 0.5 * np.mean(briers), abs=1e-6)
            assert correct[w, n].tolist() == (p[w, n].argmax(-1) == y[w]).tolist()


def test_an_abstaining_row_scores_as_uniform_and_counts_as_wrong():
    exam = Exam(2)
    labels = torch.tensor([[0, 1]])
    uniform, _ = exam.score(torch.full((1, 1, 2, 5), 0.2), torch.zeros(1, 1, 2, dtype=torch.bool), labels)
    silent, right = exam.score(torch.zeros(1, 1, 2, 5), torch.ones(1, 1, 2, dtype=torch.bool), labels)
    assert silent.item() == pytest.approx(uniform.item())
    assert silent.item() == pytest.approx(exam.chance(5))
    assert not right.any()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0, 1))
def test_rewards_telescope(scores, cooperation):
    exam = Exam()
    start = smoothed = torch.tensor([[0.55, 0.55]])
    total = torch.zeros(1, 2)
    for s in scores:
        after = exam.smooth(smoothed, torch.tensor([[s, 1 - s]]))
        total += Pay(reward_scale=10.0, cooperation=cooperation).progress(smoothed, after)
        smoothed = after
    own = 10 * (smoothed - start)
    expected = (1 - cooperation) * own + cooperation * own.mean()
    assert torch.allclose(total, expected, atol=1e-4)


def test_cards_are_rounded_and_refreshed_on_their_days():
    exam = Exam(card_every=3)
    card = torch.zeros(1, 1)
    shown = []
    for clock in range(1, 8):
        day = exam.card_day(np.array([clock - 1]))
        card = exam.cards(card, torch.tensor([[clock / 7]]), torch.tensor([clock]), day)
        shown.append(round(card.item(), 4))
    assert shown == [0.14, 0.14, 0.14, 0.57, 0.57, 0.57, 1.0]


def test_weights_become_distributions_or_abstain():
    nan, inf = float("nan"), float("inf")
    rows = torch.tensor([[2.0, 2.0], [0.0, 0.0], [nan, 1.0], [inf, 1.0], [-1.0, 2.0], [0.0, 3.0]])
    p, abstained = distributions(rows)
    assert abstained.tolist() == [False, True, True, True, True, False]
    assert p.tolist() == [[0.5, 0.5], [0, 0], [0, 0], [0, 0], [0, 0], [0, 1]]


def serve(teacher: Teacher, asked, left=None, isolated=False, seed=0):
    n = len(asked[0])
    state = teacher.start(1, n, torch.device("cpu"))
    draws = rng.Draws(teacher.draws(n))(rng.world_key(torch.tensor([seed]), "train"))
    purse = state["left"] if left is None else torch.tensor([left])
    return teacher.answer(torch.tensor(asked), purse, state["own_left"], torch.tensor([isolated]), draws)


def test_one_call_serves_all_who_ask_about_a_shared_slice():
    answer = serve(Teacher(5, "calls", True, 8), [[True, False, True]])
    assert answer.served.tolist() == [[True, False, True]]
    assert answer.left.tolist() == [4]
    assert answer.calls.tolist() == [1]


def test_nobody_asking_costs_nothing():
    answer = serve(Teacher(5, "calls", True, 8), [[False, False]])
    assert answer.left.tolist() == [5]
    assert not answer.served.any()


def test_own_slices_cost_a_call_each_and_a_short_budget_serves_in_random_order():
    teacher = Teacher(10, "calls", False, 8)
    first = set()
    for seed in range(40):
        answer = serve(teacher, [[True, True, False, True]], left=2, seed=seed)
        assert answer.served.sum() == 2
        assert answer.refused.sum() == 1
        assert not answer.served[0, 2]
        assert answer.left.item() == 0
        first.add(tuple(answer.served[0].tolist()))
    assert len(first) == 3


def test_a_budget_in_labels_pays_whole_slices_only():
    teacher = Teacher(20, "labels", True, 8)
    assert serve(teacher, [[True]], left=8).left.item() == 0
    refused = serve(teacher, [[True]], left=7)
    assert refused.left.item() == 7
    assert refused.refused.all()


def test_an_isolated_world_splits_the_purse():
    teacher = Teacher(7, "calls", True, 8)
    answer = serve(teacher, [[True, True, True]], isolated=True)
    assert answer.own_left.tolist() == [[1, 1, 1]]  # 7 // 3 each, one spent
    assert answer.left.tolist() == [4]
    assert answer.calls.tolist() == [3]


def test_no_limit_means_none():
    teacher = Teacher(None, "calls", True, 8)
    answer = serve(teacher, [[True]])
    assert answer.served.all()
    assert teacher.fraction_left(answer.left, answer.own_left, torch.tensor([False])).item() == 1


@pytest.mark.parametrize("budget", [-1, 2.5])
def test_a_budget_is_a_whole_number(budget):
    with pytest.raises(ConfigError, match="teacher_budget"):
        Teacher(budget, "calls", True, 8)
