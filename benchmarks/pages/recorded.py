"""What stands below a table of how its rows were recorded."""

from collections.abc import Mapping
from typing import Any

from record import rows_of, short


def recorded(part: Any, command: str, fresh: Mapping[str, Any]) -> list[str]:
    """By what command and at which commit, and whether a replay differs now.

    Args:
        part: What the table shows of a file of results.
        command: What makes the whole table.
        fresh: What ``fresh.py`` found of the file.
    """
    program = command.partition(" --")[0]
    rows = [row for row in rows_of(part) if row["command"] is None or row["command"].startswith(program)]
    commands = list(dict.fromkeys(row["command"] for row in rows))
    differs = fresh.get("differs", {})
    return [_made(command, commands, _commits(rows)), *_replayed(rows, differs)]


def _made(command: str, commands: list[str | None], commits: str) -> str:
    known = [one for one in commands if one is not None]
    if len(known) == 1 == len(commands):
        return f"*Measured by `{known[0]}` at {commits}.*"
    if not known:
        return f"*`{command}` measures it; the command that recorded these figures was not kept.*"
    some = "; commands of some rows were not kept" if None in commands else ""
    return f"*Measured by `{command}`, in parts, at {commits}{some}.*"


def _replayed(rows: list[dict], differs: Mapping[str, bool]) -> list[str]:
    """A sentence where a replay differs, and one where nothing was kept to replay."""
    apart = [row for row in rows if differs.get(row.get("fingerprint"))]
    without = [row for row in rows if row.get("fingerprint") is None]
    told = []
    if apart:
        told.append(f"Recorded at {_commits(apart)}; a replay differs.")
    if len(without) == len(rows):
        told.append("No fingerprint was recorded with these figures.")
    elif without:
        told.append(f"No fingerprint was recorded with {len(without)} of {len(rows)} rows.")
    return [" ".join(told)] if told else []


def _commits(rows: list[dict]) -> str:
    return ", ".join(dict.fromkeys(short(row["commit"]) for row in rows))
