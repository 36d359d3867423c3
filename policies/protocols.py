"""Protocols by their earlier path; they live in :mod:`studyhall.policies.classroom.protocols`."""

from .classroom.protocols import *  # noqa: F403
