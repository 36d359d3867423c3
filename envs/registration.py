"""Names of worlds: ids like ``"classroom-v0"``, what they stand for, and which arguments they take."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import ConfigError, StudyhallError, UnknownArgument, one_of, short, text, unknown_argument

if TYPE_CHECKING:
    from .engine.world import World

_Spec = TypeVar("_Spec")

NAMESPACE = "studyhall"
"""Gymnasium and PettingZoo know the worlds as ``studyhall/<id>``."""

_MAKE = f"{__package__}.make"
"""Where the worlds and views of an id are made."""

_LENGTHS = ("steps", "num_steps", "n_steps", "max_steps", "max_cycles", "max_episode_steps", "episode_length")
SYNONYMS: dict[str, tuple[str, ...]] = {
    "agents": (
        *("students", "members", "witnesses", "scorers", "particles", "listeners", "viewers", "experts"),
        *("players", "num_agents"),
    ),
    "horizon": ("rounds", *_LENGTHS),
    "rounds": ("horizon", *_LENGTHS),
    "drop": ("loss", "dropout_rate", "packet_loss"),
    "bits": ("quantise", "quantize", "quantisation", "quantization"),
}
"""An argument that many worlds take, and what people call it elsewhere."""

_MANY = "several worlds side by side are made by make_vec(id, num_envs=…), or make_sb3 and make_world (num_worlds=…)"
_ELSEWHERE = {
    "seed": "seeds are given to reset(seed=…), on the command line by --seeds",
    "num_envs": _MANY,
    "n_envs": _MANY,
}
"""What people give to a world that is asked for elsewhere."""


@dataclass(frozen=True)
class EnvSpec:
    """What an id stands for; JSON-able.

    Args:
        id: ``"name-v0"``.
        entry_point: ``"module:Class"`` of a :class:`~studyhall.envs.engine.world.World`.
        summary: One line.
        kwargs: Arguments that differ from the class's defaults.
        hosted: Whether the world can host its learners, by the argument ``learners``.
    """

    id: str
    entry_point: str
    summary: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    hosted: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.entry_point, str) or ":" not in self.entry_point:
            raise ConfigError(f"an entry point is text, 'module:Class', got {short(self.entry_point)}")
        if not re.fullmatch(r"[a-z0-9-]+-v\d+", self.id):
            raise ConfigError(f"an environment id looks like 'name-v0', got {short(self.id)}")

    def load(self) -> type[World]:
        """The world's class, imported now."""
        module, name = self.entry_point.split(":")
        return getattr(importlib.import_module(module), name)

    def refusal(self, name: str, *, hosted: bool = False) -> StudyhallError:
        """The error for an argument that this world does not take; it names the one that means the same.

        Args:
            name: Of the argument.
            hosted: Whether the world hosts its learners.
        """
        if name in _ELSEWHERE:
            return UnknownArgument(
                f"{self.id} got an unexpected keyword argument {name!r}: {_ELSEWHERE[name]}"
            )
        if name == "learners":
            return ConfigError(f"{self.id} hosts no learners: leave out the argument learners")
        known, refused = self.arguments(hosted=hosted), self.load().refused_arguments
        of_hosts = self.arguments(hosted=True)
        if name in of_hosts and name not in known:
            return ConfigError(
                f"{name} is an argument of worlds that host their learners: give learners too (learners='mlp')"
            )
        bare = name.removeprefix("num_").removeprefix("n_")
        for meant in (
            name,
            *(usual for usual, others in SYNONYMS.items() if {name, bare} & {usual, *others}),
        ):
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
        """Its arguments and their defaults; those of its base too where it passes ``**kwargs`` on.

        Args:
            hosted: Whether those are meant, too, that a world takes only where it hosts its learners.
        """
        loaded = self.load()
        found, _ = arguments_of(loaded)
        found |= dict(self.kwargs)
        left_out = set(loaded.refused_arguments) | (set() if hosted else loaded.hosting_arguments)
        return {name: default for name, default in found.items() if name not in left_out}


def constructors(factory: Callable[..., Any]) -> list[Callable[..., Any]]:
    """What takes the arguments of a function or a class, one after the other where ``**others`` are passed on.

    These are the constructors of a class and its bases. A class that gives its ``**others`` to something else says to
    what by ``forwarded_arguments_to``, e.g. worlds with a channel to the channel's settings.
    """
    if not isinstance(factory, type):
        return [factory]
    found: list[Callable[..., Any]] = []
    for cls in factory.__mro__[:-1]:
        if "__init__" in vars(cls):
            found.append(vars(cls)["__init__"])
            if not _takes_others(found[-1]):
                break
        if forwarded := vars(cls).get("forwarded_arguments_to"):
            return [*found, *(settings.__init__ for settings in forwarded)]
    return found


def _takes_others(function: Callable[..., Any]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


def arguments_of(factory: Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    """What a function or a class is called with.

    Args:
        factory: The function or class.

    Returns:
        Arguments and their defaults (``inspect.Parameter.empty`` where there is none), those of :func:`constructors`
        among them; and whether it takes any name besides.
    """
    called = constructors(factory)
    found: dict[str, Any] = {}
    for function in called:
        parameters = inspect.signature(function).parameters.values()
        named = (p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))
        found = {p.name: p.default for p in named if p.name != "self"} | found
    return found, bool(called) and _takes_others(called[-1])


registry: dict[str, EnvSpec] = {}
"""All worlds by id."""


def add_to_registry(registry: dict[str, _Spec], name: str, spec: _Spec, refusal: str) -> bool:
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
    if not add_to_registry(registry, spec.id, spec, refusal):
        return
    full = f"{NAMESPACE}/{spec.id}"
    # Names instead of functions, so that the specs of the two registries turn into JSON and pickle.
    kwargs = {"env_id": spec.id}
    gymnasium.register(
        full,
        entry_point=f"{_MAKE}:gymnasium_env",
        vector_entry_point=f"{_MAKE}:gymnasium_vec",
        kwargs=kwargs,
    )
    for kind in ("parallel", "aec"):
        pettingzoo_registry.register(kind, full, entry_point=f"{_MAKE}:pettingzoo_{kind}", kwargs=kwargs)


def spec(id: str) -> EnvSpec:
    """The spec of an id, with or without the namespace.

    Raises:
        UnknownName: Lists the near ones.
        ConfigError: The id is no text.
    """
    name = text("environment", id, "classroom-v0").removeprefix(f"{NAMESPACE}/")
    return registry[one_of("environment", name, registry)]


def __getattr__(name: str) -> Any:
    if not name.startswith("make_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MAKE), name)
