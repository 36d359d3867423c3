"""Fill the README's results from committed JSON: ``python benchmarks/readme.py``.

Between ``<!-- results:NAME -->`` and ``<!-- /results -->`` stand the tables of ``docs/results/NAME.json``, which
``studyhall reproduce NAME --out docs/results/NAME.json`` wrote.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from studyhall.rollouts.tables import COMPARED, claim_cells, comparison_rows

ROOT = Path(__file__).resolve().parents[1]
SECTION = re.compile(r"(<!-- results:([\w-]+) -->\n).*?(<!-- /results -->)", re.DOTALL)


TEXTS = {"scenario", "metric", "source", "within tolerance"}


def markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table; columns that are not among the texts are figures."""
    lines = [header, tuple("---" if name in TEXTS else "---:" for name in header), *rows]
    cells = ([cell.replace("\n", "<br>").replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def tables(found: dict) -> str:
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


def filled(text: str) -> str:
    """The README with its results."""

    def fill(section: re.Match[str]) -> str:
        path = ROOT / "docs" / "results" / f"{section[2]}.json"
        if not path.exists():
            return section[0]
        found = json.loads(path.read_text(encoding="utf-8"))
        return f"{section[1]}{tables(found)}\n{section[3]}"

    return SECTION.sub(fill, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the README is stale")
    check = parser.parse_args().check
    readme = ROOT / "README.md"
    before = readme.read_text(encoding="utf-8")
    after = filled(before)
    if check:
        sys.exit("README.md is stale: run python benchmarks/readme.py" if after != before else 0)
    readme.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
