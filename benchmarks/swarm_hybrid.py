"""Swarms with gradient steps beside swarms and gradients alone, at equal evaluations: parts of ``swarm.py``.

A gradient counts as three evaluations. Everybody gets as many trials (:data:`TRIALS`) and is chosen by what the table
shows, on selection worlds of the training domain: on ackley by the share of worlds that escape, then by the median
error; on the network by the median loss. Gradients alone are descents of as many points, from where the swarm begins.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from ranges import Ranges
from record import Choice, File
from rich.progress import track

from studyhall import make_world
from studyhall.envs.swarm.particles import GRADIENT_COST
from studyhall.policies.swarm import PSO, HybridPSO
from studyhall.rollouts import interval

RANGES = Ranges(report=range(100, 1000))
"""Worlds 0 to 19 were looked at."""
ESCAPED = 0.1
"""An error below it has left ackley's other minima, of which the lowest is at about 0.7 in 30 dimensions."""

PULLS = ((1.0, 1.0), (1.0, 2.0), (2.0, 1.0), (1.5, 1.5), (2.0, 2.0), (0.5, 1.5))
CONSTANTS = [(w, *pull) for w, pull in itertools.product((0.4, 0.6, 0.7, 0.8), PULLS)]
HYBRIDS = list(
    itertools.product(((0.7, 1.5, 1.5), (0.8, 2.0, 1.0), (0.8, 1.0, 2.0)), (0.01, 0.03, 0.1, 0.3, 1, 2, 3, 5))
)
RATES = np.geomspace(1e-3, 10, 24).tolist()
TRIALS = len(CONSTANTS)
"""Of everyone; so many are HYBRIDS and RATES, too."""

GOOD = (0.8, 2.0, 1.0)
"""Constants with which plain PSO finds the bottom of the function that is not moved in every world."""

Found = dict[str, Any]
Flight = Callable[..., Found]


class Contender(NamedTuple):
    """Who minimises, in words, and what does it: from worlds' arguments, their seeds and domain to final figures."""

    name: str
    fly: Flight


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median and quartiles, and the values, one a world or a run."""
    low, middle, high = np.quantile(np.asarray(values, float), (0.25, 0.5, 0.75))
    found = {"median": float(middle), "quartiles": [float(low), float(high)], "n": len(values)}
    return found | {"values": [float(value) for value in values]}


def world_of(seeds: Sequence[int], domain: str, **kwargs: Any):
    """Worlds of these seeds, at their start."""
    world = make_world("swarm-v0", num_worlds=len(seeds), horizon=10**6, actions="coefficients", **kwargs)
    return world, world.reset(seed=list(seeds), options={"domain": domain})


def swarm(policy: PSO, **own: Any) -> Flight:
    """A policy flown until so many evaluations are spent."""

    def fly(seeds: Sequence[int], evaluations: int, domain: str = "eval", **kwargs: Any) -> Found:
        world, obs = world_of(seeds, domain, **kwargs, **own, **policy.world_kwargs)
        policy.bind(world)
        spent = 0
        while spent < evaluations:
            step = world.step(policy.act(obs))
            obs, spent = step.obs, int(world.metrics()["evaluations"][0])
        return world.metrics() | {"steps": int(world.steps[0])}

    return fly


def descent(rate: float, adam: bool) -> Flight:
    """Every point goes down on its own, by plain gradients or by Adam, its rate in units of the function's box."""

    def fly(seeds: Sequence[int], evaluations: int, domain: str = "eval", **kwargs: Any) -> Found:
        world, _ = world_of(seeds, domain, **kwargs)
        state, objective = world.state_dict()["state"], world.objective
        instance = {
            key.removeprefix("objective/"): value
            for key, value in state.items()
            if key.startswith("objective/")
        }
        x, scale = state["position"].clone(), objective.scale(instance)
        lowest, place = state["value"], x
        first = second = torch.zeros_like(x)
        steps = evaluations // (world.num_agents * GRADIENT_COST)
        for turn in range(1, steps + 1):
            with torch.enable_grad():
                x.requires_grad_()
                value = objective.value(x, instance)
                (gradient,) = torch.autograd.grad(value.sum(), x)
            x, value = x.detach(), value.detach().nan_to_num(torch.inf, torch.inf)
            place = torch.where((value < lowest)[..., None], x, place)
            lowest = torch.minimum(value, lowest)
            gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
            if adam:
                first = 0.9 * first + 0.1 * gradient
                second = 0.999 * second + 0.001 * gradient.square()
                mean, size = first / (1 - 0.9**turn), (second / (1 - 0.999**turn)).sqrt()
                x = x - rate / scale * mean / (size + 1e-12)
            else:
                x = x - rate / scale**2 * gradient
            x = x.clamp(-1, 1)
        best, who = lowest.min(1)
        spot = place.gather(1, who[:, None, None].expand(-1, 1, x.shape[-1]))
        error = (best.double() - objective.optimum).clamp_min(1e-16)
        found = {"best": best.float(), "log_error": error.log10().float()}
        return {**found, **objective.report(spot, instance), "steps": steps}

    return fly


def constants(policy: PSO) -> str:
    """Of PSO, in words."""
    return "w {:g} c {:g} {:g}".format(*policy.coefficients)


