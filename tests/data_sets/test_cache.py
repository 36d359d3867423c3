"""The cache of decoded data: hits, damage, writers at the same time, and where it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from studyhall.envs.streams import cache, load_dataset

from .making import fake_pictures, picture_bytes, same, write_parquet


def entries(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").iterdir())


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


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "meta", "pickle", "empty", "head"])
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
    elif damage == "head":  # no text of Python's
        file.write_bytes(raw[:10] + b"{" + b"(" * 117 + raw[128:])
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
