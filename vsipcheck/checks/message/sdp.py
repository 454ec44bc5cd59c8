"""The SDP of an INVITE against the trunk: codecs and their order, DTMF, plain RTP, an address that can be reached."""

from __future__ import annotations

import re
from functools import partial
from ipaddress import ip_address

from vsipcheck.checks.dns.answers import class_of
from vsipcheck.checks.message.calls import Invite, cut_here, left_open
from vsipcheck.checks.message.places import is_other_family, listed, quoted, unreachable
from vsipcheck.model import Finding, Profile, Settings, Status
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sdp import PCMA, MediaDescription, SessionDescription, parse_sdp, sdp_octets
from vsipcheck.wire.trace import TracedMessage

ID = "message.sdp"
# The packet time of the provider's samples, and what RFC 3551 §4.5 gives G.711 where none is named.
PTIME_MS = 20
_FAULTS = (Status.WARN, Status.FAIL)
# Lost by whoever saved the text, or counted by message.framing.
_NOT_THE_SENDERS = ("bare_lf", "line_end_missing", "empty_line")


def session_of(traced: TracedMessage) -> SessionDescription:
    """The session description that a message carries. Raises WireError where there is none that can be read."""
    return parse_sdp(sdp_octets(traced.message.header("Content-Type"), traced.body))


def judge_sdp(invite: Invite, profile: Profile, settings: Settings) -> list[Finding]:
    """What the offer says, one finding for each thing that the trunk cares about; none where there is no offer that can
    be read (message.header tells)."""
    try:
        session = session_of(invite.traced)
    except WireError:
        return []
    if invite.is_cut:
        return [cut_here(invite, ID, "What the offer says cannot be judged.", "syntax")]
    found = _judge_session(invite, session, profile, settings)
    if invite.direction is None:
        # The grammar holds on every hop, the trunk's wants do not.
        syntax, *wants = found
        return [syntax, *(left_open(invite, each, "an offer") if each.status in _FAULTS else each for each in wants)]
    return found + _judge_answered(invite, profile, settings)


def _judge_answered(invite: Invite, profile: Profile, settings: Settings) -> list[Finding]:
    """Where the side that took the call wants its audio; nothing of a hop that is not the trunk's own."""
    back = invite.answered
    if back is None or back.relayed or back.is_cut:
        return []
    try:
        session = session_of(back.traced)
    except WireError:
        return []
    audio = _audio_of(session)
    if audio is None or not audio.port:
        return []
    found = [_judge_address(back, session, audio, profile, settings, "answer address")]
    return [*found, _judge_port(back, audio, profile, "answer port")] if back.direction == "from_provider" else found


def offers_what_is_wanted(invite: Invite, profile: Profile) -> bool:
    """Whether an INVITE offers one of the trunk's codecs over plain RTP."""
    try:
        audio = _audio_of(session_of(invite.traced))
    except WireError:
        return False
    return audio is not None and audio.is_plain and any(map(audio.has, profile.media.codecs))


def _audio_of(session: SessionDescription) -> MediaDescription | None:
    """The audio section that the trunk can take, where there are several; else the first."""
    sections = [media for media in session.media if media.media == "audio"]
    return next((media for media in sections if media.is_plain and media.port), session.audio)


def _judge_session(invite: Invite, session: SessionDescription, profile: Profile, settings: Settings) -> list[Finding]:
    found = [_judge_syntax(invite, session)]
    audio = _audio_of(session)
    if audio is None:
        return [
            *found,
            invite.find(
                ID,
                Status.FAIL,
                "no_audio",
                "The offer has no m=audio section.",
                what="media",
                line=invite.traced.body_line,
                remedy=invite.remedy("Have the PBX offer audio."),
            ),
        ]
    found += [_judge_media(invite, audio, session), _judge_codecs(invite, audio, profile), _judge_dtmf(invite, audio)]
    found += [_judge_address(invite, session, audio, profile, settings), _judge_ptime(invite, audio)]
    found.append(_judge_direction(invite, audio))
    if invite.direction == "from_provider":
        found.append(_judge_port(invite, audio, profile))
    return found


