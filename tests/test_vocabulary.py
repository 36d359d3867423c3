"""One vocabulary over the whole registry: arguments and their synonyms."""

import importlib
import inspect
import re

import pytest

from studyhall import make_world, registry
from studyhall.envs import StudyhallError
from studyhall.envs.registration import SYNONYMS

FORMS = [
    (id, hosted) for id, spec in registry.items() for hosted in ([False, True] if spec.hosted else [False])
]


def told(id, hosted, **argument):
    """The line that an argument is answered with."""
    with pytest.raises(StudyhallError) as caught:
        make_world(id, **({"learners": "mlp"} if hosted else {}), **argument)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(("id", "hosted"), FORMS)
def test_a_free_number_of_agents_is_called_agents(id, hosted):
    spec = registry[id]
    known = spec.arguments(hosted=hosted)
    assert known.keys().isdisjoint(SYNONYMS["agents"])
    if "agents" not in known:
        assert re.search("set (grid|layers)", told(id, hosted, agents=3))
        return
    world = make_world(id, agents=3, **({"learners": "mlp"} if hosted else {}))
    assert world.num_agents == 3
    assert world.agents == [f"{world.agent_noun}_{i}" for i in range(3)]


@pytest.mark.parametrize(("id", "hosted"), FORMS)
def test_the_length_of_an_episode_is_called_horizon_or_rounds(id, hosted):
    known = registry[id].arguments(hosted=hosted)
    (length,) = {"horizon", "rounds"} & known.keys()
    world = make_world(id, **{length: 3}, **({"learners": "mlp"} if hosted else {}))
    assert world.horizon == (4 if length == "rounds" else 3)  # one step more, for the last answers


@pytest.mark.parametrize(("id", "hosted"), FORMS)
def test_names_from_elsewhere_are_answered_with_the_ones_here(id, hosted):
    known = registry[id].arguments(hosted=hosted)
    for usual, others in SYNONYMS.items():
        for name in set(others) - known.keys():
            line = told(id, hosted, **{name: 3})
            if usual in known:
                assert name in line
                assert usual in line
                assert ("an episode has one step more" in line) == (usual == "rounds")


def test_every_argument_is_on_the_page_of_its_world():
    """By its own name, or on the page of the world or family that the page refers to."""
    for id, spec in registry.items():
        pages = " ".join(inspect.getdoc(inspect.getmodule(cls)) or "" for cls in spec.load().__mro__[:-1])
        named = {name.rstrip(".") for name in re.findall(r"`(studyhall\.envs\.[a-z_.]+)`", pages)}
        pages += " ".join(importlib.import_module(name).__doc__ or "" for name in sorted(named))
        for name in spec.arguments(hosted=spec.hosted):
            if name not in ("num_worlds", "device"):
                assert re.search(rf"`{name}\b", pages), f"{id}: {name}"


@pytest.mark.parametrize(("id", "hosted"), FORMS)
def test_what_is_no_word_is_refused_where_words_are_asked_for(id, hosted):
    known = registry[id].arguments(hosted=hosted)
    words = {name for name, default in known.items() if isinstance(default, str)} - {"data", "learners"}
    for name in words | {"device", "mode"} & known.keys():
        for value in (3, 1.5, {}):
            assert name in told(id, hosted, **{name: value})


@pytest.mark.parametrize("name", ["delay", "topic_classes", "task_classes", "liar_kinds", "hidden"])
@pytest.mark.parametrize(("id", "hosted"), FORMS)
def test_words_and_none_are_refused_where_numbers_or_lists_are_asked_for(id, hosted, name):
    if name in registry[id].arguments(hosted=hosted):
        for value in ("x", None):
            if (id, value) != ("swarm-v0", None):  # which leaves `hidden` to its objective
                assert name in told(id, hosted, **{name: value})
