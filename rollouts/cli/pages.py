"""The page of anything that has a name: a world, a policy, a scenario, a data set, a suite.

What it says and how it is called are those of the code: docstrings, and the arguments of constructors with their
defaults and types.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...envs.archive import name_of
from ...envs.errors import text, unknown
from ...envs.registration import NAMESPACE, constructors
from ..terminal import output

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from ...envs import EnvSpec
    from ...scenarios import Scenario, Suite


_ROLE = re.compile(r":\w+:`([~.]?)([^`]+)`")  # how docstrings name code


@dataclass(frozen=True)
class Argument:
    """What something is made with.

    Args:
        name: Of the argument.
        default: As JSON or Python spells it; empty where it has to be given.
        type: As in the code.
        hosted: Whether it is there only where a world hosts its learners.
    """

    name: str
    default: str
    type: str
    hosted: bool = False


@dataclass(frozen=True)
class Page:
    """A page; it prints, and notebooks show it.

    Args:
        kind: "world", "policy", "scenario", "data set" or "suite".
        id: Its name.
        summary: One line.
        text: The page of the code.
        markdown: Whether the text is Markdown.
        arguments: What can be set.
        facts: What else there is to say, by what it is about.
        use: Lines of the command line or of Python.
    """

    kind: str
    id: str
    summary: str
    text: str = ""
    markdown: bool = False
    arguments: list[Argument] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    use: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The page as text."""
        return output.as_text(shown(self))

    def __repr__(self) -> str:
        """What it is a page of."""
        return f"<Page of {self.kind} {self.id}: {self.summary}>"

    def _repr_html_(self) -> str:
        return output.as_html(shown(self))

    def as_json(self) -> dict[str, Any]:
        """The page as plain JSON types."""
        return dataclasses.asdict(self)


def show(name: str) -> Page:
    """The page of a world, policy, scenario, data set or suite; of a name with several, the first in this order.

    Args:
        name: E.g. ``"classroom-v0"``.

    Raises:
        UnknownName: Nothing is called so; lists the near ones.
    """
    return pages(name)[0]


def pages(name: str) -> list[Page]:
    """The pages of all that is called so.

    Raises:
        UnknownName: Nothing is; lists the near ones.
    """
    from ...envs import registry as worlds
    from ...envs.streams import DATASETS
    from ...envs.streams.corpora import CORPORA
    from ...policies import registry as policies
    from ...policies.files import is_path, trained
    from ...policies.registration import is_own
    from ...scenarios import registry as scenarios
    from ...scenarios.suites import registry as suites

    name = text("a name", name, "classroom-v0").removeprefix(f"{NAMESPACE}/")
    found = []
    if name in worlds:
        found.append(_world(worlds[name]))
    if name in policies or name in trained() or is_path(name) or is_own(name):
        found.append(_policy(name))
    if name in scenarios:
        found.append(_scenario(scenarios[name]))
    if name in DATASETS or name in CORPORA:
        found.append(_data(name, {**CORPORA, **DATASETS}[name]))
    if name in suites:
        found.append(_suite(suites[name]))
    if not found:
        known = [*worlds, *policies, *trained(), *scenarios, *DATASETS, *CORPORA, *suites]
        raise unknown("name", name, known)
    return found


def _world(spec: EnvSpec) -> Page:
    loaded = spec.load()
    own, hosted = spec.arguments(), spec.arguments(hosted=spec.hosted)
    kinds = _types(loaded)
    order = {name: i for i, name in enumerate(kinds)}
    arguments = [
        dataclasses.replace(_argument(name, default, kinds), hosted=name not in own)
        for name, default in sorted(hosted.items(), key=lambda item: (item[0] not in own, order[item[0]]))
    ]
    return Page(
        "world",
        spec.id,
        spec.summary,
        text=inspect.cleandoc(sys.modules[loaded.__module__].__doc__ or loaded.__doc__ or ""),
        markdown=True,
        arguments=arguments,
        facts={"scenarios": _scenarios_with("env", spec.id)},
        use=[f'make_env("{spec.id}"), make_vec, make_sb3, make_world of studyhall'],
    )


def _policy(name: str) -> Page:
    from ...policies import Protocol, Students, make_policy, registry
    from ...policies.files import is_path, trained
    from ...policies.registration import policy_factory, policy_spec

    spec = policy_spec(name)
    factory: Any = policy_factory(name)
    made: Any = make_policy(name)
    facts = {"needs of its world": ", ".join(f"{k}={v}" for k, v in made.world_kwargs.items())}
    if name in trained() or is_path(name):
        told = {key: _spelt(value) for key, value in made.about.items()}
        return Page("policy", name, "a trained policy", facts={**told, **facts}, use=_set_policy(name))
    defaults, kinds = dict(_defaults(factory)), _types(factory)
    if isinstance(factory, type) and issubclass(factory, Protocol):
        defaults, kinds = defaults | _defaults(Students), _types(Students) | kinds
        defaults.pop("protocol", None)
    texts = [_read(factory.__doc__)]  # not what a base says of itself
    if [s.entry_point.partition(":")[0] for s in registry.values()].count(factory.__module__) == 1:
        texts.append(_read(sys.modules[factory.__module__].__doc__))  # a module of its own is its page
    return Page(
        "policy",
        name,
        spec.summary,
        text="\n\n".join(filter(None, texts)),
        arguments=[_argument(key, value, kinds) for key, value in (defaults | dict(spec.kwargs)).items()],
        facts={**facts, "scenarios": _scenarios_with("policy", name)},
        use=_set_policy(name),
    )


