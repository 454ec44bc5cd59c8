"""What earlier runs saw, in a SQLite file: what one run alone cannot prove.

A run is one transaction. Beside its own row (verdicts and measures packed in one blob) it moves a few rows that make
reading quick however many runs there are: `latest` and `change` hold when a verdict changed, `span` how long an address
stayed the same, `answer` and `drift` what the names resolved to and when that became something else, `hourly` and
`trend` the counts and figures of an hour. Nothing that `history` shows walks through the runs, but for the last twenty.

Runs are ordered by their number, never by the clock, which may step back. Runs belong to a series: the same checks of
the same profile from the same source. Only runs of one series are compared.
"""

from __future__ import annotations

import datetime
import os
import shutil
import sqlite3
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from vsipcheck.model import Lookup, PastRun, Profile, Report, Settings, Status

SCHEMA_VERSION = 2
_APPLICATION_ID = 0x76736970  # "vsip", in the file's header: https://www.sqlite.org/fileformat.html#application_id
BUSY_TIMEOUT_S = 10.0
# Ours. Failures are what one looks for later.
FAILURES_KEPT = 4  # times as long as successes
FLAPPING_RUNS = 20
FLAPPING_CHANGES = 4
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
WINDOWS = {"24h": 24, "7d": 7 * 24, "30d": 30 * 24}  # in hours
# Ours. Many names answer with a few sets of addresses in turn: one that was seen so lately is no drift when it returns.
KNOWN_ANSWER_MS = 7 * _DAY_MS
_MAX_ANSWERS = 64  # sets of one name, and drifts of it, that are kept: the newest
# Ours. Fewer runs, a smaller ratio or a smaller difference is how networks are from day to day.
SHIFT_HOURS, SHIFT_HOURS_BEFORE = 24, 7 * 24
SHIFT_RUNS = 12  # on either side
SHIFT_RATIO = 1.5
SHIFT_LEAST = {"rtt_median_ms": 5.0, "loss_ratio": 0.01}  # in the measure's own unit; no others are compared
# Of an address that comes and goes, the judge needs no more than these.
_MAX_SPANS = 20
_LISTED = 10
_SPACE_OF_A_RUN = 65_536  # bytes, log and shared memory included
_CORRUPT, _NOT_A_DATABASE = 11, 26  # primary result codes of SQLite
TRUNK = "trunk"

_SCHEMA = """
CREATE TABLE series (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, checks TEXT NOT NULL, profile TEXT NOT NULL,
    simulated INTEGER NOT NULL, runs INTEGER NOT NULL DEFAULT 0);
CREATE TABLE finding (id INTEGER PRIMARY KEY, name TEXT NOT NULL, target TEXT NOT NULL, UNIQUE (name, target));
CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE run (seq INTEGER PRIMARY KEY AUTOINCREMENT, series INTEGER NOT NULL, run_id TEXT NOT NULL UNIQUE,
    started_ms INTEGER NOT NULL, duration_ms REAL NOT NULL, overall INTEGER, exit_code INTEGER NOT NULL,
    failed INTEGER NOT NULL, state INTEGER NOT NULL, address INTEGER, detail BLOB NOT NULL);
CREATE INDEX run_by_series ON run (series, seq);
CREATE INDEX run_by_age ON run (failed, started_ms);
CREATE TABLE latest (series INTEGER, finding INTEGER, status INTEGER NOT NULL, reason INTEGER NOT NULL,
    since_ms INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (series, finding)) WITHOUT ROWID;
CREATE TABLE change (series INTEGER, seq INTEGER, finding INTEGER, at_ms INTEGER NOT NULL, before INTEGER NOT NULL,
    after INTEGER NOT NULL, reason INTEGER NOT NULL, PRIMARY KEY (series, seq, finding)) WITHOUT ROWID;
CREATE TABLE span (series INTEGER, what INTEGER, first_seq INTEGER, value INTEGER NOT NULL, first_run TEXT NOT NULL,
    first_ms INTEGER NOT NULL, last_run TEXT NOT NULL, last_ms INTEGER NOT NULL, runs INTEGER NOT NULL,
    PRIMARY KEY (series, what, first_seq)) WITHOUT ROWID;
CREATE INDEX span_by_age ON span (series, last_ms);
CREATE TABLE hourly (series INTEGER, hour INTEGER, finding INTEGER, good INTEGER NOT NULL, bad INTEGER NOT NULL,
    unknown INTEGER NOT NULL, PRIMARY KEY (series, hour, finding)) WITHOUT ROWID;
CREATE TABLE trend (series INTEGER, hour INTEGER, finding INTEGER, measure INTEGER, count INTEGER NOT NULL,
    total REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL,
    PRIMARY KEY (series, hour, finding, measure)) WITHOUT ROWID;
CREATE TABLE told (series INTEGER, listener TEXT, state INTEGER NOT NULL, PRIMARY KEY (series, listener)) WITHOUT ROWID;
CREATE TABLE ping (series INTEGER, hour INTEGER, sent INTEGER NOT NULL, failed INTEGER NOT NULL, last_failure TEXT,
    PRIMARY KEY (series, hour)) WITHOUT ROWID;
"""
# Since version 2. The answer with the highest `last_seq` is the one that holds; `since_ms` is when it last began to.
_ANSWERS = """
CREATE {temporary} TABLE answer (series INTEGER, name INTEGER, value INTEGER, first_ms INTEGER NOT NULL,
    since_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, last_seq INTEGER NOT NULL, runs INTEGER NOT NULL,
    returned_ms INTEGER, PRIMARY KEY (series, name, value)) WITHOUT ROWID;
CREATE {temporary} TABLE drift (series INTEGER, name INTEGER, seq INTEGER, before INTEGER NOT NULL,
    before_ms INTEGER NOT NULL, after INTEGER NOT NULL, after_ms INTEGER NOT NULL,
    PRIMARY KEY (series, name, seq)) WITHOUT ROWID;
"""


