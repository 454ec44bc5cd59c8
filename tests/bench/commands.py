"""Commands, run and measured: outside the lab, and inside it as the customer."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import Lab
from lab.laboratory import command_under_test

LIMIT_S = 300.0


@dataclass(frozen=True)
class Ended:
    """A command that has ended, by itself or at the limit."""

    seconds: float
    exit_code: int
    peak_mb: float
    output: str


def command_python() -> str:
    """The Python that the command under test runs on: the one of its own virtual environment."""
    return str(Path(command_under_test()).with_name("python"))


def plain_environment() -> dict[str, str]:
    """Nothing that changes how Python starts; byte code may be read and written."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def write_byte_code() -> None:
    """The package's byte code is on disk, so that no run pays for compiling and none has to be allowed to write it."""
    script = "import compileall, vsipcheck; compileall.compile_dir(vsipcheck.__path__[0], quiet=2)"
    subprocess.run([command_python(), "-I", "-c", script], env=plain_environment(), check=True)


def wrapper_note() -> str | None:
    """What is wrong with the console wrapper as a thing to measure, or None."""
    text = Path(command_under_test()).read_text(errors="replace")
    if "import re\n" in text:
        return "the console wrapper was written by an old pip and imports re: upgrade pip, install again"
    return None


def time_command(command: Sequence[str]) -> float:
    """Seconds from before the fork to after the end, outside the lab. Raises CalledProcessError unless it exits 0."""
    began = time.perf_counter()
    subprocess.run(
        command,
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - began


def run_in_lab(lab: Lab, command: Sequence[str], *, root: bool = False) -> Ended:
    """The command, run at the customer's host. Its peak memory is the kernel's count, never below our own size."""
    capture = lab.work / "captured"
    with open(capture, "w+") as out:
        began = time.perf_counter()
        process = lab.popen(command, root=root, stdout=out.fileno(), stderr=subprocess.DEVNULL)
        limit = threading.Timer(LIMIT_S, process.send_signal, (signal.SIGKILL,))
        limit.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            limit.cancel()
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        return Ended(seconds, process.returncode, usage.ru_maxrss / 1024, out.read())
