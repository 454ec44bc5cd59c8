"""Trunks as Asterisk's res_pjsip has them: endpoints with their aors, identifies, transports and registrations, and the
wizard's short form of all these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vsipcheck.checks.config.asterisk import home_of, rtp_name, setting_of
from vsipcheck.checks.config.files import Dialect
from vsipcheck.checks.config.patch import Edit
from vsipcheck.checks.config.pjsip_options import knows, owner_of, successor_of
from vsipcheck.checks.config.trunk import (
    SIP_PORT,
    Codecs,
    Destination,
    External,
    Home,
    Identification,
    Listener,
    Listening,
    Refusal,
    Setting,
    Switch,
    Trunk,
    Way,
    bound_address,
    erase,
    is_provider,
    number_of,
    split_host,
    split_uri,
)
from vsipcheck.model import Profile
from vsipcheck.wire.asterisk import AsteriskConfig, CodecList, Section, Variable, allowed_codecs, is_true, split_list

_WIZARD = "wizard"
# How an identify knows calls apart from their address; the value is not looked at.
_OTHER_WAYS = {
    "match_header": "a header",
    "match_request_uri": "the Request-URI",
    "transport": "the transport that they come by",
}


@dataclass(frozen=True, slots=True)
class _Object:
    """One object of res_pjsip, or the part of a wizard that makes one: its keys then have a prefix."""

    section: Section
    prefix: str = ""

    @property
    def name(self) -> str:
        return self.section.name

    @property
    def home(self) -> Home:
        return home_of(self.section)

    def get(self, *names: str, default: str | None = None) -> Setting:
        names = tuple(self.prefix + name for name in names)
        return setting_of(self.section.last(*names), names[0], default)

    def all(self, *names: str) -> tuple[Variable, ...]:
        return self.section.all(*(self.prefix + name for name in names))

    def switch(self, *names: str, default: bool) -> Switch:
        setting = self.get(*names, default="yes" if default else "no")
        return Switch(is_true(setting.value or ""), setting)


class _World:
    """All objects by their type. Sorcery goes by the first `type` of a section, spelled to the letter."""

    def __init__(self, config: AsteriskConfig) -> None:
        self.objects: dict[str, dict[str, Section]] = {}
        self.twice: dict[str, tuple[Section, Section]] = {}  # by type: two objects of one name, the first such pair
        self._included_from = {file.path: file.included_from for file in config.files}
        for section in config.sections:
            kind = section.first("type")
            if section.is_template or kind is None:
                continue
            named = self.objects.setdefault(kind.value, {})
            if (earlier := named.get(section.name)) is not None:
                self.twice.setdefault(kind.value, (earlier, section))
            named[section.name] = section

    def of(self, kind: str) -> dict[str, Section]:
        return self.objects.get(kind, {})

    def root(self, path: str) -> str:
        """The file that was named, of one that it includes."""
        while (place := self._included_from.get(path)) is not None:
            path = place.path
        return path

    def refusals(self, finding_id: str, kind: str, objects: Iterable[_Object]) -> list[Refusal]:
        """Why Asterisk creates no object of the type, or not these."""
        found = [self._duplicate(finding_id, kind, *self.twice[kind])] if kind in self.twice else []
        return found + [odd for each in objects if (odd := _odd_options(finding_id, kind, each)) is not None]

    def _duplicate(self, finding_id: str, kind: str, first: Section, second: Section) -> Refusal:
        return Refusal(
            finding_id,
            "duplicate_object",
            f"[{first.name}] of type {kind} stands at {first.place} and at {second.place}: where Asterisk reads both, "
            f"it loads no {kind} of that file at all.",
            f"Leave one of the two, or add to the first by [{first.name}](+).",
            second.place,
            certain=self.root(first.place.path) == self.root(second.place.path),
        )


def _odd_options(finding_id: str, kind: str, of: _Object) -> Refusal | None:
    """The options that no such object has, where it has any."""
    odd = [
        setting_of(variable, variable.name)
        for variable in of.section.variables
        if variable.name.startswith(of.prefix) and not knows(kind, variable.name.removeprefix(of.prefix))
    ]
    if not odd:
        return None
    owners = {line: owner_of(line.key.removeprefix(of.prefix)) for line in odd}
    first = next((line for line, owner in owners.items() if owner is not None), odd[0])
    owner = owners[first]
    names = ", ".join(f"{line.key} ({line.place})" for line in odd)
    told = (
        f"[{of.name}] has what no {kind} has: {names}. Asterisk creates no object with an option that it does not know"
    )
    if owner is None:
        told, remedy = f"{told}, and none that is known here has it.", "Take it out, or spell it as Asterisk does."
    else:
        told += ": nothing of this section is in effect."
        remedy = f"Take it out of [{of.name}]: {first.key} belongs into a section of type {owner}."
        if owner == "chan_sip":
            instead = successor_of(first.key.removeprefix(of.prefix)) or "other names"
            remedy = f"Take it out of [{of.name}]: {first.key} is chan_sip's, and res_pjsip has {instead} instead."
    return Refusal(
        finding_id,
        "unknown_option" if owner is None else "object_refused",
        told,
        remedy,
        first.place or of.section.place,
        certain=owner is not None,
        # What is not known here may be newer than this list: no diff takes that away.
        edits=erase(*odd) if all(line.own and owners[line] for line in odd) else (),
    )


def endpoints_of(config: AsteriskConfig) -> list[Section]:
    world = _World(config)
    return [*world.of("endpoint").values(), *world.of(_WIZARD).values()]


def trunks_of(config: AsteriskConfig, profile: Profile) -> list[Trunk]:
    """The endpoints that lead to the provider."""
    world = _World(config)
    trunks = []
    for section in world.of("endpoint").values():
        if (trunk := _of_endpoint(_Object(section), world, profile)) is not None:
            trunks.append(trunk)
    for section in world.of(_WIZARD).values():
        if (trunk := _of_wizard(section, world, profile)) is not None:
            trunks.append(trunk)
    everything = tuple(source for trunk in trunks for source in trunk.identification.sources)
    return [_with_sources(trunk, everything) for trunk in trunks]


def _with_sources(trunk: Trunk, sources: tuple[Setting, ...]) -> Trunk:
    """What is known as another endpoint's of the same provider is no stranger's."""
    return replace(trunk, identification=replace(trunk.identification, sources=sources))


def _of_endpoint(endpoint: _Object, world: _World, profile: Profile) -> Trunk | None:
    named = split_list(endpoint.get("aors").value or "")
    aors = [_Object(world.of("aor")[name]) for name in named if name in world.of("aor")]
    unread = [name for name in named if name not in world.of("aor")]
    contacts = [item for aor in aors for item in _items(aor.section, "contact")]
    identifies = [
        section
        for section in world.of("identify").values()
        if (whose := section.last("endpoint")) is not None and whose.value == endpoint.name
    ]
    matches = [item for section in identifies for item in _items(section, "match")]
    proxy = endpoint.get("outbound_proxy")
    refusals = [
        *world.refusals("config.peer", "endpoint", [endpoint]),
        *world.refusals("config.peer", "aor", aors),
        *world.refusals("config.identification", "identify", map(_Object, identifies)),
    ]
    hosts = [split_uri(contact.value or "")[0] for contact in contacts]
    hosts += [split_uri(proxy.value)[0]] if proxy.value else []
    hosts += [match.value or "" for match in matches]
    hosts += [endpoint.get("from_domain").value or ""]
    registrations = [
        section for section in world.of("registration").values() if _registers(section, endpoint.name, profile)
    ]
    if not any(is_provider(host.partition("/")[0], profile) for host in hosts if host):
        return None
    others = [told for key, told in _OTHER_WAYS.items() if any(section.last(key) for section in identifies)]
    home = home_of(identifies[0]) if identifies else None
    return _trunk(
        endpoint,
        world,
        destinations=_destinations([proxy] if proxy.value else contacts),
        registers=tuple(Setting("registration", section.name, section.place, section.raw) for section in registrations),
        challenges=tuple(setting_of(variable, "auth") for variable in endpoint.all("auth") if variable.value),
        answers=tuple(
            setting_of(variable, "outbound_auth") for variable in endpoint.all("outbound_auth") if variable.value
        ),
        matches=tuple(matches),
        identify_home=home,
        known_also=" and ".join(others) or None,
        refusals=refusals,
        registration_edits=tuple(_without(section) for section in registrations),
        destination_unread=f"the aor {unread[0]} was not among the files" if unread and not contacts else None,
        dialled=not named,
    )


def _of_wizard(section: Section, world: _World, profile: Profile) -> Trunk | None:
    whole, endpoint = _Object(section), _Object(section, "endpoint/")
    remote = _items(section, "remote_hosts")
    pattern = whole.get("contact_pattern", default="sip:${REMOTE_HOST}")
    contacts = [replace(one, value=(pattern.value or "").replace("${REMOTE_HOST}", one.value or "")) for one in remote]
    matches = _items(section, "identify/match")
    matches = matches or [replace(one, value=split_host(one.value or "")[0]) for one in remote]
    hosts = [split_host(one.value or "")[0] for one in remote] + [endpoint.get("from_domain").value or ""]
    if not any(is_provider(host, profile) for host in hosts if host):
        return None
    proxy = whole.get("outbound_proxy")
    if not proxy.value:
        proxy = endpoint.get("outbound_proxy")
    sending = whole.get("sends_registrations", default="no")
    registers = (sending,) if is_true(sending.value or "") else ()
    sends, accepts = whole.get("sends_auth", default="no"), whole.get("accepts_auth", default="no")
    return _trunk(
        endpoint,
        world,
        destinations=_destinations([proxy] if proxy.value else contacts),
        registers=registers,
        challenges=(accepts,) if is_true(accepts.value or "") else (),
        answers=(sends,) if is_true(sends.value or "") else (),
        matches=tuple(matches),
        identify_home=whole.home,
        refusals=[
            *world.refusals("config.peer", "endpoint", [endpoint]),
            *world.refusals("config.peer", "aor", [_Object(section, "aor/")]),
            *world.refusals("config.identification", "identify", [_Object(section, "identify/")]),
        ],
        registration_edits=whole.home.write(("sends_registrations", "no"), over=registers) if registers else (),
        transport=whole.get("transport"),
    )


def _items(section: Section, key: str) -> list[Setting]:
    """Every item of the lists of that key, each as a setting of its own."""
    return [
        replace(setting_of(variable, key), value=item)
        for variable in section.all(key)
        for item in split_list(variable.value)
    ]


def _registers(section: Section, endpoint: str, profile: Profile) -> bool:
    named = section.last("endpoint")
    if named is not None and named.value == endpoint:
        return True
    return any(
        is_provider(split_uri(variable.value)[0], profile)
        for variable in section.all("server_uri", "client_uri", "outbound_proxy")
    )


def _destinations(uris: Iterable[Setting]) -> tuple[Destination, ...]:
    """The transport is the URI's: one without is reached over UDP, whatever transport the endpoint names."""
    found = []
    for setting in uris:
        host, port, transport = split_uri(setting.value or "")
        used = transport or "udp"
        found.append(Destination(host, port if port is not None else _default_port(used), used, setting, setting))
    return tuple(found)


