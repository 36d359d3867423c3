"""halves-v0: viewers hold one part of a picture each, and paint what the others hold.

## Description
Every sample is a picture, turned by a multiple of 90° (and mirrored, if asked for), cut into a grid of N equal parts.
The parts are dealt out to N viewers, who are not told which they hold. They exchange messages for some rounds and
paint, in every round, the parts of all the others. It generalises MiniCoMo, in which two networks see one half of a
digit each and exchange one message.

## Observation Space
Flat `Dict`, the same for every agent. N viewers, S sources: the most neighbours that one can have in
the topology; in a complete room N − 1, and source s of agent i is agent (i + 1 + s) mod N, elsewhere in the same order.
B samples, parts of shape `C×h×w`, messages of M numbers (or L symbols of V).

| key | shape | range | meaning |
|---|---|---|---|
| `own_view` | `B, C, h, w` float32 | [0, 1] | one's own part of every sample |
| `inbox` | `S, B, M` (`S, B, L, V`) float32 | ℝ | messages that arrived since the round before; zeros where none |
| `heard` | `S` int8 | {0, 1} | whose message arrived |
| `agent_id` | `N` int8 | {0, 1} | one-hot: which viewer one is |
| `elapsed` | `1` float32 | [0, 1] | steps made / horizon |

## Action Space
| key | space | meaning |
|---|---|---|
| `message` | `Box(−bound, bound, (B, M))`; symbols: `Box(0, 1, (B, L, V))` | a row of zeros says nothing and is free |
| `answer` | `Box(0, 1, (N − 1, B, C, h, w))` | the painting: what the other viewers hold, from the next one on |

What is painted outside [0, 1] counts as the nearest bound, a part with a pixel that is not finite as the mean part.

## Rewards
The improvement of one's score on the round before, where score = 1 − MSE / MSE of the mean part: 0 for the best
painting that knows nothing, 1 for a perfect one. The mean part is that of the stream under all turns there may be.
`Step.loss` is the MSE of one's painting, a mean over parts, samples and pixels: the sum over two viewers is the
"summed MSE" of the documented MiniCoMo.

## Starting State
A slice of samples, turned, cut and dealt; nothing heard; scores at 0.

## Episode End
Truncation after `rounds` + 1 steps.

## Channel
A message is M·bits/8 bytes a sample (L·⌈log₂ V⌉ bits for symbols) on every edge it is sent on, dropped ones included.
Those of the last step would reach nobody and are not sent. Pixels never cross.

## Assumptions
Samples are iid draws of the split, with replacement, and so are turns. Viewers are told who they are, not which part
they hold. The truth leaves the world only through `Step.loss`, scores and rewards.

## Metrics
Per viewer: `score`, `loss` (MSE), `bytes`. Per world: `summed` (loss summed over viewers), `message_bytes` (one message
about one sample). Reports also tell upright samples (turned by nothing, dealt in place) from turned and swapped ones.

## Arguments
| argument | default | meaning |
|---|---|---|
| `data` | "digits" | data set of pictures: a name, arrays, a torch or HF data set, a folder |
| `data_dir` | None | folder of parquet files for named data (else `STUDYHALL_DATA`, else the hub) |
| `grid` | (1, 2) | rows and columns of the cut: (1, 2) halves, (2, 2) quadrants, (1, N) strips; N is their product |
| `rotate` | True | whether samples are turned by 0, 90, 180 or 270°; takes square pictures |
| `flip` | False | whether every second sample is mirrored |
| `swap` | True | whether parts are dealt in random order, not in place |
| `target` | "partner" | what is painted as source s: "partner", what it holds; "place", what lies at its place |

With `target="place"`, as MiniCoMo was published, that is place (i + 1 + s) mod N of the picture, whoever holds it:
where parts are swapped, a viewer may be asked for the very part it sees.

The rest are arguments of all message worlds: see `studyhall.envs.messages`.

## Version History
* v0: first release.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from ..channel import Neighbours
from ..engine import TensorDict, rng
from ..engine.compiling import compilable
from ..engine.finite import where_finite
from ..errors import ConfigError, one_of, short
from ..streams import Dataset, load_dataset
from ..validation import afford, flag, whole
from .world import MessageWorld

TARGETS = ("partner", "place")
_CHUNK = 4096  # pictures converted at a time


class Halves(MessageWorld):
    """The batched world behind ``halves-v0``; this module's page documents every argument."""

    few_actions = "slice_size=1, bound=1"
    agent_noun = "viewer"
    compiles = frozenset({"advance", "judge"})
    refused_arguments: ClassVar[Mapping[str, str]] = {
        "agents": "every part of the picture has its viewer: set grid, e.g. grid=(2, 2) for 4",
    }

    def __init__(
        self,
        *,
        data: Any = "digits",
        data_dir: str | None = None,
        grid: Sequence[int] = (1, 2),
        rotate: bool = True,
        flip: bool = False,
        swap: bool = True,
        target: str = "partner",
        **others: Any,
    ) -> None:
        rows, columns = _grid(grid)
        afford(1, "grid", parts=rows * columns, others=rows * columns)
        super().__init__(agents=rows * columns, **others)
        self.grid, self.target = (rows, columns), one_of("target", target, TARGETS)
        self.rotate, self.flip, self.swap = flag("rotate", rotate), flag("flip", flip), flag("swap", swap)
        self.dataset = load_dataset(data, data_dir=data_dir).to(self.device)
        self.picture_shape = _picture_shape(self.dataset, self.grid, self.rotate)
        channels, height, width = self.picture_shape
        self.part_shape = (channels, height // rows, width // columns)
        self._cut = _cuts(self.picture_shape, self.grid).to(self.device)  # [8, N, pixels of a part]
        self.mean_part, self._worst = self._of_the_stream()
        if not bool((self._worst > 0).all()):
            raise ConfigError(
                f"the pictures of {self.dataset.name} have a part that is always the same: cut otherwise"
            )
        n = self.num_agents
        self._mean_parts = self.mean_part[self._others].view(n, n - 1, 1, *self.part_shape)
        self._chance = self._worst[self._others].mean(-1)  # MSE of mean parts, [N]
        sample = math.prod(self.picture_shape)
        afford(
            self.num_worlds, "grid or slice_size", agents=self.num_agents, slice_size=self.rows, pixels=sample
        )
        shape = (self.rows, *self.part_shape)
        deals: dict[str, tuple[int, ...]] = {"slice": (self.rows,)}
        if self.rotate:
            deals["turn"] = (self.rows,)
        if self.flip:
            deals["flip"] = (self.rows,)
        if self.swap:
            deals["deal"] = (self.rows, self.num_agents)
        self._declare(
            spaces.Box(0, 1, shape, np.float32),
            spaces.Box(0, 1, (self.num_agents - 1, *shape), np.float32),
            deals,
        )

    def _of_the_stream(self) -> tuple[Tensor, Tensor]:
        """The mean part at every place ``[N, pixels]`` (one for all if parts are swapped), and its MSE ``[N]``."""
        stream = self.dataset.stream
        total = torch.zeros(math.prod(self.picture_shape), dtype=torch.float64, device=self.device)
        squares = torch.zeros_like(total)
        for first in range(0, len(stream), _CHUNK):
            index = torch.arange(first, min(first + _CHUNK, len(stream)), device=self.device)
            pixels = self.dataset.pixels("stream", index).flatten(1).double()
            total, squares = total + pixels.sum(0), squares + pixels.square().sum(0)
        variants = self._cut[self._variants()]  # [variants, N, pixels]
        if self.swap and self.target == "partner":
            variants = variants.flatten(0, 1)[:, None].expand(-1, self.num_agents, -1)
        mean = (total / len(stream))[variants].mean(0)
        square = (squares / len(stream))[variants].mean(0)
        return mean.float(), (square - mean.square()).mean(-1).float()

    def _variants(self) -> Tensor:
        """Which of the 8 orientations there may be: 4 turns, then the same mirrored."""
        turns = torch.arange(4 if self.rotate else 1, device=self.device)
        return torch.cat([turns, turns + 4]) if self.flip else turns

    # ---- how it moves -------------------------------------------------------------------------------

    @compilable
    def deal(self, draws: rng.DrawDict) -> TensorDict:
        """Samples turned, cut and dealt: ``own_view [W, N, B, C, h, w]`` and what is to be painted."""
        w, n, b = self.num_worlds, self.num_agents, self.rows
        split = self.dataset.split(self.split)
        index = draws["slice"].integers(len(split))  # [W, B]
        none = torch.zeros_like(index)
        turn = draws["turn"].integers(4) if self.rotate else none
        flip = draws["flip"].integers(2) if self.flip else none
        place = torch.arange(n, device=self.device).expand(w, b, n)  # which part an agent holds
        if self.swap:
            place = draws["deal"].permutation()
        pixels = self.dataset.pixels(self.split, index).flatten(2)  # [W, B, C·H·W]
        upright = torch.arange(n, device=self.device)

        def parts(which: Tensor) -> Tensor:
            """Parts of the samples, ``[W, N, B, C, h, w]``: of each agent which, int64 ``[W, B, N]``."""
            cut = ((turn + 4 * flip)[..., None] * n + which).transpose(1, 2)
            source = F.embedding(cut, self._cut.flatten(0, 1))  # where their pixels come from
            return pixels[:, None].expand(-1, n, -1, -1).gather(-1, source).view(w, n, b, *self.part_shape)

        held = parts(place)
        return {
            "own_view": held,
            "truth": held if self.target == "partner" else parts(upright),  # of agent or place
            "turned": (turn > 0) | (flip > 0),
            "swapped": (place != upright).any(-1),
        }

    @compilable
    def judge(self, answer: Tensor, state: TensorDict) -> tuple[Tensor, Tensor]:
        """MSE of the paintings ``[W, N, N − 1, B, C, h, w]``, and how much better they are than mean parts."""
        mse = self._errors(answer, state).mean((2, 3))
        return mse, 1 - mse / self._chance

    def _errors(self, answer: Tensor, state: TensorDict) -> Tensor:
        """Mean squared error of every painted part, ``[W, N, N − 1, B]``."""
        return (answer - Neighbours(self._others).of(state["truth"])).square().flatten(4).mean(-1)

    def readable(self, answer: Tensor, state: TensorDict) -> Tensor:
        """Paintings in [0, 1]."""
        return where_finite(answer, 3, self.unanswered(state)).clamp(0, 1)

    def unanswered(self, state: TensorDict) -> Tensor:
        """Mean parts."""
        return self._mean_parts.expand(self.num_worlds, -1, -1, self.rows, -1, -1, -1)

    def figures(self, state: TensorDict) -> TensorDict:
        """The summed MSE."""
        return {"summed": state["loss"].sum(-1)}

    def cases(self, state: TensorDict) -> TensorDict:
        """Summed MSE ``[W]`` of samples as they are, turned or mirrored, and swapped; NaN where there are none."""
        errors = self._errors(state["answer"], state).mean(2).sum(1)  # [W, B]
        upright = ~state["turned"] & ~state["swapped"]
        found = {"upright": upright, "turned": state["turned"], "swapped": state["swapped"]}
        return {f"summed_{name}": (errors * where).sum(-1) / where.sum(-1) for name, where in found.items()}

    def exhibits(self, world: int = 0) -> dict[str, np.ndarray]:
        """What each saw, painted, and should have painted."""
        from ..engine.drawing import as_pixels
        from .halves_picture import strips

        return {name: as_pixels(strip) for name, strip in strips(self, self._begun(), world).items()}

    def picture(self, state: TensorDict, world: int, mode: str) -> str | np.ndarray:
        """What each saw, painted, and should have painted."""
        from . import halves_picture

        return (halves_picture.as_text if mode == "ansi" else halves_picture.as_image)(self, state, world)


def _grid(grid: Sequence[int]) -> tuple[int, int]:
    if not isinstance(grid, (list, tuple)) or len(grid) != 2:
        raise ConfigError(f"grid must be rows and columns, e.g. (1, 2) for halves, got {short(grid)}")
    rows, columns = whole("rows of the grid", grid[0], 1), whole("columns of the grid", grid[1], 1)
    if rows * columns < 2:
        raise ConfigError("a grid of one part leaves nobody to talk to: cut in two at least, grid=(1, 2)")
    return rows, columns


def _picture_shape(dataset: Dataset, grid: tuple[int, int], rotate: bool) -> tuple[int, int, int]:
    """Channels, height and width of a data set's pictures, if they can be cut and turned."""
    shape = dataset.shape if len(dataset.shape) == 3 else (1, *dataset.shape)
    if len(shape) != 3 or dataset.sequence:
        raise ConfigError(f"{dataset.name} holds no pictures (items of shape {dataset.shape})")
    channels, height, width = shape
    if height % grid[0] or width % grid[1]:
        raise ConfigError(f"pictures of {height}×{width} cannot be cut into a grid of {grid[0]}×{grid[1]}")
    if rotate and height != width:
        raise ConfigError(f"only square pictures can be turned, these are {height}×{width}: set rotate=False")
    return channels, height, width


def _cuts(shape: tuple[int, int, int], grid: tuple[int, int]) -> Tensor:
    """Where each pixel of each part comes from: int64 ``[8, N, pixels of a part]``, 4 turns, then the same mirrored.

    Pictures that are not square have only the two orientations 0 and 4; the others repeat them.
    """
    channels, height, width = shape
    index = torch.arange(channels * height * width).view(shape)
    found = []
    for mirrored in (index, index.flip(-1)):
        for turn in range(4):
            turned = mirrored.rot90(turn if height == width else 0, (1, 2))
            parts = turned.unflatten(1, (grid[0], -1)).unflatten(3, (grid[1], -1))  # [C, rows, h, columns, w]
            found.append(parts.permute(1, 3, 0, 2, 4).flatten(2).flatten(0, 1))
    return torch.stack(found)
