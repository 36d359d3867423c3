"""Is the arithmetic behind recorded figures still the same? Replay the fingerprint of every file of results.

    python benchmarks/fresh.py [NAME …] [--json] [--out docs/results/fresh.json]

A fingerprint is a short fixed run (`fingerprints.py`) whose figures a file keeps beside its rows. Exits with 1 where a
replay differs from what rows were recorded with. What was found is written down, and `readme.py` prints under a table
where a replay differs, until its rows are measured anew.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from fingerprints import FINGERPRINTS, Figures, differing, figures
from record import FINGERPRINTS as KEY
from record import RESULTS, rows_of, short
from rich.console import Console
from rich.progress import track
from rich.table import Table

from studyhall.envs.files import whole_file

FOLDERS = (RESULTS, Path(__file__).resolve().parent / "results")
FRESH = RESULTS / "fresh.json"


def files(name: str) -> list[Path]:
    """Files of results of that name."""
    return [path for folder in FOLDERS if (path := folder / f"{name}.json").exists()]


def replayed(path: Path, replay: Callable[[], Figures]) -> dict[str, Any]:
    """Of a file: rows by fingerprint, which of these a replay differs from, and in what.

    Args:
        path: The file.
        replay: Is called where the file has a fingerprint.

    Returns:
        ``agree``, ``differ`` and ``none``: how many rows; ``commits`` of rows that differ; ``differs``, by fingerprint
        whether it does; and ``figures``, those that differ, then and now.
    """
    held = json.loads(path.read_text(encoding="utf-8"))
    apart = {key: differing(one["figures"], replay()) for key, one in held.get(KEY, {}).items()}
    rows = [(row.get("fingerprint"), row["commit"]) for row in rows_of(held)]
    counts = Counter("none" if key not in apart else "differ" if apart[key] else "agree" for key, _ in rows)
    return {
        **{kind: counts[kind] for kind in ("agree", "differ", "none")},
        "commits": sorted({short(commit) for key, commit in rows if apart.get(key)}),
        "differs": {key: bool(found) for key, found in apart.items()},
        "figures": {key: found for key, found in apart.items() if found},
    }


def table(found: dict[str, dict[str, Any]]) -> Table:
    """One line a file."""
    shown = Table(title="rows by the fingerprint they were recorded with", title_justify="left")
    for column in ("file", "as now", "another", "none"):
        shown.add_column(column, justify="left" if column == "file" else "right")
    shown.add_column("commits of another")
    shown.add_column("what differs")
    for name, one in found.items():
        differs = [
            f"{key} {then} → {now}" for what in one["figures"].values() for key, (then, now) in what.items()
        ]
        more = f" and {len(differs) - 1} more" if len(differs) > 1 else ""
        counts = (str(one[kind]) for kind in ("agree", "differ", "none"))
        shown.add_row(name, *counts, ", ".join(one["commits"]), differs[0] + more if differs else "")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of files of results; default: all")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--out", type=Path, default=FRESH, help="JSON; files that are not replayed stay in it"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - FINGERPRINTS.keys():
        parser.error(f"no fingerprint of {', '.join(sorted(unknown))}: there are {', '.join(FINGERPRINTS)}")
    found = {}
    for name in track(
        options.names or list(FINGERPRINTS), "replays", console=Console(stderr=True), transient=True
    ):
        replay = cache(partial(figures, name))
        found |= {f"{path.parent.parent.name}/{name}": replayed(path, replay) for path in files(name)}
    held = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    with whole_file(options.out) as file:
        file.write(json.dumps(held | found, indent=1).encode() + b"\n")
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        Console(width=160).print(table(found))
    if any(one["differ"] for one in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
