"""Pictures of what `benchmarks/k1.py` measured: what is forgotten against what is learnt, and who learns.

python benchmarks/k1_pictures.py [--found docs/results/k1.json] [--folder docs]
"""

import argparse
import json
from pathlib import Path

import numpy as np
from pages.k1 import column

from studyhall.envs.engine.drawing import (
    BLUE,
    BROWN,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    PURPLE,
    RED,
    SMALL,
    Picture,
    heat,
    name_rows,
    room,
    style,
)

SHOWN = {
    "dense": "black",
    "dense, lr/3": GREY,
    "EWC 3": ORANGE,
    "EWC 10": RED,
    "largest norms": PURPLE,
    "K-1": PINK,
    "random": BROWN,
    "vocabulary": BLUE,
    "vocabulary, EWC 3": GREEN,
}


def forgetting(found: dict, path: Path) -> None:
    """Prose forgotten over code learnt: an arm further down forgets less for the same."""
    made = Picture((7.0,), (4.6,), left=0.9, right=0.3 + room(list(SHOWN)), above=0.2)
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
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)  # curves cross the whole panel
    made.write(path)
    print(path)


def who(found: dict, path: Path) -> None:
    """How often each of ten groups learnt, by arm; of those in which a group always does the same there is no need."""
    arms = {}
    for name, arm in found["pareto"].items():
        learnt = np.mean([entry["learnt"] for entry in arm.values()], axis=0)
        if len(learnt) == 10 and not np.isin(learnt.round(2), (0, 1)).all():
            arms[name] = learnt
    shares = np.array(list(arms.values()))
    made = Picture((6.0,), (0.36 * len(arms),), left=room(list(arms)), right=0.95)
    ((axes,),) = made.panels
    heat(axes, shares, "share of steps", cmap="Blues")
    name_rows(axes, list(arms))
    axes.set(xticks=range(10), xlabel="group", title="how often each group learnt")
    for (row, place), share in np.ndenumerate(shares):
        axes.text(
            place,
            row,
            f"{share:.1f}",
            ha="center",
            va="center",
            fontsize=SMALL,
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
