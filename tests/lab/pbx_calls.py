"""How a PBX can take a call, as SIPp scenarios: `CALLS` by name. OPTIONS is answered by the book in each, unless the
scenario says otherwise.

A call that offers PCMU alone is recognised, because one codec in an answer is legal (RFC 3264 §6.1), so that a caller
who wants to know about the other has to ask again.
"""

from __future__ import annotations

from lab.pbx_peers import RTP_PORT
from lab.scenario import PUBLIC
from lab.sipp import CALL_ID, CSEQ, FROM, LENGTH, TO, VIA, answer, send, usual

PCMA, PCMU, EVENTS, G729 = "8 PCMA/8000", "0 PCMU/8000", "96 telephone-event/8000", "18 G729/8000"
BOTH = (PCMA, PCMU, EVENTS)
CONTACT = "Contact: <sip:[local_ip]:[local_port];transport=tcp>"
ROUTE = "[last_Record-Route:]"
SDP = "Content-Type: application/sdp"
ALLOW = "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH, MESSAGE"
TOLD = (ALLOW, "Accept: application/sdp", "Supported: replaces, timer", "Server: Example PBX 1.0")

OPTIONS_BY_THE_BOOK = usual("200 OK", CONTACT, *TOLD, options='next="done"')


def sdp(
    *codecs: str,
    address: str = "[media_ip]",
    port: int = RTP_PORT,
    profile: str = "RTP/AVP",
    lines: tuple[str, ...] = ("a=ptime:20", "a=sendrecv"),
) -> str:
    """A description with these codecs, in this order."""
    formats = " ".join(codec.split()[0] for codec in codecs)
    head = ("v=0", f"o=pbx 7 7 IN IP4 {address}", "s=call", f"c=IN IP4 {address}", "t=0 0")
    return "\n".join((*head, f"m=audio {port} {profile} {formats}", *(f"a=rtpmap:{codec}" for codec in codecs), *lines))


def call(*steps: str, options: str = OPTIONS_BY_THE_BOOK) -> str:
    """The scenario whose calls go through `steps`, and whose OPTIONS through `options`."""
    return "\n".join(
        (
            """<recv request="INVITE" optional="true" rrs="true" next="call"><action>
<ereg regexp="[0-9]+" search_in="hdr" header="CSeq:" assign_to="number"/>
<ereg regexp="[^ ].*" search_in="hdr" header="Via:" assign_to="via"/>
<ereg regexp="[^ ].*" search_in="hdr" header="From:" assign_to="from"/>
<ereg regexp="[^ ].*" search_in="hdr" header="To:" assign_to="to"/>
<ereg regexp="[^ ].*" search_in="hdr" header="Record-Route:" assign_to="route"/>
<ereg regexp="RTP/AVP 0( 96)?[^ 0-9]" search_in="body" assign_to="pcmu_alone"/>
</action></recv>
<recv request="OPTIONS"/>""",
            options,
            '<label id="call"/>',
            *steps,
            '<label id="done"/>\n<pause milliseconds="1"/>',
            '<Reference variables="number,via,from,to,route,pcmu_alone"/>',
        )
    )


def framed(*length: str) -> str:
    """The 200 with a description, and with this Content-Length or none."""
    return answer("200 OK", VIA, FROM, TO, CALL_ID, CSEQ, CONTACT, ROUTE, SDP, *length, body=sdp(*BOTH))


TRYING = answer("100 Trying", VIA, FROM, "[last_To:]", CALL_ID, CSEQ, LENGTH)
RINGING = usual("180 Ringing", CONTACT, ROUTE)
ACK = '<recv request="ACK"/>'
HUNG_UP = '<recv request="BYE"/>\n' + answer("200 OK", VIA, FROM, "[last_To:]", CALL_ID, CSEQ, LENGTH)
FOREVER = '<pause milliseconds="600000"/>'


def ok(body: str, *, contact: str = CONTACT, route: str = ROUTE, options: str = "") -> str:
    """The 200 with a description."""
    headers = tuple(filter(None, (contact, route, ALLOW, SDP)))
    return usual("200 OK", *headers, body=body, options=options)


def taken(body: str, **more: str) -> str:
    """A call that rings, is answered with `body`, and hung up by the caller."""
    return call(TRYING, RINGING, ok(body, **more), ACK, HUNG_UP)


def refused(start: str, *headers: str) -> str:
    return call(TRYING, usual(start, *headers), ACK)


def only(codec: str, other: str) -> str:
    """A PBX that picks `codec` where it may, and `other`, a whole step, where PCMU alone is offered."""
    return call(
        TRYING,
        '<nop next="pcmu" test="pcmu_alone"/>',
        ok(sdp(codec, EVENTS), options='next="taken"'),
        f'<label id="pcmu"/>\n{other}',
        f'<label id="taken"/>\n{ACK}',
        HUNG_UP,
    )


