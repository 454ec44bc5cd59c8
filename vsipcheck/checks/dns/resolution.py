"""`dns.resolution`: whether a signalling name resolves on this host, and what speaks against the answer.

What can be seen, what else would look just like it, and so what may be said:

- The system's own resolution gives a global IPv4 address: a PBX on this host that resolves like everybody else gets
  it too, /etc/hosts included. A transparent resolver that lies with a global address looks just the same; only a
  disagreement between nameservers, or one address behind both names, hints at it. Pass never says that the address is
  the provider's: that is what the SIP check sees.
- A configured nameserver fails or contradicts: resolution works today by the others' grace. A record set that rotates
  one address at a time looks like a contradiction, so that disjoint answers are told as such and no more.
- The system differs from every nameserver: /etc/hosts, a cache, a search domain. The host's own, `possible`.
- NXDOMAIN: the name is gone, or the resolver lies, or the name was mistyped. Several public nameservers that agree
  point at the zone; one private resolver proves nothing about it.
- Silence of a nameserver: dead, unreachable, or a forwarder whose own upstream is silent. Who has to act is read off
  the nameserver's place: a loopback address is the host's, a private one the local network's.
- An address in special-purpose space (RFC 6890) is nobody's SIP edge: hijack or sinkhole. NAT64 (RFC 6052, prefixes by
  RFC 7050) is no hijack as long as the IPv4 address inside is global.
- What `--resolver` names is ours to compare. Its silence says nothing about what a PBX gets.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vsipcheck.checks.base import Facts, span_ms
from vsipcheck.checks.dns.answers import (
    LOCAL,
    NEGATIVE,
    NOT_MEASURED,
    SILENT,
    SLOW_MS,
    UNREACHABLE,
    Authority,
    Doubt,
    Seen,
    blame_validation,
    class_of,
    common_place,
    has_or_have,
    is_or_are,
    is_usable,
    listed,
    measures_of,
    no_nameserver,
    place_of,
    reason_of,
    same_operator,
    servers_of,
    sort_lookups,
    tally,
    told,
    what_they_say,
)
from vsipcheck.checks.dns.names import is_address, signalling_names
from vsipcheck.checks.dns.verdict import Blame, build_finding
from vsipcheck.checks.paths import blame_icmp
from vsipcheck.model import (
    Confidence,
    Failure,
    Family,
    FaultDomain,
    Finding,
    Lookup,
    Profile,
    Settings,
    Status,
)
from vsipcheck.wire.ip import AddressClass, address_block, synthesised_ipv4

FINDING = "dns.resolution"
# The first question to a nameserver was not answered in this time: it is asked again after a second.
LATE_MS = 900.0
_REMEDY_LOCAL = "Give this host a route and a firewall that lets it reach its nameservers."


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """One `dns.resolution` for every signalling name."""
    return [_judge_name(name, facts, profile, settings) for name in signalling_names(profile)]


def _judge_name(name: str, facts: Facts, profile: Profile, settings: Settings) -> Finding:
    if is_address(name):
        return Finding(
            id=FINDING,
            target=name,
            status=Status.SKIP,
            reason="address_literal",
            summary=f"{name} is an address: there is nothing to resolve.",
        )
    seen = sort_lookups(name, facts)
    rests_on = list(dict.fromkeys([*seen.facts, *seen.refusals]))
    offset_ms, duration_ms = span_ms(rests_on)
    rtype = "AAAA" if settings.family is Family.IPV6 else "A"
    system = seen.system.get(rtype)

    def finding(
        status: Status, reason: str, summary: str, *, blame: Blame | None = None, failure: Failure | None = None
    ) -> Finding:
        return msgspec.structs.replace(
            build_finding(FINDING, name, status, reason, summary, rests_on, blame, failure),
            measures=measures_of(seen, system),
            offset_ms=offset_ms,
            duration_ms=duration_ms,
        )

    if system is None or system.failure in NOT_MEASURED:
        why = facts.error_of("dns")
        cause = "the run ended first" if why in ("deadline", "interrupted") else "it could not be asked"
        return finding(
            Status.UNKNOWN,
            "not_measured",
            f"What this host makes of {name} is not known: {cause}.",
            blame=Blame(
                FaultDomain.UNDETERMINED,
                Confidence.POSSIBLE,
                settle_by="Run `vsipcheck dns` again, with a longer --deadline.",
            ),
            failure=system.failure if system else None,
        )

    sinkholed = [
        (lookup, address)
        for lookup in seen.system.values()
        for address in lookup.addresses
        if not is_usable(address, seen.nat64_prefixes)
    ]
    if sinkholed:
        addresses = [address for _, address in sinkholed]
        kinds = listed(sorted({f"{address} ({address_block(address).name})" for address in addresses}))
        return finding(
            Status.FAIL,
            "special_purpose_answer",
            f"{name} resolves to {kinds} on this host: an address on which no provider can be. "
            "Something answers in the provider's place.",
            blame=_blame_sinkhole(seen, sinkholed),
        )

    usable, how = _usable_addresses(seen, rtype, settings)
    if not usable:
        if _loses_packets(seen, system, rtype):
            return finding(
                Status.UNKNOWN,
                "resolution_unsteady",
                f"{name} was not resolved in time on this host, while its nameservers know the name and answer now and "
                "then: packets to them get lost, so that a run at another moment may end otherwise.",
                blame=Blame(
                    FaultDomain.UNDETERMINED,
                    Confidence.POSSIBLE,
                    settle_by="Run it again; and look for packet loss on this line, with a long ping to a nameserver.",
                ),
                failure=system.failure,
            )
        failure, blame = _blame_failure(seen, system, rtype, facts)
        reason = reason_of(failure)
        if not seen.configured and no_nameserver(facts):
            reason = "no_nameserver"
        return finding(
            Status.FAIL,
            reason,
            f"{name} has no address on this host: {told(failure)}.{tally(seen, rtype)}",
            blame=blame,
            failure=failure,
        )

    doubts = _doubts(seen, system, usable, rtype, facts, profile)
    if how is not None:
        doubts.insert(0, how)
    summary = f"{name} resolves to {listed(usable)} in {system.rtt_ms or 0:.0f} ms.{tally(seen, rtype)}"
    if doubts:
        first = doubts[0]
        summary = " ".join([summary, *(doubt.sentence for doubt in doubts)])
        return finding(Status.WARN, first.reason, summary, blame=first.blame, failure=first.failure)
    return finding(Status.PASS, "resolved", summary)


def _loses_packets(seen: Seen, system: Lookup, rtype: str) -> bool:
    """Whether the system's silence is explained by loss: every nameserver answers some of the questions about this
    name, one of them with an address, and some question got its answer only after being asked again, or never."""
    if system.failure is not Failure.DNS_TIMEOUT:
        return False
    direct = [lookup for lookup in seen.configured if lookup.failure not in NOT_MEASURED]
    silent = [lookup for lookup in direct if lookup.failure in SILENT]
    late = [lookup for lookup in direct if (lookup.rtt_ms or 0.0) >= LATE_MS]
    alive = {lookup.server for lookup in direct if lookup not in silent}
    known = any(lookup.failure is None for lookup in seen.of_type(seen.configured, rtype))
    return known and bool(silent or late) and alive == {lookup.server for lookup in direct}


def _usable_addresses(seen: Seen, rtype: str, settings: Settings) -> tuple[list[str], Doubt | None]:
    """The addresses a PBX can use, of the family that counts; of the other with a doubt, NAT64 with none."""
    if addresses := list(seen.system[rtype].addresses):
        return addresses, None
    other = seen.system.get("AAAA") if rtype == "A" else None
    if other is None or not other.addresses or settings.family is not Family.ANY:
        return [], None
    addresses = list(other.addresses)
    if any(synthesised_ipv4(address, seen.nat64_prefixes) is not None for address in addresses):
        return addresses, None
    return addresses, Doubt(
        "only_ipv6",
        "It has no IPv4 address: a PBX without IPv6 cannot reach it.",
        Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by="Ask another nameserver for its A record."),
    )


def _doubts(seen: Seen, system: Lookup, usable: list[str], rtype: str, facts: Facts, profile: Profile) -> list[Doubt]:
    """What speaks against an answer that works, the gravest first."""
    doubts = []
    direct = seen.of_type(seen.configured, rtype)
    answered = [lookup for lookup in direct if lookup.failure is None]
    denied = [lookup for lookup in direct if lookup.failure in NEGATIVE]
    given_out = {address for lookup in answered for address in lookup.addresses}
    authority = seen.authority if rtype == "A" else None
    differing = [lookup for lookup in answered if not same_operator(lookup.addresses, system.addresses)]
    if authority is not None and set(authority.addresses) & set(system.addresses):
        # A name with several sets of addresses: the zone itself knows these, too.
        differing = [lookup for lookup in differing if not set(lookup.addresses) <= set(authority.addresses)]
    contradicting = [*denied, *differing]
    if system.addresses and contradicting and not same_operator(given_out, system.addresses):
        doubts.append(
            Doubt(
                "system_differs",
                f"No configured nameserver gives that address: {what_they_say(contradicting)}. "
                "It may come from /etc/hosts, a cache or a search domain; or the name rotates its addresses.",
                Blame(
                    FaultDomain.HOST,
                    Confidence.POSSIBLE,
                    remedy=f"Remove {seen.name} from /etc/hosts on this host, unless it stands there on purpose.",
                    settle_by=f"Compare `getent ahosts {seen.name}` with /etc/hosts.",
                ),
            )
        )
    elif system.addresses and contradicting:
        doubts.append(
            Doubt(
                "nameservers_disagree",
                f"A configured nameserver says otherwise: {what_they_say(contradicting)}.",
                _blame_contradiction(contradicting, system, seen),
                contradicting[0].failure,
            )
        )
    silent = [
        lookup for lookup in direct if lookup.failure is not None and lookup.failure not in NEGATIVE | NOT_MEASURED
    ]
    if silent:
        every = len(silent) == len(direct)
        doubts.append(
            Doubt(
                "nameservers_failed" if every else "nameserver_failed",
                f"{'Every' if every else 'A'} configured nameserver fails: {what_they_say(silent)}."
                + (" A PBX that asks nameservers itself gets no address." if every else ""),
                _blame_servers(silent, facts),
                silent[0].failure,
            )
        )
    if against := [
        lookup
        for lookup in seen.of_type(seen.reference, rtype)
        if lookup.failure in NEGATIVE
        or (lookup.failure is None and system.addresses and not same_operator(lookup.addresses, system.addresses))
    ]:
        doubts.append(
            Doubt(
                "reference_differs",
                f"A nameserver asked to compare says otherwise: {what_they_say(against)}. A name may have other "
                "addresses for other places.",
                Blame(
                    FaultDomain.UNDETERMINED,
                    Confidence.POSSIBLE,
                    settle_by="Ask the provider which of the addresses are theirs.",
                ),
                against[0].failure,
            )
        )
    if authority is not None and system.addresses and not contradicting:
        doubts.extend(_doubt_of_authority(seen, system, authority, direct))
    if shared := _shared_with(seen, usable, facts, profile):
        others, addresses = shared
        doubts.append(
            Doubt(
                "shared_address",
                f"{listed(others)} {'have' if len(others) > 1 else 'has'} the same address, {listed(addresses)}: "
                "a resolver that gives one answer for every name looks just so, and there is no second place to go to.",
                Blame(
                    FaultDomain.UNDETERMINED,
                    Confidence.POSSIBLE,
                    settle_by="Compare with a resolver elsewhere: `vsipcheck dns --resolver ADDRESS`.",
                ),
            )
        )
    dated = {address for pop in profile.signalling.pops if pop.fqdn == seen.name for address in pop.addresses}
    if dated and (strange := [address for address in usable if _inside(address, seen) not in dated]):
        doubts.append(
            Doubt(
                "address_not_in_profile",
                f"{listed(strange)} is not among the addresses that the profile of {profile.dated} lists.",
                Blame(
                    FaultDomain.UNDETERMINED,
                    Confidence.POSSIBLE,
                    settle_by="Ask the provider whether the address is theirs, and use a newer profile if it is.",
                ),
            )
        )
    broken = [
        lookup
        for lookup in [*seen.system.values(), *seen.configured]
        if lookup.record_type != rtype
        and lookup.failure is not None
        and lookup.failure not in NOT_MEASURED | {Failure.NODATA}
        and (lookup.server is not None or lookup.failure not in NEGATIVE)
        and not any(other.server == lookup.server for other in [*silent, *contradicting])
    ]
    if broken:
        doubts.append(
            Doubt(
                "aaaa_failed",
                f"The question for IPv6 addresses fails: {what_they_say(broken)}. Who asks for both waits for it.",
                _blame_servers(broken, facts),
                broken[0].failure,
            )
        )
    if system.rtt_ms is not None and system.rtt_ms > SLOW_MS:
        doubts.append(
            Doubt(
                "slow",
                f"That is slow: above {SLOW_MS:.0f} ms.",
                Blame(
                    FaultDomain.UNDETERMINED,
                    Confidence.POSSIBLE,
                    settle_by="Compare the times of the nameservers: `vsipcheck dns --verbose`.",
                ),
            )
        )
    return doubts


def _blame_contradiction(contradicting: list[Lookup], system: Lookup, seen: Seen) -> Blame:
    """Who has to act where some nameservers differ from what the system has. The zone's own servers decide, but for
    other addresses that could be the provider's as well: those may be meant for another place."""
    remedy = f"Correct or remove {servers_of(contradicting)} in this host's DNS configuration."
    authority = seen.authority
    if authority is not None and same_operator(authority.addresses, system.addresses):
        sentence = f"The servers of {authority.zone} say {listed(authority.addresses)}."
        if not _may_rotate(contradicting, seen):
            return Blame(common_place(contradicting), Confidence.LIKELY, remedy=remedy, sentence=sentence)
        return Blame(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            remedy=remedy,
            settle_by=f"Ask the provider whether {_other_addresses(contradicting)} may be given for {seen.name}.",
            sentence=sentence,
        )
    return Blame(
        FaultDomain.UNDETERMINED if _may_rotate(contradicting, seen) else common_place(contradicting),
        Confidence.POSSIBLE,
        remedy=remedy,
        settle_by="Compare with the zone's own servers: `vsipcheck dns`."
        if authority is None
        else f"Ask the provider which addresses {seen.name} has.",
    )


