"""Worlds that host their learners: learner-updates per second beside a plain loop, and the cost of the SB3 bridge.

    python benchmarks/hosted.py [--rounds 7] [--quick] [--json] [--out FILE]

*Training.* society-v0 on digits, one seed a world: 8 learners 64-64-64-10 without dropout, Adam at 0.003, T = 1.
In a step every learner makes one update on 32 rows: cross-entropy on 16 labelled rows of its own and imitation,
weighed at random, of the seven others on the 16 public rows of the slice before. Then it publishes on 16 new public
rows and is scored on an exam of 64. One update a learner and step, so updates and agent-steps are the same number.

- The world, W = 1 … 256, does all of this for W·8 learners, with random actions that lie ready: draws the slices,
  mixes the messages, learns, carries what is published (a liar or two may be among them), marks the exam, keeps
  report cards and metrics, and makes observations (features of every source, which the loop does not have).
- The loop does it for the 8 learners of one world: a module and a ``torch.optim.Adam`` each, once with the
  optimiser's default settings and once with ``fused=True``. In its favour, 64 steps' slices (those of world 0, over
  and over) lie ready in memory and joined, nobody lies, publishing and the exam are one forward pass, the score of
  all is computed at once, and there is neither bookkeeping nor an observation.

Before anything is timed both make the same 20 steps from the same weights: the largest difference of their learners'
beliefs is reported. Everything takes turns, round after round, in one process, on one thread and on two; a ratio is
taken within a round, always to the loop on one thread: its operations are too small for a second one. On two cores,
two loops in two processes would do up to twice what one does. Two threads need two idle cores: where other work
takes one of them, everything on two threads is many times slower than on one.

*Where a step goes*: the share of its parts at W = 64, one thread, from clocks around the methods. "rest" is drawing
slices, mixing messages, rewards, metrics and the state.

*Bridge.* The same world through ``make_sb3``, beside the engine alone and beside SuperSuit's route
(``pettingzoo_env_to_vec_env_v1`` and ``concat_vec_envs_v1`` over ``make_env``, all in this process), with the same
random actions; one thread. SuperSuit is in ``benchmarks/requirements.txt``; without it the rest is measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from record import File, machine
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from studyhall import make_env, make_sb3, make_world
from studyhall.rollouts.bench.counting import Clocks

try:
    import supersuit
except ImportError:
    supersuit = None

AGENTS, ROWS, EXAM, LR, SMOOTHING, REWARD_SCALE = 8, 16, 64, 3e-3, 0.2, 10.0
COURSE: dict[str, Any] = {
    "data": "digits",
    "agents": AGENTS,
    "slice_size": ROWS,
    "exam_size": EXAM,
    "exam_smoothing": SMOOTHING,
    "reward_scale": REWARD_SCALE,
    "horizon": 1_000_000,  # no episode ends while it is measured
}
LEARNERS: dict[str, Any] = {
    "learners": "mlp",
    "hidden": (64, 64),
    "dropout": 0.0,
    "lr": LR,
    "temperature": 1.0,
    "actions": "listen",
}
WORLDS, BRIDGED, THREADS = (1, 16, 64, 256), (1, 16, 64), (1, 2)
LABELS = {"loop": "loop, Adam", "loop_fused": "loop, fused"}
LABELS |= {f"worlds_{worlds}": f"W = {worlds}" for worlds in WORLDS}
PARTS = ("learn", "publish", "exam", "features", "rest")
LESSONS, CHECKED = 64, 20
"""Steps' worth of slices and actions that lie ready, and steps compared before anything is timed."""

Key = TypeVar("Key")


@dataclass(frozen=True)
class Contender:
    """A step, how many learner-updates it makes, and on how many threads."""

    step: Callable[[int], Any]
    updates: int
    threads: int = 1

    def run(self, steps: int) -> float:
        """Seconds of so many steps."""
        torch.set_num_threads(self.threads)
        begun = time.perf_counter()
        for turn in range(steps):
            self.step(turn)
        return time.perf_counter() - begun

    def steps_in(self, seconds: float) -> int:
        """How many steps take about so long; warms up."""
        self.run(3)
        steps, took = 1, self.run(1)
        while took < seconds / 8:
            steps *= 2
            took = self.run(steps)
        return max(1, round(steps * seconds / took))


