"""Does everything work here? Each check says what it found and, where something is amiss, what to do."""

from __future__ import annotations

import dataclasses
import importlib
import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ...envs.errors import StudyhallError

SMOKE_STEPS = 20
_SMOKE = ("classroom-digits", "society-liar-digits")  # learners of the policy's, and hosted ones
_EMBEDDED = ("digits", None)  # what a world's argument `data` says where nothing has to be fetched
_FAULTS = (StudyhallError, RuntimeError, ImportError, OSError)
_INSTALL = "install the package anew: pip install -c constraints.txt -e ."
_PACKAGES = (
    "torchvision",
    "numpy",
    "numba",
    "gymnasium",
    "pettingzoo",
    "scikit-learn",
    "datasets",
    "pyarrow",
    "stable-baselines3",
    "matplotlib",
    "typer",
    "rich",
)


@dataclass(frozen=True)
class Check:
    """One line of the doctor's table.

    Args:
        name: What was looked at.
        ok: Whether it will do.
        found: What was found.
        advice: What to do; empty where nothing need be done.
    """

    name: str
    ok: bool
    found: str
    advice: str = ""


def examine() -> list[Check]:
    """All checks, in the order in which to mend what is amiss."""
    checks = [_python(), *_torch(), *_packages()]
    if any(check.name == "torch" and not check.ok for check in checks):
        return checks  # nothing else can be looked at
    return [*checks, *_data(), _cache(), _registries(), _worlds(), *map(_smoke, _SMOKE)]


def as_json(checks: list[Check]) -> dict[str, Any]:
    """The checks as plain JSON types; ``ok`` is whether all are."""
    return {"ok": all(c.ok for c in checks), "checks": [dataclasses.asdict(c) for c in checks]}


def _python() -> Check:
    ok = sys.version_info >= (3, 10)
    return Check("python", ok, platform.python_version(), "" if ok else "install Python 3.10 or newer")


def _torch() -> list[Check]:
    try:
        import torch
    except ImportError as fault:
        return [Check("torch", False, str(fault), "pip install torch==2.13.0")]
    count = torch.cuda.device_count()
    names = ", ".join(f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(count))
    return [
        Check("torch", True, torch.__version__),
        Check("devices", True, f"cpu{', ' + names if names else ''}"),
        Check(
            "threads",
            True,
            f"{os.cpu_count()} cores; runs use 1, or as many as studyhall run --threads says",
        ),
    ]


def _packages() -> list[Check]:
    checks = []
    for name in _PACKAGES:
        try:
            checks.append(Check(name, True, metadata.version(name)))
        except metadata.PackageNotFoundError:
            checks.append(Check(name, False, "not installed", f"pip install -c constraints.txt {name}"))
    return checks


def _data() -> list[Check]:
    from ...envs.streams import DATASETS

    asked = os.environ.get("STUDYHALL_DATA")
    if not asked:
        return [
            Check(
                "data",
                True,
                "digits embedded; others from the hub when first used (STUDYHALL_DATA is not set)",
                "to work offline, set STUDYHALL_DATA to a folder with mnist/train.parquet, mnist/test.parquet, …",
            )
        ]
    root = Path(asked).expanduser()
    if not root.is_dir():
        return [
            Check("data", False, f"STUDYHALL_DATA={asked} is no folder", "set it to a folder, or unset it")
        ]
    held = [
        n for n in DATASETS if all(any((root / n).glob(f"{part}*.parquet")) for part in ("train", "test"))
    ]
    found = f"STUDYHALL_DATA={asked}: {', '.join(held) or 'no data sets'}; digits embedded"
    absent = [n for n in DATASETS if n not in (*held, "digits")]
    advice = f"for {', '.join(absent)}: add <name>/train.parquet and test.parquet" if absent else ""
    return [Check("data", True, found, advice)]


def _cache() -> Check:
    from ...envs.streams import cache

    folder = cache.folder()
    existing = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        return Check("cache", False, f"{folder} cannot be written", "set STUDYHALL_CACHE to another folder")
    entries = sorted(p.name.rpartition("-")[0] for p in folder.glob("[!.]*") if p.is_dir())
    return Check("cache", True, f"{folder} ({', '.join(dict.fromkeys(entries)) or 'empty'})")


def _registries() -> Check:
    """Every name leads somewhere."""
    from ... import envs, policies, scenarios
    from ...policies.files import trained
    from ...policies.saved import saved_policy

    faults, shipped = [], trained()
    for name in shipped:
        try:
            saved_policy(name)
        except StudyhallError as fault:
            faults.append(str(fault))
    entry_points = [entry.entry_point for entry in envs.registry.values()]
    entry_points += [entry.entry_point for entry in policies.registry.values()]
    for entry_point in entry_points:
        module, name = entry_point.split(":")
        try:
            getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as fault:
            faults.append(str(fault))
    for scenario in scenarios.registry.values():
        if scenario.env not in envs.registry or scenario.policy not in (*policies.registry, *shipped):
            faults.append(f"scenario {scenario.name} names an unknown world or policy")
    counts = (
        f"{len(envs.registry)} worlds, {len(policies.registry)} policies and {len(shipped)} trained, "
        f"{len(scenarios.registry)} scenarios"
    )
    return Check("registries", not faults, "; ".join(faults) or counts, _INSTALL if faults else "")


def _worlds() -> Check:
    """One step of random actions in every world whose data are embedded."""
    import torch

    from ...envs import make_world, registry
    from ...policies import RandomPolicy
    from ..settings.parse import parse_device

    device = parse_device("auto")
    torch.set_num_threads(1)
    names = [name for name, spec in registry.items() if spec.arguments().get("data") in _EMBEDDED]
    faults = []
    for name in names:
        try:
            world, policy = make_world(name, device=device), RandomPolicy()
            policy.bind(world)
            world.step(policy.act(world.reset(seed=0)))
        except _FAULTS as fault:
            faults.append(f"{name}: {type(fault).__name__}: {fault}")
    found = f"{len(names)} took a step on {device}: {', '.join(names)}"
    return Check("worlds", not faults, "; ".join(faults) or found, _INSTALL if faults else "")


def _smoke(name: str) -> Check:
    """A short run of a scenario on embedded data."""
    import torch

    from ...scenarios import get_scenario
    from ..runs.run import Rollout
    from ..settings import customise, parse_device

    device = parse_device("auto")
    torch.set_num_threads(1)
    scenario = get_scenario(name)
    try:
        scenario = customise(scenario, steps=SMOKE_STEPS, controls=())
        report = Rollout(scenario, seeds=(0,), device=device).run()
    except _FAULTS as fault:
        again = f"see where: studyhall run {name} --steps {SMOKE_STEPS} --debug"
        return Check(scenario.env, False, f"{type(fault).__name__}: {fault}", again)
    rate = SMOKE_STEPS / report.seconds
    return Check(scenario.env, True, f"{SMOKE_STEPS} steps on {device}, {rate:.0f} steps/s")