def _other_addresses(lookups: Sequence[Lookup]) -> str:
    return listed(dict.fromkeys(address for lookup in lookups for address in lookup.addresses))


def _may_rotate(contradicting: Sequence[Lookup], seen: Seen) -> bool:
    """Whether some of the other answers could be the provider's as well: a name may rotate its addresses."""
    return any(
        all(is_usable(address, seen.nat64_prefixes) for address in lookup.addresses)
        for lookup in contradicting
        if lookup.addresses
    )


def _shared_with(seen: Seen, usable: list[str], facts: Facts, profile: Profile) -> tuple[list[str], list[str]] | None:
    """Other signalling names that have an address in common with this one, unless a reference lookup says so too."""
    others, common = [], set()
    mine = {address for lookup in seen.reference for address in lookup.addresses}
    for name in signalling_names(profile):
        if name == seen.name or is_address(name):
            continue
        other = sort_lookups(name, facts)
        theirs = {address for lookup in other.system.values() for address in lookup.addresses}
        confirmed = mine & {address for lookup in other.reference for address in lookup.addresses}
        if shared := (theirs & set(usable)) - confirmed:
            others.append(name)
            common |= shared
    return (others, sorted(common)) if others else None


def _doubt_of_authority(seen: Seen, system: Lookup, authority: Authority, direct: list[Lookup]) -> list[Doubt]:
    """What the zone's own servers say against an answer on which the system and all its nameservers agree."""
    if same_operator(authority.addresses, system.addresses):
        return []
    saying = [lookup for lookup in direct if same_operator(lookup.addresses, system.addresses)]
    said = listed(authority.addresses) if authority.addresses else told(authority.failure or Failure.NODATA)
    return [
        Doubt(
            "authority_differs",
            f"The servers of {authority.zone} itself say otherwise: {said}.",
            Blame(
                common_place(saying) if saying and authority.failure is not None else FaultDomain.UNDETERMINED,
                Confidence.POSSIBLE,
                remedy=f"Empty the cache of {servers_of(saying)}, and compare again." if saying else None,
                settle_by=f"Ask the provider whether {listed(system.addresses)} may be given for {seen.name}.",
            ),
        )
    ]


