"""What each rule of the provider's guide says of a trunk in a configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from vsipcheck.checks.config_asterisk import ASTERISK_NAMES, lead
from vsipcheck.checks.config_files import Dialect
from vsipcheck.checks.config_patch import Edit
from vsipcheck.checks.config_trunk import (
    Destination,
    Home,
    Network,
    Setting,
    Trunk,
    contains,
    erase,
    is_placeholder,
    is_provider,
    network_of,
    split_host,
)
from vsipcheck.checks.config_verdict import Verdict, World, not_read
from vsipcheck.model import Confidence, Status
from vsipcheck.wire.ip import is_public

_PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


def with_refusals(finding_id: str, trunk: Trunk, verdict: Verdict) -> Verdict:
    """The verdict, or that the PBX has nothing of what it is about. What mends both is one diff."""
    own = [refusal for refusal in trunk.refusals if refusal.finding_id == finding_id]
    first = next(iter(own), None)
    bad = verdict.status in (Status.WARN, Status.FAIL)
    if first is None or (bad and not first.certain):
        return verdict
    whole = all(refusal.edits for refusal in own)
    edits = [edit for refusal in own for edit in refusal.edits]
    return Verdict(
        Status.FAIL if first.certain else Status.WARN,
        first.reason,
        f"{first.summary} {verdict.summary}" if bad else first.summary,
        f"{first.remedy} {verdict.remedy}" if bad and verdict.remedy else first.remedy,
        place=first.place,
        edits=_merged((*edits, *verdict.edits)) if whole else (),
        confidence=Confidence.PROVEN if first.certain else Confidence.LIKELY,
    )


# --- where calls go ---


def judge_peer(trunk: Trunk, world: World) -> Verdict:
    signalling = world.profile.signalling
    if trunk.destination_unread is not None:
        return not_read("Where calls go was", trunk.destination_unread, trunk.place)
    if not trunk.destinations and trunk.dialled:
        return Verdict(
            Status.WARN,
            "no_aor",
            f"[{trunk.name}] names no aor, and so nothing to call. That is right where it takes calls alone, or where "
            "the dialplan names the whole URI that it calls.",
            f"Name an aor with {signalling.pops[0].fqdn}, port {signalling.port}, transport {signalling.transport}.",
            place=trunk.place,
            confidence=Confidence.POSSIBLE,
        )
    if not trunk.destinations or trunk.destinations[0].host.lower() == "dynamic":
        setting = trunk.destinations[0].setting if trunk.destinations else None
        return Verdict(
            Status.FAIL,
            "dynamic_host",
            "The trunk has no address to call: it would have to be learned from a registration, and the "
            "provider's side never registers.",
            f"Name {signalling.pops[0].fqdn}, port {signalling.port}, transport {signalling.transport}, in "
            f"[{trunk.name}].",
            place=setting.place if setting else trunk.place,
            edits=_destination_edits(trunk, None, world),
        )
    if (verdict := _worst_destination(trunk, world)) is not None:
        return verdict
    first = trunk.destinations[0]
    told = f"Calls go to {_told(first)}."
    if (found := _judge_way(trunk, told, world)) is not None:
        return found
    if trunk.contact_transport is not None:
        setting = trunk.contact_transport
        return Verdict(
            Status.WARN,
            "contact_transport",
            f"{told} But the Contact that the provider is given names {setting.value} (register-transport), and "
            "requests within a call may follow it.",
            f"Set register-transport to {first.transport}.",
            place=setting.place or trunk.place,
            edits=trunk.home.write(("register-transport", str(first.transport)), over=(setting,)),
            confidence=Confidence.LIKELY,
        )
    return Verdict(Status.PASS, "as_the_guide", told, place=first.setting.place or trunk.place)


def _judge_way(trunk: Trunk, told: str, world: World) -> Verdict | None:
    """Whether the transport that the trunk names carries what the URI asks for."""
    way, wanted = trunk.way, world.profile.signalling.transport
    if way is None or way.protocol == wanted:
        return None
    place = way.setting.place or trunk.place
    if way.protocol is None:
        return Verdict(
            Status.UNKNOWN,
            "transport_unread",
            f"{told} But {way.setting}, and no transport of that name is in what was read: without it no call is "
            "placed.",
            settle_by="Give the file that it stands in.",
            place=place,
        )
    return Verdict(
        Status.FAIL,
        "transport_mismatch",
        f"{told} But {way.setting} is a transport of {way.protocol.upper()}: Asterisk finds it unsuitable for that "
        "URI, and places no call.",
        f"Name a transport of {wanted.upper()}, or none.",
        place=place,
        edits=_way_edits(trunk, world),
    )


def _way_edits(trunk: Trunk, world: World) -> tuple[Edit, ...]:
    """Have the trunk name a transport of the protocol that it is to use, where there is one."""
    way = trunk.way
    if way is None or way.other is None or way.protocol in (None, world.profile.signalling.transport):
        return ()
    return trunk.home.write((way.setting.key, way.other), over=(way.setting,))


def _told(destination: Destination) -> str:
    return f"{destination.host}:{destination.port} over {(destination.transport or 'an unknown transport').upper()}"


def _worst_destination(trunk: Trunk, world: World) -> Verdict | None:
    """What is wrong with the worst of the addresses that the trunk calls; the edits mend all of them."""
    judged = [(one, _judge_destination(trunk, one, world)) for one in trunk.destinations]
    faults = [(one, verdict) for one, verdict in judged if verdict is not None]
    if not faults:
        return None
    worst = next((fault for fault in faults if fault[1].status is Status.FAIL), faults[0])
    verdict = worst[1]
    also = dict.fromkeys(_told(one) for one, _ in faults if one is not worst[0])
    edits = _merged(dict.fromkeys(edit for _, fault in faults for edit in fault.edits))
    summary = verdict.summary + (f" Not as the guide has it either: {', '.join(also)}." if also else "")
    return replace(verdict, summary=summary, edits=edits)


def _judge_destination(trunk: Trunk, destination: Destination, world: World) -> Verdict | None:
    signalling = world.profile.signalling
    place = destination.setting.place or trunk.place
    want = f"{signalling.transport.upper()} port {signalling.port}"
    names = [pop.fqdn for pop in signalling.pops]
    told = f"Calls go to {_told(destination)}"
    edits = _destination_edits(trunk, destination, world)
    host = destination.host.rstrip(".").lower()
    if host in {media.address for media in world.profile.media.addresses}:
        return Verdict(
            Status.FAIL,
            "media_address",
            f"{told}: that is a media address, where RTP goes. SIP is spoken at {' and '.join(names)}.",
            f"Point the trunk at {names[0]}.",
            place=place,
            edits=edits,
        )
    if trunk.dialect is Dialect.CHAN_SIP and destination.setting.key == "host" and destination.port_in_name:
        return Verdict(
            Status.FAIL,
            "port_in_host",
            f"{destination.setting}: chan_sip looks the whole of it up as a name, finds none, and drops the peer. The "
            "port is a setting of its own.",
            f"Set host to {host}, and port to {signalling.port}.",
            place=place,
            edits=edits,
        )
    if destination.port != signalling.port:
        named = trunk.port is not None or str(destination.port) in (destination.setting.value or "")
        said = "" if named else " (no port is named)"
        also = "" if destination.transport == signalling.transport else f", over {signalling.transport.upper()}"
        return Verdict(
            Status.FAIL,
            "wrong_port",
            f"{told}{said}; the provider listens on {want}.",
            f"Set the port to {signalling.port}{also}.",
            place=(trunk.port.place if trunk.port is not None else None) or place,
            edits=edits,
        )
    if destination.transport != signalling.transport:
        lost = ""
        raw = destination.setting.raw or ""
        if trunk.dialect is Dialect.PJSIP and ";transport" in raw.replace(" ", "").replace("\\;", ""):
            lost = " What follows the semicolon is a comment to Asterisk: it has to be written as \\;transport=tcp."
        elif trunk.dialect is Dialect.PJSIP:
            lost = " The URI alone decides, whatever transport the endpoint names."
        return Verdict(
            Status.FAIL,
            "not_tcp",
            f"{told}; the provider listens on {want}.{lost}",
            f"Have the trunk use {signalling.transport.upper()}.",
            place=destination.transport_setting.place or place,
            edits=edits,
        )
    if destination.setting.key.endswith("outbound_proxy") and not _LOOSE.search(destination.setting.value or ""):
        return Verdict(
            Status.FAIL,
            "strict_route",
            f"{destination.setting}, without lr: Asterisk then writes the proxy into the Request-URI, and the number "
            "that is called stands in a Route header, where the provider does not look for it.",
            "Write \\;lr behind the URI of the proxy.",
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    if network_of(host) is not None:
        return Verdict(
            Status.WARN,
            "literal_address",
            f"{told}: an address that stays when the provider moves its service elsewhere.",
            f"Name {' or '.join(names)} instead: the guide publishes names.",
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    if host not in names:
        foreign = not is_provider(host, world.profile)
        return Verdict(
            Status.FAIL if foreign else Status.WARN,
            "other_host" if foreign else "other_name",
            f"{told}; the guide names {' and '.join(names)}.",
            f"Point the trunk at {names[0]}, unless the provider has told you another name.",
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    return None


_LOOSE = re.compile(r";\s*lr\b", re.IGNORECASE)


def _destination_edits(trunk: Trunk, destination: Destination | None, world: World) -> tuple[Edit, ...]:
    """Have calls go where the guide says: the host is kept where it is one of the guide's."""
    signalling = world.profile.signalling
    names = [pop.fqdn for pop in signalling.pops]
    host = destination.host if destination is not None and destination.host.lower() in names else names[0]
    if trunk.dialect is Dialect.CHAN_SIP:
        if destination is not None and destination.setting.key == "outboundproxy":
            return ()
        old = destination.setting if destination is not None else None
        transport = destination.transport_setting if destination is not None else None
        port = trunk.port
        return trunk.home.write(
            ("host", host),
            ("port", str(signalling.port)),
            ("transport", signalling.transport),
            over=(old, port, transport if transport is not None and transport.own else None),
        )
    if trunk.dialect is Dialect.FREESWITCH:
        old = destination.setting if destination is not None else None
        if old is None or old.key not in ("proxy", "realm", "outbound-proxy"):
            old = None
        registered = trunk.contact_transport
        if registered is None and destination is not None and destination.transport_setting.key == "register-transport":
            registered = destination.transport_setting
        uri = f"{host}:{signalling.port};transport={signalling.transport}"
        return trunk.home.write(
            (old.key if old is not None else "proxy", uri),
            ("register-transport", signalling.transport),
            over=(old, registered),
        )
    old = destination.setting if destination is not None else None
    if old is None or old.place is None or not old.own or "," in (old.raw or ""):
        return ()
    if old.key.rpartition("/")[2] not in ("contact", "outbound_proxy"):
        return ()
    line = f"{lead(old.raw or '')}{old.key} = sip:{host}:{signalling.port}\\;transport={signalling.transport}"
    if old.key != "contact":
        line += "\\;lr"
    return _merged((Edit(old.place.path, old.place.line, old.place.line, (line,)), *_way_edits(trunk, world)))