def random_actions(worlds: int) -> Tensor:
    """Weights of the sources in [0, 1], ``[LESSONS, W, N, S]``."""
    return torch.rand(LESSONS, worlds, AGENTS, AGENTS - 1, generator=torch.Generator().manual_seed(worlds))


# ---- the plain loop -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lesson:
    """What a step of the loop needs, ready in memory."""

    seen: Tensor  # [N, 2B, D], one's own slice and the public one before
    labels: Tensor  # [N, B]
    shown: Tensor  # [B + E, D], the new public slice and the exam


def lessons(count: int) -> list[Lesson]:
    """Those of a world without learners, which deals the same slices under the same seed."""
    world = make_world("society-v0", **COURSE)
    nothing = {key: torch.zeros(1, AGENTS, *space.shape) for key, space in world.action_space.spaces.items()}
    exam = world.reset(seed=0)["exam"][0, 0].flatten(1)
    found = []
    for _ in range(count):
        obs = world.step(nothing).obs
        seen = torch.cat([obs["fb_slice"], obs["fb_public"]], dim=2)[0].flatten(2)
        shown = torch.cat([obs["public"][0, 0].flatten(1), exam])
        found.append(Lesson(seen, obs["fb_labels"][0], shown))
    return found


class Loop:
    """A module and an optimiser for each of one world's learners, one after the other."""

    def __init__(self, weights: list[list[Tensor]], first: Lesson, fused: bool | None = None) -> None:
        self.modules = [
            nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
            for _ in range(AGENTS)
        ]
        for module, own in zip(self.modules, weights, strict=True):
            for parameter, given in zip(module.parameters(), own, strict=True):
                parameter.data.copy_(given)
        self.optimisers = [torch.optim.Adam(m.parameters(), lr=LR, fused=fused) for m in self.modules]
        self.exam_labels = torch.randint(0, 10, (EXAM,))  # a world tells nobody its own
        self.score = torch.full((AGENTS,), 0.55)
        self.publish(first.seen[0, ROWS:])

    def publish(self, shown: Tensor) -> Tensor:
        """What the learners say of the public slice; returns their answers to whatever follows it."""
        with torch.no_grad():
            said = torch.stack([module(shown) for module in self.modules]).softmax(-1)
        self.said = said[:, :ROWS]
        return said[:, ROWS:]

    def step(self, lesson: Lesson, weights: Tensor) -> Tensor:
        """One step with weights ``[N, N]`` of (learner, source); returns the rewards ``[N]``."""
        strength = weights.sum(1).clamp(max=1.0)
        mixed = torch.einsum("ij,jbc->ibc", weights, self.said)
        targets = mixed / mixed.sum(-1, keepdim=True)
        for i, (module, optimiser) in enumerate(zip(self.modules, self.optimisers, strict=True)):
            logits = module(lesson.seen[i])
            imitation = F.kl_div(logits[ROWS:].log_softmax(1), targets[i], reduction="batchmean")
            loss = F.cross_entropy(logits[:ROWS], lesson.labels[i]) + strength[i] * imitation
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        answers = self.publish(lesson.shown)
        right = answers.gather(-1, self.exam_labels.expand(AGENTS, -1)[..., None]).squeeze(-1)
        score = (0.5 + right - 0.5 * answers.square().sum(-1)).mean(-1)
        self.accuracy = (answers.argmax(-1) == self.exam_labels).float().mean(-1)
        progress = SMOOTHING * (score - self.score)
        self.score = self.score + progress
        return REWARD_SCALE * progress


def by_learner(listen: Tensor) -> Tensor:
    """Weights ``[…, N, S]`` of sources, of which s of learner i is (i + 1 + s) mod N, as ``[…, N, N]``."""
    i = torch.arange(AGENTS)
    source = (i[:, None] + 1 + i[:-1]) % AGENTS
    square = torch.zeros(*listen.shape[:-1], AGENTS)
    return square.scatter(-1, source.expand(listen.shape), listen)


def first_weights() -> list[list[Tensor]]:
    """Weights of the 8 learners of world 0, before they have learnt anything."""
    world = make_world("society-v0", **COURSE, **LEARNERS)
    world.reset(seed=0)
    return [list(world.population.extract(0, i).parameters()) for i in range(AGENTS)]


