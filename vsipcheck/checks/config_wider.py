"""The rules that look at more than the trunk: ports of RTP, limits, the dialplan, logs, and which driver runs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vsipcheck.checks.config_asterisk import home_of, setting_of
from vsipcheck.checks.config_files import Configuration, Dialect, Handed
from vsipcheck.checks.config_freeswitch import home_before, param_setting
from vsipcheck.checks.config_patch import Edit
from vsipcheck.checks.config_trunk import Home, Setting, Trunk, erase
from vsipcheck.checks.config_verdict import Verdict, World, not_read
from vsipcheck.model import Confidence, Status
from vsipcheck.wire.asterisk import AsteriskConfig, Place, Section, Variable, is_false, is_true
from vsipcheck.wire.freeswitch import Configuration as SwitchXml
from vsipcheck.wire.freeswitch import FreeSwitchConfig

# res_rtp_asterisk's own, where rtp.conf says nothing; its sample file has 10000-20000.
_ASTERISK_RTP = (5000, 31000)
_FREESWITCH_RTP = (16384, 32768)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,6}", text.strip(), re.ASCII) else None


# --- RTP ports ---


def judge_rtp_range(configuration: Configuration, trunk: Trunk, world: World) -> tuple[str, Verdict]:
    """(target, verdict): the file that sets the range, or the trunk where none was given."""
    if trunk.dialect is Dialect.FREESWITCH:
        switch = _switch_of(configuration)
        if switch is None:
            return trunk.place.path, _range_unread(trunk, "switch.conf.xml", _FREESWITCH_RTP)
        found, xml = switch
        low, high = found.last("rtp-start-port"), found.last("rtp-end-port")
        return found.place.path, _judge_range(
            param_setting(low, "rtp-start-port") if low is not None else None,
            param_setting(high, "rtp-end-port") if high is not None else None,
            _FREESWITCH_RTP,
            home_before(found.end, xml, found.params),
            found.place.path,
            world,
            keys=("rtp-start-port", "rtp-end-port"),
        )
    config = configuration.asterisk(Dialect.RTP)
    if config is None:
        return trunk.place.path, _range_unread(trunk, "rtp.conf", _ASTERISK_RTP)
    path = configuration.of(Dialect.RTP)[0].path
    general = config.section("general")
    start = general.first("rtpstart") if general is not None else None
    end = general.first("rtpend") if general is not None else None
    home = home_of(general) if general is not None else None
    return path, _judge_range(
        setting_of(start, "rtpstart") if start is not None else None,
        setting_of(end, "rtpend") if end is not None else None,
        _ASTERISK_RTP,
        home,
        path,
        world,
    )


def _range_unread(trunk: Trunk, name: str, default: tuple[int, int]) -> Verdict:
    return Verdict(
        Status.UNKNOWN,
        "not_read",
        f"The ports of RTP are set in {name}, which was not given; without it they are {default[0]}-{default[1]}.",
        settle_by=f"Give {name} as well.",
        place=trunk.place,
    )


def _judge_range(
    first: Setting | None,
    last: Setting | None,
    default: tuple[int, int],
    home: Home | None,
    path: str,
    world: World,
    keys: tuple[str, str] = ("rtpstart", "rtpend"),
) -> Verdict:
    media = world.profile.media
    low = _number(first.value) if first is not None else default[0]
    high = _number(last.value) if last is not None else default[1]
    place = next((s.place for s in (first, last) if s is not None and s.place is not None), Place(path, 1))
    opened = f"{media.first_port}-{media.last_port}"
    edits: tuple[Edit, ...] = ()
    if home is not None:
        edits = home.write(
            (keys[0], str(media.first_port)),
            (keys[1], str(min(media.first_port + 10000, media.last_port))),
            over=(first, last),
        )
    remedy = f"Keep the range within {opened}."
    if low is None or high is None or low >= high or high > 65535:
        said = " and ".join(str(setting) for setting in (first, last) if setting is not None)
        return Verdict(
            Status.FAIL,
            "no_range",
            f"{said} is no range of ports.",
            remedy,
            place=place,
            edits=edits,
        )
    told = f"RTP uses ports {low}-{high}"
    if first is None and last is None:
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


def _switch_of(configuration: Configuration) -> tuple[SwitchXml, FreeSwitchConfig] | None:
    """FreeSWITCH's switch.conf.xml, wherever it was read."""
    for one in configuration.of(Dialect.FREESWITCH):
        if one.freeswitch is not None and (found := one.freeswitch.configuration("switch.conf")) is not None:
            return found, one.freeswitch
    return None


