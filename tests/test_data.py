"""Data sets: the three splits, every way in, the cache, and an error of one line for every fault."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from studyhall.envs.errors import ConfigError, DataError, StudyhallError, UnknownName, unknown
from studyhall.envs.streams import DATASETS, Dataset, Split, cache, load_dataset, named
from studyhall.envs.streams.division import stratified

SPLITS = ("stream", "exam", "test")


def picture_bytes(pixels: np.ndarray, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def write_parquet(path: Path, pictures: list[bytes | None], labels: list, columns=("image", "label")) -> Path:
    """A file as the hub has them, without the hub's own metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pyarrow.array(
        [{"bytes": raw, "path": None} for raw in pictures],
        pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]),
    )
    parquet.write_table(pyarrow.table([image, pyarrow.array(labels)], names=list(columns)), path)
    return path


def fake_pictures(n: int, seed: int, shape=(28, 28)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.fixture
def fake_mnist(tmp_path, monkeypatch) -> Path:
    """A tiny data set under MNIST's name: 100 training pictures in two files, 20 for the test."""
    monkeypatch.setenv("STUDYHALL_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "data"
    for name, n, seed in (("train-0", 60, 0), ("train-1", 40, 1), ("test", 20, 2)):
        encoded = [picture_bytes(pixels) for pixels in fake_pictures(n, seed)]
        write_parquet(root / "mnist" / f"{name}.parquet", encoded, [i % 10 for i in range(n)])
    return root


def numbered(n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Items that carry their own number, so that a test can follow them."""
    return np.arange(n, dtype=np.float64)[:, None], np.arange(n) % classes


def items(split: Split) -> set[int]:
    return set(split.x.flatten().long().tolist())


def check_invariants(data: Dataset) -> None:
    for name in SPLITS:
        split = data.split(name)
        assert split.y.dtype == split.counts.dtype == split.offsets.dtype == torch.int64
        assert torch.equal(split.y, split.y.sort().values)
        assert torch.equal(split.counts, torch.bincount(split.y, minlength=data.num_classes))
        assert int(split.counts.min()) > 0
        for c in range(data.num_classes):
            of_class = split.y[split.offsets[c] : split.offsets[c] + split.counts[c]]
            assert len(of_class) == split.counts[c]
            assert bool((of_class == c).all())
        assert len(split.x) == len(split.y) == int(split.counts.sum())


# --- splits -----------------------------------------------------------------------------------------------


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


# --- reading items ----------------------------------------------------------------------------------------


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
    assert repr(data.exam) == "Split(359 items of 10 classes)"


# --- local parquet ----------------------------------------------------------------------------------------


def test_local_parquet_is_decoded_exactly(fake_mnist):
    data = load_dataset("mnist", data_dir=fake_mnist)
    check_invariants(data)
    assert [len(data.split(name)) for name in SPLITS] == [80, 20, 20]
    assert data.shape == (1, 28, 28)
    truth = {}
    for seed, n in ((0, 60), (1, 40)):
        truth |= {pixels.tobytes(): i % 10 for i, pixels in enumerate(fake_pictures(n, seed))}
    seen = {}
    for name in ("stream", "exam"):
        split = data.split(name)
        seen |= {x.numpy().tobytes(): int(y) for x, y in zip(split.x, split.y, strict=True)}
    assert seen == truth
    assert torch.equal(
        data.test.x[:, 0], torch.from_numpy(fake_pictures(20, 2))[torch.arange(20).view(2, 10).T.flatten()]
    )
    first = data.inputs("test", torch.arange(20))
    torch.testing.assert_close(first, (data.test.x.float() / 255 - 0.1307) / 0.3081)


def test_local_parquet_in_colour(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDYHALL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STUDYHALL_DATA", str(tmp_path))
    pictures = fake_pictures(300, 0, (32, 32, 3))
    names = datasets.Features(
        {
            "img": datasets.Image(),
            "fine_label": datasets.ClassLabel(names=[f"kind {c}" for c in range(100)]),
            "coarse_label": datasets.Value("int64"),
        }
    )
    for part in ("train", "test"):
        rows = {
            "img": [{"bytes": picture_bytes(pixels), "path": None} for pixels in pictures],
            "fine_label": [i % 100 for i in range(300)],
            "coarse_label": [0] * 300,
        }
        (tmp_path / "cifar100").mkdir(exist_ok=True)
        datasets.Dataset.from_dict(rows, features=names).to_parquet(tmp_path / "cifar100" / f"{part}.parquet")
    data = load_dataset("cifar100", exam_size=100)
    assert data.shape == (3, 32, 32)
    assert data.classes[42] == "kind 42"
    assert data.mean.shape == (3, 1, 1)
    expected = torch.from_numpy(pictures[[0, 100, 200]]).permute(0, 3, 1, 2)
    assert torch.equal(data.test.x[:3], expected)
    torch.testing.assert_close(
        data.inputs("test", torch.arange(3)), (expected / 255 - data.mean) / data.std, rtol=1e-5, atol=1e-6
    )


def test_local_parquet_needs_no_network(fake_mnist, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: asked.append(a))
    load_dataset("mnist", data_dir=fake_mnist)
    assert asked == []


def test_folder_names_are_no_patterns(fake_mnist, tmp_path):
    odd = fake_mnist.rename(tmp_path / "data [1] *")
    assert len(load_dataset("mnist", data_dir=odd).test) == 20


def test_real_mnist(real_data):
    data = load_dataset("mnist")
    check_invariants(data)
    assert [len(data.split(name)) for name in SPLITS] == [48_000, 12_000, 10_000]
    assert data.test.counts.tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    train = data.stream.counts + data.exam.counts
    assert train.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    inputs = data.inputs("stream", torch.arange(0, 48_000, 16))
    assert abs(inputs.mean().item()) < 0.02
    assert abs(inputs.std().item() - 1) < 0.02


@pytest.mark.slow
def test_real_cifar100(real_data):
    data = load_dataset("cifar100")
    check_invariants(data)
    assert [len(data.split(name)) for name in SPLITS] == [40_000, 10_000, 10_000]
    assert data.test.counts.tolist() == [100] * 100
    assert data.classes[0] == "apple"
    inputs = data.inputs("stream", torch.arange(0, 40_000, 16))
    assert abs(inputs.mean().item()) < 0.03
    assert abs(inputs.std().item() - 1) < 0.03


# --- cache ------------------------------------------------------------------------------------------------


def entries(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").iterdir())


def same(a: Dataset, b: Dataset) -> bool:
    return all(
        torch.equal(a.split(name).x, b.split(name).x) and torch.equal(a.split(name).y, b.split(name).y)
        for name in SPLITS
    )


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """Grows by one with each decoded picture."""
    calls: list[int] = []
    decode = named.pictures.decode
    monkeypatch.setattr(named.pictures, "decode", lambda *a, **k: (calls.append(1), decode(*a, **k))[1])
    return calls


def test_cache_hit(fake_mnist, tmp_path, decoded):
    first = load_dataset("mnist", data_dir=fake_mnist)
    assert len(decoded) == 120
    second = load_dataset("mnist", data_dir=fake_mnist)
    assert len(decoded) == 120
    assert same(first, second)
    assert first.classes == second.classes
    (entry,) = entries(tmp_path)  # and no drafts left behind
    assert sorted(path.name for path in entry.iterdir()) == [
        "meta.json",
        "test_x.npy",
        "test_y.npy",
        "train_x.npy",
        "train_y.npy",
    ]


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "meta", "pickle", "empty"])
def test_damaged_cache_is_rebuilt(fake_mnist, tmp_path, decoded, damage):
    first = load_dataset("mnist", data_dir=fake_mnist)
    (entry,) = entries(tmp_path)
    file = entry / "train_x.npy"
    raw = file.read_bytes()
    if damage == "cut":
        file.write_bytes(raw[: len(raw) // 2])
    elif damage == "flip":
        file.write_bytes(raw[:-100] + bytes(100))
    elif damage == "gone":
        file.unlink()
    elif damage == "meta":
        (entry / "meta.json").write_text(json.dumps([1, 2]))
    elif damage == "pickle":
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        file.write_bytes(b"")
    assert same(first, load_dataset("mnist", data_dir=fake_mnist))
    assert len(decoded) == 240
    assert same(first, load_dataset("mnist", data_dir=fake_mnist))
    assert len(decoded) == 240
    assert len(entries(tmp_path)) == 1


def test_changed_source_is_decoded_again(fake_mnist, decoded):
    load_dataset("mnist", data_dir=fake_mnist)
    file = fake_mnist / "mnist" / "test.parquet"
    other = fake_pictures(20, 99)
    write_parquet(file, [picture_bytes(pixels) for pixels in other], [i % 10 for i in range(20)])
    data = load_dataset("mnist", data_dir=fake_mnist)
    assert len(decoded) == 240
    assert torch.equal(data.test.x[0, 0], torch.from_numpy(other[0]))


def test_unwritable_cache_costs_a_warning(fake_mnist, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STUDYHALL_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="cannot be kept in") as caught:
        data = load_dataset("mnist", data_dir=fake_mnist)
    assert len(caught) == 1
    assert len(data.test) == 20


def test_a_second_writer_is_no_fault(tmp_path, monkeypatch):
    # Another process finishes the same entry between our removal of a damaged one and our rename.
    entry, arrays = tmp_path / "entry", {"x": np.arange(3)}
    cache.write(entry, arrays, {})
    monkeypatch.setattr(cache.shutil, "rmtree", lambda *a, **k: None)
    cache.write(entry, arrays, {})  # would warn, and warnings are caught below
    stored = cache.read(entry)
    assert stored is not None
    assert np.array_equal(stored[0]["x"], arrays["x"])


def test_cache_folder_follows_the_platform(monkeypatch, tmp_path):
    monkeypatch.delenv("STUDYHALL_CACHE")
    monkeypatch.setattr(cache.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "studyhall"
    monkeypatch.setattr(cache.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache.folder() == tmp_path / "local" / "studyhall"
    monkeypatch.setattr(cache.sys, "platform", "darwin")
    assert cache.folder().parts[-3:] == ("Library", "Caches", "studyhall")


# --- the user's own ---------------------------------------------------------------------------------------


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


class Pictures(torch.utils.data.Dataset):
    """Pictures with class names, as torchvision's data sets give them."""

    classes = ("cat", "dog")

    def __init__(self, mode: str = "L", sizes=((6, 5),)) -> None:
        self.mode, self.sizes = mode, sizes

    def __len__(self):
        return 30

    def __getitem__(self, i):
        width, height = self.sizes[i % len(self.sizes)]
        return Image.new(self.mode, (width, height), i if self.mode in ("L", "I") else (i, 0, 0)), i % 2


def test_torch_dataset_of_pictures():
    grey = load_dataset(Pictures())
    assert grey.shape == (1, 5, 6)
    assert grey.classes == ("cat", "dog")
    assert load_dataset(Pictures("RGB")).shape == (3, 5, 6)
    assert load_dataset(Pictures(sizes=((6, 5), (8, 9))), image_size=(4, 7)).shape == (1, 4, 7)


def hub_like(n: int) -> datasets.Dataset:
    pictures = fake_pictures(n, 5, (6, 5))
    return datasets.Dataset.from_dict(
        {
            "note": ["x"] * n,
            "picture": [Image.fromarray(p) for p in pictures],
            "kind": [i % 2 for i in range(n)],
        },
        features=datasets.Features(
            {
                "note": datasets.Value("string"),
                "picture": datasets.Image(),
                "kind": datasets.ClassLabel(names=["cat", "dog"]),
            }
        ),
    )


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


def save_folder(root: Path, n: int = 20, shape=(6, 5), seed: int = 0) -> Path:
    for i, pixels in enumerate(fake_pictures(n, seed, shape)):
        folder = root / ("cat", "dog")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i:03}.png")
    return root


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
    with pytest.raises(DataError, match=r"differ in size .*load_dataset\(folder, image_size="):
        load_dataset(tmp_path)
    assert load_dataset(tmp_path, image_size=8).shape == (3, 8, 8)  # grey ones among coloured are repeated


def test_a_dataset_is_returned_as_it_is():
    data = load_dataset("digits")
    assert load_dataset(data) is data
    with pytest.raises(DataError, match="divided already"):
        load_dataset(data, exam_size=10)


def test_names_listed():
    assert list(DATASETS) == ["digits", "mnist", "fashion_mnist", "cifar10", "cifar100"]
    assert all("\n" not in line and "classes" in line for line in DATASETS.values())


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


# --- faults -----------------------------------------------------------------------------------------------


def fault(expected: str, data, **arguments) -> None:
    with pytest.raises(DataError, match=expected) as caught:
        load_dataset(data, **arguments)
    assert "\n" not in str(caught.value)


def test_unknown_names():
    with pytest.raises(UnknownName, match=r"^unknown data set 'minst': did you mean 'mnist'"):
        load_dataset("minst")
    with pytest.raises(UnknownName, match=r"known are cifar10, cifar100, digits, fashion_mnist, mnist$"):
        load_dataset("zzz")
    with pytest.raises(UnknownName):
        load_dataset("")
    assert str(unknown("policy", "x", ())) == "unknown policy 'x': known are none"
    for kind in (UnknownName, DataError, ConfigError):
        assert issubclass(kind, StudyhallError)


def test_missing_folders(tmp_path, fake_mnist, monkeypatch):
    fault(r"data_dir is '.*nowhere', which is no folder", "mnist", data_dir=tmp_path / "nowhere")
    fault(r"data_dir '.*' has no folder 'cifar10' \(it holds mnist\)", "cifar10", data_dir=fake_mnist)
    monkeypatch.setenv("STUDYHALL_DATA", str(tmp_path / "nowhere"))
    fault(r"STUDYHALL_DATA is '.*nowhere', which is no folder", "mnist")
    monkeypatch.setenv("STUDYHALL_DATA", str(fake_mnist))
    fault(r"leave STUDYHALL_DATA unset to use the hub", "cifar10")
    (fake_mnist / "mnist" / "test.parquet").unlink()
    fault(r"has no test\*\.parquet", "mnist")
    fault(r"'.*pets' is no folder", "./pets")
    fault(r"'.*pets' is no folder", tmp_path / "pets")


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "flip"])
def test_corrupt_parquet_is_named(fake_mnist, damage):
    file = fake_mnist / "mnist" / "train-1.parquet"
    raw = file.read_bytes()
    worse = {"cut": raw[:2000], "noise": b"garbage" * 50, "empty": b""}.get(damage)
    file.write_bytes(raw[:500] + b"\xff" * 4000 + raw[4500:] if worse is None else worse)
    fault(r"'.*train-1\.parquet' cannot be read as parquet", "mnist", data_dir=fake_mnist)


