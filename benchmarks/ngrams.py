"""Counts of tokens as language models: what a network has to beat.

Interpolated by the number of different continuations of a context, after Witten & Bell (IEEE Trans. Inf. Theory 37,
1991): p(b | a) = (c(ab) + t(a)·p(b)) / (c(a) + t(a)), with t(a) kinds of tokens seen after a; likewise of two tokens.
The unigram's tokens are counted with one more of each.
"""

import numpy as np

from studyhall.envs.streams.tokens import TokenDataset


def nats(dataset: TokenDataset, windows: np.ndarray, domain: int = 0) -> dict[str, float]:
    """Nats of a token, of counts of one domain's stream, on windows ``[M, T + 1]`` of which the first token is given.

    A trigram at the second token of a window has one token to go by, and is a bigram there, as a network is.
    """
    size = dataset.tokeniser.size
    split = dataset.stream
    first = int(split.offsets[domain])
    own = split.x[first : first + int(split.counts[domain])].numpy().astype(np.int64)
    read = np.concatenate(
        [own[:, :-1].reshape(-1), own[-1, -1:]]
    )  # windows follow each other, one token shared
    windows = windows.astype(np.int64)
    before, target = windows[:, :-1], windows[:, 1:]
    unigram = (np.bincount(read, minlength=size) + 1) / (len(read) + size)
    low = unigram[target]
    pairs = _Counts(read[:-1] * size + read[1:], size)
    middle = pairs.interpolated(before * size + target, low)
    triples = _Counts((read[:-2] * size + read[1:-1]) * size + read[2:], size)
    keys = (before[:, :-1] * size + before[:, 1:]) * size + target[:, 1:]
    high = np.concatenate([middle[:, :1], triples.interpolated(keys, middle[:, 1:])], axis=1)
    return {
        name: float(-np.log(p).mean())
        for name, p in (("unigram", low), ("bigram", middle), ("trigram", high))
    }


class _Counts:
    """How often whole numbers came, each a context times ``size`` plus a token."""

    def __init__(self, keys: np.ndarray, size: int) -> None:
        self.size = size
        self.keys, self.counts = np.unique(keys, return_counts=True)
        self.contexts, place = np.unique(self.keys // size, return_inverse=True)
        self.totals = np.bincount(place, weights=self.counts)
        self.kinds = np.bincount(place)

    def interpolated(self, keys: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """Probabilities of tokens after contexts, from those after shorter ones."""
        count = _looked_up(self.keys, self.counts, keys)
        total = _looked_up(self.contexts, self.totals, keys // self.size)
        kinds = _looked_up(self.contexts, self.kinds, keys // self.size)
        return np.where(total > 0, (count + kinds * lower) / np.maximum(total + kinds, 1), lower)


def _looked_up(known: np.ndarray, values: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Values of keys in a sorted array, 0 of those that are not there."""
    place = np.searchsorted(known, keys).clip(max=len(known) - 1)
    return np.where(known[place] == keys, values[place], 0)
