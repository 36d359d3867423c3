"""Split-image autoencoders that talk: messengers, controls and discrete messages, as long and as often updated.

Every row is trained for the same processor time on one thread, or for the same updates, and evaluated on pictures of
the test split, the same for all, with messages, muted, and with messages shuffled between samples. A figure is the
summed MSE (of one's painting, summed over the viewers); its interval is over training seeds.

    python benchmarks/halves.py [--rows NAME …] [--cpu-seconds 120 | --updates 1000] [--train-seeds 1000-1002]
        [--out FILE] [--plot FILE]

Rows that are in FILE already are not trained again. Those of equal updates can be repeated on any machine.
"""

import argparse
import dataclasses
import itertools
import tempfile
from pathlib import Path

import torch
from ranges import Ranges
from record import Choice, File
from rich.console import Console
from rich.table import Table

from studyhall import make_world
from studyhall.policies import make_policy
from studyhall.rollouts import backprop, interval, spread
from studyhall.rollouts.training.loop import EVAL_SEED
from studyhall.scenarios import get_scenario

ROWS = {
    "simple": ("halves-mnist", []),
    "attention": ("halves-mnist", ["policy.messenger=attention"]),
    "as published": ("halves-mnist-as-published", []),
    "trained mute": ("halves-mnist", []),
    "oracle": ("halves-mnist", ["oracle=true"]),
    "1 symbol of 10, Gumbel": ("halves-mnist", ["vocabulary=10"]),
    "1 symbol of 10, REINFORCE": (
        "halves-mnist",
        # errors are of the order of .05: the usual bonus for entropy would be all that counts
        ["vocabulary=10", "policy.estimator=sampled", "policy.entropy=0.0001", "slice_size=1"],
    ),
}
"""Name to a scenario and what is set in it."""

MUTE = ("trained mute",)
"""Rows that never hear a message."""

MODES = ("open", "mute", "shuffled")
RANGES = Ranges(report=range(100, 1000))
"""Worlds 0 to 79 were looked at."""
_SAMPLES, _SLICE = 5120, 64  # of the evaluation for each mode; samples of a slice, at least


def evaluate(path, scenario) -> dict[str, dict[str, float]]:
    """Metrics by mode of a trained policy on the test split."""
    size = max(
        _SLICE, scenario.env_kwargs["slice_size"]
    )  # that of the training, which a leaky reader depends on
    worlds = _SAMPLES // size
    kwargs = {**scenario.env_kwargs, "slice_size": size}
    modes = (kwargs.pop("mode"),) if "mode" in kwargs else MODES
    kwargs["mode"] = [mode for mode in modes for _ in range(worlds)]
    world = make_world(scenario.env, num_worlds=len(modes) * worlds, autoreset=False, **kwargs)
    policy = make_policy(str(path))
    policy.bind(world)
    obs = world.reset(seed=list(_worlds(worlds)) * len(modes), options={"domain": "eval"})
    policy.reset()
    with torch.no_grad():
        while not world.ended.all():
            obs = world.step(policy.act(obs)).obs
    found = {"summed": world.metrics()["summed"]} | world.breakdown()
    width = float(world.metrics()["message_bytes"][0])
    return {
        mode: {name: float(value[m * worlds : (m + 1) * worlds].nanmean()) for name, value in found.items()}
        | {"message_bytes": width}
        for m, mode in enumerate(modes)
    }


def _worlds(count: int) -> range:
    return range(RANGES.report.start, RANGES.report.start + count)


