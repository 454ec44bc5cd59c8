"""What the history proves over time, and that nothing is lost to damage, haste, full disks or clocks."""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from history_reports import START, TARGET, moment, run_at

from vsipcheck.cli.app import main
from vsipcheck.history import (
    FLAPPING_CHANGES,
    FLAPPING_RUNS,
    KNOWN_ANSWER_MS,
    SHIFT_RATIO,
    SHIFT_RUNS,
    TRUNK,
    FindingHistory,
    History,
    HistoryError,
    NameHistory,
    default_path,
    is_good,
    series_key,
    state_of,
)
from vsipcheck.model import Lookup, Measure, Report, Status

HOME = "49.36.10.7"
HOUR_MS = 3_600_000
START_MS = int(START.timestamp() * 1000)
P, W, F, U = Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN


def keep(file: Path, report: Report, address: str | None = HOME, **options: int) -> object:
    with History(file) as history:
        return history.record(report, {TRUNK: address, "stun": address} if address else {}, **options)


def count(file: Path, table: str = "run") -> int:
    connection = sqlite3.connect(file)
    try:
        number: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    finally:
        connection.close()
    return number


def options_history(file: Path, hours: float) -> FindingHistory:
    with History(file, read_only=True) as history:
        (series,) = history.summary(now=moment(hours))
    return next(one for one in series.findings if one.id == "sip.options")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "h.sqlite"


def test_a_run_comes_back_whole(file: Path) -> None:
    report = run_at(1, F)
    keep(file, report)
    with History(file, read_only=True) as history:
        seen = list(history.measurements())
        (series,) = history.summary(now=moment(1))
    assert [(one.id, one.target, one.status, one.reason, one.measure, one.value, one.unit) for one in seen] == [
        ("sip.options", TARGET, "fail", "r_fail", "rtt_median_ms", 20.0, "ms"),
        ("sip.options", TARGET, "fail", "r_fail", "sent", 3, "count"),
        ("nat.public_address", None, "pass", "seen", None, None, None),
        ("pbx.codecs", None, "skip", "not_asked", None, None, None),
    ]
    assert {(one.run_id, one.started_at, one.exit_code) for one in seen} == {(report.run_id, moment(1), 1)}
    assert (series.checks, series.runs, series.last_overall, series.last_exit_code) == ("all", 1, "not_ready", 1)
    assert series.first_at == series.last_at == moment(1)
    assert set(series.addresses) == {TRUNK, "stun"}


def test_the_state_is_that_of_the_rows_that_gate() -> None:
    assert state_of(run_at(0, F)) == "public_address=pass signalling_out=fail"
    assert is_good(state_of(run_at(0)))
    assert not any(is_good(state_of(run_at(0, status))) for status in (W, F, U))
    assert is_good("")


@pytest.mark.parametrize(
    ("statuses", "uptime", "unknown"),
    [
        ((P, P, P, F), 0.75, 0),
        ((P, W, F, F), 0.5, 0),
        ((P, U, U, F), 0.5, 2),
        ((U, U), None, 2),
        ((P,), 1.0, 0),
    ],
)
def test_uptime_is_of_the_runs_that_were_judged(
    file: Path, statuses: tuple[Status, ...], uptime: float | None, unknown: int
) -> None:
    for hours, status in enumerate(statuses):
        keep(file, run_at(hours, status))
    one = options_history(file, len(statuses))
    assert one.uptime == {"24h": uptime, "7d": uptime, "30d": uptime}
    assert one.unknown_runs["24h"] == unknown
    with History(file, read_only=True) as history:
        skipped = history.summary(now=moment(4))[0].findings[2]
    assert (skipped.status, skipped.uptime["24h"]) == ("skip", None)


def test_windows_end_where_they_say(file: Path) -> None:
    keep(file, run_at(0, F))
    keep(file, run_at(24 * 6, F))
    keep(file, run_at(24 * 7 - 2, P))
    assert options_history(file, 24 * 7 - 1).uptime == {"24h": 0.5, "7d": 1 / 3, "30d": 1 / 3}
    assert options_history(file, 24 * 7).uptime == {"24h": 1.0, "7d": 0.5, "30d": 1 / 3}


