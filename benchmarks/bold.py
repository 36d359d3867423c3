"""Does a gate that was learned do as well as simple rules where one expert is bold?

`masc-digits-bold`: five experts of two digits each, who have learnt to know their own by their energy; one claims every
row with all its weight and its lowest energy. A figure is the accuracy of the honest learners on the test split. A gate
that PPO trained is made three times (kept in `--models`, made where it is not there yet): each is a row, and `ppo
gated` their mean, world by world; others may be given as `'LABEL=a.zip,b.zip'`. A bold expert whose learner
listens to the others comes to know what it claims; a deaf one learns from its own labels alone. Beside rules as they
are stand those with the settings that `society_tuning.py` found on training worlds ("tuned"); Krum and the trimmed mean
are told how many lie. `society-gated` is the gate that comes with the package: trained among other liars, of whom none
was bold, and without energies.

    python benchmarks/bold.py [--settings NAME …] [--policies NAME|LABEL=ZIP,… …] [--seeds 100-119] [--out FILE]
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from contenders import Training, add_options, checkpoints, contenders, trained_by
from pages.bold import GATE
from pages.cells import known
from ranges import Ranges
from record import RESULTS, File
from rich.console import Console
from rich.progress import track
from rich.table import Table
from society import honest_accuracy, policy_of, tuning

from studyhall import make_world
from studyhall.envs.hosted.sources import ENERGY
from studyhall.policies import Policy, make_policy
from studyhall.policies.listening.learned import LearnedPolicy
from studyhall.rollouts import interval
from studyhall.scenarios import get_scenario

SCENARIO = "masc-digits-bold"
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


_ALL = '["none", "sharp", "roll", "noise", "modest", "sleeper", "collude", "bold"]'
TRAININGS = {
    GATE: Training(SCENARIO, ("actions=gated",)),
    "ppo on all kinds": Training(SCENARIO, (f"liar_kinds={_ALL}", "actions=gated"), seeds=(1000,)),
}
RANGES = Ranges(report=range(100, 1000))
"""Worlds 0 to 19 were looked at."""

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


def measured(file: File, policies: dict[str, dict[str, str]], setting: str, seeds: tuple[int, ...]) -> None:
    """Every policy that the file lacks: its values, their mean and its interval over worlds."""

    def add(row: str, values: list[float], names: dict[str, str]) -> None:
        chosen = (*tuning(row, TUNED, "the bold"), *checkpoints(names, "return, mean over worlds and agents"))
        found = {"mean": interval(values)._asdict(), "values": values} | trained_by(names)
        file.add(("settings", setting, row), found, seeds=seeds, chosen=chosen)

    for label, names in track(policies.items(), description=setting):
        if file.has(("settings", setting, label), seeds):
            continue
        runs = {member: values_of(name, setting, seeds) for member, name in names.items()}
        if len(names) > 1:
            for member, run in runs.items():
                add(f"{label} ({member})", run, {member: names[member]})
        add(label, [sum(values) / len(values) for values in zip(*runs.values(), strict=True)], names)


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
    add_options(parser, [*RULES, *TRAININGS], "runs/bold")
    parser.add_argument("--seeds", type=RANGES.seeds("report"), default="100-119")
    parser.add_argument("--out", type=Path, help="JSON; rows it holds of the same seeds are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    policies, file = contenders(options.policies, TRAININGS, options.models), File(options.out, "bold")
    file.only(("settings",), options.seeds)
    file.about({"scenario": SCENARIO})
    for setting in options.settings:
        measured(file, policies, setting, options.seeds)
    if GATE in policies and not file.has(("weights",), options.seeds):
        looked = weights(list(policies[GATE].values()), options.seeds)
        file.add(("weights",), {"by_step": looked} | trained_by(policies[GATE]), seeds=options.seeds)
    Console(width=180).print(table(file.get(("settings",))))


if __name__ == "__main__":
    main()
