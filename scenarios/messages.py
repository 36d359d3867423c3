"""Messages: halves of pictures, and witnesses who agree.

"Summed MSE" is the sum of the two viewers'.
"""

from __future__ import annotations

from .scenario import Claim, Scenario, register_scenario

_RERUN = "minicomo-rerun"
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
        training={"updates": 100_000, "cpu_seconds": 120, "schedule": "constant", "max_grad_norm": 1e9},
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
register_scenario(
    Scenario(
        "referential-attributes",
        "a speaker names objects of four attributes; tested on combinations that nobody has named before",
        env="referential-v0",
        policy="referential",
        env_kwargs={"slice_size": 100},
        seeds=_SEEDS,
        controls=("mute", "shuffled"),
        training={"updates": 500, "learning_rate": 3e-3},
    )
)
register_scenario(
    Scenario(
        "referential-colours-and-shapes",
        "the game of Li & Bowling 2019: 8 colours, 4 shapes, 5 candidates, two symbols of 8; all objects in training",
        env="referential-v0",
        policy="referential",
        env_kwargs={"slice_size": 100, "attributes": (8, 4), "vocabulary": 8, "held_out": 0.0},
        seeds=_SEEDS,
        controls=("mute", "shuffled"),
        training={"updates": 500, "learning_rate": 3e-3},
        claims=(Claim("accuracy", 0.9215, "li-bowling"),),
    )
)
register_scenario(
    Scenario(
        "consensus-digits-symbols",
        "three witnesses, with noisy, partial views of a digit, tell each other one symbol of ten (embedded data)",
        env="consensus-v0",
        policy="feedforward",
        env_kwargs={"data": "digits", "slice_size": 128, "agents": 3, "rounds": 1, "vocabulary": 10},
        seeds=_SEEDS,
        controls=("mute", "shuffled"),
        training={"updates": 2000, "learning_rate": 3e-3},
    )
)
