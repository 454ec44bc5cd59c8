"""`vsipcheck exporter`: metrics for Prometheus, measured when they are asked for, and not too often."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import re
import signal
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from vsipcheck.cli.options import Request, UsageError
from vsipcheck.cli.output import complain, write_stdout
from vsipcheck.cli.run import OpenNetwork, all_checks, host_network, profile_for, quiet_libraries
from vsipcheck.cli.settings import settings_for
from vsipcheck.model import ExitCode, Failure, Profile, Report, Settings
from vsipcheck.profiles.names import canonical_host, is_address

if TYPE_CHECKING:
    from vsipcheck.net.listen import Asked, Page

MAX_INTERVAL_S = 86_400.0
# What a scraper's patience leaves for the way there and back; blackbox_exporter takes as much.
MARGIN_S = 0.5
# How long a run may take past its deadline until it is given up.
GRACE_S = 5.0

_FILES = {"rules": "prometheus-rules.yml", "dashboard": "grafana-dashboard.json"}
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_INDEX = """vsipcheck exporter: pre-flight checks for a SIP trunk

/metrics  runs the checks if the last run is {interval:g} s old, and shows what they found
"""

Measure = Callable[[asyncio.Event], Awaitable[Report]]


class Runs:
    """One run at a time, started by whoever asks when the last is old enough, and shared by all who ask meanwhile.

    A run that broke leaves no report behind: an old verdict must not pass for a new one.
    """

    def __init__(
        self, measure: Measure, min_interval_s: float, longest_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._measure = measure
        self._min_interval_s = min_interval_s
        self._longest_s = longest_s
        self._clock = clock
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._started: float | None = None
        self.report: Report | None = None
        self.started = 0
        self.broken = 0

    @property
    def running(self) -> bool:
        return self._running is not None and not self._running.done()

    async def latest(self, patience_s: float) -> Report | None:
        """The report of a run that is young enough; after `patience_s`, of the one before it, if there was one."""
        if not self.running and not self._young():
            self._started = self._clock()
            self.started += 1
            self._running = asyncio.create_task(self._run())
        if self._running is not None and not self._running.done():
            # The run belongs to all who wait for it, and goes on when one of them does not.
            await asyncio.wait({self._running}, timeout=max(patience_s, 0.0))
        return self.report

    def _young(self) -> bool:
        return self._started is not None and self._clock() - self._started < self._min_interval_s

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(self._longest_s):
                self.report = await self._measure(self._stop)
        except Exception as error:
            self.report = None
            self.broken += 1
            complain(f"a run broke: {type(error).__name__}: {error}")

    async def close(self) -> None:
        """No run is left: one that is under way is told to end, and cancelled if it does not."""
        self._stop.set()
        if self._running is not None and not self._running.done():
            await asyncio.wait({self._running}, timeout=GRACE_S)
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running


def run_exporter(request: Request, *, open_network: OpenNetwork = host_network) -> int:
    """Serve until SIGINT or SIGTERM; the exit code. Raises UsageError before anything is sent or listened to."""
    address, port = _endpoint(request.listen)
    if not 0 <= request.min_interval <= MAX_INTERVAL_S or math.isnan(request.min_interval):
        raise UsageError(
            f"--min-interval: expected seconds from 0 to {MAX_INTERVAL_S:g}, found {request.min_interval:g}"
        )
    gc.enable()  # it is off while a command starts
    with quiet_libraries():
        profile = profile_for(request)
        settings = settings_for(request, profile)
        settings = msgspec.structs.replace(settings, checks=all_checks(settings))
        return asyncio.run(_serve(address, port, profile, settings, request.min_interval, open_network))


def print_file(which: str) -> int:
    """The alert rules or the dashboard, on stdout."""
    write_stdout(files("vsipcheck.cli").joinpath(_FILES[which]).read_text(encoding="utf-8"), machine=True)
    return ExitCode.OK


def _endpoint(text: str) -> tuple[str, int]:
    """`ADDRESS:PORT` or `[ADDRESS]:PORT`."""
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+)):(\d{1,5})", text, re.ASCII)
    address = canonical_host(match[1] or match[2]) if match else ""
    if match is None or not is_address(address) or int(match[3]) > 65535:
        raise UsageError(f"--listen: expected ADDRESS:PORT or [ADDRESS]:PORT, found {text!r}")
    return address, int(match[3])


async def _serve(
    address: str,
    port: int,
    profile: Profile,
    settings: Settings,
    min_interval_s: float,
    open_network: OpenNetwork,
) -> int:
    from vsipcheck.net.listen import listen

    async def measure(stop: asyncio.Event) -> Report:
        from vsipcheck.runner import run

        async with open_network(profile, settings) as network:
            return await run(network, profile, settings, stop=stop)

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end(number: signal.Signals) -> None:
        ended.set()
        loop.remove_signal_handler(number)  # the second one ends the process as it always does

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C is KeyboardInterrupt
            loop.add_signal_handler(number, end, number)
    longest_s = settings.deadline_s + GRACE_S
    runs = Runs(measure, min_interval_s, longest_s)
    listener = await listen(address, port, pages(runs, min_interval_s, longest_s))
    if isinstance(listener, Failure):
        complain(f"cannot listen on {address} port {port}: {listener}")
        return ExitCode.OUR_ERROR
    shown = f"[{listener.address}]" if ":" in listener.address else listener.address
    complain(f"metrics at http://{shown}:{listener.port}/metrics")
    try:
        await ended.wait()
    finally:
        await listener.close()
        await runs.close()
    return ExitCode.OK


def pages(runs: Runs, min_interval_s: float, longest_s: float) -> Callable[[Asked], Awaitable[Page]]:
    """What the server answers: `/metrics`, and `/` that says so."""
    from vsipcheck.net.listen import Page

    async def answer(asked: Asked) -> Page:
        if asked.path == "/":
            return Page(body=_INDEX.format(interval=min_interval_s))
        if asked.path != "/metrics":
            return Page(body="404 Not Found\n", status=404)
        report = await runs.latest(patience_of(asked, longest_s))
        try:
            return Page(body=metrics(runs, report), content_type=_METRICS_TYPE)
        except Exception as error:
            complain(f"cannot tell what a run found: {type(error).__name__}: {error}")
            return Page(body="500 Internal Server Error\n", status=500)

    return answer


def patience_of(asked: Asked, longest_s: float) -> float:
    """How long the asker waits: Prometheus says so in a header. Others get the run that they asked for."""
    try:
        said = float(asked.headers.get("x-prometheus-scrape-timeout-seconds", ""))
    except ValueError:
        return longest_s
    return min(max(said - MARGIN_S, 0.0), longest_s) if math.isfinite(said) else longest_s


def metrics(runs: Runs, report: Report | None) -> str:
    """The last run's metrics, if there is one, and the exporter's own."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

    from vsipcheck.render.prometheus import PREFIX, exposition, families

    own: list[Metric] = [
        CounterMetricFamily(f"{PREFIX}_exporter_runs", "Runs that were begun.", value=runs.started),
        CounterMetricFamily(
            f"{PREFIX}_exporter_broken_runs", "Runs that ended in an error of vsipcheck itself.", value=runs.broken
        ),
        GaugeMetricFamily(
            f"{PREFIX}_exporter_run_in_progress",
            "1 while a run is under way, so that what is shown is of the one before it.",
            value=float(runs.running),
        ),
    ]
    return exposition([*(families(report) if report is not None else ()), *own])
