"""Named data sets that cannot be had or read: an error of one line that says what to do."""

from __future__ import annotations

import pyarrow
import pytest
from pyarrow import parquet

from .making import fake_pictures, fault, picture_bytes, write_parquet


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
