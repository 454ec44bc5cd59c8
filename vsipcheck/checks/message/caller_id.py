"""Whether the From of an outbound INVITE is a caller ID that the account may use."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import partial

from vsipcheck.checks.message.calls import SAVE_WHOLE, Invite
from vsipcheck.checks.message.places import E164, number_in, quoted, uri_in
from vsipcheck.model import Finding, Settings, Status

ID = "call.caller_id"
_SECTION = "CLI and Exophone Roles"
_DIGITS = re.compile(r"\D")


def number_of(invite: Invite) -> str:
    """The number in From; empty without one."""
    return number_in(uri_in(invite.request.header("From")))


def judge_caller_id(invite: Invite, settings: Settings, taken_on: Collection[str]) -> Finding:
    """The number in From: its form, and whether it is one of the account's where they are named, or one of those with
    which a call of the trace was taken on."""
    if invite.is_cut and uri_in(invite.request.header("From")) is None:
        said = "The trace leaves out octets of this message, and From with them."
        return invite.find(ID, Status.UNKNOWN, "cut", said, settle_by=SAVE_WHOLE)
    number = number_of(invite)
    tell = partial(invite.find, ID, line=invite.line_of("From"), guide=_SECTION)
    known = [_DIGITS.sub("", exophone) for exophone in settings.exophones]
    accepted = number in taken_on
    but = " Such a call was taken on all the same." if accepted else ""
    fault = Status.WARN if accepted else Status.FAIL
    if not number or not _DIGITS.sub("", number):
        named = f"names {quoted(number)}" if number else "names no number"
        return tell(
            fault,
            "no_number",
            f"From {named}: the provider refuses calls without a registered Exophone as the caller ID, says the guide."
            f"{but}",
            remedy="Set the caller ID of outbound calls to one of the account's Exophones, as + and digits.",
        )
    if number.removeprefix("+") in known and E164.fullmatch(number):
        return tell(
            Status.PASS,
            "authorised",
            f"From is {quoted(number)}, one of the account's Exophones.",
        )
    if not E164.fullmatch(number):
        return tell(
            fault,
            "not_e164",
            f"From is {quoted(number)}, which is no number in E.164 form (+, country code, number).{but}",
            remedy="Send the Exophone as + and digits, such as +918012345678.",
        )
    if known:
        return tell(
            fault,
            "not_authorised",
            f"From is {quoted(number)}, none of the Exophones that were named "
            f"({', '.join(map(quoted, settings.exophones))}).{but}",
            remedy="Set the caller ID of outbound calls to one of the account's Exophones.",
        )
    if accepted:
        return tell(
            Status.PASS,
            "accepted",
            f"From is {quoted(number)}, and a call with it was taken on, which the provider does for a registered one "
            "only.",
        )
    return tell(
        Status.UNKNOWN,
        "not_compared",
        f"From is {quoted(number)}, in E.164 form. Whether it is one of the account's Exophones was not said.",
        settle_by="Name the account's Exophones (--exophone), or hand in a trace in which the call rings or is "
        "answered.",
    )
