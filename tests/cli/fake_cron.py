"""`vsipcheck` with a runner that sends nothing: `fake_cron.py STATUS[:PLACE] LOG OPTIONS...`.

STATUS is P, F or U: what signalling is found to be. At PLACE the process is killed. LOG hears when a run begins and
ends.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import random
import signal
import sqlite3
import sys
from typing import Any

from history_reports import run_at

from vsipcheck import history, runner
from vsipcheck.cli import app, recording
from vsipcheck.model import Report, Status

STATUSES = {"P": Status.PASS, "F": Status.FAIL, "U": Status.UNKNOWN}


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def install(status: str, log: str, place: str = "") -> None:
    async def run(*_: Any, stop: asyncio.Event, **__: Any) -> Report:
        _note(log, "begin")
        if second is not None:
            second()
        _note(log, "end")
        if stop.is_set():
            return run_at(0, STATUSES[status], interrupted=True, exit_code=130)
        return run_at(0, STATUSES[status])

    runner.run = run  # type: ignore[assignment]
    if place == "before_commit":
        history._prune = die
    elif place == "in_commit":
        sqlite3.connect = _dying_connect  # type: ignore[assignment]
    elif place == "after_commit":
        recording.Recording._change = die  # type: ignore[assignment]
    elif place == "before_telling":
        recording.Recording.told = die  # type: ignore[assignment]


def _note(log: str, what: str) -> None:
    with open(log, "a") as file:
        file.write(f"{what}\n")


second: Any = None  # what is started while the next run is under way
_connect = sqlite3.connect


class _Dying(sqlite3.Connection):
    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and self.total_changes > 5:
            die()
        return super().execute(sql, *values)


def _dying_connect(*values: Any, **named: Any) -> sqlite3.Connection:
    return _connect(*values, **named, factory=_Dying)


def loop(statuses: str, log: str, state: str) -> None:
    """Every run in a process of its own, forked from this one to save Python's start. Tells what came of them."""
    global second
    for module in (
        "cli.run",
        "cli.recording",
        "history",
        "render.line",
        "render.terminal",
        "checks.registry",
        "checks.nat",
    ):
        importlib.import_module(f"vsipcheck.{module}")
    told: dict[str, list[Any]] = {"runs": [], "said": [], "complained": [], "seconds": []}
    arguments = ["all", "--cron", "--state", state]
    for number, status in enumerate(statuses):
        seconds: list[int] = []
        if number % 4 == 0:
            reading, writing = os.pipe()

            def second_run(status: str = status, writing: int = writing) -> None:
                code = _forked(status, log, arguments)[0]
                os.write(writing, bytes([code]))

            second = second_run
        else:
            reading = writing = -1
            second = None
        code, out, err = _forked(status, log, arguments)
        if reading >= 0:
            os.close(writing)
            seconds = list(os.read(reading, 1))
            os.close(reading)
        told["runs"].append(code)
        told["said"].append(out)
        told["complained"].append(err)
        told["seconds"] += seconds
    print(json.dumps(told))


def _forked(status: str, log: str, arguments: list[str]) -> tuple[int, str, str]:
    pipes = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            for (_, writing), number in zip(pipes, (1, 2), strict=True):
                os.dup2(writing, number)
            install(status, log)
            code = int(app.main(arguments))
            sys.stdout.flush()
        finally:
            os._exit(code)
    texts = []
    for _, writing in pipes:
        os.close(writing)
    for reading, _ in pipes:
        with os.fdopen(reading) as file:
            texts.append(file.read())
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended), texts[0], texts[1]


if __name__ == "__main__":
    asked, _, where = sys.argv[1].partition(":")
    install(asked, sys.argv[2], where)
    if "--splay" in sys.argv:
        wait_for = asyncio.wait_for

        async def told_waiting(*values: Any) -> Any:
            print("waiting", flush=True)
            return await wait_for(*values)

        asyncio.wait_for = told_waiting  # type: ignore[assignment]
        random.uniform = lambda low, high: high  # type: ignore[assignment]
    sys.exit(app.main(sys.argv[3:]))