class HistoryError(Exception):
    """The history cannot be read or written; says which file and why."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What recording a run gave: its number, its series, and whether the last `confirm` runs agree on a state."""

    seq: int
    series: int
    state: str
    confirmed: bool


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """An address that stayed the same over `runs` runs in a row."""

    value: str
    first_at: str
    last_at: str
    runs: int


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """A name began to resolve to a set of addresses that it had not resolved to lately."""

    before: str
    after: str
    before_last_at: str  # the last run that saw the one,
    after_first_at: str  # and the first that saw the other


class NameHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What a signalling name resolved to over time, by the system's own resolution (A): sets of addresses, sorted."""

    now: str
    since: str
    runs: int  # that saw the set of now, in a row or not
    rotation: tuple[str, ...]  # the sets that it goes through in turn; empty where it does not
    drifts: tuple[Drift, ...]  # the newest last


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """A measure is clearly not what it was: the last 24 hours against the 7 days before them.

    An RTT is the median of the hours' means, a loss the mean of all runs. `ratio` is None where there was none before.
    """

    measure: str
    unit: str
    value: float
    before: float
    ratio: float | None
    runs: int
    runs_before: int


class FindingHistory(msgspec.Struct, frozen=True, kw_only=True):
    """One finding over time. `uptime` is the share of runs that passed or warned among those that were judged at all,
    by window; None where none was. `unknown_runs` are those that could not tell, by window."""

    id: str
    target: str | None
    status: str
    reason: str
    since: str
    flapping: bool
    changes: int  # in the last FLAPPING_RUNS runs
    uptime: dict[str, float | None]
    unknown_runs: dict[str, int]
    trends: dict[str, tuple[float | None, ...]]  # measure -> mean of each hour, 24 of them, the last one is now
    shifts: tuple[Shift, ...]


class SeriesHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of the same checks of the same profile from the same source."""

    checks: str
    profile: str
    simulated: bool
    runs: int
    first_at: str | None
    last_at: str | None
    last_overall: str | None
    last_exit_code: int | None
    pings_sent: int
    pings_failed: int
    last_ping_failure: str | None
    addresses: dict[str, tuple[Span, ...]]  # by who saw it, the newest last
    address_changes: int
    names: dict[str, NameHistory]
    findings: tuple[FindingHistory, ...]


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One finding of one recorded run; `measure` None where it has no figures."""

    started_at: str
    run_id: str
    exit_code: int
    id: str
    target: str | None
    status: str
    reason: str
    measure: str | None = None
    value: float | None = None
    unit: str | None = None


def default_path(*, simulated: bool = False) -> Path:
    """Where the history is kept: under systemd in its state directory, else in the user's. Simulated runs apart."""
    name = "demo.sqlite" if simulated else "history.sqlite"
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given) / name
    from platformdirs import user_state_path

    return user_state_path("vsipcheck", appauthor=False) / name


def state_of(report: Report) -> str:
    """The statuses of the checklist's rows that gate, as one text that is the same when they are."""
    return " ".join(f"{row.id}={row.status}" for row in report.checklist if row.gating)


def is_good(state: str) -> bool:
    """Nothing in the state asks for attention."""
    return all(row.endswith((f"={Status.PASS}", f"={Status.SKIP}")) for row in state.split())


