"""Reports without what identifies the customer, in which every verdict can still be judged again.

A value is replaced by one of its class, the same one everywhere: a private address by another of the same block, so
that addresses that shared a prefix of any length share one of that length still; a number by one of the same length;
a host name by a host name. The provider's own names and addresses stay. What stands for what is drawn anew for each
`Redactor` and kept nowhere, so that nobody can turn it back.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from vsipcheck.model import (
    AddressSeen,
    CheckEvidence,
    ChecklistRow,
    Connection,
    Exchange,
    Fact,
    Finding,
    Hop,
    Interface,
    Key,
    Lookup,
    Measure,
    Message,
    Note,
    PastRun,
    Profile,
    Report,
    Route,
    Tool,
    UnreadFact,
)
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import AddressClass, address_block, classify
from vsipcheck.wire.text import unescape

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
V = TypeVar("V")

_HIDDEN_CLASSES = frozenset(
    (AddressClass.PRIVATE, AddressClass.SHARED, AddressClass.UNIQUE_LOCAL, AddressClass.LINK_LOCAL)
)
# An IPv4 address in IPv6 clothes, at the last 32 bits, and at bits 16 to 48.
_V4_AT_END = frozenset((AddressClass.MAPPED, AddressClass.NAT64_WELL_KNOWN))
# Blocks that are globally routable and nobody's: where public addresses go, so that they stay public. Their registries
# hand them to services that answer nowhere in particular. RFC 7534, RFC 7535, RFC 7450.
_PUBLIC_V4 = ("192.175.48.0/24", "192.31.196.0/24", "192.52.193.0/24")
_PUBLIC_V6 = ipaddress.IPv6Network("2001:3::/32")
_LINK_LOCAL, _LINK_LOCAL_USED = ipaddress.IPv6Network("fe80::/10"), ipaddress.IPv6Network("fe80::/64")
# The grain at which a public address is hidden together with its neighbours: the judges look at /24 and /64.
_PUBLIC_GRAIN = {4: 24, 6: 48}

# Escapes of `wire.text`: what follows one begins anew, as in `\x00192.0.2.1`.
_ESCAPE = re.compile(r"(\\\\|\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8})")
_IPV4 = r"(?<!\d)\d{1,3}(?:\.\d{1,3}){3}(?!\d)"
_IPV6 = (
    r"(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{1,4})?"
    rf"(?:(?::[0-9A-Fa-f]{{0,4}}){{1,6}}:{_IPV4}|(?::[0-9A-Fa-f]{{0,4}}){{2,7}}(?!\.\d))(?![0-9A-Za-z:])"
)
_GENERAL = (
    ("nibbles", r"(?:[0-9A-Fa-f]\.){32}ip6\.arpa"),
    ("ipv6", _IPV6),
    ("reverse", rf"{_IPV4}(?=\.in-addr\.arpa)"),
    ("ipv4", _IPV4),
    ("dashed", r"(?<!\d)\d{1,3}(?:-\d{1,3}){3}(?!\d)"),
    ("home", r"(?<=/home/)[^/\s\"']+|(?<=/Users/)[^/\s\"']+|(?<=\\Users\\)[^\\\s\"']+"),
    ("user", r"(?:(?<=sip:)|(?<=sips:)|(?<=tel:))(?:\+|%2[Bb])?\d{2,15}(?=[@;>%\s]|$)"),
)
_SIP_NUMBER = re.compile(r"(?:sips?|tel):(?:\+|%2[Bb])?(\d{6,15})(?=[@;>%\s]|$)")
_SIP_HOST = re.compile(
    r"(?:sips?:(?:[^@\s>;]*@)?|SIP\s*/\s*2\.0\s*/\s*\w+\s+|(?:received|maddr)=)([A-Za-z0-9](?:[A-Za-z0-9-]|\.(?=\w))*)",
    re.IGNORECASE,
)
_DOTTED_NAME = re.compile(r"(?<![\w.@-])(?:[A-Za-z0-9_-]+\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z](?![\w-])")
# What looks like a name in a configuration, and is a file of the PBX's.
_FILE_NAME = re.compile(r"\.(?:conf|cfg|xml|c|h|so|lua|wav|log|txt|sh|pem|crt|key)$", re.IGNORECASE)
_LONG_NUMBER = re.compile(r"(?<![\w.:/])\+?(\d{8,15})(?![\w.:/])")
_IPV4_IN_TEXT = re.compile(r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w.])")
_RECEIVED = re.compile(r"received\s*=\s*\[?([0-9A-Fa-f:.]+)", re.IGNORECASE)
_CONTENT_LENGTH = re.compile(r"^((?:Content-Length|l)[ \t]*:[ \t]*)(\d+)", re.IGNORECASE | re.MULTILINE)
# Names of everybody: they tell nothing about anyone.
_EVERYBODYS = ("arpa", "root-servers.net", "gtld-servers.net", "localhost", "invalid", "example")
_MIN_NAME = 4  # a shorter literal would be found in ordinary words
_MIN_NUMBER = 6  # a shorter one, as an extension's, in ports, codes and lengths: it is hidden within URIs alone
_NATIONAL = 10  # digits that tell a subscriber; those before them are a country's or a trunk prefix

# Codes, not text: what is told by them is nobody's secret, and readers look findings and facts up by them.
_CODES: dict[type, frozenset[str]] = {
    Report: frozenset(("schema", "run_id", "started_at")),
    Finding: frozenset(("id", "reason", "guide_section", "facts")),
    ChecklistRow: frozenset(("id", "title")),
    Key: frozenset(("id",)),
    Measure: frozenset(("name", "unit")),
    Tool: frozenset(("version",)),
}


class Redactor:
    """One mapping of values, the same for every text and report that it is given."""

    def __init__(
        self,
        *,
        public: bool = False,
        numbers: Iterable[str] = (),
        account_sids: Iterable[str] = (),
        host_names: Iterable[str] = (),
        key: bytes | None = None,
    ) -> None:
        """`public`: the customer's public addresses as well. `key` is for tests: without one it is drawn."""
        self._key = key or secrets.token_bytes(32)
        self._public = public
        self._numbers: set[str] = {_digits(number) for number in numbers} - {""}
        self._sids: set[str] = {sid for sid in account_sids if sid}
        self._names: set[str] = {name.lower() for name in host_names if len(name) >= _MIN_NAME}
        self._kept: set[str] = set()
        self._sid_domain: str | None = None
        self._public_networks: dict[_Network, _Network] = {}
        self._pattern: re.Pattern[str] | None = None

    def learn(self, report: Report) -> None:
        """Find out what has to be hidden. Several reports of one bundle are all learnt before any is redacted."""
        self._pattern = None
        self._learn_kept(report.profile)
        for recorded in report.evidence.values():
            for fact in recorded.facts:
                if isinstance(fact, Lookup) and fact.purpose in ("authority", "reference", "control", "records"):
                    self._kept |= {name.rstrip(".").lower() for name in _names_of(fact)}
        settings = report.settings
        if settings.account_sid:
            self._sids.add(settings.account_sid)
        asked = (_digits(number) for number in (settings.invite, settings.caller, *settings.exophones) if number)
        self._numbers |= {number for number in asked if len(number) >= _MIN_NUMBER}
        names: set[str] = {_host_of(settings.pbx)} if settings.pbx else set()
        for recorded in report.evidence.values():
            for fact in recorded.facts:
                if isinstance(fact, Lookup):
                    names |= set(_names_of(fact))
                elif isinstance(fact, Connection | Exchange) and fact.name:
                    names.add(fact.name)
                for told in _texts_of(fact):
                    text = _ESCAPE.sub("\0", told)
                    if isinstance(fact, Note):
                        self._numbers |= set(_LONG_NUMBER.findall(text))
                    self._numbers |= set(_SIP_NUMBER.findall(text))
                    names |= {host for host in _SIP_HOST.findall(text) if not host.isdigit()}
                    names |= {name for name in _DOTTED_NAME.findall(text) if not _FILE_NAME.search(name)}
        self._names |= {name for name in (name.rstrip(".").lower() for name in names) if self._is_private_name(name)}
        if self._public:
            for address in _own_addresses(report):
                self._hide_public(address)

    def report(self, report: Report) -> Report:
        """The report with everything replaced that `learn` found in it or in others, and marked as redacted."""
        self.learn(report)
        walked: Report = self._walk(report)
        return msgspec.structs.replace(walked, redacted=True)

    def text(self, text: str) -> str:
        """The text with everything replaced that has to be hidden."""
        pieces = _ESCAPE.split(text)
        for at in range(0, len(pieces), 2):  # the escapes are at the odd places
            if pieces[at]:
                pieces[at] = self._compiled().sub(self._replacement, pieces[at])
        return "".join(pieces)

    # --- what is hidden

    def _learn_kept(self, profile: Profile) -> None:
        hosts = [pop.fqdn for pop in profile.signalling.pops]
        hosts += [server.host for server in profile.stun_servers]
        hosts += [
            service.url.partition("://")[2].partition("/")[0].partition(":")[0] for service in profile.echo_services
        ]
        pattern = profile.signalling.domain_pattern
        if pattern.startswith("{account_sid}."):
            self._sid_domain = pattern.removeprefix("{account_sid}")
            hosts.append(pattern.replace("{account_sid}", "").strip("."))
        if profile.support is not None:
            hosts.append(profile.support.url.partition("://")[2].partition("/")[0])
        self._kept |= {host.lower() for host in hosts}
        self._kept |= {".".join(host.lower().split(".")[-2:]) for host in hosts if not _parse(host)}

    def _is_private_name(self, name: str) -> bool:
        if len(name) < _MIN_NAME or _parse(name) is not None or re.fullmatch(r"[\d.]+", name):
            return False
        return not any(name == kept or name.endswith(f".{kept}") for kept in (*self._kept, *_EVERYBODYS))

    def _hide_public(self, text: str | None) -> None:
        address = _parse(text)
        if address is None or classify(str(address)) is not AddressClass.GLOBAL:
            return
        network = ipaddress.ip_network((address, _PUBLIC_GRAIN[address.version]), strict=False)
        if network in self._public_networks:
            return
        if isinstance(network, ipaddress.IPv6Network):
            number = int.from_bytes(self._mac("network", str(network))[:2], "big")
            base = int(_PUBLIC_V6.network_address) | number << 80
            self._public_networks[network] = ipaddress.IPv6Network((base, 48))
            return
        taken = {*self._public_networks.values(), *self._public_networks}
        chosen = next((one for one in map(ipaddress.IPv4Network, _PUBLIC_V4) if one not in taken), None)
        if chosen is None:  # more public networks than free blocks: others have to be somebody's
            number = int.from_bytes(self._mac("network", str(network))[:2], "big")
            chosen = ipaddress.IPv4Network((0x0B000000 | number << 8, 24))
        self._public_networks[network] = chosen

    # --- by what

    def _replacement(self, match: re.Match[str]) -> str:
        found = match[0]
        match match.lastgroup:
            case "ipv4" | "ipv6":
                return self._address(found)
            case "reverse":
                return ".".join(reversed(self._address(".".join(reversed(found.split(".")))).split(".")))
            case "dashed":
                return self._address(found.replace("-", ".")).replace(".", "-")
            case "nibbles":
                packed = "".join(reversed(found[:64].replace(".", "")))
                hidden = self._address(str(ipaddress.IPv6Address(int(packed, 16))))
                digits = f"{int(ipaddress.IPv6Address(hidden)):032x}"
                return ".".join(reversed(digits)) + ".ip6.arpa"
            case "home":
                return "user"
            case "user" | "number":
                plus = re.match(r"(?:\+|%2[Bb])?", found)
                written = found[plus.end() if plus else 0 :]
                drawn = iter(self._number(_digits(written)))
                return found[: len(found) - len(written)] + re.sub(r"\d", lambda _: next(drawn), written)
            case "sid":
                return self._sid(found)
            case "name":
                return self._name(found)
        return found

    def _address(self, text: str) -> str:
        address = _parse(text)
        if address is None:
            return text
        hidden = self._hidden(address)
        return text if hidden == address else str(hidden)

    def _hidden(self, address: _Address) -> _Address:
        grain = _PUBLIC_GRAIN[address.version]
        network = ipaddress.ip_network((address, grain), strict=False)
        if network in self._public_networks:
            inside = self._permuted(address, network)
            base = self._public_networks[network]
            return type(address)(int(base.network_address) | int(inside) & int(base.hostmask))
        block = address_block(str(address))
        if block.address_class in _HIDDEN_CLASSES:
            within = ipaddress.ip_network(block.prefix)
            # All link-local addresses are in this one, and no host would take another for one. RFC 4291 §2.5.6.
            return self._permuted(address, within, _LINK_LOCAL_USED if within == _LINK_LOCAL else None)
        if isinstance(address, ipaddress.IPv6Address):
            value = int(address)
            shift = (
                0
                if block.address_class in _V4_AT_END
                else 80
                if block.address_class is AddressClass.SIX_TO_FOUR
                else None
            )
            if shift is not None:
                inner = ipaddress.IPv4Address(value >> shift & 0xFFFFFFFF)
                return ipaddress.IPv6Address(value & ~(0xFFFFFFFF << shift) | int(self._hidden(inner)) << shift)
        return address

    def _permuted(self, address: _Address, within: _Network, onto_itself: _Network | None = None) -> _Address:
        """Another address of `within`: a bijection that keeps the length of the prefix that any two have in common, and
        maps the network `onto_itself` onto itself.

        Each bit is turned or not by what stands before it. Fan, Xu, Ammar, Moon: Prefix-preserving IP address
        anonymization, 2004.
        """
        width = address.max_prefixlen
        value = int(address)
        for bit in range(within.prefixlen, width):
            before = int(address) >> (width - bit)
            if (
                onto_itself is not None
                and bit < onto_itself.prefixlen
                and before == int(onto_itself.network_address) >> (width - bit)
            ):
                continue
            if self._mac("bit", f"{within} {bit} {before}")[0] & 1:
                value ^= 1 << (width - bit - 1)
        return type(address)(value)

    def _number(self, digits: str) -> str:
        prefix, subscriber = digits[:-_NATIONAL], digits[-_NATIONAL:]
        drawn = str(int.from_bytes(self._mac("number", subscriber), "big"))[-len(subscriber) :]
        if len(subscriber) == _NATIONAL:
            drawn = "555" + drawn[3:]  # nobody's, where subscribers begin with 6 to 9
        return prefix + drawn

    def _sid(self, sid: str) -> str:
        drawn = self._mac("sid", sid.lower()).hex()
        return ("redacted" + drawn)[: max(len(sid), 12)]

    def _name(self, name: str) -> str:
        return f"host-{self._mac('name', name.lower()).hex()[:8]}.redacted.example"

    def _mac(self, what: str, value: str) -> bytes:
        return hmac.digest(self._key, f"{what} {value}".encode("utf-8", "surrogateescape"), hashlib.sha256)

    def _compiled(self) -> re.Pattern[str]:
        if self._pattern is None:
            groups = [f"(?P<{name}>{pattern})" for name, pattern in _GENERAL]
            sids = [rf"(?<![A-Za-z0-9]){_any_of(sid for sid in self._sids if len(sid) >= _MIN_NAME)}(?![A-Za-z0-9])"]
            if self._sid_domain is not None:
                sids.append(rf"(?<![\w.-])[A-Za-z0-9-]+(?={re.escape(self._sid_domain)})")
            groups.append(f"(?P<sid>{'|'.join(sids)})")
            groups.append(rf"(?P<name>(?<![\w.-]){_any_of(self._names)}(?![\w-]|\.\w))")
            subscribers = sorted(
                {number[-_NATIONAL:] for number in self._numbers}, key=lambda number: (-len(number), number)
            )
            spaced = "|".join("[ .-]?".join(number) for number in subscribers) or "(?!)"
            groups.append(rf"(?P<number>(?<!\d)(?:\+|%2[Bb])?(?:\d{{1,5}}[ .-]?)?(?:{spaced})(?!\d))")
            self._pattern = re.compile("|".join(groups), re.IGNORECASE)
        return self._pattern

    # --- through all fields

    def _walk(self, value: V) -> V:
        return self._walked(value)  # type: ignore[no-any-return]

    def _walked(self, value: Any) -> Any:
        match value:
            case str():
                # Words of closed sets are strings too.
                return value if type(value) is not str else self.text(value)
            case UnreadFact():
                return UnreadFact({k: v if k in ("kind", "id") else self._walked(v) for k, v in value.items()})
            case Message():
                return self._message(value)
            case CheckEvidence():
                return msgspec.structs.replace(
                    value,
                    error=None if value.error is None else self.text(value.error),
                    facts=tuple(self._walked(fact) for fact in value.facts),
                )
            case msgspec.Struct():
                codes = _CODES.get(type(value), frozenset(("id",)) if isinstance(value, Fact) else frozenset())
                changed = {
                    field: self._checks_kept(field, item)
                    for field in value.__struct_fields__
                    if field not in codes and (item := getattr(value, field)) is not None
                }
                return msgspec.structs.replace(value, **changed)
            case Mapping():
                return {self._walked(name): self._walked(item) for name, item in value.items()}
            case tuple() | list():
                return type(value)(self._walked(item) for item in value)
        return value

    def _checks_kept(self, field: str, item: Any) -> Any:
        if field == "evidence":
            return {name: self._walked(recorded) for name, recorded in item.items()}
        return item if field == "checks" else self._walked(item)

    def _message(self, message: Message) -> Message:
        """A body that got longer or shorter has a Content-Length that fits again, if it had one that did."""
        text = self.text(message.text)
        head, gap, body = message.text.partition("\r\n\r\n")
        new_head, new_gap, new_body = text.partition("\r\n\r\n")
        if gap and new_gap and body:
            length, new_length = _size(body), _size(new_body)
            told = _CONTENT_LENGTH.search(head)
            if length != new_length and told is not None and int(told[2]) == length:
                new_head = _CONTENT_LENGTH.sub(lambda match: f"{match[1]}{new_length}", new_head, count=1)
                text = new_head + new_gap + new_body
        return msgspec.structs.replace(message, text=text)


