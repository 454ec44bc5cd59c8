"""The formats on the command line: which file gets which, and the exit codes that Nagios knows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Ended, Runs
from junitparser import JUnitXml

from vsipcheck.model import Overall
from vsipcheck.render import FORMATS

Call = Callable[..., Ended]

# How a text of each format begins.
STARTS = {
    "terminal": "vsipcheck 0",
    "json": "{",
    "nagios": "VSIPCHECK ",
    "prometheus": "# HELP vsipcheck_info",
    "junit": '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites',
    "markdown": "## ",
    "html": "<!doctype html>",
}


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_goes_to_stdout_and_to_files(vsipcheck: Call, runs: Runs, tmp_path: Path, format: str) -> None:
    ended = vsipcheck("dns", "--format", format, "-o", str(tmp_path / "same"), "-o", f"{format}:{tmp_path}/named")
    assert ended.err == ""
    assert ended.out.startswith(STARTS[format])
    assert (tmp_path / "same").read_text() == (tmp_path / "named").read_text() == ended.out


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.html", "html"),
        ("a.md", "markdown"),
        ("a.xml", "junit"),
        ("a.prom", "prometheus"),
        ("a.json", "json"),
        ("a.txt", "terminal"),
        ("a.nagios", "terminal"),
    ],
)
def test_a_files_name_says_its_format(vsipcheck: Call, runs: Runs, tmp_path: Path, name: str, format: str) -> None:
    vsipcheck("dns", "-o", str(tmp_path / name))
    assert (tmp_path / name).read_text().startswith(STARTS[format])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"overall": Overall.READY}, 0),
        ({"overall": Overall.READY_WITH_WARNINGS}, 0),  # no row and no finding warns in this report
        ({"overall": Overall.NOT_READY, "exit_code": 1}, 2),
        ({"overall": Overall.NOT_PROVEN, "exit_code": 3}, 3),
        ({"overall": Overall.NOT_PROVEN, "exit_code": 130, "interrupted": True}, 3),
    ],
)
def test_exit_code_is_nagios_own_where_stdout_is_for_it(
    vsipcheck: Call, runs: Runs, tmp_path: Path, changes: dict[str, Any], code: int
) -> None:
    runs.changes.update(changes)
    assert vsipcheck("dns", "--format", "nagios").code == code
    # A file for Nagios changes nothing: the caller reads the exit code of the report.
    assert vsipcheck("dns", "-o", f"nagios:{tmp_path}/x").code == changes.get("exit_code", 0)


@pytest.mark.parametrize("typed", [["--format", "nagios"], ["--format=nagios"]])
def test_what_was_not_checked_is_unknown_to_nagios(
    vsipcheck: Call, runs: Runs, tmp_path: Path, typed: list[str]
) -> None:
    ended = vsipcheck("dns", *typed, "--expect-pi", "|<b>")
    assert (ended.code, ended.err.count("\n")) == (3, 1)
    assert ended.out.startswith("VSIPCHECK UNKNOWN - dns: no such option: --expect-pi")
    ended = vsipcheck("dns", *typed, "--timeout", "-1")
    assert (ended.code, ended.out) == (3, f"VSIPCHECK UNKNOWN - {ended.err.removeprefix('vsipcheck: ')}")
    ended = vsipcheck("dns", *typed, "-o", str(tmp_path / "missing" / "x"))
    assert ended.code == 3
    assert ended.out.count("\n") == 2  # the line of the run itself
    assert not set("|<>&`$") & set(vsipcheck("dns", *typed, "--profile", "a|<b>`c`$d&").out)


def test_other_formats_keep_their_codes(vsipcheck: Call, runs: Runs) -> None:
    ended = vsipcheck("dns", "--format", "junit", "--timeout", "-1")
    assert (ended.code, ended.out) == (2, "")


def test_fault_of_our_own_is_unknown_to_nagios(vsipcheck: Call, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("vsipcheck.cli.run.outputs_for", broken)
    ended = vsipcheck("dns", "--format", "nagios")
    assert (ended.code, ended.out) == (3, "VSIPCHECK UNKNOWN - internal error: RuntimeError\n")


def test_demo_takes_every_format(tmp_path: Path) -> None:
    """One run of the real checks, in every format at once."""
    files = {format: tmp_path / format for format in FORMATS}
    outputs = [word for format, path in files.items() for word in ("-o", f"{format}:{path}")]
    ended = subprocess.run(
        [sys.executable, "-m", "vsipcheck", "demo", "forbidden", "--format", "nagios", *outputs],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 2
    assert ended.stdout.startswith("VSIPCHECK CRITICAL - SIMULATED: NOT READY")
    assert {format: path.read_text().startswith(STARTS[format]) for format, path in files.items()} == dict.fromkeys(
        FORMATS, True
    )
    for format in ("terminal", "json", "markdown", "html", "junit"):
        assert "simulated" in files[format].read_text().lower()
    assert "vsipcheck_run_simulated 1.0" in files["prometheus"].read_text()
    assert JUnitXml.fromstring(files["junit"].read_bytes()).failures > 0
