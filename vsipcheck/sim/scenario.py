"""The simulated internet as data: who sits where, how each party behaves, and the verdicts a run against it must give.

Scenarios are tables of `scenarios.toml`; each one says only how it differs from the healthy one, table by table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast

import msgspec

from vsipcheck.model import FaultDomain, Overall, Status

Protocol = Literal["tcp", "udp"]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Hop(_Table, frozen=True, kw_only=True):
    """A router. A silent one forwards like any other and answers no TTL probe."""

    address: str
    rtt_ms: float
    silent: bool = False


class ExtraInterface(_Table, frozen=True, kw_only=True):
    """An interface of the host that is not on the trunk's path: a container bridge, an overlay, a VPN."""

    name: str
    address: str
    netmask: str


class Host(_Table, frozen=True, kw_only=True):
    """The customer's machine. With an empty `interface` it has no network but loopback."""

    address: str
    netmask: str
    gateway: str
    interface: str
    extra_interfaces: tuple[ExtraInterface, ...] = ()


class Uplink(_Table, frozen=True, kw_only=True):
    """Traffic that leaves by another way than the rest, and so under another public address."""

    public_address: str
    protocol: Protocol
    first_port: int
    last_port: int


class Nat(_Table, frozen=True, kw_only=True):
    """Where the customer's public address lives, and what becomes of ports on the way through.

    `at_hop` counts routers from the host; 0: the address is the host's own, and nothing is translated.
    `ports`: "kept"; "changed", the same for every destination; "by_destination" (RFC 4787 address- and port-dependent).
    `probe_answer`: what that router says to a datagram from inside that is addressed to the public address.
    """

    public_address: str
    at_hop: int
    ports: Literal["kept", "changed", "by_destination"] = "kept"
    probe_answer: Literal["port_unreachable", "silent"] = "port_unreachable"
    uplinks: tuple[Uplink, ...] = ()


class Gateway(_Table, frozen=True, kw_only=True):
    """What the customer's gateway says of itself by NAT-PMP and UPnP, where it speaks these at all.

    An empty `wan_address` is what many say behind a carrier's NAT: none.
    """

    nat_pmp: bool = False
    upnp: bool = False
    wan_address: str = ""


class SipBehaviour(_Table, frozen=True, kw_only=True):
    """How a TCP listener treats those who connect, and their requests.

    `kind`: "answer"; "silent" (reads, never answers); "close" and "reset" (after the first bytes); "close_at_once" and
    "reset_at_once" (after the handshake); "http" (answers as a web server); "endless" (headers without end).
    `alter`: the Via of the answer, or its Call-ID; or what a SIP ALG does that writes the public address over the
    client's in Via: "received", as a NAT's helper, it translates sent-by and `received` of answers back by their value;
    "repaired", it puts back the sent-by that it has changed, and nothing else.
    """

    kind: Literal["answer", "silent", "close", "reset", "close_at_once", "reset_at_once", "http", "endless"]
    status: int = 200
    reason: str = "OK"
    headers: tuple[str, ...] = ()
    provisional: tuple[int, ...] = ()
    delay_ms: float = 0.0
    drip_ms: float | None = None  # pause between the single bytes of the answer
    alter: Literal["branch", "sent_by", "call_id", "received", "repaired"] | None = None
    content_length: int | None = None  # what the header claims; there is never a body
    pong: bool = True  # answers the CRLF CRLF of RFC 5626 §4.4.1


class Service(_Table, frozen=True, kw_only=True):
    """A TCP listener of a target."""

    port: int
    behaviour: SipBehaviour


class Target(_Table, frozen=True, kw_only=True):
    """A host of the provider: the routers between the shared part of the way and itself, and how it answers."""

    hops: tuple[Hop, ...]
    rtt_ms: float
    udp: Literal["silent", "port_unreachable"] = "silent"
    tcp: Literal["silent", "refused"] = "silent"  # on ports without a service
    sip: SipBehaviour | None = None  # on the profile's signalling port
    services: tuple[Service, ...] = ()


class Helpers(_Table, frozen=True, kw_only=True):
    """Where the profile's echo and STUN hosts are: each host name gets the next address that is written here."""

    hops: tuple[Hop, ...]
    rtt_ms: float
    addresses: tuple[str, ...]


class EchoBehaviour(_Table, frozen=True, kw_only=True):
    """What an IP-echo service gives. `text` is the page of "body"; "address" tells where we came from."""

    kind: Literal["address", "body", "silent", "tls_failed"]
    status: int = 200
    text: str = ""


