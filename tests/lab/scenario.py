"""One customer's situation as data: how the site is built, what the networks on the way do, how the far ends behave.

The names and addresses are the real ones of the default profile, where the profile has them; the others are globally
routable by their look, because a tool under test has opinions about private and documentation space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IN2 = "pstn.in2.exotel.com"
IN4 = "pstn.in4.exotel.com"
SIP_PORT = 5070
IN2_ADDRESS = "182.76.143.101"
IN4_ADDRESS = "3.108.10.20"
MUMBAI_MEDIA = ("182.76.143.61", "122.15.8.184")
KARNATAKA_MEDIA = ("14.194.10.247", "61.246.82.75")
MEDIA = MUMBAI_MEDIA + KARNATAKA_MEDIA

PUBLIC = "49.36.10.7"
"""The customer's public address, wherever it lives: on the edge's WAN side, at the carrier's NAT, on the host."""

RESOLVER = "49.44.0.53"
SECOND_RESOLVER = "49.44.0.54"
REFERENCE_RESOLVERS = ("8.8.8.8", "1.1.1.1", "9.9.9.9")

STUN = {
    "stun.l.google.com": ("74.125.250.129", 19302),
    "stun.cloudflare.com": ("162.159.207.0", 3478),
    "stun.nextcloud.com": ("159.69.191.124", 3478),
}
ECHO = {
    "api.ipify.org": "104.26.12.205",
    "checkip.amazonaws.com": "52.204.150.30",
    "icanhazip.com": "104.16.184.241",
    "ipv4.icanhazip.com": "104.16.185.241",
    "ifconfig.co": "104.21.54.91",
}

Site = Literal["inner_firewall", "router", "direct"]
Nat = Literal["masquerade", "symmetric", "remap", "one_to_one", "none"]
Chain = Literal["prerouting", "input", "forward", "output"]
Media = Literal["silent", "stealth", "unreachable", "answering"]


@dataclass(frozen=True)
class Rule:
    """An nft rule at a node. Interfaces: `uplink` leads to the core, every other one is named after the node below."""

    node: str
    chain: Chain
    text: str


@dataclass(frozen=True)
class Kamailio:
    """Kamailio on TCP 5070. `drop` leaves OPTIONS unanswered; its core still answers the CRLF ping of RFC 5626."""

    status: int = 200
    reason: str = "Keepalive"
    headers: tuple[str, ...] = ()
    delay_ms: int = 0
    drop: bool = False


@dataclass(frozen=True)
class Answerer:
    """A small listener on TCP 5070 that is no SIP server, or a hostile one: the modes are in `answerers.py`."""

    mode: str


@dataclass(frozen=True)
class Resolver:
    """bind9 as the ISP's resolver. `records` replace what the world's zone has for a name; none at all is NXDOMAIN."""

    records: tuple[tuple[str, tuple[str, ...]], ...] = ()
    broken_zones: tuple[str, ...] = ()
    """Zones whose file can't be read: SERVFAIL for every name below."""
    udp_limit: int = 1232
    """A longer answer is truncated and has to be asked for again over TCP."""


@dataclass(frozen=True)
class Scenario:
    """Healthy by default: a port-preserving NAT at hop 2, everything answers, media hosts ignore UDP silently."""

    site: Site = "inner_firewall"
    """`inner_firewall`: host, firewall (hop 1), edge (2). `router`: host, edge. `direct`: host on the ISP's line."""
    nat: Nat = "masquerade"
    """What the edge does; with `site="direct"` there is none and the ISP's first router does it, if anybody."""
    cgn: Literal["100.64", "10"] | None = None
    """The ISP's access line carries addresses of this space, and its first router translates (once more)."""
    cgn_nat: Nat = "masquerade"
    sip_alg: bool = False
    """The edge rewrites SIP on TCP 5070 with the kernel's own helper."""
    rules: tuple[Rule, ...] = ()
    in2: Kamailio | Answerer | None = Kamailio()
    in4: Kamailio | Answerer | None = Kamailio()
    """None: nothing listens and the kernel answers with RST."""
    media: Media | tuple[tuple[str, Media], ...] = "silent"
    """`silent` drops UDP, `stealth` drops everything, `unreachable` answers by ICMP, `answering` sends UDP back."""
    resolver: Resolver = Resolver()
    second_resolver: Resolver = Resolver()
    """Listens too, but is asked only if `nameservers` says so."""
    nameservers: tuple[str, ...] = (RESOLVER,)
    hosts: str = "127.0.0.1 localhost\n::1 localhost\n"
    echo: str = "plain"
    stun: bool = True
    default_route: bool = True


def loss(node: str, percent: int) -> Rule:
    """Random loss of whatever that node forwards, in each direction."""
    return Rule(node, "forward", f"numgen random mod 100 < {percent} drop")


def no_time_exceeded(*nodes: str) -> tuple[Rule, ...]:
    """Routers that answer no TTL probe."""
    return tuple(Rule(node, "output", "icmp type time-exceeded drop") for node in nodes)


def both_names(*records: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The same records for both signalling names; none makes them NXDOMAIN."""
    return ((IN2, records), (IN4, records))
