"""Sentences about what was found: what talking was worth, how sure that is, and which learners diverged."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..metrics.names import EXAM, human, is_fraction
from .cells import style
from .figures import limits
from .stats import interval, verdict

if TYPE_CHECKING:
    from .report import Report


def worth(report: Report) -> list[str]:
    """What talking to each other was worth, in a line a control: by the mean (honest) student, or the headline.

    Whether more is better is known of accuracies only.
    """
    lines, whose = [], report.headline
    if report.headline == EXAM:
        whose = "honest" if "honest" in report.metrics["open"] else "mean"
    if whose not in report.metrics["open"]:
        return []
    percent = is_fraction(whose, report.headline)
    for mode, values in report.social_gain(whose).items():
        gain = interval(values)
        if not gain.n:
            continue
        who = f"open − {mode}, {human(whose, report.headline, report.noun)}"
        if report.headline == EXAM:
            who = "the class against each on its own" if mode == "isolated" else f"peers against {mode}"
        how = style(whose, report.headline)
        found = limits(gain, signed=True, unit=" points" if percent else "", **how)
        missing = f" of {gain.n + gain.missing}" if gain.missing else ""
        seeds = f"{gain.n}{missing} seed{'s' if gain.n + gain.missing > 1 else ''}"
        words = {
            "gain": "a gain" if percent else "a difference",
            "loss": "a loss" if percent else "a difference",
            "equal": f"exactly equal in {seeds}",
            None: f"not resolved with {seeds}",
        }
        lines.append(f"{who}: {found} ({seeds}): {words[verdict(gain)]}")
    return lines


def divergences(report: Report) -> list[str]:
    """Which agents are not finite any more, and since when, in a line a mode; none where all are."""
    lines = []
    for mode, seeds in report.diverged.items():
        told = [f"seed {seed}: {_agents(agents)}" for seed, agents in seeds.items()]
        shown = "; ".join(told[:_SHOWN]) + (f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else "")
        lines.append(f"diverged in {len(seeds)} of {len(report.seeds)} seeds, {mode}: {shown}")
    return lines


def gaps(report: Report) -> list[str]:
    """Why some seeds have no figure, of the metrics that lack one; nothing where all have."""
    without = {
        str(seed) in report.diverged.get(mode, {})
        for mode, metrics in report.metrics.items()
        for values in metrics.values()
        for seed, value in zip(report.seeds, values, strict=True)
        if math.isnan(value)
    }
    why = {
        True: "where a learner diverged, its world has none",
        False: "where a case did not occur, there is none",
    }
    return [
        f"– and (k of n): figures of k seeds; {why[diverged]}" for diverged in sorted(without, reverse=True)
    ]


_SHOWN = 4  # seeds that are told of one by one; the report's JSON has all


def _agents(found: dict[str, int]) -> str:
    """``"student_0 (by step 2), student_3 (by step 4)"``."""
    if len(found) > _SHOWN:
        first, last = min(found.values()), max(found.values())
        when = f"{first:,}" if first == last else f"{first:,} … {last:,}"
        return f"{len(found)} agents by step {when}"
    return ", ".join(f"{agent} by step {step:,}" for agent, step in found.items())
