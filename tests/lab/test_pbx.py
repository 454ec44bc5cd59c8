"""The customer's PBX: whole runs of `vsipcheck pbx` against real ones, broken ones, and what only looks like one."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lab import Lab, Resolver, Scenario
from lab.laboratory import COMMAND, find_program
from lab.pbx_calls import CALLS
from lab.pbx_peers import BEHIND_SBC, RTP_PORT, answerer, baresip, media, sbc, tls_listener
from lab.scenario import IN2, PBX, PBX_PORT, PUBLIC, PUBLIC_PBX, RESOLVER
from lab.sipp import Sipp, listening_sipp
from lab.verdicts import NAT_PLAIN, REACHES_ALL, Case, check_report, differences, keep, told

NUMBER = "+918040000000"
ELSEWHERE = "49.44.77.77"
"""The public address that `CALLS` names where an answer points to another host."""
NAME = "pbx.example.com"
INVITE = ("--invite", NUMBER)
RTP = (*INVITE, "--rtp")
BRIEFLY = (*INVITE, "--ring", "1", "--timeout", "2")

Peer = Callable[[Lab], AbstractContextManager[Any]]


def sipp(
    name: str,
    *,
    node: str = "pbx",
    address: str = PBX,
    port: int = PBX_PORT,
    transport: Any = "t1",
    options: tuple[str, ...] = (),
) -> Peer:
    """SIPp that takes calls as `CALLS` has it."""
    where = ("-mi", address, *options)
    return lambda lab: listening_sipp(
        lab, name, CALLS[name], node=node, address=address, port=port, transport=transport, options=where
    )


def public(name: str, *options: str) -> Peer:
    return sipp(name, node="pbx_public", address=PUBLIC_PBX, options=options)


def echoing(name: str) -> Peer:
    return sipp(name, options=("-mp", str(RTP_PORT), "-rtp_echo"))


def other(mode: str) -> Peer:
    """A listener of `answerers.py`, which is no PBX or not much of one."""
    return lambda lab: answerer(lab, mode)


@contextmanager
def behind_sbc(lab: Lab) -> Iterator[Sipp]:
    """SIPp, which calls reach through Kamailio alone."""
    with sbc(lab), sipp("behind-sbc", port=BEHIND_SBC, transport="u1")(lab) as running:
        yield running


def nothing(lab: Lab) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Try:
    """Who stands at the PBX's address, what else is there, and what is right to say of it.

    `findings` as in `Case`. `hears`: the methods that SIPp has to hear of the calls, OPTIONS left out, in order.
    """

    peer: Peer
    findings: str
    arguments: tuple[str, ...] = INVITE
    hears: str | None = None
    rtp: str | None = None
    """The mode in which something else takes the RTP."""
    between: str | None = None
    """A rule of nft for what the router forwards."""
    host: str = PBX
    media: str | None = None
    """Where the answer wants its audio, if that is another address than the PBX's and may get any; `-` if none may."""
    says: tuple[str, ...] = ()
    exit_code: int | None = None


SPEAKS = "pbx.transport * pass sip_answered - proven\n"
ANSWERED = SPEAKS + "pbx.options * pass answered\n"
NO_SIP = "pbx.call * unknown not_placed undetermined\npbx.codecs * unknown unseen undetermined"
UNSEEN = "pbx.codecs * unknown unseen undetermined"
DTMF = "pbx.dtmf * pass telephone_event\n"
INSIDE = "pbx.media_address * unknown seen_from_inside\npbx.contact * unknown seen_from_inside\n"
OUTSIDE = "pbx.media_address * pass same_address\npbx.contact * pass same_host\n"
CALLED = "INVITE ACK BYE"
REFUSED = "INVITE ACK"
CANCELLED = "INVITE CANCEL ACK"
TAKEN = "pbx.call * pass answered - proven\n"
GOOD = TAKEN + "pbx.codecs * pass both_accepted - proven\n" + DTMF
ORDERLY = "pbx.dialog * pass orderly\n"
WHOLE = ANSWERED + GOOD + ORDERLY
RETURNED = "pbx.rtp * pass returned - proven"
BARESIP = "PCMA/8000/1,PCMU/8000/1"


def refused(verdict: str) -> str:
    """The call was not taken, of which `verdict` is what is right to say."""
    return f"{ANSWERED}pbx.call * {verdict}\n{UNSEEN}"


def flawed(finding: str) -> str:
    """Everything else is as it should be."""
    others = [line for line in (WHOLE + OUTSIDE + INSIDE).splitlines() if line.split()[0] != finding.split()[0]]
    return "\n".join([line for line in others if not line.startswith(("pbx.media", "pbx.contact"))] + [finding])


