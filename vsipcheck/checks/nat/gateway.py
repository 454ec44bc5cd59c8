"""What the gateway says its own WAN address is: NAT-PMP (RFC 6886), UPnP IGD, and where asked for, PCP (RFC 6887).

Asked are this host's gateway towards the trunk, and with one multicast the routers of its subnet. No question changes
anything on a router, `--pcp-map` apart. A router is a stranger too: datagrams count from the address that was asked,
URLs only on the host that gave them, bodies are capped, and the whole ends by the clock.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from vsipcheck.checks.base import Context, Facts, Recorder
from vsipcheck.checks.nat import upnp
from vsipcheck.checks.public_address import is_ipv4, trunk_sources
from vsipcheck.model import AddressSeen, Failure, Family, Interface, Note, Route
from vsipcheck.net import Datagram, IcmpError, UdpSocket
from vsipcheck.wire import natpmp, pcp, ssdp
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import AddressClass, classify
from vsipcheck.wire.text import sanitise

NAT_PMP, UPNP, PCP = "nat_pmp", "upnp", "pcp"
METHODS = (NAT_PMP, UPNP, PCP)
METHOD_NAMES = {NAT_PMP: "NAT-PMP", UPNP: "UPnP", PCP: "PCP"}

# A router is one hop away: whoever has not answered by then does not speak it.
LIMIT_S = 1.9
# RFC 6886 §3.1: 250 ms at first, doubled each time. It goes on for 64 s there; a run is shorter.
NAT_PMP_WAITS_S = (0.25, 0.5, 0.75)
# The group is asked first: unlike a host's closed port it never answers with an ICMP error, of which routers have few.
GROUP_HEAD_START_S = 0.3
MAX_DEVICES = 3
# RFC 6887 §15: a router may grant more than it was asked for, so the mapping is removed rather than left to end.
PCP_LIFETIME_S = 1
PCP_WAITS_S = (0.25, 0.5, 0.75)
DETAIL_LENGTH = 80
_NO_ADDRESS = (AddressClass.UNSPECIFIED, AddressClass.BROADCAST)


# --- what the judges read


class GatewayAddress(msgspec.Struct, frozen=True):
    """What the gateway towards the trunk says of its WAN address. `facts` are ids.

    `address` is None where it names none (`unnamed`), or contradicts itself; then `said` tells in which words.
    """

    gateway: str
    address: str | None
    methods: tuple[str, ...]
    facts: tuple[str, ...]
    unnamed: bool = False
    contradicts: bool = False

    @property
    def told_by(self) -> str:
        """The protocols, in words."""
        return " and ".join(METHOD_NAMES[method] for method in self.methods)


def gateway_address(facts: Facts) -> GatewayAddress | None:
    """What the trunk's own gateway says; None where it said nothing. Other routers of the subnet don't count."""
    sources = trunk_sources(facts)
    routes = [route for route in facts.of(Route) if route.source_address in sources and route.gateway]
    gateways = {route.gateway for route in routes}
    if len(gateways) != 1:
        return None
    gateway = str(gateways.pop())
    said = [fact for fact in facts.of(AddressSeen) if fact.method in METHODS and fact.server_address == gateway]
    named = [fact for fact in said if fact.failure is None and fact.address]
    if named:
        addresses = {fact.address for fact in named}
        return GatewayAddress(
            gateway,
            named[0].address if len(addresses) == 1 else None,
            tuple(dict.fromkeys(fact.method for fact in named)),
            tuple(fact.id for fact in named),
            contradicts=len(addresses) > 1,
        )
    unnamed = [fact for fact in said if fact.failure is Failure.NODATA]
    if not unnamed:
        return None
    return GatewayAddress(
        gateway,
        None,
        tuple(dict.fromkeys(fact.method for fact in unnamed)),
        tuple(fact.id for fact in unnamed),
        unnamed=True,
    )


# --- measuring


class _Device(msgspec.Struct):
    """A router that answered a search."""

    address: str
    location: str
    server: str | None


class GatewayQuestions(msgspec.Struct):
    """Asks the routers of this host's network, and records one AddressSeen for each answer or silence."""

    context: Context
    record: Recorder
    left_s: Callable[[], float]
    _ends_ms: float = 0.0
    _devices: dict[str, _Device] = {}

    async def measure(self) -> None:
        """Ask everybody at once; takes at most LIMIT_S."""
        route = self._route()
        if route is None or route.source_address is None:
            return
        network = self.context.network
        self._ends_ms = network.now_ms() + 1000 * min(LIMIT_S, self.left_s())
        async with asyncio.TaskGroup() as tasks:
            if route.gateway is not None and is_ipv4(route.gateway):
                tasks.create_task(self._ask_nat_pmp(route.gateway, route.source_address))
                if self.context.settings.pcp_map:
                    tasks.create_task(self._ask_pcp(route.gateway, route.source_address))
            tasks.create_task(self._ask_upnp(route))

    def _route(self) -> Route | None:
        routes = [fact for fact in self.record.facts if isinstance(fact, Route)]
        return next((route for route in routes if route.failure is None), None)

    def _rest_s(self) -> float:
        return max((self._ends_ms - self.context.network.now_ms()) / 1000, 0.0)

    @asynccontextmanager
    async def _socket(self) -> AsyncIterator[UdpSocket | Failure]:
        socket = self.context.network.udp_socket(Family.IPV4, source=self.context.settings.source)
        try:
            yield socket
        finally:
            if not isinstance(socket, Failure):
                socket.close()

    def _spent(self, event: IcmpError) -> None:
        """A refusal costs the gateway one of the few ICMP errors that other checks of this run count on."""
        if event.icmp.address is not None:
            self.context.answers.answered(event.icmp.address, event.at_ms)

    # NAT-PMP

    async def _ask_nat_pmp(self, gateway: str, source: str) -> None:
        started_ms = self.context.network.now_ms()
        address: str | None = None
        detail: str | None = None
        failure: Failure | None = Failure.NO_ANSWER
        rtt_ms: float | None = None
        async with self._socket() as socket:
            if isinstance(socket, Failure):
                failure = socket
            else:
                for wait_s in NAT_PMP_WAITS_S:
                    sent_ms = self.context.network.now_ms()
                    failure = socket.send(natpmp.address_request(), gateway, natpmp.PORT)
                    if failure is not None:
                        break
                    event = await self._answer(socket, gateway, natpmp.PORT, min(wait_s, self._rest_s()), _is_nat_pmp)
                    if isinstance(event, IcmpError):
                        failure = event.failure
                        break
                    if event is not None:
                        rtt_ms = max(event.at_ms - sent_ms, 0.0)
                        address, failure, detail = read_nat_pmp(event.data)
                        break
                    failure = Failure.NO_ANSWER
            port = None if isinstance(socket, Failure) else socket.local[1]
        self._add(NAT_PMP, "udp", gateway, natpmp.PORT, source, port, address, failure, detail, rtt_ms, started_ms)

    async def _answer(
        self, socket: UdpSocket, address: str, port: int, wait_s: float, wanted: Callable[[bytes], bool]
    ) -> Datagram | IcmpError | None:
        """The first datagram from whom we asked that is `wanted`, or an ICMP error about our question."""
        ends_ms = self.context.network.now_ms() + 1000 * wait_s
        while (rest_s := (ends_ms - self.context.network.now_ms()) / 1000) > 0:
            for event in await socket.receive(rest_s):
                if (event.address, event.port) != (address, port):
                    continue
                if isinstance(event, IcmpError):
                    self._spent(event)
                    return event
                if wanted(event.data):
                    return event
        return None

    # PCP

    async def _ask_pcp(self, gateway: str, source: str) -> None:
        """A mapping of the shortest lifetime for a port of ours, removed at once, whatever came of it."""
        network, started_ms = self.context.network, self.context.network.now_ms()
        nonce = secrets.token_bytes(pcp.NONCE_LENGTH)
        address: str | None = None
        detail: str | None = None
        failure: Failure | None = Failure.NO_ANSWER
        rtt_ms: float | None = None
        async with self._socket() as socket:
            port = None if isinstance(socket, Failure) else socket.local[1]
            if isinstance(socket, Failure) or port is None:
                failure = socket if isinstance(socket, Failure) else Failure.LOCAL_ERROR
            else:
                request = pcp.map_request(client=source, nonce=nonce, internal_port=port, lifetime_s=PCP_LIFETIME_S)
                removal = pcp.map_request(client=source, nonce=nonce, internal_port=port, lifetime_s=0)

                def ours(data: bytes) -> bool:
                    answer = _read_pcp(data)
                    return answer is not None and answer.nonce in (None, nonce)

                sent_ms = network.now_ms()
                try:
                    answer = await self._pcp_exchange(socket, gateway, request, ours)
                    if isinstance(answer, Failure):
                        failure = answer
                    else:
                        rtt_ms = max(answer.at_ms - sent_ms, 0.0)
                        address, failure, detail = read_pcp(answer.data)
                finally:
                    # Also when the run is broken off amid the question: nothing of ours may stay on the router.
                    if failure in (None, Failure.NO_ANSWER, Failure.NODATA):
                        socket.send(removal, gateway, pcp.PORT)
                if failure is None:
                    gone = await self._pcp_exchange(socket, gateway, removal, ours)
                    if isinstance(gone, Failure):
                        self.record.add(
                            Note(
                                topic="pcp_map",
                                text=f"the removal of the mapping of UDP port {port} was not confirmed ({gone}); it "
                                f"ends by itself within the lifetime that {gateway} granted",
                            )
                        )
        self._add(PCP, "udp", gateway, pcp.PORT, source, port, address, failure, detail, rtt_ms, started_ms)

    async def _pcp_exchange(
        self, socket: UdpSocket, gateway: str, request: bytes, ours: Callable[[bytes], bool]
    ) -> Datagram | Failure:
        for wait_s in PCP_WAITS_S:
            failure = socket.send(request, gateway, pcp.PORT)
            if failure is not None:
                return failure
            event = await self._answer(socket, gateway, pcp.PORT, min(wait_s, self._rest_s()), ours)
            if isinstance(event, IcmpError):
                return event.failure
            if event is not None:
                return event
        return Failure.NO_ANSWER

    # UPnP

    async def _ask_upnp(self, route: Route) -> None:
        started_ms, gateway = self.context.network.now_ms(), route.gateway
        async with self._socket() as socket, asyncio.TaskGroup() as asking:
            if isinstance(socket, Failure):
                if gateway is not None:
                    self._add_upnp(gateway, ssdp.PORT, route.source_address, failure=socket, started_ms=started_ms)
                return
            failure = socket.send(ssdp.search_request(), ssdp.GROUP, ssdp.PORT)
            await self._listen(socket, route, GROUP_HEAD_START_S, asking)
            if gateway is not None and gateway not in self._devices and self._rest_s() > 0:
                refused = socket.send(ssdp.search_request(unicast_to=gateway), gateway, ssdp.PORT)
                failure = refused if refused is not None else None
            heard = await self._listen(socket, route, self._rest_s(), asking)
            if gateway is not None and gateway not in self._devices:
                failure = heard or failure or Failure.NO_ANSWER
                self._add_upnp(gateway, ssdp.PORT, route.source_address, failure=failure, started_ms=started_ms)

    async def _listen(
        self, socket: UdpSocket, route: Route, wait_s: float, asking: asyncio.TaskGroup
    ) -> Failure | None:
        """Take answers until `wait_s` has passed or the gateway has spoken; an ICMP error of the gateway's ends it."""
        ends_ms = self.context.network.now_ms() + 1000 * min(wait_s, self._rest_s())
        while (rest_s := (ends_ms - self.context.network.now_ms()) / 1000) > 0 and route.gateway not in self._devices:
            for event in await socket.receive(rest_s):
                if isinstance(event, IcmpError):
                    self._spent(event)
                    if event.address == route.gateway:
                        return event.failure
                    continue
                device = self._device(event, route)
                if device is not None:
                    self._devices[device.address] = device
                    asking.create_task(self._ask_device(device, route.source_address))
        return None

    def _device(self, event: Datagram, route: Route) -> _Device | None:
        """The router that answered, if it may be asked: our gateway or a neighbour, and its description on itself."""
        try:
            answer = ssdp.parse_answer(event.data)
        except WireError:
            return None
        if event.address in self._devices or len(self._devices) >= MAX_DEVICES:
            return None
        if event.address != route.gateway and not self._is_neighbour(event.address, route.source_address):
            return None
        if upnp.host_of(answer.location) != event.address:
            self.record.add(
                Note(
                    topic="upnp_location",
                    text=f"{event.address} answered a search with a description that is not on itself: not followed",
                    values={"location": sanitise(answer.location, max_length=DETAIL_LENGTH)},
                )
            )
            return None
        server = sanitise(answer.server, max_length=DETAIL_LENGTH) if answer.server else None
        return _Device(event.address, answer.location, server)

    def _is_neighbour(self, address: str, source: str | None) -> bool:
        for fact in self.record.facts:
            if isinstance(fact, Interface) and fact.address == source and fact.netmask:
                try:
                    network = ipaddress.IPv4Network(f"{source}/{fact.netmask}", strict=False)
                    return ipaddress.IPv4Address(address) in network and address != source
                except ValueError:
                    return False
        return False

    async def _ask_device(self, device: _Device, source: str | None) -> None:
        started_ms = self.context.network.now_ms()
        address, failure, detail, rtt_ms = await self._wan_of(device)
        port = _port_of(device.location)
        self._add_upnp(
            device.address,
            port,
            source,
            address=address,
            failure=failure,
            detail=detail or device.server,
            rtt_ms=rtt_ms,
            started_ms=started_ms,
        )

    async def _wan_of(self, device: _Device) -> tuple[str | None, Failure | None, str | None, float | None]:
        network, asked = self.context.network, self.context.settings.source
        description = await network.http_exchange(
            device.location, timeout_s=self._rest_s(), max_bytes=upnp.MAX_DESCRIPTION_BYTES, source=asked
        )
        if description.failure is not None or description.status != 200:
            failure = description.failure or Failure.HTTP_STATUS
            return None, failure, f"description: {description.detail or f'status {description.status}'}", None
        try:
            services = upnp.wan_services(description.body, device.location)
        except WireError as error:
            return None, Failure.BAD_BODY, f"description: {error}", None
        if not services:
            return None, Failure.NODATA, "no WAN service in its description", None
        answers = [await self._external_address(service, asked) for service in services]
        return next((answer for answer in answers if answer[1] is None), answers[0])

    async def _external_address(
        self, service: upnp.WanService, source: str | None
    ) -> tuple[str | None, Failure | None, str | None, float | None]:
        body, headers = upnp.address_question(service)
        reply = await self.context.network.http_exchange(
            service.control_url,
            body=body,
            headers=headers,
            timeout_s=self._rest_s(),
            max_bytes=upnp.MAX_ANSWER_BYTES,
            source=source,
        )
        if reply.failure is not None:
            return None, reply.failure, reply.detail, reply.rtt_ms
        try:
            answer = upnp.read_answer(reply.body)
        except WireError as error:
            failure = Failure.BAD_BODY if reply.status == 200 else Failure.HTTP_STATUS
            return None, failure, f"status {reply.status}: {error}", reply.rtt_ms
        if answer.error is not None:
            return None, Failure.NODATA, sanitise(answer.error, max_length=DETAIL_LENGTH), reply.rtt_ms
        return *_usable(answer.address or ""), reply.rtt_ms

    # facts

    def _add_upnp(
        self,
        server: str,
        port: int,
        source: str | None,
        *,
        address: str | None = None,
        failure: Failure | None = None,
        detail: str | None = None,
        rtt_ms: float | None = None,
        started_ms: float,
    ) -> None:
        transport = "udp" if port == ssdp.PORT else "tcp"
        self._add(UPNP, transport, server, port, source, None, address, failure, detail, rtt_ms, started_ms)

    def _add(
        self,
        method: str,
        transport: str,
        server: str,
        port: int,
        source: str | None,
        local_port: int | None,
        address: str | None,
        failure: Failure | None,
        detail: str | None,
        rtt_ms: float | None,
        started_ms: float,
    ) -> None:
        self.record.add(
            AddressSeen(
                method=method,
                source=f"router {server}",
                transport=transport,
                server_address=server,
                server_port=port,
                local_address=source,
                local_port=local_port,
                address=address,
                rtt_ms=rtt_ms,
                failure=failure,
                detail=detail,
                duration_ms=round(self.context.network.now_ms() - started_ms, 3),
            ),
            offset_ms=started_ms,
        )