def _inside(address: str, seen: Seen) -> str:
    return synthesised_ipv4(address, seen.nat64_prefixes) or address


def _blame_failure(seen: Seen, system: Lookup, rtype: str, facts: Facts) -> tuple[Failure, Blame]:
    """Why the system has no address, as exactly as the nameservers tell it, and who has to act."""
    assert system.failure is not None
    direct = [lookup for lookup in seen.of_type(seen.configured, rtype) if lookup.failure not in NOT_MEASURED]
    failure = system.failure
    if failure in LOCAL:
        return failure, Blame(FaultDomain.HOST, Confidence.PROVEN, remedy=_REMEDY_LOCAL)
    if not direct and no_nameserver(facts):
        return failure, Blame(
            FaultDomain.HOST,
            Confidence.LIKELY,
            remedy="Configure a nameserver on this host (/etc/resolv.conf).",
            sentence="This host has no nameserver configured.",
        )
    if not direct and seen.reference:
        return failure, _blame_by_reference(seen, rtype)
    working = [lookup for lookup in direct if lookup.failure is None]
    failing = [lookup for lookup in direct if lookup.failure is not None]
    # getaddrinfo folds SERVFAIL, REFUSED and silence into one error, and some libraries NXDOMAIN and NODATA.
    kinds = {lookup.failure for lookup in failing}
    if not working and len(kinds) == 1:
        kind = next(iter(kinds))
        if kind is not None and (kind in NEGATIVE) == (failure in NEGATIVE):
            failure = kind
    if working and not failing:
        return failure, Blame(
            FaultDomain.HOST,
            Confidence.LIKELY,
            remedy="Look into this host's own resolution: /etc/nsswitch.conf, /etc/hosts, a local cache.",
            sentence="Every configured nameserver, asked directly, has an address for it.",
        )
    if not failing:
        return failure, Blame(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            settle_by=f"Ask the nameservers directly: `dig {seen.name}`.",
        )
    elsewhere = [*working, *(lookup for lookup in seen.of_type(seen.reference, rtype) if lookup.failure is None)]
    elsewhere += _authoritative(seen, rtype)
    denied = [lookup for lookup in failing if lookup.failure in NEGATIVE]
    if failure in NEGATIVE and denied:
        return failure, _blame_denial(seen, denied, elsewhere)
    if failure is Failure.SERVFAIL and seen.unchecked:
        return failure, blame_validation(seen, failing)
    return failure, _blame_servers(failing, facts)


