"""Behind NAT: where answers and audio go back to, and which address the PBX tells."""

from __future__ import annotations

from collections.abc import Sequence

from vsipcheck.checks.config.files import Dialect
from vsipcheck.checks.config.patch import Edit, merged
from vsipcheck.checks.config.trunk import (
    External,
    Setting,
    Trunk,
    access_entries,
    as_own,
    contains,
    erase,
    is_placeholder,
    network_of,
    split_host,
)
from vsipcheck.checks.config.verdict import Verdict, World, not_read
from vsipcheck.checks.dns.names import is_address
from vsipcheck.model import Confidence, Status
from vsipcheck.wire.ip import is_public


def behind_nat(trunk: Trunk, world: World) -> bool | None:
    """Whether the PBX has another address inside than outside; None where nothing says."""
    told = [setting.value for setting in (trunk.external.signalling, trunk.external.media) if setting is not None]
    if trunk.external.elsewhere is not None or any(value and not is_placeholder(value) for value in told):
        return True
    if (bound := _bound(trunk)) is not None:
        return not is_public(bound)
    if world.sources:
        return not any(is_public(source) for source in world.sources)
    return None


def _bound(trunk: Trunk) -> str | None:
    """The one address that the PBX listens on, where it is written as one."""
    bound = trunk.external.bound
    return bound if bound is not None and is_address(bound) else None


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
    behind = behind_nat(trunk, world)
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

_PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


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
    edits = _local_edits(external)
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
    networks = {network: setting for setting in named for _, network in access_entries(setting)}
    odd = next((setting for setting in named if not access_entries(setting)), None)
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
    bound = _bound(trunk)
    if trunk.dialect is not Dialect.PJSIP or bound is None or is_public(bound) or contains(networks, bound):
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
    return value if is_address(value) else None


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
        if kind.lower() == "autonat" and is_address(rest):
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
    if setting.key == "externhost" or not is_address(host):
        return Verdict(
            Status.WARN,
            "by_name",
            f"{setting} is a name, and the provider whitelists one static address: what the "
            "name leads to may change, or not be found when the PBX starts.",
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
    if (bound := _bound(trunk)) is not None:
        return bound if is_public(bound) else None
    return world.sources[0] if world.sources and all(map(is_public, world.sources)) else None


def _judge_no_external(trunk: Trunk, world: World) -> Verdict:
    external, measured = trunk.external, world.public_address
    keys = " and ".join(external.keys)
    edits = _external_edits(trunk, measured)
    remedy = f"Set {keys} to {measured or 'your static public address'}."
    bound = _bound(trunk)
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
    edits = list(external.home.write(*values, over=[as_own(setting) for setting in old[: len(values)]]))
    if external.local_networks is not None and not external.local_networks:
        edits += _local_edits(external)
    return merged(edits)


def _local_edits(external: External) -> tuple[Edit, ...]:
    lines = (f"{external.local_key} = {network}" for network in _PRIVATE_NETWORKS)
    return () if external.home is None else (external.home.insert(*lines),)
