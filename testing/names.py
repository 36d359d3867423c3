"""Names that libraries take for their own: what is observed, done and told must be called otherwise."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import gymnasium
import torch
from gymnasium import spaces

from .tools import Subject, sample_actions, seeded

TORCHRL = frozenset(  # names one after the other: as a list they would fill pages
    """
    SPEC_HANDLED_FUNCTIONS action assert_is_in batch_size cardinality clear_device_ clone contains cpu cuda
    data_cls device domain done dtype empty encode enumerate erase_memoize_cache expand flatten get
    implements_for_spec index is_empty is_in is_locked items keys lock_ locked make_neg_dim memoize_encode names
    ndim ndimension next one ones ones_update pop project rand rand_update refine_names reshape reward sample
    self separates set shape squeeze step_mdp_static terminated to to_numpy truncated type_check unbind
    unflatten unlock_ unsqueeze update values view zero zeros zeros_update
    """.split()  # noqa: SIM905
)
"""Attributes and parameters of TorchRL's ``Composite``, and entries of the tensordict in which it keeps a step."""

TIANSHOU = frozenset(  # names one after the other: as a list they would fill pages
    """
    apply_values_transform batch_dict cat cat_ copy dropnull empty empty_ get get_keys hasnull isnull items keys
    pop replace_empty_batches_by_none self set_array_at_key shape split stack stack_ to_at_least_2d to_dict
    to_list_of_dicts to_numpy to_numpy_ to_torch to_torch_ update values
    """.split()  # noqa: SIM905
)
"""Attributes and parameters of Tianshou's ``Batch``, which keeps what it holds as attributes."""

TOLD = (
    *("episode", "final_info", "final_obs", "final_observation", "is_success", "metrics", "reward_per_agent"),
    *("terminal_observation", "TimeLimit.truncated"),
)
"""Entries of infos that recorders, vector environments and our views write."""


def reserved_names() -> dict[str, str]:
    """Names that no observation and no action may have, each with what takes it."""
    found = dict.fromkeys(TIANSHOU, "Tianshou's Batch") | dict.fromkeys(TORCHRL, "TorchRL")
    found |= dict.fromkeys(dir(torch.nn.ModuleDict()), "torch.nn.ModuleDict (in Stable-Baselines3)")
    found |= dict.fromkeys(inspect.signature(spaces.Dict.__init__).parameters, "gymnasium.spaces.Dict")
    for name, wrapper in inspect.getmembers(gymnasium.wrappers, inspect.isclass):
        for parameter in inspect.signature(wrapper.__init__).parameters.values():
            if parameter.name.endswith("_key") and isinstance(parameter.default, str):
                found[parameter.default] = f"Gymnasium's {name}"
    return found


def check_names(subject: Subject) -> None:
    """No observation, action or entry of infos has a name that a library takes for its own."""
    world = subject.world()
    reserved = reserved_names()
    for kind, space in (("observation", world.observation_space), ("action", world.action_space)):
        for key in space.spaces:
            subject.require(
                key not in reserved, f"{kind} {key!r} is a name of {reserved.get(key)}: call it otherwise"
            )
    world.reset(seed=1)
    told = world.step(sample_actions(world, seeded(1))).info
    clash = sorted((told.keys() - {"episode"}) & set(TOLD))
    subject.require(not clash, f"info {clash} are names of recorders and views: call them otherwise")


CHECKS: list[Callable[[Subject], None]] = [check_names]
