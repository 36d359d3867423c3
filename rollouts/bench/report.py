"""What a measurement says, as tables and as a picture, and two of them side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from ...envs.engine.drawing import PALETTE, Picture, style
from ...envs.errors import ConfigError
from ...envs.files import read_file
from .counting import PARTS
from .measure import FORMAT

Found = Mapping[str, Any]  # what bench returns
_MARKS = "osv^D"
_AXES = {"W": "worlds side by side", "N": "agents of a world", "B": "rows of a slice"}


def tables(found: Found) -> Group:
    """Speeds, where a step goes, and what it costs by size."""
    return Group(_speeds(found), _parts(found), _costs(found))


def _speeds(found: Found) -> Table:
    table = _table(
        "world", "W", "steps/s", "±", "agent-steps/s", "rows/s", "updates/s",
        title=f"Speeds: medians of {found['rounds']} rounds, and half their range",
    )  # fmt: skip
    for row in found["worlds"]:
        for speed in row["speeds"]:
            steps = speed["steps_per_second"]
            table.add_row(
                *(_name(row), str(speed["worlds"]), _count(steps["median"]), _half(steps)),
                _count(speed["agent_steps_per_second"]["median"]),
                *(_count(speed[f"{what}_per_second"]) for what in ("rows", "updates")),
            )
        for worlds, why in row["left_out"].items():
            table.add_row(_name(row), worlds, "–", "", why)
        table.add_section()
    return table


def _parts(found: Found) -> Table:
    table = _table(
        "world", "W", *PARTS, "operations", "of sgemm", "KiB a learner",
        title="Where a step goes: shares of its time; operations; speed of its products, held against one large one",
    )  # fmt: skip
    for row in found["worlds"]:
        size = row["bytes_per_learner"]
        table.add_row(
            *(_name(row), str(row["profiled"]), *(f"{row['shares'][part]:.0%}" for part in PARTS)),
            *(_count(row["operations"]), f"{row['products_of_sgemm']:.2f}"),
            "" if size is None else _count(size / 1024),
        )
    return table


def _costs(found: Found) -> Table:
    table = _table(
        "world",
        *_AXES,
        title="A step takes in proportion to this power of worlds (W), agents (N) and rows (B)",
    )
    for row in found["worlds"]:
        powers = (row["costs"][what] for what in _AXES)
        table.add_row(
            _name(row),
            *("–" if p is None or p["exponent"] is None else f"{p['exponent']:.2f}" for p in powers),
        )
    return table


def draw(found: Found, path: Path) -> None:
    """Write a PNG: milliseconds of a step against worlds, agents and rows."""
    with style():
        picture = Picture((4.2,) * len(_AXES), (4.2,), left=0.9, right=(0.2, 0.2, 2.4))
        for axes, (what, label) in zip(picture.panels[0], _AXES.items(), strict=True):
            for place, row in enumerate(found["worlds"]):
                if (cost := row["costs"][what]) is not None:
                    colour, mark = PALETTE[place % len(PALETTE)], _MARKS[place // len(PALETTE) % len(_MARKS)]
                    axes.plot(
                        cost["sizes"], cost["milliseconds"], color=colour, marker=mark, label=_name(row)
                    )
            axes.set_xscale("log", base=2)
            axes.set(yscale="log", xlabel=label)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter("")
        picture.panels[0][0].set_ylabel("milliseconds a step")
        shown = picture.panels[0][0].get_legend_handles_labels()
        picture.panels[0][-1].legend(*shown, loc="center left", bbox_to_anchor=(1.02, 0.5))
        picture.write(path)


def read(path: Path) -> Found:
    """What ``studyhall bench --json`` printed into a file.

    Raises:
        ConfigError: It cannot be read, or is no such file.
    """
    try:
        found = json.loads(read_file(path))
        if found["format"] != FORMAT:
            raise ValueError
        _by_width(found)
    except OSError as fault:
        raise ConfigError(f"{path} cannot be read ({fault.strerror}): give a file that it printed") from fault
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ConfigError(f"{path} is not of this version's `studyhall bench --json`: measure anew") from None
    return found


def compared(before: Found, after: Found) -> list[dict[str, Any]]:
    """Speeds of what is in both, row by row.

    Returns:
        Of each: ``world``, ``worlds``, agent-steps a second ``before`` and ``after`` (median, low, high), their
        ``ratio``, and whether it is ``resolved``: whether no round of one was as fast as one of the other.

    Raises:
        ConfigError: Nothing is in both.
    """
    found = []
    first, second = _by_width(before), _by_width(after)
    for key in first.keys() & second.keys():
        one, other = first[key], second[key]
        apart = one["high"] < other["low"] or other["high"] < one["low"]
        ratio = other["median"] / one["median"]
        found.append(
            {
                "world": key[0],
                "worlds": key[1],
                "before": one,
                "after": other,
                "ratio": ratio,
                "resolved": apart,
            }
        )
    if not found:
        raise ConfigError("the two files have no world in common: measure the same with --world")
    return sorted(found, key=lambda row: list(first).index((row["world"], row["worlds"])))


def comparison(rows: list[dict[str, Any]]) -> Table:
    """The table of :func:`compared`."""
    table = _table("world", "W", "before", "±", "after", "±", "ratio", "", title="Agent-steps a second")
    for row in rows:
        one, other = row["before"], row["after"]
        said = "not resolved" if not row["resolved"] else "faster" if row["ratio"] > 1 else "slower"
        table.add_row(
            *(row["world"], str(row["worlds"]), _count(one["median"]), _half(one)),
            *(_count(other["median"]), _half(other), f"{row['ratio']:.2f}×", said),
        )
    return table


def _by_width(found: Found) -> dict[tuple[str, int], dict[str, float]]:
    """Agent-steps a second by world and width."""
    return {
        (_name(row), int(speed["worlds"])): {
            name: float(speed["agent_steps_per_second"][name]) for name in ("median", "low", "high")
        }
        for row in found["worlds"]
        for speed in row["speeds"]
    }


def _table(name: str, *columns: str, title: str) -> Table:
    table = Table(name, title=title, box=SIMPLE_HEAD, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['world']}{' hosted' if row['hosted'] else ''}"


def _count(value: float) -> str:
    return "" if not value else f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _half(found: Mapping[str, float]) -> str:
    return f"{(found['high'] - found['low']) / 2 / found['median']:.0%}"
