"""Where text goes: stdout, stderr, and files that are whole or untouched."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path


class OutputError(Exception):
    """An output could not be written; says which and why."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"cannot write {where}: {why}")


def complain(message: str) -> None:
    """Say one harmless line on stderr, if there still is one. What was typed or read from a file may be in it."""
    from vsipcheck.wire.text import sanitise

    try:
        if sys.stderr is not None:
            sys.stderr.write(f"vsipcheck: {sanitise(message, max_length=1000)}\n")
            sys.stderr.flush()
    except (OSError, ValueError):
        pass


def write_stdout(text: str, *, machine: bool = False) -> None:
    """Write all of `text` to stdout and flush it. Raises OutputError.

    Text for machines is UTF-8 whatever the locale says; characters that a person's terminal cannot draw become `?`.
    """
    stream = sys.stdout
    if stream is None:  # descriptor 1 was closed when Python started
        raise OutputError("stdout", "it is closed")
    encoding = "utf-8" if machine else stream.encoding or "utf-8"
    data = text.encode(encoding, "backslashreplace" if machine else "replace")
    try:
        stream.flush()
        stream.buffer.write(data)
        stream.flush()
    except (OSError, ValueError) as error:
        abandon_stdout()
        raise OutputError("stdout", _reason(error)) from None


def abandon_stdout() -> None:
    """Nothing written to stdout from now on can fail. What is still buffered goes nowhere.

    Without this the interpreter flushes the buffer once more when it ends, complains, and exits with 120.
    """
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        sys.stdout = None


def write_file(path: str, text: str) -> None:
    """Make `path` hold exactly `text`, or leave it as it was. Raises OutputError.

    A temporary file beside the target takes its place, with the target's mode or, for a new one, what the umask leaves.
    A target that is no regular file (a pipe, a terminal, /dev/stdout) cannot be replaced and is written straight.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: str, data: bytes) -> None:
    """As `write_file`, for what is not text."""
    try:
        descriptor = _own_descriptor(path)
        if descriptor is not None:
            _write_descriptor(os.dup(descriptor), data)
            return
        target = Path(os.path.realpath(path))  # a symbolic link stays, what it names is replaced
        try:
            existing = target.stat()
        except FileNotFoundError:
            existing = None
        if existing is not None and not stat.S_ISREG(existing.st_mode):
            _write_descriptor(os.open(target, os.O_WRONLY | os.O_NOCTTY), data)
        else:
            _replace(target, data, existing)
    except (OSError, ValueError) as error:
        raise OutputError(path, _reason(error)) from None


def _replace(target: Path, data: bytes, existing: os.stat_result | None) -> None:
    # Replacing needs no permission on the file itself, but a read-only report was made so by somebody.
    if existing is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    # Not named after the target: its name may be as long as names can be.
    temporary = target.parent / f".vsipcheck-{os.getpid()}-{os.urandom(6).hex()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        try:
            _write_all(descriptor, data)
            if existing is not None and hasattr(os, "fchmod"):
                os.fchmod(descriptor, stat.S_IMODE(existing.st_mode))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(target)
    except BaseException:  # an interrupt, too, must leave nothing behind
        temporary.unlink(missing_ok=True)
        raise


def _own_descriptor(path: str) -> int | None:
    """The descriptor of ours that /dev/stdout, /dev/fd/3 and their like name.

    Opened by name, a redirected stdout would look like a regular file and be replaced or truncated behind the shell's
    back.
    """
    for _ in range(8):
        folder, name = os.path.split(path)
        if folder in ("/dev/fd", "/proc/self/fd", f"/proc/{os.getpid()}/fd") and name.isdigit():
            if name == "1" and sys.stdout is not None:
                sys.stdout.flush()
            return int(name)
        if not path.startswith("/dev/") or not os.path.islink(path):
            return None
        path = os.path.join(folder, os.readlink(path))
    return None


def _write_descriptor(descriptor: int, data: bytes) -> None:
    try:
        _write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
