"""Names of policies, what they stand for, and how to make them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..envs.errors import ConfigError, UnknownName, text, unknown, unknown_argument
from ..envs.registration import add_to_registry, arguments_of
from .classroom.students import Protocol, Students, students
from .files import is_path, trained
from .own_modules import own_class
from .policy import Policy


@dataclass(frozen=True)
class PolicySpec:
    """What a policy's name stands for; JSON-able.

    Args:
        name: E.g. ``"mutual"``.
        entry_point: ``"module:callable"`` that returns a :class:`Policy`, or ``"module:Class"`` of a
            :class:`~studyhall.policies.Protocol`, which students then follow.
        summary: One line.
        kwargs: Arguments that differ from the callable's defaults.
    """

    name: str
    entry_point: str
    summary: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.entry_point, str) or ":" not in self.entry_point:
            raise ConfigError(f"an entry point is text, 'module:callable', got {self.entry_point!r}")


registry: dict[str, PolicySpec] = {}
"""All policies by name."""


def register_policy(spec: PolicySpec) -> None:
    """Add a policy.

    Raises:
        ConfigError: Its name stands for another one (to register the same again does nothing), or it is no spec.
    """
    if not isinstance(spec, PolicySpec):
        raise ConfigError(f"a PolicySpec is what can be registered as a policy, got {spec!r}")
    add_to_registry(
        registry, spec.name, spec, f"policy {spec.name!r} is registered already: choose another name"
    )


def policy_name(name: Any) -> str:
    """The name of a policy, if it is text.

    Raises:
        ConfigError: It is not; of a class of a user's own, or what was made of it, says how it is named.
    """
    kind = name if isinstance(name, type) else type(name)
    if issubclass(kind, (Policy, Protocol)):
        raise ConfigError(
            f"a policy is given by its name: for one of your own say '{kind.__module__}:{kind.__name__}'"
        )
    return text("policy", name, "classroom")


def policy_spec(name: str) -> PolicySpec:
    """The spec of a policy's name; of a trained one the name is that of its file, of one's own ``"module:Class"``.

    Raises:
        UnknownName: Lists the near ones.
        ConfigError: The name is no text.
    """
    if policy_name(name) in registry:
        return registry[name]
    shipped = trained()
    if name in shipped or is_path(name):
        return PolicySpec(name, "studyhall.policies.saved:saved_policy", "trained", {"source": name})
    if is_own(name):
        return PolicySpec(name, name, "a user's own")
    module, dot, attribute = name.rpartition(".")
    if dot and attribute[:1].isupper():  # a class as Python names it
        raise UnknownName(f"unknown policy {name!r}: a class of your own is named {module}:{attribute}")
    raise unknown("policy", name, [*registry, *shipped])


def is_own(name: str) -> bool:
    """Whether a policy's name is a user's own ``"module:Class"``, which only the user may name, never a file."""
    return name not in registry and name not in trained() and not is_path(name) and ":" in name


def policy_factory(name: str) -> Callable[..., Any]:
    """What makes the policy of a name: a function, or a class of a policy or of a protocol; imported now.

    Raises:
        UnknownName: Lists the near ones.
        ConfigError: A user's own that cannot be imported, or is no policy.
    """
    module, _, attribute = policy_spec(name).entry_point.partition(":")
    if is_own(name):
        return own_class(name)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as fault:
        raise ConfigError(f"policy {name} cannot be imported ({fault})") from fault


def policy_arguments(name: str) -> set[str]:
    """Names of what a registered policy is made with; of a protocol also its students' arguments."""
    factory = policy_factory(name)
    known = set(arguments_of(factory)[0])
    if isinstance(factory, type) and issubclass(factory, Protocol):
        known |= set(arguments_of(Students)[0]) - {"protocol"}
    return known


def make_policy(name: str, **kwargs: Any) -> Policy:
    """Make a policy by name, a trained one by the path of its file, one of a user's own by ``"module:Class"``.

    Raises:
        UnknownName: The name or an argument is not known; lists the near ones.
        ConfigError: A trained policy cannot be read, or a user's own is none.
    """
    factory: Any = policy_factory(name)
    given = {**policy_spec(name).kwargs, **kwargs}
    if isinstance(factory, type) and issubclass(factory, Protocol):
        return students(name, factory, **given)
    known, others = arguments_of(factory)
    for argument in kwargs:
        if argument not in known and not others:
            raise unknown_argument(f"policy {name}", argument, known)
    return factory(**given)
