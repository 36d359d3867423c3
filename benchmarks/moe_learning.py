"""What sparse experts learn beside dense layers, and which tokens are dropped: a part of ``moe.py``.

Accuracy: one block, ``classify(norm(x + layer(x)))`` for x = embed(pixels), 64 wide; embedding and classifier are
linear. Of 8 experts a token costs two (``MoE``, hidden width 32) or one (``Switch``, 64); the dense layer has as many
parameters as are active then, router included. A second dense layer has as many as those of ``MoE`` in all. Every
contender has the learning rate that is best for it on items held out of the training set, with other seeds. The test
set is read once. All seeds train at once, as copies of one network. "Experts in use" is exp of the load's entropy: in
the last pass of training, where the router is noisy, and on the test set, where it is not. "Refused" is the share of
assignments that found their expert full in the last pass, "dropped" the share of tokens that no expert took: with two
experts a token, one refusal drops nothing. Normalising before the layer too, or nowhere, was tried on the held-out
items and was not better. A first version kept the rate constant: accuracies were lower and scattered more, in the same
order on MNIST.

Drops: how many tokens ``Switch`` drops in the last pass of training, in the block and alone (from pixels to classes,
where a dropped token reads 0), by the weight of the balance loss and the batch; "by chance" is what is dropped where
every token goes to any expert with the same probability. On the held-out items, at one learning rate.
"""

import math
from collections.abc import Callable

import torch
from items import items
from ranges import Ranges
from record import Choice, File
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from studyhall.envs import rng
from studyhall.envs.streams import Dataset, load_dataset
from studyhall.policies.collective import Experts, Load, MoE, Switch
from studyhall.rollouts import interval, spread

EXPERTS, K = 8, 2

WIDTH, MOE_HIDDEN = 64, 32
"""Widths of what a block adds to, and of the hidden layer of an expert of ``MoE``; of ``Switch`` it is K times that."""

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
RANGES = Ranges(report=range(100, 1000))
TUNING_SEEDS = [10_000, 10_001, 10_002]
DATA = {"digits": (30, 64), "mnist": (4, 128)}
"""Passes and batch size."""

DROPS_RATE = 1e-3


class Dense(nn.Module):
    """The dense control: one expert, always asked."""

    def __init__(self, hidden: int, *, key: Tensor) -> None:
        super().__init__()
        self.experts = Experts(1, (WIDTH, hidden, WIDTH), key=key)

    def forward(self, x: Tensor, key: Tensor | None = None) -> tuple[Tensor, Tensor, None]:
        return self.experts(x)[:, 0], x.new_zeros(len(x)), None


class Block(nn.Module):
    """Embed, ``x + layer(x)``, normalise, classify; a copy for each key."""

    def __init__(self, inputs: int, classes: int, layer: nn.Module, *, key: Tensor) -> None:
        super().__init__()
        self.embed = Experts(1, (inputs, WIDTH), key=key ^ rng.purpose_id("embed"))
        self.layer = layer
        self.classify = Experts(1, (WIDTH, classes), key=key ^ rng.purpose_id("classify"))

    def forward(self, x: Tensor, key: Tensor | None = None) -> tuple[Tensor, Tensor, Load | None]:
        """Logits ``[S, T, C]``, the layer's losses ``[S]`` and its load, for inputs ``[S, T, D]``."""
        x = self.embed(x)[:, 0]
        output, extra, load = self.layer(x, key)
        return self.classify(F.layer_norm(x + output, (WIDTH,)))[:, 0], extra, load


Make = Callable[[Tensor], nn.Module]
"""From keys to a layer or a model with a copy for each."""


def layers() -> dict[str, Make]:
    """All contenders. Widths of the dense ones follow from the parameters of the sparse ones."""
    per_unit = 2 * WIDTH + 1
    expert, router = MOE_HIDDEN * per_unit + WIDTH, WIDTH * EXPERTS
    active = (K * expert + router - WIDTH) // per_unit
    total = (EXPERTS * expert + router - WIDTH) // per_unit
    return {
        f"dense, as many active parameters ({active} hidden)": lambda key: Dense(active, key=key),
        f"dense, as many as MoE in all ({total} hidden)": lambda key: Dense(total, key=key),
        "MoE": lambda key: MoE(WIDTH, MOE_HIDDEN, key=key, k=K),
        "MoE, no balance loss": lambda key: MoE(WIDTH, MOE_HIDDEN, key=key, k=K, balance=0.0),
        "Switch": lambda key: Switch(WIDTH, K * MOE_HIDDEN, key=key),
        "Switch, no balance loss": lambda key: Switch(WIDTH, K * MOE_HIDDEN, key=key, balance=0.0),
    }


