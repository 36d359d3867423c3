"""Token streams for language models: windows of tokens, dealt as the items of any data set; classes are domains.

The documents of a domain and split stand one after the other, each followed by the tokeniser's end. A window is T + 1
tokens of that: the first T are read, the last T are what they should predict, so that token t + 1 is the target at t.
Windows begin at 0, s, 2s, … as long as a token follows them, N tokens giving ⌈(N − T − 1)/s⌉ of them, as published.
With the stride s = T the last token of a window is the first of the next, and none is predicted twice.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
import tokenizers
import torch
from torch import Tensor

from ..errors import ConfigError, DataError, one_of, short
from ..files import as_path
from ..validation import whole
from . import cache
from .corpora import CORPORA, TEXTS, Corpus, open_corpus
from .dataset import Dataset, Split, SplitName
from .documents import divide_documents
from .pictures import progress_bar
from .tokenisers import Tokeniser, check_vocabulary, tokeniser_from_json, train_tokeniser, utf8

if TYPE_CHECKING:
    from typing import TypeAlias

    from typing_extensions import Self

    Corpora: TypeAlias = str | os.PathLike[str] | Mapping[str, str | os.PathLike[str] | Sequence[str]]

SPLITS: tuple[SplitName, ...] = get_args(SplitName)
_MOST_LENGTH = 2**16
_MOST_NAME = 100  # bytes of a domain's name
_NO_NAME = frozenset('<>:"/\\|?*')  # what no file's name may hold on one system or another
_FORMAT = 2  # of what is kept in the cache: raise it when tokens change


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TokenDataset(Dataset):
    """Windows of tokens, int32 ``[n, T + 1]``; made by :func:`load_corpora`.

    ``classes`` are the domains, and ``mean`` and ``std`` 0 and 1.

    Attributes:
        tokeniser: What the tokens mean.
        bytes_each: Bytes of UTF-8 to a token by split and domain, float64 ``[3, D]``; see :meth:`bytes_per_token`.
    """

    sequence: ClassVar[bool] = True
    tokeniser: Tokeniser
    bytes_each: Tensor

    def inputs(self, split: SplitName, index: Tensor) -> Tensor:
        """Windows as a language model reads them.

        Args:
            split: Which split.
            index: int64 ``[...]``, positions in that split.

        Returns:
            int64 ``[..., T + 1]``.
        """
        return self._raw(split, index).long()

    def bytes_per_token(self, split: SplitName) -> Tensor:
        """Bytes of UTF-8 of a split's documents over its tokens, ends among them: float64 ``[D]``.

        Bits per byte are nats per token / ln 2 / this, whatever the tokeniser. It is that of the split as it was
        loaded, not of what :meth:`reduced` leaves of its windows.
        """
        one_of("split", split, SPLITS)
        return self.bytes_each[SPLITS.index(split)]

    def texts(self, split: SplitName, index: Tensor) -> list[str]:
        """The windows at ``index`` ``[n]`` as text."""
        return [self.tokeniser.decode(row) for row in self._raw(split, index).tolist()]

    @property
    def described(self) -> dict[str, Any]:
        """As of :class:`Dataset`: the domains, and how long windows are."""
        return {"name": self.name, "classes": list(self.classes), "length": self.shape[0] - 1}

    def _told(self) -> list[Any]:
        return [*super()._told(), self.tokeniser.to_json()]

    def reduced(self, classes: int | None, stream_items: int | None) -> Self:
        """As :meth:`Dataset.reduced`: the first domains, and windows from the beginning of each."""
        found = super().reduced(classes, stream_items)
        return replace(found, bytes_each=self.bytes_each[:, : found.num_classes])

    def to(self, device: torch.device | str) -> Self:
        """As :meth:`Dataset.to`."""
        moved = super().to(device)
        return moved if moved is self else replace(moved, bytes_each=self.bytes_each.to(moved.device))


def load_corpora(
    corpora: Corpora = "texts",
    *,
    data_dir: str | os.PathLike[str] | None = None,
    length: int = 32,
    vocabulary: int = 512,
    tokeniser: str | Tokeniser = "bpe",
    tokeniser_from: str = "all",
    stride: int | None = None,
    most: int | None = None,
) -> TokenDataset:
    """Load texts of one or more domains as windows of tokens.

    Parts that a corpus comes in are kept (train is the stream, validation the exam, test the test). What is missing
    is cut from its training part by *document*, a tenth each, in the order of a hash of the text: the same on every
    machine. One document or two, such as the user's own text file, are cut into contiguous blocks instead, 8:1:1. No
    other lands in two splits. See :func:`~studyhall.envs.streams.documents.divide_documents`.

    Tokens are kept in the cache by the contents of the corpora, so that they are made once.

    Args:
        corpora: ``"texts"``, what every installation has (prose, code, science); or a name or path, one domain; or
            domains by name, ``{domain: name, path or list of strings}`` in the order of the classes. See
            :data:`CORPORA` and :func:`~studyhall.envs.streams.corpora.open_corpus`.
        data_dir: Folder of local parquet files for corpora of the hub; by default ``STUDYHALL_DATA``.
        length: T, tokens read of a window.
        vocabulary: V, tokens at most.
        tokeniser: ``"bpe"``, ``"bytes"``, ``"words"``
            (:mod:`~studyhall.envs.streams.tokenisers`), or one that is there already; ``vocabulary`` and
            ``tokeniser_from`` then mean nothing.
        tokeniser_from: The domain whose stream it is trained on, or ``"all"``: of all domains, which assumes that the
            vocabulary of those to come is known.
        stride: Tokens from the beginning of a window of the stream to that of the next; None: T. T // 2 is as
            published. Windows of exam and test follow each other.
        most: Characters at most of each domain's stream, from its beginning; None: all.

    Returns:
        The data set, on the CPU.

    Raises:
        UnknownName: There is no such corpus, tokeniser or domain.
        ConfigError: An argument is out of range.
        DataError: The texts cannot be had or used; the message says what to do.
    """
    domains = _domains(corpora)
    if data_dir is not None:
        as_path("data_dir", data_dir)  # whether it is used or not
    length = whole("length", length, 1, _MOST_LENGTH)
    stride = length if stride is None else whole("stride", stride, 1, length)
    most = None if most is None else whole("most", most, 1)
    recipe = _recipe(tokeniser, vocabulary, tokeniser_from, list(domains))
    opened = {domain: open_corpus(source, data_dir) for domain, source in domains.items()}
    tokens = _tokens(opened, recipe, most)
    strides = {"stream": stride, "exam": length, "test": length}
    stream, exam, test = (_split(tokens, s, list(domains), length, strides[s]) for s in SPLITS)
    counts = [[len(tokens.of(split, number)) for number in range(len(domains))] for split in SPLITS]
    return TokenDataset(
        name=corpora if isinstance(corpora, str) and corpora == "texts" else "+".join(domains),
        stream=stream,
        exam=exam,
        test=test,
        classes=tuple(domains),
        mean=torch.zeros(()),
        std=torch.ones(()),
        span=(0.0, tokens.tokeniser.size - 1.0),
        tokeniser=tokens.tokeniser,
        bytes_each=torch.tensor(tokens.bytes, dtype=torch.float64) / torch.tensor(counts),
    )


def _domains(corpora: Any) -> dict[str, Any]:
    """Sources by domain, in their order."""
    if isinstance(corpora, str) and corpora == "texts":
        return dict(TEXTS)
    if isinstance(corpora, (str, os.PathLike)):
        corpora = {corpora if corpora in CORPORA else Path(corpora).stem or "texts": corpora}
    if not isinstance(corpora, Mapping) or not corpora:
        raise ConfigError(
            f"corpora is {short(corpora)}: give 'texts', a known name ({', '.join(CORPORA)}), or domains as "
            "{name: known name, path or list of strings}"
        )
    for domain in corpora:
        good = isinstance(domain, str) and domain == domain.strip() and domain.isprintable()
        if not good or not 0 < len(domain.encode()) <= _MOST_NAME or not _NO_NAME.isdisjoint(domain):
            raise ConfigError(
                f"a domain is called {short(domain)}: give a short name without {' '.join(sorted(_NO_NAME))} or spaces "
                "around it, such as 'prose', since metrics and files are named by it"
            )
    alike = Counter(domain.casefold() for domain in corpora)
    for domain in corpora:
        if alike[domain.casefold()] > 1:
            raise ConfigError(f"two domains are called {short(domain)}, in whatever case: rename one")
    return dict(corpora)


@dataclass(frozen=True, eq=False)
class _Tokens:
    """What the cache keeps: windows of any length are cut from it.

    Attributes:
        arrays: Tokens by split and number of the domain, whole numbers ``[N]``, as ``"exam_0"``.
        tokeniser: What they mean.
        bytes: Bytes of the documents by split and domain, ``[3][D]``.
    """

    arrays: Mapping[str, cache.Array]
    tokeniser: Tokeniser
    bytes: list[list[int]]

    def of(self, split: str, domain: int) -> cache.Array:
        return self.arrays[f"{split}_{domain}"]


def _tokens(corpora: Mapping[str, Corpus], recipe: _Recipe, most: int | None) -> _Tokens:
    """The tokens of some corpora, out of the cache or made and put there."""
    said = [_FORMAT, tokenizers.__version__, [corpus.digest for corpus in corpora.values()], most]
    digest = cache.fingerprint(text=json.dumps([*said, recipe.said(list(corpora))]))
    entry = cache.folder() / f"tokens-{digest}"
    stored = cache.read(entry)
    if stored is not None:
        arrays, notes = stored
        return _Tokens(arrays, recipe.given or tokeniser_from_json(notes["tokeniser"]), notes["bytes"])
    parts = {domain: corpus.read() for domain, corpus in corpora.items()}
    for domain, held in parts.items():
        if not held["train"]:
            raise DataError(f"domain {short(domain)} is empty: {corpora[domain].name} holds no text")
    divided = divide_documents(parts, most)
    made = recipe.make(divided["stream"])
    kind = np.uint16 if made.size <= 2**16 else np.int32
    arrays = {}
    with progress_bar() as progress:
        for split, domains in divided.items():
            for number, documents in enumerate(domains.values()):
                chunks = progress.track(made.stream(documents), len(documents), description="tokenising")
                arrays[f"{split}_{number}"] = np.concatenate(
                    [np.empty(0, kind), *chunks], dtype=kind, casting="unsafe"
                )
    sizes = [[sum(len(utf8(text)) for text in held) for held in divided[s].values()] for s in SPLITS]
    found = _Tokens(arrays, made, sizes)
    cache.write(entry, arrays, {"tokeniser": made.to_json(), "bytes": sizes})
    return found


@dataclass(frozen=True)
class _Recipe:
    """How the tokeniser is made: it is given, or trained on the stream of one domain or of all."""

    kind: str
    vocabulary: int
    domain: str
    given: Tokeniser | None = None

    def said(self, domains: list[str]) -> Any:
        """What tells it from others, of domains by their numbers."""
        if self.given is not None:
            return self.given.to_json()
        return [self.kind, self.vocabulary, "all" if self.domain == "all" else domains.index(self.domain)]

    def make(self, stream: Mapping[str, Sequence[str]]) -> Tokeniser:
        """The tokeniser, for the stream's documents by domain."""
        if self.given is not None:
            return self.given
        chosen = stream if self.domain == "all" else [self.domain]
        texts = (text for domain in chosen for text in stream[domain])
        return train_tokeniser(self.kind, texts, self.vocabulary)


def _recipe(tokeniser: Any, vocabulary: Any, domain: Any, domains: list[str]) -> _Recipe:
    if isinstance(tokeniser, Tokeniser):
        return _Recipe("given", tokeniser.size, "all", tokeniser)
    return _Recipe(
        tokeniser,
        check_vocabulary(tokeniser, vocabulary),
        one_of("tokeniser_from", domain, ["all", *domains]),
    )


def _split(tokens: _Tokens, split: str, domains: list[str], length: int, stride: int) -> Split:
    """The windows of a split, domain by domain."""
    windows = []
    for number, domain in enumerate(domains):
        held = tokens.of(split, number)
        count = -(-(len(held) - length - 1) // stride)
        if count < 1:
            raise DataError(
                f"the {split} split of domain {short(domain)} has {len(held)} tokens, and {length + 2} make the first "
                "window: give more or longer documents, or lower length"
            )
        stretch = torch.from_numpy(held.astype(np.int32))
        windows.append(stretch.unfold(0, length + 1, stride)[:count])
    counts = torch.tensor([len(one) for one in windows])
    y = torch.arange(len(domains)).repeat_interleave(counts)
    return Split(torch.cat(windows), y, counts, counts.cumsum(0) - counts)
