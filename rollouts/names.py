"""Metrics as a person reads them."""

from __future__ import annotations

CLASS_ACCURACIES = {
    "mean": "mean of students",
    "best": "best student",
    "title": "title holder",
    "hard_vote": "hard vote",
    "soft_vote": "soft vote",
}
"""Test accuracies of a class; the same with ``_dropout`` behind are measured with dropout left on."""

_OTHERS = {
    "dropout_vote": "dropout vote",
    "honest": "mean of the honest",
    "expert": "honest, own classes",
    "general": "honest, others' classes",
    "exam_accuracy": "exam accuracy",
    "calls": "teacher's calls",
    "labels": "labels revealed",
    "labelled_slices": "labelled slices per student",
    "kib": "KiB sent",
    "return": "return",
}

OF_THE_HONEST = ("honest", "expert", "general")
"""Test accuracies of those who do not lie, in worlds where some may, or where classes are dealt out to experts."""

COUNTS = ("calls", "labels", "labelled_slices", "kib")
COSTS = (*COUNTS, "return")
"""Metrics that are no accuracies."""


def human(metric: str) -> str:
    """A metric's name for people: ``"title_dropout@1000"`` is "title holder, dropout on, step 1000"."""
    name, _, step = metric.partition("@")
    base = name.removesuffix("_dropout")
    words = [{**CLASS_ACCURACIES, **_OTHERS}.get(base, base.replace("_", " "))]
    if base != name:
        words.append("dropout on")
    if step:
        words.append(f"step {step}")
    return ", ".join(words)


def is_fraction(metric: str) -> bool:
    """Whether a metric is a fraction, to be shown in per cent."""
    return metric.partition("@")[0] not in COSTS
