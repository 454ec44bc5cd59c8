"""The PBX's configuration, file by file, against the provider's guide. Sends nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from vsipcheck.checks import config_chan_sip, config_freeswitch, config_pjsip
from vsipcheck.checks.base import Check, Context, Facts, Recorder
from vsipcheck.checks.config_files import Configuration, Dialect, Handed, Unread, configuration_of, read_files
from vsipcheck.checks.config_patch import unified_diff
from vsipcheck.checks.config_rules import (
    judge_caller_id,
    judge_codec_order,
    judge_domain,
    judge_dtmf,
    judge_external,
    judge_identification,
    judge_listener,
    judge_media_path,
    judge_nat,
    judge_peer,
    judge_registration,
    with_refusals,
)
from vsipcheck.checks.config_trunk import Trunk
from vsipcheck.checks.config_verdict import GUIDE_SECTIONS, Verdict, World
from vsipcheck.checks.config_wider import (
    judge_call_rate,
    judge_context,
    judge_driver,
    judge_logging,
    judge_rtp_range,
)
from vsipcheck.checks.public_address import trunk_address, trunk_sources
from vsipcheck.model import Confidence, Failure, FaultDomain, Finding, Lookup, Profile, Settings, Status
from vsipcheck.wire.asterisk import Fault, Place
from vsipcheck.wire.text import sanitise

FILES = "config.files"
DRIVER = "config.channel_driver"
PEER = "config.peer"
RTP_RANGE = "config.rtp_range"
# What only looks at one trunk.
_RULES: tuple[tuple[str, Callable[[Trunk, World], Verdict]], ...] = (
    (PEER, judge_peer),
    ("config.listener", judge_listener),
    ("config.registration", judge_registration),
    ("config.identification", judge_identification),
    ("config.domain", judge_domain),
    ("config.caller_id", judge_caller_id),
    ("config.codec_order", judge_codec_order),
    ("config.dtmf", judge_dtmf),
    ("config.nat", judge_nat),
    ("config.external_address", judge_external),
    ("config.media_path", judge_media_path),
)
# What looks at other files beside it.
_WIDER_RULES: tuple[tuple[str, Callable[[Configuration, Trunk, World], Verdict]], ...] = (
    ("config.context", judge_context),
    ("config.call_rate", judge_call_rate),
    ("config.logging", judge_logging),
)
_IDS = (FILES, DRIVER, *(name for name, _ in _RULES), RTP_RANGE, *(name for name, _ in _WIDER_RULES))
# What the guide's checklist asks of a configuration: told also where there is no trunk to look at.
_ROWS = ("config.codec_order", "config.registration", "config.nat", "config.logging")

_TRUNK_FILES = (Dialect.CHAN_SIP, Dialect.PJSIP, Dialect.FREESWITCH)


async def measure(context: Context, record: Recorder) -> None:
    """Read the files and what they include: no packet is sent."""
    await read_files(context, record)


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """Whether the trunk that the files describe is the one that the guide asks for."""
    if not facts.measured("config"):
        return []
    configuration = configuration_of(facts)
    if not (settings.pbx_config or configuration.handed or configuration.unread):
        return []  # nothing was given
    world = _world(facts, profile, settings)
    writer = _Writer(configuration)
    for unread in configuration.unread:
        writer.add(FILES, unread.path, _judge_unread(unread), fact_ids=(unread.fact_id,))
    files = {handed.path: _judge_file(handed, configuration) for handed in configuration.handed}
    for path, verdict in files.items():
        writer.add(FILES, path, verdict)
    trunks = _trunks(configuration, profile)
    for handed in configuration.of(Dialect.CHAN_SIP, Dialect.PJSIP):
        if any(trunk.dialect is handed.dialect for trunk in trunks) or _has_peers(handed):
            writer.add(DRIVER, handed.path, judge_driver(configuration, handed, handed.dialect))
    if not trunks:
        _judge_none(configuration, files, writer, world)
        return writer.findings
    told: set[str] = set()
    for trunk in trunks:
        for finding_id, rule in _RULES:
            writer.add(finding_id, trunk.target, with_refusals(finding_id, trunk, rule(trunk, world)))
        target, verdict = judge_rtp_range(configuration, trunk, world)
        if target not in told:
            told.add(target)
            writer.add(RTP_RANGE, target, verdict)
        for finding_id, wider in _WIDER_RULES:
            writer.add(finding_id, trunk.target, wider(configuration, trunk, world))
    return writer.findings


class _Writer:
    """Verdicts as findings, each key once."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._seen: set[tuple[str, str]] = set()
        self.findings: list[Finding] = []

    def add(self, finding_id: str, target: str, verdict: Verdict, fact_ids: Iterable[str] = ()) -> None:
        target = sanitise(target)
        if (finding_id, target) in self._seen:
            return
        self._seen.add((finding_id, target))
        place = verdict.place
        ids = dict.fromkeys(fact_ids)
        if place is not None and place.path in self._configuration.fact_ids:
            ids[self._configuration.fact_ids[place.path]] = None
        for edit in verdict.edits:
            if edit.path in self._configuration.fact_ids:
                ids[self._configuration.fact_ids[edit.path]] = None
        good = verdict.status in (Status.PASS, Status.SKIP)
        whose = FaultDomain.UNDETERMINED if verdict.status is Status.UNKNOWN else FaultDomain.PBX
        self.findings.append(
            Finding(
                id=finding_id,
                target=target,
                status=verdict.status,
                reason=verdict.reason,
                summary=sanitise(verdict.summary, max_length=1000),
                failure=verdict.failure,
                fault_domain=None if good else verdict.fault_domain or whose,
                confidence=verdict.confidence if verdict.status is not Status.UNKNOWN else None,
                remedy=None if verdict.remedy is None else sanitise(verdict.remedy, max_length=1000),
                settle_by=verdict.settle_by,
                guide_section=GUIDE_SECTIONS.get(finding_id),
                facts=tuple(ids),
                location=None if place is None else str(place),
                patch=None if good else self._patch(verdict),
            )
        )

    def _patch(self, verdict: Verdict) -> str | None:
        """A line that holds a secret is never in a diff: the remedy names it."""
        texts = self._configuration.texts
        edits = [
            edit
            for edit in verdict.edits
            if edit.path not in texts or not texts[edit.path].masked & set(range(edit.first, edit.last + 1))
        ]
        return unified_diff(edits, texts)


