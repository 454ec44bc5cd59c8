"""A clock that stands still while this process is kept from running: on a busy machine nothing is late but what was
waited for. It belongs to the event loop of the tests; the tool's own clock is set by it."""

from __future__ import annotations

import asyncio
import selectors
import time

# What a turn of the loop may cost. More than nothing, so that peers which never let the loop wait are timed out too.
TURN_S = 0.0001


class _Selector(selectors.DefaultSelector):
    """Counts the time for which it was asked to wait, whatever else went by."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self._seen = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout)
        seen = time.monotonic()
        passed = seen - self._seen
        self.now += passed if timeout is None else min(passed, max(timeout, 0.0) + TURN_S)
        self._seen = seen
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