@pytest.mark.parametrize(
    ("statuses", "flapping"),
    [
        ([P] * 20, False),
        ([P, F, P, F], False),  # three changes
        ([P, F, P, F, P], True),
        ([P, F, P, F, P] + [P] * 15, True),  # the first of them is the oldest of twenty
        ([P, F, P, F, P] + [P] * 16, False),
        ([P, W, U, W, P], True),
    ],
)
def test_flapping(file: Path, statuses: list[Status], flapping: bool) -> None:
    assert (FLAPPING_RUNS, FLAPPING_CHANGES) == (20, 4)
    for hours, status in enumerate(statuses):
        keep(file, run_at(hours, status))
    assert options_history(file, len(statuses)).flapping is flapping


def test_since_when_a_verdict_stands(file: Path) -> None:
    for hours, status in enumerate((P, F, F, F)):
        keep(file, run_at(hours, status))
    one = options_history(file, 4)
    assert (one.status, one.reason, one.since) == ("fail", "r_fail", moment(1))


def test_trends_are_means_of_hours(file: Path) -> None:
    for hours, rtt_ms in ((0, 10.0), (0.5, 30.0), (2, 50.0), (3, None)):
        keep(file, run_at(hours, rtt_ms=rtt_ms))
    trend = options_history(file, 3.2).trends
    assert set(trend) == {"rtt_median_ms"}
    assert trend["rtt_median_ms"][-4:] == (20.0, None, 50.0, None)
    assert len(trend["rtt_median_ms"]) == 24


def test_when_the_public_address_changed(file: Path) -> None:
    for hours, address in enumerate((HOME, HOME, None, HOME, "49.36.10.8", HOME)):
        keep(file, run_at(hours), address)
    with History(file, read_only=True) as history:
        (series,) = history.summary(now=moment(6))
    spans = [(span.value, span.first_at, span.last_at, span.runs) for span in series.addresses[TRUNK]]
    # A run that could not tell the address is no change of it.
    assert spans == [
        (HOME, moment(0), moment(3), 3),
        ("49.36.10.8", moment(4), moment(4), 1),
        (HOME, moment(5), moment(5), 1),
    ]
    assert series.address_changes == 2


NAME = "pstn.in2.exotel.com"
A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"


def name_history(file: Path, hours: float = 0) -> NameHistory:
    with History(file, read_only=True) as history:
        (series,) = history.summary(now=moment(hours))
    return series.names[NAME]


def resolve(file: Path, *answers: tuple[float, tuple[str, ...]]) -> NameHistory:
    for hours, resolved in answers:
        keep(file, run_at(hours, resolved=resolved))
    return name_history(file)


def test_names_drift(file: Path) -> None:
    told = resolve(file, (0, (B, A)), (1, (A, B)), (2, ()), (3, (C,)), (4, (C,)))
    assert (told.now, told.since, told.runs, told.rotation) == (C, moment(3), 2, ())
    # A turned round-robin is no change, nor is a look-up that failed.
    (drift,) = told.drifts
    assert (drift.before, drift.after) == (f"{A}, {B}", C)
    assert (drift.before_last_at, drift.after_first_at) == (moment(1), moment(3))


def test_an_address_of_the_other_family_is_no_drift(file: Path) -> None:
    keep(file, run_at(0, resolved=(A,)))
    report = run_at(1, resolved=(A,))
    dns = report.evidence["dns"]
    sixth = Lookup(id="dns.9", name=NAME, record_type="AAAA", purpose="trunk", server=None, addresses=("2001:db8::1",))
    other = Lookup(id="dns.10", name=NAME, record_type="A", purpose="trunk", server="192.0.2.53", addresses=(C,))
    evidence = {"dns": msgspec.structs.replace(dns, facts=(*dns.facts, sixth, other))}
    keep(file, msgspec.structs.replace(report, evidence=evidence))
    told = name_history(file)
    assert (told.now, told.runs, told.drifts) == (A, 2, ())


