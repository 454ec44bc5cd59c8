"""How a NAT maps and filters (RFC 5780), read from facts, and asked of NATs of every kind."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from checks.test_nat import PUBLIC, Row, brief, judge

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.nat import behaviour as nat_behaviour
from vsipcheck.checks.nat.behaviour import CHANGE_BOTH, CHANGE_PORT, CONTROL, MAPPING, NatBehaviour
from vsipcheck.model import AddressSeen, Confidence, Failure, Family, FaultDomain, Note, Settings, Status, StunServer
from vsipcheck.net import Capabilities, Datagram
from vsipcheck.profiles import load_profile
from vsipcheck.wire import stun

PROFILE = load_profile("exotel-tcp-mumbai")
HOST = "192.168.1.50"
FIRST, OTHER = ("159.69.191.124", 3478), ("159.69.191.125", 3479)
SERVER = StunServer(id="pair", host=FIRST[0], port=FIRST[1], operator="Somebody", source="ours")
PASS, WARN, UNKNOWN, SKIP = Status.PASS, Status.WARN, Status.UNKNOWN, Status.SKIP
PROVEN, POSSIBLE = Confidence.PROVEN, Confidence.POSSIBLE
OPEN = FaultDomain.UNDETERMINED


def of_test(
    method: str, port: int | None = 40000, address: str = PUBLIC, failure: Failure | None = None
) -> AddressSeen:
    return AddressSeen(
        method=method,
        source="pair",
        operator="Somebody",
        local_address=HOST,
        local_port=40000,
        address=None if failure else address,
        port=None if failure else port,
        failure=failure,
    )


def mapped(*ports: int, address: str = PUBLIC) -> tuple[AddressSeen, ...]:
    return tuple(of_test(MAPPING, port, address) for port in ports)


def filtered(both: Failure | None, port: Failure | None, control: Failure | None = None) -> tuple[AddressSeen, ...]:
    return (
        of_test(CHANGE_BOTH, failure=both),
        of_test(CHANGE_PORT, failure=port),
        of_test(CONTROL, failure=control),
    )


LOST = Failure.NO_ANSWER
INDEPENDENT = (PASS, "endpoint_independent_mapping", None, PROVEN)


@pytest.mark.parametrize(
    ("facts", "row", "levels"),
    [
        ((*mapped(1, 1, 1), *filtered(None, None)), INDEPENDENT, (0, 0)),
        ((*mapped(1, 1, 1), *filtered(LOST, None)), INDEPENDENT, (0, 1)),
        ((*mapped(1, 1, 1), *filtered(LOST, LOST)), INDEPENDENT, (0, 2)),
        # Silence without a control that was answered is no filter.
        ((*mapped(1, 1, 1), *filtered(LOST, LOST, control=LOST)), INDEPENDENT, (0, None)),
        ((*mapped(1, 1, 1), *filtered(LOST, LOST, control=Failure.MISMATCH)), INDEPENDENT, (0, None)),
        ((*mapped(1, 1, 1), *filtered(Failure.CANCELLED, LOST)), INDEPENDENT, (0, None)),
        ((*mapped(1, 1, 1), *filtered(LOST, Failure.CANCELLED)), INDEPENDENT, (0, None)),
        ((*mapped(1, 2, 2), *filtered(LOST, LOST)), (WARN, "address_dependent_mapping", OPEN, PROVEN), (1, 2)),
        (mapped(1, 2, 3), (WARN, "address_and_port_dependent_mapping", OPEN, PROVEN), (2, None)),
        (mapped(1, 1, 2), (WARN, "address_and_port_dependent_mapping", OPEN, PROVEN), (2, None)),
        # The third answer is missing, or seen from another line: nothing is told about one NAT.
        (
            (*mapped(1, 2), of_test(MAPPING, failure=LOST), *filtered(LOST, None)),
            (UNKNOWN, "mapping_not_determined", OPEN, POSSIBLE),
            (None, 1),
        ),
        (
            (*mapped(1, 1), *mapped(2, address="106.51.20.9"), *filtered(None, None)),
            (UNKNOWN, "mapping_not_determined", OPEN, POSSIBLE),
            (None, 0),
        ),
    ],
)
def test_behaviour(facts: Sequence[Any], row: Row, levels: tuple[int | None, int | None]) -> None:
    found = judge("nat.behaviour", *facts)
    assert brief(found) == row
    assert tuple(measure.value for measure in found.measures) == levels


@pytest.mark.parametrize(
    ("facts", "reason"),
    [((), "no_other_address"), (filtered(LOST, LOST, control=LOST), "not_determined"), (mapped(1), "not_determined")],
)
def test_unknown(facts: Sequence[Any], reason: str) -> None:
    assert brief(judge("nat.behaviour", *facts)) == (UNKNOWN, reason, OPEN, POSSIBLE)


def test_run_that_ended_early() -> None:
    assert judge("nat.behaviour", error="deadline").reason == "not_measured"


def test_not_asked_over_ipv6() -> None:
    assert judge("nat.behaviour", family=Family.IPV6).status is SKIP


def test_tests_are_no_views_of_us() -> None:
    assert judge("nat.public_address", *mapped(1, 1, 1)).reason == "no_route"


# --- measuring


class Nat:
    """A NAT in front of a STUN server with two addresses. `mapping` and `filtering` as in RFC 4787, 0, 1 or 2."""

    simulated = False
    capabilities = Capabilities(icmp_errors=True, ttl_probes=True, os="test")

    def __init__(self, mapping: int, filtering: int, *, honours: bool = True) -> None:
        self.mapping, self.filtering, self.honours = mapping, filtering, honours
        self.mappings: dict[Any, int] = {}
        self.sockets: list[Socket] = []
        self.ports = itertools.count(50000)
        self.asked: list[tuple[str, int]] = []

    def now_ms(self) -> float:
        return asyncio.get_running_loop().time() * 1000

    def udp_socket(self, family: Family, *, source: str | None = None) -> Socket:
        self.sockets.append(Socket(self, 40000 + len(self.sockets)))
        return self.sockets[-1]

    def send(self, socket: Socket, data: bytes, to: tuple[str, int]) -> None:
        self.asked.append(to)
        socket.talked.add(to)
        key = (socket.local[1], to[: self.mapping])
        port = self.mappings.setdefault(key, next(self.ports))
        request = stun.decode(data)
        change = request.value(stun.AttributeType.CHANGE_REQUEST)
        sender = to
        if isinstance(change, stun.ChangeRequest) and self.honours:
            sender = (OTHER[0] if change.change_address else to[0], OTHER[1] if change.change_port else to[1])
        # What comes in goes by the mapping that it is sent to, and by what that has sent to.
        inside = {peer for peer in socket.talked if self.mappings.get((socket.local[1], peer[: self.mapping])) == port}
        allowed = self.filtering == 0 or sender[: self.filtering] in {peer[: self.filtering] for peer in inside}
        if allowed:
            attributes = (
                stun.Attribute(stun.AttributeType.XOR_MAPPED_ADDRESS, (PUBLIC, port)),
                stun.Attribute(stun.AttributeType.OTHER_ADDRESS, OTHER),
            )
            answer = stun.StunMessage(stun.BINDING, stun.MessageClass.SUCCESS, request.transaction_id, attributes)
            socket.queue.put_nowait(Datagram(stun.encode(answer), *sender, self.now_ms()))


class Socket:
    def __init__(self, nat: Nat, port: int) -> None:
        self.local = ("0.0.0.0", port)
        self.nat = nat
        self.talked: set[tuple[str, int]] = set()
        self.queue: asyncio.Queue[Datagram] = asyncio.Queue()
        self.closed = False

    def send(self, data: bytes, address: str, port: int, ttl: int | None = None) -> None:
        assert not self.closed
        self.nat.send(self, data, (address, port))

    async def receive(self, timeout_s: float) -> list[Datagram]:
        try:
            async with asyncio.timeout(timeout_s):
                return [await self.queue.get()]
        except TimeoutError:
            return []

    def close(self) -> None:
        self.closed = True


def offer_of(other: tuple[str, int] | None) -> stun.StunMessage:
    attributes = () if other is None else (stun.Attribute(stun.AttributeType.OTHER_ADDRESS, other),)
    return stun.StunMessage(stun.BINDING, stun.MessageClass.SUCCESS, bytes(12), attributes)


def ask(nat: Nat, *others: tuple[str, int] | None) -> list[Any]:
    """The facts of the tests, after servers have offered `others` as their other address."""

    async def run() -> list[Any]:
        record = Recorder("nat", nat.now_ms)
        context = Context(
            network=nat,  # type: ignore[arg-type]
            profile=PROFILE,
            settings=Settings(checks=("nat",)),
            recorders={"nat": record},
            progress=lambda *_: None,
            remaining_s=lambda: 30.0,
            stopping=lambda: False,
        )
        behaviour = NatBehaviour(context, record, HOST, lambda: 5.0)
        for other in others:
            behaviour.offer(SERVER, FIRST[0], offer_of(other), 1.0)
        behaviour.finish()
        await behaviour.measure()
        assert all(socket.closed for socket in nat.sockets)
        return list(record.facts)

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nat_behaviour, "MIN_RTO_S", 0.02)


@pytest.mark.parametrize("mapping", [0, 1, 2])
@pytest.mark.parametrize("filtering", [0, 1, 2])
def test_every_kind_of_nat(mapping: int, filtering: int) -> None:
    found = judge("nat.behaviour", *ask(Nat(mapping, filtering), OTHER))
    levels = tuple(measure.value for measure in found.measures)
    assert levels[0] == mapping
    # With one mapping a peer, no control can show that a filter keeps out what is sent to another peer's.
    assert levels[1] == (filtering if mapping == 0 or filtering == 0 else None)


def test_sockets_are_separate() -> None:
    nat = Nat(0, 2)
    ask(nat, OTHER)
    assert len(nat.sockets) == 4
    mapping, both, port, control = nat.sockets
    assert mapping.talked == {FIRST, (OTHER[0], FIRST[1]), OTHER}
    assert both.talked == port.talked == {FIRST}
    assert control.talked == {FIRST, OTHER}


def test_server_that_ignores_change_request_tells_nothing_of_filters() -> None:
    found = judge("nat.behaviour", *ask(Nat(0, 2, honours=False), OTHER))
    assert tuple(measure.value for measure in found.measures) == (0, None)


@pytest.mark.parametrize(
    "other",
    [
        None,
        (FIRST[0], OTHER[1]),
        (OTHER[0], FIRST[1]),
        FIRST,
        ("192.168.1.1", 3479),
        ("127.0.0.1", 3479),
        ("224.0.0.1", 3479),
        (OTHER[0], 0),
        ("2001:db8::1", 3479),
    ],
)
def test_address_that_is_not_really_another_is_not_asked(other: tuple[str, int] | None) -> None:
    nat = Nat(0, 0)
    facts = ask(nat, other)
    assert nat.asked == []
    assert judge("nat.behaviour", *facts).reason == "no_other_address"
    assert bool([fact for fact in facts if isinstance(fact, Note)]) == (other is not None)
