"""How a NAT maps one UDP port towards several destinations, told by STUN servers (RFC 8489, RFC 4787 §4.1)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.public_address import is_ipv4
from vsipcheck.model import AddressSeen, Failure, Family, Lookup, StunServer
from vsipcheck.net import Datagram, IcmpError, UdpSocket
from vsipcheck.wire import stun
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.text import sanitise

# RFC 8489 §6.2.1 recommends 500 ms, doubled at each retransmission. Three requests rather than seven: a run is short.
RTO_S = 0.5
REQUESTS = 3
CONFIRM_S = 2.0
DETAIL_LENGTH = 60

Mapped = tuple[str, int]


@dataclass(slots=True)
class Transaction:
    """One Binding request to one server, retransmitted unchanged (RFC 8489 §6.2.1), and what came of it."""

    server: StunServer
    address: str
    id: bytes = field(default_factory=lambda: secrets.token_bytes(12))
    sent_ms: list[float] = field(default_factory=list)
    mapped: Mapped | None = None
    message: stun.StunMessage | None = None
    rtt_ms: float | None = None
    failure: Failure | None = None
    detail: str | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def take_datagram(self, event: Datagram) -> None:
        if self.settled.is_set():
            return
        self.mapped, self.failure, self.detail = read_binding_answer(event.data, self.id)
        # Bytes that carry another transaction id, or none, are somebody else's: the answer may still come.
        if self.failure in (Failure.MISMATCH, Failure.MALFORMED):
            return
        if self.mapped is not None:
            self.message = stun.decode(event.data)
        if len(self.sent_ms) == 1:  # of a retransmitted request it is not known which copy was answered
            self.rtt_ms = max(event.at_ms - self.sent_ms[0], 0.0)
        self.settled.set()

    def take_error(self, event: IcmpError) -> None:
        if not self.settled.is_set():
            sender = event.icmp.address or "this host"
            self.fail(event.failure, f"ICMP type {event.icmp.type} code {event.icmp.code} from {sender}")

    def fail(self, failure: Failure, detail: str | None = None) -> None:
        self.mapped, self.failure, self.detail = None, failure, detail
        self.settled.set()


def read_binding_answer(data: bytes, transaction_id: bytes) -> tuple[Mapped | None, Failure | None, str | None]:
    """The mapped address in the answer to our request, or why there is none: (mapped, failure, detail).

    MALFORMED and MISMATCH: no answer to this request. BAD_BODY: an answer, without an IPv4 address that can be used.
    """
    try:
        message = stun.decode(data)
    except WireError as error:
        return None, Failure.MALFORMED, str(error)
    if message.transaction_id != transaction_id:
        return None, Failure.MISMATCH, "an answer with another transaction id"
    if message.message_class is stun.MessageClass.ERROR:
        error_code = stun.error_code(message)
        said = f" {error_code.code} {sanitise(error_code.reason, max_length=DETAIL_LENGTH)}" if error_code else ""
        return None, Failure.BAD_BODY, f"error response{said}"
    if message.message_class is not stun.MessageClass.SUCCESS:
        return None, Failure.MISMATCH, f"a {message.message_class.name.lower()} instead of a response"
    if message.unknown_required:
        codes = ", ".join(f"0x{code:04x}" for code in message.unknown_required[:4])
        return None, Failure.BAD_BODY, f"attributes that have to be understood and are not: {codes}"
    mapped = stun.mapped_address(message)
    if mapped is None or not is_ipv4(mapped[0]) or not mapped[1]:
        return None, Failure.BAD_BODY, "no mapped IPv4 address"
    return mapped, None, None


def ports_differ(answers: Sequence[AddressSeen]) -> bool:
    """Whether two different servers saw one of our public addresses with different ports."""
    ports: dict[str, dict[int, set[str]]] = {}
    for fact in answers:
        if fact.failure is None and fact.address and fact.port and fact.server_address:
            ports.setdefault(fact.address, {}).setdefault(fact.port, set()).add(fact.server_address)
    return any(len(of) > 1 and len(set().union(*of.values())) > 1 for of in ports.values())


@dataclass(frozen=True, slots=True)
class StunMapping:
    """Asks STUN servers and records one AddressSeen for each. `source` is the address that the kernel picks."""

    context: Context
    record: Recorder
    source: str | None
    left_s: Callable[[], float]
    on_answer: Callable[[AddressSeen], None]
    # Told of every answer as it came, for what else a server may offer.
    on_message: Callable[[StunServer, str, stun.StunMessage, float | None], None] | None = None

    async def measure(self) -> None:
        """Ask all servers of the profile out of one socket; if ports differ, the same ones once more out of another.

        What depends on the destination does so again; a port that was taken by chance, or a mapping that ended
        meanwhile, does not.
        """
        servers = self.context.profile.stun_servers
        if not servers:
            return
        answers = await self._ask_round([(server, None) for server in servers], self.left_s)
        for_all = {fact.source: fact.server_address for fact in answers if fact.failure is None}
        if ports_differ(answers):
            now_ms = self.context.network.now_ms
            ends_ms = now_ms() + 1000 * min(CONFIRM_S, self.left_s())
            await self._ask_round(
                [(server, for_all[server.id]) for server in servers if server.id in for_all],
                lambda: max((ends_ms - now_ms()) / 1000, 0.0),
            )

    async def _ask_round(
        self, servers: Sequence[tuple[StunServer, str | None]], left_s: Callable[[], float]
    ) -> list[AddressSeen]:
        socket = self.context.network.udp_socket(Family.IPV4, source=self.context.settings.source)
        if isinstance(socket, Failure):
            now_ms = self.context.network.now_ms()
            return [self._record(server, address, None, now_ms, socket, None) for server, address in servers]
        transactions: list[Transaction] = []
        reader = asyncio.create_task(_read(socket, transactions), name="stun")
        try:
            asked = [self._ask(socket, server, known, transactions, left_s) for server, known in servers]
            return list(await asyncio.gather(*asked))
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            socket.close()

    async def _ask(
        self,
        socket: UdpSocket,
        server: StunServer,
        known: str | None,
        transactions: list[Transaction],
        left_s: Callable[[], float],
    ) -> AddressSeen:
        started = self.context.network.now_ms()
        address = known or await self._resolve(server, left_s())
        if isinstance(address, Failure):
            return self._record(server, None, socket, started, address, f"{server.host} has no address")
        transaction = Transaction(server, address)
        transactions.append(transaction)
        request = stun.binding_request(transaction.id)
        for number in range(REQUESTS):
            transaction.sent_ms.append(self.context.network.now_ms())
            refused = socket.send(request, address, server.port)
            if refused is not None:
                transaction.fail(refused)
            wait_s = left_s() if number == REQUESTS - 1 else min(RTO_S * 2**number, left_s())
            try:
                async with asyncio.timeout(wait_s):
                    await transaction.settled.wait()
                break
            except TimeoutError:
                if left_s() <= 0:
                    break
        if transaction.message is not None and transaction.mapped is not None and self.on_message is not None:
            self.on_message(server, address, transaction.message, transaction.rtt_ms)
        failure = transaction.failure
        if transaction.mapped is None and failure is None:
            failure = Failure.NO_ANSWER
        return self._record(server, address, socket, started, failure, transaction.detail, transaction)

    async def _resolve(self, server: StunServer, timeout_s: float) -> str | Failure:
        if is_ipv4(server.host):
            return server.host
        started = self.context.network.now_ms()
        lookup = await self.context.network.resolve_system(server.host, Family.IPV4, timeout_s)
        addresses = tuple(address for address in lookup.addresses if is_ipv4(address))
        failure = lookup.failure or (None if addresses else Failure.NODATA)
        self.record.add(
            Lookup(
                name=server.host,
                record_type="A",
                purpose="helper",
                server=None,
                addresses=addresses,
                rtt_ms=lookup.rtt_ms,
                failure=failure,
                duration_ms=round(self.context.network.now_ms() - started, 3),
            ),
            offset_ms=started,
        )
        return failure or addresses[0]

    def _record(
        self,
        server: StunServer,
        address: str | None,
        socket: UdpSocket | None,
        started_ms: float,
        failure: Failure | None,
        detail: str | None,
        transaction: Transaction | None = None,
    ) -> AddressSeen:
        mapped = transaction.mapped if transaction else None
        fact = self.record.add(
            AddressSeen(
                method="stun",
                source=server.id,
                operator=server.operator,
                transport="udp",
                server_address=address,
                server_port=server.port,
                local_address=self.source,
                local_port=socket.local[1] if socket else None,
                address=mapped[0] if mapped else None,
                port=mapped[1] if mapped else None,
                rtt_ms=transaction.rtt_ms if transaction else None,
                failure=failure,
                detail=detail,
                duration_ms=round(self.context.network.now_ms() - started_ms, 3),
            ),
            offset_ms=started_ms,
        )
        self.on_answer(fact)
        return fact


async def _read(socket: UdpSocket, transactions: Sequence[Transaction]) -> None:
    """Hand everything that arrives to the transactions with the server it came from, or was meant for."""
    while True:
        for event in await socket.receive(3600.0):
            for transaction in transactions:
                if (transaction.address, transaction.server.port) != (event.address, event.port):
                    continue
                if isinstance(event, IcmpError):
                    transaction.take_error(event)
                else:
                    transaction.take_datagram(event)
