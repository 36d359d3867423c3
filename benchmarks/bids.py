"""Bids learned by RL in ``collective-v0`` beside fixed ones, on held-out worlds.

    python benchmarks/bids.py [--quick] [--out FILE]

The world hosts five specialists whose classes are dealt by a Dirichlet share, so that who is worth hearing differs from
sample to sample. PPO trains one small network, shared by all members and samples, which bids for a sample by what the
world shows of it. Bids change nothing of what the specialists learn here (nobody imitates anybody), so the discount is
0; a member's reward counts what the collective scores with and without it, whose slope in one's own bids is that of the
collective's score. Kept is the snapshot that was best on other training worlds, on which fixed rules are tuned too.

Rivals are rules: features of a sample to a power, without and with one's own report card, the best of each chosen on
training worlds. Three controls know more: the same network, told on training worlds which answers were right, stopped
where the exams of selection worlds are best and carried over like the learned one; the same, told anew in every
setting (what the features can say); and an oracle that bids for right answers alone. A figure is the collective's
accuracy on an exam of 200, mean over three moments of an episode. All but the first setting are transfer, without
further training. Everything runs on one thread.
"""

import argparse
import copy
import itertools
import time
from pathlib import Path

import numpy as np
import torch
from pages.cells import known
from ranges import Ranges
from record import Choice, File
from rich.console import Console
from rich.table import Table
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from torch.nn import functional as F
from trainings import compared

from studyhall import make_sb3, make_world
from studyhall.envs.collective.specialists import NAMES as SAMPLE_FEATURES
from studyhall.policies.collective.bids.sb3 import BidPolicy
from studyhall.policies.collective.bids.scorer import BidScorer
from studyhall.policies.listening.observed import OWN
from studyhall.scenarios import get_scenario

SCENARIO = get_scenario("collective-digits-bids").env_kwargs
MEASURED_WITH = {name: SCENARIO[name] for name in ("exam_size", "exam_every")}
SETTING = {name: value for name, value in SCENARIO.items() if name not in MEASURED_WITH}
# One's own score, which bids do not move, is noise in the reward.
TRAINED_WITH = {"exam_size": 20, "contribution_weight": 10.0}
MOMENTS = (20, 50, 100)
CASES = {
    "as trained": {},
    "10 members": {"agents": 10},
    "more even shares (alpha 1)": {"alpha": 1.0},
    "4 of 10 classes each": {"share": "class_experts", "expert_classes": 4},
    "one consulted (top-1)": {"weighting": "top_k", "k": 1},
    "MNIST": {"data": "mnist"},
}
TRAININGS = (1000, 2000, 3000, 4000, 5000)
"""Seeds, further apart than a training has worlds."""
RANGES = Ranges(report=range(100, 1000))
TUNED_ON, HELD_OUT = RANGES.choose.start, RANGES.report.start
"""First seeds, of the training and of the evaluation domain; the worlds from 10,000 of the latter were looked at."""
STATISTIC = "accuracy of the collective, mean over worlds and moments"
POWERS = (0.5, 1, 2, 4, 8, 16, 32)
CARD_POWERS = (0.5, 1, 2, 4, 8, 16)


# ---- who bids ---------------------------------------------------------------------------------------


def by_rule(feature, power, card_power=0.0):
    """Bids are a feature of the sample to a power, times one's own report card to another."""
    index = SAMPLE_FEATURES.index(feature)

    def bids(world, obs):
        return obs["answers_samples"][..., index] ** power * obs["report"][..., :1] ** card_power

    return bids


def by_scorer(scorer):
    """The mean bids of a scorer, as the world takes flat actions."""
    return lambda world, obs: (scorer(obs["answers_samples"], obs)[0].clamp(-1, 1) + 1) / 2


def by_chance(scorer, power):
    """The chance of being right, as a scorer estimates it, to a power."""
    return lambda world, obs: torch.sigmoid(scorer(obs["answers_samples"], obs)[0]) ** power


def right(world):
    """Whose answers to the coming exam will be right, float ``[W, N, E]``: they are given after the step's lesson."""
    ahead = world.fork()
    ahead.step(Exams.actions(ahead, torch.zeros(ahead.action_space["answers_bids"].shape)))
    return ahead.privileged()["right"].float()


def oracle(world, obs):
    """1 for right answers alone."""
    return right(world)


# ---- how they are measured --------------------------------------------------------------------------


