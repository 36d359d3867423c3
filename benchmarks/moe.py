"""Sparse experts beside dense networks: accuracy at equal active parameters, use of the experts, and time.

    STUDYHALL_DATA=… python benchmarks/moe.py [--only accuracy|time] [--seeds 100-109] [--rounds 7] [--quick]
        [--out FILE]

Accuracy, and why tokens are dropped: see moe_learning.py.

Time: forward and backward (inputs, gates and all weights) of 8 experts Linear–GELU–Linear on 4,096 tokens, two
experts a token, given the routing. Contenders take turns on one thread; ratios are taken within a round. What is
counted is processor time, so that it does not matter much what else the machine is doing.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from moe_learning import DATA, EXPERTS, RANGES, K, accuracy, drops, show_accuracy, show_drops
from record import File, machine
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from studyhall.policies.collective import Experts, grouped
from studyhall.policies.collective.routing import room

TOKENS = 4096
SHAPES = ((64, 64), (64, 256), (256, 32), (256, 64), (256, 256), (512, 64))
"""Widths of a token and of an expert's hidden layer."""


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
        capacity = room(1.25, K, TOKENS, EXPERTS)
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
    parser.add_argument("--only", choices=("accuracy", "time"), help="default: both")
    parser.add_argument("--seeds", type=RANGES.seeds("report"), default="100-109")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="digits and one shape: to see that it runs")
    parser.add_argument("--out", type=Path, help="JSON; rows it holds are kept")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds, file = list(args.seeds[:2] if args.quick else args.seeds), File(args.out, "moe")
    file.about({"experts": EXPERTS, "tokens": TOKENS, "k": K})
    if args.only != "accuracy":
        file.about({"rounds": args.rounds, "machine": machine()})
        for width, hidden in SHAPES[:1] if args.quick else SHAPES:
            if not file.find(("time",), width=width, hidden=hidden):
                file.append(("time",), timing(width, hidden, args.rounds), seeds=[0])
        show_time(file.get(("time",)))
    if args.only != "time":
        data = {name: {"passes": passes, "batch": batch} for name, (passes, batch) in DATA.items()}
        file.about({"seeds": seeds, "data": data})
        for name in ("digits",) if args.quick else DATA:
            accuracy(file, name, seeds)
            show_accuracy(name, file.get(("accuracy", name)))
            drops(file, name)
            show_drops(name, file.get(("drops", name)))


if __name__ == "__main__":
    main()
