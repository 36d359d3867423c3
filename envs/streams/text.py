"""Texts as samples: their first words, each a fixed vector by signed feature hashing.

A word is a run of letters, digits and underscores, and of the marks and joiners among them, in Unicode's
compatibility form (NFKC) with case folded, so that ``é`` is the same however it is written. Words are split at spaces
and punctuation, which are dropped: texts in Chinese, Japanese or Thai, which have none between words, need segmenting
first (words joined by spaces). A text that ends early is filled up with the empty word.

The features of a word are itself and its runs of three characters, all of them between ``<`` and ``>`` so that
beginnings and ends are told apart: ``<now>`` has ``<no``, ``now``, ``ow>`` and ``<now>`` (as fastText; Bojanowski et
al., TACL 5, 2017). A hash tells for each feature which of P numbers it changes, and whether by +1 or −1 (Weinberger et
al., "Feature hashing for large scale multitask learning", ICML 2009): the inner product of two words is, in the mean
over hashes, how many features they share. The hash is BLAKE2b, so vectors are the same everywhere. Nothing is learnt
from data, and the empty word is all zeros.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ..errors import DataError, short, warn
from .dataset import Dataset, SplitName

if TYPE_CHECKING:
    from typing_extensions import Self

TEXT_SIZE = (32, 64)
"""Words kept of a text, and numbers of a word, where nothing else is asked for."""


_MOST = 4096  # of either: every text takes the room of so many words
_LONGEST = 1000  # characters hashed of a word: a file pasted into a text can be one word of many MB


def text_shape(text_size: int | Sequence[int]) -> tuple[int, int]:
    """Words and numbers of a word from ``text_size=``, words alone or both.

    Raises:
        DataError: It is neither.
    """
    pair = tuple(text_size) if isinstance(text_size, (tuple, list)) else (text_size, TEXT_SIZE[1])
    if len(pair) != 2 or not all(type(size) is int and 0 < size <= _MOST for size in pair):
        raise DataError(
            f"text_size is {short(text_size)}: give words kept of a text, or (words, numbers of a word), "
            f"{_MOST} at most"
        )
    return pair


@functools.cache
def _word() -> re.Pattern[str]:
    r"""A word: ``\w+``, which lacks marks (Unicode's M) and joiners, and what follows of these and of ``\w``."""
    characters = map(chr, range(sys.maxunicode + 1))
    marks = "".join(c for c in characters if unicodedata.category(c).startswith("M"))
    # Looking ahead for what is not ASCII is no part of the meaning, but saves most searches among the marks.
    return re.compile(rf"\w+(?:(?=[^\0-\x7f])[{marks}\u200c\u200d]\w*)*")


def words_of(text: str) -> Iterator[str]:
    """The words of a text, one after the other."""
    folded = unicodedata.normalize("NFKC", text.replace("\u00ad", "")).casefold()  # without soft hyphens
    folded = unicodedata.normalize("NFKC", folded)  # which folding may undo
    return (match.group() for match in _word().finditer(folded))


def word_features(word: str) -> set[str]:
    """What is hashed of a word: its runs of three characters and itself, between ``<`` and ``>``; none of ``""``."""
    whole = f"<{word[:_LONGEST]}>"
    return {whole, *(whole[i : i + 3] for i in range(len(whole) - 2))} if word else set()


def hash_words(words: Sequence[str], width: int) -> Tensor:
    """The vectors of some words, float32 ``[V, width]`` of whole numbers."""
    hashed = [
        (row, int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "little"))
        for row, word in enumerate(words)
        for feature in word_features(word)
    ]
    index = [row * width + (number >> 1) % width for row, number in hashed]
    signs = [1.0 - 2 * (number & 1) for _, number in hashed]
    flat = torch.zeros(len(words) * width)
    flat.index_add_(0, torch.tensor(index, dtype=torch.int64), torch.tensor(signs))  # exact in any order
    return flat.view(len(words), width)


