"""What happened in the worlds of a run on the way: figures of every agent, who listened to whom, how it looked.

Kept at :data:`POINTS` steps at most, or at fewer, so that a file of :data:`ROOM` bytes holds it, whatever the world.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ...envs.untrusted import Unreadable, load_array, read_entry

BUDGET = "budget"
"""The figure that is the share of the teacher's budget left, ``[P, W]``."""

POINTS = 200
ROOM = 4 * 2**20

_ABOUT = "trace.json"
_MOST = 16 * ROOM  # bytes of an entry that are still read: scenes come on top
_FIGURE = "figure/"


class Scene(NamedTuple):
    """How the first open world looked after a step."""

    step: int
    text: str
    """As ``render("ansi")`` draws it; empty where it cannot be drawn."""
    pictures: dict[str, bytes]
    """What its agents saw, said and made, by caption, as PNG; one without a caption is of the world."""


@dataclass
class Trace:
    """See this module's page; of P steps, W worlds (S of each mode, in the order of a report), N agents.

    Attributes:
        labels: What each agent is, for people.
        steps: Where figures were taken.
        figures: Metric to its values, float32 ``[P, W]`` or ``[P, W, N]``, NaN where there was none.
        title: What weights say (:class:`~studyhall.envs.engine.Listening`); empty where nobody hears anybody.
        who: Which agent is in each slot of an agent of the open worlds, ``[S, N, K]``; empty where nobody hears
            anybody, or it would take too much room.
        weights: How much each listens to whom is there, uint8 ``[P, S, N, K]``, 255 of 1.
        liars: Who lies in the open worlds, bool ``[S, N]``.
        scenes: Of the first open world.
    """

    labels: list[str] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    figures: dict[str, np.ndarray] = field(default_factory=dict)
    title: str = ""
    who: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), np.int32))
    weights: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0, 0), np.uint8))
    liars: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))
    scenes: list[Scene] = field(default_factory=list)

    def as_bytes(self) -> bytes:
        """The content of a file: a zip of arrays, of pictures, and of a JSON that says the rest."""
        about = {
            "labels": self.labels,
            "steps": self.steps,
            "title": self.title,
            "scenes": [[scene.step, scene.text, list(scene.pictures)] for scene in self.scenes],
        }
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            _add(archive, _ABOUT, json.dumps(about).encode())
            arrays = {"who": self.who, "weights": self.weights, "liars": self.liars}
            for name, values in (arrays | {_FIGURE + name: v for name, v in self.figures.items()}).items():
                entry = io.BytesIO()
                np.save(entry, values, allow_pickle=False)
                _add(archive, f"{name}.npy", entry.getvalue())
            for i, scene in enumerate(self.scenes):
                for k, picture in enumerate(scene.pictures.values()):
                    _add(archive, f"scene-{i}-{k}.png", picture)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Trace:
        """What :meth:`as_bytes` wrote.

        Raises:
            Unreadable: It is something else, or damaged.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                about = json.loads(read_entry(archive, _ABOUT, _MOST))
                arrays = {
                    name.removesuffix(".npy"): load_array(io.BytesIO(read_entry(archive, name, _MOST)))
                    for name in archive.namelist()
                    if name.endswith(".npy")
                }
                scenes = [
                    Scene(
                        step,
                        text,
                        {
                            name: read_entry(archive, f"scene-{i}-{k}.png", _MOST)
                            for k, name in enumerate(names)
                        },
                    )
                    for i, (step, text, names) in enumerate(about["scenes"])
                ]
            figures = {
                name.removeprefix(_FIGURE): v for name, v in arrays.items() if name.startswith(_FIGURE)
            }
            found = cls(
                labels=about["labels"],
                steps=about["steps"],
                figures=figures,
                title=about["title"],
                **{name: arrays[name] for name in ("who", "weights", "liars")},
                scenes=scenes,
            )
        except (
            zipfile.BadZipFile,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
            OSError,
        ) as fault:
            raise Unreadable("it is no trace") from fault
        if not found._is_whole():
            raise Unreadable("its parts do not fit each other")
        return found

    def fits(self, worlds: int, seeds: int) -> bool:
        """Whether it is of so many worlds, of so many seeds."""
        return (
            all(values.shape[1] == worlds for values in self.figures.values())
            and len(self.liars) == seeds
            and len(self.who) in (0, seeds)
        )

    def _is_whole(self) -> bool:
        points, agents = len(self.steps), len(self.labels)
        texts = [self.title, *self.labels, *(scene.text for scene in self.scenes)]
        texts += [name for scene in self.scenes for name in scene.pictures]
        numbers = [*self.steps, *(scene.step for scene in self.scenes)]
        return (
            all(isinstance(text, str) for text in texts)
            and all(type(number) is int and number >= 0 for number in numbers)
            and all(
                v.dtype == np.float32
                and v.ndim in (2, 3)
                and len(v) == points
                and v.shape[2:] in ((), (agents,))
                for v in self.figures.values()
            )
            and self.weights.dtype == np.uint8
            and self.who.dtype == np.int32
            and self.liars.dtype == np.bool_
            and self.liars.ndim == 2
            and self.liars.shape[1:] in ((0,), (agents,))
            and self.weights.ndim == 4
            and self.who.ndim == 3
            and (self.weights.shape == (points, *self.who.shape) or not self.weights.size)
            and (
                not self.who.size
                or (self.who.shape[1] == agents and bool((self.who >= 0).all() and (self.who < agents).all()))
            )
        )


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """An entry of the first date that a zip knows, so that equal ones are of equal bytes."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(".png") else zipfile.ZIP_DEFLATED
    archive.writestr(entry, content, compresslevel=2)
