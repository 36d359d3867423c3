"""Where the host waits for a value on the device: everything that there is, and why.

Elsewhere no step reads anything back; ``tests/test_device.py`` lets every world and policy step on a pretended device
and compares what it finds with this list.
"""

from __future__ import annotations

from typing import NamedTuple


class ReadBack(NamedTuple):
    """A function in which the host waits for the device."""

    function: str
    """Its module, without "studyhall.", and its name."""
    when: str
    """How often."""
    why: str
    """What for."""


READ_BACKS = (
    ReadBack(
        "envs.engine.world._spoilt",
        "every tenth step of an episode, where the world has networks",
        "a world whose networks are no longer finite is at an end",
    ),
    ReadBack(
        "learners.groups._learners",
        "once a step of `modular-v0`",
        "who learns: groups that rest are not computed",
    ),
    ReadBack(
        "envs.channel.topology.small_world",
        'when an episode with `topology="small_world"` begins',
        "edges are moved one after the other, each by what the last one left",
    ),
    ReadBack(
        "policies.messages.policy.reset",
        "when some worlds begin anew",
        "which: talkers know on the host who has heard what",
    ),
    ReadBack(
        "policies.socialized.base.end",
        "when an episode ends",
        "which: the stages of experts are known on the host",
    ),
    ReadBack("policies.socialized.base.reset", "when some worlds begin anew", "which: the same"),
    ReadBack(
        "learners.population.reset",
        "when some worlds with networks made on the host begin anew",
        "which: only their networks are made",
    ),
    ReadBack(
        "learners.modules.init",
        "when networks of a factory are made",
        "their seeds: PyTorch's own initialisation draws on the host",
    ),
)


def table() -> str:
    """The list as a table of a page."""
    rows = [f"| `{function}` | {when} | {why} |" for function, when, why in READ_BACKS]
    return "\n".join(["| where the host waits | when | for what |", "|---|---|---|", *rows])
