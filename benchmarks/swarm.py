"""Particle swarms: yardsticks, speed beside pyswarms, the hybrid, and coefficients learned by RL.

    python benchmarks/swarm.py [--parts yardsticks speed hybrid network learned] [--quick] [--out FILE]

Everything runs on one thread. ``yardsticks`` and ``speed`` put `pyswarms` beside ours in the same run and are skipped
for it where it is not installed (`pip install -r benchmarks/requirements.txt`). ``hybrid`` and ``network`` compare at
equal evaluations as the world counts them, a gradient as three (`swarm_hybrid.py`). ``learned`` trains PPO on four
functions, several times, and flies it on these and on two it never saw, on worlds of the evaluation domain, beside
fixed coefficients: the documented ones, pyswarms' and the best of a grid on selection worlds. The JSON keeps the parts
that a run leaves out.
"""

import argparse
import contextlib
import io
import itertools
import logging
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from pages.cells import known
from record import Choice, File, machine
from rich.console import Console
from rich.table import Table
from swarm_hybrid import RANGES, hybrid, network, spread
from trainings import compared

from studyhall import make_sb3, make_world
from studyhall.envs.bridges.flat import FlatActions
from studyhall.envs.swarm.objectives import FUNCTIONS
from studyhall.policies.swarm import PSO, Swarm

try:
    import pyswarms
except ImportError:
    pyswarms = None

DOCUMENTED = (0.7, 1.5, 1.5)
YARDSTICK = (0.9, 0.5, 0.3)  # pyswarms' options of the yardsticks: w, c₁, c₂
NUMPY = {
    "sphere": lambda z: (z**2).sum(1),
    "rastrigin": lambda z: 10 * z.shape[1] + (z**2 - 10 * np.cos(2 * np.pi * z)).sum(1),
    "ackley": lambda z: (
        20 + np.e - 20 * np.exp(-0.2 * np.sqrt((z**2).mean(1))) - np.exp(np.cos(2 * np.pi * z).mean(1))
    ),
}


# ---- yardsticks -------------------------------------------------------------------------------------


def theirs(name, particles, dimensions, start, iterations, *, loud=False):
    """One run of pyswarms: its best value."""
    w, c1, c2 = YARDSTICK
    optimiser = pyswarms.single.GlobalBestPSO(
        particles, dimensions, options={"w": w, "c1": c1, "c2": c2}, init_pos=start
    )
    return optimiser.optimize(NUMPY[name], iters=iterations, verbose=loud)[0]


def yardsticks(file, quick):
    """1,000 iterations; where a swarm starts matters, so both: in [0, 1]^D as pyswarms does unasked, and in the box."""
    swarms, runs, iterations = (20, 3, 100) if quick else (100, 20, 1000)
    cases = (
        ("sphere", 10, 2),
        ("rastrigin", 10, 2),
        ("sphere", 40, 30),
        ("ackley", 40, 30),
    )
    for name, particles, dimensions in cases:
        formula, radius = FUNCTIONS[name].formula, FUNCTIONS[name].radius
        case = f"{name}-{dimensions}D"
        shape = (swarms, particles, dimensions)
        generator = torch.Generator().manual_seed(0)
        for start in ("unit", "box"):
            begun = torch.rand(shape, generator=generator, dtype=torch.float64)
            begun = begun if start == "unit" else radius * (2 * begun - 1)
            velocity = torch.rand(shape, generator=generator, dtype=torch.float64)  # as pyswarms has it
            for label, (w, c1, c2) in (("ours", YARDSTICK), ("ours, w .7 c 1.5 1.5", DOCUMENTED)):
                swarm = Swarm(
                    formula,
                    dimensions,
                    particles=particles,
                    swarms=swarms,
                    start=begun,
                    inertia=w,
                    cognitive=c1,
                    social=c2,
                )
                swarm.velocity = velocity
                row = spread(swarm.run(iterations).tolist())
                file.add(("yardsticks", case, f"{label} ({start})"), row, seeds=range(swarms))
            if pyswarms:
                values = []
                for seed in range(runs):
                    np.random.seed(seed)  # pyswarms knows no other generator
                    box = np.random.uniform(-radius, radius, (particles, dimensions))
                    values.append(
                        theirs(name, particles, dimensions, box if start == "box" else None, iterations)
                    )
                file.add(("yardsticks", case, f"pyswarms ({start})"), spread(values), seeds=range(runs))


# ---- speed ------------------------------------------------------------------------------------------