# --- how many calls ---


def judge_call_rate(configuration: Configuration, trunk: Trunk, world: World) -> Verdict:
    limit = world.profile.signalling.calls_per_minute
    note = f"the trunk takes {limit} calls a minute"
    if trunk.dialect is Dialect.FREESWITCH:
        switch = _switch_of(configuration)
        found_rate = switch[0].last("sessions-per-second") if switch is not None else None
        setting = param_setting(found_rate, "sessions-per-second")
        rate = _number(setting.value)
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
    found = next((s for s in (trunk.call_limit,) if s is not None and s.written), None)
    if found is not None:
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


# --- where calls land ---


def judge_context(configuration: Configuration, trunk: Trunk, world: World) -> Verdict:
    setting = trunk.context
    place = setting.place or trunk.place
    if setting.value is None:
        return not_read("Where calls from the provider land was", trunk.settings_unread, place)
    if trunk.kind is not None:
        kind = (trunk.kind.value or "").lower()
        if kind == "user" or not trunk.kind.written:
            told = (
                "has no type" if not trunk.kind.written else "is a user, which calls Asterisk and is not called by it"
            )
            return Verdict(
                Status.FAIL,
                "no_peer",
                f"[{trunk.name}] {told}: it is no trunk to call out by.",
                "Set type = peer.",
                place=trunk.kind.place or trunk.place,
                edits=trunk.home.write(("type", "peer"), over=(trunk.kind,)),
            )
    if trunk.dialect is not Dialect.FREESWITCH:
        plan = configuration.asterisk(Dialect.EXTENSIONS)
        if plan is not None:
            return _judge_dialplan(plan, setting, place, configuration)
    if not setting.written or setting.value.lower() == "default":
        return Verdict(
            Status.WARN,
            "default_context",
            f"{setting}: calls from outside land where the PBX's own phones do, and may call out again.",
            "Give the trunk a context of its own, with what outsiders may reach.",
            place=place,
            confidence=Confidence.POSSIBLE,
        )
    told = f"{setting}: that is where calls from the provider land."
    if trunk.dialect is not Dialect.FREESWITCH:
        told += " What stands there was not looked at: extensions.conf was not given."
    return Verdict(Status.PASS, "own_context", told, place=place)


def _judge_dialplan(plan: AsteriskConfig, setting: Setting, place: Place, configuration: Configuration) -> Verdict:
    name = setting.value or "default"
    context = plan.section(name)
    path = configuration.of(Dialect.EXTENSIONS)[0].path
    if context is None:
        return Verdict(
            Status.FAIL,
            "no_such_context",
            f"{setting}, and {path} has no [{name}]: every call from the provider is answered 404.",
            f"Write [{name}], or name the context that takes calls from outside.",
            place=place,
            confidence=Confidence.PROVEN if not plan.deviations else Confidence.LIKELY,
        )
    patterns, whole = _patterns(plan, context)
    if any(_takes_plus(pattern) for pattern in patterns):
        return Verdict(
            Status.PASS,
            "takes_calls",
            f"{setting}: [{name}] takes numbers that begin with +, as the provider sends them.",
            place=place,
        )
    if not whole:
        return Verdict(
            Status.UNKNOWN,
            "dialplan_elsewhere",
            f"{setting}: whether [{name}] takes the provider's numbers was not seen, since part of it is not in "
            f"{path}.",
            settle_by="`dialplan show +91XXXXXXXXXX@" + name + "` on Asterisk's console says.",
            place=place,
        )
    return Verdict(
        Status.FAIL,
        "takes_no_plus",
        f"{setting}: the provider calls numbers like +91XXXXXXXXXX, and nothing in [{name}] takes one that begins "
        "with +. _X. does not.",
        f"Add to [{name}] an extension for your Exophones, as in `exten => _+X.,1,…`.",
        place=context.place,
        confidence=Confidence.LIKELY,
    )


