"""What there is to run: worlds, policies, scenarios and data sets, as plain rows."""

from __future__ import annotations

from typing import Any

from ..envs.errors import unknown

Rows = list[dict[str, Any]]

KINDS = ("envs", "policies", "scenarios", "data")


def catalogue(kind: str | None = None) -> dict[str, Rows]:
    """Rows of one kind, or of all.

    Raises:
        UnknownName: No such kind.
    """
    readers = dict(zip(KINDS, (_envs, _policies, _scenarios, _data), strict=True))
    if kind is not None and kind not in readers:
        raise unknown("list", kind, KINDS)
    return {name: read() for name, read in readers.items() if kind in (None, name)}


def _envs() -> Rows:
    from ..envs import registry

    return [
        {"id": s.id, "summary": s.summary, "entry_point": s.entry_point, "kwargs": dict(s.kwargs)}
        for s in registry.values()
    ]


def _policies() -> Rows:
    from ..policies import registry

    return [
        {"id": s.name, "summary": s.summary, "entry_point": s.entry_point, "kwargs": dict(s.kwargs)}
        for s in registry.values()
    ]


def _scenarios() -> Rows:
    from ..scenarios import registry

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
    from ..envs.streams import DATASETS

    return [{"id": name, "summary": summary} for name, summary in DATASETS.items()]