def read_nat_pmp(data: bytes) -> tuple[str | None, Failure | None, str | None]:
    """(address, failure, detail) of an answer. NODATA: the router speaks NAT-PMP and names no address."""
    answer = natpmp.decode_address(data)
    if answer.result == natpmp.Result.NETWORK_FAILURE:
        return None, Failure.NODATA, "it has no address itself (network failure)"
    if answer.address is None:
        return None, Failure.NOT_SUPPORTED, answer.result_name
    return _usable(answer.address)


def read_pcp(data: bytes) -> tuple[str | None, Failure | None, str | None]:
    """(address, failure, detail) of an answer to a MAP request."""
    answer = pcp.decode_map(data)
    if answer.result == pcp.Result.NETWORK_FAILURE:
        return None, Failure.NODATA, "it has no address itself (network failure)"
    if answer.external_address is None:
        return None, Failure.NOT_SUPPORTED, answer.result_name
    return _usable(answer.external_address)


def _usable(address: str) -> tuple[str | None, Failure | None, str | None]:
    """What a router said its address is, if that is one at all: some behind a carrier's NAT say 0.0.0.0, or nothing."""
    if not address:
        return None, Failure.NODATA, "an empty address"
    if not is_ipv4(address):
        return None, Failure.BAD_BODY, f"not an IPv4 address: {sanitise(address, max_length=DETAIL_LENGTH)}"
    if classify(address) in _NO_ADDRESS:
        return None, Failure.NODATA, f"it says {address}"
    if classify(address) in (AddressClass.LOOPBACK, AddressClass.MULTICAST):
        return None, Failure.BAD_BODY, f"it says {address}"
    return address, None, None


def _is_nat_pmp(data: bytes) -> bool:
    try:
        natpmp.decode_address(data)
    except WireError:
        return False
    return True


def _read_pcp(data: bytes) -> pcp.Mapping | None:
    try:
        return pcp.decode_map(data)
    except WireError:
        return None


def _port_of(url: str) -> int:
    authority = url.removeprefix("http://").partition("/")[0]
    return int(authority.partition(":")[2] or 80)
