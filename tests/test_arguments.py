"""Every argument of every world: one line where a value is of another kind, and NumPy's numbers count as numbers."""

import functools
import math

import numpy as np
import pytest

from studyhall import make_sb3, make_vec, make_world, registry
from studyhall.envs.errors import ActionError, ConfigError, StudyhallError, short
from studyhall.envs.streams import load_dataset
from studyhall.testing.tools import sample_actions, seeded

SMALL = {
    "agents": 3,
    "slice_size": 4,
    "exam_size": 10,
    "horizon": 3,
    "rounds": 2,
    "hidden": [4],
}
FORMS = [
    (id, hosted)
    for id, spec in sorted(registry.items())
    for hosted in ((False, True) if spec.hosted else (False,))
]
NO_TEXT_OR_NUMBER = [
    np.array([1, 2]),
    np.array(["a", "b"]),
    np.array(1),
    math.nan,
    "a" * 100_000,
    10**5000,
    b"x",
]


@functools.cache
def digits():
    return load_dataset("digits")


def arguments(id, hosted):
    """A world's arguments and defaults, and small values of those that make it large."""
    defaults = registry[id].arguments(hosted=hosted)
    of_others = ("hidden", "slice_size") if id == "swarm-v0" else ()
    small = {name: value for name, value in SMALL.items() if name in defaults and name not in of_others}
    if "data" in defaults and id != "swarm-v0":
        small["data"] = digits()
    return defaults, small | ({"learners": "mlp"} if hosted else {})


def two_steps(id, kwargs):
    world = make_world(id, **kwargs)
    world.reset(seed=0)
    for _ in range(2):
        world.step(sample_actions(world, seeded(0)))


@pytest.mark.parametrize(("id", "hosted"), FORMS)
def test_true_or_false_is_nothing_else(id, hosted):
    defaults, small = arguments(id, hosted)
    for name in (name for name, default in defaults.items() if isinstance(default, bool)):
        for value in ("no", 5, None, math.nan, np.array([True, False])):
            with pytest.raises(ConfigError, match=f"^{name} must be true or false, got "):
                make_world(id, **small | {name: value})


@pytest.mark.parametrize(("id", "hosted"), FORMS)
def test_numbers_of_numpy_are_numbers(id, hosted):
    defaults, small = arguments(id, hosted)
    numbers = {bool: np.bool_, int: np.int64, float: np.float64}
    given = {name: small.get(name, default) for name, default in defaults.items()}
    cast = {name: numbers[type(value)](value) for name, value in given.items() if type(value) in numbers}
    two_steps(id, small | cast)


@pytest.mark.parametrize("id", ["consensus-v0", "halves-v0", "referential-v0"])
def test_symbols_may_be_counted_by_numpy(id):
    _, small = arguments(id, hosted=False)
    two_steps(id, small | {"vocabulary": np.int64(3), "length": np.int64(2), "slice_size": np.int16(4)})


@pytest.mark.parametrize(("id", "hosted"), FORMS)
def test_values_of_another_kind_are_one_short_line(id, hosted):
    """Whatever else is set: also of arguments that mean nothing in the world that is made."""
    defaults, small = arguments(id, hosted)
    for name in defaults:
        for value in NO_TEXT_OR_NUMBER:
            with pytest.raises(StudyhallError) as caught:
                make_world(id, **small | {name: value})
            said = str(caught.value)
            assert "\n" not in said, name
            assert len(said) < 600, name


def test_the_seed_of_sb3_is_a_whole_number():
    with pytest.raises(ConfigError, match=r"seed must be a whole number .*, got 'x'"):
        make_sb3("swarm-v0", 1, seed="x")


def test_a_swarm_counts_all_that_is_of_its_size():
    with pytest.raises(ConfigError, match=r"copies 16 would be .*: lower agents or the dimensions"):
        make_world("swarm-v0", agents=10, dimensions=10_000_000)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("ring", "'ring'"),
        ("a" * 100_000, f"'{'a' * 79}…"),
        (np.eye(2), "array([[1., 0.], [0., 1.]])"),
        (10**5000, "a number of 16,610 bits"),
    ],
    ids=["word", "long", "array", "huge"],
)
def test_what_was_given_is_repeated_in_short(value, said):
    assert short(value) == said


@pytest.mark.parametrize(
    "mode", [np.array([1, 2]), 10**5000, "a" * 100_000, b"x"], ids=["array", "huge", "long", "bytes"]
)
@pytest.mark.parametrize("argument", ["render_mode", "autoreset_mode"])
def test_modes_of_views_are_words(argument, mode):
    with pytest.raises(ConfigError, match=f"^unknown {argument} .{{1,100}}: use ") as caught:
        make_vec("swarm-v0", 1, **{argument: mode})
    assert "\n" not in str(caught.value)


def test_keys_of_actions_are_repeated_in_short():
    world = make_world("swarm-v0")
    world.reset(seed=0)
    with pytest.raises(ActionError, match="have unknown keys") as caught:
        world.step({"a" * 100_000: None})
    assert len(str(caught.value)) < 200
