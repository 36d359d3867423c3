"""Who to listen to when some lie: learned and scripted protocols beside oracles, by kind of liar.

Every policy gets the same worlds: the seeds of the evaluation domain, once with every kind of liar. A figure is the
accuracy of the honest learners on the test split at the end. `ppo gated` and `ppo listen` are trained three times
(kept in `--models`, made where they are not there yet): each training is a row, and the label their mean, world by
world; others may be given as `LABEL=a.zip,b.zip`. A rule's name with "tuned" behind it has the settings that
`benchmarks/society_tuning.py` found on training worlds; Krum and the trimmed mean are told how many lie. `all labels`
is no protocol but an upper control: learners of the same size, each told what all agents together are told.

    python benchmarks/society.py [--settings base …] [--policies NAME … ] [--seeds 100-119] [--out FILE]

Rows that the file holds of the same seeds are not measured again.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from contenders import Training, add_options, checkpoints, contenders, trained_by
from pages.cells import known
from ranges import Ranges
from record import Choice, File
from rich.console import Console
from rich.progress import track
from rich.table import Table

from studyhall import make_world
from studyhall.envs.society.world import KINDS
from studyhall.policies import Policy, make_policy
from studyhall.policies.listening import RULES
from studyhall.rollouts import interval
from studyhall.rollouts.metrics.measure import measure
from studyhall.scenarios import get_scenario

TUNED = Path(__file__).resolve().parents[1] / "docs" / "results" / "society_tuning.json"

RANGES = Ranges(report=range(100, 120))
"""Worlds 0 to 19 were looked at while PPO's exploration was set."""


class Setting(NamedTuple):
    """What differs from the scenario, and how many worlds are measured."""

    changes: Mapping[str, Any]
    worlds: int


SETTINGS = {
    "base": Setting({}, 20),
    "8 experts, 1 liar": Setting({"agents": 8}, 10),
    "8 experts, 2 liars": Setting({"agents": 8, "liars": 2}, 10),
    "8 experts, 3 liars": Setting({"agents": 8, "liars": 3}, 10),
    "MNIST": Setting({"data": "mnist"}, 5),
    "unseen kind": Setting({"liar_kinds": ("fickle",)}, 20),
}
"""All but the first are transfer, without further training."""

TRAININGS = {
    "ppo gated": Training("society-liar-digits", ("actions=gated",)),
    "ppo listen": Training("society-liar-digits", ("actions=listen",)),
}


CENTRAL = "all labels"
"""The upper control."""


class Weaker(Policy):
    """A rule whose targets are imitated with less than full weight.

    Args:
        rule: The rule.
        strength: Weight of every row it would imitate.
    """

    def __init__(self, rule: Policy, strength: float) -> None:
        self.rule, self.strength = rule, strength
        self.world_kwargs = rule.world_kwargs

    def bind(self, world):
        super().bind(world)
        self.rule.bind(world)

    def reset(self, mask=None):
        self.rule.reset(mask)

    def act(self, obs):
        actions = self.rule.act(obs)
        return actions | {"targets": actions["targets"] * self.strength}


def policy_of(name: str, liars: int, tuned: Path = TUNED) -> Policy:
    """A policy by the name that the command line gives it, its settings in a file of `society_tuning.py`."""
    rule = name.removesuffix(" tuned")
    if rule != name:
        found = json.loads(tuned.read_text())[rule]
        return Weaker(make_policy(rule, **found["kwargs"]), found["strength"])
    told = {"krum": {"f": liars}, "trimmed_mean": {"trim": liars}}
    return make_policy(name, **told.get(name, {}))


def tuning(name: str, tuned: Path = TUNED, kinds: str = "kinds of liar") -> tuple[Choice, ...]:
    """How the settings of a tuned rule were chosen; nothing of others."""
    rule = name.removesuffix(" tuned")
    if rule == name:
        return ()
    found = json.loads(tuned.read_text())[rule]
    what = {key: found[key] for key in ("kwargs", "strength")}
    among = [{key: trial[key] for key in ("kwargs", "strength")} for trial in found["tried"]]
    statistic = f"test accuracy of the honest, mean over worlds and {kinds}"
    return (Choice(what, among, "training domain", found["seeds"], statistic),)


def lying(setting: Mapping[str, Any], kind: str) -> int:
    """How many lie."""
    return max(setting.get("liars", 1), 2 * (kind == "collude"))


def honest_accuracy(
    policy: Policy,
    kind: str,
    setting: Mapping[str, Any],
    seeds: tuple[int, ...],
    domain: str = "eval",
    scenario_name: str = "society-liar-digits",
    steps: int | None = None,
) -> list[float]:
    """Test accuracy of the honest learners at the end of an episode or after so many steps, one value a world."""
    scenario = get_scenario(scenario_name)
    # Accuracy is asked for on the days of report cards only: nothing else looks at the exam.
    kwargs = {
        **scenario.env_kwargs,
        "exam_every": 10,
        **setting,
        "liar_kinds": (kind,),
        **policy.world_kwargs,
    }
    world = make_world(scenario.env, num_worlds=len(seeds), autoreset=False, **kwargs)
    policy.bind(world)
    obs = world.reset(seed=list(seeds), options={"domain": domain})
    policy.reset()
    while not world.ended.all() and int(world.clock[0]) != steps:
        obs = world.step(policy.act(obs)).obs
    found = measure(world, policy, controls=False)
    return found["honest"].tolist()


