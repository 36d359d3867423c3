"""Consensus: accuracy after 0 … 8 rounds of messages, over topologies and losses, beside averages of what each saw.

For every topology a network is trained over five rounds, with a quarter of the messages lost, and evaluated on samples
of the test split over eight and at other rates of loss. Beside it stand the witnesses' own estimates averaged,
arithmetically and geometrically: those of the same network before any message, and those of a network trained mute,
which had nothing else to learn.

    python benchmarks/consensus.py [--train-seeds 1000-1002] [--updates 1500] [--out FILE] [--plot FILE]
"""

import argparse
import dataclasses
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

WITNESSES, ROUNDS, TRAINED_ROUNDS = 8, 8, 5
NETWORK = ["policy.width=128", "backprop.learning_rate=0.003"]
VIEW = ["view_keep=0.25", "view_noise=1.0"]
TOPOLOGIES = ("complete", "ring", "random")
DROPS = (0.0, 0.1, 0.25, 0.5)
_WORLDS, _SLICE = 8, 500  # of an evaluation
RANGES = Ranges(report=range(100, 1000))
"""Worlds 0 to 7 were looked at."""


def train(topology: str, mode: str, seed: int, updates: int, folder: Path) -> tuple[Path, dict]:
    """A network trained for a topology; its file, and the arguments of its world."""
    scenario = get_scenario("consensus-digits")
    scenario = dataclasses.replace(scenario, env_kwargs={**scenario.env_kwargs, "mode": mode})
    config = backprop.configure(
        scenario,
        assignments=[
            *VIEW,
            *NETWORK,
            f"agents={WITNESSES}",
            f"rounds={1 if mode == 'mute' else TRAINED_ROUNDS}",
            f"topology={topology}",
            "drop=0.25",
            "slice_size=64",
            f"policy.seed={seed}",
        ],
        updates=updates,
        eval_every=250,
        seed=seed,
    )
    path = folder / f"{topology}-{mode}-{seed}"
    backprop.train(config, path)
    return path / "best.zip", dict(config.scenario.env_kwargs)


def message_bytes() -> float:
    """Bytes of one message about one sample."""
    world = make_world("consensus-v0", **get_scenario("consensus-digits").env_kwargs)
    world.reset(seed=0)
    return float(world.metrics()["message_bytes"][0])


def evaluate(path: Path, kwargs: dict, drop: float) -> tuple[list[float], list[float], float, float]:
    """Accuracy and agreement after every round, and accuracy of two averages of what all knew before the first."""
    given = {**kwargs, "drop": drop, "slice_size": _SLICE, "rounds": ROUNDS}
    world = make_world("consensus-v0", num_worlds=_WORLDS, autoreset=False, **given)
    policy = make_policy(str(path))
    policy.bind(world)
    obs = world.reset(seed=RANGES.report.start, options={"domain": "eval"})
    policy.reset()
    accuracies, agreements, averages = [], [], []
    with torch.no_grad():
        while not world.ended.all():
            actions = policy.act(obs)
            if not accuracies:
                own = actions["answer"]  # [W, N, B, C]
                truth = world.state_dict()["state"]["truth"][:, 0]
                for mean in (own.mean(1), own.clamp_min(1e-7).log().mean(1)):
                    averages.append(float((mean.argmax(-1) == truth).float().mean()))
            obs = world.step(actions).obs
            found = world.metrics()
            accuracies.append(float(found["accuracy"].mean()))
            agreements.append(float(found["agreement"].mean()))
    return accuracies, agreements, averages[0], averages[1]


def checkpoints(updates: int) -> tuple[Choice, ...]:
    """How the network of each training was chosen."""
    among, on = f"every 250 of {updates} updates", "evaluation domain, exam split"
    return (Choice("best.zip of each training", among, on, [EVAL_SEED], "loss"),)


