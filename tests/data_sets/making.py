"""Data to test with: pictures, parquet files, folders; and what every data set must hold to."""

from __future__ import annotations

import io
from pathlib import Path

import datasets
import numpy as np
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from studyhall.envs.errors import DataError
from studyhall.envs.streams import Dataset, Split, load_dataset

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


def same(a: Dataset, b: Dataset) -> bool:
    return all(
        torch.equal(a.split(name).x, b.split(name).x) and torch.equal(a.split(name).y, b.split(name).y)
        for name in SPLITS
    )


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


def save_folder(root: Path, n: int = 20, shape=(6, 5), seed: int = 0) -> Path:
    for i, pixels in enumerate(fake_pictures(n, seed, shape)):
        folder = root / ("cat", "dog")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i:03}.png")
    return root


def fault(expected: str, data, **arguments) -> None:
    with pytest.raises(DataError, match=expected) as caught:
        load_dataset(data, **arguments)
    assert "\n" not in str(caught.value)
