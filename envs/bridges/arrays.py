"""Between the views' numpy arrays and the engine's tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..engine import TensorDict, World
from ..engine.actions import in_whole_numbers
from ..errors import ActionError, ConfigError, short
from .flat import FlatWorld

ArrayDict = dict[str, np.ndarray]


def each(change: Callable[[Any], Any], seen: Any) -> Any:
    """What a function makes of an observation: of every entry of a dict, or of the only array of a flat one."""
    if isinstance(seen, dict):
        return {key: change(value) for key, value in seen.items()}
    return change(seen)


def to_arrays(tensors: TensorDict | Tensor) -> Any:
    """Numpy copies of tensors ``[W, N, …]`` (by name, or a single one) that share memory with nothing else."""
    # torch expands what all agents see alike, so the copy must also lay every agent's part out anew.
    return each(lambda value: np.array(value.detach().cpu().numpy(), order="C"), tensors)


def to_array(value: Any, space: spaces.Space, lead: tuple[int, ...], what: str) -> np.ndarray:
    """Anything array-like as an action array of the dtype the engine takes.

    Args:
        value: Numbers of shape ``[*lead, *space.shape]``: an array, a CPU or GPU tensor, nested lists.
        space: The part of a single agent's action space that it stands for.
        lead: Dimensions in front of a single agent's.
        what: Its name in errors, e.g. ``"action 'ask' of student_0"``.

    Returns:
        int64 for whole numbers, float32 for others.

    Raises:
        ActionError: It is no array of numbers, cannot be cast without loss, or has another shape.
    """
    if isinstance(value, Mapping):
        raise ActionError(f"{what} is a dict: give the bare value")
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError):
        raise ActionError(f"{what} cannot be read as an array of numbers") from None
    continuous = not in_whole_numbers(space)
    if array.dtype.kind not in ("fiub" if continuous else "iub"):
        wanted = "numbers" if continuous else "integers or bools"
        raise ActionError(f"{what} must hold {wanted}, got {array.dtype}")
    shape = (*lead, *(space.shape or ()))
    if array.shape != shape:
        raise ActionError(f"{what} must have shape {shape}, got {array.shape}")
    with np.errstate(over="ignore"):  # what overflows becomes infinite, which the check of values reports
        return array.astype(np.float32 if continuous else np.int64)


def to_tensors(arrays: ArrayDict, world: World | FlatWorld) -> TensorDict:
    """Arrays ``[W, N, …]`` as tensors on the world's device."""
    return {key: torch.from_numpy(value).to(world.device) for key, value in arrays.items()}


def shown(space: spaces.Dict) -> spaces.Space:
    """A space of actions as the views show it: where there is a single key, the bare space behind it."""
    parts = list(space.spaces.values())
    return parts[0] if len(parts) == 1 else space


def by_key(action: Any, space: spaces.Dict, what: str) -> Mapping[str, Any]:
    """An action of the space that :func:`shown` shows, by the keys of the engine's.

    Args:
        action: What the user passed.
        space: The engine's.
        what: Its name in errors, e.g. ``"the action of student_0"``.

    Raises:
        ActionError: A key is missing or unknown.
    """
    keys = list(space.spaces)
    if len(keys) == 1:
        return {keys[0]: action}
    check_keys(action, keys, what, "key")
    return action


def check_keys(given: Any, known: list[str], what: str, kind: str) -> None:
    """Raise unless ``given`` is a mapping with exactly the ``known`` keys.

    Args:
        given: What the user passed.
        known: The keys there must be.
        what: Its name in errors, e.g. ``"the action of student_0"``.
        kind: What a key stands for, e.g. ``"agent"``.

    Raises:
        ActionError: Names the first missing or unknown key.
    """
    if not hasattr(given, "keys"):
        raise ActionError(f"{what} must be a dict by {kind} ({', '.join(known)}), got {type(given).__name__}")
    for key in known:
        if key not in given:
            raise ActionError(f"{what} lacks the {kind} {short(key)}")
    for key in given:
        if key not in known:
            raise ActionError(f"{what} has the unknown {kind} {short(key)}: known are {', '.join(known)}")


def check_view(world: World | FlatWorld, render_mode: str | None, num_worlds: int | None = None) -> None:
    """Raise where a world cannot be behind a view.

    Args:
        world: The world.
        render_mode: How the view is to draw it; None draws nothing.
        num_worlds: W that the view needs; None takes any.

    Raises:
        ConfigError: Says which argument is wrong.
    """
    modes = world.metadata["render_modes"]
    if render_mode is not None and not (isinstance(render_mode, str) and render_mode in modes):
        raise ConfigError(
            f"unknown render_mode {short(render_mode)}: use None or one of {', '.join(modes) or 'none'}"
        )
    if world.autoreset:
        raise ConfigError("a view resets worlds itself: make the world with autoreset=False")
    if num_worlds is not None and world.num_worlds != num_worlds:
        raise ConfigError(f"this view needs num_worlds={num_worlds}, got {world.num_worlds}")
