"""A clock that stands still while this process is kept from running: on a busy machine nothing is late but what was
waited for. It belongs to the event loop of the tests; the tool's own clock is set by it."""

from __future__ import annotations

import asyncio
import selectors
import time

# What a turn of the loop takes. More than nothing, so that peers which never let the loop wait are timed out too.
TURN_S = 0.0001


class _Selector(selectors.DefaultSelector):
    """Counts the turns of the loop, and the time that it was asked to wait when nothing was ready."""

    def __init__(self) -> None:
        super().__init__()
        self.now = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now = min(self.now + TURN_S, time.monotonic())
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            began = time.monotonic()
            ready = super().select(timeout)
            waited = time.monotonic() - began
            self.now += waited if timeout is None else min(waited, timeout)
        return ready


class UnhurriedLoop(asyncio.SelectorEventLoop):
    """Peers and the tool under test share this loop: what either can do is done before time goes by."""

    def __init__(self) -> None:
        self._unhurried = _Selector()
        super().__init__(self._unhurried)

    def time(self) -> float:
        return self._unhurried.now


def monotonic() -> float:
    """`time.monotonic`, within a loop by the loop's clock, which never is ahead of it."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
