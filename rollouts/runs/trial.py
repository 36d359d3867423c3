"""Testing networks that a run left, by themselves: what each agent is worth on the test split of some data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...envs.errors import ConfigError, DataError
from ...envs.files import as_path
from ...envs.streams import DATASETS, Dataset, load_dataset
from ...envs.streams.labels import few
from ...envs.study import Study
from ...envs.validation import whole
from ...policies import make_policy
from ...policies.socialized.choice import chosen
from ..metrics.expertise import figures
from ..storage.networks import SUFFIX, StoredNetwork, read_network
from .run_folder import RunConfig, RunFolder

USES: dict[str, tuple[str, ...]] = {
    "expert": ("expert",),
    "student": ("student",),
    "grown": ("grown",),
    "masc": ("student", "grown"),
}
"""Whose answer is tested, and the networks it takes."""

_OF_DATA = ("data", "data_dir", "exam_items", "stream_items", "data_classes")  # arguments of a world


class Networks(NamedTuple):
    """Those of one agent; None where it has none, or none is needed."""

    agent: int | None
    expert: StoredNetwork | None = None
    student: StoredNetwork | None = None
    grown: StoredNetwork | None = None

    @property
    def all(self) -> list[StoredNetwork]:
        """Those there are."""
        return [network for network in self[1:] if isinstance(network, StoredNetwork)]


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Attributes:
        use: Whose answer was tested.
        source: Where the networks were.
        seed: Of the world they learnt in, where it is known.
        data: Name of the data.
        items: Of the test split.
        classes: Of the data.
        agents: Figures of each agent, as of :func:`~studyhall.rollouts.metrics.expertise.figures`, ``agent`` among
            them, and ``forgetting`` where its expert is there. None where it is not known whose classes are whose, or
            where there are no items of such classes.
    """

    use: str
    source: str
    seed: int | None
    data: str
    items: int
    classes: int
    agents: list[dict[str, Any]]

    @property
    def mean(self) -> dict[str, float | None]:
        """Means of the agents' figures, liars among them; None where one has none."""
        names = [name for name in self.agents[0] if name != "agent"]
        values = {name: [figure[name] for figure in self.agents] for name in names}
        return {name: None if None in own else sum(own) / len(own) for name, own in values.items()}

    def as_json(self) -> dict[str, Any]:
        """Everything."""
        return {**vars(self), "mean": self.mean}


# ---- whose networks, and of what data ---------------------------------------------------------------------


_BY_FILES = "give its networks instead of the folder, by --expert, --student and --grown"


class LeftByARun:
    """Networks in the folder of a run.

    Args:
        folder: Of the run.
        seed: Of the world they learnt in; None: the run's first.
        agent: Whose; None: everybody's.
        use: Whose answer is to be tested.

    Raises:
        ConfigError: It is no folder of a run, or the run left no such networks.
    """

    def __init__(self, folder: RunFolder, seed: int | None, agent: int | None, use: str) -> None:
        self.config: RunConfig = folder.config(advice=_BY_FILES)
        seeds = self.config.seeds
        if seed not in (None, *seeds):
            raise ConfigError(f"{folder.path} is a run of seeds {', '.join(map(str, seeds))}, not of {seed}")
        self.seed = seeds[0] if seed is None else seed
        self.path, self.use = folder.stages / f"seed_{self.seed}", use
        scenario = self.config.scenario
        self._leaves = make_policy(scenario.policy, **scenario.policy_kwargs).leaves
        if not any(self.path.glob(f"*{SUFFIX}")):
            why = "its first stage is not over" if self._leaves else f"{scenario.policy} leaves none"
            raise ConfigError(f"{folder.path} left no networks in {self.path}: {why}")
        count = whole("agents", self._of_world["agents"], 1)
        if agent is not None and not 0 <= agent < count:
            raise ConfigError(f"the agents of {folder.path} are 0 … {count - 1}, there is none {agent}")
        self.agents = range(count) if agent is None else (agent,)

    @property
    def _of_world(self) -> dict[str, Any]:
        """The arguments of the run's world."""
        return self.config.scenario.world_arguments | dict(self.config.scenario.env_kwargs)

    def __iter__(self) -> Iterator[Networks]:
        """One agent's at a time, since some are large."""
        student = None
        for agent in self.agents:
            of_agent = {"expert": self._read(f"expert_{agent}")}
            if "student" in USES[self.use]:
                if student is None or student.agent is not None:
                    each = (self.path / f"student_{agent}{SUFFIX}").exists()
                    student = self._read(f"student_{agent}" if each else "student")
                of_agent["student"] = student
            if "grown" in USES[self.use]:
                of_agent["grown"] = self._read(f"grown_{agent}")
            yield Networks(agent, **of_agent)

    def _read(self, name: str) -> StoredNetwork:
        path = self.path / f"{name}{SUFFIX}"
        part, _, agent = name.partition("_")
        if not path.exists():
            raise self._missing(name, part)
        network = _checked(read_network(path), part)
        if network.agent != (int(agent) if agent else None):
            whose = "everybody's" if network.agent is None else f"of agent {network.agent}"
            raise ConfigError(f"{path} is {whose}, unlike its name: put back what the run left there")
        return network

    def _missing(self, name: str, part: str) -> ConfigError:
        """The error for a network that is not there."""
        if part == "expert":
            return ConfigError(
                f"{self.path / name}{SUFFIX} is missing: put it back, or test others by --agent"
            )
        if part not in self._leaves:
            return ConfigError(
                f"{self.path} holds no {name}: {self.config.scenario.policy} leaves experts only; take --use expert"
            )
        use = "student" if part == "grown" and any(self.path.glob(f"student*{SUFFIX}")) else "expert"
        return ConfigError(
            f"{self.path} holds no {name}: its stage is not over, or nobody taught it; take --use {use}"
        )

    def dataset(self) -> Dataset:
        """The data that the run learnt from."""
        given = self._of_world
        return Study(**{name: given[name] for name in _OF_DATA if name in given}).dataset(torch.device("cpu"))


