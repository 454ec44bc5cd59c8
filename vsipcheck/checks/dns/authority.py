"""`dns.authority`, `dns.resolver`, `dns.records`: the zone's own word, each nameserver held to it, and other records.

What can be seen, what else would look just like it, and so what may be said:

- The zone's own servers are found from the root servers down, without recursion. Where somebody on the way takes
  queries to port 53 for himself, all of that is his word: a root server that offers recursion, and an answer from an
  address where nobody can be, give him away. Nothing is known of the zone then, nor of a nameserver behind him.
- One who hands each query on to where it was meant for, and changes some answers, can't be told from the zone.
- A nameserver with other addresses than the zone's: an old answer still in its cache, a zone of its own (it claims
  authority, AA, over a name that nobody has delegated to it), a filter (it may say so: RFC 8914), or a zone that gives
  other addresses to other places. Which, it often does not show; that the PBX gets something else, it does.
- An address for a name below `.invalid` (RFC 6761) is made up, whoever made it: the nameserver, or one that it
  forwards to. For a random name below the zone a wildcard of the zone looks alike, unless the zone denies it.
- A nameserver that fails a name, and knows it when told not to validate (CD), has failed its validation: the zone's
  signatures, or its own clock and trust anchors. A second one that validates it (AD) decides.
- Addresses out of one block, or known to the zone as well, are a set that rotates: no disagreement.
"""

from __future__ import annotations

from collections.abc import Sequence

from vsipcheck.checks.base import Facts
from vsipcheck.checks.dns.answers import (
    DEEP_TOPIC,
    LOCAL,
    NEGATIVE,
    ROOT_SERVERS_SOURCE,
    Authority,
    Seen,
    blame_validation,
    class_of,
    common_place,
    interception,
    is_usable,
    listed,
    place_of,
    same_operator,
    servers_of,
    sort_lookups,
    told,
    walk_to,
    what_they_say,
)
from vsipcheck.checks.dns.names import is_address, signalling_names
from vsipcheck.checks.dns.verdict import Blame, build_finding
from vsipcheck.model import Confidence, Failure, Family, FaultDomain, Finding, Lookup, Note, Profile, Settings, Status
from vsipcheck.wire.ip import AddressClass

AUTHORITY = "dns.authority"
RESOLVER = "dns.resolver"
RECORDS = "dns.records"

# RFC 8914 §4: Stale Answer, Stale NXDOMAIN Answer; Forged Answer, Blocked, Censored, Filtered.
_STALE = frozenset({3, 19})
_FILTERED = frozenset({4, 15, 16, 17})
_OPEN = Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE)
_SETTLE_INTERCEPTION = (
    "Ask whoever runs this network, and the ISP, who answers DNS queries on their way; ask from another network to "
    "compare."
)


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """One `dns.authority` and `dns.records` for every signalling name, one `dns.resolver` for every nameserver that was
    asked; nothing where no long look was taken."""
    if deep_note(facts) is None:
        return []
    names = [name for name in signalling_names(profile) if not is_address(name)]
    seen = {name: sort_lookups(name, facts) for name in names}
    findings = [_judge_authority(seen[name], facts, settings) for name in names]
    servers = dict.fromkeys(
        lookup.server
        for each in seen.values()
        for lookup in (*each.configured, *each.reference)
        if lookup.server is not None
    )
    findings += [_judge_resolver(server, list(seen.values()), facts) for server in servers]
    findings += [_judge_records(name, facts, profile) for name in names]
    return findings


def deep_note(facts: Facts) -> Note | None:
    """The note of the long look, if one was taken."""
    return next((note for note in facts.of(Note, "dns") if note.topic == DEEP_TOPIC), None)


# dns.authority


