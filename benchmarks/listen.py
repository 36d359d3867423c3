"""The leaderboard of listen-v1: its entries, and the floors and ceilings that its scores lie between.

    python benchmarks/listen.py entries [--policies NAME …]
    python benchmarks/listen.py freeze [--policies NAME …] [--worlds 100]

`entries` measures every rule and every trained listener that comes with the package, a file each in
`docs/results/listen-v1/`; tasks that a file holds are not measured again, and scores are told anew. `freeze` measures
the floor's policy and the best actors known on all worlds of the suite, in `docs/results/listen-v1/frozen/`, and writes
the scale of each task to `scenarios/frozen/listen-v1.json`: its floor, and the highest mean as its ceiling. On fewer
worlds a scale is provisional. After `freeze` run `entries` again. `python benchmarks/readme.py` fills the page.
"""

import argparse
import json
from pathlib import Path

from record import RESULTS

from studyhall.envs.files import whole_file
from studyhall.policies.files import trained
from studyhall.policies.listening import RULES
from studyhall.rollouts.runs.evaluate import evaluate, read_entry
from studyhall.scenarios.suites import FROZEN, get_suite

SUITE = get_suite("listen-v1")
FOLDER = RESULTS / SUITE.name
ENTRIES = [rule.name for rule in RULES] + [
    name for name in trained() if name.startswith(("society", "listen"))
]
ACTORS = ["composite", "reputation_self", "most_confident_sample", "even_two", "even_trust", "society-gated"]
"""The best of a pilot on some task; oracles, which know the liars, set no scale."""


def measure(policies: list[str], folder: Path, worlds: int, jobs: int) -> dict[str, dict]:
    """The entry of each policy, in a folder; those on fewer worlds, or not of all tasks, are completed or replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for policy in policies:
        path = folder / f"{Path(policy).stem}.json"
        if path.exists() and len(read_entry(path)["seeds"]) < worlds:
            path.unlink()
        found[policy] = evaluate(policy, SUITE, worlds=worlds, out=path, jobs=jobs, progress=True).as_json()
        print(f"{policy}: {found[policy]['scores']['mean']['value']:.1f}", flush=True)
    return found


def freeze(policies: list[str], worlds: int, jobs: int) -> None:
    """Write the scale of each task."""
    entries = measure([SUITE.floor, *policies], FOLDER / "frozen", worlds, jobs)
    scales = {}
    for task in SUITE.tasks:
        means = {
            name: sum(found["accuracy"]) / len(found["accuracy"])
            for name, entry in entries.items()
            if "accuracy" in (found := entry["tasks"][task.name])
        }
        best = max(means, key=lambda name: means[name])
        floor, ceiling = (round(means[name], 3) for name in (SUITE.floor, best))
        told = {"floor": floor, "ceiling": ceiling, "by": best, "worlds": worlds}
        scales[task.name] = {**told, "provisional": worlds < len(SUITE.seeds)}
    with whole_file(FROZEN / f"{SUITE.name}.json") as file:
        file.write(json.dumps(scales, indent=1).encode() + b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["entries", "freeze"])
    parser.add_argument("--policies", nargs="+", metavar="NAME")
    parser.add_argument("--worlds", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if options.what == "freeze":
        freeze(options.policies or ACTORS, options.worlds or len(SUITE.seeds), options.jobs)
    else:
        measure(options.policies or ENTRIES, FOLDER, options.worlds or SUITE.worlds, options.jobs)


if __name__ == "__main__":
    main()
