"""Conformance checks of where steps lead: seeds, batches, masks, saving, forking, each against a twin."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..envs.engine.rng import DOMAINS
from ..envs.engine.world import World
from .tools import (
    Subject,
    copied,
    global_generators_untouched,
    leaves,
    of_world,
    same,
    sample_actions,
    saved_of_world,
    seeded,
    walk_length,
)

FATES = ("present", "edges", "heard", "liar", "shift", "slice", "public", "public_told", "exam")
"""Last parts of the names of observations and state that must not depend on what agents do."""

ROUNDING = 1e-5
"""How far a world in a batch may be from the same world alone after a step, where it hosts learners."""

DRIFT = 1e-3
"""Likewise over an episode: learning carries rounding on."""


def check_determinism(subject: Subject) -> None:
    """The same seed and actions give the same steps, bit for bit, over two episodes and more."""
    one, other = subject.world(2, autoreset=True), subject.world(2, autoreset=True)
    generator = seeded(4)
    property = "equal seeds and actions must give equal steps"
    subject.require_equal(property, {"obs": one.reset(seed=5)}, {"obs": other.reset(seed=5)}, 0)
    for t in range(1, 2 * walk_length(one) + 1):
        actions = sample_actions(one, generator)
        subject.require_equal(property, one.step(actions), other.step(actions), t)


def check_seeds(subject: Subject) -> None:
    """Equal seeds in different domains, different seeds and different episodes are different worlds."""
    world = subject.world(8)
    keys: list[int] = []
    for domain in DOMAINS:
        for seed in (0, None):  # an episode of the seeds 0…7, and the one after it
            world.reset(seed=seed, options={"domain": domain})
            keys += world.keys.tolist()
    subject.require(len(set(keys)) == len(keys), "train, eval and demo worlds must have unrelated keys")
    if not (world.reset_draws.shapes or world.step_draws.shapes):
        return  # nothing is random here
    for seed, domain, what in ((1, "train", "seeds 0 and 1"), (0, "eval", "train and eval")):
        pair = [subject.world(1, autoreset=True) for _ in range(2)]
        pair[0].reset(seed=0, options={"domain": "train"})
        pair[1].reset(seed=seed, options={"domain": domain})
        generators = seeded(5), seeded(5)
        for _ in range(walk_length(pair[0])):  # until they differ: most worlds do at once
            one, other = (w.step(sample_actions(w, g)) for w, g in zip(pair, generators, strict=True))
            seen = ({"obs": s.obs, "final_obs": s.final_obs, "reward": s.reward} for s in (one, other))
            if not all(same(a[1], b[1]) for a, b in zip(*map(leaves, seen), strict=True)):
                break
        else:
            subject.require(False, f"{what} must give different worlds")


def check_batch(subject: Subject) -> None:
    """A world in a batch equals the same world alone, whatever the others are at."""
    batch = subject.world(3, autoreset=True)
    first, later = (ROUNDING, DRIFT) if batch.hosts_learners else (0.0, 0.0)
    seeds = [11, 7, 40]
    alone = [subject.world(1, autoreset=True) for _ in seeds]
    generator = seeded(6)
    property = "a world in a batch must equal the same world alone"
    obs = {"obs": batch.reset(seed=seeds)}
    for w, (world, seed) in enumerate(zip(alone, seeds, strict=True)):
        own = dict(leaves({"obs": world.reset(seed=seed)}))
        subject.require_equal(f"{property} (world {w})", of_world(obs, w), own, 0, first)
    for t in range(1, walk_length(batch) + 1):
        actions = sample_actions(batch, generator)
        step = batch.step(actions)
        for w, world in enumerate(alone):
            tolerance = first if world.clock[0] == 0 else later
            own = dict(leaves(world.step(of_world(actions, w))))
            subject.require_equal(f"{property} (world {w})", of_world(step, w), own, t, tolerance)
        if t == 1:  # from here on the worlds are out of step with each other
            batch.reset(mask=np.array([False, True, False]))
            alone[1].reset()


def check_masked_reset(subject: Subject) -> None:
    """A masked reset begins anew where it should, and moves no bit of the other worlds."""
    world, whole = _pair(subject, 3, seed=6, steps=1)
    actions = sample_actions(world, seeded(7))
    last = world.step(actions)
    whole.step(actions)
    clock = world.clock.tolist()
    before = [saved_of_world(world.state_dict(), w) for w in range(3)]
    mask = np.array([False, True, False])
    obs, fresh = world.reset(mask=mask), whole.reset()
    after, expected = world.state_dict(), whole.state_dict()
    for w in range(3):
        if mask[w]:
            property = f"a masked reset must begin world {w} anew"
            subject.require_equal(property, of_world(obs, w), of_world(fresh, w))
            subject.require_equal(property, saved_of_world(after, w), saved_of_world(expected, w))
        else:
            property = f"a masked reset must leave world {w} alone"
            subject.require_equal(property, before[w], saved_of_world(after, w))
            subject.require_equal(property, of_world(last.obs, w), of_world(obs, w))
    expected_clock = [clock[0], 0, clock[2]]
    subject.require(
        world.clock.tolist() == expected_clock, "a masked reset must set back its worlds' clocks only"
    )
    world.reset(mask=np.zeros(3, dtype=bool))
    subject.require_equal("a reset of no world must move none", after, world.state_dict())


def check_masked_step(subject: Subject) -> None:
    """Worlds outside the mask of a step do not move; those inside move as ever."""
    world, whole = _pair(subject, 3, seed=7, steps=1)
    clock = world.clock.tolist()
    before = [saved_of_world(world.state_dict(), w) for w in range(3)]
    actions = sample_actions(world, seeded(8))
    mask = np.array([True, False, True])
    step, full = world.step(actions, mask=mask), whole.step(actions)
    after, expected = world.state_dict(), whole.state_dict()
    for w in range(3):
        if mask[w]:
            property = f"a masked step must move world {w} as an unmasked one does"
            moved = {"step": of_world(step, w), "saved": saved_of_world(after, w)}
            ever = {"step": of_world(full, w), "saved": saved_of_world(expected, w)}
            # Learners that sleep may be left out of an optimiser's call, which then rounds otherwise.
            subject.require_equal(property, moved, ever, tolerance=ROUNDING if world.hosts_learners else 0.0)
        else:
            property = f"a masked step must not move world {w}"
            subject.require_equal(property, before[w], saved_of_world(after, w))
            subject.require(not bool(step.reward[w].any()), property, "it has a reward")
    expected_clock = [clock[0] + 1, clock[1], clock[2] + 1]
    subject.require(
        world.clock.tolist() == expected_clock, "a masked step must advance its worlds' clocks only"
    )


def check_autoreset(subject: Subject) -> None:
    """Autoreset equals masked resets of a world without it; ``final_obs`` is the last observation."""
    auto, manual = subject.world(2, autoreset=True), subject.world(2)
    auto.reset(seed=9)
    manual.reset(seed=9)
    generator = seeded(10)
    for t in range(1, walk_length(auto) + 2):
        actions = sample_actions(auto, generator)
        # The first step moves one of them alone, so that episodes end one by one.
        mask = np.array([True, False]) if t == 1 else None
        step, twin = auto.step(actions, mask=mask), manual.step(actions, mask=mask)
        ended = (twin.terminated | twin.truncated).cpu().numpy()
        subject.require_equal("final_obs must be the last observation", step.final_obs, twin.obs, t)
        obs = manual.reset(mask=ended) if ended.any() else twin.obs
        subject.require_equal("autoreset must equal a masked reset", step.obs, obs, t)
        rest, expected = ({**one._asdict(), "obs": {}, "final_obs": {}} for one in (step, twin))
        subject.require_equal("autoreset must equal a masked reset", rest, expected, t)


def check_state_dict(subject: Subject) -> None:
    """A state saved mid-episode, loaded into a fresh world, continues identically; nobody moves what is saved."""
    world = subject.world(2, autoreset=True)
    generator = seeded(11)
    world.reset(seed=12)
    for _ in range(max(1, world.horizon // 2)):
        world.step(sample_actions(world, generator))
    saved = world.state_dict()
    kept = copied(saved)
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    twin, stray = (subject.world(2, autoreset=True) for _ in range(2))
    twin.load_state_dict(torch.load(file, weights_only=True))
    stray.load_state_dict(saved)
    other = seeded(31)
    for t in range(1, walk_length(world) + 1):
        actions = sample_actions(world, generator)
        stray.step(sample_actions(stray, other))
        property = "a loaded state must continue identically"
        subject.require_equal(property, world.step(actions), twin.step(actions), t)
        subject.require_equal(property, world.state_dict(), twin.state_dict(), t)
        subject.require_equal("what was saved must stay as it was", copied(saved), kept, t)


def check_fork(subject: Subject) -> None:
    """A fork starts where the world is; then neither moves the other."""
    world, reference = _pair(subject, 2, seed=13, steps=1, autoreset=True)
    twin, stray = world.fork(), world.fork()
    generator, other = seeded(14), seeded(15)
    for t in range(1, walk_length(world) + 1):
        actions = sample_actions(world, generator)
        stray.step(sample_actions(stray, other))
        step = world.step(actions)
        subject.require_equal("a fork must not move the world", step, reference.step(actions), t)
        subject.require_equal("a fork must continue like the world", step, twin.step(actions), t)
        subject.require_equal("a fork must continue like the world", world.state_dict(), twin.state_dict(), t)


def check_interleaved(subject: Subject) -> None:
    """Two instances stepped in turn equal two stepped one after the other."""
    together = [subject.world(1, autoreset=True) for _ in range(2)]
    courses: list[list[Any]] = [[], []]
    generators = [seeded(16), seeded(17)]
    for seed, world in enumerate(together):
        world.reset(seed=seed)
    for _ in range(walk_length(together[0])):
        for course, world, generator in zip(courses, together, generators, strict=True):
            course.append(copied(world.step(sample_actions(world, generator))))
    for seed, course in enumerate(courses):
        world, generator = subject.world(1, autoreset=True), seeded(16 + seed)
        world.reset(seed=seed)
        for t, expected in enumerate(course, 1):
            step = world.step(sample_actions(world, generator))
            subject.require_equal("instances must not touch each other", copied(step), expected, t)


def check_global_generators(subject: Subject) -> None:
    """Making, resetting and stepping a world leaves the global random numbers alone."""
    with global_generators_untouched(subject, "making a world"):
        world = subject.world(2, autoreset=True)
    with global_generators_untouched(subject, "reset"):
        world.reset(seed=1)
        world.reset()
    generator = seeded(18)
    with global_generators_untouched(subject, "step"):
        for _ in range(walk_length(world)):
            world.step(sample_actions(world, generator))


def check_handed_out(subject: Subject) -> None:
    """What a step handed out stays as it was."""
    world = subject.world(2, autoreset=True)
    generator = seeded(19)
    handed = {"obs": world.reset(seed=1)}
    kept = copied(handed)
    for t in range(1, walk_length(world) + 1):
        actions = sample_actions(world, generator)
        given = copied(actions)
        step = world.step(actions)
        subject.require_equal("an observation handed out must stay as it was", handed, kept, t)
        subject.require_equal("a step must not write into actions", actions, given, t)
        handed, kept = {"obs": step.obs}, copied({"obs": step.obs})


def check_poison(subject: Subject) -> None:
    """What was handed out or in may be overwritten: the world keeps no view of it."""
    property = "a world must keep no view of what it hands out or is given"
    for autoreset in (True, False):  # where episodes begin anew at once, nobody sees what the last step left
        poisoned, clean = _pair(subject, 2, seed=23, steps=0, autoreset=autoreset)
        _poison(poisoned.obs)
        generator, same_again = seeded(24), seeded(24)
        for t in range(1, walk_length(clean) + 1):
            actions = sample_actions(poisoned, generator)
            step, expected = poisoned.step(actions), clean.step(sample_actions(clean, same_again))
            subject.require_equal(property, step, expected, t)
            over = not autoreset and bool((expected.terminated | expected.truncated).all())
            _poison((step, actions, poisoned.metrics(), poisoned.keys, poisoned.steps), 255 if t % 2 else 1)
            if over:
                for one, other in ((poisoned.obs, clean.obs), (poisoned.metrics(), clean.metrics())):
                    subject.require_equal(property, one, other, t)
                break


def _poison(tree: Any, byte: int = 255) -> None:
    """Overwrite every tensor's memory; with 255, floating point becomes NaN."""
    for _, value in leaves(tree):
        value.untyped_storage().fill_(byte)


