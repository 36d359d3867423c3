"""HTML of text and of what the command line prints, so that a page says what a terminal says."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

_VOID = ("img", "meta")
_STYLES = {"red": "bad", "dim": "note"}


def tag(name: str, content: str = "", **attributes: str | None) -> str:
    """An element around HTML; ``class_`` is ``class``, ``data_of`` ``data-of``, and None leaves one out."""
    given = {k.rstrip("_").replace("_", "-"): v for k, v in attributes.items() if v is not None}
    said = "".join(f' {key}="{html.escape(value)}"' for key, value in given.items())
    return f"<{name}{said}>" if name in _VOID else f"<{name}{said}>{content}</{name}>"


def text(name: str, said: Any, **attributes: str | None) -> str:
    """An element around plain text."""
    return tag(name, html.escape(str(said)), **attributes)


def shown(printed: Any) -> str:
    """What :mod:`rich` would print: groups, tables and texts."""
    if isinstance(printed, Group):
        return "".join(map(shown, printed.renderables))
    if isinstance(printed, Table):
        return _of_rich(printed)
    said = printed if isinstance(printed, Text) else Text(str(printed))
    return text("p", said.plain, class_=_STYLES.get(str(said.style)))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    note: str = "",
    numbers: Iterable[int] = (),
) -> str:
    """A table of plain text whose first column names the rows; on a phone its rows stand one below the other.

    Args:
        columns: Their names.
        rows: Cells; one cell alone is a heading of the rows below.
        title: Of the table.
        note: Below it.
        numbers: Places of the columns that stand to the right.
    """
    right = {place: "number" for place in numbers}
    head = [
        text("th", name, scope="col", role="columnheader", class_=right.get(i))
        for i, name in enumerate(columns)
    ]
    body = []
    for first, *rest in rows:
        if not any(rest):
            heading = text("th", first, scope="rowgroup", role="rowheader", colspan=str(len(columns)))
            body.append(tag("tr", heading, class_="part", role="row"))
            continue
        cells = [text("th", first, scope="row", role="rowheader")]
        cells += [
            text("td", cell, role="cell", class_=right.get(i), data_of=columns[i] or None)
            for i, cell in enumerate(rest, start=1)
        ]
        body.append(tag("tr", "".join(cells), role="row"))
    caption = text("caption", title) if title else ""
    # Laid out as blocks, as on a phone, a table is one to screen readers only where its roles say so.
    whole = caption + tag("thead", tag("tr", "".join(head), role="row"), role="rowgroup")
    whole += tag("tbody", "".join(body), role="rowgroup")
    return tag("table", whole, class_="cards", role="table") + (
        text("p", note, class_="note") if note else ""
    )


def _of_rich(printed: Table) -> str:
    columns = [_plain(column.header) for column in printed.columns]
    cells = [[_plain(cell) for cell in column.cells] for column in printed.columns]
    numbers = [i for i, column in enumerate(printed.columns) if column.justify == "right"]
    rows = list(zip(*cells, strict=True))
    title, note = _plain(printed.title or ""), _plain(printed.caption or "")
    return table(columns, rows, title=title, note=note, numbers=numbers)


def _plain(cell: Any) -> str:
    return (cell.plain if isinstance(cell, Text) else str(cell)).strip()
