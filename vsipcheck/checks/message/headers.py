"""Every header field of the provider's table for the direction: is it there, well-formed, and as the trunk wants it."""

from __future__ import annotations

from collections.abc import Sequence

from vsipcheck.checks.message.calls import SHOW_ADDRESSES, Invite, cut_here
from vsipcheck.checks.message.header_rules import Fault, rule_of
from vsipcheck.checks.message.places import quoted, uri_in
from vsipcheck.model import Finding, HeaderRow, Profile, Settings, Status
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.deviations import Deviation, Grade
from vsipcheck.wire.sip.message import Header
from vsipcheck.wire.sip.reading import parse_message

ID = "message.header"
_CREDENTIALS = ("Authorization", "Proxy-Authorization")
_START = b"INVITE sip:a SIP/2.0\r\n"
# What some header fields alone lack, what text loses, and what message.framing counts.
_OF_THE_WHOLE = (
    *("header_missing", "max_forwards_missing", "content_length_missing", "head_unterminated"),
    *("bare_lf", "body_truncated", "trailing_bytes"),
)
# Damage that any program that saves text may have done.
_OF_THE_TEXT = ("not_utf8", "nul_bytes", "bare_cr", "control_characters")
# RFC 2543's form: legal then, and odd today.
_OLD_FORM = ("branch_missing", "branch_without_cookie", "from_tag_missing", "content_length_repeated")


def rows_of(invite: Invite, profile: Profile) -> dict[str, HeaderRow]:
    """The provider's table for this INVITE's direction, by the names in lower case; empty where that is not known."""
    return {row.name.lower(): row for row in profile.headers if row.direction == invite.direction}


def deviations_of(headers: Sequence[Header], start: bytes = _START) -> tuple[Deviation, ...]:
    """What is wrong with these header fields, or with the start line. They are read apart from the others, since of a
    whole message the reader names the first few deviations only."""
    try:
        message = parse_message(start + b"".join(header.raw for header in headers) + b"\r\n")
    except WireError:
        return ()  # as part of the whole message it could be read
    return tuple(each for each in message.deviations if each.code not in _OF_THE_WHOLE)


def judge_headers(invite: Invite, profile: Profile, settings: Settings) -> list[Finding]:
    """One finding for each row of the provider's table for this INVITE's direction."""
    if invite.direction is None:
        return [_undecided(invite)] if profile.headers else []
    rows = rows_of(invite, profile)
    found = [_judge_row(invite, row, profile, settings) for row in rows.values()]
    if rows and invite.direction == "to_provider" and profile.signalling.authentication == "ip_whitelist":
        found += [_credentials(invite, name) for name in _CREDENTIALS if invite.request.header(name) is not None]
    return found


def _credentials(invite: Invite, name: str) -> Finding:
    return invite.find(
        ID,
        Status.WARN,
        "credentials_sent",
        f"{name} carries credentials, and the trunk has none: it knows its customers by their address, and answers "
        "403 to credentials.",
        what=name,
        line=invite.line_of(name),
        remedy="Remove secret, outbound_auth or password from the trunk in the PBX.",
        guide="Troubleshooting",
    )


def judge_other_hop(invite: Invite) -> Finding:
    """That an INVITE is not the trunk's own, and was not judged."""
    return invite.find(
        ID,
        Status.SKIP,
        "other_hop",
        f"{invite.way} It was not judged, since this trace shows the trunk's own as well.",
        what="INVITE",
    )


def _undecided(invite: Invite) -> Finding:
    return invite.find(
        ID,
        Status.UNKNOWN,
        "direction_unknown",
        f"Whether this INVITE goes to the provider or comes from it could not be told: {invite.told_by}. The two have "
        f"different tables of header fields.",
        what="INVITE",
        settle_by=SHOW_ADDRESSES,
    )