def block(data: Dataset, make: Make) -> Make:
    """Blocks around a layer."""
    inputs = math.prod(data.shape)
    return lambda key: Block(inputs, data.num_classes, make(key), key=key)


def parameters(layer: nn.Module) -> tuple[int, int]:
    """Of one copy of a layer: those that a token meets in evaluation, and all (but a router's noise, for training)."""
    experts = sum(p[0].numel() for p in layer.experts.parameters())
    if isinstance(layer, Dense):
        return experts, experts
    router = layer.router.gate.weight[0].numel()
    return experts * layer.router.k // EXPERTS + router, experts + router


def train(
    make: Make, train_set: tuple[Tensor, Tensor], seeds: list[int], rate: float, passes: int, size: int
) -> tuple[nn.Module, dict[str, list[float]]]:
    """A model with a copy for each seed, and what its experts carried in the last pass.

    Args:
        make: The model: from inputs and keys to logits, losses, and the load of its experts.
        train_set: Inputs and labels.
        seeds: One copy each, with items in an order of its own.
        rate: Of Adam, at first; it falls to 0 along a line.
        passes: Over the set.
        size: Of a batch.
    """
    x, y = train_set
    keys = rng.world_key(torch.tensor(seeds), "train")
    model = make(keys)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    steps = passes * math.ceil(len(y) / size)
    cool = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=steps)
    for turn in range(passes):
        order = rng.draw(rng.fold(keys, turn), "pass", (len(y),)).permutation()
        refused, dropped = torch.zeros(len(seeds)), torch.zeros(len(seeds))
        carried = torch.zeros(len(seeds), EXPERTS)
        for step, batch in enumerate(order.split(size, dim=1)):
            output, extra, load = model(x[batch], rng.fold(keys, turn, step))
            task = F.cross_entropy(output.flatten(0, 1), y[batch].flatten()) * len(seeds)
            optimiser.zero_grad()
            (task + extra.sum()).backward()
            optimiser.step()
            cool.step()
            if load is not None:
                refused += load.refused / load.chosen.shape[-1]
                dropped += load.dropped
                carried += load.utilisation * batch.shape[1] / len(y)
    if load is None:
        return model.eval(), {}
    return model.eval(), {
        "refused in training": (refused / len(y)).tolist(),
        "dropped in training": (dropped / len(y)).tolist(),
        "experts in use in training": in_use(carried),
    }


def in_use(shares: Tensor) -> list[float]:
    """Exp of the entropy of loads ``[S, E]``: E where they are even, 1 where one expert has it all."""
    return torch.special.entr(shares).sum(-1).exp().tolist()


@torch.no_grad()
def measure(model: nn.Module, test_set: tuple[Tensor, Tensor], seeds: int) -> dict[str, list[float]]:
    """Accuracy and the use of the experts on a test set, one value a seed."""
    x, y = test_set
    output, _, load = model(x.expand(seeds, *x.shape))
    found = {"accuracy": (output.argmax(-1) == y).float().mean(-1).tolist()}
    if load is not None:
        f = load.utilisation
        found["busiest expert's share"] = f.amax(-1).tolist()
        found["idlest expert's share"] = f.amin(-1).tolist()
        found["experts in use"] = in_use(f)
    return found