def _authoritative(seen: Seen, rtype: str) -> list[Lookup]:
    """The answers of the zone's own servers that hold an address."""
    if seen.authority is None or rtype != "A":
        return []
    return [lookup for lookup in seen.authority.lookups if lookup.addresses]


def _blame_by_reference(seen: Seen, rtype: str) -> Blame:
    """Who has to act when only nameservers of our own choice were asked beside the system."""
    asked = seen.of_type(seen.reference, rtype)
    working = [lookup for lookup in asked if lookup.failure is None]
    denied = [lookup for lookup in asked if lookup.failure in NEGATIVE]
    if denied and not working:
        return _blame_denial(seen, denied, _authoritative(seen, rtype))
    return Blame(
        FaultDomain.UNDETERMINED,
        Confidence.POSSIBLE,
        settle_by="Run `vsipcheck dns` without --resolver: it asks each configured nameserver on its own.",
        sentence=f"{servers_of(working)} {has_or_have(working)} an address for it." if working else None,
    )


def _blame_denial(seen: Seen, denied: list[Lookup], elsewhere: list[Lookup]) -> Blame:
    """Who has to act when nameservers say that the name, or its address, does not exist."""
    if elsewhere:
        wrong = servers_of(denied)
        authority = seen.authority
        if authority is not None and authority.addresses:
            knowing = f"The servers of {authority.zone} itself have"
        else:
            knowing = f"{servers_of(elsewhere)} {has_or_have(elsewhere)}"
        return Blame(
            common_place(denied),
            Confidence.LIKELY,
            remedy=f"{wrong} must answer for {seen.name}, or be replaced in this host's DNS configuration.",
            sentence=f"{knowing} an address for it, so that {wrong} {is_or_are(denied)} wrong.",
        )
    if seen.authority is not None and seen.authority.failure is not None:
        return Blame(
            FaultDomain.PROVIDER,
            Confidence.LIKELY,
            remedy=f"Ask the provider whether {seen.name} is still in use.",
            settle_by="Check the spelling of the name.",
            sentence=f"The servers of {seen.authority.zone} itself say so.",
        )
    agreeing = {
        lookup.server
        for lookup in [*denied, *(other for other in seen.reference if other.failure in NEGATIVE)]
        if lookup.server is not None and class_of(lookup.server) is AddressClass.GLOBAL
    }
    if len(agreeing) > 1:
        return Blame(
            FaultDomain.PROVIDER,
            Confidence.POSSIBLE,
            remedy=f"Ask the provider whether {seen.name} is still in use.",
            settle_by="Check the spelling of the name, then ask from another network.",
            sentence=f"{len(agreeing)} public nameservers agree.",
        )
    return Blame(
        FaultDomain.UNDETERMINED,
        Confidence.POSSIBLE,
        settle_by="Check the spelling, and compare with a public resolver: `vsipcheck dns --resolver ADDRESS`. "
        f"If that one knows the name, {servers_of(denied)} {is_or_are(denied)} wrong.",
    )


