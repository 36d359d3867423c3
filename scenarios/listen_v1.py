"""The suite listen-v1: whom to listen to, in societies of experts and in classrooms with little to ask.

Nothing here may change, or figures of before would be of another suite: what is to change is a listen-v2.
"""

from __future__ import annotations

from typing import Any

from .suites import Suite, Task, register_suite

_LEARNERS: dict[str, Any] = {
    "learners": "mlp",
    "hidden": (64, 64),
    "dropout": 0.0,
    "lr": 3e-3,
    "temperature": 1.0,
    "exam_every": 10,  # on the days of report cards: nothing else that is seen or reported looks at exams
}
_KINDS = ("sharp", "roll", "noise", "modest", "sleeper")
_SOCIETY = _LEARNERS | {"data": "digits", "horizon": 400, "agents": 5, "liars": 0, "liar_kinds": _KINDS}
_CLASS = _LEARNERS | {"data": "digits", "horizon": 200, "agents": 8, "slice_size": 16, "liar_kinds": _KINDS}
_SKEWED: dict[str, Any] = {"share": "dirichlet", "alpha": 0.1, "teacher_budget": None}


def _society(name: str, summary: str, *, held_out: bool = False, quick: bool = False, **changes: Any) -> Task:
    return Task(name, summary, "society-v0", _SOCIETY | changes, held_out, quick)


def _class(name: str, summary: str, *, held_out: bool = False, quick: bool = False, **changes: Any) -> Task:
    return Task(name, summary, "classroom-v0", _CLASS | changes, held_out, quick)


TASKS = (
    _society("soc5-1liar", "five experts, a liar", quick=True, liars=1),
    _society("soc5-collude", "five experts, two liars who collude", liars=2, liar_kinds=("collude",)),
    _society("soc5-faults", "five experts, a liar, messages and agents lost", liars=1, drop=0.3, churn=0.02),
    _society(
        "soc5-cnn", "five convolutional experts, a liar", liars=1, learners="cnn", hidden=(32,), horizon=200
    ),
    _society("soc8-none", "eight experts who are honest", agents=8),
    _society("soc8-2liars", "eight experts, two liars", quick=True, agents=8, liars=2),
    _society("soc8-ring", "eight honest experts in a ring", quick=True, agents=8, topology="ring"),
    _society(
        "soc16-small",
        "16 experts in a small world, two liars",
        agents=16,
        liars=2,
        topology="small_world",
        degree=4,
    ),
    _class("dirichlet", "eight students of skewed shares, labels without limit", **_SKEWED),
    _class("dirichlet-2liars", "the same with two liars", quick=True, liars=2, **_SKEWED),
    _class("budget5", "eight students, five calls to the teacher", quick=True, teacher_budget=5),
    _class("budget20", "eight students, 20 calls", quick=True, teacher_budget=20),
    _class("budget20-liar", "20 calls, a liar", quick=True, teacher_budget=20, liars=1),
    _class("budget20-ring", "20 calls, students in a ring", teacher_budget=20, topology="ring"),
    _class("budget10", "eight students, ten calls", teacher_budget=10, held_out=True),
    _class("budget40", "eight students, 40 calls", teacher_budget=40, held_out=True),
    _class("budget20-16", "16 students, 20 calls", teacher_budget=20, held_out=True, agents=16),
    _class("budget20-mnist", "20 calls, on MNIST", teacher_budget=20, held_out=True, data="mnist"),
    _society(
        "soc5-fickle",
        "five experts, a liar who lies now and then",
        held_out=True,
        liars=1,
        liar_kinds=("fickle",),
    ),
    _society("soc16-3liars", "16 experts, three liars", held_out=True, agents=16, liars=3),
    _society("soc5-mnist", "five experts, a liar, on MNIST", held_out=True, liars=1, data="mnist"),
    _class(
        "dirichlet-news",
        "skewed shares of AG News, labels without limit",
        held_out=True,
        data="ag_news",
        **_SKEWED | {"slice_size": 32},
    ),
)

register_suite(
    Suite(
        "listen-v1",
        "whom to listen to: societies of experts with and without liars, classrooms with little to ask",
        TASKS,
        seeds=tuple(range(200, 300)),
        worlds=20,
        quick_worlds=4,
        floor="listen_nobody",
    )
)
