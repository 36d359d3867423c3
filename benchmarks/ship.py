"""Put a trained policy into the package: of its zip only the weights and what it says of itself, nothing pickled.

python benchmarks/ship.py runs/society-liar-digits-ppo-1/best.zip society-gated
"""

import argparse
import zipfile
from pathlib import Path

from studyhall.policies.saved import saved_policy

FOLDER = Path(__file__).resolve().parents[1] / "policies" / "trained"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source")
    parser.add_argument("name")
    given = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f"{given.name}.zip"
    with (
        zipfile.ZipFile(given.source) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as shipped,
    ):
        for name in ("policy.pth", "studyhall.json"):
            # A fixed date: the same policy is the same file.
            shipped.writestr(zipfile.ZipInfo(name), source.read(name), zipfile.ZIP_DEFLATED)
    made = saved_policy(str(target)).about
    print(
        f"{target.relative_to(FOLDER.parents[1])}: {target.stat().st_size:,} bytes, made by: {made['command']}"
    )


if __name__ == "__main__":
    main()
