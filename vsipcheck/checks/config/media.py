"""What is heard: codecs, keys, and the way and the ports of the audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vsipcheck.checks.config.asterisk import ASTERISK_NAMES, home_of, lead, setting_of
from vsipcheck.checks.config.files import Dialect
from vsipcheck.checks.config.freeswitch import home_before, param_setting, switch_of
from vsipcheck.checks.config.nat import behind_nat
from vsipcheck.checks.config.patch import Edit, replace_line
from vsipcheck.checks.config.trunk import Home, Setting, Trunk, erase, number_of
from vsipcheck.checks.config.verdict import Verdict, World, not_read
from vsipcheck.model import Confidence, Status
from vsipcheck.wire.asterisk import Place, is_false

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
    return (replace_line(place.path, place.line, *lines), *erase(*rest))


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
    if is_false(value) or value == "never":
        told = "FreeSWITCH keeps" if trunk.dialect is Dialect.FREESWITCH else f"{setting}: the PBX keeps"
        return Verdict(Status.PASS, "through_the_pbx", f"{told} the audio on its own way.", place=place)
    if trunk.dialect is Dialect.FREESWITCH:
        home = trunk.listening.home
        edits = () if home is None else home.write((setting.key, "false"), over=(setting,))
    else:
        edits = trunk.home.write((setting.key, "no"), over=(setting,))
    behind = behind_nat(trunk, world)
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


# res_rtp_asterisk's own, where rtp.conf says nothing; its sample file has 10000-20000.
_ASTERISK_RTP = (5000, 31000)

_FREESWITCH_RTP = (16384, 32768)


def judge_rtp_range(trunk: Trunk, world: World) -> Verdict:
    """Of the trunk where it has a range of its own, else of the file that sets it for all, or would."""
    if trunk.dialect is Dialect.FREESWITCH:
        switch = switch_of(world.configuration)
        if switch is None:
            return _range_unread(trunk, "switch.conf.xml", _FREESWITCH_RTP)
        found, xml = switch
        start = param_setting(found.last("rtp-start-port"), "rtp-start-port")
        end = param_setting(found.last("rtp-end-port"), "rtp-end-port")
        path, home = found.place.path, home_before(found.end, xml, found.params)
        return replace(_judge_range(start, end, _FREESWITCH_RTP, home, path, world), target=path)
    if trunk.rtp_ports is not None:
        return _judge_range(*trunk.rtp_ports, _ASTERISK_RTP, trunk.home, trunk.place.path, world)
    config = world.configuration.asterisk(Dialect.RTP)
    if config is None:
        return _range_unread(trunk, "rtp.conf", _ASTERISK_RTP)
    path = world.configuration.of(Dialect.RTP)[0].path
    general = config.section("general")
    first, last = (None, None) if general is None else (general.first("rtpstart"), general.first("rtpend"))
    start, end = setting_of(first, "rtpstart"), setting_of(last, "rtpend")
    home = home_of(general) if general is not None else None
    return replace(_judge_range(start, end, _ASTERISK_RTP, home, path, world), target=path)


def _range_unread(trunk: Trunk, name: str, default: tuple[int, int]) -> Verdict:
    return Verdict(
        Status.UNKNOWN,
        "not_read",
        f"The ports of RTP are set in {name}, which was not given; without it they are {default[0]}-{default[1]}.",
        settle_by=f"Give {name} as well.",
        place=trunk.place,
        target=trunk.place.path,
    )


def _judge_range(
    first: Setting,
    last: Setting,
    default: tuple[int, int],
    home: Home | None,
    path: str,
    world: World,
) -> Verdict:
    media = world.profile.media
    low = number_of(first.value) if first.written else default[0]
    high = number_of(last.value) if last.written else default[1]
    place = first.place or last.place or Place(path, 1)
    opened = f"{media.first_port}-{media.last_port}"
    edits: tuple[Edit, ...] = ()
    if home is not None:
        edits = home.write(
            (first.key, str(media.first_port)),
            (last.key, str(min(media.first_port + 10000, media.last_port))),
            over=(first, last),
        )
    remedy = f"Keep the range within {opened}."
    if low is None or high is None or low >= high or high > 65535:
        said = " and ".join(str(setting) for setting in (first, last) if setting.written)
        return Verdict(
            Status.FAIL,
            "no_range",
            f"{said} is no range of ports.",
            remedy,
            place=place,
            edits=edits,
        )
    told = f"RTP uses ports {low}-{high}"
    if not first.written and not last.written:
        told += ", the default"
    if media.first_port <= low and high <= media.last_port:
        return Verdict(Status.PASS, "within", f"{told}, within the {opened} that the firewall opens.", place=place)
    if high < media.first_port or low > media.last_port:
        return Verdict(
            Status.FAIL,
            "outside",
            f"{told}; a firewall after the guide opens {opened}, so that no call has audio from outside.",
            remedy,
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    return Verdict(
        Status.WARN,
        "partly_outside",
        f"{told}; a firewall after the guide opens {opened}. Calls that get another port are mute from outside.",
        remedy,
        place=place,
        edits=edits,
        confidence=Confidence.LIKELY,
    )
