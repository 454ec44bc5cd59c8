"""Trunks as FreeSWITCH has them: a gateway, in a SIP profile whose settings decide most of the rest."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from vsipcheck.checks.config.files import Configuration, Dialect
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
    is_provider,
    network_of,
    number_of,
    split_uri,
)
from vsipcheck.model import Profile
from vsipcheck.wire.asterisk import Place, split_list
from vsipcheck.wire.freeswitch import AccessList, FreeSwitchConfig, Gateway, Param, SipProfile, is_true
from vsipcheck.wire.freeswitch import Configuration as SwitchXml

_UNREAD = "the SIP profile of the gateway was not among the files"
_INDENT = re.compile(r"[ \t]*")


def param_setting(param: Param | None, key: str, default: str | None = None) -> Setting:
    if param is None:
        return Setting(key, default)
    return Setting(param.name, param.value, param.place, param.raw, own=True)


def home_before(place: Place, config: FreeSwitchConfig, params: Sequence[Param]) -> Home | None:
    """Before the line of the end tag, where that is a line of its own."""
    raw = config.line(place)
    if raw is None or not raw.lstrip().startswith("</"):
        return None
    like = params[-1].raw if params else raw
    indent = _INDENT.match(like)
    lead = indent[0] if indent else ""
    return Home(place.path, place.line, xml=True, indent=lead if params else f"{lead}  ")


def switch_of(configuration: Configuration) -> tuple[SwitchXml, FreeSwitchConfig] | None:
    """FreeSWITCH's switch.conf.xml, wherever it was read."""
    for one in configuration.of(Dialect.FREESWITCH):
        if one.freeswitch is not None and (found := one.freeswitch.configuration("switch.conf")) is not None:
            return found, one.freeswitch
    return None


class _Profile:
    """What a SIP profile says; all of it unknown where it was not read."""

    def __init__(self, profile: SipProfile | None) -> None:
        self.profile = profile
        self.unread = _UNREAD if profile is None else None

    def get(self, *names: str, default: str | None = None) -> Setting:
        found = self.profile.last(*names) if self.profile is not None else None
        return param_setting(found, names[0], default if self.profile is not None else None)

    def switch(self, name: str, *, default: bool, inverted: bool = False) -> Switch:
        setting = self.get(name, default="true" if default else "false")
        on = None if setting.value is None else is_true(setting.value)
        return Switch(on if on is None or not inverted else not on, setting)


def profile_of(gateway: Gateway, profiles: Sequence[SipProfile]) -> SipProfile | None:
    """The SIP profile that a gateway belongs to: the one around it, or the one that its folder is named after."""
    folder = os.path.basename(os.path.dirname(gateway.place.path))
    for name in (gateway.profile, folder):
        found = [profile for profile in profiles if name and profile.name == name]
        if found:
            return found[0]
    return profiles[0] if len(profiles) == 1 and gateway.profile is None else None


def trunks_of(configs: Sequence[FreeSwitchConfig], profile: Profile) -> list[Trunk]:
    """The gateways that lead to the provider."""
    profiles = [each for config in configs for each in config.profiles]
    lists = {each.name: each for config in configs for each in config.access_lists}
    trunks = []
    for config in configs:
        for gateway in config.gateways:
            if _leads_to(gateway, profile):
                trunks.append(_trunk(gateway, profile_of(gateway, profiles), lists, config))
    return trunks


def _leads_to(gateway: Gateway, profile: Profile) -> bool:
    values = [param.value for param in gateway.all("proxy", "realm", "outbound-proxy", "register-proxy", "from-domain")]
    return any(is_provider(split_uri(value)[0], profile) for value in (*values, gateway.name) if value)


