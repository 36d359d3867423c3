"""Checks for worlds and policies of your own: ``from studyhall.testing import check_world``."""

from .envs.testing import check_exam_blind, check_world

__all__ = ["check_exam_blind", "check_world"]
