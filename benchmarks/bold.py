"""Does a gate that was learned do as well as simple rules where one expert is bold?

`masc-digits-bold`: five experts of two digits each, who have learnt to know their own by their energy; one claims every
row with all its weight and its lowest energy. A figure is the accuracy of the honest learners on the test split. A gate
that PPO trained (`studyhall train masc-digits-bold --set actions=gated …`) comes as several training seeds: each is a
row, and `ppo gated` their mean, world by world. Beside rules as they are stand those with the settings that
`society_tuning.py` found on training worlds ("tuned"); Krum and the trimmed mean are told how many lie.

    python benchmarks/bold.py [--ppo ZIP …] [--settings NAME …] [--policies NAME …] [--seeds 0-19] [--out FILE]
"""

import argparse
import json
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import stable_baselines3
import torch
from pages.cells import known
from rich.console import Console
from rich.progress import track
from rich.table import Table
from society import honest_accuracy, policy_of

import studyhall
from studyhall.policies.files import read
from studyhall.policies.listening.learned import FORMAT
from studyhall.rollouts import interval
from studyhall.rollouts.settings import parse_seeds

SCENARIO = "masc-digits-bold"
RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
TUNED = RESULTS / "bold_tuning.json"

SETTINGS = {
    "one bold": ("bold", {}, None),
    "one bold, after 100 steps": ("bold", {}, 100),
    "nobody bold": ("none", {}, None),
    "one sharp (unseen)": ("sharp", {}, None),
    "two bold of eight": ("bold", {"agents": 8, "liars": 2}, None),
    "one bold, energies as they come": ("bold", {"detect": 0.0}, None),
    "one bold, nobody heard": ("bold", {"mode": "mute"}, None),
}
"""The kind of liar, what else differs from the scenario, and after how many steps is measured (None: the end)."""

RULES = (
    "lowest_energy",
    "lowest_energy tuned",
    "mean",
    "mean tuned",
    "most_confident_sample",
    "most_confident_sample tuned",
    "reputation_self",
    "reputation_self tuned",
    "reputation_class tuned",
    "dawid_skene tuned",
    "one_coin tuned",
    "composite",
    "median",
    "trimmed_mean",
    "krum",
    "oracle_expert",
    "listen_nobody",
)


def values_of(name: str, setting: str, seeds: tuple[int, ...]) -> list[float]:
    """Accuracy of the honest, one value a world."""
    kind, changes, steps = SETTINGS[setting]
    policy = policy_of(name, changes.get("liars", 1), TUNED)
    return honest_accuracy(policy, kind, changes, seeds, "eval", SCENARIO, steps)


def measured(policies: dict[str, list[str]], setting: str, seeds: tuple[int, ...]) -> dict:
    """Every policy: its values, their mean and its interval over worlds."""
    found = {}
    for label, names in track(policies.items(), description=setting):
        runs = [values_of(name, setting, seeds) for name in names]
        each = {f"{label} ({Path(name).stem})": run for name, run in zip(names, runs, strict=True)}
        mean = [sum(values) / len(values) for values in zip(*runs, strict=True)]
        for row, values in ((each if len(names) > 1 else {}) | {label: mean}).items():
            found[row] = {"mean": interval(values)._asdict(), "values": values}
    return found


def written(options: argparse.Namespace, kept: dict, found: dict) -> dict:
    """What the JSON holds."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=RESULTS, capture_output=True, text=True, check=False
    )
    versions = {
        "studyhall": studyhall.__version__,
        "torch": torch.__version__,
        "stable_baselines3": stable_baselines3.__version__,
        "python": platform.python_version(),
    }
    trainings = [read(path, FORMAT)[0]["command"] for path in options.ppo] or kept.get("trainings", [])
    return {
        "commands": [*kept.get("commands", []), shlex.join(["python", "benchmarks/bold.py", *sys.argv[1:]])],
        "commit": commit.stdout.strip() or None,
        "versions": versions,
        "scenario": SCENARIO,
        "trainings": trainings,
        "seeds": options.seeds,
        "settings": found,
    }


def table(found: dict) -> Table:
    """One row a policy, one column a setting."""
    shown = Table(title="test accuracy of the honest, %", title_justify="left")
    for column in ("policy", *found):
        shown.add_column(column, justify="left" if column == "policy" else "right")
    for name in {name: None for entry in found.values() for name in entry}:
        cells = (known(entry[name]["mean"], 1) if name in entry else "–" for entry in found.values())
        shown.add_row(name, *cells)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ppo", nargs="+", metavar="ZIP", default=[], help="trained gates, one a seed")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--policies", nargs="*", choices=RULES, default=RULES)
    parser.add_argument("--seeds", default="0-19")
    parser.add_argument("--out", type=Path, help="JSON; what it holds already of the same seeds is kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    policies = ({"ppo gated": options.ppo} if options.ppo else {}) | {
        name: [name] for name in options.policies
    }
    kept = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    found = kept.get("settings", {}) if kept.get("seeds") == options.seeds else {}
    for setting in options.settings:
        new = measured(policies, setting, parse_seeds(options.seeds))
        found[setting] = found.get(setting, {}) | new
        if options.out:
            options.out.write_text(json.dumps(written(options, kept, found), indent=1) + "\n")
    Console(width=180).print(table(found))


if __name__ == "__main__":
    main()
