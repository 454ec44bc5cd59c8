"""One fixed report that holds every status, every kind of fact, and the texts of hostile peers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from vsipcheck.model import (
    Action,
    AddressSeen,
    CheckEvidence,
    ChecklistRow,
    Confidence,
    Connection,
    Controls,
    Destination,
    DnsRecord,
    EchoService,
    Exchange,
    Failure,
    FaultDomain,
    Finding,
    Hop,
    Host,
    Icmp,
    Interface,
    Key,
    Lookup,
    Measure,
    Media,
    MediaAddress,
    Message,
    Note,
    Overall,
    PastRun,
    PoP,
    PortSpan,
    PreCheck,
    Profile,
    Report,
    Route,
    Settings,
    Signalling,
    Source,
    Stage,
    Status,
    StunServer,
    Support,
    SupportRequest,
    Tool,
    Traffic,
    Trouble,
)

GOLDEN = Path(__file__).parent / "golden"

HOSTILE = (
    "[bold red]pay here[/] \x1b[31mred\x1b]0;title\x07 \u202edetrever\u202c \x9b2J ze\u200bro \r\nPASS  forged line"
)

FIRST, SECOND = "pstn.in2.exotel.com", "pstn.in4.exotel.com"
FIRST_IP, SECOND_IP = "203.0.113.20", "203.0.113.40"
MEDIA = ("182.76.143.61", "122.15.8.184", "14.194.10.247", "61.246.82.75")
HOST_IP, PUBLIC_IP = "192.168.1.20", "198.51.100.7"

PROFILE = Profile(
    schema="vsipcheck.profile/1",
    name="exotel-tcp-mumbai",
    title="Exotel Virtual SIP Trunking over TCP (Mumbai)",
    provider="Exotel",
    release="alpha",
    sla=False,
    dated="2025-11-20",
    sources={"guide": Source(title="Customer Integration Guide", dated="2025-11-20")},
    signalling=Signalling(
        transport="tcp",
        port=5070,
        domain_pattern="{account_sid}.pstn.exotel.com",
        calls_per_minute=200,
        authentication="address",
        registration=False,
        source="guide",
        pops=(
            PoP(id="in2", region="Mumbai DC", fqdn=FIRST, source="guide"),
            PoP(id="in4", region="Mumbai Cloud", fqdn=SECOND, source="guide"),
        ),
        customer_port=5061,
    ),
    media=Media(
        transport="udp",
        first_port=10000,
        last_port=40000,
        codecs=("PCMA", "PCMU"),
        source="guide",
        addresses=tuple(MediaAddress(address=address, region="Mumbai DC", source="guide") for address in MEDIA),
    ),
    controls=Controls(udp_ports=(9999,), tcp_ports=(5070, 443), source="guide"),
    prechecks=(PreCheck(row="cgnat", stage="before", section="Before Configuration", says="No NAT", source="guide"),),
    troubleshooting=(
        Trouble(id="403", issue="403", cause="domain", resolution="fromdomain", source="guide", codes=(403,)),
    ),
    echo_services=(EchoService(id="echo", url="https://echo.example/", operator="Example", source="guide"),),
    stun_servers=(StunServer(id="stun", host="stun.example", port=3478, operator="Example", source="guide"),),
    support=Support(url="https://support.exotel.com", wants=("Account SID",), source="guide"),
)

OPTIONS = (
    f"OPTIONS sip:{FIRST}:5070;transport=tcp SIP/2.0\r\n"
    f"Via: SIP/2.0/TCP {HOST_IP}:49152;branch=z9hG4bK7f00000000000001;rport\r\n"
    f"To: <sip:{FIRST}>\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)
ANSWER = (
    f"SIP/2.0 403 {HOSTILE}\r\n"
    f"Via: SIP/2.0/TCP {HOST_IP}:49152;branch=z9hG4bK7f00000000000001;rport=49152;received={PUBLIC_IP}\r\n"
    "Server: kamailio\r\n (folded   twice)\r\nContent-Length: 0\r\n\r\n"
)


def _row(
    id: str,
    title: str,
    status: Status,
    summary: str,
    *findings: Key,
    stage: Stage = Stage.BEFORE,
    gating: bool = True,
    who: FaultDomain | None = None,
) -> ChecklistRow:
    return ChecklistRow(
        id=id,
        stage=stage,
        title=title,
        status=status,
        gating=gating,
        summary=summary,
        fault_domain=who,
        findings=findings,
    )


def _dns() -> CheckEvidence:
    return CheckEvidence(
        version=1,
        offset_ms=0.2,
        duration_ms=61.0,
        error=None,
        facts=(
            Lookup(
                id="dns.1",
                offset_ms=1.0,
                duration_ms=12.0,
                name=FIRST,
                record_type="A",
                purpose="trunk",
                server="192.168.1.1",
                server_source="resolv.conf",
                transport="tcp",
                rcode="NOERROR",
                answers=(DnsRecord(name=FIRST, type="A", ttl_s=60, data=FIRST_IP),),
                addresses=(FIRST_IP,),
                cname_chain=("edge.example.net",),
                ttl_s=60,
                rtt_ms=12.0,
                truncated=True,
            ),
            Lookup(
                id="dns.2",
                offset_ms=1.1,
                name=SECOND,
                record_type="A",
                purpose="trunk",
                server=None,
                addresses=(SECOND_IP,),
                rtt_ms=14.2,
            ),
            Lookup(
                id="dns.3",
                offset_ms=1.2,
                name=SECOND,
                record_type="A",
                purpose="trunk",
                server="192.168.1.2",
                server_source="resolv.conf",
                transport="udp",
                failure=Failure.DNS_TIMEOUT,
                icmp=Icmp(address="192.168.1.1", type=3, code=1),
                detail=HOSTILE,
            ),
        ),
    )


def _sip() -> CheckEvidence:
    return CheckEvidence(
        version=1,
        offset_ms=0.3,
        duration_ms=5100.0,
        error=None,
        facts=(
            Connection(
                id="sip.1",
                offset_ms=15.0,
                name=FIRST,
                address=FIRST_IP,
                port=5070,
                purpose="sip",
                local_address=HOST_IP,
                local_port=49152,
                rtt_ms=31.4,
            ),
            Connection(
                id="sip.2",
                offset_ms=15.4,
                name=SECOND,
                address=SECOND_IP,
                port=5070,
                purpose="sip",
                attempt=2,
                failure=Failure.CONNECT_TIMEOUT,
                waited_ms=5000.0,
            ),
            Connection(
                id="sip.3",
                offset_ms=16.0,
                name=None,
                address=SECOND_IP,
                port=443,
                purpose="control",
                failure=Failure.HOST_UNREACHABLE,
                errno=113,
                icmp=Icmp(address="10.64.0.1", type=11, code=0),
                ttl=2,
            ),
            Exchange(
                id="sip.4",
                offset_ms=47.0,
                protocol="sip",
                purpose="options",
                connection="sip.1",
                name=FIRST,
                transport="tcp",
                local_address=HOST_IP,
                local_port=49152,
                remote_address=FIRST_IP,
                remote_port=5070,
                messages=(
                    Message(sent=True, offset_ms=47.0, text=OPTIONS, size=len(OPTIONS)),
                    Message(sent=False, offset_ms=79.5, text=ANSWER, size=2100, truncated=True),
                ),
                rtt_ms=32.5,
                detail=HOSTILE,
            ),
        ),
    )


def _hops(target: str) -> tuple[Hop, ...]:
    zones = (("192.168.1.1", 0.4), ("10.64.0.1", 6.1), (None, None), ("203.0.113.1", 30.2))
    return tuple(
        Hop(
            id=f"media.{number}",
            offset_ms=20.0 + number,
            target=target,
            series=series,
            ttl=ttl,
            ports=(9999,) if series == "udp_control" else (12001, 33334),
            sent=3,
            answered=3 if address else 0,
            address=address,
            rtt_ms=rtt,
            icmp=Icmp(address=address, type=11, code=0) if address else None,
            reached=False,
        )
        for number, (series, ttl, (address, rtt)) in enumerate(
            (
                (series, ttl, zone)
                for series, length in (("udp_control", 4), ("udp_in_range", 2))
                for ttl, zone in enumerate(zones[:length], start=1)
            ),
            start=1,
        )
    )


def _media() -> CheckEvidence:
    blocked: dict[str, Any] = {
        "target": MEDIA[0],
        "method": "sample",
        "sent": 3,
        "reached_ttl": 2,
        "reached_address": "10.64.0.1",
        "stopped_ttl": 4,
        "unanswered": 3,
        "controls_answered": 3,
    }
    return CheckEvidence(
        version=1,
        offset_ms=0.4,
        duration_ms=900.0,
        error=None,
        facts=(
            Note(id="media.0", topic="ports", text="drawn by seed", values={"seed": 7, "per_address": 16}),
            *_hops(MEDIA[0]),
            PortSpan(id="media.20", offset_ms=40.0, first_port=10000, last_port=10000, **blocked),
            PortSpan(id="media.21", offset_ms=41.0, first_port=12001, last_port=12001, **blocked),
            PortSpan(
                id="media.22",
                offset_ms=42.0,
                target=MEDIA[1],
                method="bracket",
                first_port=20000,
                last_port=40000,
                payload="rtcp",
                sent=9,
                outcome="icmp",
                failure=Failure.ADMIN_PROHIBITED,
                icmp=Icmp(address="192.168.1.1", type=3, code=13),
            ),
        ),
    )


def _nat() -> CheckEvidence:
    return CheckEvidence(
        version=1,
        offset_ms=0.5,
        duration_ms=2000.0,
        error="Traceback (most recent call last):\n  File x, line 1\nValueError: " + HOSTILE,
        facts=(
            Interface(id="nat.1", name="eth0", address=HOST_IP, netmask="255.255.255.0"),
            Interface(id="nat.2", name="lo", address="::1", is_loopback=True),
            Route(id="nat.3", destination=FIRST_IP, source_address=HOST_IP, interface="eth0", gateway="192.168.1.1"),
            Route(id="nat.4", destination="2001:db8::1", failure=Failure.NO_ROUTE),
            AddressSeen(
                id="nat.5",
                offset_ms=30.0,
                method="stun",
                source="stun",
                operator="Example",
                server_address="192.0.2.1",
                server_port=3478,
                local_address=HOST_IP,
                local_port=50000,
                address=PUBLIC_IP,
                port=50000,
                rtt_ms=22.0,
            ),
            AddressSeen(
                id="nat.6", method="https_echo", source="echo", transport="tcp", address=PUBLIC_IP, rtt_ms=80.0
            ),
            AddressSeen(
                id="nat.7",
                method="https_echo",
                source="portal",
                transport="tcp",
                failure=Failure.BAD_BODY,
                detail=HOSTILE,
            ),
            AddressSeen(id="nat.8", method="nat_pmp", source="gateway", address="100.64.3.2"),
            PastRun(
                id="nat.9",
                run_id="20251124T010000Z-0001",
                started_at="2025-11-24T01:00:00Z",
                public_address="198.51.100.9",
                statuses={"nat.cgnat": "warn"},
            ),
        ),
    )


def _findings() -> tuple[Finding, ...]:
    silent = (
        "In-range UDP is seen as far as 10.64.0.1 (TTL 2), while control probes to port 9999 of the same address "
        "are answered by 203.0.113.1 (TTL 4)."
    )
    return (
        Finding(
            id="dns.resolution",
            target=FIRST,
            status=Status.PASS,
            reason="resolved",
            summary=f"{FIRST} has one usable address: {FIRST_IP}.",
            measures=(Measure(name="rtt_ms", value=12.0, unit="ms", warn=500.0),),
            facts=("dns.1",),
        ),
        Finding(
            id="dns.resolution",
            target=SECOND,
            status=Status.WARN,
            reason="nameserver_failing",
            summary=f"{SECOND} resolves to {SECOND_IP}, but the nameserver 192.168.1.2 did not answer.",
            failure=Failure.DNS_TIMEOUT,
            fault_domain=FaultDomain.LOCAL_NETWORK,
            confidence=Confidence.LIKELY,
            remedy="Repair 192.168.1.2, or take it out of resolv.conf.",
            facts=("dns.2", "dns.3"),
        ),
        Finding(
            id="sip.connect",
            target=f"{FIRST}@{FIRST_IP}",
            status=Status.PASS,
            reason="connected",
            summary="SYN-ACK after 31 ms.",
            measures=(Measure(name="rtt_ms", value=31.4, unit="ms"),),
            facts=("sip.1",),
        ),
        Finding(
            id="sip.options",
            target=f"{FIRST}@{FIRST_IP}",
            status=Status.FAIL,
            reason="forbidden",
            summary=f"OPTIONS was answered with 403 ({HOSTILE}).",
            fault_domain=FaultDomain.PROVIDER,
            confidence=Confidence.LIKELY,
            remedy=f"Ask Exotel to whitelist {PUBLIC_IP}; check the domain in From as well.",
            guide_section="Troubleshooting",
            measures=(
                Measure(name="rtt_ms", value=32.5, unit="ms", warn=300.0, fail=2000.0),
                Measure(name="loss_ratio", value=0.333, unit="ratio"),
                Measure(name="retry_after_s", value=None, unit="s"),
                Measure(name="answers", value=2, unit="count"),
            ),
            facts=("sip.4",),
        ),
        Finding(
            id="sip.connect",
            target=f"{SECOND}@{SECOND_IP}",
            status=Status.FAIL,
            reason="syn_lost",
            summary="Three SYNs to port 5070 got no answer within 5.0 s.",
            failure=Failure.CONNECT_TIMEOUT,
            fault_domain=FaultDomain.UNDETERMINED,
            confidence=Confidence.POSSIBLE,
            settle_by="A capture on the WAN side of your router: does the SYN leave it?",
            guide_section="Ports to Open",
            facts=("sip.2", "sip.3"),
        ),
        Finding(
            id="sip.options",
            target=f"{SECOND}@{SECOND_IP}",
            status=Status.UNKNOWN,
            reason="not_connected",
            summary="There was no connection to ask on.",
            settle_by="A connection.",
        ),
        Finding(
            id="sip.redundancy",
            target=None,
            status=Status.FAIL,
            reason="no_pop",
            summary="No point of presence answers SIP.",
            fault_domain=FaultDomain.PROVIDER,
            confidence=Confidence.LIKELY,
        ),
        *(
            Finding(
                id="media.egress",
                target=address,
                status=Status.FAIL,
                reason="stopped_short",
                summary=silent if address == MEDIA[0] else f"UDP 20000-40000 to {address} is blocked, 10000-19999 not.",
                fault_domain=FaultDomain.ISP,
                confidence=Confidence.LIKELY,
                remedy="Allow UDP 10000-40000 in both directions.",
                settle_by="A capture on the WAN side of your router.",
                guide_section="Ports to Open",
            )
            for address in MEDIA[:2]
        ),
        Finding(
            id="media.egress",
            target=MEDIA[2],
            status=Status.PASS,
            reason="leaves_network",
            summary="Leaves your network; nothing blocks it on the way out.",
        ),
        *(
            Finding(
                id="media.return",
                target=address,
                status=Status.UNKNOWN,
                reason="no_call",
                summary="Nothing came from the media address; without a call nothing has to.",
                fault_domain=FaultDomain.UNDETERMINED,
                settle_by="A test call with `vsipcheck call`.",
            )
            for address in MEDIA[:3]
        ),
        Finding(
            id="nat.public_address",
            target=None,
            status=Status.PASS,
            reason="methods_agree",
            summary=f"Two methods agree on {PUBLIC_IP}.",
        ),
        Finding(
            id="nat.cgnat",
            target=None,
            status=Status.WARN,
            reason="private_hop_upstream",
            summary=f"{PUBLIC_IP} lives past 10.64.0.1, one router beyond yours.",
            fault_domain=FaultDomain.ISP,
            confidence=Confidence.POSSIBLE,
            remedy="Ask the ISP whether the line is behind CG-NAT, and for a public address.",
        ),
        Finding(
            id="nat.static_address",
            target=None,
            status=Status.UNKNOWN,
            reason="too_little_history",
            summary="One run says nothing about tomorrow.",
            settle_by="Three runs over at least 24 hours.",
        ),
        Finding(id="pbx.transport", target=None, status=Status.SKIP, reason="not_asked_for", summary="Not asked for."),
    )


def _checklist() -> tuple[ChecklistRow, ...]:
    own = "Not asked for."
    key = Key
    return (
        _row(
            "public_address",
            "Public address known, and the one whitelisted",
            Status.PASS,
            f"Two methods agree on {PUBLIC_IP}.",
            key(id="nat.public_address", target=None),
        ),
        _row(
            "cgnat",
            "No CG-NAT",
            Status.WARN,
            f"{PUBLIC_IP} lives past 10.64.0.1, one router beyond yours.",
            key(id="nat.cgnat", target=None),
            who=FaultDomain.ISP,
        ),
        _row("port_masking", "No port masking", Status.UNKNOWN, "Only one STUN server answered."),
        _row(
            "static_address",
            "The public address stays the same",
            Status.UNKNOWN,
            "One run says nothing about tomorrow.",
            key(id="nat.static_address", target=None),
            gating=False,
        ),
        _row(
            "names_resolve",
            "The trunk's names resolve",
            Status.WARN,
            "Both names resolve, but the nameserver 192.168.1.2 did not answer.",
            key(id="dns.resolution", target=FIRST),
            key(id="dns.resolution", target=SECOND),
            who=FaultDomain.LOCAL_NETWORK,
        ),
        _row(
            "signalling_out",
            "TCP 5070 out, answered by SIP",
            Status.FAIL,
            f"No point of presence answers SIP: 403 {HOSTILE}",
            key(id="sip.redundancy", target=None),
            key(id="sip.options", target=f"{FIRST}@{FIRST_IP}"),
            who=FaultDomain.PROVIDER,
        ),
        _row(
            "signalling_in",
            "Signalling in, to the PBX's own port",
            Status.UNKNOWN,
            "Only an inbound call shows whether the provider reaches your PBX.",
            gating=False,
        ),
        _row(
            "media_out",
            "UDP 10000-40000 out",
            Status.FAIL,
            "2 of 4 media addresses are blocked beyond your router.",
            *(key(id="media.egress", target=address) for address in MEDIA[:3]),
            who=FaultDomain.ISP,
        ),
        _row(
            "media_in",
            "UDP 10000-40000 in",
            Status.UNKNOWN,
            "Nothing came from the media addresses; without a call nothing has to.",
            *(key(id="media.return", target=address) for address in MEDIA[:3]),
            gating=False,
        ),
        _row(
            "pbx_transport",
            "The PBX speaks SIP over TCP",
            Status.SKIP,
            own,
            key(id="pbx.transport", target=None),
            gating=False,
        ),
        _row("pbx_codecs", "The PBX offers PCMA and PCMU", Status.SKIP, own, gating=False),
        *(
            _row(id, title, Status.SKIP, own, stage=stage, gating=False)
            for id, title, stage in (
                ("codec_order", "PCMA first, PCMU second", Stage.DURING),
                ("no_registration", "No registration, static peer", Stage.DURING),
                ("nat_settings", "NAT settings of the PBX", Stage.DURING),
                ("headers_logged", "Call-ID and X-Exotel-* headers logged", Stage.DURING),
                ("test_calls", "Test calls", Stage.AFTER),
                ("transport_match", "Via transport matches port 5070", Stage.AFTER),
                ("caller_id", "Caller ID is an authorised number", Stage.AFTER),
                ("rtp_flow", "RTP flows both ways", Stage.AFTER),
            )
        ),
    )


def make_report(**changes: Any) -> Report:
    """The fixed report, with `changes` to its own fields."""
    report = Report(
        schema="vsipcheck.report/1",
        run_id="20251125T010000Z-7f00",
        tool=Tool(version="0.1.0"),
        host=Host(os="Linux 6.1", python="3.11.2", icmp_errors=True),
        profile=PROFILE,
        settings=Settings(checks=("dns", "sip", "media", "nat"), seed=7),
        started_at="2025-11-25T01:00:00.123Z",
        duration_ms=5312.7,
        interrupted=False,
        simulated=False,
        redacted=False,
        overall=Overall.NOT_READY,
        exit_code=1,
        requests=(
            SupportRequest(
                party=FaultDomain.PROVIDER,
                subject=f"Please whitelist {PUBLIC_IP} for the SIP trunk",
                text=f"To: Exotel support\n\nPlease whitelist the address below.\n\nPublic address:  {PUBLIC_IP}\n"
                f"Signalling:      SIP over TCP 5070\n                 {FIRST} ({FIRST_IP})\n\n"
                f"{FIRST}: 403 ```{HOSTILE.splitlines()[0]}\n    at 2025-11-25T01:00:01Z (3 attempts)",
                before_sending="Fill in your account SID, or run again with --account-sid.",
                because=(Key(id="sip.options", target=f"{FIRST}@{FIRST_IP}"),),
            ),
        ),
        actions=(
            Action(
                party=FaultDomain.PROVIDER,
                what=f"Whitelist {PUBLIC_IP} for the trunk: OPTIONS from it is answered with 403 ({HOSTILE}).",
                because=(Key(id="sip.options", target=f"{FIRST}@{FIRST_IP}"),),
            ),
            Action(
                party=FaultDomain.ISP,
                what="Allow UDP 10000-40000 to 182.76.143.61 and 122.15.8.184 in both directions: probes inside the "
                "range stop at 10.64.0.1, while control probes to port 9999 of the same addresses go on.",
                because=tuple(Key(id="media.egress", target=address) for address in MEDIA[:2]),
            ),
            Action(
                party=FaultDomain.ISP,
                what="Say whether the line is behind CG-NAT; the trunk needs a public address of its own.",
                because=(Key(id="nat.cgnat", target=None),),
            ),
            Action(
                party=FaultDomain.LOCAL_NETWORK,
                what="Repair the nameserver 192.168.1.2, or take it out of resolv.conf.",
                because=(Key(id="dns.resolution", target=SECOND),),
            ),
            Action(
                party=FaultDomain.UNDETERMINED,
                what=f"Find where SYNs to {SECOND_IP} port 5070 are lost: capture on the WAN side of your router.",
                because=(Key(id="sip.connect", target=f"{SECOND}@{SECOND_IP}"),),
            ),
        ),
        findings=_findings(),
        checklist=_checklist(),
        evidence={"dns": _dns(), "sip": _sip(), "media": _media(), "nat": _nat()},
        traffic=Traffic(
            packets_sent=412,
            bytes_sent=71_344,
            by_destination=(
                Destination(address=FIRST_IP, protocol="tcp", port=5070, packets=21, bytes=3120),
                Destination(address=MEDIA[0], protocol="udp", port=None, packets=96, bytes=16_512),
            ),
        ),
    )
    return msgspec.structs.replace(report, **changes)


def make_healthy() -> Report:
    """The same run, had all of it gone well."""
    rows = tuple(
        msgspec.structs.replace(
            row, status=Status.PASS, summary="Seen as it should be.", fault_domain=None, findings=()
        )
        if row.gating
        else row
        for row in _checklist()
    )
    findings = tuple(
        finding
        for finding in _findings()
        if finding.status in (Status.PASS, Status.SKIP) or finding.id in ("media.return", "nat.static_address")
    )
    return make_report(
        overall=Overall.READY,
        exit_code=0,
        actions=(),
        requests=(),
        checklist=rows,
        findings=findings,
        evidence={"dns": _dns()},
    )


def make_single() -> Report:
    """A run of one check."""
    return make_report(
        overall=None,
        checklist=(),
        actions=(),
        requests=(),
        findings=tuple(finding for finding in _findings() if finding.id == "dns.resolution"),
        evidence={"dns": _dns()},
        exit_code=0,
    )


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"set UPDATE_GOLDEN=1 to accept {name}"


def poison(value: Any, text: str) -> Any:
    """The report with every string in it that is not a word of a closed set replaced."""
    if isinstance(value, msgspec.Struct):
        changes = {
            field: poison(getattr(value, field), text)
            for field in value.__struct_fields__
            if field not in ("schema", "started_at")
        }
        return msgspec.structs.replace(value, **changes)
    if isinstance(value, tuple):
        return tuple(poison(item, text) for item in value)
    if isinstance(value, dict):
        return {f"{text}{number}": poison(item, text) for number, item in enumerate(value.values())}
    return text if type(value) is str else value


if __name__ == "__main__":
    import sys

    from vsipcheck.render import RenderOptions, render

    which, width, *flags = sys.argv[1:]
    report = {"report": make_report, "healthy": make_healthy, "single": make_single}[which]()
    options = RenderOptions(
        width=int(width),
        color="color" in flags,
        verbose="verbose" in flags,
        quiet="quiet" in flags,
        unicode="ascii" not in flags,
    )
    sys.stdout.write(render(report, "json" if "json" in flags else "terminal", options))
