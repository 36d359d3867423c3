"""Corpora for language models: by name, embedded or from the hub, or the user's own texts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, unknown, warn
from ..files import as_path
from . import cache, installed
from .documents import drop_blank, keep_documents
from .hub import corrupt, local_root, open_hub, part_files
from .own_texts import digest_of, folder_files, read_file, read_files, strings

if TYPE_CHECKING:
    from .documents import Parts

_PARTS = {"train": "train", "validation": "exam", "test": "test"}


@dataclass(frozen=True)
class Corpus:
    """Where documents come from; they are read when they are asked for.

    Attributes:
        name: For errors.
        digest: Of what it holds.
        read: The documents that hold more than whitespace, by part.
    """

    name: str
    digest: str
    read: Callable[[], Parts]


@dataclass(frozen=True)
class EmbeddedCorpus:
    """A corpus that every installation has."""

    line: str
    digest: Callable[[], str]
    read: Callable[[], Parts]


@dataclass(frozen=True)
class HubCorpus:
    """A corpus on the hub.

    Attributes:
        hub: Its repository.
        revision: Of the repository.
        asked: What is loaded of it, as ``datasets.load_dataset`` takes it.
        columns: Where the text is: the first of these that is there.
        summary: What it is.
        stems: How local files in ``text/`` are called, before ``-train.parquet``.
        documents: Rows as documents.
    """

    hub: str
    revision: str
    asked: dict[str, Any]
    columns: tuple[str, ...]
    summary: str
    stems: tuple[str, ...]
    documents: Callable[[Iterable[str]], list[str]] = drop_blank

    @property
    def line(self) -> str:
        """One line about it."""
        return f"{self.summary}, hub {self.hub}"


def _articles(lines: Iterable[str]) -> list[str]:
    """The articles of WikiText, which comes in lines: one that reads ``= Title =`` begins an article."""
    articles: list[list[str]] = [[]]
    for line in lines:
        if re.fullmatch(r" = (?!= ).* = \n?", line):
            articles.append([])
        articles[-1].append(line.rstrip("\n") + "\n")
    return drop_blank("".join(line for line in article if not line.isspace()) for article in articles)


EMBEDDED = {
    "python_docs": EmbeddedCorpus(
        "prose: help topics of Python and docstrings of its standard library, embedded",
        installed.library_digest,
        installed.python_docs,
    ),
    "python": EmbeddedCorpus(
        "code: the standard library of Python without docstrings and comments, embedded",
        installed.library_digest,
        installed.python_code,
    ),
    "scipy_docs": EmbeddedCorpus(
        "science: docstrings of scipy, embedded", installed.scipy_digest, installed.scipy_docs
    ),
}

HUB_CORPORA = {
    "wikitext2": HubCorpus(
        "Salesforce/wikitext",
        "b08601e04326c79dfdd32d625aee71d232d685c3",
        {"name": "wikitext-2-raw-v1"},
        ("text",),
        "prose: articles of Wikipedia, WikiText-2 raw (train + validation + test)",
        ("wikitext2",),
        _articles,
    ),
    # `datasets` runs no loading scripts any more; these branches hold what the scripts made.
    "code_search_net": HubCorpus(
        "code-search-net/code_search_net",
        "refs/convert/parquet",
        {"data_dir": "python"},
        ("whole_func_string", "func_code_string"),
        "code: Python functions of CodeSearchNet (train + validation + test)",
        ("code_search_net",),
    ),
    "arxiv": HubCorpus(
        "gfissore/arxiv-abstracts-2021",
        "refs/convert/parquet",
        {"data_files": {"train": "default/train/0000.parquet"}},  # a fifth of two million
        ("abstract", "text"),
        "science: abstracts of arXiv, its first years",
        ("arxiv", "science"),
    ),
}

CORPORA: dict[str, str] = {name: corpus.line for name, corpus in (EMBEDDED | HUB_CORPORA).items()}
"""Every corpus known by name, with one line about it."""

TEXTS = {"prose": "python_docs", "code": "python", "science": "scipy_docs"}
"""The domains of ``"texts"``: what needs no network."""


def open_corpus(source: Any, data_dir: str | os.PathLike[str] | None = None) -> Corpus:
    """Find a corpus.

    Args:
        source: One of

            - a name of :data:`CORPORA`;
            - the path of a text file (UTF-8), which is one document;
            - the path of a folder, whose text files, those in folders in it too, are documents in the order of their
              paths. Hidden files and links are left out, and, with a warning, files that hold NUL bytes, as pictures
              do and text in UTF-16;
            - the path of a file ``.parquet``, ``.jsonl`` or ``.csv`` with a column ``text``, a document a row;
            - a list of strings, a document each.
        data_dir: Folder of local files for corpora of the hub: ``<data_dir>/<name>/train*.parquet`` (``validation``,
            ``test``) or ``<data_dir>/text/<name>-train*.parquet``; by default the environment's ``STUDYHALL_DATA``.
            Where one of them is set the hub is not asked.

    Raises:
        UnknownName: It is neither a known name nor a path.
        DataError: It cannot be had or used; the message says what to do.
    """
    if isinstance(source, str) and source in EMBEDDED:
        embedded = EMBEDDED[source]
        return Corpus(source, f"{source} {embedded.digest()}", embedded.read)
    if isinstance(source, str) and source in HUB_CORPORA:
        return _open_named(source, HUB_CORPORA[source], data_dir)
    if isinstance(source, (str, os.PathLike)):
        path = as_path("a corpus", source)
        if isinstance(source, str) and _is_name(source, path):
            raise unknown("corpus", source, CORPORA, "nor is there such a file or folder here")
        if path.is_dir():
            files = folder_files(path)
            digest = cache.fingerprint(files, text="folder")
            return Corpus(repr(str(path)), digest, lambda: {"train": read_files(files)})
        if not path.is_file():
            raise DataError(
                f"there is no file or folder {str(path)!r}: give the path of texts, or a known name"
            )
        return Corpus(
            repr(str(path)), cache.fingerprint([path], text="file"), lambda: {"train": read_file(path)}
        )
    documents = strings(source, "a corpus")
    return Corpus("a list of strings", digest_of(documents), lambda: {"train": drop_blank(documents)})


def _is_name(source: str, path: Path) -> bool:
    """Whether a string is no path: without separators, of nothing that is there, and without a suffix."""
    return not source or (path.name == source and not path.suffix and not path.exists())


def _open_named(name: str, known: HubCorpus, data_dir: str | os.PathLike[str] | None) -> Corpus:
    """A corpus of the hub, from local files where there is a folder for them."""
    local = local_root(data_dir, f"{name}/*.parquet")
    if local is None:
        where = f"{known.hub} {known.revision} {known.asked}"
        digest = cache.fingerprint(text=where)
        return Corpus(name, where, lambda: keep_documents(name, digest, lambda: _fetch(name, known)))
    said, root = local
    files = {part: _local_files(name, known, root, part) for part in _PARTS}
    if not any(files.values()):
        raise DataError(
            f"{said} {str(root)!r} has no {name}/*.parquet and no text/{name}-*.parquet: add {name}/train.parquet, or "
            f"leave {said} unset to use the hub"
        )
    held = {_PARTS[part]: paths for part, paths in files.items() if paths}
    if "train" not in held:
        # The validation text is the next best to learn from; the exam is then cut from it.
        substitute = "exam" if "exam" in held else "test"
        held["train"] = held.pop(substitute)
        said_of = {"exam": "validation", "test": "test"}[substitute]
        warn(f"{str(root)!r} has no train part of {name}: its {said_of} text is what is learnt from")
    paths = [path for part in held.values() for path in part]
    digest = cache.fingerprint(paths, text=f"{name} {[(part, len(held[part])) for part in sorted(held)]}")
    return Corpus(
        name,
        digest,
        lambda: {
            part: known.documents(row for path in paths for row in _column(path, known))
            for part, paths in held.items()
        },
    )


def _local_files(name: str, known: HubCorpus, root: Path, part: str) -> list[Path]:
    """The local files of a part, in the order of names."""
    found = part_files(root / name, part)
    for stem in known.stems:
        found = found or part_files(root / "text", f"{stem}-{part}")
    return found


def _column(path: Path, known: HubCorpus) -> Sequence[str]:
    """The texts in a local file."""
    import pyarrow
    from pyarrow import parquet

    try:
        column = _text_column(parquet.read_schema(path).names, known, str(path))
        rows = parquet.read_table(path, columns=[column])[column].to_pylist()
    except (OSError, pyarrow.ArrowException) as fault:
        raise corrupt(path, fault) from fault
    return strings(rows, f"column {column!r} of {str(path)!r}")


def _fetch(name: str, known: HubCorpus) -> Parts:
    """All parts from the hub, or from what `datasets` fetched from there before."""
    opened = open_hub(known.hub, revision=known.revision, **known.asked)
    if "train" not in opened:
        raise DataError(f"{known.hub} has no part 'train', only {', '.join(opened)}")
    parts = {}
    for part, ours in _PARTS.items():
        if part in opened:
            where = f"{known.hub} ({part})"
            column = _text_column(opened[part].column_names, known, where)
            parts[ours] = known.documents(strings(opened[part][column][:], f"column {column!r} of {where}"))
    return parts


def _text_column(columns: Sequence[str], known: HubCorpus, where: str) -> str:
    for column in known.columns:
        if column in columns:
            return column
    wanted = " or ".join(map(repr, known.columns))
    raise DataError(f"{where} has no column {wanted}, only {', '.join(columns)}: name the column so")
