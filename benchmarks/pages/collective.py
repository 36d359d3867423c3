"""Collectives: ensembles, sparse experts, and bids, learned and by rule."""

from studyhall.scenarios import get_source

from .cells import both, folded, gain, known, markdown, ratio, spread


def collective_mnist(found: dict) -> str:
    """Votes of eight networks, and what a diversity term buys."""
    control = found["terms"]["none"]["soft vote"]
    metrics = ("best single", "mean single", "soft vote", "majority vote")
    best, vote = (
        "–".join(f"{100 * end:.1f}" for end in get_source("collective-yardstick").figures[name])
        for name in ("best single", "soft vote")
    )
    rows = [("documented, no term", "–", best, "–", vote, *["–"] * 3)]
    for name, term in found["terms"].items():
        ahead = "–" if name == "none" else gain(term["soft vote"], control)
        accuracies = (spread(term[metric]) for metric in metrics)
        rate = f"{term['learning rate']:g}"
        rows.append((name, rate, *accuracies, ahead, spread(term["error correlation"], 2, 1)))
    header = (
        "diversity term",
        "learning rate",
        *metrics,
        "soft vote − none, paired",
        "correlation of errors",
    )
    passes = "one pass" if found["passes"] == 1 else f"{found['passes']} passes"
    title = (
        f"{found['members']} networks {'-'.join(map(str, found['sizes']))}, {passes} of {found['items']:,} items, "
        f"{len(found['seeds'])} seeds; test accuracy in per cent, ± is a 95 % interval over seeds."
    )
    return f"{title}\n\n{markdown(header, rows)}"


def moe(found: dict) -> str:
    """Accuracy at equal active parameters, use of the experts, and why tokens are dropped."""
    parts = [
        f"Test accuracy in per cent, {found['experts']} experts, {len(found['seeds'])} seeds; ± is a 95 % interval "
        "over seeds. All are one layer of a block, classify(norm(x + layer(x))) for x = embed(pixels); parameters are "
        "the layer's. In use: exp of the entropy of the experts' load on the test set, from 1 to the number of "
        "experts. In the last pass of training: refused, the share of assignments that found their expert full; "
        "dropped, of tokens that no expert took."
    ]
    for data, models in found["accuracy"].items():
        rows = []
        for name, model in models.items():
            share = (
                f"{100 * sum(busy) / len(busy):.0f} %"
                if (busy := model.get("busiest expert's share"))
                else "–"
            )
            in_use = spread(used, 1, 1) if (used := model.get("experts in use")) else "–"
            lost = (
                spread(model[f"{which} in training"], 1) if f"{which} in training" in model else "–"
                for which in ("refused", "dropped")
            )
            sizes = (f"{model[which]:,}" for which in ("active parameters", "parameters"))
            rows.append((name, *sizes, spread(model["accuracy"]), in_use, share, *lost))
        header = ("model", "active parameters", "in all", data, "experts in use", "busiest")
        header = (*header, "refused, %", "dropped, %")
        parts.append(markdown(header, rows))
    why = (
        "In the last pass of training, alone (from pixels to classes) and in the block; by chance: where every token "
        "goes to any expert with the same probability. On held-out items, from a learning rate of 0.001; ± is a 95 % "
        "interval over seeds."
    )
    header = ("variant", "balance loss", "dropped, %", "by chance, %", "experts in use", "accuracy")
    rows = [
        (
            f"{data}, {entry['form']}, batches of {entry['batch']}",
            f"{entry['balance']:g}",
            spread(entry["dropped in training"], 0),
            f"{100 * entry['dropped by chance']:.0f}",
            spread(entry["experts in use in training"], 1, 1),
            spread(entry["accuracy"], 1),
        )
        for data, entries in found["drops"].items()
        for entry in entries
    ]
    parts.append(folded("Why Switch drops tokens", f"{why}\n\n{markdown(header, rows)}"))
    return "\n\n".join(parts)


def moe_time(found: dict) -> str:
    """Time of grouped experts beside loops."""
    loops = {
        "loop": "against a loop, a mask an expert",
        "loop_over_choices": "against a loop over choices and experts",
        "dense": "against all experts on all tokens",
    }
    rows = []
    for entry in found["time"]:
        faster = entry["grouped is faster by"]
        rows.append(
            (
                f"{entry['width']} × {entry['hidden']}",
                f"{entry['milliseconds']['grouped']['median']:.1f}",
                *(ratio(faster[name]) for name in loops),
            )
        )
    header = ("token × hidden", "grouped, ms", *loops.values())
    title = (
        f"Forward and backward, {found['experts']} experts, {found['tokens']:,} tokens, {found['k']} experts a token; "
        f"{found['machine']}, one thread, processor time, medians of {found['rounds']} rounds (range)."
    )
    return f"{title}\n\n{markdown(header, rows)}"


NAMES = {
    "told once, carried over": "fitted with labels once, carried over",
    "told there who was right": "fitted with labels in each setting (upper control)",
}
"""Rivals in plain words."""


def bids(found: dict) -> str:
    """Learned bids beside rules and controls where they were trained, and in settings they never saw."""
    cases = found["cases"]
    trained, *_ = cases.values()
    trainings, worlds = len(found["training_seeds"]), found["measured_with"]["worlds"]
    rivals = list(trained["rivals"])
    rows = [("learned by PPO", both(trained["learned"], trained["over_worlds"]["learned"], 1, 100), "–")]
    for rival in rivals:
        rows.append((NAMES.get(rival, rival), known(trained["rivals"][rival], 1), _ahead(trained, rival)))
    setting = found["setting"]
    title = (
        f"Accuracy of the collective on the exam split in per cent, mean of the exams after "
        f"{', '.join(map(str, found['measured_with']['moments']))} steps, {worlds} held-out worlds; "
        f"{setting['agents']} members with Dirichlet({setting['alpha']:g}) shares of the classes of digits. PPO: "
        f"{trainings} trainings of {found['timesteps']:,} agent-steps. ± is a 95 % interval: of rules over worlds; of "
        f"what was learned, and learned − others, paired, over the {trainings} trainings (in brackets over the worlds, "
        "of the trainings' mean in each)."
    )
    shown = [rival for rival in rivals if rival not in ("confidence", "certainty", "oracle")]
    transfer = [
        (
            name,
            both(entry["learned"], entry["over_worlds"]["learned"], 1, 100),
            *(_ahead(entry, rival) for rival in shown),
        )
        for name, entry in cases.items()
        if entry is not trained
    ]
    header = ("variant", "learned", *(f"− {NAMES.get(rival, rival)}" for rival in shown))
    again = "The same bidders in other settings, without further training or tuning:"
    return "\n\n".join(
        (title, markdown(("policy", "accuracy, %", "learned − it"), rows), again, markdown(header, transfer))
    )


def _ahead(entry: dict, rival: str) -> str:
    """How far learned bids are ahead, in per cent."""
    return both(entry["gain_over"][rival], entry["over_worlds"]["gain_over"][rival], 1, 100, signed=True)
