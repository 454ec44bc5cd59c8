"""What came back of the RTP that was sent in the test call. What counts came after the answer.

| what is seen                                 | what may be said                                                 |
| -------------------------------------------- | ---------------------------------------------------------------- |
| nothing                                      | warn: a firewall keeps one direction, or what answered is silent |
| nothing, and our SDP names a private address | unknown: a PBX without symmetric RTP sends there                 |
| nothing, as its SDP says (recvonly)          | unknown                                                          |
| nothing, and ICMP says the port is closed    | warn: nobody listens, or a firewall rejects all but the trunk    |
| audio while it rang, and none since          | warn: the way back was open, to another stream perhaps           |
| what is no RTP, or comfort noise alone       | warn: something came, and no speech                              |
| from another place than the SDP's            | warn: a peer without symmetric RTP waits at the wrong one        |
| from inside, and the SDP's is public         | unknown, seen from inside: a NAT is between it and the trunk     |
| begins late, and runs to the end             | judged from its first packet: a slow answer, an announcement     |
| pauses: timestamps go on, numbers do not     | nothing: silence suppression                                     |
| a packet or three of an unknown type         | nothing: so a NAT is kept open (RFC 6263)                        |
| ends early, in comfort noise                 | nothing: so a sender announces that it falls silent              |
| ends early                                   | warn: it stopped or pauses, or something closed the way          |
| our tone, less of it than was sent meanwhile | warn: loss, however what sends it back numbers it                |
| numbers lack, uneven, slower than it plays   | warn: of this way, not the trunk's; unknown where we were late   |
| less than it should, and the PBX re-INVITEd  | unknown: it moved the audio or held it, and we did not follow    |
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from vsipcheck.checks.base import Facts
from vsipcheck.checks.dns.answers import class_of
from vsipcheck.checks.pbx.calls import Calls, PlacedCall
from vsipcheck.checks.pbx.codecs import telephone_events
from vsipcheck.checks.pbx.rtp import AUDIO_TYPES, COMFORT_NOISE_TYPE
from vsipcheck.checks.pbx.target import CHECK_NAME, RTP_NOTE, Pbx, is_inside
from vsipcheck.checks.pbx.verdict import quoted, verdict
from vsipcheck.model import Confidence, Failure, FaultDomain, Finding, Measure, Note, Settings, Status
from vsipcheck.wire.ip import AddressClass, plain_address

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
# Ours: a PBX may take this long to open its media after its 200.
_MIN_UNANSWERED = 50
# Ours: longer than pauses between words and than any jitter buffer, and a quarter of what we send.
STOPPED_MS = 500.0
# Ours: RFC 6263 §4.6 keeps the way through a NAT open by a payload type that nobody offered, each 15 s or so.
_KEEPALIVES = 3
# Ours: who starts later than this was late, which is nobody's fault and worth a word.
_LATE_START_MS = 500.0
# Ours: a stream that lacks more than a jitter buffer holds, and a tenth of what was heard, plays with gaps.
_BEHIND_MS, _BEHIND_RATIO = 100.0, 0.1


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
    if sent < _MIN_UNANSWERED and not _after(values):
        return told(
            Status.UNKNOWN,
            "too_few",
            f"{sent:.0f} packets were sent until the call ended, too few to say whether audio returns.",
            domain=FaultDomain.UNDETERMINED,
            settle_by="See pbx.dialog for who ended the call; let an echo test or an announcement answer it.",
        )
    found = _stream(pbx, call, values, int(sent), told) if _after(values) else _nothing(pbx, call, values, told)
    if call.moved and found.status is not Status.PASS:
        return told(
            Status.UNKNOWN,
            "moved",
            f"{int(sent)} packets sent, {_after(values)} received. The PBX put the audio elsewhere or on hold "
            "meanwhile, by re-INVITE or UPDATE, and the test goes on sending to where the call began.",
            domain=FaultDomain.UNDETERMINED,
            remedy="Turn direct media off for the trunk (chan_sip: `canreinvite=no`; PJSIP: `direct_media=no`).",
            settle_by="Let an echo test or an announcement of the PBX's own answer the test call.",
        )
    return found


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _after(values: Mapping[str, Any]) -> int:
    """How many RTP packets came after the answer; reports of before there was that figure have the difference."""
    after = _number(values, "received_after")
    if after is None:
        after = (_number(values, "received") or 0) - (_number(values, "received_early") or 0)
    return max(0, int(after))


def _loss_ratio(values: Mapping[str, Any]) -> float | None:
    """What is lacking by the stream's own numbers, or of the tone that was sent while an echo ran."""
    by_number, expected = _number(values, "loss_ratio"), _number(values, "tone_expected")
    if expected is None or expected < MIN_PACKETS:
        return by_number
    return max(by_number or 0.0, 1 - min(1.0, (_number(values, "tone_packets") or 0) / expected))


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
        value = _loss_ratio(values) if name == "loss_ratio" else _number(values, name)
        if value is not None:
            whole = int(value) if unit == "count" else value
            found.append(Measure(name=name, value=whole, unit=unit, warn=warn))
    return tuple(found)


