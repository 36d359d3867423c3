"""Societies with liars."""

from collections.abc import Collection

from studyhall.rollouts import interval, spread

from .cells import best_first, folded, gain, known, markdown, table

GATED = "ppo gated"
WEAK = {
    "listen_random",
    "listen_two_phase",
    "most_confident_slice",
    "best_card",
    "agreement",
    "drop_most_confident",
    "drop_most_confident tuned",
    "trimmed_mean",
}
"""Rules far behind others of their kind."""


def in_the_rest(name: str, policies: Collection[str]) -> bool:
    """Whether a policy need not be seen at once: one training of several, untuned beside tuned, weak."""
    return "(" in name or f"{name} tuned" in policies or name in WEAK


def _by_kind(entry: dict) -> tuple[str, ...]:
    """Mean over kinds, the worst kind, and every kind."""
    worst = entry["worst"]
    kinds = (f"{100 * kind['mean']:.1f}" for kind in entry["kinds"].values())
    return (known(entry["mean"], 1), f"{known(worst, 1)} ({worst['kind']})", *kinds)


def over_kinds(entry: dict) -> list[float]:
    """One value a world, the mean over kinds."""
    return [sum(world) / len(world) for world in zip(*entry["values"].values(), strict=True)]


def _ahead(policies: dict, name: str) -> str:
    """How far the gated protocol is ahead of a policy, where both saw the same worlds."""
    ours, other = policies.get(GATED), policies[name]
    if ours is None or GATED in name or ours["seeds"] != other["seeds"]:
        return "–"
    return gain(over_kinds(ours), over_kinds(other), 1)


def society(found: dict) -> str:
    """Who to listen to: every policy under every kind of liar, and what the gated protocol is ahead by."""
    base = found["base"]["policies"]
    kinds = next(iter(base.values()))["kinds"]
    rows = [(name, *_by_kind(entry), _ahead(base, name)) for name, entry in best_first(base)]
    header = ("policy", "mean over kinds", "worst kind", *kinds, f"{GATED} − it, paired")
    title = (
        f"Test accuracy of the honest in per cent, {_worlds(base)} held-out worlds a kind of liar; ± is a 95 % "
        f"interval over worlds. The last column is by how many points {GATED}, the mean of its trainings, is ahead, "
        "world by world."
    )
    shown = table(header, rows, lambda row: in_the_rest(row[0], base), "Single trainings, other rules")
    return "\n\n".join((title, shown, *_over_trainings(base)))


def _over_trainings(policies: dict) -> list[str]:
    """Of what was trained several times, the mean over worlds with its interval over trainings."""
    told = [
        f"{name} {spread(interval(entry['trainings']), percent=True, digits=1)} (n = {len(entry['trainings'])})"
        for name, entry in policies.items()
        if "trainings" in entry
    ]
    return [f"Intervals above are over worlds. Over trainings: {', '.join(told)}."] if told else []


def _worlds(policies: dict) -> int:
    return max(len(entry["seeds"]) for entry in policies.values())


def transfer(found: dict) -> str:
    """The same protocols, untrained further, elsewhere: a table a setting."""
    settings = {
        name: entry["policies"] for name, entry in found.items() if name != "base" and "policies" in entry
    }
    everyone = [name for name in found["base"]["policies"] if "(" not in name]
    return "\n\n".join(_elsewhere(name, policies, everyone) for name, policies in settings.items())


def _elsewhere(name: str, policies: dict, everyone: list[str]) -> str:
    def alone(entry: dict) -> str:
        return known(entry["kinds"]["none"], 1) if "none" in entry["kinds"] else "–"

    rows = [
        (
            policy,
            known(entry["mean"], 1),
            f"{known(entry['worst'], 1)} ({entry['worst']['kind']})",
            alone(entry),
            _ahead(policies, policy),
        )
        for policy, entry in best_first(policies)
        if "(" not in policy
    ]
    header = ("policy", "mean over kinds", "worst kind", "nobody lies", f"{GATED} − it, paired")
    shown = table(header, rows, lambda row: in_the_rest(row[0], policies), "Other rules")
    text = (
        f"{name[0].upper()}{name[1:]}: test accuracy of the honest in per cent, {_worlds(policies)} worlds a kind; ± "
        f"is a 95 % interval over worlds.\n\n{shown}"
    )
    missing = [policy for policy in everyone if policy not in policies]
    return text + (f"\n\n{folded('Not measured here', ', '.join(missing))}" if missing else "")


def ablation(found: dict) -> str:
    """The gated protocol with something taken away."""
    kinds = next(iter(found.values()))["kinds"]
    rows = []
    for name, entry in found.items():
        each = " / ".join(f"{100 * mean:.1f}" for mean in entry["mean_of_each"])
        rows.append((name, each, *_by_kind(entry)))
    entry = next(iter(found.values()))
    title = (
        f"Test accuracy of the honest in per cent, {len(entry['mean_of_each'])} trainings a variant, "
        f"{_worlds(found)} worlds a kind; ± is a 95 % interval over worlds, of the mean of the trainings."
    )
    return (
        f"{title}\n\n{markdown(('variant', 'each training', 'mean over kinds', 'worst kind', *kinds), rows)}"
    )