def test_a_rotation_is_told_as_one(file: Path) -> None:
    turns = [(float(hours), ((A,), (B,), (C,))[hours % 3]) for hours in range(9)]
    told = resolve(file, *turns)
    assert (told.rotation, told.drifts) == ((A, B, C), ())
    assert count(file, "drift") == 2  # when each of the other two was seen first
    told = resolve(file, (10, ("192.0.2.9",)), (11, ("192.0.2.9",)))
    assert (told.now, told.rotation) == ("192.0.2.9", ())
    assert [(drift.before, drift.after) for drift in told.drifts] == [(C, "192.0.2.9")]


def test_a_change_that_was_taken_back_is_no_rotation(file: Path) -> None:
    told = resolve(file, (0, (A,)), (1, (B,)), (2, (A,)))
    assert (told.now, told.since, told.runs, told.rotation) == (A, moment(2), 2, ())
    assert [(drift.before, drift.after) for drift in told.drifts] == [(A, B)]


@pytest.mark.parametrize(("days", "drifts"), [(7, 1), (7.1, 2)])
def test_a_set_that_was_away_for_long_drifts_again(file: Path, days: float, drifts: int) -> None:
    assert KNOWN_ANSWER_MS == 7 * 24 * HOUR_MS
    assert len(resolve(file, (0, (A,)), (1, (B,)), (days * 24, (A,))).drifts) == drifts


def test_a_name_with_ever_new_answers_stays_small(file: Path) -> None:
    for number in range(80):
        keep(file, run_at(number, resolved=(f"192.0.2.{number}",)))
    assert (count(file, "answer"), count(file, "drift")) == (64, 64)
    told = name_history(file)
    assert told.now == "192.0.2.79"
    assert [drift.after for drift in told.drifts] == [f"192.0.2.{number}" for number in range(70, 80)]