class Exams:
    """Worlds at moments of an episode, where bidders are compared on the same answers.

    Args:
        worlds: How many.
        seed: Of the first.
        domain: Of the seeds.
        **changed: What differs from :data:`SETTING`.
    """

    def __init__(self, worlds, seed, domain, **changed):
        world = make_world(
            "collective-v0", num_worlds=worlds, autoreset=False, **{**SETTING, **MEASURED_WITH, **changed}
        )
        obs = world.reset(seed=seed, options={"domain": domain})
        self.moments = []
        for step in range(max(MOMENTS) + 1):
            if step in MOMENTS:
                self.moments.append((world.fork(), obs))
            if step < max(MOMENTS):
                obs = world.step(self.actions(world, torch.ones_like(obs["answers_samples"][..., 0]))).obs

    @staticmethod
    def actions(world, bids):
        """Bids for the exam, and none of the rest."""
        batch = (world.num_worlds, world.num_agents)
        silent = {key: torch.zeros(*batch, *space.shape) for key, space in world.action_space.spaces.items()}
        return silent | {"answers_bids": bids.expand_as(silent["answers_bids"])}

    def sat(self, bidder):
        """Accuracy of the collective, and of its best member in hindsight, ``[worlds]`` each."""
        collective, best = [], []
        with torch.no_grad():
            for world, obs in self.moments:
                info = world.fork().step(self.actions(world, bidder(world, obs))).info
                collective.append(info["collective_accuracy"])
                best.append(info["exam_accuracy"].amax(-1))
        return (torch.stack(found).mean(0).numpy() for found in (collective, best))

    def accuracy(self, bidder):
        """Accuracy of the collective, ``[worlds]``."""
        return next(self.sat(bidder))


# ---- training ---------------------------------------------------------------------------------------


def trained(timesteps, seed, exams):
    """A scorer by PPO: of all snapshots the one that did best in ``exams``; and what it took."""

    class Keep(BaseCallback):
        best, weights, curve = -np.inf, None, []

        def _on_step(self):
            return True

        def _on_rollout_end(self):
            mean = float(exams.accuracy(by_scorer(self.model.policy.scorer)).mean())
            self.curve = [*self.curve, mean]
            if mean > self.best:
                self.best = mean
                self.weights = {k: v.clone() for k, v in self.model.policy.state_dict().items()}

    env = make_sb3("collective-v0", 32, seed=seed, **SETTING, **TRAINED_WITH)
    model = PPO(
        BidPolicy,
        env,
        n_steps=SETTING["horizon"],
        batch_size=env.num_envs * SETTING["horizon"] // 4,
        n_epochs=10,
        learning_rate=lambda left: 3e-3 * max(0.05, left),
        clip_range=0.3,
        gamma=0.0,
        policy_kwargs={"width": 32, "optimizer_kwargs": {}},
        seed=seed,
        device="cpu",
    )
    keep = Keep()
    begin = time.process_time()
    model.learn(timesteps, callback=keep)
    model.policy.load_state_dict(keep.weights)
    return model.policy.scorer, {"cpu_seconds": time.process_time() - begin, "curve": keep.curve}


