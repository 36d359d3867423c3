"""Names of worlds: ids like ``"classroom-v0"``, what they stand for, and how to make them."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import ConfigError, StudyhallError, UnknownName, unknown

if TYPE_CHECKING:
    import gymnasium
    from pettingzoo import AECEnv, ParallelEnv

    from .bridges.gymnasium import WorldVectorEnv
    from .bridges.sb3 import WorldVecEnv
    from .world import World

_Spec = TypeVar("_Spec")

NAMESPACE = "studyhall"
"""Gymnasium and PettingZoo know the worlds as ``studyhall/<id>``."""

_LENGTHS = ("steps", "num_steps", "n_steps", "max_steps", "max_cycles", "max_episode_steps", "episode_length")
SYNONYMS: dict[str, tuple[str, ...]] = {
    "agents": (
        *("num_agents", "n_agents", "students", "members", "witnesses", "scorers", "particles", "listeners"),
        *("viewers", "experts"),
    ),
    "horizon": ("rounds", *_LENGTHS),
    "rounds": ("horizon", *_LENGTHS),
}
"""An argument that many worlds take, and what people call it elsewhere."""


@dataclass(frozen=True)
class EnvSpec:
    """What an id stands for; JSON-able.

    Args:
        id: ``"name-v0"``.
        entry_point: ``"module:Class"`` of a :class:`~studyhall.envs.world.World`.
        summary: One line.
        kwargs: Arguments that differ from the class's defaults.
        hosted: ``"module:Class"`` of the form that hosts its learners, chosen by the argument ``learners``; None
            where there is none.
    """

    id: str
    entry_point: str
    summary: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    hosted: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.entry_point, str) or ":" not in self.entry_point:
            raise ConfigError(f"an entry point is text, 'module:Class', got {self.entry_point!r}")
        if not re.fullmatch(r"[a-z0-9-]+-v\d+", self.id):
            raise ConfigError(f"an environment id looks like 'name-v0', got {self.id!r}")

    def load(self, *, hosted: bool = False) -> type[World]:
        """The world's class, imported now; ``hosted``: the form that hosts its learners."""
        if hosted and self.hosted is None:
            raise ConfigError(f"{self.id} hosts no learners: leave out the argument learners")
        module, name = ((hosted and self.hosted) or self.entry_point).split(":")
        return getattr(importlib.import_module(module), name)

    def refusal(self, name: str, *, hosted: bool = False) -> StudyhallError:
        """The error for an argument that this world does not take; it names the one that means the same.

        Args:
            name: Of the argument.
            hosted: Whether the form is meant that hosts its learners.
        """
        known, refused = self.arguments(hosted=hosted), self.load(hosted=hosted).refused_arguments
        of_hosts = self.arguments(hosted=True) if self.hosted else {}
        if name in of_hosts and name not in known:
            return ConfigError(
                f"{name} is an argument of worlds that host their learners: give learners too (learners='mlp')"
            )
        for meant in (name, *(usual for usual, others in SYNONYMS.items() if name in others)):
            if meant in refused:
                return ConfigError(f"{self.id} takes no {name}: {refused[meant]}")
            if meant in known:
                return UnknownName(f"{self.id} takes no {name}: it is called {meant} here")
        return unknown(f"argument of {self.id}", name, {*known, *of_hosts})

    def page(self) -> str:
        """The world's documentation page."""
        return inspect.getdoc(importlib.import_module(self.entry_point.split(":")[0])) or ""

    def arguments(self, *, hosted: bool = False) -> dict[str, Any]:
        """Its arguments and their defaults; those of its base too where it passes ``**kwargs`` on."""
        loaded = self.load(hosted=hosted)
        found, _ = arguments_of(loaded)
        found |= dict(self.kwargs)
        return {name: default for name, default in found.items() if name not in loaded.refused_arguments}


def constructors(factory: Callable[..., Any]) -> list[Callable[..., Any]]:
    """What takes the arguments of a function or a class, one after the other where ``**others`` are passed on.

    These are the constructors of a class and its bases. A class that gives its ``**others`` to something else says to
    what by ``forwarded_arguments_to``, e.g. worlds with a channel to the channel's settings.
    """
    if not isinstance(factory, type):
        return [factory]
    found = []
    for cls in factory.__mro__[:-1]:
        found += [vars(cls)["__init__"]] if "__init__" in vars(cls) else []
        if "forwarded_arguments_to" in vars(cls):
            found += [vars(cls)["forwarded_arguments_to"].__init__]
    return found