def check_fates(subject: Subject) -> None:
    """What happens to agents (faults, slices, exams) does not depend on what they say."""
    property = "fates must not depend on actions"
    worlds = [subject.world(2) for _ in range(2)]
    generators = [seeded(20), seeded(21)]
    for world in worlds:
        world.reset(seed=22)
    for t in range(1, walk_length(worlds[0]) + 1):
        for world, generator in zip(worlds, generators, strict=True):
            step = world.step(sample_actions(world, generator, abstain=0.0))
        subject.require_equal(property, _fates(worlds[0]), _fates(worlds[1]), t)
        ended = (step.terminated | step.truncated).cpu().numpy()
        if ended.any():
            for world in worlds:
                world.reset(mask=ended)
            subject.require_equal(property, _fates(worlds[0]), _fates(worlds[1]), t)


def _fates(world: World) -> dict[str, Any]:
    """What a world shows and keeps of the fates of its agents."""
    seen = leaves({"obs": world.obs, "state": world.state_dict()["state"]})
    return {key: value for key, value in seen if key.replace(".", "/").split("/")[-1] in FATES}


def check_inference(subject: Subject) -> None:
    """Under ``torch.inference_mode`` a world moves as it does outside, and goes on outside of it."""
    inside, outside = _pair(subject, 2, seed=8, steps=0)
    generator = seeded(9)
    for t in range(1, min(3, inside.horizon) + 1):
        actions = sample_actions(outside, generator)
        with torch.inference_mode(t != 3):
            step = inside.step({k: v.clone() for k, v in actions.items()})
        expected = outside.step(actions)
        seen, wanted = ({"obs": side.obs, "reward": side.reward} for side in (step, expected))
        subject.require_equal("inference mode must change nothing", wanted, seen, t)
    with torch.inference_mode():
        inside.reset(seed=3)


CHECKS: list[Callable[[Subject], None]] = [
    check_determinism,
    check_seeds,
    check_batch,
    check_masked_reset,
    check_masked_step,
    check_autoreset,
    check_state_dict,
    check_fork,
    check_interleaved,
    check_inference,
    check_global_generators,
    check_handed_out,
    check_poison,
    check_fates,
]


# ---- helpers ----------------------------------------------------------------------------------------


def _pair(
    subject: Subject, num_worlds: int, *, seed: int, steps: int, autoreset: bool = False
) -> tuple[World, World]:
    """Two worlds that have gone the same few steps; where an episode ended with them, they are in the next."""
    pair = []
    for _ in range(2):
        world = subject.world(num_worlds, autoreset=autoreset)
        world.reset(seed=seed)
        generator = seeded(seed)
        for _ in range(steps):
            step = world.step(sample_actions(world, generator))
            ended = (step.terminated | step.truncated).cpu().numpy()
            if ended.any() and not autoreset:
                world.reset(mask=ended)
        pair.append(world)
    return pair[0], pair[1]
