"""The three splits: sizes, strata, nothing lost and nothing twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from studyhall import make_world
from studyhall.envs.errors import ConfigError
from studyhall.envs.streams import load_dataset
from studyhall.envs.streams.division import stratified

from .making import SPLITS, check_invariants, fault, items, numbered


def test_digits_sizes_and_stratification():
    data = load_dataset("digits")
    check_invariants(data)
    assert [len(data.split(name)) for name in SPLITS] == [1079, 359, 359]
    assert data.shape == (1, 8, 8)
    assert data.classes == tuple("0123456789")
    total = sum(data.split(name).counts for name in SPLITS)
    for name in ("exam", "test"):
        split = data.split(name)
        assert ((split.counts - total * len(split) / 1797).abs() < 1.5).all()


def test_digits_are_all_there_once():
    from sklearn.datasets import load_digits

    data, truth = load_dataset("digits"), load_digits()
    every = torch.cat([data.split(name).x for name in SPLITS]).flatten(1)
    assert torch.equal(every.unique(dim=0), torch.from_numpy(truth.data.astype(np.uint8)).unique(dim=0))
    assert len(every.unique(dim=0)) == 1797  # no two digits are equal, so no picture is in two splits


def test_the_division_is_the_same_on_every_machine():
    # Recorded figures: a change here changes every result on every data set.
    chosen = stratified(torch.arange(20) % 2, 6, 2, "split exam")
    assert chosen.nonzero().flatten().tolist() == [0, 7, 8, 13, 16, 17]
    exam = load_dataset("digits").exam
    assert int((exam.x.flatten(1).long().sum(1) * torch.arange(359)).sum()) == 20_241_241


def test_splits_are_disjoint_and_complete():
    data = load_dataset(numbered(500, 7))
    check_invariants(data)
    sets = [items(data.split(name)) for name in SPLITS]
    assert [len(held) for held in sets] == [300, 100, 100]
    assert set.union(*sets) == set(range(500))


def test_classes_keep_their_order_within_a_split():
    data = load_dataset(numbered(500, 7))
    for c in range(7):
        of_class = data.stream.x[data.stream.y == c].flatten()
        assert torch.equal(of_class, of_class.sort().values)


def test_sizes():
    data = load_dataset(numbered(500, 5), stream_size=50, exam_size=25, test_size=10)
    assert [len(data.split(name)) for name in SPLITS] == [50, 25, 10]
    assert data.exam.counts.tolist() == [5] * 5
    # a smaller stream is part of the larger one, and leaves exam and test alone
    whole = load_dataset(numbered(500, 5), exam_size=25, test_size=10)
    assert items(data.stream) < items(whole.stream)
    assert items(data.exam) == items(whole.exam)


def test_given_parts_are_kept():
    x, y = numbered(120, 3)
    data = load_dataset({"train": (x[:60], y[:60]), "exam": (x[60:90], y[60:90]), "test": (x[90:], y[90:])})
    assert [items(data.split(name)) for name in SPLITS] == [
        set(range(60)),
        set(range(60, 90)),
        set(range(90, 120)),
    ]
    fewer = load_dataset({"train": (x[:60], y[:60]), "test": (x[90:], y[90:])}, test_size=9)
    assert items(fewer.test) < set(range(90, 120))
    assert len(fewer.test) == 9
    assert len(fewer.exam) == 12


@pytest.mark.parametrize("size", [0, 1, 7, 33, 99, 100])
def test_stratified_takes_exact_numbers(size):
    y = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    chosen = stratified(y, size, 3, "some purpose")
    assert int(chosen.sum()) == size
    share = torch.bincount(y[chosen], minlength=3) - size * torch.tensor([0.5, 0.3, 0.2])
    assert share.abs().max() < 1
    assert size in (0, 100) or not torch.equal(chosen, stratified(y, size, 3, "another purpose"))


def test_too_little_data():
    fault(r"the stream split \(0 items\)|is too small", numbered(4, 2))
    labels = [0] * 36 + [1, 2, 1, 2]
    says = r"the test split \(8 items\) is too small: it has none of class '2' \(2 of 40 items\); every split needs "
    says += "every class, .* or call load_dataset with another test_size$"
    fault(says, (np.zeros((40, 1)), labels))
    fault(r"stream_size is 500, but only 24 items are left", numbered(40, 2), stream_size=500)
    fault(r"exam_size \(exam_items of a world\) is 0", numbered(40, 2), exam_size=0)
    fault(
        r"exam_size \(exam_items of a world\) is 2\.5: give a number of items", numbered(40, 2), exam_size=2.5
    )
    fault(r"test_size is 1000000000000, but only 40 items are left", numbered(40, 2), test_size=10**12)
    fault(r"stream split \(3 items\) is too small", numbered(400, 10), stream_size=3)


def test_less_of_a_data_set_is_its_first_classes_and_an_even_share_of_the_stream():
    whole = load_dataset("digits")
    less = whole.reduced(classes=4, stream_items=42)
    assert less.classes == whole.classes[:4]
    assert less.stream.counts.tolist() == [11, 11, 10, 10]
    for split in ("exam", "test"):
        kept = whole.split(split).y < 4
        assert torch.equal(less.split(split).x, whole.split(split).x[kept])
    first = torch.cat([whole.stream.x[whole.stream.y == c][:n] for c, n in enumerate((11, 11, 10, 10))])
    assert torch.equal(less.stream.x, first)
    index = torch.arange(11)
    assert torch.equal(
        less.inputs("stream", index), whole.inputs("stream", index)
    )  # normalised as the whole is
    assert whole.reduced(None, None) is whole


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"stream_items": 9}, "stream_items must be between 10 and .* an even share of 10 classes, got 9"),
        ({"stream_items": 100_000}, "stream_items must be between 10 and"),
        ({"stream_items": 0}, "stream_items"),
        ({"data_classes": 11}, "data_classes must be a whole number between 1 and 10"),
        ({"data_classes": 2, "stream_items": 1}, "between 2 and .* share of 2 classes"),
    ],
)
def test_less_than_there_can_be_is_one_line(kwargs, says):
    with pytest.raises(ConfigError, match=says):
        make_world("society-v0", **kwargs)


def test_a_society_of_few_classes_and_items():
    world = make_world("society-v0", agents=2, data_classes=4, stream_items=40, deal="sorted", horizon=3)
    world.reset(seed=0)
    assert world.experts(world._state)[0].tolist() == [[True, True, False, False], [False, False, True, True]]
    assert len(world.dataset.stream) == 40
