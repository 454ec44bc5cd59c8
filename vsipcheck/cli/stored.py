"""A stored report as the command line names it: a file, a ticket, or stdin."""

from __future__ import annotations

import io
import sys
import zipfile

from vsipcheck.cli.options import UsageError
from vsipcheck.model import Report
from vsipcheck.reading import MAX_BYTES, ReadingError, read_report


def load_report(path: str) -> Report:
    """The report in a file, in a ticket, or on stdin (`-`). Raises UsageError with the one line that is wrong."""
    try:
        if path == "-":
            if sys.stdin is None:
                raise UsageError("-: stdin is closed")
            document = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(path, "rb") as file:
                document = file.read(MAX_BYTES + 1)
        if document.startswith(b"PK\x03\x04"):
            document = _from_ticket(document)
        return read_report(document)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"{path}: {said}") from None
    except ReadingError as error:
        raise UsageError(f"{path}: {error}") from None


def measured_address(path: str) -> str:
    """The public IPv4 address that the trunk's traffic left from in a stored report. Raises UsageError if none did."""
    report = load_report(path)
    if report.redacted:
        raise UsageError(f"{path}: the addresses in this report were replaced: take the one that was not redacted")
    if report.simulated:
        raise UsageError(f"{path}: a demo measured no address of yours")
    from vsipcheck.checks.base import Facts
    from vsipcheck.checks.public_address import trunk_address

    address = trunk_address(Facts(report.evidence))
    if address is None:
        raise UsageError(f"{path}: no public address was measured: expected a report of `vsipcheck all` or `nat`")
    return address


def _from_ticket(document: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(document)) as archive, archive.open("report.json") as file:
            return file.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError):
        raise ReadingError("not a report: a zip file without a readable report.json") from None
