"""Whatever has a name in a registry can be made and does what such a thing does."""

from __future__ import annotations

import dataclasses

import pytest

from studyhall import make_world, register, registry, spec
from studyhall.envs.errors import ConfigError, UnknownArgument
from studyhall.envs.streams import DATASETS, load_dataset
from studyhall.envs.streams.hub_sets import HUB_SETS
from studyhall.policies import make_policy, register_policy
from studyhall.policies import registry as policies
from studyhall.policies.files import trained
from studyhall.rollouts import Rollout, rollout
from studyhall.scenarios import get_scenario, register_scenario
from studyhall.scenarios import registry as scenarios


def worlds_for(policy):
    """Small worlds that fit a policy's needs by their arguments, hosted where it has some of hosted learners."""
    for name in registry:
        entry = spec(name)
        for hosted in (False, True)[: 1 + bool(entry.hosted)]:
            known = entry.arguments(hosted=hosted)
            if set(policy.world_kwargs) <= set(known):
                kwargs = {"learners": "mlp", "hidden": (8,)} if hosted else {}
                kwargs |= {} if "horizon" not in known else {"horizon": 5}
                yield name, kwargs | dict(policy.world_kwargs)


@pytest.mark.parametrize("name", sorted([*policies, *trained()]))
def test_every_policy_takes_two_steps_in_a_world_it_fits(name):
    refusals = []
    for env, kwargs in worlds_for(make_policy(name)):
        policy = make_policy(name)
        world = make_world(env, num_worlds=2, autoreset=False, validate=True, **kwargs)
        try:
            policy.bind(world)
        except ConfigError as fault:  # not its world, which it says
            refusals.append(f"{env}: {fault}")
            continue
        obs = world.reset(seed=0)
        policy.reset()
        for _ in range(2):
            obs = world.step(policy.act(obs)).obs
        return
    pytest.fail("; ".join(refusals))


@pytest.mark.parametrize("value", [3, None, ["mutual"]])
@pytest.mark.parametrize(
    ("call", "says"),
    [
        (spec, "environment must be text"),
        (make_policy, "policy must be text"),
        (get_scenario, "scenario must be text"),
        (rollout, "scenario must be text"),
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


@pytest.mark.parametrize("name", sorted(name for name in scenarios if embedded(scenarios[name])))
def test_every_scenario_begins(name):
    """Its world and its policy are made with its own arguments, and take a step."""
    scenario = scenarios[name]
    run = Rollout(dataclasses.replace(scenario, controls=scenario.controls[:1]), seeds=scenario.seeds[0])
    step = run.world.step(run.policy.act(run.obs))
    assert step.reward.isfinite().all()


@pytest.mark.parametrize("name", sorted(name for name in scenarios if not embedded(scenarios[name])))
def test_every_scenario_names_what_there_is(name):
    """One whose data are fetched: its world takes its arguments, and its policy can be made."""
    scenario = scenarios[name]
    hosted = scenario.env_kwargs.get("learners") is not None
    assert set(scenario.env_kwargs) <= set(spec(scenario.env).arguments(hosted=hosted))
    make_policy(scenario.policy, **scenario.policy_kwargs)


@pytest.mark.parametrize("name", sorted(DATASETS.keys() - HUB_SETS.keys()))
def test_every_data_set_can_be_asked_for(name):
    """Those of the hub have tests of their own, on small files of their form (tests/data_sets)."""
    found = load_dataset(name)
    assert all(len(part) > 0 for part in (found.stream, found.exam, found.test))