def as_version_1(file: Path) -> None:
    """The file as the first version left it: what a name resolved to was a span."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("DROP TABLE answer")
    connection.execute("DROP TABLE drift")
    for number, text in enumerate((f"name {NAME}", A, B), start=9001):
        connection.execute("INSERT OR IGNORE INTO word VALUES (?, ?)", (number, text))
    words = dict(connection.execute("SELECT text, id FROM word").fetchall())
    for seq, value, first, last, runs in ((1, A, 0, 2, 3), (4, B, 3, 4, 2)):
        start = START_MS + first * HOUR_MS, START_MS + last * HOUR_MS
        connection.execute(
            "INSERT INTO span VALUES (1, ?, ?, ?, 'x', ?, 'y', ?, ?)",
            (words[f"name {NAME}"], seq, words[value], start[0], start[1], runs),
        )
    connection.execute("PRAGMA user_version = 1")
    connection.close()


@pytest.mark.parametrize("written", [False, True])
def test_a_file_of_the_first_version_is_read_and_taken_over(file: Path, written: bool) -> None:
    for hours in range(5):
        keep(file, run_at(hours, resolved=(B,)))
    as_version_1(file)
    before = file.read_bytes()
    if written:
        with History(file) as history:
            assert history.set_aside is None
            history.record(run_at(5, resolved=(B,)), {TRUNK: HOME})
    told = name_history(file)
    assert (told.now, told.since, told.runs) == (B, moment(3), 3 if written else 2)
    (drift,) = told.drifts
    assert (drift.before, drift.after, drift.before_last_at, drift.after_first_at) == (A, B, moment(2), moment(3))
    with History(file, read_only=True) as history:
        (series,) = history.summary(now=moment(6))
    assert series.runs == (6 if written else 5)
    assert [(span.value, span.runs) for span in series.addresses[TRUNK]] == [(HOME, series.runs)]
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA user_version").fetchone() == (2 if written else 1,)
    connection.close()
    if written:
        assert count(file, "answer") == 2
    else:
        assert file.read_bytes() == before
    assert [one.name for one in file.parent.iterdir() if one.name.endswith("Z")] == []


# --- trends


def with_loss(report: Report, loss: float) -> Report:
    options = report.findings[0]
    measures = (*options.measures, Measure(name="loss_ratio", value=loss, unit="ratio"))
    return msgspec.structs.replace(
        report, findings=(msgspec.structs.replace(options, measures=measures), *report.findings[1:])
    )


@pytest.mark.parametrize(
    ("before_ms", "now_ms", "ratio"),
    [
        (25.0, 42.0, 1.68),
        (42.0, 25.0, 25 / 42),
        (30.0, 45.0, 1.5),
        (30.0, 44.0, None),
        (2.0, 4.0, None),  # twice, and still nothing
    ],
)
def test_an_rtt_that_is_not_what_it_was(file: Path, before_ms: float, now_ms: float, ratio: float | None) -> None:
    assert (SHIFT_RUNS, SHIFT_RATIO) == (12, 1.5)
    for number in range(12):
        keep(file, run_at(number, rtt_ms=before_ms))
        keep(file, run_at(100 + number, rtt_ms=now_ms))
    shifts = options_history(file, 112).shifts
    if ratio is None:
        assert shifts == ()
        return
    (shift,) = shifts
    assert (shift.measure, shift.unit, shift.value, shift.before) == ("rtt_median_ms", "ms", now_ms, before_ms)
    assert shift.ratio == pytest.approx(ratio)
    assert (shift.runs, shift.runs_before) == (12, 12)


@pytest.mark.parametrize(("before", "now"), [(11, 12), (12, 11)])
def test_a_few_runs_are_no_trend(file: Path, before: int, now: int) -> None:
    for number in range(before):
        keep(file, run_at(number, rtt_ms=20.0))
    for number in range(now):
        keep(file, run_at(100 + number, rtt_ms=80.0))
    assert options_history(file, 112).shifts == ()


def test_one_slow_hour_is_no_trend(file: Path) -> None:
    for number in range(12):
        keep(file, run_at(number, rtt_ms=20.0))
        keep(file, run_at(100 + number, rtt_ms=3000.0 if number == 5 else 20.0))
    assert options_history(file, 112).shifts == ()


def test_a_trend_looks_back_eight_days(file: Path) -> None:
    for number in range(12):
        keep(file, run_at(number, rtt_ms=20.0))
        keep(file, run_at(200 + number, rtt_ms=80.0))
    assert options_history(file, 24 * 8 + 19).shifts == ()
    for number in range(12):
        keep(file, run_at(24 * 7 + number, rtt_ms=20.0))
    assert [shift.ratio for shift in options_history(file, 211).shifts] == [4.0]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [(0.0, 0.25, (0.125, 0.0, None)), (0.25, 0.0, (0.0, 0.125, 0.0)), (0.0, 0.0, None), (0.004, 0.012, None)],
)
def test_a_loss_that_is_not_what_it_was(
    file: Path, before: float, now: float, told: tuple[float, float, float | None] | None
) -> None:
    for number in range(12):
        keep(file, with_loss(run_at(number), before * (number % 2)))
        keep(file, with_loss(run_at(100 + number), now * (number % 2)))
    shifts = [(one.measure, one.value, one.before, one.ratio) for one in options_history(file, 112).shifts]
    assert shifts == ([("loss_ratio", *told)] if told else [])


def test_it_is_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command looks at the clock: the runs are of these days."""
    now = datetime.datetime.now(datetime.UTC) - START
    hours = now // datetime.timedelta(hours=1)
    for number in range(12):
        keep(file, with_loss(run_at(hours - 60 + number, rtt_ms=25.0, resolved=(A,)), 0.0))
    for number in range(12):
        keep(file, with_loss(run_at(hours - 12 + number, rtt_ms=42.0, resolved=(B,)), 0.5))
    assert main(["history", "--state", str(file)]) == 0
    told = capsys.readouterr().out
    assert f"  {NAME}: {B} since " in told
    assert f"      changed from {A} to {B}, between {moment(hours - 49)} and {moment(hours - 12)}\n" in told
    of = f"of sip.options {TARGET}"
    runs = "12 and 12 runs"
    assert f"  rtt_median {of}: 42 ms over the last 24 h, 25 ms over the 7 days before (1.7 ×; {runs})\n" in told
    assert f"  loss {of}: 50 % over the last 24 h, 0 % over the 7 days before ({runs})\n" in told
    for number in range(4):
        keep(file, run_at(hours + number / 100, resolved=((A,), (B,))[number % 2]))
    assert main(["history", "--state", str(file), "--json"]) == 0
    (series,) = msgspec.json.decode(capsys.readouterr().out)["series"]
    assert series["names"][NAME]["rotation"] == [A, B]
    assert main(["history", "--state", str(file)]) == 0
    assert f"    {NAME}: rotates between 2 sets: {A} | {B}\n" in capsys.readouterr().out


