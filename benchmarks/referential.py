"""Languages that emerge in referential games, by two gradient estimators, beside published figures.

Every language is trained as `studyhall train` does, and measured on objects seen and unseen in training: how often
listeners are right (open, mute, shuffled messages), and what the language is like when the speaker names every object
(`rollouts/metrics/language.py`). Causal influence is what listeners do when any of the language's messages is put in
place of the one that was sent, in bits, mean over situations; in reconstruction, summed over attributes. A muted
listener has nothing to choose by and ends at chance: 20 % of 5 candidates, 1/256 in reconstruction.

    python benchmarks/referential.py [--games NAME …] [--seeds 1000-1002] [--scale 1] [--out FILE]

About five minutes on one thread that has a core to itself.
"""

import argparse
import itertools
import time
from pathlib import Path

import torch
from pages.cells import known
from ranges import Ranges
from record import File
from rich.console import Console
from rich.table import Table

from studyhall import make_world
from studyhall.policies import make_policy
from studyhall.rollouts.language import (
    bosdis,
    causal_influence,
    message_entropy,
    posdis,
    topographic_similarity,
)
from studyhall.rollouts.reports.stats import interval
from studyhall.rollouts.training.through_channel import ChannelConfig, ChannelSettings, ChannelTraining
from studyhall.scenarios import Scenario

GAMES = {
    "colours-and-shapes": {
        "attributes": [8, 4],
        "vocabulary": 8,
        "length": 2,
        "candidates": 5,
        "held_out": 0.0,
    },
    "discrimination": {"attributes": [4, 4, 4, 4], "vocabulary": 10, "length": 4, "candidates": 5},
    "reconstruction": {"attributes": [4, 4, 4, 4], "vocabulary": 10, "length": 4, "game": "reconstruction"},
}
"""The first is the game of Li & Bowling 2019: 32 objects, all of them in training."""

ESTIMATORS = {
    "gumbel": ({"estimator": "gumbel"}, {"slice_size": 100}, 1),
    "reinforce": ({"estimator": "sampled", "entropy": 0.1}, {"slice_size": 1}, 100),
}
"""Settings of the policy, of the world, and worlds of an update: 100 samples either way."""

UPDATES = {"gumbel": 500, "reinforce": 800}
LONGER = {("reconstruction", "reinforce"): 3}
"""Where more updates are needed, how many times more."""


SITUATIONS = 200
RANGES = Ranges(report=range(100, 1000))
_SEED = RANGES.report.start


def train(game: str, estimator: str, seed: int, scale: float) -> ChannelTraining:
    """A trained speaker and listener."""
    policy, env, worlds = ESTIMATORS[estimator]
    scenario = Scenario(
        f"referential-{game}",
        "a language of the benchmark",
        env="referential-v0",
        policy="referential",
        env_kwargs={**GAMES[game], **env},
        policy_kwargs={**policy, "seed": seed},
    )
    updates = round(scale * UPDATES[estimator] * LONGER.get((game, estimator), 1))
    settings = ChannelSettings(learning_rate=3e-3)
    training = ChannelTraining(ChannelConfig(scenario, settings, updates=updates, worlds=worlds, seed=seed))
    for _ in range(updates):
        training.update()
    return training


def accuracies(training: ChannelTraining, split: str) -> dict[str, float]:
    """How often the listener is right, by channel mode, on the same 4,000 samples of a split."""
    modes = ["open", "mute", "shuffled"]
    settings = training.config.scenario.env_kwargs | {"slice_size": 4000, "split": split, "mode": modes}
    world = make_world("referential-v0", num_worlds=len(modes), autoreset=False, **settings)
    policy = make_policy("referential", **training.config.scenario.policy_kwargs)
    policy.bind(world)
    policy.network = training.policy.network
    obs = world.reset(seed=[_SEED] * len(modes), options={"domain": "eval"})
    while not world.ended.all():
        obs = world.step(policy.act(obs)).obs
    found = world.metrics()["accuracy"][:, 1]
    return {mode: float(value) for mode, value in zip(modes, found, strict=True)}


