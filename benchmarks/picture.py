"""Draw docs/classroom.png from a real run: ``python benchmarks/picture.py``."""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from studyhall.rollouts import Rollout
from studyhall.rollouts.reports.plots import plot_curve
from studyhall.rollouts.settings import customise
from studyhall.scenarios import get_scenario

DOCS = Path(__file__).resolve().parents[1] / "docs"
HEIGHT = 4.5  # inches; the world's own picture is 360 pixels high
DPI = 80


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
    figure = Figure(figsize=(6, HEIGHT), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    plot_curve(figure.subplots(), report)
    canvas.draw()
    curve = np.asarray(canvas.buffer_rgba())[..., :3]
    both = Image.fromarray(np.concatenate([curve, picture], axis=1))
    both.quantize(128, dither=Image.Dither.NONE).save(args.out, optimize=True)
    print(f"{args.out}: {both.width}×{both.height}, {args.out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
