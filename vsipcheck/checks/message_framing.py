"""Whether an INVITE's Content-Length is true of its body, as far as a text can tell, and what else breaks rules."""

from __future__ import annotations

from vsipcheck.checks.message_calls import Invite, quoted
from vsipcheck.checks.message_headers import ATTRIBUTED
from vsipcheck.model import Confidence, Finding, Profile, Status
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip import Grade, parse_name_addr

ID = "message.framing"
# Judged as the header fields they are about, lost by whoever saved the text, or judged here by both line ends.
_ELSEWHERE = ATTRIBUTED | {
    *("header_missing", "header_repeated", "name_addr_needed", "content_length_missing"),
    *("bare_lf", "body_truncated", "trailing_bytes", "head_unterminated"),
}
_CUT = ("tcpdump", "tshark")


def judge_framing(invite: Invite, sizes: tuple[int, ...], whole: bool | None, profile: Profile) -> Finding:
    """`sizes` are those that the body can have had on the wire, `whole` whether the text has as many octets as the
    trace says that the message had."""
    values = [header.value for header in invite.request.headers_named("Content-Length")]
    told = {int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None for value in values}
    length = told.pop() if len(told) == 1 else None
    line = invite.line_of("Content-Length")
    via = invite.request.top_via
    over = invite.traced.told.transport or (via.transport.lower() if via else None)
    if not values and over == "udp":
        pass  # RFC 3261 §20.14: a datagram ends by itself
    elif length is None:
        return invite.find(
            ID,
            Status.FAIL,
            "length_unusable" if values else "length_missing",
            f"{invite.way} Content-Length is {quoted(', '.join(values)) or 'missing'}: over "
            f"{profile.signalling.transport.upper()} nobody can tell where the message ends (RFC 3261 §18.3).",
            line=line,
            remedy=invite.remedy("Have the PBX send Content-Length."),
        )
    elif length not in sizes:
        return _judge_wrong_length(invite, length, sizes, whole, line)
    broken = _others(invite)
    if broken:
        return invite.find(
            ID,
            Status.WARN,
            "breaks_rules",
            f"{invite.way} It breaks rules of SIP: {broken}.",
            remedy=invite.remedy("Look for what writes these lines: the PBX, its dial plan, or a device on the way."),
        )
    ends = "" if length is None or whole or len(sizes) == 1 else f" with {_line_ends(length, sizes)}"
    said = "No Content-Length" if length is None else f"Content-Length {length} is the body's length{ends}"
    counted = ", and the message has the size that the trace tells" if whole else ""
    return invite.find(ID, Status.PASS, "length_true", f"{invite.way} {said}{counted}.", line=line)


def _judge_wrong_length(
    invite: Invite, length: int, sizes: tuple[int, ...], whole: bool | None, line: int | None
) -> Finding:
    crlf = max(sizes)
    least = f" ({min(sizes)} at least, where line ends were lost)" if len(sizes) > 1 else ""
    shown = "no body" if crlf == 0 else f"a body of {crlf} bytes{least}"
    said = f"{invite.way} Content-Length says {length}, and the text shows {shown}."
    cut = whole is False or (
        length > crlf and invite.traced.told.format in _CUT and invite.traced.ended_by in ("marker", "end")
    )
    if cut and length > crlf:
        return invite.find(
            ID,
            Status.UNKNOWN,
            "cut",
            f"{said} The trace itself leaves octets of this message out, so that its length cannot be judged.",
            line=line,
            settle_by="Save the message whole: tcpdump with -s 0 into a file, and that with sngrep or tshark as text.",
        )
    if whole:
        return invite.find(
            ID,
            Status.FAIL,
            "length_wrong",
            f"{said} The trace tells the message's size, and the text has it whole: the length is false. "
            + _consequence(length, crlf),
            line=line,
            remedy=invite.remedy(
                "Look for what rewrites SDP without correcting the length: SIP ALG in the router, an SBC."
            ),
        )
    return invite.find(
        ID,
        Status.WARN,
        "length_differs",
        f"{said} Unless the text was shortened or edited before it was handed in, the length is false. "
        + _consequence(length, crlf),
        line=line,
        remedy=invite.remedy(
            "If the text is as it was on the wire: look for what rewrites SDP without correcting the length."
        ),
        settle_by="Hand in the message as it was on the wire: a trace of sngrep, tcpdump or the PBX's own log, "
        "unedited.",
        blame=(invite.fault(alterable=True)[0], Confidence.POSSIBLE),
    )


def _consequence(length: int, crlf: int) -> str:
    if length > crlf:
        return "The receiver waits for the rest, and takes the next message for it."
    return "The receiver cuts the SDP short, and takes its rest for a message."


def _line_ends(length: int, sizes: tuple[int, ...]) -> str:
    return "CRLF at its line ends" if length in sizes[:2] else "LF at its line ends, where CRLF belongs (RFC 8866 §5)"


def _others(invite: Invite) -> str:
    """What else is wrong with the head, and belongs to no row of the provider's tables."""
    rows = ("Via", "From", "To", "Contact", "Record-Route", "Max-Forwards", "Request-URI", "CSeq")
    found = [
        f"{each.code} ({quoted(each.detail)})"
        for each in invite.request.deviations
        if each.grade is Grade.ERROR
        and each.code not in _ELSEWHERE
        and not each.detail.startswith(tuple(f"{r}:" for r in rows))
    ]
    for header in invite.request.headers_named("Diversion"):
        try:
            parse_name_addr(header.value)
        except WireError:
            found.append(f"Diversion cannot be read ({quoted(header.value)})")
    return "; ".join(found[:4]) + (f"; and {len(found) - 4} more" if len(found) > 4 else "")
