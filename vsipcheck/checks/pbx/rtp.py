"""Two seconds of paced RTP to where an SDP answer wants it, and what came back to the port that our offer named."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vsipcheck.checks.pbx.target import RTP_NOTE
from vsipcheck.model import Failure, Note
from vsipcheck.net import Datagram, IcmpError, Network, UdpSocket
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import AddressClass, classify, plain_address
from vsipcheck.wire.rtp import (
    PCMA_CLOCK_RATE_HZ,
    PCMA_TONE,
    PCMU_TONE,
    RtpPacket,
    count_sequence,
    interarrival_jitter,
    parse_rtcp,
    parse_rtp,
    rtp_packet,
    timestamp_step,
)
from vsipcheck.wire.sdp import Codec, SessionDescription
from vsipcheck.wire.stun import is_stun

PACKETS = 100
PACKET_MS = 20
_OCTETS = PACKET_MS * PCMA_CLOCK_RATE_HZ // 1000
# After the last packet, for what is still on its way back.
DRAIN_MS = 300.0
# A tone and not silence: whoever picks up hears that the way is open, voice-activity detection on the PBX's side does
# not take it for a dead line, and an echo test that returns it is told from a PBX's own media by its octets. It is
# short, quiet, and neither a fax's (1,100 Hz) nor a DTMF pair.
_TONES = {"PCMA": PCMA_TONE * (_OCTETS // len(PCMA_TONE)), "PCMU": PCMU_TONE * (_OCTETS // len(PCMU_TONE))}
# 2 s of 10 ms packets are 200, and the last ones are those of the call. More than these is a flood: counted, not kept.
_MAX_KEPT = 4096
# What speech may come as: the static types of our offer. RFC 3551 §6, RFC 3389.
AUDIO_TYPES = frozenset({0, 8})
COMFORT_NOISE_TYPE = 13
# A longer step is a clock that began anew, not a pause; and so is a step by this much more or less than the time that
# went by, where the marker announces a talkspurt: a PBX that connects the next speaker goes on by that one's clock.
_MAX_STEP_MS, _TALKSPURT_MS = 5000.0, 100.0
_MAX_LISTED = 8
# RFC 6335 §6: below are the well-known ports, where no RTP is received, but DNS and NTP are.
_FIRST_USER_PORT = 1024
_NEVER = frozenset((AddressClass.MULTICAST, AddressClass.BROADCAST, AddressClass.UNSPECIFIED, AddressClass.RESERVED))


class MediaTarget(NamedTuple):
    """Where RTP may be sent, and as what."""

    address: str
    port: int
    payload_type: int
    encoding: str  # "PCMA", "PCMU"


class Withheld(NamedTuple):
    """Why no RTP is sent: a stable word, and a sentence."""

    why: str
    text: str


def media_target(answer: SessionDescription | None, pbx_address: str) -> MediaTarget | Withheld:
    """Where the SDP answer wants its audio, if it may be sent there.

    The address in an answer is the PBX's word, not the user's. It gets RTP if it is public, or of the same kind as the
    address that the user named: a private media address of a public PBX is somebody else's machine here.
    """
    if answer is None:
        return Withheld("no_sdp", "the answer has no session description")
    audio = answer.audio
    if audio is None or not (audio.is_plain or audio.is_encrypted):
        return Withheld("no_audio", "the answer has no RTP audio")
    if not audio.port:
        return Withheld("stream_refused", "the answer refuses the audio: its port is 0")
    if audio.is_encrypted:
        return Withheld("encrypted", f"the answer asks for {audio.protocol}, and we speak plain RTP")
    if audio.direction not in ("sendrecv", "recvonly"):
        return Withheld("direction", f"the answer does not want to receive: it is {audio.direction}")
    codec = _g711(audio.codecs)
    if codec is None:
        return Withheld("no_g711", "the answer takes neither PCMA nor PCMU")
    address, pbx_address = plain_address(answer.media_address(audio) or ""), plain_address(pbx_address)
    try:
        media_class, pbx_class = classify(address), classify(pbx_address)
    except WireError:
        return Withheld("no_address", f"{address[:80]!r} in the answer is no IP address, and is not looked up")
    if (":" in address) != (":" in pbx_address):
        return Withheld("other_family", f"{address} is of another IP version than the PBX")
    is_pbx = address == pbx_address
    if media_class in _NEVER:
        return Withheld("not_unicast", f"{address} is a {media_class.value} address, which is nobody's")
    if media_class not in (AddressClass.GLOBAL, pbx_class) and not is_pbx:
        text = f"{address} is a {media_class.value} address, and the PBX's own, {pbx_address}, is {pbx_class.value}"
        return Withheld("another_kind", text)
    if audio.port < _FIRST_USER_PORT and not is_pbx:
        return Withheld("well_known_port", f"port {audio.port} of {address} is a well-known port of another host")
    return MediaTarget(address, audio.port, codec.payload_type, codec.name)


def _g711(codecs: Sequence[Codec]) -> Codec | None:
    """The first G.711 codec, which is the one that the answerer prefers (RFC 3264 §6.1)."""
    return next((each for each in codecs if each.name in _TONES), None)


class _Heard(NamedTuple):
    packet: RtpPacket
    address: str
    port: int
    at_ms: float


@dataclass(slots=True)
class RtpSession:
    """The sockets that our offer names, what was sent from them, and all that reached them."""

    network: Network
    rtp: UdpSocket
    rtcp: UdpSocket | None
    ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    heard: deque[_Heard] = field(default_factory=lambda: deque(maxlen=_MAX_KEPT))
    received: int = 0  # RTP packets, kept or not
    other: Counter[str] = field(default_factory=Counter)  # "rtcp", "stun", "other"
    icmp: list[IcmpError] = field(default_factory=list)
    sent: int = 0
    sent_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    send_failure: Failure | None = None
    target: MediaTarget | Withheld | None = None
    named: tuple[str | None, int | None] | None = None  # the answer's address and port, whether or not it got any

    async def listen(self) -> None:
        """Keep what arrives, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(self.rtp))
            if self.rtcp is not None:
                tasks.create_task(self._listen(self.rtcp))

    async def _listen(self, socket: UdpSocket) -> None:
        while True:
            arrivals = await socket.receive(60.0)
            for arrival in arrivals:
                if isinstance(arrival, Datagram):
                    self._take(arrival)
                elif len(self.icmp) < _MAX_LISTED:
                    self.icmp.append(arrival)
            # A flood must not keep the call from being hung up, nor a closed socket the processor busy.
            await asyncio.sleep(0 if arrivals else 0.02)

    def _take(self, datagram: Datagram) -> None:
        packet = _read(datagram.data)
        if isinstance(packet, str):
            self.other[packet] += 1
            return
        self.received += 1
        self.heard.append(_Heard(packet, datagram.address, datagram.port, datagram.at_ms))

    async def stream(self, target: MediaTarget, keep_on: Callable[[], bool]) -> None:
        """Send the tone, a packet each 20 ms after the first, by deadlines that do not drift; while `keep_on`."""
        tone = _TONES[target.encoding]
        sequence, timestamp = secrets.randbits(16), secrets.randbits(32)
        begun = self.network.now_ms()
        for number in range(PACKETS):
            due = begun + number * PACKET_MS
            if (left_ms := due - self.network.now_ms()) > 0:
                await asyncio.sleep(left_ms / 1000)
            if not keep_on():
                return
            now = self.network.now_ms()
            failure = self.rtp.send(
                rtp_packet(
                    payload_type=target.payload_type,
                    sequence=(sequence + number) & 0xFFFF,
                    timestamp=(timestamp + number * _OCTETS) & 0xFFFFFFFF,
                    ssrc=self.ssrc,
                    payload=tone,
                    marker=number == 0,  # RFC 3551 §4.1: the first of a talkspurt
                ),
                target.address,
                target.port,
            )
            if failure is not None:
                self.send_failure = failure
                if self.sent == 0:
                    return
                continue
            self.sent += 1
            self.sent_ms.append(now)
            self.late_ms.append(max(0.0, now - due))

    def note(self, purpose: str, answered_ms: float | None) -> Note:
        """What was sent and what came back, in figures. `answered_ms` parts early media from the call's own, of which
        the figures are; those of a call that was never answered are of all that came."""
        values: dict[str, Any] = {
            "purpose": purpose,
            "local_address": self.rtp.local[0],
            "local_port": self.rtp.local[1],
            "rtcp_port": self.rtcp.local[1] if self.rtcp else None,
            **self._sent_values(),
            **_received_values(self.heard, self.ssrc, self.named, answered_ms, self.sent_ms),
            "received": self.received,
            "kept": len(self.heard),
            "rtcp": self.other["rtcp"],
            "stun": self.other["stun"],
            "other": self.other["other"],
            "icmp": [
                {
                    "failure": each.failure.value,
                    "from": each.icmp.address,
                    "address": each.address,
                    "port": each.port,
                }
                for each in self.icmp
            ],
        }
        sent = f"{self.sent} RTP packets sent" if self.sent else "no RTP sent"
        why = f" ({self.target.text})" if isinstance(self.target, Withheld) else ""
        return Note(topic=RTP_NOTE, text=f"{sent}{why}, {self.received} received", values=values)

    def _sent_values(self) -> dict[str, Any]:
        target = self.target if isinstance(self.target, MediaTarget) else None
        late = sorted(self.late_ms)
        return {
            "target": {"address": target.address, "port": target.port} if target else None,
            "withheld": self.target.why if isinstance(self.target, Withheld) else None,
            "withheld_text": self.target.text if isinstance(self.target, Withheld) else None,
            "payload_type": target.payload_type if target else None,
            "encoding": target.encoding if target else None,
            "sent": self.sent,
            "send_failure": self.send_failure.value if self.send_failure else None,
            "sent_span_ms": round(self.sent_ms[-1] - self.sent_ms[0], 3) if self.sent_ms else None,
            "late_max_ms": round(late[-1], 3) if late else None,
            "late_p95_ms": round(late[(len(late) * 95 + 99) // 100 - 1], 3) if late else None,
        }


def _read(data: bytes) -> RtpPacket | str:
    """The RTP packet in a datagram, else what it is: "stun", "rtcp" or "other". RTCP first: its types beyond the five
    of RFC 3550 look like RTP of a payload type from 64 to 95, which is why none is given to a stream (RFC 5761 §4)."""
    if is_stun(data):
        return "stun"
    with contextlib.suppress(WireError):
        parse_rtcp(data)
        return "rtcp"
    with contextlib.suppress(WireError):
        return parse_rtp(data)
    return "other"


def _received_values(
    heard: Iterable[_Heard],
    ssrc: int,
    named: tuple[str | None, int | None] | None,
    answered_ms: float | None,
    sent_ms: Sequence[float],
) -> dict[str, Any]:
    everything = sorted(heard, key=lambda each: each.at_ms)
    later = [each for each in everything if answered_ms is not None and each.at_ms >= answered_ms]
    counted = everything if answered_ms is None else later
    sources = Counter((each.address, each.port) for each in counted)
    ssrcs = Counter(each.packet.ssrc for each in counted)
    types = Counter(each.packet.payload_type for each in counted)
    values: dict[str, Any] = {
        "received_early": len(everything) - len(later),
        "received_after": len(later),
        "first_packet_ms": round(later[0].at_ms - answered_ms, 3) if later and answered_ms is not None else None,
        "sources": [
            {"address": address, "port": port, "packets": count, "as_answered": _is_named(address, port, named)}
            for (address, port), count in sources.most_common(_MAX_LISTED)
        ],
        "source_count": len(sources),
        "payload_types": {str(number): count for number, count in types.most_common(_MAX_LISTED)},
        "ssrcs": [{"ssrc": f"{number:08x}", "packets": count} for number, count in ssrcs.most_common(_MAX_LISTED)],
        "ssrc_count": len(ssrcs),
        "own_ssrc_packets": ssrcs[ssrc],
        **_echo_values(counted, sent_ms),
        **_end_values(counted, sent_ms),
        "stream_packets": None,
        "ptime_ms": None,
        "behind_ms": None,
        "expected": None,
        "missing": None,
        "loss_ratio": None,
        "reordered": None,
        "duplicates": None,
        "jitter_ms": None,
        "jitter_max_ms": None,
    }
    if not counted:
        return values
    # The figures of a stream are those of the source that sent most: RFC 3550 counts each SSRC by itself.
    main = ssrcs.most_common(1)[0][0]
    stream = [each for each in counted if each.packet.ssrc == main]
    # RFC 4733 §2.5: the packets of an event all have the timestamp of its start, so they tell nothing of jitter.
    audio_type = Counter(each.packet.payload_type for each in stream).most_common(1)[0][0]
    audio = [each for each in stream if each.packet.payload_type == audio_type]
    counts = count_sequence(each.packet.sequence for each in stream)
    played = _one_clock(audio)
    jitter = interarrival_jitter(played, PCMA_CLOCK_RATE_HZ)
    return values | {
        "stream_packets": len(stream),
        "ptime_ms": _ptime_ms([each.packet for each in audio]),
        # What a listener misses: by how much more time than audio went by.
        "behind_ms": round(played[-1][1] - played[0][1] - played[-1][0] * 1000 / PCMA_CLOCK_RATE_HZ, 3),
        "expected": counts.expected,
        "missing": counts.missing,
        "loss_ratio": round(counts.missing / counts.expected, 4) if counts.expected else None,
        "reordered": counts.reordered,
        "duplicates": counts.duplicates,
        "jitter_ms": round(jitter.last_ms, 3) if jitter else None,
        "jitter_max_ms": round(jitter.max_ms, 3) if jitter else None,
    }


def _echo_values(counted: Sequence[_Heard], sent_ms: Sequence[float]) -> dict[str, Any]:
    """How much of our tone came back, and how much at least should have: what was sent while it did, less two packets
    for jitter. An echo test may number its packets anew, so that their numbers do not show what it never got."""
    tone = [each for each in counted if each.packet.payload in _TONES.values()]
    begun, ended = (tone[0].at_ms, tone[-1].at_ms) if tone else (0.0, 0.0)
    return {
        "tone_packets": len({(each.packet.ssrc, each.packet.sequence) for each in tone}),
        "tone_expected": max(0, sum(begun <= at_ms <= ended for at_ms in sent_ms) - 2) if tone else None,
    }


def _end_values(counted: Sequence[_Heard], sent_ms: Sequence[float]) -> dict[str, Any]:
    """For how long nothing had come when our last packet left, and whether comfort noise had announced that."""
    last = next((each for each in reversed(counted) if each.packet.payload_type != COMFORT_NOISE_TYPE), None)
    return {
        "silent_end_ms": round(max(0.0, sent_ms[-1] - last.at_ms), 3) if last and sent_ms else None,
        "ends_in_comfort_noise": last is not None and counted[-1] is not last,
    }


def _one_clock(audio: Sequence[_Heard]) -> list[tuple[int, float]]:
    """(timestamp, arrival in ms) of a stream, from timestamp 0, as if its clock had never begun anew."""
    told = [(0, audio[0].at_ms)]
    for before, after in itertools.pairwise(audio):
        step = timestamp_step(before.packet.timestamp, after.packet.timestamp)
        step_ms, took_ms = step * 1000 / PCMA_CLOCK_RATE_HZ, after.at_ms - before.at_ms
        if abs(step_ms) > _MAX_STEP_MS or (after.packet.marker and abs(step_ms - took_ms) > _TALKSPURT_MS):
            step = round(took_ms * PCMA_CLOCK_RATE_HZ / 1000)
        told.append((told[-1][0] + step, after.at_ms))
    return told


def _is_named(address: str, port: int, named: tuple[str | None, int | None] | None) -> bool:
    return named is not None and (plain_address(address), port) == (plain_address(named[0] or ""), named[1])


def _ptime_ms(packets: Sequence[RtpPacket]) -> float | None:
    """How much audio a packet holds: by its octets where it is G.711, else the commonest step of the timestamp from one
    sequence number to the next."""
    if packets and packets[0].payload_type in AUDIO_TYPES:
        octets = Counter(len(each.payload) for each in packets).most_common(1)[0][0]
        return octets * 1000 / PCMA_CLOCK_RATE_HZ
    steps = Counter(
        (after.timestamp - before.timestamp) & 0xFFFFFFFF
        for before, after in itertools.pairwise(packets)
        if (after.sequence - before.sequence) & 0xFFFF == 1
    )
    return steps.most_common(1)[0][0] * 1000 / PCMA_CLOCK_RATE_HZ if steps else None
