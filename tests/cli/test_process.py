"""The process as the shell sees it: closed and full outputs, signals, faults of our own."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FAKE = [sys.executable, str(Path(__file__).with_name("fake_vsipcheck.py"))]
REAL = [sys.executable, "-m", "vsipcheck"]
ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "default", "NO_COLOR": ""}


def shell(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, in which "$@" is the command line."""
    return subprocess.run(
        ["bash", "-c", script, "bash", *arguments], capture_output=True, text=True, env=ENVIRONMENT, timeout=60
    )


@pytest.mark.parametrize(
    "command",
    [
        [*REAL, "--version"],
        [*REAL, "--help"],
        [*REAL, "all", "--help"],
        [*REAL, "profile", "show"],
        [*REAL, "completion", "fish"],
        [*REAL, "schema"],
        [*FAKE, "report", "dns"],
        [*FAKE, "report", "dns", "--json"],
        [*FAKE, "report", "dns", "--quiet"],
    ],
    ids=lambda command: " ".join(command[1:]).rpartition("/")[2],
)
@pytest.mark.parametrize("where", ["closed", "full", "unread"])
def test_a_stdout_that_takes_nothing_is_a_lost_output(command: list[str], where: str) -> None:
    if where == "unread":
        # The reader is gone before anything is written.
        reading, writing = os.pipe()
        os.close(reading)
        ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, timeout=60)
        os.close(writing)
    else:
        ended = shell('"$@" >&-' if where == "closed" else '"$@" >/dev/full', *command)
    assert ended.returncode == 4
    if command[-1] != "--version":
        assert ended.stderr.startswith("vsipcheck: cannot write stdout: ")
        assert ended.stderr.count("\n") == 1


def test_files_are_written_although_stdout_is_closed(tmp_path: Path) -> None:
    ended = shell('"$@" >&-', *FAKE, "report", "dns", "-o", str(tmp_path / "a.json"))
    assert ended.returncode == 4
    assert json.loads((tmp_path / "a.json").read_text())["exit_code"] == 0


def test_a_closed_stderr_changes_nothing() -> None:
    ended = shell('"$@" 2>&-', *FAKE, "report", "dns", "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout)
    assert shell('"$@" 2>&-', *FAKE, "report", "dns", "--port", "0").returncode == 2


def test_dev_stdout_of_a_redirected_process_is_written_straight(tmp_path: Path) -> None:
    log = tmp_path / "log"
    ended = shell(
        f'{{ echo before; "$@"; echo after; }} > {log}', *FAKE, "report", "dns", "-q", "-o", "json:/dev/stdout"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    first, *report, line, last = log.read_text().splitlines()
    assert (first, last) == ("before", "after")
    assert json.loads("\n".join(report))
    assert line
    assert Path("/dev/stdout").is_symlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_reports_what_was_measured(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "a.json"
    process = subprocess.Popen(
        [*FAKE, "wait", "dns", "--json", "-o", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        assert process.stderr.readline() == "measuring\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "stopping\n")
    assert json.loads(out)["interrupted"] is True
    assert json.loads(file.read_text())["interrupted"] is True


def test_the_second_signal_leaves_at_once() -> None:
    process = subprocess.Popen([*FAKE, "hang", "dns"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stderr is not None
        assert process.stderr.readline() == "measuring\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "stopping\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_signal_before_the_measuring_stops_it_as_well() -> None:
    ended = shell('"$@"', *FAKE, "early", "dns", "--json")
    assert (ended.returncode, ended.stderr) == (130, "stopping\n")
    assert json.loads(ended.stdout)["interrupted"] is True


def test_a_signal_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    ended = shell('"$@"', *FAKE, "late", "dns", "-o", str(tmp_path / "a.json"))
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "vsipcheck: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_an_ignored_signal_stays_ignored() -> None:
    ended = shell(
        "trap '' INT; \"$@\" & pid=$!; kill -INT $pid; kill -TERM $pid; wait $pid", *FAKE, "wait", "dns", "-q"
    )
    assert ended.returncode in (130, 128 + signal.SIGTERM)  # the SIGTERM, before or after Python was up


def test_a_fault_of_our_own_is_one_line() -> None:
    ended = shell('"$@"', *FAKE, "crash", "dns")
    assert (ended.returncode, ended.stdout) == (4, "")
    assert ended.stderr == (
        r"vsipcheck: internal error: RuntimeError: a fault\x0aof our own (VSIPCHECK_DEBUG=1 shows where)" "\n"
    )
    assert "Traceback" in shell('VSIPCHECK_DEBUG=1 "$@"', *FAKE, "crash", "dns").stderr


def test_what_libraries_say_on_the_side_stays_off_stderr() -> None:
    ended = shell('"$@"', *FAKE, "noisy", "dns", "-q")
    assert (ended.returncode, ended.stderr) == (
        0,
        "vsipcheck: internal error: KeyError: 1 (VSIPCHECK_DEBUG=1 shows where)\n",
    )


@pytest.mark.parametrize("typed", [["dns"], ["dns", "--quiet"]])
def test_progress_is_drawn_on_a_terminal_alone_and_is_harmless(typed: list[str]) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*FAKE, "report", *typed],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(theirs)
    drawn = b""
    try:
        while chunk := os.read(ours, 65536):
            drawn += chunk
    except OSError:  # the end of a pseudo-terminal, as Linux tells it
        pass
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"\x1b" not in out
    if "--quiet" in typed:
        assert drawn == b""
    else:
        assert b"\x1b[31m" not in drawn
        assert drawn.count(b"\x1b[?25l") == drawn.count(b"\x1b[?25h")  # the cursor is back


def test_version_is_answered_without_the_command_tree() -> None:
    program = "import sys; from vsipcheck.__main__ import main; sys.argv[1:] = ['--version']; main()"
    ended = subprocess.run(
        [sys.executable, "-c", f"{program}; print(*sys.modules)"], capture_output=True, text=True, timeout=60
    )
    version, modules = ended.stdout.splitlines()
    assert version.startswith("vsipcheck ")
    assert not {"typer", "msgspec", "asyncio", "vsipcheck.model"} & set(modules.split())


def test_help_loads_nothing_that_only_a_run_needs() -> None:
    program = "import sys; from vsipcheck.cli.app import main; main(['all', '--help'])"
    ended = subprocess.run(
        [sys.executable, "-c", f"{program}; print(*sys.modules)"], capture_output=True, text=True, timeout=60
    )
    modules = set(ended.stdout.splitlines()[-1].split())
    assert "typer" in modules
    assert not {"asyncio", "httpx", "dns", "rich", "msgspec", "socket", "vsipcheck.runner"} & modules
