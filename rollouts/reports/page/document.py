"""The page as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources

from ....envs.errors import ConfigError, StudyhallError, plural
from ...metrics.names import human, is_fraction
from ...storage.text import as_json
from ..cells import measured
from ..compare import compare
from ..compare import table as compared
from ..verdicts import worth
from . import sections
from .data import figures
from .markup import shown, table, tag, text
from .sections import Subject

_ALONE = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""Browsers are told to load nothing, whatever a page may hold."""


def page(subjects: Sequence[Subject]) -> str:
    """The HTML of one or several runs, side by side.

    Raises:
        ConfigError: Plotly is not installed.
    """
    script = _plotly()
    parts: list[tuple[str, str, str]] = []
    if len(subjects) > 1:
        parts.append(("compared", "Side by side", _side_by_side(subjects)))
    parts += [
        ("results", "What came of it", _of_each(subjects, sections.results)),
        ("curves", "Curves of every agent", _of_each(subjects, _drawn("curves"))),
        ("listening", "Who listened to whom", _of_each(subjects, _drawn("listening"))),
        ("costs", "Budget and bytes", _of_each(subjects, _drawn("costs"))),
        ("seen", "Seen, said, painted, read", _of_each(subjects, sections.seen)),
    ]
    if any(map(sections.decisions, subjects)):
        parts.append(("decisions", "What was decided, and why", _of_each(subjects, sections.decisions)))
    parts += [
        ("claims", "Claims", _of_each(subjects, sections.claims)),
        ("configuration", "Configuration", _of_each(subjects, sections.configuration)),
    ]
    links = "".join(tag("li", text("a", title, href=f"#{name}")) for name, title, _ in parts)
    body = "".join(
        [
            text("a", "Skip to the results", href=f"#{parts[0][0]}", class_="skip"),
            _header(subjects),
            tag("nav", tag("ul", links), aria_label="Sections"),
            tag("main", "".join(_section(*part) for part in parts)),
            text("footer", "Written by studyhall report. Everything is in this file; nothing is loaded."),
        ]
    )
    runs = [{"name": subject.name, **figures(subject.report)} for subject in subjects]
    data = as_json({"runs": runs}).replace("<", "\\u003c")
    scripts = [
        tag("script", data, type="application/json", id="data"),
        tag("script", script),
        tag("script", _file("page.js")),
    ]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content_=_ALONE),
        tag("meta", name_="viewport", content_="width=device-width, initial-scale=1"),
        text("title", f"{_title(subjects)} – studyhall"),
        tag("style", _file("page.css")),
    ]
    whole = tag("head", "".join(head)) + tag("body", body + "".join(scripts))
    return f"<!doctype html>\n{tag('html', whole, lang='en')}\n"


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise ConfigError("a report needs plotly: pip install 'studyhall[report]'") from None
    return get_plotlyjs()


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _title(subjects: Sequence[Subject]) -> str:
    return ", ".join(dict.fromkeys(subject.report.scenario.name for subject in subjects))


def _header(subjects: Sequence[Subject]) -> str:
    lines = []
    for subject in subjects:
        report = subject.report
        steps = report.steps[-1] if report.steps else 0
        size = f"{steps:,} steps, {len(report.seeds)} {'seed' if len(report.seeds) == 1 else 'seeds'}"
        said = f"{report.scenario.summary[:1].upper()}{report.scenario.summary[1:]}."
        said += f" {size}; {_modes(report.modes)}."
        if changed := [name for name in sections.changes(report) if name != "horizon"]:
            said += f" Changed in this run: {', '.join(changed)}."
        lines.append(text("p", f"{subject.name}: {said}" if len(subjects) > 1 else said, class_="lead"))
    noscript = "Curves and the graph of who listened to whom need JavaScript, which is in this file; the rest does not."
    return tag("header", text("h1", _title(subjects)) + "".join(lines) + tag("noscript", text("p", noscript)))


def _modes(modes: Sequence[str]) -> str:
    if len(modes) == 1:
        return "no controls"
    return f"{plural('control') if len(modes) > 2 else 'control'} beside it: {', '.join(modes[1:])}"


def _section(name: str, title: str, content: str) -> str:
    return tag(
        "section", text("h2", title, id=f"{name}-title") + content, id=name, aria_labelledby=f"{name}-title"
    )


def _of_each(subjects: Sequence[Subject], of: Callable[[Subject], str]) -> str:
    """The same of all runs, named where there are several."""
    if len(subjects) == 1:
        return tag("div", tag("article", of(subjects[0])), class_="runs")
    each = [
        tag("article", text("h3", subject.name) + (of(subject) or text("p", "–"))) for subject in subjects
    ]
    return tag("div", "".join(each), class_="runs several")


def _drawn(kind: str) -> Callable[[Subject], str]:
    """Where the script draws the figures of a run, in their order on the page."""
    return lambda subject: tag("div", data_drawn=kind)


def _side_by_side(subjects: Sequence[Subject]) -> str:
    """Headlines of all runs, and where they are of one world and the same seeds, the comparison seed by seed."""
    rows = []
    for subject in subjects:
        report = subject.report
        headline = "mean" if "mean" in report.metrics["open"] else report.headline
        unit = ", %" if is_fraction(headline, report.headline) else ""
        what = human(headline, report.headline, report.noun) + unit
        rows.append((subject.name, what, measured(report, "open", headline), "; ".join(worth(report)) or "–"))
    found = table(("run", "what", "open", "against its controls"), rows) + tag("div", data_drawn="compared")
    try:
        return found + shown(compared(compare({subject.name: subject.report for subject in subjects})))
    except StudyhallError as fault:
        return found + text("p", f"Not compared seed by seed: {fault}.", class_="note")
