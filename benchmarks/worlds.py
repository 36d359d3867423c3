"""Steps a second of every registered world but the newest, and how they compare to those of another commit.

    python benchmarks/worlds.py [--before COMMIT] [--rounds 7] [--only NAME …] [--out FILE]

Contenders are "before", a checkout of the commit; "now", this one; and "compiled", which has ``compile=True`` in worlds
that take it and is as "now" in others. The last two call :func:`studyhall.keep_memory` where there are 16 worlds or
more. Each is a process of its own on one thread, which they take in turns, in another order each round; times are the
processor's.
Worlds have their default arguments, but hosted learners layers of 64 and 64, and are stepped with the same random
actions again and again. "staggered" are 64 worlds with episodes of 64 steps, one of which ends in every step. A figure
is in agent-steps a second; a ratio is the median over rounds of a contender's speed over that of "before".

Of single worlds the operations of a step are told besides, the mean of 24 steps: how often torch dispatches, which is
what their time goes to. Of these a ratio below 1 is the better one.

``--out`` adds what was found to a file, in this repository `docs/results/worlds.json`; let nothing else run then.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from turns import answer, main, rate

BEFORE = "5444198"
CONTENDERS = ("before", "now", "compiled")
COUNTED = "operations of "
LARGE = {
    "consensus-v0": (16, 256, 1024),
    "halves-v0": (256,),
    "referential-v0": (256,),
    "classroom-v0": (256,),
}
"""Worlds that are measured with many side by side, and how many."""

NEW = ("modular-v0", "hierarchy-v0")
"""Worlds that the commit before does not have."""

STAGGERED, LENGTH = 64, 64


def cases() -> list[str]:
    """Names of worlds, with what is said of learners, and how many there are."""
    from studyhall import registry

    found = []
    for name, spec in registry.items():
        if name in NEW:
            continue
        forms = ("1", *map(str, LARGE.get(name, ())), "staggered")
        found += [f"{COUNTED}{name} 1", *(f"{name} {form}" for form in forms)]
        if spec.hosted:
            found += [f"{COUNTED}{name} hosted 1", *(f"{name} hosted {form}" for form in ("1", "staggered"))]
    return found


class Operations(TorchDispatchMode):
    """Counts what torch dispatches."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return operation(*args, **(kwargs or {}))


class Case:
    """A world that is stepped with the same random actions again and again."""

    def __init__(self, case: str, compiled: bool) -> None:
        from studyhall import make_world, registry
        from studyhall.policies import RandomPolicy

        id, *hosted, form = case.split()
        kwargs: dict[str, Any] = {"learners": "mlp", "hidden": (64, 64)} if hosted else {}
        if form == "staggered":
            known = registry[id].arguments(hosted=bool(hosted))
            kwargs |= {"horizon": LENGTH} if "horizon" in known else {"rounds": LENGTH - 1, "slice_size": 4}
        if compiled and registry[id].load().compiles and not hosted:
            kwargs["compile"] = True
        worlds = STAGGERED if form == "staggered" else int(form)
        self.world = make_world(id, num_worlds=worlds, **kwargs)
        policy = RandomPolicy()
        policy.bind(self.world)
        self.actions = policy.act(self.world.reset(seed=0))
        if form == "staggered":
            for late in range(1, worlds):
                self.world.step(self.actions, mask=torch.arange(worlds) >= late)
        for _ in range(5):
            self.world.step(self.actions)

    def step(self) -> None:
        """All worlds, once."""
        self.world.step(self.actions)

    def operations(self, steps: int = 24) -> float:
        """Operations of a step."""
        with Operations() as counted:
            for _ in range(steps):
                self.step()
        return counted.count / steps


def serve(contender: str) -> None:
    """Answer how many agent-steps a second a case makes, or how many operations it is of."""
    import studyhall

    torch.set_num_threads(1)
    if contender != "before":
        from studyhall.envs.engine import kernels

        kernels.due("engine.rng_numba", torch.device("cpu"), kernels.START)  # as after some thousand steps
    made: dict[str, Case] = {}

    def found(case: str) -> float:
        counts, name = case.startswith(COUNTED), case.removeprefix(COUNTED)
        if name not in made:
            made.clear()  # one at a time: they take memory
            if contender != "before" and name.split()[-1] != "1":
                studyhall.keep_memory()
            made[name] = Case(name, contender == "compiled")
        one = made[name]
        return one.operations() if counts else rate(one.step, one.world.num_worlds * one.world.num_agents)

    answer(found)


if __name__ == "__main__":
    main(__file__, __doc__, CONTENDERS, cases, BEFORE, serve)
