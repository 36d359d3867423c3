"""The conformance suite: does a world keep the contract, does a policy, and is it blind to its exam?

::

    from studyhall.testing import check_exam_blind, check_policy, check_world

    check_world("classroom-v0", agents=3, drop=0.2)  # a registered world
    check_world(MyWorld, topics=4)  # any callable that makes one
    check_policy("mutual", "classroom-v0", agents=3)  # a policy by name, or any callable that makes one
    check_exam_blind(MyPolicy, "classroom-v0", agents=3)

The checks are small functions. Of worlds: of steps in ``steps.py``, of runs against their twins in
``twins.py``, of the PettingZoo and Gymnasium views in ``views.py``, of what things are called in
``names.py``. Of policies: in ``policies.py``. Each raises an AssertionError of one line that names what is tested, the
property, the key and the step.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..envs.engine.world import World
from ..envs.errors import ConfigError, short
from ..envs.make import make_world
from ..envs.registration import spec
from ..policies.policy import Policy
from ..policies.registration import make_policy
from . import names, policies, steps, twins, views
from .policies import PolicySubject
from .tools import Subject, leaves, same, seeded

SHORT = {"horizon": 6, "rounds": 3}
"""Length of the episodes of registered worlds under test unless given: checks walk through whole ones."""

ENGINE_CHECKS: list[Callable[[Subject], None]] = [*steps.CHECKS, *twins.CHECKS]
"""Checks of the engine alone."""

CHECKS: list[Callable[[Subject], None]] = [
    *ENGINE_CHECKS,
    *views.CHECKS,
    *names.CHECKS,
]
"""All checks of a world, in the order in which they run."""


def check_world(id_or_factory: str | Callable[..., World], **kwargs: Any) -> None:
    """Check everything that the contract promises of a world, in the engine and in its views.

    Takes seconds where worlds are small and episodes short; a registered world gets short ones unless ``kwargs``
    say otherwise.

    Args:
        id_or_factory: An id, or a callable that makes a :class:`World` from ``num_worlds``, ``autoreset``
            and ``validate`` (a class does).
        **kwargs: The world's own arguments.

    Raises:
        AssertionError: The first check that failed, in one line.
    """
    subject = _subject(id_or_factory, kwargs)
    for check in CHECKS:
        check(subject)


def check_engine(id_or_factory: str | Callable[..., World], **kwargs: Any) -> None:
    """As :func:`check_world`, in the engine alone: for arguments that change how a world moves, and not its spaces.

    Args:
        id_or_factory: As of :func:`check_world`.
        **kwargs: The world's own arguments.

    Raises:
        AssertionError: The first check that failed, in one line.
    """
    subject = _subject(id_or_factory, kwargs)
    for check in ENGINE_CHECKS:
        check(subject)


def check_policy(
    name_or_factory: str | Callable[[], Policy],
    id_or_factory: str | Callable[..., World] = "classroom-v0",
    **kwargs: Any,
) -> None:
    """Check everything that is promised of a policy, in worlds of one kind that it fits.

    Args:
        name_or_factory: A name that ``make_policy`` takes, or a callable that makes a
            :class:`~studyhall.policies.Policy`, each time alike (a class does).
        id_or_factory: The world, as in :func:`check_world`; it gets the policy's ``world_kwargs``.
        **kwargs: The world's own arguments; they win over the policy's.

    Raises:
        AssertionError: The first check that failed, in one line.
        ConfigError: The policy does not fit the world, or is none.
    """
    make = partial(make_policy, name_or_factory) if isinstance(name_or_factory, str) else name_or_factory
    policy = make() if callable(make) else make
    if not isinstance(policy, Policy):
        raise ConfigError(f"give a name or a callable that makes a Policy, got {short(name_or_factory)}")
    subject = _subject(id_or_factory, {**policy.world_kwargs, **kwargs})
    name = name_or_factory if isinstance(name_or_factory, str) else type(policy).__name__
    played = PolicySubject(f"{name} in {subject.name}", subject.factory, make)
    for check in policies.CHECKS:
        check(played)


def check_exam_blind(
    policy_factory: Callable[[], Any],
    id_or_factory: str | Callable[..., World] = "classroom-v0",
    *,
    steps: int = 30,
    **kwargs: Any,
) -> None:
    """Check that exam inputs shape a policy's ``answers`` and nothing else.

    Three policies live through the same course of a world: one sees what is there, one likewise (so that a
    policy that is not deterministic is told apart), and one sees other exam inputs. What they publish, ask
    and remember must be bit-identical; entries of ``state_dict()`` named ``answers…`` are exempt.

    Args:
        policy_factory: Makes a policy (see :class:`studyhall.policies.Policy`), each time alike.
        id_or_factory: A world with an ``exam`` in its observation, as in :func:`check_world`.
        steps: Steps to compare; a registered world ends an episode on the way, unless ``kwargs`` give a
            longer ``horizon``.
        **kwargs: The world's own arguments.

    Raises:
        AssertionError: Names the action, or the entry of the state, that exam inputs reached.
        ConfigError: The world shows no exam.
    """
    if isinstance(id_or_factory, str):
        kwargs = {"horizon": max(1, 2 * steps // 3), **kwargs}
    subject = _subject(id_or_factory, kwargs)
    worlds = [subject.world(2, autoreset=True) for _ in range(3)]
    if "exam" not in worlds[0].observation_space.spaces:
        raise ConfigError(f"{subject.name} shows no exam: there is nothing to be blind to")
    policies = [policy_factory() for _ in worlds]
    generator = seeded(0)
    seen = []
    for world, policy in zip(worlds, policies, strict=True):
        policy.bind(world)
        seen.append(world.reset(seed=0))
        policy.reset()
    ended = torch.ones(2, dtype=torch.bool)
    for t in range(1, steps + 1):
        if ended.any():
            other = _other_exam(seen[0]["exam"], generator)
        seen[2] = {**seen[2], "exam": other}
        acted = [_copied(policy.act(obs)) for policy, obs in zip(policies, seen, strict=True)]
        _require_blind(subject, acted, "action", t)
        # All three worlds go the way of the first, so that only exam inputs can tell the policies apart.
        taken = [world.step(acted[0]) for world in worlds]
        ended = taken[0].terminated | taken[0].truncated
        if ended.any():
            final = [step.final_obs for step in taken]
            final[2] = {**final[2], "exam": other}
            for policy, obs in zip(policies, final, strict=True):
                policy.end(obs, ended)
                policy.reset(ended)
        _require_blind(subject, [_copied(policy.state_dict()) for policy in policies], "state", t)
        seen = [step.obs for step in taken]


def _require_blind(subject: Subject, sides: list[dict[str, Any]], kind: str, step: int) -> None:
    """Compare what was seen, seen again, and seen with another exam."""
    one, again, other = sides
    for side in (again, other):
        odd = sorted(key for key in one.keys() ^ side.keys() if not _answers(key))
        subject.require(not odd, f"{kind} keys must not depend on the exam", ", ".join(map(repr, odd)), step)
    for key, value in one.items():
        if _answers(key):
            continue
        subject.require(
            same(value, again[key]),
            "the policy is not deterministic, so blindness cannot be told",
            f"{kind} {key!r}",
            step,
        )
        subject.require(
            same(value, other[key]), "exam inputs reach more than answers", f"{kind} {key!r}", step
        )


def _answers(path: str) -> bool:
    return any(part.startswith("answers") for part in path.split("."))


def _copied(tree: Any) -> dict[str, Any]:
    return {key: value.clone() if isinstance(value, Tensor) else value for key, value in leaves(tree)}


def _other_exam(exam: Tensor, generator: torch.Generator) -> Tensor:
    """Random inputs of the same shape ``[W, N, E, D…]`` and scale, the same for all agents of a world."""
    w, n, *shape = exam.shape
    noise = torch.randn((w, 1, *shape), generator=generator).to(exam)
    return (exam.mean() + exam.std() * noise).expand(w, n, *shape)


def _subject(id_or_factory: str | Callable[..., World], kwargs: dict[str, Any]) -> Subject:
    if isinstance(id_or_factory, str):
        found = spec(id_or_factory)
        taken = found.arguments()
        kwargs = {name: length for name, length in SHORT.items() if name in taken} | kwargs
        return Subject(found.id, partial(make_world, found.id, **kwargs))
    if not callable(id_or_factory):
        raise ConfigError(f"give an id or a callable that makes a world, got {id_or_factory!r}")
    name = getattr(id_or_factory, "__name__", type(id_or_factory).__name__)
    if inspect.isclass(id_or_factory) and not issubclass(id_or_factory, World):
        raise ConfigError(f"{name} is not a World")
    return Subject(name, partial(id_or_factory, **kwargs))
