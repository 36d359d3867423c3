"""Learners by themselves, in folders that plain PyTorch reads: nothing in them is unpickled, nor needs studyhall.

=====================  =================================================================================
``model.safetensors``  weights by the names of the module's ``state_dict``
``config.json``        what the learner is: its class, what it takes and gives, how its data are scaled
``hubconf.py``         the code that makes it, for ``torch.hub.load(FOLDER, "learner", source="local")``
``tokeniser.json``     of a language model
=====================  =================================================================================

Of a class of a user's own the code is the user's: there a module of that class follows ``"learner"``, which gets the
weights.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from ...envs.files import make_folder, whole_file
from ...learners.plain import Plain, as_sequential, expression
from .text import as_json, write_text

FORMAT = "studyhall learner 1"
WEIGHTS = "model.safetensors"

_LAYERS = '''\
"""A network of layers in a row, and its weights beside this file; written by studyhall export."""

from collections import OrderedDict
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

dependencies = ["torch", "safetensors"]


def learner() -> nn.Module:
    """The network, in evaluation mode."""
    module = {made}
    module.load_state_dict(load_file(Path(__file__).with_name("{weights}")))
    return module.eval()
'''

_CLASS = '''

# What follows was written by studyhall export, and so are the weights beside this file.

from pathlib import Path  # noqa: E402

from safetensors.torch import load_file  # noqa: E402

dependencies = ["torch", "safetensors"]


def learner() -> nn.Module:
    """The network, in evaluation mode."""
    module = {made}
    module.load_state_dict(load_file(Path(__file__).with_name("{weights}")))
    return module.eval()
'''

_OWN = '''\
"""Weights of a {made}, which only its own code makes; written by studyhall export."""

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

dependencies = ["torch", "safetensors"]


def learner(module: nn.Module) -> nn.Module:
    """A {made} with the weights beside this file, in evaluation mode."""
    module.load_state_dict(load_file(Path(__file__).with_name("{weights}")))
    return module.eval()
'''


def write_plain(folder: Path, plain: Plain, about: Mapping[str, Any]) -> None:
    """Write a learner to a folder, which is made.

    Args:
        folder: Its folder.
        plain: The learner.
        about: What else ``config.json`` is to say.

    Raises:
        ConfigError: It cannot be written.
    """
    module = as_sequential(plain.module)
    code, name = _code(module, plain.arguments)
    facts = dict(plain.facts)
    tokeniser = facts.pop("tokeniser", None)
    config = {
        "format": FORMAT,
        **about,
        "class": name,
        "arguments": plain.arguments,
        "takes": plain.takes,
        "gives": plain.gives,
        "parameters": sum(own.numel() for own in module.parameters()),
        "weights": {key: _told(value) for key, value in module.state_dict().items()},
        **facts,
    }
    make_folder(folder)
    with whole_file(folder / WEIGHTS) as file:
        file.write(save({key: value.detach().cpu().contiguous() for key, value in _apart(module).items()}))
    write_text(folder / "hubconf.py", code)
    if tokeniser is not None:
        write_text(folder / "tokeniser.json", as_json(tokeniser, indent=1) + "\n")
    write_text(folder / "config.json", as_json(config, indent=1) + "\n")


def _told(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _apart(module: nn.Module) -> dict[str, Any]:
    """The module's state, each tensor with memory of its own."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def _code(module: nn.Module, arguments: Mapping[str, Any] | None) -> tuple[str, str]:
    """The text of ``hubconf.py``, and what the class of the module is called."""
    kind = type(module)
    if arguments is not None:
        own = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        source = inspect.getsource(sys.modules[kind.__module__]).rstrip() + "\n"
        return source + _CLASS.format(
            made=f"{kind.__name__}({own})", weights=WEIGHTS
        ), f"{kind.__module__}.{kind.__qualname__}"
    if made := expression(module, "    "):
        code = _LAYERS.format(made=made, weights=WEIGHTS)
        if "OrderedDict(" not in made:
            code = code.replace("from collections import OrderedDict\n", "")
        return code, "torch.nn.Sequential"
    name = f"{kind.__module__}.{kind.__qualname__}"
    return _OWN.format(made=name, weights=WEIGHTS), name
