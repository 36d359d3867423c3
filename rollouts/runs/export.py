"""The learners of a run or training, taken out of it as plain PyTorch modules; see `storage/plain.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from re import fullmatch
from typing import Any

from ...envs.errors import ConfigError, StudyhallError, short
from ...envs.files import as_path
from ...learners.plain import Plain
from ...scenarios import Scenario
from ..settings.read_scenario import read_scenario
from ..storage.folders import ANEW, new_folder, read_config
from ..storage.plain import write_plain
from ..storage.text import plain
from .launch import set_up
from .run import Rollout
from .run_folder import RunConfig, RunFolder

_NAME_AGAIN = "add --policy {policy}"


def export(
    run: str | Path, *, out: str | Path | None = None, policy: str | None = None, **named: Any
) -> list[Path]:
    """Write the learners of a run, as its last checkpoint has them, to folders that plain PyTorch reads.

    Each seed has a folder, ``seed_S``, with one for each learner of its open world; learners that all worlds have alike
    lie beside these. Of a training it is the best policy, where that is what learns.

    Args:
        run: Folder of a run, or of a training.
        out: Folder to write, new or empty; None is ``export`` within the run's.
        policy: The policy, where it is one of your own, ``"module:Class"``, which a file cannot name.
        **named: Arguments of the world that a file cannot hold, such as a factory of modules: the same again.

    Returns:
        The folders of learners.

    Raises:
        ConfigError: There is no run, it has no checkpoint yet, nobody learns in it, or a folder cannot be written.
    """
    path = as_path("run", run, ConfigError)
    target = path / "export" if out is None else as_path("out", out, ConfigError)
    training = "algorithm" in read_config(path, "run", "training")
    rollout = (_trained if training else _taken_up)(path, policy, named)
    scenario = rollout.scenario
    found: dict[str, tuple[Plain, dict[str, Any]]] = {}
    for row, seed in enumerate(rollout.seeds):  # the open worlds come first
        learners = rollout.policy.export(row)
        if not training:
            learners = rollout.world.export(row) | learners
        for name, learner in learners.items():
            place = name if learner.everywhere else f"seed_{seed}/{name}"
            found[place] = (
                learner,
                {
                    "name": name,
                    "agent": None if learner.agent is None else rollout.world.agents[learner.agent],
                    "seed": None if learner.everywhere else seed,
                    "steps": None if training else rollout.done,
                    "scenario": scenario.name,
                    "env": scenario.env,
                    "policy": scenario.policy,
                },
            )
    if not found:
        raise ConfigError(
            f"the training in {path} trained who decides, not who learns: give the folder of a run"
            if training
            else f"nobody learns in the run in {path}, so there is nothing to export"
        )
    data = getattr(rollout.world, "dataset", None)
    described = {} if data is None else {"data": data.described}
    with new_folder(target, "export") as folder:
        for place, (learner, about) in found.items():
            write_plain(folder / place, learner, about | described)
    return [folder / place for place in found]


def _taken_up(path: Path, policy: str | None, named: Mapping[str, Any]) -> Rollout:
    """A run where its last checkpoint left it."""
    folder = RunFolder(path)
    config = folder.config(policy, _NAME_AGAIN)
    config = dataclasses.replace(config, scenario=_again(config.scenario, named), device="cpu")
    rollout = set_up(config, f"as {path}/config.json says")
    if not rollout.load_if_saved(folder.checkpoints):
        if folder.report_file.exists():
            raise ConfigError(
                f"the run in {path} kept no checkpoint, as where it was saved afterwards: run it into a folder, "
                "by studyhall run or rollout(…, out=…)"
            )
        raise ConfigError(f"the run in {path} has no checkpoint yet: wait for the first")
    return rollout


def _trained(path: Path, policy: str | None, named: Mapping[str, Any]) -> Rollout:
    """The best policy of a training, in a world that begins."""
    best = path / "best.zip"
    if not best.exists():
        raise ConfigError(f"the training in {path} has kept no policy yet: wait for its first evaluation")
    try:
        described = read_scenario(read_config(path, "training")["scenario"], policy, _NAME_AGAIN)
    except StudyhallError:
        raise
    except (KeyError, TypeError) as fault:
        raise ConfigError(f"{path}/config.json is not what a training writes: {ANEW['training']}") from fault
    scenario = _again(described, named)
    of_policy: Mapping[str, Any] = {"policy": str(best), "policy_kwargs": {}}
    if policy is not None:
        of_policy = {"policy_kwargs": {**scenario.policy_kwargs, "weights": str(best)}}
    scenario = dataclasses.replace(scenario, controls=(), measure_at=(), **of_policy)
    config = RunConfig(scenario=scenario, seeds=scenario.seeds[:1], device="cpu", threads=1)
    return set_up(config, f"as {path}/config.json says")


def _again(scenario: Scenario, named: Mapping[str, Any]) -> Scenario:
    """The scenario with arguments that its file only names."""
    for name, value in plain(named).items():
        if scenario.env_kwargs.get(name, ...) != value:
            raise ConfigError(
                f"the run was made with another {name} than {short(named[name])}: give the same again"
            )
    for name, value in scenario.env_kwargs.items():
        held = value if isinstance(value, (list, tuple)) else [value]
        if name not in named and any(isinstance(one, str) and fullmatch("<.+>", one) for one in held):
            raise ConfigError(
                f"the run's {name} was {short(value)}, which a file cannot hold: name it again in code, "
                f"studyhall.export(RUN, {name}=…)"
            )
    return dataclasses.replace(scenario, env_kwargs={**scenario.env_kwargs, **named})
