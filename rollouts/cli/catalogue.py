"""What there is: worlds, policies, scenarios, data sets and suites, as plain rows."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ...envs.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...policies import PolicySpec

Rows = list[dict[str, Any]]

KINDS = ("envs", "policies", "scenarios", "data", "suites")
_ALSO = {
    "worlds": "envs",
    "env": "envs",
    "world": "envs",
    "policy": "policies",
    "scenario": "scenarios",
    "suite": "suites",
}


def catalogue(kind: str | None = None) -> dict[str, Rows]:
    """Rows of one kind, or of all; worlds may be called so too.

    Raises:
        UnknownName: No such kind.
    """
    kind = _ALSO.get(kind or "", kind)
    readers = dict(zip(KINDS, (_envs, _policies, _scenarios, _data, _suites), strict=True))
    if kind is not None and kind not in readers:
        raise unknown("list", kind, KINDS)
    return {name: read() for name, read in readers.items() if kind in (None, name)}


def _envs() -> Rows:
    from ...envs import registry

    return [
        {
            "id": s.id,
            "summary": s.summary + ("; can host the learners" if s.hosted else ""),
            "entry_point": s.entry_point,
            "kwargs": dict(s.kwargs),
            "hosted": s.hosted,
        }
        for s in registry.values()
    ]


def _policies() -> Rows:
    """Those that bring their learners or need none, then rules for hosted learners, then trained policies."""
    from ...policies import registry

    scripted = [_scripted(s) for s in registry.values()]
    return sorted(scripted, key=lambda row: _is_rule(row["world_kwargs"])) + _trained()


def _is_rule(needs: Mapping[str, Any]) -> bool:
    """Whether a policy that needs such worlds decides for learners that these host."""
    from ...envs.hosted.listening import FORMS

    return needs.get("actions") in FORMS


def _scripted(spec: PolicySpec) -> dict[str, Any]:
    module, attribute = spec.entry_point.split(":")
    needs = dict(getattr(getattr(importlib.import_module(module), attribute), "world_kwargs", {}))
    return {
        "id": spec.name,
        "summary": f"rule: {spec.summary}" if _is_rule(needs) else spec.summary,
        "entry_point": spec.entry_point,
        "kwargs": dict(spec.kwargs),
        "world_kwargs": needs,
    }


def _trained() -> Rows:
    """The trained policies that come with the package, and what each was trained on."""
    from ...policies.files import trained
    from ...policies.registration import policy_spec
    from ...policies.saved import saved_policy

    rows = []
    for name in trained():
        spec, made = policy_spec(name), saved_policy(name)
        about = made.about
        where = next(about[key] for key in ("suite", "scenario", "env") if key in about)
        length = f", {about['timesteps']:,} agent-steps" if "timesteps" in about else ""
        summary = f"trained: {about['algorithm']} on {where}{length}"
        rows.append(
            {
                "id": name,
                "summary": summary,
                "entry_point": spec.entry_point,
                "kwargs": dict(spec.kwargs),
                "world_kwargs": dict(made.world_kwargs),
            }
        )
    return rows


def _scenarios() -> Rows:
    from ...scenarios import registry

    return [
        {
            "id": s.name,
            "summary": s.summary,
            "env": s.env,
            "policy": s.policy,
            "seeds": list(s.seeds),
            "controls": list(s.controls),
            "system": s.system,
            "env_kwargs": dict(s.env_kwargs),
            "policy_kwargs": dict(s.policy_kwargs),
        }
        for s in registry.values()
    ]


def _data() -> Rows:
    """Data of worlds that take ``data``, then texts of those that take ``corpora``."""
    from ...envs.streams import CORPORA, DATASETS

    texts = {name: f"corpus: {summary}" for name, summary in CORPORA.items()}
    return [{"id": name, "summary": summary} for name, summary in {**DATASETS, **texts}.items()]


def _suites() -> Rows:
    """Frozen lists of tasks that policies are evaluated on."""
    from ...scenarios.suites import registry

    return [
        {"id": suite.name, "summary": suite.summary, "tasks": [task.name for task in suite.tasks]}
        for suite in registry.values()
    ]