def _without(section: Section) -> Edit:
    """The whole section taken away."""
    return Edit(section.place.path, section.place.line, max(section.place.line, section.end.line))


def _default_port(transport: str) -> int:
    return 5061 if transport == "tls" else SIP_PORT


def _trunk(
    endpoint: _Object,
    world: _World,
    *,
    destinations: tuple[Destination, ...],
    registers: tuple[Setting, ...],
    challenges: tuple[Setting, ...],
    answers: tuple[Setting, ...],
    matches: tuple[Setting, ...],
    identify_home: Home | None,
    refusals: list[Refusal],
    known_also: str | None = None,
    transport: Setting | None = None,
    registration_edits: tuple[Edit, ...] = (),
    destination_unread: str | None = None,
    dialled: bool = False,
) -> Trunk:
    named = transport or endpoint.get("transport")
    served_by = map(_Object, _tcp_transports(named, world))
    pai, rpid = endpoint.switch("send_pai", default=False), endpoint.switch("send_rpid", default=False)
    by = endpoint.get("identify_by", default="username,ip")
    by_ip = endpoint.prefix or "ip" in split_list((by.value or "").lower())
    return Trunk(
        dialect=Dialect.PJSIP,
        name=endpoint.name,
        place=endpoint.section.place,
        home=endpoint.home,
        destinations=destinations,
        listening=_listening(named, world),
        registers=registers,
        challenges=challenges,
        answers=answers,
        identification=Identification(
            sources=matches,
            guests="the endpoint [anonymous], with its context and codecs"
            if "anonymous" in world.of("endpoint")
            else None,
            limited=True,
            also=known_also,
            unnamed=None if by_ip or not matches else by,
            setting=matches[-1] if matches else None,
            home=identify_home,
            key=f"{'identify/' if endpoint.prefix else ''}match",
        ),
        domain=endpoint.get("from_domain"),
        user=endpoint.get("from_user"),
        sends_identity=pai if pai.on or not rpid.on else rpid,
        trusts_identity=endpoint.switch("trust_id_inbound", default=False),
        codecs=_codecs(endpoint),
        dtmf=endpoint.get("dtmf_mode", default="rfc4733"),
        force_rport=endpoint.switch("force_rport", default=True),
        symmetric=endpoint.switch("rtp_symmetric", default=False),
        external=_external(named, endpoint, world),
        direct_media=endpoint.get("direct_media", default="yes"),
        context=endpoint.get("context", default="default"),
        call_limit=endpoint.get("device_state_busy_at"),
        registration_edits=registration_edits,
        destination_unread=destination_unread,
        dialled=dialled,
        way=_way(named, world),
        refusals=_in_order((*refusals, *world.refusals("config.listener", "transport", served_by))),
        encryption=_encryption(endpoint),
        access=_access(endpoint, world),
        rtp_ports=_rtp_ports(endpoint),
    )


