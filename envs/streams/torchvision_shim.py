"""torchvision for its Python parts, also where its compiled library does not fit the torch beside it."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

_MISSING = "operator torchvision::nms does not exist"
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library: torch.library.Library | None = None  # operators vanish with the object that declared them


def import_torchvision() -> ModuleType:
    """Import torchvision (``datasets``, ``transforms``; not its compiled operators).

    The registry's Linux wheels of torchvision carry CUDA code. Beside a CPU-only torch that library cannot
    load, and the import then stops because torchvision describes two operators, ``nms`` and ``qnms``, that
    nothing has declared. Only in that case are the two declared here (they still cannot run), and the import
    made again.

    Raises:
        ImportError: torchvision is not installed.
    """
    global _library
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as fault:
        if _MISSING not in str(fault):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the stopped import left behind
    if _library is None:
        _library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            _library.define(operator + _SIGNATURE)
    return importlib.import_module("torchvision")