def test_faulty_columns(fake_mnist):
    file = fake_mnist / "mnist" / "test.parquet"
    encoded = [picture_bytes(pixels) for pixels in fake_pictures(20, 2)]
    labels = [i % 10 for i in range(20)]
    write_parquet(file, encoded, labels, ("img", "label"))
    fault(r"test\.parquet has no column 'image', only img, label", "mnist", data_dir=fake_mnist)
    write_parquet(file, encoded, [*labels[:-1], 10])
    fault(r"row 19 of .*test\.parquet has label 10, expected 0 to 9", "mnist", data_dir=fake_mnist)
    write_parquet(file, encoded, [*labels[:-1], None])
    fault(r"column 'label' of .* holds gaps", "mnist", data_dir=fake_mnist)
    write_parquet(file, encoded, list(map(str, labels)))
    fault(r"column 'label' of .* holds string", "mnist", data_dir=fake_mnist)
    parquet.write_table(pyarrow.table({"image": [[1, 2]] * 20, "label": labels}), file)
    fault(r"column 'image' of .* not encoded pictures", "mnist", data_dir=fake_mnist)
    write_parquet(file, [], pyarrow.array([], pyarrow.int64()))
    fault(r"has no rows", "mnist", data_dir=fake_mnist)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"no picture", "is not a readable picture"),
        (None, "is not a readable picture"),
        (picture_bytes(fake_pictures(1, 0)[0])[:300], "is not a readable picture"),
        (picture_bytes(fake_pictures(1, 0, (5, 9))[0]), "is 5x9 pixels, expected 28x28"),
        (picture_bytes(fake_pictures(1, 0, (28, 28, 3))[0]), "has colours"),
    ],
)
def test_undecodable_pictures(fake_mnist, raw, said):
    encoded = [picture_bytes(pixels) for pixels in fake_pictures(40, 1)]
    encoded[17] = raw
    write_parquet(fake_mnist / "mnist" / "train-1.parquet", encoded, [i % 10 for i in range(40)])
    fault(rf"row 17 of .*train-1\.parquet .*{said}", "mnist", data_dir=fake_mnist)


