"""The trunk as a configuration describes it, in words that no dialect of configuration owns."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from vsipcheck.checks.config.files import Dialect
from vsipcheck.checks.config.patch import Edit, insert_after, replace_line
from vsipcheck.model import Profile
from vsipcheck.wire.asterisk import Place

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SIP_PORT = 5060  # of all three programs, where none is named

_PLACEHOLDER = re.compile(
    r"<[^>]*>|\bYOUR[_-]|\b(?:x{3,}|changeme)\b|\baccount[_-]?sid\b|\bx\.x\.x\.x\b", re.IGNORECASE
)
_XML_VALUE = re.compile(r"(\bvalue\s*=\s*)(\"[^\"]*\"|'[^']*')")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting in effect. Without a place nothing is written, and `value` is the program's own default.

    `own`: it stands in the section that it is about, not in a template or a section for all.
    """

    key: str
    value: str | None
    place: Place | None = None
    raw: str | None = None
    own: bool = False

    @property
    def written(self) -> bool:
        return self.place is not None

    def __str__(self) -> str:
        """As a person would quote it."""
        if self.value is None:
            return f"no {self.key}"
        return f"{self.key} = {self.value}" if self.written else f"no {self.key}, which means {self.value}"


@dataclass(frozen=True, slots=True)
class Switch:
    """A setting that is on, off, or None where only the program's circumstances say."""

    on: bool | None
    setting: Setting


@dataclass(frozen=True, slots=True)
class Home:
    """Where settings of one thing are written: behind line `end` of an Asterisk section, before it in XML."""

    path: str
    end: int
    xml: bool = False
    indent: str = ""

    def write(self, *values: tuple[str, str], over: Sequence[Setting | None] = ()) -> tuple[Edit, ...]:
        """Have each key say its value: in the line of `over` that sets it here, or in a new line."""
        edits: list[Edit] = []
        new: list[str] = []
        for index, (key, value) in enumerate(values):
            old = over[index] if index < len(over) else None
            line = None if old is None or not old.own or old.raw is None else _rewritten(old.raw, key, value, self.xml)
            if line is not None and old is not None and old.place is not None:
                edits.append(replace_line(old.place.path, old.place.line, line))
            elif self.xml:
                new.append(f'{self.indent}<param name="{key}" value="{value}"/>')
            else:
                new.append(f"{self.indent}{key} = {value}")
        if new:
            edits.append(self.insert(*new))
        return tuple(edits)

    def insert(self, *lines: str) -> Edit:
        return insert_after(self.path, self.end - 1 if self.xml else self.end, *lines)


def erase(*settings: Setting) -> tuple[Edit, ...]:
    """Take the lines away."""
    return tuple(replace_line(s.place.path, s.place.line) for s in settings if s.place is not None)


def as_own(setting: Setting | None) -> Setting | None:
    """For what is written where it is about, whoever the trunk is: a setting of [general] or of a transport."""
    return None if setting is None or not setting.written else replace(setting, own=True)


def _rewritten(raw: str, key: str, value: str, xml: bool) -> str | None:
    """The line with another value, its spaces and its comment kept; None where it is not one line of one setting."""
    if xml:
        quoted = value.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
        if len(_XML_VALUE.findall(raw)) != 1 or raw.count("<") != 1:
            return None
        return _XML_VALUE.sub(lambda match: f'{match[1]}"{quoted}"', raw)
    ending = "\r" if raw.endswith("\r") else ""
    written, equals, rest = raw.removesuffix("\r").partition("=")
    if not equals or ";" in written or ";--" in rest:
        return None
    sign, rest = ("=>", rest[1:]) if rest.startswith(">") else ("=", rest)
    # What was appended to is said anew; the comment behind the value stays, and so do the spaces.
    written = written.removesuffix("+")
    end = next((at for at, char in enumerate(rest) if char == ";" and rest[at - 1 : at] != "\\"), len(rest))
    old, comment = rest[:end], rest[end:]
    gap = old[: len(old) - len(old.lstrip())]
    trail = old[len(old.rstrip()) :] if comment and old.strip() else ""
    name = written.strip()
    if name.lower() != key.lower():  # an old name of the key gives way to its present one
        lead, tail = written[: len(written) - len(written.lstrip())], written[len(written.rstrip()) :]
        written = f"{lead}{key}{tail}"
    return f"{written}{sign}{gap}{value}{trail}{comment}{ending}"


