"""Metrics of emergent languages: what discrete messages say about meanings, and whether anyone listens.

A *language* is a table of pairs: messages, integers of shape ``[..., M, L]`` (M messages of L symbols), and the
meanings that they were sent for, integers of shape ``[..., M, K]`` (K attributes). Leading dimensions, such as worlds ×
agents, are languages measured side by side; those of messages and meanings broadcast, so that all agents may share one
table of meanings. Tables are tensors, NumPy arrays or nested lists. Symbols and values are names: any integers will do,
and their order means nothing.

| metric | asks | range | constant messages |
|---|---|---|---|
| :func:`topographic_similarity` | do similar meanings get similar messages? | −1 … 1 | NaN |
| :func:`posdis` | does every position speak of one attribute? | 0 … 1 | NaN |
| :func:`bosdis` | does every symbol speak of one attribute, wherever it stands? | 0 … 1 | NaN |
| :func:`message_entropy` | how many different things are said, in bits? | 0 … log2 M | 0 |
| :func:`causal_influence` | does the listener act upon what it hears, in bits? | 0 … log2 V | 0 |

Only the last one needs a listener: messages can be full of meaning and change nothing (Lowe et al. 2019).

Sources:
    Brighton & Kirby 2006, *Understanding linguistic evolution by visualizing the emergence of topographic mappings*;
    Chaabouni, Kharitonov, Bouchacourt, Dupoux & Baroni 2020, *Compositionality and generalization in emergent
    languages* (ACL); Lowe, Foerster, Boureau, Pineau & Dauphin 2019, *On the pitfalls of measuring emergent
    communication* (AAMAS). Values agree with ``egg.core.language_analysis`` of the EGG toolkit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...envs.errors import ConfigError, unknown

Table = Tensor | np.ndarray[Any, Any] | Sequence[Any]
"""Numbers as a tensor, an array or nested lists; what is computed lies where a tensor lies, else on the CPU."""

_CELLS = 1 << 20  # entries of the largest temporary tensor; a metric holds a few of them at a time


def hamming_distance(a: Table, b: Table) -> Tensor:
    """Number of positions in which two sequences differ.

    Args:
        a: Integers ``[..., L]``.
        b: Integers ``[..., L]``; leading dimensions broadcast with those of ``a``.

    Returns:
        int64 ``[...]``, 0 … L.

    Raises:
        ConfigError: Sequences of different lengths, or shapes that do not fit each other.
    """
    a, b = _sequences("a", a), _sequences("b", b)
    if a.shape[-1] != b.shape[-1]:
        raise ConfigError(
            f"Hamming distance is of sequences of one length, got {a.shape[-1]} and {b.shape[-1]}"
        )
    _shared(a.shape[:-1], b.shape[:-1])
    return (a != b).sum(-1)


def edit_distance(a: Table, b: Table) -> Tensor:
    """Levenshtein distance: the least number of insertions, deletions and substitutions that turn ``a`` into ``b``.

    ``D[i, j] = min(D[i−1, j] + 1, D[i, j−1] + 1, D[i−1, j−1] + [a_i ≠ b_j])`` (Wagner & Fischer 1974). Cells of one
    anti-diagonal ``i + j`` depend on the two before it only, so each is one tensor operation over all pairs.

    Args:
        a: Integers ``[..., L]``.
        b: Integers ``[..., L']``; leading dimensions broadcast with those of ``a``, ``a[:, None]`` and ``b`` give a
            matrix.

    Returns:
        int64 ``[...]``, |L − L'| … max(L, L').

    Raises:
        ConfigError: Shapes that do not fit each other.
    """
    a, b = _sequences("a", a), _sequences("b", b)
    pairs = _shared(a.shape[:-1], b.shape[:-1])
    L, K = a.shape[-1], b.shape[-1]
    # Positions first: a diagonal is then a stretch of memory. Backwards, b runs along a diagonal as a does.
    a = a.expand(*pairs, L).movedim(-1, 0).contiguous()
    b = b.expand(*pairs, K).movedim(-1, 0).flip(0)
    before = last = torch.zeros((L + 1, *pairs), dtype=torch.int32, device=a.device)
    for diagonal in range(1, L + K + 1):
        first, end = max(1, diagonal - K), min(diagonal - 1, L) + 1  # rows i of the inner cells
        cells = torch.full_like(last, diagonal)  # the borders: D[0, j] = j and D[i, 0] = i
        if first < end:
            differ = a[first - 1 : end - 1] != b[K - diagonal + first : K - diagonal + end]
            gap = torch.minimum(last[first - 1 : end - 1], last[first:end]) + 1
            torch.minimum(gap, before[first - 1 : end - 1] + differ, out=cells[first:end])
        before, last = last, cells
    return last[L].long()


_DISTANCES = {"edit": edit_distance, "hamming": hamming_distance}


def topographic_similarity(messages: Table, meanings: Table, distance: str = "edit") -> Tensor:
    """Spearman correlation between the distances of meanings and the distances of messages, over all pairs.

    ``ρ = cov(r, s) / (σ_r σ_s)`` with ``r`` and ``s`` the ranks of the M (M − 1) / 2 distances, equal ones sharing the
    average of their ranks (Brighton & Kirby 2006). Meanings are compared by Hamming distance: over attributes it
    ranks as the cosine distance of their one-hot codes does, which some papers name instead.

    Distances are small integers, so pairs are counted by (distance of meanings, distance of messages) and ranks follow
    from the counts: nothing is held or sorted per pair, and memory does not grow with M².

    Args:
        messages: Integers ``[..., M, L]``.
        meanings: Integers ``[..., M, K]``.
        distance: Of messages: ``"edit"`` (the usual one) or ``"hamming"``.

    Returns:
        float64 ``[...]``, −1 … 1; 1 for a language whose distances are ordered as those of its meanings; NaN where all
        distances of messages or of meanings are equal, for then there is nothing to correlate.

    Raises:
        UnknownName: Another distance.
        ConfigError: Not integers, or shapes that are not a language's.
    """
    if distance not in _DISTANCES:
        raise unknown("distance", distance, _DISTANCES)
    messages, meanings, languages = _language(messages, meanings)
    G, M, L = messages.shape
    K = meanings.shape[-1]
    bins = (K + 1) * (L + 1)
    counts = torch.zeros(G * bins, dtype=torch.int64, device=messages.device)
    offset = torch.arange(G, device=messages.device)[:, None] * bins
    total, step = M * (M - 1) // 2, max(1, _CELLS // (G * max(L, K)))
    for start in range(0, total, step):
        # All pairs once, without a table of them: everyone with the next one round the circle, then with the one after.
        pair = torch.arange(start, min(start + step, total), device=messages.device)
        i = pair % M
        j = (i + pair // M + 1) % M
        far = hamming_distance(meanings[:, i], meanings[:, j]) * (L + 1)
        far += _DISTANCES[distance](messages[:, i], messages[:, j])
        counts += torch.bincount((offset + far).flatten(), minlength=G * bins)
    return _spearman(counts.view(G, K + 1, L + 1).double()).view(languages)


def posdis(messages: Table, meanings: Table) -> Tensor:
    """Positional disentanglement (posdis, Chaabouni et al. 2020): does every position speak of one attribute?

    ``posdis = mean_j [I(s_j; a¹_j) − I(s_j; a²_j)] / H(s_j)``, over positions j that vary: ``s_j`` is the symbol there,
    ``a¹_j`` and ``a²_j`` are the attributes with the highest and the second highest mutual information with it.
    Probabilities are frequencies in the table, so a sample that does not hold all meanings scores below 1 even for a
    perfect language.

    Args:
        messages: Integers ``[..., M, L]``.
        meanings: Integers ``[..., M, K]``, K ≥ 2.

    Returns:
        float64 ``[...]``, 0 … 1; NaN where no position varies.

    Raises:
        ConfigError: Not integers, shapes that are not a language's, or fewer than two attributes.
    """
    messages, meanings, languages = _language(messages, meanings)
    return _disentanglement(messages, meanings).view(languages)


def bosdis(messages: Table, meanings: Table, padding: int | None = None) -> Tensor:
    """Bag-of-symbols disentanglement (bosdis, Chaabouni et al. 2020): does every symbol speak of one attribute?

    ``bosdis = mean_v [I(n_v; a¹_v) − I(n_v; a²_v)] / H(n_v)``, over symbols v whose count ``n_v`` varies from message
    to message; otherwise as :func:`posdis`. High where order carries nothing.

    Args:
        messages: Integers ``[..., M, L]``.
        meanings: Integers ``[..., M, K]``, K ≥ 2.
        padding: A symbol that is not counted, such as the mark of a message's end (0 in EGG).

    Returns:
        float64 ``[...]``, 0 … 1; NaN where no count varies.

    Raises:
        ConfigError: Not integers, shapes that are not a language's, or fewer than two attributes.
    """
    messages, meanings, languages = _language(messages, meanings)
    symbols, dense = torch.unique(messages, return_inverse=True)
    counts = dense.new_zeros(*messages.shape[:2], len(symbols))
    counts.scatter_add_(-1, dense, torch.ones_like(dense))
    if padding is not None:
        counts = counts[..., symbols != padding]
    return _disentanglement(counts, meanings).view(languages)


def message_entropy(messages: Table) -> Tensor:
    """Entropy of whole messages in bits: ``H(m) = −Σ_m p(m) log2 p(m)``, with frequencies for probabilities.

    Args:
        messages: Integers ``[..., M, L]``.

    Returns:
        float64 ``[...]``, 0 (all messages equal) … log2 M (all different).

    Raises:
        ConfigError: Not integers, or not of that shape.
    """
    messages = _check("messages", "L", messages)
    _, code = torch.unique(messages.flatten(0, -2), dim=0, return_inverse=True)
    return _entropy(code.view(messages.shape[:-1]))


def causal_influence(listener: Table, speaker: Table | None = None) -> Tensor:
    """Causal influence of communication (one-step CIC, Lowe et al. 2019) in one situation, in bits.

    ``CIC = Σ_m p(m) Σ_a p(a | do(m)) log2 [p(a | do(m)) / p(a)]`` with ``p(a) = Σ_m p(m) p(a | do(m))``: the mutual
    information of what is heard and what is done when messages are *put* into the channel, everything else held fixed.
    The paper's figure is the mean over situations (its games): ``causal_influence(…).mean(-1)``. Its program counts in
    nats and divides ``p(a)`` by V, which adds ``log V`` to every value; here a deaf listener has 0.

    Args:
        listener: Distributions over A actions (classes, …) under each of V intervened messages, ``[..., V, A]``.
        speaker: How probable each of these messages is from the speaker in this situation, ``[..., V]``, leading
            dimensions broadcast; without it they count alike, which asks what the listener *would* act upon.

    Returns:
        float64 ``[...]``, 0 (the listener does the same whatever it hears) … min(H(m), log2 A).

    Raises:
        ConfigError: Not distributions, or shapes that do not fit each other.
    """
    listener = _tensor("listener", listener)
    if listener.ndim < 2:
        raise ConfigError(f"listener's distributions have shape [..., V, A], got {list(listener.shape)}")
    V = listener.shape[-2]
    if speaker is None:
        speaker = torch.full((V,), 1 / V, dtype=torch.float64, device=listener.device)
    speaker = _tensor("speaker", speaker)
    if speaker.ndim < 1 or speaker.shape[-1] != V:
        raise ConfigError(f"speaker's distribution has shape [..., {V}], got {list(speaker.shape)}")
    _shared(listener.shape[:-2], speaker.shape[:-1])
    for name, p in (("listener", listener), ("speaker", speaker)):
        if not ((p >= 0).all() and ((p.double().sum(-1) - 1).abs() < 1e-3).all()):
            raise ConfigError(
                f"{name}: not distributions, these are ≥ 0 and sum to 1 over the last dimension"
            )
    p = _normalised(listener)
    weight = _normalised(speaker)[..., None]
    mean = (weight * p).sum(-2)
    influence = torch.special.entr(mean).sum(-1) - (weight * torch.special.entr(p)).sum((-1, -2))
    return influence.clamp(min=0) / math.log(2)  # rounding can leave a deaf listener at −1e-17


def _disentanglement(parts: Tensor, meanings: Tensor) -> Tensor:
    """Mean over varying parts of (highest − second highest information on an attribute) / entropy: ``[G]``.

    Args:
        parts: What may carry an attribute, integers ``[G, M, J]``: symbols by position, or counts by symbol.
        meanings: Integers ``[G, M, K]``.
    """
    G, M, K = meanings.shape
    if K < 2:
        raise ConfigError("disentanglement compares attributes: meanings need two or more, [..., M, K ≥ 2]")
    values, dense = torch.unique(meanings, return_inverse=True)
    attributes = dense.transpose(1, 2)  # [G, K, M]
    parts = torch.unique(parts, return_inverse=True)[1].transpose(1, 2)  # [G, J, M]
    about = _entropy(attributes)
    scores, varies = [], []
    for block in parts.split(max(1, _CELLS // (G * K * M)), dim=1):
        own = _entropy(block)
        joint = _entropy(block[:, :, None] * len(values) + attributes[:, None])  # [G, block, K]
        best = (own[..., None] + about[:, None] - joint).topk(2, dim=-1).values
        scores.append((best[..., 0] - best[..., 1]) / own)
        varies.append(own > 0)
    score, vary = torch.cat(scores, 1), torch.cat(varies, 1)
    return torch.where(vary, score, 0).sum(1) / vary.sum(1)


def _entropy(codes: Tensor) -> Tensor:
    """Entropy in bits of the frequencies of integers along the last dimension: ``[..., M]`` → ``[...]``.

    The mean over elements of log2(M / how often the element occurs); exactly 0 for a constant.
    """
    codes = codes.contiguous()
    order = codes.sort(-1).values
    times = torch.searchsorted(order, codes, right=True) - torch.searchsorted(order, codes)
    return (codes.shape[-1] / times.double()).log2().mean(-1)


def _spearman(counts: Tensor) -> Tensor:
    """Spearman's ρ of two ordinal variables from the table of how often they meet: ``[G, R, C]`` → ``[G]``."""
    rows, columns = counts.sum(2), counts.sum(1)
    r, s = _ranks(rows), _ranks(columns)
    together = torch.einsum("grc,gr,gc->g", counts, r, s)
    return together / ((rows * r**2).sum(1) * (columns * s**2).sum(1)).sqrt()