def _judge_authority(seen: Seen, facts: Facts, settings: Settings) -> Finding:
    name, system = seen.name, seen.system.get("A")
    on_the_way = [lookup for lookup in facts.of(Lookup, "dns") if lookup.purpose == "authority"]

    def finding(
        status: Status, reason: str, summary: str, lookups: Sequence[Lookup], blame: Blame | None = None
    ) -> Finding:
        mine = [lookup for lookup in seen.system.values() if lookup.record_type == "A"]
        return build_finding(AUTHORITY, name, status, reason, summary, [*mine, *lookups], blame)

    if (caught := interception(facts)) is not None:
        how, lookups = caught
        return finding(
            Status.UNKNOWN,
            "port_53_intercepted",
            f"What the servers of {name} say can't be seen from here. Somebody on the way answers DNS queries in "
            f"others' place: {how}.",
            lookups,
            Blame(FaultDomain.UNDETERMINED, Confidence.PROVEN, settle_by=_SETTLE_INTERCEPTION),
        )
    if seen.authority is None:
        reason, why = _why_not_reached(seen, facts)
        return finding(
            Status.UNKNOWN,
            reason,
            f"What the servers of {name} say is not known: {why}.",
            on_the_way,
            Blame(
                FaultDomain.UNDETERMINED,
                Confidence.POSSIBLE,
                settle_by="Run `vsipcheck dns` from a network that lets DNS out to any server.",
            ),
        )
    authority = seen.authority
    said = _what_it_says(authority)
    if system is None or settings.family is Family.IPV6:
        return finding(
            Status.UNKNOWN,
            "not_compared",
            f"The servers of {authority.zone} {said}. What this host makes of {name} was not seen.",
            authority.lookups,
            Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by="Run `vsipcheck dns` again, without -6."),
        )
    if authority.failure is not None and system.addresses:
        return finding(
            Status.WARN,
            "not_in_zone",
            f"The servers of {authority.zone} {said}; this host has {listed(system.addresses)}.",
            authority.lookups,
            _blame_differing(seen, system),
        )
    if authority.failure is not None:
        return finding(
            Status.WARN,
            "denied",
            f"The servers of {authority.zone} itself {said}.",
            authority.lookups,
            Blame(
                FaultDomain.PROVIDER,
                Confidence.LIKELY,
                remedy=f"Ask the provider whether {name} is still in use.",
                settle_by="Check the spelling of the name.",
            ),
        )
    if not system.addresses:
        return finding(
            Status.WARN,
            "host_has_none",
            f"The servers of {authority.zone} {said}: the zone is in order, this host's resolution is not.",
            authority.lookups,
            _blame_differing(seen, system),
        )
    if not same_operator(authority.addresses, system.addresses):
        return finding(
            Status.WARN,
            "differs",
            f"The servers of {authority.zone} {said}; this host has {listed(system.addresses)}.",
            authority.lookups,
            _blame_differing(seen, system),
        )
    same = set(authority.addresses) & set(system.addresses)
    as_here = ", as this host has it" if same else f"; this host has {listed(system.addresses)}, out of the same block"
    return finding(
        Status.PASS,
        "confirmed",
        f"The servers of {authority.zone}, found from the root servers down, {said}{as_here}.",
        authority.lookups,
    )


def _what_it_says(authority: Authority) -> str:
    if authority.failure is not None:
        return f"say: {told(authority.failure)}"
    return f"give {listed(authority.addresses)}"


def _why_not_reached(seen: Seen, facts: Facts) -> tuple[str, str]:
    walk = walk_to(seen.name, facts)
    ended = walk.values.get("ended") if walk is not None else None
    asked = [lookup for lookup in facts.of(Lookup, "dns") if lookup.purpose == "authority"]
    if ended is None:
        return "not_measured", "the run ended before they were found"
    if ended == "silent" and asked and all(lookup.failure in LOCAL for lookup in asked):
        return "not_reached", f"this host cannot send to the root servers ({told(asked[0].failure or Failure.OTHER)})"
    if ended == "silent":
        if all(lookup.server_source == ROOT_SERVERS_SOURCE for lookup in asked):
            return "not_reached", "no root server answers, as where a firewall lets DNS out to the own resolver alone"
        last = asked[-1]
        return "not_reached", f"the {last.server_source} do not answer ({last.server})"
    why = {
        "refused": "those that were asked on the way answered with an error",
        "lame": "a referral on the way named no server that has an address",
        "not_authoritative": "who answered in their place does not claim to be authoritative (AA is not set)",
        "too_long": "the way down from the root servers did not end in time",
    }
    return "walk_failed", why.get(str(ended), "the answers on the way contradict each other")