def measure(file: File, seeds: tuple[int, ...], updates: int) -> None:
    """Everything that the file lacks, by topology and loss: a list over training seeds."""
    file.about({"witnesses": WITNESSES, "seeds": seeds, "updates": updates})
    if file.get(("message_bytes",)) is None:
        file.about({"message_bytes": message_bytes()})
    worlds, chosen = range(RANGES.report.start, RANGES.report.start + _WORLDS), checkpoints(updates)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not file.get(("averages", "own estimate, trained mute")):
            found = [evaluate(*train("complete", "mute", seed, updates, folder), 0.0) for seed in seeds]
            averages = {
                "own estimate, trained mute": [curve[0] for curve, *_ in found],
                "mean of estimates, trained mute": [arithmetic for _, _, arithmetic, _ in found],
                "geometric mean, trained mute": [geometric for *_, geometric in found],
            }
            for key, values in averages.items():
                file.add(("averages", key), {"values": values}, seeds=worlds, chosen=chosen)
        for topology in TOPOLOGIES:
            if len(file.get(("curves", topology)) or {}) == len(DROPS):
                continue
            trained = [train(topology, "open", seed, updates, folder) for seed in seeds]
            for drop in DROPS:
                found = [evaluate(path, kwargs, drop) for path, kwargs in trained]
                row = {"accuracy": [one[0] for one in found], "agreement": [one[1] for one in found]}
                if topology == "complete" and not drop:
                    for key, k in {"mean of estimates": 2, "geometric mean": 3}.items():
                        values = {"values": [one[k] for one in found]}
                        file.add(("averages", key), values, seeds=worlds, chosen=chosen)
                file.add(("curves", topology, str(drop)), row, seeds=worlds, chosen=chosen)


def _percent(values: list[float], *, sign: bool = False) -> str:
    return spread(interval(values), signed=sign)


def tables(found: dict) -> list[Table]:
    """Accuracy by topology, loss and rounds; and paired differences."""
    shown = Table(
        "topology", "lost", *(str(r) for r in range(ROUNDS + 1)), "5 − 1", "5 − mean", "5 − geometric"
    )
    mute = {key: row["values"] for key, row in found["averages"].items()}
    for topology, drops in found["curves"].items():
        for drop, at in drops.items():
            curves = at["accuracy"]
            rounds = [_percent([curve[r] for curve in curves]) for r in range(ROUNDS + 1)]
            gain = [curve[5] - curve[1] for curve in curves]
            beside = [
                [curve[5] - other for curve, other in zip(curves, mute[key], strict=True)]
                for key in ("mean of estimates, trained mute", "geometric mean, trained mute")
            ]
            shown.add_row(
                topology, f"{float(drop):.0%}", *rounds, *(_percent(v, sign=True) for v in (gain, *beside))
            )
    averages = Table("averages of all witnesses' estimates, nothing lost", "accuracy, %")
    for key, values in mute.items():
        averages.add_row(key, _percent(values))
    return [shown, averages]


def plot(found: dict, path: Path) -> None:
    """Accuracy over rounds, a panel for every topology, a line for every rate of loss."""
    from studyhall.envs.engine.drawing import Picture, style

    with style():
        figure = Picture((3.6,) * len(TOPOLOGIES), (3.2,), left=(0.8, *(0.4,) * (len(TOPOLOGIES) - 1)))
        _curves(figure.panels[0], found)
    figure.write(path)


def _curves(panels, found: dict) -> None:
    best = interval([100 * v for v in found["averages"]["geometric mean, trained mute"]["values"]]).mean
    for axes, (topology, drops) in zip(panels, found["curves"].items(), strict=True):
        for drop, at in drops.items():
            mean = [interval([100 * c[r] for c in at["accuracy"]]).mean for r in range(ROUNDS + 1)]
            axes.plot(range(ROUNDS + 1), mean, marker=".", label=f"{float(drop):.0%} lost")
        axes.axhline(best, color="grey", lw=1, ls="--", label="geometric mean of estimates")
        axes.set(title=topology, xlabel="rounds of messages")
        axes.grid()
        axes.sharey(panels[0])
    panels[0].set_ylabel("accuracy, %")
    panels[0].legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train-seeds", type=RANGES.seeds("fit"), default="1000-1002")
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--out", type=Path, help="JSON; rows it holds are kept")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    file = File(given.out, "consensus")
    measure(file, given.train_seeds, given.updates)
    found = file.read()
    if given.plot is not None:
        plot(found, given.plot)
    for shown in tables(found):
        Console(width=200).print(shown)


if __name__ == "__main__":
    main()
