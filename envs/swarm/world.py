"""swarm-v0: particles look for the lowest point of an objective, and tell each other the best they found.

## Description
N particles of a world move over an objective: a standard function (`objectives.py`) in D dimensions, or the loss
of a small network, whose flattened weights are then the position. Each remembers the best position it was at;
its *guide* is the best of those that it heard of, or its own where none of those is better. An agent says how its
particle flies on: by its next velocity, or by the three coefficients of the classic rule (Kennedy & Eberhart 1995),
which the world then applies. With `refiners` some particles may also descend along gradients (the hybrid swarm).

All lengths are in *units of half the search box*: positions lie in [−1, 1]^D whatever the objective. A particle
that would leave the box stops at the wall, in that coordinate.

## Observation Space
Flat `Dict`, the same for every agent; the first five only with `actions="velocity"`.

| key | shape | range | meaning |
|---|---|---|---|
| `position` | `D` float32 | [−1, 1] | where one is |
| `velocity` | `D` float32 | [−2, 2] | how one flew last |
| `best` | `D` float32 | [−1, 1] | one's own best position |
| `guide` | `D` float32 | [−1, 1] | the best position heard of in this step, one's own included |
| `log_errors` | `3` float32 | [−4, 4] | log₁₀ of the error (value − lowest value) / 10: here, own best, guide's |
| `features` | `10` float32 | [−1, 1] | how it goes, whatever D and the objective are; see below |
| `elapsed` | `1` float32 | [0, 1] | steps made / horizon |

Features: whether one's best has just improved; how long ago (t/(t + 10)); how long ago the guide's value last fell
(likewise); whether one is one's own guide; the share of those heard whose bests are better than one's own;
distance to one's best, distance to the guide, and speed (root mean square over coordinates, on a log scale from
10⁻¹² to 1); cosines of the velocity with the way to the guide and with the way to one's best. They tell no
value and no coordinate, so a policy trained on one objective can fly another, of another dimension.

## Action Space
Flat `Dict`.

| key | space | meaning |
|---|---|---|
| `velocity` | `Box(−2, 2, (D,))` | with `actions="velocity"`: the next velocity; at most the box's width |
| `coefficients` | `Box(0, (1.4, 3, 3), (3,))` | with `actions="coefficients"`: w, c₁, c₂ |
| `refine` | `Discrete(2)` | only if `refiners` > 0: 1 asks to descend from one's best position |

With coefficients v ← w v + c₁ r₁ (best − x) + c₂ r₂ (guide − x), r₁ and r₂ uniform in every coordinate. A
particle whose numbers are not finite abstains: it stays where it is. Of those who ask, after everyone has flown,
the `refiners` with the best positions take `refine_steps` gradient steps of rate `refine_rate` (in the
objective's own units) from these. Where that leads lower they stay, and it is their best.

## Rewards
`(1 − cooperation)·own + cooperation·swarm`, each a number of *decades*: by how much log₁₀(error + `precision`)
of one's own best position, or of the swarm's, has fallen. The return telescopes: it is how many decades were
won, and below `precision` (1e-8, as in the COCO benchmark) there is nothing more to win. With slices (see
`slice_size`) the error is the loss on a fixed set of exam items, so that a lucky slice pays nothing; it may rise,
and the reward be negative.

## Starting State
Positions anywhere in the box (a network: Gaussian weights of deviation 0.1), velocities half the way to
another such position, nothing heard yet: everyone is its own guide.

## Episode End
Truncation at `horizon`.

## Channel
What crosses is a best position and its value, D + 1 numbers of 4 bytes, on every edge, in every step, dropped ones
included; charged to the sender in `bytes`. `topology="complete"` is gbest, "ring" is lbest, "random" draws
new informants in each step (see `channel.py`). In modes "mute" and "isolated" everyone is its own guide.

## Assumptions
The lowest value is known: 0 everywhere here; an `Objective` of your own says its `optimum`, or a bound below it.
`log_errors` and rewards are of errors above that, and what falls below it wins nothing more. All particles of a world
look at the same slice in the same step (common random numbers), and old bests are valued on it anew.

## Metrics
Per world: `best` (the swarm's lowest value; with slices, on the exam items), `log_error` (log₁₀ of its error, −16 at
least), `mean` (of the particles' present values), `diversity` (root mean square distance from the swarm's centre, per
coordinate), `evaluations` (of one position each; a gradient counts as 3), for networks `accuracy` (of the best,
on up to 1,000 test items). Per particle: `bytes`.

## Arguments
| argument | default | meaning |
|---|---|---|
| `agents` | 20 | N |
| `objective` | "sphere" | a function's name, several (each episode draws one), "network", or an `Objective` |
| `dimensions` | None | D of a function (None: 2) |
| `shifted`, `rotated` | False, False | of functions: move the optimum, turn the axes, anew in each episode |
| `data`, `data_dir` | None, None | of a network: the data set (None: "digits") |
| `hidden` | None | of a network: widths of its hidden layers (None: one of 16) |
| `slice_size` | None | of a network: rows of a step's slice; None looks at the whole stream |
| `horizon` | 200 | steps of an episode |
| `actions` | "velocity" | or "coefficients" |
| `refiners`, `refine_steps`, `refine_rate` | 0, 10, 0.01 | see Action Space |
| `topology` | "complete" | "complete", "ring", "star", "k_regular", "small_world", "random", or a matrix |
| `degree`, `rewire`, `edge_probability` | 2, .1, .5 | of k-regular, small-world and random topologies |
| `drop` | 0 | chance that a message is lost on an edge |
| `mode` | "open" | "open", "mute", "isolated"; or one per world, as controls |
| `cooperation`, `precision` | 1, 1e-8 | see Rewards |
| `dtype` | None | "float64" or "float32" of positions (None: float64 for functions, float32 for networks) |
| `autoreset`, `validate` | True, False | of `make_world`: as in `classroom-v0` |

## Version History
* v0: first release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from ...learners.plain import Plain
from ..channel import Channel, ledger
from ..engine import rng
from ..engine.batch import Batch
from ..engine.last import Last
from ..engine.state import TensorDict, prefixed, under
from ..engine.world import Outcome, World
from ..errors import ConfigError, one_of
from ..validation import MOST_STEPS, afford, flag, real, whole
from . import particles
from .network_loss import NetworkLoss
from .objectives import Function, Objective

FORMS = ("velocity", "coefficients")
COEFFICIENTS = (1.4, 3.0, 3.0)
"""Greatest w, c₁ and c₂: twice the documented ones, which an untrained policy then flies by on the average."""
WIDTH = 2.0
"""Of the search box, and so the greatest velocity in a coordinate."""
DTYPES = {"float64": torch.float64, "float32": torch.float32}

_FLOOR = 1e-300  # of errors whose logarithms are told

COPIES = 8
"""Tensors of the size of all positions that a step holds at a time: positions, velocities, bests, draws, …"""

TRAIL = 16
"""Positions of each particle that pictures show."""


class SwarmWorld(World):
    """The batched world behind ``swarm-v0``; this module's page documents every argument."""

    agent_noun = "particle"
    crosses = frozenset({"weights"})
    forwarded_arguments_to: ClassVar[tuple[type, ...]] = (Batch,)

    def __init__(
        self,
        *,
        agents: int = 20,
        objective: str | Sequence[str] | Objective = "sphere",
        dimensions: int | None = None,
        shifted: bool = False,
        rotated: bool = False,
        data: Any = None,
        data_dir: str | None = None,
        hidden: Sequence[int] | None = None,
        slice_size: int | None = None,
        horizon: int = 200,
        actions: str = "velocity",
        refiners: int = 0,
        refine_steps: int = 10,
        refine_rate: float = 0.01,
        topology: str | Sequence[Sequence[bool]] = "complete",
        degree: int = 2,
        rewire: float = 0.1,
        edge_probability: float = 0.5,
        drop: float = 0.0,
        mode: str | Sequence[str] = "open",
        cooperation: float = 1.0,
        precision: float = 1e-8,
        dtype: str | None = None,
        **batch: Any,
    ) -> None:
        super().__init__(num_agents=agents, horizon=horizon, **batch)
        turned = {
            name: flag(name, value) or None for name, value in (("shifted", shifted), ("rotated", rotated))
        }
        of_functions = {"dimensions": dimensions, **turned}
        of_networks = {"data": data, "data_dir": data_dir, "hidden": hidden, "slice_size": slice_size}
        self.objective = _objective(objective, of_functions, of_networks, self.device)
        self.dtype = self.objective.dtype if dtype is None else DTYPES[one_of("dtype", dtype, DTYPES)]
        self.form = one_of("form of actions", actions, FORMS)
        self._most = torch.tensor(COEFFICIENTS, device=self.device, dtype=self.dtype)
        self.refiners = whole("refiners", refiners, 0, self.num_agents)
        self.refine_steps = whole("refine_steps", refine_steps, 1, MOST_STEPS)
        self.refine_rate = real("refine_rate", refine_rate, 0)
        self.cooperation = real("cooperation", cooperation, 0, 1)
        self.precision = real("precision", precision, 1e-30)
        self._in_decades = Last(self._decades, kept=2)  # of before and now
        self.channel = Channel(
            self.num_agents,
            self.num_worlds,
            topology=topology,
            degree=degree,
            rewire=rewire,
            edge_probability=edge_probability,
            drop=drop,
            mode=mode,
            device=self.device,
        )
        if self.channel.shuffles:
            raise ConfigError("a position has no rows to shuffle: mode must be 'open', 'mute' or 'isolated'")
        self._declare()

    def _declare(self) -> None:
        """Spaces and draws."""
        n, d = self.num_agents, self.objective.dimensions
        copies = COPIES * self.dtype.itemsize // 4  # numbers are counted as float32
        afford(self.num_worlds, "agents or the dimensions", agents=n, dimensions=d, copies=copies)
        if isinstance(self.objective, Function) and self.objective.rotated:
            afford(self.num_worlds, "the dimensions", rows=d, columns=d, copies=copies)
        if isinstance(self.objective, NetworkLoss) and self.objective.rows:
            sizes = {"slice_size": self.objective.rows, "agents": n, "units": max(self.objective.sizes)}
            afford(self.num_worlds, "slice_size, agents or hidden", **sizes)
        observed: dict[str, spaces.Space] = {}
        acted: dict[str, spaces.Space] = {}
        draws = self.objective.step_draws() | self.channel.step_draws(1, 1)
        if self.form == "velocity":
            inside, flight = spaces.Box(-1, 1, (d,), np.float32), spaces.Box(-WIDTH, WIDTH, (d,), np.float32)
            observed |= {"position": inside, "velocity": flight, "best": inside, "guide": inside}
            observed["log_errors"] = spaces.Box(-4, 4, (3,), np.float32)
            acted["velocity"] = flight
        else:
            acted["coefficients"] = spaces.Box(np.zeros(3, np.float32), np.array(COEFFICIENTS, np.float32))
            draws["swarm/pull"] = particles.pull_draws(n, d)
        if self.refiners:
            acted["refine"] = spaces.Discrete(2)
        observed["features"] = spaces.Box(-1, 1, (particles.FEATURES,), np.float32)
        observed["elapsed"] = spaces.Box(0, 1, (1,), np.float32)
        self.observation_space, self.action_space = spaces.Dict(observed), spaces.Dict(acted)
        self.step_draws = rng.Draws(draws)
        scattered = {"swarm/position": (n, d), "swarm/aim": (n, d)}
        self.reset_draws = rng.Draws(scattered | self.objective.reset_draws() | self.channel.reset_draws())

    # ---- how it moves -------------------------------------------------------------------------------

    def start(self, draws: rng.DrawDict, state: TensorDict) -> TensorDict:
        """Particles at random places, half on the way to others; every place is valued once."""
        w, n = self.num_worlds, self.num_agents
        position, aim = (
            self.objective.scatter(draws[name]).to(self.dtype) for name in ("swarm/position", "swarm/aim")
        )
        instance = self.objective.start(draws)
        value = self._value(position, instance)
        never = torch.zeros(w, n, dtype=torch.int64, device=self.device)
        myself = torch.arange(n, device=self.device).expand(w, n).contiguous()
        return {
            **prefixed("objective/", instance),
            **self.channel.start(draws, 1, w),
            "position": position,
            "velocity": (aim - position) / 2,
            "value": value,
            "best": position,
            "best_value": value,
            "worth": self._worth(position, value, instance),
            "guide": myself,
            "better_heard": torch.zeros(w, n, device=self.device),
            "since": never,
            "guide_since": never,
            "evaluations": torch.full((w,), n, device=self.device),
            "bits": never,
            "trail": _seen(position)[:, None].expand(-1, TRAIL, -1, -1).contiguous(),
        }

    def advance(self, state: TensorDict, actions: TensorDict, draws: rng.DrawDict) -> Outcome:
        """Fly, look, remember, descend, tell."""
        objective = self.objective
        velocity = self._velocity(state, actions, draws)
        flown = state["position"] + velocity
        position = flown.clamp(-1, 1)
        velocity = torch.where(position == flown, velocity, 0.0)
        instance = objective.advance(under(state, "objective/"), draws)
        value = self._value(position, instance)
        old = self._value(state["best"], instance) if objective.noisy else state["best_value"]
        better = value < old
        looks = (1 + objective.noisy) * self.num_agents
        moved = {
            "position": position,
            "value": value,
            "best": torch.where(better[..., None], position, state["best"]),
            "best_value": torch.where(better, value, old),
            "evaluations": state["evaluations"] + looks,
        }
        if self.refiners:
            moved = self._refine(moved, actions["refine"] == 1, instance)
        size = torch.full(value.shape, ledger.weights(objective.dimensions + 1), device=self.device)
        route = self.channel.route(size, state, draws)
        told = self._listen(state, moved, old, route.heard)
        worth = self._worth(moved["best"], moved["best_value"], instance)
        new = {
            **state,
            **prefixed("objective/", instance),
            **moved,
            **told,
            "velocity": velocity,
            "worth": worth,
            "since": torch.where(moved["best_value"] < old, 0, state["since"] + 1),
            "bits": state["bits"] + route.sent_bits,
            "trail": torch.cat([state["trail"][:, 1:], _seen(moved["position"])[:, None]], dim=1),
        }
        reward = self._progress(state["worth"], worth)
        info = {"bytes": route.sent_bits / 8, "evaluations": moved["evaluations"] - state["evaluations"]}
        return Outcome(new, reward, info)

    def _value(self, x: Tensor, instance: TensorDict) -> Tensor:
        """Values ``[W, N]``; what is no number counts as the worst."""
        return _valued(self.objective.value(x, instance), x).nan_to_num(torch.inf, torch.inf)

    def _worth(self, x: Tensor, value: Tensor, instance: TensorDict) -> Tensor:
        """What bests are worth to the one who pays, ``[W, N]``; what is no number counts as the worst."""
        worth = self.objective.judge(x, value, instance)
        return worth if worth is value else _valued(worth, x).nan_to_num(torch.inf, torch.inf)

    def _velocity(self, state: TensorDict, actions: TensorDict, draws: rng.DrawDict) -> Tensor:
        """Next velocities ``[W, N, D]``, bounded; 0 of those who abstain."""
        x, v = state["position"], state["velocity"]
        if self.form == "velocity":
            velocity = actions["velocity"].to(self.dtype)
            finite = velocity.isfinite().all(-1, keepdim=True)
            return torch.where(finite, velocity, 0.0).clamp(-WIDTH, WIDTH)
        given = actions["coefficients"].to(self.dtype)
        finite = given.isfinite().all(-1, keepdim=True)
        w, c1, c2 = torch.where(finite, given, 0.0).clamp_min(0).minimum(self._most).split(1, dim=-1)
        r = particles.pulls(draws["swarm/pull"].bits(), *x.shape[1:])
        guide = particles.pick(state["guide"], state["best"])
        return particles.fly(v, x, state["best"], guide, r, w, c1, c2).clamp_(-WIDTH, WIDTH)

    def _refine(self, moved: TensorDict, asked: Tensor, instance: TensorDict) -> TensorDict:
        """Gradient steps of the best ``refiners`` among those who asked (bool ``[W, N]``)."""
        ranked = torch.where(asked, moved["best_value"], torch.inf)
        chosen = ranked.argsort(dim=1, stable=True)[:, : self.refiners]
        does = asked.gather(1, chosen)
        scale = self.objective.scale(instance)
        start = particles.pick(chosen, moved["best"])

        def objective(x: Tensor) -> Tensor:
            return self.objective.value(x, instance)

        rate = torch.as_tensor(self.refine_rate / scale**2, dtype=self.dtype, device=self.device)
        lower = particles.descend(objective, start, self.refine_steps, rate, limit=1.0)
        value = self._value(lower, instance)
        won = does & (value < particles.pick(chosen, moved["best_value"]))
        found = {"position": lower, "best": lower, "value": value, "best_value": value}
        cost = does.sum(1) * (1 + particles.GRADIENT_COST * self.refine_steps)
        return {
            "evaluations": moved["evaluations"] + cost,
            **{k: particles.put(moved[k], chosen, new, won) for k, new in found.items()},
        }

    def _listen(self, state: TensorDict, moved: TensorDict, old: Tensor, heard: Tensor) -> TensorDict:
        """Who leads whom from now on; ``old`` is what bests were worth before, on this step's slice."""
        values, who = moved["best_value"], self.channel.neighbours(state)
        told = torch.where(heard, who.of(values), torch.inf)
        guide = particles.guides(values, told, who.index)
        fell = values.gather(1, guide) < old.gather(1, state["guide"])
        better = told < values[..., None]
        return {
            "guide": guide,
            "guide_since": torch.where(fell, 0, state["guide_since"] + 1),
            "better_heard": better.sum(-1) / heard.sum(-1).clamp_min(1),
        }

    def _progress(self, before: Tensor, now: Tensor) -> Tensor:
        """Decades won since the step before, float32 ``[W, N]``, from what bests are worth."""
        (own, swarm), (own_now, swarm_now) = self._in_decades(before), self._in_decades(now)
        own, swarm = own - own_now, swarm - swarm_now
        return ((1 - self.cooperation) * own + self.cooperation * swarm).float()

    def _decades(self, worth: Tensor) -> tuple[Tensor, Tensor]:
        """log₁₀ of what bests are worth, float64 ``[W, N]``, and of the best of all, ``[W, 1]``."""

        def decades(worth: Tensor) -> Tensor:
            return torch.log10((worth.double() - self.objective.optimum).clamp(0, 1e40) + self.precision)

        return decades(worth), decades(worth.amin(1, keepdim=True))

    # ---- what is seen -------------------------------------------------------------------------------

    def observe(self, state: TensorDict) -> TensorDict:
        """The tables of this module's page, ``[W, N, …]``."""
        w, n = self.num_worlds, self.num_agents
        x, v, best = state["position"], state["velocity"], state["best"]
        guide = particles.pick(state["guide"], best)
        time = (state["clock"].float() / self.horizon)[:, None, None].expand(w, n, 1)
        since, guide_since, better = (state[k] for k in ("since", "guide_since", "better_heard"))
        leads = state["guide"] == torch.arange(n, device=self.device)
        told = particles.features(v, best - x, guide - x, since, guide_since, leads, better)
        obs = {"features": told, "elapsed": time}
        if self.form == "coefficients":
            return obs
        values = (state["value"], state["best_value"], state["best_value"].gather(1, state["guide"]))
        errors = (self._log_error(torch.stack(values, dim=-1)) / 10).clamp(-4, 4)
        exact = {"position": x, "velocity": v, "best": best, "guide": guide, "log_errors": errors}
        return obs | {k: value.float() for k, value in exact.items()}

    def _log_error(self, value: Tensor) -> Tensor:
        """log₁₀ of errors."""
        return (value.double() - self.objective.optimum).clamp(_FLOOR, 1e40).log10()

    def summary(self, state: TensorDict) -> TensorDict:
        """See Metrics."""
        best, who = state["worth"].min(1)
        centre = state["position"].mean(1, keepdim=True)
        place = particles.pick(who[:, None], state["best"])
        return {
            "best": best.float(),
            "log_error": self._log_error(best).clamp_min(-16).float(),  # else one exact 0 decides every mean
            "mean": state["value"].mean(1).float(),
            "diversity": (state["position"] - centre).square().mean((1, 2)).sqrt().float(),
            "evaluations": state["evaluations"],
            "bytes": state["bits"] / 8,
            **self.objective.report(place, under(state, "objective/")),
        }

    def export(self, world: int) -> dict[str, Plain]:
        """The network at the best position of each particle, under its name, where the objective is one."""
        best = self._begun()["best"][world]
        found = {name: self.objective.export(x) for name, x in zip(self.agents, best, strict=True)}
        return {
            name: plain._replace(agent=place)
            for place, (name, plain) in enumerate(found.items())
            if plain is not None
        }

    def picture(self, state: TensorDict, world: int, mode: str) -> str | np.ndarray:
        """The particles over the first two coordinates, and how far the swarm has come."""
        from .picture import as_image, as_text

        return as_text(self, state, world) if mode == "ansi" else as_image(self, state, world)


