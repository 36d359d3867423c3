"""Labels in every form, the classes they make, and what no label may do."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow
import pytest
import torch

from studyhall.envs.streams import load_dataset

from .making import Pictures, fault, hub_like, numbered

N = 90
X, Y = numbered(N, 3)
NAMES = np.array(["dog", "bird", "cat"])[Y]


ANIMALS = ("dog", "bird", "cat")
DIGITS = ("0", "1", "2")


@pytest.mark.parametrize(
    ("y", "named", "classes"),
    [
        (NAMES, ANIMALS, ("bird", "cat", "dog")),
        (NAMES.tolist(), ANIMALS, ("bird", "cat", "dog")),
        (NAMES.astype(object), ANIMALS, ("bird", "cat", "dog")),
        (pd.Series(NAMES, index=range(5, 5 + N)), ANIMALS, ("bird", "cat", "dog")),
        (pd.Categorical(NAMES, categories=["dog", "cat", "bird", "cow"]), ANIMALS, ("bird", "cat", "dog")),
        (pyarrow.array(NAMES), ANIMALS, ("bird", "cat", "dog")),
        (Y > 0, ("False", "True", "True"), ("False", "True")),
        (torch.tensor(Y > 0), ("False", "True", "True"), ("False", "True")),
        ((Y > 0).astype(object), ("False", "True", "True"), ("False", "True")),
        (Y.astype(float), DIGITS, DIGITS),
        (Y.astype(float).astype(object), DIGITS, DIGITS),
        (torch.tensor(Y).bfloat16(), DIGITS, DIGITS),
        (pd.array(Y, dtype="Int64"), DIGITS, DIGITS),
        (Y.astype(np.uint64), DIGITS, DIGITS),
        (np.array([0, 2, 5])[Y], ("0", "2", "5"), ("0", "2", "5")),
        (Y + 1, ("1", "2", "3"), ("1", "2", "3")),
        (np.array(["10", "9", "-1"])[Y], ("10", "9", "-1"), ("-1", "9", "10")),
        (np.array(["10", "9", "x"])[Y], ("10", "9", "x"), ("10", "9", "x")),
    ],
)
def test_labels_of_any_kind_name_their_classes(y, named, classes):
    data = load_dataset((X, y))
    assert data.classes == classes
    for split in (data.stream, data.exam, data.test):  # items carry their own number
        assert [data.classes[c] for c in split.y] == [named[Y[i]] for i in split.x.flatten().long()]


@pytest.mark.parametrize(
    ("y", "says"),
    [
        (
            np.where(np.arange(N) == 5, np.nan, Y),
            r"train y has no label in row 5 \(1 of 90 rows\): drop such rows",
        ),
        (np.where(np.arange(N) == 5, None, NAMES), r"no label in row 5"),
        (np.where(np.arange(N) > 80, "", NAMES), r"no label in row 81 \(9 of 90 rows\)"),
        (pd.array([pd.NA, *Y[1:]], dtype="Int64"), r"no label in row 0"),
        (Y - 1, r"label 0 of train y is -1: a negative number often marks items without a label"),
        (Y + 0.5, r"label 0 of train y is 0\.5: labels are whole numbers from 0, or names"),
        (np.linspace(-3, 3, N), r"is -2\.9\d+: labels are whole numbers"),
        (np.full(N, np.inf), r"label 0 of train y is inf"),
        (Y * 1e300, r"label 1 of train y is 1e\+300"),
        (Y.astype(np.uint64) + 2**63, r"label 0 of train y is 9223372036854775808"),
        (np.array([1, "a"] * 45, dtype=object), r"train y holds int and str: .* all of one kind"),
        ([1, "a"] * 45, r"train y holds int and str"),
        (Y * 1j, r"train y holds complex128"),
        (NAMES.astype("S"), r"train y holds \|S4"),
        ([[1], [2, 3]] * 45, r"train y has rows of unequal length"),
        (3, r"train y is of type int: give a list or an array"),
        ((i for i in Y), r"train y is of type generator"),
    ],
)
def test_faulty_labels_are_said_in_one_line(y, says):
    fault(says, (X, y))


def test_the_classes_are_those_of_train():
    train, test = (X, NAMES), (X[:30], NAMES[:30])
    data = load_dataset({"test": test, "train": train})
    assert data.classes == ("bird", "cat", "dog")
    assert [data.classes[c] for c in data.test.y] == sorted(NAMES[:30])
    cows = np.where(np.arange(30) == 7, "cow", NAMES[:30])
    fault(
        r"test has items of class 'cow', which train does not have \(only 'bird', 'cat', 'dog'\)",
        {"train": train, "test": (X[:30], cows)},
    )
    # numbers and their spelling are the same class
    assert load_dataset({"train": (X, Y), "test": (X, Y.astype(str))}).classes == ("0", "1", "2")


def test_classes_that_a_source_names():
    import datasets

    other = hub_like(20).cast_column(
        "kind", datasets.ClassLabel(names=["dog", "cat"])
    )  # the same, renumbered
    data = load_dataset({"train": hub_like(20), "test": other})
    assert data.classes == ("cat", "dog")
    twin = hub_like(20)
    assert torch.equal(data.test.x[data.test.y == 0], load_dataset({"train": twin, "test": twin}).test.x[10:])

    class Third(Pictures):
        def __getitem__(self, i):
            return super().__getitem__(i)[0], i % 3

    fault(r"label 2 of train is 2, but only 2 classes are named: 'cat', 'dog'", Third())


WILD = """
import numpy as np, resource
from studyhall.envs.errors import DataError
from studyhall.envs.streams import load_dataset
x, y = np.zeros((200, 3)), np.arange(200) % 2
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
wild, long = np.where(np.arange(200) == 3, 10**9, y), ["x" * 10**7] + ["a", "b"] * 99 + ["a"]
for labels in (wild, np.arange(200) * 10**7, long):
    try:
        load_dataset((x, labels))
    except DataError as fault:
        print(fault)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the module resource is Unix's")
def test_wild_labels_take_no_memory():
    done = subprocess.run([sys.executable, "-c", WILD], capture_output=True, text=True, check=True)
    *faults, kib = done.stdout.splitlines()
    assert len(faults) == 3
    assert "none of class '1000000000' (1 of 200 items)" in faults[0]
    assert int(kib) * (1 if sys.platform == "darwin" else 1024) < 200e6
