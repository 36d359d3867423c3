"""Collectives that act in ``collective-v0``: a panel of specialists answers, bids, and learns from its labels.

One policy stands for all specialists of a world, as the documented systems do: they are trained as one network, each
specialist by what reaches it (:mod:`~studyhall.policies.collective.panels`). What they hear of each other they never
use: channel modes change nothing of what they learn or answer, and are no controls here. What a collective is compared
with is its own best member, and the same specialists under other weights.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...envs.engine import TensorDict, World, rng
from ...envs.errors import ConfigError, one_of, unknown_argument
from ...envs.mixing import Mixing
from ...envs.validation import whole, widths
from ...learners import make_optimiser
from ...learners.lesson import none
from ...learners.plain import Plain
from ..copies import Copies
from ..policy import MadeInReset, Policy
from . import aggregation
from .panels import AS_PUBLISHED, PANELS, AnyPanel

_PREDICT_ROWS = 2000  # rows of a test set evaluated at once


class Specialists(Policy):
    """W panels in one tensor program.

    Args:
        system: One of :data:`~studyhall.policies.collective.panels.PANELS`.
        hidden: Widths of the specialists' hidden layers.
        optimiser: "adam" or "sgd".
        lr: Learning rate.
        preset: "as_published": what its document does, quirks and all, where a panel has
            :data:`~studyhall.policies.collective.panels.AS_PUBLISHED` options.
        **options: Arguments of the panel; they win over the preset.
    """

    copies = MadeInReset[Copies]()

    def __init__(
        self,
        system: str = "ensemble",
        *,
        hidden: Sequence[int] = (128, 64),
        optimiser: str = "adam",
        lr: float = 1e-3,
        preset: str | None = None,
        **options: Any,
    ) -> None:
        one_of("collective", system, PANELS)
        self.system, self.hidden = system, widths("hidden", hidden)
        self.make_optimiser = make_optimiser(optimiser, lr=lr)
        allowed = set(inspect.signature(PANELS[system]).parameters) - {"specialists", "sizes", "key"}
        for name in options:
            if name not in allowed:
                raise unknown_argument(
                    f"policy {system}", name, {*allowed, "hidden", "optimiser", "lr", "preset"}
                )
        if preset is not None:
            options = {**_preset(system, preset), **options}
        self.options = options
        if "k" in options:  # whether there are so many is for :meth:`bind` to see
            whole("k", options["k"], 1)
        if weighting := self._least(1, **({"k": 1} if "k" in allowed else {})).weighting:
            self.world_kwargs = {"weighting": weighting}

    def bind(self, world: World) -> None:
        """Read the sizes off the world's spaces; networks come with :meth:`reset`.

        Raises:
            ConfigError: A world in which this collective cannot act, or would act otherwise than it says.
        """
        super().bind(world)
        if "answers_bids" not in world.action_space.spaces or "soft_targets" not in world.action_space.spaces:
            raise ConfigError(
                f"policy {self.system} brings specialists that answer and bid: use it in collective-v0, without "
                "learners=… (for learners that the world hosts there are bidders: confident_bids, collective-bids)"
            )
        mixing: Mixing = world.mixing  # type: ignore[attr-defined]
        self.require(weighting=mixing.weighting)
        consulted = self._least(world.num_agents).consults
        if mixing.weighting == "top_k" and mixing.k < consulted:
            raise ConfigError(
                f"policy {self.system} consults {consulted} specialists on a sample, of whom this world hears "
                f"{mixing.k}: make the world with k={consulted}"
            )
        self._private = "public" in world.observation_space.spaces
        self._own_views: bool = world.own_views  # type: ignore[attr-defined]
        views = PANELS[self.system].views
        if (self._own_views and views == "shared") or (self._private and views == "aligned"):
            raise ConfigError(
                f"policy {self.system} compares specialists on the same samples: use share='shared'"
            )
        width = math.prod((world.observation_space["slice"].shape or ())[1:])
        self._answers_shape = world.action_space["answers"].shape or ()
        self._sizes = (width, *self.hidden, self._answers_shape[-1])

    def reset(self, mask: Tensor | None = None) -> None:
        """Fresh networks in the worlds of ``mask``."""
        if mask is None:
            self.copies = Copies(self._make, self.world.keys, self.make_optimiser, members="specialists")
        else:
            self.copies.reset(mask, self.world.keys)

    def _least(self, specialists: int, **options: Any) -> AnyPanel:
        """A panel of the least widths, for what its options ask of a world, and its complaints about them."""
        key = torch.zeros(1, dtype=torch.int64)
        return PANELS[self.system](specialists, (1, 1), key=key, **{**self.options, **options})

    def _make(self, keys: Tensor) -> nn.Module:
        """A fresh panel for each key."""
        return PANELS[self.system](self.world.num_agents, self._sizes, key=keys, **self.options)

    # ---- acting and learning ------------------------------------------------------------------------

    def act(self, obs: TensorDict) -> TensorDict:
        """Learn from the feedback, then answer and bid."""
        with torch.inference_mode(False), torch.no_grad():
            self._learn(obs, torch.ones_like(obs["present"][:, 0, 0], dtype=torch.bool))
            targets, bids = self._opinions(obs["public" if self._private else "slice"])
            if none(obs["exam_now"]):
                w, n = obs["present"].shape[:2]
                blank = torch.zeros(1, device=bids.device)
                answers = blank.expand(w, n, *self._answers_shape)
                exam_bids = blank.expand(answers.shape[:-1])
            else:
                answers, exam_bids = self._opinions(obs["exam"])
        return {"soft_targets": targets, "bids": bids, "answers": answers, "answers_bids": exam_bids}

    def end(self, final_obs: TensorDict, mask: Tensor) -> None:
        """Learn from the last feedback of an episode."""
        with torch.inference_mode(False), torch.no_grad():
            self._learn(final_obs, mask)

    def _learn(self, obs: TensorDict, worlds: Tensor) -> None:
        """One step in ``worlds`` (bool ``[W]``) for every specialist who was told labels."""
        copies, labels = self.copies, obs["fb_labels"].clone()
        told = (labels >= 0).any(-1) & worlds[:, None]
        if none(told):
            return
        # What a specialist was not told (it was away) its neighbours were: the same slice has the same labels.
        known = labels if self._private else labels.amax(1, keepdim=True).expand_as(labels)
        key = rng.fold(self.world.keys ^ rng.purpose_id("policy/noise"), self.world.steps)
        seen = self._seen(obs["fb_slice"])
        copies.learn(lambda panel: panel.loss(seen, known, key), told)  # type: ignore[operator]

    def _seen(self, x: Tensor) -> Tensor:
        """Inputs ``[W, N, R, D…]`` as panels take them, flat: ``[W, R, D]`` where all see the same."""
        x = x if self._own_views else x[:, 0]
        return x.flatten(x.dim() - self._input_dims()).clone()  # a copy: also of what inference mode made

    def _opinions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Answers ``[W, N, R, C]`` and bids ``[W, N, R]`` for inputs ``[W, N, R, D…]``."""
        return self.copies.module.opinions(self._seen(x))  # type: ignore[operator]

    def _input_dims(self) -> int:
        return len(self.world.observation_space["slice"].shape or ()) - 1

    # ---- reports and saving -------------------------------------------------------------------------

    def predict(self, x: Tensor, *, dropout: int | None = None) -> Tensor | None:
        """Class distributions ``[W, N, M, C]`` of the specialists, who have no dropout; see :meth:`Policy.predict`."""
        return self._whole(x)[0] if dropout is None else None

    def collective_predict(self, x: Tensor) -> Tensor:
        """Class distributions ``[W, M, C]`` of the collective, under its own bids and the world's weighting."""
        mixing = self.world.mixing  # type: ignore[attr-defined]
        answers, bids = self._whole(x)
        return mixing.mix(mixing.weights(bids), answers)

    def uncertainty(self, x: Tensor) -> Tensor:
        """Variance of the specialists' probabilities, averaged over classes, ``[W, M]``, for inputs ``[M, D…]``."""
        return aggregation.variance(self._whole(x)[0])

    def _whole(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Answers and bids for inputs ``[M, D…]``, some at a time."""
        w, n = self.world.num_worlds, self.world.num_agents
        parts = self.world.views  # type: ignore[attr-defined]
        said = []
        with torch.no_grad():
            for rows in x.split(_PREDICT_ROWS):
                shown = rows if parts is None else rows * parts
                said.append(self._opinions(shown.expand(w, n, *rows.shape)))
        answers, bids = zip(*said, strict=True)
        return torch.cat(answers, dim=2), torch.cat(bids, dim=2)

    def export(self, world: int) -> dict[str, Plain]:
        """The collective as one module, ``collective``."""
        panel: AnyPanel = self.copies.module  # type: ignore[assignment]
        module, made_with = panel.alone(world)
        n, width, classes = self.world.num_agents, self._sizes[0], self._sizes[-1]
        takes = {"x": f"float32 [M, {width}]: samples, scaled and normalised as `data` says, flat"}
        if self._own_views:
            takes = {"x": f"float32 [{n}, M, {width}]: likewise, as each specialist sees them"}
        gives = f"float32 [{n}, M, {classes}]: answers, and [{n}, M]: bids"
        mixing: Mixing = self.world.mixing  # type: ignore[attr-defined]
        return {"collective": Plain(module, takes, gives, made_with, facts={"weighting": mixing.weighting})}

    def state_dict(self) -> dict[str, Any]:
        """Networks and optimisers."""
        return {"specialists": self.copies.state_dict()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        super().load_state_dict(saved)
        self.copies.load_state_dict(saved["specialists"])


def _preset(system: str, name: str) -> Mapping[str, Any]:
    """What a preset says of a panel."""
    one_of("preset of a collective", name, ("as_published",))
    if system not in AS_PUBLISHED:
        raise ConfigError(
            f"policy {system} does what its document does without a preset (these differ: "
            f"{', '.join(AS_PUBLISHED)}): leave out preset"
        )
    return AS_PUBLISHED[system]
