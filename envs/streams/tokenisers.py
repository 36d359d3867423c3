"""Tokenisers: texts as whole numbers for language models, and back.

=========  =====================================================================================================
kind       tokens
=========  =====================================================================================================
``bytes``  the 256 values of a byte of UTF-8; 0 ends a document
``bpe``    byte-level byte-pair encoding (Sennrich et al., ACL 2016; over bytes as Radford et al. 2019), trained on
           given texts. 0 ends a document, 1 to 256 are the bytes, and each merge of two tokens adds the next.
           Every text comes back exactly, and no text holds the end: it is no string that could be written
``words``  lower-case words between whitespace: ``<PAD> <UNK> <BOS> <EOS>`` are 0 to 3, then the most frequent
           words of the texts, at equal counts in the order of the alphabet. ``<EOS>`` ends a document
=========  =====================================================================================================

The same texts give the same tokeniser on every machine. A tokeniser is saved as plain JSON (:meth:`Tokeniser.to_json`),
of which nothing is believed when it is read (:func:`tokeniser_from_json`).
"""

from __future__ import annotations

import functools
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import tokenizers

from ..errors import ConfigError, DataError, one_of, short
from ..validation import whole
from .cache import Array

KINDS = ("bytes", "bpe", "words")

_SPECIAL = ("<PAD>", "<UNK>", "<BOS>", "<EOS>")
_LEAST = {"bytes": 256, "bpe": 257, "words": len(_SPECIAL) + 1}
_MOST = 2**20
_LONGEST = 64  # bytes of a token: merges double them, so that a short file could fill the memory
_CHUNK = 2**20  # characters that are tokenised at a time


class Tokeniser(ABC):
    """Texts as tokens, 0 to :attr:`size` − 1."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of tokens, V."""

    @property
    @abstractmethod
    def end(self) -> int:
        """The token that ends a document."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Tokens of a text, without an end.

        Raises:
            DataError: It holds half a surrogate pair, which is no character.
        """

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of some tokens; ends are shown."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What :func:`tokeniser_from_json` makes this tokeniser of again."""

    def stream(self, documents: Iterable[str]) -> Iterator[Array]:
        """The tokens of documents, each with its end: whole numbers ``[n]``, chunk by chunk."""
        for document in documents:
            yield np.array([*self.encode(document), self.end], dtype=np.int32)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.size} tokens)"


class ByteTokeniser(Tokeniser):
    """Bytes of UTF-8; a NUL in a text reads as the end of a document."""

    kind = "bytes"
    size = 256
    end = 0

    def encode(self, text: str) -> list[int]:
        """As :meth:`Tokeniser.encode`."""
        return list(utf8(text))

    def decode(self, ids: Sequence[int]) -> str:
        """As :meth:`Tokeniser.decode`; what is no UTF-8 becomes �."""
        return bytes(ids).decode(errors="replace")

    def to_json(self) -> dict[str, Any]:
        """As :meth:`Tokeniser.to_json`."""
        return {"kind": self.kind}

    def stream(self, documents: Iterable[str]) -> Iterator[Array]:
        """As :meth:`Tokeniser.stream`."""
        for document in documents:
            yield np.frombuffer(utf8(document) + b"\0", dtype=np.uint8)


