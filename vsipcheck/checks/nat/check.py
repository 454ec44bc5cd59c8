"""Our public address, and what the NATs on the way do: carrier-grade NAT, port masking, an address that changes.

Each finding has a file of its own, which says what can be seen, what else would look just like it, and so what may be
said. All of it is about IPv4, and about the source address that the kernel uses towards the trunk: what other
interfaces carry (containers, overlays, VPNs) never counts.
"""

from __future__ import annotations

from vsipcheck.checks.base import Check, Facts
from vsipcheck.checks.nat.behaviour import BEHAVIOUR, judge_behaviour
from vsipcheck.checks.nat.cgnat import CGNAT, judge_cgnat, whose_nat
from vsipcheck.checks.nat.lifetime import LIFETIME, judge_lifetime
from vsipcheck.checks.nat.measure import measure
from vsipcheck.checks.nat.port_masking import PORT_MASKING, judge_port_masking
from vsipcheck.checks.nat.public_address import PUBLIC_ADDRESS, judge_public_address
from vsipcheck.checks.nat.static_address import STATIC_ADDRESS, judge_static_address
from vsipcheck.checks.nat.verdict import Verdict, finding_of
from vsipcheck.checks.nat.view import View
from vsipcheck.model import Family, Finding, Profile, Settings, Status

FINDINGS = (PUBLIC_ADDRESS, CGNAT, PORT_MASKING, STATIC_ADDRESS, BEHAVIOUR, LIFETIME)


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """The findings about NAT: the guide's four in its order, then the behaviour, and lifetimes where asked for."""
    if settings.family is Family.IPV6:
        nothing = Verdict(Status.SKIP, "ipv4_not_asked", "Told about IPv4 only, and this run was to use IPv6.")
        return [finding_of(id_, nothing, profile) for id_ in FINDINGS]
    view = View(facts, settings)
    cgnat = judge_cgnat(view)
    domain, _ = whose_nat(cgnat)
    verdicts = {
        PUBLIC_ADDRESS: judge_public_address(view, profile, cgnat),
        CGNAT: cgnat,
        PORT_MASKING: judge_port_masking(view, cgnat),
        STATIC_ADDRESS: judge_static_address(view),
        BEHAVIOUR: judge_behaviour(facts, domain),
        LIFETIME: judge_lifetime(facts, profile, settings, domain),
    }
    return [finding_of(id_, verdict, profile) for id_, verdict in verdicts.items()]


CHECK = Check(
    name="nat",
    title="public address and NAT",
    finding_ids=FINDINGS,
    needs=("sip",),
    measure=measure,
    judge=judge,
)