class Destination(NamedTuple):
    """Where calls of the PBX go. `transport` is empty where an empty value is written for it."""

    host: str
    port: int
    transport: str
    setting: Setting
    transport_setting: Setting
    port_in_name: bool = False  # where the PBX takes no port there


class Listener(NamedTuple):
    """Where the PBX waits for calls over TCP. `port` is the one that the outside is told, where that differs."""

    port: int
    setting: Setting


@dataclass(frozen=True, slots=True)
class Listening:
    """Whether TCP is served. `enabled` is None where what decides was not read."""

    enabled: bool | None
    switch: Setting
    listeners: tuple[Listener, ...] = ()
    home: Home | None = None
    lines: tuple[str, ...] = ()  # of a new section that would serve it, its port apart


@dataclass(frozen=True, slots=True)
class Identification:
    """By what an INVITE of the provider is known to be the trunk's.

    `sources` are names, addresses and networks as they are written. `anybody`: calls of strangers get the same
    treatment, so that nothing depends on it. `limited`: a list that could name all of the provider's addresses.
    """

    sources: tuple[Setting, ...]
    anybody: bool = False
    guests: str | None = None  # where strangers land, if they are let in
    limited: bool = False
    unreadable: str | None = None  # what decides was not read
    also: str | None = None  # by what else calls may be known, which is not looked at
    impossible: str | None = None  # why nothing can match
    unnamed: Setting | None = None  # what names the ways to match, and not this one
    setting: Setting | None = None
    home: Home | None = None  # where more sources are written
    key: str = ""


@dataclass(frozen=True, slots=True)
class Codecs:
    """The codecs that are offered, in order, by their names in RTP. None where no list is written."""

    names: tuple[str, ...] | None
    setting: Setting
    everything: bool = False
    default: str = ""  # what is offered without a list, where that is anything
    unreadable: str | None = None
    lines: tuple[Setting, ...] = ()  # that make the list
    unknown: tuple[str, ...] = ()  # words of it that name no codec


@dataclass(frozen=True, slots=True)
class External:
    """The address that the PBX tells the outside. `local_networks` is None where the dialect needs none."""

    signalling: Setting | None
    media: Setting | None
    local_networks: tuple[Setting, ...] | None
    home: Home | None
    keys: tuple[str, ...]  # that set it, signalling first
    bound: str | None = None  # the one address that it listens on
    unreadable: str | None = None
    local_key: str = ""
    elsewhere: Setting | None = None  # another transport of the same PBX tells one


