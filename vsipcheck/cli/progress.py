"""Live progress on a terminal's stderr, drawn by a thread so that no probe waits for it."""

from __future__ import annotations

import os
import sys
import threading

import msgspec


class _State(msgspec.Struct):
    done: int
    total: int
    what: str


class Progress:
    """What the checks are at, as they tell it. Draws nothing unless stderr is a terminal.

    A call only stores: rich takes 40 ms to import and some to draw, which in the event loop would be added to every
    round trip that is being timed. The thread starts with the first event, when probes are already on their way.
    """

    def __init__(self, *, live: bool) -> None:
        self._live = live and _is_terminal()
        self._states: dict[str, _State] = {}
        self._note: str | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, check: str, done: int, total: int, what: str) -> None:
        """`check` is at `done` of `total` (0: not known), doing `what`."""
        if not self._live:
            return
        self._states[check] = _State(done, total, what)
        if self._thread is None:
            # A daemon: a terminal that blocks must not keep the process alive.
            self._thread = threading.Thread(target=self._draw, name="progress", daemon=True)
            self._thread.start()

    def stopping(self) -> None:
        """The display, while there is one, says that the run was interrupted."""
        self._note = "interrupted: telling what was measured (again: leave at once)"

    def close(self) -> None:
        """The display is gone from the terminal."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
            self._thread = None

    def abandon(self) -> None:
        """The cursor is visible again, whatever the thread is at: the process is about to end without it."""
        if self._thread is not None:
            try:
                os.write(sys.stderr.fileno(), b"\r\x1b[?25h\n")
            except (OSError, ValueError, AttributeError):
                pass

    def _draw(self) -> None:
        try:
            self._draw_until_closed()
        except (OSError, ValueError):
            pass  # the terminal went away; the run goes on

    def _draw_until_closed(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskID, TextColumn
        from rich.progress import Progress as Display

        from vsipcheck.wire.text import sanitise

        # markup=False: what is told may hold bytes from the network.
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[what]}", markup=False),
        )
        tasks: dict[str, TaskID] = {}
        with Display(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as display:
            while True:
                closing = self._closing.wait(0.1)
                for check, state in list(self._states.items()):
                    if check not in tasks:
                        tasks[check] = display.add_task(check, what="")
                    display.update(
                        tasks[check],
                        completed=state.done,
                        total=state.total or None,
                        what=sanitise(state.what, max_length=48),
                    )
                if self._note is not None and "" not in tasks:
                    tasks[""] = display.add_task("", total=0, what=self._note)
                if closing:
                    return
                display.refresh()


def _is_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    except (OSError, ValueError):
        return False
