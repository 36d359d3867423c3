"""Policies that are a vector of numbers, of which every world of a batch may have its own.

So a batch tries many at once, which is what evolution strategies need (`rollouts/training/evolution.py`). A subclass
names its numbers, says what they are at first, and acts by :attr:`Parametric.of_worlds`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from ..envs.archive import damaged, save
from ..envs.errors import ConfigError
from .files import POLICY, read
from .policy import Policy

FORMAT = "studyhall parametric policy, 1"
"""Of the files that the numbers are saved in."""


class Parametric(Policy):
    """Acts by P numbers.

    Args:
        weights: File to take them from, as training wrote it; None begins with :meth:`start`.

    Attributes:
        parameters: float32, ``[P]`` for all worlds, or ``[W, P]``; to be set at any time.
        about: What the file that they came from says of itself.
        settings: What the policy was made with, to be kept with its numbers.

    Raises:
        ConfigError: There is no such file, or it holds other numbers.
    """

    names: ClassVar[tuple[str, ...]]
    """What the numbers weigh, P of them."""
    forms: ClassVar[tuple[str, ...]] = ()
    """Arguments of the world that numbers are good for; a file asks for what it was trained with."""

    def __init__(self, weights: str | None = None) -> None:
        self.settings: dict[str, Any] = {}
        self.about: dict[str, Any] = {}
        self.parameters = self.start()
        if weights is not None:
            self.load(str(weights))

    @property
    def size(self) -> int:
        """P."""
        return len(self.names)

    @abstractmethod
    def start(self) -> Tensor:
        """The numbers that training begins with, float32 ``[P]``."""

    @property
    def of_worlds(self) -> Tensor:
        """The numbers of each world, ``[W, P]``, where the world is.

        Raises:
            ConfigError: They are of another size.
        """
        world, given = self.world, self.parameters
        if given.shape not in ((self.size,), (world.num_worlds, self.size)):
            raise ConfigError(
                f"parameters of {type(self).__name__} are [{self.size}], or [{world.num_worlds}, {self.size}] in this "
                f"world, got {list(given.shape)}"
            )
        return given.to(world.device).expand(world.num_worlds, -1)

    def load(self, source: str) -> None:
        """Take the numbers of a file, and ask for worlds of the form that they were trained in.

        Raises:
            ConfigError: There is no such file, or it holds other numbers; nothing was changed then.
        """
        about, weights = read(source, FORMAT)
        told = about.get("parameters")
        if weights.keys() != {"parameters"} or not isinstance(told, list):
            raise damaged(source, POLICY)
        if told != list(self.names):
            differ = ", ".join(sorted(map(str, set(map(str, told)) ^ set(self.names)))) or "their order"
            raise ConfigError(
                f"{source} holds other numbers than {type(self).__name__} has ({differ}): train it anew"
            )
        if weights["parameters"].shape != (self.size,):
            raise damaged(source, POLICY)
        self.parameters, self.about = weights["parameters"], dict(about)
        made = about.get("env_kwargs", {})
        self.world_kwargs: Mapping[str, Any] = {
            **self.world_kwargs,
            **{name: made[name] for name in self.forms if name in made},
        }


def save_parametric(policy: Parametric, path: Path, name: str, **about: Any) -> None:
    """Write a policy's numbers, whole or not at all.

    Args:
        policy: With one vector for all worlds.
        path: Of the file.
        name: The policy's own name, which whoever reads the file makes it by.
        **about: More to remember.
    """
    said = {
        "format": FORMAT,
        "policy": name,
        "policy_kwargs": policy.settings,
        "parameters": list(policy.names),
        **about,
    }
    save(path, said, {"parameters": policy.parameters})
