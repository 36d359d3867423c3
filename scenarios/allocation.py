"""Allocation: a reading budget smaller than the text or picture, and scorers who spend it."""

from __future__ import annotations

from .scenario import Scenario, register_scenario

_SEEDS = tuple(range(5))

register_scenario(
    Scenario(
        "allocation-digits",
        "four scorers choose which 4 of 16 patches of a digit are read (embedded data)",
        env="allocation-v0",
        policy="relevance_router",
        env_kwargs={
            "data": "digits",
            "agents": 4,
            "patch": 2,
            "budget": 4,
            "slice_size": 32,
            "horizon": 400,
        },
        seeds=_SEEDS,
    )
)
register_scenario(
    Scenario(
        "allocation-text",
        "four scorers choose which 4 of the first 32 words of a news item are read (data: STUDYHALL_DATA or the hub)",
        env="allocation-v0",
        policy="relevance_router",
        env_kwargs={
            "data": "ag_news",
            "agents": 4,
            "budget": 4,
            "reader": "set",
            "slice_size": 32,
            "horizon": 1000,
            "exam_items": 1000,
        },
        policy_kwargs={"see": "pixels", "reader": "set"},
        seeds=_SEEDS,
    )
)
