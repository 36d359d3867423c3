"""Fixtures for the tests of data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from studyhall.envs.streams import named

from .making import fake_pictures, picture_bytes, write_parquet


@pytest.fixture
def fake_mnist(tmp_path, monkeypatch) -> Path:
    """A tiny data set under MNIST's name: 100 training pictures in two files, 20 for the test."""
    monkeypatch.setenv("STUDYHALL_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "data"
    for name, n, seed in (("train-0", 60, 0), ("train-1", 40, 1), ("test", 20, 2)):
        encoded = [picture_bytes(pixels) for pixels in fake_pictures(n, seed)]
        write_parquet(root / "mnist" / f"{name}.parquet", encoded, [i % 10 for i in range(n)])
    return root


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """Grows by one with each decoded picture."""
    calls: list[int] = []
    decode = named.pictures.decode
    monkeypatch.setattr(named.pictures, "decode", lambda *a, **k: (calls.append(1), decode(*a, **k))[1])
    return calls
