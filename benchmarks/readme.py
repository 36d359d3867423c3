"""Fill the pages' results from committed JSON: ``python benchmarks/readme.py``.

Between ``<!-- results:NAME -->`` and ``<!-- /results -->`` stand the tables of the section of that name below, with how
they were recorded and whether a replay differs (``fresh.py``), or, where its JSON is not there yet, the command that
measures it. Figures in sentences stand before a comment each, which
says where they come from (``pages/sentences.py``).
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from history import HISTORY
from pages import (
    allocation,
    bold,
    classroom,
    collective,
    k1,
    k1_hierarchy,
    listening,
    messages,
    sentences,
    socialized,
    society,
    speed,
    swarm,
    turns,
)
from pages.cells import changed, markdown
from pages.recorded import recorded
from record import FINGERPRINTS

from studyhall.rollouts.reports.claims import SOURCE_COLUMNS, source_rows
from studyhall.scenarios import sources

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = (
    ROOT / "README.md",
    DOCS / "results.md",
    *sorted((DOCS / "results").glob("*.md")),
    DOCS / "leaderboard.md",
)
MARKED = re.compile(r"(<!-- results:([\w-]+) -->\n).*?(<!-- /results -->)", re.DOTALL)


class Section(NamedTuple):
    """What stands between two marks.

    Args:
        json: File, from the root of the repository.
        render: Markdown of what it holds.
        command: What measures all of it, but for ``--out`` and the file.
        part: Key of the file without which the section is not measured.
        plot: Picture below the table, drawn by the same command; its page lies beside the JSON.
    """

    json: str
    render: Callable[[dict], str]
    command: str
    part: str | None = None
    plot: str | None = None

    def text(self) -> str:
        """Tables and picture, or how to measure them."""
        path = ROOT / self.json
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        if found is None or (self.part is not None and self.part not in found):
            plot = f" --plot {self.plot}" if self.plot else ""
            return f"Not measured yet: `{self.command} --out {self.json}{plot}`."
        part = found if self.part is None else found[self.part]
        rows = {key: value for key, value in found.items() if key != FINGERPRINTS}
        parts = [self.render(rows), *recorded(part, self.command, self._fresh())]
        if self.plot is not None and (ROOT / self.plot).exists():
            link = Path(os.path.relpath(self.plot, Path(self.json).parent)).as_posix()
            parts.append(f"![{Path(self.plot).stem}]({link})")
        return "\n\n".join(parts)

    def _fresh(self) -> dict:
        """What `fresh.py` found of the file."""
        path, fresh = ROOT / self.json, ROOT / "docs" / "results" / "fresh.json"
        found = json.loads(fresh.read_text(encoding="utf-8")) if fresh.exists() else {}
        return found.get(f"{path.parent.parent.name}/{path.stem}", {})


class Sources:
    """The table of where other people's figures come from, between two marks."""

    def text(self) -> str:
        """The table."""
        return markdown(SOURCE_COLUMNS, source_rows(sources))


def benchmark(
    name: str, render: Callable[[dict], str], *options: str, part: str | None = None, plot: str | None = None
) -> Section:
    """A section of ``docs/results/NAME.json``, written by ``benchmarks/NAME.py``."""
    command = " ".join(("python", f"benchmarks/{name}.py", *options))
    return Section(f"docs/results/{name}.json", render, command, part, plot)


def leaderboard(render: Callable[[listening.Entries], str]) -> listening.Leaderboard:
    """A section of the entries in ``docs/results/listen-v1/``."""
    return listening.Leaderboard(
        ROOT / "docs" / "results" / "listen-v1", render, "python benchmarks/listen.py entries"
    )


