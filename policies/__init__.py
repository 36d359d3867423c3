"""Policies: who acts in a world, on any device."""

from .policy import Policy, RandomPolicy
from .registry import PolicySpec, make_policy, register_policy, registry

for _spec in (
    PolicySpec("random", "studyhall.policies.policy:RandomPolicy", "random distributions and coins"),
    PolicySpec(
        "classroom",
        "studyhall.policies.classroom:classroom",
        "the documented classroom: a teacher's budget, then the best student teaches",
    ),
    PolicySpec(
        "two_phase", "studyhall.policies.protocols:TwoPhase", "first the teacher, then the best student"
    ),
    PolicySpec("mutual", "studyhall.policies.protocols:Mutual", "everyone learns from everyone"),
    PolicySpec(
        "mean_teacher",
        "studyhall.policies.protocols:MeanTeacher",
        "everyone learns from everyone's moving average",
    ),
    PolicySpec("gossip", "studyhall.policies.protocols:Gossip", "everyone learns from one random peer"),
    PolicySpec(
        "snapshot_ensemble",
        "studyhall.policies.protocols:SnapshotEnsemble",
        "labels first; then everyone imitates the class as it was when they ran out",
        {"temperature": 0.5},
    ),
    PolicySpec("isolated", "studyhall.policies.protocols:LabelsOnly", "nobody listens to anybody"),
    PolicySpec(
        "stop_at_budget",
        "studyhall.policies.protocols:LabelsOnly",
        "learn from labels, then stop: the control of every peer phase",
    ),
):
    register_policy(_spec)

__all__ = ["Policy", "PolicySpec", "RandomPolicy", "make_policy", "register_policy", "registry"]
