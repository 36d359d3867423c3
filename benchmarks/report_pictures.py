"""Draw docs/report-*.png from four real reports: ``python benchmarks/report_pictures.py``, with a Chromium there.

A classroom, a society with a liar, halves of pictures and K-1, each run anew, in some minutes. ``--keep FOLDER`` keeps
runs and reports, and takes what is there.
"""

import argparse
import io
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from studyhall import report, rollout, train

DOCS = Path(__file__).resolve().parents[1] / "docs"


class Shown(NamedTuple):
    """A run, and the sections of its report that are shown, one below the other."""

    scenario: str
    seeds: Sequence[int]
    sections: Sequence[str]
    updates: int | None = None  # of a training before


SHOWN = {
    "classroom": Shown("classroom-digits", range(2), ("curves", "costs")),
    "society": Shown("society-liar-digits", range(2), ("listening", "seen")),
    "halves": Shown("halves-digits", range(8), ("listening", "seen"), updates=600),
    "k1": Shown("k1-quick", (0,), ("curves", "listening")),
}

PATIENCE = 300_000  # milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder of runs and reports")
    parser.add_argument("--only", choices=SHOWN, help="one of the four")
    args = parser.parse_args()
    torch.set_num_threads(1)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        parser.error("no Chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, shown in SHOWN.items():
            if args.only in (None, name):
                draw(
                    browser,
                    made(shown, (args.keep or Path(folder)) / name),
                    shown,
                    DOCS / f"report-{name}.png",
                )


def made(shown: Shown, folder: Path) -> Path:
    """The report of a run, which is made where it is not there yet."""
    how: dict[str, Any] = {}
    if shown.updates is not None:
        trained = folder.with_name(f"{folder.name}-training")
        if not (trained / "best.zip").exists():
            train(shown.scenario, updates=shown.updates, out=trained)
        how["policy"] = str(trained / "best.zip")
    if not (folder / "report.json").exists():
        rollout(shown.scenario, seeds=shown.seeds, out=folder, **how)
    return report(folder)


def draw(browser: Browser, page_file: Path, shown: Shown, path: Path) -> None:
    """Write a picture of some sections of a report."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.goto(page_file.absolute().as_uri(), wait_until="commit")
    page.wait_for_selector("html[data-ready]")
    others = "".join(f":not(#{name})" for name in shown.sections)
    page.add_style_tag(
        content=f"nav, footer, section{others} {{ display: none; }} nav {{ position: static; }}"
    )
    page.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    page.close()
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {picture.width}×{picture.height}, {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
