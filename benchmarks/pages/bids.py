"""Bids of a collective, learned and by rule."""

from .cells import both, known, markdown


def bids(found: dict) -> str:
    """Learned bids beside rules and controls where they were trained, and in settings they never saw."""
    cases = found["cases"]
    trained, *_ = cases.values()
    trainings, worlds = len(found["training_seeds"]), found["measured_with"]["worlds"]
    rivals = list(trained["rivals"])
    rows = [("learned by PPO", both(trained["learned"], trained["over_worlds"]["learned"], 1, 100), "–")]
    for rival in rivals:
        rows.append((rival, known(trained["rivals"][rival], 1), _ahead(trained, rival)))
    setting = found["setting"]
    title = (
        f"PPO, {trainings} trainings of {found['timesteps']:,} agent-steps on digits; {setting['agents']} members "
        f"with Dirichlet({setting['alpha']:g}) shares. Accuracy of the collective in per cent, mean of the exams after "
        f"{', '.join(map(str, found['measured_with']['moments']))} steps, {worlds} held-out worlds. Of rules ± is over "
        f"worlds. Of what was learned, and learned − others, paired, it is over the {trainings} trainings (in brackets "
        "over the worlds, of the trainings' mean in each)."
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
    header = ("variant", "learned", *(f"− {rival}" for rival in shown))
    again = "The same bidders in other settings, without further training or tuning:"
    return "\n\n".join(
        (title, markdown(("policy", "accuracy, %", "learned − it"), rows), again, markdown(header, transfer))
    )


def _ahead(entry: dict, rival: str) -> str:
    """How far learned bids are ahead, in per cent."""
    return both(entry["gain_over"][rival], entry["over_worlds"]["gain_over"][rival], 1, 100, signed=True)
