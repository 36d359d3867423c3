"""Names of worlds: ids like ``"classroom-v0"``, what they stand for, and how to make them."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import ConfigError, StudyhallError, UnknownArgument, one_of, short, text, unknown_argument

if TYPE_CHECKING:
    import gymnasium
    from gymnasium.envs.registration import EnvSpec as GymnasiumSpec
    from pettingzoo import AECEnv
    from pettingzoo.env_registry.spec import EnvSpec as PettingZooSpec

    from .bridges.flat import FlatWorld
    from .bridges.gymnasium import WorldEnv, WorldVectorEnv
    from .bridges.pettingzoo import WorldParallelEnv
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
            raise ConfigError(f"an entry point is text, 'module:Class', got {short(self.entry_point)}")
        if not re.fullmatch(r"[a-z0-9-]+-v\d+", self.id):
            raise ConfigError(f"an environment id looks like 'name-v0', got {short(self.id)}")

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
                longer = " (an episode has one step more)" if meant == "rounds" else ""
                return UnknownArgument(
                    f"{self.id} got an unexpected keyword argument {name!r}: it is called {meant!r} here{longer}"
                )
        return unknown_argument(self.id, name, {*known, *of_hosts})

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
        ConfigError: Its id stands for another world (to register the same again does nothing), or it is no spec.
    """
    import gymnasium
    from pettingzoo.env_registry import registration as pettingzoo_registry

    if not isinstance(spec, EnvSpec):
        raise ConfigError(f"an EnvSpec is what can be registered as a world, got {short(spec)}")
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
        ConfigError: The id is no text.
    """
    name = text("environment", id, "classroom-v0").removeprefix(f"{NAMESPACE}/")
    return registry[one_of("environment", name, registry)]


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


def _viewed(id: str, num_worlds: int, flat: bool, kwargs: dict[str, Any]) -> World | FlatWorld:
    """The world behind a view, which decides for itself how many worlds there are and when they reset."""
    from .bridges.flat import FlatWorld
    from .validation import flag

    _refuse_own(kwargs)
    world = make_world(id, num_worlds=num_worlds, autoreset=False, validate=True, **kwargs)
    return FlatWorld(world) if flag("flat", flat) else world


def _refuse_own(kwargs: dict[str, Any]) -> None:
    """Raise where arguments name what views set themselves."""
    for name in _OF_VIEWS:
        if name in kwargs:
            raise ConfigError(
                f"{name} is an argument of make_world only: views set it (make_vec takes num_envs)"
            )


def make_env(
    id: str, *, render_mode: str | None = None, flat: bool = False, **kwargs: Any
) -> WorldParallelEnv:
    """A PettingZoo ``ParallelEnv`` over one world; observations and actions are numpy.

    Args:
        id: E.g. ``"classroom-v0"``.
        render_mode: ``"ansi"`` or ``"rgb_array"``, or None.
        flat: Observations and actions are one vector each instead of dicts, for libraries that take no dicts; see
            ``studyhall.envs.bridges.flat``.
        **kwargs: The world's own arguments; see its page.

    Raises:
        ConfigError: An argument is wrong, or the actions have no flat form; says which argument to set.
    """
    from .bridges.pettingzoo import WorldParallelEnv

    env = WorldParallelEnv(_viewed(id, 1, flat, kwargs), spec(id).id, render_mode)
    env.spec = _pettingzoo_spec("parallel", id, env, {"render_mode": render_mode, "flat": flat, **kwargs})
    return env


def make_aec(id: str, *, render_mode: str | None = None, flat: bool = False, **kwargs: Any) -> AECEnv:
    """A PettingZoo ``AECEnv``: PettingZoo's own conversion of :func:`make_env`."""
    from pettingzoo.utils.conversions import parallel_to_aec

    env = make_env(id, render_mode=render_mode, flat=flat, **kwargs)
    aec = parallel_to_aec(env)
    aec.spec = _pettingzoo_spec("aec", id, env, {"render_mode": render_mode, "flat": flat, **kwargs})
    return aec


def _pettingzoo_spec(kind: str, id: str, env: WorldParallelEnv, kwargs: dict[str, Any]) -> PettingZooSpec:
    """PettingZoo's spec of one environment: its registry's, with these arguments and the horizon."""
    from pettingzoo.env_registry import registration as pettingzoo_registry

    known = pettingzoo_registry.spec(kind, f"{NAMESPACE}/{spec(id).id}")  # type: ignore[arg-type]
    return replace(known, kwargs={**known.kwargs, **kwargs}, max_cycles=env.max_cycles)


