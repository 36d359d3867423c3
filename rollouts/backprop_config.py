"""What is trained through the channel, how, and for how long: from the options of ``studyhall train``, or a folder."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..envs.errors import ConfigError, StudyhallError, unknown
from ..envs.validation import LAST_SEED, real, whole
from ..scenarios import Scenario
from .folders import ANEW, read_config
from .output import as_json
from .read_scenario import read_scenario
from .settings import changes, customise, parse_assignments
from .trained import plain, registered

ANSWERS = ("last", "all")
SCHEDULES = ("cosine", "constant")
_OPTIONS = ("updates", "cpu_seconds", "worlds", "seed", "threads", "eval_every", "eval_worlds", "device")
_OF_REINFORCE = ("worlds", "eval_worlds")  # whose defaults are its own
OF_RESUME = ("updates", "cpu_seconds", "threads", "device")
"""What may change when a training goes on."""


@dataclass(frozen=True)
class BackpropSettings:
    """Each can be set with ``--set backprop.NAME=VALUE``.

    Args:
        learning_rate: Of Adam.
        schedule: "cosine" (rises over the first twentieth of the training, then falls to 0) or "constant".
        answers: Whose loss counts: of the "last" round, or the mean over "all".
        max_grad_norm: Gradients are clipped to it.

    Raises:
        ConfigError: A value out of range.
        UnknownName: No such schedule, or answers.
    """

    learning_rate: float = 1e-3
    schedule: str = "cosine"
    answers: str = "last"
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "max_grad_norm"):
            if real(name, getattr(self, name), 0) == 0:
                raise ConfigError(f"{name} of 0 would train nothing: give a number above 0")
        if self.schedule not in SCHEDULES:
            raise unknown("schedule", str(self.schedule), SCHEDULES)
        if self.answers not in ANSWERS:
            raise unknown("answers", str(self.answers), ANSWERS)


@dataclass(frozen=True)
class BackpropConfig:
    """What is trained.

    Args:
        scenario: Its world, and its policy, whose weights are trained.
        settings: Of the training.
        updates: Steps of Adam in all.
        cpu_seconds: Stop when the process has spent so much processor time on it, evaluations left out; None
            makes all updates. The learning rate falls with whichever is nearer to its end.
        worlds: W, slices of an update.
        seed: Of the worlds; the weights have the policy's own.
        threads: CPU threads.
        eval_every: Updates between two evaluations, the first of which is before the first.
        eval_worlds: Validation slices.
        device: Where the tensors live.
        algorithm: "backprop", or "reinforce" where symbols are drawn and learnt by REINFORCE; names the folder.

    Raises:
        ConfigError: A value out of range.
    """

    scenario: Scenario
    settings: BackpropSettings = field(default_factory=BackpropSettings)
    updates: int = 2_000
    cpu_seconds: float | None = None
    worlds: int = 1
    seed: int = 0
    threads: int = 1
    eval_every: int = 200
    eval_worlds: int = 8
    device: str = "cpu"
    algorithm: str = "backprop"

    def __post_init__(self) -> None:
        for name in ("updates", "worlds", "threads", "eval_every", "eval_worlds"):
            object.__setattr__(self, name, whole(name, getattr(self, name), 1))
        whole("seed", self.seed, 0, LAST_SEED)
        if self.cpu_seconds is not None and real("cpu_seconds", self.cpu_seconds, 0) == 0:
            raise ConfigError("cpu_seconds of 0 would train nothing: give a number above 0")

    @property
    def command(self) -> str:
        """The command that trains the same."""
        env, policy = registered(self.scenario.name)
        training = _usual(self.scenario.name)
        usual = {**vars(BackpropSettings()), **training}
        given = [
            f"{prefix}{name}={value if isinstance(value, str) else as_json(value)}"
            for prefix, now, default in (
                ("", plain(self.scenario.env_kwargs), plain(env)),
                ("policy.", plain(self.scenario.policy_kwargs), plain(policy)),
                ("backprop.", vars(self.settings), usual),
            )
            for name, value in now.items()
            if default.get(name, ...) != value
        ]
        words = ["studyhall", "train", self.scenario.name, "--algo", self.algorithm]
        shifted = _OF_REINFORCE if self.algorithm == "reinforce" else ()
        for name in _OPTIONS:
            if name in shifted or getattr(self, name) != training.get(name, getattr(type(self), name)):
                words += [f"--{name.replace('_', '-')}", str(getattr(self, name))]
        return shlex.join([*words, *(word for text in given for word in ("--set", text))])


def _usual(name: str) -> Mapping[str, Any]:
    """How a registered scenario is trained."""
    from ..scenarios import registry

    return registry[name].training if name in registry else {}


def configure(scenario: Scenario, *, assignments: Sequence[str] = (), **options: Any) -> BackpropConfig:
    """What the options of ``studyhall train --algo backprop`` say.

    Args:
        scenario: The scenario.
        assignments: ``KEY=VALUE`` for arguments of the world, ``policy.KEY=VALUE`` and ``backprop.KEY=VALUE``.
        **options: Fields of :class:`BackpropConfig`; None takes the scenario's or the default.

    Raises:
        ConfigError: A name or value that cannot be.
    """
    known = [f.name for f in dataclasses.fields(BackpropSettings)]
    ours: dict[str, Any] = {}
    theirs = []
    for text in assignments:
        head, dot, name = text.partition("=")[0].partition(".")
        if dot and head == "backprop":
            if name not in known:
                raise unknown("setting of backprop", name, known)
            ours[name] = parse_assignments([text])[f"backprop.{name}"]
        elif dot and head != "policy":
            raise unknown("setting", f"{head}.{name}", ["policy.…", *(f"backprop.{name}" for name in known)])
        elif text.partition("=")[0] == "split":
            raise ConfigError("split cannot be set: training has the stream, validation the exam split")
        elif text.partition("=")[0] == "mode":  # e.g. a control that never hears anything
            mode = parse_assignments([text])["mode"]
            scenario = dataclasses.replace(scenario, env_kwargs={**scenario.env_kwargs, "mode": mode})
        else:
            theirs.append(text)
    training = dict(scenario.training)
    settings = {name: training.pop(name) for name in known if name in training}
    return BackpropConfig(
        scenario=customise(scenario, assignments=theirs),
        settings=BackpropSettings(**(settings | ours)),
        **(training | {name: value for name, value in options.items() if value is not None}),
    )


def resumed(folder: Path, own_policy: str | None = None, **options: Any) -> BackpropConfig:
    """The config of a stopped training.

    Args:
        folder: Of the training.
        own_policy: ``"module:Class"``, where the user named it again.
        **options: Fields of :class:`BackpropConfig` that are to be changed, such as ``updates``; None keeps them.

    Raises:
        ConfigError: The folder holds none, or an option would make it another training.
    """
    chosen = changes(options, OF_RESUME)
    found = read_config(folder, "training")
    try:
        fields = {f.name: found[f.name] for f in dataclasses.fields(BackpropConfig)}
        fields["scenario"] = read_scenario(found["scenario"], own_policy)
        fields["settings"] = BackpropSettings(**found["settings"])
        if not isinstance(fields["device"], str):
            raise TypeError("a device is a text")
    except StudyhallError:  # what it says cannot be, in one line; some are TypeErrors too
        raise
    except (KeyError, TypeError) as fault:
        raise ConfigError(f"{folder} holds no training through the channel: {ANEW['training']}") from fault
    return BackpropConfig(**(fields | chosen))
