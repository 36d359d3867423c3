"""Give the classical rules their best: a small grid for each, on training worlds of a society with liars.

Settings are chosen by the mean over kinds of liar of the honest's test accuracy, which tables show, on selection worlds
of the *training* domain, which no table uses. The first pass varies a rule's own settings; the second, with the best of
them, how strongly its targets are imitated, since a learned protocol may choose that too.

    python benchmarks/society_tuning.py [--scenario society-liar-digits] [--kinds KIND …] [--rules NAME …]
        [--seeds 10000-10003] [--out docs/results/society_tuning.json]
"""

import argparse
import itertools
from pathlib import Path

import torch
from record import File
from rich.console import Console
from society import KINDS, RANGES, TUNED, Weaker, honest_accuracy

from studyhall.envs.channel import LIAR_KINDS
from studyhall.policies import make_policy

BOLD = "masc-digits-bold"
GRID = {
    "mean": {},
    "most_confident_sample": {},
    "lowest_energy": {},
    "drop_most_confident": {},
    "median": {},
    "krum": {"f": (1, 2)},
    "reputation_self": {"sharpness": (2.0, 4.0, 8.0, 16.0), "decay": (0.95, 0.98, 1.0)},
    "reputation_class": {"sharpness": (4.0, 8.0, 16.0), "decay": (0.95, 0.98, 1.0)},
    "one_coin": {"decay": (0.9, 0.98, 1.0), "iterations": (1, 5)},
    "dawid_skene": {"decay": (0.98, 1.0), "smoothing": (0.1, 1.0)},
}
STRENGTHS = (0.3, 0.1)


def mean_accuracy(
    name: str, kwargs: dict, strength: float, seeds: tuple[int, ...], kinds: list[str], scenario: str
) -> float:
    """Accuracy of the honest, over kinds of liar."""
    rule = Weaker(make_policy(name, **kwargs), strength)
    values = [value for kind in kinds for value in honest_accuracy(rule, kind, {}, seeds, "train", scenario)]
    return sum(values) / len(values)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", default="society-liar-digits")
    parser.add_argument("--kinds", nargs="+", choices=LIAR_KINDS, default=list(KINDS))
    parser.add_argument(
        "--rules", nargs="+", choices=list(GRID), default=[name for name in GRID if name != "lowest_energy"]
    )
    parser.add_argument("--seeds", type=RANGES.seeds("choose"), default="10000-10003")
    parser.add_argument(
        "--out", type=Path, default=TUNED, help="JSON; rules it holds of the same seeds are kept"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    where = options.seeds, options.kinds, options.scenario
    file = File(options.out, "bold_tuning" if options.scenario == BOLD else "society_tuning")
    file.only((), options.seeds)
    console = Console(width=140)
    for name in options.rules:
        if file.has((name,), options.seeds):
            continue
        settings = [
            dict(zip(GRID[name], values, strict=True)) for values in itertools.product(*GRID[name].values())
        ]
        tried = [
            {"kwargs": kw, "strength": 1.0, "mean": mean_accuracy(name, kw, 1.0, *where)} for kw in settings
        ]
        best = max(tried, key=lambda entry: entry["mean"])
        tried += [
            {**best, "strength": s, "mean": mean_accuracy(name, best["kwargs"], s, *where)} for s in STRENGTHS
        ]
        best = max(tried, key=lambda entry: entry["mean"])
        console.print(
            f"{name}: {best['kwargs']}, strength {best['strength']}: {100 * best['mean']:.1f} of {len(tried)}"
        )
        file.add((name,), {**best, "tried": tried}, seeds=options.seeds)


if __name__ == "__main__":
    main()
