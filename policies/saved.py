"""A trained policy from its file, whichever kind it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..envs.archive import damaged
from ..envs.errors import ConfigError, UnknownName
from . import multi_input
from .collective.bids import bidders
from .files import POLICY, read
from .listening import learned
from .messages.policy import FORMAT as MESSAGES
from .messages.policy import MessagePolicy
from .parametric import FORMAT as PARAMETRIC
from .parametric import Parametric
from .registration import make_policy, policy_factory, registry


def saved_policy(
    source: str,
) -> learned.LearnedPolicy | bidders.LearnedBids | multi_input.LearnedMultiInput | MessagePolicy | Parametric:
    """The policy in a file.

    Args:
        source: A zip that ``studyhall train`` wrote, or the name of one that comes with the package.

    Raises:
        ConfigError: There is no such file or name, or the file is no policy of ours.
    """
    about, weights = read(source, learned.FORMAT, bidders.FORMAT, multi_input.FORMAT, MESSAGES, PARAMETRIC)
    if about["format"] == learned.FORMAT:
        return learned.LearnedPolicy(source)
    if about["format"] == bidders.FORMAT:
        return bidders.LearnedBids(source)
    if about["format"] == multi_input.FORMAT:
        return multi_input.LearnedMultiInput(source)
    name, kwargs = about.get("policy"), about.get("policy_kwargs")
    if not isinstance(name, str) or not isinstance(kwargs, dict):
        raise damaged(source, POLICY)
    if name not in registry:  # a file must not say what is imported
        raise ConfigError(
            f"{source} holds weights for a class of somebody's own, which only its owner can name: name the policy "
            f"yourself, and give it policy.weights={source}"
        )
    factory = policy_factory(name)
    kind = MessagePolicy if about["format"] == MESSAGES else Parametric
    if not isinstance(factory, type) or not issubclass(factory, kind) or "weights" in kwargs:
        raise damaged(source, POLICY)
    try:
        policy = make_policy(name, **kwargs)
    except (TypeError, ValueError, UnknownName) as fault:  # settings that cannot be
        raise damaged(source, POLICY) from fault
    if isinstance(policy, Parametric):
        policy.load(source)
        return policy
    assert isinstance(policy, MessagePolicy)
    policy.about = dict(about)
    policy.world_kwargs = _spoken(about)
    policy.load_weights(weights)
    return policy


def _spoken(about: Mapping[str, Any]) -> dict[str, Any]:
    """What messages were made of in the world that a policy was trained in."""
    given = about.get("env_kwargs", {})
    return {name: given[name] for name in ("width", "bound", "bits", "vocabulary", "length") if name in given}
