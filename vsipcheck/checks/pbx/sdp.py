"""The session descriptions of a call: where the answer to our offer stands, and what we answer to one of the PBX's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sdp import Codec, MediaDescription, SessionDescription, parse_sdp, sdp_octets
from vsipcheck.wire.sip.message import SipMessage, SipResponse


def read_sdp(body: bytes) -> SessionDescription | None:
    """The session description in a body; None when there is none that can be read."""
    try:
        return parse_sdp(body) if body else None
    except WireError:
        return None


def description_in(message: SipMessage) -> SessionDescription | None:
    """The session description in a message; None where there is none that can be read, or only one of a session of its
    own for the ringing (RFC 3959)."""
    disposition = (message.header("Content-Disposition") or "").partition(";")[0].strip().lower()
    octets = sdp_octets(message.header("Content-Type"), message.body)
    return read_sdp(octets) if disposition != "early-session" else None


def answer_of(final: SipResponse, provisionals: Iterable[SipResponse]) -> tuple[SessionDescription | None, str | None]:
    """The answer to our offer, and where it stands: "final", or "provisional" where only a 1xx of its dialog has one.

    RFC 3261 §13.2.1 wants it in the 2xx, and takes the first description for the answer. Where that of the 2xx differs
    it is what trunks follow.
    """
    if (found := description_in(final)) is not None:
        return found, "final"
    early = (description_in(each) for each in provisionals if each.to_tag == final.to_tag)
    found = next((each for each in early if each is not None), None)
    return found, None if found is None else "provisional"


# RFC 3264 §6.1: what the answer to each direction may be.
_MIRRORED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


class _Offer(Protocol):
    def __call__(self, codecs: Sequence[Codec], direction: str = "sendrecv") -> bytes: ...


def answer_to(data: bytes, offer: _Offer) -> bytes | None:
    """The SDP answer to an offer within the call: its first G.711 audio is taken, every other stream refused.

    None when there is nothing to take. `offer` makes a description of ours with one audio section. RFC 3264 §6.
    """
    theirs = read_sdp(data)
    if theirs is None:
        return None
    taken = next((number for number, media in enumerate(theirs.media) if _is_takable(media)), None)
    if taken is None:
        return None
    media = theirs.media[taken]
    codecs = [each for each in media.codecs if _is_known(each)]
    try:
        answer = offer(codecs, _MIRRORED[media.direction])
    except WireError:
        return None
    head, mark, section = answer.partition(b"m=")
    sections = [mark + section if number == taken else _refused(each) for number, each in enumerate(theirs.media)]
    return head + b"".join(sections)


def _is_takable(media: MediaDescription) -> bool:
    usable = media.media == "audio" and media.is_rtp and not media.is_encrypted and bool(media.port)
    return usable and (media.has("PCMA") or media.has("PCMU"))


def _is_known(codec: Codec) -> bool:
    return (codec.encoding or "").upper() in ("PCMA", "PCMU", "TELEPHONE-EVENT") and codec.clock_rate_hz == 8000


def _refused(media: MediaDescription) -> bytes:
    """The section that refuses a stream: RFC 3264 §6 wants its media, protocol and formats, and port 0."""
    line = f"m={media.media} 0 {media.protocol} {' '.join(media.formats[:16])}"
    return line.encode("utf-8", "surrogateescape").translate(None, b"\r\0") + b"\r\n"
