"""Pictures of an allocation for people: which tokens were read, and who had a say in it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..engine import drawing
from ..engine.drawing import Drawn
from ..engine.state import TensorDict
from ..streams import Dataset, TextDataset
from .tokens import Tokens

_SAMPLES = 12
_TEXTS = 5
_UNREAD = 0.25  # how bright a token is that was not read


class AllocationView(Drawn, Protocol):
    """What this picture asks of the world, beside what every picture does."""

    dataset: Dataset
    tokens: Tokens
    budget: int


def as_text(world: AllocationView, state: TensorDict, w: int) -> str:
    """The reader's accuracy, how often each token of the last slice was read, and who dominates.

    Of texts the first ones, what was read in brackets.
    """
    metrics = {name: value[w].cpu() for name, value in world.summary(state).items()}
    lines = [
        f"step {int(state['clock'][w])}/{world.horizon}   reader {float(metrics['reader_accuracy']):.1%}"
        f"   budget {world.budget}/{world.tokens.count}   read {float(metrics['tokens_read']):.1f}"
        f"   agreement {float(metrics['agreement']):.2f}"
    ]
    if isinstance(world.dataset, TextDataset):
        texts = _texts(world, world.dataset, state, w)
        lines += [" ".join(f"[{word}]" if read else word for word, read in text if word) for text in texts]
    else:
        often = state["fb/read"][w].float().mean(0).view(*world.tokens.grid).cpu()
        lines += ["".join(" ░▒▓█"[round(float(share) * 4)] * 2 for share in row) for row in often]
    lines += [
        f"{name:<10}dominates {float(metrics['dominance'][i]):6.1%}"
        f"  contribution {float(metrics['contribution'][i]):+.3f}"
        f"  KiB {float(metrics['bytes'][i]) / 1024:>8,.1f}"
        for i, name in enumerate(world.agents)
    ]
    return "\n".join(lines)


def as_image(world: AllocationView, state: TensorDict, w: int) -> np.ndarray:
    """uint8 ``[H, W, 3]``: samples of the last slice with what was not read dimmed or grey, and who dominates."""
    metrics = {name: value[w].cpu().numpy() for name, value in world.summary(state).items()}
    accuracy = float(metrics["reader_accuracy"])
    high = drawing.height_of(world.num_agents, least=4.0)
    picture = drawing.Picture(
        (7.0, 3.0),
        (high,),
        left=(0.3, drawing.room(world.agents)),
        right=(0.2, 0.6),
        title=drawing.head_of(world, state, w, f"the reader's exam {accuracy:.0%}"),
    )
    ((samples, bars),) = picture.panels
    if isinstance(world.dataset, TextDataset):
        _print(samples, _texts(world, world.dataset, state, w))
    else:
        drawing.tiles(samples, _overlay(world, state, w), columns=6)
    samples.set_title(f"what was read (bright): {world.budget} of {world.tokens.count} tokens")
    drawing.bars(bars, world.agents, metrics["dominance"])
    bars.set(title="tokens dominated")
    return picture.pixels()


def _overlay(world: AllocationView, state: TensorDict, w: int) -> np.ndarray:
    """Samples ``[M, height, width, 3]`` in [0, 1]: unread tokens dark, read ones as they are, in a tint."""
    index = state["fb/slice"][w, 0, :_SAMPLES].clamp_min(0)
    pixels = world.dataset.pixels("stream", index)
    read = world.tokens.paint(state["fb/read"][w, :_SAMPLES].float()).cpu().numpy()[..., None]
    if pixels.dim() == 4 and pixels.shape[1] == 3:
        colour = pixels.movedim(1, -1).cpu().numpy()
    else:
        grey = pixels[:, 0] if pixels.dim() == 4 else pixels.view(len(pixels), *read.shape[1:3])
        colour = grey[..., None].expand(*grey.shape, 3).cpu().numpy()
    tint = np.array([0.25, 0.2, 0.0])
    return np.where(read > 0, colour * (1 - tint) + tint, colour * _UNREAD)


def _texts(
    world: AllocationView, dataset: TextDataset, state: TensorDict, w: int
) -> list[list[tuple[str, bool]]]:
    """Words of the first texts of the last slice, and whether each was read; none before there is a slice."""
    index = state["fb/slice"][w, 0, :_TEXTS]
    index = index[index >= 0]
    words = dataset.texts("stream", index)
    read = world.tokens.paint(state["fb/read"][w, : len(index)])[..., 0].tolist()
    return [list(zip(*pair, strict=True)) for pair in zip(words, read, strict=True)]


def _print(axes: Any, texts: list[list[tuple[str, bool]]]) -> None:
    """Texts in lines, words that were read on a tint, the others grey."""
    axes.axis("off")
    columns, lines = 76, 5
    for row, text in enumerate(texts):
        line = column = 0
        for word, read in text:
            if column + len(word) > columns:
                line, column = line + 1, 0
            if line < lines:  # long texts are cut off
                axes.text(
                    column / columns,
                    1 - (row + line / (lines + 1)) / _TEXTS,
                    word,
                    family="monospace",
                    fontsize=10,
                    va="top",
                    color="black" if read else "#bbbbbb",
                    bbox={"facecolor": "#ffe8a0" if read else "none", "edgecolor": "none", "pad": 1},
                )
            column += len(word) + 1
