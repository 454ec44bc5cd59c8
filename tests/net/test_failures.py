"""One row per errno, exception type and ICMP number."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

from vsipcheck.model import Failure, Icmp
from vsipcheck.net.failures import BY_EAI, BY_ERRNO, from_errno, from_exception, from_gai, from_icmp

ERRNO_ROWS = [
    (errno.ECONNREFUSED, Failure.REFUSED),
    (errno.ECONNRESET, Failure.RESET),
    (errno.ECONNABORTED, Failure.RESET),
    (errno.EPIPE, Failure.RESET),
    (errno.ENOTCONN, Failure.RESET),
    (errno.ESHUTDOWN, Failure.RESET),
    (errno.ETIMEDOUT, Failure.KERNEL_TIMEOUT),
    (errno.EHOSTUNREACH, Failure.HOST_UNREACHABLE),
    (errno.EHOSTDOWN, Failure.HOST_UNREACHABLE),
    (errno.ENETUNREACH, Failure.NO_ROUTE),
    (errno.ENETDOWN, Failure.NO_ROUTE),
    (errno.ENODEV, Failure.NO_ROUTE),
    (errno.EAFNOSUPPORT, Failure.NO_ROUTE),
    (errno.EPERM, Failure.LOCAL_DENIED),
    (errno.EACCES, Failure.LOCAL_DENIED),
    (errno.EADDRNOTAVAIL, Failure.ADDRESS_UNAVAILABLE),
    (errno.EMSGSIZE, Failure.MESSAGE_TOO_BIG),
    (errno.ENOPROTOOPT, Failure.PROTOCOL_UNREACHABLE),
    (errno.EOPNOTSUPP, Failure.NOT_SUPPORTED),
    (errno.ENOSYS, Failure.NOT_SUPPORTED),
]


@pytest.mark.parametrize(("code", "failure"), ERRNO_ROWS)
def test_every_errno_has_its_word(code: int, failure: Failure) -> None:
    assert from_errno(code) is failure


def test_the_table_has_no_row_without_a_test() -> None:
    assert set(BY_ERRNO) == {code for code, _ in ERRNO_ROWS}


def test_errnos_that_say_nothing_about_the_network_are_local_errors() -> None:
    for code in (errno.EMFILE, errno.ENOBUFS, errno.EINVAL, errno.EADDRINUSE, 9999, None):
        assert from_errno(code) is Failure.LOCAL_ERROR


def test_a_refusal_on_udp_is_a_port_unreachable() -> None:
    assert from_errno(errno.ECONNREFUSED, datagram=True) is Failure.PORT_UNREACHABLE
    assert from_errno(errno.ECONNRESET, datagram=True) is Failure.PORT_UNREACHABLE  # Windows


def test_an_unavailable_address_is_the_source_only_if_one_was_asked_for() -> None:
    assert from_errno(errno.EADDRNOTAVAIL, bound=True, six=True) is Failure.ADDRESS_UNAVAILABLE
    assert from_errno(errno.EADDRNOTAVAIL, bound=False, six=True) is Failure.NO_ROUTE
    assert from_errno(errno.EADDRNOTAVAIL, bound=False) is Failure.LOCAL_ERROR  # no free port


def test_a_host_that_is_unreachable_before_anything_was_sent_is_a_missing_route() -> None:
    assert from_errno(errno.EHOSTUNREACH, nothing_sent=True) is Failure.NO_ROUTE


UNREACHABLE = {
    0: Failure.NET_UNREACHABLE,
    1: Failure.HOST_UNREACHABLE,
    2: Failure.PROTOCOL_UNREACHABLE,
    3: Failure.PORT_UNREACHABLE,
    4: Failure.MESSAGE_TOO_BIG,
    5: Failure.HOST_UNREACHABLE,
    6: Failure.NET_UNREACHABLE,
    7: Failure.HOST_UNREACHABLE,
    8: Failure.HOST_UNREACHABLE,
    9: Failure.ADMIN_PROHIBITED,
    10: Failure.ADMIN_PROHIBITED,
    11: Failure.NET_UNREACHABLE,
    12: Failure.HOST_UNREACHABLE,
    13: Failure.ADMIN_PROHIBITED,
    14: Failure.ADMIN_PROHIBITED,
    15: Failure.ADMIN_PROHIBITED,
    16: Failure.HOST_UNREACHABLE,  # none such today: unreachable all the same
}
UNREACHABLE6 = {
    0: Failure.NET_UNREACHABLE,
    1: Failure.ADMIN_PROHIBITED,
    2: Failure.NET_UNREACHABLE,
    3: Failure.HOST_UNREACHABLE,
    4: Failure.PORT_UNREACHABLE,
    5: Failure.ADMIN_PROHIBITED,
    6: Failure.ADMIN_PROHIBITED,
    7: Failure.HOST_UNREACHABLE,
    8: Failure.HOST_UNREACHABLE,
    9: Failure.HOST_UNREACHABLE,
}
ICMP_ROWS = [
    *((4, 3, code, failure) for code, failure in UNREACHABLE.items()),
    (4, 11, 0, Failure.TTL_EXCEEDED),
    (4, 11, 1, Failure.OTHER),  # reassembly at the far end is no hop
    (4, 4, 0, Failure.OTHER),
    (4, 12, 0, Failure.OTHER),
    *((6, 1, code, failure) for code, failure in UNREACHABLE6.items()),
    (6, 2, 0, Failure.MESSAGE_TOO_BIG),
    (6, 3, 0, Failure.TTL_EXCEEDED),
    (6, 3, 1, Failure.OTHER),
    (6, 4, 0, Failure.OTHER),
    (6, 4, 1, Failure.PROTOCOL_UNREACHABLE),
    (6, 200, 0, Failure.OTHER),
]


@pytest.mark.parametrize(("version", "kind", "code", "failure"), ICMP_ROWS)
def test_every_icmp_number_has_its_word(version: int, kind: int, code: int, failure: Failure) -> None:
    assert from_icmp(Icmp(address="192.0.2.1", type=kind, code=code, version=version)) is failure


@pytest.mark.parametrize(
    ("version", "kind", "code", "failure"),
    [
        (4, 3, 13, Failure.LOCAL_DENIED),
        (4, 3, 3, Failure.LOCAL_DENIED),
        (4, 3, 2, Failure.LOCAL_DENIED),
        (4, 3, 0, Failure.NO_ROUTE),
        (4, 3, 1, Failure.HOST_UNREACHABLE),
        (6, 1, 1, Failure.LOCAL_DENIED),
        (6, 1, 4, Failure.LOCAL_DENIED),
        (6, 1, 0, Failure.NO_ROUTE),
        (6, 1, 3, Failure.HOST_UNREACHABLE),
    ],
)
def test_what_this_host_raised_itself_is_its_own_doing(version: int, kind: int, code: int, failure: Failure) -> None:
    assert from_icmp(Icmp(address=None, type=kind, code=code, version=version)) is failure


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("EAI_NONAME", Failure.NXDOMAIN),
        ("EAI_NODATA", Failure.NODATA),
        ("EAI_ADDRFAMILY", Failure.NODATA),
        ("EAI_AGAIN", Failure.SERVFAIL),
        ("EAI_FAIL", Failure.SERVFAIL),
        ("EAI_MEMORY", Failure.LOCAL_ERROR),
        ("EAI_SYSTEM", Failure.LOCAL_ERROR),
    ],
)
def test_every_getaddrinfo_error_has_its_word(name: str, failure: Failure) -> None:
    number = getattr(socket, name, None)
    if number is None:
        assert number not in BY_EAI
        return
    assert from_gai(number) is failure


def test_an_unknown_getaddrinfo_error_is_no_nxdomain() -> None:
    assert from_gai(-4711) is Failure.DNS_ERROR
    assert from_gai(None) is Failure.DNS_ERROR


def _chained(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ConnectionRefusedError(), Failure.REFUSED),
        (ConnectionResetError(), Failure.RESET),
        (BrokenPipeError(), Failure.RESET),
        (PermissionError(), Failure.LOCAL_DENIED),
        (TimeoutError(), Failure.NO_ANSWER),
        (TimeoutError(errno.ETIMEDOUT, ""), Failure.KERNEL_TIMEOUT),
        (OSError(errno.ENETUNREACH, "Connection refused"), Failure.NO_ROUTE),  # the text is never read
        (ssl.SSLError(1, "refused"), Failure.TLS_FAILED),
        (ssl.SSLCertVerificationError(1, ""), Failure.TLS_FAILED),
        (ssl.SSLEOFError(8, ""), Failure.CLOSED_EARLY),
        (socket.gaierror(socket.EAI_NONAME, ""), Failure.NXDOMAIN),
        (ValueError("connection reset"), Failure.LOCAL_ERROR),
        (_chained(RuntimeError(), OSError(errno.ECONNREFUSED, "")), Failure.REFUSED),
        (_chained(OSError("all attempts failed"), OSError(errno.EHOSTUNREACH, "")), Failure.HOST_UNREACHABLE),
        (_chained(OSError("all"), ExceptionGroup("", [OSError(errno.ECONNRESET, "")])), Failure.RESET),
        (_chained(OSError(errno.EIO, ""), ssl.SSLError(1, "")), Failure.TLS_FAILED),
    ],
)
def test_exceptions_are_read_by_type_and_errno(error: Exception, failure: Failure) -> None:
    assert from_exception(error) is failure
