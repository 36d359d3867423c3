"""Memory of commands that run many worlds side by side."""

from ...envs.memory import keep_memory

MANY = 64
"""Worlds from which memory is kept. At 16 it was found to change nothing, at 256 to double the speed of worlds with
large samples; 64 are what trainings by reward run, and a step of theirs begins to hold tensors of tens of MiB."""


def keep_memory_of(worlds: int) -> None:
    """Keep the memory of a command's worlds, where there are many; see :func:`keep_memory`."""
    if worlds >= MANY:
        keep_memory()
