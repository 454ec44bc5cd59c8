"""The provider's values: what is checked, and against what. Read from dated TOML by `vsipcheck.profiles`."""

from __future__ import annotations

from typing import Literal

import msgspec


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Source(_Table, frozen=True, kw_only=True):
    """Where values come from. `ours` marks a choice of this project, not the provider's word."""

    title: str
    dated: str  # ISO date on which the values were read there
    ours: bool = False
    section: str | None = None
    url: str | None = None


class PoP(_Table, frozen=True, kw_only=True):
    """One signalling point of presence."""

    id: str
    region: str
    fqdn: str
    source: str
    addresses: tuple[str, ...] = ()  # dated addresses, where the provider publishes them; empty: none published


class MediaAddress(_Table, frozen=True, kw_only=True):
    """One media address of the provider."""

    address: str
    region: str
    source: str


class Signalling(_Table, frozen=True, kw_only=True):
    """How SIP reaches the provider."""

    transport: Literal["tcp"]
    port: int
    domain_pattern: str  # `{account_sid}` stands for the account's id
    calls_per_minute: int
    authentication: str
    registration: bool
    source: str
    pops: tuple[PoP, ...]
    in_dialog_port: int | None = None  # the Record-Route of the provider's own requests
    customer_port: int | None = None  # the port of the customer's PBX that the provider dials


class Media(_Table, frozen=True, kw_only=True):
    """How RTP reaches the provider."""

    transport: Literal["udp"]
    first_port: int
    last_port: int
    codecs: tuple[str, ...]  # in order of preference
    source: str
    addresses: tuple[MediaAddress, ...]


class PreCheck(_Table, frozen=True, kw_only=True):
    """One line of the guide's best practices. `row` is the checklist row that answers it."""

    row: str
    stage: Literal["before", "during", "after"]
    section: str
    says: str  # the fact, in our words
    source: str


class Trouble(_Table, frozen=True, kw_only=True):
    """One row of the guide's troubleshooting table, with the SIP status codes it speaks of."""

    id: str
    issue: str
    cause: str
    resolution: str
    source: str
    codes: tuple[int, ...] = ()


class HeaderRow(_Table, frozen=True, kw_only=True):
    """One header field of an INVITE, as the provider's table for one direction has it. The names "Request-URI" and
    "SDP" stand for the request line's URI and the body."""

    direction: Literal["from_provider", "to_provider"]
    name: str
    mandatory: bool
    means: str  # in our words
    source: str


class EchoService(_Table, frozen=True, kw_only=True):
    """An HTTPS service that answers with the address it sees."""

    id: str
    url: str
    operator: str
    source: str
    format: Literal["text", "json"] = "text"
    json_key: str | None = None


class StunServer(_Table, frozen=True, kw_only=True):
    """A STUN server (RFC 8489 Binding over UDP)."""

    id: str
    host: str
    port: int
    operator: str
    source: str


class Controls(_Table, frozen=True, kw_only=True):
    """Ports outside the media range whose probes show whether a path carries anything at all."""

    udp_ports: tuple[int, ...]
    tcp_ports: tuple[int, ...]
    source: str


class Support(_Table, frozen=True, kw_only=True):
    """Whom to ask, and what they want to be told."""

    url: str
    wants: tuple[str, ...]
    source: str


class Profile(_Table, frozen=True, kw_only=True):
    """Everything the checks know about the provider. Ports are inclusive ranges."""

    schema: Literal["vsipcheck.profile/1"]
    name: str
    title: str
    provider: str
    release: str  # "alpha", ...
    sla: bool
    dated: str
    sources: dict[str, Source]
    signalling: Signalling
    media: Media
    controls: Controls
    prechecks: tuple[PreCheck, ...] = ()
    troubleshooting: tuple[Trouble, ...] = ()
    headers: tuple[HeaderRow, ...] = ()
    echo_services: tuple[EchoService, ...] = ()
    stun_servers: tuple[StunServer, ...] = ()
    support: Support | None = None