# --- where calls come in ---


def judge_listener(trunk: Trunk, world: World) -> Verdict:
    listening = trunk.listening
    place = listening.switch.place or trunk.place
    if listening.enabled is None:
        return Verdict(
            Status.UNKNOWN,
            "not_read",
            "What decides whether the PBX serves TCP was not among the files.",
            settle_by="Give the file with the transports (pjsip.conf), or the SIP profile of the gateway; or ask the "
            "PBX itself: `vsipcheck pbx HOST`.",
            place=place,
        )
    if not listening.enabled:
        edits: tuple[Edit, ...] = ()
        if listening.home is not None:
            match trunk.dialect:
                case Dialect.CHAN_SIP:
                    values, over = [("tcpenable", "yes")], [_as_own(listening.switch)]
                    port = world.profile.signalling.customer_port
                    if port is not None and port not in [listener.port for listener in listening.listeners]:
                        bind = listening.listeners[0].setting
                        values.append(("tcpbindaddr", f"0.0.0.0:{port}"))
                        over.append(_as_own(bind) if bind.key == "tcpbindaddr" else None)
                    edits = listening.home.write(*values, over=over)
                case Dialect.PJSIP:
                    port = world.profile.signalling.customer_port or 5060
                    edits = (listening.home.insert("", *listening.lines, f"bind = 0.0.0.0:{port}"),)
                case _:
                    value = "udp,tcp" if listening.switch.key == "bind-params" else "false"
                    value = f"transport={value}" if listening.switch.key == "bind-params" else value
                    edits = listening.home.write((listening.switch.key, value), over=(listening.switch,))
        also = " Asterisk then falls back to UDP for its own calls, too." if trunk.dialect is Dialect.CHAN_SIP else ""
        return Verdict(
            Status.FAIL,
            "tcp_disabled",
            f"The PBX does not listen on TCP ({listening.switch}), and the provider calls over TCP alone.{also}",
            "Have the PBX serve SIP over TCP.",
            place=place,
            edits=edits,
        )
    wanted = world.profile.signalling.customer_port
    ports = [listener.port for listener in listening.listeners]
    if wanted is not None and wanted not in ports:
        listener = listening.listeners[0]
        return Verdict(
            Status.WARN,
            "other_port",
            f"The PBX listens on TCP port {' and '.join(map(str, ports))}; the provider's sample INVITE goes to port "
            f"{wanted} of the customer.",
            f"Have the provider call port {ports[0]}, or listen on {wanted}, or forward that port in the router.",
            place=listener.setting.place or place,
            edits=_port_edits(trunk, listener.setting, wanted),
            confidence=Confidence.POSSIBLE,
        )
    place = listening.listeners[0].setting.place or place if listening.listeners else place
    return Verdict(
        Status.PASS, "serves_tcp", f"The PBX serves TCP on port {' and '.join(map(str, ports))}.", place=place
    )


