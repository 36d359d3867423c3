"""Messages: halves of pictures, and witnesses who agree.

Figures of MiniCoMo are from re-runs of its published code at a reduced size (width 64, two layers, 120 seconds of one
CPU thread), on upright, unswapped images of MNIST's test set; "summed MSE" is the sum of the two viewers'.
"""

from __future__ import annotations

from .scenario import Claim, Scenario, register_scenario

_RERUN = "re-run of the original, reduced, 120 CPU-seconds"
_SEEDS = tuple(range(8))
_REDUCED = {"width": 64, "layers": 2}

register_scenario(
    Scenario(
        "halves-digits",
        "two viewers see half a digit each, exchange one message, and paint each other's half (embedded data)",
        env="halves-v0",
        policy="minicomo",
        env_kwargs={"data": "digits", "slice_size": 128, "width": 16},
        policy_kwargs={"width": 32, "layers": 1, "tokens": 4, "messenger": "simple"},
        seeds=_SEEDS,
        controls=("mute", "shuffled"),
        training={"updates": 3000, "learning_rate": 2e-3},
    )
)
register_scenario(
    Scenario(
        "halves-quadrants",
        "four viewers see a quarter of a digit each, exchange messages, and paint the other three (embedded data)",
        env="halves-v0",
        policy="minicomo",
        env_kwargs={"data": "digits", "slice_size": 128, "width": 16, "grid": (2, 2)},
        policy_kwargs={"width": 32, "layers": 1, "tokens": 4, "messenger": "simple"},
        seeds=_SEEDS,
        controls=("mute", "shuffled"),
        training={"updates": 3000, "learning_rate": 2e-3},
    )
)
register_scenario(
    Scenario(
        "halves-mnist",
        "MiniCoMo at a reduced size: each viewer paints what the other holds",
        env="halves-v0",
        policy="minicomo",
        env_kwargs={"data": "mnist", "slice_size": 64, "width": 64},
        policy_kwargs=_REDUCED | {"messenger": "simple"},
        seeds=_SEEDS,
        controls=("mute", "shuffled"),
        training={"updates": 100_000, "cpu_seconds": 120, "learning_rate": 3e-3},
        claims=(Claim("summed_upright", 0.0337, _RERUN),),
        system="minicomo",
    )
)
register_scenario(
    Scenario(
        "halves-mnist-as-published",
        "MiniCoMo as its code ran: fixed places, and a reader that leaks between samples",
        env="halves-v0",
        policy="minicomo",
        env_kwargs={"data": "mnist", "slice_size": 128, "width": 64, "target": "place"},
        policy_kwargs=_REDUCED | {"messenger": "attention", "reader": "batch"},
        seeds=_SEEDS,
        controls=("mute", "shuffled"),
        training={"updates": 100_000, "cpu_seconds": 120, "schedule": "constant"},
        claims=(Claim("summed_upright", 0.0886, _RERUN),),
        system="minicomo",
    )
)
register_scenario(
    Scenario(
        "consensus-digits",
        "four witnesses, each with a noisy and partial view of a digit, talk for five rounds (embedded data)",
        env="consensus-v0",
        policy="consensus_network",
        env_kwargs={"data": "digits", "slice_size": 128, "rounds": 5},
        seeds=_SEEDS,
        controls=("mute", "shuffled"),
        training={"updates": 2000, "answers": "all"},
    )
)
register_scenario(
    Scenario(
        "consensus-vector",
        "four witnesses, each with a noisy and partial view of a vector, talk for five rounds",
        env="consensus-v0",
        policy="consensus_network",
        env_kwargs={"data": "vector", "slice_size": 128, "rounds": 5},
        seeds=_SEEDS,
        controls=("mute", "shuffled"),
        training={"updates": 2000, "answers": "all"},
    )
)
