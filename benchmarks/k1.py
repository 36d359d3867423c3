"""K-1 beside its rivals: what is learnt, and what is forgotten, when only some groups of a language model learn.

    python benchmarks/k1.py pareto | sequence [--seeds 0-4] [--arms NAME …] [--out docs/results/k1.json]
    python benchmarks/k1.py wikitext [--seeds 0-2] | counts | long [--seeds 0-2] | responsible [--seeds 0-2]

All but the last two begin with a model that learnt prose densely (scenario `k1-prose`), one for each seed; every arm of
a seed begins with the same model and meets the same slices. `pareto` then deals code alone, and reads prose and code on
the exam every ten steps: forgetting is compared where the *code* loss is the same, since whoever learns less forgets
less. `sequence` deals code, then science. `wikitext` and `long` begin with nothing. Arms that the file holds are not
run again.
"""

import argparse
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ngrams import nats
from ranges import Ranges
from record import RESULTS, File
from rich.console import Console
from rich.progress import Progress
from scipy.stats import spearmanr

from studyhall import make_world
from studyhall.envs.language import Modular
from studyhall.policies import make_policy
from studyhall.rollouts import Rollout
from studyhall.scenarios import get_scenario

PROSE, CODE, SCIENCE = "wikitext2", "python", "arxiv"
LR = 2e-3
RANGES = Ranges(report=range(5))
SIZE = {
    "vocabulary": 512,
    "width": 32,
    "heads": 2,
    "feedforward": 64,
    "length": 32,
    "slice_size": 16,
    "characters": None,
}


class Arm(NamedTuple):
    """Who learns, and what else differs.

    Args:
        policy: Name.
        kwargs: Of the policy.
        env: Of the world.
    """

    policy: str
    kwargs: Mapping[str, Any] = {}
    env: Mapping[str, Any] = {}


def anchored(strength: float, **env: Any) -> dict[str, Any]:
    """Arguments of a world with elastic weight consolidation."""
    return {"anchor": "ewc", "anchor_strength": strength, **env}


RULES = {
    "dense": Arm("dense"),
    "largest norms": Arm("largest_gradients"),
    "largest per parameter": Arm("largest_gradients", {"by": "rms"}),
    "largest relative": Arm("largest_gradients", {"by": "relative"}),
    "K-1": Arm("k1"),
    "K-1 without trust": Arm("k1", {"trust": False}),
    "cooldown": Arm("cooldown"),
    "UCB": Arm("ucb"),
    "random": Arm("random_k"),
    "round-robin": Arm("round_robin"),
}
"""The documented rules, dense training, and choices without a look."""

FIXED = {
    "0–4": Arm("fixed_groups", {"groups": [0, 1, 2, 3, 4]}),
    "5–9": Arm("fixed_groups", {"groups": [5, 6, 7, 8, 9]}),
    "1–8": Arm("fixed_groups", {"groups": [1, 2, 3, 4, 5, 6, 7, 8]}),
    "vocabulary": Arm("vocabulary"),
    "partition": Arm("partition"),
}
ANCHORED = {
    **{f"EWC {s:g}": Arm("dense", env=anchored(s)) for s in (1, 3, 10, 30)},
    **{f"vocabulary, EWC {s:g}": Arm("vocabulary", env=anchored(s)) for s in (1, 3, 10)},
    **{f"vocabulary, 2·lr, EWC {s:g}": Arm("vocabulary", env=anchored(s, lr=2 * LR)) for s in (1, 3)},
}
SLOWER = {
    "dense, lr/3": Arm("dense", env={"lr": LR / 3}),
    "dense, lr/10": Arm("dense", env={"lr": LR / 10}),
}
BOUNDS = {"columns": Arm("columns"), "joint": Arm("joint")}
ARMS = {**RULES, **SLOWER, **FIXED, **ANCHORED, **BOUNDS}

_MET = {"measure": "probe", "domain_weights": [3, 1]}  # what the bids were learnt with
LEARNED = {
    "learned bids": Arm("k1-bids", env=_MET),
    **{f"learned bids, EWC {s:g}": Arm("k1-bids", env=_MET | anchored(s)) for s in (3, 10)},
    "learned bids, 2·lr, EWC 3": Arm("k1-bids", env=_MET | anchored(3, lr=2 * LR)),
}
"""The bids that come with the package, trained without an anchor."""


