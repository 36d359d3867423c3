"""Short fixed runs, one for each file of results: where their figures change, so has the arithmetic behind the file.

Each is one seed and a few steps through the library's public ways, on data that come with the package; a benchmark that
trains is replayed by a training. Names are those of the files of results, so that moving code changes nothing.
"""

import contextlib
import io
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from studyhall import train
from studyhall.rollouts.runs.fingerprint import STEPS, fingerprint
from studyhall.rollouts.settings import customise
from studyhall.scenarios import get_scenario

Figures = dict[str, float]
TOLERANCE = 3e-4
"""Two figures are the same up to this, of the larger of them and 0.01. Products in twice the precision move none by
more than a tenth of it over these few steps, and so may another CPU; another formula moves them by far more."""


def played(scenario: str, *assignments: str, steps: int = STEPS) -> Figures:
    """Metrics of the first world of a scenario after so many steps."""
    return fingerprint(customise(get_scenario(scenario), assignments=assignments), steps)


def trained(scenario: str, *, changes: Mapping[str, Any] = {}, **options: Any) -> Figures:
    """What a training was at its evaluations."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        found = train(scenario, seed=0, threads=1, out=Path(folder) / "run", **options, **changes)
    return {f"after {at}": float(value) for at, value in found.evaluations}


def named(name: str, found: Figures) -> Figures:
    """Figures of one of several runs."""
    return {f"{name}, {key}": value for key, value in found.items()}


FINGERPRINTS: dict[str, Callable[[], Figures]] = {
    "allocation": lambda: played("allocation-digits"),
    "bfloat16": lambda: played("society-liar-digits", "policy=mean"),
    "bids": lambda: played("collective-digits-bids", "exam_every=5", steps=11),
    "bold": lambda: played("masc-digits-bold", "policy=reputation_self"),
    "bold_tuning": lambda: played("masc-digits-bold", "policy=reputation_self"),
    "budget": lambda: played("classroom-budget-digits"),
    "classroom": lambda: played("classroom-digits"),
    "collective_mnist": lambda: played("collective-digits-ensemble"),
    "consensus": lambda: trained("consensus-digits", updates=4, eval_every=4, eval_worlds=2),
    "convolutional": lambda: played("classroom-budget-digits", "learners=cnn"),
    "draws": lambda: played("consensus-digits", "policy=random"),
    "halves": lambda: trained("halves-digits", updates=4, eval_every=4, eval_worlds=2),
    "hosted": lambda: played("society-liar-digits", "policy=mean"),
    "k1": lambda: played("k1-quick"),
    "k1_bidder": lambda: played("k1-quick", "policy=vocabulary"),
    "k1_hierarchy": lambda: played("k1-structure"),
    "listen_parts": lambda: (
        played("society-liar-digits", "policy=society-gated", "actions=gated")
        | named("budget", played("classroom-budget-digits", "policy=even_trust"))
    ),
    "masc": lambda: played("masc-digits", steps=12),
    "masc_tuning": lambda: played("masc-digits", steps=12),
    "messages_rl": lambda: trained(
        "consensus-digits-symbols", algorithm="reinforce", updates=4, eval_every=4, eval_worlds=2
    ),
    "minicomo_speed": lambda: trained(
        "halves-digits", policy_kwargs={"messenger": "attention"}, updates=4, eval_every=4, eval_worlds=2
    ),
    "moe": lambda: played("collective-digits-moe") | named("switch", played("collective-digits-switch")),
    "neighbours": lambda: played("society-liar-digits", "policy=mean", "topology=ring"),
    "payload": lambda: played("society-liar-digits", "policy=mean"),
    "peer_rules": lambda: played("classroom-digits", "policy=snapshot_ensemble", "teacher_budget=3"),
    "population": lambda: played("classroom-digits", "policy=isolated"),
    "referential": lambda: trained("referential-attributes", updates=4, eval_every=4, eval_worlds=2),
    "society": lambda: played("society-liar-digits"),
    "society_ablation": lambda: trained(
        "society-liar-digits",
        algorithm="ppo",
        changes={"actions": "gated", "horizon": 20},
        settings={"learning_rate": 0.01},
        timesteps=500,  # the first 250 end with the first update
        worlds=2,
        eval_every=250,
    ),
    "society_tuning": lambda: played("society-liar-digits", "policy=reputation_self"),
    "swarm": lambda: played("swarm-ackley-30d", "dimensions=5") | named("pso", played("swarm-sphere")),
    "transformer": lambda: played("k1-quick", "policy=dense"),
    "worlds": lambda: played("classroom-digits", "policy=random"),
}


def figures(name: str) -> Figures:
    """Replay one, on one thread, and leave random numbers and threads as they were.

    Raises:
        LookupError: There is none of that name.
    """
    if name not in FINGERPRINTS:
        raise LookupError(f"{name} has no fingerprint: add one to benchmarks/fingerprints.py")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            return FINGERPRINTS[name]()
    finally:
        torch.set_num_threads(threads)


def differing(
    stored: Mapping[str, float], now: Mapping[str, float]
) -> dict[str, tuple[float | None, float | None]]:
    """Figures that are not the same, or are on one side only: then and now."""
    return {
        key: (stored.get(key), now.get(key))
        for key in {**stored, **now}
        if not same(stored.get(key), now.get(key))
    }


def same(a: float | None, b: float | None) -> bool:
    """Whether two figures agree but for rounding; figures that are no numbers agree with each other."""
    if a is None or b is None:
        return False
    return (a != a and b != b) or abs(a - b) <= TOLERANCE * max(abs(a), abs(b), 0.01)
