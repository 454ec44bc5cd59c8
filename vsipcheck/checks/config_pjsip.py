"""Trunks as Asterisk's res_pjsip has them: endpoints with their aors, identifies, transports and registrations, and the
wizard's short form of all these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vsipcheck.checks.config_asterisk import home_of, rtp_name, setting_of
from vsipcheck.checks.config_files import Dialect
from vsipcheck.checks.config_patch import Edit
from vsipcheck.checks.config_trunk import (
    Codecs,
    Destination,
    External,
    Home,
    Identification,
    Listener,
    Listening,
    Setting,
    Switch,
    Trunk,
    is_provider,
    port_of,
    split_host,
    split_uri,
)
from vsipcheck.model import Profile
from vsipcheck.wire.asterisk import (
    AsteriskConfig,
    CodecList,
    Section,
    Variable,
    allowed_codecs,
    is_true,
    split_list,
)

_PORT = 5060
_WIZARD = "wizard"


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
    """All objects by their type."""

    def __init__(self, config: AsteriskConfig) -> None:
        self.objects: dict[str, dict[str, Section]] = {}
        for section in config.sections:
            kind = section.last("type")
            if section.is_template or kind is None:
                continue
            self.objects.setdefault(kind.value.strip().lower(), {})[section.name] = section

    def of(self, kind: str) -> dict[str, Section]:
        return self.objects.get(kind, {})


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
    if len(trunks) < 2:
        return trunks
    return [_with_sources(trunk, everything) for trunk in trunks]


def _with_sources(trunk: Trunk, sources: tuple[Setting, ...]) -> Trunk:
    """What another endpoint of the same provider identifies is identified, too; where none does, none does."""
    if not trunk.identification.sources:
        return trunk
    return replace(trunk, identification=replace(trunk.identification, sources=sources))


def _of_endpoint(endpoint: _Object, world: _World, profile: Profile) -> Trunk | None:
    aors = [world.of("aor")[name] for name in split_list(endpoint.get("aors").value or "") if name in world.of("aor")]
    unread = [name for name in split_list(endpoint.get("aors").value or "") if name not in world.of("aor")]
    contacts = [setting_of(variable, "contact") for aor in aors for variable in aor.all("contact")]
    contacts = [
        Setting(contact.key, uri, contact.place, contact.raw, contact.own)
        for contact in contacts
        for uri in split_list(contact.value or "")
    ]
    identifies = [
        section
        for section in world.of("identify").values()
        if (named := section.last("endpoint")) is not None and named.value == endpoint.name
    ]
    matches = [
        Setting("match", one, variable.place, variable.raw, variable.inherited_from is None)
        for section in identifies
        for variable in section.all("match")
        for one in split_list(variable.value)
    ]
    proxy = endpoint.get("outbound_proxy")
    hosts = [split_uri(contact.value or "")[0] for contact in contacts]
    hosts += [split_uri(proxy.value)[0]] if proxy.value else []
    hosts += [match.value or "" for match in matches]
    hosts += [endpoint.get("from_domain").value or ""]
    registrations = [
        section for section in world.of("registration").values() if _registers(section, endpoint.name, profile)
    ]
    if not any(is_provider(host.partition("/")[0], profile) for host in hosts if host):
        return None
    headers = [variable for section in identifies for variable in section.all("match_header")]
    by_ip = "ip" in split_list((endpoint.get("identify_by", default="username,ip").value or "").lower())
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
        match_setting=matches[-1] if matches else None,
        identify_home=home,
        by_header=bool(headers),
        by_ip=by_ip,
        registration_edits=tuple(_without(section) for section in registrations),
        destination_unread=f"the aor {unread[0]} was not among the files" if unread and not contacts else None,
    )


def _of_wizard(section: Section, world: _World, profile: Profile) -> Trunk | None:
    whole, endpoint = _Object(section), _Object(section, "endpoint/")
    remote = [
        Setting("remote_hosts", one, variable.place, variable.raw, variable.inherited_from is None)
        for variable in section.all("remote_hosts")
        for one in split_list(variable.value)
    ]
    pattern = whole.get("contact_pattern", default="sip:${REMOTE_HOST}")
    contacts = [
        Setting(one.key, (pattern.value or "").replace("${REMOTE_HOST}", one.value or ""), one.place, one.raw, one.own)
        for one in remote
    ]
    written = [
        Setting("identify/match", one, variable.place, variable.raw, variable.inherited_from is None)
        for variable in section.all("identify/match")
        for one in split_list(variable.value)
    ]
    matches = written or [
        Setting(one.key, split_host(one.value or "")[0], one.place, one.raw, one.own) for one in remote
    ]
    hosts = [split_host(one.value or "")[0] for one in remote] + [endpoint.get("from_domain").value or ""]
    if not any(is_provider(host, profile) for host in hosts if host):
        return None
    registers = whole.get("sends_registrations", default="no")
    sends, accepts = whole.get("sends_auth", default="no"), whole.get("accepts_auth", default="no")
    return _trunk(
        endpoint,
        world,
        destinations=_destinations(contacts),
        registers=(registers,) if is_true(registers.value or "") else (),
        challenges=(accepts,) if is_true(accepts.value or "") else (),
        answers=(sends,) if is_true(sends.value or "") else (),
        matches=tuple(matches),
        match_setting=matches[-1] if matches else None,
        identify_home=whole.home,
        by_header=False,
        by_ip=True,
        transport=whole.get("transport"),
    )


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
    return 5061 if transport == "tls" else _PORT


def _trunk(
    endpoint: _Object,
    world: _World,
    *,
    destinations: tuple[Destination, ...],
    registers: tuple[Setting, ...],
    challenges: tuple[Setting, ...],
    answers: tuple[Setting, ...],
    matches: tuple[Setting, ...],
    match_setting: Setting | None,
    identify_home: Home | None,
    by_header: bool,
    by_ip: bool,
    transport: Setting | None = None,
    registration_edits: tuple[Edit, ...] = (),
    destination_unread: str | None = None,
) -> Trunk:
    named = transport or endpoint.get("transport")
    pai, rpid = endpoint.switch("send_pai", default=False), endpoint.switch("send_rpid", default=False)
    impossible = None
    if matches and not by_ip:
        impossible = "identify_by leaves out ip, so that no address is looked at"
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
            anybody=not matches and "anonymous" in world.of("endpoint"),
            limited=True,
            unreadable="it matches a header, whose value is not looked at" if by_header and not matches else None,
            impossible=impossible,
            setting=match_setting,
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
    )


def _codecs(endpoint: _Object) -> Codecs:
    own = endpoint.all("allow", "disallow")
    if not own:
        return Codecs(None, Setting(f"{endpoint.prefix}allow", None), default="no codec at all")
    renamed = [_without_prefix(variable, endpoint.prefix) for variable in own]
    listed = allowed_codecs(renamed, CodecList(()))
    return Codecs(
        tuple(rtp_name(name) for name in listed.names),
        setting_of(own[-1], "allow"),
        everything=listed.everything,
        default="no codec at all",
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
        )
    listeners = []
    for section in tcp:
        bind = setting_of(section.last("bind"), "bind", "0.0.0.0")
        port = split_host(bind.value or "")[1] or _PORT
        outside = setting_of(section.last("external_signaling_port"), "external_signaling_port")
        if (told := port_of(outside.value)) is not None:
            port, bind = told, outside
        listeners.append(Listener(port, bind))
    return Listening(
        True,
        setting_of(tcp[0].last("protocol"), "protocol"),
        tuple(listeners),
        home_of(tcp[0]),
    )


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
    host = split_host(bind.value)[0] if bind is not None else ""
    return External(
        signalling=told(keys[0]),
        media=media if media.written else told(keys[1]),
        local_networks=tuple(setting_of(variable, "local_net") for variable in section.all("local_net", "localnet")),
        home=home_of(section),
        keys=keys,
        bound=host if host not in ("", "0.0.0.0", "::") else None,
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