def _blame_differing(seen: Seen, system: Lookup) -> Blame:
    """Who has to act where the host has something else than the zone: who says the same, if anybody does."""
    saying = [
        lookup
        for lookup in seen.of_type(seen.configured, "A")
        if (system.addresses and same_operator(lookup.addresses, system.addresses))
        or (not system.addresses and lookup.failure in NEGATIVE)
    ]
    settle = f"Ask the provider whether {listed(system.addresses)} may be given for {seen.name}."
    if not system.addresses:
        settle = "`vsipcheck dns` tells under dns.resolution how it fails."
    if not saying and system.addresses:
        return Blame(
            FaultDomain.HOST if seen.configured else FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            remedy=f"Look for {seen.name} in /etc/hosts and in local caches of this host.",
            settle_by=settle,
            sentence="No configured nameserver gives that answer." if seen.configured else None,
        )
    if not saying:
        return Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=settle)
    if not system.addresses or not all(is_usable(address, seen.nat64_prefixes) for address in system.addresses):
        return Blame(
            common_place(saying),
            Confidence.LIKELY,
            remedy=f"{servers_of(saying)} must answer with the zone's own records, or be replaced in this host's DNS "
            "configuration.",
            sentence=f"That is the answer of {servers_of(saying)}.",
        )
    return Blame(
        FaultDomain.UNDETERMINED,
        Confidence.POSSIBLE,
        remedy=f"Empty the cache of {servers_of(saying)}, and compare again.",
        settle_by=settle,
        sentence=f"That is the answer of {servers_of(saying)}.",
    )


# dns.resolver


def _judge_resolver(server: str, names: Sequence[Seen], facts: Facts) -> Finding:
    controls = [lookup for lookup in facts.of(Lookup, "dns") if lookup.purpose == "control" and lookup.server == server]
    own = [lookup for seen in names for lookup in seen.facts if lookup.server == server and lookup.record_type == "A"]
    caught = interception(facts)
    # What a nameserver inside says never passed the one who takes queries on their way out; whoever it asks may have.
    hidden = caught is not None and class_of(server) is AddressClass.GLOBAL

    def finding(
        status: Status, reason: str, summary: str, lookups: Sequence[Lookup], blame: Blame | None = None
    ) -> Finding:
        if hidden and caught is not None and blame is not None:
            blame = Blame(
                FaultDomain.UNDETERMINED,
                Confidence.POSSIBLE,
                remedy=blame.remedy,
                settle_by=_SETTLE_INTERCEPTION,
                sentence=f"It may not be {server} that says so: {caught[0]}.",
            )
        failures = [lookup.failure for lookup in lookups if lookup in own and lookup.failure is not None]
        failure = failures[0] if failures and status is not Status.PASS else None
        return build_finding(RESOLVER, server, status, reason, summary, lookups, blame, failure)

    if not any(lookup.rcode is not None for lookup in [*own, *controls]):
        return finding(
            Status.UNKNOWN,
            "no_answer",
            f"{server} can't be judged: {what_they_say(own[:1]) or 'it was asked for no address'}.",
            own,
            Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=f"Ask {server} for any other name."),
        )
    if invented := _invented(controls, facts):
        return finding(
            Status.WARN,
            "invents_names",
            f"{server} has an address for {invented[0].name}, a name that does not exist: "
            f"{listed(invented[0].addresses)}. A mistyped name would lead a PBX there.",
            invented,
            Blame(
                place_of(server),
                _confidence_at(server),
                remedy=f"Have {server} answer NXDOMAIN for names that do not exist, or use another nameserver.",
                settle_by=None
                if _confidence_at(server) is Confidence.LIKELY
                else f"{server} may only hand on what the resolver that it forwards to makes up: look there first.",
            ),
        )
    for seen in names:
        if wrong := _wrong(server, seen, facts):
            reason, summary, lookups, blame = wrong
            return finding(Status.WARN, reason, summary, lookups, blame)
    if hidden and caught is not None:
        return finding(
            Status.UNKNOWN,
            "port_53_intercepted",
            f"What {server} itself says can't be seen. Somebody on the way answers in others' place.",
            [*own, *caught[1]],
            _OPEN,
        )
    failed = [lookup for lookup in own if lookup.failure is not None and lookup.failure not in NEGATIVE]
    if failed:
        return finding(
            Status.UNKNOWN,
            "fails",
            f"{server} answers, but not for {failed[0].name}: {what_they_say(failed[:1])}.",
            failed,
            Blame(
                FaultDomain.UNDETERMINED,
                Confidence.POSSIBLE,
                settle_by="dns.resolution tells what that does to the host.",
            ),
        )
    told_of = {lookup.name for lookup in own if lookup.failure is None or lookup.failure in NEGATIVE}
    compared = [seen for seen in names if seen.authority is not None and seen.name in told_of]
    denied = [lookup for lookup in controls if lookup.failure in NEGATIVE and not lookup.addresses]
    if len(compared) < len(names) or not denied:
        return finding(
            Status.UNKNOWN,
            "not_compared",
            f"{server} could not be held against the servers of the zone itself."
            + (" It denies names that do not exist." if denied else ""),
            [*own, *controls],
            Blame(
                FaultDomain.UNDETERMINED,
                Confidence.POSSIBLE,
                settle_by="Run `vsipcheck dns` from a network that lets DNS out to any server, without -6.",
            ),
        )
    return finding(
        Status.PASS,
        "agrees",
        f"{server} says what the zone's own servers say, and denies names that do not exist.",
        [*own, *controls],
    )