def _gymnasium_spec(id: str, kwargs: dict[str, Any]) -> GymnasiumSpec:
    """Gymnasium's spec of one environment: its registry's, with these arguments."""
    import gymnasium

    known = gymnasium.spec(f"{NAMESPACE}/{spec(id).id}")
    return replace(known, kwargs={**known.kwargs, **kwargs})


def make_vec(
    id: str,
    num_envs: int = 1,
    *,
    autoreset_mode: str | gymnasium.vector.AutoresetMode = "NextStep",
    render_mode: str | None = None,
    flat: bool = False,
    **kwargs: Any,
) -> WorldVectorEnv:
    """A Gymnasium ``VectorEnv`` over W worlds, with joint actions and the mean reward of the agents.

    Args:
        id: E.g. ``"classroom-v0"``.
        num_envs: W.
        autoreset_mode: ``"NextStep"``, ``"SameStep"`` or ``"Disabled"``, or Gymnasium's enum.
        render_mode: ``"ansi"`` or ``"rgb_array"``, of every world, or None.
        flat: As of :func:`make_env`; of all agents one after the other.
        **kwargs: The world's own arguments; see its page.
    """
    from .bridges.gymnasium import WorldVectorEnv
    from .validation import whole

    whole("num_envs", num_envs, 1)
    env = WorldVectorEnv(
        _viewed(id, num_envs, flat, kwargs), autoreset_mode=autoreset_mode, render_mode=render_mode
    )
    told = {"autoreset_mode": env.autoreset_mode.value, "render_mode": render_mode, "flat": flat, **kwargs}
    how = {"num_envs": num_envs, "vectorization_mode": "vector_entry_point"}  # as gymnasium.make_vec tells it
    env.spec = _gymnasium_spec(id, {**told, **how})
    return env


def make_joint(id: str, *, render_mode: str | None = None, flat: bool = False, **kwargs: Any) -> WorldEnv:
    """A Gymnasium ``Env`` over one world: one controller acts for all agents.

    Args:
        id: E.g. ``"classroom-v0"``.
        render_mode: ``"ansi"`` or ``"rgb_array"``, or None.
        flat: As of :func:`make_env`; of all agents one after the other.
        **kwargs: The world's own arguments; see its page.
    """
    from .bridges.gymnasium import WorldEnv

    env = WorldEnv(_viewed(id, 1, flat, kwargs), render_mode=render_mode)
    env.spec = _gymnasium_spec(id, {"render_mode": render_mode, "flat": flat, **kwargs})
    return env


def make_sb3(
    id: str,
    num_worlds: int = 1,
    *,
    seed: int | None = None,
    domain: str = "train",
    render_mode: str | None = None,
    flat: bool = False,
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
        flat: Observations are one vector too, as of :func:`make_env`: for ``"MlpPolicy"``, and for algorithms that
            take no dicts. Policies over them are saved by SB3's own ``model.save`` alone.
        **kwargs: The world's own arguments; see its page.

    Raises:
        ConfigError: The world's actions are unbounded or too many for SB3; says which form to use instead.
    """
    from .bridges.sb3 import WorldVecEnv
    from .validation import flag

    _refuse_own(kwargs)
    flag("flat", flat)
    world = make_world(id, num_worlds=num_worlds, autoreset=True, **kwargs)
    origin = {"env": spec(id).id, "env_kwargs": kwargs}
    return WorldVecEnv(world, seed=seed, domain=domain, render_mode=render_mode, origin=origin, flat=flat)


# ---- entry points of the other registries; their `make` has an `id` of its own, so ours is `env_id` ----


def _gymnasium_env(env_id: str, **kwargs: Any) -> WorldEnv:
    return make_joint(env_id, **kwargs)


def _gymnasium_vec(env_id: str, max_episode_steps: int | None = None, **kwargs: Any) -> WorldVectorEnv:
    return make_vec(env_id, **_with_horizon(env_id, kwargs, max_episode_steps))


def _pettingzoo_parallel(env_id: str, max_cycles: int | None = None, **kwargs: Any) -> WorldParallelEnv:
    return make_env(env_id, **_with_horizon(env_id, kwargs, max_cycles))


def _pettingzoo_aec(env_id: str, max_cycles: int | None = None, **kwargs: Any) -> AECEnv:
    return make_aec(env_id, **_with_horizon(env_id, kwargs, max_cycles))


def _with_horizon(env_id: str, kwargs: dict[str, Any], steps: int | None) -> dict[str, Any]:
    """The other registries' word for the horizon, as ours; an episode has one step more than rounds."""
    if steps is None:
        return kwargs
    if "horizon" in spec(env_id).arguments():
        return {**kwargs, "horizon": steps}
    from .validation import whole

    return {**kwargs, "rounds": whole("max_cycles, or max_episode_steps,", steps, 2) - 1}
