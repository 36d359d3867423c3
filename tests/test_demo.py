"""The first minute: what `studyhall demo` shows."""

import json

import numpy as np
from PIL import Image

from studyhall.rollouts.runs import demo


def test_the_demo_leaves_a_moving_picture_and_says_what_became_of_the_honest(call, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "STEPS", 20)
    film = tmp_path / "demo.gif"
    code, out, _ = call("demo", "--seeds", "0-1", "--out", str(film), "--json")
    found = json.loads(out)
    assert code == 0
    assert found["film"] == str(film)
    assert list(found["honest_accuracy"]) == [way.title for way in demo.WAYS]
    muted = found["honest_accuracy"]["nobody is heard"]
    assert set(muted) == {"0", "1"}
    assert all(0 < value < 0.35 for value in muted.values())  # two classes of ten are one's own
    with Image.open(film) as picture:
        assert picture.n_frames == 3


def test_worlds_of_all_ways_are_the_same_but_for_who_is_heard(monkeypatch):
    monkeypatch.setattr(demo, "STEPS", 10)
    muted, alike, learned = (demo.play(way, [3]) for way in demo.WAYS)
    assert muted.lies.tolist() == alike.lies.tolist() == learned.lies.tolist()
    assert np.array_equal(muted.accuracy[0], learned.accuracy[0])
    assert not np.any(muted.weights)
    assert np.any(alike.weights[-1])