def _blame_servers(failing: list[Lookup], facts: Facts) -> Blame:
    """Who has to act for nameservers that gave no usable answer, by where they are and how they failed."""
    servers = servers_of(failing)
    with_icmp = [lookup for lookup in failing if lookup.icmp is not None and lookup.icmp.address is not None]
    if any(lookup.failure in LOCAL for lookup in failing):
        return Blame(FaultDomain.HOST, Confidence.LIKELY, remedy=_REMEDY_LOCAL)
    if with_icmp and len(with_icmp) == len(failing):
        first = with_icmp[0]
        assert first.icmp is not None
        assert first.server is not None
        if first.icmp.address == first.server:
            return Blame(
                place_of(first.server),
                Confidence.LIKELY,
                remedy=f"Start the DNS service on {servers}, or take it out of this host's DNS configuration.",
            )
        blame = blame_icmp(facts, first.icmp, first.server)
        return Blame(
            blame.domain,
            blame.confidence,
            remedy=f"Let DNS through to {servers}.",
            settle_by=blame.settle_by,
            sentence=blame.sentence,
        )
    place = common_place(failing)
    if all(lookup.failure in UNREACHABLE for lookup in failing):
        # Silence of a public nameserver: whoever is between may drop port 53.
        if place is FaultDomain.ISP:
            place = FaultDomain.UNDETERMINED
        return Blame(
            place,
            Confidence.POSSIBLE,
            remedy=f"Repair {servers}, or take it out of this host's DNS configuration.",
            settle_by=f"Ask {servers} for another name: if that works, its own upstream is at fault.",
        )
    # It was reached and would not, or could not. SERVFAIL: it or the zone's own servers. REFUSED: not for us.
    refused = all(lookup.failure is Failure.DNS_REFUSED for lookup in failing)
    return Blame(
        place if refused and place is not FaultDomain.ISP else FaultDomain.UNDETERMINED,
        Confidence.POSSIBLE,
        remedy=f"Use a nameserver that serves this host instead of {servers}." if refused else None,
        settle_by=f"Ask {servers} for another name: if that fails too it is the resolver, if not the provider's zone.",
    )