def _confidence_at(server: str) -> Confidence:
    """How sure it is that a nameserver's answers are its own: those inside mostly hand on what others say."""
    return Confidence.LIKELY if class_of(server) is AddressClass.GLOBAL else Confidence.POSSIBLE


def _invented(controls: Sequence[Lookup], facts: Facts) -> list[Lookup]:
    """The made-up answers: below `.invalid`, or below the zone where the zone itself denies the name."""
    note = deep_note(facts)
    impossible = note.values.get("impossible", []) if note is not None else []
    denied_by_zone = {
        lookup.name
        for lookup in facts.of(Lookup, "dns")
        if lookup.purpose == "authority" and "aa" in lookup.flags and lookup.failure in NEGATIVE
    }
    if interception(facts) is not None:
        denied_by_zone = set()
    return [
        lookup
        for lookup in controls
        if lookup.addresses
        and lookup.name in impossible
        and (lookup.name.endswith(".invalid") or lookup.name in denied_by_zone)
    ]


def _wrong(server: str, seen: Seen, facts: Facts) -> tuple[str, str, list[Lookup], Blame] | None:
    """What this nameserver does to one name that the zone's own servers, or its own second answer, speak against."""
    mine = [lookup for lookup in [*seen.configured, *seen.reference] if lookup.server == server]
    lookup = next((lookup for lookup in mine if lookup.record_type == "A"), None)
    if lookup is None:
        return None
    unchecked = [other for other in seen.unchecked if other.server == server]
    if lookup.failure is Failure.SERVFAIL and unchecked:
        return (
            "validation_fails",
            f"{server} fails for {seen.name} (SERVFAIL).",
            [lookup, *unchecked],
            blame_validation(seen, [lookup]),
        )
    authority = seen.authority
    replace = f"{server} must answer with the zone's own records for {seen.name}, or be replaced."
    if lookup.addresses and not all(is_usable(address, seen.nat64_prefixes) for address in lookup.addresses):
        return (
            "special_purpose_answer",
            f"{server} gives {listed(lookup.addresses)} for {seen.name}: an address on which no provider can be.",
            [lookup],
            Blame(
                place_of(server),
                _confidence_at(server),
                remedy=replace,
                settle_by=f"{server} may only hand on what the resolver that it forwards to says.",
            ),
        )
    if authority is None or (authority.failure is not None and not lookup.addresses):
        return None
    if lookup.failure in NEGATIVE:
        said = f"{server} says of {seen.name}: {told(lookup.failure)}."
        filtered = _FILTERED & set(lookup.extended_errors)
        return (
            "filtered" if filtered else "stale" if _STALE & set(lookup.extended_errors) else "denies_name",
            f"{said} The servers of {authority.zone} {_what_it_says(authority)}.",
            [lookup, *authority.lookups],
            Blame(
                place_of(server),
                Confidence.PROVEN if filtered else _confidence_at(server),
                remedy=replace,
                settle_by=None if filtered else "An old denial may still be in its cache, or one of its upstream's.",
            ),
        )
    if not lookup.addresses or same_operator(lookup.addresses, authority.addresses):
        return None
    said = f"{server} gives {listed(lookup.addresses)} for {seen.name}; the servers of {authority.zone} "
    said += f"{_what_it_says(authority)}."
    lookups = [*(fact for fact in seen.facts if fact.server == server), *authority.lookups]
    if _STALE & set(lookup.extended_errors):
        return (
            "stale",
            f"{said} It says itself that its answer is stale (RFC 8914).",
            lookups,
            Blame(place_of(server), Confidence.PROVEN, remedy=f"See why {server} cannot refresh {seen.name}."),
        )
    if _FILTERED & set(lookup.extended_errors):
        return (
            "filtered",
            f"{said} It says itself that it puts another answer in its place (RFC 8914).",
            lookups,
            Blame(place_of(server), Confidence.PROVEN, remedy=f"Let {server} answer for {seen.name} unfiltered."),
        )
    if "aa" in lookup.flags:
        return (
            "split_horizon",
            f"{said} It claims authority over the name (AA), which the zone has not given to it: a zone of its own.",
            lookups,
            Blame(
                place_of(server),
                Confidence.LIKELY,
                remedy=f"Correct {seen.name} in the zone that {server} keeps, or remove it there.",
            ),
        )
    if authority.ttl_s is not None and lookup.ttl_s is not None and lookup.ttl_s > authority.ttl_s:
        return (
            "altered",
            f"{said} It lets it live for {lookup.ttl_s} s, longer than the zone does ({authority.ttl_s} s): no cache "
            "of what the zone says now would.",
            lookups,
            Blame(
                FaultDomain.UNDETERMINED,
                Confidence.POSSIBLE,
                remedy=replace,
                settle_by=f"Ask again in {lookup.ttl_s} s: an old answer is gone by then, one of its own is not.",
            ),
        )
    left = f" within {lookup.ttl_s} s" if lookup.ttl_s is not None else ""
    return (
        "stale_or_local",
        f"{said} An old answer in its cache would be gone{left}; a zone may also give other addresses to other places.",
        lookups,
        Blame(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            remedy=f"Empty the cache of {server}, and compare again.",
            settle_by=f"Ask the provider whether {listed(lookup.addresses)} may be given for {seen.name}.",
        ),
    )