def prose_model(seed: int, folder: Path) -> str:
    """The file of a model that learnt prose, made where it is not there yet."""
    path = folder / f"seed_{seed}" / "model.zip"
    if not path.exists():
        Rollout("k1-prose", seeds=seed).run(networks=folder)
    return str(path)


def followed(world: Modular, arm: Arm, seed: int, title: str) -> dict[str, Any]:
    """Run an arm to its end: its curve, and its figures."""
    policy = make_policy(arm.policy, **arm.kwargs)
    policy.bind(world)
    obs = world.reset(seed=seed, options={"domain": "eval"})
    policy.reset()
    domains = world.dataset.classes
    rows, learnt = [], []

    def row() -> list[float]:
        found = world.metrics() | world.breakdown()
        steps = float(world.steps[0])
        totals = [float(found[name][0]) * steps for name in ("updated", "cost")]
        return [steps, *(float(found[f"nats/{domain}"][0]) for domain in domains), *totals]

    rows.append(row())
    with Progress(transient=True, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=world.horizon)
        while not world.ended.all():
            step = world.step(policy.act(obs))
            obs = step.obs
            learnt.append(step.info["learnt"][0])
            if world.calendar.examined(world.clock)[0]:
                rows.append(row())
            bar.update(task, advance=1)
    found = {
        name: value[0].tolist()
        for name, value in (world.metrics() | world.breakdown() | world.tests()).items()
    }
    return {
        "columns": ["step", *domains, "updated", "cost"],
        "curve": [[round(value, 4) for value in one] for one in rows],
        "learnt": torch.stack(learnt).mean(0).tolist(),
        "scores": world.privileged()["scores"][0].tolist(),
        "figures": found,
    }


def arms_of(options: argparse.Namespace, known: Mapping[str, Arm]) -> dict[str, Arm]:
    """Those that were asked for, or all."""
    return {name: arm for name, arm in known.items() if not options.arms or name in options.arms}


def run_arms(part: str, options: argparse.Namespace, arms: Mapping[str, Arm], warm: bool, **env: Any) -> None:
    """Run every arm with every seed, those that the file lacks."""
    file = File(options.out, "k1")
    for seed, (name, arm) in itertools.product(options.seeds, arms_of(options, arms).items()):
        if file.get((part, name, str(seed))):
            continue
        given = {**env, **make_policy(arm.policy, **arm.kwargs).world_kwargs, **arm.env}
        if "order" in given:
            given["tasks"] = None
        if warm:
            given["warm"] = prose_model(seed, options.models)
        world = make_world("modular-v0", autoreset=False, **given)
        assert isinstance(world, Modular)
        found = followed(world, arm, seed, f"{part}, {name}, seed {seed}")
        file.add((part, name, str(seed)), found, seeds=[seed])
        nats = {k: round(v, 3) for k, v in found["figures"].items() if k.startswith("nats")}
        print(part, name, seed, nats, flush=True)


def pareto(options: argparse.Namespace) -> None:
    """From prose to code: 300 steps."""
    corpora = {"prose": PROSE, "code": CODE}
    env = {**SIZE, "corpora": corpora, "tasks": ["code"], "horizon": 300, "lr": LR, "warmup": 0}
    run_arms("pareto", options, ARMS | LEARNED, True, **env, exam_every=10, exam_size=128)


def sequence(options: argparse.Namespace) -> None:
    """From prose to code to science: 200 steps each."""
    corpora = {"prose": PROSE, "code": CODE, "science": SCIENCE}
    env = {**SIZE, "corpora": corpora, "tasks": ["code", "science"], "horizon": 400, "lr": LR, "warmup": 0}
    run_arms("sequence", options, ARMS, True, **env, fresh_optimiser=True, exam_every=50, exam_size=128)