def _world(facts: Facts, profile: Profile, settings: Settings) -> World:
    measured, by = settings.public_address, "was given or an earlier report measured"
    if measured is None and (seen := trunk_address(facts)) is not None:
        measured, by = seen, "this run measured"
    if measured is None and settings.expect_ip is not None:
        measured, by = settings.expect_ip, "--expect-ip names"
    addresses: dict[str, set[str]] = {pop.fqdn: set(pop.addresses) for pop in profile.signalling.pops}
    for lookup in facts.of(Lookup):
        if lookup.purpose == "trunk" and lookup.name in addresses:
            addresses[lookup.name] |= set(lookup.addresses)
    return World(
        profile=profile,
        settings=settings,
        public_address=measured,
        measured_by=by,
        sources=trunk_sources(facts),
        pop_addresses={name: frozenset(found) for name, found in addresses.items()},
    )


def _trunks(configuration: Configuration, profile: Profile) -> list[Trunk]:
    trunks: list[Trunk] = []
    if (config := configuration.asterisk(Dialect.CHAN_SIP)) is not None:
        trunks += config_chan_sip.trunks_of(config, profile)
    if (config := configuration.asterisk(Dialect.PJSIP)) is not None:
        trunks += config_pjsip.trunks_of(config, profile)
    xml = [one.freeswitch for one in configuration.of(Dialect.FREESWITCH) if one.freeswitch is not None]
    return trunks + config_freeswitch.trunks_of(xml, profile)


def _has_peers(handed: Handed) -> bool:
    if handed.asterisk is None:
        return False
    if handed.dialect is Dialect.CHAN_SIP:
        return bool(config_chan_sip.peers_of(handed.asterisk))
    return bool(config_pjsip.endpoints_of(handed.asterisk))


