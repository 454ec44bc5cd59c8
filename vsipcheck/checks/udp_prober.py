"""UDP probes that can be told apart when ICMP errors quote them: one socket, many targets, ports and TTLs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import msgspec

from vsipcheck.checks.answer_budget import AnswerBudget
from vsipcheck.model import Failure, Icmp
from vsipcheck.net import Datagram, IcmpError, Network, UdpSocket
from vsipcheck.wire import rtp

# How long an answer may take before its absence means anything: no answer so far, and after the last one.
FIRST_ANSWER_S = 0.6
MIN_QUIET_S = 0.12
MAX_ROUND_S = 1.2
# A burst of datagrams larger than this overruns small routers' queues.
BURST = 32
BURST_GAP_S = 0.004


class Probe(msgspec.Struct):
    """One datagram and what came back for it. `ttl` None: the system's default."""

    number: int
    target: str
    port: int
    ttl: int | None
    sent_ms: float
    local_failure: Failure | None = None
    icmp: Icmp | None = None
    failure: Failure | None = None  # of the ICMP error
    datagram_from_target: bool = False
    rtt_ms: float | None = None

    @property
    def answered(self) -> bool:
        return self.icmp is not None or self.datagram_from_target

    @property
    def expired(self) -> bool:
        """A router answered time-exceeded."""
        return self.failure is Failure.TTL_EXCEEDED

    @property
    def from_target(self) -> bool:
        """The target itself answered: a datagram, or port-unreachable from its own address."""
        return self.datagram_from_target or (
            self.failure is Failure.PORT_UNREACHABLE and self.icmp is not None and self.icmp.address == self.target
        )


class _Outstanding(msgspec.Struct):
    by_number: dict[int, Probe] = {}
    by_port: dict[tuple[str, int], list[Probe]] = {}


class UdpProber:
    """Sends RTP silence (odd ports: RTCP) and matches ICMP errors to probes: by the quoted mark, else by the port.

    What a router answers is written down in `answers`.
    """

    def __init__(self, network: Network, socket: UdpSocket, ssrc: int, answers: AnswerBudget | None = None) -> None:
        self._answers = answers
        self._network = network
        self._socket = socket
        self._ssrc = ssrc
        self._number = 0
        self._outstanding = _Outstanding()
        self._news = asyncio.Event()
        self._last_answer_ms = 0.0
        self._max_rtt_ms = 0.0
        self._reader = asyncio.create_task(self._read(), name="udp-prober")
        self.strays: list[Datagram] = []  # datagrams from an address that was not probed

    async def close(self) -> None:
        self._reader.cancel()
        try:
            await self._reader
        except asyncio.CancelledError:
            pass
        self._socket.close()

    def send(self, target: str, port: int, ttl: int | None) -> Probe:
        """Send one probe now."""
        self._number += 1
        number = self._number
        make = rtp.rtcp_probe_packet if port % 2 else rtp.probe_packet
        probe = Probe(number=number, target=target, port=port, ttl=ttl, sent_ms=self._network.now_ms())
        self._outstanding.by_number[number] = probe
        self._outstanding.by_port.setdefault((target, port), []).append(probe)
        probe.local_failure = self._socket.send(make(number, self._ssrc), target, port, ttl)
        return probe

    async def send_all(self, wanted: Iterable[tuple[str, int, int | None]]) -> list[Probe]:
        """Send (target, port, ttl) in order, in small bursts."""
        probes = []
        for index, (target, port, ttl) in enumerate(wanted):
            if index and index % BURST == 0:
                await asyncio.sleep(BURST_GAP_S)
            probes.append(self.send(target, port, ttl))
        return probes

    async def settle(
        self, probes: Sequence[Probe], limit_s: float = MAX_ROUND_S, enough: Callable[[], bool] | None = None
    ) -> None:
        """Wait until all of `probes` are answered, `enough` says so, or nothing has come for three round trips."""
        waiting_for = [probe for probe in probes if probe.local_failure is None]
        started = self._network.now_ms()
        while any(not probe.answered for probe in waiting_for) and not (enough is not None and enough()):
            now = self._network.now_ms()
            quiet_s = max(3 * self._max_rtt_ms / 1000, MIN_QUIET_S) if self._max_rtt_ms else FIRST_ANSWER_S
            last = max(self._last_answer_ms, started)
            left = min(last + quiet_s * 1000, started + limit_s * 1000) - now
            if left <= 0:
                return
            self._news.clear()
            # Not wait_for: before Python 3.12 it can lose a cancellation.
            try:
                async with asyncio.timeout(left / 1000):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _read(self) -> None:
        while True:
            for event in await self._socket.receive(3600.0):
                if isinstance(event, IcmpError):
                    self._take_error(event)
                else:
                    self._take_datagram(event)
            self._news.set()

    def _take_error(self, event: IcmpError) -> None:
        probe = self._probe_of(event)
        if probe is None or probe.answered:
            return
        probe.icmp = event.icmp
        probe.failure = event.failure
        if self._answers is not None and event.icmp.address is not None:
            self._answers.answered(event.icmp.address, probe.sent_ms)
            if probe.expired and probe.ttl is not None:
                self._answers.saw(probe.target, probe.ttl, event.icmp.address)
        self._stamp(probe, event.at_ms)

    def _take_datagram(self, event: Datagram) -> None:
        sent = self._outstanding.by_port.get((event.address, event.port))
        if not sent:
            self.strays.append(event)
            return
        for probe in sent:
            if not probe.answered:
                probe.datagram_from_target = True
                self._stamp(probe, event.at_ms)
                return

    def _stamp(self, probe: Probe, at_ms: float) -> None:
        probe.rtt_ms = max(at_ms - probe.sent_ms, 0.0)
        self._max_rtt_ms = max(self._max_rtt_ms, probe.rtt_ms)
        self._last_answer_ms = self._network.now_ms()

    def _probe_of(self, event: IcmpError) -> Probe | None:
        read = rtp.rtcp_probe_number if event.port % 2 else rtp.probe_number
        number = read(event.quoted, self._ssrc)
        if number is not None:
            probe = self._outstanding.by_number.get(number)
            if probe is not None and (probe.target, probe.port) == (event.address, event.port):
                return probe
        # Routers that quote only 8 bytes leave the port: the newest unanswered probe that this error could be about.
        for probe in reversed(self._outstanding.by_port.get((event.address, event.port), [])):
            limited = event.failure is Failure.TTL_EXCEEDED
            if not probe.answered and (probe.ttl is not None) >= limited:
                return probe
        return None
