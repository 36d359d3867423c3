"""Whatever has a name in a registry can be made and does what such a thing does."""

from __future__ import annotations

import dataclasses
import inspect
import json
from functools import partial

import numpy as np
import pytest
from small_worlds import (
    PICTURES,
    POLICIES,
    TEXTS,
    WORLDS,
    first_that_fits,
    one_of_a_module,
    small_policy,
)

from studyhall import make_world, register, spec
from studyhall.envs.channel import MODES
from studyhall.envs.engine.actions import check_actions, check_values
from studyhall.envs.errors import ConfigError, UnknownArgument
from studyhall.envs.streams import DATASETS, load_dataset
from studyhall.envs.streams.hub_sets import HUB_SETS
from studyhall.policies import Protocol, Students, make_policy, register_policy
from studyhall.policies import registry as policies
from studyhall.policies.registration import policy_factory
from studyhall.rollouts import rollout
from studyhall.scenarios import get_scenario, register_scenario
from studyhall.scenarios import registry as scenarios
from studyhall.testing import check_policy


@pytest.fixture(scope="module")
def begun():
    """Each of these worlds, begun."""
    made = [make_world(name, num_worlds=2, **kwargs) for name, kwargs in WORLDS]
    for world in made:
        world.reset(seed=0)
    return made


def others_slow(names, quick):
    """The names, those that are not among the quick ones slow."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", others_slow(POLICIES, list(one_of_a_module(POLICIES))))
def test_every_policy_keeps_what_is_promised(name):
    """In the first world that it fits."""
    _, _, (env, kwargs) = first_that_fits(name)
    check_policy(partial(small_policy, name), env, **kwargs)


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_acts_in_a_world_or_refuses_it_in_one_line(name, begun):
    refusals = []
    for world in begun:
        policy = small_policy(name)
        try:
            policy.bind(world)
        except ConfigError as fault:
            refusals.append(str(fault))
            continue
        policy.reset()
        batch = (world.num_worlds, world.num_agents)
        actions = check_actions(policy.act(world.obs), world.action_space, batch, world.device)
        check_values(actions, world.action_space, world.agents, np.ones(world.num_worlds, dtype=bool))
    assert not [text for text in refusals if "\n" in text]


def truth_valued() -> list[tuple[str, str]]:
    """Policies and their arguments that are true or false."""
    found = []
    for name in policies:
        factory = policy_factory(name)
        led = isinstance(factory, type) and issubclass(factory, Protocol)  # then its students take some too
        for made in (factory, Students)[: 1 + led]:
            taken = inspect.signature(made).parameters.values()
            found += [(name, one.name) for one in taken if isinstance(one.default, bool)]
    return found


@pytest.mark.parametrize(("name", "argument"), truth_valued())
@pytest.mark.parametrize("value", [1, 0.0, "yes", None])
def test_a_truth_value_is_true_or_false(name, argument, value):
    with pytest.raises(ConfigError, match=f"^{argument} must be true or false, got .*$"):
        make_policy(name, **{argument: value})


@pytest.mark.parametrize("value", [3, None, ["mutual"]])
@pytest.mark.parametrize(
    ("call", "says"),
    [
        (spec, "environment must be text"),
        (make_policy, "policy must be text"),
        (get_scenario, "scenario must be text"),
        (rollout, "scenario must be text|which scenario"),
        (register, "an EnvSpec is what can be registered"),
        (register_policy, "a PolicySpec is what can be registered"),
        (register_scenario, "a Scenario is what can be registered"),
    ],
)
def test_what_is_no_name_or_no_entry_is_one_line(call, says, value):
    with pytest.raises(ConfigError, match=says) as caught:
        call(value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("step", [0, -5, 1.5, True, "1"])
def test_a_scenario_is_measured_from_its_first_step_on(step):
    with pytest.raises(ConfigError, match="measure_at names steps, whole numbers of at least 1"):
        dataclasses.replace(get_scenario("classroom-digits"), measure_at=(step,))


@pytest.mark.parametrize("name", sorted(policies))
def test_an_argument_that_a_policy_does_not_take(name):
    """A ``TypeError`` too, as libraries expect that try arguments out."""
    with pytest.raises(UnknownArgument, match=f"policy {name} got an unexpected keyword argument 'zzz'"):
        make_policy(name, zzz=1)


def embedded(scenario) -> bool:
    """Whether a scenario's data come with the package."""
    known = spec(scenario.env).arguments(hosted=scenario.env_kwargs.get("learners") is not None)
    return {**known, **scenario.env_kwargs}.get("data") in ("digits", "vector", None)


