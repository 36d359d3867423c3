"""Running a scenario: every seed and every control side by side in one batch of worlds."""

from __future__ import annotations

import dataclasses
import math
import numbers
import time
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...envs import make_world
from ...envs.engine import TensorDict
from ...envs.engine.fits import Misfit, check_fits
from ...envs.errors import ConfigError, short
from ...envs.files import make_folder
from ...envs.validation import LAST_SEED, MOST_WORLDS, real, whole
from ...policies import make_policy
from ...scenarios import Scenario, get_scenario
from ..metrics.divergence import sound
from ..metrics.measure import Measured, account, budget_left, findings, kib
from ..metrics.names import COUNTED
from ..reports.report import is_measured
from ..storage.checkpoints import Checkpoints
from ..storage.folders import ANEW
from ..storage.networks import SUFFIX, origin_of, write_network
from ..terminal.interrupts import Stopped
from .recorder import Recorder
from .result import Result

_CURVE_POINTS = 200
_SAVED = (
    "metrics",
    "curves",
    "steps",
    "budget_spent_at",
    "seconds",
    "diverged",
)  # of a report, while it runs
_OF_A_SEED = ("env", "env_kwargs", "policy", "policy_kwargs")  # of a scenario: what decides how a seed goes
_LIVE_EVERY = 0.1  # seconds between two live reports: looking at figures makes a GPU wait


@dataclass
class Live:
    """The live figures of a run, for progress bars."""

    step: int
    steps: int
    headline: str  # the metric that is shown
    mean: float  # its mean over the open worlds and their agents
    best: float  # mean over worlds of the highest of an agent; NaN where a world has a single value
    budget: float  # fraction of the teacher's budget left; NaN where the world has none
    kib: float  # KiB sent per open world so far; NaN where nothing is charged
    steps_per_second: float


