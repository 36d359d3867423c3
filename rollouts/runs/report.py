"""Writing the page of runs, given as folders or as what :func:`~studyhall.rollout` returned, and serving it."""

from __future__ import annotations

import contextlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ...envs.errors import ConfigError, StudyhallError, warn
from ...envs.files import as_path, check_writable
from ...envs.language.files import SUFFIX, read_model
from ..reports.page.document import page
from ..reports.page.sections import Subject
from ..reports.report import Report
from ..storage.folders import made_by, read_config
from ..storage.text import write_text
from ..terminal.interrupts import raise_on_interrupt
from .generation import PROMPTS, generate
from .run_folder import RunFolder

FILE = "report.html"

_PROMPTS, _TOKENS = PROMPTS[:2], 40  # of what a model writes


def report(*runs: str | Path | Report, out: str | Path | None = None) -> Path:
    """Write one page of HTML about runs, as ``studyhall report`` does: it needs no network, and no other file.

    Args:
        *runs: Folders of runs that have ended, or what ``rollout`` returned; several stand side by side.
        out: The file; None takes ``report.html`` in the folder of a single run, of several in the current folder.

    Returns:
        The file.

    Raises:
        ConfigError: There is no run, one cannot be read, the file cannot be written, or plotly is not installed.
    """
    if not runs:
        raise ConfigError("which run? give its folder, or what rollout returned")
    subjects = [_subject(run, place) for place, run in enumerate(runs)]
    if out is None:
        (first, *others) = runs
        out = Path(FILE) if others or isinstance(first, Report) else Path(first) / FILE
    path = as_path("out", out, ConfigError)
    check_writable(path)
    write_text(path, page(subjects))
    return path


def _subject(run: str | Path | Report, place: int) -> Subject:
    if isinstance(run, Report):
        return Subject(f"run {place + 1}", run, {"versions": made_by()})
    folder = RunFolder(as_path("a run", run, ConfigError))
    found = folder.found()
    return Subject(str(run), found, read_config(folder.path, "run"), _written(folder, found))


def _written(folder: RunFolder, found: Report) -> tuple[tuple[str, str], ...]:
    """What the language model that a run's first seed left makes of prompts; nothing where it left none."""
    path = folder.stages / f"seed_{found.seeds[0]}" / f"model{SUFFIX}"
    if not path.exists():
        return ()
    try:
        made = generate(read_model(path), _PROMPTS, tokens=_TOKENS)
    except StudyhallError as fault:
        warn(f"{path} is left out of the report: {fault}")
        return ()
    return tuple((one.prompt, one.text) for one in made)


def server_of(path: Path, port: int) -> ThreadingHTTPServer:
    """A server of one file, and nothing else, to browsers of this machine.

    Args:
        path: The page.
        port: Of the address; 0 takes a free one.

    Raises:
        ConfigError: The port cannot be had.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] not in ("/", f"/{path.name}"):
                self.send_error(404)
                return
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the terminal shows the address."""

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as fault:
        raise ConfigError(
            f"port {port} cannot be had ({fault.strerror}): give another with --port"
        ) from fault


def address_of(server: ThreadingHTTPServer) -> str:
    """Where a browser finds it."""
    return f"http://127.0.0.1:{server.server_address[1]}/"


def serve(server: ThreadingHTTPServer) -> None:
    """Serve until Ctrl-C."""
    with server, raise_on_interrupt(), contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
