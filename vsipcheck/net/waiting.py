"""Waiting for sockets and for daemon threads, cancellable at any moment."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Windows' default event loop has no readers and writers; there we look again this often.
POLL_INTERVAL_S = 0.005


class Readiness:
    """Waits until one socket can be read or written, or holds an error; closes it without leaving it in the loop.

    Not `loop.sock_recv` and its kin: they know nothing of the error queue. epoll reports EPOLLERR to readers and
    writers alike, so a queued ICMP error wakes us. One waiter per socket and direction.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting: dict[bool, asyncio.Future[None]] = {}

    async def ready(self, *, write: bool = False) -> None:
        """Return when the socket is ready, or when it has been closed."""
        loop = asyncio.get_running_loop()
        if write in self._waiting:
            raise RuntimeError("two waiters on one socket")
        descriptor = self._sock.fileno()
        if descriptor < 0:
            return
        add = loop.add_writer if write else loop.add_reader
        future: asyncio.Future[None] = loop.create_future()
        try:
            add(descriptor, _finish, future)
        except NotImplementedError:
            await self._poll(write=write)
            return
        self._waiting[write] = future
        try:
            await future
        finally:
            del self._waiting[write]
            # After `close` the number may already belong to another socket.
            if self._sock.fileno() == descriptor:
                (loop.remove_writer if write else loop.remove_reader)(descriptor)

    async def _poll(self, *, write: bool) -> None:
        while self._sock.fileno() >= 0:
            if _is_ready(self._sock, write=write):
                return
            await asyncio.sleep(POLL_INTERVAL_S)

    def wake(self) -> None:
        """Let the reader return now: what it waits for has been read by somebody else."""
        if (future := self._waiting.get(False)) is not None:
            _finish(future)

    def close(self) -> None:
        """Close the socket; who waits for it returns."""
        descriptor = self._sock.fileno()
        if descriptor < 0:
            return
        for write, future in self._waiting.items():
            loop = future.get_loop()
            if not loop.is_closed():
                (loop.remove_writer if write else loop.remove_reader)(descriptor)
                _finish(future)
        self._sock.close()


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _is_ready(sock: socket.socket, *, write: bool) -> bool:
    reads, writes, errors = select.select([] if write else [sock], [sock] if write else [], [sock], 0)
    return bool(reads or writes or errors)


def in_daemon_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """A future of what `work` returns or raises, run in a daemon thread.

    The loop's executor would be joined at exit: an endless getaddrinfo there keeps the process alive. A result that
    comes after the loop has closed is dropped.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(deliver, result, error)
        except RuntimeError:
            pass

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