def _in_order(refusals: Iterable[Refusal]) -> tuple[Refusal, ...]:
    """What is for certain first."""
    return tuple(sorted(refusals, key=lambda refusal: not refusal.certain))


def _way(named: Setting, world: _World) -> Way | None:
    """The transport that the endpoint names for its own calls: one of another protocol than the URI's carries none."""
    if not named.value:
        return None
    section = world.of("transport").get(named.value)
    protocol = section.last("protocol") if section is not None else None
    told = None if section is None else protocol.value.strip().lower() if protocol is not None else "udp"
    tcp = _tcp_transports(named, world)
    return Way(named, told, tcp[0].name if tcp else None)


def _encryption(endpoint: _Object) -> Setting | None:
    """What makes the offer another profile than RTP/AVP."""
    optimistic = endpoint.switch("media_encryption_optimistic", default=False)
    media = endpoint.get("media_encryption")
    if media.value and media.value.lower() != "no" and not optimistic.on:
        return media
    return next(
        (switch.setting for key in ("webrtc", "use_avpf") if (switch := endpoint.switch(key, default=False)).on), None
    )


def _access(endpoint: _Object, world: _World) -> tuple[tuple[Setting, ...], ...]:
    """The access lists that a call has to pass, each with its rules in order: the endpoint's, and those for all."""
    keys = ("deny", "permit", "acl")
    own = tuple(setting_of(variable, variable.name.removeprefix(endpoint.prefix)) for variable in endpoint.all(*keys))
    of_all = (section.all(*keys) for section in world.of("acl").values())
    return own, *(tuple(setting_of(variable, variable.name) for variable in rules) for rules in of_all)


