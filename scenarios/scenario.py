"""Scenarios: a world, a policy, a horizon, and what was claimed for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..envs.errors import ConfigError, UnknownName, one_of, text
from ..envs.registration import add_to_registry, spec
from ..envs.validation import real
from .source import get_source


@dataclass(frozen=True)
class Claim:
    """A documented figure and how the same thing is measured.

    Args:
        metric: Name in a run's report, e.g. ``"hard_vote_dropout"``; ``"…@1000"`` is its value at step 1000,
            ``"mute/…"`` that of a control.
        documented: The figure, as a fraction where the metric is one.
        source: Key of :data:`~studyhall.scenarios.sources`.
        tolerance: How far off counts as the same. Without one a figure can be refuted, but never holds.
        tolerance_why: Who chose the tolerance, when and why.
        minus: The claim is of a difference: the metric that is taken from the first, seed by seed.
        half: Half-width of the documented figure's own 95 % interval; None where none was documented.
        history: What was changed after a figure had been seen, in sentences for the page.
    """

    metric: str
    documented: float
    source: str
    tolerance: float | None = None
    tolerance_why: str = ""
    minus: str | None = None
    half: float | None = None
    history: tuple[str, ...] = ()

    def check(self) -> None:
        """Check that it says where its figure comes from, and why its tolerance is what it is.

        Raises:
            UnknownName: There is no such source.
            ConfigError: The tolerance is no distance, or nobody answers for it.
        """
        get_source(self.source)
        if self.tolerance is None:
            return
        real("the tolerance of a claim", self.tolerance, low=0)
        if not self.tolerance_why:
            raise ConfigError(
                f"the claim of {self.metric} has a tolerance of {self.tolerance:g}: say in tolerance_why who chose "
                "it, and why"
            )


@dataclass(frozen=True)
class Scenario:
    """Everything a run needs; JSON-able.

    Args:
        name: E.g. ``"classroom-digits"``.
        summary: One line.
        env: Id of the world.
        policy: Name of the policy.
        env_kwargs: Arguments of the world; its ``horizon`` is the run's length.
        policy_kwargs: Arguments of the policy.
        seeds: World seeds, run side by side.
        controls: Channel modes run beside every seed as controls, on their own observations.
        measure_at: Steps from 1 at which the test set is measured, besides the end.
        claims: Documented figures.
        training: How ``studyhall train`` trains its policy where not told otherwise: fields of
            :class:`~studyhall.rollouts.training.through_channel.ChannelConfig` and of its settings.
        system: The documented system it belongs to; ``reproduce SYSTEM`` runs all of one.
    """

    name: str
    summary: str
    env: str
    policy: str
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    policy_kwargs: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    controls: tuple[str, ...] = ()
    measure_at: tuple[int, ...] = ()
    claims: tuple[Claim, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None

    def __post_init__(self) -> None:
        for what, name, how in (("env", self.env, "EnvSpec"), ("policy", self.policy, "PolicySpec")):
            if not isinstance(name, str):
                raise ConfigError(
                    f"a scenario names its {what}, got {name!r}: register it under a name with {how} first"
                )
        for step in self.measure_at:
            if type(step) is not int or step < 1:
                raise ConfigError(f"measure_at names steps, whole numbers of at least 1, got {step!r}")

    @property
    def hosts_learners(self) -> bool:
        """Whether its world hosts the learners, instead of leaving them to the policy."""
        return self.env_kwargs.get("learners") is not None

    def check_takes(self, needed: Iterable[str]) -> None:
        """Check that the world takes the arguments that the policy needs of it.

        Raises:
            ConfigError: It does not; says what to set, or to take another policy.
        """
        lacking = [name for name in needed if name not in self.world_arguments]
        if not lacking:
            return
        if spec(self.env).hosted and not self.hosts_learners:
            raise ConfigError(
                f"policy {self.policy} decides for learners that the world hosts: add --set learners=mlp, or take "
                "another policy"
            )
        raise ConfigError(
            f"policy {self.policy} needs a world that takes {', '.join(lacking)}, unlike {self.env}: "
            "take another policy"
        )

    @property
    def world_arguments(self) -> dict[str, Any]:
        """Arguments that its world takes, and their defaults."""
        return spec(self.env).arguments(hosted=self.hosts_learners)

    def within(self, steps: int) -> Scenario:
        """The same with this horizon: measured within it alone, and with a second exam where that lay beyond."""
        env = {**self.env_kwargs, "horizon": steps}
        if env.get("exam_every", 1) >= steps > 1:
            env["exam_every"] = steps - 1
        return replace(self, env_kwargs=env, measure_at=tuple(at for at in self.measure_at if at <= steps))

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Scenario:
        """A scenario from its ``dataclasses.asdict``, which may have been JSON in between.

        Raises:
            KeyError, TypeError: It is no description of a scenario.
        """
        if not isinstance(found, Mapping):
            raise TypeError(f"a scenario is a mapping, got {type(found).__name__}")
        entries = dict(found)
        for name in ("seeds", "controls", "measure_at"):
            entries[name] = tuple(entries[name])
        entries["claims"] = tuple(
            Claim(**{**claim, "history": tuple(claim.get("history", ()))}) for claim in entries["claims"]
        )
        return cls(**entries)


registry: dict[str, Scenario] = {}
"""All scenarios by name."""


def register_scenario(scenario: Scenario) -> None:
    """Add a scenario.

    Raises:
        UnknownName: A claim names a source that there is not.
        ConfigError: Its name stands for another one (to register the same again does nothing), it is no scenario, or
            nobody answers for a claim's tolerance.
    """
    if not isinstance(scenario, Scenario):
        raise ConfigError(f"a Scenario is what can be registered as one, got {scenario!r}")
    for claim in scenario.claims:
        claim.check()
    refusal = f"scenario {scenario.name!r} is registered already: choose another name"
    add_to_registry(registry, scenario.name, scenario, refusal)


def get_scenario(name: str) -> Scenario:
    """A scenario by name.

    Raises:
        UnknownName: Lists the near ones, of a world its scenarios.
        ConfigError: The name is no text.
    """
    asked = text("scenario", name, next(iter(registry)))
    of_world = [scenario.name for scenario in registry.values() if scenario.env == asked]
    if of_world and asked not in registry:
        raise UnknownName(f"{asked} is a world: run one of its scenarios, {', '.join(of_world)}")
    return registry[one_of("scenario", asked, registry)]