SECTIONS: dict[str, Section | Sources | listening.Leaderboard] = {
    "classroom": Section(
        "docs/results/classroom.json", classroom.reproduction, "studyhall reproduce classroom"
    ),
    "peer_rules": benchmark("peer_rules", classroom.peer_rules),
    "society": benchmark("society", society.society),
    "transfer": benchmark("society", society.transfer),
    "ablation": benchmark("society_ablation", society.ablation),
    "masc_documented": benchmark("masc", socialized.documented, "compare"),
    "masc": benchmark("masc", socialized.everyone, "compare"),
    "masc_own_best": benchmark("masc", socialized.own_best, "compare"),
    "masc_carriers": benchmark("masc", socialized.carriers, "carriers"),
    "masc_amounts": benchmark("masc", socialized.amounts, "amounts"),
    "masc_robustness": benchmark("masc", socialized.robustness, "robustness"),
    "bold": benchmark("bold", bold.bold),
    "k1_pareto": benchmark("k1", k1.pareto, "pareto", part="pareto"),
    "k1_selection": benchmark("k1", k1.selection, "pareto", part="pareto"),
    "k1_sequence": benchmark("k1", k1.sequence, "sequence", part="sequence"),
    "k1_wikitext": benchmark("k1", k1.wikitext, "wikitext", part="wikitext"),
    "k1_bidder": benchmark("k1_bidder", k1.bidder, "short"),
    "k1_long": benchmark("k1", k1.long, "long", part="long"),
    "k1_responsible": benchmark("k1", k1.responsible, "responsible", part="responsible"),
    "k1_operations": benchmark("k1_hierarchy", k1_hierarchy.operations, "structure", part="structure"),
    "k1_hierarchy": benchmark("k1_hierarchy", k1_hierarchy.arms, "arms", part="arms"),
    "k1_share": benchmark(
        "k1_hierarchy", k1_hierarchy.share, "share", part="share", plot="docs/k1-share.png"
    ),
    "budget": benchmark("budget", classroom.budget),
    "halves": benchmark("halves", messages.halves, plot="docs/halves.png"),
    "minicomo_speed": benchmark("minicomo_speed", messages.minicomo_speed, "--rounds 5 --steps 12"),
    "consensus": benchmark("consensus", messages.consensus, plot="docs/consensus.png"),
    "messages_rl": benchmark("messages_rl", messages.messages_rl),
    "referential": benchmark("referential", messages.referential),
    "bids": benchmark("bids", collective.bids),
    "allocation": benchmark("allocation", allocation.allocation),
    "collective": Section(
        "docs/results/collective.json",
        classroom.reproduction,
        "studyhall reproduce collective",
    ),
    "collective_mnist": benchmark("collective_mnist", collective.collective_mnist),
    "moe": benchmark("moe", collective.moe, "--only accuracy", part="accuracy"),
    "moe_time": benchmark("moe", collective.moe_time, "--only time --rounds 9", part="time"),
    "swarm_yardsticks": benchmark("swarm", swarm.yardsticks, "--parts yardsticks", part="yardsticks"),
    "swarm_speed": benchmark("swarm", swarm.speed, "--parts speed", part="speed"),
    "swarm_hybrid": benchmark("swarm", swarm.hybrid, "--parts hybrid", part="hybrid"),
    "swarm_network": benchmark("swarm", swarm.network, "--parts network", part="network"),
    "swarm_learned": benchmark("swarm", swarm.learned, "--parts learned", part="learned"),
    "hosted": Section("benchmarks/results/hosted.json", speed.hosted, "python benchmarks/hosted.py"),
    "population": Section(
        "benchmarks/results/population.json", speed.population, "python benchmarks/population.py"
    ),
    "draws": benchmark("draws", turns.draws),
    "payload": benchmark("payload", turns.payload),
    "worlds_many": benchmark("worlds", turns.many),
    "worlds_single": benchmark("worlds", turns.single),
    "neighbours_speed": benchmark("neighbours", turns.neighbours_speed, "speed", part="speed"),
    "neighbours_accuracy": benchmark("neighbours", turns.neighbours_accuracy, "accuracy", part="accuracy"),
    "transformer": benchmark("transformer", speed.transformer, "--rounds 15"),
    "convolutional": Section(
        "benchmarks/results/convolutional.json", speed.convolutional, "python benchmarks/convolutional.py"
    ),
    "scenario": Section(
        "benchmarks/results/classroom.json",
        speed.scenario,
        "python benchmarks/classroom.py --steps 500 --rounds 3",
    ),
    "listen_v1": leaderboard(listening.ranking),
    "listen_v1_best": leaderboard(listening.best),
    "listen_v1_against_best": leaderboard(listening.against_best),
    "listen_parts": benchmark("listen_parts", listening.parts),
    "listen_v1_accuracy": leaderboard(listening.accuracies),
    "listen_v1_brier": leaderboard(listening.brier),
    "sources": Sources(),
}


def filled(text: str) -> str:
    """A page with its results: tables, what was changed about them, and figures in sentences."""

    def section(marks: re.Match[str]) -> str:
        text = "\n\n".join([SECTIONS[marks[2]].text(), *changed(HISTORY.get(marks[2], ()))])
        return f"{marks[1]}{text}\n{marks[3]}"

    return sentences.filled(MARKED.sub(section, text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is stale")
    check = parser.parse_args().check
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        if check and after != before:
            sys.exit(f"{page.name} is stale: run python benchmarks/readme.py")
        if not check:
            page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