def _read(docstring: str | None) -> str:
    """A docstring as a person reads it: ``:class:`~studyhall.policies.Students``` is "Students"."""
    named = _ROLE.sub(lambda found: found[2].rpartition(".")[2] if found[1] else found[2], docstring or "")
    return inspect.cleandoc(named.replace("``", ""))


def _set_policy(name: str) -> list[str]:
    return [f"studyhall run SCENARIO --set policy={name}", f'make_policy("{name}") of studyhall.policies']


def _scenario(scenario: Scenario) -> Page:
    from ...scenarios.source import get_source

    facts = {
        "world": f"{scenario.env} with {_pairs(scenario.env_kwargs) or 'its defaults'}",
        "policy": f"{scenario.policy} with {_pairs(scenario.policy_kwargs) or 'its defaults'}",
        "seeds": ", ".join(map(str, scenario.seeds)),
        "controls": ", ".join(scenario.controls),
        "also measured at steps": ", ".join(map(str, scenario.measure_at)),
        "training": _pairs(scenario.training),
        "belongs to": scenario.system or "",
        "claimed": "\n".join(
            f"{claim.metric}{f' − {claim.minus}' if claim.minus else ''} {claim.documented:g}"
            + ("" if claim.tolerance is None else f" ± {claim.tolerance:g}")
            + f" ({get_source(claim.source).system})"
            for claim in scenario.claims
        ),
    }
    use = [
        f"studyhall run {scenario.name}",
        f'rollout("{scenario.name}") of studyhall',
        f"studyhall show {scenario.env}: what --set may change; policy.KEY: studyhall show {scenario.policy}",
    ]
    return Page("scenario", scenario.name, scenario.summary, facts=facts, use=use)


def _data(name: str, summary: str) -> Page:
    from ...envs.streams.corpora import CORPORA
    from ...scenarios import registry

    with_it = [s.name for s in registry.values() if name in str(s.env_kwargs.get("data"))]
    text_of_worlds = f'make_env("modular-v0", corpora={{"{name}": "{name}"}})'
    use = [text_of_worlds if name in CORPORA else f"studyhall run SCENARIO --set data={name}"]
    return Page("data set", name, summary, facts={"scenarios": ", ".join(with_it)}, use=use)


def _suite(suite: Suite) -> Page:
    scales = suite.scales
    tasks = [
        f"{task.name}{' (held out)' if task.held_out else ''}: {task.summary}; 0 is {scales[task.name].floor:.1%}, 100 "
        f"is {scales[task.name].ceiling:.1%}"
        for task in suite.tasks
    ]
    facts = {"worlds of a task": str(suite.worlds), "score 0": suite.floor, "tasks": "\n" + "\n".join(tasks)}
    use = [
        f"studyhall evaluate POLICY --suite {suite.name} [--quick]",
        f"studyhall train --suite {suite.name}: on what is not held out",
    ]
    return Page("suite", suite.name, suite.summary, facts=facts, use=use)


def _scenarios_with(what: str, name: str) -> str:
    from ...scenarios import registry

    return ", ".join(s.name for s in registry.values() if getattr(s, what) == name)


# ---- arguments ------------------------------------------------------------------------------------------------


def _defaults(factory: Callable[..., Any]) -> dict[str, Any]:
    from ...envs.registration import arguments_of

    return arguments_of(factory)[0]


def _types(factory: Callable[..., Any]) -> dict[str, str]:
    """Types of arguments as the code spells them, those that it adds to its bases' first."""
    found: dict[str, str] = {}
    for called in constructors(factory):
        for parameter in inspect.signature(called).parameters.values():
            kind = parameter.annotation
            if kind is not parameter.empty:
                spelt = kind if isinstance(kind, str) else inspect.formatannotation(kind)
                found.setdefault(parameter.name, spelt)
    return found


def _argument(name: str, default: Any, kinds: Mapping[str, str]) -> Argument:
    given = "" if default is inspect.Parameter.empty else _spelt(default)
    return Argument(name, given, kinds.get(name, ""))


def _pairs(kwargs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_spelt(value)}" for name, value in kwargs.items())


def _spelt(value: Any) -> str:
    """A value as ``--set`` takes it."""
    return value if isinstance(value, str) else json.dumps(value, default=name_of, ensure_ascii=False)


# ---- on a terminal --------------------------------------------------------------------------------------------


def shown(page: Page) -> Group:
    """A page, laid out."""
    from rich.console import Group
    from rich.markdown import Markdown
    from rich.text import Text

    parts: list[Any] = [Text(f"{page.kind} {page.id}: {page.summary}", style="bold"), Text()]
    if page.text:
        parts += [Markdown(page.text) if page.markdown else Text(page.text), Text()]
    if page.arguments:
        parts += [_table(page.arguments), Text()]
    parts += [Text(f"{about}: {said}") for about, said in page.facts.items() if said]
    return Group(*parts, *(Text(line, style="dim") for line in page.use))


def _table(arguments: Iterable[Argument]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table("argument", "default", "type", box=SIMPLE_HEAD)
    hosted = False
    for argument in arguments:
        if argument.hosted and not hosted:
            table.add_section()
            table.add_row(Text("with learners=…", style="bold"))
            hosted = True
        table.add_row(argument.name, argument.default, argument.type)
    return table
