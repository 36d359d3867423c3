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
``ensemble``   of all experts the one with the lowest energy: who uses it asks everybody about every sample
``student``    the student: collective collaboration alone
``shifted``    the student, log(N − 1) added to its logits of one's own classes: half of what each is asked
               is its own, of N classes' shares
``grown``      the grown teacher: reciprocal altruism alone
``masc``       the grown teacher where its energy plus b is below the student's, else the student
=============  ==========================================================================================

Who was taught by nobody, and told no labels of public rows, answers as an expert whatever the name; so does who heard
nobody instead of an ensemble.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...envs.engine import TensorDict, World
from ...envs.errors import ConfigError, one_of, short
from ...envs.validation import rate, real, whole
from ...learners import Population, softmax
from ...learners.energy import ANCHOR, free_energy
from ...learners.lesson import label_loss, none
from ...learners.plain import Plain, classifier
from ...learners.population import load
from ..policy import Finished, MadeInReset
from .base import Socialized
from .choice import chosen, offsets
from .energy import Calibration
from .grown import Grown
from .networks import Learners
from .opinions import CARRIERS, GATES
from .pupils import AcrossNetworks, ByLogits, Lesson, Pupils, distillation
from .samples import HeldOut, held_out
from .stages import Stage

HELD_OUT = "held_out"

PRESETS: dict[str, dict[str, Any]] = {
    "documented": {
        "calibration": "alignment",
        "altruism": "own",
        "shares": (0.35, 0.4),
        "lr_head": 0.003,
        "offset": 0.0,
        "held_out": 0.0,
    },
    "mended": {
        "calibration": "detection",
        "altruism": "public",
        "shares": (0.3, 0.55),
        "lr_head": 0.01,
        "offset": HELD_OUT,
        "held_out": 0.1,
    },
}
"""What was documented needs labels of the public rows; what was mended does without."""

ALTRUISMS = ("own", "public")
TEACHING = ("logits", "networks")
EXPERTS, COLLECTIVE, ALTRUISM = range(3)