def _nothing(pbx: Pbx, call: PlacedCall, values: Mapping[str, Any], told: partial[Finding]) -> Finding:
    sent = f"{int(_number(values, 'sent') or 0)} packets were sent"
    icmp = values.get("icmp") or []
    errors = [each for each in icmp if isinstance(each, Mapping)]
    closed = [each for each in errors if each.get("failure") == Failure.PORT_UNREACHABLE]
    if closed:
        return told(
            Status.WARN,
            "port_closed",
            f"{sent}, and no RTP came back: {quoted(str(closed[0].get('from') or 'this host'), 60)} says by ICMP that "
            "the port which the PBX's own SDP names is closed. Nothing listens there, or a firewall rejects so what "
            "does not come from the provider, and is right to.",
            domain=FaultDomain.UNDETERMINED,
            failure=Failure.PORT_UNREACHABLE,
            remedy="Look for what the PBX does with the media of the call: the address may be another host's.",
            settle_by="On the PBX, while a call is up: `ss -lun` shows whether it listens; else let UDP from this host "
            "in for the time of the test.",
        )
    told = partial(told, domain=FaultDomain.UNDETERMINED)
    if early := int(_number(values, "received_early") or 0):
        return told(
            Status.WARN,
            "only_before_answer",
            f"{sent}. {early} RTP packets came while it rang, and none once the call was answered: what answered says "
            "nothing, or the media of the call does not get through.",
            remedy="Let an echo test or an announcement answer the test call.",
            settle_by="Capture on the PBX: whether it sends any audio once the call is up.",
        )
    other = {name: int(_number(values, name) or 0) for name in ("other", "stun", "rtcp")}
    if other["other"] or other["stun"]:
        kinds = {"other": "that cannot be read", "stun": "of STUN", "rtcp": "of RTCP"}
        what = ", ".join(f"{count} {kinds[name]}" for name, count in other.items() if count)
        return told(
            Status.WARN,
            "not_rtp",
            f"{sent}, and what came back is no RTP (datagrams: {what}).",
            remedy="Look for what the PBX sends in place of RTP: something else on its media port, or encryption that "
            "was not agreed on.",
            settle_by="Capture the media port on the PBX.",
        )
    if call.audio is not None and call.audio.direction == "recvonly":
        return told(
            Status.UNKNOWN,
            "receives_only",
            f"{sent}, and no RTP came back, as the PBX's SDP says (a=recvonly).",
            settle_by="Let an echo test or an announcement answer the test call.",
        )
    sent += f", and no RTP came back{', but RTCP did' if other['rtcp'] else ''}"
    if errors:
        who, what = (quoted(str(errors[0].get(name) or "somebody"), 60) for name in ("from", "failure"))
        sent += f"; {who} answers by ICMP ({what})"
    local = call.exchange.local_address
    if local is not None and is_inside(local) and not pbx.seen_from_inside and not other["rtcp"]:
        return told(
            Status.UNKNOWN,
            "nothing_returned_to_private",
            f"{sent}. Our own SDP names {local}, which is private to us: a PBX without symmetric RTP sends there.",
            settle_by="Run it on a host with a public address; or look at the PBX whether our packets come in.",
        )
    return told(
        Status.WARN,
        "nothing_returned",
        f"{sent}: a firewall keeps one direction, or what answered says nothing.",
        remedy="Let UDP in and out between the PBX's media ports and the trunk's; let an echo test or an announcement "
        "answer the test call.",
        settle_by="Capture on the PBX: whether our packets come in, and whether it sends any.",
    )


