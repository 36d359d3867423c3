"""Messages: MiniCoMo and its speed, consensus, reward beside gradient, languages."""

from studyhall.rollouts import interval
from studyhall.scenarios import get_source

from .cells import gain, known, markdown, ratio, spread, table

_DOCUMENTED_AS = {
    "simple": "simple",
    "attention": "attention, mended",
    "as published": "attention, as published",
}


def halves(found: dict) -> str:
    """Summed MSE of every variant, by case and mode: after as much time, and after as many updates."""
    seeds = max(len(runs) for runs in found["rows"].values())
    title = (
        f"Squared error, summed over both halves, on the MNIST test split after {found['cpu_seconds']:g} processor "
        f"seconds of training on one thread; less is better. {seeds} seeds, ± is a 95 % interval over seeds. The first "
        "figures are of upright samples with parts in place, as documented ones are (a re-run of the original for as "
        "long, on another machine)."
    )
    parts = [title, _halves(found["rows"])]
    if equal := found.get("equal updates"):
        parts += [
            f"The same after {equal['updates']:,} updates each, however long they took:",
            _halves(equal["rows"]),
        ]
    else:
        parts.append("At equal updates: not measured yet (`python benchmarks/halves.py --updates 1000`).")
    return "\n\n".join(parts)


def _halves(variants: dict[str, list[dict]]) -> str:
    rows, figures = [], get_source("minicomo-rerun").figures

    def documented(name: str) -> str:
        return f"{figures[name]:.4f}" if name in figures else "–"

    for name in ("all black", "mean image"):
        rows.append((f"{name}, documented", "–", "–", documented(name), *["–"] * 7))
    for name, runs in variants.items():
        first = "open" if "open" in runs[0]["test"] else "mute"  # what was trained mute has no other mode

        def of(mode: str, case: str = "summed_upright", runs: list[dict] = runs) -> str:
            if mode not in runs[0]["test"]:
                return "–"
            return spread([run["test"][mode][case] for run in runs], 4, 1)

        upright = [{mode: test["summed_upright"] for mode, test in run["test"].items()} for run in runs]
        times = "–"
        if first == "open":
            times = f"{interval([mse['shuffled'] / mse['open'] for mse in upright]).mean:.1f}×"
        theirs = _DOCUMENTED_AS.get(name, "")
        rows.append(
            (
                name,
                "–" if first == "mute" else f"{runs[0]['test'][first]['message_bytes']:g}",
                f"{sum(run['updates'] for run in runs) / len(runs):,.0f}",
                documented(theirs),
                *(of(mode) for mode in (first, "mute" if first == "open" else "–", "shuffled")),
                times,
                documented(f"{theirs}, shuffled"),
                *(of(first, case) for case in ("summed_turned", "summed_swapped")),
            )
        )
    header = (
        "messenger",
        "bytes a message",
        "updates",
        "documented",
        "upright",
        "muted",
        "shuffled",
        "shuffled / open",
        "shuffled, documented",
        "turned",
        "swapped",
    )
    return markdown(header, rows)


def minicomo_speed(found: dict) -> str:
    """Training steps per second at the documented size."""
    rows = []
    for entry in found["results"]:
        speeds = (f"{at['median']:.2f} ({at['min']:.2f}–{at['max']:.2f})" for at in _speeds(entry))
        losses = entry["last_loss"]
        rows.append(
            (
                entry["messenger"],
                f"{entry['parameters'] / 1e6:.1f} M",
                f"{get_source('minicomo-speed').figures[entry['messenger']]:g}",
                *speeds,
                ratio(entry["ratio"]),
                f"{losses['stacked']:.4f} / {losses['plain']:.4f}",
            )
        )
    header = (
        "messenger",
        "parameters",
        "documented, steps/s",
        "stacked agents",
        "a plain loop over agents",
        "stacked / loop",
        f"loss at step {found['steps']}, both",
    )
    title = (
        f"{found['machine']}, {'one thread' if found['threads'] == 1 else str(found['threads']) + ' threads'}, batch "
        f"{found['batch']}, per processor second, medians of {found['rounds']} rounds (range). Documented figures are "
        "of the published training step on another machine."
    )
    return f"{title}\n\n{markdown(header, rows)}"


def _speeds(entry: dict) -> tuple[dict, dict]:
    speeds = entry["steps_per_second"]
    return speeds["stacked"], speeds["plain"]