def difference(ready: list[Lesson], weights: list[list[Tensor]]) -> float:
    """Largest difference of beliefs about the exam, after the same steps of a world and of the loop."""
    world = make_world("society-v0", **COURSE, **LEARNERS, liars=0)
    world.reset(seed=0)
    plain, actions = Loop(weights, ready[0]), random_actions(1)
    world.step(torch.zeros(1, AGENTS, AGENTS - 1))  # nothing has been published: nobody learns
    for turn in range(CHECKED):
        world.step(actions[turn])
        plain.step(ready[turn], by_learner(actions[turn, 0]))
    exam = ready[0].shown[ROWS:]
    return float((world.predict(exam)[0] - plain.publish(torch.cat([exam[:ROWS], exam]))).abs().max())


# ---- what is measured ---------------------------------------------------------------------------------


def take_turns(contenders: Mapping[Key, Contender], rounds: int, seconds: float) -> dict[Key, list[float]]:
    """Updates per second of each contender in each round."""
    speeds: dict[Key, list[float]] = {name: [] for name in contenders}
    counts = {name: contender.steps_in(seconds) for name, contender in contenders.items()}
    for _ in range(rounds):
        for name, contender in contenders.items():
            speeds[name].append(counts[name] * contender.updates / contender.run(counts[name]))
    return speeds


def engine(worlds: int, threads: int = 1) -> Contender:
    """The world as it is."""
    actions = random_actions(worlds)
    world = make_world("society-v0", num_worlds=worlds, **COURSE, **LEARNERS)
    world.reset(seed=0)
    return Contender(lambda turn: world.step(actions[turn % LESSONS]), worlds * AGENTS, threads)


def loop(ready: list[Lesson], weights: list[list[Tensor]], fused: bool | None, threads: int) -> Contender:
    """The plain loop."""
    course, actions = Loop(weights, ready[0], fused), by_learner(random_actions(1)[:, 0])

    def step(turn: int) -> None:
        course.step(ready[turn % LESSONS], actions[turn % LESSONS])

    return Contender(step, AGENTS, threads)


def sb3(worlds: int) -> Contender:
    """The world through our bridge."""
    env = make_sb3("society-v0", num_worlds=worlds, seed=0, **COURSE, **LEARNERS)
    env.reset()
    flat = (2 * random_actions(worlds) - 1).flatten(1, 2).numpy()
    return Contender(lambda turn: env.step(flat[turn % LESSONS]), worlds * AGENTS)


def super_suit(worlds: int) -> Contender:
    """As many worlds of one through SuperSuit."""
    agents = supersuit.pettingzoo_env_to_vec_env_v1(make_env("society-v0", **COURSE, **LEARNERS))
    env = supersuit.concat_vec_envs_v1(agents, num_vec_envs=worlds, base_class="stable_baselines3")
    env.reset()
    flat = random_actions(worlds).flatten(1, 2).numpy()
    return Contender(lambda turn: env.step(flat[turn % LESSONS]), worlds * AGENTS)


