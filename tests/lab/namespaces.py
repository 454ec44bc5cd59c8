"""Network namespaces without names, and a room (mounts and process ids) that takes every process with it when it ends.

A namespace lives as long as somebody holds it: here a file descriptor of this process, and the processes of the room.
When this process ends, however it ends, the room's first process reads end-of-file and exits, the kernel kills what
runs in its process-id namespace, the descriptors close, and nothing is left behind: no name under /run/netns, no file
in /etc, no interface in the namespace that the machine itself uses.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}{arguments}: {os.strerror(code)}")


def in_own_thread(work: Callable[[], T]) -> T:
    """What `work` returns or raises, run in a thread of its own.

    Namespaces belong to a thread: one that ends takes its membership along, so this process never leaves its own.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def make_network_namespaces(count: int, settings: Mapping[str, str]) -> list[int]:
    """`count` new network namespaces as file descriptors, each with `settings` (path under /proc/sys/net, value)."""
    made: list[int] = []

    def work() -> None:
        for _ in range(count):
            _call("unshare", CLONE_NEWNET)
            made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
            for path, value in settings.items():
                Path("/proc/sys/net", path).write_text(value)

    try:
        in_own_thread(work)
    except BaseException:
        for descriptor in made:
            os.close(descriptor)
        raise
    return made


class Room:
    """A mount and a process-id namespace, open until `close`. Its mounts are made by a shell script, as it opens."""

    def __init__(self, mount_script: str) -> None:
        self._first = subprocess.Popen(
            [
                *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("sh", "-c", f"set -e\n{mount_script}\necho open\nexec cat >/dev/null"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._spaces: list[tuple[int, int]] = []
        self._started: list[subprocess.Popen[str]] = []
        assert self._first.stdout is not None
        if self._first.stdout.readline() != "open\n":
            _, complaint = self._first.communicate()
            raise RuntimeError(f"no room for the lab: {complaint.strip()}")
        for name, kind in (("mnt", CLONE_NEWNS), ("pid_for_children", CLONE_NEWPID)):
            path = f"/proc/{self._first.pid}/ns/{name}"
            self._spaces.append((os.open(path, os.O_RDONLY | os.O_CLOEXEC), kind))

    def start(
        self,
        network: int,
        command: Sequence[str],
        *,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = subprocess.DEVNULL,
        stderr: int | IO[Any] | None = subprocess.DEVNULL,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
    ) -> subprocess.Popen[str]:
        """The command, started inside this room and the given network namespace."""

        def work() -> subprocess.Popen[str]:
            _call("unshare", CLONE_FS)
            for descriptor, kind in self._spaces:
                _call("setns", descriptor, kind)
            _call("setns", network, CLONE_NEWNET)
            return subprocess.Popen(
                command, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd, text=True, errors="replace"
            )

        process = in_own_thread(work)
        self._started.append(process)
        return process

    def close(self) -> None:
        """Every process of the room is gone afterwards."""
        assert self._first.stdin is not None
        self._first.stdin.close()
        # The kernel kills them with the first process, which ends only when their parent, us, has waited for them.
        for process in self._started:
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        self._first.wait()
        for stream in (self._first.stdout, self._first.stderr):
            assert stream is not None
            stream.close()
        for descriptor, _ in self._spaces:
            os.close(descriptor)
        self._spaces.clear()


def in_network(network: int, work: Callable[[], T]) -> T:
    """What `work` returns, run in a thread inside that network namespace (mounts and process ids stay ours)."""

    def inside() -> T:
        _call("setns", network, CLONE_NEWNET)
        return work()

    return in_own_thread(inside)
