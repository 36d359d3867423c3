"""K-1's hierarchy beside its rivals: what operations on a tree of experts do, and whether resting protects.

    python benchmarks/k1_hierarchy.py structure | arms | share [--seeds 0-2] [--arms NAME …] [--plot PICTURE]
    python benchmarks/k1_hierarchy.py trained --learnt NAME=FILE … [--seeds 0-2]

`structure` runs scenario `k1-structure` and counts which operations are tried, kept and undone. `arms` and `share` run
`k1-structure-continual`: prose, then code, then science, no replay; every arm of a seed meets the same slices and, but
for flat mixtures, begins with the same parameters. In `arms` the documented policy, the same without some operations,
and its rivals; in `share` arms that differ in who learns alone, and so in how much of what is learnt falls on agents
who have learnt an earlier domain. `trained` are policies from `studyhall train k1-structure-train --algo es`, whose
worlds are of other seeds. The seeds that the file lacks are worlds of one batch.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from k1 import Arm
from k1_hierarchy_picture import drawn
from ranges import Ranges
from record import RESULTS, File
from rich.console import Console
from rich.progress import Progress

from studyhall import make_world
from studyhall.envs.language import Hierarchy
from studyhall.policies import make_policy
from studyhall.scenarios import get_scenario

RANGES = Ranges(report=range(5))
FLAT = {"max_children": 50}
"""All experts are the root's children."""

LEFT_OUT = {
    "retire": ["retire"],
    "merge": ["merge"],
    "grow": ["grow"],
    "reorganise": ["move", "split", "dissolve"],
    "roll back": ["roll_back"],
}

ARMS = {
    "K-1": Arm("k1_hierarchy"),
    **{f"K-1 without {name}": Arm("k1_hierarchy", {"without": ops}) for name, ops in LEFT_OUT.items()},
    "K-1 without trust": Arm("k1_hierarchy", {"trust": False}),
    "flat, 15 experts": Arm("flat_mixture", env={**FLAT, "agents": 16}),
    "flat, 23 experts": Arm("flat_mixture", env=FLAT),
    "random operations": Arm("random_operations"),
}
"""The documented policy, and what it is held against."""

SHARES = {
    "dense": Arm("fixed_tree"),
    "trunk alone": Arm("trunk_alone"),
    **{f"random {k}": Arm("random_agents", env={"k": k}) for k in (1, 2, 5, 10)},
    "least used 5": Arm("least_used"),
    **{f"{old} of 5 earlier": Arm("newcomers", {"earlier": old}) for old in range(6)},
    **{
        f"{old} of 5 earlier, trunk rests": Arm("newcomers", {"earlier": old, "trunk": False})
        for old in range(6)
    },
}
"""Who learns of a tree that stays as it is; "5 of 5 earlier" go on with the agents who learnt the first domain."""

CONTINUAL = "k1-structure-continual"
PARTS = {
    "structure": ("k1-structure", {"K-1": ARMS["K-1"]}),
    "arms": (CONTINUAL, ARMS),
    "share": (CONTINUAL, SHARES),
    "trained": (CONTINUAL, {}),
}


def number(value: float) -> float | None:
    """To 1/10,000; None where it is not finite."""
    return round(value, 4) if math.isfinite(value) else None


def followed(scenario: str, arm: Arm, seeds: Sequence[int], title: str) -> list[dict[str, Any]]:
    """Run an arm to its end in a world for each seed: curves, and figures.

    A row of a curve is read after each exam: its step, nats by domain, and figures of the world's page.
    """
    policy = make_policy(arm.policy, **arm.kwargs)
    given = {**get_scenario(scenario).env_kwargs, **policy.world_kwargs, **arm.env}
    world = make_world("hierarchy-v0", num_worlds=len(seeds), autoreset=False, **given)
    assert isinstance(world, Hierarchy)
    policy.bind(world)
    obs = world.reset(seed=list(seeds), options={"domain": "eval"})
    policy.reset()
    domains = world.dataset.classes
    read = [*(f"nats/{domain}" for domain in domains), "alive", "updated", "updates_on_earlier"]
    rows: list[list[list[float | None]]] = [[] for _ in seeds]

    def row() -> None:
        found = world.metrics() | world.breakdown()
        for w, own in enumerate(rows):
            own.append([float(world.clock[w]), *(number(float(found[name][w])) for name in read)])

    row()
    with Progress(transient=True, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=world.horizon)
        while not world.ended.all():
            obs = world.step(policy.act(obs)).obs
            if world.calendar.examined(world.clock).any():
                row()
            bar.update(task, advance=1)
    figures = {**world.metrics(), **world.breakdown(), **world.tests()}
    scores = world.privileged()["scores"]
    return [
        {
            "columns": ["step", *domains, *read[len(domains) :]],
            "curve": own,
            "tasks": [domains[number] for number in world.tasks],
            "scores": [[number(value) for value in line] for line in scores[w].tolist()],
            "figures": {name: number(float(value[w])) for name, value in figures.items() if value.dim() == 1},
        }
        for w, own in enumerate(rows)
    ]


def run(part: str, options: argparse.Namespace, arms: Mapping[str, Arm]) -> None:
    """Run arms of a part with the seeds that the file lacks, and say what came of them."""
    file = File(options.out, "k1_hierarchy")
    for name, arm in arms.items():
        missing = [seed for seed in options.seeds if not file.get((part, name, str(seed)))]
        if not missing:
            continue
        entries = followed(PARTS[part][0], arm, missing, f"{part}, {name}")
        for seed, entry in zip(missing, entries, strict=True):
            file.add((part, name, str(seed)), entry, seeds=[seed])
            figures = entry["figures"]
            told = {k: v for k, v in figures.items() if k.startswith("nats/") or k == "updates_on_earlier"}
            print(part, name, seed, told, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=sorted(PARTS))
    parser.add_argument("--seeds", type=RANGES.seeds("report"), default="0-2")
    parser.add_argument("--arms", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--learnt", nargs="+", default=[], metavar="NAME=FILE", help="trained policies")
    parser.add_argument(
        "--out", type=Path, default=RESULTS / "k1_hierarchy.json", help="JSON; what it holds is kept"
    )
    parser.add_argument(
        "--plot", type=Path, help="where to draw forgetting over shares, of all that the file holds"
    )
    options = parser.parse_args()
    given = (text.partition("=") for text in options.learnt)
    arms = PARTS[options.what][1] | {name: Arm(path) for name, _, path in given}
    if unknown := set(options.arms or arms) - set(arms):
        parser.error(f"{options.what} has no arm {sorted(unknown)}: it has {', '.join(arms)}")
    run(options.what, options, {name: arms[name] for name in options.arms or arms})
    if options.plot:
        drawn(File(options.out, "k1_hierarchy").read(), options.plot)


if __name__ == "__main__":
    main()
