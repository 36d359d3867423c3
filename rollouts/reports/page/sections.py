"""What does not move on a page: tables, pictures and texts, claims, configuration; each function is of one run."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ....envs.errors import UnknownName
from ....envs.registration import spec
from ....scenarios import registry
from ..claims import HOLDS, cited, claims_table, judged, sources_table
from ..report import Report
from ..tables import result
from ..trace import Scene
from .data import ANEW
from .markup import shown, table, tag, text

_OPEN = 2  # scenes that are all shown at once
_DECISIONS = 200  # of a run that are listed


@dataclass(frozen=True)
class Subject:
    """A run that a page is of.

    Args:
        name: What it is called on the page.
        report: What it found.
        config: Of its ``config.json``, where it has one: versions, threads, and when it was started.
        written: What the language models that it left make of prompts: prompt and text.
    """

    name: str
    report: Report
    config: Mapping[str, Any] = field(default_factory=dict)
    written: tuple[tuple[str, str], ...] = ()


def results(subject: Subject) -> str:
    """The tables of the command line."""
    return shown(result(subject.report))


def seen(subject: Subject) -> str:
    """How the first open world looked, the last moment open, and what a model that was left writes."""
    report, found = subject.report, []
    if report.trace is None:
        found.append(text("p", ANEW))
    elif not report.trace.scenes:
        found.append(
            text("p", "No pictures were kept: give the run a folder (studyhall run, or rollout(…, out=…)).")
        )
    else:
        world = f"The open world of seed {report.seeds[0]}, from step to step."
        found.append(text("p", world, class_="note"))
        scenes = report.trace.scenes
        found += [_scene(scene, report, open=scene is scenes[-1] or len(scenes) <= _OPEN) for scene in scenes]
    if subject.written:
        found.append(text("h4", "What the model writes in the end"))
        for prompt, more in subject.written:
            found.append(tag("blockquote", text("strong", prompt) + text("span", more)))
    return "".join(found)


def _scene(scene: Scene, report: Report, *, open: bool) -> str:
    figures = []
    for caption, png in scene.pictures.items():
        told = caption or "the world"
        source = "data:image/png;base64," + base64.b64encode(png).decode()
        alt = f"{told}, after step {scene.step:,}" + ("; the text below says the same" if scene.text else "")
        figures.append(
            tag("figure", text("figcaption", told) + tag("img", src=source, alt=alt, loading="lazy"))
        )
    whole = "scene" if any(scene.pictures) else "scene whole"
    inner = tag("div", "".join(figures), class_=whole) + (text("pre", scene.text) if scene.text else "")
    name = f"after step {scene.step:,} of {report.steps[-1]:,}"
    return tag("details", text("summary", name) + inner, open="" if open else None)


def decisions(subject: Subject) -> str:
    """What the policy decided in the open worlds, and why; empty where it tells nothing."""
    told = [
        (f"{one['step']:,}", f"seed {seed}, {one['agent']}", str(one["what"]), str(one["why"]))
        for seed, of_seed in subject.report.decisions.get("open", {}).items()
        for one in of_seed
    ]
    if not told:
        return ""
    more = (
        f"The first {_DECISIONS} of {len(told):,}; all are in report.json." if len(told) > _DECISIONS else ""
    )
    return table(("step", "who", "what", "why"), told[:_DECISIONS], note=more)


def claims(subject: Subject) -> str:
    """Documented figures beside measured ones, with verdicts."""
    report = subject.report
    scenario = report.scenario
    if not scenario.claims:
        return text("p", f"No figures are documented for {scenario.name}, so none is judged.")
    changed = changes(report)
    if scenario.name not in registry:
        changed = ["its name: no such scenario is registered"]
    entry: dict[str, Any] = {
        "name": scenario.name,
        "headline": report.headline,
        "transductive": report.transductive,
        "claims": [judged(claim, report.metrics, comparable=not changed) for claim in scenario.claims],
    }
    found = []
    if changed:
        said = f"Nothing is judged: this run differs from the scenario in {', '.join(changed)}."
        found.append(text("p", said, class_="bad"))
    else:
        held = sum(claim["verdict"] == HOLDS for claim in entry["claims"])
        found.append(text("p", f"{held} of {len(entry['claims'])} documented figures hold."))
    return "".join([*found, shown(claims_table([entry])), shown(sources_table(cited([entry])))])


def changes(report: Report) -> list[str]:
    """In what a run's scenario differs from the registered one, as far as its figures hang on it; empty without one."""
    scenario = report.scenario
    if scenario.name not in registry:
        return []
    registered = registry[scenario.name]
    found = [name for name in ("env", "policy") if getattr(scenario, name) != getattr(registered, name)]
    arguments = {"env_kwargs": ""} if "policy" in found else {"env_kwargs": "", "policy_kwargs": "policy."}
    for name, prefix in arguments.items():  # another policy has arguments of its own
        ours, theirs = (
            json.loads(json.dumps(dict(getattr(s, name)), default=str)) for s in (scenario, registered)
        )
        found += sorted(prefix + key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key))
    return found


def configuration(subject: Subject) -> str:
    """Everything that was set, and how to do the same again."""
    report = subject.report
    scenario = report.scenario
    started, versions = subject.config.get("started"), subject.config.get("versions", {})
    facts = {
        "scenario": f"{scenario.name}: {scenario.summary}",
        "world": f"{scenario.env}: {spec(scenario.env).summary}" if _known(scenario.env) else scenario.env,
        "policy": scenario.policy,
        "seeds": ", ".join(map(str, report.seeds)),
        "controls": ", ".join(scenario.controls) or "none",
        "took": f"{report.seconds:,.1f} s on {report.device}",
        "started": started or "not recorded",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()) or "not recorded",
    }
    rows = [(name, said) for name, said in facts.items()]
    for title, settings in (
        ("settings of the world", scenario.env_kwargs),
        ("of the policy", scenario.policy_kwargs),
    ):
        rows += [(title, "")] + [(key, json.dumps(value, default=str)) for key, value in settings.items()]
        rows += [("none but defaults", "–")] if not settings else []
    return table(("what", "value"), rows)


def _known(world: str) -> bool:
    try:
        spec(world)
    except UnknownName:
        return False
    return True
