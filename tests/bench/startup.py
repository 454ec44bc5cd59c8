"""How long it takes until the command answers, or until its first packet leaves, against Python doing nothing."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial

from lab import Lab, Scenario, obstacle
from lab.laboratory import COMMAND, command_under_test

from bench.commands import command_python, time_command, wrapper_note, write_byte_code
from bench.figures import Figure, Row, Sample, Skipped, number

TITLE = "Start-up, against a bare `python -I -c pass`"
RUNS = 15
FIRST_PACKET = "first packet of `all`"
AIMS = {"--version": 1.3, "--help": 7.0, FIRST_PACKET: 10.0}

# linux/if_ether.h, linux/if_packet.h, asm-generic/socket.h
ETH_P_ALL, ETH_P_IP, PACKET_OUTGOING, SO_TIMESTAMPNS = 3, 0x0800, 4, 35
_TIMESPEC = struct.Struct("@qq")
# bash tells the moment at which it becomes the command: what it takes to get into the lab is in no figure.
_MARK = 'printf "%s\\n" "$EPOCHREALTIME"; exec "$@"'
_MARK_BOTH = 'printf "%s\\n" "$EPOCHREALTIME"; "$@"; printf "%s\\n" "$EPOCHREALTIME"'


def measure() -> list[Row]:
    """The three figures of start-up; every command was run once before."""
    write_byte_code()
    bare = [command_python(), "-I", "-c", "pass"]
    commands = {
        "bare": bare,
        "--version": [command_under_test(), "--version"],
        "--help": [command_under_test(), "--help"],
    }
    times = interleave({name: partial(time_command, command) for name, command in commands.items()})
    rows: list[Row] = [Figure("bare Python", 1.0, "x", noise=times["bare"].spread("ms", 1000))]
    for name in ("--version", "--help"):
        rows.append(_ratio(f"vsipcheck {name}", times[name], times["bare"], AIMS[name]))
    note = wrapper_note()
    if note is not None:
        rows.append(Skipped("a fair --version", note))
    return rows + _first_packet(bare)


def _ratio(name: str, sample: Sample, bare: Sample, aim: float) -> Figure:
    best = number(min(sample.values) / min(bare.values))  # what a quiet machine would show
    return Figure(name, sample.median / bare.median, "x", aim, noise=f"{sample.spread('ms', 1000)}, best/best {best} x")


def interleave(measurements: dict[str, Callable[[], float]], runs: int = RUNS) -> dict[str, Sample]:
    """Each measured `runs` times in turn, so that a busy moment hits all alike. The first turn is not kept."""
    values: dict[str, list[float]] = {name: [] for name in measurements}
    for turn in range(runs + 1):
        for name, measure_once in measurements.items():
            value = measure_once()
            if turn:
                values[name].append(value)
    return {name: Sample(tuple(kept)) for name, kept in values.items()}


def _first_packet(bare: list[str]) -> list[Row]:
    why_not = obstacle()
    if why_not is not None:
        return [Skipped(FIRST_PACKET, why_not)]
    with Lab(Scenario(site="router")) as lab, _outgoing(lab) as watch:

        def whole_process() -> float:
            done = lab.run(["bash", "-c", _MARK_BOTH, "bash", *bare])
            began, ended = map(float, done.stdout.split())
            return ended - began

        times = interleave({"bare": whole_process, FIRST_PACKET: lambda: _until_first_packet(lab, watch)})
    return [
        Figure("bare Python, in the lab", 1.0, "x", noise=times["bare"].spread("ms", 1000)),
        _ratio(FIRST_PACKET, times[FIRST_PACKET], times["bare"], AIMS[FIRST_PACKET]),
    ]


@contextlib.contextmanager
def _outgoing(lab: Lab) -> Iterator[socket.socket]:
    """A socket that hears, with the kernel's time stamps, what the customer's host sends."""

    def open_socket() -> socket.socket:
        return socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))

    watch = lab.node("host").inside(open_socket)
    try:
        watch.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        watch.setblocking(False)
        yield watch
    finally:
        watch.close()


def _until_first_packet(lab: Lab, watch: socket.socket) -> float:
    """Seconds from becoming `vsipcheck all` to its first IPv4 packet on the wire. The run is ended then."""
    for _ in _sent_at(watch):
        pass
    process = lab.popen(["bash", "-c", _MARK, "bash", command_under_test(), "all"], stderr=subprocess.DEVNULL)
    try:
        first = _await_packet(watch)
    finally:
        process.terminate()
        printed, _ = process.communicate(timeout=30)
    return first - float(printed.split()[0])


def _await_packet(watch: socket.socket, limit_s: float = 30.0) -> float:
    until = time.monotonic() + limit_s
    while (left := until - time.monotonic()) > 0:
        select.select([watch], [], [], left)
        for moment in _sent_at(watch):
            return moment
    raise RuntimeError(f"`{COMMAND} all` sent nothing within {limit_s:g} s")


def _sent_at(watch: socket.socket) -> Iterator[float]:
    """When (Unix time) each queued outgoing IPv4 packet left."""
    while True:
        try:
            _, ancillary, _, sender = watch.recvmsg(1, socket.CMSG_SPACE(_TIMESPEC.size))
        except BlockingIOError:
            return
        if sender[1] == ETH_P_IP and sender[2] == PACKET_OUTGOING:
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            yield seconds + nanoseconds / 1e9
