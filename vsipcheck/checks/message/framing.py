"""Whether an INVITE's Content-Length is true of its body, as far as a text can tell, and what else breaks rules."""

from __future__ import annotations

from vsipcheck.checks.message.calls import Invite, cut_here
from vsipcheck.checks.message.headers import deviations_of, rows_of
from vsipcheck.checks.message.places import listed, quoted
from vsipcheck.model import Confidence, Finding, Profile, Status
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.deviations import Grade
from vsipcheck.wire.sip.values import parse_name_addr

ID = "message.framing"


def judge_framing(invite: Invite, profile: Profile) -> Finding:
    """Content-Length against the sizes that the body can have had on the wire, as far as the trace tells."""
    values = [header.value for header in invite.request.headers_named("Content-Length")]
    length, sizes = invite.content_length, invite.sizes
    line = invite.line_of("Content-Length")
    via = invite.request.top_via
    over = invite.traced.told.transport or (via.transport.lower() if via else None)
    if invite.is_cut:
        told = f"says {length}" if length is not None else "is not to be seen"
        return cut_here(invite, ID, f"{invite.way} Content-Length {told}, which cannot be judged.")
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
    elif length not in sizes.body:
        return _judge_wrong_length(invite, length, sizes.body, sizes.whole, line)
    broken = _others(invite, profile)
    if broken:
        return invite.find(
            ID,
            Status.WARN,
            "breaks_rules",
            f"{invite.way} It breaks rules of SIP: {broken}.",
            remedy=invite.remedy("Look for what writes these lines: the PBX, its dial plan, or a device on the way."),
        )
    is_clear = length is None or sizes.whole or len(sizes.body) == 1
    ends = "" if length is None or is_clear else f" with {_line_ends(length, sizes.body)}"
    said = "No Content-Length" if length is None else f"Content-Length {length} is the body's length{ends}"
    counted = ", and the message has the size that the trace tells" if sizes.whole else ""
    return invite.find(ID, Status.PASS, "length_true", f"{invite.way} {said}{counted}.", line=line)


def _judge_wrong_length(
    invite: Invite, length: int, sizes: tuple[int, ...], whole: bool | None, line: int | None
) -> Finding:
    crlf = max(sizes)
    least = f" ({min(sizes)} at least, where line ends were lost)" if len(sizes) > 1 else ""
    shown = "no body" if crlf == 0 else f"a body of {crlf} bytes{least}"
    said = f"{invite.way} Content-Length says {length}, and the text shows {shown}."
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


def _others(invite: Invite, profile: Profile) -> str:
    """What else is wrong with the head, and belongs to no row of the provider's tables."""
    rows = rows_of(invite, profile)
    about = deviations_of([header for header in invite.request.headers if header.name.lower() not in rows])
    if "request-uri" not in rows:
        about = (*deviations_of((), invite.request.start_raw), *about)
    found = [f"{each.code} ({quoted(each.detail)})" for each in about if each.grade is Grade.ERROR]
    for header in invite.request.headers_named("Diversion"):
        try:
            parse_name_addr(header.value)
        except WireError:
            found.append(f"Diversion cannot be read ({quoted(header.value)})")
    return listed(found)
