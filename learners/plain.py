"""Learners as ordinary PyTorch modules, to be taken out of worlds and policies, and the code that makes them.

A module goes anywhere where its code does: layers of ``torch.nn`` in a row are written as an expression, and a class
whose file imports nothing but torch is taken with its file (:attr:`Plain.arguments`). Of a user's own class only the
weights can be written.
"""

from __future__ import annotations

import ast
import inspect
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from .convolutional import VGG, Conv3


class Plain(NamedTuple):
    """A learner as it is now, by itself."""

    module: nn.Module
    """A copy with weights of its own, in evaluation mode."""
    takes: Mapping[str, str]
    """Arguments of its ``forward`` in order: dtype, shape and meaning of each, in words."""
    gives: str
    """Likewise what it returns."""
    arguments: Mapping[str, Any] | None = None
    """Of its class, as JSON holds them, where the class's file imports nothing but torch; None of other modules."""
    agent: int | None = None
    """Whose it is; None: everybody's, or nobody's."""
    everywhere: bool = False
    """Whether the learners of all worlds are this one."""
    facts: Mapping[str, Any] = {}
    """What else is to be known of it, as JSON holds it."""


def classifier(module: nn.Module, agent: int | None = None, **facts: Any) -> Plain:
    """A learner from samples ``[M, *shape]`` to logits ``[M, C]``."""
    takes = {"x": "float32 [M, *shape]: samples, scaled and normalised as `data` says"}
    return Plain(module, takes, "float32 [M, C]: logits of the classes", agent=agent, facts=facts)


def as_sequential(module: nn.Module) -> nn.Module:
    """The same network as layers in a row, weights by the same names, where it is a :class:`Conv3` or :class:`VGG`."""
    if not isinstance(module, Conv3 | VGG) or type(module) not in (
        Conv3,
        VGG,
    ):  # a subclass may do something else
        return module
    made = nn.Sequential(OrderedDict(layers=nn.Sequential(*module.layers), head=module.head))
    return made.train(module.training)


def expression(module: nn.Module, indent: str = "") -> str | None:
    """Python that makes a module of layers in a row, its weights apart; None of a module that is something else.

    It knows the names ``nn`` and ``OrderedDict``.
    """
    written = _written(module, indent)
    if written is None:
        return None
    try:
        with torch.device("meta"):
            made = eval(
                written, {"nn": nn, "OrderedDict": OrderedDict}
            )  # of what was just written from torch's own
    except (TypeError, ValueError, SyntaxError, NameError):  # a layer whose text is not what makes it
        return None
    shapes, found = (
        {name: value.shape for name, value in each.state_dict().items()} for each in (module, made)
    )
    return written if shapes == found else None


def _written(module: nn.Module, indent: str) -> str | None:
    if type(module) is not nn.Sequential:
        stock = type(module).__module__.startswith("torch.nn.modules.") and not list(module.children())
        return f"nn.{_without_defaults(module)}" if stock else None
    deeper = f"{indent}    "
    named = [name for name, _ in module.named_children()] != [str(place) for place in range(len(module))]
    inner = f"{deeper}    " if named else deeper
    parts = {name: _written(part, inner) for name, part in module.named_children()}
    if any(part is None for part in parts.values()):
        return None
    if not named:
        lines = "".join(f"{deeper}{part},\n" for part in parts.values())
        return f"nn.Sequential(\n{lines}{indent})"
    lines = "".join(f"{inner}{name}={part},\n" for name, part in parts.items())
    return f"nn.Sequential(\n{deeper}OrderedDict(\n{lines}{deeper})\n{indent})"


def _without_defaults(layer: nn.Module) -> str:
    """The text of a layer of torch's, less what it is anyway: other versions of torch may not know all of it."""
    usual = inspect.signature(type(layer)).parameters
    try:
        call = ast.parse(repr(layer), mode="eval").body
        if isinstance(call, ast.Call):
            call.keywords = [
                one
                for one in call.keywords
                if one.arg is None
                or one.arg not in usual
                or ast.literal_eval(one.value) != usual[one.arg].default
            ]
        return ast.unparse(call)
    except (SyntaxError, ValueError):  # it is no call, or not of numbers and words alone
        return repr(layer)
