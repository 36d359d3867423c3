"""Every registered world as small as it can be, for tests that go through a registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from studyhall import make_world, registry
from studyhall.envs.engine import World
from studyhall.envs.errors import StudyhallError
from studyhall.policies import Policy, make_policy
from studyhall.policies import registry as policies
from studyhall.policies.files import trained

TEXTS = {name: [f"{name} {i} " * 30 for i in range(30)] for name in ("one", "other")}
QUICK = {"agents": 3, "slice_size": 4, "exam_size": 10, "horizon": 3, "rounds": 2, "hidden": (8,)}
OF_TEXTS = {"corpora": TEXTS, "vocabulary": 260, "layers": 2, "width": 8, "feedforward": 8, "length": 8}
PICTURES = torch.arange(300 * 3 * 32 * 32).view(300, 3, 32, 32).to(torch.uint8), torch.arange(300) % 10
SMALL: dict[str, dict[str, Any]] = {"minicomo": {"width": 8, "layers": 1, "tokens": 2}}
"""Arguments of policies that are large without any."""


def worlds() -> list[tuple[str, dict[str, Any]]]:
    """Every registered world, small; also with learners of its own, and with public labels, where it takes them."""
    found = []
    for name, entry in registry.items():
        for hosted in (False, True)[: 1 + bool(entry.hosted)]:
            known = entry.arguments(hosted=hosted)
            of_texts = OF_TEXTS if "corpora" in known else {}
            kwargs = {key: value for key, value in QUICK.items() if known.get(key) is not None} | of_texts
            found.append((name, kwargs | ({"learners": "mlp"} if hosted else {})))
            if "public_labels" in known and not hosted:
                found.append((name, kwargs | {"public_labels": 0.5}))
    return found


WORLDS = worlds()
POLICIES = sorted([*policies, *trained()])


def one_of_a_module(names: list[str]) -> Iterator[str]:
    """The first policy of each module, and of the trained ones; others share its code."""
    seen = set()
    for name in names:
        module = policies[name].entry_point.partition(":")[0] if name in policies else "trained"
        if module not in seen:
            yield name
        seen.add(module)


def small_policy(name: str) -> Policy:
    """A policy of this name, small."""
    return make_policy(name, **SMALL.get(name, {}))


def first_that_fits(name: str, **batch: Any) -> tuple[Policy, World, tuple[str, dict[str, Any]]]:
    """A policy, bound to the first of the worlds that it fits, and that world's name and arguments.

    Args:
        name: Of the policy.
        batch: ``num_worlds``, ``device`` and the like.

    Raises:
        AssertionError: It fits none.
    """
    refusals = []
    for env, kwargs in WORLDS:
        policy = small_policy(name)
        given = {**policy.world_kwargs, **kwargs}
        try:
            world = make_world(env, **given, **batch)
            policy.bind(world)
        except StudyhallError as fault:  # not its world, or one without an argument that it needs
            refusals.append(f"{env}: {fault}")
        else:
            return policy, world, (env, kwargs)
    raise AssertionError("; ".join(refusals))
