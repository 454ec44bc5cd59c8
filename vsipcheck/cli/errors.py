"""Faults of our own, in one line; the traceback for those who ask for it."""

from __future__ import annotations

import os


def debugging() -> bool:
    """True where tracebacks and library warnings are wanted."""
    return os.environ.get("VSIPCHECK_DEBUG", "") not in ("", "0")


def tell_internal_error(error: BaseException) -> None:
    """Say on stderr that it is our fault, and how to see where."""
    from vsipcheck.cli.output import complain

    if debugging():
        import traceback

        traceback.print_exception(error)
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    hint = "" if debugging() else " (VSIPCHECK_DEBUG=1 shows where)"
    complain(f"internal error: {said}{hint}")