TRIES = {
    # --- by the book
    "plain": Try(sipp("plain"), WHOLE + INSIDE, hears=CALLED, exit_code=0),
    "public": Try(
        public("plain"),
        WHOLE + OUTSIDE,
        host=PUBLIC_PBX,
        hears=CALLED,
        exit_code=0,
        says=("Server: Example PBX 1.0. Supported: replaces, timer.",),
    ),
    "at-once": Try(sipp("at-once"), WHOLE + INSIDE, hears=CALLED, exit_code=0),
    "early-media": Try(sipp("early-media"), WHOLE + INSIDE, hears=CALLED, exit_code=0, says=("Early media",)),
    "retransmits": Try(sipp("retransmits"), WHOLE + RETURNED, RTP, "INVITE ACK ACK ACK BYE", rtp="same"),
    "re-invites": Try(sipp("re-invites"), WHOLE + RETURNED, RTP, CALLED, rtp="same", says=("renegotiated",)),
    "re-invites-without-g711": Try(sipp("re-invites-without-g711"), WHOLE + RETURNED, RTP, CALLED, rtp="same"),
    "forked": Try(sipp("forked"), WHOLE, hears=CALLED),
    "forks-answer-twice": Try(sipp("forks-answer-twice"), WHOLE, RTP, "INVITE ACK ACK BYE BYE", rtp="same"),
    "behind-sbc": Try(behind_sbc, SPEAKS + GOOD + ORDERLY + INSIDE, hears=CALLED, exit_code=0),
    "baresip": Try(lambda lab: baresip(lab, NUMBER, BARESIP), SPEAKS + GOOD + ORDERLY + RETURNED, RTP, exit_code=0),
    # Asked for no call, the codecs are what a row of the checklist wants to know, and nothing says.
    "no-call": Try(sipp("plain"), ANSWERED + f"pbx.call * skip not_asked\n{UNSEEN}", (), "", exit_code=3),
    # --- OPTIONS ignored or refused by what takes calls
    "silent-to-options": Try(
        sipp("silent-to-options"),
        "pbx.transport * pass call_answered - proven\npbx.options * unknown ignored pbx\n" + GOOD + ORDERLY,
        (*INVITE, "--timeout", "1"),
        CALLED,
        exit_code=0,
    ),
    "options-405": Try(sipp("options-405"), SPEAKS + "pbx.options * pass allow_absent\n" + GOOD, hears=CALLED),
    "options-403": Try(sipp("options-403"), SPEAKS + "pbx.options * unknown source_rejected\n" + GOOD, hears=CALLED),
    # --- codecs: one in an answer is legal, so that the other is asked for
    "pcma-only": Try(
        sipp("pcma-only"), ANSWERED + TAKEN + "pbx.codecs * pass each_accepted - proven", hears=f"{CALLED} {CALLED}"
    ),
    "pcma-and-no-pcmu": Try(
        sipp("pcma-and-no-pcmu"), flawed("pbx.codecs * warn fallback_refused pbx"), hears=f"{CALLED} {REFUSED}"
    ),
    "pcmu-only": Try(sipp("pcmu-only"), flawed("pbx.codecs * warn fallback_chosen pbx"), hears=CALLED),
    "pcmu-first": Try(sipp("pcmu-first"), flawed("pbx.codecs * warn preferred_not_first pbx proven"), hears=CALLED),
    "g729-only": Try(sipp("g729-only"), flawed("pbx.codecs * fail no_g711 pbx proven"), exit_code=1),
    "stream-refused": Try(
        sipp("stream-refused"), ANSWERED + "pbx.codecs * fail audio_rejected pbx proven", exit_code=1
    ),
    "no-description": Try(
        sipp("no-description"), ANSWERED + "pbx.codecs * fail no_answer_sdp pbx proven", hears=CALLED, exit_code=1
    ),
    "answer-only-early": Try(
        sipp("answer-only-early"),
        flawed("pbx.codecs * warn answer_only_early pbx proven") + f"\n{RETURNED}",
        RTP,
        CALLED,
        rtp="same",
    ),
    "savp": Try(
        sipp("savp"), ANSWERED + "pbx.media_address * fail srtp_answered pbx proven", hears=CALLED, exit_code=1
    ),
    "no-events": Try(sipp("no-events"), flawed("pbx.dtmf * warn no_telephone_event pbx proven"), hears=CALLED),
    "ptime-40": Try(sipp("ptime-40"), WHOLE, hears=CALLED),
    # --- where media goes
    "private-media": Try(
        public("private-media"),
        flawed("pbx.media_address * fail private_address pbx proven") + "\npbx.rtp * unknown withheld",
        RTP,
        host=PUBLIC_PBX,
        media="-",
        hears=CALLED,
        exit_code=1,
    ),
    "private-media-in-the-lan": Try(
        sipp("private-media"), WHOLE + INSIDE + "pbx.rtp * warn nothing_returned", RTP, media="10.1.2.3", exit_code=0
    ),
    "media-elsewhere": Try(
        public("media-elsewhere"),
        flawed("pbx.media_address * unknown other_address") + "\npbx.rtp * unknown nothing_returned_to_private",
        RTP,
        host=PUBLIC_PBX,
        media=ELSEWHERE,
        exit_code=0,
    ),
    "names-another-address": Try(
        sipp("names-another-address"),
        WHOLE
        + "pbx.media_address * unknown other_address undetermined\npbx.contact * unknown other_address undetermined",
        hears=CALLED,
        exit_code=0,
    ),
    "media-by-name": Try(sipp("media-by-name"), flawed("pbx.media_address * warn hostname pbx proven"), RTP, media="-"),
    "media-on-a-service": Try(
        public("media-on-a-service"),
        flawed("pbx.media_address * warn port_outside pbx proven") + "\npbx.rtp * unknown withheld",
        RTP,
        host=PUBLIC_PBX,
        media="-",
    ),
    "media-nowhere": Try(
        sipp("media-nowhere"),
        flawed("pbx.media_address * fail unusable_address pbx proven") + "\npbx.rtp * unknown withheld",
        RTP,
        media="-",
        exit_code=1,
    ),
    "media-on-loopback": Try(
        sipp("media-on-loopback"),
        flawed("pbx.media_address * fail unusable_address pbx proven") + "\npbx.rtp * unknown withheld",
        RTP,
        media="-",
        exit_code=1,
    ),
    "inactive": Try(sipp("inactive"), flawed("pbx.media_address * warn not_both_ways pbx proven")),
    # --- where requests go
    "contact-tls": Try(sipp("contact-tls"), flawed("pbx.contact * fail tls pbx proven"), hears=CALLED, exit_code=1),
    "contact-sips": Try(sipp("contact-sips"), flawed("pbx.contact * fail tls pbx proven"), hears=CALLED, exit_code=1),
    "contact-udp": Try(sipp("contact-udp"), flawed("pbx.contact * warn transport_unstated pbx proven"), hears=CALLED),
    "contact-private": Try(
        public("contact-private"),
        flawed("pbx.contact * fail private_address pbx proven"),
        hears=CALLED,
        host=PUBLIC_PBX,
        exit_code=1,
    ),
    "contact-private-in-the-lan": Try(sipp("contact-private"), WHOLE + INSIDE, hears=CALLED, exit_code=0),
    "contact-elsewhere": Try(
        public("contact-elsewhere"), flawed("pbx.contact * warn other_address"), hears=CALLED, host=PUBLIC_PBX
    ),
    "route-elsewhere": Try(public("route-elsewhere"), ANSWERED + GOOD, hears=CALLED, host=PUBLIC_PBX),
    "no-contact": Try(sipp("no-contact"), flawed("pbx.contact * fail missing pbx proven"), hears=CALLED, exit_code=1),
    "no-record-route": Try(
        sipp("no-record-route"),
        flawed("pbx.dialog * fail record_route_dropped pbx proven"),
        hears=CALLED,
        exit_code=1,
    ),
    # --- not taken: what we are to the PBX, and what the number is, is not its fault
    "hangs-up": Try(
        sipp("hangs-up"),
        ANSWERED + GOOD + "pbx.dialog * warn hung_up_first pbx proven\npbx.rtp * unknown too_few|not_sent",
        RTP,
        REFUSED,
        rtp="same",
    ),
    "rings": Try(
        sipp("rings"), refused("pass rang") + "\npbx.dialog * pass cancelled", BRIEFLY, CANCELLED, exit_code=3
    ),
    "unavailable-when-cancelled": Try(
        sipp("unavailable-when-cancelled"), refused("pass rang") + "\npbx.dialog * pass cancelled", BRIEFLY, CANCELLED
    ),
    "early-media-for-ever": Try(
        sipp("early-media-for-ever"),
        ANSWERED + "pbx.call * unknown progress_only\npbx.codecs * pass both_accepted\npbx.dialog * pass cancelled",
        BRIEFLY,
        CANCELLED,
    ),
    "answers-while-cancelled": Try(
        sipp("answers-while-cancelled"), WHOLE, BRIEFLY, "INVITE CANCEL ACK BYE", exit_code=0
    ),
    "dead-after-trying": Try(
        sipp("dead-after-trying"),
        refused("unknown trying_only") + "\npbx.dialog * warn cancel_ignored pbx likely",
        BRIEFLY,
        exit_code=3,
    ),
    "dead-after-ringing": Try(
        sipp("dead-after-ringing"), refused("pass rang") + "\npbx.dialog * warn cancel_ignored pbx likely", BRIEFLY
    ),
    "dead-to-invite": Try(sipp("dead"), refused("unknown silent"), BRIEFLY, exit_code=3),
    "hangs-up-ringing": Try(
        other("hangs_up_ringing"), SPEAKS + f"pbx.call * fail lost_in_setup pbx\n{UNSEEN}", exit_code=1
    ),
    # --- answers that are none: what they would have said is not guessed
    "no-length": Try(sipp("no-length"), refused("unknown garbled undetermined"), hears=CALLED, exit_code=3),
    "length-too-large": Try(
        sipp("length-too-large"), refused("unknown incomplete_answer undetermined"), BRIEFLY, exit_code=3
    ),
    "302": Try(sipp("302"), refused("warn redirected pbx possible"), hears=REFUSED),
    "401": Try(sipp("401"), refused("unknown source_rejected"), hears=REFUSED, exit_code=3),
    "403": Try(sipp("403"), refused("unknown source_rejected"), hears=REFUSED, exit_code=3),
    "407": Try(sipp("407"), refused("unknown source_rejected"), hears=REFUSED, exit_code=3),
    "404": Try(sipp("404"), refused("fail not_routed pbx possible"), hears=REFUSED, exit_code=1),
    "480": Try(sipp("480"), refused("warn unavailable pbx possible"), hears=REFUSED),
    "486": Try(sipp("486"), refused("pass busy"), hears=REFUSED),
    "488": Try(
        sipp("488"),
        ANSWERED + "pbx.call * fail offer_rejected pbx likely\npbx.codecs * fail offer_rejected pbx likely",
        hears=REFUSED,
        exit_code=1,
    ),
    "500": Try(sipp("500"), refused("fail server_error pbx possible"), hears=REFUSED),
    "503": Try(sipp("503"), refused("fail server_error pbx possible"), hears=REFUSED, says=("Retry-After: 60",)),
    "603": Try(sipp("603"), refused("warn declined pbx possible"), hears=REFUSED),
    # --- RTP
    "rtp-sipp-echo": Try(echoing("plain"), WHOLE + RETURNED, RTP, CALLED),
    "rtp-echo-from-outside": Try(
        public("plain", "-mp", str(RTP_PORT), "-rtp_echo"), WHOLE + RETURNED, RTP, host=PUBLIC_PBX
    ),
    # It sends to the address in our offer, which is private: nothing is wrong with it.
    "rtp-not-symmetric": Try(
        lambda lab: baresip(lab, NUMBER, BARESIP, node="pbx_public", address=PUBLIC_PBX),
        GOOD + "pbx.rtp * unknown nothing_returned_to_private undetermined",
        RTP,
        host=PUBLIC_PBX,
        exit_code=0,
    ),
    "rtp-other-port": Try(sipp("plain"), WHOLE + "pbx.rtp * warn other_source pbx proven", RTP, rtp="other_port"),
    "rtp-other-address": Try(sipp("plain"), WHOLE + "pbx.rtp * warn other_source pbx proven", RTP, rtp="other_address"),
    "rtp-halved": Try(sipp("plain"), WHOLE + "pbx.rtp * warn loss undetermined", RTP, rtp="halved"),
    "rtp-relabelled": Try(sipp("plain"), WHOLE + "pbx.rtp * warn other_codec pbx proven", RTP, rtp="relabelled"),
    "rtp-renumbered": Try(sipp("plain"), WHOLE + "pbx.rtp * warn loss undetermined", RTP, rtp="renumbered"),
    "rtp-stops": Try(sipp("plain"), WHOLE + "pbx.rtp * warn stopped undetermined", RTP, rtp="stops"),
    "rtp-noise": Try(sipp("plain"), WHOLE + "pbx.rtp * warn not_rtp undetermined", RTP, rtp="noise"),
    "rtp-mute": Try(sipp("plain"), WHOLE + "pbx.rtp * warn nothing_returned undetermined", RTP, rtp="mute"),
    "rtp-closed": Try(sipp("plain"), WHOLE + "pbx.rtp * warn port_closed undetermined", RTP),
    # --- no SIP over TCP, and what looks like it
    "nothing": Try(nothing, f"pbx.transport * fail refused pbx possible\n{NO_SIP}", exit_code=1),
    "udp-only": Try(
        sipp("plain", transport="u1"), f"pbx.transport * fail udp_only pbx likely\n{NO_SIP}", hears="", exit_code=1
    ),
    "tls-only": Try(tls_listener, f"pbx.transport * fail tls_only pbx proven\n{NO_SIP}", exit_code=1),
    "http": Try(other("http"), f"pbx.transport * fail not_sip pbx proven\n{NO_SIP}", exit_code=1),
    "ssh": Try(other("ssh"), f"pbx.transport * fail not_sip pbx proven\n{NO_SIP}", exit_code=1),
    "ignores-strangers": Try(
        other("mute"),
        f"pbx.transport * unknown silent_after_accept undetermined\npbx.call * unknown silent\n{UNSEEN}",
        (*INVITE, "--timeout", "1"),
        exit_code=3,
    ),
    "hangs-up-on-strangers": Try(
        other("close_at_request"), f"pbx.transport * unknown closed_after_request undetermined\n{NO_SIP}", exit_code=3
    ),
    "dropped-between": Try(
        sipp("plain"),
        f"pbx.transport * unknown connect_timeout undetermined\n{NO_SIP}",
        (*INVITE, "--timeout", "1"),
        "",
        between=f"tcp dport {PBX_PORT} drop",
        exit_code=3,
    ),
    "rejected-between-by-icmp": Try(
        sipp("plain"),
        f"pbx.transport * unknown unreachable undetermined\n{NO_SIP}",
        hears="",
        between=f"tcp dport {PBX_PORT} reject with icmp type admin-prohibited",
        exit_code=3,
    ),
    # A PBX that serves TCP alone answers UDP by ICMP, so that this says nothing about the RST.
    "rejected-between-by-rst": Try(
        sipp("plain"),
        f"pbx.transport * fail refused * possible\n{NO_SIP}",
        hears="",
        between=f"tcp dport {PBX_PORT} reject with tcp reset",
        exit_code=1,
    ),
}


