"""A name asked of the zone's own servers, found from the root servers down, so that no resolver has a say in it."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.dns.answers import ROOT_SERVERS_SOURCE, WALK_TOPIC
from vsipcheck.checks.dns.query import Question, ask_for_message
from vsipcheck.model import Failure, Lookup, Note
from vsipcheck.net import Nameserver

if TYPE_CHECKING:
    import dns.message
    import dns.name

# https://www.internic.net/domain/named.root, as of 2024. They change once in a decade, and any one of them will do.
ROOT_SERVERS = {
    "a.root-servers.net": "198.41.0.4",
    "b.root-servers.net": "170.247.170.2",
    "c.root-servers.net": "192.33.4.12",
    "d.root-servers.net": "199.7.91.13",
    "e.root-servers.net": "192.203.230.10",
    "f.root-servers.net": "192.5.5.241",
    "g.root-servers.net": "192.112.36.4",
    "h.root-servers.net": "198.97.190.53",
    "i.root-servers.net": "192.36.148.17",
    "j.root-servers.net": "192.58.128.30",
    "k.root-servers.net": "193.0.14.129",
    "l.root-servers.net": "199.7.83.42",
    "m.root-servers.net": "202.12.27.33",
}
DNS_PORT = 53
# One walk for all names of a run, and what a zone's servers are asked again for: ours. A resolver with an empty cache
# sends as many.
MAX_QUERIES = 16
SERVERS_ASKED = 3  # of one zone
MAX_STEPS = 10  # referrals and aliases on the way to one name
MAX_DEPTH = 2  # names of nameservers that have to be looked up themselves
# The next server is asked when one has been silent for that long, as resolvers do.
NEXT_AFTER_S = 0.4
QUERY_TIMEOUT_S = 1.5


@dataclass(frozen=True, slots=True)
class _Server:
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class _Reached:
    """An answer that ends a step: the message, who gave it, and as which zone's server."""

    message: dns.message.Message
    lookup: Lookup
    server: _Server
    zone: dns.name.Name