def _trunk(
    gateway: Gateway, sip_profile: SipProfile | None, lists: dict[str, AccessList], config: FreeSwitchConfig
) -> Trunk:
    settings = _Profile(sip_profile)
    destination = _destination(gateway)

    def own(*names: str, default: str | None = None) -> Setting:
        return param_setting(gateway.last(*names), names[0], default)

    register = own("register", default="true")
    registers = (register,) if is_true(register.value or "") else ()
    password = own("password")
    in_from = own("caller-id-in-from", default="false")
    user = own("from-user")
    if user.value is None:
        username = own("username", default="FreeSWITCH")
        user = Setting("username", username.value, username.place, username.raw)
    home = home_before(gateway.end, config, gateway.params) or Home("-", gateway.place.line, xml=True)
    identity = own("sip-cid-type", "cid-type")
    variable = next((each for each in gateway.variables if each.name == "sip_cid_type"), None)
    if variable is not None:
        identity = param_setting(variable, "sip_cid_type")
    elif not identity.written:
        identity = settings.get("caller-id-type", default="rpid")
    return Trunk(
        dialect=Dialect.FREESWITCH,
        name=gateway.name,
        place=gateway.place,
        home=home,
        destinations=(destination,),
        listening=_listening(settings, config),
        registers=registers,
        challenges=(),
        answers=(password,) if password.value and not registers else (),
        identification=_identification(settings, lists),
        domain=own("from-domain"),
        user=Setting(in_from.key, None, in_from.place, in_from.raw, in_from.own)
        if is_true(in_from.value or "")
        else user,
        sends_identity=Switch(None if identity.value is None else identity.value.lower() != "none", identity),
        trusts_identity=Switch(True, Setting("caller-id-type", None)),
        codecs=_codecs(gateway, settings),
        dtmf=settings.get("dtmf-type", default="rfc2833"),
        force_rport=Switch(True, Setting("NDLB-force-rport", None)),
        symmetric=settings.switch("disable-rtp-auto-adjust", default=False, inverted=True),
        external=_external(settings, config),
        direct_media=_direct_media(settings),
        context=settings.get("context", default="default"),
        in_from=in_from,
        contact_transport=_contact_transport(gateway, destination),
        profile_settings=tuple(
            param_setting(param, param.name) for param in (sip_profile.params if sip_profile else ())
        ),
        registration_edits=home.write(("register", "false"), over=registers) if registers else (),
        settings_unread=settings.unread,
        destination_unread=_unset(destination.setting),
        encryption=next((param_setting(each, each.name) for each in gateway.variables if _encrypts(each)), None),
    )


def _unset(setting: Setting) -> str | None:
    """Why a setting that goes by a variable was not seen; None where it was."""
    return f"{setting} is set in a file that was not given (vars.xml)" if "$${" in (setting.value or "") else None


def _encrypts(variable: Param) -> bool:
    """Whether calls of the gateway are offered as RTP/SAVP alone."""
    named = variable.name in ("rtp_secure_media", "rtp_secure_media_outbound", "sip_secure_media")
    return named and (is_true(variable.value) or variable.value.lower().startswith("mandatory"))


def _destination(gateway: Gateway) -> Destination:
    setting = next(
        (param_setting(param, name) for name in ("outbound-proxy", "proxy", "realm") if (param := gateway.last(name))),
        Setting("gateway name", gateway.name, gateway.place),
    )
    host, port, transport = split_uri(setting.value or "")
    registered = gateway.last("register-transport")
    decided = setting
    if transport is None:
        transport = registered.value.lower() if registered is not None else "udp"
        decided = param_setting(registered, "register-transport", "udp")
    return Destination(host, port if port is not None else SIP_PORT, transport, setting, decided)


def _contact_transport(gateway: Gateway, destination: Destination) -> Setting | None:
    """The Contact names register-transport, whatever the proxy's URI says."""
    setting = param_setting(gateway.last("register-transport"), "register-transport", "udp")
    return setting if (setting.value or "").lower() != destination.transport else None


def _listening(settings: _Profile, config: FreeSwitchConfig) -> Listening:
    """A profile serves UDP and TCP unless it is told otherwise."""
    if settings.profile is None:
        return Listening(None, Setting("bind-params", None))
    home = home_before(settings.profile.end, config, settings.profile.params)
    only_tls, bound = settings.get("tls-only", default="false"), settings.get("bind-params")
    if is_true(only_tls.value or ""):
        return Listening(False, only_tls, home=home)
    enabled = True
    if bound.value is not None and "transport=" in bound.value.lower():
        enabled = "tcp" in split_list(bound.value.lower().partition("transport=")[2].partition(";")[0])
    port = settings.get("sip-port", default=str(SIP_PORT))
    outside = settings.get("ext-sip-port")
    port = outside if outside.written else port
    number = number_of(port.value)
    if number is None:
        return Listening(enabled if not enabled else None, bound if not enabled else port, home=home)
    return Listening(enabled, bound, (Listener(number, port),), home)


