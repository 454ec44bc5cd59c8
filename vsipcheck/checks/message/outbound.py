"""The rows of the checklist that are about the customer's own INVITEs, out of those that a trace holds."""

from __future__ import annotations

from collections.abc import Sequence

from vsipcheck.checks.message import caller_id, transport
from vsipcheck.checks.message.calls import SHOW_ADDRESSES, Invite
from vsipcheck.model import Finding, Profile, Settings, Status

_IDS = (transport.ID, caller_id.ID)


def judge_outbound(invites: Sequence[Invite], profile: Profile, settings: Settings) -> list[Finding]:
    """Transport and caller ID of every INVITE to the provider; where there is none, one finding each that says so."""
    outbound = [invite for invite in invites if invite.direction == "to_provider"]
    if outbound:
        found = [transport.judge_transport(invite, profile) for invite in outbound]
        taken_on = {caller_id.number_of(invite) for invite in outbound if invite.answer.accepted}
        return found + [caller_id.judge_caller_id(invite, settings, taken_on) for invite in outbound]
    undecided = next((invite for invite in invites if invite.direction is None), None)
    if undecided is not None:
        return [
            undecided.find(
                finding_id,
                Status.UNKNOWN,
                "direction_unknown",
                f"Whether this INVITE goes to the provider could not be told: {undecided.told_by}.",
                settle_by=SHOW_ADDRESSES,
            )
            for finding_id in _IDS
        ]
    first = invites[0]
    return [
        Finding(
            id=finding_id,
            target=None,
            status=Status.SKIP,
            reason="no_outbound_invite",
            summary=f"There is no INVITE to the provider in it: this one comes from there, since {first.told_by}.",
            facts=(first.record.fact,),
        )
        for finding_id in _IDS
    ]