# dns.records


def _judge_records(name: str, facts: Facts, profile: Profile) -> Finding:
    asked = [
        lookup
        for lookup in facts.of(Lookup, "dns")
        if lookup.purpose == "records" and lookup.name in (name, f"_sip._tcp.{name}")
    ]
    port = profile.signalling.port
    rule = f"A peer that is configured with port {port} asks for the A and AAAA records of {name} alone (RFC 3263 §4)."
    known = [lookup for lookup in asked if lookup.failure is None or lookup.failure in NEGATIVE]
    if len(known) < 2:
        return build_finding(
            RECORDS,
            name,
            Status.UNKNOWN,
            "not_measured",
            f"{rule} Whether there are NAPTR or SRV records is not known.",
            asked,
            Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by="Run `vsipcheck dns` again."),
        )
    records = [record for lookup in known for record in lookup.answers if record.type == lookup.record_type]
    if not records:
        text = (
            f"There are no NAPTR and SRV records: without a port it would go to 5060, where {profile.provider} is not."
        )
        if port == 5060:
            text = "There are no NAPTR and SRV records: without a port it would go to 5060 as well."
        return build_finding(RECORDS, name, Status.PASS, "explicit_port", f"{rule} {text}", asked)
    shown = "; ".join(f"{record.type} {record.data}" for record in records[:6])
    return build_finding(
        RECORDS,
        name,
        Status.PASS,
        "explicit_port",
        f"{rule} Without the port it would follow these instead: {shown}.",
        asked,
    )
