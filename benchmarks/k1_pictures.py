"""Pictures of what `benchmarks/k1.py` measured: what is forgotten against what is learnt, and who learns.

python benchmarks/k1_pictures.py [--found docs/results/k1.json] [--folder docs]
"""

import argparse
import json
from pathlib import Path

import numpy as np
from pages.k1 import column
from pictures import figure, written

from studyhall.envs.engine.drawing import plain_style

SHOWN = {
    "dense": "black",
    "dense, lr/3": "grey",
    "EWC 3": "tab:orange",
    "EWC 10": "tab:red",
    "largest norms": "tab:purple",
    "K-1": "tab:pink",
    "random": "tab:brown",
    "vocabulary": "tab:blue",
    "vocabulary, EWC 3": "tab:green",
}


def forgetting(found: dict, path: Path) -> None:
    """Prose forgotten over code learnt: an arm further down forgets less for the same."""
    made = figure(7, 4.5)
    axes = made.subplots()
    for name, colour in SHOWN.items():
        arm = found["pareto"].get(name)
        if not arm:
            continue
        code = np.mean([column(entry, "code") for entry in arm.values()], axis=0)
        prose = np.mean([column(entry, "prose") for entry in arm.values()], axis=0)
        axes.plot(code[1:], prose[1:] - prose[0], color=colour, label=name)
    axes.set(
        xlabel="nats of code (the new domain), learning goes to the right", ylabel="nats of prose forgotten"
    )
    axes.invert_xaxis()
    axes.set(xlim=(5.6, None))
    axes.legend(fontsize="small")
    written(made, path)


def who(found: dict, path: Path) -> None:
    """How often each group learnt, by arm."""
    arms = {
        name: arm for name, arm in found["pareto"].items() if len(next(iter(arm.values()))["learnt"]) == 10
    }
    shares = np.array([np.mean([entry["learnt"] for entry in arm.values()], axis=0) for arm in arms.values()])
    made = figure(6, 0.28 * len(arms) + 1)
    axes = made.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set(
        xticks=range(10),
        yticks=range(len(arms)),
        yticklabels=list(arms),
        xlabel="group",
        title="share of steps learnt",
    )
    for (row, place), share in np.ndenumerate(shares):
        axes.text(
            place,
            row,
            f"{share:.1f}",
            ha="center",
            va="center",
            fontsize=6,
            color="w" if share > 0.6 else "k",
        )
    written(made, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--found", type=Path, default=Path("docs/results/k1.json"))
    parser.add_argument("--folder", type=Path, default=Path("docs"))
    options = parser.parse_args()
    found = json.loads(options.found.read_text())
    with plain_style():
        forgetting(found, options.folder / "k1-forgetting.png")
        who(found, options.folder / "k1-who.png")


if __name__ == "__main__":
    main()
