"""Societies whose learners the world hosts, so that only the protocol is at stake: who listens to whom."""

from __future__ import annotations

from .scenario import Scenario, register_scenario

_LEARNERS = {"learners": "mlp", "hidden": (64, 64), "dropout": 0.0, "lr": 3e-3, "temperature": 1.0}

register_scenario(
    Scenario(
        "society-liar-digits",
        "five experts of two classes each, a liar of an unknown kind among them (embedded data)",
        env="society-v0",
        policy="composite",
        env_kwargs=_LEARNERS | {"data": "digits", "agents": 5, "horizon": 400},
        seeds=tuple(range(20)),
        controls=("mute",),
    )
)
register_scenario(
    Scenario(
        "society-liar-mnist",
        "the same on MNIST",
        env="society-v0",
        policy="composite",
        env_kwargs=_LEARNERS | {"data": "mnist", "agents": 5, "horizon": 400},
        seeds=tuple(range(20)),
        controls=("mute",),
    )
)

_SURE = {"energies": True, "detect": 1.0, "deal": "sorted", "public_order": "iid"}

register_scenario(
    Scenario(
        "masc-digits-bold",
        "five experts who know their two digits by their energy, one of whom claims every row (embedded data)",
        env="society-v0",
        policy="lowest_energy",
        env_kwargs=_LEARNERS
        | _SURE
        | {"data": "digits", "stream_items": 1000, "agents": 5, "horizon": 400, "liar_kinds": ("bold",)},
        seeds=tuple(range(20)),
        controls=("mute",),
    )
)
