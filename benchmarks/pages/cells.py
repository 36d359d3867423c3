"""Cells and tables of Markdown."""

import math
import re
from collections.abc import Callable, Mapping, Sequence

from studyhall.rollouts import interval
from studyhall.rollouts import spread as written
from studyhall.rollouts.reports.figures import as_interval

TEXTS = {
    "",
    "scenario",
    "metric",
    "source",
    "verdict",
    "tolerance",
    "system",
    "author",
    "where",
    "commit",
    "run by",
    "rule",
    "policy",
    "variant",
    "contender",
    "what",
    "messenger",
    "network",
    "topology",
    "estimate",
    "route",
    "game",
    "estimator",
    "diversity term",
    "model",
    "function",
    "data",
    "arm",
    "what crosses",
    "operation",
    "task",
    "on what",
    "best policy",
    "best rule",
    "second policy",
    "worlds measured",
}
"""Names of columns that are set left; all others are figures."""


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; columns that are not among the texts are figures."""
    lines = [header, ["---" if name in TEXTS else "---:" for name in header], *rows]
    cells = ([_cell(text) for text in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _cell(text: str) -> str:
    """What a cell may hold, with a zero before every decimal point that has none."""
    text = re.sub(r"(?<![\w.])\.(?=\d)", "0.", text)
    return text.replace("\n", "<br>").replace("|", "\\|")


def folded(summary: str, text: str) -> str:
    """What opens by a click."""
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>"


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    rest: Callable[[Sequence[str]], bool],
    summary: str = "More rows",
) -> str:
    """A table of the rows that a reader needs; the rest opens by a click, if there is any."""
    shown = [row for row in rows if not rest(row)]
    others = [row for row in rows if rest(row)]
    text = markdown(header, shown)
    return f"{text}\n\n{folded(summary, markdown(header, others))}" if others else text


def known(found: Mapping, digits: int, scale: float = 100.0, *, signed: bool = False) -> str:
    """A mean and its 95 % interval that the JSON holds; of a fraction in per cent, unless the scale is 1."""
    return written(as_interval(found), percent=scale == 100, digits=digits, signed=signed)


def both(trainings: dict, worlds: dict, digits: int, scale: float = 1, *, signed: bool = False) -> str:
    """A mean with its interval over trainings, and in brackets that over worlds."""
    over_worlds = known(worlds, digits, scale).partition("± ")[2]
    return f"{known(trainings, digits, scale, signed=signed)} ({over_worlds})"


def spread(values: Sequence[float], digits: int = 2, scale: float = 100.0, *, signed: bool = False) -> str:
    """The same of values, one a seed."""
    return known(interval(values)._asdict(), digits, scale, signed=signed)


def gain(ours: Sequence[float], others: Sequence[float], digits: int = 2) -> str:
    """How far ours are ahead in per cent, seed by seed."""
    return spread([a - b for a, b in zip(ours, others, strict=True)], digits, signed=True)


def share(count: int, of: int) -> str:
    """How many of how many, with Wilson's 95 % interval of the share in per cent."""
    z, p = 1.959964, count / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return f"{count} of {of} ({100 * max(middle - half, 0):.0f}–{100 * min(middle + half, 1):.0f})"


def ratio(found: Mapping) -> str:
    """A median of ratios and their range."""
    return f"{found['median']:.2f}× ({found['min']:.2f}–{found['max']:.2f})"


def best_first(policies: dict) -> list[tuple[str, dict]]:
    """Policies and what was measured of them, by their means, the highest first."""
    return sorted(policies.items(), key=lambda item: -item[1]["mean"]["mean"])


def changed(history: Sequence[str]) -> list[str]:
    """Paragraphs on what was changed after a figure had been seen; none where nothing was."""
    if not history:
        return []
    return ["Changed after a figure had been seen:\n\n" + "\n".join(f"* {text}" for text in history)]
