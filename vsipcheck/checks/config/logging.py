"""Whether what support asks for after a call is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vsipcheck.checks.config.asterisk import setting_of
from vsipcheck.checks.config.files import Configuration, Dialect
from vsipcheck.checks.config.trunk import Setting, Trunk
from vsipcheck.checks.config.verdict import Verdict, World
from vsipcheck.model import Confidence, Status
from vsipcheck.wire.asterisk import AsteriskConfig, Place, Variable, is_false

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


def judge_logging(trunk: Trunk, world: World) -> Verdict:
    configuration = world.configuration
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
