"""What `timer` prints is what cron and systemd take."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.conftest import Ended

Vsipcheck = Callable[..., Ended]
UNIT = re.compile(r"^# /etc/systemd/system/(\S+)\n(.*?)(?=^# /etc/systemd|^# systemctl)", re.DOTALL | re.MULTILINE)


def systemd_analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        missing = "systemd-analyze is not installed: `tests/run` installs it as root on Debian"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return found


def units(text: str) -> dict[str, str]:
    return {match[1]: match[2] for match in UNIT.finditer(text)}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called vsipcheck, for systemd looks whether it is there."""
    path = tmp_path / "vsipcheck"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("sys.argv", ["vsipcheck"])
    return path


@pytest.mark.parametrize(
    ("every", "fields"),
    [
        ("1", r"\* \* \* \* \*"),
        ("5", r"[0-4]-59/5 \* \* \* \*"),
        ("30", r"\d+-59/30 \* \* \* \*"),
        ("60", r"\d+ \* \* \* \*"),
        ("120", r"\d+ \*/2 \* \* \*"),
        ("1440", r"\d+ 0 \* \* \*"),
    ],
)
def test_the_crontab_line(vsipcheck: Vsipcheck, program: Path, every: str, fields: str) -> None:
    ended = vsipcheck("timer", "cron", "--every", every)
    assert (ended.code, ended.err) == (0, "")
    (line,) = [line for line in ended.out.splitlines() if not line.startswith("#")]
    assert re.fullmatch(rf"{fields} {re.escape(str(program))} all --cron --splay 30", line)


def test_the_line_means_to_the_shell_what_was_typed(vsipcheck: Vsipcheck, program: Path) -> None:
    options = ["--on-change", "mail -s 'a 100% \"b\" $C' x@y", "--expect-ip", "192.0.2.1"]
    line = vsipcheck("timer", "cron", "--splay", "7", "--", *options).out.splitlines()[-1]
    # crontab(5): an unescaped % is a newline, \% is one for the shell.
    assert not re.search(r"(?<!\\)%", line)
    command = line.split(" ", 5)[5].replace("\\%", "%")
    assert shlex.split(command) == [str(program), "all", "--cron", "--splay", "7", *options]


@pytest.mark.parametrize("every", ["1", "5", "30", "60", "120", "720", "1440"])
def test_systemd_takes_the_units(vsipcheck: Vsipcheck, program: Path, tmp_path: Path, every: str) -> None:
    analyze = systemd_analyze()
    options = ["--on-change", "mail -s 'a 100% \"b\" $C; \\' x@y"]
    ended = vsipcheck("timer", "systemd", "--every", every, "--", *options)
    assert (ended.code, ended.err) == (0, "")
    found = units(ended.out)
    assert set(found) == {"vsipcheck.service", "vsipcheck.timer"}
    folder = tmp_path / "units"
    folder.mkdir()
    for name, text in found.items():
        (folder / name).write_text(text)
    verified = subprocess.run(
        [analyze, "verify", "--man=no", *(str(folder / name) for name in found)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    calendar = re.search(r"OnCalendar=(.*)", found["vsipcheck.timer"])
    assert calendar is not None
    subprocess.run([analyze, "calendar", calendar[1]], check=True, capture_output=True, timeout=60)


def test_the_service_is_hardened(vsipcheck: Vsipcheck, program: Path, tmp_path: Path) -> None:
    analyze = systemd_analyze()
    service = units(vsipcheck("timer", "systemd").out)["vsipcheck.service"]
    for line in ("DynamicUser=yes", "StateDirectory=vsipcheck", "CapabilityBoundingSet=", "SuccessExitStatus=75"):
        assert line in service.splitlines()
    (tmp_path / "vsipcheck.service").write_text(service)
    rated = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", str(tmp_path / "vsipcheck.service")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert rated.returncode == 0, rated.stdout[-400:]  # an exposure of at most 2.0 of 10


def test_a_program_in_somebodys_home_can_be_seen(
    vsipcheck: Vsipcheck, monkeypatch: pytest.MonkeyPatch, program: Path
) -> None:
    assert "ProtectHome=yes" in vsipcheck("timer", "systemd").out
    monkeypatch.setattr("vsipcheck.cli.timer._program", lambda: ["/home/a b/bin/vsipcheck"])
    told = vsipcheck("timer", "systemd").out
    assert "ProtectHome=read-only" in told
    assert 'ExecStart="/home/a b/bin/vsipcheck" all --cron\n' in told


def test_the_time_limit_is_that_of_the_run(vsipcheck: Vsipcheck, program: Path) -> None:
    def limit(*options: str) -> float:
        found = re.search(r"TimeoutStartSec=(\d+)", vsipcheck("timer", "systemd", "--", *options).out)
        assert found is not None
        return float(found[1])

    assert limit("--deadline", "300") == limit() + 270
    assert limit("--splay", "60") == limit() + 60
