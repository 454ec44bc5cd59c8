"""What is wrong with the files themselves."""

from __future__ import annotations

import os

from vsipcheck.checks.config.files import Configuration, Dialect, Handed, Unread
from vsipcheck.checks.config.verdict import Verdict
from vsipcheck.model import Confidence, Failure, FaultDomain, Status
from vsipcheck.wire.asterisk import Fault, Place

_UNREAD = {
    Failure.LOCAL_DENIED: "not_permitted",
    Failure.NOT_SUPPORTED: "directory",
    Failure.TOO_LARGE: "too_large",
    Failure.BAD_BODY: "no_text",
    Failure.LOCAL_ERROR: "read_error",
}


def judge_unread(unread: Unread) -> Verdict:
    where = f" It is included at {unread.included_from}." if unread.included_from is not None else ""
    refused = unread.failure is Failure.LOCAL_DENIED and unread.included_from is not None
    reason = "outside" if refused and "outside" in unread.why else _UNREAD.get(unread.failure, "missing")
    return Verdict(
        Status.UNKNOWN,
        reason,
        f"{unread.path} was not read: {unread.why.removeprefix('not read: ')}.{where}",
        settle_by="Name the files themselves, and run as a user who may read them.",
        failure=unread.failure,
        fault_domain=FaultDomain.HOST,
    )


# What Asterisk opens by itself; any other file is there to be included.
_READ_BY_NAME = frozenset(
    f"{name}.conf"
    for name in ("sip", "pjsip", "pjsip_wizard", "rtp", "extensions", "logger", "modules", "hep", "asterisk")
)

# What would be whole within the file that includes it.
_OF_FRAGMENTS = frozenset({Fault.NO_SECTION, Fault.UNKNOWN_ADDITION, Fault.UNKNOWN_TEMPLATE})
_HARMLESS = frozenset({"missing_tryinclude"})

# Faults that leave open what the PBX reads there, and what would tell.
_UNFOLLOWED = ("exec", "too_many_includes", "include_too_deep", "nested_too_deep", "unknown_filter", "doctype")

_SETTLED_BY = {
    **dict.fromkeys(_UNFOLLOWED, "Give what it comes to, as the PBX shows it."),
    **dict.fromkeys(("unknown_variable", "unknown_command"), "Give vars.xml as well."),
}


