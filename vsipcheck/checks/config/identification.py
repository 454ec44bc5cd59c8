"""By what the provider's calls are known to be the trunk's, and what keeps them out."""

from __future__ import annotations

from collections.abc import Sequence

from vsipcheck.checks.config.files import Dialect
from vsipcheck.checks.config.patch import Edit, merged
from vsipcheck.checks.config.trunk import Network, Setting, Trunk, access_entries, contains, network_of, split_host
from vsipcheck.checks.config.verdict import Verdict, World, not_read
from vsipcheck.model import Confidence, Status


def judge_identification(trunk: Trunk, world: World) -> Verdict:
    known = trunk.identification
    place = known.setting.place if known.setting is not None and known.setting.place is not None else trunk.place
    if known.unreadable is not None:
        return not_read("By what the provider's calls are told from others was", known.unreadable, place)
    if known.impossible is not None:
        edits: tuple[Edit, ...] = ()
        if known.setting is not None and known.setting.key == "auth-calls" and trunk.listening.home is not None:
            edits = trunk.listening.home.write(("auth-calls", "false"), over=(known.setting,))
        return Verdict(
            Status.FAIL,
            "never_matches",
            f"The provider's calls are not known to be the trunk's: {known.impossible}.",
            "Have the provider's addresses accepted without a password.",
            place=place,
            edits=edits,
        )
    if known.anybody:
        return Verdict(
            Status.PASS,
            "anybody",
            "Calls are taken from any address, the provider's among them. Let a firewall or an access list keep "
            "others out.",
            place=place,
        )
    if known.also is not None and not known.sources:
        return Verdict(
            Status.UNKNOWN,
            "known_otherwise",
            f"The provider's calls are known by {known.also}, which is not looked at: whether it fits them was not "
            "seen.",
            settle_by="Match the names as well, or see that a call of the provider's is known as the trunk's.",
            place=place,
        )
    if not known.sources:
        where = f"they land at {known.guests}" if known.guests else "they are taken for a stranger's, and rejected"
        return Verdict(
            Status.WARN if known.guests else Status.FAIL,
            "as_a_guest" if known.guests else "not_identified",
            f"Nothing tells the provider's calls by their address: {where}.",
            f"Match {' and '.join(pop.fqdn for pop in world.profile.signalling.pops)} and the media addresses.",
            place=place,
            edits=_identify_edits(trunk, world, _all_sources(world)),
        )
    ported = [
        source for source in known.sources if trunk.dialect is Dialect.PJSIP and split_host(source.value or "")[1]
    ]
    if ported:
        return _ported(trunk, ported)
    if (denied := _judge_access(trunk, world)) is not None:
        return denied
    names = {split_host(source.value or "")[0].lower() for source in known.sources}
    networks = [network for name in names if (network := network_of(name)) is not None]
    # What is matched by address and is none of the media regions': it may be where the signalling names lead.
    regions = {network_of(media.address) for media in world.profile.media.addresses}
    others = [network for network in networks if network not in regions]
    lacking: list[str] = []
    unclear: list[str] = []
    for pop in world.profile.signalling.pops:
        addresses = world.pop_addresses.get(pop.fqdn, frozenset())
        if pop.fqdn.lower() in names or (addresses and all(contains(networks, address) for address in addresses)):
            continue
        (unclear if others and not addresses else lacking).append(pop.fqdn)
    media = [
        each.address
        for each in world.profile.media.addresses
        if each.address not in names and not contains(networks, each.address)
    ]
    told = ", ".join(sorted(names))
    if lacking and known.also is not None:
        return Verdict(
            Status.UNKNOWN,
            "known_otherwise",
            f"The provider's calls are known by {told}, and by {known.also}, which is not looked at. Whether that "
            f"covers calls from {' and '.join(lacking)} was not seen.",
            settle_by="Match the names as well, or see that a call from each is known as the trunk's.",
            place=place,
        )
    if lacking:
        return _lacking(trunk, world, lacking, told, media)
    if unclear:
        return Verdict(
            Status.UNKNOWN,
            "addresses_unknown",
            f"The provider's calls are known by {told}. Whether these are all addresses of "
            f"{' and '.join(unclear)} was not seen.",
            settle_by="Run `vsipcheck all --pbx-config`, which looks the names up, or have the provider name the "
            "addresses its INVITEs come from.",
            place=place,
        )
    if media and known.limited:
        return Verdict(
            Status.WARN,
            "media_regions",
            f"The provider's calls are known by {told}; an INVITE from one of the media regions "
            f"({', '.join(media)}) would "
            "be a stranger's.",
            "Match the media addresses as well: it costs nothing, and calls survive a change of the way they come.",
            place=place,
            edits=_identify_edits(trunk, world, media),
            confidence=Confidence.POSSIBLE,
        )
    if known.unnamed is not None:
        value = ",".join(item for item in (known.unnamed.value, "ip") if item)
        return Verdict(
            Status.WARN,
            "ip_not_named",
            f"The provider's calls are known by {told}. {known.unnamed} leaves out ip: the documentation of Asterisk "
            "wants it there, though the versions that are known here look at match all the same.",
            f"Set identify_by = {value}.",
            place=known.unnamed.place or place,
            edits=trunk.home.write((known.unnamed.key, value), over=(known.unnamed,)),
            confidence=Confidence.POSSIBLE,
        )
    password = " No password is set, so that insecure needs no invite." if trunk.dialect is Dialect.CHAN_SIP else ""
    return Verdict(Status.PASS, "by_address", f"The provider's calls are known by {told}.{password}", place=place)