def _blame_sinkhole(seen: Seen, sinkholed: list[tuple[Lookup, str]]) -> Blame:
    """Who has to act for an answer in special-purpose space: the place of the nameserver that gives it."""
    wrong = {address for _, address in sinkholed}
    types = {lookup.record_type for lookup, _ in sinkholed}
    configured = [lookup for lookup in seen.configured if lookup.record_type in types]
    guilty = [lookup for lookup in configured if wrong & set(lookup.addresses)]
    good = [
        lookup
        for lookup in [*configured, *seen.reference]
        if lookup.addresses and all(is_usable(address, seen.nat64_prefixes) for address in lookup.addresses)
    ]
    if not guilty:
        answered = [lookup for lookup in configured if lookup.failure is None or lookup.failure in NEGATIVE]
        return Blame(
            FaultDomain.HOST if answered else FaultDomain.UNDETERMINED,
            Confidence.LIKELY if answered else Confidence.POSSIBLE,
            remedy=f"Remove {seen.name} from /etc/hosts on this host.",
            settle_by=f"Compare `getent ahosts {seen.name}` with /etc/hosts.",
            sentence="No configured nameserver gives that answer." if answered else None,
        )
    return Blame(
        common_place(guilty),
        Confidence.LIKELY if good else Confidence.POSSIBLE,
        remedy=f"{servers_of(guilty)} must answer with the provider's own records for {seen.name}; "
        "until then use another nameserver.",
        settle_by=None if good else "Compare with a resolver elsewhere: `vsipcheck dns --resolver ADDRESS`.",
        sentence=f"The answer of {servers_of(guilty)}" + (f", not of {servers_of(good)}." if good else "."),
    )
