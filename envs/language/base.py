"""What worlds share whose learners are language models: a stream of texts, exams in nats, and what tasks did to them.

A subclass says who the agents are, what they decide, and how a slice is learnt; it calls :meth:`LanguageWorld.begin`
in ``start`` and :meth:`LanguageWorld.go_on` in ``advance``.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ...learners.plain import Plain
from ...learners.transformer import Transformer
from .. import continual
from ..arguments import find_device, refuse, share_out
from ..engine import rng
from ..engine.batch import Batch
from ..engine.parts import Part
from ..engine.state import TensorDict, prefixed, under
from ..engine.world import World
from ..errors import ConfigError, one_of, short
from ..files import make_folder
from ..validation import afford, real
from .files import SUFFIX, check_fits, exported, read_models, write_model
from .models import Learning, Models
from .stored import StoredModel
from .texts import REFUSED, Calendar, Texts, drawn_windows

TESTED = 256
"""Windows of each domain at most that are read of the test split."""

_PARTS = 100  # of an episode, in which it is kept who learnt
_FAST, _SLOW = 0.3, 0.1  # weights of the newest loss in the two means of losses


class LanguageWorld(World):
    """See this module's page.

    Args:
        num_agents: N.
        horizon: Steps of an episode.
        width: E, of the model.
        heads: Of each attention.
        layers: L.
        feedforward: Width of the feed-forward layers.
        dropout: In learning.
        init: "scaled" or "xavier".
        models: Of each world: 1, or one a domain.
        warm: Files of models that episodes begin with, one of them drawn for each, or one alone; None: fresh models.
        reward_scale: Reward of a nat.
        domain_weights: How much each domain counts in the score; None: all alike.
        boundaries: "told" or "hidden": whether agents see which domain is on.
        **others: Of :class:`~studyhall.envs.engine.batch.Batch`, :class:`Texts` and :class:`Learning`.

    Attributes:
        dataset: The texts.
        net: Sizes of the model.
        models: The models, changed in place.
        known: Numbers of the domains that all models of ``warm`` have learnt.
        tasks: Numbers of the domains in the order in which they are learnt.
    """

    headline = "nats"
    forwarded_arguments_to: ClassVar[tuple[type, ...]] = (Batch, Texts, Learning)
    refused_arguments: ClassVar[Mapping[str, str]] = REFUSED

    def __init__(
        self,
        *,
        horizon: int = 400,
        width: int = 32,
        heads: int = 2,
        layers: int = 4,
        feedforward: int = 64,
        dropout: float = 0.0,
        init: str = "scaled",
        warm: Any = None,
        reward_scale: float = 1.0,
        domain_weights: Sequence[float] | None = None,
        boundaries: str = "told",
        **others: Any,
    ) -> None:
        refuse(type(self).__name__, others, self.refused_arguments)
        batch, texts, learning = share_out(type(self).__name__, others, *self.forwarded_arguments_to)
        self.texts, self.learning = Texts(**texts), Learning(**learning)
        sizes: dict[str, Any] = {"width": width, "heads": heads, "layers": layers, "feedforward": feedforward}
        stored = read_models(warm)
        if stored and "tokeniser" not in texts:  # what they read by
            self.texts = Texts(**texts, tokeniser=stored[0].tokeniser)
        self.boundaries = one_of("boundaries", boundaries, ("told", "hidden"))
        self.reward_scale = real("reward_scale", reward_scale, 0)
        device = find_device(batch.get("device", "cpu"))
        self.dataset = self.texts.dataset(device)
        self.net = self.make_net(
            vocabulary=self.dataset.tokeniser.size,
            length=self.texts.length,
            dropout=dropout,
            init=init,
            **sizes,
        )
        for model in stored:
            self.check_warm(model)
        self.tasks = self.texts.order_of(self.dataset.classes)
        super().__init__(num_agents=self.count_agents(), horizon=horizon, **batch)
        self.models: Any = self.make_models([model.parameters for model in stored])
        self.schedule = self.texts.schedule(
            self.dataset.stream, 1, self.horizon, **({"tasks": self.tasks} if self.incremental else {})
        )
        self.exam = self.texts.exam(self.dataset.exam, self.horizon)
        self._afford()
        length = self.schedule.slices_per_pass if self.texts.order == "single_pass" else self.horizon
        self.calendar = Calendar(min(length, self.horizon), len(self.tasks), self.texts.exam_every)
        names = [set(model.learnt) for model in stored]
        self.known = [
            d for d, name in enumerate(self.dataset.classes) if names and all(name in n for n in names)
        ]
        self._weights = torch.tensor(_weights(domain_weights, self.domains), device=self.device)
        self.reset_draws = rng.Draws(self.schedule.reset_draws() | self.exam.draws(self.dataset.exam))
        self.step_draws = rng.Draws(self.schedule.step_draws())

    def _afford(self) -> None:
        """Refuse slices, exams and anchors that take memory out of all proportion."""
        rows, length, width = self.schedule.rows, self.texts.length, self.net.width
        worlds, heads = self.num_worlds, self.net.heads
        afford(worlds, "slice_size or length", slice_size=rows, length=length, width=width)
        afford(worlds, "slice_size or length", slice_size=rows, heads=heads, length=length, tokens=length)
        afford(worlds, "exam_size", exam_size=self.exam.size, length=length)
        if self.learning.anchor == "ewc":
            slices = self.learning.anchor_slices
            afford(worlds, "anchor_slices", anchor_slices=slices, slice_size=rows, length=length)

    @abstractmethod
    def count_agents(self) -> int:
        """N, from ``net`` and ``dataset``."""

    def count_models(self) -> int:
        """Models of a world."""
        return 1

    def make_net(self, **sizes: Any) -> Transformer:
        """What models are like."""
        return Transformer(**sizes)

    def check_warm(self, model: StoredModel) -> None:
        """Raise where this world's models cannot begin as one of a file.

        Raises:
            ConfigError: Says what to make the world with.
        """
        check_fits(model, self.net, self.dataset.tokeniser)

    def make_models(self, warm: Sequence[Sequence[Tensor]]) -> Part:
        """The part that learns; it knows ``losses``, ``forget_moments`` and ``extract`` as :class:`Models` do.

        Args:
            warm: Parameters that models begin with; see :class:`Models`.
        """
        return Models(self.net, each=self.count_models(), learning=self.learning, warm=warm)

    @property
    def domains(self) -> int:
        """D."""
        return self.dataset.num_classes

    @property
    def incremental(self) -> bool:
        """Whether domains are learnt one after the other."""
        return self.texts.order == "class_incremental"

    def current(self, steps: np.ndarray) -> np.ndarray:
        """The domain of the slice that is dealt after so many steps, int64 ``[W]`` on the host."""
        return np.asarray(self.tasks)[self.calendar.task(steps)]

    # ---- how it moves -------------------------------------------------------------------------------

    def begin(self, draws: rng.DrawDict, state: TensorDict) -> TensorDict:
        """Fresh state: a first slice, an exam, and what models know of it."""
        w, d, k = self.num_worlds, self.domains, len(self.tasks)
        fresh = prefixed("stream/", self.schedule.start(draws, state["clock"]))
        exam = self.exam.draw(self.dataset.exam, draws).sort(-1).values.view(w, d, -1)
        nats = self.examine(exam)
        nothing = torch.zeros(w, device=self.device)
        guess = torch.full_like(nothing, math.log(self.net.vocabulary))
        scores = torch.full((w, k + 1, d), torch.nan, device=self.device)
        scores[:, 0] = -nats
        parts = torch.zeros(w, self.parts_shown, device=self.device)
        return fresh | {
            "exam": exam,
            "nats": nats,
            "best": nats,
            "score": -(nats * self._weights).sum(-1),
            "scores": scores,
            "loss": guess,
            "loss/fast": guess,
            "loss/slow": guess,
            "total/loss": nothing,
            "total/cost": nothing,
            "curve/nats": parts[..., None].expand(w, self.parts_shown, d).clone(),
            "card": self._card(nats),
        }

    def tokens(self, state: TensorDict) -> Tensor:
        """The present slice, int64 ``[W, B, T + 1]``."""
        return self.dataset.dealt(state["stream/slice"][:, 0])

    def go_on(self, state: TensorDict, draws: rng.DrawDict, losses: Tensor) -> TensorDict:
        """What changes with a step once its slice was learnt: the stream, the exam, and what is kept of losses.

        Args:
            state: The old state, ``clock`` counting this step.
            draws: This step's draws.
            losses: Nats of a token of the slice before it was learnt, ``[W]``.

        Returns:
            New entries of the state.
        """
        clock, made = state["clock"], self._clock + 1
        stream = self.schedule.step(under(state, "stream/"), draws, clock, state["key"], made)
        sound = losses.isfinite()
        losses = torch.where(sound, losses, state["loss"])
        new = prefixed("stream/", stream) | {
            "loss": losses,
            "loss/fast": state["loss/fast"].lerp(losses, _FAST),
            "loss/slow": state["loss/slow"].lerp(losses, _SLOW),
            "total/loss": state["total/loss"] + losses,
        }
        marks, passed = self._sit(state, made)
        new |= marks | {"sound": (sound & passed)[:, None]}
        ending = self.calendar.ends(made) & (made < self.calendar.horizon) & self._moving
        if ending.any():  # the host knows
            self._end_tasks(state, made, ending)
        part = self.part_of(clock)
        new["curve/nats"] = torch.where(part[..., None], new["nats"][:, None], state["curve/nats"])
        return new

    @property
    def parts_shown(self) -> int:
        """Parts of an episode that are told apart in its picture."""
        return min(_PARTS, self.horizon)

    def part_of(self, clock: Tensor) -> Tensor:
        """Which part of the episode a step is of, bool ``[W, parts]``."""
        now = (clock - 1) * self.parts_shown // self.horizon
        return torch.arange(self.parts_shown, device=clock.device) == now[:, None]

    def _sit(self, state: TensorDict, made: np.ndarray) -> tuple[TensorDict, Tensor]:
        """The marks after this step, new ones where an exam follows it, and whether they are finite, bool ``[W]``."""
        names = ("nats", "best", "score", "scores", "card")
        if not bool(self.calendar.examined(made)[self._moving].any()):  # the host knows
            return {name: state[name] for name in names}, torch.ones_like(self.moving)
        clock = state["clock"]
        today, over = self.calendar.examined(clock), self.calendar.ends(clock)
        found = self.examine(state["exam"])
        passed = found.isfinite().all(-1) | ~today
        nats = torch.where(today[:, None] & found.isfinite(), found, state["nats"])
        score = self.exam.smooth(state["score"], -(nats * self._weights).sum(-1))
        rows = torch.arange(len(self.tasks) + 1, device=clock.device)
        row = over[:, None] & (rows == self.calendar.task(clock - 1)[:, None] + 1)
        marks = {
            "nats": nats,
            "best": torch.minimum(state["best"], nats),
            "score": torch.where(today, score, state["score"]),
            "scores": torch.where(row[..., None], -nats[:, None], state["scores"]),
            "card": torch.where(
                (clock % self.texts.exam_every == 0)[:, None], self._card(nats), state["card"]
            ),
        }
        return marks, passed

    def examine(self, windows: Tensor) -> Tensor:
        """Nats of a token by domain, ``[W, D]``, of windows of the exam ``[W, D, M]``.

        To 1/10,000, so that what worlds decide by them does not hang on how a sum was rounded.
        """
        losses = self.models.losses(self.dataset.inputs("exam", windows)).mean(-1)
        return (losses * 10_000).round() / 10_000

    def privileged(self) -> TensorDict:
        """Scores as :mod:`~studyhall.envs.continual` reads them, and the exam.

        ``scores`` ``[W, K + 1, D]`` are minus the nats of each domain at the start and after each task, NaN before it
        has ended; ``exam`` int64 ``[W, D, M]`` are windows of the exam split.
        """
        state = self._begun()
        return {"scores": state["scores"], "exam": state["exam"]}

    def anchor(
        self, where: Tensor, domains: Sequence[int], clock: Tensor, key: Tensor, model: np.ndarray
    ) -> None:
        """Anchor models where they are, in the worlds of a mask, for what they know of some domains.

        Args:
            where: bool ``[W]``.
            domains: Numbers of the domains; as many slices of each, drawn from the stream.
            clock: int64 ``[W]``.
            key: Of the episodes, int64 ``[W]``.
            model: Of each world.
        """
        self.models.fix(where)
        if self.learning.anchor != "ewc":
            return
        shape = (self.learning.anchor_slices, self.schedule.rows)
        for number, domain in enumerate(domains):
            drawn = rng.draw(rng.fold(key, clock, number), "anchor", shape)
            windows = drawn_windows(self.dataset.stream, domain, drawn)
            self.models.inform(where, self.dataset.inputs("stream", windows.movedim(1, 0)), model=model)

    def anchor_cost(self, clock: Tensor) -> Tensor:
        """What the anchors of a step cost over a step in which all learn, ``[W]``."""
        if self.learning.anchor != "ewc":
            return torch.zeros_like(clock, dtype=torch.float32)
        ends = self.calendar.ends(clock) & (clock < self.calendar.horizon)
        return self.learning.anchor_slices * (ends + len(self.known) * (clock == 1)).float()

    def _end_tasks(self, state: TensorDict, made: np.ndarray, ending: np.ndarray) -> None:
        """What happens to models where a task ends: they are anchored, and their optimiser may begin anew."""
        tasks = self.calendar.task(made - 1)
        for task in np.unique(tasks[ending]):
            own = torch.from_numpy(ending & (tasks == task)).to(self.device)
            domain = self.tasks[task]
            model = self.model_of(np.full(len(made), domain))
            self.anchor(own, [domain], state["clock"], state["key"], model)
        if self.learning.fresh_optimiser:
            self.models.forget_moments(torch.from_numpy(ending).to(self.device))

    def model_of(self, domain: np.ndarray) -> np.ndarray:
        """Which model of a world a domain is learnt by, int64 ``[W]``."""
        return np.zeros_like(domain) if self.count_models() == 1 else domain

    def warmed(self, clock: Tensor) -> Tensor:
        """The share of ``lr`` that the rates have risen to in the step that ``clock [W]`` counts."""
        return (clock / max(1, self.learning.warmup)).clamp(max=1.0)

    # ---- what is told -------------------------------------------------------------------------------

    def losses_seen(self, state: TensorDict) -> Tensor:
        """Loss of the last slice, its mean and its trend, ``[W, 3]``, in units of ln V."""
        trend = state["loss/fast"] - state["loss/slow"]
        seen = torch.stack([state["loss"], state["loss/slow"], trend], dim=-1)
        return seen / math.log(self.net.vocabulary)

    def _card(self, nats: Tensor) -> Tensor:
        """Nats of an exam by domain, ``[W, D]``, in units of ln V, to 1/100.

        Cards are new on the regular days of the exam alone: else they would tell where a task ends.
        """
        return (nats * (100 / math.log(self.net.vocabulary))).round() / 100

    def domain_seen(self, state: TensorDict) -> Tensor:
        """Which domain is on, one-hot ``[W, D]``; zeros where nobody is told, or domains are mixed."""
        seen = torch.zeros(self.num_worlds, self.domains, device=self.device)
        if self.boundaries == "told" and self.incremental:
            order = torch.tensor(self.tasks, device=self.device)
            seen.scatter_(1, order[self.calendar.task(state["clock"])][:, None], 1.0)
        return seen

    def summary(self, state: TensorDict) -> TensorDict:
        """See Metrics in the pages of the worlds."""
        steps = state["clock"].clamp_min(1)
        nats = state["nats"].mean(-1)
        return {
            "nats": nats,
            "perplexity": nats.exp(),
            "score": state["score"],
            "slice_nats": state["total/loss"] / steps,
            "cost": state["total/cost"] / steps,
        }

    def cases(self, state: TensorDict) -> TensorDict:
        """See Metrics in the pages of the worlds."""
        lost = continual.forgetting(state["nats"], state["best"])
        found: TensorDict = {}
        for d, name in enumerate(self.dataset.classes):
            found |= {f"nats/{name}": state["nats"][:, d], f"forgetting/{name}": lost[:, d]}
        if self.incremental:
            rows = ["before", *(f"after_{self.dataset.classes[domain]}" for domain in self.tasks[:-1])]
            for row, when in enumerate(rows):
                for d, name in enumerate(self.dataset.classes):
                    found[f"nats_{when}/{name}"] = -state["scores"][:, row, d]
            found["final_nats"] = -continual.average(state["scores"])
            found["backward_transfer"] = continual.backward_transfer(state["scores"], self.tasks)
            found["forward_transfer"] = continual.forward_transfer(state["scores"], self.tasks)
        return found

    def exhausted(self, clock: np.ndarray) -> np.ndarray:
        """A single-pass stream has been dealt out."""
        return self.schedule.exhausted(clock)

    @property
    def milestones(self) -> tuple[int, ...]:
        """Steps with which a task ends, but for the last."""
        steps = np.arange(1, self.calendar.horizon)
        return tuple((np.flatnonzero(self.calendar.ends(steps)) + 1).tolist())

    def leave(self, world: int, folder: Path) -> None:
        """Write the model of a world where a task ends: ``after_<domain>.zip``, and ``model.zip`` with the last."""
        made = self._clock[world : world + 1]
        if not (self.ended[world] or (made > 0 and self.calendar.ends(made))):
            return
        task = int(self.calendar.task(made - 1)[0])
        domain = self.tasks[task]
        names = self.dataset.classes
        every = range(self.domains)
        examined = [domain] if self.count_models() > 1 else every
        dealt = self.tasks[: task + 1] if self.incremental else every
        learnt = [names[d] for d in every if d in self.known or (d in dealt and d in examined)]
        model = int(self.model_of(np.array([domain]))[0])
        found = self._begun()["nats"][world].tolist()
        make_folder(folder)
        write_model(
            folder / f"{'model' if self.ended[world] else f'after_{names[domain]}'}{SUFFIX}",
            self.net,
            self.models.extract(world, model),
            self.dataset.tokeniser,
            learnt,
            nats={names[d]: found[d] for d in examined},
            steps=int(made[0]),
        )

    def export(self, world: int) -> dict[str, Plain]:
        """The model, or ``model_DOMAIN`` for each domain where they have one each."""
        self._begun()
        names, count = self.dataset.classes, self.count_models()
        return {
            "model" if count == 1 else f"model_{names[number]}": exported(
                self.net, self.models.extract(world, number), self.dataset.tokeniser
            )
            for number in range(count)
        }

    def tested_windows(self) -> Tensor:
        """The windows of the test split that :meth:`tests` reads, int64 ``[D, M]``."""
        test = self.dataset.test
        count = min(TESTED, int(test.counts.min()))
        spread = torch.linspace(0, 1, count, device=self.device, dtype=torch.float64)
        return test.offsets[:, None] + (spread * (test.counts[:, None] - 1)).long()

    def tests(self) -> TensorDict:
        """What models are worth on the test split, ``[W]``: nats of a token and bits of a byte, by domain and in all.

        Of :data:`TESTED` windows of each domain at most, evenly spread.
        """
        names, windows = self.dataset.classes, self.tested_windows()
        tokens = self.dataset.inputs("test", windows.expand(self.num_worlds, -1, -1))
        nats = self.models.losses(tokens).mean(-1)
        bits = nats / (math.log(2) * self.dataset.bytes_per_token("test").to(nats))
        found = {"test_nats": nats.mean(-1)}
        for d, name in enumerate(names):
            found |= {f"test_nats/{name}": nats[:, d], f"test_bits_per_byte/{name}": bits[:, d]}
        return found


def _weights(given: Sequence[float] | None, domains: int) -> list[float]:
    """Weights of domains that add to 1."""
    if given is None:
        return [1 / domains] * domains
    listed = given.tolist() if isinstance(given, np.ndarray) else given
    if isinstance(listed, (str, bytes)) or not isinstance(listed, Sequence) or len(listed) != domains:
        raise ConfigError(
            f"domain_weights must be {domains} numbers, one for each domain, got {short(given)}"
        )
    weights = [real("each of domain_weights", weight, 0) for weight in listed]
    if not sum(weights):
        raise ConfigError("domain_weights are all 0: give one above 0")
    return [weight / sum(weights) for weight in weights]
