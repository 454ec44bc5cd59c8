"""Which public address the trunk leaves from: the one to hand in for whitelisting.

What can be seen, what else would look just like it, and so what may be said:

- The trunk's own `received` is its view of us, unless something on the way rewrote it (sip.addresses tells). It is
  enough for the public address. Echo services and STUN servers are others' views: web traffic, UDP and SIP may leave
  by different lines, so that one of these methods alone names no address, however many operators agree in it.
- Different views: several uplinks, or a pool of addresses. Which one the trunk sees is known only from `received`.
- A public address on the interface that nobody outside has confirmed is only `possible`: companies do use others'
  public addresses inside.
"""

from __future__ import annotations

from vsipcheck.checks.base import fact_ids
from vsipcheck.checks.nat.verdict import Verdict
from vsipcheck.checks.nat.view import View
from vsipcheck.checks.nat.words import join_failures, join_words
from vsipcheck.checks.public_address import SIP_RECEIVED
from vsipcheck.checks.sip.addresses import addresses_from_sip
from vsipcheck.model import Confidence, FaultDomain, Measure, Profile, Status

PUBLIC_ADDRESS = "nat.public_address"
_METHOD_NAMES = {"https_echo": "HTTPS", "stun": "STUN", SIP_RECEIVED: "the trunk (SIP received=)"}


def judge_public_address(view: View, profile: Profile, cgnat: Verdict) -> Verdict:
    """The address to hand in, as far as it is known; a warning where the views of it differ."""
    expected = view.settings.expect_ip
    measures = (
        Measure(name="methods", value=len(view.methods), unit="count"),
        Measure(name="views", value=len(view.sightings), unit="count"),
        Measure(name="addresses", value=len(view.addresses), unit="count"),
    )
    ids = (*view.sighting_ids, *view.source_ids)
    trunk_sees = tuple(dict.fromkeys(one.address for one in view.received))
    known = trunk_sees or _without_the_trunks_word(view)
    wrong = [address for address in known if address != expected]

    # Where the trunk has not told, an address handed in may be the one of several that it will see.
    if expected is not None and wrong and (trunk_sees or len(wrong) == len(known)):
        told = join_words(wrong)
        who = "The trunk sees" if trunk_sees else "The outside sees"
        return Verdict(
            Status.FAIL,
            "not_the_expected_address",
            f"{who} this host as {told}, but {expected} was handed in for whitelisting."
            + (f" {_told_by(view)}" if len(view.addresses) > 1 else ""),
            facts=ids,
            domain=FaultDomain.LOCAL_NETWORK,
            confidence=Confidence.PROVEN if trunk_sees else Confidence.LIKELY,
            remedy=f"Ask {profile.provider} to whitelist {told} instead of {expected}, or let the trunk leave by the "
            f"line that has {expected}.",
            measures=measures,
        )
    if len(view.addresses) > 1 or _contradicts_interface(view):
        shown = f"Whitelist {join_words(trunk_sees)}, the one that the trunk sees." if trunk_sees else None
        return Verdict(
            Status.WARN,
            "methods_disagree",
            f"This host is seen under more than one public address. {_told_by(view)}",
            facts=ids,
            confidence=Confidence.LIKELY if len(view.sightings) > 2 else Confidence.POSSIBLE,
            remedy=shown
            or f"Have all of {join_words(_all_addresses(view))} whitelisted, or bind the trunk to one line.",
            settle_by="Find out whether this network has several uplinks, or the ISP gives addresses out of a pool; "
            "signalling and media have to leave from the address that was handed in.",
            measures=measures,
        )
    if known:
        return _address_known(view, profile, known[0], cgnat, ids, measures)
    if view.public_source is not None and not view.sightings:
        return _only_on_interface(view, profile, ids, measures)
    return _address_unknown(view, ids, measures)


def _without_the_trunks_word(view: View) -> tuple[str, ...]:
    """The addresses of which one is ours for sure, where the trunk has not told: two methods, or the interface too."""
    if len(view.methods) > 1:
        return view.addresses
    if view.public_source is not None and view.addresses == (view.public_source,):
        return view.addresses
    return ()


def _contradicts_interface(view: View) -> bool:
    """A public source address, and one single method that sees another: which one is right is open."""
    return (
        view.public_source is not None
        and len(view.methods) == 1
        and not view.received
        and view.addresses != (view.public_source,)
    )


def _all_addresses(view: View) -> tuple[str, ...]:
    own = (view.public_source,) if view.public_source is not None else ()
    return tuple(dict.fromkeys((*view.addresses, *own)))


def _told_by(view: View) -> str:
    """Which address is seen by whom: "198.51.100.7: HTTPS at Amazon and ipify; 203.0.113.9: STUN at Google."."""
    parts = []
    for address in view.addresses:
        ways = []
        for method in view.methods:
            who = sorted({one.who for one in view.sightings if (one.address, one.method) == (address, method)})
            if who:
                ways.append(f"{_METHOD_NAMES[method]}" + ("" if method == SIP_RECEIVED else f" at {join_words(who)}"))
        parts.append(f"{address}: {join_words(ways)}")
    if view.public_source is not None and view.public_source not in view.addresses:
        parts.append(f"{view.public_source}: this host's own interface")
    return "; ".join(parts) + "."