def test_the_judges_get_each_address_with_its_first_and_last_run(file: Path) -> None:
    reports = [run_at(hours) for hours in range(5)]
    for report, address in zip(reports, (HOME, HOME, HOME, "49.36.10.8", HOME), strict=True):
        keep(file, report, address)
    key = series_key(reports[0].profile, reports[0].settings, whole=True, simulated=False)
    with History(file, read_only=True) as history:
        past = history.past(key)
        assert history.past("another") == []
    assert [(run.run_id, run.public_address, run.runs) for run in past] == [
        (reports[0].run_id, HOME, 2),
        (reports[2].run_id, HOME, 1),
        (reports[3].run_id, "49.36.10.8", 1),
        (reports[4].run_id, HOME, 1),
    ]
    assert [run.started_at for run in past] == [moment(0), moment(2), moment(3), moment(4)]
    assert len({run.id for run in past}) == 4


def test_series_are_not_mixed(file: Path) -> None:
    one = run_at(0)
    keep(file, one)
    keep(file, run_at(1, simulated=True), "49.36.10.9")
    keep(file, run_at(2, overall=None, settings=msgspec.structs.replace(one.settings, checks=("nat",))))
    keep(file, run_at(3, settings=msgspec.structs.replace(one.settings, source="192.0.2.1")), "49.36.10.8")
    with History(file, read_only=True) as history:
        summary = history.summary(now=moment(4))
        past = history.past(series_key(one.profile, one.settings, whole=True, simulated=False))
    assert [(series.runs, series.simulated, series.checks) for series in summary] == [
        (1, False, "all"),
        (1, False, "nat"),
        (1, True, "all"),
        (1, False, "all"),
    ]
    assert {run.public_address for run in past} == {HOME}


def test_confirmation_takes_so_many_runs_in_a_row(file: Path) -> None:
    given = [P, F, P, F, F, F, U, U]
    confirmed = [keep(file, run_at(hours, status), confirm=2).confirmed for hours, status in enumerate(given)]  # type: ignore[attr-defined]
    assert confirmed == [False, False, False, False, True, True, False, True]
    assert keep(file, run_at(9, U), confirm=3).confirmed  # type: ignore[attr-defined]
    assert not keep(file, run_at(10, F), confirm=3).confirmed  # type: ignore[attr-defined]
    assert keep(file, run_at(11, P), confirm=1).confirmed  # type: ignore[attr-defined]


def test_what_a_listener_was_told_is_remembered(file: Path) -> None:
    with History(file) as history:
        series = history.record(run_at(0), {}).series
        assert history.told(series, "stdout") is None
        history.tell(series, "stdout", "a=pass")
        history.tell(series, "stdout", "a=fail")
        assert (history.told(series, "stdout"), history.told(series, "command")) == ("a=fail", None)


# --- how long


def test_failures_are_kept_longer_than_successes(file: Path) -> None:
    day = 24
    keep_ms = 10 * day * HOUR_MS
    for days, status in ((0, P), (0.5, F), (20, P), (39, P)):
        keep(file, run_at(days * day, status), keep_ms=keep_ms)
    # Age is counted from the run before this one.
    keep(file, run_at(39.1 * day), keep_ms=keep_ms)
    with History(file, read_only=True) as history:
        kept = list(dict.fromkeys(one.started_at for one in history.measurements()))
        assert history.summary()[0].runs == 3
    assert kept == [moment(0.5 * day), moment(39 * day), moment(39.1 * day)]
    for days in (42, 42.1):
        keep(file, run_at(days * day), keep_ms=keep_ms)
    with History(file, read_only=True) as history:
        assert moment(0.5 * day) not in {one.started_at for one in history.measurements()}