def refuse_file(path: Path) -> None:
    """Raise where a file is given for the folder of a run: most likely a network without its option.

    Raises:
        ConfigError: It is a file.
    """
    if path.is_file():
        part = read_network(path).part
        how = f"give it as --{part}" if part in _WHOSE else "give the folder of a run"
        raise ConfigError(f"{path} is a network: {how}")


def in_files(files: dict[str, Path | None]) -> Networks:
    """The networks of one agent in files, by part.

    Raises:
        ConfigError: One cannot be read, or they do not belong together.
    """
    read = {part: _checked(read_network(path), part) for part, path in files.items() if path is not None}
    _check_alike(list(read.values()))
    whose = {network.agent: network for network in read.values() if network.agent is not None}
    if len(whose) > 1:
        told = " and ".join(f"{network.source} is of agent {agent}" for agent, network in whose.items())
        raise ConfigError(f"{told}: give networks of one agent")
    return Networks(next(iter(whose), None), **read)


def _check_alike(networks: Sequence[StoredNetwork]) -> None:
    """Raise where networks read other pictures, know other classes or are of another run or seed than the first."""
    first = networks[0]
    for other in networks[1:]:
        if (first.shape, first.classes) != (other.shape, other.classes):
            raise ConfigError(
                f"{first.source} and {other.source} are of different data: give networks of one run"
            )
        if first.origin != other.origin:
            raise ConfigError(
                f"{first.source} and {other.source} are of different runs or seeds: give networks of one"
            )


def _check_grown(networks: Networks) -> None:
    """Raise where a grown teacher is not the student with a head of its own."""
    student, grown = networks.student, networks.grown
    if student is None or grown is None:
        return
    one, other = (
        {name: value for name, value in network.module.state_dict().items() if not name.startswith("head.")}
        for network in (student, grown)
    )
    if one.keys() != other.keys() or not all(torch.equal(value, other[name]) for name, value in one.items()):
        raise ConfigError(
            f"{grown.source} did not grow from {student.source}: give the student that its own run left"
        )


_WHOSE = {"expert": "an expert's", "student": "a student's", "grown": "a grown teacher's"}


def _checked(network: StoredNetwork, part: str) -> StoredNetwork:
    if network.part != part:
        known = f", but {_WHOSE[network.part]}: give it as --{network.part}" if network.part in _WHOSE else ""
        raise ConfigError(f"{network.source} is not {_WHOSE[part]} network{known}")
    if part == "grown" and network.offset is None:
        raise ConfigError(f"{network.source} does not say when to choose it (offset): leave it anew by a run")
    return network


def loaded(data: str, network: StoredNetwork) -> Dataset:
    """Data of a user's, their pictures resized to what a network reads.

    Raises:
        DataError: They cannot be had or used.
        UnknownName: There are no such data.
    """
    if data not in DATASETS:
        _check_parts(as_path("--data", data))
    found = load_dataset(data, image_size=(network.shape[-2], network.shape[-1]))
    known = network.classes
    return found.reduced(len(known), None) if found.classes[: len(known)] == known else found


def _check_parts(root: Path) -> None:
    """Raise where what is there has no test split of its own: a fifth of its training part would be taken."""
    if not root.is_dir():
        if root.exists():
            raise DataError(f"{root} has no test split: give a folder of pictures with train/ and test/")
        return  # load_dataset says what names there are
    lacking = [part for part in ("train", "test") if not (root / part).is_dir()]
    if len(lacking) == 1:
        (other,) = {"train", "test"} - {*lacking}
        raise DataError(f"{root} has no {lacking[0]}/ beside {other}/: give a folder with both")
    if lacking:
        raise DataError(
            f"{root} has no train/ and test/: give a folder with both, in each a sub-folder of pictures a class"
        )


