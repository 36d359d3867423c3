"""Pictures of what `benchmarks/masc.py` measured: Average against bytes, and against who teaches.

python benchmarks/masc_pictures.py [--found docs/results/masc.json] [--folder docs]
"""

import argparse
import json
from pathlib import Path

from pages.socialized import NAMES

from studyhall.envs.engine.drawing import PALETTE, Picture, style
from studyhall.rollouts import interval

CARRIERS = {
    "carrier claims": ("rows that an expert claims", "o"),
    "mended": ("all rows", "s"),
    "carrier weights": ("networks, once", "^"),
    "fedavg": ("federated averaging", "x"),
    "mutual, gated": ("mutual learning, gated", "d"),
}
PARTS = {"fedavg": "averaged", "mutual, gated": "peer"}


def row(columns: int):
    """A row of pictures."""
    made = Picture((3.8,) * columns, (3.4,), left=(0.8, *(0.6,) * (columns - 1)))
    return made, made.panels[0]


def by_bytes(found: dict, path: Path) -> None:
    """Average in the end over what all agents sent, by what they send; data of which several ways are known."""
    shown = [data for data in NAMES if len(CARRIERS.keys() & found.get(data, {}).keys()) > 1]
    if not shown:
        return
    made, panels = row(len(shown))
    for axes, data in zip(panels, shown, strict=True):
        for (name, (label, marker)), colour in zip(CARRIERS.items(), PALETTE, strict=False):
            if name in found[data]:
                metrics = found[data][name]["metrics"]
                values = interval(metrics[f"{PARTS.get(name, 'masc')}_average"])
                half = 100 * (values.high - values.low) / 2
                point = {"marker": marker, "color": colour, "label": label}
                sent = interval(metrics["kib"]).mean
                axes.errorbar(sent, 100 * values.mean, half, linestyle="", capsize=3, **point)
        axes.set(xscale="log", xlabel="KiB sent in an episode, all agents", title=NAMES[data])
    panels[0].set_ylabel("Average, %")
    fullest = max(panels, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    panels[-1].legend(*fullest.get_legend_handles_labels())
    made.write(path)
    print(path)


def by_teachers(found: dict, path: Path) -> None:
    """Average of the students over how many teach, a point a subset."""
    shown = {}
    for data in NAMES:
        for name, entry in found.get(data, {}).items():
            if name.startswith("teachers "):
                teachers, agents = name.removeprefix("teachers ").split(" of ")
                mean = 100 * interval(entry["metrics"]["student_average"]).mean
                shown.setdefault((data, agents), []).append((len(json.loads(teachers)), mean))
    if not shown:
        return
    made, panels = row(len(shown))
    for axes, ((data, agents), points) in zip(panels, shown.items(), strict=True):
        axes.plot(*zip(*points, strict=True), marker="o", linestyle="", alpha=0.6)
        kind = NAMES[data].partition(",")[0]
        axes.set(xlabel="agents who teach", title=f"{kind}, {agents} agents: {len(points)} subsets")
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel("students' Average, %")
    made.write(path)
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--found", type=Path, default=Path("docs/results/masc.json"))
    parser.add_argument("--folder", type=Path, default=Path("docs"))
    options = parser.parse_args()
    found = json.loads(options.found.read_text())
    with style():
        by_bytes(found, options.folder / "masc-bytes.png")
        by_teachers(found, options.folder / "masc-teachers.png")


if __name__ == "__main__":
    main()
