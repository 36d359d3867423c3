"""Where figures of other people's work come from: who published what, who ran it, and on what.

A :class:`~studyhall.scenarios.Claim` names its source by the key here. What is not known is None and is shown as "not
recorded": nothing here is a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..envs.errors import one_of


@dataclass(frozen=True)
class Source:
    """Where documented figures come from.

    Args:
        system: What they are of.
        author: Who published the system.
        url: Where.
        commit: Of its code, as it was run.
        run_by: Who measured the figures.
        ran_on: On what: data, seeds, machine.
        differs: What is not alike in ours; empty where the scenario is meant to be the same.
        figures: Those that tables show and no claim holds, by name; fractions where they are accuracies. A documented
            range is its two ends.
    """

    system: str
    author: str | None = None
    url: str | None = None
    commit: str | None = None
    run_by: str | None = None
    ran_on: str | None = None
    differs: str = ""
    figures: Mapping[str, float | tuple[float, float]] = field(default_factory=dict)


_EASE = {
    "system": "Ease-of-Teaching and Language Structure from Emergent Communication (NeurIPS 2019)",
    "author": "F. Li, M. Bowling",
    "url": "https://github.com/superkaiba/Ease-of-teaching-and-language-structure",
    "commit": "fafd5a1",
    "run_by": "others than the authors",
}
_EASE_DIFFERS = (
    "accuracy with symbols and choices drawn at random, ours with the likeliest; LSTM of width 100 instead of an MLP; "
    "the listener learns by REINFORCE from a reward of 0 or 1, ours from the cross entropy; 300,000 updates of 100 "
    "samples, ours 500 and 800"
)

sources: dict[str, Source] = {
    "classroom-readme": Source(
        "collaborative classroom: eight students, a teacher on a budget",
        ran_on="MNIST; its README as published",
    ),
    "classroom-rerun": Source(
        "collaborative classroom, its published code",
        ran_on="MNIST, two seeds",
    ),
    "classroom-single-pass": Source(
        "collaborative classroom, level C2: each sample once",
        ran_on="MNIST, one pass over 60,000 images; how it was cut into slices is not documented",
    ),
    "collective-yardstick": Source(
        "ensemble of eight networks 784-128-64-10, and a mixture of ten experts of which four are consulted",
        ran_on="one pass of MNIST, a re-run of the original; and CIFAR-10",
        figures={"best single": (0.961, 0.962), "soft vote": (0.967, 0.968)},
    ),
    "minicomo-rerun": Source(
        "MiniCoMo, its published code at a reduced size",
        author="M. Kieffer",
        url="https://github.com/mkiefferus/miniCoMo",
        ran_on="MNIST, upright and unswapped; width 64, two layers, 120 seconds of one CPU thread of another machine",
        figures={
            "all black": 0.2279,
            "mean image": 0.1349,
            "attention, as published": 0.0886,
            "attention, mended": 0.0589,
            "attention, mended, shuffled": 0.1282,
            "simple": 0.0337,
            "simple, shuffled": 0.1794,
        },
    ),
    "minicomo-speed": Source(
        "MiniCoMo, its published training step",
        author="M. Kieffer",
        url="https://github.com/mkiefferus/miniCoMo",
        ran_on="batches of 128 of MNIST on one CPU thread of another machine; steps a second",
        figures={"attention": 0.66, "simple": 1.4},
    ),
    "li-bowling": Source(
        **_EASE,
        ran_on="one run, one listener, never reset: code/logs/noreset50, trainAcc.npy (mean of the last 10,000 of "
        "300,000 updates) and dTopo.npy (last)",
        differs=_EASE_DIFFERS,
        figures={"training accuracy": 0.9215, "topographic similarity": 0.4137},
    ),
    "li-bowling-reset": Source(
        **_EASE,
        ran_on="one run, a new listener every 6,000 updates: code/logs/reset50, trainAcc.npy (mean of the last 1,000) "
        "and dTopo.npy (last)",
        differs=f"{_EASE_DIFFERS}; our listener is never replaced",
        figures={"training accuracy": 0.9319, "topographic similarity": 0.4816},
    ),
    "pyswarms-yardstick": Source(
        "particle swarms by pyswarms",
        ran_on="1,000 iterations, w .9, c .5, .3; start and machine not told",
        # Best values found, and iterations a second on one thread.
        figures={
            "sphere-2D": (0.0, 1e-41),
            "rastrigin-2D": 0.0,
            "sphere-30D": 1e-5,
            "ackley-30D": 4.1,
            "10 x 2-D, per second": 7435,
            "40 x 30-D, per second": 3709,
        },
    ),
    "masc-notes": Source(
        "Socialized Learning: Making Each Other Better Through Multi-Agent Collaboration (ICML 2024)",
        author="X. Yao, Y. Wang, P. Zhu, W. Lin, J. Li, W. Li, Q. Hu",
        url="https://proceedings.mlr.press/v235/yao24d.html",
        run_by="its authors; read in third-party notes",
        ran_on="CIFAR-100, mean of four agents of 25 classes, VGG-16; its own test images",
        differs="CIFAR-100 is divided at random here, 50,000 and 10,000 images",
    ),
    "k1-notes": Source(
        "K-1: a language model of which only some groups of parameters learn a slice",
        ran_on="read in third-party notes; data and machine not told",
    ),
}
"""All sources by key. Whoever registers a scenario with figures of others' adds theirs first."""


def get_source(key: str) -> Source:
    """A source by its key.

    Raises:
        UnknownName: Lists the near ones.
        ConfigError: The key is no text.
    """
    return sources[one_of("source of a claim", key, sources)]
