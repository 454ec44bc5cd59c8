"""A history of a million runs: how long `vsipcheck history` takes to show it, beside one of a thousand."""

from __future__ import annotations

import datetime
import sqlite3
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import msgspec
from history_reports import run_at
from lab.laboratory import command_under_test

from bench.figures import Figure, Row, Sample
from vsipcheck.history import TRUNK, History
from vsipcheck.model import Finding, Report, Status

FEW, MANY = 1_000, 1_000_000
FINDINGS = 24
TITLE = f"`vsipcheck history` over {MANY:,} runs of {FINDINGS} findings"
RUNS = 5
AIM_S = 1.0
SPACING_S = 60  # a run a minute: a million runs are two years


def measure() -> list[Row]:
    """Builds both files, then shows each of them by the real command."""
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder) / "few.sqlite", Path(folder) / "many.sqlite"
        build(few, FEW)
        build(many, MANY)
        shown = {file: Sample(tuple(_show(file) for _ in range(RUNS))) for file in (few, many)}
        recorded = Sample(tuple(_record(many, number) for number in range(RUNS)))
        size_mb = many.stat().st_size / 1e6
    return [
        Figure(f"{FEW:,} runs shown", shown[few].median, "s", noise=shown[few].spread("s")),
        Figure(f"{MANY:,} runs shown", shown[many].median, "s", AIM_S, noise=shown[many].spread("s")),
        Figure("ratio of the two", shown[many].median / shown[few].median, "x"),
        Figure(f"one more recorded after {MANY:,}", recorded.median * 1000, "ms", noise=recorded.spread("ms", 1000)),
        Figure("the file", size_mb, "MB"),
    ]


def build(file: Path, runs: int) -> None:
    """A file as `runs` calls of `record` leave it, made quickly: real ones to begin with, the rest in bulk.

    What the summary reads (hours, changes, spans) is written for every hour, as recording does it.
    """
    end = datetime.datetime.now(datetime.UTC)
    start_ms = int(end.timestamp() * 1000) - runs * SPACING_S * 1000
    with History(file) as history:
        for number in range(40):
            history.record(_report(start_ms + number, number), {TRUNK: "49.36.10.7"}, keep_ms=10**15)
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    state, address, detail, overall = db.execute("SELECT state, address, detail, overall FROM run LIMIT 1").fetchone()
    findings = [row[0] for row in db.execute("SELECT id FROM finding")]
    measures = [row[0] for row in db.execute("SELECT DISTINCT measure FROM trend")]
    db.executemany(
        "INSERT INTO run (series, run_id, started_ms, duration_ms, overall, exit_code, failed, state, address, detail)"
        " VALUES (1, ?, ?, 3000.0, ?, ?, ?, ?, ?, ?)",
        (
            (
                str(uuid.UUID(int=number)),
                start_ms + number * SPACING_S * 1000,
                overall,
                int(number % 50 == 0),
                int(number % 50 == 0),
                state,
                address,
                detail,
            )
            for number in range(40, runs)
        ),
    )
    db.execute("UPDATE series SET runs = ?", (runs,))
    hours = range(start_ms // 3_600_000, (start_ms + runs * SPACING_S * 1000) // 3_600_000 + 1)
    db.executemany(
        "INSERT OR REPLACE INTO hourly VALUES (1, ?, ?, 58, 1, 1)", ((hour, one) for hour in hours for one in findings)
    )
    db.executemany(
        "INSERT OR REPLACE INTO trend VALUES (1, ?, ?, ?, 60, 1200.0, 15.0, 40.0)",
        ((hour, one, measure) for hour in hours for one in findings for measure in measures),
    )
    db.executemany(
        "INSERT OR REPLACE INTO change VALUES (1, ?, ?, ?, 1, 2, 3)",
        ((number, findings[0], start_ms + number * SPACING_S * 1000) for number in range(40, runs, 25)),
    )
    db.execute("COMMIT")
    db.close()


def _report(started_ms: int, number: int) -> Report:
    one = run_at(0, Status.FAIL if number % 7 == 0 else Status.PASS)
    options = one.findings[0]
    findings: list[Finding] = [
        msgspec.structs.replace(options, target=f"pstn.in{at}.exotel.com@192.0.2.{at}") for at in range(FINDINGS)
    ]
    moment = datetime.datetime.fromtimestamp(started_ms / 1000, datetime.UTC).isoformat()
    return msgspec.structs.replace(one, findings=tuple(findings), started_at=moment)


def _record(file: Path, number: int) -> float:
    began = time.perf_counter()
    with History(file) as history:
        history.record(_report(int(time.time() * 1000), number), {TRUNK: "49.36.10.7"}, keep_ms=10**15)
    return time.perf_counter() - began


def _show(file: Path) -> float:
    began = time.perf_counter()
    ended = subprocess.run(
        [command_under_test(), "history", "--state", str(file)], capture_output=True, text=True, check=True
    )
    assert "runs" in ended.stdout
    return time.perf_counter() - began
