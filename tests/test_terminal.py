"""Where output goes: code pages that lack our glyphs, notebooks, and Ctrl-C at any time."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from studyhall.rollouts import cli
from studyhall.rollouts.terminal.interrupts import quit_on_interrupt, raise_on_interrupt, stop_requests
from studyhall.rollouts.terminal.streams import fit_any_code_page

SHORT = (
    "run",
    "classroom-digits",
    "--steps",
    "4",
    "--seeds",
    "0-1",
    "--set",
    "agents=2",
    "--set",
    "policy.hidden=[8]",
)


def started(*arguments: str, cwd: Path, python: tuple[str, ...] = (), **env: str) -> subprocess.Popen[bytes]:
    """The command line in a process of its own, its output in bytes."""
    return subprocess.Popen(
        [sys.executable, *python, "-m", "studyhall", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_run_is_shown_where_there_is_only_ascii(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True))
    with pytest.raises(SystemExit) as ended:
        cli.main(list(SHORT))
    assert (ended.value.code or 0, sys.stderr.buffer.getvalue()) == (0, b"")
    text = sys.stdout.buffer.getvalue().decode("ascii")
    assert "mean +- 95 % interval over 2 seeds" in text
    assert "peers against mute: " in text
    assert "?" not in text


PAGES = ("cp1252", "cp437", "ascii")
ONE_AFTER_THE_OTHER = """
import sys
from studyhall.rollouts import cli
for page in sys.argv[1:]:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding=page, errors="strict")
    for command in (["list", "data"], ["train", "--help"], ["run", "\\N{MINUS SIGN}\\N{HORIZONTAL ELLIPSIS}"]):
        try:
            cli.main(command)
        except SystemExit as ended:
            print(page, command[0], "ended with", ended.code or 0)
"""


def test_every_command_writes_in_any_code_page(tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, *PAGES],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": PAGES[0]},
        capture_output=True,
    )
    assert process.returncode == 0, process.stderr
    told = process.stderr.splitlines()
    assert len(told) == len(PAGES), process.stderr
    assert all(line.startswith(b"studyhall: unknown scenario ") for line in told)
    ends = [line for line in process.stdout.decode("latin-1").splitlines() if " ended with " in line]
    codes = {"list": 0, "train": 0, "run": 2}
    assert ends == [f"{page} {name} ended with {code}" for page in PAGES for name, code in codes.items()]


def test_glyphs_are_spelt_out():
    for page in PAGES:
        stream = io.TextIOWrapper(io.BytesIO(), encoding=page)
        with contextlib.redirect_stdout(stream):
            fit_any_code_page()
            print("−0.5 ± 0.1 ✓ → ≥ 字")
        stream.flush()
        written = stream.buffer.getvalue().decode(page)
        assert written.startswith("-0.5 ")
        assert written.rstrip().endswith("?")


def test_the_c_locale_is_no_trouble(tmp_path):
    process = started(
        "list", "worlds", cwd=tmp_path, LC_ALL="C", LANG="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
    )
    out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"classroom-v0" in out


def test_json_is_the_same_in_any_code_page(tmp_path):
    found = [
        started("list", "envs", "--json", cwd=tmp_path, PYTHONIOENCODING=page).communicate()[0]
        for page in ("utf-8", "ascii")
    ]
    assert found[0] == found[1]
    assert "envs" in json.loads(found[0])


def on_a_terminal(*arguments: str, cwd: Path, **env: str) -> str:
    """What a process writes to a terminal of its own."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "studyhall", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", **env},
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    seen = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    process.wait()
    os.close(master)
    assert process.returncode == 0, seen
    return seen.decode(errors="replace")


def test_a_notebook_gets_no_bar(tmp_path):
    cell = on_a_terminal(*SHORT, "--controls", "none", cwd=tmp_path, JPY_PARENT_PID="1", FORCE_COLOR="1")
    assert "best student" in cell
    assert "\x1b[?25l" not in cell  # the cursor is hidden while a bar is drawn
    assert "steps/s" not in cell


