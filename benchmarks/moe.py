"""Sparse experts beside dense networks: accuracy at equal active parameters, use of the experts, and time.

    STUDYHALL_DATA=… python benchmarks/moe.py [--only accuracy|time] [--seeds 0-4] [--rounds 7] [--quick] [--out FILE]

Accuracy: one layer from pixels to classes. Of 8 experts a token costs two (``MoE``, hidden width 32) or one
(``Switch``, 64); the dense network has as many parameters as are active then, router included. A second dense
network has as many as all experts together. Learning rates are chosen on items held out of the training set, with
other seeds; without the balance loss it is the rate chosen with it, so the two differ in that loss alone. The test
set is read once. All seeds train at once, as copies of one layer. "Experts in use" is exp of the load's entropy: in
the last pass of training, where the router is noisy, and on the test set, where it is not.

Time: forward and backward (inputs, gates and all weights) of 8 experts Linear–GELU–Linear on 4,096 tokens, two
experts a token, given the routing. Contenders take turns on one thread; ratios are taken within a round. What is
counted is processor time, so that it does not matter much what else the machine is doing.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from studyhall.envs import rng
from studyhall.envs.streams import Dataset, load_dataset
from studyhall.policies.collective import Experts, Load, MoE, Switch, grouped
from studyhall.rollouts import interval
from studyhall.rollouts.settings import parse_seeds

EXPERTS, TOKENS, K = 8, 4096, 2
SHAPES = ((64, 64), (64, 256), (256, 32), (256, 64), (256, 256), (512, 64))
"""Widths of a token and of an expert's hidden layer."""

RATES = (1e-3, 3e-3, 1e-2)
TUNING_SEEDS = [1000, 1001]
DATA = {"digits": (30, 64), "mnist": (2, 128)}
"""Passes and batch size."""


# Accuracy -----------------------------------------------------------------------------------------------------