class Walk:
    """Finds what authoritative servers say, remembering the delegations it has seen. Facts are recorded as they come.

    Every query is sent without RD. A `dns_walk` note says for each name how the walk ended: "answered" or "denied" by a
    server that says it is authoritative (AA), "not_authoritative" where an answer came without that, "silent",
    "refused" (an error code), "lame" (a referral that leads nowhere), "too_long".
    """

    def __init__(self, context: Context, record: Recorder, deadline_ms: float) -> None:
        import dns.name

        self._context = context
        self._record = record
        self._deadline_ms = deadline_ms
        roots = [_Server(name, address) for name, address in ROOT_SERVERS.items()]
        first = secrets.randbelow(len(roots))  # no root server is everybody's favourite
        self._zones: dict[dns.name.Name, list[_Server]] = {dns.name.root: roots[first:] + roots[:first]}
        self._asked = 0

    async def find(self, name: str, record_type: str = "A") -> str:
        """How the walk to `name` ended; the zone's other servers are then asked as well."""
        target = _parse(name)
        if target is None:
            return "not_a_name"
        asked_before = self._asked
        ended, reached = await self._follow(target, record_type, 0)
        servers: list[str] = []
        if reached is not None:
            servers = [reached.server.address]
            others = [server for server in self._zones[reached.zone] if server.address != reached.server.address]
            question = self._question(reached.message.question[0].name, record_type)
            asked = [
                self._ask(question, server, reached.zone)
                for server in others[: SERVERS_ASKED - 1]
                if self._asked < MAX_QUERIES
            ]
            servers += [server.address for server in others[: len(asked)]]
            await asyncio.gather(*asked)
        zone = reached.zone.to_text() if reached is not None else None
        self._record.add(
            Note(
                topic=WALK_TOPIC,
                text=f"{name}: {ended}" + (f", by the servers of {zone}" if zone else ""),
                values={
                    "name": name,
                    "ended": ended,
                    "zone": zone,
                    "servers": servers,
                    "queries": self._asked - asked_before,
                },
            )
        )
        return ended

    async def ask_zone_of(self, name: str, record_type: str) -> None:
        """Ask one server of the closest zone known so far about `name`."""
        import dns.name

        target = _parse(name)
        if target is None:
            return
        zone = self._closest(target)
        for server in self._zones[zone][:1]:
            if self._asked < MAX_QUERIES and zone != dns.name.root:
                await self._ask(self._question(target, record_type), server, zone)

    def _closest(self, target: dns.name.Name) -> dns.name.Name:
        return max((zone for zone in self._zones if target.is_subdomain(zone)), key=len)

    @staticmethod
    def _question(target: dns.name.Name, record_type: str) -> Question:
        return Question(target.to_text(omit_final_dot=True), record_type, "authority", recursion=False)

    async def _follow(self, target: dns.name.Name, record_type: str, depth: int) -> tuple[str, _Reached | None]:
        import dns.flags
        import dns.rcode

        for _ in range(MAX_STEPS):
            zone = self._closest(target)
            ended, reached = await self._step(zone, self._question(target, record_type), depth)
            if reached is None:
                return ended, None
            message = reached.message
            if (child := self._delegation(message, zone, target)) is not None:
                if not await self._learn(child, message, depth):
                    return "lame", None
                continue
            if not message.flags & dns.flags.AA:
                return "not_authoritative", reached
            if message.rcode() == dns.rcode.NXDOMAIN:
                return "denied", reached
            if reached.lookup.addresses:
                return "answered", reached
            if not (alias := reached.lookup.cname_chain):
                return "denied", reached
            target = dns.name.from_text(alias[-1])
        return "too_long", None

    async def _step(self, zone: dns.name.Name, question: Question, depth: int) -> tuple[str, _Reached | None]:
        """The first useful answer of the zone's servers, asked one after the other, each given a head start."""
        waiting = list(self._zones[zone][:SERVERS_ASKED])
        pending: set[asyncio.Task[_Reached | Failure | None]] = set()
        failures: list[Failure | None] = []
        try:
            while waiting or pending:
                if waiting and self._asked < MAX_QUERIES and self._left_s() > 0:
                    pending.add(asyncio.create_task(self._ask(question, waiting.pop(0), zone)))
                elif not pending and not failures:
                    return "too_long", None
                elif not pending:
                    break
                else:
                    waiting = []
                done, pending = await asyncio.wait(
                    pending, timeout=NEXT_AFTER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    outcome = task.result()
                    if isinstance(outcome, _Reached):
                        return "reached", outcome
                    failures.append(outcome)
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        errors = [failure for failure in failures if failure in _SAID_NO]
        return ("refused" if errors else "silent"), None

    async def _ask(self, question: Question, server: _Server, zone: dns.name.Name) -> _Reached | Failure | None:
        """The server's answer, or what failed. An error code, or a referral upwards, is no answer."""
        import dns.rcode

        self._asked += 1
        where = f"servers of {zone}" if len(zone) > 1 else ROOT_SERVERS_SOURCE
        nameserver = Nameserver(server.address, DNS_PORT, where)
        timeout_s = min(QUERY_TIMEOUT_S, self._left_s())
        lookup, message = await ask_for_message(self._context, self._record, question, nameserver, timeout_s)
        if message is None or message.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return lookup.failure
        return _Reached(message, lookup, server, zone)

    def _left_s(self) -> float:
        return (self._deadline_ms - self._context.network.now_ms()) / 1000

    @staticmethod
    def _delegation(message: dns.message.Message, zone: dns.name.Name, target: dns.name.Name) -> dns.name.Name | None:
        """The zone that a referral leads to: below `zone` and at or above the name; None for any other answer."""
        import dns.flags
        import dns.rdatatype

        if message.flags & dns.flags.AA or message.answer:
            return None
        for rrset in message.authority:
            below = rrset.name.is_subdomain(zone) and rrset.name != zone
            if rrset.rdtype == dns.rdatatype.NS and below and target.is_subdomain(rrset.name):
                return rrset.name
        return None

    async def _learn(self, child: dns.name.Name, message: dns.message.Message, depth: int) -> bool:
        """Whether any server of the zone `child` has an address, by the referral's glue or by asking for it."""
        import dns.rdatatype

        named = [
            rdata.target
            for rrset in message.authority
            if rrset.rdtype == dns.rdatatype.NS and rrset.name == child
            for rdata in rrset
        ]
        glue = [
            _Server(rrset.name.to_text(), rdata.address)
            for rrset in message.additional
            if rrset.rdtype == dns.rdatatype.A and rrset.name in named
            for rdata in rrset
        ]
        if not glue and depth < MAX_DEPTH:
            for nameserver in named[:SERVERS_ASKED]:
                _, reached = await self._follow(nameserver, "A", depth + 1)
                if reached is not None and reached.lookup.addresses:
                    glue += [_Server(nameserver.to_text(), address) for address in reached.lookup.addresses]
                    break
        if glue:
            self._zones[child] = glue
        return bool(glue)


def _parse(name: str) -> dns.name.Name | None:
    """The name as DNS carries it; None for one that it cannot."""
    import dns.exception
    import dns.name

    try:
        return dns.name.from_text(name)
    except dns.exception.DNSException:
        return None


_SAID_NO = frozenset({Failure.SERVFAIL, Failure.DNS_REFUSED, Failure.DNS_ERROR})
