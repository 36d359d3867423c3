"""Experts who go on to the others' classes with labels told, by themselves: three ways to forget one's own.

In the first stage of an episode everyone learns its own classes. In the second it learns from the rows of public slices
that are of other classes and whose label is told (``public_labels`` of the world), and from nothing of its own:

* *fine-tuning* by cross-entropy alone;
* *learning without forgetting* (Li & Hoiem, TPAMI 2018) also keeps to what the expert, as it was, says on those rows of
  its own classes: ``T²·mean over rows KL(expert ‖ own)``, both distributions over these classes only, which are the old
  task's outputs;
* *elastic weight consolidation* (Kirkpatrick et al., PNAS 2017) also holds parameters θ where they were, θ*, as far as
  they matter for one's own classes: ``λ/2·Σ_i F_i·(θ_i − θ*_i)²``.

Nobody says anything. Batch norm sees whole slices, and so, unlabelled, samples of one's own classes too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...envs.engine import TensorDict, World
from ...envs.errors import ConfigError
from ...envs.validation import real, whole
from ...learners import softmax
from ...learners.lesson import label_loss, none
from ...learners.optimiser import along
from ...learners.population import Adjust, Gradients, Loss, load
from ..policy import MadeInReset
from .networks import Learners
from .pupils import distillation
from .two_stages import TwoStages

_NEVER = -1e9  # a logit of classes that are left out: no softmax shows them, and 0 times it is 0


class FineTuning(TwoStages):
    """Fine-tuning; see this module.

    :meth:`logits` have the names "expert", what each was before it went on, and "tuned", what it became.

    Args:
        learners: See :data:`~studyhall.policies.socialized.networks.Learners`.
        width: Of "conv3".
        shares: Of the episode, of the first stage.
        lr: Learning rate.
        weight_decay: Of everyone.
        flip: Whether learners see pictures turned left to right half of the time.

    Raises:
        ConfigError: An argument is out of range.
    """

    main = "tuned"

    def __init__(
        self,
        *,
        learners: Learners = "conv3",
        width: int = 8,
        shares: Sequence[float] = (0.35,),
        lr: float = 0.01,
        weight_decay: float = 5e-3,
        flip: bool = False,
    ) -> None:
        super().__init__(
            learners=learners, width=width, shares=shares, lr=lr, weight_decay=weight_decay, flip=flip
        )

    def bind(self, world: World) -> None:
        """As of every :class:`~studyhall.policies.socialized.base.Socialized`.

        Raises:
            ConfigError: No labels of public rows are told there.
        """
        super().bind(world)
        if not world.public_labels:  # type: ignore[attr-defined]
            raise ConfigError(
                f"{type(self).__name__} goes on to the others' classes by labels of public rows, and here none are "
                "told: make the world with public_labels=1.0, or any share above 0"
            )

    def go_on(self, obs: TensorDict, rates: Tensor) -> None:
        """Labels that are told of the others' classes."""
        told = obs["fb_public_labels"]
        own = self.own_classes.gather(2, told.clamp_min(0))
        labels = torch.where(own, -1, told)
        rates = rates * (labels >= 0).any(-1)
        if not none(rates > 0):
            x = self.seen(obs["fb_public"], "public")
            self.experts.learn(x, self.loss(x, labels), rate=rates, adjust=self.hold())

    def loss(self, x: Tensor, labels: Tensor) -> Loss:
        """The loss on logits of samples ``[W, N, B, D]``, of labels ``[W, N, B]``, −1 where there is none to learn."""
        return lambda logits: label_loss(logits, labels)

    def hold(self) -> Adjust | None:
        """What parameters lose by themselves, as a change of their gradients."""
        return None