# ---- testing ----------------------------------------------------------------------------------------------

_OF_OWN = ("expert", "general", "average", "directionality", "forgetting")


def examine(
    subjects: Iterable[Networks],
    use: str,
    dataset: Dataset,
    *,
    top: int | None = None,
    batch: int = 1000,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Figures of each agent; see :class:`Trial`.

    Args:
        subjects: Networks of each agent.
        use: Whose answer is tested, of :data:`USES`.
        dataset: On whose test split. Its classes are found by name among those that the networks know.
        top: Also tell how often the label is among the ``top`` likeliest.
        batch: Pictures at once.
        device: Where networks are asked.

    Raises:
        DataError: The data are not what the networks read, or have classes that they do not know.
        ConfigError: The networks are of different data, or ``top`` is not below the number of classes.
    """
    found: list[dict[str, Any]] = []
    for networks in subjects:
        if not found:
            first = networks.all[0]
            split = _TestSplit(dataset, first, batch, device)
            if top is not None and top >= len(first.classes):
                raise ConfigError(f"--top takes less than all {len(first.classes)} classes, got {top}")
        _check_alike([first, *networks.all])
        _check_grown(networks)
        own = next((network.own_classes for network in networks.all if network.own_classes), ())
        told = split.figures(networks, use, own, top)
        if networks.expert is not None:
            told["forgetting"] = split.figures(networks, "expert", own, None)["expert"] - told["expert"]
        unknown = () if own else _OF_OWN
        figures_of = {
            name: None if name in unknown or isnan(value) else value for name, value in told.items()
        }
        found.append({"agent": networks.agent, **figures_of})
    return found


_COLOURS = {1: "grey", 3: "coloured"}  # by their channels


class _TestSplit:
    """A test split as networks read it.

    Args:
        dataset: The data.
        network: One of those that read them; the others are alike.
        batch: Pictures at once.
        device: Where.
    """

    def __init__(self, dataset: Dataset, network: StoredNetwork, batch: int, device: str) -> None:
        (theirs, *size), (ours, *read) = (dataset.shape, network.shape)
        if size == read and {theirs, ours} == {1, 3}:
            found, takes = (_COLOURS[channels] for channels in (theirs, ours))
            raise DataError(
                f"pictures of {dataset.name} are {found}, and {network.source} reads {takes} ones: give {takes} ones"
            )
        if dataset.shape != network.shape:
            raise DataError(
                f"items of {dataset.name} have shape {dataset.shape}, and {network.source} reads {network.shape}: "
                "give data of that shape, or a folder of pictures, which are resized"
            )
        if unknown := [name for name in dataset.classes if name not in network.classes]:
            raise DataError(
                f"{dataset.name} has classes that {network.source} does not know: {few(unknown)}; it knows "
                f"{few(network.classes)}"
            )
        # Normalised as in training, whatever the mean of these data.
        self.dataset = replace(dataset, mean=network.mean, std=network.std).to(device)
        places = torch.tensor([network.classes.index(name) for name in dataset.classes], device=device)
        self.labels, self.classes = places[self.dataset.test.y], len(network.classes)
        self.batch, self.device = batch, device
        self._said: tuple[StoredNetwork, Tensor] | None = None  # by a student, who is perhaps everybody's

    def _mask(self, own_classes: Iterable[int]) -> Tensor:
        own = torch.zeros(self.classes, dtype=torch.bool, device=self.device)
        own[list(own_classes)] = True
        return own

    def figures(
        self, networks: Networks, use: str, own_classes: Iterable[int], top: int | None
    ) -> dict[str, Any]:
        """What an agent of these classes is worth."""
        said = self._answers(networks, use).softmax(-1)[None, None]
        told = figures(said, self.labels, self._mask(own_classes)[None, None], top=top)
        return {name: float(values) for name, values in told.items() if name != "own_best"}

    def _answers(self, networks: Networks, use: str) -> Tensor:
        """Logits ``[M, C]`` of who answers."""
        said = {part: self._logits(getattr(networks, part)) for part in USES[use]}
        if use != "masc":
            return said[use]
        assert networks.grown is not None
        assert networks.grown.offset is not None
        takes = chosen(said["student"], said["grown"], networks.grown.offset)
        return torch.where(takes[:, None], said["grown"], said["student"])

    def _logits(self, network: StoredNetwork) -> Tensor:
        if self._said is not None and self._said[0] is network:
            return self._said[1]
        module = network.module.to(self.device)
        rows = torch.arange(len(self.labels), device=self.device)
        with torch.inference_mode():
            said = torch.cat([module(self.dataset.inputs("test", some)) for some in rows.split(self.batch)])
        if network.part == "student":
            self._said = network, said
        return said
