"""What is trained, how, and for how long: from the options of ``studyhall train``, or from a training's folder.

A training by reward and one through the channel are told the same things in the same way. Each kind adds how its length
is counted, and says what a user may leave out.
"""

from __future__ import annotations

import dataclasses
import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...envs.errors import ConfigError, StudyhallError, unknown
from ...envs.validation import LAST_SEED, whole
from ...scenarios import Scenario, registry
from ..settings.parse import Assignments, changes, parse_assignments
from ..settings.read_scenario import read_scenario
from ..storage.folders import ANEW, read_config
from ..storage.text import as_json, plain

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class TrainingConfig(ABC):
    """What is trained, whatever trains it.

    Args:
        scenario: Its world, and its policy where that is what is trained.
        settings: Of the algorithm; each can be set with ``--set PREFIX.NAME=VALUE``.
        algorithm: Its name, which names the folder too.
        worlds: W, side by side.
        eval_every: What is done between two evaluations, in the unit of ``length``; the first is before any update.
        eval_worlds: Held-out worlds of an evaluation, one episode each.
        seed: Of the worlds.
        threads: CPU threads.

    Raises:
        ConfigError: A value out of range.
    """

    scenario: Scenario
    settings: Any
    algorithm: str
    worlds: int
    eval_every: int
    eval_worlds: int
    seed: int = 0
    threads: int = 1

    kind: ClassVar[str]
    """What it is called: training "by reward", …"""
    length: ClassVar[str]
    """The option that says for how long: "timesteps", …"""
    options: ClassVar[tuple[str, ...]]
    """All options, in the order of :attr:`command`."""
    always_given: ClassVar[tuple[str, ...]] = ()
    """Those that :attr:`command` names even where they are the usual ones."""
    changeable: ClassVar[tuple[str, ...]]
    """Those that may change when a training goes on."""
    last_seed: ClassVar[int] = LAST_SEED

    def __post_init__(self) -> None:
        for name in (self.length, "worlds", "threads", "eval_every", "eval_worlds"):
            object.__setattr__(
                self, name, whole(name, getattr(self, name), 1)
            )  # numpy's integers as Python's
        object.__setattr__(self, "seed", whole("seed", self.seed, 0, self.last_seed))

    # ---- what a kind of training says ---------------------------------------------------------------

    @classmethod
    @abstractmethod
    def prefix(cls, algorithm: str) -> str:
        """What stands before the names of the algorithm's settings."""

    @classmethod
    @abstractmethod
    def settings_type(cls, algorithm: str) -> type[Any]:
        """The dataclass of the algorithm's settings."""

    @classmethod
    @abstractmethod
    def usual(cls, scenario: Scenario, algorithm: str) -> tuple[Any, dict[str, Any]]:
        """The settings, and the options by name, that a user may leave out for a scenario."""

    @classmethod
    def unused(cls, scenario: Scenario) -> frozenset[str]:
        """Names of settings that nothing has in a scenario's world."""
        return frozenset()

    @classmethod
    @abstractmethod
    def change(cls, scenario: Scenario, algorithm: str, given: Mapping[str, Any]) -> Scenario:
        """The scenario with a user's changes, those of the algorithm left out.

        Raises:
            ConfigError: The algorithm does not train in it, or a change is none of the scenario's.
        """

    @property
    @abstractmethod
    def run_with(self) -> list[str]:
        """``KEY=VALUE`` of the world it is trained in, for ``studyhall run``."""

    # ---- from a user, from a folder, and back -------------------------------------------------------

    @classmethod
    def configure(
        cls, scenario: Scenario, *, algorithm: str, assignments: Assignments = (), **options: Any
    ) -> Self:
        """What the options of ``studyhall train`` say.

        Args:
            scenario: The scenario.
            algorithm: Name of the algorithm.
            assignments: ``KEY=VALUE`` for arguments of the world, ``PREFIX.KEY=VALUE`` for settings of the algorithm,
                or a mapping.
            **options: Fields of the config; None takes the usual one.

        Raises:
            ConfigError: A name or value that cannot be.
        """
        head = f"{cls.prefix(algorithm)}."
        all_given = parse_assignments(assignments)
        ours = {name: value for name, value in all_given.items() if name.startswith(head)}
        theirs = {name: value for name, value in all_given.items() if name not in ours}
        chosen = cls.change(scenario, algorithm, theirs)
        settings, usual = cls.usual(chosen, algorithm)
        known = [f.name for f in dataclasses.fields(settings) if f.name not in cls.unused(chosen)]
        given = {name.removeprefix(head): value for name, value in ours.items()}
        for name in given:
            if name not in known:
                raise unknown(f"setting of {head[:-1]}", name, known)
        return cls(
            scenario=chosen,
            algorithm=algorithm,
            settings=dataclasses.replace(settings, **given),
            **(usual | {name: value for name, value in options.items() if value is not None}),
        )

    @classmethod
    def resumed(cls, folder: Path, own_policy: str | None = None, **options: Any) -> Self:
        """The config of a stopped training.

        Args:
            folder: Of the training.
            own_policy: ``"module:Class"``, where the user named it again.
            **options: Fields that are to be changed, such as its length; None keeps them. What is changed makes another
                training of it, which goes on from where this one stopped.

        Raises:
            ConfigError: The folder holds none of this kind, or an option cannot be changed.
        """
        chosen = changes(options, cls.changeable)
        found = read_config(folder, "training")
        try:
            fields = {f.name: found[f.name] for f in dataclasses.fields(cls)}
            fields["scenario"] = read_scenario(found["scenario"], own_policy)
            fields["settings"] = cls.settings_type(found["algorithm"])(**found["settings"])
            return cls(**(fields | chosen))
        except StudyhallError:  # what it says cannot be, in one line; some are TypeErrors too
            raise
        except (KeyError, TypeError) as fault:
            raise ConfigError(f"{folder} holds no training {cls.kind}: {ANEW['training']}") from fault

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain JSON types, and the command."""
        scenario = dataclasses.replace(
            self.scenario,
            env_kwargs=plain(self.scenario.env_kwargs),
            policy_kwargs=plain(self.scenario.policy_kwargs),
        )
        return {
            **dataclasses.asdict(dataclasses.replace(self, scenario=scenario)),
            "command": self.command,
        }

    @property
    def decides(self) -> dict[str, Any]:
        """What decides how the training goes on; what may change when it does is left out."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        kept = {name: value for name, value in fields.items() if name not in (*self.changeable, "scenario")}
        of_scenario = {
            name: getattr(self.scenario, name) for name in ("env", "env_kwargs", "policy", "policy_kwargs")
        }
        return {**of_scenario, **kept, "settings": dataclasses.asdict(self.settings)}

    @property
    def command(self) -> str:
        """The command that trains the same."""
        name = self.scenario.name
        registered = registry[name] if name in registry else dataclasses.replace(self.scenario, training={})
        settings, usual = self.usual(registered, self.algorithm)
        words = ["studyhall", "train", name, "--algo", self.algorithm]
        for option in self.options:
            value = getattr(self, option)
            if option in self.always_given or value != usual.get(option, getattr(type(self), option)):
                words += [f"--{option.replace('_', '-')}", str(value)]
        prefix = f"{self.prefix(self.algorithm)}."
        changed = [*self.trained_with, *differing(vars(self.settings), vars(settings), prefix)]
        return shlex.join([*words, *(word for text in changed for word in ("--set", text))])

    @property
    def trained_with(self) -> list[str]:
        """``KEY=VALUE`` of the scenario it is trained in, for ``studyhall train``."""
        return self.changed

    @property
    def changed_policy(self) -> list[str]:
        """``KEY=VALUE`` for the scenario's policy and its arguments, where they are not the registered ones."""
        found = registry.get(self.scenario.name)
        own = found is not None and found.policy == self.scenario.policy
        usual = found.policy_kwargs if own and found is not None else {}
        policy = [] if own else [f"policy={self.scenario.policy}"]
        return [*policy, *differing(self.scenario.policy_kwargs, usual, "policy.")]

    @property
    def changed(self) -> list[str]:
        """``KEY=VALUE`` for every argument of the scenario's world that is not the registered one."""
        name = self.scenario.name
        usual = registry[name].env_kwargs if name in registry else {}
        return differing(self.scenario.env_kwargs, usual)


def differing(given: Mapping[str, Any], usual: Mapping[str, Any], prefix: str = "") -> list[str]:
    """``PREFIXKEY=VALUE`` for every value that is not the usual one."""
    usual = plain(usual)
    return [
        f"{prefix}{name}={value if isinstance(value, str) else as_json(value)}"
        for name, value in plain(given).items()
        if usual.get(name, ...) != value
    ]