LOOK_ALIKES = [
    # finding, why it passes, what looks like that from the caller's place, and what it is then
    ("pbx.transport", "plain", "tls-only", "fail"),
    ("pbx.transport", "plain", "http", "fail"),
    ("pbx.transport", "plain", "udp-only", "fail"),
    ("pbx.transport", "silent-to-options", "ignores-strangers", "unknown"),
    ("pbx.options", "plain", "options-403", "unknown"),
    ("pbx.options", "options-405", "silent-to-options", "unknown"),
    ("pbx.call", "plain", "early-media-for-ever", "unknown"),
    ("pbx.call", "early-media", "hangs-up-ringing", "fail"),
    ("pbx.call", "rings", "dead-after-trying", "unknown"),
    ("pbx.call", "486", "480", "warn"),
    ("pbx.call", "486", "403", "unknown"),
    ("pbx.codecs", "plain", "pcmu-first", "warn"),
    ("pbx.codecs", "plain", "stream-refused", "fail"),
    ("pbx.codecs", "early-media", "answer-only-early", "warn"),
    # One codec in an answer is legal, whatever the reason.
    ("pbx.codecs", "pcma-only", "pcma-and-no-pcmu", "warn"),
    ("pbx.dtmf", "plain", "no-events", "warn"),
    ("pbx.media_address", "public", "private-media", "fail"),
    ("pbx.media_address", "public", "savp", "fail"),
    ("pbx.media_address", "public", "inactive", "warn"),
    ("pbx.media_address", "public", "media-elsewhere", "unknown"),
    ("pbx.media_address", "public", "private-media-in-the-lan", "unknown"),
    ("pbx.contact", "public", "contact-private", "fail"),
    ("pbx.contact", "public", "contact-tls", "fail"),
    ("pbx.contact", "public", "contact-udp", "warn"),
    ("pbx.contact", "public", "contact-elsewhere", "warn"),
    ("pbx.contact", "public", "names-another-address", "unknown"),
    ("pbx.dialog", "plain", "no-record-route", "fail"),
    ("pbx.dialog", "plain", "hangs-up", "warn"),
    ("pbx.dialog", "rings", "dead-after-ringing", "warn"),
    ("pbx.rtp", "rtp-sipp-echo", "rtp-closed", "warn"),
    ("pbx.rtp", "rtp-sipp-echo", "rtp-halved", "warn"),
    ("pbx.rtp", "rtp-sipp-echo", "rtp-renumbered", "warn"),
    ("pbx.rtp", "rtp-sipp-echo", "rtp-stops", "warn"),
    ("pbx.rtp", "rtp-sipp-echo", "rtp-relabelled", "warn"),
    ("pbx.rtp", "rtp-sipp-echo", "rtp-other-port", "warn"),
    ("pbx.rtp", "rtp-sipp-echo", "rtp-noise", "warn"),
    # The same telephone, called from where it can send to the address that we name, and from where it can't.
    ("pbx.rtp", "baresip", "rtp-not-symmetric", "unknown"),
]


