"""Documented figures held against measured ones: verdicts, and the tables that show them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ...envs.channel import MODES
from ...scenarios import Claim, Source, get_scenario, get_source
from ..metrics.names import EXAM, human, is_fraction
from .cells import marked, note
from .figures import as_interval, figure, spread
from .stats import Interval, interval

HOLDS, FAILS, OPEN, UNMEASURED = "holds", "does not hold", "not resolved", "not measured"
"""All verdicts on a claim. One that does not hold stays in its table as that."""

ROUNDING = 1e-6
"""Share of a documented figure that float32 may be off by, whatever the tolerance."""

COLUMNS = ("scenario", "metric", "documented", "source", "measured", "verdict", "tolerance")
"""Of a table of claims; :func:`claim_cells` gives all but the first."""

SOURCE_COLUMNS = ("source", "system", "author", "where", "commit", "run by", "on what")
"""Of a table of sources; see :func:`source_rows`."""

Metrics = Mapping[str, Mapping[str, Any]]
"""Mode to metric to one value a seed, null or NaN where a seed has none; as in a report, or in its JSON."""


def judged(claim: Claim, metrics: Metrics, *, comparable: bool = True) -> dict[str, Any]:
    """A claim, what was measured of it and the verdict, as plain JSON types.

    Args:
        claim: With the figure that was documented.
        metrics: Of a run; empty where there was none.
        comparable: Whether the run was as long as the claim supposes; otherwise nothing was measured of it.
    """
    values = _values(claim, metrics)
    found = interval(values) if values else None
    verdict = verdict_on(claim, found) if comparable else UNMEASURED
    measured = None if found is None else found._asdict()
    return {**dataclasses.asdict(claim), "measured": measured, "verdict": verdict}


def judged_anew(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry, perhaps read from JSON, with the claims of its scenario as it is registered now.

    Raises:
        UnknownName: There is no such scenario any more.
    """
    metrics, comparable = entry.get("metrics", {}), entry.get("comparable", False)
    claims = [judged(claim, metrics, comparable=comparable) for claim in get_scenario(entry["name"]).claims]
    return {**entry, "claims": claims}


def verdict_on(claim: Claim, found: Interval | None) -> str:
    """What a measured figure says of a documented one.

    The two differ by g ± e, where e is the half-width of the measured interval, or √(e₁² + e₂²) with that of the
    documented one where there is such. The claim holds where all of it is within ± the tolerance, and does not hold
    where none of it is. Of a single seed, or of two that agree to the last digit, there is no interval, so that
    nothing is resolved.
    """
    if found is None or not found.n:
        return UNMEASURED
    if found.n < 2 or (found.half == 0 and found.n < 3):
        return OPEN
    gap, half = abs(found.mean - claim.documented), math.hypot(found.half, claim.half or 0)
    tolerance = max(claim.tolerance or 0, ROUNDING * abs(claim.documented))
    if gap + half <= tolerance:
        return HOLDS
    return FAILS if gap - half > tolerance else OPEN


def _values(claim: Claim, metrics: Metrics) -> list[float] | None:
    """What the claim is of, one value a seed; None where a part of it was not measured."""
    first = _metric(metrics, claim.metric)
    if claim.minus is None or first is None:
        return first
    second = _metric(metrics, claim.minus)
    return None if second is None else [a - b for a, b in zip(first, second, strict=True)]


def _mode_and_metric(name: str) -> tuple[str, str]:
    """``("mute", "mean@6")`` of ``"mute/mean@6"``; what names no mode is of the open one (``"nats/prose"``)."""
    mode, _, metric = name.partition("/")
    return (mode, metric) if mode in MODES else ("open", name)


def _metric(metrics: Metrics, name: str) -> list[float] | None:
    mode, metric = _mode_and_metric(name)
    values = metrics.get(mode, {}).get(metric)
    return None if values is None else [math.nan if value is None else value for value in values]


def claims_table(entries: Iterable[Mapping[str, Any]]) -> Table:
    """Documented beside measured, of entries as :func:`studyhall.rollouts.runs.reproduce.entry` makes them."""
    entries = [entry for entry in entries if entry["claims"]]
    unit = ", %" if all(entry.get("headline", EXAM) == EXAM for entry in entries) else "; accuracies in %"
    shown = Table(title=f"documented beside measured{unit}", box=SIMPLE_HEAD, title_justify="left")
    for name in COLUMNS:
        shown.add_column(name, justify="right" if name in ("documented", "measured") else "left")
    for entry in entries:
        name = marked(entry["name"], entry.get("transductive", False))
        for claim in entry["claims"]:
            shown.add_row(name, *claim_cells(claim, entry.get("headline", EXAM)))
            name = ""
        shown.add_section()
    note(shown, (entry.get("transductive", False) for entry in entries))
    return shown


def claim_cells(claim: Mapping[str, Any], headline: str = EXAM) -> tuple[str, ...]:
    """Metric, documented, source, measured, verdict, and the tolerance with who chose it."""
    found = None if claim["measured"] is None else as_interval(claim["measured"])
    percent = is_fraction(_mode_and_metric(claim["metric"])[1], headline)
    exact = headline != EXAM and not percent  # in the world's own unit, whatever its size
    scale, digits = 100 if percent else 1, None if exact else 2
    signed = claim["minus"] is not None
    documented = figure(scale * claim["documented"], digits, signed=signed)
    if claim["half"] is not None:
        documented += f" ± {figure(scale * claim['half'], digits)}"
    tolerance = "–"
    if claim["tolerance"] is not None:
        size = figure(scale * claim["tolerance"], None if exact else 1)
        tolerance = f"± {size} ({claim['tolerance_why']})"
    return (
        " − ".join(_named(claim[name], headline) for name in ("metric", "minus") if claim[name] is not None),
        documented,
        claim["source"],
        spread(found, percent=percent, digits=digits, signed=signed),
        claim["verdict"],
        tolerance,
    )


def _named(metric: str, headline: str) -> str:
    mode, name = _mode_and_metric(metric)
    return human(name, headline) + (f" ({mode})" if mode != "open" else "")


def history(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """What was changed after a figure had been seen, each sentence once."""
    return list(
        dict.fromkeys(text for entry in entries for claim in entry["claims"] for text in claim["history"])
    )


def cited(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Keys of the sources of all claims, each once."""
    return list(dict.fromkeys(claim["source"] for entry in entries for claim in entry["claims"]))


def source_rows(keys: Iterable[str]) -> list[tuple[str, ...]]:
    """Cells of :data:`SOURCE_COLUMNS`."""
    return [(key, *_cells(get_source(key))) for key in keys]


def sources_table(keys: Iterable[str]) -> Table:
    """Where documented figures come from."""
    shown = Table(title="sources", box=SIMPLE_HEAD, title_justify="left")
    for name in SOURCE_COLUMNS:
        shown.add_column(name)
    for row in source_rows(keys):
        shown.add_row(*row)
    return shown


def _cells(source: Source) -> tuple[str, ...]:
    what = (source.system, source.author, source.url, source.commit, source.run_by, source.ran_on)
    *known, ran_on = (cell or "not recorded" for cell in what)
    return (*known, ran_on + (f". Not alike: {source.differs}" if source.differs else ""))