class History:
    """The open file. A context manager; each method is one transaction and raises HistoryError.

    `set_aside` tells what became of a file that could not be used, where there was one.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        """Opens or makes the file; with `read_only` it has to be there. One that is damaged, or of a newer version, is
        renamed and a new one begun, so that nothing is lost; read only it is an error."""
        self.path = Path(path)
        self.read_only = read_only
        self.set_aside: str | None = None
        seen = _identity(self.path)
        try:
            self._connection = self._open()
        except _UnusableError as unusable:
            if read_only or unusable.foreign:
                raise HistoryError(f"{self.path}: {unusable}") from None
            self.set_aside = f"{self.path} {unusable}; set aside as {self._rename(seen)}, and a new one begun"
            try:
                self._connection = self._open()
            except _UnusableError as again:
                raise HistoryError(f"{self.path}: {again}") from None

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    # --- writing

    def record(
        self, report: Report, addresses: Mapping[str, str], *, confirm: int = 2, keep_ms: int = 90 * _DAY_MS
    ) -> Recorded:
        """Keep one run, and let go of those that are too old, in one transaction.

        `addresses`: the public address by who saw it, TRUNK's the one that counts.
        """
        started_ms = _milliseconds(report.started_at)
        with self._transaction() as db:
            series = self._series(db, report)
            previous = db.execute("SELECT started_ms FROM run ORDER BY seq DESC LIMIT 1").fetchone()
            words = _Words(db)
            state = state_of(report)
            address = addresses.get(TRUNK)
            keys = [(finding.id, finding.target or "") for finding in report.findings]
            finding_ids = _finding_ids(db, keys)
            rows = []
            for finding, key in zip(report.findings, keys, strict=True):
                figures = [
                    (words.id(m.name), words.id(m.unit), m.value) for m in finding.measures if m.value is not None
                ]
                rows.append((finding_ids[key], words.id(finding.status), words.id(finding.reason), figures))
            detail = msgspec.msgpack.encode(
                (rows, {name: recorded.duration_ms for name, recorded in report.evidence.items()})
            )
            seq = db.execute(
                "INSERT INTO run"
                " (series, run_id, started_ms, duration_ms, overall, exit_code, failed, state, address, detail)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    series,
                    report.run_id,
                    started_ms,
                    report.duration_ms,
                    words.id(report.overall) if report.overall else None,
                    report.exit_code,
                    report.exit_code != 0,
                    words.id(state),
                    words.id(address) if address else None,
                    detail,
                ),
            ).lastrowid
            assert seq is not None
            db.execute("UPDATE series SET runs = runs + 1 WHERE id = ?", (series,))
            self._move_verdicts(db, series, seq, started_ms, rows, words)
            self._count(db, series, started_ms // _HOUR_MS, report, [finding_ids[key] for key in keys], words)
            for who, value in addresses.items():
                self._extend(db, series, seq, started_ms, report.run_id, words.id(f"address {who}"), words.id(value))
            for name, value in _resolved(report).items():
                _answer(db, series, seq, (started_ms, started_ms), words.id(name), words.id(value), 1)
            # One run with a clock far ahead must not take all others for old: age is counted from the run before it.
            now_ms = started_ms if previous is None else min(started_ms, previous[0])
            _prune(db, series, now_ms - keep_ms, now_ms - FAILURES_KEPT * keep_ms)
            last = db.execute(
                "SELECT state FROM run WHERE series = ? ORDER BY seq DESC LIMIT ?", (series, confirm)
            ).fetchall()
        confirmed = len(last) == confirm and len(set(last)) == 1
        return Recorded(seq=seq, series=series, state=state, confirmed=confirmed)

    def told(self, series: int, listener: str) -> str | None:
        """The state that `listener` was last told of; None before the first."""
        with self._reading() as db:
            row = db.execute(
                "SELECT text FROM told JOIN word ON word.id = told.state WHERE series = ? AND listener = ?",
                (series, listener),
            ).fetchone()
        return row[0] if row else None

    def tell(self, series: int, listener: str, state: str) -> None:
        """Remember that `listener` knows of the state."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO told VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state",
                (series, listener, _Words(db).id(state)),
            )

    def pinged(self, recorded: Recorded, at: str, failure: str | None) -> None:
        """Count one call of the dead-man's switch."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO ping VALUES (?, ?, 1, ?, ?) ON CONFLICT DO UPDATE SET sent = sent + 1,"
                " failed = failed + excluded.failed, last_failure = coalesce(excluded.last_failure, last_failure)",
                (recorded.series, _milliseconds(at) // _HOUR_MS, int(failure is not None), failure),
            )

    # --- reading

    def past(self, key: str) -> list[PastRun]:
        """What the judges need of the runs of a series (`series_key`): each address's first run and its last ones."""
        with self._reading() as db:
            found = db.execute("SELECT id FROM series WHERE key = ?", (key,)).fetchone()
            if found is None:
                return []
            spans = db.execute(
                "SELECT text, first_run, first_ms, last_run, last_ms, runs FROM span JOIN word ON word.id = span.value"
                " WHERE series = ? AND what = (SELECT id FROM word WHERE text = ?) ORDER BY first_seq DESC LIMIT ?",
                (found[0], f"address {TRUNK}", _MAX_SPANS),
            ).fetchall()
        past: list[PastRun] = []
        for address, first_run, first_ms, last_run, last_ms, runs in reversed(spans):
            ends = [(first_run, first_ms, runs - 1)] if runs > 1 else []
            for run_id, at_ms, standing_for in (*ends, (last_run, last_ms, 1)):
                past.append(
                    PastRun(
                        id=f"history.{len(past) + 1}",
                        run_id=run_id,
                        started_at=_moment(at_ms),
                        public_address=address,
                        runs=standing_for,
                    )
                )
        return past

    def summary(self, *, now: str | None = None) -> list[SeriesHistory]:
        """Every series, the one that ran last first. `now` is for tests."""
        now_ms = _milliseconds(now) if now else int(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
        with self._reading() as db:
            series = db.execute("SELECT id, checks, profile, simulated, runs FROM series").fetchall()
            known = _Known(db)
            told = [
                (last[0] if (last := _last_run(db, row[0])) else 0, _summarise(db, known, row, now_ms))
                for row in series
            ]
        return [summary for _, summary in sorted(told, key=lambda item: -item[0]) if summary.runs]

    def measurements(self, *, since_ms: int = 0) -> Iterator[Measurement]:
        """Every finding of every run that began after `since_ms`, in the order in which they ran."""
        with self._reading() as db:
            known = _Known(db)
            rows = db.execute(
                "SELECT started_ms, run_id, exit_code, detail FROM run WHERE started_ms >= ? ORDER BY seq", (since_ms,)
            )
            for started_ms, run_id, exit_code, detail in rows:
                verdicts, _ = msgspec.msgpack.decode(detail)
                for finding, status, reason, figures in verdicts:
                    name, target = known.finding(finding)
                    base = Measurement(
                        started_at=_moment(started_ms),
                        run_id=run_id,
                        exit_code=exit_code,
                        id=name,
                        target=target or None,
                        status=known.word(status),
                        reason=known.word(reason),
                    )
                    if not figures:
                        yield base
                    for measure, unit, value in figures:
                        yield msgspec.structs.replace(
                            base, measure=known.word(measure), value=value, unit=known.word(unit)
                        )

    # --- within

    def _open(self) -> sqlite3.Connection:
        try:
            if not self.read_only:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            elif not self.path.exists():
                raise HistoryError(f"{self.path}: there is no history yet (--record keeps one)")
            connection = self._connected()
        except OSError as error:
            raise HistoryError(f"{self.path}: {error.strerror or error}") from None
        except sqlite3.Error as error:
            raise _named(self.path, error) from None
        try:
            _set_up(connection, self.read_only)
        except sqlite3.Error as error:
            connection.close()
            raise _named(self.path, error) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected(self) -> sqlite3.Connection:
        if not self.read_only:
            return sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        uri = self.path.absolute().as_uri()
        connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1")
        except sqlite3.OperationalError:
            # A write-ahead log needs a file beside the database, even to be read. Without one there is nothing in it.
            connection.close()
            log = Path(f"{self.path}-wal")
            if log.exists() and log.stat().st_size > 0:
                raise
            connection = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None)
        except BaseException:
            connection.close()
            raise
        return connection

    def _rename(self, seen: tuple[int, int] | None) -> str:
        if _identity(self.path) != seen:
            return "another run says"  # it has found the same, and begun the new file already
        moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = self.path.with_name(f"{self.path.name}.{moment}")
        try:
            # What the log holds belongs to the file. It goes first: a new database must not find it.
            for suffix in ("-wal", "-shm", ""):
                with suppress(FileNotFoundError):
                    os.rename(f"{self.path}{suffix}", f"{aside}{suffix}")
        except OSError as error:
            raise HistoryError(f"{self.path} cannot be used, nor set aside: {error.strerror or error}") from None
        return aside.name

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._connection
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _named(self.path, error) from None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._connection
        except sqlite3.Error as error:
            raise _named(self.path, error) from None

    def _series(self, db: sqlite3.Connection, report: Report) -> int:
        key = series_key(report.profile, report.settings, whole=report.overall is not None, simulated=report.simulated)
        db.execute(
            "INSERT OR IGNORE INTO series (key, checks, profile, simulated) VALUES (?, ?, ?, ?)",
            (key, "all" if report.overall else " ".join(report.settings.checks), report.profile.name, report.simulated),
        )
        found: int = db.execute("SELECT id FROM series WHERE key = ?", (key,)).fetchone()[0]
        return found

    def _move_verdicts(
        self, db: sqlite3.Connection, series: int, seq: int, at_ms: int, rows: Sequence[Any], words: _Words
    ) -> None:
        """`latest` becomes this run's verdicts; where a status differs, `change` tells."""
        before = {
            finding: (status, reason)
            for finding, status, reason in db.execute(
                "SELECT finding, status, reason FROM latest WHERE series = ?", (series,)
            )
        }
        for finding, status, reason, _ in rows:
            known = before.get(finding)
            if known is not None and known[0] == status:
                db.execute(
                    "UPDATE latest SET reason = ?, seq = ? WHERE series = ? AND finding = ?",
                    (reason, seq, series, finding),
                )
                continue
            db.execute(
                "INSERT OR REPLACE INTO latest VALUES (?, ?, ?, ?, ?, ?)", (series, finding, status, reason, at_ms, seq)
            )
            if known is not None:
                db.execute(
                    "INSERT OR REPLACE INTO change VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (series, seq, finding, at_ms, known[0], status, reason),
                )

    def _count(
        self, db: sqlite3.Connection, series: int, hour: int, report: Report, ids: Sequence[int], words: _Words
    ) -> None:
        for finding, finding_id in zip(report.findings, ids, strict=True):
            if finding.status is Status.SKIP:
                continue
            good = finding.status in (Status.PASS, Status.WARN)
            bad = finding.status is Status.FAIL
            db.execute(
                "INSERT INTO hourly VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET good = good + excluded.good,"
                " bad = bad + excluded.bad, unknown = unknown + excluded.unknown",
                (series, hour, finding_id, int(good), int(bad), int(not good and not bad)),
            )
            for measure in finding.measures:
                if measure.value is None or measure.unit not in ("ms", "ratio"):
                    continue
                value = float(measure.value)
                db.execute(
                    "INSERT INTO trend VALUES (?, ?, ?, ?, 1, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + 1,"
                    " total = total + excluded.total, low = min(low, excluded.low), high = max(high, excluded.high)",
                    (series, hour, finding_id, words.id(measure.name), value, value, value),
                )

    def _extend(
        self, db: sqlite3.Connection, series: int, seq: int, at_ms: int, run_id: str, what: int, value: int
    ) -> None:
        """The same value as in the last run that had one makes its span longer; another one begins a new span."""
        last = db.execute(
            "SELECT first_seq, value FROM span WHERE series = ? AND what = ? ORDER BY first_seq DESC LIMIT 1",
            (series, what),
        ).fetchone()
        if last is not None and last[1] == value:
            db.execute(
                "UPDATE span SET last_run = ?, last_ms = ?, runs = runs + 1"
                " WHERE series = ? AND what = ? AND first_seq = ?",
                (run_id, at_ms, series, what, last[0]),
            )
        else:
            db.execute(
                "INSERT INTO span VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
                (series, what, seq, value, run_id, at_ms, run_id, at_ms),
            )


