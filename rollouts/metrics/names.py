"""Metrics as a person reads them.

How a name is read depends on the world. In a class, whose headline is :data:`EXAM`, most metrics are accuracies on the
test split ("best" is the best student's); elsewhere a metric is whatever number the world says, in its own unit ("best"
may be the lowest value a swarm has found), and an accuracy only where its name ends so.
"""

from __future__ import annotations

from ...envs.errors import plural

EXAM = "exam_accuracy"
"""The headline of a class."""

CLASS_ACCURACIES = {
    "mean": "mean of {agents}",
    "best": "best {agent}",
    "title": "title holder",
    "hard_vote": "hard vote",
    "soft_vote": "soft vote",
}
"""Test accuracies of a class, ``{agent}`` being the world's noun; with ``_dropout`` behind, dropout is left on."""

_OTHERS = {
    "dropout_vote": "dropout vote",
    "honest": "mean of the honest",
    "expert": "honest, own classes",
    "general": "honest, others' classes",
    "calls": "teacher's calls",
    "labels": "labels revealed",
    "labelled_slices": "labelled slices per {agent}",
    "kib": "KiB sent",
}

OF_TASKS = {
    "final_accuracy": "exam, all tasks, in the end",
    "backward_transfer": "backward transfer, exam",
    "forward_transfer": "forward transfer, exam",
    "forgetting": "forgetting, exam",
}
"""What a class knows of tasks that came one after another; see :mod:`studyhall.envs.tasks`."""

FIGURES = {
    "expert": "own classes",
    "general": "others' classes",
    "average": "mean of own and others'",
    "global": "all classes",
    "top5": "among the first five",
    "directionality": "own − others'",
    "forgetting": "own classes, less than the expert",
    "own_best": "best of all at its own",
}
"""What experts are worth, of each part of a policy: behind its name and a line, as in ``student_average``."""

_ELSEWHERE = {
    "bytes": "bytes sent per agent",
    "bytes_per_step": "bytes per agent and step",
    "message_bytes": "bytes per message",
    "message_entropy": "entropy of messages, bits",
    "kib": "KiB sent",
}

TESTED = {
    "together_accuracy": "the collective",
    "soft_vote_accuracy": "soft vote",
    "hard_vote_accuracy": "hard vote",
    "best_accuracy": "best member",
    "mean_accuracy": "mean member",
    "soft_vote_dropout_accuracy": "soft vote, dropout on",
    "hard_vote_dropout_accuracy": "hard vote, dropout on",
    "best_dropout_accuracy": "best member, dropout on",
    "mean_dropout_accuracy": "mean member, dropout on",
    "dropout_vote_accuracy": "dropout vote",
}
"""Test accuracies of a collective; its own metrics are of the exam."""

OF_THE_HONEST = ("honest", "expert", "general")
"""Test accuracies of those who do not lie, in worlds where some may, or where classes are dealt out to experts."""

COUNTS = ("calls", "labels", "labelled_slices", "kib")
COSTS = (*COUNTS, "return")
"""Metrics of a class that are no accuracies."""

COUNTED = (
    *("message_bytes", "bytes_per_step", "bytes", "kib"),
    *("calls", "labels", "labelled_slices", "label_bytes"),
)
"""Metrics that count what crossed, whatever became of the learners."""

COSTS_ELSEWHERE = (*COUNTED, "return")
"""What an episode costs in any other world, of what may cross there, and its return."""


def human(metric: str, headline: str = EXAM, noun: str = "student") -> str:
    """A metric's name for people: ``"title_dropout@1000"`` is "title holder, dropout on, step 1000".

    Args:
        metric: As in a report.
        headline: Of the world it was measured in.
        noun: What an agent is called there.
    """
    name, _, step = metric.partition("@")
    base, names = name, _ELSEWHERE
    if headline == EXAM:
        base, names = name.removesuffix("_dropout"), {**CLASS_ACCURACIES, **_OTHERS, **OF_TASKS}
        part, figure = part_and_figure(base)
        if part and base not in names:
            names = {base: f"{part}, {FIGURES[figure]}"}
    named = names.get(base, base.replace("_", " "))
    words = [named.replace("{agents}", plural(noun)).replace("{agent}", noun)]
    if base != name:
        words.append("dropout on")
    if step:
        words.append(f"step {step}")
    return ", ".join(words)


def part_and_figure(metric: str) -> tuple[str, str]:
    """The part of a policy and the figure of :data:`FIGURES` that a metric is of; empty where it is none."""
    for figure in FIGURES:
        part = metric.removesuffix(f"_{figure}")
        if part != metric:
            return part, figure
    return "", ""


def is_fraction(metric: str, headline: str = EXAM) -> bool:
    """Whether a metric is an accuracy, to be shown in per cent; arguments as of :func:`human`."""
    name = metric.partition("@")[0]
    return name not in COSTS if headline == EXAM else name.endswith("accuracy")
