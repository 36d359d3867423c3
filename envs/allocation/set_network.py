"""A network that reads tokens as a set, as an ordinary module, to be taken anywhere."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class SetNetwork(nn.Module):
    """What is read of each token by one layer, the mean of it, and an answer from that (Zaheer et al., NeurIPS 2017).

    Args:
        features: P, numbers of a token.
        widths: Of the layer that reads, and of the hidden layers behind the mean.
        classes: C.
    """

    def __init__(self, features: int, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.read = nn.Linear(features, widths[0])
        layers: list[nn.Module] = []
        for wide, out in zip(widths, (*widths[1:], classes), strict=True):
            layers += [nn.Linear(wide, out), nn.ReLU()]
        self.answer = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[M, C]`` of ``[M, T, P + 1]``, the last number of a token telling whether it was read."""
        tokens, read = x[..., :-1], x[..., -1:]
        seen = (self.read(tokens).relu() * read).sum(-2) / read.sum(-2).clamp_min(1)
        return self.answer(seen)
