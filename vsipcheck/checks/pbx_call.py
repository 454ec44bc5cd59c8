"""A test call to the customer's PBX, placed as the trunk places one, recorded as it happens."""

from __future__ import annotations

from vsipcheck.checks.base import Context, Recorder

# What the exchange of a call is for.
INVITE, INVITE_PCMU = "pbx_invite", "pbx_invite_pcmu"
# Topic of the note that says how a call went.
CALL_NOTE = "pbx_call"


async def measure_call(context: Context, record: Recorder, *, host: str, address: str, port: int) -> None:
    """Record one call to `settings.invite`, and a second that offers PCMU alone if the first was answered without it.

    `host` is as it was asked for, and stands in Request-URI and To; packets go to `address` and `port`, and RTP to
    where the SDP answer wants it. Each call has a connection of its own: Connection (purpose "pbx", attempt 2 and 3),
    Exchange (purpose "pbx_invite", "pbx_invite_pcmu"), Note (topic "pbx_call"); with `settings.rtp` the first has a
    Note of topic "pbx_rtp". A cancelled call is hung up, at best effort and in well below a second.
    """
    raise NotImplementedError
