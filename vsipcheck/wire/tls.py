"""Whether what answers on a TCP port speaks TLS: a ClientHello out, and the first record of the answer in. RFC 8446."""

from __future__ import annotations

from typing import NamedTuple

from vsipcheck.wire.errors import WireError

# RFC 8446 §5.1: ContentType, legacy_record_version, length. TLS 1.2 allowed 2**14 + 2048 (RFC 5246 §6.2.3).
_HEADER = 5
_MAX_FRAGMENT = (1 << 14) + 2048
_ALERT, _HANDSHAKE = 21, 22
# RFC 8446 §4: msg_type. §6: AlertLevel.
_SERVER_HELLO = 2
_ALERT_LEVELS = (1, 2)


class TlsAnswer(NamedTuple):
    """The first record of a TLS server: "server_hello", or an "alert" with its AlertDescription (RFC 8446 §6)."""

    kind: str
    alert: int | None = None


def client_hello(server_name: str | None = None) -> bytes:
    """The octets of a ClientHello as this Python's TLS library writes it, with SNI if `server_name` is a host name.

    Nothing is verified by it, and no handshake can be completed: only what speaks TLS answers it by TLS. Raises
    WireError for a name that SNI cannot carry. RFC 8446 §4.1.2, RFC 6066 §3.
    """
    import ssl  # 20 ms, for one probe in a hundred runs

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        connection = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
        connection.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    except (TypeError, ValueError) as error:
        raise WireError(f"no server name: {(server_name or '')[:60]!r}") from error
    raise WireError("the TLS library finished a handshake with nobody")


def read_answer(data: bytes) -> TlsAnswer | None:
    """What the first octets of an answer to a ClientHello say; None while they may still become a TLS answer. Raises
    WireError as soon as they cannot. RFC 8446 §5.1, §4.1.3, §6."""
    kind, body = data[:1], data[_HEADER:]
    if not data:
        return None
    if kind[0] not in (_ALERT, _HANDSHAKE):
        raise WireError(f"no TLS answer: {data[:16]!r}")
    if data[1:2] not in (b"", b"\x03") or (len(data) > 2 and data[2] > 4):
        raise WireError(f"no TLS record: {data[:16]!r}")
    if len(data) < _HEADER:
        return None
    length = int.from_bytes(data[3:5], "big")
    if not 0 < length <= _MAX_FRAGMENT:
        raise WireError(f"a TLS record of {length} bytes")
    if kind[0] == _ALERT:
        if length != 2 or (body and body[0] not in _ALERT_LEVELS):
            raise WireError(f"no TLS alert: {data[:16]!r}")
        return TlsAnswer("alert", body[1]) if len(body) >= 2 else None
    if not body:
        return None
    if body[0] != _SERVER_HELLO:
        raise WireError(f"a TLS handshake that begins with message {body[0]}")
    return TlsAnswer("server_hello")