def test_a_long_unchanged_address_outlives_its_runs(file: Path) -> None:
    for days in range(12):
        keep(file, run_at(days * 24), keep_ms=24 * HOUR_MS)
    assert count(file) <= 3
    one = run_at(0)
    with History(file, read_only=True) as history:
        past = history.past(series_key(one.profile, one.settings, whole=True, simulated=False))
    assert (past[0].started_at, sum(run.runs for run in past)) == (moment(0), 12)


def test_hours_and_changes_are_let_go_too(file: Path) -> None:
    for days in range(30):
        keep(file, run_at(days * 24, F if days % 2 else P), f"49.36.10.{days}", keep_ms=24 * HOUR_MS)
    assert count(file, "hourly") <= 14
    assert count(file, "trend") <= 14
    assert count(file, "change") <= 6
    assert count(file, "span") <= 14


# --- clocks


def test_a_clock_that_steps_back_loses_nothing_and_changes_no_order(file: Path) -> None:
    keep(file, run_at(100, P))
    keep(file, run_at(101, F))
    keep(file, run_at(-24 * 365 * 20, F))  # a board without a battery
    recorded = keep(file, run_at(102, F), confirm=3)
    assert recorded.confirmed  # type: ignore[attr-defined]
    assert count(file) == 4
    assert options_history(file, 102).status == "fail"


def test_one_run_with_a_clock_far_ahead_does_not_make_all_others_old(file: Path) -> None:
    for hours in range(3):
        keep(file, run_at(hours))
    keep(file, run_at(24 * 365 * 20))
    assert count(file) == 4
    keep(file, run_at(4))
    assert count(file) == 5
    assert options_history(file, 5).uptime["24h"] == 1.0


# --- files


def test_a_damaged_file_is_set_aside_and_nothing_is_lost(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"SQLite format 3\0" + b"\xa5" * 5000)
    before = file.read_bytes()
    with History(file) as history:
        told = history.set_aside
        history.record(run_at(0), {})
    (aside,) = file.parent.glob("h.sqlite.*Z")
    assert told is not None
    assert told.startswith(f"{file} is damaged (")
    assert aside.name in told
    assert aside.read_bytes() == before
    assert count(file) == 1
    with History(file) as history:
        assert history.set_aside is None


def test_a_page_that_is_damaged_later_is_told_and_the_file_kept(file: Path) -> None:
    for hours in range(60):
        keep(file, run_at(hours))
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    file.write_bytes(data)
    with pytest.raises(HistoryError, match=r"malformed|damaged"), History(file, read_only=True) as history:
        history.summary()


def test_a_newer_file_is_set_aside(file: Path) -> None:
    keep(file, run_at(0))
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(HistoryError, match="newer version"):
        History(file, read_only=True)
    with History(file) as history:
        assert "newer version of vsipcheck (schema 99" in str(history.set_aside)
    (aside,) = file.parent.glob("h.sqlite.*Z")
    assert (count(aside), count(file)) == (1, 0)


def test_a_file_that_another_run_has_just_replaced_is_not_set_aside(file: Path) -> None:
    keep(file, run_at(0))
    with History(file) as history:
        assert history._rename((0, 0)) == "another run says"
        assert history._rename(None) == "another run says"
    assert count(file) == 1


def test_another_programs_database_is_left_alone(file: Path) -> None:
    file.parent.mkdir()
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE mails (text)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(HistoryError, match="another program"):
        History(file)
    assert file.read_bytes() == before
    assert [one.name for one in file.parent.iterdir()] == ["h.sqlite"]


def test_no_history_yet(file: Path) -> None:
    with pytest.raises(HistoryError, match="no history yet"):
        History(file, read_only=True)
    assert not file.parent.exists()


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(HistoryError, match=r"exists|Not a directory"):
        History(tmp_path / "state" / "h.sqlite")