def _about(invite: Invite, what: str, media: MediaDescription) -> partial[Finding]:
    """Makes findings about one thing that a section says; they point at its m= line."""
    begins = invite.traced.body_line
    return partial(invite.find, ID, what=what, line=None if begins is None else begins + media.line - 1)


def _judge_syntax(invite: Invite, session: SessionDescription) -> Finding:
    errors = [each for each in session.errors if each.code not in _NOT_THE_SENDERS]
    if not errors:
        return invite.find(
            ID,
            Status.PASS,
            "well_formed",
            "The SDP keeps to its grammar (RFC 8866 §9).",
            what="syntax",
            line=invite.traced.body_line,
        )
    told = listed([f"{each.code} ({quoted(each.detail)})" for each in errors])
    line = invite.traced.body_line
    return invite.find(
        ID,
        Status.WARN,
        "breaks_rules",
        f"The SDP breaks rules of its grammar (RFC 8866): {told}. Many stacks let that pass, and some refuse the call.",
        what="syntax",
        line=None if line is None else line + (errors[0].line or 1) - 1,
        remedy=invite.remedy("Have the PBX, or what rewrites its SDP, write all lines that RFC 8866 wants."),
        alterable=errors[0].code != "name_missing",
    )


def _judge_media(invite: Invite, audio: MediaDescription, session: SessionDescription) -> Finding:
    tell = _about(invite, "media", audio)
    has_keys = audio.has_crypto or audio.has_fingerprint
    if audio.is_encrypted or has_keys:
        return tell(
            Status.FAIL if audio.is_encrypted else Status.WARN,
            "encrypted",
            f"The offer is {quoted(audio.protocol)}"
            f"{' with keys' if has_keys else ''}, and the trunk's media is plain RTP (RTP/AVP).",
            remedy=invite.remedy("Turn SRTP off for the trunk."),
            alterable=False,
        )
    if not audio.is_plain:
        return tell(
            Status.FAIL,
            "not_rtp",
            f"The offer's protocol is {quoted(audio.protocol) or 'missing'}, where RTP/AVP belongs.",
            remedy=invite.remedy("Have the PBX offer RTP/AVP."),
        )
    if not audio.port:
        return tell(
            Status.FAIL,
            "no_port",
            "The offer's audio port is 0, which declines the stream, or cannot be read.",
            remedy=invite.remedy("Have the PBX offer a port."),
        )
    if (count := sum(media.media == "audio" for media in session.media)) > 1:
        return tell(
            Status.WARN,
            "several_streams",
            f"The offer has {count} audio sections, and the trunk's has one: many peers refuse that.",
            remedy=invite.remedy("Have the PBX offer audio once, over plain RTP (no optional SRTP)."),
        )
    if audio.protocol.upper() != "RTP/AVP":
        return tell(
            Status.WARN,
            "with_feedback",
            f"The offer is {quoted(audio.protocol)}, RTP with early feedback (RFC 4585), and the trunk's is RTP/AVP.",
            remedy=invite.remedy("Turn AVPF off for the trunk (avpf=no, use_avpf=no)."),
        )
    return tell(
        Status.PASS,
        "plain_rtp",
        f"Audio over plain RTP ({quoted(audio.protocol)}), port {audio.port}.",
    )


