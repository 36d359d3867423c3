"""Texts that every installation has: what Python's standard library and scipy say of themselves, and their code.

Files are parsed, never imported. They differ between versions of Python and scipy, and so do the texts.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from . import cache
from .documents import drop_blank, keep_documents
from .pictures import progress_bar

if TYPE_CHECKING:
    from .documents import Parts

_LEFT_OUT = {
    *("site-packages", "dist-packages", "ensurepip", "__pycache__"),  # no part of the library
    *("test", "tests", "idle_test", "lib2to3"),  # not everywhere, or of other Pythons
    *("encodings", "pydoc_data"),  # tables
}


def python_docs() -> Parts:
    """Python's help topics, and the docstrings of each file of the standard library."""
    from pydoc_data.topics import topics

    return {"train": drop_blank([*topics.values(), *_library()["docs"]])}


def python_code() -> Parts:
    """The files of the standard library without docstrings and comments, written anew from their syntax trees."""
    return {"train": _library()["code"]}


def scipy_docs() -> Parts:
    """The docstrings of each file of scipy."""
    return {"train": _scipy()["docs"]}


@functools.cache  # installed files do not change under a process
def library_digest() -> str:
    """A digest of the standard library's files and help topics, and of the Python that writes them anew."""
    topics = importlib.util.find_spec("pydoc_data.topics")
    if topics is None or topics.origin is None:
        raise DataError("this Python comes without its help topics (pydoc_data): name other corpora")
    return cache.fingerprint([*_library_files(), Path(topics.origin)], text=f"library {sys.version_info[:3]}")


@functools.cache
def scipy_digest() -> str:
    """A digest of scipy's files."""
    return cache.fingerprint(_scipy_files(), text="scipy")


@functools.cache
def _library() -> Parts:
    def parse() -> Parts:
        docs, code = [], []
        for tree in _parsed(_library_files(), "the standard library"):
            docs.append("\n\n".join(_take_docstrings(tree)))
            code.append(ast.unparse(tree) + "\n")
        return {"docs": drop_blank(docs), "code": drop_blank(code)}

    return keep_documents("library", library_digest(), parse)


@functools.cache
def _scipy() -> Parts:
    def parse() -> Parts:
        trees = _parsed(_scipy_files(), "scipy")
        return {"docs": drop_blank("\n\n".join(_take_docstrings(tree)) for tree in trees)}

    return keep_documents("scipy", scipy_digest(), parse)


def _library_files() -> list[Path]:
    root = Path(sysconfig.get_path("stdlib"))
    # _sysconfigdata… says how this one Python was built, and where.
    files = [path for path in _sources(root) if not path.name.startswith("_sysconfigdata")]
    if not files:
        raise DataError(f"this Python has no source files in {str(root)!r}: name other corpora")
    return files


def _scipy_files() -> list[Path]:
    package = importlib.util.find_spec("scipy")
    if package is None or package.origin is None:
        raise DataError("scipy_docs come with scipy, which is not installed: pip install scipy")
    return list(_sources(Path(package.origin).parent))


def _sources(root: Path) -> Iterator[Path]:
    """Python files in a folder and those in it, in the order of names."""
    for folder, inside, names in os.walk(root):
        inside[:] = sorted(name for name in inside if name not in _LEFT_OUT)
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py"))


def _parsed(files: Iterable[Path], what: str) -> Iterator[ast.Module]:
    with progress_bar() as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in other people's strings
        for path in progress.track(list(files), description=f"reading {what}"):
            yield ast.parse(path.read_bytes())


def _take_docstrings(tree: ast.Module) -> list[str]:
    """The docstrings of a module, from top to bottom; they are no part of it any more."""
    found = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node)
            if docstring is not None:
                found.append(docstring)
                node.body[:1] = [] if len(node.body) > 1 or isinstance(node, ast.Module) else [ast.Pass()]
        for block in ("handlers", "cases", "finalbody", "orelse", "body"):  # the last is looked at first
            statements = getattr(node, block, None)
            if isinstance(statements, list):  # that of a lambda is an expression
                waiting.extend(reversed(statements))
    return found
