"""What a profile must satisfy beyond its types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from vsipcheck.model import Profile
from vsipcheck.profiles.names import (
    ADDRESS,
    HOST_NAME,
    PORT,
    is_address,
    is_host_name,
    is_port,
)

# One broken rule: the key's path, what was expected, what was found.
Broken = tuple[str, str, str]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_HEADER = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")  # RFC 3261 §25.1: token
_DATE = "a date, YYYY-MM-DD"


def broken_rules(profile: Profile) -> Iterator[Broken]:
    """Every rule that the profile breaks, in the order of the file."""
    yield from _identity(profile)
    yield from _sources(profile)
    yield from _signalling(profile)
    yield from _media(profile)
    yield from _controls(profile)
    yield from _tables(profile)
    yield from _helpers(profile)


def _identity(profile: Profile) -> Iterator[Broken]:
    if not _NAME.fullmatch(profile.name):
        yield "name", "lower-case letters, digits, dots, hyphens and underscores", _quoted(profile.name)
    if not _is_date(profile.dated):
        yield "dated", _DATE, _quoted(profile.dated)


def _sources(profile: Profile) -> Iterator[Broken]:
    for name, source in profile.sources.items():
        if not _is_date(source.dated):
            yield f"sources.{name}.dated", _DATE, _quoted(source.dated)
    named = [
        ("signalling.source", profile.signalling.source),
        *((f"signalling.pops[{at}].source", pop.source) for at, pop in enumerate(profile.signalling.pops)),
        ("media.source", profile.media.source),
        *((f"media.addresses[{at}].source", entry.source) for at, entry in enumerate(profile.media.addresses)),
        ("controls.source", profile.controls.source),
        *((f"prechecks[{at}].source", row.source) for at, row in enumerate(profile.prechecks)),
        *((f"troubleshooting[{at}].source", row.source) for at, row in enumerate(profile.troubleshooting)),
        *((f"headers[{at}].source", row.source) for at, row in enumerate(profile.headers)),
        *((f"echo_services[{at}].source", service.source) for at, service in enumerate(profile.echo_services)),
        *((f"stun_servers[{at}].source", server.source) for at, server in enumerate(profile.stun_servers)),
    ]
    if profile.support is not None:
        named.append(("support.source", profile.support.source))
    for key, source_name in named:
        if source_name not in profile.sources:
            known = ", ".join(profile.sources) or "none is defined"
            yield key, f"the name of a table under sources ({known})", _quoted(source_name)


def _signalling(profile: Profile) -> Iterator[Broken]:
    signalling = profile.signalling
    yield from _port("signalling.port", signalling.port)
    yield from _port("signalling.in_dialog_port", signalling.in_dialog_port)
    yield from _port("signalling.customer_port", signalling.customer_port)
    if not is_host_name(signalling.domain_pattern.replace("{account_sid}", "sid")):
        expected = "a host name, in which {account_sid} may stand for the account's id"
        yield "signalling.domain_pattern", expected, _quoted(signalling.domain_pattern)
    if signalling.calls_per_minute < 1:
        yield "signalling.calls_per_minute", "1 or more", str(signalling.calls_per_minute)
    if not signalling.pops:
        yield "signalling.pops", "at least one PoP", "none"
    for at, pop in enumerate(signalling.pops):
        key = f"signalling.pops[{at}]"
        if not (is_host_name(pop.fqdn) or is_address(pop.fqdn)):
            yield f"{key}.fqdn", HOST_NAME, _quoted(pop.fqdn)
        for index, address in enumerate(pop.addresses):
            if not is_address(address):
                yield f"{key}.addresses[{index}]", ADDRESS, _quoted(address)
        yield from _repeated(f"{key}.addresses", pop.addresses)
    yield from _repeated("signalling.pops", [pop.id for pop in signalling.pops], "id")
    yield from _repeated("signalling.pops", [pop.fqdn for pop in signalling.pops], "fqdn")


def _media(profile: Profile) -> Iterator[Broken]:
    media = profile.media
    yield from _port("media.first_port", media.first_port)
    yield from _port("media.last_port", media.last_port)
    if media.last_port < media.first_port:
        yield "media.last_port", f"first_port ({media.first_port}) or more", str(media.last_port)
    if not media.codecs:
        yield "media.codecs", "at least one codec", "none"
    yield from _repeated("media.codecs", media.codecs)
    if not media.addresses:
        yield "media.addresses", "at least one address", "none"
    for at, entry in enumerate(media.addresses):
        if not is_address(entry.address):
            yield f"media.addresses[{at}].address", ADDRESS, _quoted(entry.address)
    yield from _repeated("media.addresses", [entry.address for entry in media.addresses], "address")


def _controls(profile: Profile) -> Iterator[Broken]:
    media = profile.media
    for name, ports in (("udp_ports", profile.controls.udp_ports), ("tcp_ports", profile.controls.tcp_ports)):
        if not ports:
            yield f"controls.{name}", "at least one port", "none"
        for at, port in enumerate(ports):
            yield from _port(f"controls.{name}[{at}]", port)
        yield from _repeated(f"controls.{name}", ports)
    # A control inside the range would share the fate of what it is to be compared with.
    for at, port in enumerate(profile.controls.udp_ports):
        if media.first_port <= port <= media.last_port:
            expected = f"a port outside the media range {media.first_port}-{media.last_port}"
            yield f"controls.udp_ports[{at}]", expected, str(port)


def _tables(profile: Profile) -> Iterator[Broken]:
    for at, row in enumerate(profile.troubleshooting):
        for index, code in enumerate(row.codes):
            if not 100 <= code <= 699:
                yield f"troubleshooting[{at}].codes[{index}]", "a SIP status code from 100 to 699", str(code)
    yield from _repeated("troubleshooting", [row.id for row in profile.troubleshooting], "id")
    for at, header in enumerate(profile.headers):
        if not _HEADER.fullmatch(header.name):
            yield f"headers[{at}].name", "the name of a header field, Request-URI or SDP", _quoted(header.name)
        if not header.means.strip():
            yield f"headers[{at}].means", "what the header field is for", _quoted(header.means)
    for direction in ("from_provider", "to_provider"):
        names = [header.name.lower() if header.direction == direction else "" for header in profile.headers]
        for at, name in enumerate(names):
            if name and name in names[:at]:
                yield f"headers[{at}].name", "each name once a direction", f"{_quoted(profile.headers[at].name)} again"


def _helpers(profile: Profile) -> Iterator[Broken]:
    for at, service in enumerate(profile.echo_services):
        host, _, port = service.url.removeprefix("https://").partition("/")[0].partition(":")
        if not service.url.startswith("https://") or not is_host_name(host) or not _is_url_port(port):
            yield f"echo_services[{at}].url", "https:// with a host name", _quoted(service.url)
        if (service.json_key is not None) != (service.format == "json"):
            expected = "a key of the answer" if service.format == "json" else "nothing where format is not json"
            found = "none" if service.json_key is None else _quoted(service.json_key)
            yield f"echo_services[{at}].json_key", expected, found
    yield from _repeated("echo_services", [service.id for service in profile.echo_services], "id")
    for at, server in enumerate(profile.stun_servers):
        if not (is_host_name(server.host) or is_address(server.host)):
            yield f"stun_servers[{at}].host", f"{HOST_NAME}, or {ADDRESS}", _quoted(server.host)
        yield from _port(f"stun_servers[{at}].port", server.port)
    yield from _repeated("stun_servers", [server.id for server in profile.stun_servers], "id")


def _port(key: str, port: int | None) -> Iterator[Broken]:
    if port is not None and not is_port(port):
        yield key, PORT, str(port)


def _repeated(key: str, values: list[str] | tuple[str, ...] | tuple[int, ...], field: str = "") -> Iterator[Broken]:
    for at, value in enumerate(values):
        if value in values[:at]:
            where = f"{key}[{at}].{field}" if field else f"{key}[{at}]"
            yield where, "each value once", f"{_quoted(value) if isinstance(value, str) else value} again"


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text  # fromisoformat also takes 20261125 and 2026-W48-3
    except ValueError:
        return False


def _is_url_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and is_port(int(text)))


def _quoted(text: str) -> str:
    return f'"{text}"' if len(text) <= 80 else f'"{text[:78]}…"'
