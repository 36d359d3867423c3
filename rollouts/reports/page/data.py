"""Figures of a run as the page's script reads them: plain numbers, of four digits, no more than the page can bear."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....envs.errors import plural
from ...metrics.names import EXAM, FIGURES, human
from ..report import Report
from ..trace import BUDGET, Trace

ANEW = "This run was made before runs kept what belongs here. Run it anew to see it."
"""Stands where a run of an earlier version has nothing to show."""

_CROWD = 100
"""Agents of a world of which a page shows the mean alone: nobody reads so many lines, and no browser draws them."""

_NUMBERS = 250_000
"""Of one run on a page at most; of longer traces every second point is shown, or every third."""


def figures(report: Report) -> dict[str, Any]:
    """What a script draws of a run: metrics over time by mode, seed and agent, and who listened to whom."""
    trace = report.trace or Trace()
    numbers = sum(values.size for values in trace.figures.values()) + trace.weights.size
    every = -(-numbers // _NUMBERS) or 1
    kept = np.arange(len(trace.steps))[::-1][::every][::-1]  # the last one among them
    metrics, steps = {}, [trace.steps[i] for i in kept]
    if trace.figures:
        for name, values in trace.figures.items():
            if name != BUDGET:
                metrics[name] = _metric(report, name, values[kept])
    else:
        steps = report.steps
        curves = np.stack([np.asarray(report.curves[mode], np.float32) for mode in report.modes], axis=1)
        same = curves.shape[-1] == 1 or bool((curves == curves[..., :1]).all())
        curves = curves[..., 0] if same else curves  # [P, modes, S(, N)]
        metrics[report.headline] = _metric(
            report, report.headline, curves.reshape(len(steps), -1, *curves.shape[3:])
        )
    first = report.headline
    labels = trace.labels or _numbered(report)
    crowd = len(labels) > _CROWD
    return {
        "noun": report.noun,
        "nouns": plural(report.noun),
        "modes": report.modes,
        "seeds": list(report.seeds),
        "labels": [] if crowd else labels,
        "headline": first,
        "horizon": report.steps[-1] if report.steps else 1,
        "spent": report.budget_spent_at,
        "steps": steps,
        "metrics": {first: metrics[first], **metrics},
        "budget": _numbers(_by_seed(report, trace.figures[BUDGET][kept]))
        if BUDGET in trace.figures
        else None,
        "listening": None if crowd else _listening(trace, kept),
        "unheard": _unheard(report, len(labels)),
        "uncharged": ANEW
        if report.trace is None
        else "Nothing is charged in this world, and nobody has a budget.",
        "liars": [[] for _ in report.seeds] if crowd or not trace.liars.size else trace.liars.tolist(),
    }


def _metric(report: Report, name: str, values: np.ndarray) -> dict[str, Any]:
    """A metric ``[P, W]`` or ``[P, W, N]``; ``of`` is how many agents it is the mean of, where they are a crowd."""
    of = 1
    if values.ndim == 3 and values.shape[2] > _CROWD:
        of, values = values.shape[2], values.mean(2)
    return {
        "label": human(name, report.headline, report.noun) if name == report.headline else _named(name),
        "percent": name.endswith("accuracy") or (report.headline == EXAM and name in FIGURES),
        "each": values.ndim == 3,
        "of": of,
        "values": _numbers(_by_seed(report, values)),
    }


def _by_seed(report: Report, values: np.ndarray) -> np.ndarray:
    """``[P, W, …]`` as ``[modes, S, P, …]``."""
    points = len(values)
    shaped = values.reshape(points, len(report.modes), len(report.seeds), *values.shape[2:])
    return np.moveaxis(shaped, 0, 2)


def _numbers(values: np.ndarray) -> list[Any]:
    """Of four digits, as lists; what is not finite becomes null when it is written."""
    exact = values.astype(np.float64)
    size = np.abs(np.where(np.isfinite(exact) & (exact != 0), exact, 1.0))
    scale = 10.0 ** (3 - np.floor(np.log10(size)))
    return (np.round(exact * scale) / scale).tolist()


def _listening(trace: Trace, kept: np.ndarray) -> dict[str, Any] | None:
    if not trace.weights.size:
        return None
    return {"title": trace.title, "who": trace.who.tolist(), "weights": trace.weights[kept].tolist()}


def _unheard(report: Report, agents: int) -> str:
    """Why there is nothing to see of who listened to whom."""
    if report.trace is None:
        return ANEW
    if report.trace.title:
        return f"Nobody could read a graph of {agents:,} {plural(report.noun)}; trace.zip has what was kept of it."
    return (
        f"Nobody hears anybody in {report.scenario.env}: its {plural(report.noun)} do not talk to each other."
    )


def _named(name: str) -> str:
    """A metric of the world's own, which a class's report may call by the same name as one of the test split."""
    return "bytes sent" if name == "bytes" else name.replace("_", " ")


def _numbered(report: Report) -> list[str]:
    curve = next(iter(report.curves.values()), [])
    agents = len(curve[0][0]) if curve and curve[0] else 0
    return [f"{report.noun}_{i}" for i in range(agents)]
