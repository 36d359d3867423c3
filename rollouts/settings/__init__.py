"""What a user or a file may say about a scenario: how texts are read, what is changed by them, what is refused."""

from .customise import check_policy_fits, customise, dropped_policy_settings
from .parse import parse_assignments, parse_controls, parse_device, parse_seeds

__all__ = [
    "check_policy_fits",
    "customise",
    "dropped_policy_settings",
    "parse_assignments",
    "parse_controls",
    "parse_device",
    "parse_seeds",
]
