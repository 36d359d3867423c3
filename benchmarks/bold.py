"""Does a gate that was learned do as well as simple rules where one expert is bold?

`masc-digits-bold`: five experts of two digits each, who have learnt to know their own by their energy; one claims every
row with all its weight and its lowest energy. A figure is the accuracy of the honest learners on the test split. A gate
that PPO trained (`studyhall train masc-digits-bold --set actions=gated …`) comes as several training seeds
(`'ppo gated=a.zip,b.zip'`): each is a row, and `ppo gated` their mean, world by world. A bold expert whose learner
listens to the others comes to know what it claims; a deaf one learns from its own labels alone. Beside rules as they
are stand those with the settings that `society_tuning.py` found on training worlds ("tuned"); Krum and the trimmed mean
are told how many lie. `society-gated` is the gate that comes with the package: trained among other liars, of whom none
was bold, and without energies.

    python benchmarks/bold.py [--settings NAME …] [--policies NAME|LABEL=ZIP,… …] [--seeds 0-19] [--out FILE]
"""

import argparse
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import stable_baselines3
import torch
from pages.bold import GATE
from pages.cells import known
from rich.console import Console
from rich.progress import track
from rich.table import Table
from society import honest_accuracy, policy_of

import studyhall
from studyhall import make_world
from studyhall.envs.hosted.sources import ENERGY
from studyhall.policies import Policy, make_policy
from studyhall.policies.files import read
from studyhall.policies.listening.learned import FORMAT, LearnedPolicy
from studyhall.rollouts import interval
from studyhall.rollouts.settings import parse_seeds
from studyhall.scenarios import get_scenario

SCENARIO = "masc-digits-bold"
RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
TUNED = RESULTS / "bold_tuning.json"


class Setting(NamedTuple):
    """What differs from the scenario.

    Args:
        kind: Of liar.
        changes: Arguments of the world.
        steps: After how many is measured; None: at the end.
        deaf: Whether liars learn from nobody.
    """

    kind: str = "bold"
    changes: Mapping[str, Any] = MappingProxyType({})
    steps: int | None = None
    deaf: bool = False


SETTINGS = {
    "one bold": Setting(),
    "one bold, after 100 steps": Setting(steps=100),
    "one bold and deaf": Setting(deaf=True),
    "nobody bold": Setting("none"),
    "one sharp (unseen)": Setting("sharp"),
    "two bold of eight": Setting(changes={"agents": 8, "liars": 2}),
    "one bold, energies as they come": Setting(changes={"detect": 0.0}),
    "one bold, nobody heard": Setting(changes={"mode": "mute"}),
}
"""All but the first two are transfer: gates are trained, and rules tuned, in the scenario alone."""


class DeafLiars(Policy):
    """A policy whose liars learn from labels alone, so that they never get to know what they claim.

    Args:
        policy: Decides for everyone else.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy, self.world_kwargs = policy, policy.world_kwargs

    def bind(self, world):
        super().bind(world)
        self.policy.bind(world)

    def reset(self, mask=None):
        self.policy.reset(mask)

    def act(self, obs):
        actions = self.policy.act(obs)
        name = "targets" if "targets" in actions else "listen"
        hears = ~self.world.privileged()["liar"]
        return {**actions, name: actions[name] * hears.view(*hears.shape, *[1] * (actions[name].dim() - 2))}


RULES = (
    "lowest_energy",
    "mean",
    "most_confident_sample",
    "reputation_self",
    "reputation_self tuned",
    "reputation_class tuned",
    "dawid_skene tuned",
    "one_coin tuned",
    "composite",
    "median",
    "trimmed_mean",
    "krum",
    "society-gated",
    "oracle_expert",
    "listen_nobody",
)


LOOKED_AT = (20, 50, 100, 200, 390)
"""Steps at which the weights of gates are told."""


def values_of(name: str, setting: str, seeds: tuple[int, ...]) -> list[float]:
    """Accuracy of the honest, one value a world."""
    where = SETTINGS[setting]
    policy = policy_of(name, where.changes.get("liars", 1), TUNED)
    if isinstance(policy, LearnedPolicy) and ENERGY not in policy.about["source_features"]:
        policy.world_kwargs["energies"] = False
    policy = DeafLiars(policy) if where.deaf else policy
    return honest_accuracy(policy, where.kind, dict(where.changes), seeds, "eval", SCENARIO, where.steps)


def weights(paths: list[str], seeds: tuple[int, ...]) -> dict:
    """How much gates listen to the bold and to the honest, and their gate, at some steps; honest agents, all gates."""
    found = {at: [] for at in LOOKED_AT}
    for path in paths:
        policy, scenario = make_policy(path), get_scenario(SCENARIO)
        kwargs = {**scenario.env_kwargs, "exam_every": 10, **policy.world_kwargs}
        world = make_world(scenario.env, num_worlds=len(seeds), autoreset=False, **kwargs)
        policy.bind(world)
        obs = world.reset(seed=list(seeds), options={"domain": "eval"})
        policy.reset()
        n = world.num_agents
        source = (
            torch.arange(n)[:, None] + 1 + torch.arange(n - 1)
        ) % n  # which agent source s of agent i is
        for step in range(max(LOOKED_AT) + 1):
            actions = policy.act(obs)
            if step in found:
                liar = world.privileged()["liar"]
                bold, listen = liar[:, source][~liar], actions["listen"].clamp(0, 1)[~liar]
                gate = actions["gate"].clamp(0, 1)[~liar]
                found[step].append([float(x.mean()) for x in (listen[bold], listen[~bold], gate)])
            obs = world.step(actions).obs
    names = ("bold", "honest", "gate")
    return {
        str(step): {name: sum(run[k] for run in runs) / len(runs) for k, name in enumerate(names)}
        for step, runs in found.items()
    }


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


def written(options: argparse.Namespace, kept: dict, found: dict, trainings: dict, looked: dict) -> dict:
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
    return {
        "commands": [*kept.get("commands", []), shlex.join(["python", "benchmarks/bold.py", *sys.argv[1:]])],
        "commit": commit.stdout.strip() or None,
        "versions": versions,
        "scenario": SCENARIO,
        "trainings": kept.get("trainings", {}) | trainings,
        "seeds": options.seeds,
        "weights": looked or kept.get("weights", {}),
        "settings": {name: found[name] for name in SETTINGS if name in found},
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
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument(
        "--policies", nargs="+", metavar="NAME|LABEL=ZIP,…", default=RULES, help="default: every rule"
    )
    parser.add_argument("--seeds", default="0-19")
    parser.add_argument("--out", type=Path, help="JSON; what it holds already of the same seeds is kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    policies, trainings = {}, {}
    for given in options.policies:
        label, _, paths = given.partition("=")
        policies[label] = paths.split(",") if paths else [label]
        if paths:
            trainings[label] = [read(path, FORMAT)[0]["command"] for path in policies[label]]
    kept = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    found = kept.get("settings", {}) if kept.get("seeds") == options.seeds else {}
    looked = weights(policies[GATE], parse_seeds(options.seeds)) if GATE in policies else {}
    for setting in options.settings:
        new = measured(policies, setting, parse_seeds(options.seeds))
        found[setting] = found.get(setting, {}) | new
        if options.out:
            options.out.write_text(
                json.dumps(written(options, kept, found, trainings, looked), indent=1) + "\n"
            )
    Console(width=180).print(table(found))


if __name__ == "__main__":
    main()