def test_reading_a_file_that_nobody_may_write(file: Path) -> None:
    keep(file, run_at(0))
    shutil.copy(file, file.parent / "copy")
    file.parent.chmod(0o555)
    (file.parent / "copy").chmod(0o444)
    try:
        with History(file.parent / "copy", read_only=True) as history:
            assert history.summary(now=moment(1))[0].runs == 1
    finally:
        file.parent.chmod(0o755)


# --- processes

WRITER = """
import sys
sys.path[:0] = {path!r}
from history_reports import run_at
from vsipcheck.history import History
print("up", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    with History(sys.argv[1]) as history:
        history.record(run_at(number), {{"trunk": "49.36.10.7"}})
    print(number, flush=True)
"""


def writer(file: Path, runs: int, before: str = "") -> subprocess.Popen[str]:
    program = before + WRITER.format(path=[str(Path(__file__).parent), str(Path(__file__).parents[1])])
    return subprocess.Popen(
        [sys.executable, "-c", program, str(file), str(runs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_overlapping_runs_are_all_kept(file: Path) -> None:
    writers = [writer(file, 15) for _ in range(4)]
    for one in writers:
        assert one.stdout is not None
        assert one.stdout.readline() == "up\n"
    for one in writers:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    for one in writers:
        _, err = one.communicate(timeout=120)
        assert (one.returncode, err) == (0, "")
    assert count(file) == 60
    assert options_history(file, 15).uptime["24h"] == 1.0
    with History(file, read_only=True) as history:
        assert sum(span.runs for span in history.summary(now=moment(15))[0].addresses[TRUNK]) == 60


def test_kill_9_loses_at_most_the_run_that_was_being_written(file: Path) -> None:
    kept = 0
    for _ in range(6):
        with writer(file, 1000) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "up\n"
            last = int(process.stdout.readline())
            while last < 3:
                last = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            told = [int(line) for line in process.stdout.read().split("\n")[:-1]]
            process.stdin.close()
        written = max([last, *told]) + 1
        now = count(file)
        assert kept + written <= now <= kept + written + 1
        kept = now
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_full_disk_is_an_error_that_leaves_the_file_whole(file: Path) -> None:
    keep(file, run_at(0))
    size = file.stat().st_size
    limit = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
    )
    with writer(file, 200, limit) as process:
        _, err = process.communicate("\n", timeout=60)
    assert process.returncode == 1
    assert "HistoryError" in err
    before = count(file)
    keep(file, run_at(300))
    assert count(file) == before + 1


def test_where_the_history_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert default_path() == tmp_path / "vsipcheck" / "history.sqlite"
        assert default_path(simulated=True) == tmp_path / "vsipcheck" / "demo.sqlite"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/vsipcheck:/var/lib/other")
    assert default_path() == Path("/var/lib/vsipcheck/history.sqlite")


def test_reading_does_not_walk_through_the_runs(file: Path) -> None:
    """The bench builds a million; here the steps that SQLite takes are counted, which no busy machine can change."""

    def steps(runs: int, first: int) -> int:
        with History(file) as history:
            for number in range(first, runs):
                history.record(run_at(number / 2000, F if number % 7 == 0 else P), {TRUNK: HOME}, keep_ms=10**15)
            taken = 0

            def count_step() -> int:
                nonlocal taken
                taken += 1
                return 0

            history._connection.set_progress_handler(count_step, 10)
            history.summary(now=moment(runs / 2000))
            history.past("x")
            history._connection.set_progress_handler(None, 0)
        return taken

    few = steps(200, 0)
    many = steps(1000, 200)
    assert many < 1.5 * few


def test_the_busy_wait_is_not_a_failure(file: Path) -> None:
    keep(file, run_at(0))
    with writer(file, 1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        blocker = sqlite3.connect(file, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(0.05)
        blocker.execute("COMMIT")
        blocker.close()
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert os.path.exists(file)
    assert count(file) == 2