def test_a_long_run_tells_its_progress_in_ten_lines_at_most(capsys, monkeypatch):
    from studyhall.rollouts.runs import progress
    from studyhall.rollouts.runs.run import Live

    monkeypatch.setattr(progress, "_SELDOM", 0.0)
    with progress.LiveProgress("long", 1000) as shown:
        for step in range(1, 1001):
            shown(Live(step, 1000, "exam_accuracy", 0.5, 0.6, float("nan"), 0.0, 10.0))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "studyhall: step 1000/1000 · exam 50.0% · best 60.0% · 0 KiB · 10 steps/s"


def test_an_interrupt_during_imports_is_one_line(tmp_path):
    """Python says what it has imported: while torch is on its way, Ctrl-C is sent."""
    process = started(*SHORT, cwd=tmp_path, python=("-X", "importtime"))
    assert process.stderr is not None
    for line in process.stderr:
        if line.rpartition(b"|")[2].strip().startswith(b"torch."):
            break
    process.send_signal(signal.SIGINT)
    rest = [line for line in process.stderr.read().splitlines() if not line.startswith(b"import time:")]
    assert process.wait() == 130
    assert rest == [b"studyhall: interrupted"]


def test_an_interrupt_is_as_before_where_nothing_runs():
    before = signal.getsignal(signal.SIGINT)
    with quit_on_interrupt():
        assert signal.getsignal(signal.SIGINT) is not before
        with raise_on_interrupt(), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_asks_and_a_second_one_interrupts(number):
    before = signal.getsignal(number)
    with stop_requests() as asked:
        assert not asked()
        signal.raise_signal(number)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_names_are_no_markup(call, tmp_path, monkeypatch):
    """Brackets and colons are what some consoles read styles and emojis from."""
    monkeypatch.chdir(tmp_path)
    run = (*SHORT[:3], "2", "--seeds", "0", "--controls", "none", *SHORT[6:])
    for name in ("[", "a[red]b :x: naïve 名"):
        folder = f"{name}/x]" if name == "[" else name
        code, out, err = call(*run, "--out", folder)
        assert (code, err) == (0, "")
        assert f"everything is in {folder}\n" in out
        for command, said in (("export", f"in {folder}/export; "), ("report", f"is {folder}/report.html ")):
            code, out, err = call(command, folder)
            assert (code, err) == (0, "")
            assert said in out
    assert Path("a[red]b :x: naïve 名/report.html").exists()


def test_a_long_name_is_not_folded(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = "/".join(["a rather long name of a folder"] * 8)
    _, out, _ = call(*SHORT[:3], "2", "--seeds", "0", "--controls", "none", *SHORT[6:], "--out", folder)
    assert f"everything is in {folder}\n" in out


def test_no_terminal_obeys_an_error(call):
    code, _, err = call("run", "--resume", "\x1b[2J")
    assert (code, err) == (2, "studyhall: \\x1b[2J is no folder of a run: it has no config.json\n")


def test_what_is_no_text_is_printed_all_the_same():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(stream):
        fit_any_code_page()
        print("\udcff ± 名")
    stream.flush()
    assert stream.buffer.getvalue().decode() == "? ± 名\n"


@pytest.mark.parametrize("closed", ["2>&-", ">&-"])
def test_a_closed_stream_is_no_trouble(tmp_path, closed):
    command = f"{sys.executable} -m studyhall {' '.join(SHORT)} --controls none --out run {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "run" / "report.json").exists()


def test_a_request_within_another_is_for_both():
    """As of a run in a sweep, between whose runs nobody would hear it."""
    before = signal.getsignal(signal.SIGINT)
    with stop_requests() as sweep:
        with stop_requests() as run:
            assert not run()
        signal.raise_signal(signal.SIGINT)
        assert sweep()
        with stop_requests() as run:
            assert run()
    assert signal.getsignal(signal.SIGINT) is before
    with stop_requests() as again:
        assert not again()