def expectation(name: str) -> Case:
    return Case(Scenario(), None, TRIES[name].findings)


@pytest.mark.parametrize(("finding_id", "passing", "alike", "status"), LOOK_ALIKES)
def test_each_pass_has_a_look_alike(finding_id: str, passing: str, alike: str, status: str) -> None:
    """The table is true of the tries, and the tries are run."""
    assert expectation(passing).expects(finding_id, "pass")
    assert expectation(alike).expects(finding_id, status)
    assert not expectation(alike).expects(finding_id, "pass")


def test_every_pass_has_some_look_alike() -> None:
    """No finding passes anywhere among the tries without one."""
    lines = [line.split() for attempt in TRIES.values() for line in attempt.findings.splitlines()]
    assert {row[0] for row in LOOK_ALIKES} == {words[0] for words in lines if words[2:3] == ["pass"]}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """One customer with two places where nothing listens until a PBX does."""
    missing = [program for program in ("sipp", "baresip") if find_program(program) is None]
    if missing:
        pytest.skip(f"no {' nor '.join(missing)} here (Debian: sip-tester, baresip-core)")
    resolver = Resolver(records=((NAME, (f"A {PUBLIC_PBX}",)),))
    with Lab(Scenario(site="router", pbx=True, resolver=resolver)) as built:
        built.node("host").nft(WATCH)
        yield built


