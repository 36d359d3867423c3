"""The documented collaborative classroom, as presets of one policy.

A teacher with a budget labels the first part of the stream; then the best student teaches the others by soft
targets at temperature 2. What was published differs from what was described, and both can be mended; each
preset is a dict of differences, and the code knows no quirks.

| preset | evaluation | title | after the budget |
|---|---|---|---|
| `as_published` | dropout never off | lowest mean of the last 100 training losses | the best teaches, no T² |
| `budgeted` | dropout never off | best report card | the best teaches, no T² |
| `faithful` | dropout off outside learning | best report card | the best teaches, T² |
| `stop_at_budget` | dropout off outside learning | – | nothing: the control |
| `isolated` | dropout off outside learning | – | nothing; for a world of mode "isolated" |
| `single_pass` | dropout off outside learning | – | nothing; for a world of order "single_pass" |

Whether labels are charged, and how the stream is dealt, is the world's business (`teacher_budget`, `order`,
`mode`), so it stands in the scenarios.
"""

from __future__ import annotations

from typing import Any

from ...envs.errors import one_of
from .protocols import LabelsOnly, Protocol, TwoPhase
from .students import Students, students

PRESETS: dict[str, tuple[type[Protocol], dict[str, Any]]] = {
    "as_published": (TwoPhase, {"always_dropout": True, "distill_scale": 1.0, "title_by": "loss"}),
    "budgeted": (TwoPhase, {"always_dropout": True, "distill_scale": 1.0}),
    "faithful": (TwoPhase, {}),
    "stop_at_budget": (LabelsOnly, {}),
    "isolated": (LabelsOnly, {}),
    "single_pass": (LabelsOnly, {}),
}
"""Preset to its protocol and its arguments of :func:`classroom`."""


def classroom(preset: str = "faithful", **kwargs: Any) -> Students:
    """The documented classroom.

    Args:
        preset: "as_published", "budgeted", "faithful", "stop_at_budget", "isolated" or "single_pass".
        **kwargs: Arguments of the preset's protocol or of :class:`Students`; they win over the preset.
    """
    one_of("preset of the classroom", preset, PRESETS)
    protocol, differences = PRESETS[preset]
    return students("classroom", protocol, **{**differences, **kwargs})
