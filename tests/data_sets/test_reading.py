"""Reading items of a data set: inputs, labels and pixels; the names there are, and a light import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from studyhall.envs.errors import ConfigError, DataError, StudyhallError, UnknownName, unknown
from studyhall.envs.streams import DATASETS, load_dataset

from .making import numbered


def test_inputs_labels_and_pixels():
    data = load_dataset("digits")
    index = torch.tensor([[0, 5, 5], [1078, 2, 7]])
    raw = data.stream.x[index].float()
    inputs = data.inputs("stream", index)
    assert inputs.shape == (2, 3, 1, 8, 8)
    assert inputs.dtype == torch.float32
    torch.testing.assert_close(inputs, (raw / 16 - data.mean) / data.std)
    assert torch.equal(data.labels("stream", index), data.stream.y[index])
    assert torch.equal(data.pixels("stream", index), raw / 16)
    assert data.inputs("test", torch.tensor(3)).shape == (1, 8, 8)
    assert data.inputs("test", torch.empty(0, 4, dtype=torch.int64)).shape == (0, 4, 1, 8, 8)
    with pytest.raises(UnknownName, match="unknown split 'exams': did you mean 'exam'"):
        data.inputs("exams", index)


def test_digits_are_normalised():
    data = load_dataset("digits")
    inputs = data.inputs("stream", torch.arange(1079))
    assert abs(inputs.mean().item()) < 0.01
    assert abs(inputs.std().item() - 1) < 0.01


def test_reading_leaves_the_items_alone():
    for data in (load_dataset("digits"), load_dataset(numbered(50, 2))):
        before = data.stream.x.clone()
        data.inputs("stream", torch.arange(5)).fill_(7)
        data.pixels("stream", torch.arange(5)).fill_(7)
        assert torch.equal(before, data.stream.x)


def test_to_the_same_device():
    data = load_dataset("digits")
    assert data.to("cpu") is data
    assert data.device == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_inputs_are_bit_identical_on_a_gpu():
    data = load_dataset("digits")
    moved, index = data.to("cuda"), torch.arange(359)
    assert moved.device.type == moved.mean.device.type == moved.exam.counts.device.type == "cuda"
    assert moved.to("cuda") is moved
    for read in ("inputs", "labels"):
        there = getattr(moved, read)("exam", index.cuda())
        assert torch.equal(there.cpu(), getattr(data, read)("exam", index))


def test_repr_is_short():
    data = load_dataset("digits")
    assert repr(data) == "Dataset('digits', shape=(1, 8, 8), classes=10, stream=1079, exam=359, test=359)"
    named = load_dataset((np.zeros((60, 2)), ["cat", "dog", "bird"] * 20))
    assert "classes=3 ('bird', 'cat', 'dog')" in repr(named)
    assert repr(data.exam) == "Split(359 items of 10 classes)"


def test_names_listed():
    assert list(DATASETS) == ["digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "ag_news"]
    assert all("\n" not in line and "classes" in line for line in DATASETS.values())


def test_unknown_names():
    with pytest.raises(
        UnknownName, match=r"^unknown data set 'minst', nor is there .*: did you mean 'mnist'"
    ):
        load_dataset("minst")
    with pytest.raises(
        UnknownName, match=r"known are ag_news, cifar10, cifar100, digits, fashion_mnist, mnist$"
    ):
        load_dataset("zzz")
    with pytest.raises(UnknownName):
        load_dataset("")
    assert str(unknown("policy", "x", ())) == "unknown policy 'x': known are none"
    for kind in (UnknownName, DataError, ConfigError):
        assert issubclass(kind, StudyhallError)


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = (
        "import sys; from studyhall.envs.streams import load_dataset; load_dataset('digits'); "
        "print([m for m in ('datasets', 'torchvision', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_torchvision_imports_beside_any_torch():
    code = (
        "from studyhall.envs.streams.torchvision_shim import import_torchvision as get; "
        "tv = get(); assert get() is tv; from torchvision.transforms import v2; print(tv.datasets.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "torchvision.datasets"
