"""Trunks as Asterisk's chan_sip has them: the peers of sip.conf, on top of what its [general] says for all."""

from __future__ import annotations

from collections.abc import Iterable

from vsipcheck.checks.config.asterisk import home_of, rtp_name, setting_of
from vsipcheck.checks.config.files import Dialect
from vsipcheck.checks.config.trunk import (
    SIP_PORT,
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
    bound_address,
    erase,
    is_provider,
    number_of,
    split_host,
)
from vsipcheck.model import Profile
from vsipcheck.wire.asterisk import (
    AsteriskConfig,
    Codec,
    CodecList,
    Section,
    Variable,
    allowed_codecs,
    is_false,
    is_true,
    split_list,
)

_NO_PEERS = frozenset({"general", "authentication"})


class _Peer:
    """One peer, with [general] behind it."""

    def __init__(self, section: Section, general: Section | None) -> None:
        self.section = section
        self.general = general

    def own(self, *names: str, default: str | None = None) -> Setting:
        return setting_of(self.section.last(*names), names[0], default)

    def get(self, *names: str, default: str | None = None) -> Setting:
        """What the peer says, or [general], or chan_sip."""
        if (found := self.section.last(*names)) is not None:
            return setting_of(found, names[0])
        general = self.general.last(*names) if self.general is not None else None
        return setting_of(general, names[0], default, own=False)

    def switch(self, name: str) -> Switch:
        """Off unless it is said to be on."""
        setting = self.get(name, default="no")
        return Switch(is_true(setting.value or ""), setting)

    def shared(self, *names: str, default: str | None = None) -> Setting:
        """What [general] says, or chan_sip."""
        return setting_of(self.general.last(*names) if self.general is not None else None, names[0], default)

    def all_shared(self, *names: str) -> tuple[Variable, ...]:
        return self.general.all(*names) if self.general is not None else ()


def peers_of(config: AsteriskConfig) -> list[Section]:
    """Every peer, user and friend, the sections of one name as one."""
    names = dict.fromkeys(
        section.name for section in config.sections if not section.is_template and section.name.lower() not in _NO_PEERS
    )
    found = [section for name in names if (section := config.section(name)) is not None]
    return [section for section in found if section.last("type", "host") is not None]


def trunks_of(config: AsteriskConfig, profile: Profile) -> list[Trunk]:
    """The peers that lead to the provider."""
    general = config.section("general")
    ours = [peer for peer in peers_of(config) if _leads_to(peer, profile)]
    sources = tuple(setting for peer in ours for setting in _sources(_Peer(peer, general)))
    return [_trunk(_Peer(peer, general), sources, profile) for peer in ours]


def _leads_to(peer: Section, profile: Profile) -> bool:
    for key in ("host", "outboundproxy", "fromdomain"):
        variable = peer.last(key)
        value = variable.value.partition(",")[0].rpartition("://")[2] if variable is not None else ""
        if is_provider(split_host(value)[0], profile):
            return True
    return False


def _sources(peer: _Peer) -> Iterable[Setting]:
    host = peer.own("host")
    if host.value is not None and host.value.lower() != "dynamic":
        yield host


def _trunk(peer: _Peer, sources: tuple[Setting, ...], profile: Profile) -> Trunk:
    section = peer.section
    secret = [setting_of(variable, variable.name) for variable in section.all("secret", "md5secret")]
    remote = [setting_of(variable, variable.name) for variable in section.all("remotesecret", "auth")]
    insecure = peer.get("insecure", default="no")
    # "very" and "yes" were taken for both by Asterisk 1.4 and are unknown to what came after it.
    trusted = "invite" in split_list((insecure.value or "").lower())
    rport, comedia = _nat(peer)
    guests = peer.shared("allowguest", default="yes")
    registers = tuple(_registers(peer, profile))
    port = peer.own("port")
    return Trunk(
        dialect=Dialect.CHAN_SIP,
        name=section.name,
        place=section.place,
        home=home_of(section),
        destinations=_destinations(peer),
        listening=_listening(peer),
        registers=registers,
        challenges=() if trusted else tuple(secret),
        answers=(*remote, *(secret if trusted else ())),
        identification=Identification(
            sources=sources,
            guests="the context of [general]" if is_true(guests.value or "") else None,
            setting=insecure,
        ),
        domain=peer.get("fromdomain"),
        user=peer.own("fromuser"),
        sends_identity=_sends(peer),
        trusts_identity=peer.switch("trustrpid"),
        codecs=_codecs(peer),
        dtmf=peer.get("dtmfmode", default="rfc2833"),
        force_rport=rport,
        symmetric=comedia,
        external=_external(peer),
        direct_media=peer.get("directmedia", "canreinvite", default="yes"),
        context=peer.get("context", default="default"),
        kind=peer.own("type"),
        call_limit=peer.own("call-limit", "busylevel"),
        port=port if port.written else None,
        registration_edits=erase(*registers),
        encryption=next((each.setting for key in ("encryption", "avpf") if (each := peer.switch(key)).on), None),
        access=(tuple(setting_of(each, each.name) for each in section.all("permit", "deny", "acl")),),
    )


