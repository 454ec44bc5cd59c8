"""The customer's gateway as it speaks of itself: NAT-PMP, a UPnP description and its answer, scripted."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vsipcheck.model import Failure
from vsipcheck.net import HttpReply
from vsipcheck.sim.scenario import Scenario
from vsipcheck.wire import natpmp, ssdp

_HTTP_PORT = 5000
_WAN_SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
_ACTION = re.compile(rb"<u:GetExternalIPAddress ")


def datagrams(scenario: Scenario, data: bytes, address: str, port: int) -> Iterator[tuple[bytes, int]]:
    """What the gateway sends back for a datagram to (address, port): its own port with each."""
    gateway, speaks = scenario.host.gateway, scenario.gateway
    if speaks.nat_pmp and (address, port) == (gateway, natpmp.PORT) and data == natpmp.address_request():
        result = natpmp.Result.SUCCESS if speaks.wan_address else natpmp.Result.NETWORK_FAILURE
        yield natpmp.encode_address(natpmp.ExternalAddress(result, 3600, speaks.wan_address or None)), port
    if speaks.upnp and address in (gateway, ssdp.GROUP) and port == ssdp.PORT and data.startswith(b"M-SEARCH "):
        lines = (
            "HTTP/1.1 200 OK",
            f"ST: {ssdp.INTERNET_GATEWAY}",
            f"LOCATION: http://{gateway}:{_HTTP_PORT}/gateway.xml",
        )
        yield ("\r\n".join(lines) + "\r\n\r\n").encode(), port


def is_asked(scenario: Scenario, address: str, port: int) -> bool:
    """Whether a datagram to (address, port) is for what the gateway speaks, or for the group that it listens to."""
    if address == ssdp.GROUP:
        return True
    speaks = scenario.gateway
    if address != scenario.host.gateway:
        return False
    return (speaks.nat_pmp and port == natpmp.PORT) or (speaks.upnp and port == ssdp.PORT)


def http_reply(scenario: Scenario, url: str, body: bytes | None, rtt_ms: float) -> HttpReply:
    """The gateway's answer to a GET or POST; refused where it has no web server."""
    gateway, speaks = scenario.host.gateway, scenario.gateway
    base = f"http://{gateway}:{_HTTP_PORT}/"
    if not speaks.upnp or not url.startswith(base):
        return HttpReply(None, b"", None, failure=Failure.REFUSED)
    if url == f"{base}gateway.xml":
        text = (
            '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device><serviceList><service>'
            f"<serviceType>{_WAN_SERVICE}</serviceType><controlURL>/wan</controlURL>"
            "</service></serviceList></device></root>"
        )
        return HttpReply(200, text.encode(), rtt_ms, server=(gateway, _HTTP_PORT))
    if url == f"{base}wan" and body is not None and _ACTION.search(body):
        text = (
            '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
            f'<u:GetExternalIPAddressResponse xmlns:u="{_WAN_SERVICE}">'
            f"<NewExternalIPAddress>{speaks.wan_address}</NewExternalIPAddress>"
            "</u:GetExternalIPAddressResponse></s:Body></s:Envelope>"
        )
        return HttpReply(200, text.encode(), rtt_ms, server=(gateway, _HTTP_PORT))
    return HttpReply(404, b"", rtt_ms, server=(gateway, _HTTP_PORT))