def tried(**own: Any) -> dict[str, list[Contender]]:
    """Everything that is tried of each kind, in each with a name for what it was tried with."""

    def plain(given: tuple[float, ...]) -> Contender:
        policy = PSO(*given)
        return Contender(constants(policy), swarm(policy, **own))

    def hybrid(given: tuple[float, ...], rate: float) -> Contender:
        policy = HybridPSO(*given, refine_rate=rate)
        return Contender(f"{constants(policy)}, rate {rate:g}", swarm(policy, **own))

    return {
        "pso": [plain(given) for given in CONSTANTS],
        "hybrid": [hybrid(given, rate) for given, rate in HYBRIDS],
        "gradient descent": [Contender(f"rate {rate:.2g}", descent(rate, adam=False)) for rate in RATES],
        "Adam": [Contender(f"rate {rate:.2g}", descent(rate, adam=True)) for rate in RATES],
    }


def chosen(
    kind: str,
    among: Sequence[Contender],
    by: Callable[[Found], Any],
    statistic: str,
    quick: bool,
    **kwargs: Any,
) -> tuple[Contender, Choice]:
    """The best on selection worlds, with how it was chosen; ``by`` is the larger the better."""
    seeds = range(RANGES.choose.start, RANGES.choose.start + (2 if quick else 32))
    scores = {}
    for contender in track(among[::12] if quick else among, f"{kind}, trials", transient=True):
        scores[contender] = by(contender.fly(seeds, domain="train", **kwargs))
    best = max(scores, key=lambda contender: scores[contender])
    names = [contender.name for contender in among]
    return best, Choice(best.name, names, "training domain", seeds, statistic)


def escapes(found: Found) -> tuple[float, float]:
    """Share of worlds that escape, and where that is equal the median error, negative."""
    return float((found["best"] < ESCAPED).float().mean()), -float(found["best"].median())


def measured(
    file: File, part: str, name: str, flight: Flight, options: dict, choices: Sequence[Choice]
) -> None:
    """Fly reported worlds, and keep what came of each."""
    places, seeds = (part, "policies", name), options["seeds"]
    if file.has(places, seeds):
        return
    found = flight(**options)
    row: Found = {"steps": found["steps"]}
    if part == "hybrid":
        row |= {"error": spread(found["best"].tolist())}
        row |= {"escaped": (found["best"] < ESCAPED).float().tolist()}
        row |= {"log_error": interval(found["log_error"].clamp_min(-16).tolist())._asdict()}
    else:
        accuracy = found["accuracy"].tolist()
        row |= {"loss": spread(found["best"].tolist())}
        row |= {"test_accuracy": interval(accuracy)._asdict() | {"values": accuracy}}
    file.add(places, row, seeds=seeds, chosen=choices)


def hybrid(file: File, quick: bool) -> None:
    """Ackley in 30 dimensions, 40 particles, as it is, and moved and turned, where everything is chosen."""
    worlds, evaluations = (3, 10_000) if quick else (20, 160_000)
    ackley = {"objective": "ackley", "dimensions": 30, "agents": 40, "evaluations": evaluations}
    moved, ring = {"shifted": True, "rotated": True}, {"topology": "ring"}
    statistic = (
        f"share of worlds with an error below {ESCAPED:g}, then the median error, at as many evaluations"
    )
    contenders: dict[str, tuple[Flight, tuple[Choice, ...]]] = {
        "pso": (swarm(PSO()), ()),
        f"pso, {constants(PSO(*GOOD))}": (swarm(PSO(*GOOD)), ()),
        "pso on a ring": (swarm(PSO(), **ring), ()),
        "hybrid, rate .01": (swarm(HybridPSO()), ()),
    }
    kinds = tried() | {"pso on a ring": tried(**ring)["pso"], "hybrid on a ring": tried(**ring)["hybrid"]}
    for kind, among in kinds.items():
        best, how = chosen(kind, among, escapes, statistic, quick, **ackley, **moved)
        contenders[f"{kind}, tuned ({best.name})"] = (best.fly, (how,))
    seeds = list(range(RANGES.report.start, RANGES.report.start + worlds))
    file.only(("hybrid", "policies"), seeds)
    file.about({"evaluations": evaluations, "escaped": ESCAPED}, ("hybrid",))
    for suffix, changes in (("", {}), (", moved and turned", moved)):
        for label, (flight, choices) in contenders.items():
            options = {"seeds": seeds, **ackley, **changes}
            measured(file, "hybrid", label + suffix, flight, options, choices)


def network(file: File, quick: bool) -> None:
    """A 64-16-10 network on digits, its loss on the whole stream; 20 particles."""
    worlds, evaluations = (2, 1000) if quick else (8, 20_000)
    setting = {"objective": "network", "agents": 20, "evaluations": evaluations}
    contenders: dict[str, tuple[Flight, tuple[Choice, ...]]] = {
        "pso": (swarm(PSO()), ()),
        "hybrid, rate .01": (swarm(HybridPSO()), ()),
    }
    for kind, among in tried().items():
        statistic = "median loss at as many evaluations"
        best, how = chosen(
            kind, among, lambda found: -float(found["best"].median()), statistic, quick, **setting
        )
        contenders[f"{kind}, tuned ({best.name})"] = (best.fly, (how,))
    seeds = list(range(RANGES.report.start, RANGES.report.start + worlds))
    file.only(("network", "policies"), seeds)
    file.about({"evaluations": evaluations}, ("network",))
    for label, (flight, choices) in contenders.items():
        measured(file, "network", label, flight, {"seeds": seeds, **setting}, choices)