def judge_file(handed: Handed, configuration: Configuration) -> Verdict:
    place = Place(handed.path, 1)
    if handed.dialect is Dialect.KAMAILIO:
        return Verdict(
            Status.SKIP,
            "kamailio",
            f"{handed.path} is a Kamailio script: a program, not a list of settings. It is not checked; ask the "
            "proxy itself with `vsipcheck pbx HOST`.",
            place=place,
        )
    if handed.broken is not None:
        return Verdict(
            Status.FAIL,
            "broken",
            f"{handed.path} cannot be read as a configuration: {handed.broken}.",
            "Mend the file: the PBX cannot read it either.",
            place=place,
        )
    if handed.dialect is Dialect.OTHER:
        return Verdict(
            Status.UNKNOWN,
            "not_recognised",
            f"{handed.path} is none of the files that are understood: Asterisk's sip.conf, pjsip.conf, rtp.conf, "
            "extensions.conf, logger.conf and modules.conf, and FreeSWITCH's XML.",
            settle_by="Give the file under its own name.",
            place=place,
            fault_domain=FaultDomain.HOST,
        )
    deviations = handed.asterisk.deviations if handed.asterisk is not None else ()
    fatal = [deviation for deviation in deviations if deviation.fatal]
    faults = [(deviation.place, str(deviation.fault), deviation.detail) for deviation in deviations]
    if handed.freeswitch is not None:
        faults = [(d.place, str(d.fault), d.detail) for d in handed.freeswitch.deviations]
    faults = [fault for fault in faults if fault[1] not in _HARMLESS]
    refused = {unread.included_from for unread in configuration.unread}
    missing = [fault for fault in faults if fault[1] == "missing_include"]
    if missing:
        where = missing[0][0]
        if handed.path == "-" or str(where) in refused:
            return Verdict(
                Status.UNKNOWN,
                "include_not_followed",
                f"{where} includes {missing[0][2] or 'a file'}, which was not read: what it sets is unknown.",
                settle_by="Name that file as well.",
                place=where,
                fault_domain=FaultDomain.HOST,
            )
        return Verdict(
            Status.WARN,
            "include_missing",
            f"{where} includes {missing[0][2] or 'a file'}, and there is none: what it sets is unknown"
            + (", and Asterisk refuses the whole file where it is missing there, too." if handed.asterisk else "."),
            "Give the file together with those that it includes.",
            place=where,
            confidence=Confidence.LIKELY,
        )
    if fatal and fatal[0].fault in _OF_FRAGMENTS and os.path.basename(handed.path).lower() not in _READ_BY_NAME:
        return Verdict(
            Status.UNKNOWN,
            "fragment",
            f"{fatal[0].place}: {_fault(str(fatal[0].fault), fatal[0].detail)}. {handed.path} is there for another "
            "file to include, and what it comes to is unknown without that one.",
            settle_by="Give the file that includes it.",
            place=fatal[0].place,
            fault_domain=FaultDomain.HOST,
        )
    if fatal:
        return Verdict(
            Status.FAIL,
            "refused_by_the_pbx",
            f"Asterisk refuses the whole file over {fatal[0].place}: {_fault(str(fatal[0].fault), fatal[0].detail)}.",
            "Mend that line.",
            place=fatal[0].place,
        )
    if faults:
        where, fault, detail = faults[0]
        more = f" {len(faults) - 1} more." if len(faults) > 1 else ""
        if (settle_by := _SETTLED_BY.get(fault)) is not None:
            return Verdict(
                Status.UNKNOWN,
                "part_unread",
                f"{where}: {_fault(fault, detail)}. What it would set is unknown.{more}",
                settle_by=settle_by,
                place=where,
            )
        return Verdict(
            Status.WARN,
            "odd_line",
            f"{where}: {_fault(fault, detail)}.{more}",
            "Mend that line: the PBX does not read it as it is meant.",
            place=where,
        )
    again = handed.asterisk.named("general")[1:] if handed.asterisk is not None else ()
    if again and handed.dialect in (Dialect.CHAN_SIP, Dialect.RTP):
        return Verdict(
            Status.WARN,
            "second_general",
            f"{again[0].place} begins another [general]. Asterisk looks at the first alone: what stands here has "
            "no effect.",
            "Put its lines into the first [general].",
            place=again[0].place,
        )
    kinds = {
        Dialect.CHAN_SIP: "a configuration of chan_sip",
        Dialect.PJSIP: "a configuration of res_pjsip",
        Dialect.FREESWITCH: "FreeSWITCH's XML",
    }
    return Verdict(Status.PASS, "read", f"Read as {kinds.get(handed.dialect, f'{handed.dialect}.conf')}.", place=place)


_FAULTS = {
    "no_equals": "a line without an equals sign is ignored",
    "no_name": "a value without a name is ignored",
    "no_section": "a value stands before any section",
    "unclosed_section": "the section's name lacks its closing bracket",
    "unclosed_options": "the section's options lack their closing parenthesis",
    "unknown_template": "it inherits from a section that does not stand before it",
    "unknown_addition": "it adds to a section that does not stand before it",
    "unknown_filter": "which section it adds to is chosen by a pattern that was not followed",
    "invalid_escape": "a backslash stands alone",
    "line_too_long": "the line is too long and is left out",
    "unclosed_comment": "the comment is never closed, and nothing after it is read",
    "stray_comment_end": "a comment is closed that was not open, and nothing after it is read",
    "nested_too_deep": "comments stand in comments, too deep to follow",
    "unknown_directive": "there is no such directive",
    "no_argument": "the directive names nothing",
    "include_too_deep": "files include each other, or too deep",
    "too_many_includes": "more is included than is followed here",
    "exec": "what a program prints becomes part of the configuration, and no program is run here",
    "junk_after_section": "what follows the section's name is ignored",
    "not_well_formed": "the XML ends in a fault, and nothing after it is read",
    "doctype": "a document type is declared, and nothing after it is read here",
    "unknown_command": "there is no such command",
    "commented_command": "a command in a comment runs all the same",
    "line_dropped": "what stands on the line of a command is left out",
    "unknown_variable": "the variable is set in no file that was given",
    "too_long": "the value is too long",
    "byte_order_mark": "a byte order mark stands before the first line, which is then no section",
}


def _fault(fault: str, detail: str) -> str:
    return _FAULTS.get(fault, fault.replace("_", " ")) + (f" ({detail})" if detail else "")