def _ranks(counts: Tensor) -> Tensor:
    """Average rank of each value from how often it occurs, relative to the mean rank, as a share of all: ``[G, R]``."""
    total = counts.sum(1, keepdim=True)
    return (counts.cumsum(1) - counts / 2 - total / 2) / total


def _normalised(p: Tensor) -> Tensor:
    """Distributions in double precision, summing to 1 as closely as it can."""
    p = p.double()
    return p / p.sum(-1, keepdim=True)


def _language(messages: Table, meanings: Table) -> tuple[Tensor, Tensor, torch.Size]:
    """Checked tables with leading dimensions made one, ``[G, M, L]`` and ``[G, M, K]``, and what these were."""
    messages, meanings = _check("messages", "L", messages), _check("meanings", "K", meanings)
    (M, L), (rows, K) = messages.shape[-2:], meanings.shape[-2:]
    if rows != M:
        raise ConfigError(f"every message has one meaning: got {M} messages and {rows} meanings")
    lead = _shared(messages.shape[:-2], meanings.shape[:-2])
    return (
        messages.expand(*lead, M, L).reshape(-1, M, L),
        meanings.expand(*lead, M, K).reshape(-1, M, K),
        lead,
    )


def _tensor(name: str, table: Table) -> Tensor:
    """Any table of numbers as a tensor; ConfigError of anything else."""
    try:
        return table if isinstance(table, Tensor) else torch.from_numpy(np.array(table))
    except (TypeError, ValueError, RuntimeError) as fault:  # ragged lists, text, objects
        raise ConfigError(
            f"{name}: give a tensor, an array or lists of equal length, all of numbers"
        ) from fault


def _sequences(name: str, table: Table) -> Tensor:
    """Sequences as a tensor of one dimension or more."""
    found = _tensor(name, table)
    if not found.ndim:
        raise ConfigError(f"{name}: give sequences, [..., L], got a single number")
    return found


def _check(name: str, width: str, table: Table) -> Tensor:
    """The table as a tensor; ConfigError unless it is one of integers that is not empty."""
    found = _tensor(name, table)
    if found.ndim < 2 or not found.numel():
        raise ConfigError(f"{name} have shape [..., M, {width}] and are not empty, got {list(found.shape)}")
    if found.is_floating_point() or found.is_complex():
        raise ConfigError(f"{name} are integers (symbols by number), got {found.dtype}")
    return found


def _shared(a: torch.Size, b: torch.Size) -> torch.Size:
    """The shape that two shapes broadcast to, or ConfigError."""
    try:
        return torch.broadcast_shapes(a, b)
    except RuntimeError:
        raise ConfigError(f"leading dimensions do not fit each other: {list(a)} and {list(b)}") from None