def _general_home(peer: _Peer) -> Home | None:
    return None if peer.general is None else home_of(peer.general)


def _destinations(peer: _Peer) -> tuple[Destination, ...]:
    host, proxy = peer.own("host"), peer.get("outboundproxy")
    setting = proxy if proxy.value else host
    if setting.value is None:
        return ()
    written = setting.value.partition(",")[0].partition(";")[0]
    scheme, marked, rest = written.partition("://")  # of an outbound proxy: [transport://]host[:port][,force]
    name, port = split_host(rest if marked else written)
    in_name = setting is host and port is not None
    if setting is host and port is None:
        port = number_of(peer.own("port").value)
    transport = peer.get("transport", default="udp")
    first = next(iter(split_list((transport.value or "").lower())), "udp")
    if marked:
        first, transport = scheme.strip().lower(), setting
    return (Destination(name, SIP_PORT if port is None else port, first, setting, transport, in_name),)


def _listening(peer: _Peer) -> Listening:
    """tcpbindaddr has a port of its own, and takes none of bindport where it is written."""
    enabled = peer.shared("tcpenable", default="no")
    bind = peer.shared("tcpbindaddr")
    port = None
    if bind.value is not None:
        port = split_host(bind.value)[1] or SIP_PORT
    else:
        bind = peer.shared("bindaddr")
        port = split_host(bind.value)[1] if bind.value is not None else None
        if port is None:
            bind = peer.shared("bindport", "port", default=str(SIP_PORT))
            port = number_of(bind.value)
            port = SIP_PORT if port is None else port
    outside = peer.shared("externtcpport")
    if (mapped := number_of(outside.value)) is not None:
        port, bind = mapped, outside
    else:
        for key in ("externaddr", "externip", "externhost"):
            told = peer.shared(key)
            if told.value is not None and (mapped := split_host(told.value)[1]) is not None:
                port, bind = mapped, told
    return Listening(
        enabled=is_true(enabled.value or ""),
        switch=enabled,
        listeners=(Listener(port, bind),),
        home=_general_home(peer),
    )


def _registers(peer: _Peer, profile: Profile) -> Iterable[Setting]:
    for variable in peer.all_shared("register"):
        # [peer?][transport://]user[@domain][:secret[:authuser]]@host[:port][/extension][~expiry]
        after = variable.value.rpartition("@")[2].partition("/")[0].partition("~")[0]
        named = variable.value.partition("?")[0] if "?" in variable.value else after
        if is_provider(split_host(after)[0], profile) or peer.section.name in (split_host(after)[0], named):
            yield setting_of(variable, "register")
    callback = peer.own("callbackextension")
    if callback.value:
        yield callback


def _sends(peer: _Peer) -> Switch:
    setting = peer.get("sendrpid", default="no")
    value = (setting.value or "").lower()
    return Switch(value in ("pai", "rpid") or is_true(value), setting)


def _codecs(peer: _Peer) -> Codecs:
    general = peer.all_shared("allow", "disallow")
    own = peer.section.all("allow", "disallow")
    setting = setting_of((*general, *own)[-1] if general or own else None, "allow", own=bool(own))
    if not general and not own:
        return Codecs(None, Setting("allow", None), default="ulaw, alaw, gsm and h263, in Asterisk's own order")
    place = (*general, *own)[0].place
    start = CodecList(tuple(Codec(name, None, place) for name in ("ulaw", "alaw", "gsm", "h263")))
    listed = allowed_codecs(own, allowed_codecs(general, start))
    return Codecs(
        tuple(rtp_name(name) for name in listed.names),
        setting,
        everything=listed.everything,
        lines=tuple(setting_of(variable, variable.name) for variable in own),
        unknown=listed.unknown,
    )


def _nat(peer: _Peer) -> tuple[Switch, Switch]:
    setting = peer.get("nat", default="auto_force_rport")
    words = set(split_list((setting.value or "").lower()))
    if len(words) == 1 and is_true(next(iter(words))):  # "yes", of old: both
        return Switch(True, setting), Switch(True, setting)
    if any(is_false(word) or word == "never" for word in words):
        return Switch(False, setting), Switch(False, setting)
    rport = None if "auto_force_rport" in words else bool(words & {"force_rport", "route"})
    comedia = None if "auto_comedia" in words else "comedia" in words
    return Switch(rport, setting), Switch(comedia, setting)


def _external(peer: _Peer) -> External:
    told = peer.shared("externaddr", "externip", "externhost")
    signalling = told if told.written else None
    media = peer.shared("media_address")
    bound = next(
        (
            host
            for key in ("tcpbindaddr", "bindaddr", "udpbindaddr")
            if (host := bound_address(peer.shared(key).value)) is not None
        ),
        None,
    )
    return External(
        signalling=signalling,
        media=media if media.written else signalling,
        local_networks=tuple(setting_of(variable, "localnet") for variable in peer.all_shared("localnet")),
        home=_general_home(peer),
        keys=("externaddr",),
        bound=bound,
        local_key="localnet",
    )