WATCH = """table inet watch {
  set sent { type ipv4_addr . inet_proto . inet_service; flags dynamic; size 65535; }
  set other { type ipv4_addr . inet_proto; flags dynamic; size 65535; }
  chain output { type filter hook output priority 0; oifname "lo" accept;
    meta l4proto { tcp, udp } add @sent { ip daddr . meta l4proto . th dport } accept
    add @other { ip daddr . meta l4proto }
  }
}"""
"""Writes down, at the customer's host, where every packet that leaves it goes."""


def sent_to(lab: Lab) -> set[tuple[Any, ...]]:
    """(address, protocol, port) of every TCP or UDP packet since the last call, (address, protocol) of all others."""
    host = lab.node("host")
    found = set()
    for name in ("sent", "other"):
        listing = json.loads(host.nft_json("list", "set", "inet", "watch", name))
        described = next(entry["set"] for entry in listing["nftables"] if "set" in entry)
        for element in described.get("elem", ()):
            found.add(tuple(element.get("elem", {}).get("val", element)["concat"]))
        host.nft(f"flush set inet watch {name}")
    return found


def strangers(sent: set[tuple[Any, ...]], attempt: Try) -> set[tuple[Any, ...]]:
    """What of it went to neither the host and port that were named, nor the answerer of the session description."""
    media = {None: attempt.host, "-": None}.get(attempt.media, attempt.media)
    with_rtp = "--rtp" in attempt.arguments

    def named(address: str, protocol: str, port: int | None = None) -> bool:
        signalling = address == attempt.host and port in (PBX_PORT, None)
        audio = address == media and protocol == "udp" and port is not None and port >= RTP_PORT
        # The kernel's word that a socket is closed, to those who send to it.
        return signalling or (with_rtp and (audio or (port is None and protocol == "icmp" and address == media)))

    return {each for each in sent if not named(*each)}


