"""What benchmarks keep of their runs: files of rows, each with what made it, that may be added to and continued."""

import fcntl
import json
import platform
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from fingerprints import Figures, differing, figures

from studyhall.envs.files import whole_file
from studyhall.rollouts.storage.provenance import provenance

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
FINGERPRINTS = "fingerprints"
"""Key of a file under which those of its rows are, by what rows call them."""

_ABOUT_FILES = ("--out", "--plot", "--models")
"""Options, with one value, that say where files are, not what was measured."""


def machine() -> str:
    """What speeds depend on."""
    return f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


class Choice(NamedTuple):
    """What was chosen before a row was measured.

    Args:
        what: The choice.
        among: What was tried.
        on: Which worlds and which split they were compared on.
        seeds: Of these worlds.
        statistic: By which it was the best.
    """

    what: Any
    among: Any
    on: str
    seeds: Sequence[int]
    statistic: str


def command() -> str:
    """The command line of this process, without where it writes to."""
    given, told = iter(sys.argv[1:]), []
    for word in given:
        if word in _ABOUT_FILES:
            next(given, None)
        elif word != "--json":
            told.append(word)
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *told])


class File:
    """A file of results, written after every row; others may write other rows meanwhile.

    A row is a dict. With it are kept its seeds, what was chosen for it, the command, commit and versions, and which of
    the file's fingerprints the code had, see `fingerprints.py`.

    Args:
        path: Where; None keeps the rows in memory alone.
        name: Of the fingerprint.
    """

    def __init__(self, path: Path | None, name: str) -> None:
        self.path, self.name = path, name
        self._made = provenance(command())  # of the start: files may change while this runs
        self._held: dict[str, Any] = {}
        self._figures: Figures | None = None

    def read(self) -> dict[str, Any]:
        """What it holds now, but for fingerprints."""
        return {key: value for key, value in self._all().items() if key != FINGERPRINTS}

    def get(self, names: Sequence[str]) -> Any:
        """What is under names; None where there is nothing."""
        held: Any = self.read()
        for name in names:
            held = held.get(name) if isinstance(held, dict) else None
        return held

    def has(self, names: Sequence[str], seeds: Sequence[int]) -> bool:
        """Whether there is a row under names, of these seeds."""
        row = self.get(names)
        return isinstance(row, dict) and row.get("seeds") == list(seeds)

    def only(self, names: Sequence[str], seeds: Sequence[int]) -> None:
        """Refuse to put rows of these seeds beside those under names of others.

        Raises:
            SystemExit: There are some.
        """
        for row in rows_of(self.get(names)):
            if (held := row.get("seeds")) != list(seeds):
                sys.exit(
                    f"{self.path} holds rows of seeds {held}, not {list(seeds)}: give another file, or delete them"
                )

    def find(self, names: Sequence[str], **facts: Any) -> dict[str, Any] | None:
        """The first row of the list under names that says so, if any."""
        rows = self.get(names) or []
        return next((row for row in rows if all(row.get(k) == v for k, v in facts.items())), None)

    def about(self, facts: Mapping[str, Any], names: Sequence[str] = ()) -> None:
        """Tell what all rows share, at the top or under names.

        Raises:
            SystemExit: The file says otherwise: its rows are not to be compared with those to come.
        """
        facts = json.loads(json.dumps(facts))
        held = self.get(names) or {}
        for key, value in facts.items():
            if held.get(key, value) != value:
                sys.exit(
                    f"{self.path} holds rows of {key} {held[key]}, not {value}: give another file, or delete them"
                )
        self._change(lambda held: _place(held, names).update(facts))

    def add(
        self,
        names: Sequence[str],
        row: Mapping[str, Any],
        *,
        seeds: Sequence[int],
        chosen: Sequence[Choice] = (),
    ) -> None:
        """Put a row under names, in the place of what may be there."""
        self._keep(names, self._row(row, seeds, chosen), lambda place, key, whole: place.update({key: whole}))

    def append(
        self,
        names: Sequence[str],
        row: Mapping[str, Any],
        *,
        seeds: Sequence[int],
        chosen: Sequence[Choice] = (),
    ) -> None:
        """Put a row behind those of the list under names."""
        self._keep(
            names,
            self._row(row, seeds, chosen),
            lambda place, key, whole: place.setdefault(key, []).append(whole),
        )

    def _keep(
        self, names: Sequence[str], row: dict[str, Any], put: Callable[[dict, str, dict], None]
    ) -> None:
        """Put a row, with its fingerprint, into the place that names but for the last lead to."""
        self._change(
            lambda held: put(
                _place(held, names[:-1]), names[-1], row | {"fingerprint": self._fingerprint(held)}
            )
        )

    def _row(self, row: Mapping[str, Any], seeds: Sequence[int], chosen: Sequence[Choice]) -> dict[str, Any]:
        choices = [choice._asdict() | {"seeds": list(choice.seeds)} for choice in chosen]
        added = {"seeds": list(seeds)} | ({"chosen": choices} if choices else {}) | self._made
        if both := row.keys() & ({*added, "chosen", "fingerprint"} - {"threads"}):
            raise ValueError(f"{', '.join(sorted(both))} of a row are told by the file")
        self._figures = self._figures or figures(self.name)  # takes seconds: before the file is locked
        return json.loads(json.dumps({**row, **added, **row}))

    def _fingerprint(self, held: dict[str, Any]) -> str:
        """What rows call this code's fingerprint; tells where the file's rows have others."""
        known = held.setdefault(FINGERPRINTS, {})
        for key, one in known.items():
            if not differing(one["figures"], self._figures):
                return key
        for one in known.values():
            name, (then, now) = next(iter(differing(one["figures"], self._figures).items()))
            print(
                f"{self.path}: rows of commit {short(one['commit'])} are of other arithmetic ({name} was {then}, is "
                f"{now}): they stay as they are; delete them to measure them anew",
                file=sys.stderr,
            )
        key = str(len(known))
        known[key] = {"commit": self._made["commit"], "figures": self._figures}
        return key

    def _all(self) -> dict[str, Any]:
        if self.path is None:
            return self._held
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def _change(self, change) -> None:
        if self.path is None:
            change(self._held)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (self.path.parent / f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = self._all()
            change(held)
            with whole_file(self.path) as file:
                file.write(json.dumps(held, indent=1).encode() + b"\n")


def _place(held: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The dict under names, made where it is missing."""
    for name in names:
        held = held.setdefault(name, {})
    return held


def rows_of(found: Any) -> Iterator[dict[str, Any]]:
    """All rows of what a file holds, or of a part of it."""
    if isinstance(found, Mapping):
        if {"command", "commit"} <= found.keys():
            yield dict(found)
            return
        found = [part for key, part in found.items() if key != FINGERPRINTS]
    if isinstance(found, list):
        for part in found:
            yield from rows_of(part)


def short(commit: str | None) -> str:
    """A commit as pages name it."""
    if commit is None:
        return "unknown"
    name, _, changed = commit.partition("-")
    return name[:7] + ("-dirty" if changed else "")