def _rtp_ports(endpoint: _Object) -> tuple[Setting, Setting] | None:
    """A range of its own, instead of the one in rtp.conf; 0 is none."""
    first, last = endpoint.get("rtp_port_start", default="0"), endpoint.get("rtp_port_end", default="0")
    return None if number_of(first.value) == number_of(last.value) == 0 else (first, last)


def _codecs(endpoint: _Object) -> Codecs:
    own = endpoint.all("allow", "disallow")
    if not own:
        return Codecs(None, Setting(f"{endpoint.prefix}allow", None))
    renamed = [_without_prefix(variable, endpoint.prefix) for variable in own]
    listed = allowed_codecs(renamed, CodecList(()))
    return Codecs(
        tuple(rtp_name(name) for name in listed.names),
        setting_of(own[-1], "allow"),
        everything=listed.everything,
        lines=tuple(setting_of(variable, variable.name) for variable in own),
        unknown=listed.unknown,
    )


def _without_prefix(variable: Variable, prefix: str) -> Variable:
    return replace(variable, name=variable.name.removeprefix(prefix)) if prefix else variable


def _tcp_transports(named: Setting, world: _World) -> list[Section]:
    """The transport that is named where it serves TCP, else all that do: any of them takes calls."""
    tcp = [
        section
        for section in world.of("transport").values()
        if (protocol := section.last("protocol")) is not None and protocol.value.strip().lower() == "tcp"
    ]
    chosen = [section for section in tcp if section.name == named.value]
    return chosen or tcp