def throughput(
    ready: list[Lesson], weights: list[list[Tensor]], rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """Worlds and loops, on one thread and on two."""
    contenders: dict[tuple[str, int], Contender] = {}
    for threads in THREADS:
        contenders["loop", threads] = loop(ready, weights, None, threads)
        contenders["loop_fused", threads] = loop(ready, weights, True, threads)
        contenders |= {(f"worlds_{w}", threads): engine(w, threads) for w in WORLDS}
    speeds = take_turns(contenders, rounds, seconds)
    return [
        {
            "contender": name,
            "threads": threads,
            "updates_per_second": summary(speed),
            "ratio": {other: summary(ratios(speed, speeds[other, 1])) for other in ("loop", "loop_fused")},
        }
        for (name, threads), speed in speeds.items()
    ]


def bridge(worlds: int, rounds: int, seconds: float) -> dict[str, Any]:
    """The routes to Stable-Baselines3 for so many worlds, beside the engine."""
    contenders = {"engine": engine(worlds), "make_sb3": sb3(worlds)}
    if supersuit:
        contenders["supersuit"] = super_suit(worlds)
    speeds = take_turns(contenders, rounds, seconds)
    of_engine = {name: summary(ratios(s, speeds["engine"])) for name, s in speeds.items() if name != "engine"}
    result = {
        "worlds": worlds,
        "agent_steps_per_second": {name: summary(s) for name, s in speeds.items()},
        "of_the_engines_speed": of_engine,
    }
    if supersuit:
        result["make_sb3_over_supersuit"] = summary(ratios(speeds["make_sb3"], speeds["supersuit"]))
    return result


def shares(worlds: int, steps: int) -> dict[str, float]:
    """Milliseconds of a step by part, means over steps."""
    torch.set_num_threads(1)
    world = make_world("society-v0", num_worlds=worlds, **COURSE, **LEARNERS)
    world.reset(seed=0)
    actions, clocks = random_actions(worlds), Clocks()
    parts = (
        (world.host, "learn", "learn"),
        (world.host, "publications", "publish"),
        (world.channel, "on_air", "publish"),
        (world.channel, "route", "publish"),
        (world.host, "answers", "exam"),
        (world, "mark", "exam"),
        (world.host, "update_statistics", "features"),
        (world, "observe", "features"),
    )
    for turn in range(3):
        world.step(actions[turn])
    with clocks.running(*parts):
        for turn in range(steps):
            world.step(actions[turn % LESSONS])
    return {part: round(1000 * clocks.seconds[part] / steps, 3) for part in PARTS}


def ratios(ours: list[float], others: list[float]) -> list[float]:
    return [a / b for a, b in zip(ours, others, strict=True)]


def summary(values: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


# ---- what is shown ------------------------------------------------------------------------------------


def show(report: dict[str, Any]) -> None:
    console = Console()
    console.print(
        f"Beliefs of world and loop after {CHECKED} equal steps differ by "
        f"{report['steps']['difference']:.0e} at most."
    )
    header = ("threads", "", "updates/s", "x loop, Adam", "x loop, fused")
    table = Table(*header, title="Society of 8 learners a world, 64-64-64-10: learner-updates per second")
    for result in report["throughput"]:
        name, against = result["contender"], (times(ratio) for ratio in result["ratio"].values())
        table.add_row(
            str(result["threads"]), LABELS[name], per_second(result["updates_per_second"]), *against
        )
    console.print(table)

    parts = report["steps"]["share"]
    whole = sum(parts.values())
    title = f"Where a step of 64 worlds goes, one thread: {whole:.1f} ms"
    table = Table("part", "ms", "share", title=title)
    for part, milliseconds in parts.items():
        table.add_row(part, f"{milliseconds:.2f}", f"{milliseconds / whole:.0%}")
    console.print(table)

    header = ("worlds", "", "agent-steps/s", "of the engine's speed", "make_sb3 is faster by")
    table = Table(
        *header, title="To Stable-Baselines3 and back, one thread (every agent-step trains a learner)"
    )
    for result in report["bridge"]:
        for name, speed in result["agent_steps_per_second"].items():
            ratio = result["of_the_engines_speed"].get(name)
            faster = result["make_sb3_over_supersuit"] if name == "supersuit" else None
            cells = [times(found) if found else "" for found in (ratio, faster)]
            table.add_row(str(result["worlds"]), name, per_second(speed), *cells)
    console.print(table)


def per_second(found: dict[str, float]) -> str:
    return f"{found['median']:,.0f}"


def times(found: dict[str, float]) -> str:
    return f"{found['median']:.2f}x ({found['min']:.2f}-{found['max']:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns each contender takes")
    parser.add_argument("--quick", action="store_true", help="few short rounds: to see that it runs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--out", type=Path, help="JSON; rows it holds are kept")
    arguments = parser.parse_args()
    rounds, seconds = (2, 0.05) if arguments.quick else (arguments.rounds, 0.8)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    console = Console(stderr=True)
    if not supersuit:
        console.print("SuperSuit is left out; to measure it: pip install -r benchmarks/requirements.txt")
    ready, weights = lessons(LESSONS), first_weights()
    file = File(arguments.out, "hosted")
    about = {"course": COURSE | LEARNERS, "rounds": rounds, "machine": machine()}
    file.about(about | {"supersuit": version("supersuit") if supersuit else None})
    if not file.get(("steps",)):
        parts = {"difference": difference(ready, weights), "share": shares(64, 5 if arguments.quick else 40)}
        file.add(("steps",), parts, seeds=[0])
    for worlds in BRIDGED:
        if not file.find(("bridge",), worlds=worlds):
            file.append(("bridge",), bridge(worlds, rounds, seconds), seeds=[0])
    if not file.get(("throughput",)):
        for row in throughput(ready, weights, rounds, seconds):
            file.append(("throughput",), row, seeds=[0])
    if arguments.json:
        print(json.dumps(file.read(), indent=1))
    else:
        show(file.read())


if __name__ == "__main__":
    main()