def test_unreachable_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDYHALL_CACHE", str(tmp_path))
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    before, start = datasets.config.HF_HUB_OFFLINE, time.perf_counter()
    fault(
        r"cannot get uoft-cs/cifar10 from the Hugging Face hub .* set STUDYHALL_DATA or data_dir", "cifar10"
    )
    assert time.perf_counter() - start < 10
    assert datasets.config.HF_HUB_OFFLINE is before


def test_hub_is_decoded_by_the_same_code(tmp_path, monkeypatch, fake_mnist):
    files = {part: str(fake_mnist / "mnist" / f"{part}*.parquet") for part in ("train", "test")}
    fetched = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "hf"))
    monkeypatch.setattr(named, "_open_hub", lambda repository: {"ylecun/mnist": fetched}[repository])
    from_hub = load_dataset("mnist")
    monkeypatch.setattr(
        named, "_open_hub", lambda repository: pytest.fail("the cache should have served this")
    )
    assert same(from_hub, load_dataset("mnist"))
    assert same(from_hub, load_dataset("mnist", data_dir=fake_mnist))


def test_a_hub_that_answers():
    assert named._answers("data:,hello")
    assert not named._answers("http://127.0.0.1:9")


def test_faulty_arrays():
    x, y = np.zeros((40, 3)), np.arange(40) % 2
    gap = x.copy()
    gap[7, 1] = np.nan
    fault(r"item 7 of train x is NaN or infinite \(1 of 40 items", (gap, y))
    fault(r"0 is missing below 2.*renumbers them", (x, y + 1))
    fault(r"1 is missing below 2", (x, y * 2))
    fault(r"all items are of class 0", (x, y * 0))
    fault(r"train y holds float64: labels are integers", (x, y.astype(float)))
    fault(r"label 1 of train y is -1", (x, -y))
    fault(r"train y is no array of numbers", (x, ["cat"] * 40))
    fault(r"train y has shape \(40, 1\)", (x, y[:, None]))
    fault(r"train has 40 items in x but 39 labels in y", (x, y[1:]))
    fault(r"train x has shape \(40,\)", (x[:, 0], y))
    fault(r"complex", (x.astype(complex), y))
    fault(r"train x is no array of numbers", ([[1, 2], [3]], [0, 1]))
    fault(r"train has no items", (x[:0], y[:0]))
    fault(r"train is of type int", 3)
    fault(r"train is of type ndarray", x)
    fault(r"part 'tset' of the data is not understood", {"train": (x, y), "tset": (x, y)})
    fault(r"no part 'train'", {"test": (x, y)})
    fault(
        r"test items are float32 \(2,\), train items are float32 \(3,\)",
        {"train": (x, y), "test": (x[:, 1:], y)},
    )
    fault(r"uint8", {"train": (x, y), "test": (x.astype(np.uint8), y)})