def _listening(named: Setting, world: _World) -> Listening:
    transports = world.of("transport")
    tcp = _tcp_transports(named, world)
    if not transports or (named.value and named.value not in transports and not tcp):
        return Listening(None, Setting("protocol", None))
    if not tcp:
        section = transports.get(named.value or "") or next(iter(transports.values()))
        return Listening(
            False,
            setting_of(section.last("protocol"), "protocol", "udp"),
            home=home_of(section),
            lines=_new_transport(section, transports),
        )
    listeners = []
    for section in tcp:
        bind = setting_of(section.last("bind"), "bind", "0.0.0.0")
        port = split_host(bind.value or "")[1] or SIP_PORT
        outside = setting_of(section.last("external_signaling_port"), "external_signaling_port")
        if (told := number_of(outside.value)) is not None:
            port, bind = told, outside
        listeners.append(Listener(port, bind))
    return Listening(
        True,
        setting_of(tcp[0].last("protocol"), "protocol"),
        tuple(listeners),
        home_of(tcp[0]),
    )


def _new_transport(like: Section, taken: Iterable[str]) -> tuple[str, ...]:
    """A section for TCP that tells the outside what this one does. Two of one name would both be lost."""
    name = next(name for name in ("transport-tcp", "transport-tcp-trunk", f"{like.name}-tcp") if name not in taken)
    keys = ("external_signaling_address", "external_media_address", "local_net")
    copied = (f"{variable.name} = {variable.value}" for key in keys for variable in like.all(key))
    return f"[{name}]", "type = transport", "protocol = tcp", *copied


def _external(named: Setting, endpoint: _Object, world: _World) -> External:
    keys = ("external_signaling_address", "external_media_address")
    tcp = _tcp_transports(named, world)
    media = endpoint.get("media_address")
    if not tcp:
        return External(
            None,
            media if media.written else None,
            (),
            None,
            keys,
            unreadable="the transport that would set it was not among the files",
            local_key="local_net",
        )
    section = tcp[0]

    def told(key: str) -> Setting | None:
        found = section.last(key)
        return None if found is None else setting_of(found, key)

    bind = section.last("bind")
    return External(
        signalling=told(keys[0]),
        media=media if media.written else told(keys[1]),
        local_networks=tuple(setting_of(variable, "local_net") for variable in section.all("local_net")),
        home=home_of(section),
        keys=keys,
        bound=bound_address(bind.value) if bind is not None else None,
        local_key="local_net",
        elsewhere=next(
            (
                setting_of(found, key)
                for other in world.of("transport").values()
                for key in keys
                if other is not section and (found := other.last(key)) is not None
            ),
            None,
        ),
    )
