"""Socialized learning (documented system 4): experts of a few classes each make each other better.

Public rows are unlabelled, and the policy is what was mended. With ``-labelled`` behind the name everybody is told all
labels of public rows, and the policy is what was documented; students of the mute control, where nobody is heard, then
train on labels alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .scenario import Claim, Scenario, register_scenario

_NOTES = "masc-notes"
_ROOM: dict[str, Any] = {"deal": "sorted", "public_order": "iid", "slice_size": 32, "liars": 0}
_SYSTEM = "masc"


def _pair(name: str, summary: str, env: Mapping[str, Any], policy: Mapping[str, Any], steps: int) -> None:
    """Register a society whose public rows are unlabelled, and the one in which all labels are told."""
    env = {**_ROOM, **env, "horizon": steps, "exam_every": steps - 1}
    shared: dict[str, Any] = {
        "env": "society-v0",
        "policy": "masc",
        "seeds": tuple(range(5)),
        "controls": ("mute",),
        "system": _SYSTEM,
    }
    register_scenario(
        Scenario(
            f"masc-{name}", summary, env_kwargs=env, policy_kwargs={"preset": "mended", **policy}, **shared
        )
    )
    register_scenario(
        Scenario(
            f"masc-{name}-labelled",
            f"{summary}; all labels of public rows are told",
            env_kwargs=env | {"public_labels": 1.0},
            policy_kwargs={"preset": "documented", **policy},
            **shared,
        )
    )


_pair(
    "digits",
    "five experts of two digits each teach each other the rest (embedded data)",
    {"data": "digits", "agents": 5, "stream_items": 1000, "exam_items": 100, "exam_size": 50},
    {},
    steps=800,
)
_pair(
    "mnist",
    "the same on 1,500 images of MNIST (data: STUDYHALL_DATA)",
    {"data": "mnist", "agents": 5, "stream_items": 1500, "exam_items": 1000, "exam_size": 50},
    {},
    steps=1500,
)
_pair(
    "cifar10",
    "five experts of two classes each on 5,000 images of CIFAR-10 (data: STUDYHALL_DATA)",
    {"data": "cifar10", "agents": 5, "stream_items": 5000, "exam_items": 1000, "exam_size": 50},
    {"width": 16, "flip": True},
    steps=1000,
)
_pair(
    "cifar100",
    "four experts of five classes each on 4,000 images of 20 classes of CIFAR-100 (data: STUDYHALL_DATA)",
    {
        "data": "cifar100",
        "data_classes": 20,
        "agents": 4,
        "stream_items": 4000,
        "exam_items": 8000,
        "exam_size": 100,
    },
    {"width": 16, "flip": True},
    steps=1000,
)
register_scenario(
    Scenario(
        "masc-cifar100-full",
        "four VGG-16 experts of 25 classes each on all of CIFAR-100, all labels told (for a GPU; data: STUDYHALL_DATA)",
        env="society-v0",
        policy="masc",
        env_kwargs=_ROOM
        | {
            "data": "cifar100",
            "agents": 4,
            "slice_size": 128,
            "exam_items": 5000,
            "exam_size": 100,
            "public_labels": 1.0,
            "horizon": 60_000,
            "exam_every": 59_999,
        },
        policy_kwargs={
            "preset": "documented",
            "learners": "vgg",
            "shares": (0.25, 0.5),
            "lr": 0.02,
            "lr_student": 0.02,
            "weight_decay": 5e-4,
            "flip": True,
        },
        seeds=(0, 1, 2),
        claims=(
            Claim("masc_expert", 0.6458, _NOTES),
            Claim("masc_general", 0.5812, _NOTES),
            Claim("masc_average", 0.6135, _NOTES),
        ),
    )
)
