"""Whether the From of an outbound INVITE is a caller ID that the account may use."""

from __future__ import annotations

import re
from functools import partial

from vsipcheck.checks.message_calls import SAVE_WHOLE, Invite
from vsipcheck.checks.message_places import E164, number_in, quoted, uri_in
from vsipcheck.model import Finding, Settings, Status

ID = "call.caller_id"
_SECTION = "CLI and Exophone Roles"
_DIGITS = re.compile(r"\D")


def judge_caller_id(invite: Invite, settings: Settings) -> Finding:
    """The number in From: its form, and whether it is one of the account's where they are named, or the call was taken
    on."""
    if invite.is_cut and uri_in(invite.request.header("From")) is None:
        said = "The trace leaves out octets of this message, and From with them."
        return invite.find(ID, Status.UNKNOWN, "cut", said, settle_by=SAVE_WHOLE)
    number = number_in(uri_in(invite.request.header("From")))
    tell = partial(invite.find, ID, line=invite.line_of("From"), guide=_SECTION)
    known = [exophone.strip() for exophone in settings.exophones]
    accepted = invite.answer.accepted
    if not number or not _DIGITS.sub("", number):
        named = f"names {quoted(number)}" if number else "names no number"
        return tell(
            Status.FAIL,
            "no_number",
            f"From {named}: the provider refuses calls without a registered Exophone as the caller ID.",
            remedy="Set the caller ID of outbound calls to one of the account's Exophones, as + and digits.",
        )
    if known and number in known and E164.fullmatch(number):
        return tell(
            Status.PASS,
            "authorised",
            f"From is {quoted(number)}, one of the account's Exophones.",
        )
    if not E164.fullmatch(number):
        return tell(
            Status.WARN if accepted else Status.FAIL,
            "not_e164",
            f"From is {quoted(number)}, which is no number in E.164 form (+, country code, number)."
            f"{' The call was taken on all the same.' if accepted else ''}",
            remedy="Send the Exophone as + and digits, such as +918012345678.",
        )
    if known:
        return tell(
            Status.WARN if accepted else Status.FAIL,
            "not_authorised",
            f"From is {quoted(number)}, none of the Exophones that were named ({', '.join(map(quoted, known))})."
            f"{' The call was taken on all the same.' if accepted else ''}",
            remedy="Set the caller ID of outbound calls to one of the account's Exophones.",
        )
    if accepted:
        return tell(
            Status.PASS,
            "accepted",
            f"From is {quoted(number)}, and the call was taken on, which the provider does for a registered one only.",
        )
    return tell(
        Status.UNKNOWN,
        "not_compared",
        f"From is {quoted(number)}, in E.164 form. Whether it is one of the account's Exophones was not said.",
        settle_by="Name the account's Exophones (--exophone), or hand in a trace in which the call rings or is "
        "answered.",
    )
