"""How fast agents hear, judge and learn on a CPU, against the commit before what they say was made in one pass.

    python benchmarks/payload.py [--rounds 7] [--only NAME …] [--before COMMIT] [--out FILE]

Contenders are "before", a checkout of that commit; "now"; "kept", which calls :func:`studyhall.keep_memory` too; and
"medium", which beside that lets products of float32 be made of bfloat16
(``torch.set_float32_matmul_precision("medium")``). Each is a process of its own on one thread, which they take in
turns, in another order each round; worlds are stepped with the same random actions again and again. Times are the
processor's. A ratio is the median over rounds of a contender over "before", with its smallest and greatest.

Worlds, in agent-steps a second: society-v0, whose 8 hosted learners 64-64-64-10 without dropout learn 32 rows, publish
16 and sit an exam of 64 in every step; and classroom-v0 as it is, hosted (64-64-64-10, too) and not. "of sgemm" is the
share of a step that all its products would take at the speed of a product of two matrices of 1,024 × 1,024:
floating-point operations of learning (the first layer has no gradient of its input), publishing and exam.

``--out`` adds what was found to a file, in this repository `docs/results/payload.json`; let nothing else run then.
"""

from __future__ import annotations

from collections.abc import Callable

from turns import answer, main, rate

BEFORE = "5444198"
CONTENDERS = ("before", "now", "kept", "medium")
NETWORK = {"learners": "mlp", "hidden": (64, 64), "dropout": 0.0, "horizon": 1_000_000}
WORLDS = {
    "society-v0 hosted": NETWORK | {"agents": 8, "slice_size": 16},
    "classroom-v0 hosted": NETWORK,
    "classroom-v0": {"horizon": 1_000_000},
}
CASES = (
    *(f"society-v0 hosted, W={worlds}{what}" for worlds in (64, 256) for what in ("", ", of sgemm")),
    *("classroom-v0, W=256", "classroom-v0, W=1", "classroom-v0 hosted, W=1"),
)
LEARNT, SAID = 32, 16 + 64
"""Rows of a society's step."""


def products() -> int:
    """Floating-point operations of an agent's step in a society."""
    layers = (64 * 64, 64 * 64, 64 * 10)
    forward, inputs = sum(layers), sum(layers[1:])
    return 2 * (LEARNT * (2 * forward + inputs) + SAID * forward)


def stepping(name: str, worlds: int) -> tuple[Callable[[], object], int]:
    """What makes a step, and of how many agents."""
    from studyhall import make_world
    from studyhall.policies import RandomPolicy

    world = make_world(name.split()[0], num_worlds=worlds, **WORLDS[name])
    policy = RandomPolicy()
    policy.bind(world)
    actions = policy.act(world.reset(seed=0))
    return lambda: world.step(actions), worlds * world.num_agents


def serve(contender: str) -> None:
    """Answer, line by line, how many agent-steps a second a case makes."""
    import torch

    import studyhall

    torch.set_num_threads(1)
    if contender in ("kept", "medium") and not studyhall.keep_memory():
        raise SystemExit("the C library is not glibc: there is no memory to keep")
    if contender == "medium":
        torch.set_float32_matmul_precision("medium")
    if contender != "before":
        from studyhall.envs.engine import kernels

        kernels.due(
            "exam_numba", torch.device("cpu"), kernels.START
        )  # as in a process that has worked for long
    made: dict[str, tuple[Callable[[], object], int]] = {}
    square = torch.rand(1024, 1024)

    def found(case: str) -> float:
        name, worlds, *share = case.split(", ")
        if (key := f"{name}, {worlds}") not in made:
            made.clear()  # one at a time
            made[key] = stepping(name, int(worlds.removeprefix("W=")))
            for _ in range(5):
                made[key][0]()
        speed = rate(*made[key])
        if not share:
            return speed
        torch.set_float32_matmul_precision("highest")
        full = rate(lambda: square @ square, 2 * 1024**3)
        torch.set_float32_matmul_precision("medium" if contender == "medium" else "highest")
        return speed * products() / full

    answer(found)


if __name__ == "__main__":
    main(__file__, __doc__, CONTENDERS, lambda: CASES, BEFORE, serve)