def _port_edits(trunk: Trunk, setting: Setting, port: int) -> tuple[Edit, ...]:
    home = trunk.listening.home
    if home is None:
        return ()
    if setting.key in ("bind", "tcpbindaddr", "bindaddr"):
        host = split_host(setting.value or "")[0] or "0.0.0.0"
        key = "bind" if setting.key == "bind" else "tcpbindaddr"
        over = setting if setting.key in ("bind", "tcpbindaddr") else None
        return _own(home, (key, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"), over)
    if setting.key in ("bindport", "port"):
        return home.write(("tcpbindaddr", f"0.0.0.0:{port}"))
    if setting.key == "sip-port":
        return home.write(("sip-port", str(port)), over=(setting,))
    return ()


def _own(home: Home, value: tuple[str, str], setting: Setting | None) -> tuple[Edit, ...]:
    """Settings of [general] and of transports stand in their own section, whoever the trunk is."""
    if setting is not None and setting.written:
        setting = replace(setting, own=True)
    return home.write(value, over=(setting,))


# --- no registration, no passwords ---


def judge_registration(trunk: Trunk, world: World) -> Verdict:
    wrong = (*trunk.registers, *trunk.challenges, *trunk.answers)
    edits: tuple[Edit, ...] = ()
    if trunk.registers:
        if trunk.dialect is Dialect.FREESWITCH:
            edits += trunk.home.write(("register", "false"), over=trunk.registers)
        elif trunk.registers[0].key == "sends_registrations":
            edits += trunk.home.write(("sends_registrations", "no"), over=trunk.registers)
        else:
            edits += trunk.registration_edits
    edits += erase(*(setting for setting in (*trunk.challenges, *trunk.answers) if setting.own))
    remedy = "Take out " + ", ".join(_named(setting) for setting in wrong) + ": the provider knows you by your address."
    if trunk.registers:
        first = trunk.registers[0]
        stops = ""
        if trunk.registration_stops_calls:
            stops = " FreeSWITCH takes a gateway that cannot register for one that is down, and sends no call there."
        if trunk.dialect is Dialect.FREESWITCH:
            remedy = "Set register to false."
            if trunk.answers:
                remedy = "Set register to false, and take out the password."
        return Verdict(
            Status.FAIL,
            "registers",
            f"The PBX registers with the provider ({_quoted(first, trunk)}). The provider knows you by your address "
            f"and supports no registration.{stops}",
            remedy,
            place=first.place or trunk.place,
            edits=edits,
        )
    if trunk.challenges:
        first = trunk.challenges[0]
        return Verdict(
            Status.FAIL,
            "asks_for_password",
            f"The PBX asks for a password ({first.key}) when the provider calls, and the provider has none: its calls "
            "are answered 401 and lost.",
            remedy,
            place=first.place or trunk.place,
            edits=edits,
        )
    if trunk.answers:
        first = trunk.answers[0]
        return Verdict(
            Status.WARN,
            "has_credentials",
            f"The trunk has credentials ({first.key}). The provider asks for none, and its guide names them as a cause "
            "of 403.",
            remedy,
            place=first.place or trunk.place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    return Verdict(
        Status.PASS,
        "static_peer",
        "The trunk neither registers nor has credentials.",
        place=trunk.place,
    )


def _named(setting: Setting) -> str:
    where = f" at {setting.place}" if setting.place is not None else ""
    return f"{setting.key}{where}"


def _quoted(setting: Setting, trunk: Trunk) -> str:
    """Without what a password may stand in."""
    return setting.key if trunk.dialect is Dialect.CHAN_SIP else str(setting)


# --- whose calls these are ---


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
        edits=_merged(edits),
        confidence=Confidence.LIKELY,
    )


def _judge_access(trunk: Trunk, world: World) -> Verdict | None:
    """Whether permit and deny keep the provider out; None where they do not."""
    for rules in trunk.access:
        written = [rule for rule in rules if rule.value]
        named = next((rule for rule in written if rule.key.lower() == "acl"), None)
        if named is not None:
            return not_read("Whether the provider is let in was", f"{named} stands in acl.conf", named.place)
        entries = [(rule, *entry) for rule in written for entry in _access_entries(rule)]
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


def _access_entries(rule: Setting) -> list[tuple[bool, Network]]:
    """What a permit or deny names: whether it is let in, and the network. "!" turns one around."""
    items = [item.strip() for item in (rule.value or "").split(",")]
    allows = rule.key.lower() == "permit"
    found = [(allows is not item.startswith("!"), network_of(item.removeprefix("!"))) for item in items]
    return [(lets_in, network) for lets_in, network in found if network is not None]


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


# --- who we say we are ---


def judge_domain(trunk: Trunk, world: World) -> Verdict:
    pattern = world.profile.signalling.domain_pattern
    sid = world.settings.account_sid
    wanted = pattern.replace("{account_sid}", sid or "<your account's id>")
    setting = trunk.domain
    value = (setting.value or "").strip()
    place = setting.place or trunk.place
    edits = trunk.home.write((setting.key, wanted), over=(setting,)) if sid else ()
    remedy = f"Set {setting.key} to {wanted}."
    why = "The guide names a wrong domain in From as a cause of 403."
    if not value:
        instead = "the name of the proxy" if trunk.dialect is Dialect.FREESWITCH else "an address of the PBX"
        return Verdict(
            Status.FAIL,
            "no_domain",
            f"No {setting.key} is set: From carries {instead} instead of the account's domain. {why}",
            remedy,
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    if is_placeholder(value):
        return Verdict(
            Status.FAIL,
            "placeholder",
            f"{setting} still holds the guide's placeholder. {why}",
            remedy,
            place=place,
            edits=edits,
        )
    start, _, end = pattern.lower().partition("{account_sid}")
    fits = value.lower().startswith(start) and value.lower().endswith(end) and len(value) > len(start) + len(end)
    if sid and value.lower() != wanted.lower():
        return Verdict(
            Status.FAIL,
            "other_domain",
            f"{setting}; the account's domain is {wanted}. {why}",
            remedy,
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    if not fits:
        return Verdict(
            Status.FAIL,
            "other_domain",
            f"{setting}; the guide has {pattern.replace('{account_sid}', '<your account id>')}. {why}",
            remedy,
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    if not sid:
        return Verdict(
            Status.PASS,
            "form_fits",
            f"{setting} has the form of the guide's. Whose account it is was not compared: --account-sid names yours.",
            place=place,
        )
    return Verdict(Status.PASS, "own_domain", f"{setting} is the account's domain.", place=place)


def judge_caller_id(trunk: Trunk, world: World) -> Verdict:
    user = trunk.user
    place = user.place or trunk.place
    off = [switch.setting for switch in (trunk.sends_identity, trunk.trusts_identity) if switch.on is False]
    identity = trunk.home.write(*((setting.key, "yes") for setting in off), over=off) if off else ()
    if user.value is not None and (is_placeholder(user.value) or not _is_number(user.value)):
        edits: tuple[Edit, ...] = ()
        remedy = (
            f"Take out {user.key}, so that From carries the caller ID of the call, or set it to one of your Exophones."
        )
        if trunk.dialect is Dialect.FREESWITCH:
            edits = trunk.home.write(("caller-id-in-from", "true"), over=(trunk.in_from,))
            remedy = "Set caller-id-in-from to true, and an Exophone as the caller ID of outbound calls."
        elif user.own:
            edits = _merged((*erase(user), *identity))
        return Verdict(
            Status.FAIL,
            "user_is_no_number",
            f"From carries {user.value!r} as its number on every call ({user}). It has to be one of your Exophones, or "
            "the call is rejected.",
            remedy,
            place=place,
            edits=edits,
        )
    exophones = {_digits(number) for number in world.settings.exophones}
    if user.value is not None and exophones and _digits(user.value) not in exophones:
        return Verdict(
            Status.FAIL,
            "not_authorised",
            f"{user} stands in From on every call, and is none of the numbers that were named as authorised.",
            f"Set {user.key} to one of {', '.join(world.settings.exophones)}.",
            place=place,
        )
    fixed = f" From is {user.value} on every call." if user.value is not None else ""
    if trunk.dialect is Dialect.FREESWITCH:
        told = fixed or " The caller ID of the call stands in From."
        return Verdict(
            Status.PASS, "caller_id_in_from", f"{told.strip()} It has to be one of your Exophones.", place=place
        )
    if off:
        return Verdict(
            Status.WARN,
            "identity_not_exchanged",
            f"{' and '.join(str(setting) for setting in off)}; the guide's sample has both on. Without them the "
            f"caller is taken from From alone, both ways.{fixed}",
            f"Set {' and '.join(f'{setting.key} = yes' for setting in off)}.",
            place=off[0].place or trunk.place,
            edits=identity,
            confidence=Confidence.POSSIBLE,
        )
    return Verdict(
        Status.PASS,
        "identity_exchanged",
        f"{trunk.sends_identity.setting} and {trunk.trusts_identity.setting}: the caller is told both ways.{fixed}",
        place=trunk.sends_identity.setting.place or trunk.place,
    )


def _is_number(text: str) -> bool:
    return len(text) >= 3 and text.removeprefix("+").isdigit()


def _digits(number: str) -> str:
    return "".join(digit for digit in number if digit.isdigit())[-10:]


# --- what is heard ---


_NO_CODECS = ("pcm", "g711")  # their names elsewhere


def judge_codec_order(trunk: Trunk, world: World) -> Verdict:
    codecs = trunk.codecs
    place = codecs.setting.place or trunk.place
    if codecs.unreadable is not None:
        return not_read("Which codecs are offered was", codecs.unreadable, place)
    wanted = [codec for codec in world.profile.media.codecs if codec in ASTERISK_NAMES]
    edits = _codec_edits(trunk, wanted)
    first, *others = wanted or ["PCMA"]
    remedy = f"Allow {' then '.join(wanted)}, and nothing before them."
    if codecs.names is None and trunk.dialect is not Dialect.PJSIP:
        return Verdict(
            Status.WARN,
            "no_list",
            f"No codecs are named: {codecs.default}. {first} is to be the first.",
            remedy,
            place=trunk.place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    names = codecs.names or ()
    told = ", ".join(names) or "none"
    if codecs.everything:
        return Verdict(
            Status.WARN,
            "everything",
            f"All codecs are allowed ({told} first): an offer then holds codecs that the provider has not, in an "
            "order that nobody chose."
            if names
            else f"All codecs are allowed, in Asterisk's own order: {first} is to be the first.",
            remedy,
            place=place,
            edits=edits,
        )
    if not set(wanted) & set(names):
        odd = f" ({', '.join(codecs.unknown)} names none)" if codecs.unknown else ""
        return Verdict(
            Status.FAIL,
            "no_g711",
            f"The codecs are {told}: neither {' nor '.join(wanted)} is among them, and the provider has no other."
            if names
            else f"No codec is allowed{odd}, so that every call is refused. The provider has {' and '.join(wanted)}.",
            remedy,
            place=place,
            edits=edits,
        )
    if trunk.dialect is Dialect.PJSIP and codecs.unknown:
        # Asterisk knows what its modules bring: a word with no letter or figure of a name in it is certainly none.
        certain = any(word.lower().startswith(_NO_CODECS) or not word.isalnum() for word in codecs.unknown)
        return Verdict(
            Status.FAIL if certain else Status.WARN,
            "unknown_codec",
            f"{', '.join(codecs.unknown)} names no codec of Asterisk's, which creates no endpoint with such a line.",
            remedy,
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    lacking = [codec for codec in wanted if codec not in names]
    if lacking:
        return Verdict(
            Status.WARN,
            "part_of_g711",
            f"The codecs are {told}: {' and '.join(lacking)} is not among them. {first} is to be offered first, "
            f"{' and '.join(others)} as its fallback.",
            remedy,
            place=place,
            edits=edits,
        )
    if names[0] != first:
        return Verdict(
            Status.WARN,
            "other_order",
            f"The codecs are {told}; {first} is to be the first.",
            remedy,
            place=place,
            edits=edits,
        )
    more = "" if len(names) == len(wanted) else " The others are of no use on this trunk."
    return Verdict(Status.PASS, "as_the_guide", f"The codecs are {told}.{more}", place=place)


def _codec_edits(trunk: Trunk, wanted: Sequence[str]) -> tuple[Edit, ...]:
    codecs = trunk.codecs
    if trunk.dialect is Dialect.FREESWITCH:
        value = ",".join(wanted)
        if codecs.lines:
            return tuple(
                edit
                for setting in codecs.lines
                for edit in (trunk.listening.home or trunk.home).write((setting.key, value), over=(setting,))
            )
        home = trunk.listening.home
        return () if home is None else home.write(("inbound-codec-prefs", value), ("outbound-codec-prefs", value))
    prefix = codecs.setting.key.rpartition("/")[0]
    prefix = f"{prefix}/" if prefix else ""
    values = [("disallow", "all"), *(("allow", ASTERISK_NAMES[name]) for name in wanted)]
    own = [setting for setting in codecs.lines if setting.own and setting.place is not None]
    said = {(setting.key.rpartition("/")[2], setting.value): setting.raw for setting in own}
    indent = lead(own[0].raw or "") if own else trunk.home.indent
    lines = [said.get((key, value)) or f"{indent}{prefix}{key} = {value}" for key, value in values]
    if not own or own[0].place is None:
        return (trunk.home.insert(*lines),)
    place, rest = own[0].place, own[1:]
    return (Edit(place.path, place.line, place.line, tuple(lines)), *erase(*rest))


def judge_dtmf(trunk: Trunk, world: World) -> Verdict:
    setting = trunk.dtmf
    place = setting.place or trunk.place
    mode = (setting.value or "").strip().lower()
    if setting.value is None:
        return not_read("How DTMF is sent was", trunk.settings_unread, place)
    good = "rfc4733" if trunk.dialect is Dialect.PJSIP else "rfc2833"
    if mode in ("rfc2833", "rfc4733", "auto", "auto_info"):
        relaxed = ""
        if trunk.dialect is Dialect.CHAN_SIP:
            relaxed = " (relaxdtmf only helps with tones in the audio)"
        return Verdict(Status.PASS, "telephone_event", f"{setting}: keys go as telephone-event{relaxed}.", place=place)
    if trunk.dialect is Dialect.CHAN_SIP and mode not in ("inband", "info", "shortinfo"):
        return Verdict(
            Status.PASS,
            "telephone_event",
            f"{setting}, which chan_sip takes for rfc2833: keys go as telephone-event.",
            place=place,
        )
    edits = trunk.home.write((setting.key, good), over=(setting,))
    if trunk.dialect is Dialect.FREESWITCH:
        edits = () if trunk.listening.home is None else trunk.listening.home.write((setting.key, good), over=(setting,))
    inband = mode in ("inband", "none")
    return Verdict(
        Status.WARN if inband else Status.FAIL,
        "inband" if inband else "not_telephone_event",
        f"{setting}: the provider sends and takes keys as telephone-event in the audio stream"
        + (", and tones in the audio are missed now and then." if inband else "; those it sends are not understood."),
        f"Set {setting.key} to {good}.",
        place=place,
        edits=edits,
        confidence=Confidence.LIKELY,
    )


# --- NAT ---


def _behind_nat(trunk: Trunk, world: World) -> bool | None:
    """Whether the PBX has another address inside than outside; None where nothing says."""
    told = [setting.value for setting in (trunk.external.signalling, trunk.external.media) if setting is not None]
    if trunk.external.elsewhere is not None or any(value and not is_placeholder(value) for value in told):
        return True
    if trunk.external.bound is not None and network_of(trunk.external.bound) is not None:
        return not is_public(trunk.external.bound)
    if world.sources:
        return not any(is_public(source) for source in world.sources)
    return None


def judge_nat(trunk: Trunk, world: World) -> Verdict:
    rport, symmetric = trunk.force_rport, trunk.symmetric
    place = symmetric.setting.place or rport.setting.place or trunk.place
    if trunk.settings_unread is not None and not symmetric.setting.written:
        return not_read("The NAT settings were", trunk.settings_unread, place)
    edits = _nat_edits(trunk)
    remedy = {
        Dialect.CHAN_SIP: "Set nat = force_rport,comedia.",
        Dialect.PJSIP: "Set rtp_symmetric = yes and force_rport = yes.",
    }.get(trunk.dialect, "Take out disable-rtp-auto-adjust.")
    if rport.on and symmetric.on:
        both = f"{rport.setting}" if rport.setting == symmetric.setting else f"{rport.setting}, {symmetric.setting}"
        if trunk.dialect is Dialect.FREESWITCH:
            both = "FreeSWITCH's own ways are on"
        return Verdict(
            Status.PASS,
            "symmetric",
            f"{both}: answers and RTP go back to where requests and RTP came from.",
            place=place,
        )
    if rport.on:
        alone = "" if trunk.dialect is Dialect.FREESWITCH else "force_rport is for SIP alone. "
        return Verdict(
            Status.WARN,
            "no_symmetric_rtp",
            f"{symmetric.setting}: {alone}RTP goes where the SDP says, and not back to where it came from; "
            "the guide wants symmetric RTP for calls that lose their audio after 30 seconds.",
            remedy,
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    off = rport.on is False and not symmetric.on and symmetric.on is not None
    behind = _behind_nat(trunk, world)
    if off and behind:
        return Verdict(
            Status.FAIL,
            "nat_off",
            f"{rport.setting}: the PBX is behind NAT, and neither SIP nor RTP goes by where packets come from.",
            remedy,
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    return Verdict(
        Status.WARN,
        "not_forced",
        f"{rport.setting}: the guide wants force_rport behind a firewall, and RTP needs its own counterpart."
        + (" Whether there is NAT was not seen." if behind is None else ""),
        remedy,
        place=place,
        edits=edits,
        confidence=Confidence.LIKELY,
    )


def _nat_edits(trunk: Trunk) -> tuple[Edit, ...]:
    if trunk.dialect is Dialect.CHAN_SIP:
        return trunk.home.write(("nat", "force_rport,comedia"), over=(trunk.force_rport.setting,))
    if trunk.dialect is Dialect.PJSIP:
        off = [switch.setting for switch in (trunk.force_rport, trunk.symmetric) if not switch.on]
        return trunk.home.write(*((setting.key, "yes") for setting in off), over=off)
    home = trunk.listening.home
    setting = trunk.symmetric.setting
    return () if home is None else home.write((setting.key, "false"), over=(setting,))


_RUNTIME = {
    "auto": "the address of the PBX's own interface",
    "auto-nat": "whatever a router tells by UPnP or NAT-PMP when FreeSWITCH starts",
}


def judge_external(trunk: Trunk, world: World) -> Verdict:
    external = trunk.external
    measured = world.public_address
    places = [
        setting.place for setting in (external.signalling, external.media) if setting is not None and setting.place
    ]
    place = places[0] if places else trunk.place
    if external.unreadable is not None:
        return not_read("The address that the PBX tells the outside was", external.unreadable, place)
    if external.signalling is None and external.media is None:
        return _judge_no_external(trunk, world)
    remedy = f"Set {' and '.join(external.keys)} to {measured or 'your static public address'}."
    edits = _external_edits(trunk, measured)
    for key, setting in zip(("signalling", "media"), (external.signalling, external.media), strict=True):
        if setting is None and _own_public(trunk, world) is not None:
            continue  # what is told instead is as public
        if setting is None:
            return Verdict(
                Status.FAIL,
                "incomplete",
                f"The public address is set for {'media' if key == 'signalling' else 'signalling'} alone: in "
                f"{'Contact and Via' if key == 'signalling' else 'the SDP'} the provider is told a private address.",
                remedy,
                place=place,
                edits=_external_edits(trunk, measured or _literal(external.media or external.signalling)),
            )
        if (verdict := _judge_told(trunk, setting, world, remedy, edits)) is not None:
            return verdict
    if external.local_networks is not None and (wrong := _judge_local_networks(trunk, external.local_networks, world)):
        return wrong
    shown = external.media if external.media is not None else external.signalling
    return Verdict(
        Status.PASS,
        "as_measured",
        f"{shown} is the public address that {world.measured_by}.",
        place=place,
    )


def _judge_local_networks(trunk: Trunk, named: Sequence[Setting], world: World) -> Verdict | None:
    """Whether Asterisk tells the public address to the provider, and to nobody inside."""
    external, key = trunk.external, trunk.external.local_key
    lines = [f"{key} = {network}" for network in _PRIVATE_NETWORKS]
    edits = () if external.home is None else (external.home.insert(*lines),)
    if not named:
        # res_pjsip takes all for outside where none is named; chan_sip, and res_pjsip of old, nobody.
        old = trunk.dialect is Dialect.CHAN_SIP
        return Verdict(
            Status.FAIL if old else Status.WARN,
            "no_local_networks",
            f"{external.signalling} is set and no {key}: "
            + (
                "Asterisk then takes nothing for outside, and the public address is never told."
                if old
                else "Asterisk then takes everybody for outside, so that phones inside are told the public address as "
                "well; old versions tell it to nobody."
            ),
            f"Name the networks on your side of the NAT as {key}.",
            place=trunk.place if external.signalling is None else external.signalling.place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    networks = {network: setting for setting in named for _, network in _access_entries(setting)}
    odd = next((setting for setting in named if not _access_entries(setting)), None)
    if odd is not None:
        return Verdict(
            Status.WARN,
            "no_network",
            f"{odd} is no network. "
            + ("res_pjsip creates no transport with it." if trunk.dialect is Dialect.PJSIP else "chan_sip ignores it."),
            f"Write {key} as in {key} = 192.168.0.0/16.",
            place=odd.place,
            edits=(*erase(odd), *edits) if len(named) == 1 else erase(odd),
            confidence=Confidence.LIKELY,
        )
    provider = {media.address for media in world.profile.media.addresses}.union(*world.pop_addresses.values())
    for network, setting in networks.items():
        if inside := sorted(address for address in provider if contains([network], address)):
            return Verdict(
                Status.FAIL,
                "provider_is_local",
                f"{setting} holds {inside[0]}, which is the provider's: Asterisk takes it for one inside, and never "
                "tells it the public address.",
                f"Name as {key} what is on your side of the NAT, and nothing else.",
                place=setting.place,
                edits=(*erase(setting), *edits) if len(networks) == 1 else erase(setting),
            )
    bound = external.bound
    if trunk.dialect is not Dialect.PJSIP or bound is None or network_of(bound) is None or is_public(bound):
        return None
    if contains(networks, bound):
        return None
    own = next(
        (network for network in map(network_of, _PRIVATE_NETWORKS) if network and contains([network], bound)), None
    )
    return Verdict(
        Status.FAIL,
        "own_network_missing",
        f"No {key} holds {bound}, the PBX's own address: Asterisk takes that for public, and leaves it in the SDP.",
        f"Name the PBX's own network as {key}.",
        place=named[0].place,
        edits=() if external.home is None or own is None else (external.home.insert(f"{key} = {own}"),),
        confidence=Confidence.LIKELY,
    )


def _literal(setting: Setting | None) -> str | None:
    value = split_host(setting.value or "")[0] if setting is not None else ""
    return value if value and network_of(value) is not None else None


def _judge_told(trunk: Trunk, setting: Setting, world: World, remedy: str, edits: tuple[Edit, ...]) -> Verdict | None:
    """What is wrong with one address that the PBX is to tell; None where it is the measured one."""
    value = (setting.value or "").strip()
    place = setting.place
    if is_placeholder(value):
        return Verdict(
            Status.FAIL,
            "placeholder",
            f"{setting} still holds the guide's placeholder.",
            remedy,
            place=place,
            edits=edits,
        )
    if "$" in value:
        return Verdict(
            Status.UNKNOWN,
            "not_read",
            f"{setting}: that is set in a file that was not given (vars.xml), or by FreeSWITCH when it starts.",
            settle_by="Give that file as well.",
            place=place,
        )
    host = split_host(value)[0]
    if trunk.dialect is Dialect.FREESWITCH:
        kind, _, rest = value.partition(":")
        if kind.lower() == "autonat" and network_of(rest) is not None:
            host = rest
        elif kind.lower() in ("stun", "host", "auto", "auto-nat", "autonat", "upnp", "pmp"):
            learned = _RUNTIME.get(kind.lower(), "an answer from outside that FreeSWITCH asks for when it starts")
            return Verdict(
                Status.UNKNOWN,
                "learned_at_start",
                f"{setting}: the address told is {learned}. It cannot be seen in the file, and is wrong for as "
                "long as that answer was wrong or missing.",
                settle_by="Set the static public address itself, which the provider has whitelisted.",
                place=place,
            )
    if host == world.public_address:
        return None
    if setting.key == "externhost" or network_of(host) is None:
        return Verdict(
            Status.WARN,
            "by_name",
            f"{setting} is a name that is looked up while Asterisk runs. The provider whitelists one static address.",
            remedy,
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    if not is_public(host):
        other = f"; the public one is {world.public_address}" if world.public_address is not None else ""
        return Verdict(
            Status.FAIL,
            "not_public",
            f"{setting} is no address that the provider can reach{other}.",
            remedy,
            place=place,
            edits=edits,
        )
    if world.public_address is None:
        return Verdict(
            Status.UNKNOWN,
            "not_compared",
            f"{setting} is a public address. Whether it is yours was not seen.",
            settle_by="Give the report of a run on the PBX's network: --report FILE.",
            place=place,
        )
    return Verdict(
        Status.FAIL,
        "differs",
        f"{setting}, and the public address that {world.measured_by} is {world.public_address}.",
        remedy,
        place=place,
        edits=edits,
    )


def _own_public(trunk: Trunk, world: World) -> str | None:
    """The public address that the PBX has itself, where it is seen to have one."""
    bound = trunk.external.bound
    if bound is not None and network_of(bound) is not None:
        return bound if is_public(bound) else None
    return world.sources[0] if world.sources and all(map(is_public, world.sources)) else None


def _judge_no_external(trunk: Trunk, world: World) -> Verdict:
    external, measured = trunk.external, world.public_address
    keys = " and ".join(external.keys)
    edits = _external_edits(trunk, measured)
    remedy = f"Set {keys} to {measured or 'your static public address'}."
    bound = external.bound if external.bound is not None and network_of(external.bound) is not None else None
    inside = [source for source in world.sources if not is_public(source)]
    if external.elsewhere is not None:
        return Verdict(
            Status.FAIL,
            "missing",
            f"No {keys} is set on the transport of the trunk, and {external.elsewhere} on another one: the provider is "
            "told a private address.",
            remedy,
            place=trunk.place,
            edits=_external_edits(trunk, measured or _literal(external.elsewhere)),
            confidence=Confidence.LIKELY,
        )
    if (own := _own_public(trunk, world)) is not None:
        return Verdict(
            Status.PASS,
            "no_nat",
            f"No {keys} is set, and none is needed: {own} is a public address of its own.",
            place=trunk.place,
        )
    if measured is not None and (inside or bound is not None):
        return Verdict(
            Status.FAIL,
            "missing",
            f"No {keys} is set. The PBX's own address is {bound or inside[0]}, and that is what the provider is "
            f"told in Contact and SDP; the public one is {measured}.",
            remedy,
            place=trunk.place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    if measured is not None:
        return Verdict(
            Status.WARN,
            "perhaps_missing",
            f"No {keys} is set. That is right only where {measured} is an address of the PBX itself.",
            remedy,
            place=trunk.place,
            edits=edits,
            confidence=Confidence.POSSIBLE,
        )
    return Verdict(
        Status.UNKNOWN,
        "nat_unknown",
        f"No {keys} is set. Behind NAT the provider would be told a private address, and whether there is NAT was "
        "not seen.",
        settle_by="Give the report of a run on the PBX's network: --report FILE.",
        place=trunk.place,
    )


def _external_edits(trunk: Trunk, address: str | None) -> tuple[Edit, ...]:
    external = trunk.external
    if address is None or external.home is None:
        return ()
    old = (external.signalling, external.media)
    values = [(key, address) for key in external.keys]
    if external.signalling is not None and external.signalling.key == "externip":
        values = [("externip", address)]  # its name of old, which is as good
    edits = list(external.home.write(*values, over=[_as_own(setting) for setting in old[: len(values)]]))
    if external.local_networks is not None and not external.local_networks:
        lines = [f"{external.local_key} = {network}" for network in _PRIVATE_NETWORKS]
        edits.append(external.home.insert(*lines))
    return _merged(edits)


def _as_own(setting: Setting | None) -> Setting | None:
    return None if setting is None or not setting.written else replace(setting, own=True)


def _merged(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Edits at one point as one."""
    merged: dict[tuple[str, int, int], list[str]] = {}
    for edit in edits:
        merged.setdefault((edit.path, edit.first, edit.last), []).extend(edit.lines)
    return tuple(Edit(path, first, last, tuple(lines)) for (path, first, last), lines in merged.items())


def judge_media_path(trunk: Trunk, world: World) -> Verdict:
    if (encryption := trunk.encryption) is not None:
        return Verdict(
            Status.FAIL,
            "not_plain_rtp",
            f"{encryption}: calls are offered as another profile than RTP/AVP, and those of the provider have to be. "
            "Its media is plain RTP, so that calls fail both ways.",
            f"Set {encryption.key} to no.",
            place=encryption.place or trunk.place,
            edits=_plain_edits(trunk, encryption),
            confidence=Confidence.LIKELY,
        )
    setting = trunk.direct_media
    place = setting.place or trunk.place
    value = (setting.value or "").strip().lower()
    if setting.value is None:
        return not_read("Whether audio stays with the PBX was", trunk.settings_unread, place)
    key = "directmedia" if setting.key == "canreinvite" else setting.key
    if value in ("no", "false", "off", "0", "n", "f", "never"):
        told = "FreeSWITCH keeps" if trunk.dialect is Dialect.FREESWITCH else f"{setting}: the PBX keeps"
        return Verdict(Status.PASS, "through_the_pbx", f"{told} the audio on its own way.", place=place)
    if trunk.dialect is Dialect.FREESWITCH:
        home = trunk.listening.home
        edits = () if home is None else home.write((setting.key, "false"), over=(setting,))
    else:
        edits = trunk.home.write((setting.key, "no"), over=(setting,))
    behind = _behind_nat(trunk, world)
    if behind and "nonat" not in value:
        return Verdict(
            Status.FAIL,
            "redirected",
            f"{setting}: the PBX asks the provider to send audio to the phone itself, at an address behind your NAT.",
            f"Set {key} to no.",
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    return Verdict(
        Status.WARN,
        "may_be_redirected",
        f"{setting}: the PBX may ask the provider to send audio to the phone itself. The guide's sample has this off.",
        f"Set {key} to no.",
        place=place,
        edits=edits,
        confidence=Confidence.LIKELY,
    )


def _plain_edits(trunk: Trunk, encryption: Setting) -> tuple[Edit, ...]:
    if trunk.dialect is Dialect.FREESWITCH:
        return erase(encryption) if encryption.raw is not None and encryption.raw.count("<") == 1 else ()
    return trunk.home.write((encryption.key, "no"), over=(encryption,))