def redact(
    report: Report,
    *,
    public: bool = False,
    numbers: Iterable[str] = (),
    account_sids: Iterable[str] = (),
    host_names: Iterable[str] = (),
    key: bytes | None = None,
) -> Report:
    """The report without numbers, account id, host names and private addresses; with `public` no public address of the
    customer either. Its facts give the same statuses when they are judged again."""
    return Redactor(public=public, numbers=numbers, account_sids=account_sids, host_names=host_names, key=key).report(
        report
    )


def _own_addresses(report: Report) -> Iterator[str | None]:
    """Every address that is, or may be, the customer's own."""
    theirs = {media.address for media in report.profile.media.addresses}
    theirs |= {address for pop in report.profile.signalling.pops for address in (pop.fqdn, *pop.addresses)}
    yield report.settings.expect_ip
    yield report.settings.source
    yield report.settings.public_address
    for recorded in report.evidence.values():
        for fact in recorded.facts:
            match fact:
                case AddressSeen():
                    yield from (fact.address, fact.local_address)
                case Interface():
                    yield fact.address
                case Route():
                    yield fact.source_address
                case Connection():
                    yield fact.local_address
                    if fact.purpose.startswith("pbx"):
                        yield fact.address
                case Lookup() if fact.purpose.startswith("pbx"):
                    yield from fact.addresses
                case PastRun():
                    yield fact.public_address
                case Hop() if fact.series == "udp_public":
                    yield fact.target
                case UnreadFact():
                    yield from (
                        value for name, value in fact.items() if name.endswith("address") and "remote" not in name
                    )
                case Note():
                    # Whose the addresses in a file are, nobody says: all but the provider's may be the customer's.
                    for text in _texts_of(fact):
                        yield from (told for told in _IPV4_IN_TEXT.findall(text) if told not in theirs)
                case Exchange() if fact.purpose.startswith("pbx"):
                    yield from (fact.local_address, fact.remote_address)
                    for message in fact.messages:
                        yield from (told for told in _IPV4_IN_TEXT.findall(message.text) if told not in theirs)
                case Exchange():
                    yield fact.local_address
                    for message in fact.messages:
                        for told in _RECEIVED.findall(_ESCAPE.sub("\0", message.text)):
                            if told != fact.remote_address:
                                yield told