class Rollout:
    """One run of a scenario, which can be saved at any step and taken up again.

    Args:
        scenario: What to run, or the name of one that is registered.
        seeds: World seeds; a number is that one seed, as on the command line, and None takes the scenario's.
        device: Where the tensors live.

    Raises:
        UnknownName: There is no scenario of that name; lists the near ones.
        ConfigError: No seeds, something that is no seed, or a scenario that cannot be set up.
    """

    def __init__(
        self,
        scenario: Scenario | str,
        *,
        seeds: int | Iterable[int] | None = None,
        device: str = "cpu",
    ) -> None:
        scenario = scenario if isinstance(scenario, Scenario) else get_scenario(scenario)
        self.seeds = scenario.seeds if seeds is None else seeds_of(seeds)
        self.scenario = scenario
        self.modes = ["open", *scenario.controls]
        self.policy = make_policy(scenario.policy, **scenario.policy_kwargs)  # before any data are loaded
        scenario.check_takes(self.policy.world_kwargs)
        kwargs = {**scenario.env_kwargs, **self.policy.world_kwargs}
        if scenario.controls:
            if "mode" in kwargs:
                raise ConfigError(
                    "a scenario with controls sets the channel's mode itself: give one or the other"
                )
            if "mode" not in scenario.world_arguments:
                raise ConfigError(f"{scenario.env} has no modes to run controls in: leave the controls out")
            kwargs["mode"] = [mode for mode in self.modes for _ in self.seeds]
        self.world = make_world(
            scenario.env,
            num_worlds=len(self.seeds) * len(self.modes),
            device=device,
            autoreset=False,
            **kwargs,
        )
        if beyond := [step for step in scenario.measure_at if step > self.world.horizon]:
            raise ConfigError(
                f"measure_at names step {beyond[0]} of an episode of {self.world.horizon}: leave it out, or make "
                "episodes longer"
            )
        self.policy.bind(self.world)
        self.obs = self.world.reset(seed=list(self.seeds) * len(self.modes), options={"domain": "eval"})
        self.policy.reset()
        self.report = Result(
            scenario,
            self.seeds,
            device=str(self.world.device),
            transductive=self.policy.transductive,
            headline=self.world.headline,
            noun=self.world.agent_noun,
        )
        self._done = 0
        self._before = 0.0  # seconds spent before a resume
        self._pictures: list[bytes] = []  # as PNG
        self._recorder = Recorder(self.world, len(self.seeds))
        self._left: set[Path] = set()

    def __repr__(self) -> str:
        """What is run, and how far it is."""
        return (
            f"<Rollout of {self.scenario.name}: step {self._done:,} of {self.steps:,}, seeds {list(self.seeds)}, "
            f"{', '.join(self.modes)}, {self.world.device}>"
        )

    @property
    def steps(self) -> int:
        """Steps of the run."""
        return self.world.horizon

    @property
    def done(self) -> int:
        """Steps made."""
        return self._done

    @property
    def pictures(self) -> list[np.ndarray]:
        """Those of the first open world that were kept, uint8 ``[H, W, 3]`` each."""
        from ...envs.engine.drawing import from_png

        return [from_png(picture) for picture in self._pictures]

    def run(
        self,
        *,
        on_step: Callable[[Live], None] | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: float = 20.0,
        stop: Callable[[], bool] | None = None,
        pictures: int = 0,
        networks: Path | None = None,
        after_step: Callable[[], None] | None = None,
    ) -> Result:
        """Run to the end of the episode, then measure; arguments as of :meth:`simulate`."""
        self.simulate(
            on_step=on_step,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            stop=stop,
            pictures=pictures,
            networks=networks,
            after_step=after_step,
        )
        self._record(findings(self.world, self.policy) | account(self.world), "")
        self.report.decisions = self._decisions()
        self.report.trace = self._recorder.made()
        return self.report

    def simulate(
        self,
        *,
        on_step: Callable[[Live], None] | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: float = 20.0,
        stop: Callable[[], bool] | None = None,
        pictures: int = 0,
        networks: Path | None = None,
        after_step: Callable[[], None] | None = None,
    ) -> None:
        """Step to the end of the episode.

        Args:
            on_step: Is told the live figures, some ten times a second and at the last step.
            checkpoint: Folder to save into every ``checkpoint_every`` seconds, and at the end.
            checkpoint_every: Seconds, 0 or more.
            stop: Is asked after every step whether to stop there.
            pictures: How many of the first open world to keep in ``pictures`` at most, at steps further and further
                apart, since most happens early; fewer where there are fewer steps, none of a world that cannot be
                drawn.
            networks: Folder to leave networks of open worlds in that learn no more, ``seed_S/…`` of each seed, as soon
                as the policy has them; what is there already is written anew.
            after_step: Is called after every step.

        Raises:
            Stopped: ``stop`` said so; a checkpoint was saved where there is a folder for it.
            ConfigError: ``checkpoint_every`` is no time, or a file cannot be written.
        """
        real("checkpoint_every", checkpoint_every, 0)
        begun = saved = shown = time.perf_counter()
        every = max(1, self.steps // _CURVE_POINTS)
        drawn = _instants(self.steps, pictures if "rgb_array" in self.world.metadata["render_modes"] else 0)
        milestones = {*self.policy.milestones, *self.world.milestones}
        over = self._over()
        if networks is not None:
            self._leave(networks)
        while not over:
            actions = self.policy.act(self.obs)
            with torch.no_grad():  # nobody learns from a step's loss here
                step = self.world.step(actions)
            self.obs = step.obs
            self._done += 1
            over = self._over()
            if over:
                self.policy.end(step.final_obs, step.terminated | step.truncated)
            if over or self._done % every == 0:
                self._record_curve()
            if over or self._done % every == 0 or self._done in self.scenario.measure_at:
                self._record_divergence(actions)
            if over or self._done % self._recorder.every == 0:
                self._recorder.look(self._done)
            if drawn and (over or self._done in drawn):
                self._draw()
            if self._done in self.scenario.measure_at:
                self._record(findings(self.world, self.policy), f"@{self._done}")
            if networks is not None and (over or self._done in milestones):
                self._leave(networks)
            if after_step is not None:
                after_step()
            now = time.perf_counter()
            self.report.seconds = self._before + now - begun
            if on_step is not None and (over or now - shown >= _LIVE_EVERY):
                on_step(self._live(self._done / self.report.seconds))
                shown = now
            stopping = not over and stop is not None and stop()
            if checkpoint is not None and (over or stopping or now - saved >= checkpoint_every):
                self.save(checkpoint)
                saved = now
            if stopping:
                raise Stopped(self._done, self.steps)

    def _draw(self) -> None:
        """Keep a picture of the first open world."""
        from ...envs.engine.drawing import as_png

        self._pictures.append(as_png(np.asarray(self.world.render("rgb_array"))))
        self._recorder.keep_scene(self._done, self._pictures[-1])

    def _over(self) -> bool:
        """Whether every world's episode has ended; known on the host."""
        return bool(self.world.ended.all())

    # ---- recording ----------------------------------------------------------------------------------

    def _rows(self, mode: str) -> slice:
        start = self.modes.index(mode) * len(self.seeds)
        return slice(start, start + len(self.seeds))

    def _record_curve(self) -> None:
        values = self.world.metrics()[self.world.headline].cpu()
        values = values.reshape(len(values), -1).expand(-1, self.world.num_agents)  # [W, N], of [W] too
        self.report.steps.append(self._done)
        for mode in self.modes:
            self.report.curves.setdefault(mode, []).append(values[self._rows(mode)].tolist())
        left = budget_left(self.world)[self._rows("open")]
        if self.report.budget_spent_at is None and bool((left <= 0).all()):
            self.report.budget_spent_at = self._done

    def _record_divergence(self, actions: TensorDict | Tensor) -> None:
        """Note who is not finite any more; only here, since looking makes a GPU wait."""
        gone = ~sound(self.world, self.policy, actions).cpu()
        clock = self.world.clock
        for mode in self.modes:
            rows = self._rows(mode)
            for seed, row in zip(self.seeds, range(rows.start, rows.stop), strict=True):
                for agent in gone[row].nonzero().flatten().tolist():
                    own = self.report.diverged.setdefault(mode, {}).setdefault(str(seed), {})
                    own.setdefault(self.world.agents[agent], int(clock[row]))

    def _record(self, found: Measured, suffix: str) -> None:
        for mode in self.modes:
            metrics = self.report.metrics.setdefault(mode, {})
            gone = self._diverged(mode)
            for name, values in found.items():
                rows = values[self._rows(mode)].cpu()
                if values.dim() == 1:
                    lost = gone.any(-1) & (name not in COUNTED)
                    metrics[name + suffix] = rows.masked_fill(lost, math.nan).tolist()
                elif name + suffix == "students":
                    self.report.students[mode] = rows.masked_fill(gone, math.nan).tolist()

    def _decisions(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """What the policy decided and why, by mode and seed; empty where it tells nothing."""
        found: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for mode in self.modes:
            rows = self._rows(mode)
            for seed, row in zip(self.seeds, range(rows.start, rows.stop), strict=True):
                told = [
                    {**decision._asdict(), "agent": self.world.agents[decision.agent]}
                    for decision in self.policy.decisions(row)
                ]
                if told:
                    found.setdefault(mode, {})[str(seed)] = told
        return found

    def _diverged(self, mode: str) -> Tensor:
        """Whose figures are none, bool ``[seeds, N]``."""
        found = self.report.diverged.get(mode, {})
        return torch.tensor(
            [[agent in found.get(str(seed), {}) for agent in self.world.agents] for seed in self.seeds]
        )

    def _live(self, rate: float) -> Live:
        metrics, rows = self.world.metrics(), self._rows("open")
        values = metrics[self.world.headline][rows]
        return Live(
            step=self._done,
            steps=self.steps,
            headline=self.world.headline,
            mean=float(values.mean()),
            best=math.nan if values.dim() == 1 else float(values.amax(-1).mean()),
            budget=float(budget_left(self.world)[rows].mean()),
            kib=float(kib(metrics)[rows].mean()),
            steps_per_second=rate,
        )

    def _leave(self, folder: Path) -> None:
        """Write what the world keeps of its learners, and what the policy has of networks that learn no more.

        What was there before, of a run that is taken up, is written anew: it may have been damaged.
        """
        rows, experts = self._rows("open"), self.world.privileged().get("experts")
        configuration = {name: getattr(self.scenario, name) for name in _OF_A_SEED}
        for seed, row in zip(self.seeds, range(rows.start, rows.stop), strict=True):
            origin = origin_of(configuration, seed)
            self.world.leave(row, folder / f"seed_{seed}")
            for name, network in self.policy.modules(row).items():
                path = folder / f"seed_{seed}" / f"{name}{SUFFIX}"
                if path in self._left:
                    continue
                own = []
                if network.agent is not None and experts is not None:
                    own = experts[row, network.agent].nonzero().flatten().tolist()
                make_folder(path.parent)
                write_network(path, network, self.world.dataset, own, origin)  # type: ignore[attr-defined]
                self._left.add(path)

    # ---- saving -------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write a checkpoint, whole or not at all; the one before is kept.

        Raises:
            ConfigError: It cannot be written.
        """
        report = {name: getattr(self.report, name) for name in _SAVED}
        state = {"world": self.world.state_dict(), "policy": self.policy.state_dict(), "done": self._done}
        pictures = [torch.frombuffer(bytearray(picture), dtype=torch.uint8) for picture in self._pictures]
        kept = {"trace": self._recorder.state(), "pictures": pictures}
        self._checkpoints(folder).write({**state, "report": report, **kept})

    def load(self, folder: Path) -> None:
        """Take up a run where its last checkpoint left it.

        Raises:
            ConfigError: There is no checkpoint, none can be read, or it belongs to another run.
        """
        checkpoints = self._checkpoints(folder)
        saved, before = checkpoints.read(self.world.device), self.world.state_dict()
        try:
            report = self._saved_report(saved.pop("report", None))
            trace = saved.pop("trace", None)  # those of earlier versions had none
            pictures = _saved_pictures(saved.pop("pictures", []))  # nor these
            check_fits(saved, {"world": ..., "policy": ..., "done": 0})  # these two look at theirs themselves
            self.world.load_state_dict(saved["world"])
            clock, domain = self.world.clock, self.world.domain
            if clock.min() < 0 or clock.max() != saved["done"] or domain != before["domain"]:
                raise Misfit("the steps done, or their seeds' domain, are something else")
            self.policy.load_state_dict(saved["policy"])
            if trace is not None:
                self._recorder.take_up(trace)
        except (Misfit, ConfigError) as fault:
            self.world.load_state_dict(before)
            raise checkpoints.misfit(fault) from fault
        self._done, self.report, self._before = saved["done"], report, report.seconds
        self._pictures = pictures
        self.obs = self.world.obs

    def load_if_saved(self, folder: Path) -> bool:
        """:meth:`load`, where there is a checkpoint; whether there was."""
        saved = self._checkpoints(folder).exist
        if saved:
            self.load(folder)
        return saved

    def _saved_report(self, saved: Any) -> Result:
        if not isinstance(saved, dict) or saved.keys() != set(_SAVED):
            raise Misfit("report is something else")
        report = dataclasses.replace(self.report, **saved)
        if not is_measured(report):
            raise Misfit("report is something else")
        return report

    def _checkpoints(self, folder: Path) -> Checkpoints:
        scenario = self.scenario
        configuration = {name: getattr(scenario, name) for name in (*_OF_A_SEED, "controls", "measure_at")}
        return Checkpoints(folder, {**configuration, "seeds": self.seeds}, ANEW["run"])


def _saved_pictures(saved: Any) -> list[bytes]:
    """Pictures of a checkpoint as PNG, each of which can be read."""
    from PIL import Image

    from ...envs.engine.drawing import from_png

    if not isinstance(saved, list) or not all(
        isinstance(p, Tensor) and p.dtype == torch.uint8 for p in saved
    ):
        raise Misfit("pictures are something else")
    pictures = [picture.cpu().numpy().tobytes() for picture in saved]
    try:
        whole = all(from_png(picture).shape[2:] == (3,) for picture in pictures)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
        raise Misfit("pictures cannot be read") from fault
    if not whole:
        raise Misfit("pictures are something else")
    return pictures


def seeds_of(given: int | Iterable[int]) -> tuple[int, ...]:
    """Checked seeds, as Python's numbers.

    Raises:
        ConfigError: There are none, more than a batch has worlds, one is no seed, or one is there twice.
    """
    if isinstance(given, str) or not isinstance(given, (Iterable, numbers.Integral)):
        raise ConfigError(f"seeds are one whole number or several, e.g. 3 or range(5), got {short(given)}")
    several = given if isinstance(given, Iterable) else (given,)
    if isinstance(several, Sized) and len(several) > MOST_WORLDS:
        raise ConfigError(
            f"{len(several):,} seeds are too many: each is a world, of which a batch has {MOST_WORLDS:,}"
        )
    seeds = tuple(whole("a seed", seed, 0, LAST_SEED) for seed in several)
    if not seeds:
        raise ConfigError("a run needs at least one seed")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds {short(list(seeds))} name a seed twice: every seed is one world")
    return seeds


def _instants(steps: int, most: int) -> set[int]:
    """Steps from the first to the last, ``most`` at most, each some four times as far as the one before, or farther."""
    count = min(most, 1 + math.ceil(math.log(steps, 4)))
    return {round(steps ** (i / max(1, count - 1))) for i in range(count)}