class Lexicon:
    """Numbers words in the order it meets them; 0 is the empty word.

    Args:
        length: Words kept of a text, T.
        width: Numbers of a word, P.
        words: Those it knows from the start.

    Attributes:
        words: All it has met, by number.
    """

    def __init__(self, length: int, width: int, words: Iterable[str] = ("",)) -> None:
        self.length, self.width = length, width
        self._numbers = {word: number for number, word in enumerate(words)}

    @property
    def words(self) -> tuple[str, ...]:
        """As above."""
        return tuple(self._numbers)

    def read(self, texts: Iterable[Any], what: str, first: int = 0) -> Tensor:
        """Texts as numbers of words, int32 ``[n, length]``; of those without words all are 0.

        Args:
            texts: Strings.
            what: What they are, for errors.
            first: The first one's row.

        Raises:
            DataError: Some are no strings.
        """
        rows, others = [], []
        for row, text in enumerate(texts, start=first):
            if not isinstance(text, str):
                others.append(f"{row} is {type(text).__name__}")
                continue
            found = list(islice(words_of(text), self.length))
            numbers = [self._numbers.setdefault(word, len(self._numbers)) for word in found]
            rows.append(numbers + [0] * (self.length - len(numbers)))
        if others:
            raise DataError(
                f"{what} has rows that are no strings, {len(others)} in all (row {few_rows(others)}): give strings"
            )
        return torch.tensor(rows, dtype=torch.int32).view(-1, self.length)


def with_words(items: Tensor, what: str) -> Tensor:
    """Which texts have words, bool ``[n]``; that others are set aside is said in a warning.

    Args:
        items: As :meth:`Lexicon.read` gives them.
        what: What they are, for errors.

    Raises:
        DataError: None has.
    """
    kept = items.any(1)
    wordless = (~kept).nonzero().flatten().tolist()
    if len(wordless) == len(items):
        raise DataError(
            f"none of the {len(items)} texts of {what} has a letter or digit: give texts with words"
        )
    if wordless:
        warn(
            f"{what}: set aside {len(wordless)} of {len(items)} texts, which have no letter or digit (row "
            f"{few_rows(wordless)})"
        )
    return kept


def few_rows(rows: Sequence[Any]) -> str:
    """The first of some rows, for errors."""
    return ", ".join([*map(str, rows[:5]), *(["…"] if len(rows) > 5 else [])])


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TextDataset(Dataset):
    """Texts. Their splits hold numbers of words, int32 ``[n, T]``; inputs are the words' vectors, ``[…, T, P]``.

    ``mean`` is 0, so that an empty word stays zero, and ``std`` the root mean square over the words of the stream.

    Attributes:
        words: By number; the first is the empty one.
        vectors: Of the words, float32 ``[V, P]``.
    """

    sequence: ClassVar[bool] = True
    words: tuple[str, ...]
    vectors: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """T words of P numbers."""
        return (self.stream.x.shape[1], self.vectors.shape[1])

    def _told(self) -> list[Any]:
        return [*super()._told(), self.words]

    def texts(self, split: SplitName, index: Tensor) -> list[list[str]]:
        """The T words of the items at ``index`` ``[n]``, each; empty ones at the end of short texts."""
        numbers = self._raw(split, index).tolist()
        return [[self.words[number] for number in row] for row in numbers]

    def to(self, device: torch.device | str) -> Self:
        """As :meth:`Dataset.to`."""
        moved = super().to(device)
        return moved if moved is self else replace(moved, vectors=self.vectors.to(moved.device))

    def _gather(self, split: SplitName, index: Tensor) -> Tensor:
        numbers = self._raw(split, index)
        return self.vectors.index_select(0, numbers.reshape(-1)).view(*numbers.shape, -1)


def moments(vectors: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Zero, and the root mean square of the vectors of some words, the empty one left out."""
    counts = torch.bincount(numbers.reshape(-1), minlength=len(vectors)).double()[1:]
    square = (vectors[1:].double().square().mean(-1) * counts).sum() / counts.sum()
    return torch.zeros(()), square.sqrt().float() if square > 0 else torch.ones(())
