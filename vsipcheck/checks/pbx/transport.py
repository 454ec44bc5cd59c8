"""Whether the PBX speaks SIP over TCP.

What can be seen, what else would look just like it, and so what may be said:

- Anything that is SIP, a rejection as much as a 200, a provisional answer, a request of its own, the pong of RFC 5626,
  or an answer to the INVITE where OPTIONS is ignored: a SIP server reads TCP there. Pass. A PBX that rejects sources
  that it does not know is right to.
- RST: no listener, or a firewall that rejects so. Fail; with SIP over UDP on the same port `likely`. An ICMP
  port-unreachable for UDP adds nothing: a PBX that serves TCP alone, behind such a firewall, sends it as well.
- SYNs that nobody answers, an ICMP error: the PBX was not reached. A firewall that lets in the provider alone looks
  just so, and is right to. Unknown, and how to let the test in.
- Accepted, and silent or closed: a server or a firewall that drops sources that it does not know, or no SIP server.
  Unknown, unless a ClientHello is answered by TLS: then the port is a SIPS port, which 5061 is by RFC 3261 §19.1.2.
- Accepted, and another protocol, our own bytes or a flood come back: no SIP server. Fail.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial

from vsipcheck.checks.pbx.target import Pbx
from vsipcheck.checks.pbx.verdict import (
    GUIDE_BEFORE,
    IN_ITS_LOG,
    REJECTED,
    RUN_AGAIN,
    count,
    let_in,
    our_address,
    quoted,
    verdict,
)
from vsipcheck.model import Confidence, Connection, Exchange, Failure, FaultDomain, Finding, Measure, Profile, Status

TRANSPORT = "pbx.transport"

_TIMEOUTS = frozenset({Failure.CONNECT_TIMEOUT, Failure.KERNEL_TIMEOUT})
# Who answers says more than silence, and this host's own refusal most.
_TELLING = (
    Failure.LOCAL_DENIED,
    Failure.ADDRESS_UNAVAILABLE,
    Failure.NO_ROUTE,
    Failure.REFUSED,
    Failure.RESET,
    Failure.ADMIN_PROHIBITED,
    Failure.PORT_UNREACHABLE,
    Failure.PROTOCOL_UNREACHABLE,
    Failure.HOST_UNREACHABLE,
    Failure.NET_UNREACHABLE,
    Failure.TTL_EXCEEDED,
    Failure.CONNECT_TIMEOUT,
    Failure.KERNEL_TIMEOUT,
)
_UNREACHABLE = _TELLING[5:11]
_LET_OUT = "Let TCP {port} out in this host's firewall."


def judge_transport(pbx: Pbx, profile: Profile) -> Finding:
    """`pbx.transport`: the guide's pre-check, SIP over TCP."""
    if not pbx.connections:
        return _not_tried(pbx)
    connected = [each for each in pbx.connections if each.failure is None]
    if pbx.speaks_sip:
        return _speaks(pbx, connected)
    if connected:
        return _accepts(pbx, profile)
    return _unconnected(pbx, profile)


def _not_tried(pbx: Pbx) -> Finding:
    failed = [lookup for lookup in pbx.lookups if not lookup.addresses]
    if failed and len(failed) == len(pbx.lookups):
        return verdict(
            TRANSPORT,
            pbx,
            Status.UNKNOWN,
            "no_address",
            f"{pbx.host} has no address here ({failed[0].failure}): nothing was sent.",
            facts=failed,
            domain=FaultDomain.UNDETERMINED,
            failure=failed[0].failure,
            settle_by="Correct the name, or give the PBX's address.",
        )
    return verdict(
        TRANSPORT,
        pbx,
        Status.UNKNOWN,
        "not_measured",
        f"{pbx.where} was not tried in time.",
        facts=pbx.lookups,
        domain=FaultDomain.UNDETERMINED,
        settle_by=RUN_AGAIN,
    )