class Dense(nn.Module):
    """The dense control: one expert, always asked."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, key: Tensor) -> None:
        super().__init__()
        self.experts = Experts(1, (inputs, hidden, outputs), key=key)

    def forward(self, x: Tensor, key: Tensor | None = None) -> tuple[Tensor, Tensor, None]:
        return self.experts(x)[:, 0], x.new_zeros(len(x)), None


def models(inputs: int, outputs: int) -> dict[str, Callable[[Tensor], nn.Module]]:
    per_unit = inputs + outputs + 1
    router = inputs * EXPERTS
    active = (2 * 32 * per_unit + 2 * outputs + router - outputs) // per_unit
    total = (EXPERTS * 32 * per_unit + EXPERTS * outputs + router - outputs) // per_unit
    moe, switch = (inputs, 32, outputs), (inputs, 64, outputs)
    return {
        f"dense, as many active parameters ({active} hidden)": lambda key: Dense(
            inputs, active, outputs, key=key
        ),
        f"dense, as many as MoE in all ({total} hidden)": lambda key: Dense(inputs, total, outputs, key=key),
        "MoE": lambda key: MoE(*moe, key=key),
        "MoE, no balance loss": lambda key: MoE(*moe, key=key, balance=0.0),
        "Switch": lambda key: Switch(*switch, key=key),
        "Switch, no balance loss": lambda key: Switch(*switch, key=key, balance=0.0),
    }


def active_parameters(model: nn.Module) -> int:
    """Parameters of one copy that a token meets in evaluation."""
    if isinstance(model, Dense):
        return sum(p[0].numel() for p in model.parameters())
    experts = sum(p[0].numel() for p in model.experts.parameters())
    return experts * model.router.k // EXPERTS + model.router.gate.weight[0].numel()


def items(data: Dataset, *splits: str) -> tuple[Tensor, Tensor]:
    index = [torch.arange(len(data.split(split))) for split in splits]
    x = torch.cat([data.inputs(split, i).flatten(1) for split, i in zip(splits, index, strict=True)])
    return x, torch.cat([data.labels(split, i) for split, i in zip(splits, index, strict=True)])


def train(
    make: Callable[[Tensor], nn.Module],
    train_set: tuple[Tensor, Tensor],
    seeds: list[int],
    rate: float,
    name: str,
) -> tuple[nn.Module, dict[str, list[float]]]:
    """A model with a copy for each seed, and what its experts carried in the last pass."""
    x, y = train_set
    passes, size = DATA[name]
    keys = rng.world_key(torch.tensor(seeds), "train")
    model = make(keys)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    for turn in range(passes):
        order = rng.permutation(rng.bits(rng.fold(keys, turn), "pass", (len(y),)))
        dropped, carried = torch.zeros(len(seeds)), torch.zeros(len(seeds), EXPERTS)
        for step, batch in enumerate(order.split(size, dim=1)):
            output, extra, load = model(x[batch], rng.fold(keys, turn, step))
            task = F.cross_entropy(output.flatten(0, 1), y[batch].flatten()) * len(seeds)
            optimiser.zero_grad()
            (task + extra.sum()).backward()
            optimiser.step()
            if load is not None:
                dropped += load.dropped
                carried += load.utilisation * batch.shape[1] / len(y)
    if isinstance(model, Dense):
        return model.eval(), {}
    return model.eval(), {
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
    if isinstance(load, Load):
        f = load.utilisation
        found["busiest expert's share"] = f.amax(-1).tolist()
        found["idlest expert's share"] = f.amin(-1).tolist()
        found["experts in use"] = in_use(f)
    return found


def accuracy(name: str, seeds: list[int]) -> dict:
    data = load_dataset(name)
    x, _ = everything = items(data, "stream", "exam")
    stream, exam, test = items(data, "stream"), items(data, "exam"), items(data, "test")
    results: dict[str, dict] = {}
    tuning: dict[float, float] = {}
    for title, make in models(x.shape[1], data.num_classes).items():
        if "no balance" not in title:
            tuning = {}
            for rate in RATES:
                model, _ = train(make, stream, TUNING_SEEDS, rate, name)
                tuning[rate] = interval(measure(model, exam, len(TUNING_SEEDS))["accuracy"]).mean
        rate = max(tuning, key=lambda r: tuning[r])
        model, carried = train(make, everything, seeds, rate, name)
        results[title] = {
            "active parameters": active_parameters(model),
            "learning rate": rate,
            "validation": {f"{r:g}": value for r, value in tuning.items()},
            **measure(model, test, len(seeds)),
            **carried,
        }
    return results


# Time ---------------------------------------------------------------------------------------------------------


class Contenders:
    """The same mixture, computed in several ways, on the same tokens."""

    def __init__(self, width: int, hidden: int) -> None:
        self.experts = Experts(EXPERTS, (width, hidden, width), key=0)
        self.modules = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
            for _ in range(EXPERTS)
        )
        for e, module in enumerate(self.modules):
            for layer, weight, bias in zip((0, 2), self.experts.weights, self.experts.biases, strict=True):
                module[layer].weight.data.copy_(weight[e].T)
                module[layer].bias.data.copy_(bias[e])
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(TOKENS, width, generator=generator).requires_grad_()
        best, self.chosen = torch.randn(TOKENS, EXPERTS, generator=generator).topk(K)
        self.gates = best.softmax(-1).requires_grad_()
        self.wanted = torch.randn(TOKENS, width, generator=generator)

    def grouped(self) -> Tensor:
        """Every token processed: exactly what the loops compute."""
        return grouped(self.experts, self.x[None], self.chosen[None], self.gates[None], None)[0][0]

    def grouped_at_capacity(self) -> Tensor:
        """With room for 1.25 times an even load."""
        capacity = int(1.25 * K * TOKENS / EXPERTS)
        return grouped(self.experts, self.x[None], self.chosen[None], self.gates[None], capacity)[0][0]

    def grouped_plain(self) -> Tensor:
        """With PyTorch's own products, without the faster kernel."""
        with torch.backends.mkldnn.flags(enabled=False):
            return self.grouped()

    def loop(self) -> Tensor:
        """The obvious loop: each expert runs on its tokens, picked by a boolean mask."""
        out = torch.zeros_like(self.wanted)
        for e, expert in enumerate(self.modules):
            mine = self.chosen == e
            rows = mine.any(-1)
            if rows.any():
                out[rows] += (self.gates * mine).sum(-1)[rows, None] * expert(self.x[rows])
        return out

    def loop_over_choices(self) -> Tensor:
        """The other obvious loop: first choices, then second ones."""
        out = torch.zeros_like(self.wanted)
        for j in range(K):
            for e, expert in enumerate(self.modules):
                rows = self.chosen[:, j] == e
                if rows.any():
                    out[rows] += self.gates[rows, j, None] * expert(self.x[rows])
        return out

    def dense(self) -> Tensor:
        """Every expert on every token, weighted, mostly by zero."""
        weights = torch.zeros(TOKENS, EXPERTS).scatter(1, self.chosen, self.gates)
        return torch.stack([expert(self.x) for expert in self.modules], -1) @ weights[..., None]

    def step(self, form: Callable[[], Tensor]) -> None:
        for tensor in (self.x, self.gates, *self.experts.parameters(), *self.modules.parameters()):
            tensor.grad = None
        form().view_as(self.wanted).backward(self.wanted)