def run_pbx(lab: Lab, attempt: Try, name: str) -> tuple[dict[str, Any], Any]:
    """The report of a run, and the peer that was there for it."""
    with ExitStack() as stack:
        edge = lab.node("edge")
        if attempt.between is not None:
            edge.nft("table ip between { chain forward { type filter hook forward priority -10; }; }")
            stack.callback(edge.nft, "delete table ip between")
            edge.nft(f"add rule ip between forward {attempt.between}")
        if attempt.rtp is not None:
            stack.enter_context(media(lab, attempt.rtp))
        peer = stack.enter_context(attempt.peer(lab))
        sent_to(lab)
        done = lab.run([COMMAND, "pbx", f"{attempt.host}:{PBX_PORT}", *attempt.arguments, "--json"])
    keep(f"pbx-{name}", done.stdout)
    assert "Traceback" not in done.stderr, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    check_report(report)
    assert done.returncode == report["exit_code"]
    return report, peer


@pytest.mark.parametrize("name", list(TRIES))
def test_pbx(lab: Lab, name: str) -> None:
    attempt = TRIES[name]
    report, peer = run_pbx(lab, attempt, name)
    wrong = differences(
        report, Case(Scenario(), None, attempt.findings, says=attempt.says, exit_code=attempt.exit_code)
    )
    if attempt.hears is not None and isinstance(peer, Sipp):
        heard = [method for method in peer.methods() if method != "OPTIONS"]
        if heard != attempt.hears.split():
            wrong.append(f"the PBX heard {' '.join(heard)}, not {attempt.hears}")
    if abroad := strangers(sent_to(lab), attempt):
        wrong.append(f"packets went to {abroad}")
    assert not wrong, "\n".join([*wrong, "", *told(report)])