def small(scenario):
    """The same for one seed: few samples of data that are at hand, and three steps where steps are its length."""
    env = dict(scenario.env_kwargs)
    known = spec(scenario.env).arguments(hosted=env.get("learners") is not None)
    if "corpora" in known:
        domains = env.get("tasks") or ["one"]
        texts = {name: TEXTS["one"] for name in dict.fromkeys([*env.get("corpora", []), *domains])}
        env |= {"corpora": texts, "width": 8, "length": 8, "stride": None}
    elif not embedded(scenario):
        large = scenario.policy_kwargs.get("learners") == "vgg"
        env |= {"data": PICTURES if large else "digits"}
    env |= {key: least for key, least in {"slice_size": 8, "exam_size": 10}.items() if known.get(key)}
    for of_the_data in ("exam_items", "stream_items", "data_classes"):
        env.pop(of_the_data, None)
    scenario = dataclasses.replace(scenario, env_kwargs=env, seeds=scenario.seeds[:1])
    return scenario.within(3) if "horizon" in known else scenario


LARGE = "masc-cifar100-full"
"""Which is large however few its steps are."""

FIRST = {(scenarios[name].env, scenarios[name].policy): name for name in sorted(scenarios, reverse=True)}
"""The first scenario of each world and policy, which alone decide what follows from a seed."""


@pytest.mark.parametrize(
    "name", [*sorted(scenarios.keys() - {LARGE}), pytest.param(LARGE, marks=pytest.mark.slow)]
)
def test_every_scenario_runs(name):
    """Three steps of it, small: the same with the same seed, with every control, and what it claims is measured."""
    scenario = small(scenarios[name])
    report = rollout(scenario)
    assert list(report.metrics) == ["open", *scenario.controls]
    if name in FIRST.values():
        one, other = (json.dumps(found.as_json() | {"seconds": 0}) for found in (report, rollout(scenario)))
        assert one == other
    claimed = {claim.metric.partition("@")[0] for claim in scenario.claims}
    assert claimed <= report.metrics["open"].keys()


@pytest.mark.parametrize("name", sorted(scenarios))
def test_every_scenario_names_what_there_is(name):
    """Its world takes its arguments, its policy can be made, and what it measures and claims lies within its run."""
    scenario = scenarios[name]
    hosted = scenario.env_kwargs.get("learners") is not None
    known = spec(scenario.env).arguments(hosted=hosted)
    assert set(scenario.env_kwargs) <= set(known)
    make_policy(scenario.policy, **scenario.policy_kwargs)
    assert set(scenario.controls) <= set(MODES) - {"open"}
    assert all(at < {**known, **scenario.env_kwargs}["horizon"] for at in scenario.measure_at)
    claimed_at = {claim.metric.partition("@")[2] for claim in scenario.claims} - {""}
    assert claimed_at <= {str(at) for at in scenario.measure_at}


@pytest.mark.parametrize("name", sorted(DATASETS.keys() - HUB_SETS.keys()))
def test_every_data_set_can_be_asked_for(name):
    """Those of the hub have tests of their own, on small files of their form (tests/data_sets)."""
    found = load_dataset(name)
    assert all(len(part) > 0 for part in (found.stream, found.exam, found.test))
