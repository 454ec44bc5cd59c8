"""The whole process with a runner that sends nothing. The first argument says how the runner behaves."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import warnings
from typing import Any

from reports import make_report

from vsipcheck import profiles, runner
from vsipcheck.__main__ import main
from vsipcheck.model import Profile, Report, Settings

BEHAVIOUR = sys.argv.pop(1)


def untold(*_: Any) -> None:
    pass


async def run(
    network: Any, profile: Profile, settings: Settings, *, stop: asyncio.Event, progress: Any = untold, **_: Any
) -> Report:
    progress("dns", 0, 2, "looking up \x1b[31m[bold red]names")
    if BEHAVIOUR == "crash":
        raise RuntimeError("a fault\nof our own")
    if BEHAVIOUR == "noisy":
        warnings.warn("a library's warning", stacklevel=1)
        logging.getLogger("httpx").error("a library's error")
        thread = threading.Thread(target=lambda: {}[1])
        thread.start()
        thread.join()
    if BEHAVIOUR in ("wait", "hang", "early"):
        if BEHAVIOUR != "early":
            print("measuring", file=sys.stderr, flush=True)
        await stop.wait()
        print("stopping", file=sys.stderr, flush=True)
        if BEHAVIOUR == "hang":
            await asyncio.Event().wait()
        return make_report(profile, settings, interrupted=True, exit_code=130)
    return make_report(profile, settings)


def signalled_while(function: Any, number: signal.Signals) -> Any:
    def call(*values: Any) -> Any:
        os.kill(os.getpid(), number)
        return function(*values)

    return call


if BEHAVIOUR == "early":
    profiles.loader.list_profiles = signalled_while(profiles.list_profiles, signal.SIGTERM)
if BEHAVIOUR == "late":
    os.fsync = signalled_while(os.fsync, signal.SIGTERM)
runner.run = run  # type: ignore[assignment]
sys.exit(main())