class StunBehaviour(_Table, frozen=True, kw_only=True):
    """What a STUN server gives: the mapped address, or an answer with somebody else's transaction id, or nothing."""

    kind: Literal["answer", "wrong_id", "silent", "error"]


class Name(_Table, frozen=True, kw_only=True):
    """What the true DNS holds for a name."""

    addresses: tuple[str, ...]
    ttl_s: int = 60
    cname: tuple[str, ...] = ()  # the chain from the name to the owner of the addresses


class DnsServer(_Table, frozen=True, kw_only=True):
    """A nameserver. Only the configured ones are in the host's resolv.conf; the others answer whoever asks them."""

    address: str
    rtt_ms: float
    configured: bool = True


class DnsRule(_Table, frozen=True, kw_only=True):
    """An exception from the truth; the first that matches server and name counts.

    `names`: "trunk" (the profile's signalling names), "helper" (all other names), "any". `servers` empty: all.
    `truncated`: the answer is whole over TCP alone. `wrong_id`, `other_question`: an answer to no question of ours.
    """

    names: Literal["trunk", "helper", "any"]
    behaviour: Literal[
        "nxdomain", "nodata", "servfail", "refused", "silent", "hijack", "truncated", "wrong_id", "other_question"
    ]
    servers: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()  # of a hijack


class Dns(_Table, frozen=True, kw_only=True):
    """The DNS: the truth, who may be asked, and where they depart from it."""

    servers: tuple[DnsServer, ...]
    names: dict[str, Name]
    rules: tuple[DnsRule, ...] = ()
    authority: Literal["answers", "silent"] = "answers"  # the servers of the root, of the TLD and of the zones
    intercepted_by: str | None = None  # the nameserver that answers whatever goes to port 53, wherever it was meant for


class Block(_Table, frozen=True, kw_only=True):
    """A filter at router `hop` (0: the host's own firewall) on what it would forward.

    The router answers for TTLs that end at it, and then: "drop"; "prohibited" (ICMP type 3 code 13); "reset" (TCP);
    "portal" (TCP connections are taken by the router in the target's place).
    """

    hop: int
    action: Literal["drop", "prohibited", "reset", "portal"]
    protocol: Protocol
    first_port: int = 1
    last_port: int = 65535
    addresses: tuple[str, ...] = ()  # empty: towards any address


class Expected(_Table, frozen=True, kw_only=True):
    """A finding or checklist row that the run must give. Without `target` it is meant for every one of that id."""

    id: str
    status: Status
    target: str | None = None
    by: FaultDomain | None = None  # the party that has to act, where it can be known


class Expectation(_Table, frozen=True, kw_only=True):
    """What a whole run against the scenario must end with."""

    exit_code: int
    overall: Overall
    findings: tuple[Expected, ...] = ()
    rows: tuple[Expected, ...] = ()


class Scenario(_Table, frozen=True, kw_only=True):
    """One situation of one customer. Every name and address in it is a stand-in, the profile's own ones apart."""

    name: str
    about: str
    host: Host
    routers: tuple[Hop, ...]  # the part of the way that all destinations share, from the host's gateway on
    routers_answer: bool  # False: no router sends ICMP at all
    nat: Nat
    blocks: tuple[Block, ...]
    targets: dict[str, Target]  # by address
    elsewhere: Target  # any address that is written nowhere
    helpers: Helpers
    echo: dict[str, EchoBehaviour]  # by the service's id in the profile; "*": the others
    stun: dict[str, StunBehaviour]  # by the server's id; "*": the others
    dns: Dns
    expect: Expectation
    gateway: Gateway = Gateway()


@cache
def load_scenarios() -> Mapping[str, Scenario]:
    """All scenarios by name, in the order of the file. Raises msgspec.ValidationError for a wrong table."""
    tables = msgspec.toml.decode(files("vsipcheck.sim").joinpath("scenarios.toml").read_bytes())
    healthy: dict[str, Any] = tables["healthy"]
    return {
        name: msgspec.convert(_merge(healthy, {"name": name, **table}), Scenario)
        for name, table in cast(dict[str, dict[str, Any]], tables).items()
    }


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`: tables are merged key by key, everything else is replaced; `expect` is never inherited."""
    merged = dict(base)
    for key, value in changes.items():
        inherited = merged.get(key)
        if key != "expect" and isinstance(inherited, dict) and isinstance(value, dict):
            merged[key] = _merge(inherited, value)
        else:
            merged[key] = value
    return merged