def series_key(profile: Profile, settings: Settings, *, whole: bool, simulated: bool) -> str:
    """What makes runs comparable. `whole`: all checks were asked for, however many this version has."""
    return msgspec.json.encode(
        {
            "checks": "all" if whole else settings.checks,
            "profile": profile.name,
            "names": [f"{pop.fqdn}:{profile.signalling.port}" for pop in profile.signalling.pops],
            "media": [one.address for one in profile.media.addresses],
            "family": settings.family,
            "source": settings.source,
            "primary": settings.primary,
            "simulated": simulated,
        },
        order="deterministic",
    ).decode()


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file the path names now."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


class _UnusableError(Exception):
    """The file is no history that this version can go on with. `foreign`: it is another program's, to be left alone."""

    def __init__(self, why: str, *, foreign: bool = False) -> None:
        super().__init__(why)
        self.foreign = foreign


class _Words:
    """Numbers for texts that come again and again."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._ids: dict[str, int] = {}

    def id(self, text: str) -> int:
        text = str(text)
        if text not in self._ids:
            self._db.execute("INSERT OR IGNORE INTO word (text) VALUES (?)", (text,))
            self._ids[text] = self._db.execute("SELECT id FROM word WHERE text = ?", (text,)).fetchone()[0]
        return self._ids[text]


class _Known:
    """The texts behind numbers, each looked up once."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._words: dict[int, str] = {}
        self._findings: dict[int, tuple[str, str]] = {}

    def word(self, number: int) -> str:
        if number not in self._words:
            row = self._db.execute("SELECT text FROM word WHERE id = ?", (number,)).fetchone()
            self._words[number] = row[0] if row else str(Status.OTHER)
        return self._words[number]

    def finding(self, number: int) -> tuple[str, str]:
        if number not in self._findings:
            row = self._db.execute("SELECT name, target FROM finding WHERE id = ?", (number,)).fetchone()
            self._findings[number] = (row[0], row[1]) if row else (str(Status.OTHER), "")
        return self._findings[number]


