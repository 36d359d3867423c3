"""Who to listen to when some lie: learned and scripted protocols beside oracles, by kind of liar.

Every policy gets the same worlds: the seeds of the evaluation domain, once with every kind of liar. A figure is the
accuracy of the honest learners on the test split at the end. A learned protocol may come as several training
seeds (`ppo=a.zip,b.zip`): each is a row, and `ppo` their mean, world by world. A rule's name with "tuned" behind it
has the settings that `benchmarks/society_tuning.py` found on training worlds; Krum and the trimmed mean are told how
many lie.

    python benchmarks/society.py [--settings base …] [--policies NAME … ] [--seeds 0-19] [--out FILE]
"""

import argparse
import json
from pathlib import Path

import torch
from pages.cells import known
from rich.console import Console
from rich.progress import track
from rich.table import Table

from studyhall import make_world
from studyhall.envs.society.world import KINDS
from studyhall.policies import Policy, make_policy
from studyhall.policies.listening import RULES
from studyhall.rollouts import interval
from studyhall.rollouts.metrics.measure import measure
from studyhall.rollouts.settings import parse_seeds
from studyhall.scenarios import get_scenario

TUNED = Path(__file__).resolve().parents[1] / "docs" / "results" / "society_tuning.json"

SETTINGS = {
    "base": {},
    "8 experts, 1 liar": {"agents": 8},
    "8 experts, 2 liars": {"agents": 8, "liars": 2},
    "8 experts, 3 liars": {"agents": 8, "liars": 3},
    "MNIST": {"data": "mnist"},
    "unseen kind": {"liar_kinds": ("fickle",)},
}
"""What differs from `society-liar-digits`; all but the first are transfer, without further training."""


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


def lying(setting: dict, kind: str) -> int:
    """How many lie."""
    return max(setting.get("liars", 1), 2 * (kind == "collude"))


def honest_accuracy(
    policy: Policy,
    kind: str,
    setting: dict,
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


def evaluate(policies: dict[str, list[str]], setting: dict, seeds: tuple[int, ...], title: str) -> dict:
    """Every policy under every kind of liar."""
    kinds = setting.get("liar_kinds", KINDS)
    found = {}
    for label, names in track(policies.items(), description=title):
        runs = [
            {
                kind: honest_accuracy(policy_of(name, lying(setting, kind)), kind, setting, seeds)
                for kind in kinds
            }
            for name in names
        ]
        for name, run in zip(names, runs, strict=True):
            if len(names) > 1:
                found[f"{label} ({Path(name).stem})"] = summarise(run)
        found[label] = summarise(
            {
                kind: [sum(v) / len(v) for v in zip(*(run[kind] for run in runs), strict=True)]
                for kind in kinds
            }
        )
    return found


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
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=["base"])
    parser.add_argument(
        "--policies", nargs="+", metavar="NAME|LABEL=ZIP,…", help="default: every scripted rule"
    )
    parser.add_argument("--seeds", default="0-19")
    parser.add_argument("--out", type=Path, help="JSON; policies and settings it holds already are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    policies = {}
    for given in options.policies or [spec.name for spec in RULES]:
        label, _, paths = given.partition("=")
        policies[label] = paths.split(",") if paths else [label]
    seeds = parse_seeds(options.seeds)
    results = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    console = Console(width=160)
    for name in options.settings:
        kept = (
            results.get(name, {}).get("policies", {})
            if results.get(name, {}).get("seeds") == list(seeds)
            else {}
        )
        found = kept | evaluate(policies, SETTINGS[name], seeds, name)
        results[name] = {"setting": SETTINGS[name], "seeds": list(seeds), "policies": found}
        console.print(table(found, f"{name}: test accuracy of the honest, %, {len(seeds)} worlds a kind"))
        if options.out:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
