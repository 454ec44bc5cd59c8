"""What becomes of a packet: the routers it passes, the filters it meets, who answers, and from which public address."""

from __future__ import annotations

from binascii import crc32
from dataclasses import dataclass
from enum import Enum

from vsipcheck.model import Icmp
from vsipcheck.sim.scenario import Block, Hop, Protocol, Scenario, Target

# Ephemeral ports as a NAT hands them out: above the well-known ones and below the ports that hosts prefer.
_FIRST_MAPPED_PORT = 1024
_MAPPED_PORTS = 30000
DNS_PORT = 53


class End(Enum):
    """How a packet's way ends."""

    ARRIVED = "arrived"  # at the target, which hears it
    LOST = "lost"  # nothing comes back
    ICMP = "icmp"  # somebody on the way, or the target, sends an ICMP error
    RESET = "reset"  # TCP: RST
    PORTAL = "portal"  # TCP: a router opens the connection in the target's place
    DENIED = "denied"  # this host's own firewall refuses to send
    NO_ROUTE = "no_route"


@dataclass(frozen=True, slots=True)
class Fate:
    """The end of a packet's way, and how long the answer takes where there is one."""

    end: End
    rtt_ms: float = 0.0
    icmp: Icmp | None = None


class Paths:
    """The ways of one scenario's internet. `helper_addresses` are hosts of the profile's echo and STUN services."""

    def __init__(self, scenario: Scenario, helper_addresses: frozenset[str], signalling_port: int) -> None:
        self._scenario = scenario
        self._helper_addresses = helper_addresses
        self._signalling_port = signalling_port
        self._nat = scenario.nat
        self._nameservers = {server.address: server for server in scenario.dns.servers}

    def fate(self, protocol: Protocol, address: str, port: int, ttl: int | None = None) -> Fate:
        """What a packet to (address, port) meets. `ttl` None: enough to get there."""
        if not self._scenario.host.interface:
            return Fate(End.NO_ROUTE)
        if address == self._scenario.host.address:
            return self._answer_of(_CLOSED, protocol, address, port)
        hops, target = self.way(address)
        for number in range(len(hops) + 1):
            if number and ttl == number:
                return self._expired(hops[number - 1])
            block = self._block_at(number, protocol, address, port)
            if block is not None:
                return self._blocked(block, hops)
        return self._answer_of(target, protocol, address, port)

    def stays_here(self, protocol: Protocol, address: str, port: int) -> bool:
        """Whether this host's own firewall drops it."""
        return self._block_at(0, protocol, address, port) is not None

    def way(self, address: str) -> tuple[tuple[Hop, ...], Target]:
        """The routers towards `address`, and who sits there. A router's own address lies at its place."""
        shared = self._scenario.routers
        if self.is_ours(address):
            return shared[: self._nat.at_hop - 1], self._own_public(shared[self._nat.at_hop - 1])
        for place, hop in enumerate(shared):
            if hop.address == address:
                return shared[:place], Target(hops=(), rtt_ms=hop.rtt_ms, udp="port_unreachable", tcp="refused")
        if address in self._nameservers:
            return shared, Target(hops=(), rtt_ms=self._nameservers[address].rtt_ms)
        target = self._scenario.targets.get(address)
        if target is None and address in self._helper_addresses:
            helpers = self._scenario.helpers
            target = Target(hops=helpers.hops, rtt_ms=helpers.rtt_ms)
        target = target or self._scenario.elsewhere
        return shared + target.hops, target

    def is_ours(self, address: str) -> bool:
        """Whether it is a public address of the customer's that lives on a router."""
        return self._nat.at_hop > 0 and address in {
            self._nat.public_address,
            *(uplink.public_address for uplink in self._nat.uplinks),
        }

    def mapped(self, protocol: Protocol, local_port: int, address: str, port: int) -> tuple[str, int]:
        """The (address, port) from which (address, port) sees what we send from `local_port`."""
        if self._nat.at_hop == 0:
            return self._scenario.host.address, local_port
        public = self._nat.public_address
        for uplink in self._nat.uplinks:
            if uplink.protocol == protocol and uplink.first_port <= port <= uplink.last_port:
                public = uplink.public_address
        if self._nat.ports == "kept":
            return public, local_port
        salt = f"{protocol}:{local_port}"
        if self._nat.ports == "by_destination":
            salt += f":{address}:{port}"
        mapped = _FIRST_MAPPED_PORT + crc32(salt.encode()) % _MAPPED_PORTS
        # A NAT that changes ports may hit the old one by chance, but a scenario must be the same in every run.
        return public, mapped if mapped != local_port else mapped + 1

    def _own_public(self, router: Hop) -> Target:
        return Target(
            hops=(),
            rtt_ms=router.rtt_ms,
            udp="silent" if router.silent or not self._scenario.routers_answer else self._nat.probe_answer,
            tcp="silent",
        )

    def _expired(self, hop: Hop) -> Fate:
        return self._icmp(hop, 11, 0)

    def _icmp(self, hop: Hop, kind: int, code: int) -> Fate:
        if hop.silent or not self._scenario.routers_answer:
            return Fate(End.LOST)
        return Fate(End.ICMP, hop.rtt_ms, Icmp(address=hop.address, type=kind, code=code))

    def _block_at(self, number: int, protocol: Protocol, address: str, port: int) -> Block | None:
        for block in self._scenario.blocks:
            if (
                block.hop == number
                and block.protocol == protocol
                and block.first_port <= port <= block.last_port
                and (not block.addresses or address in block.addresses)
            ):
                return block
        return None

    def _blocked(self, block: Block, hops: tuple[Hop, ...]) -> Fate:
        if block.hop == 0:
            # The host's own firewall: UDP is refused on send; a SYN that it drops looks lost to us.
            return Fate(End.DENIED if block.protocol == "udp" else End.LOST)
        hop = hops[block.hop - 1]
        match block.action:
            case "drop":
                return Fate(End.LOST)
            case "prohibited":
                return self._icmp(hop, 3, 13)
            case "reset":
                return Fate(End.RESET, hop.rtt_ms)
            case "portal":
                return Fate(End.PORTAL, hop.rtt_ms)

    def _answer_of(self, target: Target, protocol: Protocol, address: str, port: int) -> Fate:
        if address in self._nameservers and port == DNS_PORT:
            return Fate(End.ARRIVED, target.rtt_ms)
        if protocol == "udp":
            if address in self._helper_addresses or target.udp == "silent":
                return Fate(End.ARRIVED, target.rtt_ms)
            return Fate(End.ICMP, target.rtt_ms, Icmp(address=address, type=3, code=3))
        listens = (target.sip is not None and port == self._signalling_port) or any(
            service.port == port for service in target.services
        )
        if listens or address in self._helper_addresses:
            return Fate(End.ARRIVED, target.rtt_ms)
        return Fate(End.RESET, target.rtt_ms) if target.tcp == "refused" else Fate(End.LOST)


_CLOSED = Target(hops=(), rtt_ms=0.05, udp="port_unreachable", tcp="refused")