def _speaks(pbx: Pbx, connected: Sequence[Connection]) -> Finding:
    spoken = [asked for asked in pbx.options if asked.speaks]
    facts = [*pbx.connections, *(asked.exchange for asked in pbx.options), *pbx.keepalives]
    rtts = [each.rtt_ms for each in connected if each.rtt_ms is not None]
    measures = (
        *(() if not rtts else (Measure(name="rtt_median_ms", value=round(statistics.median(rtts), 3), unit="ms"),)),
        count("attempts", len(pbx.connections)),
        count("connected", len(connected)),
    )
    failed = [each for each in pbx.connections if each.failure is not None]
    silent = [asked for asked in pbx.options if not asked.speaks]
    told = partial(verdict, TRANSPORT, pbx, facts=facts, measures=measures)
    if failed or (spoken and silent):
        what = f"{len(failed)} of {len(pbx.connections)} connections failed ({failed[0].failure})" if failed else ""
        what = what or f"{len(silent)} of {len(pbx.options)} connections stayed without an answer"
        return told(
            Status.WARN,
            "unsteady",
            f"{pbx.where} speaks SIP, but not every time: {what}.",
            failure=failed[0].failure if failed else silent[0].exchange.failure,
            domain=FaultDomain.UNDETERMINED,
            settle_by="Run again a few times: loss, a limit on connections, or several servers behind one address.",
        )
    others = f"Run it with each of its other addresses in place of the name: {', '.join(pbx.untried[:8])}."
    passes = partial(told, Status.PASS, settle_by=others if pbx.untried else None, guide_section=GUIDE_BEFORE)
    if spoken:
        first = next((asked.answer or asked.altered for asked in spoken if asked.answer or asked.altered), None)
        said = f"{first.status} {quoted(first.reason, 40)}".strip() if first is not None else "SIP of its own"
        rejected = " It rejects sources that it does not know." if first and first.status in REJECTED else ""
        return passes("sip_answered", f"{pbx.where} speaks SIP: {said} came to OPTIONS.{rejected}")
    if (called := pbx.first_of_call) is not None:
        return passes(
            "call_answered",
            f"{pbx.where} speaks SIP: {called.status} {quoted(called.reason, 40)} came to the INVITE, and nothing to "
            "OPTIONS.",
            facts=[*facts, *pbx.calls],
        )
    return passes(
        "keepalive_answered",
        f"{pbx.where} answers a SIP keep-alive, and leaves OPTIONS unanswered.",
        confidence=Confidence.LIKELY,
    )


def _udp_answered(pbx: Pbx) -> bool:
    return pbx.udp is not None and (pbx.udp.answer or pbx.udp.altered) is not None


