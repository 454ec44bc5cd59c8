"""How long an idle UDP binding of the NAT lives, and an idle TCP connection to the trunk: `vsipcheck nat --lifetime`.

Every idle time has a socket of its own, which sends nothing until its time has come: a binding that is asked after is
refreshed. So the UDP question goes out of a second socket, and the answer to the first one's port: RESPONSE-PORT of
RFC 5780 §7.5. Without a server that has it nothing can be told: the idle socket itself would make a new binding, and a
NAT that keeps ports gives it the old number. A TCP connection is pinged (CRLF CRLF, RFC 5626 §4.4.1) once its time
has come: a pong says alive, silence says that the NAT has forgotten it; the provider's own FIN or RST is the
provider's, and comes while the connection idles.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

import msgspec

from vsipcheck.checks.base import Context, Facts, Recorder, fact_ids
from vsipcheck.checks.nat.behaviour import OtherAddress, read_answer
from vsipcheck.checks.nat.verdict import Verdict
from vsipcheck.model import (
    Confidence,
    Connection,
    Failure,
    Family,
    FaultDomain,
    Measure,
    Note,
    Profile,
    Settings,
    Status,
)
from vsipcheck.net import Datagram, Stream, UdpSocket
from vsipcheck.wire import stun

LIFETIME = "nat.lifetime"
UDP_BINDING = "udp_binding"
TCP_IDLE = "tcp_idle"

IDLE_TIMES_S = (15.0, 25.0, 30.0, 45.0, 60.0, 90.0, 120.0, 150.0, 180.0)
DEFAULT_MAX_S = 180.0
# What a measurement takes on top of the longest idle time: opening, the question at the end, and its repetitions.
MARGIN_S = 8.0
PING = b"\r\n\r\n"
PONG_WAIT_S = 3.0
OPEN_WAIT_S = 5.0
REQUESTS = 3
RTO_S = 0.5
# RFC 4787 REQ-5: a NAT must not let a UDP mapping end before two minutes have passed.
RFC4787_MIN_S = 120.0
# RFC 5382 REQ-5: 2 hours and 4 minutes for TCP. What we wait for is less; a drop within it is a drop.
# RFC 3261 §13.3.1.4: 64 × T1, after which a 200 that got no ACK ends the session.
WITHOUT_ACK_S = 32

ALIVE, SILENT, CLOSED, RESET, NOT_OPENED, NO_CONTROL = (
    "alive",
    "silent",
    "closed_by_peer",
    "reset",
    "not_opened",
    "control_failed",
)


def idle_times(longest_s: float) -> tuple[float, ...]:
    """The idle times that are tried, `longest_s` the last of them."""
    return (*(time_s for time_s in IDLE_TIMES_S if time_s < longest_s), longest_s)


class NatLifetime(msgspec.Struct):
    """Opens everything at once, waits, and asks each after its own idle time."""

    context: Context
    record: Recorder
    _servers: list[OtherAddress] = []
    _finished: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    _news: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    def offer(self, offered: OtherAddress) -> None:
        """A STUN server that has another address, and so may have RESPONSE-PORT."""
        self._servers.append(offered)
        self._news.set()

    def finish(self) -> None:
        """No further STUN server will answer."""
        self._finished.set()
        self._news.set()

    async def measure(self) -> None:
        """Takes the longest idle time and MARGIN_S at most. Progress goes by the seconds that have passed."""
        longest_s = self.context.settings.lifetime_max_s
        times = idle_times(longest_s)
        done = asyncio.Event()

        async def tell_time() -> None:
            total, begun_ms = int(longest_s), self.context.network.now_ms()
            while not done.is_set():
                passed_s = int((self.context.network.now_ms() - begun_ms) / 1000)
                self.context.progress("nat", min(passed_s, total), total, f"idle connections, up to {total} s")
                try:
                    async with asyncio.timeout(1.0):
                        await done.wait()
                except TimeoutError:
                    continue

        teller = asyncio.create_task(tell_time(), name="lifetime progress")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._udp(times))
                tasks.create_task(self._tcp(times))
        finally:
            done.set()
            await teller

    # UDP

    async def _udp(self, times: tuple[float, ...]) -> None:
        server = await self._server_with_response_port()
        if server is None:
            return
        async with asyncio.TaskGroup() as tasks:
            for idle_s in times:
                tasks.create_task(self._udp_binding(server, idle_s))

    async def _server_with_response_port(self) -> OtherAddress | None:
        """The first server that answers to another port of ours than it was asked from."""
        tried: set[str] = set()
        while True:
            fresh = [server for server in self._servers if server.server.id not in tried]
            for server in fresh:
                tried.add(server.server.id)
                outcome = await self._udp_once(server, 0.0)
                if outcome == ALIVE:
                    return server
                self.record.add(
                    Note(
                        topic="response_port",
                        text=f"{server.server.id} did not answer to another port (RESPONSE-PORT, RFC 5780 §7.5)",
                        values={"server": server.server.id, "outcome": outcome},
                    )
                )
            if not fresh and self._finished.is_set():
                return None
            if not fresh:
                self._news.clear()
                await self._news.wait()

    async def _udp_binding(self, server: OtherAddress, idle_s: float) -> None:
        started_ms = self.context.network.now_ms()
        outcome = await self._udp_once(server, idle_s)
        self.record.add(
            Note(
                topic=UDP_BINDING,
                text=f"UDP binding after {idle_s:g} s without a packet: {outcome}",
                values={"idle_s": idle_s, "outcome": outcome, "server": server.server.id},
                duration_ms=round(self.context.network.now_ms() - started_ms, 3),
            ),
            offset_ms=started_ms,
        )

    async def _udp_once(self, server: OtherAddress, idle_s: float) -> str:
        network, source = self.context.network, self.context.settings.source
        idle = network.udp_socket(Family.IPV4, source=source)
        asking = network.udp_socket(Family.IPV4, source=source)
        sockets = [socket for socket in (idle, asking) if not isinstance(socket, Failure)]
        try:
            if isinstance(idle, Failure) or isinstance(asking, Failure):
                return NOT_OPENED
            mapped = await self._bind(idle, server)
            if mapped is None:
                return NOT_OPENED
            await asyncio.sleep(idle_s)
            if await self._reaches(idle, asking, server, mapped[1]):
                return ALIVE
            # Silence counts only if the server still answers us at all.
            return SILENT if await self._bind(asking, server) is not None else NO_CONTROL
        finally:
            for socket in sockets:
                socket.close()

    async def _bind(self, socket: UdpSocket, server: OtherAddress) -> tuple[str, int] | None:
        id_ = secrets.token_bytes(12)
        for _ in range(REQUESTS):
            if socket.send(stun.binding_request(id_), server.address, server.server.port) is not None:
                return None
            answer = await self._hear(socket, id_, RTO_S)
            if answer is not None:
                return answer
        return None

    async def _reaches(self, idle: UdpSocket, asking: UdpSocket, server: OtherAddress, port: int) -> bool:
        """Whether what the server sends to `port` of our public address still comes to the idle socket."""
        id_ = secrets.token_bytes(12)
        to_port = stun.Attribute(stun.AttributeType.RESPONSE_PORT, port)
        request = stun.binding_request(id_, attributes=(to_port,))
        for _ in range(REQUESTS):
            if asking.send(request, server.address, server.server.port) is not None:
                return False
            if await self._hear(idle, id_, RTO_S) is not None:
                return True
        return False

    async def _hear(self, socket: UdpSocket, id_: bytes, wait_s: float) -> tuple[str, int] | None:
        now_ms = self.context.network.now_ms
        ends_ms = now_ms() + 1000 * wait_s
        while (rest_s := (ends_ms - now_ms()) / 1000) > 0:
            for event in await socket.receive(rest_s):
                answer = read_answer(event.data, id_) if isinstance(event, Datagram) else None
                if answer is not None:
                    return answer[0]
        return None

    # TCP

    async def _tcp(self, times: tuple[float, ...]) -> None:
        def usable(fact: Connection) -> bool:
            return fact.purpose == "sip" and fact.failure is None and ":" not in fact.address

        connected = await self.context.first("sip", Connection, usable)
        if connected is None:
            return
        address, port = connected.address, connected.port
        control = await self._tcp_once(address, port, 0.0)
        self._note_tcp(address, port, 0.0, control)
        # A peer that does not pong at once tells nothing by not doing so later.
        if control[0] != ALIVE:
            return
        async with asyncio.TaskGroup() as tasks:
            for idle_s in times:
                tasks.create_task(self._tcp_idle(address, port, idle_s))

    async def _tcp_idle(self, address: str, port: int, idle_s: float) -> None:
        self._note_tcp(address, port, idle_s, await self._tcp_once(address, port, idle_s))

    def _note_tcp(self, address: str, port: int, idle_s: float, outcome: tuple[str, float | None]) -> None:
        said, after_s = outcome
        when = f" after {after_s:.1f} s" if after_s is not None and said in (CLOSED, RESET) else ""
        self.record.add(
            Note(
                topic=TCP_IDLE,
                text=f"TCP to {address}:{port}, idle for {idle_s:g} s: {said}{when}",
                values={
                    "idle_s": idle_s,
                    "outcome": said,
                    "after_s": after_s,
                    "address": address,
                    "port": port,
                    "while_idle": after_s is not None and after_s < idle_s,
                },
            )
        )

    async def _tcp_once(self, address: str, port: int, idle_s: float) -> tuple[str, float | None]:
        """(outcome, seconds after which the peer ended it)."""
        network = self.context.network
        connected = await network.tcp_connect(address, port, OPEN_WAIT_S, source=self.context.settings.source)
        stream = connected.stream
        if stream is None:
            return NOT_OPENED, None
        try:
            begun_ms = network.now_ms()
            ended = await self._wait_idle(stream, begun_ms, idle_s)
            if ended is not None:
                return ended, round((network.now_ms() - begun_ms) / 1000, 1)
            failure = await stream.send(PING, PONG_WAIT_S)
            if failure is not None:
                return (RESET if failure is Failure.RESET else SILENT), idle_s
            received = await stream.receive(PONG_WAIT_S)
            if received.data:
                return ALIVE, None
            if received.closed:
                return CLOSED, idle_s
            if received.failure is Failure.RESET:
                return RESET, idle_s
            if idle_s == 0.0:
                return SILENT, idle_s
            # The trunk may just have gone: silence counts beside a fresh connection that is answered.
            fresh, _ = await self._tcp_once(address, port, 0.0)
            return (SILENT if fresh == ALIVE else NO_CONTROL), idle_s
        finally:
            await stream.close()

    async def _wait_idle(self, stream: Stream, begun_ms: float, idle_s: float) -> str | None:
        """None once the time has passed; else how the peer ended the connection meanwhile."""
        now_ms: Callable[[], float] = self.context.network.now_ms
        while (rest_s := idle_s - (now_ms() - begun_ms) / 1000) > 0:
            received = await stream.receive(rest_s)
            if received.closed:
                return CLOSED
            if received.failure is Failure.RESET:
                return RESET
            if received.failure is not None and received.failure is not Failure.NO_ANSWER:
                return SILENT
        return None


# --- judge


class _Span(msgspec.Struct, frozen=True):
    """The longest idle time that was survived, and the shortest that was not. Contradictions leave `dropped_s` out."""

    alive_s: float | None
    dropped_s: float | None

    @property
    def words(self) -> str:
        if self.dropped_s is None:
            return f"at least {self.alive_s:g} s"
        if self.alive_s is None:
            return f"less than {self.dropped_s:g} s"
        return f"between {self.alive_s:g} and {self.dropped_s:g} s"


def _span(notes: list[Note], dead: tuple[str, ...]) -> _Span | None:
    alive = [float(n.values["idle_s"]) for n in notes if n.values["outcome"] == ALIVE and n.values["idle_s"]]
    gone = [float(n.values["idle_s"]) for n in notes if n.values["outcome"] in dead and n.values["idle_s"]]
    if not alive and not gone:
        return None
    longest = max(alive, default=None)
    # One that lived longer shows that what ended a shorter one was no timer.
    later = [time_s for time_s in gone if longest is None or time_s > longest]
    if longest is None and not later:
        return None
    return _Span(longest, min(later, default=None))


def judge_lifetime(facts: Facts, profile: Profile, settings: Settings, domain: FaultDomain) -> Verdict:
    """The keep-alive to configure, from how long idle bindings and connections lived."""
    if not settings.lifetime:
        return Verdict(
            Status.SKIP,
            "not_asked",
            "How long the NAT keeps idle bindings was not asked for: `vsipcheck nat --lifetime` does.",
        )
    notes = [note for note in facts.of(Note, "nat") if note.topic in (UDP_BINDING, TCP_IDLE, "response_port")]
    udp = [note for note in notes if note.topic == UDP_BINDING]
    tcp = [note for note in notes if note.topic == TCP_IDLE]
    udp_span = _span(udp, (SILENT,))
    # A FIN while nobody speaks is the trunk's. A reset upon our ping is that of a NAT or firewall which forgot the
    # connection and says so; one while nobody speaks may be anybody's.
    by_peer = [note for note in tcp if note.values["outcome"] == CLOSED and note.values["while_idle"]]
    resets = [note for note in tcp if note.values["outcome"] == RESET and note.values["while_idle"]]
    tcp_span = _span([note for note in tcp if note not in resets and note.values["outcome"] != CLOSED], (SILENT, RESET))
    said: list[str] = []
    if udp_span is not None:
        said.append(f"An idle UDP binding lives {udp_span.words} after one request and its answer.")
    else:
        said.append(
            "How long an idle UDP binding lives was not told: no STUN server answered to another port (RESPONSE-PORT, "
            "RFC 5780 §7.5), and without that a NAT that keeps ports hides the end of a binding."
        )
    if tcp_span is not None:
        said.append(f"An idle TCP connection to the trunk lives {tcp_span.words}.")
    elif by_peer or resets:
        said.append("The NAT was not seen to drop idle TCP connections.")
    elif tcp:
        said.append("The trunk answers no CRLF ping, so that nothing is told about idle TCP connections.")
    else:
        said.append("No connection to the trunk was there to be left idle.")
    if by_peer:
        first_s = min(float(note.values["after_s"]) for note in by_peer)
        said.append(f"{profile.provider} itself ends one after {first_s:g} s: that is not the NAT.")
    if resets:
        reset_s = min(float(note.values["after_s"]) for note in resets)
        said.append(f"Somebody, the trunk or a firewall on the way, resets one after {reset_s:g} s.")
    said.append(
        f"A call that drops after {WITHOUT_ACK_S} s is more often an ACK that never arrived (64 x T1, RFC 3261 "
        "§13.3.1.4) than a binding that ended."
    )
    safe = [span.alive_s for span in (udp_span, tcp_span) if span is not None and span.alive_s is not None]
    dropped = [span.dropped_s for span in (udp_span, tcp_span) if span is not None and span.dropped_s is not None]
    if by_peer or resets:
        dropped.append(min(float(note.values["after_s"]) for note in (*by_peer, *resets)))
    keepalive_s = _keepalive_s(safe, dropped)
    measures = (
        Measure(
            name="udp_alive_s",
            value=udp_span.alive_s if udp_span else None,
            unit="s",
            warn=RFC4787_MIN_S,
            floor=True,
        ),
        Measure(name="udp_dropped_s", value=udp_span.dropped_s if udp_span else None, unit="s"),
        Measure(name="tcp_alive_s", value=tcp_span.alive_s if tcp_span else None, unit="s"),
        Measure(name="tcp_dropped_s", value=tcp_span.dropped_s if tcp_span else None, unit="s"),
        Measure(name="keepalive_s", value=keepalive_s, unit="s"),
    )
    ids = fact_ids(notes)
    if udp_span is None and tcp_span is None and not resets:
        return Verdict(
            Status.UNKNOWN,
            "not_determined",
            " ".join(said),
            confidence=Confidence.POSSIBLE,
            settle_by="Name a STUN server that has RESPONSE-PORT (coturn with two addresses has) in a profile.",
            measures=measures,
            facts=ids,
        )
    advice = f"Send a keep-alive every {keepalive_s} s: CRLF CRLF (RFC 5626 §3.5.1) or OPTIONS on the SIP connection."
    if resets:
        return Verdict(
            Status.WARN,
            "tcp_reset_while_idle",
            " ".join(said),
            confidence=Confidence.POSSIBLE,
            remedy=advice,
            settle_by="A capture on the WAN side: an RST that is not in it is that of the customer's own firewall.",
            measures=measures,
            facts=ids,
        )
    tcp_drops = tcp_span is not None and tcp_span.dropped_s is not None
    udp_drops = udp_span is not None and udp_span.dropped_s is not None and udp_span.dropped_s <= RFC4787_MIN_S
    if tcp_drops or udp_drops:
        return Verdict(
            Status.WARN,
            "tcp_dropped_while_idle" if tcp_drops else "udp_shorter_than_rfc4787",
            " ".join(said),
            domain=domain,
            confidence=Confidence.PROVEN,
            remedy=f"{advice} Or let the NAT keep "
            + (
                "idle TCP connections longer (RFC 5382 REQ-5: 2 h 4 min)."
                if tcp_drops
                else "UDP bindings longer (RFC 4787 REQ-5: 2 min)."
            ),
            measures=measures,
            facts=ids,
        )
    if udp_span is None or tcp_span is None:
        return Verdict(
            Status.UNKNOWN,
            "udp_not_determined" if udp_span is None else "tcp_not_determined",
            f"{' '.join(said)} {advice}",
            confidence=Confidence.POSSIBLE,
            settle_by="Name a STUN server that has RESPONSE-PORT (coturn with two addresses has) in a profile."
            if udp_span is None
            else "Run it again when the trunk answers SIP.",
            measures=measures,
            facts=ids,
        )
    return Verdict(
        Status.PASS,
        "outlives_the_measurement",
        f"{' '.join(said)} {advice}",
        confidence=Confidence.PROVEN,
        measures=measures,
        facts=ids,
    )


def _keepalive_s(safe: list[float], dropped: list[float]) -> int:
    """Half of what ends the shortest-lived, and never more than what was seen to live; at least 5 s."""
    bound = min([*(time_s / 2 for time_s in dropped), *safe], default=30.0)
    return max(5, int(min(bound, 30.0)))
