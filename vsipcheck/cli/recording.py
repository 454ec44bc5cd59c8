"""What a run leaves behind and tells on: the history, the lock, the news of a change, the dead-man's switch."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from vsipcheck.cli.options import Request, UsageError
from vsipcheck.cli.output import complain
from vsipcheck.model import PastRun, Profile, Report, Settings

if TYPE_CHECKING:
    import subprocess

    from vsipcheck.history import History, Recorded

# Ours. A command that mails or posts is done long before; one that hangs must not hold the lock for ever.
COMMAND_TIMEOUT_S = 60.0
PING_TIMEOUT_S = 10.0
MAX_SPLAY_S = 3600.0
MAX_CONFIRM = 100
_UNITS_MS = {"h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_STDOUT, _COMMAND = "stdout", "command"


class LockedError(Exception):
    """Another run holds the lock."""


class Change(msgspec.Struct, frozen=True):
    """The confirmed state differs from the one that was told last. `before` is None where none was told yet."""

    before: str | None
    after: str


class Recording:
    """Everything around one run that outlives it. A context manager, which holds the lock in cron mode.

    Nothing of it changes a verdict: what cannot be kept is complained of, and `lost` says so.
    """

    def __init__(self, request: Request, *, simulated: bool) -> None:
        """Raises UsageError for options that don't fit together."""
        self.cron = request.cron
        self.wanted = request.record or request.cron
        self.lost = False
        self._request = request
        self._keep_ms = milliseconds_of("--keep", request.keep)
        self._reads = self.wanted or request.state is not None
        self._simulated = simulated
        self._lock: int | None = None
        self._recorded: Recorded | None = None
        self._path: Path | None = None
        for option, given in (
            ("--splay", request.splay > 0),
            ("--confirm", request.confirm != Request.confirm),
            ("--on-change", request.on_change is not None),
            ("--ping", request.ping is not None),
            ("--ping-fail", request.ping_fail is not None),
        ):
            if given and not request.cron:
                raise UsageError(f"{option}: expected together with --cron")
        if not 0 <= request.splay <= MAX_SPLAY_S:
            raise UsageError(f"--splay: expected seconds from 0 to {MAX_SPLAY_S:g}, found {request.splay:g}")
        if not 1 <= request.confirm <= MAX_CONFIRM:
            raise UsageError(f"--confirm: expected a number from 1 to {MAX_CONFIRM}, found {request.confirm}")
        for option, url in (("--ping", request.ping), ("--ping-fail", request.ping_fail)):
            _check_url(option, url)
        if request.state is not None and (not request.state or "\0" in request.state):
            raise UsageError(f"--state: expected a file name, found {request.state!r}")
        if self._reads:
            from vsipcheck.history import default_path

            self._path = Path(request.state) if request.state else default_path(simulated=simulated)

    def __enter__(self) -> Recording:
        """Raises LockedError if another run is under way."""
        if self.cron and self._path is not None:
            self._lock = _take_lock(Path(f"{self._path}.lock"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)  # which gives the lock back; the file stays, for others may be waiting on it
            self._lock = None

    @property
    def delay_s(self) -> float:
        """How long to wait before the run: drawn anew each time, so that many hosts do not ask at once."""
        if not self._request.splay:
            return 0.0
        import random

        return random.uniform(0.0, self._request.splay)

    def past(self, profile: Profile, settings: Settings, *, whole: bool) -> list[PastRun]:
        """The earlier runs that the judges may see; none where there is no history to read."""
        if self._path is None or not self._path.exists():
            return []
        from vsipcheck.history import History, HistoryError, series_key

        key = series_key(profile, settings, whole=whole, simulated=self._simulated)
        try:
            with History(self._path, read_only=True) as history:
                return history.past(key)
        except HistoryError as error:
            if not self.wanted:  # else recording will say so
                self._complain(str(error))
            return []

    def keep(self, report: Report) -> Change | None:
        """Record the run; the change of state that stdout has to be told of, if there is one."""
        if not self.wanted or self._path is None:
            return None
        if report.interrupted:
            return None  # it proves nothing about what it did not get to
        from vsipcheck.history import History, HistoryError

        try:
            with History(self._path) as history:
                if history.set_aside:
                    complain(history.set_aside)
                self._recorded = history.record(
                    report, addresses_of(report), confirm=self._request.confirm, keep_ms=self._keep_ms
                )
                return self._change(history, _STDOUT)
        except HistoryError as error:
            self._complain(f"the run was not recorded: {error}")
            return None

    def told(self, shown: Report, *, written: bool) -> None:
        """The outputs are written: now tell the command, and remember who has been told.

        Only what was told counts as told. A process that is killed in between tells again, rather than never.
        """
        if not self.cron or self._recorded is None or self._path is None:
            return
        from vsipcheck.history import History, HistoryError

        try:
            with History(self._path) as history:
                if written and self._change(history, _STDOUT) is not None:
                    history.tell(self._recorded.series, _STDOUT, self._recorded.state)
                command = self._request.on_change
                if command is None or self._change(history, _COMMAND) is None:
                    return
                if self._run_command(command, shown):
                    history.tell(self._recorded.series, _COMMAND, self._recorded.state)
        except HistoryError as error:
            self._complain(str(error))

    def ping(self, report: Report, *, succeeded: bool) -> None:
        """Call the dead-man's switch. That it could not be called is recorded and not complained of: whoever watches it
        will notice, and cron would mail every time."""
        url = self._request.ping if succeeded else self._request.ping_fail
        if not self.cron or url is None or report.interrupted:
            return
        from vsipcheck.net.ping import call

        failure = call(url, timeout_s=PING_TIMEOUT_S)
        if self._recorded is not None and self._path is not None:
            from vsipcheck.history import History, HistoryError

            with suppress(HistoryError), History(self._path) as history:
                history.pinged(self._recorded, report.started_at, failure)

    def _change(self, history: History, listener: str) -> Change | None:
        recorded = self._recorded
        if not self.cron or recorded is None or not recorded.confirmed:
            return None
        from vsipcheck.history import is_good

        before = history.told(recorded.series, listener)
        if before == recorded.state:
            return None
        if before is None and is_good(recorded.state):
            history.tell(recorded.series, listener, recorded.state)  # no news: it is as it should be
            return None
        return Change(before, recorded.state)

    def _run_command(self, command: str, report: Report) -> bool:
        import subprocess

        from vsipcheck.render import render

        document = render(report, "json").encode()
        try:
            process = subprocess.Popen(
                command, shell=True, stdin=subprocess.PIPE, start_new_session=True, close_fds=True
            )
        except OSError as error:
            self._complain(f"--on-change could not be started: {error.strerror or error}")
            return False
        try:
            process.communicate(document, timeout=COMMAND_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _end(process)
            self._complain(f"--on-change was ended: it took longer than {COMMAND_TIMEOUT_S:g} s")
            return False
        except BaseException:
            _end(process)
            raise
        if process.returncode != 0:
            self._complain(f"--on-change ended with {process.returncode}; it is run again after the next run")
            return False
        return True

    def _complain(self, what: str) -> None:
        complain(what)
        self.lost = True


def addresses_of(report: Report) -> dict[str, str]:
    """The public address by who saw it: methods, and TRUNK for the one that counts."""
    from vsipcheck.checks.base import Facts
    from vsipcheck.checks.public_address import sightings, trunk_address
    from vsipcheck.history import TRUNK

    facts = Facts(report.evidence)
    seen: dict[str, set[str]] = {}
    for one in sightings(facts):
        seen.setdefault(one.method, set()).add(one.address)
    addresses = {method: ", ".join(sorted(found)) for method, found in seen.items()}
    if (address := trunk_address(facts)) is not None:
        addresses[TRUNK] = address
    return addresses


def change_text(change: Change) -> str:
    """The rows whose status changed, a line each."""
    from vsipcheck.history import is_good

    before = _statuses(change.before or "")
    after = _statuses(change.after)
    lines = [
        f"  {row}: {before.get(row, 'not known' if change.before is None else 'not asked')} -> {status}\n"
        for row, status in after.items()
        if before.get(row) != status and (change.before is not None or not is_good(f"{row}={status}"))
    ]
    lines += [f"  {row}: {status} -> not asked\n" for row, status in before.items() if row not in after]
    return "".join(lines)


def _statuses(state: str) -> dict[str, str]:
    return dict(row.split("=", 1) for row in state.split())


def milliseconds_of(option: str, text: str) -> int:
    """A length of time as it is typed: 24h, 90d, 52w. Raises UsageError."""
    match = re.fullmatch(r"([1-9]\d{0,5})([hdw])", text)
    if match is None:
        raise UsageError(f"{option}: expected a number and h, d or w, as in 90d; found {text!r}")
    return int(match[1]) * _UNITS_MS[match[2]]


def _check_url(option: str, url: str | None) -> None:
    if url is None:
        return
    import urllib.parse

    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:  # what was typed may hold a secret: it is not repeated
        raise UsageError(f"{option}: expected a URL with http:// or https:// and a host")


def _take_lock(path: Path) -> int | None:
    """The descriptor that holds the lock; None where there can be none. Raises LockedError."""
    try:
        import fcntl
    except ImportError:  # Windows
        complain("this platform has no file locks: runs may overlap")
        return None
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        try:
            descriptor = os.open(path, flags)  # another user's will do: a lock needs no permission to write
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, flags | os.O_CREAT, 0o644)
    except OSError as error:
        complain(f"{path}: {error.strerror or error}; runs may overlap")
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LockedError from None
    except OSError as error:
        os.close(descriptor)
        complain(f"{path}: {error.strerror or error}; runs may overlap")
        return None
    return descriptor


def _end(process: subprocess.Popen[Any]) -> None:
    """End the command and everything that it started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
