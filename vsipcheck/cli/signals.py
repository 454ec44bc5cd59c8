"""Ctrl-C and SIGTERM, from the first moment of a run to its last byte of output."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from vsipcheck.model import ExitCode


class StopSignals:
    """The first SIGINT or SIGTERM stops the measuring, so that what was measured is still told; the second ends the
    process at once. After `measured`, one is KeyboardInterrupt: there is nothing left to save.

    Plain handlers, and not the event loop's: those cover neither the imports before it runs nor the writing after it,
    and Windows has none. A context manager; in another thread than the main one it hears nothing.
    """

    def __init__(self, at_first: Callable[[], None], at_last: Callable[[], None]) -> None:
        """`at_first` is called for the first signal, `at_last` right before the second ends the process."""
        self._at_first = at_first
        self._at_last = at_last
        self._asked = False
        self._measuring = True
        self._stop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # What the caller had us ignore stays ignored: a shell does so for SIGINT in a script's background jobs.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def measuring(self, stop: asyncio.Event) -> None:
        """From now on the first signal sets `stop`; at once if it has come already. Called in the running loop."""
        self._stop = asyncio.get_running_loop(), stop
        if self._asked:
            stop.set()

    def measured(self) -> None:
        """The report is made."""
        self._measuring = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self._measuring:
            raise KeyboardInterrupt
        if self._asked:
            self._at_last()
            os._exit(ExitCode.INTERRUPTED)
        self._asked = True
        self._at_first()
        if self._stop is not None:
            loop, stop = self._stop
            loop.call_soon_threadsafe(stop.set)  # wakes the loop, which setting the event alone would not
