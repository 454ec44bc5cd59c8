"""UPnP Internet gateways: where their WAN service is, and what it answers (UPnP IGD, WANIPConnection:1 §2.4.18).

A description and an answer are a stranger's XML: capped by the caller, parsed without DTD or entities, and never a
reason to talk to another host than the one that gave it.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.text import sanitise

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_DESCRIPTION_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 8 * 1024
MAX_SERVICES = 3
_MAX_URL_LENGTH = 512
_MAX_TEXT_LENGTH = 80
# These tell an external address; the number is the version.
_WAN_SERVICE = re.compile(r"urn:schemas-upnp-org:service:WAN(?:IP|PPP)Connection:[1-9]")
_URL = re.compile(r"http://(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?::[0-9]{1,5})?(?:/[\x21-\x7e]*)?")


class WanService(msgspec.Struct, frozen=True):
    """A service that can be asked for the external address: its type, and the URL to which questions are posted."""

    type: str
    control_url: str


class WanAnswer(msgspec.Struct, frozen=True):
    """What a WAN service said: an address as it was written, or an error. Both are a stranger's text, made harmless."""

    address: str | None
    error: str | None


def host_of(url: str) -> str | None:
    """The literal IPv4 host of a plain http URL; None for any other URL, so that nothing else is followed."""
    if len(url) > _MAX_URL_LENGTH or not _URL.fullmatch(url):
        return None
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.hostname if 0 < (parts.port or 80) < 65536 else None
    except ValueError:
        return None


def wan_services(description: bytes, location: str) -> tuple[WanService, ...]:
    """The WAN services of a device description that are on the host of `location`, at most MAX_SERVICES.

    Raises WireError if it is no XML, or XML that asks for more than to be read.
    """
    root = _parse(description, MAX_DESCRIPTION_BYTES)
    base = next((_text(element) for element in _named(root, "URLBase")), "") or location
    found: list[WanService] = []
    for service in _named(root, "service"):
        kind = next((_text(child) for child in service if _name(child) == "serviceType"), "")
        path = next((_text(child) for child in service if _name(child) == "controlURL"), "")
        if not _WAN_SERVICE.fullmatch(kind) or not path:
            continue
        for root_url in dict.fromkeys((base, location)):
            try:
                url = urllib.parse.urljoin(root_url, path)
            except ValueError:
                continue
            if host_of(url) is not None and host_of(url) == host_of(location):
                found.append(WanService(kind, url))
                break
    return tuple(dict.fromkeys(found))[:MAX_SERVICES]


def address_question(service: WanService) -> tuple[bytes, dict[str, str]]:
    """Body and headers of GetExternalIPAddress, an action that changes nothing."""
    body = (
        '<?xml version="1.0"?>\r\n'
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
        f'<u:GetExternalIPAddress xmlns:u="{service.type}"></u:GetExternalIPAddress>'
        "</s:Body></s:Envelope>\r\n"
    )
    headers = {"Content-Type": 'text/xml; charset="utf-8"', "SOAPAction": f'"{service.type}#GetExternalIPAddress"'}
    return body.encode(), headers


def read_answer(body: bytes) -> WanAnswer:
    """What GetExternalIPAddress was answered with. Raises WireError if it is neither an answer nor a fault."""
    root = _parse(body, MAX_ANSWER_BYTES)
    for element in _named(root, "NewExternalIPAddress"):
        return WanAnswer(_text(element), None)
    for element in _named(root, "errorCode"):
        said = next((_text(other) for other in _named(root, "errorDescription")), "")
        return WanAnswer(None, f"error {_text(element)} {said}".strip())
    raise WireError("neither an external address nor a fault")


def _parse(data: bytes, limit: int) -> Element:
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    if len(data) > limit:
        raise WireError(f"{len(data)} bytes of XML, at most {limit} are read")
    try:
        root: Element = fromstring(data.strip(b" \t\r\n\0"), forbid_dtd=True)
    except DefusedXmlException as error:
        raise WireError(f"hostile XML ({type(error).__name__})") from None
    except (ParseError, ValueError, LookupError) as error:
        raise WireError(f"not XML: {sanitise(str(error), max_length=_MAX_TEXT_LENGTH)}") from None
    return root


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _named(root: Element, name: str) -> Iterator[Element]:
    return (element for element in root.iter() if _name(element) == name)


def _text(element: Element) -> str:
    text = (element.text or "").strip()
    return text if len(text) <= _MAX_URL_LENGTH and text.isprintable() else sanitise(text, max_length=_MAX_TEXT_LENGTH)