def _judge_codecs(invite: Invite, audio: MediaDescription, profile: Profile) -> Finding:
    wanted = [codec.upper() for codec in profile.media.codecs]
    offered = [codec.name for codec in audio.codecs if codec.is_speech]
    order = ", ".join(map(quoted, offered)) or "none"
    present = [codec for codec in wanted if codec in offered]
    tell = _about(invite, "codecs", audio)
    if not present:
        return tell(
            Status.FAIL,
            "no_g711",
            f"None of {' and '.join(wanted)} is offered, only {order}: the call cannot be set up (488).",
            remedy=invite.remedy(f"Allow {' and '.join(wanted)}, in this order, for the trunk."),
        )
    if len(present) < len(wanted):
        lacking = [codec for codec in wanted if codec not in present]
        return tell(
            Status.WARN,
            "fallback_missing" if present[0] == wanted[0] else "preferred_missing",
            f"{' and '.join(lacking)} is not offered: {order}.",
            remedy=invite.remedy(f"Allow {' and '.join(wanted)}, in this order, for the trunk."),
        )
    if offered[0] != wanted[0]:
        return tell(
            Status.WARN,
            "other_first",
            f"{quoted(offered[0])} is offered first, and {wanted[0]} is the one to prefer: {order}.",
            remedy=invite.remedy(f"Put {wanted[0]} first: disallow=all, then allow=alaw before allow=ulaw."),
        )
    return tell(Status.PASS, "preferred_first", f"{order}, in this order.")


def _judge_dtmf(invite: Invite, audio: MediaDescription) -> Finding:
    all_events = [codec for codec in audio.codecs if codec.name == "TELEPHONE-EVENT"]
    events = next((codec for codec in all_events if codec.clock_rate_hz == PCMA.clock_rate_hz), None)
    tell = _about(invite, "dtmf", audio)
    if events is None and all_events:
        return tell(
            Status.WARN,
            "dtmf_other_rate",
            f"telephone-event is offered at {all_events[0].clock_rate_hz} Hz, and G.711 has {PCMA.clock_rate_hz}: "
            "beside it DTMF then travels as sound, or not at all (RFC 4733 §2.1).",
            remedy=invite.remedy(f"Have the PBX offer telephone-event/{PCMA.clock_rate_hz} with G.711."),
        )
    if events is None:
        return tell(
            Status.WARN,
            "dtmf_missing",
            "telephone-event is not offered: DTMF then travels as sound, or not at all.",
            remedy=invite.remedy("Set dtmfmode=rfc2833 (PJSIP: dtmf_mode=rfc4733) for the trunk."),
        )
    named = f", events {quoted(events.fmtp)}" if events.fmtp else ""
    return tell(
        Status.PASS,
        "dtmf_offered",
        f"telephone-event is offered as payload type {events.payload_type}{named}.",
    )


def _judge_address(
    invite: Invite,
    session: SessionDescription,
    audio: MediaDescription,
    profile: Profile,
    settings: Settings,
    what: str = "address",
) -> Finding:
    address = session.media_address(audio)
    tell = _about(invite, what, audio)
    if address is None or (re.fullmatch(r"[0-9.]*|.*:.*", address) and class_of(address) is None):
        return tell(
            Status.FAIL,
            "address_missing",
            "There is no c= line that can be read: nobody can send audio.",
            remedy=invite.remedy("Have the PBX write a c= line with its public address."),
        )
    if address in ("0.0.0.0", "::"):
        return tell(
            Status.WARN,
            "on_hold",
            f"The media address is {address}, the old way to put a call on hold (RFC 3264 §8.4): no audio comes to it.",
            remedy=invite.remedy("Have the PBX offer its public address in the first INVITE."),
        )
    if (why := unreachable(address)) and not invite.relayed:
        return tell(
            Status.FAIL if invite.direction == "to_provider" else Status.WARN,
            "private_address",
            f"The media address is {quoted(address)}, which is {why}: audio sent to it is lost, which is heard as "
            "one-way audio, unless the far end answers to where RTP comes from, or a device on the way rewrites it.",
            remedy=invite.remedy(
                "Set the PBX's public address for media (externip with localnet, external_media_address, ext-rtp-ip).",
            ),
        )
    return _judge_known_address(invite, tell, address, profile, settings)


