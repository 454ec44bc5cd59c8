"""`sip.alg`: what every combination of NAT, ALG and server looks like from inside, and one row for every verdict."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import msgspec
import pytest
from checks.fakes import LOCAL, FakeNetwork, measured, serving

from vsipcheck.checks.base import Facts
from vsipcheck.checks.dns import check as dns_check
from vsipcheck.checks.sip import check as sip_check
from vsipcheck.checks.sip.alg import judge_alg
from vsipcheck.checks.sip.dialogue import ALG_DOCUMENTATION, ALG_OWN, ALG_PUBLIC
from vsipcheck.model import (
    AnyFact,
    CheckEvidence,
    Exchange,
    Failure,
    Family,
    FaultDomain,
    Finding,
    Hop,
    Icmp,
    Message,
    Settings,
    Status,
)
from vsipcheck.net import SystemLookup
from vsipcheck.profiles import load_profile, override
from vsipcheck.wire.sip.building import build_answer, build_options
from vsipcheck.wire.sip.message import SipRequest
from vsipcheck.wire.sip.reading import parse_message
from vsipcheck.wire.text import escape, unescape

PROFILE = load_profile("exotel-tcp-mumbai")
NAME, OTHER = (pop.fqdn for pop in PROFILE.signalling.pops)
ONE, TWO = "182.76.143.101", "3.108.10.20"
PUBLIC, NOBODY = "49.36.10.7", "192.0.2.1"
PORT = 49152
SETTINGS = Settings(checks=("sip",), timeout_s=0.3)

PASS, WARN, FAIL, UNKNOWN = Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN
NETWORK, OPEN = FaultDomain.LOCAL_NETWORK, FaultDomain.UNDETERMINED


# --- the ways to a server: what stands on them, and how the server fills in Via


def through(request: bytes, local: str, public: str, alg: str, server: str) -> bytes:
    """The answer as the client gets it. `alg` and `server` are as in WORLDS below."""
    message = parse_message(request)
    assert isinstance(message, SipRequest)
    assert message.top_via is not None
    written, hidden, seen = message.top_via.host, local.encode(), public.encode()
    read = request
    if alg == "text":
        read = request.replace(hidden, seen)
    elif alg == "all" or (alg != "none" and written == local):
        read = re.sub(rb"(?m)^(Via: \S+ )[^:;]+", rb"\g<1>" + seen, request)
    arrived = parse_message(read)
    assert isinstance(arrived, SipRequest)
    assert arrived.top_via is not None
    demanded = arrived.top_via.host != public
    tells = {
        "rfc": demanded or arrived.top_via.has_rport,
        "always": True,
        "never": False,
        "rport_only": arrived.top_via.has_rport,
    }[server]
    answer = build_answer(
        arrived,
        200,
        "OK",
        to_tag="t",
        received=public if tells else None,
        rport=PORT if arrived.top_via.has_rport and tells else None,
    )
    if alg == "text":
        answer = answer.replace(seen, hidden)
    elif alg in ("repair", "all"):
        answer = re.sub(rb"(?m)^(Via: \S+ )[^:;]+", rb"\g<1>" + written.encode(), answer)
    elif alg == "helper" and arrived.top_via.host == public:
        # The kernel's: by value, and `received` only in a Via that is this connection's.
        via = re.search(rb"(?m)^Via: .*$", answer)
        assert via is not None
        answer = answer.replace(via[0], via[0].replace(seen, hidden))
    return answer


def request_of(local: str, host: str, *, rport: bool) -> bytes:
    return build_options(
        uri=f"sip:{NAME}:5070;transport=tcp",
        via_host=host,
        via_port=PORT,
        transport="TCP",
        branch=f"z9hG4bK{host}{rport}",
        call_id=f"call-{host}-{rport}",
        from_uri=f"sip:vsipcheck@{local}",
        from_tag="f",
        to_uri=f"sip:{NAME}",
        cseq=1,
        user_agent="vsipcheck/0",
        via_rport=rport,
    )


def exchange(
    purpose: str, sent: bytes, received: bytes | None, *, local: str = LOCAL, name: str = NAME, address: str = ONE
) -> Exchange:
    messages = [Message(sent=True, offset_ms=0.0, text=escape(sent), size=len(sent))]
    failure: Failure | None = Failure.NO_ANSWER
    if received is not None:
        messages.append(Message(sent=False, offset_ms=1.0, text=escape(received), size=len(received)))
        request, answer = parse_message(sent), parse_message(received)
        assert request.top_via is not None
        assert answer.top_via is not None
        same = (request.top_via.sent_by, request.top_via.branch, request.call_id) == (
            answer.top_via.sent_by,
            answer.top_via.branch,
            answer.call_id,
        )
        failure = None if same else Failure.MISMATCH
    return Exchange(
        protocol="sip",
        purpose=purpose,
        connection="sip.1",
        name=name,
        transport="tcp",
        local_address=local,
        local_port=PORT,
        remote_address=address,
        remote_port=5070,
        messages=tuple(messages),
        failure=failure,
    )


def asked(
    alg: str = "none",
    server: str = "rfc",
    *,
    local: str = LOCAL,
    public: str = PUBLIC,
    name: str = NAME,
    address: str = ONE,
) -> list[Exchange]:
    """What the dialogue records: it asks on as long as answers are whole."""
    found: list[Exchange] = []
    steps = [("options", local, True), (ALG_OWN, local, False), (ALG_DOCUMENTATION, NOBODY, False)]
    for purpose, host, rport in steps:
        sent = request_of(local, host, rport=rport)
        found.append(
            exchange(purpose, sent, through(sent, local, public, alg, server), local=local, name=name, address=address)
        )
        if found[-1].failure is not None:
            return found
    told = [parse_message(unescape(each.messages[1].text)).top_via for each in found]
    elsewhere = next((via.received for via in reversed(told) if via and via.received not in (None, local)), None)
    if elsewhere is not None:
        sent = request_of(local, elsewhere, rport=False)
        answer = through(sent, local, public, alg, server)
        found.append(exchange(ALG_PUBLIC, sent, answer, local=local, name=name, address=address))
    return found


def facts_of(*exchanges: AnyFact) -> Facts:
    numbered = tuple(msgspec.structs.replace(fact, id=f"sip.{number}") for number, fact in enumerate(exchanges, 1))
    return Facts({"sip": CheckEvidence(version=1, offset_ms=0.0, duration_ms=0.0, error=None, facts=numbered)})


def judge(*exchanges: AnyFact) -> Finding:
    finding = judge_alg(facts_of(*exchanges), PROFILE, SETTINGS)
    assert (finding.id, finding.target) == ("sip.alg", None)
    assert (finding.fault_domain is None) == (finding.status is PASS)
    assert finding.status is PASS or finding.settle_by
    assert finding.summary.isprintable()
    assert "no SIP ALG on" not in finding.summary
    return finding


def verdict(*exchanges: AnyFact) -> tuple[Status, str, FaultDomain | None]:
    finding = judge(*exchanges)
    return finding.status, finding.reason, finding.fault_domain


SEEN_THROUGH = (PASS, "not_seen", None)
# ALG: "none"; "out" writes the public address over ours in Via and leaves the answer; "repair" puts back what it
# changed; "helper" translates back by value, as nf_nat_sip; "text" replaces our address everywhere and back; "all"
# writes over any sent-by and puts it back.
# Server: "rfc" adds received where RFC 3261 §18.2.1 and RFC 3581 demand it; "always"; "never"; "rport_only".
WORLDS: list[tuple[str, str, tuple[Status, str, FaultDomain | None]]] = [
    ("none", "rfc", SEEN_THROUGH),
    ("none", "always", (UNKNOWN, "blind", OPEN)),
    ("none", "never", (UNKNOWN, "no_received", OPEN)),
    ("none", "rport_only", (WARN, "received_missing", OPEN)),
    ("out", "rfc", (FAIL, "via_rewritten", NETWORK)),
    ("out", "always", (FAIL, "via_rewritten", NETWORK)),
    ("out", "never", (FAIL, "via_rewritten", NETWORK)),
    ("repair", "rfc", (WARN, "received_withheld", NETWORK)),
    ("repair", "always", (UNKNOWN, "blind", OPEN)),
    ("repair", "never", (UNKNOWN, "no_received", OPEN)),
    ("helper", "rfc", (WARN, "via_translated", NETWORK)),
    ("helper", "always", (WARN, "via_translated", NETWORK)),
    ("helper", "never", (UNKNOWN, "no_received", OPEN)),
    ("text", "rfc", (WARN, "received_private", NETWORK)),
    ("text", "always", (WARN, "received_private", NETWORK)),
    ("text", "never", (UNKNOWN, "no_received", OPEN)),
    ("all", "rfc", (WARN, "received_missing", OPEN)),
    ("all", "always", (UNKNOWN, "blind", OPEN)),
    ("all", "never", (UNKNOWN, "no_received", OPEN)),
]


@pytest.mark.parametrize(("alg", "server", "expected"), WORLDS, ids=[f"{alg}-{server}" for alg, server, _ in WORLDS])
def test_truth_table(alg: str, server: str, expected: tuple[Status, str, FaultDomain | None]) -> None:
    assert verdict(*asked(alg, server)) == expected


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("rfc", SEEN_THROUGH),
        ("always", (UNKNOWN, "blind", OPEN)),
        ("never", (UNKNOWN, "no_received", OPEN)),
        ("rport_only", (WARN, "received_missing", OPEN)),
    ],
)
def test_without_a_nat(server: str, expected: tuple[Status, str, FaultDomain | None]) -> None:
    assert verdict(*asked("none", server, local=PUBLIC)) == expected


def test_a_private_line_to_a_private_server_is_no_alg() -> None:
    assert verdict(*asked(public=LOCAL, address="10.1.2.3", name="10.1.2.3")) == SEEN_THROUGH


def test_a_private_line_to_a_public_server_is_suspected_and_told_as_what_it_may_be() -> None:
    finding = judge(*asked(public=LOCAL))
    assert (finding.status, finding.reason) == (WARN, "received_private")
    assert "unless this is a private line" in finding.summary


def test_behind_a_carriers_nat_it_may_be_the_carriers() -> None:
    hop = Hop(target=ONE, series="udp_control", ttl=2, ports=(9,), sent=1, answered=1, address="100.64.0.1")
    finding = judge(*asked("repair"), hop)
    assert (finding.status, finding.reason, finding.fault_domain) == (WARN, "received_withheld", OPEN)
    assert "carrier-grade NAT" in (finding.remedy or "")

    assert verdict(*asked(), hop) == (UNKNOWN, "carrier_nat", OPEN)
    before = msgspec.structs.replace(hop, ttl=1, address="49.44.0.1")
    assert verdict(*asked(), before, hop) == SEEN_THROUGH  # a router inside a cloud


def test_two_servers_are_two_witnesses() -> None:
    finding = judge(*asked("repair"), *asked("repair", name=OTHER, address=TWO))
    assert finding.confidence == "likely"
    assert judge(*asked("repair")).confidence == "possible"


@pytest.mark.parametrize("server", ["never", "always"])
def test_one_server_that_shows_our_via_is_enough(server: str) -> None:
    assert verdict(*asked("none", server), *asked(name=OTHER, address=TWO)) == SEEN_THROUGH


def test_what_another_server_disproves_is_no_alg_of_ours() -> None:
    assert verdict(*asked("repair"), *asked(name=OTHER, address=TWO)) == (UNKNOWN, "contradictory", OPEN)
    finding = judge(*asked("out"), *asked(name=OTHER, address=TWO))
    assert (finding.status, finding.reason, finding.fault_domain) == (FAIL, "via_rewritten", OPEN)
    assert f"not there towards {OTHER}" in finding.summary


def changed(
    purpose: str, host: str, old: str, new: str, *, rport: bool = True, failure: Failure | None = None
) -> Exchange:
    sent = request_of(LOCAL, host, rport=rport)
    answer = through(sent, LOCAL, PUBLIC, "none", "rfc").decode()
    assert old in answer
    found = exchange(purpose, sent, answer.replace(old, new, 1).encode())
    return msgspec.structs.replace(found, failure=failure) if failure else found


ROWS: list[tuple[str, Sequence[AnyFact], tuple[Status, str, FaultDomain | None]]] = [
    ("nothing asked", [], (UNKNOWN, "not_measured", OPEN)),
    (
        "nothing answered",
        [exchange("options", request_of(LOCAL, LOCAL, rport=True), None)],
        (UNKNOWN, "not_answered", OPEN),
    ),
    ("not compared", asked()[:1], (UNKNOWN, "not_compared", OPEN)),
    ("only two compared", asked()[:3], (UNKNOWN, "not_compared", OPEN)),
    (
        "received is ours, and nothing to compare with",
        asked("helper")[:1],
        (WARN, "received_private", NETWORK),
    ),
    ("received is ours here, another there", asked("helper")[:3], (WARN, "received_translated", NETWORK)),
    (
        "nobody's address comes back",
        [*asked()[:2], changed(ALG_DOCUMENTATION, NOBODY, f"={PUBLIC}", f"={NOBODY}", rport=False)],
        (WARN, "received_translated", NETWORK),
    ),
    (
        "two addresses on one connection",
        [*asked()[:2], changed(ALG_DOCUMENTATION, NOBODY, f"={PUBLIC}", "=49.36.10.8", rport=False)],
        (WARN, "received_differs", OPEN),
    ),
    ("UDP", [changed("options", LOCAL, "SIP/2.0/TCP", "SIP/2.0/UDP")], (FAIL, "via_rewritten", NETWORK)),
    ("another port", [changed("options", LOCAL, f"{LOCAL}:49152", f"{LOCAL}:1")], (FAIL, "via_rewritten", NETWORK)),
    ("From", [changed("options", LOCAL, f"@{LOCAL}", f"@{PUBLIC}")], (WARN, "from_rewritten", NETWORK)),
    ("From, a name", [changed("options", LOCAL, f"@{LOCAL}", "@sip.example")], (UNKNOWN, "not_compared", OPEN)),
    (
        "a second Via",
        [changed("options", LOCAL, "From:", "Via: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKx\r\nFrom:")],
        (WARN, "second_via", OPEN),
    ),
    ("branch", [changed("options", LOCAL, "branch=z9hG4bK", "branch=z9hG4bKx")], (WARN, "tampered", OPEN)),
    ("Call-ID", [changed("options", LOCAL, "Call-ID: call", "Call-ID: llac")], (WARN, "tampered", OPEN)),
    (
        "another request's answer",
        [changed("options", LOCAL, "CSeq: 1 ", "CSeq: 7 ", failure=Failure.MISMATCH)],
        (UNKNOWN, "not_answered", OPEN),
    ),
]


@pytest.mark.parametrize(("exchanges", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_verdict(exchanges: Sequence[AnyFact], expected: tuple[Status, str, FaultDomain | None]) -> None:
    assert verdict(*exchanges) == expected


def test_not_seen_is_never_told_as_absence() -> None:
    finding = judge(*asked())
    assert finding.summary.startswith("No SIP ALG was seen: ")
    assert "would not show" in finding.summary
    assert "spare 5070" in finding.summary
    assert "5060" not in judge_alg(facts_of(*asked()), override(PROFILE, port=5060), SETTINGS).summary


# --- measure


def run_behind(alg: str, server: str) -> Facts:
    profile = override(PROFILE, fqdns=[NAME])

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                request = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            writer.write(through(request, LOCAL, PUBLIC, alg, server))
            await writer.drain()

    async def run() -> Facts:
        async with serving(handle) as port:
            network = FakeNetwork(
                names={(NAME, Family.IPV4): SystemLookup((ONE, TWO), 3.0)},
                tcp={(address, PROFILE.signalling.port): port for address in (ONE, TWO)},
                local=LOCAL,
            )
            return await measured(network, [dns_check.CHECK, sip_check.CHECK], profile, SETTINGS)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("alg", "server", "status", "reason"),
    [
        ("none", "rfc", PASS, "not_seen"),
        ("none", "never", UNKNOWN, "no_received"),
        ("out", "rfc", FAIL, "via_rewritten"),
        ("repair", "rfc", WARN, "received_withheld"),
        ("helper", "rfc", WARN, "via_translated"),
        ("text", "rfc", WARN, "received_private"),
    ],
)
def test_measured(alg: str, server: str, status: Status, reason: str) -> None:
    finding = judge_alg(run_behind(alg, server), override(PROFILE, fqdns=[NAME]), SETTINGS)
    assert (finding.status, finding.reason) == (status, reason)
    assert finding.facts


def test_what_is_sent() -> None:
    """Three more OPTIONS on one connection to the first address of the name, without rport."""
    sent = [
        (each.purpose, each.remote_address, parse_message(unescape(each.messages[0].text)).top_via)
        for each in run_behind("none", "rfc").of(Exchange, "sip")
        if each.purpose != "options"
    ]
    assert [(purpose, address) for purpose, address, _ in sent] == [
        (ALG_OWN, ONE),
        (ALG_DOCUMENTATION, ONE),
        (ALG_PUBLIC, ONE),
    ]
    vias = [via for _, _, via in sent if via is not None]
    assert [via.host for via in vias] == [LOCAL, NOBODY, PUBLIC]
    assert not any(via.has_rport for via in vias)
    assert vias[2].port == PORT


# --- a proxy in the server's place


def nearer(ttl: int = 1) -> list[Hop]:
    """A gateway, two routers of the ISP's, and a SYN-ACK to a SYN that gets to the gateway's next hop at most."""
    routers = {1: "192.168.1.1", 2: "49.44.0.1", 3: "49.44.18.25", 4: "182.79.3.1", 5: "182.76.143.1"}
    hops = [
        Hop(
            target=ONE,
            series="udp_control",
            ttl=number,
            ports=(9,),
            sent=1,
            answered=1,
            address=address,
            icmp=Icmp(address=address, type=11, code=0),
        )
        for number, address in routers.items()
    ]
    answer = Hop(
        target=ONE, series="tcp_5070", ttl=ttl, ports=(5070,), sent=2, answered=1, address=ONE, rtt_ms=0.4, reached=True
    )
    return [*hops, answer]


def test_a_proxy_says_where_the_alg_is() -> None:
    finding = judge(*asked("repair"), *nearer())
    assert (finding.status, finding.reason, finding.fault_domain) == (WARN, "received_withheld", NETWORK)
    assert finding.confidence != "possible"


def test_a_proxy_tips_the_scales_where_the_comparison_says_nothing() -> None:
    for server in ("never", "always"):
        finding = judge(*asked("repair", server), *nearer())
        assert (finding.status, finding.reason, finding.fault_domain) == (WARN, "answered_from_nearer", NETWORK)


def test_a_proxy_that_hands_on_sip_as_it_is_is_no_alg() -> None:
    assert verdict(*asked(), *nearer()) == SEEN_THROUGH


def test_the_server_itself_is_no_proxy() -> None:
    assert verdict(*asked("none", "always"), *nearer(ttl=6)) == (UNKNOWN, "blind", OPEN)