def accuracy(file: File, name: str, seeds: list[int]) -> None:
    """Contenders that the file lacks: tuned, trained again with other seeds on all but the test set, and tested."""
    data, (passes, size) = load_dataset(name), DATA[name]
    stream, exam, test = (items(data, split) for split in ("stream", "exam", "test"))
    for title, layer in layers().items():
        if file.has(("accuracy", name, title), seeds):
            continue
        make, tuning = block(data, layer), {}
        for rate in RATES:
            model, _ = train(make, stream, TUNING_SEEDS, rate, passes, size)
            tuning[rate] = interval(measure(model, exam, len(TUNING_SEEDS))["accuracy"]).mean
        rate = max(tuning, key=lambda r: tuning[r])
        model, carried = train(make, items(data, "stream", "exam"), seeds, rate, passes, size)
        active, total = parameters(model.layer)
        row = {
            "active parameters": active,
            "parameters": total,
            "learning rate": rate,
            "validation": {f"{r:g}": value for r, value in tuning.items()},
            **measure(model, test, len(seeds)),
            **carried,
        }
        choice = Choice(rate, RATES, "exam split", TUNING_SEEDS, "accuracy, mean over seeds")
        file.add(("accuracy", name, title), row, seeds=seeds, chosen=[choice])


def drops(file: File, name: str) -> None:
    """Why ``Switch`` drops tokens in training: the weight of its balance loss, the batch, and what it is part of."""
    data, (passes, size) = load_dataset(name), DATA[name]
    stream, exam = items(data, "stream"), items(data, "exam")
    inputs, hidden = math.prod(data.shape), K * MOE_HIDDEN
    forms: dict[str, Callable[[float], Make]] = {
        "alone": lambda a: lambda key: Switch(inputs, hidden, data.num_classes, key=key, balance=a),
        "block": lambda a: block(data, lambda key: Switch(WIDTH, hidden, key=key, balance=a)),
    }
    for form, batch in (("alone", size), ("block", size), ("block", 4 * size)):
        for balance in (0.0, 0.01, 0.1, 1.0):
            if file.find(("drops", name), form=form, batch=batch, balance=balance):
                continue
            model, carried = train(forms[form](balance), stream, TUNING_SEEDS, DROPS_RATE, passes, batch)
            told = {"form": form, "batch": batch, "balance": balance, "dropped by chance": by_chance(batch)}
            found = measure(model, exam, len(TUNING_SEEDS))
            row = {**told, "accuracy": found["accuracy"], **carried}
            file.append(("drops", name), row, seeds=TUNING_SEEDS)


def by_chance(tokens: int) -> float:
    """Share of so many tokens that ``Switch`` drops where each goes to any expert with the same probability."""
    count = torch.arange(tokens + 1.0)
    likely = torch.distributions.Binomial(tokens, torch.tensor(1 / EXPERTS)).log_prob(count).exp()
    return float((likely * (count - tokens // EXPERTS).relu()).sum() * EXPERTS / tokens)


# Report -------------------------------------------------------------------------------------------------------


def show_drops(name: str, results: list[dict]) -> None:
    table = Table("form", "batch", "balance loss", "dropped, %", "by chance", "experts in use", "accuracy")
    table.title = f"{name}: tokens that Switch drops in training, on held-out items"
    for found in results:
        dropped, used, right = (
            interval([scale * value for value in found[metric]])
            for metric, scale in (
                ("dropped in training", 100),
                ("experts in use in training", 1),
                ("accuracy", 100),
            )
        )
        cells = (found["form"], str(found["batch"]), f"{found['balance']:g}", f"{dropped.mean:.1f}")
        table.add_row(
            *cells, f"{100 * found['dropped by chance']:.1f}", f"{used.mean:.2f}", f"{right.mean:.2f}"
        )
    Console(width=160).print(table)


def show_accuracy(name: str, results: dict) -> None:
    columns = {
        "accuracy": 100.0,
        "busiest expert's share": 1.0,
        "experts in use": 1.0,
        "experts in use in training": 1.0,
        "refused in training": 100.0,
        "dropped in training": 100.0,
    }
    table = Table("layer", "active parameters", "in all", *columns)
    table.title = (
        f"{name}, test; accuracy, refused assignments and dropped tokens in %, 95 % intervals over seeds"
    )
    for title, found in results.items():
        cells = []
        for metric, scale in columns.items():
            values = interval([scale * value for value in found[metric]]) if metric in found else None
            cells.append("" if values is None else spread(values, percent=False))
        table.add_row(title, f"{found['active parameters']:,}", f"{found['parameters']:,}", *cells)
    Console(width=160).print(table)
