"""Who reads the tokens that were paid for and answers: a network that the world trains, or one that is given."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...learners import MLP
from ...learners.modules import ModuleNetwork
from ...learners.networks import Network
from ...learners.plain import Plain
from ..errors import ConfigError, short
from ..hosted.learners import Learners
from ..validation import MOST_STEPS, whole, widths
from .set_network import SetNetwork
from .tokens import Tokens

Given = Callable[[Tensor, Tensor], Tensor]
"""From tokens ``[M, T, P]``, zero where not read, and what was read, bool ``[M, T]``, to logits ``[M, C]``."""

# How a callable fails on what it was not made for.
_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class Reader(ABC):
    """Answers from the tokens that were read; one for each world."""

    @abstractmethod
    def logits(self, tokens: Tensor, read: Tensor) -> Tensor:
        """Logits ``[W, M, C]`` of tokens ``[W, M, T, P]``, of which those in ``read`` (bool ``[W, M, T]``) are seen."""

    def learn(self, tokens: Tensor, read: Tensor, labels: Tensor, moving: Tensor) -> None:
        """Learn from labels ``[W, M]`` (−1: none) in the worlds that are ``moving`` (bool ``[W]``).

        ``read`` must not be what scorers chose: a reader that learns from their choices learns to be told by them.
        """


class TrainedReader(Learners, Reader):
    """A perceptron over all tokens, zero where not read, and over which were: so places and gaps are known.

    Args:
        tokens: The cut.
        classes: C.
        hidden: Widths of the hidden layers.
        optimiser: ``"adam"`` or ``"sgd"``.
        lr: Learning rate.
        steps: Learning steps on each slice.
    """

    takes = "[M, T·(P + 1)]"
    made_with: dict[str, Any] | None = None  # of the class of the network, where it is not layers in a row

    def __init__(
        self, tokens: Tokens, classes: int, *, hidden: Sequence[int], optimiser: str, lr: float, steps: int
    ) -> None:
        network = self._network(tokens, widths("hidden", hidden), classes)
        super().__init__(network, 1, optimiser=optimiser, lr=lr)
        self.steps = whole("learning_steps", steps, 1, MOST_STEPS)

    def _network(self, tokens: Tokens, widths: Sequence[int], classes: int) -> Network:
        """From ``[M, T·(P + 1)]``, tokens and whether each was read, to logits."""
        return MLP((tokens.count * (tokens.width + 1), *widths, classes), dropout=0.0)

    def logits(self, tokens: Tensor, read: Tensor) -> Tensor:  # type: ignore[override]
        """As in :meth:`Reader.logits`."""
        with torch.no_grad():
            return self.population.logits(self._seen(tokens, read))[:, 0]

    def learn(self, tokens: Tensor, read: Tensor, labels: Tensor, moving: Tensor) -> None:
        """As in :meth:`Reader.learn`."""
        seen = self._seen(tokens, read)

        def loss(logits: Tensor) -> Tensor:
            flat = logits[:, 0].mT  # classes before rows
            return F.cross_entropy(flat, labels, ignore_index=-1, reduction="none").mean(-1, keepdim=True)

        for _ in range(self.steps):
            self.population.learn(seen, loss, rate=moving)

    def export(self, world: int, agents: Sequence[str]) -> dict[str, Plain]:
        """The network, ``reader``."""
        x = (
            f"float32 {self.takes}: the P pixels of each token, normalised as `data` says and 0 where it is not read, "
            "then 1 where it is, else 0"
        )
        network = self.population.extract(world, 0)
        return {"reader": Plain(network, {"x": x}, "float32 [M, C]: logits of the classes", self.made_with)}

    def _seen(self, tokens: Tensor, read: Tensor) -> Tensor:
        """What the network is given, ``[W, M, T·(P + 1)]``."""
        seen = torch.cat([tokens * read[..., None], read[..., None].to(tokens.dtype)], dim=-1)
        return seen.flatten(2)


class SetReader(TrainedReader):
    """Reads tokens one by one, all with the same layer, and answers from the mean, blind to their places (Deep Sets).

    Zaheer et al., NeurIPS 2017. The arguments are those of :class:`TrainedReader`; the first of the hidden layers is
    the one that reads, the others follow the mean.
    """

    takes = "[M, T, P + 1]"

    def _network(self, tokens: Tokens, widths: Sequence[int], classes: int) -> Network:
        if not widths:
            raise ConfigError('the "set" reader needs a hidden layer: give hidden=[64] or the like')
        made_with: dict[str, Any] = {"features": tokens.width, "widths": list(widths), "classes": classes}
        self.made_with = made_with
        return ModuleNetwork(lambda: SetNetwork(**made_with), (tokens.count, tokens.width + 1), classes)


class GivenReader(Reader):
    """A reader that is used as it is and never changed.

    Args:
        answer: The reader. Of a module a copy in evaluation mode answers, so the given one keeps its mode and its
            buffers, and training it later changes nothing here. What another callable wraps is up to it.
        tokens: The cut.
        classes: C.
        device: Where it is called.

    Raises:
        ConfigError: It fails on a sample, or gives something else than logits.
    """

    def __init__(self, answer: Given, tokens: Tokens, classes: int, device: torch.device) -> None:
        self.classes = classes
        blank = torch.zeros(1, tokens.count, tokens.width, device=device)  # answers may not need company
        try:
            is_module = isinstance(answer, nn.Module)
            self.answer = copy.deepcopy(answer).to(device).eval() if is_module else answer  # type: ignore[attr-defined]
            self._call(blank, torch.zeros(1, tokens.count, dtype=torch.bool, device=device))
        except ConfigError:
            raise
        except _FAULTS as fault:
            reason = next(iter(str(fault).strip().splitlines()), type(fault).__name__)
            raise ConfigError(
                f"the reader fails on tokens {list(blank.shape)} and a mask {list(blank.shape[:2])}: {reason}"
            ) from fault

    def _call(self, tokens: Tensor, read: Tensor) -> Tensor:
        with torch.no_grad():
            out = self.answer(tokens, read)
        if not isinstance(out, Tensor) or out.shape != (len(tokens), self.classes):
            got = list(out.shape) if isinstance(out, Tensor) else f"a {type(out).__name__}"
            raise ConfigError(
                f"the reader must map tokens {list(tokens.shape)} and a mask {list(read.shape)} to logits "
                f"{[len(tokens), self.classes]}, it gives {got}"
            )
        return out

    def logits(self, tokens: Tensor, read: Tensor) -> Tensor:
        """As in :meth:`Reader.logits`."""
        out = self._call((tokens * read[..., None]).flatten(0, 1), read.flatten(0, 1))
        return out.view(*read.shape[:2], self.classes)


TRAINED = {"mlp": TrainedReader, "set": SetReader}
"""Readers by name."""


def make_reader(
    reader: str | Given, tokens: Tokens, classes: int, device: torch.device, **options: Any
) -> Reader:
    """A reader as a user names it: one of :data:`TRAINED` is trained by the world, a callable is used as it is.

    Raises:
        ConfigError: It is neither, or cannot read here.
    """
    if isinstance(reader, str) and reader in TRAINED:
        return TRAINED[reader](tokens, classes, **options)
    if isinstance(reader, str) or not callable(reader):
        raise ConfigError(
            f'reader must be "mlp" or "set", trained by the world, or a callable (tokens, read) -> logits, '
            f"got {short(reader)}"
        )
    return GivenReader(reader, tokens, classes, device)