def central_accuracy(setting: Mapping[str, Any], seeds: tuple[int, ...]) -> list[float]:
    """Test accuracy at the end of learners that are told the labelled rows of all agents, one value a world.

    There are two, since a world that hosts learners has at least so many; neither hears the other.
    """
    scenario = get_scenario("society-liar-digits")
    given = {**scenario.env_kwargs, **setting}
    shared = ("learners", "hidden", "dropout", "optimiser", "lr", "data", "horizon")
    rows = given["agents"] * given.get("slice_size", 16)
    world = make_world(
        "classroom-v0",
        num_worlds=len(seeds),
        autoreset=False,
        agents=2,
        slice_size=rows,
        teacher_budget=None,
        actions="targets",
        **{name: given[name] for name in shared if name in given},
    )
    policy = make_policy("listen_nobody")
    policy.bind(world)
    obs = world.reset(seed=list(seeds), options={"domain": "eval"})
    policy.reset()
    while not world.ended.all():
        obs = world.step(policy.act(obs)).obs
    return measure(world, policy, controls=False)["mean"].tolist()


def summarise(by_kind: dict[str, list[float]]) -> dict:
    """Mean over kinds (world by world) and the worst kind, with intervals over worlds."""
    mean = [sum(values) / len(values) for values in zip(*by_kind.values(), strict=True)]
    worst = min(by_kind, key=lambda kind: interval(by_kind[kind]).mean)
    return {
        "mean": interval(mean)._asdict(),
        "worst": {"kind": worst, **interval(by_kind[worst])._asdict()},
        "kinds": {kind: interval(values)._asdict() for kind, values in by_kind.items()},
        "values": by_kind,
    }


def evaluate(
    file: File,
    name: str,
    policies: dict[str, dict[str, str]],
    setting: Mapping[str, Any],
    seeds: tuple[int, ...],
) -> None:
    """Every policy under every kind of liar, those that the file lacks."""
    kinds = setting.get("liar_kinds", KINDS)
    file.only((name, "policies"), seeds)
    file.about({"setting": setting}, (name,))

    def add(label: str, by_kind: dict[str, list[float]], names: dict[str, str], **more: Any) -> None:
        chosen = (*tuning(label), *checkpoints(names, "return, mean over worlds and agents"))
        place = (name, "policies", label)
        file.add(place, summarise(by_kind) | trained_by(names) | more, seeds=seeds, chosen=chosen)

    for label, names in track(policies.items(), description=name):
        if file.has((name, "policies", label), seeds):
            continue
        if label == CENTRAL:
            add(label, dict.fromkeys(kinds, central_accuracy(setting, seeds)), {})
            continue
        runs = {}
        for member, policy in names.items():
            runs[member] = {
                kind: honest_accuracy(policy_of(policy, lying(setting, kind)), kind, setting, seeds)
                for kind in kinds
            }
            if len(names) > 1:
                add(f"{label} ({member})", runs[member], {member: policy})
        mean = {
            kind: [sum(v) / len(v) for v in zip(*(run[kind] for run in runs.values()), strict=True)]
            for kind in kinds
        }
        of_each = [summarise(run)["mean"]["mean"] for run in runs.values()]
        add(label, mean, names, **({"trainings": of_each} if len(of_each) > 1 else {}))


def table(found: dict, title: str) -> Table:
    """One row a policy, best mean first."""
    shown = Table(title=title, title_justify="left")
    kinds = list(next(iter(found.values()))["kinds"])
    for column in ("policy", "mean over kinds", "worst kind", *kinds):
        shown.add_column(column, justify="left" if column == "policy" else "right")
    for name, entry in sorted(found.items(), key=lambda item: -item[1]["mean"]["mean"]):
        worst = entry["worst"]
        cells = [f"{100 * entry['kinds'][kind]['mean']:.1f}" for kind in kinds]
        shown.add_row(
            name,
            known(entry["mean"], 1),
            f"{known(worst, 1)} ({worst['kind']})",
            *cells,
        )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    tuned = [f"{rule} tuned" for rule in json.loads(TUNED.read_text())]
    add_options(parser, [CENTRAL, *(spec.name for spec in RULES), *tuned, *TRAININGS], "runs/society")
    parser.add_argument(
        "--seeds",
        type=RANGES.seeds("report"),
        default="100-119",
        help="the first of them in settings of fewer",
    )
    parser.add_argument("--out", type=Path, help="JSON; rows it holds of the same seeds are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    policies = contenders(options.policies, TRAININGS, options.models)
    file, console = File(options.out, "society"), Console(width=160)
    for name in options.settings:
        setting = SETTINGS[name]
        seeds = options.seeds[: setting.worlds]
        evaluate(file, name, policies, setting.changes, seeds)
        found = file.get((name, "policies"))
        console.print(table(found, f"{name}: test accuracy of the honest, %, {len(seeds)} worlds a kind"))


if __name__ == "__main__":
    main()