def arguments_of(factory: Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    """What a function or a class is called with.

    Args:
        factory: The function or class.

    Returns:
        Arguments and their defaults (``inspect.Parameter.empty`` where there is none), those of :func:`constructors`
        among them as far as ``**others`` are passed on; and whether it takes any name besides.
    """
    found: dict[str, Any] = {}
    called = constructors(factory)
    for function in called:
        parameters = inspect.signature(function).parameters.values()
        named = (p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))
        found = {p.name: p.default for p in named if p.name != "self"} | found
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return found, False
    return found, bool(called)


registry: dict[str, EnvSpec] = {}
"""All worlds by id."""


def enter(registry: dict[str, _Spec], name: str, spec: _Spec, refusal: str) -> bool:
    """Add to a registry.

    A script that registers something of its own is imported a second time by its entry point, and then says the
    same again.

    Args:
        registry: By name.
        name: The name.
        spec: What the name stands for.
        refusal: What is said where the name stands for something else already.

    Returns:
        False where the same was there already.

    Raises:
        ConfigError: Something else was.
    """
    if name not in registry:
        registry[name] = spec
        return True
    try:
        same = registry[name] == spec
    except (ValueError, RuntimeError):  # what arrays and tensors among the arguments say to ==
        same = False
    if not same:
        raise ConfigError(refusal)
    return False


def register(spec: EnvSpec) -> None:
    """Add a world, here and in Gymnasium's and PettingZoo's registries (as ``studyhall/<id>``).

    Raises:
        ConfigError: Its id stands for another world; to register the same again does nothing.
    """
    import gymnasium
    from pettingzoo.env_registry import registration as pettingzoo_registry

    refusal = f"{spec.id!r} is registered already: choose another name or raise its version"
    if not enter(registry, spec.id, spec, refusal):
        return
    full = f"{NAMESPACE}/{spec.id}"
    # Names instead of functions, so that the specs of the two registries turn into JSON and pickle.
    kwargs = {"env_id": spec.id}
    gymnasium.register(
        full,
        entry_point=f"{__name__}:_gymnasium_env",
        vector_entry_point=f"{__name__}:_gymnasium_vec",
        kwargs=kwargs,
    )
    for kind in ("parallel", "aec"):
        pettingzoo_registry.register(kind, full, entry_point=f"{__name__}:_pettingzoo_{kind}", kwargs=kwargs)


def spec(id: str) -> EnvSpec:
    """The spec of an id, with or without the namespace.

    Raises:
        UnknownName: Lists the near ones.
    """
    name = id.removeprefix(f"{NAMESPACE}/")
    if name not in registry:
        raise unknown("environment", id, sorted(registry))
    return registry[name]


def make_world(id: str, *, num_worlds: int = 1, device: str = "cpu", **kwargs: Any) -> World:
    """The batched engine: W worlds as tensors on one device.

    Args:
        id: E.g. ``"classroom-v0"``.
        num_worlds: W.
        device: E.g. ``"cuda"``.
        **kwargs: The world's own arguments; see its page.

    Raises:
        UnknownName: The id or an argument is not known; lists the near ones.
    """
    found = spec(id)
    if kwargs.get("learners", "") is None:
        del kwargs["learners"]
    hosted = "learners" in kwargs
    known = found.arguments(hosted=hosted)
    for name in kwargs:
        if name not in known:
            raise found.refusal(name, hosted=hosted)
    cls = found.load(hosted=hosted)
    return cls(**{**found.kwargs, **kwargs, "num_worlds": num_worlds, "device": device})


_OF_VIEWS = ("num_worlds", "autoreset", "validate")


def _viewed(id: str, num_worlds: int, kwargs: dict[str, Any]) -> World:
    """The world behind a view, which decides for itself how many worlds there are and when they reset."""
    _refuse_own(kwargs)
    return make_world(id, num_worlds=num_worlds, autoreset=False, validate=True, **kwargs)


def _refuse_own(kwargs: dict[str, Any]) -> None:
    """Raise where arguments name what views set themselves."""
    for name in _OF_VIEWS:
        if name in kwargs:
            raise ConfigError(
                f"{name} is an argument of make_world only: views set it (make_vec takes num_envs)"
            )


def make_env(id: str, *, render_mode: str | None = None, **kwargs: Any) -> ParallelEnv:
    """A PettingZoo ``ParallelEnv`` over one world; observations and actions are numpy."""
    from .bridges.pettingzoo import WorldParallelEnv

    return WorldParallelEnv(_viewed(id, 1, kwargs), spec(id).id, render_mode)


