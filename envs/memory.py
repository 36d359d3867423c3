"""Memory that a process keeps for its next step."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)


def keep_memory() -> bool:
    """Let the C library keep the memory that is freed, for the whole process and until it ends.

    By its defaults glibc gets every tensor above 32 MiB from the system and gives it back when it is freed, and the
    system clears each of its pages anew, which can take longer than what is computed. Where many worlds run side by
    side this can double their speed; with few it changes nothing. No number changes. The
    price is that the process stays as large as it has ever been.

    Call it before the tensors are made. ``studyhall run`` and ``studyhall train`` do.

    Returns:
        Whether it was done: False where the C library is another than glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return bool(library.mallopt(_MMAP_MAX, 0)) and bool(library.mallopt(_TRIM_THRESHOLD, -1))