DIGEST = 'Digest realm="asterisk", nonce="1764045296/5f1e", opaque="1", algorithm=MD5, qop="auth"'
FIRST, SECOND = "[last_To:];tag=first", "[last_To:];tag=second"


def forked(start: str, tag: str, *headers: str, body: str = "") -> str:
    return answer(start, VIA, FROM, tag, CALL_ID, CSEQ, CONTACT, ROUTE, *headers, LENGTH, body=body)


def own_request(method: str, number: int, *headers: str, body: str = "") -> str:
    """A request of the PBX's own in the dialog that it answered."""
    return send(
        f"{method} [next_url] SIP/2.0",
        "Via: SIP/2.0/TCP [local_ip]:[local_port];branch=[branch]",
        "From: [$to];tag=[pid]-[call_number]",
        "To: [$from]",
        "[routes]",
        CALL_ID,
        f"CSeq: {number} {method}",
        CONTACT,
        "Max-Forwards: 70",
        *headers,
        LENGTH,
        body=body,
    )


CANCELLED = '<recv request="CANCEL"/>\n' + usual("200 OK")


def ended(start: str) -> str:
    """The answer to the INVITE that CANCEL brings. Its To has no tag, so that it gets the same one as before."""
    return answer(start, VIA, FROM, TO, CALL_ID, "CSeq: [$number] INVITE", LENGTH)


TERMINATED = ended("487 Request Terminated")
EARLY = usual("183 Session Progress", CONTACT, ROUTE, SDP, body=sdp(*BOTH))

AGAIN = answer(
    "200 OK",
    "Via: [$via]",
    "From: [$from]",
    "To: [$to];tag=[pid]-[call_number]",
    CALL_ID,
    "CSeq: [$number] INVITE",
    CONTACT,
    "Record-Route: [$route]",
    SDP,
    LENGTH,
    body=sdp(*BOTH),
)
"""The 200 once more, which is due until the ACK has come, over TCP as well (RFC 3261 §13.3.1.4)."""