def consensus(found: dict) -> str:
    """Accuracy by topology, loss and rounds, and averages of what all knew without a message."""
    averages = {name: row["values"] for name, row in found["averages"].items()}
    apart = {name: averages[f"{name}, trained mute"] for name in ("mean of estimates", "geometric mean")}
    rows = []
    for topology, drops in found["curves"].items():
        for drop, at in drops.items():
            curves = at["accuracy"]
            fifth = [curve[5] for curve in curves]
            means = (f"{100 * interval(values).mean:.1f}" for values in map(list, zip(*curves, strict=True)))
            gains = (gain(fifth, other, 1) for other in ([curve[1] for curve in curves], *apart.values()))
            rows.append((topology, f"{100 * float(drop):.0f} %", *means, *gains))
    rounds = len(next(iter(found["curves"]["complete"].values()))["accuracy"][0])
    header = (
        *("topology", "messages lost", *map(str, range(rounds)), "gain of round 5 over 1"),
        *("round 5 − mean of estimates", "round 5 − geometric mean"),
    )
    beside = markdown(
        ("estimate", "accuracy"), [(name, spread(values, 1)) for name, values in averages.items()]
    )
    title = (
        f"Test accuracy in per cent after 0 … {rounds - 1} rounds; {found['witnesses']} witnesses, "
        f"{found['message_bytes']:g} bytes a message, {len(found['seeds'])} trainings a topology of "
        f"{found['updates']:,} updates each. Differences are paired, ± is a 95 % interval over trainings; the last two "
        "are from averages of estimates of witnesses that were trained mute."
    )
    shown = table(header, rows, lambda row: row[1] in ("10 %", "25 %"), "Fewer messages lost")
    return f"{title}\n\n{shown}\n\nAverages of all witnesses' own estimates, test accuracy in per cent:\n\n{beside}"


ROUTES = {
    "ppo": "PPO: reward alone",
    "reinforce": "symbols by REINFORCE, answers by gradient",
    "gumbel": "gradient through the channel (Gumbel)",
    "alone": "gradient, trained mute (control)",
}


def messages_rl(found: dict) -> str:
    """One symbol of ten, learnt by reward and through the channel."""
    rows = []
    for name, route in found["routes"].items():
        trained = route["trainings"]
        shares = (known(route[mode], 1) for mode in ("open", "mute", "shuffled"))
        rows.append(
            (
                ROUTES[name],
                f"{route['message_bytes']:g}",
                *shares,
                known(route["gain"], 1, signed=True),
                f"{trained[0]['answers']:,}",
                f"{sum(run['cpu_seconds'] for run in trained) / len(trained):.0f}",
            )
        )
    header = (
        "route",
        "bytes a message",
        "open",
        "mute",
        "shuffled",
        "open − mute, paired",
        "answers in training",
        "CPU-seconds",
    )
    seeds = max(len(route["trainings"]) for route in found["routes"].values())
    title = (
        f"`{found['scenario']}`: test accuracy in per cent, {seeds} trainings a route; ± is a 95 % interval over "
        "trainings."
    )
    quick = "\n\n**Shortened runs.**" if found["quick"] else ""
    return f"{title}{quick}\n\n{markdown(header, rows)}"


_LANGUAGE = {
    "topsim": "topographic_similarity",
    "posdis": "posdis",
    "bosdis": "bosdis",
    "entropy, bits": "entropy_bits",
    "influence, bits": "causal_influence_bits",
}

_PUBLISHED = {"colours-and-shapes": ("li-bowling", "li-bowling-reset")}
"""Game to sources."""


def referential(found: dict) -> str:
    """Right answers in referential games, and the languages, beside those of published code."""
    rows = []
    for game, estimators in found["games"].items():
        for estimator, cell in estimators.items():
            at = cell["figures"]
            shares = [
                known(at[name], 1) if name in at else "–"
                for name in ("seen/open", "unseen/open", "seen/mute", "seen/shuffled")
            ]
            language = (known(at[name], 2, 1) for name in _LANGUAGE.values())
            size = f"{at['bytes_per_message']['mean']:g}"
            rows.append((game, estimator, size, f"{cell['updates']:,}", *shares, *language))
        for key in _PUBLISHED.get(game, ()):
            at = get_source(key).figures
            shares = (f"{100 * at['training accuracy']:.1f}", "–", "–", "–")
            language = (f"{at['topographic similarity']:.2f}", *["–"] * (len(_LANGUAGE) - 1))
            rows.append((game, f"published code ({key})", "–", "–", *shares, *language))
    header = (
        "game",
        "estimator",
        "bytes a message",
        "updates",
        "seen",
        "unseen",
        "mute",
        "shuffled",
        *_LANGUAGE,
    )
    seeds = max(
        cell["figures"]["seen/open"]["n"] for game in found["games"].values() for cell in game.values()
    )
    title = (
        f"Right answers in per cent, on objects seen and unseen in training, {seeds} trainings; ± is a 95 % interval "
        "over trainings. What is not alike in the published code is told in [sources](../results.md#sources)."
    )
    return f"{title}\n\n{markdown(header, rows)}"
