"""Pictures can be read, are shown in windows and notebooks, and make films."""

import itertools
import sys
from types import SimpleNamespace

import gymnasium
import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.text import Text
from PIL import Image

import studyhall
from studyhall import make_world, registry
from studyhall.envs.engine.drawing import SMALL, Picture
from studyhall.envs.engine.window import Screen
from studyhall.envs.errors import ConfigError
from studyhall.envs.make import make_joint
from studyhall.testing.tools import sample_actions, seeded

TEXTS = {name: [f"{name} {i} " * 30 for i in range(30)] for name in ("one", "other")}
QUICK = {"agents": 5, "slice_size": 16, "exam_size": 10, "horizon": 6, "rounds": 2}
OF_TEXTS = {"corpora": TEXTS, "tokeniser": "bytes", "layers": 1, "width": 8, "feedforward": 8, "length": 6}
SMALL_CLASS = {"agents": 2, "slice_size": 4, "exam_size": 4, "horizon": 3}


def quick(id, **kwargs):
    taken = registry[id].arguments()
    known = QUICK | OF_TEXTS if "corpora" in taken else QUICK
    return {name: value for name, value in known.items() if taken.get(name) is not None} | kwargs


def stepped(world, steps=1):
    world.reset(seed=0)
    for step in range(steps):
        world.step(sample_actions(world, seeded(step)))
    return world


@pytest.fixture
def pictures(monkeypatch):
    """The pictures drawn in a test."""
    found, pixels = [], Picture.pixels

    def keep(self):
        found.append(self)
        return pixels(self)

    monkeypatch.setattr(Picture, "pixels", keep)
    return found


CASES = [(id, {}) for id in sorted(registry)] + [
    ("society-v0", {"learners": "mlp", "liars": 2}),
    ("classroom-v0", {"agents": 40}),
    ("allocation-v0", {"data": (list(TEXTS["one"]) + list(TEXTS["other"]), [0] * 30 + [1] * 30)}),
]


def texts_of(picture):
    """All that is written in a picture: by panel and axis, texts that stand in a row."""
    yield picture.texts
    for axes in picture.axes:
        yield [axes.title]
        yield axes.get_legend().get_texts() if axes.get_legend() else []
        yield axes.texts
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            yield [axis.label]
            ticks = zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
            yield [label for place, label in ticks if low <= place <= high]


@pytest.mark.parametrize(("id", "kwargs"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_all_text_can_be_read(pictures, id, kwargs):
    """On a slide: it is large enough, lies within the picture, and none of a row lies on the next."""
    drawn = stepped(make_world(id, **quick(id, **kwargs))).render("rgb_array")
    high, wide = drawn.shape[:2]
    assert high % 2 == wide % 2 == 0  # films need it
    assert wide <= 1800
    for row in texts_of(pictures[0]):
        told = [text for text in row if text.get_visible() and text.get_text().strip()]
        boxes = [text.get_window_extent() for text in told]
        for text, box in zip(told, boxes, strict=True):
            assert text.get_fontsize() >= SMALL, text
            assert -1 <= box.x0 <= box.x1 <= wide + 1, text
            assert -1 <= box.y0 <= box.y1 <= high + 1, text
        for (one, other), text in zip(itertools.pairwise(boxes), told, strict=False):
            assert not one.overlaps(other), text


def test_pictures_of_an_episode_are_of_one_size():
    world = stepped(make_world("hierarchy-v0", **quick("hierarchy-v0")))
    first = world.render("rgb_array").shape
    for step in range(3):
        world.step(sample_actions(world, seeded(step)))
    assert world.render("rgb_array").shape == first


def test_a_society_says_who_lies_and_who_is_listened_to(pictures):
    world = make_world("society-v0", agents=3, liars=1, liar_kinds=["roll"], learners="mlp", horizon=9)
    world.reset(seed=0)
    listen = torch.tensor([[1.0, 0.0]]).expand(1, 3, 2)  # everybody to the next one alone
    for _ in range(3):
        world.step({"listen": listen})
    liar = int(world.privileged()["liar"][0].nonzero())
    lines = world.render("ansi").splitlines()[1:]
    assert [("lies (roll)" in line) for line in lines] == [i == liar for i in range(3)]
    assert all("listened to  33.3%" in line for line in lines)  # half, but in the first step nobody was heard
    world.render("rgb_array")
    told = {text.get_text() for text in pictures[0].findobj(Text)}
    assert f"agent_{liar}: roll" in told
    assert any("1 of 3 lie (roll)" in text for text in told)
    world.step(
        {"listen": torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]])}
    )  # 0 to 1, 1 to 0, 2 to nobody
    shares = [
        float(line.partition("listened to")[2].split("%")[0])
        for line in world.render("ansi").splitlines()[1:]
    ]
    assert shares[0] == shares[1] > 33.3 > shares[2]