def _judge_none(configuration: Configuration, files: Mapping[str, Verdict], writer: _Writer, world: World) -> None:
    """Why no trunk was judged; never the settings of a phone instead."""
    names = " or ".join(pop.fqdn for pop in world.profile.signalling.pops)
    candidates = configuration.of(*_TRUNK_FILES)
    if not candidates:
        settle = "Give the file that the trunk stands in: sip.conf, pjsip.conf, or FreeSWITCH's gateway and profile."
        seen = configuration.handed or configuration.unread
        target = ", ".join(dict.fromkeys(one.path for one in seen)) or "no file"
        why = Verdict(
            Status.UNKNOWN,
            "no_trunk_file",
            "None of the files that could be read is one that a trunk stands in.",
            settle_by=settle,
        )
        writer.add(PEER, target, why)
        for finding_id in _ROWS:
            writer.add(finding_id, target, why)
        return
    for handed in candidates:
        read = files[handed.path]
        if configuration.unread or read.status is Status.UNKNOWN or read.reason == "include_missing":
            # The trunk may stand in what was not read.
            for finding_id in (PEER, *_ROWS):
                verdict = Verdict(
                    Status.UNKNOWN,
                    "not_read" if finding_id == PEER else "no_trunk_to_judge",
                    f"No section of what could be read of {handed.path} leads to the provider, and part was not read "
                    "(see config.files).",
                    settle_by="Give every file that the PBX reads for the trunk.",
                    place=Place(handed.path, 1),
                )
                writer.add(finding_id, handed.path, verdict)
            continue
        others = _names_in(handed)
        told = f" It has {', '.join(others[:8])}{' and more' if len(others) > 8 else ''}." if others else ""
        writer.add(
            PEER,
            handed.path,
            Verdict(
                Status.FAIL,
                "no_trunk",
                f"No section leads to the provider: none names {names}, or an address of it.{told}",
                f"Write the trunk ({_sample(handed.dialect)}), or give the file that it stands in.",
                place=Place(handed.path, 1),
                confidence=Confidence.LIKELY,
            ),
        )
        for finding_id in _ROWS:
            writer.add(
                finding_id,
                handed.path,
                Verdict(
                    Status.UNKNOWN,
                    "no_trunk_to_judge",
                    "No section leads to the provider, so that there is nothing to look at.",
                    settle_by="Write the trunk, or give the file that it stands in.",
                    place=Place(handed.path, 1),
                ),
            )


def _names_in(handed: Handed) -> list[str]:
    if handed.freeswitch is not None:
        return [f"gateway {gateway.name}" for gateway in handed.freeswitch.gateways]
    if handed.asterisk is None:
        return []
    sections = (
        config_chan_sip.peers_of(handed.asterisk)
        if handed.dialect is Dialect.CHAN_SIP
        else config_pjsip.endpoints_of(handed.asterisk)
    )
    return [f"[{section.name}]" for section in sections]


def _sample(dialect: Dialect) -> str:
    kind = "freeswitch" if dialect is Dialect.FREESWITCH else "asterisk-pjsip"
    return f"`vsipcheck config sample {kind}` prints one"


# --- the files themselves ---

_UNREAD = {
    Failure.LOCAL_DENIED: "not_permitted",
    Failure.NOT_SUPPORTED: "directory",
    Failure.TOO_LARGE: "too_large",
    Failure.BAD_BODY: "no_text",
    Failure.LOCAL_ERROR: "read_error",
}


def _judge_unread(unread: Unread) -> Verdict:
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
_HARMLESS = frozenset({"missing_tryinclude"})
# Faults that leave open what the PBX reads there, and what would tell.
_UNFOLLOWED = ("exec", "too_many_includes", "include_too_deep", "nested_too_deep", "unknown_filter", "doctype")
_SETTLED_BY = {
    **dict.fromkeys(_UNFOLLOWED, "Give what it comes to, as the PBX shows it."),
    **dict.fromkeys(("unknown_variable", "unknown_command"), "Give vars.xml as well."),
}


def _judge_file(handed: Handed, configuration: Configuration) -> Verdict:
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
    if fatal and fatal[0].fault is Fault.NO_SECTION and os.path.basename(handed.path).lower() not in _READ_BY_NAME:
        return Verdict(
            Status.UNKNOWN,
            "fragment",
            f"{fatal[0].place} stands in no section: {handed.path} is there for another file to include, and what it "
            "sets is unknown without that one.",
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


CHECK = Check(
    name="config",
    title="reading the PBX's configuration",
    finding_ids=_IDS,
    needs=(),
    measure=measure,
    judge=judge,
)