def test_a_name_is_looked_up_and_nothing_else_is_asked(lab: Lab) -> None:
    attempt = replace(TRIES["public"], host=PUBLIC_PBX)
    with public("plain")(lab):
        sent_to(lab)
        done = lab.run([COMMAND, "pbx", f"{NAME}:{PBX_PORT}", *INVITE, "--json"])
        sent = sent_to(lab)
    report = json.loads(done.stdout)
    assert not differences(report, Case(Scenario(), None, attempt.findings)), told(report)
    assert {each[:2] for each in strangers(sent, attempt)} <= {(RESOLVER, "udp"), (RESOLVER, "tcp")}
    assert (PUBLIC_PBX, "tcp", PBX_PORT) in sent


def test_what_reads_files_sends_nothing(lab: Lab) -> None:
    """Neither of the lints looks up a name, or asks anybody anything."""
    sent_to(lab)
    sample = lab.run([COMMAND, "config", "sample", "asterisk-pjsip", "--account-sid", "lab", "--public-ip", PUBLIC])
    assert sample.returncode == 0, sample.stderr
    written = lab.work / "home" / "pjsip.conf"
    written.write_text(sample.stdout)
    written.chmod(0o644)
    done = lab.run([COMMAND, "config", "lint", str(written), "--json"])
    assert json.loads(done.stdout)["findings"], done.stderr
    message = (
        f"INVITE sip:{NUMBER}@{IN2}:5070 SIP/2.0\r\nVia: SIP/2.0/TCP {NAME}:5061;branch=z9hG4bK1\r\n"
        f"From: <sip:+918040000001@lab.pstn.exotel.com>;tag=1\r\nTo: <sip:{NUMBER}@{IN2}>\r\nCall-ID: 1@{NAME}\r\n"
        f"CSeq: 1 INVITE\r\nContact: <sip:+918040000001@{NAME}:5061;transport=tcp>\r\nContent-Length: 0\r\n\r\n"
    )
    done = lab.run([COMMAND, "message", "lint", "-", "--json"], stdin=message)
    assert json.loads(done.stdout)["findings"], done.stderr
    assert sent_to(lab) == set()