def _patterns(plan: AsteriskConfig, context: Section) -> tuple[list[str], bool]:
    """The extensions of a context with those it includes, and whether that is all of it."""
    found: list[str] = []
    whole = not any(str(deviation.fault) in ("exec", "missing_include") for deviation in plan.deviations)
    todo, seen = [context], {context.name.lower()}
    while todo:
        section = todo.pop()
        for variable in section.variables:
            key = variable.name.lower()
            if key == "exten":
                found.append(variable.value.partition(",")[0].strip())
            elif key in ("switch", "eswitch", "lswitch"):
                whole = False
            elif key == "include":
                other = variable.value.partition(",")[0].partition("|")[0].strip()
                if other.lower() in seen:
                    continue
                seen.add(other.lower())
                inner = plan.section(other)
                if inner is None:
                    whole = False
                else:
                    todo.append(inner)
    return found, whole


def _takes_plus(pattern: str) -> bool:
    """Whether an extension takes some number that begins with "+"."""
    pattern = pattern.partition("/")[0].replace('"', "")
    if "${" in pattern:
        return True  # a variable: it may
    if not pattern.startswith("_"):
        return pattern.startswith("+")
    body = pattern[1:].replace("-", "") if "[" not in pattern else pattern[1:]
    if body.startswith("["):
        return "+" in body.partition("]")[0]
    return body[:1] in ("+", ".", "!")


# --- what is logged ---

