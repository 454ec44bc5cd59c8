"""The customer's own PBX or SBC: does it speak SIP over TCP, and how does it answer a call of the trunk's kind?

One question, one file: `probe`, `call` and `rtp` measure; `transport`, `options`, `routing` (the call's code), `codecs`
(and DTMF), `addresses` (media address, Contact), `dialog` and `audio` (RTP) judge.

We are not the trunk: our source is another, and a PBX that knows its peers by address is right to keep us out. So what
a rejected source sees is unknown, never a fault; what fails is what the PBX itself said, of its own or of our request.
"""

from __future__ import annotations

from vsipcheck.checks.base import Check, Facts
from vsipcheck.checks.pbx.addresses import (
    CONTACT,
    MEDIA_ADDRESS,
    judge_contact,
    judge_media_address,
    public_addresses,
)
from vsipcheck.checks.pbx.audio import RTP, judge_rtp
from vsipcheck.checks.pbx.calls import calls_of
from vsipcheck.checks.pbx.codecs import CODECS, DTMF, judge_codecs, judge_dtmf
from vsipcheck.checks.pbx.dialog import DIALOG, judge_dialog
from vsipcheck.checks.pbx.options import OPTIONS_FINDING, judge_options
from vsipcheck.checks.pbx.probe import measure
from vsipcheck.checks.pbx.routing import CALL, judge_call
from vsipcheck.checks.pbx.target import pbx_of
from vsipcheck.checks.pbx.transport import TRANSPORT, judge_transport
from vsipcheck.model import Finding, Profile, Settings


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """What the PBX showed, in the order of a call; findings for which nothing was to be seen are left out."""
    if settings.pbx is None:
        return []
    pbx = pbx_of(facts, settings.pbx)
    calls = calls_of(facts, pbx.options)
    public = public_addresses(pbx, facts, settings)
    found = (
        judge_transport(pbx, profile),
        judge_options(pbx),
        judge_call(pbx, calls, settings),
        judge_codecs(pbx, calls, profile, settings),
        judge_dtmf(pbx, calls),
        judge_media_address(pbx, calls, profile, public),
        judge_contact(pbx, calls, profile, public),
        judge_dialog(pbx, calls),
        judge_rtp(pbx, calls, facts, settings),
    )
    return [finding for finding in found if finding is not None]


CHECK = Check(
    name="pbx",
    title="calling the PBX",
    finding_ids=(TRANSPORT, OPTIONS_FINDING, CALL, CODECS, DTMF, MEDIA_ADDRESS, CONTACT, DIALOG, RTP),
    needs=(),
    measure=measure,
    judge=judge,
)
