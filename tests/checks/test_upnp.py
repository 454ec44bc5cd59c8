"""Descriptions and answers of Internet gateways: honest, broken and hostile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsipcheck.checks.nat import upnp
from vsipcheck.wire.errors import WireError

HERE = "http://192.168.1.1:5000/rootDesc.xml"
IP1 = "urn:schemas-upnp-org:service:WANIPConnection:1"
PPP1 = "urn:schemas-upnp-org:service:WANPPPConnection:1"


def description(*services: tuple[str, str], base: str = "") -> bytes:
    listed = "".join(
        f"<service><serviceType>{kind}</serviceType><controlURL>{url}</controlURL></service>" for kind, url in services
    )
    return (
        '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">'
        f"{base}<device><deviceList><device><serviceList>{listed}</serviceList></device></deviceList></device></root>"
    ).encode()


def answer(address: str) -> bytes:
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<u:GetExternalIPAddressResponse xmlns:u="{IP1}"><NewExternalIPAddress>{address}</NewExternalIPAddress>'
        "</u:GetExternalIPAddressResponse></s:Body></s:Envelope>"
    ).encode()


FAULT = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Client</faultcode>'
    b'<faultstring>UPnPError</faultstring><detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0">'
    b"<errorCode>501</errorCode><errorDescription>Action Failed</errorDescription></UPnPError></detail></s:Fault>"
    b"</s:Body></s:Envelope>"
)
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><root>&c;</root>'
)
EXTERNAL = b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>'


@pytest.mark.parametrize(
    ("services", "urls"),
    [
        (((IP1, "/ctl/IPConn"),), ["http://192.168.1.1:5000/ctl/IPConn"]),
        (((PPP1, "ctl"), (IP1, "http://192.168.1.1:80/c")), ["http://192.168.1.1:5000/ctl", "http://192.168.1.1:80/c"]),
        # Another host, another scheme, a name, credentials, IPv6: none of them is followed.
        (((IP1, "http://192.168.1.2:5000/ctl"),), []),
        (((IP1, "https://192.168.1.1/ctl"),), []),
        (((IP1, "http://router.lan/ctl"),), []),
        (((IP1, "http://a@192.168.1.1/ctl"),), []),
        (((IP1, "//203.0.113.9/ctl"),), []),
        (((IP1, "http://[fe80::1]/ctl"),), []),
        (((IP1, "http://192.168.1.1:99999/ctl"),), []),
        (((IP1, "file:///etc/passwd"),), []),
        (((IP1, ""),), []),
        (((IP1 + "\r\nX: y", "/ctl"),), []),
        ((("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/ctl"),), []),
        (tuple((IP1, f"/{n}") for n in range(50)), [f"http://192.168.1.1:5000/{n}" for n in range(3)]),
    ],
)
def test_services_on_the_same_host_alone(services: tuple[tuple[str, str], ...], urls: list[str]) -> None:
    assert [service.control_url for service in upnp.wan_services(description(*services), HERE)] == urls


def test_base_elsewhere_counts_for_nothing() -> None:
    found = upnp.wan_services(description((IP1, "/c"), base="<URLBase>http://203.0.113.9/</URLBase>"), HERE)
    assert [service.control_url for service in found] == ["http://192.168.1.1:5000/c"]


def test_question_changes_nothing() -> None:
    body, headers = upnp.address_question(upnp.WanService(IP1, HERE))
    assert headers["SOAPAction"] == f'"{IP1}#GetExternalIPAddress"'
    assert f'<u:GetExternalIPAddress xmlns:u="{IP1}">'.encode() in body


def test_answers() -> None:
    assert upnp.read_answer(answer("198.51.100.7")) == upnp.WanAnswer("198.51.100.7", None)
    assert upnp.read_answer(answer("")) == upnp.WanAnswer("", None)
    assert upnp.read_answer(FAULT) == upnp.WanAnswer(None, "error 501 Action Failed")
    assert upnp.read_answer(b"\r\n" + answer("10.0.0.1") + b"\0").address == "10.0.0.1"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<",
        b"<html><body>Welcome</body></html>",
        BOMB,
        EXTERNAL,
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b"\xff\xfe<\0",
        b"<a>" * 2700,
        answer("1" * 10_000),
    ],
)
def test_hostile_xml_is_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        upnp.read_answer(data)


def test_hostile_description_is_a_wire_error() -> None:
    for data in (BOMB, EXTERNAL, b"<a>" * 20_000, bytes(70_000), b"<a>" * 100_000):
        with pytest.raises(WireError):
            upnp.wan_services(data, HERE)


def test_deep_nesting_is_read_without_harm() -> None:
    deep = 9_000
    assert upnp.wan_services(b"<a>" * deep + b"</a>" * deep, HERE) == ()


def test_text_is_made_harmless() -> None:
    told = upnp.read_answer(answer("\N{RIGHT-TO-LEFT OVERRIDE}1.2.3.4")).address
    assert told is not None
    assert told.isprintable()


@given(st.binary(max_size=400))
def test_any_bytes_give_a_value_or_wire_error(data: bytes) -> None:
    for read in (upnp.read_answer, lambda body: upnp.wan_services(body, HERE)):
        try:
            read(data)
        except WireError:
            pass
