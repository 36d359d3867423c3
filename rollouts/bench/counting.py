"""Where a step goes: operations, products, and the time of its parts."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ...envs.engine import World, rng
from ...envs.exam import Exam
from ...envs.language.colony import Colony
from ...envs.language.models import Models
from ...learners.groups import GroupedPopulation
from ...learners.mixed import MixedPopulation
from ...learners.population import Population

PARTS = ("draw", "transition", "observe", "learn", "exam", "begin", "rest")
"""Of a step: random numbers; the transition; observations; learning; exams; episodes that begin; everything else."""

_OF_WORLDS = {
    **{"advance": "transition", "observe": "observe", "_restart": "begin"},
    **{"mark": "exam", "examine": "exam", "_examine": "exam"},
}
_OF_CLASSES: tuple[tuple[type, tuple[str, ...], str], ...] = (
    (rng.Draws, ("__call__",), "draw"),
    (rng.Draw, ("bits", "uniform", "below", "normal", "integers", "permutation", "at"), "draw"),
    (Exam, ("draw", "score", "update"), "exam"),
    (Population, ("learn", "answer", "correct"), "learn"),
    (MixedPopulation, ("learn",), "learn"),
    (GroupedPopulation, ("learn", "gradients", "apply"), "learn"),
    (Models, ("learn", "learn_seen"), "learn"),
    (Colony, ("learn",), "learn"),
)


class Operations(TorchDispatchMode):
    """Counts what torch is asked to do.

    Attributes:
        count: Operations.
        flops: Additions and multiplications of matrix products and convolutions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count, self.flops = 0, 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count an operation, and do it."""
        found = operation(*args, **(kwargs or {}))
        self.count += 1
        if formula := flop_registry.get(operation._overloadpacket):
            options = {name: value for name, value in (kwargs or {}).items() if name != "out"}
            self.flops += formula(*args, **options, out_val=found)
        return found


class Clocks:
    """The time of parts, each without that of the parts within it.

    Attributes:
        seconds: By part.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._parts, self._since = ["rest"], time.process_time()

    def timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """The function, whose time counts as that of a part."""

        def clocked(*args: Any, **kwargs: Any) -> Any:
            self._count()
            self._parts.append(part)
            try:
                return function(*args, **kwargs)
            finally:
                self._count()
                self._parts.pop()

        return clocked

    def _count(self) -> None:
        now = time.process_time()
        self.seconds[self._parts[-1]] += now - self._since
        self._since = now

    @contextmanager
    def running(self, *methods: tuple[Any, str, str]) -> Iterator[None]:
        """Within it methods are clocked: each an object or a class, a name and the part that it is of."""
        with ExitStack() as stack:
            for owner, name, part in methods:
                method = vars(owner)[name] if isinstance(owner, type) else getattr(owner, name)
                stack.enter_context(replaced(owner, name, self.timed(method, part)))
            self._since = time.process_time()
            yield
            self._count()


def methods_of(world: World) -> list[tuple[Any, str, str]]:
    """What :meth:`Clocks.running` is given to clock the parts of a world's steps."""
    own = [(world, name, part) for name, part in _OF_WORLDS.items() if hasattr(world, name)]
    return own + [(kind, name, part) for kind, names, part in _OF_CLASSES for name in names]


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Within it an attribute of an object or a class is another, past what guards attributes."""
    own, before = name in vars(owner), vars(owner).get(name)
    change = type.__setattr__ if isinstance(owner, type) else object.__setattr__
    change(owner, name, value)
    try:
        yield
    finally:
        if own:
            change(owner, name, before)
        else:
            object.__delattr__(owner, name)
