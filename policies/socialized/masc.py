"""MASC: experts teach a student who knows everything, from whom each grows into one who is best at its own.

Socialized learning after Yao et al. (ICML 2024, PMLR 235:56927), in three stages of an episode:

0. *Experts.* Each learns its own classes from labels, and to know by its energy what is its own.
1. *Collective collaboration.* Experts teach students about the public slices.
2. *Reciprocal altruism.* Each puts a head of its own on the student's features, frozen, and trains it: the grown
   teacher.

In the end whoever has the lower energy on a sample answers, the student or one's own grown teacher. One run yields all:

=============  ==========================================================================================
name           who answers
=============  ==========================================================================================
``expert``     the expert: what there was before
``ensemble``   of all experts the one with the lowest energy, which takes a message a sample
``student``    the student: collective collaboration alone
``shifted``    the student, log(N − 1) added to its logits of one's own classes: half of what each is asked
               is its own, of N classes' shares
``grown``      the grown teacher: reciprocal altruism alone
``masc``       the grown teacher where its energy plus b is below the student's, else the student
=============  ==========================================================================================

Who was taught by nobody, and told no labels of public rows, answers as an expert whatever the name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...envs.engine import TensorDict, World
from ...envs.errors import ConfigError, one_of
from ...envs.validation import rate, real, whole
from ...learners import Population, softmax
from ...learners.energy import ANCHOR, alignment, detection, free_energy
from ...learners.lesson import label_loss, none
from ...learners.population import load
from ..policy import MadeInReset
from .base import Socialized
from .choice import offsets
from .networks import Learners
from .opinions import CARRIERS, GATES
from .pupils import AcrossNetworks, ByLogits, Lesson, Pupils, distillation
from .samples import HeldOut, held_out
from .stages import Stage

HELD_OUT = "held_out"

PRESETS: dict[str, dict[str, Any]] = {
    "documented": {"calibration": "alignment", "altruism": "own", "lr_head": 0.003, "offset": 0.0},
    "mended": {"calibration": "detection", "altruism": "public", "lr_head": 0.01, "offset": HELD_OUT},
}
"""What was documented needs labels of the public rows; what was mended does without."""

CALIBRATIONS = ("alignment", "detection")
ALTRUISMS = ("own", "public")
TEACHING = ("logits", "networks")
EXPERTS, COLLECTIVE, ALTRUISM = range(3)


class Masc(Socialized):
    """Socialized learning; see this module.

    Args:
        preset: "documented" or "mended": what arguments are that are None here, see :data:`PRESETS`.
        learners: See :data:`~studyhall.policies.socialized.networks.Learners`.
        width: Of experts of "conv3".
        shares: Of the episode, of the first two stages.
        lr: Learning rate of experts.
        lr_student: Of students.
        weight_decay: Of everyone.
        flip: Whether learners see pictures turned left to right half of the time.
        calibration: What experts and grown teachers learn of energy beside labels: "alignment" or "detection".
        calibrate: Weight of that; None: .1 of alignment, 1 of detection.
        calibrate_heads: The same of the heads of grown teachers; None: as that of experts.
        align: Weight of the students' alignment.
        prior: What one believes the share of its own classes to be, divided by what it is.
        teaching: How teachers teach: by "logits", or across "networks" (then ``carrier`` must be "weights").
        depth: Across networks: convolutions of a student before a teacher goes on.
        carrier: What crosses: "logits" (soft targets on every row), "claims" (on the rows that an expert takes for its
            own), "weights" (experts' networks, once).
        gate: Who is believed on a row: "energy", whose is the lowest, or "all".
        teachers: Agents who teach; None: all.
        temperature: T of distillation.
        distill: Weight of distillation.
        altruism: What grown teachers learn from: "own" labelled rows only, or also the student's word on them, and on
            public rows that of the expert one was, where it claims them, and of the student elsewhere: "public".
        lr_head: Learning rate of the heads of grown teachers.
        offset: The b of the choice; "held_out": the greatest with which the choice is, on held-out samples of one's own
            classes, within two points as good as the expert.
        held_out: Share of one's own samples that are never learnt from.

    Raises:
        ConfigError: An argument is out of range, or does not go with another.
        UnknownName: A name of a preset, carrier, … that there is not.
    """

    pupils = MadeInReset[Pupils]()
    heads = MadeInReset[Population]()
    kept = MadeInReset[HeldOut]()
    taught = MadeInReset[Tensor]()
    arrived = MadeInReset[Tensor]()
    main = "masc"

    def __init__(
        self,
        preset: str = "mended",
        *,
        learners: Learners = "conv3",
        width: int = 8,
        shares: Sequence[float] = (0.35, 0.4),
        lr: float = 0.01,
        lr_student: float = 0.01,
        weight_decay: float = 5e-3,
        flip: bool = False,
        calibration: str | None = None,
        calibrate: float | None = None,
        calibrate_heads: float | None = None,
        align: float = 0.1,
        prior: float = 1.0,
        teaching: str = "logits",
        depth: int = 1,
        carrier: str = "logits",
        gate: str = "energy",
        teachers: Sequence[int] | None = None,
        temperature: float = 2.0,
        distill: float = 1.0,
        altruism: str | None = None,
        lr_head: float | None = None,
        offset: float | str | None = None,
        held_out: float = 0.1,
    ) -> None:
        given = {"calibration": calibration, "altruism": altruism, "lr_head": lr_head, "offset": offset}
        settings = PRESETS[one_of("preset of masc", preset, PRESETS)] | {
            name: value for name, value in given.items() if value is not None
        }
        super().__init__(
            learners=learners, width=width, shares=shares, lr=lr, weight_decay=weight_decay, flip=flip
        )
        if len(self.shares) != 2:
            raise ConfigError(f"shares are of the first two stages of three, got {len(self.shares)}")
        self.lr_student, self.lr_head = rate("lr_student", lr_student), rate("lr_head", settings["lr_head"])
        self.calibration = one_of("calibration", settings["calibration"], CALIBRATIONS)
        default = 0.1 if self.calibration == "alignment" else 1.0
        self.calibrate = default if calibrate is None else real("calibrate", calibrate, 0)
        own = self.calibrate if calibrate_heads is None else real("calibrate_heads", calibrate_heads, 0)
        self.calibrate_heads = own
        self.align, self.distill = real("align", align, 0), real("distill", distill, 0)
        self.prior = real("prior", prior, 0)
        self.teaching = one_of("way of teaching", teaching, TEACHING)
        self.carrier_name = one_of("carrier", carrier, CARRIERS)
        if self.teaching == "networks" and carrier != "weights":
            raise ConfigError("teaching across networks takes the teachers' weights: give carrier='weights'")
        self.depth = whole("depth", depth, 1)
        self.gate = GATES[one_of("gate", gate, GATES)]
        self.teachers = None if teachers is None else [whole("each of teachers", k, 0) for k in teachers]
        self.temperature = real("temperature", temperature, 0)
        if not self.temperature:
            raise ConfigError("temperature must be above 0, got 0")
        self.altruism = one_of("altruism", settings["altruism"], ALTRUISMS)
        found = settings["offset"]
        self.offset = found if found == HELD_OUT else real("offset (or 'held_out')", found, -1e6, 1e6)
        self.held_out = real("held_out", held_out, 0, 1)
        self.world_kwargs = CARRIERS[carrier].world_kwargs

    def bind(self, world: World) -> None:
        """As of every :class:`Socialized`; where everybody hears the same, one student stands for all."""
        super().bind(world)
        everybody = torch.ones(world.num_agents, dtype=torch.bool, device=world.device)
        if self.teachers is not None:
            if not self.teachers or max(self.teachers) >= world.num_agents:
                raise ConfigError(f"teachers are some of 0 … {world.num_agents - 1}, got {self.teachers}")
            everybody = torch.zeros_like(everybody)
            everybody[self.teachers] = True
        self.carrier = CARRIERS[self.carrier_name](self.temperature, everybody)
        channel = world.channel  # type: ignore[attr-defined]
        self.students_each = 1 if channel.same_for_all else world.num_agents

    def reset(self, mask: Tensor | None = None) -> None:
        """Fresh experts, students and heads in the worlds of ``mask``."""
        super().reset(mask)
        world, n = self.world, self.world.num_agents
        students, heads = self.keys("student", self.students_each), self.keys("head", n)
        if mask is not None:
            self.pupils.reset(mask, students)
            self.heads.reset(mask, heads)
            self.kept.reset(mask)
            self.taught.masked_fill_(mask[:, None], False)
            self.arrived.masked_fill_(mask[:, None, None], False)
            return
        options = {"temperature": self.temperature, "distill": self.distill, "align": self.align}

        def make(network: Any, keys: Tensor) -> Population:
            return self.population(network, keys, self.lr_student)

        self.pupils = (
            ByLogits(self.networks, students, make, **options)
            if self.teaching == "logits"
            else AcrossNetworks(self.depth, self.networks, students, make, teachers=n, **options)
        )
        self.heads = self.population(self.networks.head, heads, self.lr_head)
        self.kept = HeldOut(world.num_worlds, n, self._shape, world.device)
        self.taught = torch.zeros(world.num_worlds, self.students_each, dtype=torch.bool, device=world.device)
        self.arrived = torch.zeros(world.num_worlds, n, n, dtype=torch.bool, device=world.device)

    # ---- what is said -------------------------------------------------------------------------------

    def say(self, obs: TensorDict, stage: Stage) -> TensorDict:
        """Experts speak while students learn."""
        if stage.number != COLLECTIVE:
            return {}
        here = stage.rate > 0
        first = torch.zeros_like(here) if stage.begins is None else stage.begins
        said = self.carrier.say(self.experts, self.flat(obs["public"][:, 0]), first)
        return {name: value * here.view(-1, *[1] * (value.dim() - 1)) for name, value in said.items()}

    # ---- what is learnt -----------------------------------------------------------------------------

    def learn(self, obs: TensorDict, stage: Stage, allowed: Tensor) -> None:
        """The lesson of a stage."""
        own = obs["fb_slice"]
        kept = held_out(own, self.held_out, len(self._shape)) & (obs["fb_labels"] >= 0)
        labels = torch.where(kept, -1, obs["fb_labels"])
        allowed = allowed & (labels >= 0).any(-1)
        rates = stage.rate[:, None] * allowed
        if stage.number == EXPERTS:
            self._learn_experts(obs, labels, rates)
        elif stage.number == COLLECTIVE:
            self._learn_students(obs, stage)
        else:
            students = self.pupils.students
            if stage.begins is not None:
                self._begin_heads(stage.begins)
            here = stage.rate[:, None, None] > 0
            self.kept.add(self.flat(own), obs["fb_labels"], kept & here, self.world.steps)
            if not none(rates * self._taught()):
                self._learn_heads(obs, labels, rates * self._taught(), students)

    def _priors(self) -> Tensor:
        """What each believes the share of its own classes to be, ``[W, N]``."""
        return self.prior * self.own_classes.float().mean(-1)

    def _calibration(self, energies: Tensor, rows: Tensor) -> Tensor:
        """The loss on energies ``[W, N, B or 2B]`` of one's own rows, and of the public ones behind them."""
        own, public = energies[..., : self.rows], energies[..., self.rows :]
        if self.calibration == "alignment":
            return alignment(own, rows)
        return detection(own, rows, public, self._priors())

    def _learn_experts(self, obs: TensorDict, labels: Tensor, rates: Tensor) -> None:
        """Labels of one's own, and to know what is one's own."""
        x = self.seen(obs["fb_slice"], "own")
        if self.calibration == "detection":
            x = torch.cat([x, self.seen(obs["fb_public"], "public")], dim=2)

        def loss(logits: Tensor) -> Tensor:
            value = label_loss(logits[:, :, : self.rows], labels)
            return value + self.calibrate * self._calibration(free_energy(logits), (labels >= 0).float())

        self.experts.learn(x, loss, rate=rates)

    def _learn_students(self, obs: TensorDict, stage: Stage) -> None:
        """What teachers say of the public slice, and its labels where they are told."""
        count = self.students_each
        if "fb_parcels" in obs:
            others = ~torch.eye(self.world.num_agents, dtype=torch.bool, device=self.world.device)
            came = (obs["fb_parcels"] > 0) & others
            if isinstance(self.pupils, AcrossNetworks) and not none(came):
                self.pupils.teach_with(self.experts, came.any(-1).any(-1))
            self.arrived |= came
        opinions = self.carrier.hear(self.experts, obs, self.arrived, count)
        trust = self.gate(opinions)
        labels = obs.get("fb_public_labels")
        labels = None if labels is None else labels[:, :count]
        present = obs["present"].diagonal(dim1=1, dim2=2)[:, :count] == 1
        learns = (
            trust.flatten(2).any(-1) if labels is None else trust.flatten(2).any(-1) | (labels >= 0).any(-1)
        )
        learns = learns & present & (stage.rate > 0)[:, None]
        if none(learns):
            return
        self.taught |= learns
        x = self.seen(obs["fb_public"][:, :count], "public")
        self.pupils.learn(Lesson(x, opinions, trust, labels, stage.rate[:, None] * learns))

    def _begin_heads(self, mask: Tensor) -> None:
        """Heads of grown teachers start as those of their students, in the worlds of ``mask``."""
        theirs = self.pupils.students.through(self.networks.head, "head.")
        each = self.world.num_agents // self.students_each
        chosen = mask.repeat_interleave(self.world.num_agents)
        for own, stack in zip(self.heads.parameters, theirs.parameters, strict=True):
            begun = stack.repeat_interleave(each, 0)
            own.copy_(torch.where(chosen.view(-1, *[1] * (own.dim() - 1)), begun, own))

    def _learn_heads(self, obs: TensorDict, labels: Tensor, rates: Tensor, students: Population) -> None:
        """Labels of one's own; and of everything what student and expert say, where altruism is of the public."""
        rows = (labels >= 0).float()
        features = self._features(self.seen(obs["fb_slice"], "own"))
        public = self.altruism == "public"
        if public or self.calibration == "detection":
            # Where one student stands for all, public slices are the same for everyone.
            others = self.seen(obs["fb_public"][:, : self.students_each], "public")
            theirs = students.through(self.networks.backbone, without="net.").logits(others)
            each = self.world.num_agents // self.students_each
            features = torch.cat([features, theirs.repeat_interleave(each, dim=1)], dim=2)
        targets = None
        if public:
            student = self._by_student(students.through(self.networks.head, "head."), features)
            expert = self.experts.logits(others if self.students_each > 1 else others[:, 0])
            mine = (free_energy(expert) < ANCHOR)[..., None]
            word = torch.where(mine, expert, student[:, :, self.rows :])
            targets = softmax(torch.cat([student[:, :, : self.rows], word], dim=2) / self.temperature)
            targets[:, :, : self.rows] *= (
                rows[..., None] * (self.rows / rows.sum(-1).clamp_min(1))[..., None, None]
            )

        def loss(logits: Tensor) -> Tensor:
            value = label_loss(logits[:, :, : self.rows], labels)
            value = value + self.calibrate_heads * self._calibration(free_energy(logits), rows)
            if targets is None:
                return value
            # Two means, of one's own rows and of the public ones: the mean of all is half of their sum.
            return value + 2 * self.distill * distillation(logits, targets, self.temperature)

        self.heads.learn(features, loss, rate=rates)

    # ---- what they know -----------------------------------------------------------------------------

    def _taught(self) -> Tensor:
        """Whose student has learnt anything, bool ``[W, N]``."""
        return self.taught.expand(-1, self.world.num_agents)

    def _by_student(self, network: Population, x: Tensor) -> Tensor:
        """What students, or a part of them, say of samples of each agent, ``[W, N, M, …]`` of ``[W, N, M, …]``."""
        n, each = self.world.num_agents, self.world.num_agents // self.students_each
        if x.dim() < 4:  # the same samples for everyone
            return network.logits(x).repeat_interleave(each, dim=1)
        grouped = x.unflatten(1, (self.students_each, each)).flatten(2, 3)
        return network.logits(grouped).unflatten(2, (each, -1)).flatten(1, 2).view(len(x), n, x.shape[2], -1)

    def _features(self, x: Tensor) -> Tensor:
        """Features ``[W, N, M, F]`` by each agent's student, of ``[W, N, M, D]``, ``[W, M, D]`` or ``[M, D]``."""
        return self._by_student(self.pupils.students.through(self.networks.backbone, without="net."), x)

    def _judged(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits ``[W, N, M, C]`` of expert, student and grown teacher."""
        features = self._features(x)
        student = self._by_student(self.pupils.students.through(self.networks.head, "head."), features)
        return self.experts.logits(x), student, self.heads.logits(features)

    def offsets(self) -> Tensor:
        """The choice's b, ``[W, N]``."""
        if isinstance(self.offset, float):
            return torch.full_like(self.own_classes[..., 0], self.offset, dtype=torch.float32)
        return offsets(*self._judged(self.kept.x), self.kept.labels)

    def logits(self, x: Tensor) -> dict[str, Tensor]:
        """By the names of this module's table."""
        expert, student, grown = self._judged(x)
        grows = torch.from_numpy(self.stages.number(self.world.clock - 1) == ALTRUISM).to(x.device)
        grown = torch.where(grows[:, None, None, None], grown, student)
        n = self.world.num_agents
        surest = free_energy(expert).argmin(1)[:, None, :, None].expand_as(expert[:, :1])
        prefers = torch.where(self.own_classes, math.log(max(1, n - 1)), 0.0)
        chosen = free_energy(grown) + self.offsets()[..., None] < free_energy(student)
        taught = self._taught()[..., None, None]
        found = {
            "student": student,
            "shifted": student + prefers[:, :, None],
            "grown": grown,
            "masc": torch.where(chosen[..., None], grown, student),
        }
        found = {name: torch.where(taught, value, expert) for name, value in found.items()}
        return {"expert": expert, "ensemble": expert.gather(1, surest).expand_as(expert), **found}

    def sound(self) -> Tensor:
        """Whose networks are finite, bool ``[W, N]``."""
        students = self.pupils.students.finite()
        return super().sound() & students.expand(-1, self.world.num_agents) & self.heads.finite()

    def state_dict(self) -> dict[str, Any]:
        """Networks, what was held out, who was taught and whose parcels arrived."""
        return super().state_dict() | {
            "students": self.pupils.state_dict(),
            "heads": self.heads.state_dict(),
            "kept": self.kept.state_dict(),
            "taught": self.taught.clone(),
            "arrived": self.arrived.clone(),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        super().load_state_dict(saved)
        self.pupils.load_state_dict(saved["students"])
        self.heads.load_state_dict(saved["heads"])
        self.kept.load_state_dict(saved["kept"])
        own = {"taught": self.taught, "arrived": self.arrived}
        load(own, {name: saved[name] for name in own})
