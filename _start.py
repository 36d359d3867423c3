"""What the command line needs before anything else is imported; the package imports this first.

``python -m studyhall`` puts the current folder first on the search path. It is taken off: libraries come from the
environment, and a file like ``rich.py`` or ``torch.py`` in the current folder is never run in their place. What Python
itself looks for before this line, the package ``studyhall`` and ``runpy``, it finds in the environment too when started
with ``-P``; the command ``studyhall`` has no such beginning.
"""

import os
import sys

_arguments: list[str] = getattr(sys, "argv", [])


def _is_module_of_python() -> bool:
    """Whether this import is the beginning of ``python -m studyhall``."""
    if _arguments[:1] != ["-m"]:  # what stands there while Python looks for the module of -m
        return False
    asked = sys.orig_argv[-len(_arguments)].removesuffix(".__main__")
    return asked == __package__ or (asked.startswith("-") and asked.endswith(f"m{__package__}"))


def _is_command() -> bool:
    """Whether this import is the beginning of the command ``studyhall``."""
    name = os.path.basename(_arguments[0]) if _arguments else ""
    return name.removesuffix(".exe") == __package__


def _put_nothing_first() -> bool:
    """Whether Python was told to leave the current folder out (``-P``, ``-I``, ``PYTHONSAFEPATH``)."""
    return bool(sys.flags.isolated or getattr(sys.flags, "safe_path", False))


as_module = _is_module_of_python()
if as_module or _is_command():
    try:
        current = os.getcwd()
    except FileNotFoundError:  # libraries ask for it while they are imported
        print("studyhall: the current folder was deleted: go to another one", file=sys.stderr)
        sys.exit(2)
    if as_module and not _put_nothing_first() and sys.path[:1] in ([current], [""]):
        del sys.path[0]