@pytest.mark.parametrize("actions", ["listen", "gated", "targets", "discrete"])
def test_shares_of_listening_are_told_for_every_form_of_actions(actions):
    world = stepped(make_world("society-v0", agents=3, learners="mlp", actions=actions, horizon=9), steps=3)
    share = world._state["listened"]
    assert 0 < float(share.sum(-1).max()) <= 1 + 1e-6


# ---- people -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [studyhall.make_env, make_joint, studyhall.make_vec])
def test_human_mode_shows_the_world_in_a_window(make):
    env = make("classroom-v0", render_mode="human", **SMALL_CLASS)
    env.reset(seed=0)
    (number,) = pyplot.get_fignums()
    shown = pyplot.figure(number).axes[0].images[0]
    np.testing.assert_array_equal(shown.get_array(), env.world.render("rgb_array"))
    acts = env.action_space
    env.step({agent: acts(agent).sample() for agent in env.agents} if callable(acts) else acts.sample())
    np.testing.assert_array_equal(shown.get_array(), env.world.render("rgb_array"))
    assert env.render() is None
    env.close()
    assert not pyplot.get_fignums()


def test_where_no_window_can_be_had_it_is_one_line(monkeypatch):
    matplotlib.use("agg")  # what matplotlib takes where there is no display
    monkeypatch.delenv("MPLBACKEND")
    world = stepped(make_world("classroom-v0", **SMALL_CLASS))
    with pytest.raises(ConfigError, match=r"^no window can be opened here .*: take render_mode='rgb_array'"):
        world.render("human")
    assert not pyplot.get_fignums()


def test_a_notebook_shows_it_in_one_place(monkeypatch):
    shown, replaced = [], []
    handle = SimpleNamespace(update=lambda what: replaced.append(what._repr_png_()))
    display = SimpleNamespace(display=lambda what, display_id: shown.append(what._repr_png_()) or handle)
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, display=display))
    world = stepped(make_world("classroom-v0", **SMALL_CLASS))
    world.render("human")
    world.render("human")
    assert (len(shown), len(replaced)) == (1, 1)
    assert shown[0].startswith(b"\x89PNG")


# ---- films ------------------------------------------------------------------------------------------

QUICK_RUN = ("--steps", "5", "--set", "agents=2", "--set", "exam_size=10")


def test_a_film_of_a_scenario(call, tmp_path):
    file = tmp_path / "film.gif"
    code, out, _ = call("watch", "classroom-digits", *QUICK_RUN, "--every", "2", "--video", str(file))
    assert code == 0
    assert "film.gif" in out
    with Image.open(file) as film:
        assert film.n_frames == 4  # the beginning, steps 2, 4 and the end


def test_a_scenario_is_watched_until_its_window_is_closed(call, monkeypatch):
    seen = []
    monkeypatch.setattr(Screen, "show", lambda self, picture: seen.append(picture) or len(seen) < 3)
    code, out, _ = call("watch", "classroom-digits", *QUICK_RUN)
    assert (code, out, len(seen)) == (0, "", 3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("classroom-digits", "--video", "film.doc"), "name a .gif, or one of .mp4"),
        (("classroom-digits", "--video", "none/film.gif"), "none is no folder"),
    ],
)
def test_a_film_that_cannot_be_made_is_one_line(call, arguments, says):
    code, out, err = call("watch", *arguments)
    assert (code, out) == (2, "")
    assert says in err


def test_recorders_and_watch_write_videos(call, tmp_path):
    pytest.importorskip("moviepy", reason="films as video need the extra `video`")
    from pettingzoo.utils.wrappers import RecordVideoParallel

    env = gymnasium.make("studyhall/classroom-v0", render_mode="rgb_array", **SMALL_CLASS)
    wrapped = gymnasium.wrappers.RecordVideo(env, str(tmp_path / "joint"), episode_trigger=lambda _: True)
    wrapped.reset(seed=0)
    for _ in range(3):
        wrapped.step(wrapped.action_space.sample())
    wrapped.close()
    many = RecordVideoParallel(
        studyhall.make_env("classroom-v0", render_mode="rgb_array", **SMALL_CLASS),
        str(tmp_path / "parallel"),
        episode_trigger=lambda _: True,
    )
    many.reset(seed=0)
    while many.agents:
        many.step({agent: many.action_space(agent).sample() for agent in many.agents})
    many.close()
    assert call("watch", "classroom-digits", *QUICK_RUN, "--video", str(tmp_path / "film.mp4"))[0] == 0
    made = sorted(path.name for path in tmp_path.glob("**/*.mp4"))
    assert made == ["film.mp4", "rl-video-episode-0.mp4", "rl-video-episode-0.mp4"]
    assert all(path.stat().st_size > 1000 for path in tmp_path.glob("**/*.mp4"))
