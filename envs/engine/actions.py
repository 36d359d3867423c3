"""Checks of what a world is given at a reset and a step, before anything has moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ..errors import ActionError, ConfigError, one_of, short
from .weights import ROUNDING, Weights


def check_options(options: Mapping[str, Any] | None, known: Sequence[str] = ("domain",)) -> dict[str, Any]:
    """The options of a reset, if they are known ones.

    Args:
        options: What the user passed.
        known: The options there are.

    Raises:
        ConfigError: They are no mapping.
        UnknownName: One is not known; lists those there are.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ConfigError(f"options of a reset must be a dict ({', '.join(known)}), got {short(options)}")
    for name in options:
        one_of("reset option", name, known)
    return dict(options)


def in_whole_numbers(space: spaces.Space) -> bool:
    """Whether what lies in a space is whole numbers: choices, and a Box of them."""
    return not isinstance(space, spaces.Box) or space.dtype.kind in "iu"


def check_actions(
    actions: Mapping[str, Tensor] | Tensor,
    space: spaces.Dict,
    batch: tuple[int, int],
    device: torch.device,
) -> dict[str, Tensor]:
    """Check keys, shapes and dtypes of batched actions; costs no look at the values.

    Args:
        actions: Tensors ``[W, N, …]`` by key, or a single tensor where ``space`` has one key.
        space: The action space of a single agent.
        batch: ``(W, N)``.
        device: Where the actions must live.

    Returns:
        The actions by key, floating ones as float32 and whole numbers as int64.
    """
    if isinstance(actions, Tensor) and len(space.spaces) == 1:
        actions = {next(iter(space.spaces)): actions}
    if not isinstance(actions, Mapping):
        raise ActionError(
            f"actions must be a dict of tensors with the keys {sorted(space.spaces)}, got {type(actions).__name__}"
        )
    if actions.keys() != space.spaces.keys():
        missing, extra = sorted(set(space.spaces) - set(actions)), sorted(set(actions) - set(space.spaces))
        raise ActionError(
            "actions "
            + " and ".join(
                text
                for keys, text in (
                    (missing, f"lack the keys {short(missing)}"),
                    (extra, f"have unknown keys {short(extra)}"),
                )
                if keys
            )
        )
    checked = {}
    for key, part in space.spaces.items():
        value = actions[key]
        if not isinstance(value, Tensor):
            raise ActionError(f"action {key!r} must be a torch tensor, got {type(value).__name__}")
        shape = (*batch, *(part.shape or ()))
        if value.shape != shape:
            raise ActionError(f"action {key!r} must have shape {shape}, got {tuple(value.shape)}")
        if value.device != device:
            raise ActionError(f"action {key!r} is on {value.device}, the world is on {device}: move it there")
        if not in_whole_numbers(part):
            if not value.is_floating_point():
                raise ActionError(f"action {key!r} must be floating point, got {value.dtype}")
            checked[key] = value.float()
        else:
            if value.is_floating_point() or value.is_complex():
                raise ActionError(f"action {key!r} must be an integer or bool, got {value.dtype}")
            checked[key] = value.long()
    return checked


def check_values(
    actions: Mapping[str, Tensor], space: spaces.Dict, agents: Sequence[str], worlds: np.ndarray
) -> None:
    """Check the values of batched actions in the chosen worlds (bool ``[W]``); reads them on the host.

    Raises:
        ActionError: Names the agent, the key and the fault.
    """
    for key, part in space.spaces.items():
        value = actions[key].detach()
        if _surely_within(value, part):
            continue
        if isinstance(part, Weights):
            cure = "rows of weights are divided by their sum, so divide by the maximum first"
            faults: tuple[tuple[Tensor, str], ...] = (
                (~torch.isfinite(value), "is not finite (NaN or infinite)"),
                (value < 0, "is outside [0, 1]"),
                (value > 1 + ROUNDING, f"is outside [0, 1]: {cure}"),
            )
        elif isinstance(part, spaces.Box):
            low, high = (torch.from_numpy(bound).to(value.device) for bound in (part.low, part.high))
            ends = part.low.min().item(), part.high.max().item()
            bounds = f"[{', '.join(str(end) if in_whole_numbers(part) else f'{end:g}' for end in ends)}]"
            faults = (
                (~torch.isfinite(value), "is not finite (NaN or infinite)"),
                ((value < low) | (value > high), f"is outside {bounds}"),
            )
        elif isinstance(part, spaces.Discrete):
            first, last = int(part.start), int(part.start + part.n - 1)
            faults = (((value < first) | (value > last), f"is outside {first}…{last}"),)
        elif isinstance(part, spaces.MultiDiscrete):
            beyond = torch.from_numpy(part.nvec).to(value.device)
            faults = (((value < 0) | (value >= beyond), f"is outside 0…{int(part.nvec.max()) - 1}"),)
        else:
            raise ActionError(f"action {key!r} has a space this world cannot check: {part}")
        for bad, text in faults:
            per_agent = bad.reshape(*bad.shape[:2], -1).any(-1).cpu().numpy() & worlds[:, None]
            if per_agent.any():
                world, agent = np.argwhere(per_agent)[0]
                raise ActionError(f"action {key!r} of {agents[agent]} (world {world}) {text}")


def _surely_within(value: Tensor, space: spaces.Space) -> bool:
    """Whether the least and the greatest number say that nothing is wrong: one look, where each fault takes several."""
    low: Any
    if isinstance(space, Weights):
        low, high = 0, 1 + ROUNDING
    elif isinstance(space, spaces.Box):
        low, high = space.low.max(), space.high.min()
    elif isinstance(space, spaces.Discrete):
        low, high = space.start, space.start + space.n - 1
    elif isinstance(space, spaces.MultiDiscrete):
        low, high = 0, space.nvec.min() - 1
    else:
        return False
    least, greatest = (end.item() for end in value.aminmax())  # NaN where there is one
    return bool(low <= least and greatest <= high and math.isfinite(least) and math.isfinite(greatest))