def test_too_little_data():
    fault(r"the stream split \(0 items\)|is too small", numbered(4, 2))
    labels = [0] * 36 + [1, 2, 1, 2]
    fault(r"split .* none of class .*; every split", (np.zeros((40, 1)), labels))
    fault(r"stream_size is 500, but only 24 items are left", numbered(40, 2), stream_size=500)
    fault(r"exam_size is 0", numbered(40, 2), exam_size=0)
    fault(r"stream split \(3 items\) is too small", numbered(400, 10), stream_size=3)


def test_faulty_torch_datasets():
    class Streamed(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(())

    class Triples(Pictures):
        def __getitem__(self, i):
            return (*super().__getitem__(i), 3)

    class OneHot(Pictures):
        def __getitem__(self, i):
            return torch.zeros(3), torch.eye(4)[i % 4]

    class Ragged(Pictures):
        def __getitem__(self, i):
            return torch.zeros(3 + (i == 4)), 0

    class Endless(torch.utils.data.Dataset):
        pass

    fault(r"iterable data set", Streamed())
    fault(r"item 0 of train is no pair", Triples())
    fault(r"train y has shape \(30, 4\): give one class number an item", OneHot())
    fault(r"items of train differ in shape \(item 0 is \(3,\), item 4 is \(4,\)\)", Ragged())
    fault(r"without a length", Endless())
    fault(r"differ in size \(picture 0 is 5x6, picture 1 is 9x8\)", Pictures(sizes=((6, 5), (8, 9))))
    fault(r"more than 8 bits", Pictures("I"))
    fault(r"image_size is \(3,\)", Pictures(), image_size=(3,))


def test_faulty_hugging_face_datasets():
    fault(r"no label column among note, picture", hub_like(20).remove_columns("kind"))
    fault(r"no image column among note, kind", hub_like(20).remove_columns("picture"))
    two = hub_like(20).add_column("other", [[1.0]] * 20)
    assert load_dataset(two).shape == (1, 6, 5)  # a picture goes before an array
    two = two.remove_columns("picture").add_column("another", [[1.0]] * 20)
    fault(r"more than one column that could be the image \(other, another\)", two)
    fault(r"streamed data set", hub_like(20).to_iterable_dataset())
    renamed = hub_like(20).cast_column("kind", datasets.ClassLabel(names=["dog", "cat"]))
    fault(r"the classes of train and test differ", {"train": hub_like(20), "test": renamed})


def test_faulty_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    fault(r"'.*empty' is no folder of picture classes", tmp_path / "empty")
    save_folder(tmp_path / "pets")
    (tmp_path / "pets" / "cat" / "999.png").write_bytes(b"no picture")
    fault(r"999\.png' is not a readable picture", tmp_path / "pets")
