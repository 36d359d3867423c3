"""How a referential game looks to a person: what was meant, said and understood, for the first samples."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..channel.wire import Symbols, Wire
from ..engine import drawing
from ..engine.drawing import Drawn
from ..engine.state import TensorDict

_SAMPLES = 6
_LISTENERS = 3
_WORDS = 20  # symbols of a message that have room


class ReferentialView(Drawn, Protocol):
    """What this picture asks of the world, beside what every picture does."""

    rows: int
    wire: Wire
    game: str
    sizes: tuple[int, ...]
    candidates: int


def as_text(world: ReferentialView, state: TensorDict, w: int) -> str:
    """A line per sample and listener: the target, the message, the candidates, and the one that was chosen."""
    found = {key: value[w].detach().cpu() for key, value in world.summary(state).items()}
    host = _on_host(state, w)
    lines = [
        f"round {int(state['clock'][w])}/{world.horizon}   right {float(found['accuracy'][0]):6.1%}"
        f"   bytes {float(found['bytes'][0]):,.0f}"
    ]
    for b in range(min(_SAMPLES, world.rows)):
        target = _named(world, host["own_view"][0, b, 0])
        for i in range(1, world.num_agents):
            heard = _said(world, host["read"][i - 1, b])
            lines.append(f"{target}  →  {heard}  →  {world.agents[i]}: {_understood(world, host, i, b)}")
    return "\n".join(lines)


def _on_host(state: TensorDict, w: int) -> dict[str, np.ndarray]:
    """What is drawn of a world; ``read [N − 1, B, …]`` is what each listener had read before answering."""
    names = ("own_view", "answer", "truth", "read/sent", "read/heard")
    host = {key: state[key][w].detach().cpu().numpy() for key in names}
    sent, heard = host["read/sent"], host["read/heard"]
    return {**host, "read": sent[None] * heard.reshape(-1, *[1] * sent.ndim)}


def _named(world: ReferentialView, features: np.ndarray) -> str:
    """An object by the values of its attributes."""
    return "-".join(str(part.argmax()) for part in _by_attribute(world, features))


def _by_attribute(world: ReferentialView, features: np.ndarray) -> list[np.ndarray]:
    return np.split(features, np.cumsum(world.sizes)[:-1])


def _said(world: ReferentialView, message: np.ndarray) -> str:
    """A message as it was read before answering."""
    if not message.any():
        return "(nothing)"
    if isinstance(world.wire, Symbols):
        return " ".join(str(k) for k in message.argmax(-1))
    return " ".join(f"{x:.1f}" for x in message)


def _understood(world: ReferentialView, host: dict[str, np.ndarray], i: int, b: int) -> str:
    answer = host["answer"][i, b]
    if world.game == "reconstruction":
        return _named(world, answer)
    shown = [_named(world, features) for features in host["own_view"][i, b, : world.candidates]]
    best = answer.argmax()
    return "  ".join(f"[{name} {answer[c]:.0%}]" if c == best else name for c, name in enumerate(shown))


def as_image(world: ReferentialView, state: TensorDict, w: int) -> np.ndarray:
    """uint8 ``[H, W, 3]``: a row per sample; the target and message, then the first listeners' answers."""
    samples, listeners = min(_SAMPLES, world.rows), min(_LISTENERS, world.num_agents - 1)
    host = _on_host(state, w)
    meant = [_named(world, host["own_view"][0, b, 0]) for b in range(samples)]
    said = [f"{meant[b]}  “{_said(world, host['read'][0, b])}”" for b in range(samples)]
    numbers = world.wire.length if isinstance(world.wire, Symbols) else 2 * world.wire.shape[0]
    longest = max(9, 2 * min(numbers, _WORDS))  # "(nothing)", or so many symbols
    # Names stand upright below their bars where they are numbers, one beside the other where they are objects.
    bars = sum(world.sizes) if world.game == "reconstruction" else world.candidates
    wide = max(3.0, bars * (0.25 if world.game == "reconstruction" else drawing.room(meant) - 0.05))
    picture = drawing.Picture(
        (drawing.room([meant[0] + (5 + longest) * "0"], drawing.SIZE), *(wide,) * listeners),
        (0.8,) * samples,
        left=0.2,
        above=(0.4, *(0.08,) * (samples - 1)),
        below=0.3,
        title=drawing.head_of(world, state, w, "green: the right one", unit="round"),
    )
    for b, (speaker, *others) in enumerate(picture.panels):
        speaker.text(0, 0.5, said[b], va="center")
        speaker.axis("off")
        for i, axes in enumerate(others, 1):
            _draw_answer(axes, world, host, i, b)
    for axes, name in zip(picture.panels[0], world.agents, strict=False):
        axes.set_title(name)
    return picture.pixels()


def _draw_answer(axes: Any, world: ReferentialView, host: dict[str, np.ndarray], i: int, b: int) -> None:
    """Bars of weights, the right ones green."""
    answer = host["answer"][i, b]
    if world.game == "reconstruction":
        right = host["own_view"][0, b, 0] > 0
        names = [str(value) for size in world.sizes for value in range(size)]
    else:
        right = np.arange(answer.size) == host["truth"][i, b]
        names = [_named(world, features) for features in host["own_view"][i, b, : world.candidates]]
    axes.bar(np.arange(answer.size), answer, color=np.where(right, drawing.GREEN, drawing.GREY))
    axes.set(ylim=(0, 1), yticks=[])
    axes.set_xticks(np.arange(answer.size), names)
    axes.tick_params(length=0)
