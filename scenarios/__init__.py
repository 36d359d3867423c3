"""Scenarios: a world, a policy, a horizon and what was claimed for it."""

from . import classroom as _classroom  # noqa: F401  # registers its scenarios
from . import collective as _collective  # noqa: F401
from . import hosted as _hosted  # noqa: F401
from . import messages as _messages  # noqa: F401
from . import swarm as _swarm  # noqa: F401
from .scenario import Claim, Scenario, get_scenario, register_scenario, registry

__all__ = ["Claim", "Scenario", "get_scenario", "register_scenario", "registry"]
