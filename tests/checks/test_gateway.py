"""What the gateway says of itself: one row for every verdict that it changes, and routers that lie or stall."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from checks.test_nat import (
    ISP,
    LIKELY,
    LOCAL_PORT,
    OPEN,
    POSSIBLE,
    PROVEN,
    PUBLIC,
    SHARED,
    Row,
    arrived,
    brief,
    expired,
    https,
    judge,
    second,
    silent,
    stunned,
    told,
)
from checks.test_upnp import BOMB, FAULT, IP1, answer, description

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.nat import gateway
from vsipcheck.checks.nat.gateway import GatewayQuestions
from vsipcheck.model import AddressSeen, Failure, Family, Icmp, Interface, Note, Route, Settings, Status
from vsipcheck.net import Capabilities, Datagram, HttpReply, IcmpError
from vsipcheck.net.failures import from_icmp
from vsipcheck.profiles import load_profile
from vsipcheck.wire import natpmp, pcp, ssdp

PASS, WARN, FAIL, UNKNOWN = Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN
PROFILE = load_profile("exotel-tcp-mumbai")
HOST, GATEWAY, NEIGHBOUR = "192.168.1.50", "192.168.1.1", "192.168.1.7"
WAN_100, WAN_10, OTHER_PUBLIC = "100.64.7.9", "10.77.7.9", "49.36.99.99"


def says(
    address: str | None, method: str = "nat_pmp", at: str = GATEWAY, failure: Failure | None = None
) -> AddressSeen:
    return AddressSeen(
        method=method, source=f"router {at}", server_address=at, address=address, local_address=HOST, failure=failure
    )


def route() -> Route:
    return Route(destination="182.76.143.61", source_address=HOST, interface="eth0", gateway=GATEWAY)


UNNAMED = says(None, failure=Failure.NODATA)
AT_GATEWAY = arrived(1)
OUTSIDE = (route(), https(PUBLIC), stunned(PUBLIC), second(PUBLIC), told(PUBLIC))


@pytest.mark.parametrize(
    ("facts", "row"),
    [
        pytest.param((*OUTSIDE, says(PUBLIC)), (PASS, "wan_is_public_address", None, PROVEN), id="wan-is-public"),
        pytest.param(
            (*OUTSIDE, says(PUBLIC), AT_GATEWAY), (PASS, "at_gateway", None, PROVEN), id="wan-is-public-and-answers"
        ),
        pytest.param(
            (route(), stunned(PUBLIC), says(PUBLIC, "upnp")),
            (PASS, "wan_is_public_address", None, LIKELY),
            id="one-helper-and-the-router",
        ),
        pytest.param(
            (route(), stunned(PUBLIC), says(PUBLIC), expired(1, GATEWAY), expired(2, SHARED)),
            (UNKNOWN, "address_not_confirmed", OPEN, POSSIBLE),
            id="one-helper-and-the-router-contradicted",
        ),
        pytest.param((*OUTSIDE, says(WAN_100)), (FAIL, "wan_in_shared_space", ISP, PROVEN), id="wan-in-100.64"),
        pytest.param(
            (*OUTSIDE, says(WAN_100, "upnp"), AT_GATEWAY),
            (FAIL, "wan_in_shared_space", ISP, PROVEN),
            id="wan-in-100.64-outranks-hairpin",
        ),
        pytest.param((*OUTSIDE, says(WAN_10)), (WARN, "wan_is_private", OPEN, PROVEN), id="double-nat"),
        pytest.param(
            (*OUTSIDE, says(WAN_10), expired(1, GATEWAY), expired(2, SHARED)),
            (FAIL, "behind_carrier_hop", ISP, LIKELY),
            id="double-nat-and-a-carrier-behind",
        ),
        pytest.param(
            (*OUTSIDE, says(PUBLIC), expired(1, GATEWAY), expired(2, SHARED)),
            (FAIL, "behind_carrier_hop", ISP, LIKELY),
            id="daemon-that-asked-a-stun-server",
        ),
        pytest.param(
            (*OUTSIDE, says(PUBLIC), expired(1, GATEWAY), expired(2, "10.77.0.1")),
            (WARN, "behind_second_router", OPEN, POSSIBLE),
            id="contradicted-by-a-router-behind",
        ),
        pytest.param(
            (*OUTSIDE, UNNAMED, expired(1, GATEWAY), expired(2, "10.77.0.1")),
            (WARN, "behind_second_router", OPEN, LIKELY),
            id="no-wan-named-and-a-router-behind",
        ),
        pytest.param((*OUTSIDE, UNNAMED), (UNKNOWN, "not_probed", OPEN, POSSIBLE), id="no-wan-named-alone"),
        pytest.param(
            (*OUTSIDE, UNNAMED, AT_GATEWAY), (PASS, "at_gateway", None, PROVEN), id="no-wan-named-and-at-gateway"
        ),
        pytest.param((*OUTSIDE, says(OTHER_PUBLIC)), (WARN, "wan_differs", OPEN, POSSIBLE), id="another-public-wan"),
        pytest.param(
            (*OUTSIDE, says(OTHER_PUBLIC), AT_GATEWAY), (PASS, "at_gateway", None, PROVEN), id="router-with-two-lines"
        ),
        # An access router in 10.0.0.0/8 behind the gateway is on other paths only: ours ends at hop 1.
        pytest.param(
            (*OUTSIDE, says(PUBLIC), expired(2, "10.77.0.1", target="182.76.143.61", series="udp_in_range")),
            (PASS, "wan_is_public_address", None, PROVEN),
            id="pppoe-behind-access-router",
        ),
        pytest.param(
            (*OUTSIDE, says(PUBLIC), expired(2, SHARED, target="182.76.143.61", series="udp_in_range")),
            (PASS, "wan_is_public_address", None, PROVEN),
            id="pppoe-behind-access-router-in-100.64",
        ),
        # Not the trunk's gateway, and so not the trunk's NAT: a neighbour, a VPN's or a container's router.
        pytest.param(
            (*OUTSIDE, says(WAN_100, at=NEIGHBOUR), AT_GATEWAY), (PASS, "at_gateway", None, PROVEN), id="neighbour"
        ),
        pytest.param(
            (*OUTSIDE, says(WAN_100, at="100.100.100.100"), AT_GATEWAY),
            (PASS, "at_gateway", None, PROVEN),
            id="overlay-router",
        ),
        pytest.param(
            (*OUTSIDE, says(PUBLIC), says(WAN_100, "upnp"), AT_GATEWAY),
            (PASS, "at_gateway", None, PROVEN),
            id="router-contradicts-itself",
        ),
        pytest.param(
            (route(), says(WAN_100)), (UNKNOWN, "public_address_unknown", OPEN, POSSIBLE), id="nobody-outside-answers"
        ),
        pytest.param(
            (route(), https(PUBLIC), stunned("106.51.20.9"), says(PUBLIC)),
            (UNKNOWN, "methods_disagree", OPEN, POSSIBLE),
            id="several-lines-and-one-wan",
        ),
        # A cloud: its own routers are in 100.64.0.0/10, in front of a one-to-one translation.
        pytest.param(
            (*OUTSIDE, expired(1, SHARED), expired(2, "100.64.9.1")),
            (WARN, "shared_space_inside", OPEN, POSSIBLE),
            id="cloud-with-shared-space-inside",
        ),
        pytest.param(
            (*OUTSIDE, silent(1), says(None, failure=Failure.PORT_UNREACHABLE)),
            (UNKNOWN, "hops_silent", OPEN, POSSIBLE),
            id="router-without-any-of-it",
        ),
    ],
)
def test_cgnat(facts: Sequence[Any], row: Row) -> None:
    assert brief(judge("nat.cgnat", *facts)) == row


def test_each_step_is_told() -> None:
    found = judge(
        "nat.cgnat", *OUTSIDE, says(WAN_10), says(WAN_10, "upnp"), expired(1, GATEWAY), expired(2, "10.77.0.1")
    )
    chain = (
        f"{HOST} (this host) -> {GATEWAY} (gateway, WAN {WAN_10} by NAT-PMP and UPnP) -> 10.77.0.1 (hop 2) -> {PUBLIC}"
    )
    assert chain in found.summary


def test_router_is_no_helper_of_the_public_address() -> None:
    found = judge("nat.public_address", route(), says(PUBLIC), says(PUBLIC, "upnp"))
    assert brief(found)[:2] == (UNKNOWN, "no_method_answered")
    assert "helpers gave none" not in judge("nat.public_address", route(), UNNAMED).summary


# --- measuring

Reply = tuple[bytes | Icmp, str, int]
Router = Callable[[bytes, str, int], Sequence[Reply]]


class Socket:
    def __init__(self, network: Routers) -> None:
        self.local = ("0.0.0.0", LOCAL_PORT)
        self.network = network
        self.queue: asyncio.Queue[Datagram | IcmpError] = asyncio.Queue()
        self.closed = False

    def send(self, data: bytes, address: str, port: int, ttl: int | None = None) -> Failure | None:
        assert not self.closed
        self.network.sent.append((data, address, port))
        for reply, sender, sender_port in self.network.router(data, address, port):
            at_ms = self.network.now_ms()
            if isinstance(reply, Icmp):
                self.queue.put_nowait(IcmpError(reply, from_icmp(reply), address, port, data, at_ms))
            else:
                self.queue.put_nowait(Datagram(reply, sender, sender_port, at_ms))
        return None

    async def receive(self, timeout_s: float) -> list[Datagram | IcmpError]:
        try:
            async with asyncio.timeout(timeout_s):
                return [await self.queue.get()]
        except TimeoutError:
            return []

    def close(self) -> None:
        self.closed = True


class Routers:
    """A network of routers: one function for what they answer to datagrams, a table for what they serve by HTTP."""

    simulated = False
    capabilities = Capabilities(icmp_errors=True, ttl_probes=True, os="test")

    def __init__(self, router: Router, pages: dict[str, HttpReply] | None = None) -> None:
        self.router = router
        self.pages = pages or {}
        self.sent: list[tuple[bytes, str, int]] = []
        self.fetched: list[str] = []
        self.sockets: list[Socket] = []

    def now_ms(self) -> float:
        return asyncio.get_running_loop().time() * 1000

    def udp_socket(self, family: Family, *, source: str | None = None) -> Socket:
        self.sockets.append(Socket(self))
        return self.sockets[-1]

    async def http_exchange(self, url: str, *, timeout_s: float, max_bytes: int, **asked: Any) -> HttpReply:
        assert timeout_s <= 2
        self.fetched.append(url)
        if url not in self.pages:
            await asyncio.sleep(timeout_s)
            return HttpReply(None, b"", None, failure=Failure.NO_ANSWER)
        page = self.pages[url]
        if len(page.body) > max_bytes:
            return HttpReply(page.status, page.body[:max_bytes], 1.0, failure=Failure.TOO_LARGE)
        return page


def ask(network: Routers, *, via: str | None = GATEWAY, pcp_map: bool = False) -> list[Any]:
    """The facts that a whole round of questions leaves, without the host's own."""

    async def run() -> list[Any]:
        record = Recorder("nat", network.now_ms)
        record.add(Interface(name="eth0", address=HOST, netmask="255.255.255.0"))
        record.add(Route(destination="182.76.143.61", source_address=HOST, interface="eth0", gateway=via))
        context = Context(
            network=network,  # type: ignore[arg-type]
            profile=PROFILE,
            settings=Settings(checks=("nat",), pcp_map=pcp_map),
            recorders={"nat": record},
            progress=lambda *_: None,
            remaining_s=lambda: 30.0,
            stopping=lambda: False,
        )
        await GatewayQuestions(context, record, lambda: 5.0).measure()
        assert all(socket.closed for socket in network.sockets)
        return [fact for fact in record.facts if not isinstance(fact, Interface | Route)]

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits, five times as short."""
    for name in ("LIMIT_S", "GROUP_HEAD_START_S"):
        monkeypatch.setattr(gateway, name, getattr(gateway, name) / 5)
    for name in ("NAT_PMP_WAITS_S", "PCP_WAITS_S"):
        monkeypatch.setattr(gateway, name, tuple(wait / 5 for wait in getattr(gateway, name)))


def test_all_questions_fit_into_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert sum(gateway.NAT_PMP_WAITS_S) <= gateway.LIMIT_S <= 2
    assert sum(gateway.PCP_WAITS_S) <= gateway.LIMIT_S


def seen(facts: Sequence[Any], method: str) -> AddressSeen:
    (fact,) = (fact for fact in facts if isinstance(fact, AddressSeen) and fact.method == method)
    return fact


def nobody(data: bytes, address: str, port: int) -> list[Reply]:
    return []


def nat_pmp(address: str, sender: str = GATEWAY, port: int = natpmp.PORT) -> Router:
    reply = natpmp.encode_address(natpmp.ExternalAddress(0, 1, address))
    return lambda _, __, to: [(reply, sender, port)] if to == natpmp.PORT else []


def upnp_at(location: str, sender: str = GATEWAY, to: str = ssdp.GROUP) -> Router:
    reply = f"HTTP/1.1 200 OK\r\nLOCATION: {location}\r\nST: {ssdp.INTERNET_GATEWAY}\r\n\r\n".encode()
    return lambda _, address, port: [(reply, sender, ssdp.PORT)] if (address, port) == (to, ssdp.PORT) else []


def page(body: bytes, status: int = 200) -> HttpReply:
    return HttpReply(status, body, 2.0)


HERE = f"http://{GATEWAY}:5000/d.xml"
CONTROL = f"http://{GATEWAY}:5000/c"
SERVICE = page(description((IP1, "/c")))


def test_silence_is_recorded_and_bounded() -> None:
    network = Routers(nobody)
    facts = ask(network)
    assert seen(facts, "nat_pmp").failure is Failure.NO_ANSWER
    assert seen(facts, "upnp").failure is Failure.NO_ANSWER
    # RFC 6886: three questions, doubled waits; one search of the group and one of the gateway.
    assert [to for _, to, port in network.sent if port == natpmp.PORT] == [GATEWAY] * 3
    assert [to for _, to, port in network.sent if port == ssdp.PORT] == [ssdp.GROUP, GATEWAY]
    assert not any(data.startswith(b"\x02") for data, _, _ in network.sent)


def test_nat_pmp_answer() -> None:
    fact = seen(ask(Routers(nat_pmp("49.36.10.7"))), "nat_pmp")
    assert (fact.address, fact.failure, fact.server_address, fact.server_port) == ("49.36.10.7", None, GATEWAY, 5351)


@pytest.mark.parametrize(
    "router",
    [
        nat_pmp("49.36.10.7", sender=NEIGHBOUR),
        nat_pmp("49.36.10.7", port=4000),
        lambda _, __, port: [(b"\0\x81" + bytes(10), GATEWAY, natpmp.PORT)] if port == natpmp.PORT else [],
        lambda _, __, port: [(bytes(60_000), GATEWAY, natpmp.PORT)] * 20 if port == natpmp.PORT else [],
    ],
    ids=["other-address", "other-port", "other-opcode", "garbage"],
)
def test_what_is_no_answer_counts_for_nothing(router: Router) -> None:
    assert seen(ask(Routers(router)), "nat_pmp").failure is Failure.NO_ANSWER


@pytest.mark.parametrize(
    ("told_address", "failure"),
    [("0.0.0.0", Failure.NODATA), ("127.0.0.1", Failure.BAD_BODY), ("255.255.255.255", Failure.NODATA)],
)
def test_no_real_address_is_none(told_address: str, failure: Failure) -> None:
    fact = seen(ask(Routers(nat_pmp(told_address))), "nat_pmp")
    assert (fact.address, fact.failure) == (None, failure)


def test_refusal_by_icmp_ends_the_question() -> None:
    refused = Icmp(address=GATEWAY, type=3, code=3)
    network = Routers(lambda _, address, port: [(refused, address, port)] if address == GATEWAY else [])
    facts = ask(network)
    assert seen(facts, "nat_pmp").failure is Failure.PORT_UNREACHABLE
    assert seen(facts, "upnp").failure is Failure.PORT_UNREACHABLE
    assert len(network.sent) == 3


@pytest.mark.parametrize("to", [ssdp.GROUP, GATEWAY])
def test_upnp_answer_to_either_search(to: str) -> None:
    network = Routers(upnp_at(HERE, to=to), {HERE: SERVICE, CONTROL: page(answer("49.36.10.7"))})
    fact = seen(ask(network), "upnp")
    assert (fact.address, fact.server_port, fact.failure) == ("49.36.10.7", 5000, None)
    assert network.fetched == [HERE, CONTROL]


def test_neighbour_that_is_a_router_is_asked_too() -> None:
    there = f"http://{NEIGHBOUR}/d.xml"
    pages = {there: SERVICE, f"http://{NEIGHBOUR}/c": page(answer("106.51.20.9"))}
    facts = ask(Routers(upnp_at(there, sender=NEIGHBOUR), pages))
    by_server = {fact.server_address: fact.address for fact in facts if fact.method == "upnp"}
    assert by_server == {NEIGHBOUR: "106.51.20.9", GATEWAY: None}


@pytest.mark.parametrize(
    ("location", "sender"),
    [
        ("http://203.0.113.9/d.xml", GATEWAY),
        (f"http://{NEIGHBOUR}/d.xml", GATEWAY),
        ("http://127.0.0.1/d.xml", GATEWAY),
        ("http://169.254.169.254/latest/meta-data/", GATEWAY),
        ("https://192.168.1.1/d.xml", GATEWAY),
        ("file:///etc/passwd", GATEWAY),
        (f"http://{GATEWAY}@203.0.113.9/", GATEWAY),
        ("http://203.0.113.9/d.xml", "203.0.113.9"),  # not of this network
    ],
)
def test_description_elsewhere_is_not_followed(location: str, sender: str) -> None:
    network = Routers(upnp_at(location, sender=sender))
    facts = ask(network)
    assert network.fetched == []
    assert seen(facts, "upnp").failure is Failure.NO_ANSWER
    noted = [fact for fact in facts if isinstance(fact, Note)]
    assert bool(noted) == (sender == GATEWAY)


@pytest.mark.parametrize(
    ("pages", "failure"),
    [
        ({}, Failure.NO_ANSWER),
        ({HERE: page(bytes(10_000_000))}, Failure.TOO_LARGE),
        ({HERE: page(BOMB)}, Failure.BAD_BODY),
        ({HERE: page(b"", 500)}, Failure.HTTP_STATUS),
        ({HERE: page(description())}, Failure.NODATA),
        ({HERE: page(description((IP1, "http://203.0.113.9/c")))}, Failure.NODATA),
        ({HERE: SERVICE}, Failure.NO_ANSWER),
        ({HERE: SERVICE, CONTROL: page(bytes(10_000_000))}, Failure.TOO_LARGE),
        ({HERE: SERVICE, CONTROL: page(FAULT, 500)}, Failure.NODATA),
        ({HERE: SERVICE, CONTROL: page(b"<html/>")}, Failure.BAD_BODY),
        ({HERE: SERVICE, CONTROL: page(answer(""))}, Failure.NODATA),
        ({HERE: SERVICE, CONTROL: page(answer("0.0.0.0"))}, Failure.NODATA),
        ({HERE: SERVICE, CONTROL: page(answer("\x1b[2J"))}, Failure.BAD_BODY),
        ({HERE: SERVICE, CONTROL: page(answer("fe80::1"))}, Failure.BAD_BODY),
    ],
)
def test_upnp_that_tells_nothing(pages: dict[str, HttpReply], failure: Failure) -> None:
    fact = seen(ask(Routers(upnp_at(HERE), pages)), "upnp")
    assert (fact.address, fact.failure) == (None, failure)
    assert fact.detail is None or fact.detail.isprintable()


def test_many_answers_cost_little() -> None:
    crowd = [
        (f"HTTP/1.1 200 OK\r\nLOCATION: http://192.168.1.{n}/\r\n\r\n".encode(), f"192.168.1.{n}", 1900)
        for n in range(2, 60)
    ]
    network = Routers(lambda _, address, __: [reply for reply in crowd if address == ssdp.GROUP and reply[1] != HOST])
    ask(network)
    assert len(network.fetched) == 3


def test_without_a_gateway_only_the_group_is_asked() -> None:
    network = Routers(nobody)
    assert ask(network, via=None) == []
    assert {to for _, to, _ in network.sent} == {ssdp.GROUP}


def pcp_router(address: str = "49.36.10.7", result: int = 0, confirms: bool = True) -> tuple[Router, list[int]]:
    """A router, and the lifetimes that it was asked for."""
    lifetimes: list[int] = []

    def router(data: bytes, _: str, port: int) -> list[Reply]:
        if port != pcp.PORT or data[0] != 2:
            return []
        lifetimes.append(int.from_bytes(data[4:8], "big"))
        if lifetimes[-1] == 0 and not confirms:
            return []
        external = pcp._packed(address)
        head = bytes((2, 0x81, 0, result)) + (120).to_bytes(4, "big") + bytes(16)
        return [(head + data[24:42] + data[40:42] + external, GATEWAY, pcp.PORT)]

    return router, lifetimes


def test_pcp_mapping_is_removed_at_once() -> None:
    router, lifetimes = pcp_router()
    fact = seen(ask(Routers(router), pcp_map=True), "pcp")
    assert fact.address == "49.36.10.7"
    assert lifetimes[0] == 1
    assert set(lifetimes[1:]) == {0}


def test_unconfirmed_removal_is_told() -> None:
    router, lifetimes = pcp_router(confirms=False)
    facts = ask(Routers(router), pcp_map=True)
    assert seen(facts, "pcp").address == "49.36.10.7"
    assert lifetimes[1:] == [0, 0, 0, 0]
    assert [fact.topic for fact in facts if isinstance(fact, Note)] == ["pcp_map"]


def test_pcp_refusal_leaves_nothing_to_remove() -> None:
    router, lifetimes = pcp_router(result=2)
    fact = seen(ask(Routers(router), pcp_map=True), "pcp")
    assert (fact.address, fact.failure, fact.detail) == (None, Failure.NOT_SUPPORTED, "not authorized")
    assert lifetimes == [1]


def test_pcp_silence_is_followed_by_a_removal() -> None:
    network = Routers(nobody)
    assert seen(ask(network, pcp_map=True), "pcp").failure is Failure.NO_ANSWER
    lifetimes = [
        int.from_bytes(data[4:8], "big") for data, _, port in network.sent if port == pcp.PORT and data[0] == 2
    ]
    assert lifetimes == [1, 1, 1, 0]
