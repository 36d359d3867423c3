"""PPO in one file, in the style of CleanRL: the agents of a society learn whom to listen to.

The world trains W·N networks; the policy, shared by all agents, gives every source a weight. From the world to
the update everything is a tensor on one device: no environment is wrapped, and nothing is copied to the host.
"""

import argparse
import time

import torch
from torch import Tensor, nn

from studyhall import make_world

WORLD = {"learners": "mlp", "hidden": (64, 64), "dropout": 0.0, "lr": 3e-3, "temperature": 1.0}
GAMMA, LAMBDA = 0.95, 0.9  # a short view: progress follows soon upon what was learnt
ROLLOUT, EPOCHS, MINIBATCHES, CLIP, LR = 50, 4, 4, 0.2, 1e-3  # the rate falls to 0


class Agent(nn.Module):
    """Encodes the sources one by one, and scores each beside the average of those heard."""

    def __init__(self, features: int, own: int, width: int = 64) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(features + own, width), nn.Tanh())
        self.score = nn.Sequential(nn.Linear(2 * width, width), nn.Tanh(), nn.Linear(width, 1))
        self.judge = nn.Sequential(nn.Linear(width + own, width), nn.Tanh(), nn.Linear(width, 1))
        nn.init.orthogonal_(self.score[-1].weight, 0.01)
        nn.init.constant_(self.score[-1].bias, 0.5)  # at first everyone is listened to alike
        self.log_std = nn.Parameter(torch.tensor(-0.7))

    def forward(self, obs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Weights of the sources ``[…, S]``, and the value ``[…]``."""
        sources, heard = obs["sources"], obs["sources_mask"].float()[..., None]
        own = torch.cat([obs["own_features"], obs["report"], obs["elapsed"]], dim=-1)
        beside = own[..., None, :].expand(*sources.shape[:-1], -1)
        encoded = self.encode(torch.cat([sources, beside], dim=-1))
        average = (encoded * heard).sum(-2) / heard.sum(-2).clamp_min(1)
        beside = average[..., None, :].expand_as(encoded)
        weights = self.score(torch.cat([encoded, beside], dim=-1))[..., 0]
        return weights, self.judge(torch.cat([average, own], dim=-1))[..., 0]

    def log_prob(self, mean: Tensor, action: Tensor, heard: Tensor) -> Tensor:
        """Log probability ``[…]``; a weight on a source that was not heard has no effect and does not count."""
        return (torch.distributions.Normal(mean, self.log_std.exp()).log_prob(action) * heard).sum(-1)


@torch.no_grad()
def honest_accuracy(weights, worlds: int, horizon: int) -> float:
    """Test accuracy of the honest learners at the end of episodes that training never saw."""
    world = make_world("society-v0", num_worlds=worlds, horizon=horizon, autoreset=False, **WORLD)
    obs = world.reset(seed=0, options={"domain": "eval"})
    for _ in range(horizon):
        obs = world.step({"listen": weights(obs)}).obs
    test = world.dataset.test
    right = world.predict(world.dataset.inputs("test", torch.arange(len(test)))).argmax(-1) == test.y
    return float(right.float().mean(-1)[~world.privileged()["liar"]].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=160_000, help="of all agents together")
    parser.add_argument("--worlds", type=int, default=32)
    parser.add_argument("--horizon", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)  # small networks run fastest so
    torch.manual_seed(args.seed)
    world = make_world("society-v0", num_worlds=args.worlds, horizon=args.horizon, **WORLD)
    own = sum(world.observation_space[key].shape[0] for key in ("own_features", "report", "elapsed"))
    agent = Agent(len(world.source_features), own)
    optimiser = torch.optim.Adam(agent.parameters(), eps=1e-5)
    batch = ROLLOUT * args.worlds * world.num_agents
    updates, begun = max(1, args.steps // batch), time.perf_counter()
    obs = world.reset(seed=args.seed)
    for update in range(updates):
        optimiser.param_groups[0]["lr"] = LR * (1 - update / updates)
        steps, advantages, running = [], [], 0.0
        with torch.no_grad():
            for _ in range(ROLLOUT):
                mean, value = agent(obs)
                action = mean + agent.log_std.exp() * torch.randn_like(mean)  # the world clips it to [0, 1]
                log_prob = agent.log_prob(mean, action, obs["sources_mask"])
                step = world.step({"listen": action})
                after = agent(step.final_obs)[1] * ~step.terminated[:, None]  # a horizon is no end
                goes_on = ~(step.terminated | step.truncated)[:, None]
                steps.append((obs, action, log_prob, value, after, step.reward, goes_on))
                obs = step.obs
            for _, _, _, value, after, reward, goes_on in reversed(steps):
                running = reward + GAMMA * (after + LAMBDA * running * goes_on) - value
                advantages.insert(0, running)
        seen = {key: torch.cat([step[0][key] for step in steps]).flatten(0, 1) for key in obs}
        actions, log_probs, values = (torch.cat([s[i] for s in steps]).flatten(0, 1) for i in (1, 2, 3))
        advantages = torch.cat(advantages).flatten()
        for _ in range(EPOCHS):
            for index in torch.randperm(batch).chunk(MINIBATCHES):
                part, gain = {key: tensor[index] for key, tensor in seen.items()}, advantages[index]
                (mean, value), gain = agent(part), (gain - gain.mean()) / (gain.std() + 1e-8)
                log_prob = agent.log_prob(mean, actions[index], part["sources_mask"])
                ratio = (log_prob - log_probs[index]).exp()
                gained = torch.minimum(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain)
                loss = 0.5 * (value - values[index] - advantages[index]).square().mean() - gained.mean()
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimiser.step()
        done, reward = (update + 1) * batch, torch.stack([step[5] for step in steps]).mean()
        seconds = time.perf_counter() - begun
        print(f"{done:>9,} agent-steps, {done / seconds:,.0f} a second; mean reward {reward:.4f}")
    for name, weights in {
        "ppo": lambda obs: agent(obs)[0],
        "the mean": lambda obs: torch.ones_like(obs["sources"][..., 0]),
        "nobody": lambda obs: torch.zeros_like(obs["sources"][..., 0]),
    }.items():
        accuracy = honest_accuracy(weights, args.worlds, args.horizon)
        print(f"listening to {name}: {accuracy:.1%} of the test split right")


if __name__ == "__main__":
    main()