class BPETokeniser(Tokeniser):
    """Byte-level byte-pair encoding.

    Args:
        merges: Pairs of tokens that become one, in the order in which they are made: the i-th is of tokens made
            before it.

    Raises:
        DataError: They are none.
    """

    kind = "bpe"
    end = 0

    def __init__(self, merges: Sequence[Sequence[int]]) -> None:
        tokens = ["<|end|>", *_alphabet()]
        known = {token: number for number, token in enumerate(tokens)}
        for at, pair in enumerate(merges):
            if len(pair) != 2 or not all(type(one) is int and 0 < one < len(tokens) for one in pair):
                raise DataError(f"merge {at} of the tokeniser is {short(pair)}: expected two earlier tokens")
            merged = tokens[pair[0]] + tokens[pair[1]]
            if len(merged) > _LONGEST:
                raise DataError(f"merge {at} of the tokeniser is longer than {_LONGEST} bytes: train another")
            if merged not in known:  # two ways may lead to one token
                known[merged] = len(tokens)
                tokens.append(merged)
        self.merges = [(int(a), int(b)) for a, b in merges]
        self._size = len(tokens)
        self._model = _byte_level(
            tokenizers.models.BPE(vocab=known, merges=[(tokens[a], tokens[b]) for a, b in self.merges])
        )

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary: int) -> BPETokeniser:
        """The tokeniser of at most so many tokens that the pairs in some texts make."""
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=vocabulary - 1,
            initial_alphabet=list(_alphabet()),
            max_token_length=_LONGEST,
            show_progress=False,
        )
        model = _byte_level(tokenizers.models.BPE())
        model.train_from_iterator((text for text in texts if utf8(text)), trainer)
        found = _merges(model)
        numbers = {token: number for number, token in enumerate(_alphabet(), start=1)}
        merges = []
        for first, second in found:
            merges.append((numbers[first], numbers[second]))
            numbers.setdefault(first + second, len(numbers) + 1)
        return cls(merges)

    @property
    def size(self) -> int:
        """As in :attr:`Tokeniser.size`."""
        return self._size

    def encode(self, text: str) -> list[int]:
        """As :meth:`Tokeniser.encode`."""
        utf8(text)
        return list(self._model.encode(text).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """As :meth:`Tokeniser.decode`: an end is ``<|end|>``, what is no UTF-8 becomes �."""
        return str(self._model.decode(list(ids), skip_special_tokens=False))

    def to_json(self) -> dict[str, Any]:
        """As :meth:`Tokeniser.to_json`."""
        return {"kind": self.kind, "merges": [list(pair) for pair in self.merges]}

    def stream(self, documents: Iterable[str]) -> Iterator[Array]:
        """As :meth:`Tokeniser.stream`."""
        for chunk in _chunks(documents):
            for encoded in self._model.encode_batch_fast(chunk):
                yield np.array([*encoded.ids, self.end], dtype=np.int32)


class WordTokeniser(Tokeniser):
    """Lower-case words between whitespace; others are ``<UNK>``.

    Args:
        words: Those it knows, beside the four special ones.

    Raises:
        DataError: They are none: strings, lower-case, without whitespace, each once.
    """

    kind = "words"
    end = _SPECIAL.index("<EOS>")

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        for at, word in enumerate(self.words):
            if not isinstance(word, str) or word.lower().split() != [word]:
                raise DataError(
                    f"word {at} of the tokeniser is {short(word)}: expected one word in lower case"
                )
        self._tokens = (*_SPECIAL, *self.words)
        self._numbers = {word: number for number, word in enumerate(self.words, start=len(_SPECIAL))}
        if len(self._numbers) < len(self.words):
            raise DataError("a word of the tokeniser is there twice: train another")

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary: int) -> WordTokeniser:
        """The tokeniser of the most frequent words of some texts."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text.lower().split())
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(ranked[: vocabulary - len(_SPECIAL)])

    @property
    def size(self) -> int:
        """As in :attr:`Tokeniser.size`."""
        return len(self._tokens)

    def encode(self, text: str) -> list[int]:
        """As :meth:`Tokeniser.encode`."""
        unknown = _SPECIAL.index("<UNK>")
        return [self._numbers.get(word, unknown) for word in text.lower().split()]

    def decode(self, ids: Sequence[int]) -> str:
        """As :meth:`Tokeniser.decode`: words with a space between them."""
        return " ".join(self._tokens[number] for number in ids)

    def to_json(self) -> dict[str, Any]:
        """As :meth:`Tokeniser.to_json`."""
        return {"kind": self.kind, "words": list(self.words)}


def train_tokeniser(kind: str, texts: Iterable[str], vocabulary: int) -> Tokeniser:
    """Make a tokeniser for some texts.

    Args:
        kind: One of :data:`KINDS`.
        texts: What merges or words are counted in; bytes have no use for it.
        vocabulary: At most so many tokens; fewer where the texts do not hold that many. Bytes are always 256.

    Raises:
        UnknownName: There is no such kind.
        ConfigError: The vocabulary is too small for it.
        DataError: A text holds half a surrogate pair, which is no character.
    """
    vocabulary = check_vocabulary(kind, vocabulary)
    if kind == "bytes":
        return ByteTokeniser()
    return (BPETokeniser if kind == "bpe" else WordTokeniser).train(texts, vocabulary)


def check_vocabulary(kind: str, vocabulary: Any) -> int:
    """The vocabulary, if a tokeniser of this kind can have so many tokens.

    Raises:
        UnknownName: There is no such kind.
        ConfigError: It cannot.
    """
    one_of("tokeniser", kind, KINDS)
    size = whole("vocabulary", vocabulary, 1, _MOST)
    if size < _LEAST[kind]:
        tokens = "all bytes and the end of a document" if kind == "bpe" else "its tokens"
        raise ConfigError(
            f"vocabulary must be at least {_LEAST[kind]} for a tokeniser of {kind}, which has {tokens}, got {size}"
        )
    return size


def tokeniser_from_json(saved: Any) -> Tokeniser:
    """The tokeniser that :meth:`Tokeniser.to_json` described; nothing of a stranger's is believed.

    Raises:
        DataError: It describes none.
    """
    kind = saved.get("kind") if isinstance(saved, dict) else None
    holds = {"bytes": None, "bpe": "merges", "words": "words"}
    if not isinstance(kind, str) or kind not in holds:
        raise DataError(
            f"this is no tokeniser: its kind is {short(kind)}, expected one of {', '.join(KINDS)}"
        )
    name = holds[kind]
    if set(saved) != {"kind", *([name] if name else [])}:
        named = ", ".join(map(str, saved))
        raise DataError(
            f"a tokeniser of {kind} has kind{f' and {name}' if name else ''}, this one has {short(named)}"
        )
    if name is None:
        return ByteTokeniser()
    held = saved[name]
    if not isinstance(held, list) or len(held) > _MOST:
        raise DataError(f"{name} of the tokeniser must be a list of at most {_MOST:,}, got {short(held)}")
    if kind == "words":
        return WordTokeniser(held)
    wrong = [pair for pair in held if not isinstance(pair, list)]
    if wrong:
        raise DataError(f"merges of the tokeniser must be pairs of tokens, got {short(wrong[0])}")
    return BPETokeniser(held)


def utf8(text: str) -> bytes:
    """A text's bytes.

    Raises:
        DataError: It has none, since it holds half a surrogate pair.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as fault:
        raise DataError(
            f"character {fault.start} of a text is {text[fault.start]!r}, half a surrogate pair: clean the text"
        ) from fault


@functools.cache
def _alphabet() -> tuple[str, ...]:
    """The printable characters that stand for the bytes 0 to 255, in their own order."""
    return tuple(sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))


def _byte_level(model: tokenizers.models.BPE) -> tokenizers.Tokenizer:
    found = tokenizers.Tokenizer(model)
    found.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = tokenizers.decoders.ByteLevel()
    return found


def _merges(model: tokenizers.Tokenizer) -> list[tuple[str, str]]:
    """The merges of a trained model, which the library tells in its JSON alone."""
    return [tuple(pair) for pair in json.loads(model.to_str())["model"]["merges"]]


def _chunks(documents: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    characters = 0
    for document in documents:
        utf8(document)
        chunk.append(document)
        characters += len(document)
        if characters >= _CHUNK:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
