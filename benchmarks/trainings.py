"""Several trainings on the same held-out worlds: intervals over either."""

import numpy as np

from studyhall.rollouts import interval


def compared(ours: np.ndarray, theirs: dict[str, np.ndarray]) -> dict:
    """How trainings did, and how far they are ahead of each rival, paired world by world.

    Args:
        ours: ``[trainings, worlds]``.
        theirs: ``[worlds]`` by name.

    Returns:
        ``learned`` and ``gain_over``, intervals over trainings of the mean over worlds of each; the same
        ``over_worlds``, of the trainings' mean, and for each of ``trainings``; and ``rivals``, of each its interval
        over worlds.
    """
    gains = {name: ours - values for name, values in theirs.items()}

    def intervals(of) -> dict:
        return {
            "learned": interval(of(ours))._asdict(),
            "gain_over": {name: interval(of(gain))._asdict() for name, gain in gains.items()},
        }

    return {
        **intervals(lambda found: found.mean(1).tolist()),
        "over_worlds": intervals(lambda found: found.mean(0).tolist()),
        "trainings": [intervals(lambda found, t=t: found[t].tolist()) for t in range(len(ours))],
        "rivals": {name: interval(values.tolist())._asdict() for name, values in theirs.items()},
    }
