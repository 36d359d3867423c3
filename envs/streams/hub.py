"""The Hugging Face hub through ``datasets``, and parquet files in its place."""

from __future__ import annotations

import logging
import os
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files import as_path

_PATIENCE = 5.0  # seconds for the hub to answer at all


@contextmanager
def offline(forbid: bool = True) -> Iterator[None]:
    """Keeps `datasets` from the network, as HF_HUB_OFFLINE=1 does where it is set before the import.

    Local files need this as well: opening them would report to the hub's download counter.
    """
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or forbid
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


@contextmanager
def unlogged() -> Iterator[None]:
    """Keeps `datasets` from logging the faults that it raises too: a fault is one line."""
    logger = logging.getLogger("datasets")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def corrupt(path: Path, fault: Exception) -> DataError:
    """The error for a file that is no parquet."""
    return DataError(f"{str(path)!r} cannot be read as parquet ({fault}): fetch it again")


def local_root(data_dir: str | os.PathLike[str] | None, holds: str) -> tuple[str, Path] | None:
    """What names the folder of local data, and the folder; None where none was asked for.

    Args:
        data_dir: As it was given; ``$STUDYHALL_DATA`` where it is None.
        holds: What it should hold, for the error.

    Raises:
        DataError: It is no folder.
    """
    asked = data_dir or os.environ.get("STUDYHALL_DATA")
    if not asked:
        return None
    said = "data_dir" if data_dir else "STUDYHALL_DATA"
    root = as_path(said, asked)
    if not root.is_dir():
        raise DataError(f"{said} is {str(root)!r}, which is no folder: point it to one that holds {holds}")
    return said, root


def part_files(folder: Path, part: str) -> list[Path]:
    """``train.parquet``, ``train-0.parquet``, ``train-00000-of-00001.parquet``, …, in the order of names."""
    pattern = re.compile(rf"{part}(?![a-z]).*\.parquet", re.IGNORECASE)
    return sorted(path for path in folder.rglob("*.parquet") if pattern.fullmatch(path.name))


def open_hub(repository: str, **asked: Any) -> Any:
    """The parts of a hub repository, by name.

    Args:
        repository: ``owner/name``.
        **asked: As ``datasets.load_dataset`` takes it: which configuration, revision or files of it.

    Raises:
        DataError: It cannot be had, nor was it fetched before.
    """
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    forbidden, endpoint = datasets.config.HF_HUB_OFFLINE, datasets.config.HF_ENDPOINT
    answers = not forbidden and _answers(endpoint)
    try:
        # `datasets` would ask an absent network for half a minute before it looks at what it fetched before.
        with offline(not answers):
            return datasets.load_dataset(repository, **asked)
    except (OSError, ValueError, datasets.exceptions.DatasetsError, HfHubHTTPError) as fault:
        # ValueError is what a configuration that was never fetched is to `datasets` offline.
        if forbidden:
            reason = "HF_HUB_OFFLINE forbids to ask, and no copy was fetched before"
        elif not answers:
            reason = f"no answer from {endpoint}, and no copy was fetched before"
        elif isinstance(fault, ConnectionError):
            reason = f"the connection to {endpoint} failed"
        else:
            reason = str(fault).strip().partition("\n")[0]
        raise DataError(
            f"cannot get {repository} from the Hugging Face hub ({reason}): set STUDYHALL_DATA or data_dir "
            "to a folder of parquet files, or pass your own data"
        ) from fault


def _answers(url: str) -> bool:
    """Whether anything answers there (through proxies where the environment names them)."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_PATIENCE).close()
    except urllib.error.HTTPError:
        return True  # an answer, if not a friendly one: `datasets` may know better what to ask
    except urllib.error.URLError as fault:
        return isinstance(fault.reason, ssl.SSLError)  # certificates: `datasets` brings its own
    except OSError:
        return False
    return True
