"""SSDP: the search of UPnP Device Architecture 1.1 §1.3.2, the answers of §1.3.3, and whatever else comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsipcheck.wire import ssdp
from vsipcheck.wire.errors import WireError

# As miniupnpd 2.3.1 sends it.
ANSWER = (
    b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
    b"USN: uuid:6f0c1a52::urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nEXT:\r\n"
    b"SERVER: Debian/12 UPnP/1.1 MiniUPnPd/2.3.1\r\nLOCATION: http://192.168.10.1:5000/rootDesc.xml\r\n"
    b'OPT: "http://schemas.upnp.org/upnp/1/0/"; ns=01\r\n\r\n'
)


def test_search_of_the_group() -> None:
    assert ssdp.search_request() == (
        b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\n'
        b"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n"
    )


def test_search_of_one_host_names_it() -> None:
    assert b"\r\nHOST: 192.168.10.1:1900\r\n" in ssdp.search_request(unicast_to="192.168.10.1")


@pytest.mark.parametrize("asked", [{"unicast_to": "1.2.3.4\r\nX: y"}, {"target": "a b"}, {"wait_s": 0}])
def test_what_does_not_fit_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(WireError):
        ssdp.search_request(**asked)  # type: ignore[arg-type]


def test_answer() -> None:
    answer = ssdp.parse_answer(ANSWER)
    assert answer.location == "http://192.168.10.1:5000/rootDesc.xml"
    assert answer.server == "Debian/12 UPnP/1.1 MiniUPnPd/2.3.1"
    assert answer.target == ssdp.INTERNET_GATEWAY
    assert answer.usn is not None


def test_answer_with_bare_line_feeds_and_other_case() -> None:
    assert ssdp.parse_answer(b"HTTP/1.0 200 OK\nLocation:http://10.0.0.1/x\n").location == "http://10.0.0.1/x"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"NOTIFY * HTTP/1.1\r\nLOCATION: http://10.0.0.1/\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nLOCATION: http://10.0.0.1/\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nLOCATION: http://10.0.0.1/\r\n",  # in the body
        b"HTTP/1.1 200 OK\r\nLOCATION: http://10.0.0.1/" + b"a" * 600 + b"\r\n\r\n",
        ANSWER + bytes(5000),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        ssdp.parse_answer(data)


@given(st.binary(max_size=300).map(lambda rest: b"HTTP/1.1 200 OK\r\nLOCATION: " + rest) | st.binary(max_size=300))
def test_any_bytes_give_a_value_or_wire_error(data: bytes) -> None:
    try:
        assert ssdp.parse_answer(data).location
    except WireError:
        pass
