"""Eight perceptrons, one pass of MNIST: what voting is worth, and what a diversity term buys.

    STUDYHALL_DATA=… python benchmarks/collective_mnist.py [--seeds 100-107] [--passes 1] [--quick] [--out FILE]

Members are 784-128-64-10, trained side by side on the same batches of one shuffled pass over all 60,000 training
items, from different initial weights. Each diversity term has the learning rate that is best for it, chosen without the
test set: by the soft vote on 12,000 items held out of the training set, with other seeds. Every diversity term sees the
seeds, initial weights and batches of the control, so differences are paired. Seeds are trained at once, as copies of
one ``Ensemble``.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from items import items
from ranges import Ranges
from record import Choice, File
from rich.console import Console
from rich.table import Table
from torch import Tensor

from studyhall.envs import rng
from studyhall.envs.streams import Dataset, load_dataset
from studyhall.policies.collective import (
    Ensemble,
    aggregation,
    diverse_loss,
    errors,
    mean_correlation,
    predictions,
)
from studyhall.rollouts import interval, spread

MEMBERS, SIZES, BATCH = 8, (784, 128, 64, 10), 64
RATES = (1e-3, 2e-3, 4e-3, 8e-3)
RANGES = Ranges(report=range(100, 1000))
TUNING_SEEDS = (10_000, 10_001)
TERMS = {
    "none": {"weight": 0.0},
    "errors, 0.1": {"weight": 0.1, "of": errors},
    "predictions, 0.1 (as published)": {"weight": 0.1, "of": predictions},
    "errors, 1": {"weight": 1.0, "of": errors},
    "predictions, 1": {"weight": 1.0, "of": predictions},
}
METRICS = ("best single", "mean single", "soft vote", "majority vote", "error correlation")


def train(
    train_set: tuple[Tensor, Tensor], seeds: list[int], rate: float, passes: int, term: dict
) -> Ensemble:
    """One ensemble a seed, as copies of one layer."""
    x, y = train_set
    keys = rng.world_key(torch.tensor(seeds), "train")
    ensemble = Ensemble(MEMBERS, SIZES, key=keys)
    optimiser = torch.optim.Adam(ensemble.parameters(), lr=rate, fused=True)
    for turn in range(passes):
        order = rng.draw(rng.fold(keys, turn), "pass", (len(y),)).permutation()
        for batch in order.split(BATCH, dim=1):
            logits = ensemble.members(x[batch])
            loss = diverse_loss(logits, y[batch], **term).sum()  # each member has its own loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return ensemble


@torch.no_grad()
def measure(ensemble: Ensemble, test_set: tuple[Tensor, Tensor]) -> dict[str, list[float]]:
    """Accuracies and the members' error correlation, one value a seed."""
    x, y = test_set
    logits = ensemble.members(x.expand(*ensemble.members.copies, *x.shape))
    probs = logits.softmax(-1)
    single = (probs.argmax(-1) == y).float().mean(-1)
    return {
        "best single": single.amax(-1).tolist(),
        "mean single": single.mean(-1).tolist(),
        "soft vote": (aggregation.mean(probs).argmax(-1) == y).float().mean(-1).tolist(),
        "majority vote": (aggregation.majority(probs) == y).float().mean(-1).tolist(),
        "error correlation": mean_correlation(errors(probs, y)).tolist(),
    }


def tune(data: Dataset, passes: int, term: dict) -> dict[str, float]:
    """Soft vote on the held-out part with a diversity term, by learning rate."""
    found = {}
    for rate in RATES:
        ensemble = train(items(data, "stream"), list(TUNING_SEEDS), rate, passes, term)
        found[f"{rate:g}"] = interval(measure(ensemble, items(data, "exam"))["soft vote"]).mean
    return found


def cell(values: list[float], scale: float = 100.0, signed: bool = False) -> str:
    return spread(interval(values), percent=scale == 100, signed=signed)


def show(terms: dict[str, dict[str, Any]]) -> None:
    table = Table(
        "diversity term", "learning rate", *METRICS[:4], "soft vote − none, paired", "error correlation"
    )
    table.title = "MNIST test accuracy in %, 95 % intervals"
    control = terms["none"]["soft vote"]
    for name, found in terms.items():
        gain = [a - b for a, b in zip(found["soft vote"], control, strict=True)]
        cells = [cell(found[metric]) for metric in METRICS[:4]]
        table.add_row(
            name,
            f"{found['learning rate']:g}",
            *cells,
            cell(gain, signed=True),
            cell(found["error correlation"], 1.0),
        )
    Console(width=160).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=RANGES.seeds("report"), default="100-107")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="few items and seeds: to see that it runs")
    parser.add_argument("--out", type=Path, help="JSON; terms it holds are kept")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds = list(args.seeds[:2] if args.quick else args.seeds)
    data = load_dataset("mnist", **({"stream_size": 1000, "test_size": 1000} if args.quick else {}))
    everything, test = items(data, "stream", "exam"), items(data, "test")
    file = File(args.out, "collective_mnist")
    about = {"members": MEMBERS, "sizes": SIZES, "batch": BATCH, "passes": args.passes}
    file.about({**about, "items": len(everything[1]), "seeds": seeds})
    for name, term in TERMS.items():
        if file.has(("terms", name), seeds):
            continue
        tuning = tune(data, args.passes, term)
        rate = float(max(tuning, key=lambda rate: tuning[rate]))
        choice = Choice(rate, RATES, "items held out of the training set", TUNING_SEEDS, "soft vote")
        row = measure(train(everything, seeds, rate, args.passes, term), test)
        told = {"learning rate": rate, "validation": tuning}
        file.add(("terms", name), {**row, **told}, seeds=seeds, chosen=[choice])
    show(file.get(("terms",)))


if __name__ == "__main__":
    main()