def told(exams, steps, seed=0):
    """Fit a scorer to which answers were right, by logistic loss on ``exams``; yields it after every step."""
    torch.manual_seed(seed)
    sittings = [(obs, right(world)) for world, obs in exams.moments]
    scorer = BidScorer(len(SAMPLE_FEATURES), sum(sittings[0][0][key].shape[-1] for key in OWN))
    optimiser = torch.optim.Adam(scorer.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = sum(
            F.binary_cross_entropy_with_logits(scorer(obs["answers_samples"], obs)[0], answers)
            for obs, answers in sittings
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield scorer


def informed(exams, selection, steps, seed=0, every=None):
    """Bids of a scorer told the labels of ``exams``: stopping and power are what does best in ``selection``.

    Args:
        exams: What it is fitted to.
        selection: What the choice is made on.
        steps: Of the fit.
        seed: Of the first weights.
        every: Steps between two snapshots; None looks at the last one only.
    """
    found = {}
    for step, scorer in enumerate(told(exams, steps, seed), 1):
        if step == steps or (every and step % every == 0):
            found |= {f"{step}, {power:g}": by_chance(copy.deepcopy(scorer), power) for power in POWERS}
    (fitted,) = best("step, power", found, selection).values()
    return fitted


# ---- report -----------------------------------------------------------------------------------------


def best(label, bidders, exams):
    """Of several bidders the one that does best in ``exams``, under a label that names it."""
    name = max(bidders, key=lambda name: exams.accuracy(bidders[name]).mean())
    return {f"{label}: {name}": bidders[name]}


def run(file, quick):
    """Everything that the file lacks; trainings go before all else, whose networks are not kept."""
    worlds, timesteps, tuning = (4, 40_000, 4) if quick else (100, 640_000, 32)
    steps, every = (50, 25) if quick else (400, 20)
    cases = dict(itertools.islice(CASES.items(), 2)) if quick else CASES
    seeds = range(HELD_OUT, HELD_OUT + worlds)
    file.only(("cases",), seeds)
    file.about({"setting": SETTING | TRAINED_WITH, "timesteps": timesteps, "training_seeds": TRAININGS})
    file.about({"measured_with": MEASURED_WITH | {"moments": MOMENTS, "worlds": worlds}})
    exams, where = Exams(tuning, TUNED_ON, "train"), range(TUNED_ON, TUNED_ON + tuning)
    scorers, told_of = zip(*(trained(timesteps, seed, exams) for seed in TRAININGS), strict=True)
    snapshot = Choice("a snapshot", "one after every rollout", "training domain", where, STATISTIC)
    for seed, training in zip(TRAININGS, told_of, strict=True):
        if not file.find(("trainings",), seeds=[seed]):
            file.append(("trainings",), training, seeds=[seed], chosen=[snapshot])
    rules = {
        f"{feature}^{power:g}": by_rule(feature, power)
        for feature, power in itertools.product(SAMPLE_FEATURES[:4], POWERS)
    }
    with_cards = {
        f"{feature}^{power:g} × card^{card:g}": by_rule(feature, power, card)
        for feature, power, card in itertools.product(SAMPLE_FEATURES[:4], (0, *POWERS), CARD_POWERS)
    }
    rivals = {
        "uniform": by_rule("confidence", 0),
        "confidence": by_rule("confidence", 1),
        "certainty": by_rule("certainty", 1),
        **best("best rule", rules, exams),
        **best("best rule with report card", with_cards, exams),
        "oracle": oracle,
    }
    rule, with_card = (name.partition(": ")[2] for name in rivals if name.startswith("best rule"))
    choices = (
        snapshot,
        Choice(rule, list(rules), "training domain", where, STATISTIC),
        Choice(with_card, list(with_cards), "training domain", where, STATISTIC),
        Choice(
            "when to stop telling, and the power",
            f"{every} steps, {POWERS}",
            "training domain",
            where,
            STATISTIC,
        ),
    )
    fits = Exams(tuning, TUNED_ON + 1000, "train")
    carried = [informed(fits, exams, steps, seed, every) for seed in TRAININGS]
    for label, changed in cases.items():
        if file.has(("cases", label), seeds):
            continue
        held_out = Exams(worlds, HELD_OUT, "eval", **changed)
        ours = np.stack([held_out.accuracy(by_scorer(scorer)) for scorer in scorers])
        anew = (Exams(tuning, first, "train", **changed) for first in (TUNED_ON + 1000, TUNED_ON))
        fitted = informed(*anew, steps)
        theirs = {name: held_out.accuracy(bidder) for name, bidder in rivals.items()}
        theirs["told once, carried over"] = np.mean([held_out.accuracy(bidder) for bidder in carried], axis=0)
        theirs["told there who was right"] = held_out.accuracy(fitted)
        _, theirs["best member, in hindsight"] = held_out.sat(rivals["uniform"])
        file.add(("cases", label), compared(ours, theirs), seeds=seeds, chosen=choices)


def table(found):
    """One row a case, with intervals over trainings."""
    title = "accuracy of the collective, %, and learned − others; intervals over trainings"
    shown = Table(title=title, title_justify="left")
    rivals = list(next(iter(found["cases"].values()))["gain_over"])
    for column in ("", "learned", *(f"− {rival}" for rival in rivals)):
        shown.add_column(column)
    for label, entry in found["cases"].items():
        values = [entry["learned"], *(entry["gain_over"][rival] for rival in rivals)]
        shown.add_row(label, *(known(v, 1) for v in values))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few short runs: to see that it works")
    parser.add_argument("--out", type=Path, help="JSON; cases it holds are kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file = File(options.out, "bids")
    run(file, options.quick)
    Console(width=180).print(table(file.read()))


if __name__ == "__main__":
    main()