def _judge_known_address(
    invite: Invite, tell: partial[Finding], address: str, profile: Profile, settings: Settings
) -> Finding:
    own = settings.public_address or settings.expect_ip
    try:
        ip_address(address)
    except ValueError:
        return tell(
            Status.WARN,
            "address_is_name",
            f"The media address is the name {quoted(address)}: many media servers do not resolve names.",
            remedy=invite.remedy("Have the PBX write an IP address in c=."),
        )
    if is_other_family(address, profile):
        return tell(
            Status.WARN,
            "other_family",
            f"The media address is {quoted(address)}, IPv6, and the provider's are all IPv4: no audio gets from one to "
            "the other.",
            remedy=invite.remedy("Have the PBX write its public IPv4 address in c=."),
        )
    theirs = [media.address for media in profile.media.addresses]
    if invite.direction == "from_provider" and not invite.relayed and address not in theirs:
        return tell(
            Status.WARN,
            "unlisted_address",
            f"The media address {quoted(address)} is none of the provider's that the profile {profile.name} of "
            f"{profile.dated} lists: a firewall that only knows those lets no audio through.",
            remedy="Ask the provider for the current media addresses, and open the firewall to them.",
        )
    if invite.direction == "to_provider" and own and address != own:
        return tell(
            Status.WARN,
            "other_address",
            f"The media address is {quoted(address)}, and your public address is {quoted(own)}.",
            remedy=f"Set the PBX's public address for media to {quoted(own)}, unless audio leaves by another.",
        )
    if invite.direction is None:
        said = f"The media address {quoted(address)} can be reached from the Internet, by its kind."
    elif invite.direction == "from_provider":
        said = f"The media address is {quoted(address)}."
    else:
        known = "your public one" if own else "no private one"
        said = f"The media address is {quoted(address)}, {known}."
    return tell(Status.PASS, "reachable", said)


def _judge_ptime(invite: Invite, audio: MediaDescription) -> Finding:
    ptime, told, most = audio.ptime_ms, audio.attribute("ptime"), audio.maxptime_ms
    tell = _about(invite, "ptime", audio)
    if (ptime != PTIME_MS and told is not None) or (most is not None and most < PTIME_MS):
        named = f"ptime is {quoted(told)} ms" if ptime != PTIME_MS and told is not None else f"maxptime is {most} ms"
        return tell(
            Status.WARN,
            "other_ptime",
            f"{named}, and the provider's is {PTIME_MS}.",
            remedy=invite.remedy(f"Set the packet time of G.711 to {PTIME_MS} ms (allow=alaw:{PTIME_MS})."),
        )
    said = f"ptime is {ptime} ms." if ptime else f"No ptime: G.711 then has {PTIME_MS} ms (RFC 3551 §4.5)."
    return tell(Status.PASS, "usual_ptime", said)


def _judge_direction(invite: Invite, audio: MediaDescription) -> Finding:
    tell = _about(invite, "direction", audio)
    if audio.direction != "sendrecv":
        return tell(
            Status.WARN,
            "one_way",
            f"The offer is {audio.direction}: audio is asked for in one direction at most.",
            remedy=invite.remedy("Have the PBX offer sendrecv, or nothing, which means the same."),
        )
    return tell(Status.PASS, "both_ways", "Audio is offered both ways.")


def _judge_port(invite: Invite, audio: MediaDescription, profile: Profile, what: str = "port") -> Finding:
    first, last = profile.media.first_port, profile.media.last_port
    tell = _about(invite, what, audio)
    if audio.port and not first <= audio.port <= last:
        return tell(
            Status.WARN,
            "port_outside",
            f"The provider's audio port {audio.port} lies outside {first}-{last}: a firewall that follows the guide "
            "lets no audio to it.",
            remedy="Ask the provider for the current range of media ports, and open the firewall to it.",
            alterable=False,
        )
    if not audio.port:
        return tell(Status.SKIP, "no_port", "There is no port to compare.")
    return tell(Status.PASS, "port_inside", f"Port {audio.port} lies inside {first}-{last}.")