def _judge_row(invite: Invite, row: HeaderRow, profile: Profile, settings: Settings) -> Finding:
    name = row.name
    line = invite.traced.body_line if name == "SDP" else invite.line_of(name)
    duty = "mandatory" if row.mandatory else "optional"
    if not _is_there(invite, name):
        return _missing(invite, row)
    fault = _malformed(invite, row) or rule_of(name)(invite, profile, settings)
    if fault is not None and invite.is_cut and _is_at_the_cut(invite, name):
        return cut_here(invite, ID, f"{name} ({duty}) is there in part.", name)
    if fault is None:
        return invite.find(
            ID,
            Status.PASS,
            "well_formed",
            f"{name} ({duty}) is there and well-formed: {quoted(_value(invite, name))}.{_aside(invite, name)} "
            f"Its meaning: {row.means}",
            what=name,
            line=line,
        )
    return invite.find(
        ID,
        fault.status,
        fault.reason,
        f"{name} ({duty}): {fault.says} Its meaning: {row.means}",
        what=name,
        line=line,
        remedy=invite.remedy(fault.remedy),
        alterable=fault.alterable,
        settle_by=None
        if invite.direction == "to_provider"
        else "A capture on the WAN side; sip.alg of a run shows an ALG.",
    )


def _is_at_the_cut(invite: Invite, name: str) -> bool:
    if name == "SDP" or invite.traced.has_head:
        return name == "SDP"
    return bool(invite.request.headers) and invite.request.headers[-1].name.lower() == name.lower()


def _is_there(invite: Invite, name: str) -> bool:
    if name == "Request-URI":
        return True
    return bool(invite.traced.body.strip()) if name == "SDP" else invite.request.header(name) is not None


def _missing(invite: Invite, row: HeaderRow) -> Finding:
    name = row.name
    if invite.is_cut and (name == "SDP" or not invite.traced.has_head or not invite.traced.body):
        return cut_here(invite, ID, f"{name} is not to be seen.", name)
    if row.mandatory:
        return invite.find(
            ID,
            Status.FAIL,
            "missing",
            f"{name} is missing, and mandatory. Its meaning: {row.means}",
            what=name,
            remedy=invite.remedy(f"Have the PBX send {name}."),
        )
    if name == "Contact":
        return invite.find(
            ID,
            Status.WARN,
            "missing",
            "Contact is missing: optional in the provider's table, and mandatory in every INVITE by RFC 3261 §8.1.1.8. "
            f"Its meaning: {row.means}",
            what=name,
            remedy=invite.remedy("Have the PBX send a Contact with its public address and ;transport=tcp."),
        )
    return invite.find(
        ID, Status.SKIP, "left_out", f"{name} is optional, and left out. Its meaning: {row.means}", what=name
    )


def _malformed(invite: Invite, row: HeaderRow) -> Fault | None:
    name = row.name
    headers = invite.request.headers_named(name)
    about = deviations_of((), invite.request.start_raw) if name == "Request-URI" else deviations_of(headers)
    errors = [each for each in about if each.grade is Grade.ERROR]
    if any(each.code == "name_addr_needed" for each in errors) and name == "Record-Route":
        return Fault(
            Status.WARN,
            "brackets_missing",
            f"the URI stands without <>, which RFC 3261 §20.34 demands: {quoted(invite.request.header(name))}. A "
            "reader takes transport and lr for parameters of the header field then, not of the URI, and requests "
            "inside the call may go the wrong way.",
            "Put the URI of Record-Route in <>.",
            alterable=False,
        )
    if errors:
        repeated = any(each.code == "header_repeated" for each in errors)
        is_damage = all(each.code in _OF_THE_TEXT for each in errors)
        return Fault(
            Status.FAIL if (row.mandatory and not is_damage) or repeated else Status.WARN,
            "repeated" if repeated else "malformed",
            f"it breaks the rules of SIP ({errors[0].code}: {quoted(errors[0].detail)}).",
            f"Correct {name} in the PBX's configuration.",
        )
    if old := [each for each in about if each.code in _OLD_FORM]:
        return Fault(
            Status.WARN,
            "old_form",
            f"it is written as before RFC 3261 ({old[0].code}: {quoted(old[0].detail)}).",
            f"Correct {name}: have the PBX follow RFC 3261.",
        )
    return None


def _value(invite: Invite, name: str) -> str:
    if name == "Request-URI":
        return invite.request.uri
    if name == "SDP":
        return f"{len(invite.traced.body)} bytes, message.sdp says more"
    return invite.request.header(name) or ""


def _aside(invite: Invite, name: str) -> str:
    if name != "Record-Route":
        return ""
    uri = uri_in(invite.request.header(name))
    if uri is None or uri.transport in (None, "tcp"):
        return ""
    return (
        f" ACK, BYE and the like then go to port {uri.port or 5061} over {quoted((uri.transport or '').upper())}: "
        "the PBX needs that transport outwards as well."
    )
