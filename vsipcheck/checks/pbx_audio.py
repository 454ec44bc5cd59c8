"""What came back of the RTP that was sent in the test call.

- Nothing returned: something may have answered that says nothing; a firewall may keep either direction; and where our
  own SDP names an address that is private to us, a PBX without symmetric RTP sends there. So a warning at most.
- From another address or port than the SDP said: a peer without symmetric RTP waits at the wrong place.
- Loss and jitter are those of this way, not of the trunk's. Where our own pacing was late they tell of this host.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from vsipcheck.checks.base import Facts
from vsipcheck.checks.pbx_calls import Calls
from vsipcheck.checks.pbx_rtp import RTP_NOTE
from vsipcheck.checks.pbx_target import CHECK_NAME, Pbx, is_inside
from vsipcheck.checks.pbx_verdict import quoted, verdict
from vsipcheck.model import Confidence, Failure, FaultDomain, Finding, Measure, Note, Settings, Status

RTP = "pbx.rtp"
GUIDE_RTP = "Best Practices and Pre-checks: After Configuration"
# The guide's SDP asks for 20 ms.
PTIME_MS = 20.0
# Ours: G.711 has no redundancy, so that one lost packet of a hundred is heard. ITU-T G.114 leaves jitter buffers about
# this much of its 150 ms.
LOSS_WARN = 0.01
JITTER_WARN_MS = 30.0
# A packet that leaves later than this is no longer paced, and what its echo shows is this host's own doing.
PACING_LIMIT_MS = 10.0
MIN_PACKETS = 20
# Of our offer: PCMU, PCMA, comfort noise (RFC 3389) and DTMF.
_STATIC_TYPES = frozenset({0, 8, 13})


def judge_rtp(pbx: Pbx, calls: Calls, facts: Facts, settings: Settings) -> Finding | None:
    """`pbx.rtp`: what returned of two seconds of audio; None where none was asked for."""
    if not settings.rtp or settings.invite is None:
        return None
    call = calls.first
    note = next((each for each in facts.of(Note, CHECK_NAME) if each.topic == RTP_NOTE), None)
    told = partial(verdict, RTP, pbx, facts=[call.exchange if call else None, note])
    if call is None or note is None or not call.answered:
        return told(
            Status.UNKNOWN,
            "no_call",
            "No audio was sent: no call was answered.",
            domain=FaultDomain.UNDETERMINED,
            settle_by="See pbx.call; let somebody or something answer the call.",
        )
    values = note.values
    if values.get("withheld") is not None:
        return told(
            Status.UNKNOWN,
            "withheld",
            f"No audio was sent: {quoted(str(values.get('withheld_text') or values['withheld']), 160)}.",
            settle_by="See pbx.media_address and pbx.codecs.",
        )
    sent = _number(values, "sent") or 0
    if not sent:
        return told(
            Status.UNKNOWN,
            "not_sent",
            f"No audio could be sent ({values.get('send_failure') or 'the call ended before'}).",
            domain=FaultDomain.HOST if values.get("send_failure") else FaultDomain.UNDETERMINED,
            settle_by="Run again; where this host's own firewall denies it, let UDP out to the PBX.",
        )
    told = partial(told, measures=_measures(values))
    if sent < MIN_PACKETS and not _number(values, "received"):
        return told(
            Status.UNKNOWN,
            "too_few",
            f"{sent:.0f} packets were sent until the call ended, too few to say whether audio returns.",
            domain=FaultDomain.UNDETERMINED,
            settle_by="See pbx.dialog for who ended the call; let an echo test or an announcement answer it.",
        )
    if not _number(values, "received"):
        return _nothing(pbx, values, told)
    return _stream(values, int(sent), told)


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _measures(values: Mapping[str, Any]) -> tuple[Measure, ...]:
    found = []
    for name, unit, warn in (
        ("sent", "count", None),
        ("received", "count", None),
        ("loss_ratio", "ratio", LOSS_WARN),
        ("jitter_ms", "ms", JITTER_WARN_MS),
        ("ptime_ms", "ms", None),
        ("first_packet_ms", "ms", None),
        ("late_p95_ms", "ms", PACING_LIMIT_MS),
    ):
        value = _number(values, name)
        if value is not None:
            whole = int(value) if unit == "count" else value
            found.append(Measure(name=name, value=whole, unit=unit, warn=warn))
    return tuple(found)


def _nothing(pbx: Pbx, values: Mapping[str, Any], told: partial[Finding]) -> Finding:
    sent = f"{int(_number(values, 'sent') or 0)} packets were sent, and no RTP came back"
    icmp = values.get("icmp") or []
    closed = [each for each in icmp if isinstance(each, Mapping) and each.get("failure") == Failure.PORT_UNREACHABLE]
    if closed:
        return told(
            Status.FAIL,
            "port_closed",
            f"{sent}: {quoted(str(closed[0].get('from') or 'this host'), 60)} says by ICMP that nothing listens on the "
            "port that the PBX's own SDP names.",
            confidence=Confidence.LIKELY,
            failure=Failure.PORT_UNREACHABLE,
            remedy="Look for what the PBX does with the media of the call: the address may be another host's.",
        )
    local = next((each.local_address for each in pbx.connections if each.local_address), None)
    if local is not None and is_inside(local) and not pbx.seen_from_inside:
        return told(
            Status.UNKNOWN,
            "nothing_returned_to_private",
            f"{sent}. Our own SDP names {local}, which is private to us: a PBX without symmetric RTP sends there.",
            domain=FaultDomain.UNDETERMINED,
            settle_by="Run it on a host with a public address; or look at the PBX whether our packets come in.",
        )
    return told(
        Status.WARN,
        "nothing_returned",
        f"{sent}: a firewall keeps one direction, or what answered says nothing.",
        domain=FaultDomain.UNDETERMINED,
        remedy="Let UDP in and out between the PBX's media ports and the trunk's; let an echo test or an announcement "
        "answer the test call.",
        settle_by="Capture on the PBX: whether our packets come in, and whether it sends any.",
    )


def _stream(values: Mapping[str, Any], sent: int, told: partial[Finding]) -> Finding:
    received = int(_number(values, "received") or 0)
    counted = f"{sent} packets sent, {received} received"
    sources = [each for each in values.get("sources") or [] if isinstance(each, Mapping)]
    main = sources[0] if sources else {}
    if main and main.get("as_answered") is False:
        place = quoted(f"{main.get('address')}, port {main.get('port')}", 80)
        return told(
            Status.WARN,
            "other_source",
            f"{counted}, but from {place}, not from where the PBX's SDP says: a peer that sends there alone is not "
            "heard, and one that filters by it hears nothing.",
            confidence=Confidence.PROVEN,
            remedy="Let the PBX send from the port that it names (symmetric RTP, RFC 4961), and let no NAT in front of "
            "it change ports.",
        )
    types = {int(name) for name in values.get("payload_types") or {} if str(name).isdecimal()}
    odd = sorted(each for each in types if each not in _STATIC_TYPES and each < 96)
    if odd:
        return told(
            Status.WARN,
            "other_codec",
            f"{counted}; among them payload type {', '.join(map(str, odd))}, which was not offered.",
            confidence=Confidence.PROVEN,
            remedy="Let the PBX send the codec that it answered with.",
        )
    late_ms = _number(values, "late_p95_ms")
    paced = late_ms is None or late_ms <= PACING_LIMIT_MS
    if received < MIN_PACKETS:
        return told(
            Status.UNKNOWN,
            "too_few",
            f"{counted}: audio returns, too little to say how well.",
            domain=FaultDomain.UNDETERMINED,
            settle_by="Let an echo test or an announcement answer the test call.",
        )
    loss, jitter_ms, ptime_ms = (_number(values, name) for name in ("loss_ratio", "jitter_ms", "ptime_ms"))
    poor = (loss is not None and loss > LOSS_WARN) or (jitter_ms is not None and jitter_ms > JITTER_WARN_MS)
    quality = f"loss {(loss or 0) * 100:.1f} %, jitter {jitter_ms or 0:.1f} ms"
    if poor and not paced:
        return told(
            Status.UNKNOWN,
            "own_pacing",
            f"{counted}; {quality}. This host sent its own packets up to {late_ms:.0f} ms late, so that these figures "
            "are as much its own.",
            domain=FaultDomain.HOST,
            settle_by="Run again while this host is idle.",
        )
    if poor:
        lossy = loss is not None and loss > LOSS_WARN
        return told(
            Status.WARN,
            "loss" if lossy else "jitter",
            f"{counted}; {quality}: callers would hear gaps on this way, which is not the trunk's.",
            domain=FaultDomain.UNDETERMINED,
            confidence=Confidence.LIKELY,
            remedy="Look for load on the PBX, and for a full or wireless link between this host and it.",
            settle_by="Run it on a host beside the PBX, and again at another time.",
        )
    if ptime_ms is not None and ptime_ms != PTIME_MS:
        return told(
            Status.WARN,
            "other_ptime",
            f"{counted}, {ptime_ms:g} ms of audio in each, where {PTIME_MS:g} ms were asked for. {quality}.",
            confidence=Confidence.PROVEN,
            remedy="Set the packet time to 20 ms on the PBX (Asterisk: `allow=alaw:20`; FreeSWITCH: PCMA@20i).",
        )
    echoed = " It is our own tone that returned." if _number(values, "tone_packets") else ""
    late = "" if paced else f" This host's own packets left up to {late_ms:.0f} ms late."
    return told(Status.PASS, "returned", f"{counted}; {quality}.{echoed}{late}", guide_section=GUIDE_RTP)
