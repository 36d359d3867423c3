"""How fast random numbers are drawn, and what that is worth to worlds, against the commit before and plain torch.

    python benchmarks/draws.py [--rounds 7] [--only NAME …] [--before COMMIT] [--out FILE]

Contenders are "before", a checkout of the commit before draws were made on demand; "plain", this one where numba is
missing; "now"; and "kept", which calls :func:`studyhall.keep_memory` too. Each is a process of its own on one thread,
which they take in turns, in another order each round. Numbers are 4.2 million, of 256 worlds; worlds have default
arguments and are stepped with the same random actions again and again. Times are the processor's. A ratio is the
median over rounds of a contender's speed over that of "before", with its smallest and greatest.

``--out`` adds what was found to a file, in this repository `docs/results/draws.json`; let nothing else run then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from turns import answer, main, rate

BEFORE = "c2c11eb"
CONTENDERS = ("before", "plain", "now", "kept")
WORLDS, SHAPE = 256, (4, 64, 64)
NUMBERS = ("bits", "uniform", "normal")
STEPPED = (
    *(("consensus-v0", worlds) for worlds in (1, 16, 256, 1024)),
    ("halves-v0", 256),
)
CASES = (*NUMBERS, *(f"{name} {worlds}" for name, worlds in STEPPED))


def drawing(form: str) -> tuple[Callable[[], object], int]:
    """What draws, and how many numbers at a time."""
    import torch

    from studyhall.envs import rng

    keys = rng.world_key(torch.arange(WORLDS), "train")
    draws = rng.Draws({"noise": SHAPE})
    if hasattr(rng, "Draw"):
        return lambda: getattr(draws(keys)["noise"], form)(), WORLDS * 4 * 64 * 64
    make = {"bits": lambda drawn: drawn, "uniform": rng.uniform, "normal": rng.normal}[form]
    return lambda: make(draws(keys)["noise"]), WORLDS * 4 * 64 * 64


def stepping(name: str, worlds: int) -> tuple[Callable[[], object], int]:
    """What makes a step, and of how many agents."""
    from studyhall import make_world
    from studyhall.policies import RandomPolicy

    world = make_world(name, num_worlds=worlds)
    policy = RandomPolicy()
    policy.bind(world)
    actions = policy.act(world.reset(seed=0))
    return lambda: world.step(actions), worlds * world.num_agents


def serve(contender: str) -> None:
    """Answer, line by line, how many numbers or agent-steps a second a case makes."""
    if contender == "plain":
        sys.modules["numba"] = None  # type: ignore[assignment]  # as where it is not installed
    import torch

    import studyhall

    torch.set_num_threads(1)
    if contender == "kept" and not studyhall.keep_memory():
        raise SystemExit("the C library is not glibc: there is no memory to keep")
    for _ in range(8):  # as in a process that has drawn much: numba is imported on the way
        drawing("bits")[0]()
    made: dict[str, tuple[Callable[[], object], int]] = {}

    def found(case: str) -> float:
        if case not in made:
            name, _, worlds = case.partition(" ")
            made.clear()  # one at a time
            made[case] = stepping(name, int(worlds)) if worlds else drawing(name)
            for _ in range(5):
                made[case][0]()
        return rate(*made[case])

    answer(found)


if __name__ == "__main__":
    main(__file__, __doc__, CONTENDERS, lambda: CASES, BEFORE, serve)
