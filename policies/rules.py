"""Rules of listening by their earlier path; they live in :mod:`studyhall.policies.listening`."""

from .listening import RULES, Rule, Talk

__all__ = ["RULES", "Rule", "Talk"]