def _ported(trunk: Trunk, ported: Sequence[Setting]) -> Verdict:
    """`match` with a port."""
    known = trunk.identification
    edits: list[Edit] = []
    for line in {source.place: source for source in ported}.values():
        hosts = [split_host(each.value or "")[0] for each in known.sources if each.place == line.place]
        if line.key == known.key and known.home is not None:
            edits += known.home.write((line.key, ",".join(hosts)), over=(line,))
    names = ", ".join(source.value or "" for source in ported)
    return Verdict(
        Status.FAIL,
        "port_in_match",
        f"{ported[0].key} names a port ({names}). It would be the port that calls come from, which over TCP is any; "
        "older versions refuse the whole identify for it.",
        "Match names and addresses alone.",
        place=ported[0].place or trunk.place,
        edits=merged(edits),
        confidence=Confidence.LIKELY,
    )


def _judge_access(trunk: Trunk, world: World) -> Verdict | None:
    """Whether permit and deny keep the provider out; None where they do not."""
    for rules in trunk.access:
        written = [rule for rule in rules if rule.value]
        named = next((rule for rule in written if rule.key.lower() == "acl"), None)
        if named is not None:
            return not_read("Whether the provider is let in was", f"{named} stands in acl.conf", named.place)
        entries = [(rule, *entry) for rule in written for entry in access_entries(rule)]
        # What a later permit takes back, and what is inside, keeps no provider out.
        denies = [
            (rule, network)
            for at, (rule, allows, network) in enumerate(entries)
            if not allows
            and (network.prefixlen == 0 or not network.is_private)
            and not any(later and _within(network, wider) for _, later, wider in entries[at + 1 :])
        ]
        if not denies:
            continue
        last = denies[-1][0]
        known = sorted(address for addresses in world.pop_addresses.values() for address in addresses)
        out = [address for address in known if not _lets_in(entries, address)]
        unseen = [name for name, addresses in world.pop_addresses.items() if not addresses]
        if out:
            return Verdict(
                Status.FAIL,
                "denied",
                f"{last}, and no permit lets {', '.join(out)} in: calls from there are rejected.",
                "Permit the provider's addresses.",
                place=last.place or trunk.place,
            )
        if unseen:
            return Verdict(
                Status.UNKNOWN,
                "addresses_unknown",
                f"{last}: whether the addresses of {' and '.join(unseen)} are let in was not seen.",
                settle_by="Run `vsipcheck all --pbx-config`, which looks the names up, or have the provider name the "
                "addresses its INVITEs come from.",
                place=last.place or trunk.place,
            )
    return None


def _lets_in(entries: Sequence[tuple[Setting, bool, Network]], address: str) -> bool:
    """The last that fits decides; without one, all are let in."""
    return next((allows for _, allows, network in reversed(entries) if contains([network], address)), True)


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _all_sources(world: World) -> list[str]:
    return [
        *(pop.fqdn for pop in world.profile.signalling.pops),
        *(media.address for media in world.profile.media.addresses),
    ]


def _lacking(trunk: Trunk, world: World, lacking: Sequence[str], told: str, media: Sequence[str]) -> Verdict:
    known = trunk.identification
    where = f"land among those of any guest, at {known.guests}" if known.guests else "are rejected"
    place = known.setting.place if known.setting is not None and known.setting.place is not None else trunk.place
    return Verdict(
        Status.WARN,
        "part_of_the_pops",
        f"The provider's calls are known by {told}. Calls that come from {' and '.join(lacking)} {where}.",
        f"Have {' and '.join(lacking)} known as the trunk, too.",
        place=place,
        edits=_identify_edits(trunk, world, [*lacking, *media]),
        confidence=Confidence.LIKELY,
    )


def _identify_edits(trunk: Trunk, world: World, sources: Sequence[str]) -> tuple[Edit, ...]:
    known = trunk.identification
    if trunk.dialect is Dialect.CHAN_SIP:
        # A peer has one host. One that inherits from another is known by its own.
        lines: list[str] = []
        for fqdn in sources:
            if fqdn in {pop.fqdn for pop in world.profile.signalling.pops}:
                lines += ["", f"[{trunk.name}-{fqdn.split('.')[1]}]({trunk.name})", f"host = {fqdn}"]
        return (trunk.home.insert(*lines),) if lines else ()
    if trunk.dialect is not Dialect.PJSIP:
        return ()
    if known.home is None:
        lines = ["", f"[{trunk.name}-identify]", "type = identify", f"endpoint = {trunk.name}"]
        return (trunk.home.insert(*lines, *(f"match = {source}" for source in sources)),)
    written = [source.value for source in known.sources if source.key == known.key]
    if known.key != "match" and not written:
        sources = [*dict.fromkeys([*(split_host(s.value or "")[0] for s in known.sources), *sources])]
    return (known.home.insert(*(f"{known.key} = {source}" for source in sources)),)