class LwF(FineTuning):
    """Learning without forgetting; see this module.

    Args:
        temperature: T of distillation.
        distill: Weight of distillation.
        options: As of :class:`FineTuning`.
    """

    def __init__(self, *, temperature: float = 2.0, distill: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.temperature, self.distill = real("temperature", temperature, 0), real("distill", distill, 0)
        if not self.temperature:
            raise ConfigError("temperature must be above 0, got 0")

    def loss(self, x: Tensor, labels: Tensor) -> Loss:
        """Labels, and what the expert said there of its own classes."""
        foreign = self.own_classes.logical_not()[:, :, None]  # [W, N, 1, C]
        rows = (labels >= 0).float()
        rows = rows * (
            rows.shape[-1] / rows.sum(-1, keepdim=True).clamp_min(1)
        )  # their mean, not that of all
        said = self.before.logits(x).masked_fill(foreign, _NEVER)
        targets = softmax(said / self.temperature) * rows[..., None]

        def loss(logits: Tensor) -> Tensor:
            own = logits.masked_fill(foreign, _NEVER)
            return label_loss(logits, labels) + self.distill * distillation(own, targets, self.temperature)

        return loss


class EWC(FineTuning):
    """Elastic weight consolidation; see this module.

    F, the diagonal of the Fisher information, comes from the gradients ḡ of the first stage's own steps, each the mean
    over the B labelled rows of a slice: it is the mean over about the last ``memory`` steps of ``B·ḡ²``. The mean
    gradient being near 0 at the end, that estimates the mean of the squared gradients of single samples'
    log-likelihoods, with labels as they are; with batch norm, as in training.

    Args:
        strength: λ. Where it comes to more, ``λ·F`` counts as ``1/lr``, at which a step brings a parameter all the
            way back: beyond, steps of gradient descent would go past θ* and farther each time.
        memory: Steps over which F is a mean: of so many the plain one, from then on with exponential weights.
        options: As of :class:`FineTuning`.
    """

    fisher = MadeInReset[list[Tensor]]()

    def __init__(self, *, strength: float = 3000.0, memory: int = 50, **options: Any) -> None:
        super().__init__(**options)
        self.strength, self.memory = real("strength", strength, 0), whole("memory", memory, 1)

    def reset(self, mask: Tensor | None = None) -> None:
        """Fresh experts in the worlds of ``mask``, to whom nothing matters yet."""
        super().reset(mask)
        if mask is None:
            self.fisher = [torch.zeros_like(stack) for stack in self.experts.parameters]
        else:
            anew = mask.repeat_interleave(self.world.num_agents)
            for stack in self.fisher:
                stack.masked_fill_(along(anew, stack), 0.0)

    def learn_own(self, obs: TensorDict, rates: Tensor, adjust: Adjust | None = None) -> None:
        """One step on labels, whose gradients are taken note of."""
        rows = (obs["fb_labels"] >= 0).sum(-1).flatten()
        learns = (rates > 0).flatten() & (rows > 0)
        share = 1 / (self.experts.steps.flatten() + 1).clamp(max=self.memory)

        def note(learners: slice, gradients: Gradients) -> Gradients:
            for stack, gradient in zip(self.fisher, gradients, strict=True):
                if gradient is None:
                    continue
                kept = stack[learners]
                found = along(rows[learners], kept) * gradient.square()
                moved = kept + along(share[learners], kept) * (found - kept)
                kept.copy_(torch.where(along(learns[learners], kept), moved, kept))
            return gradients

        super().learn_own(obs, rates, note)

    def hold(self) -> Adjust:
        """The penalty's gradient, ``λ·F·(θ − θ*)``."""
        most = 1 / self.lr

        def hold(learners: slice, gradients: Gradients) -> Gradients:
            stacks = zip(self.fisher, self.experts.parameters, self.before.parameters, gradients, strict=True)
            return [
                gradient
                if gradient is None
                else gradient
                + (self.strength * fisher[learners]).clamp(max=most) * (now[learners] - then[learners])
                for fisher, now, then, gradient in stacks
            ]

        return hold

    def state_dict(self) -> dict[str, Any]:
        """Networks, what was told, and what matters."""
        return super().state_dict() | {
            "fisher": {name: stack.clone() for name, stack in self._named().items()}
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        super().load_state_dict(saved)
        load(self._named(), saved["fisher"])

    def _named(self) -> dict[str, Tensor]:
        return dict(zip(self.experts.network.shapes, self.fisher, strict=True))