def speed(file, quick):
    """Swarm-iterations per second of processor time on the sphere; contenders take turns, ratios are of a round."""
    rounds, seconds = (2, 0.05) if quick else (15, 0.3)
    file.about({"machine": {"cpu": machine()}})
    for particles, dimensions in ((10, 2), (40, 30)):
        contenders = {}
        for label, swarms, dtype in (
            ("one swarm", 1, torch.float64),
            ("256 swarms", 256, torch.float64),
            ("256 swarms, float32", 256, torch.float32),
        ):
            swarm = Swarm(
                FUNCTIONS["sphere"].formula,
                dimensions,
                particles=particles,
                swarms=swarms,
                dtype=dtype,
                inertia=0.9,
                cognitive=0.5,
                social=0.3,
            )
            contenders[label] = (swarm.run, swarms)
        contenders["world, 256 swarms"] = (flights(particles, dimensions, 256), 256)
        if pyswarms:
            for label, loud in (("pyswarms", False), ("pyswarms, progress bar (its default)", True)):

                def run(iterations, loud=loud, particles=particles, dimensions=dimensions):
                    with contextlib.redirect_stderr(io.StringIO()):
                        theirs("sphere", particles, dimensions, None, iterations, loud=loud)

                contenders[label] = (run, 1)
        turns, speeds = {}, {label: [] for label in contenders}
        for label, (run, _) in contenders.items():
            run(50)
            begin = time.process_time()
            run(50)
            turns[label] = max(1, round(50 * seconds / (time.process_time() - begin)))
        for _ in range(rounds):
            for label, (run, swarms) in contenders.items():
                begin = time.process_time()
                run(turns[label])
                speeds[label].append(turns[label] * swarms / (time.process_time() - begin))
        for label, values in speeds.items():
            row = {
                "per_second": spread(values),
                "times_pyswarms": {
                    base: statistics.median(a / b for a, b in zip(values, speeds[base], strict=True))
                    for base in speeds
                    if base.startswith("pyswarms")
                },
            }
            file.add(("speed", f"{particles} x {dimensions}-D", label), row, seeds=[0])


def flights(particles, dimensions, swarms):
    """What runs so many steps of a world."""
    world = make_world(
        "swarm-v0", num_worlds=swarms, agents=particles, dimensions=dimensions, actions="coefficients"
    )
    policy = PSO(*YARDSTICK)
    policy.bind(world)
    world.reset(seed=0)

    def run(steps):
        for _ in range(steps):
            world.step(policy.act({}))

    return run


# ---- learned coefficients ---------------------------------------------------------------------------

SETTING = {
    "agents": 10,
    "dimensions": 10,
    "horizon": 100,
    "actions": "coefficients",
    "shifted": True,
    "rotated": True,
}
SEEN = ("sphere", "rosenbrock", "rastrigin", "griewank")
UNSEEN = ("ackley", "schwefel")
TRAININGS = (1000, 2000, 3000, 4000, 5000)
"""Seeds, further apart than a training has worlds."""
SELECTION = 32
"""Worlds on which snapshots are chosen, and constants."""
TIMESTEPS = 4_000_000
GRID = list(itertools.product((0.4, 0.6, 0.7, 0.8, 0.9), (0.5, 1.0, 1.5, 2.5), (0.5, 1.0, 1.5, 2.0)))
"""As many as a training has snapshots to choose from, or more."""


def decades(policy, function, count, domain, **changed):
    """Decades won in an episode, one value a world."""
    world = make_world(
        "swarm-v0", num_worlds=count, autoreset=False, objective=function, **{**SETTING, **changed}
    )
    act = policy(world)
    first = (RANGES.report if domain == "eval" else RANGES.choose).start
    obs = world.reset(seed=first, options={"domain": domain})
    while not world.ended.all():
        obs = world.step(act(obs)).obs
    return world.metrics()["return"][:, 0].tolist()


def fixed(*coefficients):
    """The rule with constant coefficients."""

    def of(world):
        policy = PSO(*coefficients)
        policy.bind(world)
        return policy.act

    return of


def flown_by(model):
    """The mean action of a model of SB3."""

    def of(world):
        flat = FlatActions(world.action_space)

        def act(obs):
            seen = {key: value.flatten(0, 1).numpy() for key, value in obs.items()}
            actions, _ = model.predict(seen, deterministic=True)
            return flat.split(torch.from_numpy(actions).unflatten(0, (world.num_worlds, world.num_agents)))

        return act

    return of


