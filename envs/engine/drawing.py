"""Pictures look alike everywhere: matplotlib as it comes, whatever a matplotlibrc of the folder or the user says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def plain_style() -> Iterator[None]:
    """Within it, matplotlib draws by its own defaults; afterwards the settings are as they were."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield
