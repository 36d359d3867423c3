"""What the pretended device is to notice, it notices."""

from collections import Counter

import pretended  # before studyhall
import torch


def caught() -> Counter[str]:
    """Nothing; raises where something goes unnoticed."""
    with pretended.there() as looks:
        x = torch.arange(6.0, device=pretended.DEVICE).view(2, 3)
        assert x.device == pretended.DEVICE
        assert torch.equal((x * 2 + torch.tensor(1.0))[1].held, torch.tensor([7.0, 9.0, 11.0]))
        x[:, 0] = torch.zeros(2).to(x.device)
        x.copy_(torch.ones(2, 3))  # from the host to there: nobody waits
        assert not looks
        for look in (
            *(
                lambda: x.sum().item(),
                lambda: bool((x > 0).any()),
                lambda: x.tolist(),
                lambda: x.cpu(),
                lambda: x[x > 0],
            ),
            *(lambda: x.nonzero(), lambda: torch.zeros(2, 3).copy_(x), lambda: torch.equal(x, x)),
        ):
            looks.clear()
            look()
            assert looks, look.__code__.co_firstlineno
        try:
            x + torch.zeros(2, 3)
        except RuntimeError as fault:
            assert "two devices" in str(fault)  # noqa: PT017
        else:
            raise AssertionError("a tensor of the host was taken")
    return Counter()
