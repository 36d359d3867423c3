"""Draw docs/classroom.png from a real run: ``python benchmarks/picture.py``."""

import argparse
from pathlib import Path

import torch
from PIL import Image

from studyhall.envs.engine.drawing import Picture, stacked, style
from studyhall.rollouts import Rollout
from studyhall.rollouts.reports.plots import plot_curve
from studyhall.rollouts.settings import customise
from studyhall.scenarios import get_scenario

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--out", type=Path, default=DOCS / "classroom.png")
    args = parser.parse_args()
    torch.set_num_threads(1)
    scenario = customise(get_scenario("classroom-digits"), steps=args.steps, controls=("mute",))
    run = Rollout(scenario)
    report = run.run()
    picture = run.world.render("rgb_array")
    with style():  # as wide as the world's own picture, which stands below
        curve = Picture((picture.shape[1] / 100 - 1.2,), (3.4,), left=0.9, right=0.3)
        plot_curve(curve.panels[0][0], report)
        both = Image.fromarray(stacked([curve.pixels(), picture]))
    both.save(args.out, optimize=True)
    print(f"{args.out}: {both.width}×{both.height}, {args.out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
