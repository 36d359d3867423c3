"""One symbol of ten, learnt from rewards and through the channel: what a message is worth, however it was learnt.

    python benchmarks/messages_rl.py [--seeds 1000,2000,3000] [--quick] [--out docs/results/messages_rl.json]

In `consensus-digits-symbols` three witnesses, each with a noisy and partial view of a digit, tell each other one symbol
of ten, half a byte. The same small network learns to speak and to listen by four routes:

- ppo: Stable-Baselines3's PPO: rewards alone, no gradient crosses the channel, and answers are choices too;
- reinforce: symbols by REINFORCE, answers by gradient;
- gumbel: everything by gradient, straight through the symbols;
- alone: as gumbel, but trained in a world that delivers nothing: what one makes of one's own view at best.

Budgets are what each takes to flatten out, not equal: how many answers agents gave in training (one about each sample
in each step) and processor seconds are beside the figures. Every route is trained anew for each training seed, its best
is chosen on slices of the exam split, and that one is measured on the same 32 slices of the test split: open, mute, and
with messages shuffled over the samples of a slice. Intervals are 95 % over training seeds. Hyperparameters were tuned
on other seeds, on the exam split. One thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pages.cells import known
from ranges import Ranges
from record import Choice, File
from rich.console import Console
from rich.progress import track
from rich.table import Table

from studyhall.rollouts import interval, rollout
from studyhall.rollouts.training import begin
from studyhall.rollouts.training.loop import EVAL_SEED
from studyhall.scenarios import Scenario, get_scenario

SCENARIO = "consensus-digits-symbols"
RANGES = Ranges(report=range(100, 132))
"""Worlds 0 to 31 were looked at."""
TEST_SEEDS = tuple(RANGES.report)
MODES = ("open", "mute", "shuffled")
_OPTIONS = ("timesteps", "updates", "cpu_seconds", "worlds", "seed", "threads", "eval_every", "eval_worlds")


@dataclass(frozen=True)
class Route:
    """A way to train.

    Args:
        algorithm: Of ``studyhall train``.
        options: Of it.
        sets: Its ``--set``.
        env: Arguments of the world to train in, besides the scenario's.
    """

    algorithm: str
    options: dict[str, int]
    sets: tuple[str, ...] = ()
    env: dict[str, Any] = field(default_factory=dict)

    def shortened(self) -> Route:
        """Enough to see that it works."""
        lengths = {"timesteps": 20, "updates": 20, "eval_every": 20}
        options = {name: value // lengths.get(name, 1) for name, value in self.options.items()}
        return dataclasses.replace(self, options=options)


_GRADIENT = {"updates": 2000, "eval_every": 100, "eval_worlds": 16}
ROUTES = {
    "ppo": Route("ppo", {"timesteps": 900_000, "eval_every": 60_000}),
    "reinforce": Route("reinforce", {"updates": 3000, "eval_every": 150}),
    "gumbel": Route("backprop", _GRADIENT),
    "alone": Route("backprop", _GRADIENT, env={"mode": "mute"}),
}


def train(route: Route, seed: int, folder: Path) -> dict[str, Any]:
    """Train, and say what it took."""
    scenario = get_scenario(SCENARIO)
    scenario = dataclasses.replace(scenario, env_kwargs={**scenario.env_kwargs, **route.env})
    sets = route.sets if route.algorithm == "ppo" else (*route.sets, f"policy.seed={seed}")
    options = dict.fromkeys(_OPTIONS) | route.options | {"seed": seed, "threads": 1}
    begun = time.process_time()
    found = begin(scenario, algorithm=route.algorithm, assignments=sets, out=folder, **options)
    config = json.loads((folder / "config.json").read_text())
    rows = 1 if route.algorithm == "ppo" else config["scenario"]["env_kwargs"]["slice_size"]
    return {
        "seed": seed,
        "trained_by": None if route.env else config["command"],  # the command line sets no modes
        "answers": found.timesteps * rows,
        "cpu_seconds": round(time.process_time() - begun, 1),
        "best_at": found.best[0] * rows,
    }


def measure(folder: Path) -> dict[str, Any]:
    """Test accuracies by mode, and bytes of a message."""
    scenario: Scenario = dataclasses.replace(
        get_scenario(SCENARIO), policy=str(folder / "best.zip"), policy_kwargs={}, controls=MODES[1:]
    )
    metrics = rollout(scenario, seeds=TEST_SEEDS).metrics
    found = {mode: sum(metrics[mode]["accuracy"]) / len(TEST_SEEDS) for mode in MODES}
    found["gain"] = found["open"] - found["mute"]
    return found | {"message_bytes": metrics["open"]["message_bytes"][0]}


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Values of all training seeds, and their intervals."""
    found = {}
    for name in (*MODES, "gain"):
        values = [run[name] for run in runs]
        found[name] = {"values": values, **interval(values)._asdict()}
    return found | {"message_bytes": runs[0]["message_bytes"], "trainings": [run["training"] for run in runs]}


def table(routes: dict[str, Any], seeds: int) -> Table:
    """The figures for people."""
    made = Table(title=f"Test accuracy, %, {seeds} training seeds", title_justify="left")
    columns = (*MODES, "open − mute", "bytes/message", "answers", "CPU-seconds")
    for column in ("route", *columns):
        made.add_column(column, justify="left" if column == "route" else "right")
    for name, found in routes.items():
        shown = [known(found[key], 1) for key in (*MODES, "gain")]
        trained = found["trainings"]
        seconds = sum(run["cpu_seconds"] for run in trained) / len(trained)
        answers = f"{trained[0]['answers']:,}"
        made.add_row(name, *shown, f"{found['message_bytes']:g}", answers, f"{seconds:.0f}")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=RANGES.seeds("fit"), default="1000,2000,3000", help="of trainings")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the training")
    parser.add_argument("--out", type=Path, help="JSON; routes it holds are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file = File(options.out, "messages_rl")
    file.only(("routes",), TEST_SEEDS)
    file.about({"scenario": SCENARIO, "quick": options.quick})
    for name, route in ROUTES.items():
        if file.has(("routes", name), TEST_SEEDS):
            continue
        runs = []
        with tempfile.TemporaryDirectory() as base:
            for seed in track(options.seeds, description=name):
                folder = Path(base) / f"{name}-{seed}"
                training = train(route.shortened() if options.quick else route, seed, folder)
                runs.append(measure(folder) | {"training": training})
        by = "return" if route.algorithm == "ppo" else "loss"
        chosen = [Choice("best.zip of each training", "its evaluations", "exam split", [EVAL_SEED], by)]
        file.add(("routes", name), summary(runs), seeds=TEST_SEEDS, chosen=chosen)
    Console(width=140).print(table(file.get(("routes",)), len(options.seeds)))


if __name__ == "__main__":
    main()
