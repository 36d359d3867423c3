"""Faults of the user's own data: an error of one line each."""

from __future__ import annotations

import zlib

import datasets
import numpy as np
import pytest
import torch

from studyhall.envs.streams import load_dataset

from .making import Pictures, fault, hub_like, save_folder


def test_faulty_arrays():
    x, y = np.zeros((40, 3)), np.arange(40) % 2
    gap = x.copy()
    gap[7, 1] = np.nan
    fault(r"item 7 of train x is NaN or infinite \(1 of 40 items", (gap, y))
    fault(r"all items are of class '0'", (x, y * 0))
    fault(r"all items are of class 'cat'", (x, ["cat"] * 40))
    fault(r"train x has masked entries: fill them", (np.ma.masked_equal(x, 0), y))
    fault(r"train x has masked entries", ([np.ma.masked_equal(row, 0) for row in x], y))
    fault(r"train y has masked entries", (x, np.ma.masked_equal(y, 1)))
    fault(r"train y has shape \(40, 1\)", (x, y[:, None]))
    fault(r"train has 40 items in x but 39 labels in y", (x, y[1:]))
    fault(r"train x has shape \(40,\)", (x[:, 0], y))
    fault(r"train x has shape \(40, 0\), items without numbers", (x[:, :0], y))
    mixed = np.array([[1.0, None, "a"]] * 40)
    fault(r"train x is no array of numbers, it holds NoneType and float and str", (mixed, y))
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
    fault(r"train y has shape \(30, 4\): give one label an item", OneHot())
    fault(r"items of train differ in shape \(item 0 is \(3,\), item 4 is \(4,\)\)", Ragged())
    fault(r"without a length", Endless())
    fault(r"differ in size \(picture 0 is 5x6, picture 1 is 9x8\)", Pictures(sizes=((6, 5), (8, 9))))
    fault(r"more than 8 bits", Pictures("I"))
    fault(r"image_size is \(3,\)", Pictures(), image_size=(3,))
    fault(r"image_size is 1000000000: .*of 4096 at most", Pictures(), image_size=10**9)


def test_faulty_hugging_face_datasets():
    fault(r"no label column among 'note', 'picture': rename", hub_like(20).remove_columns("kind"))
    fault(r"nothing to learn from beside the label 'kind'", hub_like(20).remove_columns("picture"))
    two = hub_like(20).add_column("other", [[1.0]] * 20)
    assert load_dataset(two).shape == (1, 6, 5)  # a picture goes before an array
    two = two.remove_columns("picture").add_column("another", [[1.0]] * 20)
    fault(r"more than one column of arrays \('other', 'another'\)", two)
    fault(r"streamed data set", hub_like(20).to_iterable_dataset())
    gone = hub_like(20).cast_column("picture", datasets.Image(decode=False))
    gone = gone.map(lambda row: {"picture": {"bytes": None, "path": "/dev/zero"}})
    fault(r"picture 0 of train is neither there as bytes nor as a file", gone)


@pytest.mark.parametrize("data", ["~nobody-of-that-name/x.csv", "a\0.csv", "a\0", "a" * 5000])
def test_faulty_paths(data):
    fault(r"^data '.* is no path that can be read \(.*\): give another$", data)
    fault(r"^image_size is .*: give a side", "digits", image_size=data)
    fault(r"^data_dir '.* is no path that can be read \(.*\): give another$", "digits", data_dir=data)


def test_folders_are_read_one_level_deep_and_no_links_followed(tmp_path):
    save_folder(tmp_path / "pets")
    (tmp_path / "deep").mkdir()
    (tmp_path / "pets").rename(tmp_path / "deep" / "pets")
    fault(r"'pets' holds no picture\): give one whose sub-folders", tmp_path / "deep")
    (tmp_path / "round").mkdir()
    (tmp_path / "round" / "again").symlink_to(tmp_path / "round")
    fault(r"is no folder of picture classes \(it has no sub-folders\)", tmp_path / "round")
    (tmp_path / "linked" / "cat").mkdir(parents=True)
    (tmp_path / "linked" / "cat" / "0.png").symlink_to("/dev/zero")
    fault(r"'cat' holds no picture, and links are not followed", tmp_path / "linked")


def test_faulty_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    fault(r"'.*empty' is no folder of picture classes", tmp_path / "empty")
    save_folder(tmp_path / "pets")
    (tmp_path / "pets" / "cat" / "999.png").write_bytes(b"no picture")
    fault(r"999\.png' is not a readable picture", tmp_path / "pets")
    huge = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (50_000).to_bytes(4, "big") * 2 + b"\x08\0\0\0\0"
    huge += (
        zlib.crc32(huge[12:]).to_bytes(4, "big") + b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4, "big")
    )
    (tmp_path / "pets" / "cat" / "999.png").write_bytes(huge)
    fault(r"999\.png' (has 50000x50000 pixels|is not a readable picture)", tmp_path / "pets")