FORMS = ("grouped", "grouped_at_capacity", "grouped_plain", "loop", "loop_over_choices", "dense")


def timing(width: int, hidden: int, rounds: int) -> dict:
    """Milliseconds of each form, and how much faster the grouped one is, within rounds."""
    contenders = Contenders(width, hidden)
    forms = {name: getattr(contenders, name) for name in FORMS}
    with torch.no_grad():
        for name in ("grouped_plain", "loop", "loop_over_choices", "dense"):
            torch.testing.assert_close(
                forms[name]().view_as(contenders.wanted), forms["grouped"](), rtol=1e-3, atol=1e-4
            )
    spent: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, form in forms.items():
            contenders.step(form)  # not counted: it finds the cache and the heap as another left them
            begin = time.process_time()
            contenders.step(form)
            contenders.step(form)
            spent[name].append(500 * (time.process_time() - begin))
    ratios = {
        name: [other / ours for other, ours in zip(spent[name], spent["grouped"], strict=True)]
        for name in FORMS[1:]
    }
    return {
        "width": width,
        "hidden": hidden,
        "milliseconds": {name: summary(values) for name, values in spent.items()},
        "grouped is faster by": {name: summary(values) for name, values in ratios.items()},
    }


def summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
    }


# Report -------------------------------------------------------------------------------------------------------


def show_accuracy(name: str, results: dict) -> None:
    columns = {
        "accuracy": 100.0,
        "busiest expert's share": 1.0,
        "experts in use": 1.0,
        "experts in use in training": 1.0,
        "dropped in training": 100.0,
    }
    table = Table("model", "active parameters", *columns)
    table.title = f"{name}, test; accuracy and drops in %, 95 % intervals over seeds"
    for title, found in results.items():
        cells = []
        for metric, scale in columns.items():
            values = interval([scale * value for value in found[metric]]) if metric in found else None
            cells.append("" if values is None else f"{values.mean:.2f} ± {values.half:.2f}")
        table.add_row(title, f"{found['active parameters']:,}", *cells)
    Console(width=160).print(table)


def show_time(results: list[dict]) -> None:
    table = Table("tokens × hidden", "grouped, ms", *(f"against {name}" for name in FORMS[1:]))
    table.title = f"Forward and backward, {EXPERTS} experts, {TOKENS} tokens, {K} experts a token, one thread"
    for found in results:
        ratio = found["grouped is faster by"]
        cells = (f"{r['median']:.2f}× ({r['min']:.2f}–{r['max']:.2f})" for r in ratio.values())
        shape = f"{found['width']} × {found['hidden']}"
        table.add_row(shape, f"{found['milliseconds']['grouped']['median']:.1f}", *cells)
    Console(width=160).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=("accuracy", "time"), help="the other half of FILE is kept")
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="digits and one shape: to see that it runs")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds = list(parse_seeds("0-1" if args.quick else args.seeds))
    report: dict = {
        "benchmark": "moe",
        "experts": EXPERTS,
        "tokens": TOKENS,
        "k": K,
        "seeds": seeds,
        "data": {name: {"passes": passes, "batch": batch} for name, (passes, batch) in DATA.items()},
        "rounds": args.rounds,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
    }
    begin = time.perf_counter()
    if args.only != "accuracy":
        report["time"] = [timing(*shape, args.rounds) for shape in (SHAPES[:1] if args.quick else SHAPES)]
        show_time(report["time"])
    if args.only != "time":
        report["accuracy"] = {}
        for name in ("digits",) if args.quick else DATA:
            report["accuracy"][name] = accuracy(name, seeds)
            show_accuracy(name, report["accuracy"][name])
    report["seconds"] = round(time.perf_counter() - begin)
    if args.out:
        if args.only and args.out.exists():
            report = {**json.loads(args.out.read_text()), **report}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