def _address_known(
    view: View,
    profile: Profile,
    address: str,
    cgnat: Verdict,
    ids: tuple[str, ...],
    measures: tuple[Measure, ...],
) -> Verdict:
    ways = join_words([_METHOD_NAMES[method] for method in view.methods])
    ways = f"{ways} {'see' if len(view.methods) > 1 else 'sees'}"
    on_interface = view.public_source == address
    if on_interface:
        where = f"It is on this host's own interface, and {ways} the same."
    else:
        where = f"{ways[0].upper()}{ways[1:]} it"
        where += f"; this host's own address towards the trunk is {view.source}." if view.source else "."
    if view.settings.expect_ip is not None:
        use = "the one that was handed in for whitelisting"
    elif cgnat.status is Status.FAIL:
        use = "but it is not this line's own: before it is handed in, see carrier-grade NAT"
    else:
        use = f"the one to hand in to {profile.provider} for whitelisting"
    # Any server in the trunk's place can write what it likes into received=: another method has to agree.
    direct = on_interface or (bool(view.received) and len(view.methods) > 1)
    return Verdict(
        Status.PASS,
        "public_on_interface" if on_interface else "received_by_trunk" if view.received else "methods_agree",
        f"The public address is {address}, {use}. {where}",
        facts=ids,
        confidence=Confidence.PROVEN if direct else Confidence.LIKELY,
        measures=measures,
    )


def _only_on_interface(view: View, profile: Profile, ids: tuple[str, ...], measures: tuple[Measure, ...]) -> Verdict:
    address, expected = view.public_source, view.settings.expect_ip
    if expected is not None and expected != address:
        return Verdict(
            Status.FAIL,
            "not_the_expected_address",
            f"This host's own address towards the trunk is {address}, a public one, but {expected} was handed in for "
            "whitelisting. Nobody outside has told which one he sees.",
            facts=ids,
            domain=FaultDomain.LOCAL_NETWORK,
            confidence=Confidence.POSSIBLE,
            remedy=f"Ask {profile.provider} to whitelist {address} instead of {expected}, or let the trunk leave by "
            f"the line that has {expected}.",
            settle_by="Run it again when an echo service, a STUN server or the trunk answers.",
            measures=measures,
        )
    return Verdict(
        Status.PASS,
        "public_on_interface",
        f"This host's own address towards the trunk, {address}, is a public one. Nobody outside has confirmed it.",
        facts=ids,
        confidence=Confidence.POSSIBLE,
        measures=measures,
    )


def _address_unknown(view: View, ids: tuple[str, ...], measures: tuple[Measure, ...]) -> Verdict:
    failed = [fact for fact in view.helper_answers if fact.failure is not None]
    untold = [told for told in addresses_from_sip(view.facts) if not told.trusted]
    expected = view.settings.expect_ip
    if view.sightings:
        method, address = view.methods[0], view.addresses[0]
        who = join_words(sorted({one.who for one in view.sightings}))
        summary = (
            f"Only {_METHOD_NAMES[method]} ({who}) tells an address, {address}: the trunk may leave by another line, "
            "so that one method alone settles nothing."
        )
        if expected is not None:
            said = "That is" if address == expected else "That is not"
            summary += f" {said} {expected}, which was handed in."
        reason = "one_method_only"
    elif not view.sources and not any(fact.failure is None for fact in view.helper_answers):
        summary, reason = (
            "This host has no IPv4 route towards the trunk, and nobody told its public address.",
            "no_route",
        )
    else:
        summary, reason = "Nobody told this host's public address.", "no_method_answered"
    if failed:
        summary += f" {len(failed)} of {len(failed) + len(view.helpers)} helpers gave none ({join_failures(failed)})."
    if untold and view.received == []:
        summary += _why_untold(untold[0].why_not)
    if view.ended_early:
        summary += " The run ended before all had answered."
    return Verdict(
        Status.UNKNOWN,
        reason,
        summary,
        facts=(*ids, *fact_ids(failed), *(told.fact_id for told in untold)),
        confidence=Confidence.POSSIBLE,
        settle_by="Let HTTPS and UDP to the helpers of the profile out and run it again; or read the WAN address on "
        "your router, if it is a public one.",
        measures=measures,
    )


def _why_untold(why_not: str | None) -> str:
    match why_not:
        case "alg":
            return " The trunk's answers carry this host's private address in received=: a SIP ALG rewrote them."
        case "private":
            return " The trunk's answers carry a private address in received=."
        case "altered":
            return " The Via of the trunk's answers was altered on the way, so that its received= counts for nothing."
        case _:
            return ""
