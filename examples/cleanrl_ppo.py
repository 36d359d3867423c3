"""PPO in one file, in the style of CleanRL: the agents of a society learn whom to listen to.

The world trains W·N networks; the policy, shared by all agents, gives each source a weight. Everything is a
tensor ``[W, N, …]`` from the world to the update, so nothing is copied on the way.
"""

import argparse
import time

import torch
from torch import Tensor, nn

from studyhall import make_world

LEARNERS = {"learners": "mlp", "hidden": (64, 64), "dropout": 0.0, "lr": 3e-3, "temperature": 1.0}


def layer(inputs: int, outputs: int, gain: float = 2**0.5, bias: float = 0.0) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.constant_(linear.bias, bias)
    return linear


class Agent(nn.Module):
    """Sources are encoded one by one, averaged over those heard, and scored one by one beside that average."""

    def __init__(self, features: int, own: int, width: int = 64) -> None:
        super().__init__()
        self.encode = nn.Sequential(layer(features + own, width), nn.Tanh())
        self.score = nn.Sequential(layer(2 * width, width), nn.Tanh(), layer(width, 1, 0.01, 0.5))
        self.judge = nn.Sequential(layer(width + own, width), nn.Tanh(), layer(width, 1, 1.0))
        self.log_std = nn.Parameter(torch.tensor(-0.7))

    def forward(self, obs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Mean weights of the sources ``[…, S]``, and the value ``[…]``."""
        sources, heard = obs["sources"], obs["sources_mask"].float()[..., None]
        own = torch.cat([obs["self"], obs["report"], obs["time"]], dim=-1)
        own_too = own[..., None, :].expand(*sources.shape[:-1], -1)
        encoded = self.encode(torch.cat([sources, own_too], dim=-1))
        average = (encoded * heard).sum(-2) / heard.sum(-2).clamp_min(1)
        beside = torch.cat([encoded, average[..., None, :].expand_as(encoded)], dim=-1)
        return self.score(beside)[..., 0], self.judge(torch.cat([average, own], dim=-1))[..., 0]

    def log_prob(self, mean: Tensor, action: Tensor, obs: dict[str, Tensor]) -> Tensor:
        """Log probability ``[…]`` of weights; one on a source that was not heard has no effect, nor counts."""
        normal = torch.distributions.Normal(mean, self.log_std.exp())
        return (normal.log_prob(action) * obs["sources_mask"]).sum(-1)


@torch.no_grad()
def honest_accuracy(weights, worlds: int, horizon: int) -> float:
    """Test accuracy of the honest learners after an episode in worlds that training never saw."""
    world = make_world("society-v0", num_worlds=worlds, horizon=horizon, autoreset=False, **LEARNERS)
    obs = world.reset(seed=0, options={"domain": "eval"})
    for _ in range(horizon):
        obs = world.step({"listen": weights(obs)}).obs
    test = world.dataset.test
    predicted = world.predict(world.dataset.inputs("test", torch.arange(len(test)))).argmax(-1)
    return float((predicted == test.y).float().mean(-1)[~world.secrets()["liar"]].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=160_000, help="agent-steps in all")
    parser.add_argument("--worlds", type=int, default=32)
    parser.add_argument("--horizon", type=int, default=400)
    parser.add_argument("--rollout", type=int, default=50, help="steps between two updates")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--minibatches", type=int, default=4)
    parser.add_argument("--gamma", type=float, default=0.95)
    parser.add_argument("--gae-lambda", type=float, default=0.9)
    parser.add_argument("--clip", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)  # small networks run fastest so
    torch.manual_seed(args.seed)

    world = make_world("society-v0", num_worlds=args.worlds, horizon=args.horizon, **LEARNERS)
    own = sum(world.observation_space[key].shape[0] for key in ("self", "report", "time"))
    agent = Agent(len(world.source_features), own)
    optimiser = torch.optim.Adam(agent.parameters(), lr=args.lr, eps=1e-5)
    batch = args.rollout * args.worlds * world.num_agents
    updates = max(1, args.steps // batch)
    obs, begun = world.reset(seed=args.seed), time.perf_counter()
    for update in range(updates):
        optimiser.param_groups[0]["lr"] = args.lr * (1 - update / updates)
        steps = []
        with torch.no_grad():
            for _ in range(args.rollout):
                mean, value = agent(obs)
                action = mean + agent.log_std.exp() * torch.randn_like(mean)  # the world clips it to [0, 1]
                step = world.step({"listen": action})
                last = agent(step.final_obs)[1] * ~step.terminated[:, None]  # truncation is no end
                ended = (step.terminated | step.truncated)[:, None]
                steps.append((obs, action, agent.log_prob(mean, action, obs), value, last, step.reward, ended))
                obs = step.obs
            advantages, running = [], torch.zeros_like(value)
            for _, _, _, value, last, reward, ended in reversed(steps):
                running = reward + args.gamma * last - value + args.gamma * args.gae_lambda * running * ~ended
                advantages.insert(0, running)
        seen = {key: torch.cat([step[0][key] for step in steps]).flatten(0, 1) for key in obs}
        actions, log_probs, values = (torch.cat([s[i] for s in steps]).flatten(0, 1) for i in (1, 2, 3))
        advantage = torch.cat(advantages).flatten()
        for _ in range(args.epochs):
            for index in torch.randperm(batch).chunk(args.minibatches):
                part = {key: tensor[index] for key, tensor in seen.items()}
                mean, value = agent(part)
                ratio = (agent.log_prob(mean, actions[index], part) - log_probs[index]).exp()
                gain = advantage[index]
                normal = (gain - gain.mean()) / (gain.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip, 1 + args.clip)
                target = gain + values[index]
                loss = -torch.minimum(ratio * normal, clipped * normal).mean() + (value - target).square().mean() / 2
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimiser.step()
        done = (update + 1) * batch
        reward = torch.stack([step[5] for step in steps]).mean()
        print(
            f"{done:>9,} agent-steps, {done / (time.perf_counter() - begun):,.0f} a second; "
            f"mean reward {float(reward):.4f}, standard deviation {float(agent.log_std.exp()):.2f}"
        )
    for name, weights in {
        "ppo": lambda obs: agent(obs)[0],
        "the mean": lambda obs: torch.ones_like(obs["sources"][..., 0]),
        "nobody": lambda obs: torch.zeros_like(obs["sources"][..., 0]),
    }.items():
        print(f"listening to {name}: {honest_accuracy(weights, args.worlds, args.horizon):.1%} on the test split")


if __name__ == "__main__":
    main()