class Way(NamedTuple):
    """The transport by which the trunk's own calls have to go. `protocol` is None where it was not read."""

    setting: Setting
    protocol: str | None
    other: str | None  # one of TCP


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the PBX has none of what the configuration describes. `finding_id` is whose verdict that decides.

    Not `certain`: as far as it is known here, or only where the PBX reads two files that were named apart.
    """

    finding_id: str
    reason: str
    summary: str
    remedy: str
    place: Place
    certain: bool
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class Trunk:
    """One section of one configuration that leads to the provider."""

    dialect: Dialect
    name: str
    place: Place
    home: Home
    destinations: tuple[Destination, ...]
    listening: Listening
    registers: tuple[Setting, ...]  # that make it register
    challenges: tuple[Setting, ...]  # that make it ask the provider for a password
    answers: tuple[Setting, ...]  # passwords that it would send
    identification: Identification
    domain: Setting
    user: Setting  # the fixed user part of From; None as value: the caller's own number
    sends_identity: Switch
    trusts_identity: Switch
    codecs: Codecs
    dtmf: Setting
    force_rport: Switch
    symmetric: Switch
    external: External
    direct_media: Setting
    context: Setting
    kind: Setting | None = None  # chan_sip's type
    port: Setting | None = None  # chan_sip's, apart from the host
    in_from: Setting | None = None  # FreeSWITCH's caller-id-in-from
    call_limit: Setting | None = None
    profile_settings: tuple[Setting, ...] = ()  # FreeSWITCH's, as they are written
    registration_edits: tuple[Edit, ...] = ()  # that take the registration away
    contact_transport: Setting | None = None  # told to the provider, where it is not the one in use
    destination_unread: str | None = None
    dialled: bool = False  # where it calls is for the dialplan to say
    settings_unread: str | None = None  # the file that decides most and was not read
    way: Way | None = None
    refusals: tuple[Refusal, ...] = ()
    encryption: Setting | None = None  # what keeps the offer from plain RTP
    rtp_ports: tuple[Setting, Setting] | None = None  # the trunk's own range, where it has one
    access: tuple[tuple[Setting, ...], ...] = ()  # lists of permit, deny and acl: in each the last that fits decides

    @property
    def target(self) -> str:
        return f"{self.place.path} [{self.name}]"


def provider_domain(profile: Profile) -> str | None:
    """The domain that all of the provider's names end in, "exotel.com"; None where they share less than two labels."""
    names = [pop.fqdn for pop in profile.signalling.pops]
    if "}." in profile.signalling.domain_pattern:
        names.append(profile.signalling.domain_pattern.rpartition("}.")[2])
    labels = [name.lower().rstrip(".").split(".")[::-1] for name in names]
    shared: list[str] = []
    for column in zip(*labels, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    if len(names) == 1 and len(shared) > 2:
        shared.pop()
    return ".".join(reversed(shared)) if len(shared) >= 2 else None


def is_provider(host: str, profile: Profile) -> bool:
    """Whether it is a name or an address of the provider, as far as the profile knows."""
    name = host.strip("[]").rstrip(".").lower()
    known = {address for pop in profile.signalling.pops for address in pop.addresses}
    known |= {media.address for media in profile.media.addresses}
    domain = provider_domain(profile)
    return (
        name in known
        or name in {pop.fqdn.lower() for pop in profile.signalling.pops}
        or (domain is not None and (name == domain or name.endswith(f".{domain}")))
    )


def relay_of(trunk: Trunk, profile: Profile) -> Destination | None:
    """What of the customer's own all calls go through: a proxy that is none of the provider's, or an address inside."""
    if not trunk.destinations or any(is_provider(one.host, profile) for one in trunk.destinations):
        return None
    first = trunk.destinations[0]
    network = network_of(first.host)
    proxied = re.search(r"outbound[_-]?proxy$", first.setting.key) is not None
    return first if proxied or (network is not None and not network.is_global) else None


def is_placeholder(value: str) -> bool:
    """Whether it is what a guide puts where the reader's own value goes."""
    return bool(_PLACEHOLDER.search(value))


def split_host(text: str) -> tuple[str, int | None]:
    """HOST, HOST:PORT or [HOST]:PORT."""
    text = text.strip()
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.lstrip(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    return host, number_of(port)


def number_of(text: str | None) -> int | None:
    """The port or other small number that is written there, None for anything else."""
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,6}", text.strip(), re.ASCII) else None


def bound_address(text: str | None) -> str | None:
    """The one address that a setting binds to, None where it is any."""
    host = split_host(text or "")[0]
    return host if host not in ("", "0.0.0.0", "::") else None


def split_uri(text: str) -> tuple[str, int | None, str | None]:
    """The host, port and transport of a SIP URI, or of the HOST[:PORT][;transport=] that some settings take for one."""
    text = text.strip().strip("<>").replace("\\;", ";")
    secure = text[:5].lower() == "sips:"
    text = re.sub(r"^sips?:", "", text, flags=re.IGNORECASE)
    text, _, parameters = text.partition(";")
    host, port = split_host(text.rpartition("@")[2].partition("?")[0].partition("/")[0])
    match = re.search(r"(?:^|;)\s*transport\s*=\s*([\w-]+)", parameters, re.IGNORECASE)
    return host, port, match[1].lower() if match else "tls" if secure else None


def network_of(text: str) -> Network | None:
    """The address or network that it is, None for a name."""
    try:
        return ipaddress.ip_network(text.strip().strip("[]"), strict=False)
    except ValueError:
        return None


def contains(networks: Iterable[Network], address: str) -> bool:
    own = ipaddress.ip_address(address)
    return any(own.version == network.version and own in network for network in networks)


def access_entries(rule: Setting) -> list[tuple[bool, Network]]:
    """What a permit or deny names: whether it is let in, and the network. "!" turns one around."""
    items = [item.strip() for item in (rule.value or "").split(",")]
    allows = rule.key.lower() == "permit"
    found = [(allows is not item.startswith("!"), network_of(item.removeprefix("!"))) for item in items]
    return [(lets_in, network) for lets_in, network in found if network is not None]