def _identification(settings: _Profile, lists: dict[str, AccessList]) -> Identification:
    if settings.profile is None:
        return Identification((), unreadable=settings.unread)
    names = [
        (name, param_setting(param, "apply-inbound-acl"))
        for param in settings.profile.all("apply-inbound-acl")
        for name in split_list(param.value)
    ]
    auth = settings.switch("auth-calls", default=False)
    if not names:
        if not auth.on:
            return Identification((), anybody=True, setting=auth.setting)
        return Identification(
            (), impossible="auth-calls is on, so that strangers are asked for a password", setting=auth.setting
        )
    setting = names[-1][1]
    # A list that is no list's name is one of networks. What follows a colon is a context.
    written = [name for name, _ in names if "/" in name]
    named = [name.partition(":")[0] for name, _ in names if "/" not in name]
    if named == ["none"] and not written:
        return Identification((), anybody=True, setting=setting)
    known = [lists[name] for name in named if name in lists]
    sources = [Setting("node", network, setting.place) for network in written]
    unseen = next((f"the access list {name} was not among the files" for name in named if name not in lists), None)
    anybody = False
    for each in known:
        nodes = [(node, node.allows(each)) for node in each.nodes]
        sources += [
            Setting("node", one, node.place)
            for node, allows in nodes
            for one in split_list(node.cidr or "")
            if allows and not each.allows
        ]
        if any(node.domain and not node.cidr for node, _ in nodes):
            unseen = f"the access list {each.name} goes by the users of a domain, which were not read"
        denied = [network_of(one) for node, allows in nodes if not allows for one in split_list(node.cidr or "")]
        if each.allows and any(network is None or not network.is_private for network in denied):
            unseen = f"whether the provider is among those that the access list {each.name} denies is not told here"
        else:
            anybody |= each.allows
    if unseen is not None and not anybody:
        return Identification((), unreadable=unseen, setting=setting)
    return Identification(tuple(sources), anybody=anybody, limited=True, setting=setting)


def _codecs(gateway: Gateway, settings: _Profile) -> Codecs:
    for variable in gateway.variables:
        if variable.name in ("absolute_codec_string", "codec_string"):
            setting = param_setting(variable, variable.name)
            return Codecs(_rtp_names(variable.value), setting, lines=(setting,))
    if settings.unread is not None:
        return Codecs(None, Setting("outbound-codec-prefs", None), unreadable=settings.unread)
    out, into = settings.get("outbound-codec-prefs", "codec-prefs"), settings.get("inbound-codec-prefs", "codec-prefs")
    if out.value is None:
        return Codecs(
            None, Setting("outbound-codec-prefs", None), default="whatever modules are loaded, in their order"
        )
    if "$${" in out.value:
        return Codecs(None, out, unreadable=f"{out.value} is set in a file that was not given (vars.xml)")
    names = _rtp_names(out.value)
    lines = (out,) if into.value is None or into.place == out.place else (out, into)
    # What answers a call of the provider's has to hold both as well.
    if into.value is not None and "$${" not in into.value:
        other = _rtp_names(into.value)
        if _rank(other) < _rank(names):
            return Codecs(other, into, lines=lines)
    return Codecs(names, out, lines=lines)


def _rank(names: Sequence[str]) -> int:
    own = [name for name in names if name in ("PCMA", "PCMU")]
    return len(set(own)) * 2 + (own[:1] == ["PCMA"] and names[0] == "PCMA")


def _rtp_names(value: str) -> tuple[str, ...]:
    """`PCMA@8000h@20i` is PCMA."""
    return tuple(
        name.strip("^:").partition("@")[0].rpartition(".")[2].upper() for name in split_list(value.replace(":", ","))
    )


def _external(settings: _Profile, config: FreeSwitchConfig) -> External:
    keys = ("ext-sip-ip", "ext-rtp-ip")
    if settings.profile is None:
        return External(None, None, None, None, keys, unreadable=settings.unread)

    def told(key: str) -> Setting | None:
        found = settings.get(key)
        return found if found.written else None

    bound = settings.get("sip-ip").value or ""
    return External(
        signalling=told(keys[0]),
        media=told(keys[1]),
        local_networks=None,
        home=home_before(settings.profile.end, config, settings.profile.params),
        keys=keys,
        bound=None if "$" in bound else bound_address(bound),
    )


def _direct_media(settings: _Profile) -> Setting:
    """FreeSWITCH keeps the audio to itself unless it is told to step aside."""
    for key in ("inbound-bypass-media", "bypass-media"):
        found = settings.get(key)
        if found.value is not None and is_true(found.value):
            return Setting(key, "yes", found.place, found.raw, own=True)
    return Setting("inbound-bypass-media", None if settings.profile is None else "no")
