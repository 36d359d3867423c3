"""Fill the pages' results from committed JSON: ``python benchmarks/readme.py``.

Between ``<!-- results:NAME -->`` and ``<!-- /results -->`` stand the tables of ``docs/results/NAME.json``:
``classroom`` from ``studyhall reproduce classroom --out …``, the others from the benchmark of that name.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from studyhall.rollouts import interval
from studyhall.rollouts.tables import COMPARED, claim_cells, comparison_rows

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
SECTION = re.compile(r"(<!-- results:([\w-]+) -->\n).*?(<!-- /results -->)", re.DOTALL)


TEXTS = {"scenario", "metric", "source", "within tolerance", "rule", "policy", "variant", "contender"}


def markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table; columns that are not among the texts are figures."""
    lines = [header, tuple("---" if name in TEXTS else "---:" for name in header), *rows]
    cells = ([cell.replace("\n", "<br>").replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def figure(values: list[float], *, signed: bool = False) -> str:
    """A mean of fractions and its 95 % interval, in per cent."""
    found = interval([100 * value for value in values])
    return f"{found.mean:{'+' if signed else ''}.2f} ± {found.half:.2f}"


def peer_rules(found: dict) -> str:
    """Every rule tried for the peer phase."""
    rules = found["rules"]
    control = next(iter(rules.values()))["end"]["vote"]
    rows = []
    for name, measured in rules.items():
        end = measured["end"]
        gain = [a - b for a, b in zip(end["vote"], control, strict=True)]
        rows.append((name, *(figure(v) for v in end.values()), figure(gain, signed=True)))
    header = ("rule", "mean", "best", "soft vote", "vote − control, paired")
    title = f"{found['steps']:,} steps, {len(found['seeds'])} seeds, test accuracy in per cent."
    return f"{title}\n\n{markdown(header, rows)}"


def population(found: dict) -> str:
    """Learner-updates per second."""
    rows = []
    for entry in found["results"]:
        speed, ratio = entry["updates_per_second"], entry["ratio"]
        ratios = (f"{ratio[k]['median']:.2f}× ({ratio[k]['min']:.2f}–{ratio[k]['max']:.2f})" for k in ratio)
        rows.append((str(entry["learners"]), f"{speed['population']['median']:,.0f}", *ratios))
    header = ("learners", "updates/s", "against a loop, Adam", "against a loop, fused Adam")
    return f"{found['machine']}, one thread, medians of {found['rounds']} rounds.\n\n{markdown(header, rows)}"


def scenario_speed(found: dict) -> str:
    """The whole classroom beside plain loops."""
    ratios = found["loop_over_studyhall"]
    text = {"tensors": "a loop over tensors in memory", "loader": "a loop over a DataLoader"}
    cells = [
        f"{text[k]} takes {r['median']:.2f}× as long ({r['min']:.2f}–{r['max']:.2f})"
        for k, r in ratios.items()
    ]
    return f"The whole MNIST classroom, {found['seeds']} seeds in one batch, one thread: {'; '.join(cells)}."


def interval_cell(found: dict) -> str:
    """A mean of fractions and its 95 % interval, in per cent, to a tenth."""
    return f"{100 * found['mean']:.1f} ± {100 * found['half']:.1f}"


def by_kind(entry: dict) -> tuple[str, ...]:
    """Mean over kinds, the worst kind, and every kind."""
    worst = entry["worst"]
    kinds = (f"{100 * kind['mean']:.1f}" for kind in entry["kinds"].values())
    return (interval_cell(entry["mean"]), f"{interval_cell(worst)} ({worst['kind']})", *kinds)


def society(found: dict) -> str:
    """Who to listen to: every policy under every kind of liar, and what the gated protocol is ahead by."""
    base = found["base"]["policies"]
    kinds = next(iter(base.values()))["kinds"]

    def over_kinds(entry: dict) -> list[float]:
        return [sum(world) / len(world) for world in zip(*entry["values"].values(), strict=True)]

    learned = over_kinds(base["ppo gated"])
    rows = []
    for name, entry in _best_first(base):
        ahead = interval([100 * (a - b) for a, b in zip(learned, over_kinds(entry), strict=True)])
        gap = "–" if "ppo gated" in name else f"{ahead.mean:+.1f} ± {ahead.half:.1f}"
        rows.append((name, *by_kind(entry), gap))
    header = ("policy", "mean over kinds", "worst kind", *kinds, "ppo gated − it, paired")
    title = f"{len(found['base']['seeds'])} held-out worlds a kind, test accuracy of the honest in per cent."
    return f"{title}\n\n{markdown(header, rows)}"


def transfer(found: dict) -> str:
    """The same protocols, untrained further, elsewhere."""
    settings = {name: entry for name, entry in found.items() if name != "base"}
    measured = {name for entry in settings.values() for name in entry["policies"]}
    shown = [
        name for name, _ in _best_first(found["base"]["policies"]) if name in measured and "(" not in name
    ]
    rows = []
    for name in shown:
        cells = []
        for setting in settings.values():
            entry = setting["policies"].get(name)
            cells.append(
                "–"
                if entry is None
                else f"{100 * entry['mean']['mean']:.1f} / {100 * entry['worst']['mean']:.1f}"
            )
        rows.append((name, *cells))
    counts = ", ".join(f"{name}: {len(entry['seeds'])}" for name, entry in settings.items())
    title = f"Mean over kinds / worst kind, in per cent; worlds a kind: {counts}."
    return f"{title}\n\n{markdown(('policy', *settings), rows)}"


def ablation(found: dict) -> str:
    """The gated protocol with something taken away."""
    kinds = next(iter(found.values()))["kinds"]
    rows = [(name, str(len(entry["train_seeds"])), *by_kind(entry)) for name, entry in found.items()]
    return markdown(("variant", "trainings", "mean over kinds", "worst kind", *kinds), rows)


def budget(found: dict) -> str:
    """A teacher on a budget."""
    rows = []
    for name, entry in sorted(found.items(), key=lambda item: -item[1]["mean"]["mean"]):
        shares = (interval_cell(entry[m]) for m in ("mean", "best", "hard_vote", "soft_vote"))
        rows.append(
            (name, *shares, f"{entry['calls']['mean']:.1f}", f"{entry['labelled_slices']['mean']:.1f}")
        )
    header = ("policy", "mean", "best", "hard vote", "soft vote", "calls", "labelled slices of a student")
    return markdown(header, rows)


def _best_first(policies: dict) -> list[tuple[str, dict]]:
    return sorted(policies.items(), key=lambda item: -item[1]["mean"]["mean"])


def hosted(found: dict) -> str:
    """Hosted training beside plain loops, and the bridge beside SuperSuit's route."""
    rows = []
    for entry in found["throughput"]:
        speed, ratio = entry["updates_per_second"]["median"], entry["ratio"]
        ratios = (f"{ratio[k]['median']:.2f}×" for k in ("loop", "loop_fused"))
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


def reproduction(found: dict) -> str:
    """The results of one reproduction."""
    entries = found["scenarios"]
    documented = [(entry["name"], *claim_cells(claim)) for entry in entries for claim in entry["claims"]]
    compared = [row for entry in entries for row in comparison_rows(entry)]
    lengths = sorted({f"{entry['steps']:,}" for entry in entries})
    seeds = sorted({str(len(entry["seeds"])) for entry in entries})
    versions = found["versions"]
    parts = [
        f"{' / '.join(lengths)} steps, {' / '.join(seeds)} seeds, mean ± 95 % interval over seeds, in per cent; "
        f"{found['device']}, torch {versions['torch']}, studyhall {versions['studyhall']}."
    ]
    if not all(entry["comparable"] for entry in entries):
        parts.append("**Shortened runs: these figures are not comparable with the documented ones.**")
    parts.append("Documented beside measured:")
    parts.append(
        markdown(("scenario", "metric", "documented", "source", "measured", "within tolerance"), documented)
    )
    parts.append("Test accuracy, first line with dropout off at evaluation, second line with dropout on:")
    parts.append(markdown(COMPARED, compared))
    return "\n\n".join(parts)


SECTIONS = {
    "classroom": ("docs/results/classroom.json", reproduction),
    "peer_rules": ("docs/results/peer_rules.json", peer_rules),
    "society": ("docs/results/society.json", society),
    "transfer": ("docs/results/society.json", transfer),
    "ablation": ("docs/results/society_ablation.json", ablation),
    "budget": ("docs/results/budget.json", budget),
    "hosted": ("benchmarks/results/hosted.json", hosted),
    "population": ("benchmarks/results/population.json", population),
    "scenario": ("benchmarks/results/classroom.json", scenario_speed),
}
"""Name of a section to the JSON it shows and how."""


def filled(text: str) -> str:
    """A page with its results."""

    def fill(section: re.Match[str]) -> str:
        path, render = SECTIONS[section[2]]
        found = json.loads((ROOT / path).read_text(encoding="utf-8"))
        return f"{section[1]}{render(found)}\n{section[3]}"

    return SECTION.sub(fill, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is stale")
    check = parser.parse_args().check
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        if check and after != before:
            sys.exit(f"{page.name} is stale: run python benchmarks/readme.py")
        page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
