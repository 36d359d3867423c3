"""Which seeds are for what: to fit on, to choose on, and to report, so that no world is used for two of them."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from typing import NamedTuple

from studyhall.envs.errors import ConfigError
from studyhall.rollouts.settings import parse_seeds

PURPOSES = {"fit": "to fit", "choose": "to choose", "report": "to report"}


class _Ranges(NamedTuple):
    fit: range
    choose: range
    report: range


class Ranges(_Ranges):
    """Seeds of a benchmark by purpose; those of `CONTRIBUTING.md` where it says nothing.

    Args:
        fit: Worlds that something is fitted in: networks, policies.
        choose: Worlds that settings, checkpoints and constants are chosen on.
        report: Worlds of the tables, measured once, which nobody looked at before.

    Raises:
        ValueError: Two of them have a seed in common.
    """

    __slots__ = ()

    def __new__(
        cls,
        fit: range = range(1000, 10_000),
        choose: range = range(10_000, 20_000),
        report: range = range(1000),
    ) -> Ranges:
        made = super().__new__(cls, fit, choose, report)
        for (one, a), (other, b) in itertools.combinations(made._asdict().items(), 2):
            if max(a.start, b.start) < min(a.stop, b.stop):
                raise ValueError(f"seeds to {one} and to {other} overlap: {told(a)} and {told(b)}")
        return made

    def checked(self, purpose: str, seeds: tuple[int, ...]) -> tuple[int, ...]:
        """The seeds, where all are for that purpose.

        Raises:
            ConfigError: Some are not; says which, and which are.
        """
        own = getattr(self, purpose)
        for seed in seeds:
            if seed in own:
                continue
            other = next(
                (f", which is one {text}" for name, text in PURPOSES.items() if seed in getattr(self, name)),
                "",
            )
            raise ConfigError(f"seeds {PURPOSES[purpose]} are {told(own)}, got {seed}{other}")
        return seeds

    def seeds(self, purpose: str) -> Callable[[str], tuple[int, ...]]:
        """What reads an option of the command line: seeds of that purpose, as ``"0-4"``."""

        def read(text: str) -> tuple[int, ...]:
            try:
                return self.checked(purpose, parse_seeds(text))
            except ConfigError as fault:
                raise argparse.ArgumentTypeError(str(fault)) from None

        return read


def told(seeds: range) -> str:
    """A range in words, ``"0-4"``."""
    return f"{seeds.start}-{seeds.stop - 1}"
