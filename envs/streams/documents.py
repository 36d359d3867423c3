"""Documents of domains, and how they come to stream, exam and test: whole, and each in one split alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from . import cache

if TYPE_CHECKING:
    from typing import TypeAlias

    Parts: TypeAlias = dict[str, list[str]]
    """Documents by the part they came in: ``"train"``, and perhaps ``"exam"`` and ``"test"``."""

_SHARE = 10
"""A split that is not given takes one in this many of the training part's documents."""


def divide_documents(domains: Mapping[str, Parts], most: int | None) -> dict[str, dict[str, list[str]]]:
    """The documents of each split and domain.

    An exam or test that is given is kept. One that is not takes a tenth of the distinct documents of the training
    part, one at least, in the order of a hash of their text (BLAKE2b): the same on every machine, whatever the files
    are called. Where there are not so many documents that each split has one, each is cut into blocks instead: its
    beginning is the stream, its end the test, with the exam before it.

    No document is in two splits, of whatever domain: test goes before exam, and exam before stream.

    Args:
        domains: Their documents.
        most: Characters kept of each domain's stream, from its beginning; None: all.

    Returns:
        Documents by split and domain, in the order they came in.
    """
    cut = {domain: _cut(parts) for domain, parts in domains.items()}
    whole = [domain for domain, parts in domains.items() if not _are_few(parts)]
    divided: dict[str, dict[str, list[str]]] = {}
    elsewhere: set[bytes] = set()
    for split in ("test", "exam", "stream"):
        divided[split] = {domain: parts[split] for domain, parts in cut.items()}
        for domain in whole:
            divided[split][domain] = _others(cut[domain][split], elsewhere)
        elsewhere |= {text_hash(document) for domain in whole for document in divided[split][domain]}
    if most is not None:
        divided["stream"] = {domain: _first(held, most) for domain, held in divided["stream"].items()}
    return {split: divided[split] for split in ("stream", "exam", "test")}


def text_hash(text: str) -> bytes:
    """A hash of a text, 16 bytes, the same on every machine."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


def _are_few(parts: Parts) -> bool:
    """Whether the training part has too few documents to give one to each split that it must give one to."""
    return len(set(parts["train"])) <= len({"exam", "test"} - parts.keys())


def _cut(parts: Parts) -> Parts:
    """One domain's documents by split."""
    wanted = [split for split in ("test", "exam") if split not in parts]
    found: Parts = {split: parts[split] for split in ("exam", "test") if split in parts}
    train = _others(parts["train"], {text_hash(document) for held in found.values() for document in held})
    if _are_few(parts):
        rests = list(dict.fromkeys(train))
        sizes = [len(rest) // _SHARE for rest in rests]
        for split in wanted:
            found[split] = [rest[len(rest) - size :] for rest, size in zip(rests, sizes, strict=True)]
            rests = [rest[: len(rest) - size] for rest, size in zip(rests, sizes, strict=True)]
        return {**found, "stream": rests}
    ranked = sorted({text_hash(document) for document in train})
    size = max(1, len(ranked) // _SHARE)
    for split in wanted:
        ranked, chosen = ranked[:-size], set(ranked[-size:])
        found[split] = [document for document in train if text_hash(document) in chosen]
    kept = set(ranked)
    return {**found, "stream": [document for document in train if text_hash(document) in kept]}


def _others(documents: Iterable[str], known: Container[bytes]) -> list[str]:
    """The documents whose hashes are not among the known ones."""
    return [document for document in documents if text_hash(document) not in known]


def _first(documents: Sequence[str], most: int) -> list[str]:
    """The first documents, so many characters of them."""
    kept = []
    for document in documents:
        if most <= 0:
            break
        kept.append(document[:most])
        most -= len(document)
    return kept


def drop_blank(documents: Iterable[str]) -> list[str]:
    """Those documents that hold more than whitespace."""
    return [document for document in documents if document and not document.isspace()]


def keep_documents(name: str, digest: str, make: Callable[[], Parts]) -> Parts:
    """Documents by part, out of the cache or made and put there.

    Args:
        name: Of the cache's entry.
        digest: Of where they come from.
        make: Reads them.
    """
    entry = cache.folder() / f"{name}-{digest}"
    stored = cache.read(entry)
    if stored is None:
        parts = make()
        encoded = {part: [document.encode() for document in held] for part, held in parts.items()}
        arrays = {
            f"{part}_bytes": np.frombuffer(b"".join(held), dtype=np.uint8) for part, held in encoded.items()
        }
        lengths = {part: list(map(len, held)) for part, held in encoded.items()}
        cache.write(entry, arrays, {"lengths": lengths})
        return parts
    arrays, notes = stored
    parts = {}
    for part, lengths in notes["lengths"].items():
        joined, ends = arrays[f"{part}_bytes"].tobytes(), np.cumsum([0, *lengths]).tolist()
        parts[part] = [joined[a:b].decode() for a, b in pairwise(ends)]
    return parts