def _set_up(db: sqlite3.Connection, read_only: bool) -> None:
    """Make an empty file a history, or see that it is one."""
    try:
        # At one moment: another run that makes the file meanwhile must not look like another program.
        db.execute("BEGIN")
        try:
            application, version = (
                db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
            empty = db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            raise _UnusableError(f"is damaged ({error})") from None
        raise
    if not empty and application != _APPLICATION_ID:
        raise _UnusableError("is the database of another program", foreign=True)
    if version > SCHEMA_VERSION:
        raise _UnusableError(
            f"was written by a newer version of vsipcheck (schema {version}, this one: {SCHEMA_VERSION})"
        )
    if read_only:
        if empty:
            raise _UnusableError("is empty", foreign=True)
        if version < 2:  # the file stays as it is; what it lacks is made in memory
            db.execute("PRAGMA temp_store = MEMORY")
            _add_answers(db, temporary=True)
        return
    try:
        _use_write_ahead_log(db)
        db.execute("PRAGMA synchronous = NORMAL")
        if version < SCHEMA_VERSION:
            _bring_up_to_date(db)
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            raise _UnusableError(f"is damaged ({error})") from None
        raise


def _use_write_ahead_log(db: sqlite3.Connection) -> None:
    """Kept in the file; where the file system can't share memory, what was set stays."""
    patience_ends = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait for another run that does the same: both could wait for ever.
            if (error.sqlite_errorcode & 0xFF) != sqlite3.SQLITE_BUSY or time.monotonic() > patience_ends:
                raise
        time.sleep(0.01)


def _bring_up_to_date(db: sqlite3.Connection) -> None:
    """Make the tables that an empty or an older file lacks, in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None:
            _execute(db, _SCHEMA)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        if db.execute("PRAGMA user_version").fetchone()[0] < SCHEMA_VERSION:  # nobody was quicker
            _add_answers(db)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _execute(db: sqlite3.Connection, script: str) -> None:
    """Its statements within the transaction that is open; `executescript` would end it."""
    for statement in filter(str.strip, script.split(";")):
        db.execute(statement)


def _add_answers(db: sqlite3.Connection, *, temporary: bool = False) -> None:
    """Version 1 kept what names resolved to as spans, one for every time that it changed."""
    _execute(db, _ANSWERS.format(temporary="TEMP" if temporary else ""))
    words = _Words(db)
    spans = db.execute(
        "SELECT series, text, first_seq, value, first_ms, last_ms, runs, what FROM span"
        " JOIN word ON word.id = span.what WHERE text LIKE 'name %' ORDER BY first_seq"
    ).fetchall()
    for series, text, seq, value, first_ms, last_ms, runs, what in spans:
        name = what if temporary else words.id(text.removeprefix("name "))
        _answer(db, series, seq, (first_ms, last_ms), name, value, runs)
        if not temporary:
            db.execute("DELETE FROM span WHERE series = ? AND what = ? AND first_seq = ?", (series, what, seq))


def _is_damage(error: sqlite3.Error) -> bool:
    """Locked, full and read-only are errors too, and no damage."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (_CORRUPT, _NOT_A_DATABASE)


def _named(path: Path, error: sqlite3.Error) -> HistoryError:
    return HistoryError(f"{path}: {_reason(path, error)}")


def _reason(path: Path, error: sqlite3.Error) -> str:
    """What SQLite says; where the disk is full it may call that an I/O error."""
    said = str(error) or type(error).__name__
    with suppress(OSError):
        if "full" not in said and shutil.disk_usage(path.parent).free < _SPACE_OF_A_RUN:
            return f"{said}: the disk is full"
    return said


def _finding_ids(db: sqlite3.Connection, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    ids: dict[tuple[str, str], int] = {}
    for key in keys:
        if key not in ids:
            db.execute("INSERT OR IGNORE INTO finding (name, target) VALUES (?, ?)", key)
            ids[key] = db.execute("SELECT id FROM finding WHERE name = ? AND target = ?", key).fetchone()[0]
    return ids


def _resolved(report: Report) -> dict[str, str]:
    """What the system resolved each signalling name to, sorted, so that a turned round-robin is no change."""
    addresses: dict[str, set[str]] = {}
    for recorded in report.evidence.values():
        for fact in recorded.facts:
            if not isinstance(fact, Lookup) or (fact.purpose, fact.record_type, fact.server) != ("trunk", "A", None):
                continue
            if fact.addresses:  # a look-up that failed is no change of what the name resolves to
                addresses.setdefault(fact.name, set()).update(fact.addresses)
    return {name: ", ".join(sorted(found)) for name, found in addresses.items()}


def _answer(
    db: sqlite3.Connection, series: int, seq: int, seen_ms: tuple[int, int], name: int, value: int, runs: int
) -> None:
    """The name resolved to `value` in `runs` runs in a row, the first and the last of them at `seen_ms`."""
    first_ms, last_ms = seen_ms
    held = db.execute(
        "SELECT value, last_ms FROM answer WHERE series = ? AND name = ? ORDER BY last_seq DESC LIMIT 1", (series, name)
    ).fetchone()
    known = db.execute(
        "SELECT last_ms FROM answer WHERE series = ? AND name = ? AND value = ?", (series, name, value)
    ).fetchone()
    key = (series, name, value)
    if held is not None and held[0] == value:
        db.execute(
            "UPDATE answer SET last_ms = ?, last_seq = ?, runs = runs + ? WHERE series = ? AND name = ? AND value = ?",
            (last_ms, seq, runs, *key),
        )
        return
    lately = known is not None and first_ms - known[0] <= KNOWN_ANSWER_MS
    db.execute(
        "INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT DO UPDATE SET"
        " since_ms = excluded.since_ms, last_ms = excluded.last_ms, last_seq = excluded.last_seq,"
        " runs = runs + excluded.runs, returned_ms = ?",
        (*key, first_ms, first_ms, last_ms, seq, runs, first_ms if lately else None),
    )
    if held is not None and not lately:
        db.execute(
            "INSERT OR REPLACE INTO drift VALUES (?, ?, ?, ?, ?, ?, ?)",
            (series, name, seq, held[0], held[1], value, first_ms),
        )
    for table, number in (("answer", "last_seq"), ("drift", "seq")):
        db.execute(
            f"DELETE FROM {table} WHERE series = ?1 AND name = ?2 AND {number} <= (SELECT {number} FROM {table}"
            f" WHERE series = ?1 AND name = ?2 ORDER BY {number} DESC LIMIT 1 OFFSET {_MAX_ANSWERS})",
            (series, name),
        )


def _prune(db: sqlite3.Connection, series: int, before_ms: int, failures_before_ms: int) -> None:
    for failed, oldest_ms in ((0, before_ms), (1, failures_before_ms)):
        old = "FROM run WHERE failed = ? AND started_ms < ?"
        for one, count in db.execute(f"SELECT series, count(*) {old} GROUP BY series", (failed, oldest_ms)).fetchall():
            db.execute("UPDATE series SET runs = runs - ? WHERE id = ?", (count, one))
        db.execute(f"DELETE {old}", (failed, oldest_ms))
    # What is told of whole hours is small, and tells of failures: it stays as long as they do.
    for table in ("hourly", "trend", "ping"):
        db.execute(f"DELETE FROM {table} WHERE series = ? AND hour < ?", (series, failures_before_ms // _HOUR_MS))
    for table, moment in (("span", "last_ms"), ("answer", "last_ms"), ("drift", "after_ms")):
        db.execute(f"DELETE FROM {table} WHERE series = ? AND {moment} < ?", (series, failures_before_ms))
    db.execute(
        "DELETE FROM change WHERE series = ? AND seq < (SELECT min(seq) FROM run WHERE series = ?)", (series, series)
    )


def _last_run(db: sqlite3.Connection, series: int) -> Any:
    return db.execute(
        "SELECT seq, started_ms, overall, exit_code FROM run WHERE series = ? ORDER BY seq DESC LIMIT 1", (series,)
    ).fetchone()


def _summarise(db: sqlite3.Connection, known: _Known, row: Sequence[Any], now_ms: int) -> SeriesHistory:
    series, checks, profile, simulated, runs = row
    first = db.execute("SELECT started_ms FROM run WHERE series = ? ORDER BY seq LIMIT 1", (series,)).fetchone()
    last = _last_run(db, series)
    spans: dict[str, list[Span]] = {}
    changes = 0
    for (what,) in db.execute("SELECT DISTINCT what FROM span WHERE series = ?", (series,)).fetchall():
        name = known.word(what)
        rows = db.execute(
            "SELECT value, first_ms, last_ms, runs FROM span WHERE series = ? AND what = ?"
            " ORDER BY first_seq DESC LIMIT ?",
            (series, what, _LISTED),
        ).fetchall()
        spans[name] = [
            Span(value=known.word(value), first_at=_moment(first_ms), last_at=_moment(last_ms), runs=count)
            for value, first_ms, last_ms, count in reversed(rows)
        ]
        if name == f"address {TRUNK}":
            count = db.execute("SELECT count(*) FROM span WHERE series = ? AND what = ?", (series, what)).fetchone()[0]
            changes = max(0, count - 1)
    sent, failed = db.execute("SELECT total(sent), total(failed) FROM ping WHERE series = ?", (series,)).fetchone()
    failure = db.execute(
        "SELECT last_failure FROM ping WHERE series = ? AND last_failure IS NOT NULL ORDER BY hour DESC LIMIT 1",
        (series,),
    ).fetchone()
    return SeriesHistory(
        checks=checks,
        profile=profile,
        simulated=bool(simulated),
        runs=runs,
        first_at=_moment(first[0]) if first else None,
        last_at=_moment(last[1]) if last else None,
        last_overall=known.word(last[2]) if last and last[2] is not None else None,
        last_exit_code=last[3] if last else None,
        pings_sent=int(sent),
        pings_failed=int(failed),
        last_ping_failure=failure[0] if failure else None,
        addresses=_under("address ", spans),
        address_changes=changes,
        names=_names(db, known, series),
        findings=_finding_histories(db, known, series, now_ms),
    )


def _under(prefix: str, spans: Mapping[str, list[Span]]) -> dict[str, tuple[Span, ...]]:
    return {what.removeprefix(prefix): tuple(told) for what, told in sorted(spans.items()) if what.startswith(prefix)}


def _names(db: sqlite3.Connection, known: _Known, series: int) -> dict[str, NameHistory]:
    told: dict[str, NameHistory] = {}
    for (name,) in db.execute("SELECT DISTINCT name FROM answer WHERE series = ?", (series,)).fetchall():
        answers = db.execute(
            "SELECT value, since_ms, last_ms, runs, returned_ms FROM answer WHERE series = ? AND name = ?"
            " ORDER BY last_seq DESC",
            (series, name),
        ).fetchall()
        value, since_ms, now_ms, runs, _ = answers[0]
        # Back once is a change that was taken back. A rotation is two sets or more that have returned.
        rotation = [one for one, _, _, _, returned in answers if returned and returned >= now_ms - KNOWN_ANSWER_MS]
        rotates = len(rotation) > 1 and value in rotation
        drifts = db.execute(
            "SELECT before, before_ms, after, after_ms FROM drift WHERE series = ? AND name = ? ORDER BY seq DESC",
            (series, name),
        ).fetchall()
        turns = set(rotation) if len(rotation) > 1 else set()
        shown = [drift for drift in drifts if not {drift[0], drift[2]} <= turns][:_LISTED]
        told[known.word(name).removeprefix("name ")] = NameHistory(
            now=known.word(value),
            since=_moment(since_ms),
            runs=runs,
            rotation=tuple(sorted(known.word(one) for one in rotation)) if rotates else (),
            drifts=tuple(
                Drift(
                    before=known.word(before),
                    after=known.word(after),
                    before_last_at=_moment(before_ms),
                    after_first_at=_moment(after_ms),
                )
                for before, before_ms, after, after_ms in reversed(shown)
            ),
        )
    return dict(sorted(told.items()))


def _shifts(db: sqlite3.Connection, known: _Known, series: int, hour: int) -> dict[int, tuple[Shift, ...]]:
    """By finding. Both windows are of whole hours; the last one is now."""
    last, before = hour - SHIFT_HOURS, hour - SHIFT_HOURS - SHIFT_HOURS_BEFORE
    hours: dict[tuple[int, int], tuple[list[tuple[int, float]], list[tuple[int, float]]]] = {}
    for finding, measure, at, count, total in db.execute(
        "SELECT finding, measure, hour, count, total FROM trend WHERE series = ? AND hour > ? AND hour <= ?",
        (series, before, hour),
    ):
        sides = hours.setdefault((finding, measure), ([], []))
        sides[0 if at > last else 1].append((count, total))
    found: dict[int, list[Shift]] = {}
    for (finding, measure), (now, earlier) in hours.items():
        shift = _shift(known.word(measure), now, earlier)
        if shift is not None:
            found.setdefault(finding, []).append(shift)
    return {finding: tuple(sorted(shifts, key=lambda one: one.measure)) for finding, shifts in found.items()}


def _shift(measure: str, now: Sequence[tuple[int, float]], earlier: Sequence[tuple[int, float]]) -> Shift | None:
    """None where the two do not differ clearly, or where there are too few runs to say so."""
    runs, runs_before = (sum(count for count, _ in side) for side in (now, earlier))
    if measure not in SHIFT_LEAST or min(runs, runs_before) < SHIFT_RUNS:
        return None
    if measure.endswith("_ms"):  # one slow hour is no trend
        value, before = (statistics.median(total / count for count, total in side) for side in (now, earlier))
    else:  # losses are rare: the median would be none
        value, before = sum(total for _, total in now) / runs, sum(total for _, total in earlier) / runs_before
    low, high = sorted((value, before))
    if high - low < SHIFT_LEAST[measure] or high < SHIFT_RATIO * low:
        return None
    return Shift(
        measure=measure,
        unit="ms" if measure.endswith("_ms") else "ratio",
        value=value,
        before=before,
        ratio=value / before if before else None,
        runs=runs,
        runs_before=runs_before,
    )


def _finding_histories(db: sqlite3.Connection, known: _Known, series: int, now_ms: int) -> tuple[FindingHistory, ...]:
    hour = now_ms // _HOUR_MS
    oldest = db.execute(
        "SELECT seq FROM run WHERE series = ? ORDER BY seq DESC LIMIT 1 OFFSET ?", (series, FLAPPING_RUNS - 1)
    ).fetchone()
    changes = dict(
        db.execute(
            "SELECT finding, count(*) FROM change WHERE series = ? AND seq > ? GROUP BY finding",
            (series, oldest[0] if oldest else 0),
        ).fetchall()
    )
    counts: dict[str, dict[int, tuple[int, int, int]]] = {}
    for window, hours in WINDOWS.items():
        counts[window] = {
            finding: (good, bad, unknown)
            for finding, good, bad, unknown in db.execute(
                "SELECT finding, sum(good), sum(bad), sum(unknown) FROM hourly WHERE series = ? AND hour > ?"
                " GROUP BY finding",
                (series, hour - hours),
            )
        }
    trends: dict[int, dict[str, list[float | None]]] = {}
    shown = 24
    for finding, measure, at, count, total in db.execute(
        "SELECT finding, measure, hour, count, total FROM trend WHERE series = ? AND hour > ? AND hour <= ?",
        (series, hour - shown, hour),
    ):
        means = trends.setdefault(finding, {}).setdefault(known.word(measure), [None] * shown)
        means[at - hour + shown - 1] = total / count
    shifts = _shifts(db, known, series, hour)
    rows = db.execute(
        "SELECT finding, status, reason, since_ms FROM latest WHERE series = ? ORDER BY finding", (series,)
    ).fetchall()
    return tuple(
        FindingHistory(
            id=known.finding(finding)[0],
            target=known.finding(finding)[1] or None,
            status=known.word(status),
            reason=known.word(reason),
            since=_moment(since_ms),
            flapping=changes.get(finding, 0) >= FLAPPING_CHANGES,
            changes=changes.get(finding, 0),
            uptime={window: _uptime(counts[window].get(finding)) for window in WINDOWS},
            unknown_runs={window: counts[window].get(finding, (0, 0, 0))[2] for window in WINDOWS},
            trends={measure: tuple(means) for measure, means in sorted(trends.get(finding, {}).items())},
            shifts=shifts.get(finding, ()),
        )
        for finding, status, reason, since_ms in rows
    )


def _uptime(counted: tuple[int, int, int] | None) -> float | None:
    if counted is None or counted[0] + counted[1] == 0:
        return None
    return counted[0] / (counted[0] + counted[1])


def _milliseconds(moment: str) -> int:
    try:
        parsed = datetime.datetime.fromisoformat(moment)
    except ValueError:
        return 0
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.UTC)).timestamp() * 1000)


def _moment(milliseconds: int) -> str:
    moment = datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03}Z"
