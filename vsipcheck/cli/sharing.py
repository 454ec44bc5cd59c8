"""What of a run is handed to others: redaction, and the file for the provider's support."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vsipcheck.cli.errors import tell_internal_error
from vsipcheck.cli.options import Request, UsageError
from vsipcheck.cli.output import OutputError, complain, write_bytes
from vsipcheck.model import Report

if TYPE_CHECKING:
    from vsipcheck.redaction import Redactor

_NUMBER = re.compile(r"\+?[0-9][0-9 ().-]{1,28}[0-9]")


class Sharing:
    """Redacts what is shown, where that was asked for, and writes the ticket."""

    def __init__(self, request: Request) -> None:
        """Raises UsageError."""
        self._request = request
        self._redactor: Redactor | None = None
        self._call_time = _call_time(request.call_time)
        for number in request.number:
            if not _NUMBER.fullmatch(number):
                raise UsageError(f"--number: expected a telephone number such as +919876543210, found {number!r}")
        if request.ticket is not None and (not request.ticket or request.ticket == "-" or "\0" in request.ticket):
            raise UsageError(f"--ticket: expected a file name, found {request.ticket!r}")
        for option, given in (("--call-time", request.call_time), ("--number", request.number)):
            if given and request.ticket is None:
                raise UsageError(f"{option}: expected together with --ticket")

    def shown(self, report: Report) -> Report:
        """The report as it may leave this machine."""
        if not self._request.redact and not self._request.redact_public:
            return report
        import platform

        from vsipcheck.redaction import Redactor

        node = platform.node()
        self._redactor = Redactor(
            public=self._request.redact_public,
            numbers=self._request.number,
            account_sids=[self._request.account_sid] if self._request.account_sid else [],
            # A name that is an ordinary word would be found everywhere.
            host_names=[node] if re.search(r"[^A-Za-z]", node) else [],
        )
        return self._redactor.report(report)

    def write(self, shown: Report) -> bool:
        """Write the ticket, if there is to be one; False if that failed."""
        request = self._request
        if request.ticket is None:
            return True
        from vsipcheck.ticket import Case, build_ticket

        numbers = tuple(request.number)
        sid = request.account_sid or shown.settings.account_sid
        if self._redactor is not None:
            # Numbers as such, so that digits apart by blanks and dashes are seen as one.
            numbers = tuple(
                self._redactor.text(("+" if number.startswith("+") else "") + re.sub(r"\D", "", number))
                for number in numbers
            )
            sid = self._redactor.text(request.account_sid) if request.account_sid else sid
        try:
            write_bytes(
                request.ticket, build_ticket(shown, Case(account_sid=sid, call_time=self._call_time, numbers=numbers))
            )
        except OutputError as error:
            complain(str(error))
            return False
        except Exception as error:
            tell_internal_error(error)  # must not cost the other outputs
            return False
        return True


def _call_time(text: str | None) -> str | None:
    """The moment with its distance from UTC; what was typed without one is this machine's time."""
    if text is None:
        return None
    import datetime

    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--call-time: expected a time such as 2026-11-25T14:05+05:30, found {text!r}") from None
    moment = moment if moment.tzinfo else moment.astimezone()
    return f"{moment.isoformat()} ({moment.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC)"
