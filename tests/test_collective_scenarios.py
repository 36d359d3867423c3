"""Scenarios of collectives that need data of the user's."""

import io
import json

import datasets
import numpy as np
import pytest
from PIL import Image

from studyhall.scenarios import get_scenario


@pytest.fixture
def tiny_cifar10(tmp_path, monkeypatch):
    """Parquet with the hub's columns: coloured noise in which a bright band tells the class."""
    monkeypatch.setenv("STUDYHALL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STUDYHALL_DATA", str(tmp_path))
    (tmp_path / "cifar10").mkdir()
    names = datasets.ClassLabel(names=[f"kind {c}" for c in range(10)])
    features = datasets.Features({"img": datasets.Image(), "label": names})
    generator = np.random.default_rng(0)
    for part, items in (("train", 600), ("test", 100)):
        rows = {"img": [], "label": [i % 10 for i in range(items)]}
        for label in rows["label"]:
            pixels = generator.integers(0, 120, (32, 32, 3), dtype=np.uint8)
            pixels[3 * label : 3 * label + 3] += 120
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            rows["img"].append({"bytes": stream.getvalue(), "path": None})
        table = datasets.Dataset.from_dict(rows, features=features)
        table.to_parquet(tmp_path / "cifar10" / f"{part}.parquet")


def test_experts_on_cifar10_run_from_local_parquet(tiny_cifar10, call, tmp_path):
    """With the hub's columns, img and label, in one pass."""
    small = [
        f"--set={text}" for text in ("exam_items=120", "slice_size=16", "exam_size=20", "policy.hidden=[32]")
    ]
    scenario, out = "moe-cifar10-pixels", str(tmp_path / "run")
    code, text, _ = call("run", scenario, "--seeds=0", "--steps=30", *small, "--json", "--out", out)
    assert code == 0
    found = json.loads(text)
    measured = {claim.metric for claim in get_scenario(scenario).claims} | {"utilisation"}
    open_world = found["summary"]["open"]
    assert measured <= set(open_world), sorted(open_world)
    assert open_world["together_accuracy"]["mean"] > 0.5
    assert open_world["utilisation"]["mean"] == pytest.approx(0.4)
