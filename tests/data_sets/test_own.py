"""The user's own data: arrays, torch and Hugging Face data sets, folders of pictures."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
import torch

from studyhall.envs.errors import DataError
from studyhall.envs.streams import load_dataset

from .making import SPLITS, Pictures, fake_pictures, hub_like, same, save_folder


def test_uint8_arrays_are_normalised_by_the_stream():
    x, y = fake_pictures(100, 3, (3, 6, 5)), np.arange(100) % 4
    data = load_dataset((x, y))
    assert data.shape == (3, 6, 5)
    assert data.classes == ("0", "1", "2", "3")
    inputs = data.inputs("stream", torch.arange(60))
    torch.testing.assert_close(inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.var((0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)
    assert torch.equal(data.pixels("stream", torch.arange(60)), data.stream.x.float() / 255)


def test_float_arrays_are_taken_as_they_are():
    x, y = np.random.default_rng(0).normal(size=(90, 7)), torch.arange(90) % 3
    for given in ((x, y), [x, y], {"x": x, "y": y}, {"train": {"x": x, "y": y}}):
        data = load_dataset(given)
        assert data.shape == (7,)
        assert torch.equal(data.inputs("exam", torch.arange(18)), data.exam.x)
        assert data.exam.x.dtype == torch.float32
        pixels = data.pixels("stream", torch.arange(54))
        assert pixels.min() == 0
        assert pixels.max() == 1


def test_arrays_of_objects():
    x, y = np.random.default_rng(0).normal(size=(90, 7)), np.arange(90) % 3
    rows = np.empty(90, dtype=object)
    rows[:] = list(x)
    for given in (x.astype(object), rows):
        assert same(load_dataset((given, y)), load_dataset((x, y)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_last_pictures_are_moved(channels):
    x, y = fake_pictures(60, 0, (9, 8, channels)), np.arange(60) % 3
    assert same(load_dataset((x, y)), load_dataset((np.ascontiguousarray(x.transpose(0, 3, 1, 2)), y)))
    with pytest.raises(DataError, match=r"move channels first: x\.transpose\(0, 3, 1, 2\)"):
        load_dataset((x.astype(np.float32), y))


@pytest.mark.parametrize("shape", [(3, 9, 8), (1, 9, 3), (2, 3, 3), (9, 8, 7), (9, 3)])
def test_other_arrays_are_left_as_they_are(shape):
    data = load_dataset((fake_pictures(60, 0, shape), np.arange(60) % 3))
    assert data.shape == shape


def test_constant_arrays():
    y = np.arange(30) % 2
    for x in (np.full((30, 4), 9, dtype=np.uint8), np.full((30, 4), 9.0)):
        data = load_dataset((x, y))
        assert data.inputs("stream", torch.arange(5)).isfinite().all()
        assert data.pixels("stream", torch.arange(5)).isfinite().all()


def test_the_users_arrays_are_copied():
    x, y = fake_pictures(40, 0, (4,)), np.arange(40) % 2
    data = load_dataset({"train": (x, y), "exam": (x, y), "test": (x, y)})
    before = data.stream.x.clone()
    x[:] = 0
    assert torch.equal(data.stream.x, before)


def test_torch_dataset_of_tensors():
    x, y = torch.randn(60, 2, 3, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
    data = load_dataset(torch.utils.data.TensorDataset(x, y))
    assert same(data, load_dataset((x, y)))


def test_torch_dataset_of_pictures():
    grey = load_dataset(Pictures())
    assert grey.shape == (1, 5, 6)
    assert grey.classes == ("cat", "dog")
    assert load_dataset(Pictures("RGB")).shape == (3, 5, 6)
    assert load_dataset(Pictures(sizes=((6, 5), (8, 9))), image_size=(4, 7)).shape == (1, 4, 7)


def test_hugging_face_pictures():
    data = load_dataset(hub_like(40))
    assert data.shape == (1, 6, 5)
    assert data.classes == ("cat", "dog")
    expected = (fake_pictures(40, 5, (6, 5)), np.arange(40) % 2)
    assert same(data, load_dataset((expected[0][:, None], expected[1])))
    parts = datasets.DatasetDict({"train": hub_like(40), "validation": hub_like(20), "test": hub_like(10)})
    data = load_dataset(parts)
    assert [len(data.split(name)) for name in SPLITS] == [40, 20, 10]
    assert load_dataset(hub_like(40), image_size=3).shape == (1, 3, 3)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (datasets.Array2D((4, 3), "uint8"), torch.uint8),
        (datasets.Array2D((4, 3), "float32"), torch.float32),
        (datasets.Sequence(datasets.Sequence(datasets.Value("float64"))), torch.float32),
    ],
)
def test_hugging_face_arrays(kind, dtype):
    x, y = fake_pictures(40, 0, (4, 3)), np.arange(40) % 2
    held = datasets.Dataset.from_dict(
        {"x": x.tolist(), "label": y.tolist()},
        features=datasets.Features({"x": kind, "label": datasets.Value("int32")}),
    )
    data = load_dataset(held)
    assert data.stream.x.dtype == dtype
    assert same(data, load_dataset((x if dtype == torch.uint8 else x.astype(np.float32), y)))


def test_folder_of_pictures(tmp_path):
    data = load_dataset(save_folder(tmp_path / "pets"))
    assert (data.name, data.shape, data.classes) == ("pets", (1, 6, 5), ("cat", "dog"))
    expected = fake_pictures(20, 0, (6, 5))
    order = [*range(0, 20, 2), *range(1, 20, 2)]
    assert same(data, load_dataset((expected[order][:, None], np.repeat([0, 1], 10))))
    assert load_dataset(str(save_folder(tmp_path / "colour", shape=(6, 5, 3)))).shape == (3, 6, 5)


def test_folder_with_parts(tmp_path):
    save_folder(tmp_path / "pets" / "train", 20)
    save_folder(tmp_path / "pets" / "test", 10, seed=1)
    data = load_dataset(tmp_path / "pets")
    assert [len(data.split(name)) for name in SPLITS] == [16, 4, 10]


def test_folder_of_several_sizes(tmp_path):
    save_folder(tmp_path, 20)
    save_folder(tmp_path, 4, (9, 9, 3))
    says = r"'cat/000\.png' is 9x9, 'cat/004\.png' is 6x5.*from studyhall\.envs\.streams import load_dataset"
    with pytest.raises(DataError, match=says.replace("/", r"[/\\]+")):
        load_dataset(tmp_path)
    assert load_dataset(tmp_path, image_size=8).shape == (3, 8, 8)  # grey ones among coloured are repeated


def test_a_dataset_is_returned_as_it_is():
    data = load_dataset("digits")
    assert load_dataset(data) is data
    with pytest.raises(DataError, match="divided already"):
        load_dataset(data, exam_size=10)