def make_aec(id: str, *, render_mode: str | None = None, **kwargs: Any) -> AECEnv:
    """A PettingZoo ``AECEnv``: PettingZoo's own conversion of :func:`make_env`."""
    from pettingzoo.utils.conversions import parallel_to_aec

    return parallel_to_aec(make_env(id, render_mode=render_mode, **kwargs))


def make_vec(
    id: str,
    num_envs: int = 1,
    *,
    autoreset_mode: str | gymnasium.vector.AutoresetMode = "NextStep",
    render_mode: str | None = None,
    **kwargs: Any,
) -> WorldVectorEnv:
    """A Gymnasium ``VectorEnv`` over W worlds, with joint actions and the mean reward of the agents.

    Args:
        id: E.g. ``"classroom-v0"``.
        num_envs: W.
        autoreset_mode: ``"NextStep"``, ``"SameStep"`` or ``"Disabled"``, or Gymnasium's enum.
        render_mode: ``"ansi"`` or ``"rgb_array"``, of world 0.
        **kwargs: The world's own arguments; see its page.
    """
    from .bridges.gymnasium import WorldVectorEnv
    from .validation import whole

    whole("num_envs", num_envs, 1)
    return WorldVectorEnv(
        _viewed(id, num_envs, kwargs), autoreset_mode=autoreset_mode, render_mode=render_mode
    )


def make_joint(id: str, *, render_mode: str | None = None, **kwargs: Any) -> gymnasium.Env:
    """A Gymnasium ``Env`` over one world: one controller acts for all agents."""
    from .bridges.gymnasium import WorldEnv

    return WorldEnv(_viewed(id, 1, kwargs), render_mode=render_mode)


def make_sb3(
    id: str,
    num_worlds: int = 1,
    *,
    seed: int | None = None,
    domain: str = "train",
    render_mode: str | None = None,
    **kwargs: Any,
) -> WorldVecEnv:
    """A Stable-Baselines3 ``VecEnv`` with W·N sub-environments, one for every agent of every world.

    * Actions are one ``Box(−1, 1)`` that is scaled to the world's bounds, a question asked where its number is
      above 0; ``actions="discrete"`` is one ``Discrete``, and only there is ``env_method("action_masks")``.
    * Rewards are each agent's own, not the mean of the class.
    * ``VecMonitor`` is not needed: infos tell of episodes that ended (``episode`` and ``metrics``).
    * In ``VecNormalize`` take ``norm_obs=False`` where the policy is to be saved with ``save_policy``: the file
      does not hold its statistics.

    Args:
        id: E.g. ``"society-v0"``.
        num_worlds: W.
        seed: Of the first reset; world w gets ``seed + w``. SB3's own ``seed`` argument comes after it.
        domain: ``"train"``, ``"eval"`` or ``"demo"``: equal seeds in different domains are unrelated worlds.
        render_mode: ``"rgb_array"``, or None.
        **kwargs: The world's own arguments; see its page.

    Raises:
        ConfigError: The world's actions are unbounded or too many for SB3; says which form to use instead.
    """
    from .bridges.sb3 import WorldVecEnv

    _refuse_own(kwargs)
    world = make_world(id, num_worlds=num_worlds, autoreset=True, **kwargs)
    origin = {"env": spec(id).id, "env_kwargs": kwargs}
    return WorldVecEnv(world, seed=seed, domain=domain, render_mode=render_mode, origin=origin)


# ---- entry points of the other registries; their `make` has an `id` of its own, so ours is `env_id` ----


def _gymnasium_env(env_id: str, **kwargs: Any) -> gymnasium.Env:
    return make_joint(env_id, **kwargs)


def _gymnasium_vec(env_id: str, **kwargs: Any) -> WorldVectorEnv:
    return make_vec(env_id, **kwargs)


def _pettingzoo_parallel(env_id: str, max_cycles: int | None = None, **kwargs: Any) -> ParallelEnv:
    return make_env(env_id, **_with_horizon(kwargs, max_cycles))


def _pettingzoo_aec(env_id: str, max_cycles: int | None = None, **kwargs: Any) -> AECEnv:
    return make_aec(env_id, **_with_horizon(kwargs, max_cycles))


def _with_horizon(kwargs: dict[str, Any], max_cycles: int | None) -> dict[str, Any]:
    """PettingZoo's word for the horizon, as ours."""
    return kwargs if max_cycles is None else {**kwargs, "horizon": max_cycles}
