"""K-1 (documented system 2): a language model of which only some groups of parameters learn a slice.

Each scenario is one arm; ``benchmarks/k1.py`` sets many beside each other. The full sizes are for a GPU. WikiText-2 is
trained on its validation text where its training text is not at hand, and a warning says so.
"""

from __future__ import annotations

from typing import Any

from .scenario import Claim, Scenario, register_scenario

_NOTES = "k1-notes"
_SYSTEM = "k1"
_SMALL: dict[str, Any] = {
    "vocabulary": 512,
    "width": 32,
    "heads": 2,
    "feedforward": 64,
    "length": 32,
    "slice_size": 16,
}
_REAL = {"prose": "wikitext2", "code": "python", "science": "arxiv"}
_FULL: dict[str, Any] = {
    "corpora": {"prose": "wikitext2"},
    "characters": None,
    "vocabulary": 10_000,
    "width": 128,
    "heads": 4,
    "feedforward": 256,
    "length": 64,
    "dropout": 0.1,
    "slice_size": 256,
    "exam_every": 500,
    "exam_size": 64,
}

for _scenario in (
    Scenario(
        "k1-quick",
        "half of a small model's groups learn prose (embedded texts)",
        env="modular-v0",
        policy="k1",
        env_kwargs={**_SMALL, "tasks": ["prose"], "horizon": 400},
        seeds=(0, 1, 2),
        system=_SYSTEM,
    ),
    Scenario(
        "k1-continual",
        "prose, then code, then science, no replay (data: STUDYHALL_DATA)",
        env="modular-v0",
        policy="k1",
        env_kwargs={
            **_SMALL,
            "corpora": _REAL,
            "characters": None,
            "horizon": 1200,
            "fresh_optimiser": True,
            "exam_size": 64,
        },
        seeds=(0, 1, 2),
        system=_SYSTEM,
    ),
    Scenario(
        "k1-wikitext2",
        "a larger model on the text of WikiText-2 (data: STUDYHALL_DATA)",
        env="modular-v0",
        policy="k1",
        env_kwargs={
            "corpora": {"prose": "wikitext2"},
            "characters": None,
            "vocabulary": 2048,
            "width": 64,
            "heads": 4,
            "feedforward": 128,
            "length": 64,
            "slice_size": 16,
            "exam_size": 64,
            "exam_every": 50,
            "horizon": 1500,
        },
        seeds=(0, 1, 2),
        system=_SYSTEM,
    ),
    Scenario(
        "k1-prose",
        "all groups learn prose: models for k1-train to begin with (data: STUDYHALL_DATA)",
        env="modular-v0",
        policy="dense",
        env_kwargs={
            **_SMALL,
            "corpora": _REAL,
            "characters": None,
            "tasks": ["prose"],
            "horizon": 700,
            "exam_size": 64,
        },
        seeds=(0, 1, 2),
    ),
    Scenario(
        "k1-train",
        "a model that knows prose learns code: what bidders are trained in (set warm; data: STUDYHALL_DATA)",
        env="modular-v0",
        policy="vocabulary",
        env_kwargs={
            **_SMALL,
            "corpora": _REAL,
            "characters": None,
            "tasks": ["code"],
            "horizon": 60,
            "lr": 2e-3,
            "warmup": 0,
            "measure": "probe",
            "domain_weights": [3, 1, 0],
            "exam_every": 10,
        },
        seeds=(0, 1, 2),
    ),
    Scenario(
        "k1-structure",
        "a tree of experts is pruned, merged, grown and moved while topics come and go (embedded texts)",
        env="hierarchy-v0",
        policy="k1_hierarchy",
        env_kwargs={
            **_SMALL,
            "order": "topical",
            "topic_steps": 100,
            "agents": 24,
            "max_children": 10,
            "horizon": 2000,
        },
        seeds=(0, 1, 2),
        system=_SYSTEM,
    ),
    Scenario(
        "k1-structure-continual",
        "the same: prose, then code, then science, no replay (data: STUDYHALL_DATA)",
        env="hierarchy-v0",
        policy="k1_hierarchy",
        env_kwargs={
            **_SMALL,
            "corpora": _REAL,
            "characters": None,
            "agents": 24,
            "max_children": 10,
            "horizon": 1500,
            "exam_size": 64,
        },
        seeds=(0, 1, 2),
        system=_SYSTEM,
    ),
    Scenario(
        "k1-structure-train",
        "the same in 300 smaller steps: what linear_tree is trained in (data: STUDYHALL_DATA)",
        env="hierarchy-v0",
        policy="linear_tree",
        env_kwargs={
            **_SMALL,
            "slice_size": 8,
            "expert_hidden": 32,
            "corpora": _REAL,
            "characters": None,
            "agents": 24,
            "max_children": 10,
            "k": None,
            "horizon": 300,
            "lr": 5e-3,
            "warmup": 20,
        },
        seeds=(0, 1, 2),
    ),
    Scenario(
        "k1-full",
        "the documented size, words, length and half-overlapping windows of WikiText-2 (for a GPU)",
        env="modular-v0",
        policy="k1_as_published",
        env_kwargs={**_FULL, "stride": 32, "horizon": 57_708},
        seeds=(0, 1, 2),
        claims=(Claim("updated", 0.5, _NOTES),),
    ),
    Scenario(
        "k1-large",
        "89 million parameters in 26 groups (for a GPU)",
        env="modular-v0",
        policy="k1",
        env_kwargs={
            **_FULL,
            "vocabulary": 50_000,
            "width": 512,
            "heads": 8,
            "layers": 12,
            "feedforward": 2048,
            "length": 256,
            "slice_size": 32,
            "k": 13,
            "horizon": 20_000,
        },
        seeds=(0,),
    ),
):
    register_scenario(_scenario)
