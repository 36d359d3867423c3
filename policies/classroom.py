"""The documented collaborative classroom, as presets of one policy.

A teacher with a budget labels the first part of the stream; then the best student teaches the others by soft
targets at temperature 2. What was published differs from what was described, and both can be mended; each
preset is a dict of differences, and the code knows no quirks.

| preset | evaluation | title | distillation |
|---|---|---|---|
| `as_published` | dropout never off | lowest mean of the last 100 training losses | no T² |
| `budgeted` | dropout never off | best report card | no T² |
| `faithful` | dropout off outside learning | best report card | T² |

Whether labels are charged is the world's business (`teacher_budget`), so it stands in the scenarios.
"""

from __future__ import annotations

from typing import Any

from ..envs.errors import unknown
from .protocols import TwoPhase
from .students import Students, students

PRESETS: dict[str, dict[str, Any]] = {
    "as_published": {"always_dropout": True, "distill_scale": 1.0, "title_by": "loss"},
    "budgeted": {"always_dropout": True, "distill_scale": 1.0},
    "faithful": {},
}
"""Preset to arguments of :func:`classroom`."""


def classroom(preset: str = "faithful", **kwargs: Any) -> Students:
    """The documented classroom.

    Args:
        preset: One of :data:`PRESETS`.
        **kwargs: Arguments of :class:`TwoPhase` or :class:`Students`; they win over the preset.
    """
    if preset not in PRESETS:
        raise unknown("preset of the classroom", preset, PRESETS)
    return students(TwoPhase, **{**PRESETS[preset], **kwargs})
