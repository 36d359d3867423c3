"""Is the arithmetic behind recorded figures still the same? Replay the fingerprint of every file of results.

    python benchmarks/fresh.py [NAME …] [--json] [--out docs/results/fresh.json]

A fingerprint is a short fixed run (`fingerprints.py`) whose figures a file keeps beside its rows. Exits with 1 where a
replay differs from what rows were recorded with. What was found is written down, and `readme.py` prints under a table
where a replay differs, until its rows are measured anew.
"""

import argparse
import contextlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from fingerprints import FINGERPRINTS, Figures, differing, figures
from record import FINGERPRINTS as KEY
from record import RESULTS, command, rows_of, short
from rich.console import Console
from rich.progress import track
from rich.table import Table

from studyhall.envs.errors import DataError
from studyhall.envs.files import whole_file
from studyhall.rollouts.runs.fingerprint import fingerprint
from studyhall.rollouts.storage.provenance import provenance
from studyhall.scenarios import get_scenario

REPRODUCED = ("classroom", "collective")
"""Files of `studyhall reproduce`: each scenario in them is replayed itself."""
FOLDERS = (RESULTS, Path(__file__).resolve().parent / "results")
FRESH = RESULTS / "fresh.json"


def files(name: str) -> list[Path]:
    """Files of results of that name."""
    return [path for folder in FOLDERS if (path := folder / f"{name}.json").exists()]


def replays(path: Path, held: dict[str, Any]) -> dict[str, Figures]:
    """Figures of now for each fingerprint of a file; a scenario whose data are not there has none."""
    found = {}
    for key in held.get(KEY, {}):
        with contextlib.suppress(DataError):
            found[key] = fingerprint(get_scenario(key)) if "scenarios" in held else figures(path.stem)
    return found


def replayed(path: Path) -> dict[str, Any]:
    """Of a file: rows by fingerprint, which of these a replay differs from, and in what.

    Returns:
        ``agree``, ``differ`` and ``none``: how many rows; ``commits`` of rows that differ; ``differs``, by fingerprint
        whether it does; and ``figures``, those that differ, then and now. What cannot be replayed counts as none.
    """
    held = json.loads(path.read_text(encoding="utf-8"))
    apart = {key: differing(held[KEY][key]["figures"], now) for key, now in replays(path, held).items()}
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
    known = list(dict.fromkeys((*FINGERPRINTS, *REPRODUCED)))
    if unknown := set(options.names) - set(known):
        parser.error(f"no fingerprint of {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    found, made = {}, provenance(command())
    for name in track(options.names or known, "replays", console=Console(stderr=True), transient=True):
        found |= {f"{path.parent.parent.name}/{name}": replayed(path) | made for path in files(name)}
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