def wikitext(options: argparse.Namespace) -> None:
    """One domain, a larger model, from nothing: the size of `k1-wikitext2`."""
    env = dict(get_scenario("k1-wikitext2").env_kwargs)
    arms = {name: ARMS[name] for name in ("dense", "K-1", "largest norms", "vocabulary", "random")}
    arms["as published"] = Arm("k1_as_published", env={"stride": env["length"] // 2})
    run_arms("wikitext", options, arms, False, **env)


def counts(options: argparse.Namespace) -> None:
    """What counts of tokens say of the windows of the test split that `wikitext` reads, in the same data."""
    env = {**get_scenario("k1-wikitext2").env_kwargs, "horizon": 1}
    world = make_world("modular-v0", **env)
    assert isinstance(world, Modular)
    test = world.dataset.test.x[world.tested_windows()[0]].numpy()
    found = nats(world.dataset, test)
    File(options.out, "k1").add(("counts",), found, seeds=[])
    print(found)


def long(options: argparse.Namespace) -> None:
    """One domain for 5,000 steps: does the gap to dense training close?"""
    env = {**SIZE, "corpora": {"prose": PROSE}, "horizon": 5000, "exam_every": 100, "exam_size": 128}
    arms = {name: ARMS[name] for name in ("dense", "K-1", "largest norms", "random")}
    run_arms("long", options, arms, False, **env)


def responsible(options: argparse.Namespace) -> None:
    """Is a large gradient responsible? A group's gradient beside what one step of it alone gains on the exam.

    At steps 50, 100, … of dense training a fork of the world is made for each group, in which it alone takes a step at
    the full rate from fresh moments, on the slice whose gradients were shown. Such a first step of AdamW is about as
    long whatever the gradient's size: what is asked is whether its direction helps where it is large.
    """
    file = File(options.out, "k1")
    env = {**SIZE, "corpora": {"prose": PROSE}, "horizon": 400, "measure": "all", "k": None, "exam_size": 256}
    for seed in options.seeds:
        if file.get(("responsible", str(seed))):
            continue
        world = make_world("modular-v0", autoreset=False, exam_every=1000, **env)
        assert isinstance(world, Modular)
        obs = world.reset(seed=seed, options={"domain": "eval"})
        everyone = torch.ones(1, world.num_agents, 1)
        rows = []
        for step in range(1, 400):
            obs = world.step({"bid": everyone}).obs
            if step % 50 == 0:
                rows.append({"step": step, **_alone(world, obs)})
        file.add(("responsible", str(seed)), {"rows": rows}, seeds=[seed])
        print("responsible", seed, [round(r["rank_correlation"], 2) for r in rows], flush=True)


def _alone(world: Modular, obs: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Gradients of the groups, and what one step of each alone gains, and their rank correlation."""
    windows = world.dataset.inputs("exam", world.privileged()["exam"])
    before = float(world.models.losses(windows).double().mean())
    norms = obs["gradient"][0, :, 0] + 0.5 * world.sizes.log10()
    gains = []
    for group in range(world.num_agents):
        twin = world.fork()
        twin.models.forget_moments(torch.ones(1, dtype=torch.bool))
        bid = torch.zeros(1, world.num_agents, 1)
        bid[:, group] = 1.0
        twin.step({"bid": bid})
        gains.append(before - float(twin.models.losses(windows).double().mean()))
    correlation = spearmanr(norms.numpy(), gains).statistic
    return {"log10_norm": norms.tolist(), "gain": gains, "rank_correlation": float(correlation)}


PARTS = {
    "pareto": pareto,
    "sequence": sequence,
    "wikitext": wikitext,
    "counts": counts,
    "long": long,
    "responsible": responsible,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=sorted(PARTS))
    parser.add_argument("--seeds", type=RANGES.seeds("report"), default="0-4")
    parser.add_argument("--arms", nargs="+", choices=[*ARMS, *LEARNED], help="default: all")
    parser.add_argument(
        "--models", type=Path, default=Path("runs/k1-prose"), help="where models of prose are kept"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "k1.json", help="JSON; what it holds is kept")
    options = parser.parse_args()
    PARTS[options.what](options)


if __name__ == "__main__":
    main()
