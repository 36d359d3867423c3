"""What the command line needs before anything else is imported; the package imports this first.

``python -m studyhall`` puts the current folder first on the search path, and so does an empty element of PYTHONPATH
(``PYTHONPATH=":/my/modules"``). It is taken off, unless PYTHONPATH names it: libraries come from the environment, and a
file like ``rich.py`` or ``torch.py`` in the current folder is never run in their place. What Python itself looks for
before this line, the package ``studyhall`` and ``runpy``, it finds in the environment too when started with ``-P``.
"""

import os
import signal
import sys

INTERRUPTED = 130
"""The exit status of a program that Ctrl-C ended, as shells report it."""

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


def _leave_out(folder: str) -> None:
    """Take a folder off the search path, where it stands before the libraries and is not named in PYTHONPATH."""
    given = [] if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if folder in (os.path.abspath(element) for element in given if element):
        return
    first = 1 + len(given)  # what -m puts there, and PYTHONPATH
    sys.path[:first] = [entry for entry in sys.path[:first] if entry not in ("", folder)]


def quit_at_once(number: int, frame: object) -> None:
    """End the program on Ctrl-C, with a line.

    While modules are imported an exception may come out anywhere, or nowhere.
    """
    sys.stderr.write("studyhall: interrupted\n")
    sys.stderr.flush()
    os._exit(INTERRUPTED)


if _is_module_of_python() or _is_command():
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, quit_at_once)
    try:
        current = os.getcwd()
    except FileNotFoundError:  # libraries ask for it while they are imported
        print("studyhall: the current folder was deleted: go to another one", file=sys.stderr)
        sys.exit(2)
    _leave_out(current)