def measure(row: str, seed: int, length: dict[str, float]) -> dict:
    """Train one row with one seed, for so many ``cpu_seconds`` or ``updates``, and evaluate it."""
    name, assignments = ROWS[row]
    worlds = 128 if "slice_size=1" in assignments else 1
    scenario = get_scenario(name)
    if row in MUTE:
        scenario = dataclasses.replace(scenario, env_kwargs={**scenario.env_kwargs, "mode": "mute"})
    config = backprop.configure(
        scenario,
        assignments=[*assignments, f"policy.seed={seed}"],
        **length,
        seed=seed,
        worlds=worlds,
        eval_worlds=4 * worlds,
        eval_every=500,
    )
    with tempfile.TemporaryDirectory() as folder:
        found = backprop.train(config, Path(folder) / "run")
        tested = evaluate(found.folder / "best.zip", config.scenario)
    per_update = worlds * 2 * 2  # agent-steps: two viewers, two steps
    return {
        "seed": seed,
        "updates": found.timesteps // per_update,
        "curve": [(at // per_update, loss) for at, loss in found.evaluations],
        "test": tested,
        "trained_by": config.command,
    }


def table(found: dict) -> Table:
    """Summed MSE by case and mode."""
    shown = Table(
        "",
        "bytes per message",
        "updates",
        "upright",
        "turned",
        "swapped",
        "all",
        "upright, muted",
        "upright, shuffled",
    )
    for row, runs in found["rows"].items():
        first = "mute" if row in MUTE else "open"
        cells = [(first, f"summed_{case}") for case in ("upright", "turned", "swapped")]
        cells += [(first, "summed"), *((mode, "summed_upright") for mode in MODES[1:])]
        figures = []
        for place, (mode, metric) in enumerate(cells):
            if row in MUTE and place > 3:
                figures.append("–")
                continue
            at = interval([run["test"][mode][metric] for run in runs])
            figures.append(spread(at, percent=False, digits=4))
        updates = sum(run["updates"] for run in runs) / len(runs)
        shown.add_row(row, f"{runs[0]['test'][first]['message_bytes']:g}", f"{updates:,.0f}", *figures)
    return shown


def plot(found: dict, path: Path) -> None:
    """Loss on validation slices over updates, a line for every row and seed."""
    from studyhall.envs.engine.drawing import PALETTE, Picture, style

    with style():
        figure = Picture((8.0,), (4.4,), left=0.9, above=0.2)
        _curves(figure.panels[0][0], found, PALETTE)
    figure.write(path)


def _curves(axes, found: dict, palette) -> None:
    for row, runs in found["rows"].items():
        if row in ("trained mute", "oracle"):
            continue
        for k, run in enumerate(runs):
            at, loss = zip(*run["curve"], strict=True)
            colour = palette[list(found["rows"]).index(row) % len(palette)]
            axes.plot(at, loss, color=colour, label=row if k == 0 else None)
    axes.set(
        xlabel="updates",
        ylabel="MSE of a painting, validation slices",
        yscale="log",
        ylim=(0.012, 0.08),
        xlim=(0, None),
    )
    shown = (0.015, 0.02, 0.03, 0.04, 0.06, 0.08)
    axes.set_yticks(shown, map(str, shown))
    axes.set_yticks((), minor=True)
    axes.legend()
    axes.grid()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--cpu-seconds", type=float, default=120)
    parser.add_argument("--updates", type=int, help="train for so many updates, however long they take")
    parser.add_argument("--train-seeds", type=RANGES.seeds("fit"), default="1000-1002")
    parser.add_argument("--out", type=Path, help="JSON; rows it holds are kept")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    file = File(given.out, "halves")
    part = () if given.updates is None else ("equal updates",)
    length = {"cpu_seconds": given.cpu_seconds} if given.updates is None else {"updates": given.updates}
    file.about(length | {"train_seeds": given.train_seeds}, part)
    chosen = (Choice("best.zip", "every 500 updates", "exam split", [EVAL_SEED], "loss"),)
    for row, seed in itertools.product(given.rows, given.train_seeds):
        if not file.find((*part, "rows", row), seed=seed):
            run = measure(row, seed, length)
            file.append((*part, "rows", row), run, seeds=_worlds(_SAMPLES // _SLICE), chosen=chosen)
    found = file.get(part)
    if given.plot is not None:
        plot(found, given.plot)
    Console(width=170).print(table(found))


if __name__ == "__main__":
    main()