_IDS = ("CallSid", "LegSid", "TrunkSid")
_READS = re.compile(r"(?:PJSIP_HEADERS?|SIP_HEADERS?)\s*\(\s*(?:read\s*,\s*)?([\w-]*)", re.IGNORECASE)
_CALL_ID = re.compile(r"SIPCALLID|CHANNEL\s*\(\s*(?:pjsip\s*,\s*)?call-?id\s*\)|call-id", re.IGNORECASE)
_SET = re.compile(r"\bSet\s*\(\s*_{0,2}([A-Za-z]\w*)\s*=", re.IGNORECASE)
_LOGS = re.compile(
    r"\b(?:Log|NoOp|Verbose|CELGenUserEvent|UserEvent|System|TrySystem|AGI|ODBC_\w+|CURL)\s*\(|\bCDR\s*\(|\bJSON|\bFILE\s*\(",
    re.IGNORECASE,
)
_TO_VERBOSE = re.compile(r"\b(?:NoOp|Verbose)\s*\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Logged:
    headers: frozenset[str]
    read: frozenset[str]
    call_id: bool
    verbose_only: bool
    place: Place | None


def judge_logging(configuration: Configuration, trunk: Trunk, world: World) -> Verdict:
    trace = _trace(configuration, trunk)
    plan = configuration.asterisk(Dialect.EXTENSIONS) if trunk.dialect is not Dialect.FREESWITCH else None
    prefix = f"X-{world.profile.provider}-"
    headers = tuple(prefix + name for name in _IDS)
    if trace is not None:
        return _judge_trace(configuration, trace, prefix)
    if trunk.dialect is Dialect.FREESWITCH:
        return _judge_xml_logging(configuration, trunk, prefix)
    if plan is None:
        return Verdict(
            Status.UNKNOWN,
            "dialplan_not_given",
            f"Whether Call-ID and the {prefix} headers are logged is for the dialplan to say, which was not given.",
            settle_by="Give extensions.conf as well.",
            place=trunk.place,
        )
    logged = _logged(plan, prefix)
    path = configuration.of(Dialect.EXTENSIONS)[0].path
    remedy = (
        "Log them where calls from the provider come in, as in `same => "
        f"n,Log(NOTICE,${{{_header_of(trunk, headers[0])}}})`: Call-ID, " + ", ".join(headers) + "."
    )
    if not logged.read and not logged.headers:
        return Verdict(
            Status.WARN,
            "not_logged",
            f"{path} reads none of the {prefix} headers. Support asks for them when a call went wrong.",
            remedy,
            place=trunk.context.place or trunk.place,
            confidence=Confidence.LIKELY,
        )
    if not logged.headers:
        return Verdict(
            Status.WARN,
            "read_not_logged",
            f"{path} reads {', '.join(sorted(logged.read))} and writes none of it to a log or a call record.",
            remedy,
            place=logged.place,
            confidence=Confidence.LIKELY,
        )
    lacking = [name for name in headers if name.lower() not in logged.headers and "*" not in logged.headers]
    if not logged.call_id:
        lacking.append("Call-ID")
    if lacking:
        return Verdict(
            Status.WARN,
            "part_logged",
            f"{path} logs some of the {prefix} headers, but not {', '.join(lacking)}.",
            remedy,
            place=logged.place,
            confidence=Confidence.LIKELY,
        )
    if logged.verbose_only and (unkept := _keeps_no_verbose(configuration)) is not None:
        return _unkept(unkept, "The dialplan writes the headers with NoOp or Verbose")
    return Verdict(Status.PASS, "logged", f"{path} logs Call-ID and the {prefix} headers.", place=logged.place)


def _header_of(trunk: Trunk, name: str) -> str:
    return f"PJSIP_HEADER(read,{name})" if trunk.dialect is Dialect.PJSIP else f"SIP_HEADER({name})"


def _logged(plan: AsteriskConfig, prefix: str) -> _Logged:
    """Which headers reach a log or a call record: at once, or by a variable that does elsewhere."""
    lines = [
        variable
        for section in plan.sections
        for variable in section.variables
        if variable.name.lower() in ("exten", "same")
    ]
    known = {(prefix + name).lower() for name in _IDS}
    carried: dict[str, set[str]] = {}
    headers: set[str] = set()
    read: set[str] = set()
    place = None
    loud = False
    call_id = False
    logging: list[Variable] = []
    for variable in lines:
        text = variable.value
        named = {_canonical(name, prefix) for name in _READS.findall(text)}
        named = {name for name in named if name in known or name == "*"}
        identified = bool(_CALL_ID.search(text))
        if _LOGS.search(text):
            logging.append(variable)
            call_id |= identified
            if named:
                headers |= named
                loud |= not _TO_VERBOSE.search(text)
                place = place or variable.place
        if named or identified:
            read |= named
            place = place or (variable.place if named else None)
            if (match := _SET.search(text)) is not None:
                carried.setdefault(match[1].lower(), set()).update(named | ({"call-id"} if identified else set()))
    for variable in logging:
        for name in re.findall(r"\$\{_{0,2}([A-Za-z]\w*)", variable.value):
            if (told := carried.get(name.lower())) is not None:
                headers |= told - {"call-id"}
                call_id |= "call-id" in told
                loud |= not _TO_VERBOSE.search(variable.value)
    return _Logged(frozenset(headers), frozenset(read), call_id, bool(headers) and not loud, place)


def _canonical(name: str, prefix: str) -> str:
    """A header that is read by what all of them begin with reads all."""
    name = name.lower()
    return "*" if name.startswith("x-") and prefix.lower().startswith(name) else name


@dataclass(frozen=True, slots=True)
class _Trace:
    setting: Setting
    what: str
    to_log: bool  # into Asterisk's own log, by way of its verbose messages


def _trace(configuration: Configuration, trunk: Trunk) -> _Trace | None:
    """What keeps whole SIP messages: then everything in them is kept."""
    hep = configuration.asterisk(Dialect.HEP)
    if hep is not None and trunk.dialect is Dialect.PJSIP and (general := hep.section("general")) is not None:
        enabled, address = general.last("enabled"), general.last("capture_address")
        if address is not None and not (enabled is not None and is_false(enabled.value)):
            return _Trace(setting_of(address, "capture_address"), "sends every SIP message to a capture server", False)
    if trunk.dialect is Dialect.FREESWITCH:
        for key in ("sip-trace", "sip-capture"):
            for setting in trunk.profile_settings:
                if setting.key == key and (setting.value or "").lower() in ("yes", "true", "on", "1"):
                    return _Trace(setting, "keeps every SIP message", False)
        return None
    dialect = trunk.dialect
    config = configuration.asterisk(dialect)
    sections = [section for section in config.sections if not section.is_template] if config is not None else []
    for section in sections:
        kind = section.first("type")
        if dialect is Dialect.CHAN_SIP and section.name.lower() == "general":
            found = section.last("sipdebug")
        elif dialect is Dialect.PJSIP and kind is not None and kind.value == "global":
            if sum(each.name == section.name and each.first("type") is not None for each in sections) > 1:
                continue  # of two, Asterisk takes neither
            found = section.last("debug")
        else:
            continue
        if found is not None and not is_false(found.value) and found.value.strip():
            return _Trace(setting_of(found, found.name), "writes every SIP message to Asterisk's log", True)
    return None


def _judge_trace(configuration: Configuration, trace: _Trace, prefix: str) -> Verdict:
    if trace.to_log and (unkept := _keeps_no_verbose(configuration)) is not None:
        return _unkept(unkept, f"{trace.setting} writes SIP messages as verbose messages")
    return Verdict(
        Status.PASS,
        "traced",
        f"{trace.setting} {trace.what}, with Call-ID and the {prefix} headers in it.",
        place=trace.setting.place,
    )


def _keeps_no_verbose(configuration: Configuration) -> Setting | None:
    """The line of logger.conf that leaves verbose messages out of every file; None where one keeps them, or none
    says."""
    config = configuration.asterisk(Dialect.LOGGER)
    section = config.section("logfiles") if config is not None else None
    if section is None:
        return None
    last = None
    for variable in section.variables:
        if variable.name.lower() == "console":
            continue
        levels = variable.value.lower()
        if "verbose" in levels or "*" in levels:
            return None
        last = setting_of(variable, variable.name)
    return last or Setting("logfiles", None, section.place)


def _unkept(setting: Setting, how: str) -> Verdict:
    return Verdict(
        Status.WARN,
        "not_kept",
        f"{how}, and logger.conf keeps these in no file.",
        "Add verbose to a file of [logfiles], or log with Log(NOTICE,…).",
        place=setting.place,
        confidence=Confidence.LIKELY,
    )


# Applications of FreeSWITCH's dialplan that keep what they are given; info writes all of a call's variables.
_XML_LOGS = frozenset({"log", "system", "bgsystem", "curl", "python", "python3", "lua", "event"})
_XML_CALL_ID = re.compile(r"sip_call_id|\bsip_h_call-id", re.IGNORECASE)


def _judge_xml_logging(configuration: Configuration, trunk: Trunk, prefix: str) -> Verdict:
    actions = [
        action
        for one in configuration.of(Dialect.FREESWITCH)
        if one.freeswitch is not None
        for action in one.freeswitch.actions
    ]
    wanted = {f"sip_h_{prefix}{name}".lower(): prefix + name for name in _IDS}
    logged: set[str] = set()
    call_id = False
    seen = place = None
    for action in actions:
        value = action.value.lower()
        named = {header for key, header in wanted.items() if key in value}
        seen = seen or (action.place if named else None)
        if action.name.lower() == "info":
            logged, call_id, place = set(wanted.values()), True, place or action.place
        elif action.name.lower() in _XML_LOGS:
            logged |= named
            call_id |= bool(_XML_CALL_ID.search(value))
            place = place or (action.place if named else None)
    names = ", ".join(f"${{{key}}}" for key in (f"sip_h_{header}" for header in wanted.values()))
    remedy = f"Log {names} and ${{sip_call_id}} where calls from the provider come in."
    lacking = [header for header in wanted.values() if header not in logged] + ([] if call_id else ["Call-ID"])
    if not lacking:
        return Verdict(Status.PASS, "logged", f"The dialplan logs Call-ID and the {prefix} headers.", place=place)
    if logged:
        return Verdict(
            Status.WARN,
            "part_logged",
            f"The dialplan logs some of the {prefix} headers, but not {', '.join(lacking)}.",
            remedy,
            place=place,
            confidence=Confidence.LIKELY,
        )
    if seen is not None:
        return Verdict(
            Status.WARN,
            "read_not_logged",
            f"The dialplan reads {prefix} headers and writes none of them to a log.",
            remedy,
            place=seen,
            confidence=Confidence.LIKELY,
        )
    if actions:
        return Verdict(
            Status.WARN,
            "not_logged",
            f"The dialplan logs none of the {prefix} headers. Support asks for them when a call went wrong.",
            remedy,
            place=actions[0].place,
            confidence=Confidence.POSSIBLE,
        )
    return Verdict(
        Status.UNKNOWN,
        "dialplan_not_given",
        f"Whether Call-ID and the {prefix} headers are logged is for the dialplan or the call records to say, "
        "which were not given.",
        settle_by="Give the dialplan of the trunk's context as well.",
        place=trunk.place,
    )


# --- which driver ---


# What a trunk of res_pjsip cannot do without; the last tells calls by their address.
_PJSIP_MODULES = (
    "chan_pjsip.so",
    "res_pjproject.so",
    "res_pjsip.so",
    "res_pjsip_session.so",
    "res_pjsip_sdp_rtp.so",
    "res_pjsip_endpoint_identifier_ip.so",
)


def judge_driver(configuration: Configuration, handed: Handed, dialect: Dialect) -> Verdict:
    """Of one file of chan_sip or res_pjsip."""
    place = Place(handed.path, 1)
    modules = configuration.asterisk(Dialect.MODULES)
    section = modules.section("modules") if modules is not None else None
    driver, *parts = ("chan_sip.so",) if dialect is Dialect.CHAN_SIP else _PJSIP_MODULES
    loads = section is not None and any(
        _module(variable) == driver for variable in section.all("load", "require", "preload")
    )
    if section is not None:
        refused = next((v for v in section.all("noload") if _module(v) in (driver, *parts)), None)
        auto = section.last("autoload")
        if refused is not None:
            return Verdict(
                Status.FAIL,
                "not_loaded",
                f"modules.conf keeps {_module(refused)} from being loaded (noload): "
                + (
                    "calls are not known by their address."
                    if _module(refused) == _PJSIP_MODULES[-1]
                    else f"nobody reads {handed.path}."
                ),
                "Put the trunk into pjsip.conf."
                if dialect is Dialect.CHAN_SIP
                else f"Take that line out of {refused.place.path}.",
                place=refused.place,
                edits=() if dialect is Dialect.CHAN_SIP else erase(setting_of(refused, "noload")),
            )
        if auto is not None and not is_true(auto.value) and not loads:
            return Verdict(
                Status.FAIL,
                "not_loaded",
                f"modules.conf loads only what it names, and {driver} is not among it: nobody reads {handed.path}.",
                "Put the trunk into pjsip.conf." if dialect is Dialect.CHAN_SIP else f"Add load = {driver}.",
                place=auto.place,
            )
    if dialect is Dialect.CHAN_SIP:
        return Verdict(
            Status.WARN,
            "removed_in_21",
            "This is a configuration of chan_sip, which was deprecated in Asterisk 17 and removed in Asterisk "
            "21: from there on nobody reads it. Which Asterisk runs is not in the file.",
            "Move the trunk to pjsip.conf: `vsipcheck config sample asterisk-pjsip` prints one.",
            settle_by="`asterisk -V` says which Asterisk runs.",
            place=place,
        )
    return Verdict(
        Status.PASS,
        "present",
        "This is a configuration of res_pjsip, which present versions of Asterisk have.",
        place=place,
    )


def _module(variable: Variable) -> str:
    name = variable.value.strip().lower()
    return name if name.endswith(".so") else f"{name}.so"
