"""Swarms: a bowl, a rippled plain that fools the classic swarm, and the weights of a small network."""

from __future__ import annotations

from .scenario import Scenario, register_scenario

register_scenario(
    Scenario(
        "swarm-sphere",
        "ten particles on the 2-D sphere: the classic swarm's yardstick",
        env="swarm-v0",
        policy="pso",
        env_kwargs={"objective": "sphere", "dimensions": 2, "agents": 10, "horizon": 1000},
        policy_kwargs={"inertia": 0.9, "cognitive": 0.5, "social": 0.3},
        seeds=tuple(range(20)),
        controls=("mute",),
    )
)
register_scenario(
    Scenario(
        "swarm-ackley-30d",
        "forty particles on the 30-D ackley, where the classic swarm is caught: three refine their bests",
        env="swarm-v0",
        policy="hybrid_pso",
        env_kwargs={
            "objective": "ackley",
            "dimensions": 30,
            "agents": 40,
            "horizon": 1000,
            "actions": "coefficients",
        },
        # Gradient steps of about one ripple: at rate .01 they only deepen the dents that catch the swarm.
        policy_kwargs={"refine_rate": 2.0},
        seeds=tuple(range(20)),
        controls=("mute",),
    )
)
register_scenario(
    Scenario(
        "swarm-mnist",
        "twenty particles look for the weights of a 784-16-10 network, on slices of 256",
        env="swarm-v0",
        policy="hybrid_pso",
        env_kwargs={
            "objective": "network",
            "data": "mnist",
            "agents": 20,
            "slice_size": 256,
            "horizon": 200,
            "actions": "coefficients",
        },
        policy_kwargs={"refine_rate": 0.1},
        seeds=(0, 1, 2),
        controls=("mute",),
    )
)
