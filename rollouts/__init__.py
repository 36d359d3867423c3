"""Rollouts: run, record and report."""

from .rollout import Live, Report, Rollout, rollout
from .stats import Interval, interval

__all__ = ["Interval", "Live", "Report", "Rollout", "interval", "rollout"]
