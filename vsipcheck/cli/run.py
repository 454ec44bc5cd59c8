"""One run: settings -> runner -> report -> outputs -> exit code."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import shutil
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import msgspec

from vsipcheck.cli.errors import debugging, tell_internal_error
from vsipcheck.cli.options import Request, UsageError
from vsipcheck.cli.output import OutputError, complain, write_file, write_stdout
from vsipcheck.cli.progress import Progress
from vsipcheck.cli.recording import LockedError, Recording, change_text
from vsipcheck.cli.settings import Output, outputs_for, settings_for, sweep_packets
from vsipcheck.cli.sharing import Sharing
from vsipcheck.cli.signals import StopSignals
from vsipcheck.model import ExitCode, PastRun, Profile, Report, Settings
from vsipcheck.profiles import ProfileError, load_profile, override

if TYPE_CHECKING:
    from vsipcheck.net import Network
    from vsipcheck.render import RenderOptions

OpenNetwork = Callable[[Profile, Settings], AbstractAsyncContextManager["Network"]]


def run_checks(request: Request, *checks: str, open_network: OpenNetwork | None = None) -> int:
    """Measure, judge and report; the exit code. No names of checks: all of them, and the checklist.

    Raises UsageError before anything was sent.
    """
    from vsipcheck.render import FORMATS

    silent = request.quiet or request.cron
    progress = Progress(live=not silent)
    with quiet_libraries(), StopSignals(progress.stopping, progress.abandon) as signals:
        profile = profile_for(request)
        settings = settings_for(request, profile)
        outputs = outputs_for(request, tuple(FORMATS))
        sharing = Sharing(request)
        recording = Recording(request, simulated=open_network is not None)
        # Only now: a mistake is told before the checks and their libraries are loaded.
        settings = msgspec.structs.replace(settings, checks=checks or all_checks(settings))
        if settings.sweep and not silent:
            _announce_sweep(profile, settings)
        try:
            with recording:
                past = recording.past(profile, settings, whole=not checks)
                measuring = _measure(
                    open_network or host_network, profile, settings, progress, signals, past, recording.delay_s
                )
                report = asyncio.run(measuring)
                signals.measured()
                written = _tell(report, outputs, request, sharing, recording)
                code = _exit_code(report, outputs, written)
                recording.ping(report, succeeded=code == 0)
        except LockedError:
            return ExitCode.LOCKED
    return code


def _tell(report: Report, outputs: list[Output], request: Request, sharing: Sharing, recording: Recording) -> bool:
    """Keep and show the report; True when everything that was asked for was written. The history is asked for, too."""
    change = recording.keep(report)
    shown = sharing.shown(report)
    # A run that could not be kept can't be compared: its verdict is told rather than lost.
    speaks = not recording.cron or change is not None or (recording.lost and not report.interrupted)
    told = outputs if speaks else [output for output in outputs if output.path is not None]
    written = write_outputs(
        shown, told, verbose=request.verbose, quiet=request.quiet or (recording.cron and not request.verbose)
    )
    if change is not None and outputs[0].format == "terminal":
        try:
            write_stdout(change_text(change))
        except OutputError as error:
            complain(str(error))
            written = False
    written &= sharing.write(shown)
    recording.told(shown, written=written)
    return written and not recording.lost


def _exit_code(report: Report, outputs: list[Output], written: bool) -> int:
    """The report's, or our own error; a plugin of Nagios ends in the states that Nagios knows."""
    if any(output.path is None and output.format == "nagios" for output in outputs):
        from vsipcheck.render.nagios import State, state_of

        return state_of(report) if written else State.UNKNOWN
    return report.exit_code if written else ExitCode.OUR_ERROR


def profile_for(request: Request) -> Profile:
    try:
        profile = load_profile(request.profile)
        return override(profile, fqdns=request.fqdn, port=request.port, media=request.media)
    except ProfileError as error:
        raise UsageError(str(error)) from None


def write_outputs(report: Report, outputs: list[Output], *, verbose: bool, quiet: bool) -> bool:
    """True when every output got its text. One that fails is told on stderr and keeps none of the others back."""
    from vsipcheck.render import RenderOptions, render

    options = RenderOptions(verbose=verbose, quiet=quiet)
    written = True
    # Files first: what reads stdout may be slow, or gone.
    for output in sorted(outputs, key=lambda output: output.path is None):
        try:
            if output.path is None:
                text = render(report, output.format, _for_stdout(options))
                write_stdout(text, machine=output.format != "terminal")
            else:
                write_file(output.path, render(report, output.format, options))
        except OutputError as error:
            complain(str(error))
            written = False
        except Exception as error:
            tell_internal_error(error)  # one renderer's fault must not cost the other outputs
            written = False
    return written


async def _measure(
    open_network: OpenNetwork,
    profile: Profile,
    settings: Settings,
    progress: Progress,
    signals: StopSignals,
    past: Sequence[PastRun] = (),
    delay_s: float = 0.0,
) -> Report:
    from vsipcheck.runner import run

    if not gc.isenabled():  # since the process began: see __main__
        gc.freeze()
        gc.enable()
    stop = asyncio.Event()
    signals.measuring(stop)
    try:
        if delay_s:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), delay_s)
        async with open_network(profile, settings) as network:
            return await run(network, profile, settings, progress=progress, stop=stop, past=past)
    finally:
        progress.close()


@contextlib.asynccontextmanager
async def host_network(profile: Profile, settings: Settings) -> AsyncIterator[Network]:
    from vsipcheck.net.host import HostNetwork

    with HostNetwork() as network:
        yield network


def all_checks(settings: Settings) -> tuple[str, ...]:
    """Those of a run of everything, and those that were given something of the customer's to look at."""
    from vsipcheck.checks.registry import STANDING

    given = (("pbx", settings.pbx), ("config", settings.pbx_config), ("message", settings.message))
    return (*STANDING, *(name for name, value in given if value))


def _for_stdout(options: RenderOptions) -> RenderOptions:
    """The options as this stdout can show them. https://no-color.org: NO_COLOR counts when it is not empty."""
    stream = sys.stdout
    try:
        terminal = stream is not None and stream.isatty()
    except ValueError:  # closed
        terminal = False
    color = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower()
    width = shutil.get_terminal_size().columns if terminal else options.width
    return msgspec.structs.replace(options, color=color, width=max(width, 40), unicode=encoding.startswith("utf"))


def _announce_sweep(profile: Profile, settings: Settings) -> None:
    packets = sweep_packets(profile)
    complain(
        f"the sweep sends {packets:,} packets in about {packets / settings.rate:.0f} s; each may take an entry in the "
        "connection tables of the NATs and firewalls on the way"
    )


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Warnings, log lines and tracebacks of threads stay off stderr, which is for us to talk to a person."""
    if debugging():
        yield
        return
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    hooks = threading.excepthook, sys.unraisablehook
    threading.excepthook = lambda failed: tell_internal_error(failed.exc_value or SystemError(failed.exc_type.__name__))
    sys.unraisablehook = lambda ignored: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        threading.excepthook, sys.unraisablehook = hooks
        root.removeHandler(handler)
