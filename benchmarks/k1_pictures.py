"""Pictures of what `benchmarks/k1.py` measured: what is forgotten against what is learnt, and who learns.

python benchmarks/k1_pictures.py [--found docs/results/k1.json] [--folder docs]
"""

import argparse
import json
from pathlib import Path

import numpy as np
from pages.k1 import column

from studyhall.envs.engine.drawing import Picture, heat, name_rows, room, style

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
    made = Picture((7.0,), (4.6,), left=0.9, above=0.2)
    ((axes,),) = made.panels
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
    axes.grid()
    axes.legend()
    made.write(path)
    print(path)


def who(found: dict, path: Path) -> None:
    """How often each group learnt, by arm."""
    arms = {
        name: arm for name, arm in found["pareto"].items() if len(next(iter(arm.values()))["learnt"]) == 10
    }
    shares = np.array([np.mean([entry["learnt"] for entry in arm.values()], axis=0) for arm in arms.values()])
    made = Picture((6.0,), (0.3 * len(arms),), left=room(list(arms)), right=0.95)
    ((axes,),) = made.panels
    heat(axes, shares, "share of steps", cmap="Blues")
    name_rows(axes, list(arms))
    axes.set(xticks=range(10), xlabel="group", title="share of steps learnt")
    for (row, place), share in np.ndenumerate(shares):
        axes.text(
            place,
            row,
            f"{share:.1f}",
            ha="center",
            va="center",
            fontsize=9,
            color="w" if share > 0.6 else "k",
        )
    made.write(path)
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--found", type=Path, default=Path("docs/results/k1.json"))
    parser.add_argument("--folder", type=Path, default=Path("docs"))
    options = parser.parse_args()
    found = json.loads(options.found.read_text())
    with style():
        forgetting(found, options.folder / "k1-forgetting.png")
        who(found, options.folder / "k1-who.png")


if __name__ == "__main__":
    main()