CALLS = {
    # --- taken, by the book
    "plain": taken(sdp(*BOTH)),
    "at-once": call(ok(sdp(*BOTH)), ACK, HUNG_UP),
    "early-media": call(TRYING, EARLY, '<pause milliseconds="200"/>', ok(sdp(*BOTH)), ACK, HUNG_UP),
    "answer-only-early": call(TRYING, EARLY, usual("200 OK", CONTACT, ROUTE), ACK, HUNG_UP),
    "retransmits": call(TRYING, ok(sdp(*BOTH)), ACK, AGAIN, ACK, AGAIN, ACK, HUNG_UP),
    "behind-sbc": taken(sdp(*BOTH), contact="Contact: <sip:[local_ip]:[local_port]>"),
    "forked": call(
        TRYING,
        forked("180 Ringing", FIRST),
        forked("180 Ringing", SECOND),
        forked("200 OK", SECOND, SDP, body=sdp(*BOTH)),
        ACK,
        HUNG_UP,
    ),
    "pcma-only": only(PCMA, ok(sdp(PCMU, EVENTS))),
    "silent-to-options": call(TRYING, RINGING, ok(sdp(*BOTH)), ACK, HUNG_UP, options=FOREVER),
    "options-405": call(
        TRYING, RINGING, ok(sdp(*BOTH)), ACK, HUNG_UP, options=usual("405 Method Not Allowed", options='next="done"')
    ),
    "options-403": call(
        TRYING, RINGING, ok(sdp(*BOTH)), ACK, HUNG_UP, options=usual("403 Forbidden", options='next="done"')
    ),
    # --- taken, with a flaw
    "pcmu-first": taken(sdp(PCMU, PCMA, EVENTS)),
    "pcmu-only": only(PCMU, ok(sdp(PCMU, EVENTS))),
    "pcma-and-no-pcmu": only(PCMA, usual("488 Not Acceptable Here") + '\n<recv request="ACK" next="done"/>'),
    "g729-only": taken(sdp(G729, EVENTS)),
    "no-events": taken(sdp(PCMA, PCMU)),
    "stream-refused": taken(sdp(*BOTH, port=0)),
    "no-description": call(TRYING, usual("200 OK", CONTACT, ROUTE), ACK, HUNG_UP),
    "savp": taken(sdp(*BOTH, profile="RTP/SAVP", lines=("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40,))),
    "ptime-40": taken(sdp(*BOTH, lines=("a=ptime:40", "a=sendrecv"))),
    "inactive": taken(sdp(*BOTH, lines=("a=ptime:20", "a=inactive"))),
    "private-media": taken(sdp(*BOTH, address="10.1.2.3")),
    "media-elsewhere": taken(sdp(*BOTH, address="49.44.77.77")),
    "names-its-public-address": taken(
        sdp(*BOTH, address=PUBLIC), contact=f"Contact: <sip:{PUBLIC}:[local_port];transport=tcp>"
    ),
    "names-another-address": taken(
        sdp(*BOTH, address="49.44.77.77"), contact="Contact: <sip:49.44.77.77:[local_port];transport=tcp>"
    ),
    "media-nowhere": taken(sdp(*BOTH, address="0.0.0.0")),
    "media-by-name": taken(sdp(*BOTH, address="media.example.com")),
    "media-on-a-service": taken(sdp(*BOTH, address="49.44.77.77", port=53)),
    "media-on-loopback": taken(sdp(*BOTH, address="127.0.0.1")),
    "contact-tls": taken(sdp(*BOTH), contact="Contact: <sip:[local_ip]:[local_port];transport=tls>"),
    "contact-sips": taken(sdp(*BOTH), contact="Contact: <sips:[local_ip]:[local_port]>"),
    "contact-udp": taken(sdp(*BOTH), contact="Contact: <sip:[local_ip]:[local_port]>"),
    "contact-private": taken(sdp(*BOTH), contact="Contact: <sip:10.1.2.3:[local_port];transport=tcp>"),
    "contact-elsewhere": taken(sdp(*BOTH), contact="Contact: <sip:49.44.77.78:[local_port];transport=tcp>"),
    "no-contact": taken(sdp(*BOTH), contact=""),
    "no-record-route": taken(sdp(*BOTH), route=""),
    "route-elsewhere": taken(
        sdp(*BOTH), route="Record-Route: <sip:49.44.77.79;transport=tcp;lr>, <sip:49.44.77.80;lr>\n" + ROUTE
    ),
    # --- the end is the PBX's
    "hangs-up": call(
        TRYING,
        ok(sdp(*BOTH)),
        ACK,
        own_request("BYE", 1),
        '<recv response="200"/>',
    ),
    "re-invites": call(
        TRYING,
        ok(sdp(*BOTH)),
        ACK,
        own_request("INVITE", 1, SDP, body=sdp(*BOTH)),
        '<recv response="100" optional="true"/>',
        '<recv response="488" optional="true" next="again"/>',
        '<recv response="491" optional="true" next="again"/>',
        '<recv response="200"/>',
        '<label id="again"/>',
        own_request("ACK", 1),
        HUNG_UP,
    ),
    "re-invites-without-g711": call(
        TRYING,
        ok(sdp(*BOTH)),
        ACK,
        own_request("INVITE", 1, SDP, body=sdp(G729)),
        '<recv response="488"/>',
        own_request("ACK", 1),
        HUNG_UP,
    ),
    # The caller hears no more of it, and has closed the connection.
    "no-length": call(TRYING, RINGING, framed(), ACK, '<recv request="BYE"/>', FOREVER),
    "length-too-large": call(TRYING, RINGING, framed("Content-Length: 8000"), FOREVER),
    "forks-answer-twice": call(
        TRYING,
        forked("200 OK", FIRST, SDP, body=sdp(*BOTH)),
        ACK,
        AGAIN,
        ACK,
        HUNG_UP,
        HUNG_UP,
    ),
    # --- not taken
    "rings": call(TRYING, RINGING, CANCELLED, TERMINATED, ACK),
    "unavailable-when-cancelled": call(TRYING, RINGING, CANCELLED, ended("480 Temporarily Unavailable"), ACK),
    "early-media-for-ever": call(TRYING, EARLY, CANCELLED, TERMINATED, ACK),
    "answers-while-cancelled": call(TRYING, RINGING, CANCELLED, AGAIN, ACK, HUNG_UP),
    "dead-after-trying": call(TRYING, FOREVER),
    "dead-after-ringing": call(TRYING, RINGING, FOREVER),
    "dead": call(FOREVER),
    "302": refused("302 Moved Temporarily", "Contact: <sip:49.44.77.81;transport=tcp>"),
    "401": refused("401 Unauthorized", f"WWW-Authenticate: {DIGEST}"),
    "403": refused("403 Forbidden"),
    "404": refused("404 Not Found"),
    "407": refused("407 Proxy Authentication Required", f"Proxy-Authenticate: {DIGEST}"),
    "480": refused("480 Temporarily Unavailable"),
    "486": refused("486 Busy Here"),
    "488": refused("488 Not Acceptable Here"),
    "500": refused("500 Server Internal Error"),
    "503": refused("503 Service Unavailable", "Retry-After: 60"),
    "603": refused("603 Decline"),
}