def _stream(pbx: Pbx, call: PlacedCall, values: Mapping[str, Any], sent: int, told: partial[Finding]) -> Finding:
    after, early = _after(values), int(_number(values, "received_early") or 0)
    counted = f"{sent} packets sent, {after} received{f' after the answer, {early} before it' if early else ''}"
    listed = values.get("payload_types")
    listed = listed if isinstance(listed, Mapping) else {}
    types = {int(name): int(_number(listed, name) or 0) for name in listed if str(name).isdecimal()}
    speech = sum(number for each, number in types.items() if each in AUDIO_TYPES)
    beside = {COMFORT_NOISE_TYPE, *_event_types(call)}
    if types and types.keys() <= beside:
        return told(
            Status.WARN,
            "no_speech",
            f"{counted}: comfort noise or key presses, and no audio.",
            domain=FaultDomain.UNDETERMINED,
            remedy="Let an echo test or an announcement answer the test call.",
        )
    sources = [each for each in values.get("sources") or [] if isinstance(each, Mapping)]
    main = sources[0] if sources else {}
    elsewhere = main.get("as_answered") is False and (_number(main, "packets") or 0) >= MIN_PACKETS
    place = quoted(f"{main.get('address')}, port {main.get('port')}", 80)
    # Beside the PBX, no NAT makes its audio come from the public address that it names.
    untranslated = elsewhere and pbx.seen_from_inside and is_inside(str(main.get("address"))) and _names_public(call)
    if elsewhere and not untranslated:
        return told(
            Status.WARN,
            "other_source",
            f"{counted}, but from {place}, not from where the PBX's SDP says: a peer that sends there alone is not "
            "heard, and one that filters by it hears nothing.",
            confidence=Confidence.PROVEN,
            remedy="Let the PBX send from the port that it names (symmetric RTP, RFC 4961), and let no NAT in front of "
            "it change ports.",
        )
    odd = {each: number for each, number in types.items() if each not in AUDIO_TYPES | beside}
    if odd and (sum(odd.values()) > _KEEPALIVES or not speech):
        return told(
            Status.WARN,
            "other_codec",
            f"{counted}; among them payload type {', '.join(map(str, sorted(odd)))}, which was not offered.",
            confidence=Confidence.PROVEN,
            remedy="Let the PBX send the codec that it answered with, by the number that the offer has for it.",
        )
    silent_ms = _number(values, "silent_end_ms") or 0.0
    announced = values.get("ends_in_comfort_noise") is True
    if silent_ms > STOPPED_MS and not announced:
        return told(
            Status.WARN,
            "stopped",
            f"{counted}, none of them in the last {silent_ms / 1000:.1f} s of ours: what answered stopped or pauses, "
            "or something closed the way.",
            domain=FaultDomain.UNDETERMINED,
            remedy="Let an echo test or an announcement of some seconds answer the test call. Where that stops too, "
            "look for what ends it: a firewall's state, or a bridge on the PBX.",
            settle_by="Capture on the PBX: whether it goes on sending.",
        )
    late_ms = _number(values, "late_p95_ms")
    paced = late_ms is None or late_ms <= PACING_LIMIT_MS
    if speech < MIN_PACKETS:
        return told(
            Status.UNKNOWN,
            "too_few",
            f"{counted}: audio returns, too little to say how well.",
            domain=FaultDomain.UNDETERMINED,
            settle_by="Let an echo test or an announcement answer the test call.",
        )
    loss, jitter_ms, ptime_ms = _loss_ratio(values), _number(values, "jitter_ms"), _number(values, "ptime_ms")
    behind_ms = _number(values, "behind_ms") or 0.0
    lossy = loss is not None and loss > LOSS_WARN
    slow = behind_ms > max(_BEHIND_MS, _BEHIND_RATIO * after * (ptime_ms or PTIME_MS))
    poor = lossy or slow or (jitter_ms is not None and jitter_ms > JITTER_WARN_MS)
    lacking = f", {behind_ms:.0f} ms less audio than time" if slow else ""
    quality = f"loss {(loss or 0) * 100:.1f} %, jitter {jitter_ms or 0:.1f} ms{lacking}"
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
        return told(
            Status.WARN,
            "loss" if lossy else "slow_stream" if slow else "jitter",
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
    if untranslated:
        return told(
            Status.UNKNOWN,
            "source_untranslated",
            f"{counted}; {quality}. They came from {place}, inside the PBX's network, and its SDP names a public "
            "address: from where they would reach the trunk, the NAT between decides.",
            domain=FaultDomain.UNDETERMINED,
            settle_by="Run it on a host outside.",
        )
    first_ms = _number(values, "first_packet_ms") or 0.0
    notes = (
        " It is our own tone that returned." if _number(values, "tone_packets") else "",
        f" The first came {first_ms / 1000:.1f} s after the answer." if first_ms > _LATE_START_MS else "",
        " It ended in comfort noise, by which a sender says that it falls silent." if silent_ms > STOPPED_MS else "",
        "" if paced else f" This host's own packets left up to {late_ms:.0f} ms late.",
    )
    return told(Status.PASS, "returned", f"{counted}; {quality}.{''.join(notes)}", guide_section=GUIDE_RTP)


def _names_public(call: PlacedCall) -> bool:
    written = call.description.media_address(call.audio) if call.description and call.audio else None
    return written is not None and class_of(plain_address(written)) is AddressClass.GLOBAL


def _event_types(call: PlacedCall) -> set[int]:
    """The payload types of DTMF in our offer, and in the answer, whose number some peers send."""
    sections = [each for each in (call.offer, call.audio) if each is not None]
    return {codec.payload_type for each in sections for codec in telephone_events(each)}
