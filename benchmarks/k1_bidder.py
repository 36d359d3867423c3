"""A learnt bidder beside the documented rules: who should learn code so that prose is not lost?

    python benchmarks/k1_bidder.py models --seeds 0-4,10-17
    python benchmarks/k1_bidder.py short | long [--seeds 0-4] [--purpose report] [--arms NAME …] [--learnt NAME=FILE …]

`models` makes models that learnt prose densely (scenario `k1-prose`): bidders are trained from 10 to 14, settings are
chosen on 15 to 17, and 0 to 4 are reported. `short` are worlds of `k1-train`, 60 steps of code, `long` 150 steps. Every
arm of a seed begins with the same model and meets the same slices, of three streams that no training saw. The score is
−(3·prose + code)/4, nats of a token of the test split at the end. A learnt arm runs with the learning rate, anchor and
form of actions that its file was trained with. Arms that the file holds are not run again.
"""

import argparse
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from k1 import FIXED, LR, RULES, Arm, anchored, prose_model
from ranges import PURPOSES, Ranges
from record import RESULTS, File

from studyhall import make_world
from studyhall.envs.errors import ConfigError
from studyhall.envs.language import Modular
from studyhall.policies import make_policy
from studyhall.rollouts.settings import parse_seeds
from studyhall.scenarios import get_scenario

STEPS = {"short": 60, "long": 150}
REPORTED = RESULTS / "k1_bidder.json"
STREAMS = 3
RANGES = Ranges(fit=range(10, 15), choose=range(15, 18), report=range(5))
"""Bidders learn on models of the first, and settings of what is compared are chosen on those of the second."""
TRAINED_WITH = ("lr", "anchor", "anchor_strength", "actions", "k")
"""What a learnt arm's world takes over from the world of its training."""

ARMS = {
    **RULES,
    **FIXED,
    "vocabulary, 2·lr": Arm("vocabulary", env={"lr": 2 * LR}),
    **{f"EWC {s:g}": Arm("dense", env=anchored(s)) for s in (3, 10)},
    **{f"vocabulary, EWC {s:g}": Arm("vocabulary", env=anchored(s)) for s in (1, 3, 10)},
    **{f"vocabulary, 2·lr, EWC {s:g}": Arm("vocabulary", env=anchored(s, lr=2 * LR)) for s in (1, 3, 10)},
    **{f"vocabulary, {r}·lr, EWC 20": Arm("vocabulary", env=anchored(20, lr=r * LR)) for r in (3, 4)},
}
del ARMS["partition"]  # tells of several domains


def learnt_arm(source: str) -> Arm:
    """The arm of a trained bidder."""
    made: Any = make_policy(source)
    given = made.about["env_kwargs"]
    return Arm(source, env={name: given[name] for name in TRAINED_WITH if name in given})


def scored(part: str, arm: Arm, seed: int, models: Path) -> dict[str, Any]:
    """What an arm comes to with the model of a seed, the mean of its streams."""
    policy = make_policy(arm.policy, **arm.kwargs)
    given = {**get_scenario("k1-train").env_kwargs, **policy.world_kwargs, **arm.env}
    given |= {"horizon": STEPS[part], "warm": prose_model(seed, models)}
    world = make_world("modular-v0", num_worlds=STREAMS, autoreset=False, **given)
    assert isinstance(world, Modular)
    policy.bind(world)
    seeds = [seed + 1000 * stream for stream in range(STREAMS)]
    obs = world.reset(seed=seeds, options={"domain": "eval"})
    policy.reset()
    learnt = []
    while not world.ended.all():
        step = world.step(policy.act(obs))
        obs = step.obs
        learnt.append(step.info["learnt"].mean(0))
    tests, found = world.tests(), world.metrics()
    prose, code = (tests[f"test_nats/{domain}"] for domain in ("prose", "code"))
    score = -(3 * prose + code) / 4
    told = {"score": score, "prose": prose, "code": code, "updated": found["updated"], "cost": found["cost"]}
    return {
        **{name: round(float(value.mean()), 4) for name, value in told.items()},
        "by_stream": [round(value, 4) for value in score.tolist()],
        "learnt": [round(share, 3) for share in torch.stack(learnt).mean(0).tolist()],
    }


def compare(part: str, options: argparse.Namespace, arms: Mapping[str, Arm]) -> None:
    """Run every arm with every seed, those that the file lacks, and print the means."""
    file = File(options.out, "k1_bidder")
    for (name, arm), seed in itertools.product(arms.items(), options.seeds):
        if not file.get((part, name, str(seed))):
            file.add((part, name, str(seed)), scored(part, arm, seed, options.models), seeds=[seed])
    rows = file.read()[part]
    means = {
        name: [
            sum(found[str(seed)][key] for seed in options.seeds) / len(options.seeds)
            for key in ("score", "prose", "code", "updated")
        ]
        for name, found in rows.items()
        if all(str(seed) in found for seed in options.seeds)
    }
    for name, values in sorted(means.items(), key=lambda row: -row[1][0]):
        print(f"{name:28}", *(f"{value:8.4f}" for value in values))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["models", *STEPS])
    parser.add_argument("--seeds", type=parse_seeds, default="0-4")
    parser.add_argument(
        "--purpose", choices=PURPOSES, default="report", help="of the seeds; others than report need an --out"
    )
    parser.add_argument("--arms", nargs="*", choices=list(ARMS), help="default: all")
    parser.add_argument(
        "--learnt", nargs="+", default=[], metavar="NAME=FILE", help="trained bidders, beside the arms"
    )
    parser.add_argument(
        "--models", type=Path, default=Path("runs/k1-prose"), help="where models of prose are kept"
    )
    parser.add_argument("--out", type=Path, default=REPORTED, help="JSON; what it holds is kept")
    options = parser.parse_args()
    if options.what == "models":
        for seed in options.seeds:
            prose_model(seed, options.models)
        return
    try:
        RANGES.checked(options.purpose, options.seeds)
    except ConfigError as fault:
        parser.error(str(fault))
    if options.purpose != "report" and options.out == REPORTED:
        parser.error(f"{REPORTED.name} is of reported seeds: give --out")
    arms = {name: arm for name, arm in ARMS.items() if options.arms is None or name in options.arms}
    given = (text.partition("=") for text in options.learnt)
    arms |= {name: learnt_arm(source) for name, _, source in given}
    compare(options.what, options, arms)


if __name__ == "__main__":
    main()
