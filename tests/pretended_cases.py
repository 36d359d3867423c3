"""Worlds and policies that step on a pretended device: ``python pretended_cases.py NAME …`` prints what was found."""

from __future__ import annotations

import json
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pretended  # before studyhall
import torch
from pretended_catches import caught
from small_worlds import PICTURES, POLICIES, TEXTS, WORLDS, first_that_fits

from studyhall import make_world
from studyhall.envs.channel import LIAR_KINDS
from studyhall.envs.engine import world as engine
from studyhall.envs.errors import StudyhallError
from studyhall.policies import make_policy
from studyhall.scenarios import get_scenario

engine.LOOK_EVERY = 2  # so that short episodes see it
for _, given in WORLDS:  # episodes of two steps
    given.update({name: least for name, least in {"horizon": 2, "rounds": 1}.items() if name in given})
ROOM = {"agents": 4, "slice_size": 4, "exam_size": 10, "horizon": 4}
LANGUAGE = {
    **{
        "corpora": TEXTS,
        "tokeniser": "bytes",
        "width": 8,
        "length": 8,
        "slice_size": 4,
        "exam_size": 4,
        "horizon": 4,
    },
    **{"exam_every": 2, "dropout": 0.1},
}
MODULAR = {**LANGUAGE, "layers": 2, "fresh_optimiser": True}
ANCHORED = {**MODULAR, "anchor": "ewc", "anchor_slices": 2}
HIERARCHY = {**LANGUAGE, "expert_hidden": 4, "agents": 8, "trial": 2, "horizon": 6}
LOSSES = {"topology": "random", "drop": 0.3, "delay": 2, "noise": 0.1, "bits": 4, "churn": 0.3, "rejoin": 0.5}

Case = tuple[str, dict[str, Any], str, dict[str, Any]]  # a world, its arguments, a policy, its arguments

OTHERS: dict[str, Case] = {
    "losses": ("classroom-v0", ROOM | LOSSES | {"share": "dirichlet"}, "random", {}),
    "small world": ("classroom-v0", ROOM | {"topology": "small_world", "order": "topical"}, "random", {}),
    "liars": (
        *("society-v0", ROOM | {"learners": "mlp", "hidden": (8,), "liars": 2, "liar_kinds": LIAR_KINDS}),
        *("composite", {}),
    ),
    "convolutions": ("classroom-v0", ROOM | {"learners": "conv3", "data": PICTURES}, "mean", {}),
    "anchored": ("modular-v0", ANCHORED, "k1", {}),
    "partition": ("modular-v0", ANCHORED, "partition", {}),
    "columns": ("modular-v0", MODULAR, "columns", {}),
    "tree on trial": ("hierarchy-v0", HIERARCHY, "k1_hierarchy", {}),
    "tree routed hard": (
        *(
            "hierarchy-v0",
            HIERARCHY | {"routing": "hard", "grow": "fresh", "fresh_optimiser": True},
            "random",
            {},
        ),
    ),
    "masc at full size": (
        "society-v0",
        get_scenario("masc-cifar100-full").env_kwargs
        | {"data": (torch.randint(0, 256, (400, 3, 32, 32), dtype=torch.uint8), torch.arange(400) % 20)}
        | {
            "num_worlds": 1,
            "slice_size": 2,
            "exam_items": 40,
            "exam_size": 20,
            "horizon": 5,
            "exam_every": 4,
        },
        "masc",
        get_scenario("masc-cifar100-full").policy_kwargs | {"shares": (0.34, 0.34)},
    ),
}
"""Arguments that change what a step computes."""


def pair(case: Case, device: str) -> tuple[Any, Any]:
    """The world and the policy of a case."""
    env, kwargs, name, settings = case
    policy = make_policy(name, **settings)
    world = make_world(env, **{"num_worlds": 2, **policy.world_kwargs, **kwargs}, device=device)
    policy.bind(world)
    return world, policy


def of_world(place: int, device: str) -> tuple[Any, Any]:
    """A registered world, and who acts at random."""
    env, kwargs = WORLDS[place]
    return pair((env, kwargs, "random", {}), device)


def of_policy(name: str, device: str) -> tuple[Any, Any]:
    """A registered policy, and the first world that it fits."""
    policy, world, _ = first_that_fits(name, num_worlds=2, device=device)
    return world, policy


def world_name(place: int) -> str:
    """What a case of a registered world is called."""
    env, kwargs = WORLDS[place]
    return f"{env}{' hosted' if 'learners' in kwargs else ''}{' with labels' if 'public_labels' in kwargs else ''}"


def beside(make: Callable[[str], tuple[Any, Any]]) -> Counter[str]:
    """Whom the host waited for in an episode and the first step of the next, there and beside it on the CPU."""
    with pretended.there():
        world, policy = make(pretended.DEVICE.type)
    return pretended.stepped(world, policy, make("cpu"), world.horizon + 1)


CASES: dict[str, Callable[[], Counter[str]]] = {
    **{world_name(place): partial(beside, partial(of_world, place)) for place in range(len(WORLDS))},
    **{f"policy {name}": partial(beside, partial(of_policy, name)) for name in POLICIES},
    **{name: partial(beside, partial(pair, case)) for name, case in OTHERS.items()},
    "catches": caught,
}


_FAULTS = AssertionError, RuntimeError, StudyhallError, TypeError, ValueError
"""What torch and the package raise of tensors elsewhere, and what is not the same there; all else ends the process."""


def found(name: str) -> dict[str, Any]:
    """What a case did: whom the host waited for, and what went wrong."""
    try:
        return {"looks": CASES[name](), "fault": ""}
    except _FAULTS:
        return {"looks": {}, "fault": traceback.format_exc()[-1500:]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    groups = {"all": list(CASES), "worlds": [world_name(place) for place in range(len(WORLDS))]}
    for asked in sys.argv[1:]:
        for case in groups.get(asked, [asked]):
            print(json.dumps({case: found(case)}), flush=True)
