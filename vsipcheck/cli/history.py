"""`vsipcheck history`: what recorded runs saw over time."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator

import msgspec

from vsipcheck.cli.options import Request, UsageError
from vsipcheck.cli.output import complain, write_stdout
from vsipcheck.cli.recording import milliseconds_of
from vsipcheck.history import (
    TRUNK,
    WINDOWS,
    FindingHistory,
    History,
    HistoryError,
    Measurement,
    SeriesHistory,
    Shift,
    default_path,
)
from vsipcheck.model import ExitCode
from vsipcheck.wire.text import sanitise

_BLOCKS = "▁▂▃▄▅▆▇█"
_COLUMNS = ("started_at", "run_id", "exit_code", "id", "target", "status", "reason", "measure", "value", "unit")
_DRIFTS = 3  # of a name that are shown; --json has more
_BATCH = 5000  # lines of CSV at a time


def show_history(request: Request) -> int:
    """0 when it was shown, 4 when there is none that can be read. Raises UsageError."""
    if request.json and request.csv:
        raise UsageError("--json and --csv exclude each other")
    since_ms = int(time.time() * 1000) - milliseconds_of("--since", request.since)
    path = request.state or default_path(simulated=request.simulated)
    try:
        with History(path, read_only=True) as history:
            if request.csv:
                _write_csv(history.measurements(since_ms=since_ms))
                return ExitCode.OK
            series = history.summary()
    except HistoryError as error:
        complain(str(error))
        return ExitCode.OUR_ERROR
    if request.json:
        document = {"schema": "vsipcheck.history/1", "series": series}
        write_stdout(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n", machine=True)
    else:
        lines = [line for one in series for line in (*_told(one), "")] or ["No runs are recorded."]
        write_stdout("".join(f"{sanitise(line, max_length=400)}\n" if line else "\n" for line in lines))
    return ExitCode.OK


def _write_csv(measurements: Iterator[Measurement]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for number, measurement in enumerate(measurements, start=1):
        writer.writerow(_cell(getattr(measurement, column)) for column in _COLUMNS)
        if number % _BATCH == 0:
            write_stdout(buffer.getvalue(), machine=True)
            buffer.seek(0)
            buffer.truncate()
    write_stdout(buffer.getvalue(), machine=True)


def _cell(value: object) -> object:
    """A spreadsheet takes what begins with these for a formula; targets come from the network."""
    if isinstance(value, str):
        value = sanitise(value, max_length=1000)
        return f"'{value}" if value[:1] in ("=", "+", "-", "@") else value
    return value


def _told(series: SeriesHistory) -> Iterator[str]:
    simulated = "SIMULATED " if series.simulated else ""
    yield f"{simulated}{series.checks}, {series.profile}: {series.runs} runs, {series.first_at} to {series.last_at}"
    yield f"  last run: {series.last_overall or 'no overall verdict'}, exit code {series.last_exit_code}"
    if series.pings_sent:
        failed = f", {series.pings_failed} failed (last: {series.last_ping_failure})" if series.pings_failed else ""
        yield f"  pings: {series.pings_sent}{failed}"
    yield from _addresses(series)
    yield from _names(series)
    if not series.findings:
        return
    names = [f"{one.id} {one.target or ''}".strip() for one in series.findings]
    width = max(map(len, names))
    heads = "".join(f"{window:>8}" for window in WINDOWS)
    yield f"  {'finding':{width}}  {'now':8}{heads}  last 24 h"
    for name, one in zip(names, series.findings, strict=True):
        uptimes = "".join(f"{_share(one.uptime[window]):>8}" for window in WINDOWS)
        flapping = f"  FLAPPING: {one.changes} changes in 20 runs" if one.flapping else ""
        yield f"  {name:{width}}  {one.status:8}{uptimes}  {_trend(one)}{flapping}".rstrip()
    yield from _shifts(series)
    yield "  uptime: runs that passed or warned, of those that could be judged; - where none could"


def _addresses(series: SeriesHistory) -> Iterator[str]:
    spans = series.addresses.get(TRUNK, ())
    if not spans:
        return
    last = spans[-1]
    changed = f"{series.address_changes} change{'s' if series.address_changes != 1 else ''}"
    yield f"  public address: {last.value} since {last.first_at} ({last.runs} runs; {changed})"
    for before in reversed(spans[:-1]):
        yield f"    before: {before.value}, {before.first_at} to {before.last_at} ({before.runs} runs)"
    for who, told in series.addresses.items():
        if who != TRUNK and told and told[-1].value != last.value:
            yield f"    by {who}: {told[-1].value}"


def _names(series: SeriesHistory) -> Iterator[str]:
    """What the names resolve to, and when that drifted; a rotation is told as one."""
    if series.names:
        yield "  DNS, as the system resolves:"
    for name, told in series.names.items():
        if told.rotation:
            yield f"    {name}: rotates between {len(told.rotation)} sets: {' | '.join(told.rotation)}"
        else:
            yield f"    {name}: {told.now} since {told.since} ({told.runs} run{'s' if told.runs != 1 else ''})"
        for drift in told.drifts[-_DRIFTS:]:
            yield (
                f"      changed from {drift.before} to {drift.after},"
                f" between {drift.before_last_at} and {drift.after_first_at}"
            )


def _shifts(series: SeriesHistory) -> Iterator[str]:
    for finding in series.findings:
        for shift in finding.shifts:
            name = shift.measure.removesuffix("_ms").removesuffix("_ratio")
            title = f"{finding.id} {finding.target or ''}".strip()
            yield (
                f"  {name} of {title}: {_figure(shift.value, shift)} over the last 24 h,"
                f" {_figure(shift.before, shift)} over the 7 days before"
                f" ({_times(shift.ratio)}{shift.runs} and {shift.runs_before} runs)"
            )


def _times(ratio: float | None) -> str:
    """Nothing where one of the two is none: that says it already."""
    if not ratio:
        return ""
    return f"{ratio:.1f} ×; " if ratio >= 1 else f"{ratio:.2g} ×; "


def _figure(value: float, shift: Shift) -> str:
    return f"{value * 100:.3g} %" if shift.unit == "ratio" else f"{value:.3g} ms"


def _trend(finding: FindingHistory) -> str:
    """The figure that tells most of it, as a sparkline of hourly means with its range."""
    for measure in ("loss_ratio", "rtt_median_ms", "system_rtt_ms"):
        means = finding.trends.get(measure)
        if means is None:
            continue
        known = [mean for mean in means if mean is not None]
        if not known or (measure == "loss_ratio" and not any(known)):
            continue
        scale = 100.0 if measure.endswith("ratio") else 1.0
        unit = "%" if measure.endswith("ratio") else "ms"
        name = measure.removesuffix("_ms").removesuffix("_ratio").replace("_", " ")
        return f"{sparkline(means)} {name} {min(known) * scale:.3g}-{max(known) * scale:.3g} {unit}"
    return ""


def sparkline(values: tuple[float | None, ...]) -> str:
    """One block a value, scaled from the least to the most; a dot where nothing is known."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = (high - low) / (len(_BLOCKS) - 1)
    return "".join("·" if value is None else _BLOCKS[round((value - low) / step) if step else 0] for value in values)


def _share(share: float | None) -> str:
    if share is None:
        return "-"
    # Rounded down: 99.996 % is not all.
    return "100%" if share == 1 else f"{int(share * 1000) / 10:.1f}%"
