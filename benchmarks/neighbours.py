"""Hosted learners on sparse graphs: time and memory of a step by the number of agents, and what is learnt.

    python benchmarks/neighbours.py speed [--agents 8 128 1024 4096 10000] [--rounds 3] [--out FILE]
    python benchmarks/neighbours.py accuracy [--agents 8 32 128 512 2048] [--seeds 3] [--steps 300] [--out FILE]

One world, or one a seed, of classroom-v0 on digits, whose agents sit on a ring (2 neighbours), on a random regular
graph (4), or, up to 128, all in one room. Learners are 64-64-64-10 with Adam at 0.003 and make one update a step on 16
rows; all weigh all their neighbours alike.

*speed*: a slice for all, labelled, and an exam of 64 in every step. Each case is a process of its own on one thread;
cases take turns, round after round. Times are the processor's. Memory is the process's peak, with all that Python and
torch take.

*accuracy*: everyone has slices of its own, of few classes (a Dirichlet share, .1), with their labels, and talks about
public ones. Exam accuracy of all after so many steps, beside the same worlds "mute"; intervals are 95 %, Student's t
over seeds.

``--out`` adds what was found to a file, in this repository `docs/results/neighbours.json`; let nothing else run then.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from record import File

from studyhall import make_world
from studyhall.envs.engine import TensorDict
from studyhall.envs.engine.world import World
from studyhall.rollouts import interval

GRAPHS: dict[str, dict[str, Any]] = {
    "ring": {"topology": "ring"},
    "k_regular": {"topology": "k_regular", "degree": 4},
    "complete": {"topology": "complete"},
}
LARGEST = {"complete": 128}
"""Agents at most: everybody hears everybody there, so memory and time grow with the square of their number."""
LEARNERS = {"learners": "mlp", "hidden": (64, 64), "dropout": 0.0, "lr": 3e-3, "slice_size": 16}
SPEED = {**LEARNERS, "horizon": 1_000_000, "teacher_budget": None}
ACCURACY = {**LEARNERS, "teacher_budget": None, "share": "dirichlet", "alpha": 0.1}
SECONDS = 2.0
"""Of a measurement, at least."""


def graphs(agents: int) -> list[str]:
    """Those that so many agents are measured on."""
    return [graph for graph in GRAPHS if agents <= LARGEST.get(graph, agents)]


def listening(world: World, weight: float) -> TensorDict:
    """Everyone asks, and gives each neighbour a weight."""
    shape = world.num_worlds, world.num_agents
    sources = (world.action_space["listen"].shape or ())[0]
    return {
        "listen": torch.full((*shape, sources), weight / sources),
        "ask": torch.ones(shape, dtype=torch.int64),
    }


def step_of(graph: str, agents: int) -> dict[str, float]:
    """Seconds of a step, and the peak of memory in MiB before there was a world and after."""
    torch.set_num_threads(1)
    before = _peak()
    world = make_world("classroom-v0", agents=agents, **GRAPHS[graph], **SPEED)
    world.reset(seed=0)
    actions = listening(world, 0.5)
    for _ in range(3):
        world.step(actions)
    begun, turns = time.process_time(), 0
    while (took := time.process_time() - begun) < SECONDS or turns < 3:
        world.step(actions)
        turns += 1
    return {"seconds": took / turns, "without_mib": before, "peak_mib": _peak()}


def _peak() -> float:
    """The most memory that this process has held, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def speed(options: argparse.Namespace) -> None:
    """Time and memory of a step of every case."""
    file = File(options.out, "neighbours")
    cases = [(graph, agents) for agents in options.agents for graph in graphs(agents)]
    found: dict[tuple[str, int], list[dict[str, float]]] = {case: [] for case in cases}
    for _ in range(options.rounds):
        for graph, agents in cases:
            command = [sys.executable, __file__, "step", "--graph", graph, "--agents", str(agents)]
            said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found[graph, agents].append(json.loads(said))
    for (graph, agents), rounds in found.items():
        seconds = [one["seconds"] for one in rounds]
        row = {
            "step_ms": 1e3 * statistics.median(seconds),
            "agent_us": 1e6 * statistics.median(seconds) / agents,
            "agent_us_min": 1e6 * min(seconds) / agents,
            "agent_us_max": 1e6 * max(seconds) / agents,
            "agent_steps_per_second": agents / statistics.median(seconds),
            "peak_mib": max(one["peak_mib"] for one in rounds),
            "without_mib": min(one["without_mib"] for one in rounds),
        }
        print(
            f"{graph:<10}{agents:>7,}{row['step_ms']:>12,.1f} ms{row['agent_us']:>9,.0f} µs an agent"
            f"{row['peak_mib']:>9,.0f} MiB",
            flush=True,
        )
        if options.out:
            entry = {"settings": SPEED | GRAPHS[graph], "rounds": options.rounds, **row}
            file.add(["speed", graph, str(agents)], entry, seeds=[0])


def accuracy(options: argparse.Namespace) -> None:
    """What is learnt on every graph."""
    file = File(options.out, "neighbours")
    torch.set_num_threads(1)
    for agents in options.agents:
        for graph in graphs(agents):
            arguments = GRAPHS[graph]
            ends: dict[str, list[float]] = {}
            for mode in ("open", "mute"):
                world = make_world(
                    "classroom-v0",
                    num_worlds=options.seeds,
                    agents=agents,
                    horizon=options.steps,
                    exam_every=max(1, options.steps // 10),
                    mode=mode,
                    autoreset=False,
                    **arguments,
                    **ACCURACY,
                )
                world.reset(seed=0, options={"domain": "eval"})
                actions = listening(world, 0.5)
                for _ in range(options.steps):
                    world.step(actions)
                ends[mode] = world.metrics()["exam_accuracy"].mean(-1).tolist()
            gains = [heard - alone for heard, alone in zip(ends["open"], ends["mute"], strict=True)]
            row = {name: interval(values) for name, values in {**ends, "gain": gains}.items()}
            print(f"{graph:<10}{agents:>7,}  " + "  ".join(f"{k} {v.mean:.3f}" for k, v in row.items()))
            if options.out:
                settings = ACCURACY | arguments | {"steps": options.steps}
                entry = {"settings": settings, **{k: v._asdict() for k, v in row.items()}}
                file.add(["accuracy", graph, str(agents)], entry, seeds=range(options.seeds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    of_speed, of_accuracy = commands.add_parser("speed"), commands.add_parser("accuracy")
    of_speed.add_argument("--agents", type=int, nargs="+", default=[8, 128, 1024, 4096, 10_000])
    of_speed.add_argument("--rounds", type=int, default=3)
    of_accuracy.add_argument("--agents", type=int, nargs="+", default=[8, 32, 128, 512, 2048])
    of_accuracy.add_argument("--seeds", type=int, default=3)
    of_accuracy.add_argument("--steps", type=int, default=300)
    for one in (of_speed, of_accuracy):
        one.add_argument("--out", type=Path, help="a JSON file to add to")
    of_step = commands.add_parser("step")
    of_step.add_argument("--graph", choices=GRAPHS, required=True)
    of_step.add_argument("--agents", type=int, required=True)
    options = parser.parse_args()
    if options.command == "step":
        print(json.dumps(step_of(options.graph, options.agents)))
    else:
        {"speed": speed, "accuracy": accuracy}[options.command](options)


if __name__ == "__main__":
    main()