def _seen(position: Tensor) -> Tensor:
    """What pictures show of positions ``[W, N, D]``: the first two coordinates, float32 ``[W, N, 2]``."""
    seen = position[..., :2].float()
    return seen if seen.shape[-1] == 2 else F.pad(seen, (0, 1))


def _valued(value: Any, x: Tensor) -> Tensor:
    """What an objective, which may be a user's, made of positions ``[W, N, D]``, if it is ``[W, N]``."""
    given = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    if given != tuple(x.shape[:2]):
        raise ConfigError(
            f"the objective must value positions {list(x.shape)} as a tensor {list(x.shape[:2])}, got {given}"
        )
    return value


def _objective(
    given: Any, of_functions: dict[str, Any], of_networks: dict[str, Any], device: torch.device
) -> Objective:
    """The objective that the arguments name; those that do not belong to it are refused."""
    functions = {k: v for k, v in of_functions.items() if v is not None}
    networks = {k: v for k, v in of_networks.items() if v is not None}
    kind, strange = "functions", networks
    if isinstance(given, Objective):
        kind, strange = "an Objective of your own", functions | networks
    elif isinstance(given, str) and given == "network":
        kind, strange = "a network", functions
    if strange:
        raise ConfigError(f"{', '.join(strange)} cannot be set where the objective is {kind}")
    if isinstance(given, Objective):
        for name in ("dimensions", "optimum"):
            if not hasattr(given, name):
                raise ConfigError(f"objective {type(given).__name__} does not say its {name}: see Objective")
        whole("dimensions of the objective", given.dimensions, 1)
        real("optimum of the objective", given.optimum, -torch.inf)
        return given
    return NetworkLoss(**networks, device=device) if kind == "a network" else Function(given, **functions)
