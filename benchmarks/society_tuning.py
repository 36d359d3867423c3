"""Give the classical rules their best: a small grid for each, on training worlds of `society-liar-digits`.

Settings are chosen by the mean over kinds of liar, on seeds of the *training* domain, which no table uses. The first
pass varies a rule's own settings; the second, with the best of them, how strongly its targets are imitated, since a
learned protocol may choose that too.

    python benchmarks/society_tuning.py [--rules NAME …] [--seeds 0-3] [--out docs/results/society_tuning.json]
"""

import argparse
import itertools
import json

import torch
from rich.console import Console
from society import KINDS, TUNED, Weaker, honest_accuracy

from studyhall.policies import make_policy
from studyhall.rollouts.settings import parse_seeds

GRID = {
    "mean": {},
    "most_confident_sample": {},
    "drop_most_confident": {},
    "median": {},
    "krum": {"f": (1, 2)},
    "reputation_self": {"sharpness": (2.0, 4.0, 8.0, 16.0), "decay": (0.95, 0.98, 1.0)},
    "reputation_class": {"sharpness": (4.0, 8.0, 16.0), "decay": (0.95, 0.98, 1.0)},
    "one_coin": {"decay": (0.9, 0.98, 1.0), "iterations": (1, 5)},
    "dawid_skene": {"decay": (0.98, 1.0), "smoothing": (0.1, 1.0)},
}
STRENGTHS = (0.3, 0.1)


def mean_accuracy(name: str, kwargs: dict, strength: float, seeds: tuple[int, ...]) -> float:
    """Accuracy of the honest, over all kinds of liar."""
    values = [
        value
        for kind in KINDS
        for value in honest_accuracy(Weaker(make_policy(name, **kwargs), strength), kind, {}, seeds, "train")
    ]
    return sum(values) / len(values)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules", nargs="+", choices=list(GRID), default=list(GRID))
    parser.add_argument("--seeds", default="0-3")
    parser.add_argument("--out", default=str(TUNED))
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = parse_seeds(options.seeds)
    found, console = {}, Console(width=140)
    for name in options.rules:
        settings = [
            dict(zip(GRID[name], values, strict=True)) for values in itertools.product(*GRID[name].values())
        ]
        tried = [
            {"kwargs": kw, "strength": 1.0, "mean": mean_accuracy(name, kw, 1.0, seeds)} for kw in settings
        ]
        best = max(tried, key=lambda entry: entry["mean"])
        tried += [
            {**best, "strength": s, "mean": mean_accuracy(name, best["kwargs"], s, seeds)} for s in STRENGTHS
        ]
        best = max(tried, key=lambda entry: entry["mean"])
        console.print(
            f"{name}: {best['kwargs']}, strength {best['strength']}: {100 * best['mean']:.1f} of {len(tried)}"
        )
        found[name] = {**best, "tried": tried, "seeds": list(seeds)}
    with open(options.out, "w") as file:
        file.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
