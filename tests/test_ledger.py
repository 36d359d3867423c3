"""The ledger: the width of each thing that crosses, and what the classroom charges to whom."""

import pytest
import torch

from studyhall import make_world
from studyhall.envs.channel import ledger
from studyhall.envs.streams import load_dataset

# ---- widths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "bits"), [(1, 0), (2, 1), (3, 2), (10, 4), (64, 6), (65, 7), (100, 7)])
def test_a_label_takes_the_bits_that_number_the_classes(classes, bits):
    assert 2**bits >= classes > (2**bits - 1) // 2  # no shorter code tells so many classes apart
    assert ledger.labels(1, classes) == bits
    assert ledger.labels(12, classes) == 12 * bits


@pytest.mark.parametrize(
    ("rows", "classes", "bits", "size"), [(6, 10, 32, 240), (6, 10, 8, 60), (3, 5, 4, 7.5)]
)
def test_soft_targets_take_a_number_for_each_class(rows, classes, bits, size):
    assert ledger.soft_targets(rows, classes, bits) / 8 == size
    assert ledger.soft_targets(rows, classes) == 8 * torch.zeros(rows, classes).numpy().nbytes


def test_weights_take_four_bytes_each():
    network = torch.nn.Linear(64, 10)
    sent = b"".join(p.detach().numpy().tobytes() for p in network.parameters())
    assert ledger.weights(650) == 8 * len(sent) == 8 * 2600


def test_raw_samples_are_as_wide_as_they_are_stored():
    pictures = load_dataset("digits").stream.x[:5]
    assert ledger.raw_samples(5 * 64, pictures.dtype) == 8 * len(pictures.numpy().tobytes()) == 8 * 320
    assert ledger.raw_samples(5 * 64, torch.float32) == 8 * 1280


def test_counts_may_be_whole_numbers_in_tensors():
    rows = torch.tensor([[0, 3], [16, 1]])
    for bits in (ledger.labels(rows, 10), ledger.soft_targets(rows, 10, 3), ledger.weights(rows)):
        assert bits.dtype == torch.int64
    assert ledger.labels(rows, 10).tolist() == [[0, 12], [64, 4]]
    assert ledger.soft_targets(rows, 10, 3).tolist() == [[0, 90], [480, 30]]


# ---- what the classroom charges ---------------------------------------------------------------------


def actions(world, asks, speaks):
    """Students of one world who ask and speak as said."""
    rows, classes = world.action_space["soft_targets"].shape
    exam = world.action_space["answers"].shape
    spoken = torch.tensor(speaks).float().view(1, -1, 1, 1).expand(1, -1, rows, classes)
    return {
        "soft_targets": spoken.clone(),
        "answers": torch.ones(1, len(asks), *exam),
        "ask": torch.tensor([asks]),
    }


def test_labels_are_charged_to_who_is_served_and_apart_from_messages():
    world = make_world("classroom-v0", agents=3, slice_size=6, exam_size=10, horizon=4, teacher_budget=2)
    world.reset(seed=0)
    for asks, speaks, taught, sent in (
        ([1, 0, 1], [0, 0, 0], [3, 0, 3], [0, 0, 0]),  # six labels of four bits: three bytes
        (
            [0, 0, 1],
            [1, 0, 0],
            [0, 0, 3],
            [480, 0, 0],
        ),  # six rows of ten numbers of four bytes, to two others
        ([1, 1, 1], [0, 0, 1], [0, 0, 0], [0, 0, 480]),  # the budget is spent
    ):
        info = world.step(actions(world, asks, speaks)).info
        assert info["label_bytes"].tolist() == [taught]
        assert info["bytes"].tolist() == [sent]
    assert world.metrics()["label_bytes"].tolist() == [[3, 0, 6]]
    assert world.metrics()["bytes"].tolist() == [[480, 0, 480]]


def test_label_bytes_follow_the_number_of_classes():
    x, y = torch.rand(90, 4, generator=torch.Generator().manual_seed(0)), torch.arange(90) % 2
    world = make_world("classroom-v0", data=(x, y), agents=2, slice_size=5, exam_size=4, horizon=3)
    world.reset(seed=0)
    info = world.step(actions(world, [1, 0], [0, 0])).info
    assert info["label_bytes"].tolist() == [[5 / 8, 0]]


def test_nothing_raw_crosses_in_the_classroom():
    assert make_world("classroom-v0").crosses == {"soft_targets", "labels"}
