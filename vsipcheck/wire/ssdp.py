"""SSDP: the search for an Internet gateway, and its answers (UPnP Device Architecture 1.1, §1.3)."""

from __future__ import annotations

import re
from typing import NamedTuple

from vsipcheck.wire.errors import WireError

GROUP = "239.255.255.250"
PORT = 1900
# Version 2 devices have to answer searches for version 1 (UPnP Device Architecture 1.1, §1.3.2).
INTERNET_GATEWAY = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
_MAX_LENGTH = 4096
_MAX_VALUE_LENGTH = 512
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] 200(?: [^\r\n]*)?")
_TARGET = re.compile(r"[A-Za-z0-9:._\-]{1,128}")


class SearchAnswer(NamedTuple):
    """A device that answered. All values are hostile text."""

    location: str  # where its description is
    target: str | None  # ST: what it says it is
    usn: str | None
    server: str | None


def search_request(*, unicast_to: str | None = None, target: str = INTERNET_GATEWAY, wait_s: int = 1) -> bytes:
    """An M-SEARCH for `target`: to the group, answered within `wait_s`, or to one host, which answers at once."""
    if not _TARGET.fullmatch(target) or not 1 <= wait_s <= 5:
        raise WireError("a search target or wait that does not fit")
    host = unicast_to or GROUP
    if not re.fullmatch(r"[0-9.]{7,15}", host):
        raise WireError(f"not an IPv4 address: {host!r}")
    lines = ["M-SEARCH * HTTP/1.1", f"HOST: {host}:{PORT}", 'MAN: "ssdp:discover"']
    # A unicast search carries no MX (§1.3.2), yet many devices drop one without it.
    lines += [f"MX: {wait_s}", f"ST: {target}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def parse_answer(data: bytes) -> SearchAnswer:
    """The answer to a search: an HTTP 200 without a body. Raises WireError if it is none or names no location."""
    if len(data) > _MAX_LENGTH:
        raise WireError(f"{len(data)} bytes are too long for an SSDP answer")
    first, _, rest = data.replace(b"\r\n", b"\n").partition(b"\n")
    if not _STATUS_LINE.fullmatch(first):
        raise WireError("not an HTTP/1.1 200")
    headers: dict[str, str] = {}
    for line in rest.split(b"\n"):
        if not line:
            break
        name, colon, value = line.partition(b":")
        text = value.strip().decode("latin-1")
        if colon and len(text) <= _MAX_VALUE_LENGTH:
            headers.setdefault(name.strip().lower().decode("latin-1"), text)
    location = headers.get("location")
    if not location:
        raise WireError("an answer without a location")
    return SearchAnswer(location, headers.get("st"), headers.get("usn"), headers.get("server"))
