"""How the NAT maps and filters UDP, by RFC 5780: from one STUN server whose OTHER-ADDRESS really is another.

Mapping and filtering are asked out of separate sockets, and each filtering test out of one of its own: a late answer
to a CHANGE-REQUEST opens or moves a mapping, and a socket that has sent to the other address has opened the filter.
Silence is evidence only beside a control: a socket that did send to the other address must get the same answer.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

import msgspec

from vsipcheck.checks.base import Context, Facts, Recorder, fact_ids
from vsipcheck.checks.nat.verdict import Verdict
from vsipcheck.checks.public_address import is_public_ipv4
from vsipcheck.model import (
    AddressSeen,
    Confidence,
    Failure,
    Family,
    FaultDomain,
    Measure,
    Note,
    Status,
    StunServer,
)
from vsipcheck.net import IcmpError, UdpSocket
from vsipcheck.wire import stun
from vsipcheck.wire.errors import WireError

BEHAVIOUR = "nat.behaviour"
MAPPING = "stun_mapping"
FILTERING = "stun_filtering"
# The three filtering tests (RFC 5780 §4.4), told apart by the method of their facts.
CHANGE_BOTH = "stun_filtering_address_and_port"
CHANGE_PORT = "stun_filtering_port"
CONTROL = "stun_filtering_control"
OTHER_ADDRESS = "stun_other_address"

# The whole, once a server is known that can be asked: the STUN answers have come by then.
LIMIT_S = 2.0
# An answer has come this way already, so that its round trip is known; below this a busy router is not silence.
MIN_RTO_S = 0.2
REQUESTS = 3

Address = tuple[str, int]


class OtherAddress(msgspec.Struct, frozen=True):
    """A STUN server, the address of it that was asked, and the other one that it offers."""

    server: StunServer
    address: str
    other: Address | None
    rtt_ms: float | None

    @property
    def really_other(self) -> bool:
        """Whether it differs in address and port, and may be asked: public, and not our own doing."""
        if self.other is None or not is_public_ipv4(self.other[0]) or not self.other[1]:
            return False
        return self.other[0] != self.address and self.other[1] != self.server.port


class _Answer(msgspec.Struct, frozen=True):
    """What came back for one request: the mapped address and who sent it; or why nothing did."""

    mapped: Address | None = None
    sender: Address | None = None
    failure: Failure | None = None
    other: Address | None = None


class NatBehaviour(msgspec.Struct):
    """Waits for a STUN server that offers another address, and runs the tests of RFC 5780 with the first that does."""

    context: Context
    record: Recorder
    source: str | None
    left_s: Callable[[], float]
    _offers: list[OtherAddress] = []
    _finished: bool = False
    _news: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    def offer(self, server: StunServer, address: str, message: stun.StunMessage, rtt_ms: float | None) -> OtherAddress:
        """What a STUN server said of its other address, along with an answer of its."""
        other = stun.address_value(message, stun.AttributeType.OTHER_ADDRESS)
        offered = OtherAddress(server, address, other, rtt_ms)
        if other is not None:
            differs = "another" if offered.really_other else "not really another"
            self.record.add(
                Note(
                    topic=OTHER_ADDRESS,
                    text=f"{server.id} offers {other[0]}:{other[1]} as its other address: {differs}",
                    values={
                        "server": server.id,
                        "address": address,
                        "port": server.port,
                        "other_address": other[0],
                        "other_port": other[1],
                        "differs": offered.really_other,
                    },
                )
            )
        self._offers.append(offered)
        self._news.set()
        return offered

    def finish(self) -> None:
        """No server will answer any more."""
        self._finished = True
        self._news.set()

    async def measure(self) -> None:
        """Run the tests once; takes at most LIMIT_S after the first usable offer."""
        offered: OtherAddress | None = None
        while offered is None:
            offered = next((offer for offer in self._offers if offer.really_other), None)
            if offered is None:
                if self._finished:
                    return
                self._news.clear()
                await self._news.wait()
        now_ms = self.context.network.now_ms
        ends_ms = now_ms() + 1000 * min(LIMIT_S, self.left_s())
        tests = _Tests(self, offered, lambda: max((ends_ms - now_ms()) / 1000, 0.0))
        await asyncio.gather(
            tests.mapping(), tests.filtering(CHANGE_BOTH), tests.filtering(CHANGE_PORT), tests.filtering(CONTROL)
        )


class _Tests(msgspec.Struct, frozen=True):
    behaviour: NatBehaviour
    offered: OtherAddress
    left_s: Callable[[], float]

    async def mapping(self) -> None:
        """One socket, three destinations. RFC 5780 §4.3."""
        first = (self.offered.address, self.offered.server.port)
        assert self.offered.other is not None
        other = self.offered.other
        socket = self._open(MAPPING)
        if socket is None:
            return
        try:
            for destination in (first, (other[0], first[1]), other):
                started_ms = self._now_ms()
                answer = await self._request(socket, destination)
                self._add(MAPPING, socket, destination, answer, started_ms)
                if answer.failure is not None:
                    return
        finally:
            socket.close()

    async def filtering(self, method: str) -> None:
        """One test out of a socket of its own. RFC 5780 §4.4; the control has opened the filter first."""
        first = (self.offered.address, self.offered.server.port)
        assert self.offered.other is not None
        other = self.offered.other
        change = stun.ChangeRequest(change_address=method != CHANGE_PORT, change_port=True)
        sender = (first[0], other[1]) if method == CHANGE_PORT else other
        socket = self._open(method)
        if socket is None:
            return
        started_ms = self._now_ms()
        try:
            opened = await self._request(socket, first)
            if opened.failure is None and method == CONTROL:
                opened = await self._request(socket, other)
            if opened.failure is not None:
                self._add(method, socket, sender, _Answer(failure=Failure.CANCELLED), started_ms)
                return
            attribute = stun.Attribute(stun.AttributeType.CHANGE_REQUEST, change)
            answer = await self._request(socket, first, attribute)
            if answer.failure is None and answer.sender != sender:  # it takes no notice of CHANGE-REQUEST
                answer = _Answer(failure=Failure.MISMATCH)
            self._add(method, socket, sender, answer, started_ms)
        finally:
            socket.close()

    def _now_ms(self) -> float:
        return self.behaviour.context.network.now_ms()

    def _open(self, method: str) -> UdpSocket | None:
        context = self.behaviour.context
        socket = context.network.udp_socket(Family.IPV4, source=context.settings.source)
        if isinstance(socket, Failure):
            self._add(method, None, (self.offered.address, self.offered.server.port), _Answer(failure=socket), 0.0)
            return None
        return socket

    async def _request(self, socket: UdpSocket, destination: Address, *attributes: stun.Attribute) -> _Answer:
        """The answer to one Binding request, sent up to three times. An answer counts whoever sends it: the id is
        ours, and with CHANGE-REQUEST the sender is the point."""
        id_ = secrets.token_bytes(12)
        request = stun.binding_request(id_, attributes=attributes)
        rto_s = max(MIN_RTO_S, 3 * (self.offered.rtt_ms or 0.0) / 1000)
        for _ in range(REQUESTS):
            failure = socket.send(request, *destination)
            if failure is not None:
                return _Answer(failure=failure)
            ends_ms = self._now_ms() + 1000 * min(rto_s, self.left_s())
            while (rest_s := (ends_ms - self._now_ms()) / 1000) > 0:
                for event in await socket.receive(rest_s):
                    if isinstance(event, IcmpError):
                        if event.quoted[8:20] == id_:
                            return _Answer(failure=event.failure)
                        continue
                    answer = read_answer(event.data, id_)
                    if answer is not None:
                        mapped, other = answer
                        return _Answer(mapped, (event.address, event.port), None, other)
            if self.left_s() <= 0:
                # Cut short by our own clock: that is no silence of the network's.
                return _Answer(failure=Failure.CANCELLED)
        return _Answer(failure=Failure.NO_ANSWER)

    def _add(self, method: str, socket: UdpSocket | None, server: Address, answer: _Answer, started_ms: float) -> None:
        self.behaviour.record.add(
            AddressSeen(
                method=method,
                source=self.offered.server.id,
                operator=self.offered.server.operator,
                server_address=server[0],
                server_port=server[1],
                local_address=self.behaviour.source,
                local_port=socket.local[1] if socket else None,
                address=answer.mapped[0] if answer.mapped else None,
                port=answer.mapped[1] if answer.mapped else None,
                failure=answer.failure,
                duration_ms=round(self._now_ms() - started_ms, 3),
            ),
            offset_ms=started_ms,
        )


def read_answer(data: bytes, transaction_id: bytes) -> tuple[Address, Address | None] | None:
    """(mapped, other address) of a success response to our request, None for any other bytes."""
    try:
        message = stun.decode(data)
    except WireError:
        return None
    if message.transaction_id != transaction_id:
        return None
    mapped = stun.mapped_address(message)
    return None if mapped is None else (mapped, stun.address_value(message, stun.AttributeType.OTHER_ADDRESS))


# --- judge

_INDEPENDENT, _ADDRESS, _ADDRESS_AND_PORT = (
    "endpoint-independent",
    "address-dependent",
    "address-and-port-dependent",
)
_ANOTHER_SERVER = "Run it again, or name another STUN server of RFC 5780 in a profile."


def mapping_of(facts: Sequence[AddressSeen]) -> str | None:
    """The mapping behaviour (RFC 5780 §4.3), None where an answer is missing or comes from elsewhere."""
    answers = [fact for fact in facts if fact.method == MAPPING]
    if any(fact.failure is not None for fact in answers) or len(answers) < 2:
        return None
    seen = [(fact.address, fact.port) for fact in answers]
    # With another address the requests took another line, and nothing is told about one NAT.
    if len({address for address, _ in seen}) > 1:
        return None
    if len(seen) < 3:
        return None
    if seen[0] == seen[1] == seen[2]:
        return _INDEPENDENT
    return _ADDRESS if seen[1] == seen[2] else _ADDRESS_AND_PORT


def filtering_of(facts: Sequence[AddressSeen]) -> str | None:
    """The filtering behaviour (RFC 5780 §4.4), None where silence stands without a control."""
    tests = {fact.method: fact for fact in facts}
    both, port, control = tests.get(CHANGE_BOTH), tests.get(CHANGE_PORT), tests.get(CONTROL)
    if both is not None and both.failure is None:
        return _INDEPENDENT
    if control is None or control.failure is not None or both is None or both.failure is not Failure.NO_ANSWER:
        return None
    if port is None:
        return None
    if port.failure is None:
        return _ADDRESS
    return _ADDRESS_AND_PORT if port.failure is Failure.NO_ANSWER else None


def judge_behaviour(facts: Facts, domain: FaultDomain) -> Verdict:
    """What mapping and filtering are. `domain` is whose NAT it is, as far as that is known."""
    tests = [fact for fact in facts.of(AddressSeen, "nat") if fact.method.startswith((MAPPING, FILTERING))]
    offers = [note for note in facts.of(Note, "nat") if note.topic == OTHER_ADDRESS]
    ids = (*fact_ids(tests), *fact_ids(offers))
    if not tests:
        offered = ""
        if offers:
            offered = f" {len(offers)} offer one that does not differ in both address and port."
        ended = facts.error_of("nat") is not None
        return _unknown(
            "no_other_address" if not ended else "not_measured",
            "The run ended before the NAT's mapping and filtering could be asked."
            if ended
            else f"No STUN server that answered has a second address to ask from (RFC 5780).{offered} Whether ports "
            "depend on the destination is told by nat.port_masking; how strictly the NAT filters, only such a server "
            "can tell.",
            ids,
            "Name a STUN server of RFC 5780 with two addresses in a profile and run it again.",
        )
    mapping, filtering = mapping_of(tests), filtering_of(tests)
    who = tests[0].operator or tests[0].source
    if mapping is None and filtering is None:
        return _unknown(
            "not_determined",
            f"The tests of RFC 5780 with {who} gave no consistent answers.",
            ids,
            _ANOTHER_SERVER,
        )
    mapped = next((fact for fact in tests if fact.method == MAPPING and fact.failure is None), None)
    translated = mapped is None or mapped.address != mapped.local_address
    said = [f"mapping is {mapping}" if mapping else "mapping could not be told"]
    said.append(f"filtering is {filtering}" if filtering else "filtering could not be told")
    subject = "The NAT" if translated else "Nothing translates; what filters in front of this host"
    summary = f"{subject}: UDP {' and '.join(said)} (RFC 5780 §4, asked of {who}'s two addresses)."
    measures = (
        Measure(name="mapping_depends_on", value=_level(mapping), unit="rfc4787_level"),
        Measure(name="filtering_depends_on", value=_level(filtering), unit="rfc4787_level"),
    )
    if mapping is None:
        return _unknown("mapping_not_determined", summary, ids, _ANOTHER_SERVER, measures)
    if mapping == _INDEPENDENT:
        return Verdict(
            Status.PASS,
            "endpoint_independent_mapping",
            f"{summary} Media that answers to the port it came from gets through."
            if filtering not in (None, _INDEPENDENT)
            else summary,
            confidence=Confidence.PROVEN,
            measures=measures,
            facts=ids,
        )
    return Verdict(
        Status.WARN,
        "address_dependent_mapping" if mapping == _ADDRESS else "address_and_port_dependent_mapping",
        f"{summary} The port that a STUN server tells is not the one that the trunk will see.",
        domain=domain,
        confidence=Confidence.PROVEN,
        remedy="Have the NAT keep one port for all destinations (endpoint-independent mapping, RFC 4787 REQ-1), or let "
        "the trunk send to where it hears the PBX from (symmetric RTP).",
        measures=measures,
        facts=ids,
    )


def _level(behaviour: str | None) -> int | None:
    """0: of nothing; 1: of the address; 2: of address and port."""
    return {_INDEPENDENT: 0, _ADDRESS: 1, _ADDRESS_AND_PORT: 2}[behaviour] if behaviour else None


def _unknown(
    reason: str, summary: str, ids: tuple[str, ...], settle_by: str, measures: tuple[Measure, ...] = ()
) -> Verdict:
    return Verdict(
        Status.UNKNOWN,
        reason,
        summary,
        confidence=Confidence.POSSIBLE,
        settle_by=settle_by,
        measures=measures,
        facts=ids,
    )