def test_a_foreign_reader_finds_every_message_well_formed(lab: Lab) -> None:
    """The dialog of a call with a re-INVITE, as Wireshark reads it at the PBX."""
    tshark = find_program("tshark")
    if tshark is None:
        pytest.skip("no tshark here (Debian: tshark)")
    file = lab.work / "dialog.pcap"
    with sipp("re-invites")(lab) as peer, media(lab, "same"):
        capture = lab.popen(
            ["tshark", "-n", "-i", "uplink", "-w", str(file), "-F", "pcap", "-a", "duration:60"], node="pbx", root=True
        )
        assert capture.stderr is not None
        while "Capturing" not in (line := capture.stderr.readline()):
            assert line, "tshark does not capture"
        lab.run([COMMAND, "pbx", f"{PBX}:{PBX_PORT}", *RTP, "--json"])
        peer.hear("BYE")
        # Packets reach the file some time after they were seen.
        deadline = time.monotonic() + 10
        while not re.search(rb"BYE sip.*SIP/2\.0 200 ", file.read_bytes(), re.DOTALL) and time.monotonic() < deadline:
            time.sleep(0.02)
        capture.send_signal(signal.SIGINT)
        capture.communicate(timeout=20)

    def read(*arguments: str) -> list[str]:
        command = [tshark or "", "-n", "-r", str(file), "-d", f"tcp.port=={PBX_PORT},sip", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    ours = f"ip.src != {PBX}"
    methods = read("-Y", f"sip.Method && {ours}", "-T", "fields", "-e", "sip.Method")
    assert sorted(methods) == ["ACK", "BYE", "INVITE", "OPTIONS", "OPTIONS"]
    assert read("-Y", f"sip.Status-Code && {ours}", "-T", "fields", "-e", "sip.Status-Code") == ["200"]
    described = read("-Y", f"sdp && {ours}", "-T", "fields", "-e", "sdp.media", "-e", "sdp.media_attr")
    assert len(described) == 2
    assert re.match(r"audio \d+ RTP/AVP 8 0 96\b", described[0]), described
    # Whatever its dissectors have to say of a message is "expert information": notes and chats are left out.
    assert read("-Y", f"({ours}) && (_ws.malformed || _ws.expert.severity >= warning)", "-V") == []
    streams = read("-q", "-z", "rtp,streams", "-d", f"udp.port=={RTP_PORT},rtp")
    assert any("g711A" in line for line in streams), streams


@pytest.mark.parametrize(
    ("name", "overall", "rows"),
    [
        ("plain", "ready", {"pbx_transport": "pass", "pbx_codecs": "pass"}),
        ("g729-only", "not_ready", {"pbx_transport": "pass", "pbx_codecs": "fail"}),
        ("savp", "not_ready", {"pbx_transport": "pass"}),
        ("403", "not_proven", {"pbx_transport": "pass", "pbx_codecs": "unknown"}),
        ("", "not_ready", {"pbx_transport": "fail", "pbx_codecs": "unknown"}),
    ],
)
def test_the_checklist(name: str, overall: str, rows: dict[str, str]) -> None:
    """With everything else in order, the PBX is what decides. In a lab of its own, routers have all their answers."""
    with Lab(Scenario(site="router", pbx=True)) as lab, sipp(name)(lab) if name else nullcontext():
        done = lab.run([COMMAND, "all", "--pbx", PBX, *INVITE, "--json"])
    report = json.loads(done.stdout)
    check_report(report)
    keep(f"pbx-all-{name or 'nothing'}", done.stdout)
    wrong = differences(report, Case(Scenario(), overall, REACHES_ALL + NAT_PLAIN))
    assert not wrong, "\n".join([*wrong, "", *told(report)])
    found = {row["id"]: row["status"] for row in report["checklist"]}
    assert {row: found[row] for row in rows} == rows


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("names-its-public-address", "pass", "public_address"),
        # As after a change of the line: a look-alike of the one before.
        ("names-another-address", "warn", "other_address"),
    ],
)
def test_a_pbx_beside_us_that_names_a_public_address(name: str, status: str, reason: str) -> None:
    """Which one is its own, the run measures: the PBX's public address is that of the LAN it stands in."""
    with Lab(Scenario(site="router", pbx=True)) as lab, sipp(name)(lab):
        done = lab.run([COMMAND, "all", "--pbx", PBX, *INVITE, "--json"])
    report = json.loads(done.stdout)
    check_report(report)
    findings = f"pbx.media_address * {status} {reason}\npbx.contact * {status} {reason}"
    wrong = differences(report, Case(Scenario(), None, WHOLE + findings))
    assert not wrong, "\n".join([*wrong, "", *told(report)])


OURS = ("pbx_transport", "pbx_codecs", "codec_order", "no_registration", "nat_settings", "headers_logged")


def test_all_that_can_be_handed_in_answers_its_rows() -> None:
    """A PBX, its configuration and what it sent, beside the trunk: one checklist, and our own sample is in order."""
    message = Path(__file__).parents[1] / "messages" / "to-provider.sip"
    with Lab(Scenario(site="router", pbx=True)) as lab, sipp("plain")(lab):
        sample = lab.run(
            [COMMAND, "config", "sample", "asterisk-pjsip", "--account-sid", "acme", "--public-ip", "49.36.10.7"]
        )
        configuration, trace = lab.work / "pjsip.conf", lab.work / "call.txt"
        configuration.write_text(sample.stdout)
        trace.write_bytes(message.read_bytes())
        given = ["--pbx-config", str(configuration), "--trace", str(trace), "--exophone", "+918045678901"]
        done = lab.run([COMMAND, "all", "--pbx", PBX, *INVITE, *given, "--account-sid", "acme", "--json"])
    report = json.loads(done.stdout)
    check_report(report)
    found = {row["id"]: row["status"] for row in report["checklist"]}
    wanted = dict.fromkeys((*OURS, "transport_match", "caller_id"), "pass")
    assert {row: found[row] for row in wanted} == wanted, "\n".join(told(report))
    assert (report["overall"], done.returncode) == ("ready", 0), "\n".join(told(report))