def trained(timesteps, seed):
    """PPO on the functions of :data:`SEEN`; kept is what did best on other training worlds on the way."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback

    class Keep(BaseCallback):
        best, weights, rollouts = -np.inf, None, 0

        def _on_step(self):
            return True

        def _on_rollout_end(self):
            self.rollouts += 1
            if self.rollouts % 5 == 0:
                mean = np.mean([decades(flown_by(self.model), f, SELECTION, "train") for f in SEEN])
                if mean > self.best:
                    self.best = mean
                    self.weights = {k: v.clone() for k, v in self.model.policy.state_dict().items()}

    env = make_sb3("swarm-v0", 32, seed=seed, objective=SEEN, **SETTING)
    model = PPO(
        "MultiInputPolicy",
        env,
        n_steps=100,
        batch_size=16_000,
        n_epochs=5,
        learning_rate=lambda left: 1e-3 * max(0.05, left),
        gamma=0.99,
        policy_kwargs={"net_arch": [32, 32], "log_std_init": -1.5},
        seed=seed,
        device="cpu",
    )
    keep = Keep()
    begin = time.process_time()
    model.learn(timesteps, callback=keep)
    if keep.weights is not None:
        model.policy.load_state_dict(keep.weights)
    return model, time.process_time() - begin


def learned(file, quick):
    """Decades won by learned and by fixed coefficients, and the gain over each, paired world by world."""
    worlds, timesteps, grid = (8, 40_000, GRID[::20]) if quick else (200, TIMESTEPS, GRID)
    seeds = range(RANGES.report.start, RANGES.report.start + worlds)
    file.only(("learned", "functions"), seeds)
    models, seconds = zip(*(trained(timesteps, seed) for seed in TRAININGS), strict=True)
    scores = {c: np.mean([decades(fixed(*c), f, SELECTION, "train") for f in SEEN]) for c in grid}
    tuned = max(scores, key=scores.get)
    rivals = {
        "documented (.7 1.5 1.5)": fixed(*DOCUMENTED),
        "pyswarms (.9 .5 .3)": fixed(*YARDSTICK),
        f"best of a grid {tuned}": fixed(*tuned),
    }
    about = {"setting": SETTING, "timesteps": timesteps, "training_seeds": TRAININGS}
    file.about(about | {"training_cpu_seconds": [round(each) for each in seconds]}, ("learned",))
    on = RANGES.choose.start, RANGES.choose.start + SELECTION
    where = ("training domain", range(*on), f"decades won, mean over worlds and {', '.join(SEEN)}")
    choices = (
        Choice(tuned, grid, *where),
        Choice("a snapshot of each training", "one after every fifth rollout", *where),
    )
    cases = {f: (f, {}) for f in SEEN + UNSEEN}
    cases |= {f"{f}, 30-D, 20 particles": (f, {"dimensions": 30, "agents": 20}) for f in ("sphere", "ackley")}
    for label, (function, changed) in cases.items():

        def won(policy, function=function, changed=changed):
            return np.array(decades(policy, function, worlds, "eval", **changed))

        ours = np.stack([won(flown_by(model)) for model in models])  # [trainings, worlds]
        theirs = {name: won(policy) for name, policy in rivals.items()}
        row = {"seen": function in SEEN, **compared(ours, theirs)}
        file.add(("learned", "functions", label), row, seeds=seeds, chosen=choices)


# ---- report -----------------------------------------------------------------------------------------


def tables(name, part):
    """A part as tables."""
    table = Table(title=name, title_justify="left")
    if name == "yardsticks":
        columns = list(
            dict.fromkeys(key for entry in part.values() for key, at in entry.items() if "median" in at)
        )
        for column in ("median of", *columns):
            table.add_column(column)
        for case, entry in part.items():
            cells = [f"{entry[c]['median']:.2g}" for c in columns]
            table.add_row(case, *cells)
    elif name == "speed":
        for column in ("case", "", "swarm-iterations/s", "times pyswarms", "… with its progress bar"):
            table.add_column(column)
        for case, entries in part.items():
            for label, entry in entries.items():
                times = [f"{value:.1f}" for value in entry["times_pyswarms"].values()]
                table.add_row(case, label, f"{entry['per_second']['median']:,.0f}", *times)
    elif name == "learned":
        rivals = list(next(iter(part["functions"].values()))["gain_over"])
        for column in ("decades won on", "learned", *(f"gain over {rival}" for rival in rivals)):
            table.add_column(column)
        for case, entry in part["functions"].items():
            cells = [entry["learned"], *(entry["gain_over"][rival] for rival in rivals)]
            label = case if entry["seen"] else f"{case} (unseen)"
            table.add_row(label, *(known(cell, 2, 1) for cell in cells))
    else:
        first, second = ("error", "log_error") if name == "hybrid" else ("loss", "test_accuracy")
        title = f"{part['evaluations']:,} evaluations"
        for column in (title, f"{first}: median", "quartiles", f"{second}: mean", "steps"):
            table.add_column(column)
        for label, entry in part["policies"].items():
            low, high = entry[first]["quartiles"]
            mean = known(entry[second], 3, 1)
            table.add_row(
                label, f"{entry[first]['median']:.3g}", f"{low:.2g}…{high:.2g}", mean, str(entry["steps"])
            )
    return table


PARTS = {
    "yardsticks": yardsticks,
    "speed": speed,
    "hybrid": hybrid,
    "network": network,
    "learned": learned,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="few short runs: to see that it works")
    parser.add_argument("--out", type=Path, help="JSON; what it holds of other parts is kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)  # pyswarms' own
    console = Console(width=150)
    if pyswarms is None:
        console.print("pyswarms is not installed: its columns are left out")
    file = File(options.out, "swarm")
    file.about({"quick": options.quick})
    for name in options.parts:
        PARTS[name](file, options.quick)
        console.print(tables(name, file.get((name,))))


if __name__ == "__main__":
    main()