def _accepts(pbx: Pbx, profile: Profile) -> Finding:
    """Connections are accepted, and nothing that is SIP came over them."""
    exchanges = [asked.exchange for asked in pbx.options]
    facts = [
        *pbx.connections,
        *exchanges,
        *pbx.keepalives,
        *pbx.tls_connections,
        pbx.tls,
        pbx.udp.exchange if pbx.udp else None,
    ]
    told = partial(verdict, TRANSPORT, pbx, facts=facts)
    transport = profile.signalling.transport.upper()
    by_udp = " SIP over UDP is answered there." if _udp_answered(pbx) else ""
    greeted = pbx.tls is not None and pbx.tls.failure is None
    if greeted or any(each.failure is Failure.NOT_SIP and each.detail == "tls" for each in exchanges):
        return told(
            Status.FAIL,
            "tls_only",
            f"{pbx.where} speaks TLS, not plain SIP: it is a SIPS port, as 5061 usually is. The trunk calls it over "
            f"{transport} without TLS, and would not be heard.{by_udp}",
            failure=Failure.NOT_SIP,
            confidence=Confidence.PROVEN if greeted else Confidence.LIKELY,
            remedy=f"Let the PBX listen for SIP over plain TCP on port {pbx.port}, or on another port, and tell "
            f"{profile.provider} which; give TLS another one.",
            guide_section=GUIDE_BEFORE,
        )
    if wrong := _no_sip_server(pbx):
        reason, what = wrong
        return told(
            Status.FAIL,
            reason,
            f"{pbx.where} accepts connections and is no SIP server: {what}.{by_udp}",
            failure=Failure.NOT_SIP if reason == "not_sip" else Failure.TOO_LARGE,
            confidence=Confidence.PROVEN if reason == "not_sip" else Confidence.LIKELY,
            remedy=f"Give vsipcheck the port on which the PBX serves SIP over TCP, or let it serve SIP on {pbx.port}.",
            guide_section=GUIDE_BEFORE,
        )
    if not exchanges:
        return told(
            Status.UNKNOWN,
            "not_measured",
            f"{pbx.where} accepts connections; the run ended before it was asked.",
            domain=FaultDomain.UNDETERMINED,
            settle_by=RUN_AGAIN,
        )
    if {each.failure for each in exchanges} == {Failure.LOCAL_DENIED}:
        return told(
            Status.UNKNOWN,
            "not_sent",
            f"{pbx.where} accepts connections, and this host's own firewall lets nothing more out.",
            failure=Failure.LOCAL_DENIED,
            domain=FaultDomain.HOST,
            confidence=Confidence.PROVEN,
            remedy=_LET_OUT.format(port=pbx.port),
        )
    reason, what = _nothing_read(exchanges)
    return told(
        Status.UNKNOWN,
        reason,
        f"{pbx.where} accepts connections, {what}: it may keep out sources that it does not know, as a PBX that knows "
        f"its peers by address does, or serve something else than SIP.{by_udp}",
        failure=exchanges[0].failure,
        domain=FaultDomain.UNDETERMINED,
        remedy=let_in(pbx),
        settle_by=IN_ITS_LOG,
    )


def _no_sip_server(pbx: Pbx) -> tuple[str, str] | None:
    """Reason and words for what no SIP server sends."""
    for asked in pbx.options:
        exchange = asked.exchange
        if exchange.failure is Failure.NOT_SIP:
            return "not_sip", _NOT_SIP.get(exchange.detail or "", f"it sends {quoted(exchange.detail or 'no SIP')}")
        if asked.echoed:
            return "not_sip", "our own request came back"
        if exchange.failure is Failure.TOO_LARGE:
            return "too_large", f"it sends more than a SIP server would ({quoted(exchange.detail or 'no end of it')})"
    return None


_NOT_SIP = {
    "http": "an HTTP server answers",
    "html": "a web page comes back",
    "ssh": "an SSH server answers",
    "rtsp": "an RTSP server answers",
    "smtp or ftp": "a mail or FTP server answers",
}


def _nothing_read(exchanges: Sequence[Exchange]) -> tuple[str, str]:
    """Reason and words where something was accepted, and nothing told what it is."""
    failures = {each.failure for each in exchanges}
    if any(
        message.size and message.text.strip() for each in exchanges for message in each.messages if not message.sent
    ):
        if Failure.MALFORMED in failures:
            return "malformed", "and sends what is damaged beyond reading"
        return "incomplete_answer", "and sends part of an answer, never the rest"
    if failures & {Failure.CLOSED_EARLY, Failure.RESET}:
        return "closed_after_request", "and closes them after our request"
    return "silent_after_accept", "and answers nothing, neither OPTIONS nor a keep-alive nor a TLS greeting"


