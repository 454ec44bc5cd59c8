"""Where the PBX's calls go, and how many of them."""

from __future__ import annotations

import re
from dataclasses import replace

from vsipcheck.checks.config.asterisk import lead
from vsipcheck.checks.config.files import Dialect
from vsipcheck.checks.config.freeswitch import param_setting, switch_of
from vsipcheck.checks.config.patch import Edit, merged, replace_line
from vsipcheck.checks.config.trunk import Destination, Trunk, is_provider, network_of, number_of
from vsipcheck.checks.config.verdict import Verdict, World, not_read
from vsipcheck.model import Confidence, Status


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
            edits=trunk.home.write(("register-transport", first.transport), over=(setting,)),
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
    edits = merged(dict.fromkeys(edit for _, fault in faults for edit in fault.edits))
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
    return merged((replace_line(old.place.path, old.place.line, line), *_way_edits(trunk, world)))


def judge_call_rate(trunk: Trunk, world: World) -> Verdict:
    limit = world.profile.signalling.calls_per_minute
    note = f"the trunk takes {limit} calls a minute"
    if trunk.dialect is Dialect.FREESWITCH:
        switch = switch_of(world.configuration)
        found_rate = switch[0].last("sessions-per-second") if switch is not None else None
        setting = param_setting(found_rate, "sessions-per-second")
        rate = number_of(setting.value)
        if rate is not None:
            if rate * 60 <= limit:
                return Verdict(
                    Status.PASS,
                    "limited",
                    f"{setting}: FreeSWITCH begins {rate * 60} calls a minute at most, and {note}.",
                    place=setting.place,
                )
            return Verdict(
                Status.UNKNOWN,
                "not_limited_here",
                f"{setting} lets {rate * 60} calls a minute begin, both ways and all trunks together; {note}.",
                settle_by="Limit outbound calls in the dialplan (limit), or see that what dials keeps below the rate.",
                place=setting.place,
            )
        return Verdict(
            Status.UNKNOWN,
            "not_seen",
            f"How many calls a minute FreeSWITCH may begin was not seen; {note}.",
            settle_by="Give switch.conf.xml, or see what dials: a campaign has to keep below the rate.",
            place=trunk.place,
        )
    if (found := trunk.call_limit) is not None and found.written:
        return Verdict(
            Status.UNKNOWN,
            "concurrent_only",
            f"{found} limits calls at the same time, not those begun in a minute; {note}.",
            settle_by="See what dials: a campaign or a dialler has to keep below the rate.",
            place=found.place,
        )
    return Verdict(
        Status.UNKNOWN,
        "not_seen",
        f"Asterisk has no limit of calls a minute for a trunk; {note}, and rejects more.",
        settle_by="See what dials: a campaign or a dialler has to keep below the rate.",
        place=trunk.place,
    )
