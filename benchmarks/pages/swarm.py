"""Particle swarms."""

from studyhall.scenarios import get_source

from .cells import both, known, markdown, share


def _middle(found: dict | None) -> str:
    """A median with its quartiles."""
    if found is None:
        return "–"
    low, high = found["quartiles"]
    return f"{found['median']:.2g} ({low:.2g} … {high:.2g})"


def _documented(figure: float | tuple[float, float]) -> str:
    """A value, or a range from 0."""
    return f"≤ {figure[1]:g}" if isinstance(figure, tuple) else f"{figure:g}"


def yardsticks(found: dict) -> str:
    """Best values after 1,000 iterations, beside documented ones and pyswarms'."""
    columns = {
        "pyswarms (unit)": "pyswarms, from [0, 1]",
        "ours (unit)": "ours, from [0, 1]",
        "pyswarms (box)": "pyswarms, from the box",
        "ours (box)": "ours, from the box",
        "ours, w .7 c 1.5 1.5 (box)": "ours, from the box, w 0.7, c 1.5, 1.5",
    }
    theirs = get_source("pyswarms-yardstick").figures
    rows = [
        (case, _documented(theirs[case]), *(_middle(entry.get(key)) for key in columns))
        for case, entry in found["yardsticks"].items()
    ]
    entry = next(iter(found["yardsticks"].values()))
    counted = {"ours (box)": "swarms (ours)", "pyswarms (box)": "runs (pyswarms)"}
    counts = " and ".join(f"{entry[key]['n']} {what}" for key, what in counted.items() if key in entry)
    title = (
        f"The best value found, median (quartiles) over {counts}; w 0.9, c 0.5, 0.3 where "
        "nothing else is said."
    )
    return f"{title}\n\n{markdown(('function', 'documented', *columns.values()), rows)}"


def speed(found: dict) -> str:
    """Swarm-iterations per second beside pyswarms."""
    cases = found["speed"]
    header = ["contender"]
    for case in cases:
        named = case.replace(" x ", " × ")
        header += [f"{named}, per second", "against pyswarms", "with its progress bar"]
    rows, theirs = [["pyswarms, documented"]], get_source("pyswarms-yardstick").figures
    for case in cases:
        rows[0] += [f"{theirs[f'{case}, per second']:,}", "–", "–"]
    for label in next(iter(cases.values())):
        row = [label]
        for entries in cases.values():
            times = [f"{value:.1f}×" for value in entries[label]["times_pyswarms"].values()] or ["–", "–"]
            row += [f"{entries[label]['per_second']['median']:,.0f}", *times]
        rows.append(row)
    machine = found["machine"]["cpu"]
    title = f"Swarm-iterations per second of processor time on the sphere, medians; {machine}, one thread."
    return f"{title}\n\n{markdown(header, rows)}"


def hybrid(found: dict) -> str:
    """Swarms, gradients and both at equal evaluations, on ackley in 30 dimensions."""
    part = found["hybrid"]
    below = part.get("escaped")

    def escaped(values: list[float] | None) -> str:
        if values is None or below is None:
            return "not measured yet"
        return share(sum(value < below for value in values), len(values))

    rows = [
        (name, escaped(entry["error"].get("values")), _middle(entry["error"]), f"{entry['steps']:,}")
        for name, entry in part["policies"].items()
    ]
    header = ("policy", "escaped (95 %, in per cent)", "error, median (quartiles)", "steps")
    worlds = max(entry["error"]["n"] for entry in part["policies"].values())
    title = (
        f'ackley-30D, {part["evaluations"]:,} evaluations each, a gradient counted as three, {worlds} worlds; "moved '
        'and turned": another optimum and rotation in each world.'
    )
    if below is not None:
        title += f" Escaped: an error below {below:g}; the next minimum is at about 0.7."
    return f"{title}\n\n{markdown(header, rows)}"


def network(found: dict) -> str:
    """Swarms that train a network, at equal evaluations."""
    part = found["network"]
    rows = [
        (name, _middle(entry["loss"]), known(entry["test_accuracy"], 1), f"{entry['steps']:,}")
        for name, entry in part["policies"].items()
    ]
    header = ("policy", "loss, median (quartiles)", "test accuracy, %", "steps")
    worlds = max(entry["loss"]["n"] for entry in part["policies"].values())
    title = (
        f"A 64-16-10 network on digits, {part['evaluations']:,} evaluations each, {worlds} worlds; ± is a 95 % "
        "interval over worlds."
    )
    alone = [name for name in part["policies"] if name.startswith(("gradient descent", "Adam"))]
    more = "" if alone else "\n\nGradient descent and Adam alone: not measured yet."
    return f"{title}\n\n{markdown(header, rows)}{more}"


def learned(found: dict) -> str:
    """Coefficients learned by RL beside fixed ones: intervals over trainings, and over worlds."""
    part = found["learned"]
    functions, setting = part["functions"], part["setting"]
    rivals = list(next(iter(functions.values()))["gain_over"])
    rows = []
    for name, entry in functions.items():
        over = entry["over_worlds"]
        gains = (
            both(entry["gain_over"][rival], over["gain_over"][rival], 2, signed=True) for rival in rivals
        )
        label = name if entry["seen"] else f"{name} (unseen)"
        rows.append((label, both(entry["learned"], over["learned"], 2), *gains))
    trainings = len(part["training_seeds"])
    worlds = max(entry["over_worlds"]["learned"]["n"] for entry in functions.values())
    title = (
        f"PPO, {trainings} trainings of {part['timesteps']:,} particle-steps; {setting['agents']} particles, "
        f"{setting['dimensions']} dimensions, {setting['horizon']} steps, functions moved and turned. Factors of ten "
        f"won in an episode on {worlds} held-out worlds, and learned − fixed, paired: the mean of the trainings' "
        f"means, ± is its 95 % interval over the {trainings} trainings (in brackets over the worlds, of the trainings' "
        "mean in each)."
    )
    return f"{title}\n\n{markdown(('function', 'learned', *(f'− {rival}' for rival in rivals)), rows)}"
