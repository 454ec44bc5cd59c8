"""The octets of requests and responses. RFC 3261 §7, §8, §11."""

from collections.abc import Sequence

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.grammar import HOSTPORT, SCHEME, TOKEN, WHITESPACE, join_hostport, split_at, split_list
from vsipcheck.wire.sip.message import SipRequest, canonical_name


def _encode_text(text: str, what: str) -> bytes:
    """Octets of a text that stays on its line. Raises WireError for CR, LF or NUL, which would inject lines."""
    if any(char in text for char in "\r\n\0"):
        raise WireError(f"line end or NUL in {what}: {text[:80]!r}")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise WireError(f"not encodable: {what}") from error


def _check_token(text: str, what: str) -> str:
    if not TOKEN.fullmatch(text):
        raise WireError(f"{what} is no token: {text[:80]!r}")
    return text


def _check_sendable_uri(uri: str, what: str) -> str:
    if not SCHEME.match(uri) or any(char <= " " or char in '<>"\x7f' for char in uri):
        raise WireError(f"{what} is no URI: {uri[:80]!r}")
    return uri


def _assemble(start: bytes, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    lines = [start]
    for name, value in headers:
        _check_token(name, "a header name")
        if canonical_name(name) == "Content-Length":
            raise WireError("Content-Length is added here, not given")
        lines.append(_encode_text(f"{name}: {value}", f"header {name}"))
    lines += (b"Content-Length: %d" % len(body), b"", body)
    return b"\r\n".join(lines)


def build_request(method: str, uri: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> bytes:
    """The octets of a request, header fields in the given order, Content-Length last. Raises WireError for what would
    break or inject lines. RFC 3261 §7.1."""
    _check_token(method, "the method")
    _check_sendable_uri(uri, "the Request-URI")
    return _assemble(_encode_text(f"{method} {uri} SIP/2.0", "the request line"), headers, body)


def build_response(status: int, reason: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> bytes:
    """The octets of a response, header fields in the given order, Content-Length last. Raises WireError for what would
    break or inject lines, and for a status outside 100 to 699. RFC 3261 §7.2."""
    if not 100 <= status <= 699:
        raise WireError(f"no status code: {status}")
    return _assemble(_encode_text(f"SIP/2.0 {status} {reason}", "the status line"), headers, body)


def build_answer(
    request: SipRequest,
    status: int,
    reason: str,
    *,
    to_tag: str | None = None,
    received: str | None = None,
    rport: int | None = None,
    extra: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> bytes:
    """The octets of the response to a request: its Via, From, To, Call-ID and CSeq copied, To with `to_tag` unless it
    has a tag. `received` is added to the topmost Via, `rport` filled in where the request asks. RFC 3261 §8.2.6.2,
    §18.2.1, RFC 3581 §4."""
    headers: list[tuple[str, str]] = []
    for header in request.headers_named("Via"):
        value = header.value
        if not headers and (received is not None or rport is not None):
            top, *others = split_list(value) or (value,)
            value = ", ".join((_stamp_via(top, received, rport), *others))
        headers.append(("Via", value))
    for name in ("From", "To", "Call-ID", "CSeq"):
        for header in request.headers_named(name):
            value = header.value
            if name == "To" and to_tag and request.to_tag is None:
                value = f"{value};tag={_check_token(to_tag, 'the To tag')}"
            headers.append((name, value))
    return build_response(status, reason, (*headers, *extra), body)


def _stamp_via(value: str, received: str | None, rport: int | None) -> str:
    head, *params = split_at(value, ";")
    if rport is not None:
        params = [f"rport={rport}" if param.lower() == "rport" else param for param in params]
    if received is not None:
        params.append(f"received={received}")
    return ";".join((head, *params))


def build_options(
    *,
    uri: str,
    via_host: str,
    via_port: int | None,
    transport: str,
    branch: str,
    call_id: str,
    from_uri: str,
    from_tag: str,
    to_uri: str,
    cseq: int,
    user_agent: str,
    contact: str | None = None,
    max_forwards: int = 70,
    via_rport: bool = True,
    extra: Sequence[tuple[str, str]] = (),
) -> bytes:
    """The octets of an OPTIONS request outside a dialog. `contact` is a URI. Raises WireError for a value that its
    field cannot carry. RFC 3261 §8.1.1, §11.1, RFC 3581 §3."""
    if not HOSTPORT.fullmatch(join_hostport(via_host, via_port)):
        raise WireError(f"no sent-by: {via_host[:80]!r}")
    if not 0 <= cseq < 2**31 or not 0 <= max_forwards <= 255:
        raise WireError(f"CSeq {cseq} or Max-Forwards {max_forwards} is out of range")
    if not call_id or any(char in call_id for char in WHITESPACE):
        raise WireError(f"no Call-ID: {call_id[:80]!r}")
    via = f"SIP/2.0/{_check_token(transport, 'the transport')} {join_hostport(via_host, via_port)}"
    headers = [
        ("Via", f"{via};branch={_check_token(branch, 'the branch')}{';rport' if via_rport else ''}"),
        ("Max-Forwards", str(max_forwards)),
        ("From", f"<{_check_sendable_uri(from_uri, 'From')}>;tag={_check_token(from_tag, 'the From tag')}"),
        ("To", f"<{_check_sendable_uri(to_uri, 'To')}>"),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} OPTIONS"),
    ]
    if contact is not None:
        headers.append(("Contact", f"<{_check_sendable_uri(contact, 'Contact')}>"))
    headers += [("Accept", "application/sdp"), ("User-Agent", user_agent), *extra]
    return build_request("OPTIONS", uri, headers)