def _unconnected(pbx: Pbx, profile: Profile) -> Finding:
    worst = min(
        pbx.connections, key=lambda each: _TELLING.index(each.failure) if each.failure in _TELLING else len(_TELLING)
    )
    failure = worst.failure
    assert failure is not None
    told = partial(
        verdict, TRANSPORT, pbx, failure=failure, facts=[*pbx.connections, pbx.udp.exchange if pbx.udp else None]
    )
    transport = profile.signalling.transport.upper()
    if failure in (Failure.REFUSED, Failure.RESET):
        if _udp_answered(pbx):
            return told(
                Status.FAIL,
                "udp_only",
                f"{pbx.where} is refused (RST), and SIP over UDP is answered on the same port: the PBX serves UDP "
                f"alone, and the trunk calls it over {transport}.",
                confidence=Confidence.LIKELY,
                remedy=f"Enable TCP on port {pbx.port} of the PBX (chan_sip: `tcpenable=yes`, `tcpbindaddr`; PJSIP: a "
                "transport with `protocol=tcp`; FreeSWITCH: a profile's `bind-params` or transport).",
                guide_section=GUIDE_BEFORE,
            )
        return told(
            Status.FAIL,
            "refused",
            f"{pbx.where} is refused (RST): nothing listens there, or a firewall in front rejects so.",
            confidence=Confidence.POSSIBLE,
            remedy=f"Let the PBX listen for SIP over TCP on port {pbx.port}; if it listens on another port, run again "
            f"with that one and tell {profile.provider}.",
            settle_by=f"On the PBX: `ss -ltn` shows whether it listens on {pbx.port}, and on which address.",
            guide_section=GUIDE_BEFORE,
        )
    if failure in _TIMEOUTS:
        waited_ms = max((each.waited_ms or each.duration_ms or 0.0) for each in pbx.connections)
        what = f"{pbx.where} does not answer ({len(pbx.connections)} attempts, {waited_ms / 1000:.1f} s)"
        if _udp_answered(pbx):
            return told(
                Status.UNKNOWN,
                "tcp_silent_udp_answers",
                f"{what}, but SIP over UDP is answered on the same port: TCP is not open, or not to "
                f"{our_address(pbx)}.",
                remedy=f"Enable TCP on port {pbx.port} of the PBX, and let it through its firewall. {let_in(pbx)}",
                settle_by=f"On the PBX: `ss -ltn` shows whether it listens on {pbx.port}.",
            )
        return told(
            Status.UNKNOWN,
            "connect_timeout",
            f"{what}: it is not there, or a firewall drops what does not come from the provider, and is right to.",
            domain=FaultDomain.UNDETERMINED,
            remedy=let_in(pbx),
            settle_by="Run it on a host beside the PBX, or let this one in through the firewall.",
        )
    return _not_reached(pbx, worst, failure, told)


def _not_reached(pbx: Pbx, worst: Connection, failure: Failure, told: partial[Finding]) -> Finding:
    own = {
        Failure.LOCAL_DENIED: (
            "this host's own firewall lets no connection out",
            _LET_OUT.format(port=pbx.port),
        ),
        Failure.ADDRESS_UNAVAILABLE: ("--source is no address of this host", "Give --source an address of this host."),
        Failure.NO_ROUTE: ("this host has no route to it", "Give this host a route to the PBX."),
    }.get(failure)
    if own is not None:
        return told(
            Status.UNKNOWN,
            "not_sent",
            f"{pbx.where} was not tried: {own[0]}.",
            domain=FaultDomain.HOST,
            confidence=Confidence.PROVEN,
            remedy=own[1],
        )
    if failure in _UNREACHABLE:
        sender = worst.icmp.address if worst.icmp is not None else None
        domain = FaultDomain.UNDETERMINED
        who = f"ICMP from {sender} says so" if sender else "this host's own kernel says so: nobody answers for it"
        if sender == worst.address:
            domain, who = FaultDomain.PBX, "its own firewall says so by ICMP"
        elif sender is None:
            domain = FaultDomain.LOCAL_NETWORK
        return told(
            Status.UNKNOWN,
            "unreachable",
            f"{pbx.where} cannot be reached from here ({str(failure).replace('_', ' ')}; {who}).",
            domain=domain,
            remedy=f"Check the address of the PBX, and the firewalls between. {let_in(pbx)}",
            settle_by="Run it on a host beside the PBX.",
        )
    return told(
        Status.UNKNOWN,
        "not_possible",
        f"{pbx.where} could not be tried, for a reason of this host's ({failure}).",
        domain=FaultDomain.HOST,
        settle_by="Look up the errno of this host's own error: `vsipcheck pbx --verbose`.",
    )
