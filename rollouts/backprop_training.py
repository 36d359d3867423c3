"""One training through the channel: its updates, what they are worth on held-out slices, its weights and its state."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import torch

from ..envs import make_world
from ..envs.engine.saving import check_fits
from ..envs.errors import ConfigError
from ..envs.messages.world import MessageWorld
from ..policies import make_policy
from ..policies.files import is_path, save, trained
from ..policies.messages.policy import FORMAT, MessagePolicy
from ..policies.messages.speech import Sampled
from .backprop_config import BackpropConfig
from .checkpoints import check_optimiser
from .trained import plain

_EVAL_SEED = 10_000
_WARM_UP = 0.05  # of a training, in which the learning rate rises


class Training:
    """A training that can be saved after any update and taken up again.

    Args:
        config: What to train.

    Raises:
        ConfigError: The scenario's world is none of messages, or its policy not one to train.
    """

    policy: MessagePolicy
    _evaluated: MessagePolicy

    def __init__(self, config: BackpropConfig) -> None:
        self.config = config
        scenario = config.scenario
        policies = [make_policy(scenario.policy, **scenario.policy_kwargs) for _ in range(2)]
        if not all(isinstance(policy, MessagePolicy) for policy in policies):
            raise ConfigError(
                f"{scenario.policy} has no gradient through messages: train {scenario.name} with --algo ppo"
            )
        self.policy, self._evaluated = policies  # type: ignore[assignment]
        self.world = self._world(config.worlds, "stream", autoreset=True)
        self._validation = self._world(config.eval_worlds, "exam", autoreset=False)
        self.policy.bind(self.world)
        self._check_gradients()
        self._evaluated.bind(self._validation)
        self._evaluated.network = self.policy.network
        self.optimiser = torch.optim.Adam(self.policy.parameters(), lr=float(config.settings.learning_rate))
        self.obs = self.world.reset(seed=[config.seed * config.worlds + w for w in range(config.worlds)])
        self.done, self.spent = 0, 0.0

    def _world(self, count: int, split: str, *, autoreset: bool) -> MessageWorld:
        kwargs = {**self.config.scenario.env_kwargs, "split": split}
        made = make_world(
            self.config.scenario.env,
            num_worlds=count,
            device=self.config.device,
            autoreset=autoreset,
            **kwargs,
        )
        if not isinstance(made, MessageWorld):
            raise ConfigError(
                f"{self.config.scenario.name} is no message world: train it with --algo ppo or a2c"
            )
        return made

    def _check_gradients(self) -> None:
        """Raise where no gradient, or none but zero, would reach whoever speaks."""
        if self.world.choices:
            raise ConfigError("choices have no gradient: leave choices out, or train with --algo ppo")
        if isinstance(self.policy.speech, Sampled) and self.world.num_worlds < 2:
            raise ConfigError(
                "estimator=sampled compares worlds with each other: give --worlds 128 and --set slice_size=1, "
                "or --algo reinforce, which does"
            )

    @property
    def progress(self) -> float:
        """Share of the training that is done."""
        config = self.config
        share = self.done / config.updates
        return share if config.cpu_seconds is None else max(share, self.spent / config.cpu_seconds)

    def update(self) -> float:
        """One step of Adam on fresh slices; returns the loss of an agent's last answer."""
        begun = time.process_time()
        settings = self.config.settings
        rate = settings.learning_rate
        if settings.schedule == "cosine":
            rate *= min(1.0, (self.progress + 1e-3) / _WARM_UP)
            rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, self.progress)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.policy.training = True
        self.policy.reset()
        losses = []
        for _ in range(self.world.horizon):
            step = self.world.step(self.policy.act(self.obs))
            losses.append(step.loss)
            self.obs = step.obs
        self.policy.training = False
        counted = losses[-1] if settings.answers == "last" else torch.stack(losses).mean(0)
        costs = counted.sum(-1)  # [W]
        loss = costs.mean() + self.policy.speech.surrogate(costs)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), settings.max_grad_norm)
        self.optimiser.step()
        self.done += 1
        self.spent += time.process_time() - begun
        return float(losses[-1].detach().mean())

    def evaluate(self) -> float:
        """Mean loss of the last answers on validation slices, always the same ones."""
        world, policy = self._validation, self._evaluated
        obs = world.reset(seed=_EVAL_SEED, options={"domain": "eval"})
        policy.reset()
        while not world.ended.all():
            obs = world.step(policy.act(obs)).obs
        return float(world.metrics()["loss"].mean())

    @property
    def timesteps(self) -> int:
        """Agent-steps made."""
        return self.done * self.world.num_worlds * self.world.num_agents * self.world.horizon

    def save_weights(self, path: Path) -> None:
        """Write the weights as a policy that runs."""
        scenario = self.config.scenario
        name, given = scenario.policy, plain(scenario.policy_kwargs)
        if is_path(name) or name in trained():  # trained on from a file: it is what the file said
            name, given = self.policy.about["policy"], self.policy.about["policy_kwargs"]
        policy_kwargs = {**given, **self.policy.settings}
        policy_kwargs.pop("weights", None)  # those it began with; now there are others
        about = {
            "format": FORMAT,
            "policy": name,
            "policy_kwargs": policy_kwargs,
            "env": scenario.env,
            "env_kwargs": plain(scenario.env_kwargs),
            "scenario": scenario.name,
            "algorithm": self.config.algorithm,
            "settings": dataclasses.asdict(self.config.settings),
            "updates": self.done,
            "timesteps": self.timesteps,
            "command": self.config.command,
        }
        save(path, about, self.policy.network.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here."""
        return {
            "network": self.policy.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "world": self.world.state_dict(),
            "done": self.done,
            "spent": self.spent,
        }

    def check(self, saved: Any) -> None:
        """Check that a saved state is one of this training.

        Raises:
            Misfit: It is not; says where.
        """
        check_fits(saved, {**self.state_dict(), "optimiser": ...})
        check_optimiser(saved["optimiser"], self.optimiser)

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self.policy.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.world.load_state_dict(saved["world"])
        self.done, self.spent = saved["done"], saved["spent"]
        self.obs = self.world.obs
