"""Learner-updates per second."""

from .cells import markdown, ratio


def population(found: dict) -> str:
    """Learners as one tensor program."""
    rows = []
    for entry in found["results"]:
        speed = entry["updates_per_second"]["population"]["median"]
        rows.append((str(entry["learners"]), f"{speed:,.0f}", *(ratio(r) for r in entry["ratio"].values())))
    header = ("learners", "updates/s", "against a loop, Adam", "against a loop, fused Adam")
    return f"{found['machine']}, one thread, medians of {found['rounds']} rounds.\n\n{markdown(header, rows)}"


def convolutional(found: dict) -> str:
    """Convolutional learners one after the other, and stacked."""
    rows = []
    for entry in found["results"]:
        times = (f"{entry[way]:.1f} ms" for way in ("looped_ms", "stacked_ms"))
        factor = f"{entry['ratio']:.2f}× ({entry['ratio_low']:.2f}–{entry['ratio_high']:.2f})"
        rows.append((f"{entry['learners']}, {entry['data']}, {entry['pictures']} pictures", *times, factor))
    header = ("learners", "looped", "stacked", "looped is faster by")
    title = f"A learning step of {found['count']} learners on {found['rows']} pictures each"
    return (
        f"{title}. {found['machine']}, one thread, medians (and quartiles) of {found['rounds']} rounds.\n\n"
        f"{markdown(header, rows)}"
    )


def scenario(found: dict) -> str:
    """The whole classroom beside plain loops."""
    row = found["results"]
    ratios = row["loop_over_studyhall"]
    text = {"tensors": "a loop over tensors in memory", "loader": "a loop over a DataLoader"}
    cells = [
        f"{text[k]} takes {r['median']:.2f}× as long ({r['min']:.2f}–{r['max']:.2f})"
        for k, r in ratios.items()
    ]
    return (
        f"The whole MNIST classroom, {len(row['seeds'])} seeds in one batch, one thread: {'; '.join(cells)}."
    )


def hosted(found: dict) -> str:
    """Hosted training beside plain loops, and the bridge beside SuperSuit's route."""
    rows = []
    for entry in found["throughput"]:
        speed, against = entry["updates_per_second"]["median"], entry["ratio"]
        ratios = (f"{against[k]['median']:.2f}×" for k in ("loop", "loop_fused"))
        rows.append((entry["contender"].replace("_", ", "), str(entry["threads"]), f"{speed:,.0f}", *ratios))
    header = ("contender", "threads", "updates/s", "over a loop, Adam", "over a loop, fused Adam")
    bridges = "; ".join(
        f"{entry['worlds']} world{'s' if entry['worlds'] > 1 else ''}: make_sb3 "
        f"{entry['of_the_engines_speed']['make_sb3']['median']:.2f} of the engine's speed, SuperSuit "
        f"{entry['of_the_engines_speed']['supersuit']['median']:.2f}"
        for entry in found["bridge"]
    )
    title = f"{found['machine']}, 8 hosted learners a world, medians of {found['rounds']} rounds."
    return f"{title}\n\n{markdown(header, rows)}\n\nThe bridge to Stable-Baselines3. {bridges}."


def transformer(found: dict) -> str:
    """A step of a language model by group, beside what its multiply-adds say, and beside a plain module."""

    def against(entry: dict, name: str) -> str:
        ratios = entry.get(name)
        return (
            ""
            if ratios is None
            else f"{ratios['ratio']:.2f} ({ratios['ratio_low']:.2f}–{ratios['ratio_high']:.2f})"
        )

    def counted(entry: dict) -> str:
        return f"{entry['counted']:.2f}" if "counted" in entry else ""

    large = [
        (
            f"{entry['learns']}, dropout {entry['dropout']:g}",
            f"{entry['ms']:.0f} ms",
            *(against(entry, name) for name in ("to_dense",)),
            counted(entry),
            against(entry, "to_plain"),
        )
        for entry in found["documented"]
    ]
    small = [
        (
            f"{entry['worlds']} world{'s' if entry['worlds'] > 1 else ''}, {entry['learns']}",
            f"{entry['ms']:.1f} ms",
            against(entry, "to_dense"),
            counted(entry),
            against(entry, "to_plain"),
        )
        for entry in found["small"]
    ]
    header = ("contender", "a step, or a world's", "over all that learn", "counted", "over a plain module")
    title = (
        f"{found['machine']}, one thread, process time, medians (and quartiles) of {found['rounds']} rounds. First the "
        "documented size, 16 windows of 64 tokens of 10,000 words; then V 512, width 32, 16 windows of 32."
    )
    return f"{title}\n\n{markdown(header, large)}\n\n{markdown(header, small)}"