@torch.no_grad()
def influence(training: ChannelTraining, names: torch.Tensor) -> float:
    """Bits by which the language's messages, as often as it uses them, decide what the listener answers."""
    settings = training.config.scenario.env_kwargs | {"slice_size": SITUATIONS, "split": "stream"}
    world = make_world("referential-v0", **settings)
    view = world.reset(seed=_SEED)["own_view"][0].flatten(2)  # [N, situations, C·F]
    symbols = torch.nn.functional.one_hot(names, world.wire.shape[-1]).float().flatten(1)  # [M, L·V]
    messages, situations = len(symbols), SITUATIONS
    inbox = symbols.expand(2, situations, -1, -1).flatten(1, 2)[:, :, None]  # [N, situations·M, S, L·V]
    network = training.policy.network
    memory = network.begin(view.repeat_interleave(messages, dim=1))
    heard = torch.ones(2, situations * messages, 1, dtype=torch.bool)
    answer = network.answer(network.read(memory, inbox, heard))[1].unflatten(0, (situations, messages))
    sizes = world.sizes if world.game == "reconstruction" else (answer.shape[-1],)
    return float(sum(causal_influence(part).mean() for part in answer.split(sizes, -1)))


def measure(training: ChannelTraining) -> dict[str, float]:
    """All figures of one language."""
    world = training.world
    names, values = training.policy.names(world.objects), world.values
    found = {f"seen/{mode}": value for mode, value in accuracies(training, "stream").items()}
    if training.config.scenario.env_kwargs.get("held_out", 0.1):
        found |= {f"unseen/{mode}": value for mode, value in accuracies(training, "test").items()}
    return found | {
        "topographic_similarity": float(topographic_similarity(names, values)),
        "posdis": float(posdis(names, values)),
        "bosdis": float(bosdis(names, values)),
        "entropy_bits": float(message_entropy(names)),
        "causal_influence_bits": influence(training, names),
        "bytes_per_message": world.wire.bits_per_message / 8,
    }


def cell(game: str, estimator: str, seeds: tuple[int, ...], scale: float) -> dict:
    """One game and estimator: means over seeds with 95 % intervals."""
    begun = time.perf_counter()
    trained = [train(game, estimator, seed, scale) for seed in seeds]
    runs = [measure(training) for training in trained]
    figures = {name: interval([run[name] for run in runs])._asdict() for name in runs[0]}
    return {
        "train_seeds": list(seeds),
        "env_kwargs": GAMES[game],
        "updates": trained[0].done,
        "samples_per_update": 100,
        "objects": len(trained[0].world.objects),
        "seconds_each": round((time.perf_counter() - begun) / len(seeds), 1),
        "figures": figures,
    }


def table(found: dict) -> Table:
    """One row a game and estimator."""
    columns = {
        "seen, %": "seen/open",
        "unseen, %": "unseen/open",
        "mute": "seen/mute",
        "shuffled": "seen/shuffled",
        "topsim": "topographic_similarity",
        "posdis": "posdis",
        "bosdis": "bosdis",
        "entropy, bits": "entropy_bits",
        "influence, bits": "causal_influence_bits",
        "bytes": "bytes_per_message",
    }
    shown = Table(title="referential games: right answers, and the language", title_justify="left")
    for column in ("game", "estimator", *columns):
        shown.add_column(column, justify="left" if column in ("game", "estimator") else "right")
    for game, entry in found["games"].items():
        for estimator, measured in entry.items():
            figures = measured["figures"]
            texts = []
            for name in columns.values():
                if name not in figures:
                    texts.append("–")
                    continue
                texts.append(known(figures[name], 1) if "/" in name else known(figures[name], 2, 1))
            shown.add_row(game, estimator, *texts)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--games", nargs="+", choices=list(GAMES), default=list(GAMES))
    parser.add_argument("--seeds", type=RANGES.seeds("fit"), default="1000-1002", help="of trainings")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of updates")
    parser.add_argument("--out", type=Path, help="JSON; rows it holds are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file = File(options.out, "referential")
    file.only(("games",), [_SEED])
    for game, estimator in itertools.product(options.games, ESTIMATORS):
        if not file.has(("games", game, estimator), [_SEED]):
            row = cell(game, estimator, options.seeds, options.scale)
            file.add(("games", game, estimator), row, seeds=[_SEED])
    Console(width=170).print(table(file.read()))


if __name__ == "__main__":
    main()
