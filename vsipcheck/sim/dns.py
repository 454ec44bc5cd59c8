"""Nameservers on 127.0.0.1, over UDP and TCP: the scenario's truth and its exceptions, encoded by dnspython."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from vsipcheck.sim.scenario import Dns, DnsRule, DnsServer, Name

LOOPBACK = "127.0.0.1"
_TAKEN_PORT_RETRIES = 20


class Zone:
    """What every nameserver of the scenario would say if it told the truth. `trunk` are the profile's own names."""

    def __init__(self, dns_data: Dns, helper_names: dict[str, Name], trunk: frozenset[str]) -> None:
        self._names = {**helper_names, **dns_data.names}
        self._rules = dns_data.rules
        self._trunk = trunk

    def rule_for(self, server: str, name: str) -> DnsRule | None:
        """The exception that `server` makes for `name`."""
        group = "trunk" if name in self._trunk else "helper"
        for rule in self._rules:
            if rule.names in (group, "any") and (not rule.servers or server in rule.servers):
                return rule
        return None

    def true_addresses(self, name: str) -> tuple[str, ...]:
        known = self._names.get(name)
        return known.addresses if known else ()

    def respond(self, server: str, wire: bytes, transport: str) -> bytes | None:
        """The response message that `server` gives to a query; None if it gives none."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        if len(query.question) != 1:
            return None
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        rule = self.rule_for(server, name)
        behaviour = rule.behaviour if rule else "truth"
        if behaviour == "silent":
            return None
        response = dns.message.make_response(query, recursion_available=True)
        if behaviour == "servfail":
            response.set_rcode(dns.rcode.SERVFAIL)
        elif behaviour == "refused":
            response.set_rcode(dns.rcode.REFUSED)
        elif behaviour == "nxdomain":
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif behaviour == "truncated" and transport == "udp":
            response.flags |= dns.flags.TC
        elif behaviour == "hijack" and rule is not None:
            self._add_answer(response, name, question.rdtype, Name(addresses=rule.addresses, ttl_s=5))
        elif behaviour != "nodata":
            known = self._names.get(name)
            if known is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
            else:
                self._add_answer(response, name, question.rdtype, known)
        if behaviour == "wrong_id":
            response.id ^= 0x5555
        if behaviour == "other_question":
            other = dns.name.from_text("somebody.elses.example")
            response.question = [dns.rrset.RRset(other, question.rdclass, question.rdtype)]
        return response.to_wire()

    @staticmethod
    def _add_answer(response: dns.message.Message, name: str, kind: dns.rdatatype.RdataType, known: Name) -> None:
        if kind not in (dns.rdatatype.A, dns.rdatatype.AAAA):
            return
        owner = name
        for alias in known.cname:
            response.answer.append(dns.rrset.from_text(f"{owner}.", known.ttl_s, "IN", "CNAME", f"{alias}."))
            owner = alias
        wanted = [a for a in known.addresses if (":" in a) == (kind == dns.rdatatype.AAAA)]
        if wanted:
            response.answer.append(dns.rrset.from_text(f"{owner}.", known.ttl_s, "IN", kind.name, *wanted))


ROOT_SERVERS = (
    *("198.41.0.4", "170.247.170.2", "192.33.4.12", "199.7.91.13", "192.203.230.10", "192.5.5.241", "192.112.36.4"),
    *("198.97.190.53", "192.36.148.17", "192.58.128.30", "193.0.14.129", "199.7.83.42", "202.12.27.33"),
)
TLD_SERVER = "192.5.6.30"
ZONE_SERVERS = ("205.251.192.10", "205.251.196.20")


class Authority(Zone):
    """What the servers of the root, of one TLD and of the zones below it say: the truth, without recursion.

    Every name is in the zone of its last two labels, and all zones have the same servers.
    """

    def respond(self, server: str, wire: bytes, transport: str) -> bytes | None:
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        if len(query.question) != 1:
            return None
        labels = query.question[0].name.to_text(omit_final_dot=True).lower().split(".")
        if server in ZONE_SERVERS:
            whole = dns.message.from_wire(super().respond(server, wire, transport) or b"")
            whole.flags |= dns.flags.AA
            whole.flags &= ~dns.flags.RA
            return whole.to_wire()
        below = ".".join(labels[-2:]) if server == TLD_SERVER else labels[-1]
        servers = ZONE_SERVERS if server == TLD_SERVER else (TLD_SERVER,)
        response = dns.message.make_response(query)
        names = [f"ns{number}.{below}." for number in range(len(servers))]
        response.authority.append(dns.rrset.from_text(f"{below}.", 86400, "IN", "NS", *names))
        for name, address in zip(names, servers, strict=True):
            response.additional.append(dns.rrset.from_text(name, 86400, "IN", "A", address))
        return response.to_wire()


class NameserverListener(asyncio.DatagramProtocol):
    """One nameserver of the scenario, on one loopback port for both transports."""

    def __init__(self, server: DnsServer, zone: Zone) -> None:
        self.address = server.address
        self.port = 0
        self._rtt_s = server.rtt_ms / 1000
        self._zone = zone
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for attempt in range(_TAKEN_PORT_RETRIES):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.setblocking(False)
            udp.bind((LOOPBACK, 0))
            self.port = udp.getsockname()[1]
            try:
                self._tcp = await asyncio.start_server(self._accept, LOOPBACK, self.port)
            except OSError:
                # The kernel picked the UDP port; the same number may be taken in TCP.
                udp.close()
                if attempt == _TAKEN_PORT_RETRIES - 1:
                    raise
                continue
            self._udp, _ = await loop.create_datagram_endpoint(lambda: self, sock=udp)
            return

    async def close(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._keep(asyncio.create_task(self._answer_datagram(data, addr)))

    def error_received(self, exc: Exception) -> None:
        """A client that has gone: nothing to do."""

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_datagram(self, data: bytes, addr: tuple[str, int]) -> None:
        response = self._zone.respond(self.address, data, "udp")
        await asyncio.sleep(self._rtt_s)
        if response is not None and self._udp is not None and not self._udp.is_closing():
            self._udp.sendto(response, addr)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(asyncio.create_task(self._answer_stream(reader, writer)))

    async def _answer_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                response = self._zone.respond(self.address, await reader.readexactly(length), "tcp")
                await asyncio.sleep(self._rtt_s)
                if response is not None:
                    writer.write(len(response).to_bytes(2, "big") + response)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