class Masc(Socialized):
    """Socialized learning; see this module.

    Args:
        preset: What the arguments are that are None here:

            ===============  ===================  ====================
            argument         "documented"         "mended"
            ===============  ===================  ====================
            ``calibration``  "alignment"          "detection"
            ``calibrate``    .1                   1
            ``altruism``     "own"                "public"
            ``shares``       .35, .4              .3, .55
            ``lr_head``      .003                 .01
            ``offset``       0                    "held_out"
            ``held_out``     0                    .1
            ===============  ===================  ====================
        learners: "conv3", "vgg", or a list of two factories, of experts and of students, of networks derived from
            :class:`~studyhall.learners.convolutional.Convolutional`.
        width: Of experts of "conv3"; students are twice as wide.
        shares: Of the episode, of the first two stages.
        lr: Learning rate of experts.
        lr_student: Of students.
        weight_decay: Of everyone, of all parameters.
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
        held_out: Share of all samples that nobody learns from, on no slice.

    Raises:
        ConfigError: An argument is out of range, or does not go with another.
        UnknownName: A name of a preset, carrier, … that there is not.
    """

    pupils = MadeInReset[Pupils]()
    grown = MadeInReset[Grown]()
    kept = MadeInReset[HeldOut]()
    taught = MadeInReset[Tensor]()
    heard = MadeInReset[Tensor]()
    arrived = MadeInReset[Tensor]()
    _offsets = MadeInReset[Tensor | None]()
    main = "masc"
    leaves = ("expert", "student", "grown")

    def __init__(
        self,
        preset: str = "mended",
        *,
        learners: Learners = "conv3",
        width: int = 8,
        shares: Sequence[float] | None = None,
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
        held_out: float | None = None,
    ) -> None:
        given: dict[str, Any] = {"calibration": calibration, "altruism": altruism, "shares": shares}
        given |= {"lr_head": lr_head, "offset": offset, "held_out": held_out}
        settings = PRESETS[one_of("preset of masc", preset, PRESETS)] | {
            name: value for name, value in given.items() if value is not None
        }
        super().__init__(
            learners=learners,
            width=width,
            shares=settings["shares"],
            lr=lr,
            weight_decay=weight_decay,
            flip=flip,
        )
        if len(self.shares) != 2:
            raise ConfigError(f"shares are of the first two stages of three, got {len(self.shares)}")
        self.lr_student, self.lr_head = rate("lr_student", lr_student), rate("lr_head", settings["lr_head"])
        self.calibration = Calibration(settings["calibration"], calibrate, prior)
        heads = self.calibration.weight if calibrate_heads is None else calibrate_heads
        self.calibration_of_heads = Calibration(self.calibration.kind, heads, prior, name="calibrate_heads")
        self.align, self.distill = real("align", align, 0), real("distill", distill, 0)
        self.teaching = one_of("way of teaching", teaching, TEACHING)
        self.carrier_name = one_of("carrier", carrier, CARRIERS)
        if self.teaching == "networks" and carrier != "weights":
            raise ConfigError("teaching across networks takes the teachers' weights: give carrier='weights'")
        self.depth = whole("depth", depth, 1)
        self.gate = GATES[one_of("gate", gate, GATES)]
        if teachers is not None and (isinstance(teachers, str) or not isinstance(teachers, Sequence)):
            raise ConfigError(f"teachers are a list of agents, e.g. [0, 2], got {short(teachers)}")
        if teachers is not None and len(set(teachers)) < len(teachers):
            raise ConfigError(f"teachers name an agent twice: {short(teachers)}")
        self.teachers = None if teachers is None else [whole("each of teachers", k, 0) for k in teachers]
        self.temperature = real("temperature", temperature, 0)
        if not self.temperature:
            raise ConfigError("temperature must be above 0, got 0")
        self.altruism = one_of("altruism", settings["altruism"], ALTRUISMS)
        found = settings["offset"]
        self.offset = found if found == HELD_OUT else real("offset (or 'held_out')", found, -1e6, 1e6)
        self.held_out = real("held_out", settings["held_out"], 0, 0.9)
        self.world_kwargs = {**Socialized.world_kwargs, **CARRIERS[carrier].world_kwargs}

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
        self._offsets = None
        world, n = self.world, self.world.num_agents
        students, heads = self.keys("student", self.students_each), self.keys("head", n)
        if mask is not None:
            self.pupils.reset(mask, students)
            self.grown.reset(mask, heads)
            self.kept.reset(mask)
            for fact in self._facts().values():
                fact.masked_fill_(mask.view(-1, *[1] * (fact.dim() - 1)), False)
            return
        options = {"temperature": self.temperature, "distill": self.distill, "align": self.align}

        def at_rate(lr: float) -> Callable[[Any, Tensor], Population]:
            return lambda network, keys: self.population(network, keys, lr)

        make = at_rate(self.lr_student)
        self.pupils = (
            ByLogits(self.networks, students, make, **options)
            if self.teaching == "logits"
            else AcrossNetworks(self.depth, self.networks, students, make, teachers=n, **options)
        )
        self.grown = Grown(self.networks, heads, at_rate(self.lr_head), self.pupils.students)
        self.kept = HeldOut(world.num_worlds, n, self._shape, world.device)
        nobody = torch.zeros(world.num_worlds, self.students_each, dtype=torch.bool, device=world.device)
        self.taught, self.heard = nobody, nobody.clone()
        self.arrived = torch.zeros(world.num_worlds, n, n, dtype=torch.bool, device=world.device)

    def _facts(self) -> dict[str, Tensor]:
        """Whose student has learnt, whose has heard anybody, bool ``[W, S]``; whose parcels arrived, ``[W, N, N]``."""
        return {"taught": self.taught, "heard": self.heard, "arrived": self.arrived}

    def _of_agents(self, of_students: Tensor) -> Tensor:
        """Of each agent what is true of its student, ``[W, N]`` of ``[W, S]``."""
        return of_students.expand(-1, self.world.num_agents)

    # ---- what is said -------------------------------------------------------------------------------

    def say(self, obs: TensorDict, stage: Stage) -> TensorDict:
        """Experts speak while students learn."""
        if stage.number != COLLECTIVE:
            return {}
        first = torch.zeros_like(stage.here) if stage.begins is None else stage.begins
        return self.carrier.say(self.experts, self.flat(obs["public"][:, 0]), first)

    # ---- what is learnt -----------------------------------------------------------------------------

    def learn(self, obs: TensorDict, stage: Stage, allowed: Tensor) -> None:
        """The lesson of a stage."""
        self._offsets = None
        if stage.number == COLLECTIVE:
            self._learn_students(obs, stage, allowed)
            return
        held = self._held_out(obs["fb_slice"])
        labels = torch.where(held, -1, obs["fb_labels"])
        rates = stage.rate[:, None] * (allowed & (labels >= 0).any(-1))
        if stage.number == EXPERTS:
            self._learn_experts(obs, labels, rates)
            return
        if stage.begins is not None:
            self.grown.begin(stage.begins)
        kept = held & (obs["fb_labels"] >= 0) & allowed[..., None]
        self.kept.add(self.flat(obs["fb_slice"]), obs["fb_labels"], kept, self.when)
        rates = rates * self._of_agents(self.taught)
        if not none(rates > 0):
            self._learn_heads(obs, labels, rates)

    def _held_out(self, x: Tensor) -> Tensor:
        """Which samples ``[W, A, B, D…]`` nobody learns from, bool ``[W, A, B]``."""
        return held_out(x, self.held_out, len(self._shape))

    def _learn_experts(self, obs: TensorDict, labels: Tensor, rates: Tensor) -> None:
        """Labels of one's own, and to know what is one's own."""
        x, rows, others = self.seen(obs["fb_slice"], "own"), (labels >= 0).float(), None
        if self.calibration.of_public:
            x = torch.cat([x, self.seen(obs["fb_public"], "public")], dim=2)
            others = (~self._held_out(obs["fb_public"][:, :1])).float()

        def loss(logits: Tensor) -> Tensor:
            value = label_loss(logits[:, :, : self.rows], labels)
            return value + self.calibration.loss(free_energy(logits), rows, others, self.own_classes)

        self.experts.learn(x, loss, rate=rates)

    def _learn_students(self, obs: TensorDict, stage: Stage, allowed: Tensor) -> None:
        """What teachers say of the public slice, and its labels where they are told."""
        count = self.students_each
        if "fb_parcels" in obs:
            others = ~torch.eye(self.world.num_agents, dtype=torch.bool, device=self.world.device)
            self.arrived |= (obs["fb_parcels"] > 0) & others & stage.here[:, None, None]
        if stage.begins is not None and isinstance(self.pupils, AcrossNetworks):
            self.pupils.teach_with(self.experts, stage.begins)
        public = obs["fb_public"][:, :count]
        held = self._held_out(public)
        opinions = self.carrier.hear(self.experts, obs, self.arrived, count)
        opinions = opinions._replace(spoke=opinions.spoke & ~held[:, :, None])
        trust = self.gate(opinions)
        there = allowed[:, :count] if count > 1 else allowed.any(-1, keepdim=True)
        hears = trust.flatten(2).any(-1) & there
        learns, labels = hears, obs.get("fb_public_labels")
        if labels is not None:
            told = labels[:, :count] if count > 1 else labels.amax(1, keepdim=True)
            labels = torch.where(held, -1, told)
            learns = hears | ((labels >= 0).any(-1) & there)
        if none(learns):
            return
        self.heard |= hears
        self.taught |= learns
        x, rates = self.seen(public, "public"), stage.rate[:, None] * learns
        lesson = Lesson(x, opinions, trust, (~held).float(), labels, rates)
        self.pupils.learn(lesson)

    def _learn_heads(self, obs: TensorDict, labels: Tensor, rates: Tensor) -> None:
        """Labels of one's own; and of everything what student and expert say, where altruism is of the public."""
        rows, public = (labels >= 0).float(), obs["fb_public"][:, : self.students_each]
        features = self.grown.features(self.seen(obs["fb_slice"], "own"))
        others = targets = None
        if self.altruism == "public" or self.calibration_of_heads.of_public:
            # Where one student stands for all, public slices are the same for everyone.
            seen = self.seen(public, "public")
            features = torch.cat([features, self.grown.features_of_all(seen)], dim=2)
            others = (~self._held_out(public)).float()
        if self.altruism == "public":
            student = self.grown.by_student(features)
            expert = self.experts.logits(seen if self.students_each > 1 else seen[:, 0])
            mine = (free_energy(expert) < ANCHOR)[..., None]
            word = torch.where(mine, expert, student[:, :, self.rows :])
            said = softmax(torch.cat([student[:, :, : self.rows], word], dim=2) / self.temperature)
            weights = torch.cat([rows, others.expand_as(rows)], dim=2)  # type: ignore[union-attr]
            targets = said * weights[..., None]

        def loss(logits: Tensor) -> Tensor:
            value = label_loss(logits[:, :, : self.rows], labels)
            energies = free_energy(logits)
            value = value + self.calibration_of_heads.loss(energies, rows, others, self.own_classes)
            if targets is None:
                return value
            # The means of one's own rows and of the public ones, of which a few are held out, alike: twice that of all.
            return value + 2 * self.distill * distillation(logits, targets, self.temperature)

        self.grown.heads.learn(features, loss, rate=rates)

    # ---- what they know -----------------------------------------------------------------------------

    def offsets(self) -> Tensor:
        """The choice's b, ``[W, N]``; it changes with every lesson."""
        if self._offsets is None:
            if isinstance(self.offset, float):
                self._offsets = torch.full_like(self.own_classes[..., 0], self.offset, dtype=torch.float32)
            else:
                judged = self.experts.logits(self.kept.x), *self.grown.both(self.kept.x)
                self._offsets = offsets(*judged, self.kept.labels)
        return self._offsets

    def logits(self, x: Tensor) -> dict[str, Tensor]:
        """By the names of this module's table."""
        expert, (student, grown) = self.experts.logits(x), self.grown.both(x)
        n, grows = self.world.num_agents, self.stages.number(self.lesson) == ALTRUISM
        masc = grown = torch.where(torch.from_numpy(grows).to(x.device)[:, None, None, None], grown, student)
        if grows.any():
            masc = torch.where(chosen(student, grown, self.offsets()[..., None])[..., None], grown, student)
        prefers = torch.where(self.own_classes, math.log(max(1, n - 1)), 0.0)
        surest = free_energy(expert).argmin(1)[:, None, :, None].expand_as(expert[:, :1])
        taught, heard = (self._of_agents(fact)[..., None, None] for fact in (self.taught, self.heard))
        return {
            "expert": expert,
            "ensemble": torch.where(heard, expert.gather(1, surest), expert),
            "student": torch.where(taught, student, expert),
            "shifted": torch.where(taught, student + prefers[:, :, None], expert),
            "grown": torch.where(taught, grown, expert),
            "masc": torch.where(taught, masc, expert),
        }

    def modules(self, world: int) -> dict[str, Finished]:
        """Experts, students and grown teachers, each when its stage is over; the last two where they were taught.

        They are ``expert_K``, ``student`` (``student_K`` where each agent has its own) and ``grown_K``: the student
        with a head of its own, and ``offset``, b of the choice.
        """
        over, agents = self.stages.over(int(self.lesson[world])), range(self.world.num_agents)
        of_expert, of_student = self.networks.kinds
        found: dict[str, Finished] = {}
        with torch.inference_mode(False), torch.no_grad():
            if over > EXPERTS:
                for agent in agents:
                    module = self.experts.extract(world, agent)
                    found[f"expert_{agent}"] = Finished(module, "expert", of_expert, agent, {})
            alone, taught = self.students_each == 1, self.taught[world].tolist()
            for student in range(self.students_each) if over > COLLECTIVE else ():
                if taught[student]:
                    whose = None if alone else student
                    module = self.pupils.students.extract(world, student)
                    name = "student" if alone else f"student_{student}"
                    found[name] = Finished(module, "student", of_student, whose, {})
            if over > ALTRUISM and self.stages.length(ALTRUISM):
                offsets = self.offsets()[world].tolist()
                for agent in agents:
                    student = 0 if alone else agent
                    if taught[student]:
                        module = self.pupils.students.extract(world, student)
                        module.head = self.grown.heads.extract(world, agent)
                        facts = {"offset": offsets[agent]}
                        found[f"grown_{agent}"] = Finished(module, "grown", of_student, agent, facts)
        return found

    def export(self, world: int) -> dict[str, Plain]:
        """Experts as they are; students and grown teachers as of :meth:`modules`."""
        later = {
            name: classifier(found.module, found.agent, **found.facts)
            for name, found in self.modules(world).items()
            if found.part != "expert"
        }
        return super().export(world) | later

    def sound(self) -> Tensor:
        """Whose networks are finite, bool ``[W, N]``."""
        students = self.pupils.students.finite()
        return super().sound() & students.expand(-1, self.world.num_agents) & self.grown.heads.finite()

    def state_dict(self) -> dict[str, Any]:
        """Networks, what was held out, who was taught, and who heard whom."""
        return super().state_dict() | {
            "students": self.pupils.state_dict(),
            "heads": self.grown.state_dict(),
            "kept": self.kept.state_dict(),
            **{name: fact.clone() for name, fact in self._facts().items()},
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        super().load_state_dict(saved)
        self.pupils.load_state_dict(saved["students"])
        self.grown.load_state_dict(saved["heads"])
        self.kept.load_state_dict(saved["kept"])
        load(self._facts(), {name: saved[name] for name in self._facts()})
        self._offsets = None