def _texts_of(fact: object) -> Iterator[str]:
    """What was said on the wire, and what stood in files."""
    if isinstance(fact, Exchange):
        yield from (message.text for message in fact.messages)
    elif isinstance(fact, Note) and isinstance(text := fact.values.get("text"), str):
        yield text


def _host_of(target: str) -> str:
    """The host in HOST:PORT."""
    return target.rpartition(":")[0].strip("[]")


def _names_of(lookup: Lookup) -> Iterator[str]:
    yield lookup.name
    yield from lookup.cname_chain
    for record in lookup.answers:
        yield record.name
        if record.type in ("CNAME", "NS", "PTR", "MX", "SRV", "NAPTR", "SOA"):
            yield from _DOTTED_NAME.findall(record.data)


def _parse(text: object) -> _Address | None:
    if not isinstance(text, str):
        return None
    try:
        if re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}", text):  # leading zeros, too
            return ipaddress.IPv4Address(".".join(str(int(octet)) for octet in text.split(".")))
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address


def _digits(number: str) -> str:
    return re.sub(r"\D", "", number)


def _any_of(words: Iterable[str]) -> str:
    """An expression for one of the words, the longest first; one that matches nothing if there are none."""
    escaped = [re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word))]
    return f"(?:{'|'.join(escaped)})" if escaped else "(?!)"


def _size(text: str) -> int:
    try:
        return len(unescape(text))
    except WireError:
        return len(text)
